/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task: the replication task, up or down. Down survives restarts, is told to the other side (hello), finishes what is
 * being pushed, and is not forgotten: a day after it was put down, and each day after that, log and audit say so, and
 * the alert "task.stopped" is raised as long as it lasts.
 */
#ifndef KC_TASK_H
#define KC_TASK_H

#include <stdbool.h>

#include "base/loop.h"

struct control_client;
struct daemon;

#define TASK_REMIND_MS ((uint64_t)24 * 60 * 60 * 1000)

/* The daily reminder alone: `remind` is called a day after task_timer_set(t, true), and each day until it is false. */
struct task_timer;
typedef void (*task_remind_fn)(void *arg);
struct task_timer *task_timer_new(struct loop *l, task_remind_fn remind, void *arg);
void task_timer_free(struct task_timer *t);
void task_timer_set(struct task_timer *t, bool down);

/* At the daemon's start: what was put down is down, and says so. */
void task_begin(struct daemon *d);
void task_end(struct daemon *d);
/* The verbs start and stop: audited, durable, then in force; answers {"was_up"}. */
void task_set(struct daemon *d, struct control_client *c, bool up);

#endif
