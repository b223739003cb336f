/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: the daemon's side of the worker: one process, one job at a time, a queue before it.
 *
 * A job is a request {"verb": …} and ends with exactly one call of its done function: with the worker's result, or with
 * KC_EWORKER when the worker ended in the middle, KC_ETIMEOUT when it made no progress for the stall timeout and was
 * killed, KC_ECANCELED when the queue was closed. A new worker is started at once, with back-off if it dies young and
 * has done nothing.
 */
#ifndef KC_JOB_H
#define KC_JOB_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct jobs;
struct job;
struct starter;

/* `result` is borrowed and has at least "rc"; rc is its code with the message set. */
typedef void (*job_done_fn)(int rc, const json_t *result, void *arg);
typedef void (*job_progress_fn)(const json_t *progress, void *arg);
/* The worker asks in the middle of a job and waits; the answer (new reference) is sent back. NULL: {"rc":"KC_EFAIL"}.
 */
typedef json_t *(*job_ask_fn)(const json_t *ask, void *arg);

/* Starts the first worker. Both are borrowed. */
int jobs_new(struct jobs **jobs, struct loop *l, struct starter *starter, uint64_t stall_ms);
/* jobs_cancel, then the worker gets `grace_ms` to end by itself, then SIGKILL. */
void jobs_free(struct jobs *jobs, uint64_t grace_ms);
/* Every queued and running job is done with KC_ECANCELED now, and none is run any more: before what their callbacks use
 * goes. */
void jobs_cancel(struct jobs *jobs);
void jobs_set_stall(struct jobs *jobs, uint64_t stall_ms);

/* Blocking, at start only: one request to the idle worker. *result is the caller's. */
int jobs_call(json_t **result, struct jobs *jobs, json_t *request, int timeout_ms);

/* Queue a job; takes `request`. The returned pointer is valid until done. progress and ask may be NULL. */
struct job *jobs_add(
    struct jobs *jobs, json_t *request, job_progress_fn progress, job_ask_fn ask, job_done_fn done, void *arg);
/* In front of the queue (behind the running one). */
struct job *jobs_add_first(
    struct jobs *jobs, json_t *request, job_progress_fn progress, job_ask_fn ask, job_done_fn done, void *arg);
bool jobs_idle(const struct jobs *jobs);

/* Told when a worker had to be started again after `why` (for log and audit), and when none can be started any more. */
typedef void (*jobs_event_fn)(const char *why, bool fatal, void *arg);
void jobs_on_event(struct jobs *jobs, jobs_event_fn fn, void *arg);

#endif
