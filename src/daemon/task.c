/* SPDX-License-Identifier: Apache-2.0 */
/* task: start and stop, and what reminds of a stopped task. */
#include "task.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/alert.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "daemon/master.h"

#define IS_DOWN "the replication task is down: nothing is replicated until 'keyclone start'"

struct task_timer {
	struct loop_timer *timer;
	task_remind_fn remind;
	void *arg;
};

static void on_timer(void *arg)
{
	struct task_timer *t = arg;

	loop_timer_set(t->timer, TASK_REMIND_MS);
	t->remind(t->arg);
}

struct task_timer *task_timer_new(struct loop *l, task_remind_fn remind, void *arg)
{
	struct task_timer *t = mem_xalloc(sizeof(*t));

	t->timer = loop_timer_new(l, on_timer, t);
	t->remind = remind;
	t->arg = arg;
	return t;
}

void task_timer_free(struct task_timer *t)
{
	if (t == NULL)
		return;
	loop_timer_free(t->timer);
	free(t);
}

void task_timer_set(struct task_timer *t, bool down)
{
	if (down)
		loop_timer_set(t->timer, TASK_REMIND_MS);
	else
		loop_timer_clear(t->timer);
}

static void on_remind(void *arg)
{
	struct daemon *d = arg;
	struct audit_record r = { .event = AUDIT_TASK_REMIND, .outcome = AUDIT_SUCCESS, .detail = IS_DOWN };

	log_warn("%s", IS_DOWN);
	daemon_audit(d, &r);
	alert_raise(d, ALERT_TASK_STOPPED, "", "nothing is replicated until 'keyclone start'");
}

void task_begin(struct daemon *d)
{
	d->task = task_timer_new(d->loop, on_remind, d);
	if (!d->self.stopped)
		return;
	log_warn("%s", IS_DOWN);
	task_timer_set(d->task, true);
}

void task_end(struct daemon *d)
{
	task_timer_free(d->task);
	d->task = NULL;
}

/* Recorded, then durable, then in force. */
static int change(struct daemon *d, const char *who, bool up)
{
	struct audit_record r = {
		.event = up ? AUDIT_TASK_START : AUDIT_TASK_STOP, .outcome = AUDIT_SUCCESS, .detail = who
	};
	int rc = daemon_audit(d, &r);

	if (rc < 0)
		return rc;
	d->self.stopped = !up;
	rc = daemon_save(d);
	if (rc < 0)
		return rc;
	task_timer_set(d->task, !up);
	/* Who puts it down knows: an alert is for the day after. */
	log_info("the replication task was put %s %s", up ? "up" : "down", who);
	if (up)
		alert_clear(d, ALERT_TASK_STOPPED, "", "the replication task is up again");
	if (d->master != NULL)
		master_set_task(d->master, up);
	else
		clone_set_task(d->clone, up);
	return KC_OK;
}

void task_set(struct daemon *d, struct control_client *c, bool up)
{
	bool was_up = !d->self.stopped;
	int rc = was_up != up ? change(d, control_who(c), up) : KC_OK;
	json_t *result = ipc_result_new(rc);

	json_object_set_new(result, "was_up", json_boolean(was_up));
	control_answer(c, result);
}
