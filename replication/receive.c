/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive: the clone's side. See receive.h.
 *
 * Two kinds of state: each session has that of proto.h's table, which conn keeps; and the receiver as a whole has one
 * job at most:
 *
 *     FREE       → TRANSFER   an offer was accepted
 *     TRANSFER   → STORING    end;              → FREE  the session broke, or the data was bad (on_failed)
 *     STORING    → RESTORING  stored;           → FREE  it could not be (on_failed)
 *     RESTORING  → FREE       receive_result()
 *
 * The job outlives its session from STORING on. It must never write beyond an offer's room, and never block: what may
 * take long is incoming's.
 */
#include "replication/receive.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "keystore/cert.h"
#include "replication/incoming.h"

#define STALL_DEFAULT	 600000
#define PROGRESS_DEFAULT 5000
#define REARM		 1000

enum phase { FREE, TRANSFER, STORING, RESTORING };

struct receive_session {
	struct receive *r;
	struct receive_session *next, *prev;
	struct conn *conn;
	bool greeted;
	bool leaving; /* end when idle */
	struct proto_hello hello;
};

struct receive {
	struct loop *loop;
	struct conn_listener *listener;
	struct receive_events ev;
	void *arg;
	char *dir;
	uint64_t stall_ms;
	uint64_t progress_ms;
	struct receive_session *sessions;
	struct proto_msg msg; /* being encoded or decoded */
	bool blocked;
	bool stopping;
	uint16_t port;
	/* the job */
	enum phase phase;
	struct receive_session *from; /* NULL: its session is gone */
	struct incoming *in;
	struct proto_offer offer;
	struct proto_end end;
	char *path;
	char *master;
	uint64_t begun;
	uint64_t fresh; /* bytes that came over the line */
	uint64_t armed; /* when the stall deadline was set */
	struct proto_progress progress;
	struct loop_timer *pulse; /* says the progress again */
};

/* --- sessions --------------------------------------------------------------------------------------------------- */

static void unlink_session(struct receive_session *s)
{
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		s->r->sessions = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
}

static void free_session(struct receive_session *s)
{
	unlink_session(s);
	conn_free(s->conn);
	free(s);
}

static void leave_if_idle(struct receive_session *s)
{
	if (conn_state(s->conn) == PROTO_S_IDLE)
		conn_finish(s->conn);
}

/* The session has nothing under way any more. */
static void session_idle(struct receive_session *s)
{
	if (s != NULL && (s->leaving || s->r->stopping))
		leave_if_idle(s);
}

static int send_msg(struct receive_session *s, enum proto_type type)
{
	s->r->msg.type = type;
	return conn_send(s->conn, &s->r->msg);
}

/* --- the job: its end ------------------------------------------------------------------------------------------- */

static void forget_job(struct receive *r, bool remove)
{
	loop_timer_clear(r->pulse);
	incoming_free(r->in, remove);
	r->in = NULL;
	r->from = NULL;
	r->phase = FREE;
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
	if (send_msg(s, PROTO_RESULT) < 0)
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
	session_idle(s);
	if (r->ev.on_failed != NULL)
		r->ev.on_failed(&f, r->arg);
	free(text);
}

static void say_progress(struct receive *r)
{
	int rc = KC_OK;

	if (r->from != NULL) {
		r->msg.progress = r->progress;
		rc = send_msg(r->from, PROTO_PROGRESS);
	}
	if (rc < 0)
		log_debug("%s: progress not sent: %s", r->master, err_text(rc));
	loop_timer_set(r->pulse, r->progress_ms);
}

static void on_pulse(void *arg)
{
	say_progress(arg);
}

static void set_progress(struct receive *r, const char *phase, unsigned percent)
{
	snprintf(r->progress.phase, sizeof(r->progress.phase), "%s", phase);
	r->progress.percent = percent > 100 ? 100 : percent;
	say_progress(r);
}

static void on_stored(int rc, void *arg)
{
	struct receive *r = arg;
	struct receive_stored st = {
		.offer = &r->offer,
		.path = r->path,
		.end = &r->end,
		.bytes = r->fresh,
		.duration_ms = loop_now(r->loop) - r->begun,
		.master = r->master,
	};

	if (rc < 0) {
		fail_job(r, rc, err_text(rc));
		return;
	}
	incoming_free(r->in, false);
	r->in = NULL;
	r->phase = RESTORING;
	set_progress(r, "restore", 0);
	if (r->ev.on_stored != NULL)
		r->ev.on_stored(&st, r->arg);
}

/* --- the job: its beginning ------------------------------------------------------------------------------------- */

static const char *busy_with(const struct receive *r)
{
	static const char *const texts[] = {
		[TRANSFER] = "a backup is being received",
		[STORING] = "a backup is being stored",
		[RESTORING] = "a backup is being restored",
	};

	if (r->phase != FREE)
		return texts[r->phase];
	if (r->stopping)
		return "this clone is shutting down";
	return r->blocked ? "an operator's restore is under way" : NULL;
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

	r->phase = TRANSFER;
	r->from = s;
	r->fresh = 0;
	r->begun = r->armed = loop_now(r->loop);
	free(r->path);
	r->path = mem_xstrdup(incoming_path(r->in));
	free(r->master);
	r->master = mem_xstrdup(conn_name(s->conn));
	conn_deadline(s->conn, r->stall_ms, "data");
}

static int got_offer(struct receive_session *s)
{
	struct receive *r = s->r;
	struct proto_offer offer = r->msg.offer;
	struct proto_decline why = { 0 };
	int rc;

	if (judge_offer(s, &offer, &why) < 0) {
		r->msg.decline = why;
		rc = send_msg(s, PROTO_DECLINE);
		session_idle(s);
		if (rc == KC_OK && r->ev.on_declined != NULL)
			r->ev.on_declined(s, &offer, &why, r->arg);
		return rc;
	}
	r->offer = offer;
	r->msg.accept.offset = incoming_resumed(r->in);
	rc = send_msg(s, PROTO_ACCEPT);
	if (rc < 0) {
		forget_job(r, false);
		return rc;
	}
	begin_job(s);
	if (r->ev.on_begin != NULL)
		r->ev.on_begin(s, &r->offer, incoming_resumed(r->in), r->arg);
	return KC_OK;
}

static void got_data(struct receive_session *s, const uint8_t *data, size_t n)
{
	struct receive *r = s->r;
	uint64_t now = loop_now(r->loop);
	int rc;

	if (r->from != s || r->phase != TRANSFER)
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

static void got_end(struct receive_session *s)
{
	struct receive *r = s->r;

	if (r->from != s || r->phase != TRANSFER)
		return;
	conn_deadline(s->conn, 0, "");
	r->end = r->msg.end;
	r->phase = STORING;
	set_progress(r, "store", 0);
	incoming_finish(r->in, &r->end, on_stored, r);
}

/* --- greeting --------------------------------------------------------------------------------------------------- */

/* The session is over, for whatever reason; conn may be in one of its callbacks. */
static void end_session(struct receive_session *s, int rc, const char *text)
{
	struct receive *r = s->r;

	if (r->from == s) {
		r->from = NULL;
		if (r->phase == TRANSFER)
			fail_job(r, rc == KC_OK ? KC_ENET : rc,
			    rc == KC_OK ? "the master ended the session in the middle" : text);
	}
	if (s->greeted && r->ev.on_session_end != NULL)
		r->ev.on_session_end(s, rc, text, r->arg);
	free_session(s);
}

static bool same_master(const struct receive_session *a, const struct receive_session *b)
{
	const struct cert_info *x = conn_cert(a->conn), *y = conn_cert(b->conn);

	return a->greeted && x != NULL && y != NULL && strcmp(x->sha256, y->sha256) == 0 &&
	       strcmp(a->hello.lineage, b->hello.lineage) == 0 &&
	       strcmp(conn_address(a->conn), conn_address(b->conn)) == 0;
}

static void replace_old(struct receive_session *s)
{
	struct receive_session *next;

	for (struct receive_session *o = s->r->sessions; o != NULL; o = next) {
		next = o->next;
		if (o != s && same_master(o, s))
			end_session(o, KC_ENET, "replaced by a new session of the same master");
	}
}

static int fill_hello(struct receive_session *s, struct proto_hello *ours)
{
	struct receive *r = s->r;
	int rc = r->ev.on_hello(s, &s->hello, ours, r->arg);

	if (rc < 0)
		return rc;
	ours->version = PROTO_VERSION;
	ours->role = PROTO_CLONE;
	ours->time = (uint64_t)time(NULL);
	if (ours->product[0] == '\0')
		snprintf(ours->product, sizeof(ours->product), "%s", PACKAGE_STRING);
	return file_free_space(&ours->free, r->dir);
}

static int got_hello(struct receive_session *s)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));
	int rc;

	s->hello = s->r->msg.hello;
	m->type = PROTO_HELLO;
	rc = fill_hello(s, &m->hello);
	if (rc == KC_OK) {
		replace_old(s);
		rc = conn_send(s->conn, m);
	}
	s->greeted = rc == KC_OK;
	free(m);
	return rc;
}

/* --- conn's events ---------------------------------------------------------------------------------------------- */

static int on_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct receive_session *s = arg;
	int rc;

	(void)c;
	if (type == PROTO_DATA) {
		got_data(s, payload, n);
		return KC_OK;
	}
	rc = proto_decode(&s->r->msg, PROTO_MASTER, type, payload, n);
	if (rc < 0)
		return rc;
	switch (type) {
	case PROTO_HELLO:
		return got_hello(s);
	case PROTO_OFFER:
		return got_offer(s);
	case PROTO_END:
		got_end(s);
		return KC_OK;
	default:
		return err_set(KC_EPROTO, "%s is not for a clone", proto_type_name(type));
	}
}

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	(void)c;
	end_session(arg, rc, text);
}

static const struct conn_events session_events = {
	.on_frame = on_frame,
	.on_closed = on_closed,
};

static void on_session(struct conn *c, void *arg)
{
	struct receive *r = arg;
	struct receive_session *s = mem_xalloc(sizeof(*s));

	s->r = r;
	s->conn = c;
	s->next = r->sessions;
	if (s->next != NULL)
		s->next->prev = s;
	r->sessions = s;
	conn_set_events(c, &session_events, s);
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	struct receive *r = arg;

	if (r->ev.on_refused != NULL)
		r->ev.on_refused(address, v, rc, text, r->arg);
}

/* --- the owner's side ------------------------------------------------------------------------------------------- */

int receive_new(
    struct receive **out, struct loop *l, const struct receive_options *o, const struct receive_events *ev, void *arg)
{
	static const struct conn_listen_events listen_events = { .on_session = on_session, .on_refused = on_refused };
	struct receive *r = mem_xalloc(sizeof(*r));
	struct conn_listen_options lo = o->listen;
	int rc;

	assert(ev->on_hello != NULL && ev->on_offer != NULL);
	r->loop = l;
	r->ev = *ev;
	r->arg = arg;
	r->stall_ms = o->stall_ms != 0 ? o->stall_ms : STALL_DEFAULT;
	r->progress_ms = o->progress_ms != 0 ? o->progress_ms : PROGRESS_DEFAULT;
	if (o->progress_ms == 0 && lo.conn.idle_ms != 0 && lo.conn.idle_ms / 3 < PROGRESS_DEFAULT)
		r->progress_ms = lo.conn.idle_ms / 3;
	lo.conn.self = PROTO_CLONE;
	lo.conn.rule.role = PROTO_MASTER;
	rc = conn_listen(&r->listener, l, &lo, &listen_events, r);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->port = conn_listener_port(r->listener);
	r->dir = mem_xstrdup(o->backup_dir);
	r->pulse = loop_timer_new(l, on_pulse, r);
	*out = r;
	return KC_OK;
}

void receive_free(struct receive *r)
{
	if (r == NULL)
		return;
	conn_listener_free(r->listener);
	while (r->sessions != NULL)
		free_session(r->sessions);
	incoming_free(r->in, false);
	loop_timer_free(r->pulse);
	free(r->path);
	free(r->master);
	free(r->dir);
	free(r);
}

static void leave_all(struct receive *r)
{
	for (struct receive_session *s = r->sessions; s != NULL; s = s->next) {
		s->leaving = true;
		leave_if_idle(s);
	}
}

void receive_set_creds(struct receive *r, struct tls_creds *creds)
{
	if (r->listener != NULL)
		conn_listener_set_creds(r->listener, creds);
	leave_all(r);
}

uint16_t receive_port(const struct receive *r)
{
	return r->port;
}

void receive_stop(struct receive *r)
{
	r->stopping = true;
	conn_listener_free(r->listener);
	r->listener = NULL;
	leave_all(r);
}

bool receive_busy(const struct receive *r)
{
	return r->phase != FREE;
}

bool receive_connected(const struct receive *r)
{
	return r->sessions != NULL;
}

void receive_set_blocked(struct receive *r, bool blocked)
{
	r->blocked = blocked;
}

void receive_progress(struct receive *r, const char *phase, unsigned percent)
{
	bool same = r->progress.percent == percent && strcmp(r->progress.phase, phase) == 0;

	if (r->phase == RESTORING && !same)
		set_progress(r, phase, percent);
}

bool receive_result(struct receive *r, const struct proto_result *result)
{
	struct receive_session *s = r->from;
	bool sent = false;

	if (r->phase != RESTORING)
		return false;
	if (s != NULL) {
		r->msg.result = *result;
		r->msg.result.generation = r->offer.generation;
		snprintf(r->msg.result.receipt, sizeof(r->msg.result.receipt), "%s", r->offer.receipt);
		sent = send_msg(s, PROTO_RESULT) == KC_OK;
	}
	forget_job(r, false);
	if (sent)
		session_idle(s);
	else
		receive_greet_anew(r);
	return sent;
}

void receive_greet_anew(struct receive *r)
{
	for (struct receive_session *s = r->sessions; s != NULL; s = s->next)
		leave_if_idle(s);
}

const char *receive_session_name(const struct receive_session *s)
{
	return conn_name(s->conn);
}

const char *receive_session_address(const struct receive_session *s)
{
	return conn_address(s->conn);
}

const char *receive_session_tls(const struct receive_session *s)
{
	return conn_tls(s->conn);
}

const struct cert_info *receive_session_cert(const struct receive_session *s)
{
	return conn_cert(s->conn);
}

const struct proto_hello *receive_session_hello(const struct receive_session *s)
{
	return s->hello.version != 0 ? &s->hello : NULL;
}
