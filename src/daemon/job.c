/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: queue, supervision and restart of the worker.
 *
 * States: no worker (waiting to start one) → idle → busy with the head of the queue. The worker is killed only when a
 * busy one sends nothing for the stall timeout. Events: message, close of the socket, stall timer, restart timer.
 */
#include "job.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "starter.h"

#define RESTART_MIN_MS 100
#define RESTART_MAX_MS 30000
#define YOUNG_MS       10000 /* a worker that dies younger than this, without having done a job, doubles the wait */

struct job {
	struct job *next;
	json_t *request;
	job_progress_fn progress;
	job_ask_fn ask;
	job_done_fn done;
	void *arg;
};

struct jobs {
	struct loop *loop;
	struct starter *starter;
	struct ipc_peer *peer; /* NULL: no worker */
	struct loop_timer *stall;
	struct loop_timer *restart;
	struct job *queue; /* the head is running while `busy` */
	jobs_event_fn on_event;
	void *event_arg;
	uint64_t stall_ms;
	uint64_t born;
	uint64_t wait_ms;
	pid_t pid;
	bool busy;
	bool stalled;
	bool closing;
};

static void run_next(struct jobs *j);

static void job_free(struct job *job)
{
	json_decref(job->request);
	free(job);
}

/* The head of the queue is done. Its callback may add jobs. */
static void finish_head(struct jobs *j, int rc, const json_t *result)
{
	struct job *job = j->queue;
	json_t *own = NULL;

	j->queue = job->next;
	j->busy = false;
	loop_timer_clear(j->stall);
	if (result == NULL)
		result = own = ipc_result_new(rc);
	if (job->done != NULL)
		job->done(rc, result, job->arg);
	json_decref(own);
	job_free(job);
}

static void on_msg(struct ipc_peer *p, enum ipc_type type, json_t *body, void *arg)
{
	struct jobs *j = arg;
	json_t *answer = NULL;

	if (!j->busy)
		return;
	loop_timer_set(j->stall, j->stall_ms);
	switch (type) {
	case IPC_PROGRESS:
		if (j->queue->progress != NULL)
			j->queue->progress(body, j->queue->arg);
		break;
	case IPC_ASK:
		if (j->queue->ask != NULL)
			answer = j->queue->ask(body, j->queue->arg);
		if (answer == NULL)
			answer = ipc_result_new(KC_EFAIL);
		ipc_peer_send(p, IPC_ANSWER, answer);
		json_decref(answer);
		break;
	case IPC_RESULT:
		j->wait_ms = 0; /* it is of use */
		finish_head(j, ipc_result_code(body), body);
		run_next(j);
		break;
	default:
		log_err("worker: unexpected message '%c'", type);
		kill(j->pid, SIGKILL);
	}
}

/* How a dead child ended, in words. */
static void reap(struct jobs *j, char *why, size_t size)
{
	int status = 0;

	while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (j->stalled)
		snprintf(why, size, "the worker made no progress for %llu s and was killed",
		    (unsigned long long)(j->stall_ms / 1000));
	else if (WIFSIGNALED(status))
		snprintf(
		    why, size, "the worker was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(why, size, "the worker ended with status %d", WEXITSTATUS(status));
	j->pid = -1;
}

static void on_close(struct ipc_peer *p, void *arg)
{
	struct jobs *j = arg;
	char why[160];
	int rc;

	ipc_peer_free(p);
	j->peer = NULL;
	kill(j->pid, SIGKILL); /* it closed its socket: nothing more can come of it */
	reap(j, why, sizeof(why));
	j->wait_ms = loop_now(j->loop) - j->born > YOUNG_MS || j->wait_ms == 0 ? RESTART_MIN_MS : j->wait_ms * 2;
	if (j->wait_ms > RESTART_MAX_MS)
		j->wait_ms = RESTART_MAX_MS;
	loop_timer_set(j->restart, j->wait_ms);
	rc = err_set(j->stalled ? KC_ETIMEOUT : KC_EWORKER, "%s", why);
	j->stalled = false;
	if (j->on_event != NULL)
		j->on_event(why, false, j->event_arg);
	if (j->busy) {
		err_set(rc, "%s", why);
		finish_head(j, rc, NULL);
	}
}

static int start_worker(struct jobs *j)
{
	int fd = -1, rc = starter_spawn(&fd, &j->pid, j->starter, STARTER_WORKER);

	if (rc < 0)
		return rc;
	j->born = loop_now(j->loop);
	j->peer = ipc_peer_new(j->loop, fd, on_msg, on_close, j);
	return KC_OK;
}

static void on_restart(void *arg)
{
	struct jobs *j = arg;
	int rc = start_worker(j);

	if (rc < 0 && j->on_event != NULL)
		j->on_event(err_text(rc), true, j->event_arg);
	else if (rc == KC_OK)
		run_next(j);
}

static void on_stall(void *arg)
{
	struct jobs *j = arg;

	if (!j->busy || j->pid <= 0)
		return;
	j->stalled = true;
	kill(j->pid, SIGKILL); /* the socket closes, on_close goes on */
}

static void run_next(struct jobs *j)
{
	/* A done function may have freed nothing but added jobs: the queue is looked at afresh. */
	if (j->busy || j->peer == NULL || j->queue == NULL || j->closing)
		return;
	j->busy = true;
	loop_timer_set(j->stall, j->stall_ms);
	ipc_peer_send(j->peer, IPC_REQUEST, j->queue->request);
}

int jobs_new(struct jobs **out, struct loop *l, struct starter *starter, uint64_t stall_ms)
{
	struct jobs *j = mem_xalloc(sizeof(*j));
	int rc;

	j->loop = l;
	j->starter = starter;
	j->stall_ms = stall_ms;
	j->pid = -1;
	j->stall = loop_timer_new(l, on_stall, j);
	j->restart = loop_timer_new(l, on_restart, j);
	rc = start_worker(j);
	if (rc < 0) {
		jobs_free(j, 0);
		return rc;
	}
	*out = j;
	return KC_OK;
}

/* Wait for the worker's end, at most grace_ms. */
static void end_worker(struct jobs *j, uint64_t grace_ms)
{
	struct timespec step = { .tv_nsec = 5 * 1000 * 1000 };

	for (uint64_t waited = 0; waited < grace_ms; waited += 5) {
		if (waitpid(j->pid, NULL, WNOHANG) == j->pid)
			return;
		nanosleep(&step, NULL);
	}
	kill(j->pid, SIGKILL);
	while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

void jobs_cancel(struct jobs *j)
{
	j->closing = true;
	while (j->queue != NULL)
		finish_head(j, err_set(KC_ECANCELED, "the daemon is ending"), NULL);
}

void jobs_free(struct jobs *j, uint64_t grace_ms)
{
	if (j == NULL)
		return;
	jobs_cancel(j);
	ipc_peer_free(j->peer);
	if (j->pid > 0)
		end_worker(j, grace_ms);
	loop_timer_free(j->stall);
	loop_timer_free(j->restart);
	free(j);
}

void jobs_set_stall(struct jobs *j, uint64_t stall_ms)
{
	j->stall_ms = stall_ms;
}

int jobs_call(json_t **result, struct jobs *j, json_t *request, int timeout_ms)
{
	int fd = ipc_peer_fd(j->peer), rc = ipc_send(fd, IPC_REQUEST, request);
	enum ipc_type type = IPC_PROGRESS;

	json_decref(request);
	while (rc == KC_OK && type == IPC_PROGRESS) {
		json_t *body = NULL;

		rc = ipc_recv(&type, &body, fd, timeout_ms);
		if (rc == KC_OK && type == IPC_RESULT) {
			rc = ipc_result_code(body);
			*result = body;
			return rc;
		}
		json_decref(body);
	}
	*result = NULL;
	return rc == KC_OK     ? err_set(KC_EPROTO, "the worker gave no result")
	       : rc == KC_ENET ? err_set(KC_EWORKER, "the worker ended while it was starting")
			       : rc;
}

static struct job *job_new(json_t *request, job_progress_fn progress, job_ask_fn ask, job_done_fn done, void *arg)
{
	struct job *job = mem_xalloc(sizeof(*job));

	job->request = request;
	job->progress = progress;
	job->ask = ask;
	job->done = done;
	job->arg = arg;
	return job;
}

struct job *jobs_add(
    struct jobs *j, json_t *request, job_progress_fn progress, job_ask_fn ask, job_done_fn done, void *arg)
{
	struct job *job = job_new(request, progress, ask, done, arg), **at = &j->queue;

	while (*at != NULL)
		at = &(*at)->next;
	*at = job;
	run_next(j);
	return job;
}

struct job *jobs_add_first(
    struct jobs *j, json_t *request, job_progress_fn progress, job_ask_fn ask, job_done_fn done, void *arg)
{
	struct job *job = job_new(request, progress, ask, done, arg), **at = &j->queue;

	if (j->busy)
		at = &(*at)->next;
	job->next = *at;
	*at = job;
	run_next(j);
	return job;
}

bool jobs_idle(const struct jobs *j)
{
	return j->queue == NULL;
}

void jobs_on_event(struct jobs *j, jobs_event_fn fn, void *arg)
{
	j->on_event = fn;
	j->event_arg = arg;
}
