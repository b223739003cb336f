/* SPDX-License-Identifier: Apache-2.0 */
/* hook: the daemon's side: what is to be run, in which order, and what came of it. */
#include "hook.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/alert.h"
#include "daemon/daemon.h"
#include "daemon/starter.h"

#define QUEUE_MAX  100
#define ANSWER_MAX 65536
#define GUARD_MS   (HOOK_TIMEOUT_MS + HOOK_GRACE_MS + 10000)

static const struct {
	const char *name;
	const char *property;
	unsigned parallel;
} rows[] = {
#define H(constant, name, property, member, parallel) { name, property, parallel },
	HOOK_TABLE(H)
#undef H
};

struct run {
	struct run *next;
	struct hooks *hooks;
	enum hook hook;
	json_t *values;
	char what[400]; /* "generation 41", "clone.failed 10.0.0.5:2222 raised" */
	uint64_t generation;
	int kind; /* of an alert that is to be marked as told; -1: none */
	char subject[300];
	struct ipc_peer *peer; /* NULL: it waits */
	struct loop_timer *guard;
	pid_t pid;
	uint64_t began;
};

struct hooks {
	struct daemon *d;
	struct run *queue; /* in order; those that run are in it, too */
	struct loop_timer *next;
};

static bool configured(const struct daemon *d, enum hook hook)
{
	return (hook == HOOK_RESTORED ? d->conf->after_command : d->conf->alert_command) != NULL;
}

/* --- the end of a run --- */

static void reap(struct run *r)
{
	if (r->pid <= 0)
		return;
	kill(r->pid, SIGKILL); /* it has said what it had to say, or never will */
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
		;
	r->pid = -1;
}

static void drop(struct run *r)
{
	struct run **at = &r->hooks->queue;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	ipc_peer_free(r->peer);
	loop_timer_free(r->guard);
	json_decref(r->values);
	free(r);
}

/* It need not be told again by the next start. */
static void settled(struct run *r)
{
	struct daemon *d = r->hooks->d;

	if (r->kind >= 0)
		alert_mark_told(d, (enum alert_kind)r->kind, r->subject);
	if (r->hook == HOOK_RESTORED && d->self.after_restore != 0 && d->self.after_restore <= r->generation) {
		d->self.after_restore = 0;
		daemon_save(d);
	}
}

static void log_output(const struct run *r, const json_t *result)
{
	size_t i;
	json_t *line;

	json_array_foreach(json_object_get(result, "output"), i, line)
		log_info("%s: | %.300s", rows[r->hook].property, json_string_value(line));
}

static void ended(struct run *r, int rc, const json_t *result)
{
	struct daemon *d = r->hooks->d;
	const char *first = json_string_value(json_array_get(json_object_get(result, "output"), 0));
	char why[300], detail[1000];
	struct audit_record a = { .event = AUDIT_HOOK_END,
		.outcome = rc < 0 ? AUDIT_FAILURE : AUDIT_SUCCESS,
		.generation = r->generation,
		.duration_ms = loop_now(d->loop) - r->began + 1,
		.code = rc < 0 ? msg_code(MSG_HOOK_FAILED) : NULL,
		.detail = detail };

	STR_COPY(why, rc < 0 ? err_text(rc) : "");
	snprintf(detail, sizeof(detail), "%s, %s%s%s%s%.200s", rows[r->hook].property, r->what, rc < 0 ? ": " : "", why,
	    rc < 0 && first != NULL ? "; it said: " : "", rc < 0 && first != NULL ? first : "");
	if (rc < 0)
		log_warn("%s failed (%s): %s", rows[r->hook].property, r->what, why);
	else
		log_info("%s: done (%s), after %" PRIu64 " ms", rows[r->hook].property, r->what, a.duration_ms);
	log_output(r, result);
	daemon_audit(d, &a);
	settled(r);
	reap(r);
	loop_timer_set(r->hooks->next, 0);
	drop(r);
}

static void on_msg(struct ipc_peer *p, enum ipc_type type, json_t *body, void *arg)
{
	(void)p;
	if (type == IPC_RESULT)
		ended(arg, ipc_result_code(body), body);
}

static void on_close(struct ipc_peer *p, void *arg)
{
	(void)p;
	ended(arg, err_set(KC_EWORKER, "the process that supervises it ended"), NULL);
}

static void on_guard(void *arg)
{
	ended(arg, err_set(KC_ETIMEOUT, "the process that supervises it does not answer"), NULL);
}

/* --- the queue --- */

static void start(struct run *r)
{
	struct daemon *d = r->hooks->d;
	char detail[600];
	struct audit_record a = {
		.event = AUDIT_HOOK_START, .outcome = AUDIT_STARTED, .generation = r->generation, .detail = detail
	};
	json_t *request;
	int fd = -1, rc;

	snprintf(detail, sizeof(detail), "%s, %s", rows[r->hook].property, r->what);
	r->began = loop_now(d->loop);
	rc = daemon_audit(d, &a);
	if (rc == KC_OK)
		rc = starter_spawn(&fd, &r->pid, d->starter, STARTER_HOOK);
	if (rc < 0) {
		ended(r, rc, NULL);
		return;
	}
	r->peer = ipc_peer_new(d->loop, fd, on_msg, on_close, r);
	ipc_peer_limit(r->peer, ANSWER_MAX, ANSWER_MAX);
	r->guard = loop_timer_new(d->loop, on_guard, r);
	loop_timer_set(r->guard, GUARD_MS);
	request = json_pack("{s:s, s:O}", "hook", rows[r->hook].name, "values", r->values);
	ipc_peer_send(r->peer, IPC_REQUEST, request);
	json_decref(request);
}

static unsigned running(const struct hooks *h, enum hook hook)
{
	unsigned n = 0;

	for (const struct run *r = h->queue; r != NULL; r = r->next)
		n += r->hook == hook && r->peer != NULL;
	return n;
}

static void on_next(void *arg)
{
	struct hooks *h = arg;

	if (h->d->ending)
		return;
	for (struct run *r = h->queue; r != NULL; r = r->next)
		if (r->peer == NULL && running(h, r->hook) < rows[r->hook].parallel) {
			loop_timer_set(h->next, 0); /* for the next one */
			start(r);
			return;
		}
}

/* A command that hangs must not make us remember without end: the oldest one that waits is not run. */
static void make_room(struct hooks *h)
{
	struct run *oldest = NULL;
	unsigned n = 0;

	for (struct run *r = h->queue; r != NULL; r = r->next) {
		n++;
		if (oldest == NULL && r->peer == NULL)
			oldest = r;
	}
	if (n < QUEUE_MAX || oldest == NULL)
		return;
	oldest->began = loop_now(h->d->loop);
	ended(oldest, err_set(KC_ELIMIT, "not run: %u commands wait already", n), NULL);
}

static struct run *add(struct daemon *d, enum hook hook, json_t *values)
{
	struct run *r = mem_xalloc(sizeof(*r)), **at;

	make_room(d->hooks);
	r->hooks = d->hooks;
	r->hook = hook;
	r->values = values;
	r->kind = -1;
	r->pid = -1;
	json_object_set_new(values, "HOST", json_string(d->host));
	json_object_set_new(values, "LINEAGE", json_string(d->self.lineage));
	at = &d->hooks->queue;
	while (*at != NULL)
		at = &(*at)->next;
	*at = r;
	loop_timer_set(d->hooks->next, 0);
	return r;
}

static void set_number(json_t *values, const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	json_object_set_new(values, name, json_string(text));
}

/* --- what is told --- */

void hook_restored(struct daemon *d, const char *master, uint64_t duration_ms)
{
	const struct state_self *self = &d->self;
	json_t *values;
	struct run *r;

	if (d->hooks == NULL || !configured(d, HOOK_RESTORED))
		return;
	values = json_pack("{s:s, s:s, s:s}", "DIGEST", self->digest, "BACKUP", self->backup, "MASTER",
	    master != NULL && master[0] != '\0' ? master : self->master_host);
	set_number(values, "GENERATION", self->generation);
	set_number(values, "ROWS", self->rows);
	if (duration_ms > 0)
		set_number(values, "DURATION_MS", duration_ms);
	r = add(d, HOOK_RESTORED, values);
	r->generation = self->generation;
	snprintf(r->what, sizeof(r->what), "generation %" PRIu64, self->generation);
}

void hook_alert(struct daemon *d, int kind, const struct state_alert *a, bool raised)
{
	char title[400], since[CLOCK_UTC_SIZE];
	json_t *values;
	struct run *r;

	if (d->hooks == NULL || !configured(d, HOOK_ALERT)) {
		if (raised)
			alert_mark_told(d, (enum alert_kind)kind, a->subject);
		return;
	}
	alert_title(title, sizeof(title), (enum alert_kind)kind, a->subject);
	values = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "ALERT", a->kind, "SUBJECT", a->subject, "TITLE", title,
	    "TEXT", a->text, "STATE", raised ? "raised" : "cleared", "SINCE", clock_utc(since, a->since));
	set_number(values, "GENERATION", d->self.complete);
	r = add(d, HOOK_ALERT, values);
	r->kind = raised ? kind : -1;
	STR_COPY(r->subject, a->subject);
	snprintf(r->what, sizeof(r->what), "%s%s%.280s %s", a->kind, a->subject[0] != '\0' ? " " : "", a->subject,
	    raised ? "raised" : "cleared");
}

static void tell_again(enum alert_kind kind, const struct state_alert *a, void *arg)
{
	if (!a->told)
		hook_alert(arg, (int)kind, a, true);
}

int hooks_new(struct hooks **out, struct daemon *d)
{
	struct hooks *h = mem_xalloc(sizeof(*h));

	h->d = d;
	h->next = loop_timer_new(d->loop, on_next, h);
	*out = h;
	return KC_OK;
}

void hooks_start(struct hooks *h)
{
	struct daemon *d = h->d;

	alert_each(d, tell_again, d);
	if (d->clone == NULL || d->self.after_restore == 0)
		return;
	if (configured(d, HOOK_RESTORED)) {
		hook_restored(d, NULL, 0);
	} else {
		d->self.after_restore = 0;
		daemon_save(d);
	}
}

/* The helper sees its socket close, ends the command and then itself; the next start runs it again. */
static void cut_short(struct run *r)
{
	char detail[600];
	struct audit_record a = { .event = AUDIT_HOOK_END,
		.outcome = AUDIT_FAILURE,
		.generation = r->generation,
		.duration_ms = loop_now(r->hooks->d->loop) - r->began + 1,
		.code = err_msg_code(KC_ECANCELED),
		.detail = detail };

	snprintf(detail, sizeof(detail), "%s, %s: the daemon ended", rows[r->hook].property, r->what);
	if (r->peer != NULL)
		daemon_audit(r->hooks->d, &a);
	drop(r);
}

void hooks_free(struct hooks *h)
{
	if (h == NULL)
		return;
	while (h->queue != NULL)
		cut_short(h->queue);
	loop_timer_free(h->next);
	free(h);
}
