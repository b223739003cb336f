/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive_job: the one backup that a clone receives at a time. See receive.h.
 *
 *     FREE       → TRANSFER   an offer was accepted
 *     TRANSFER   → STORING    end;              → FREE  the session broke, or the data was bad (on_failed)
 *     STORING    → RESTORING  stored, or an increment was checked;   → FREE  it could not be (on_failed)
 *     RESTORING  → FREE       receive_result()
 *
 * The job outlives its session from STORING on. It must never write beyond an offer's room, and never block: what may
 * take long is incoming's.
 */
#include "replication/receive_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#define REARM	1000 /* the stall deadline is not moved for each frame */
#define SAY_MIN 200  /* between two progress messages: what is over before needs none */

/* --- its end ------------------------------------------------------------------------------------------- */

static void forget_job(struct receive *r, bool remove)
{
	loop_timer_clear(r->pulse);
	incoming_free(r->in, remove);
	r->in = NULL;
	r->keeping = false;
	r->from = NULL;
	r->phase = RECEIVE_FREE;
}

/* Could another try use what is there? */
static bool worth_keeping(int rc)
{
	switch (rc) {
	case KC_ENOSPC: /* others need the room */
	case KC_ELIMIT:
	case KC_EDAMAGED:
	case KC_ETRUNCATED:
		return false;
	default:
		return true;
	}
}

static void send_failed(struct receive_session *s, int rc, const char *text)
{
	struct receive *r = s->r;
	struct proto_result *m = &r->msg.result;

	memset(m, 0, sizeof(*m));
	m->status = PROTO_FAILED;
	m->generation = r->offer.generation;
	snprintf(m->receipt, sizeof(m->receipt), "%s", r->offer.receipt);
	snprintf(m->error, sizeof(m->error), "%s", err_name(rc));
	snprintf(m->message, sizeof(m->message), "%s", text);
	m->retryable = err_retryable(rc);
	if (receive_send(s, PROTO_RESULT) < 0)
		log_warn("%s: the failure cannot be told: %s", conn_name(s->conn), text);
	if (conn_state(s->conn) == PROTO_S_ENDED)
		conn_finish(s->conn);
}

/* A transfer that did not become a stored file. The master is told if its session is there. */
static void fail_job(struct receive *r, int rc, const char *reason)
{
	char *text = mem_xstrdup(reason);
	bool keep = worth_keeping(rc);
	struct receive_session *s = r->from;
	struct receive_failure f = {
		.offer = &r->offer,
		.rc = rc,
		.text = text,
		.bytes = r->fresh,
		.kept = keep ? incoming_size(r->in) : 0,
		.duration_ms = loop_now(r->loop) - r->begun,
		.master = r->master,
	};

	if (s != NULL) {
		conn_deadline(s->conn, 0, "");
		send_failed(s, rc, text);
	}
	forget_job(r, !keep);
	receive_session_idle(s);
	if (r->ev.on_failed != NULL)
		r->ev.on_failed(&f, r->arg);
	free(text);
}

static void say_progress(struct receive *r)
{
	int rc = KC_OK;

	if (r->from != NULL) {
		r->msg.progress = r->progress;
		rc = receive_send(r->from, PROTO_PROGRESS);
	}
	if (rc < 0)
		log_debug("%s: progress not sent: %s", r->master, err_text(rc));
	r->said_at = loop_now(r->loop);
	loop_timer_set(r->pulse, r->progress_ms);
}

void receive_job_pulse(void *arg)
{
	say_progress(arg);
}

static void set_progress(struct receive *r, const char *phase, unsigned percent)
{
	snprintf(r->progress.phase, sizeof(r->progress.phase), "%s", phase);
	r->progress.percent = percent > 100 ? 100 : percent;
	if (loop_now(r->loop) - r->said_at < SAY_MIN)
		loop_timer_set(r->pulse, r->said_at + SAY_MIN - loop_now(r->loop));
	else
		say_progress(r);
}

static struct receive_stored stored(const struct receive *r)
{
	return (struct receive_stored){
		.offer = &r->offer,
		.path = r->path,
		.end = &r->end,
		.bytes = r->fresh,
		.duration_ms = loop_now(r->loop) - r->begun,
		.master = r->master,
		.keeping = r->keeping,
	};
}

static void begin_restore(struct receive *r)
{
	struct receive_stored st;

	r->phase = RECEIVE_RESTORING;
	if (r->offer.kind != PROTO_SYSTEM)
		set_progress(r, "restore", 0);
	st = stored(r);
	if (r->ev.on_stored != NULL)
		r->ev.on_stored(&st, r->arg);
}

/* An increment: what it changes need not wait for the disk that keeps it. */
static void on_checked(void *arg)
{
	struct receive *r = arg;

	r->keeping = true;
	begin_restore(r);
}

static void on_stored(int rc, void *arg)
{
	struct receive *r = arg;
	struct receive_stored st;

	if (rc < 0 && !r->keeping) {
		fail_job(r, rc, err_text(rc));
		return;
	}
	incoming_free(r->in, false);
	r->in = NULL;
	if (!r->keeping) {
		begin_restore(r);
		return;
	}
	r->keeping = false;
	st = stored(r);
	if (r->ev.on_kept != NULL)
		r->ev.on_kept(&st, rc, r->arg);
}

/* --- its beginning ------------------------------------------------------------------------------------- */

static const char *busy_with(const struct receive *r)
{
	static const char *const texts[] = {
		[RECEIVE_TRANSFER] = "a backup is being received",
		[RECEIVE_STORING] = "a backup is being stored",
		[RECEIVE_RESTORING] = "a backup is being restored",
	};

	if (r->phase != RECEIVE_FREE)
		return texts[r->phase];
	if (r->stopping)
		return "this clone is shutting down";
	return r->blocked ? "what an interrupted restore left is being found out" : NULL;
}

static void decline(struct proto_decline *why, enum proto_reason reason, const char *text)
{
	why->reason = reason;
	snprintf(why->message, sizeof(why->message), "%s", text);
}

/* Take it, or say why not. */
static int judge_offer(struct receive_session *s, const struct proto_offer *offer, struct proto_decline *why)
{
	struct receive *r = s->r;
	const char *busy = busy_with(r);
	int rc;

	if (busy != NULL) {
		decline(why, PROTO_R_BUSY, busy);
		return KC_EBUSY;
	}
	rc = r->ev.on_offer(s, offer, why, r->arg);
	if (rc < 0) {
		if (why->reason == 0)
			decline(why, PROTO_R_FAILED, err_text(rc));
		return rc;
	}
	rc = incoming_open(&r->in, &why->have, &why->need, r->loop, r->dir, offer);
	if (rc == KC_ENOSPC)
		decline(why, PROTO_R_NOSPC, err_text(rc));
	else if (rc < 0)
		decline(why, PROTO_R_FAILED, err_text(rc));
	return rc;
}

static void begin_job(struct receive_session *s)
{
	struct receive *r = s->r;

	r->phase = RECEIVE_TRANSFER;
	r->from = s;
	r->fresh = 0;
	r->begun = r->armed = loop_now(r->loop);
	free(r->path);
	r->path = mem_xstrdup(incoming_path(r->in));
	free(r->master);
	r->master = mem_xstrdup(conn_name(s->conn));
	conn_deadline(s->conn, r->stall_ms, "data");
}

int receive_got_offer(struct receive_session *s)
{
	struct receive *r = s->r;
	struct proto_offer offer = r->msg.offer;
	struct proto_decline why = { 0 };
	int rc;

	if (judge_offer(s, &offer, &why) < 0) {
		r->msg.decline = why;
		rc = receive_send(s, PROTO_DECLINE);
		receive_session_idle(s);
		if (rc == KC_OK && r->ev.on_declined != NULL)
			r->ev.on_declined(s, &offer, &why, r->arg);
		return rc;
	}
	r->offer = offer;
	r->msg.accept.offset = incoming_resumed(r->in);
	rc = receive_send(s, PROTO_ACCEPT);
	if (rc < 0) {
		forget_job(r, false);
		return rc;
	}
	begin_job(s);
	if (r->ev.on_begin != NULL)
		r->ev.on_begin(s, &r->offer, incoming_resumed(r->in), r->arg);
	return KC_OK;
}

void receive_got_data(struct receive_session *s, const uint8_t *data, size_t n)
{
	struct receive *r = s->r;
	uint64_t now = loop_now(r->loop);
	int rc;

	if (r->from != s || r->phase != RECEIVE_TRANSFER)
		return;
	rc = incoming_write(r->in, data, n);
	if (rc < 0) {
		fail_job(r, rc, err_text(rc));
		return;
	}
	r->fresh += n;
	if (now - r->armed >= REARM) {
		r->armed = now;
		conn_deadline(s->conn, r->stall_ms, "data");
	}
}

int receive_got_end(struct receive_session *s)
{
	struct receive *r = s->r;
	const struct proto_end *end = &r->msg.end;

	if (r->from != s || r->phase != RECEIVE_TRANSFER)
		return KC_OK;
	/* What opens a full comes with it; an increment is opened by what came with its full, a system backup never. */
	if ((r->offer.kind == PROTO_FULL) != (end->travel_size > 0))
		return err_set(KC_EPROTO, "end: travel %s",
		    end->travel_size == 0 ? "is missing" : "belongs to a full backup only");
	conn_deadline(s->conn, 0, "");
	r->end = r->msg.end;
	r->phase = RECEIVE_STORING;
	r->said_at = loop_now(r->loop);
	set_progress(r, "store", 0);
	incoming_finish(r->in, &r->end, r->offer.kind == PROTO_INCREMENTAL ? on_checked : NULL, on_stored, r);
	return KC_OK;
}

void receive_job_orphan(struct receive_session *s, int rc, const char *text)
{
	struct receive *r = s->r;

	if (r->from != s)
		return;
	r->from = NULL;
	if (r->phase == RECEIVE_TRANSFER)
		fail_job(
		    r, rc == KC_OK ? KC_ENET : rc, rc == KC_OK ? "the master ended the session in the middle" : text);
}

/* --- the restore, which is the owner's ------------------------------------------------------------------------- */

bool receive_busy(const struct receive *r)
{
	return r->phase != RECEIVE_FREE;
}

void receive_progress(struct receive *r, const char *phase, unsigned percent)
{
	bool same = r->progress.percent == percent && strcmp(r->progress.phase, phase) == 0;

	if (r->phase == RECEIVE_RESTORING && !same)
		set_progress(r, phase, percent);
}

bool receive_result(struct receive *r, const struct proto_result *result)
{
	struct receive_session *s = r->from;
	bool sent = false;

	if (r->phase != RECEIVE_RESTORING)
		return false;
	assert(!r->keeping);
	if (s != NULL) {
		r->msg.result = *result;
		r->msg.result.generation = r->offer.generation;
		snprintf(r->msg.result.receipt, sizeof(r->msg.result.receipt), "%s", r->offer.receipt);
		if (r->msg.result.status == PROTO_POSTPONED && s->hello.version < 2)
			r->msg.result.status = PROTO_STORED; /* the word it knows */
		sent = receive_send(s, PROTO_RESULT) == KC_OK;
	}
	forget_job(r, false);
	if (sent)
		receive_session_idle(s);
	else
		receive_greet_anew(r);
	return sent;
}
