/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive: the clone's side: sessions and their greetings. The one backup that is received is receive_job.c's business.
 * Each session has the state of proto.h's table, which conn keeps. See receive.h.
 */
#include "replication/receive_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/cert.h"

#define STALL_DEFAULT	 600000
#define PROGRESS_DEFAULT 5000

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
void receive_session_idle(struct receive_session *s)
{
	if (s != NULL && (s->leaving || s->r->stopping))
		leave_if_idle(s);
}

int receive_send(struct receive_session *s, enum proto_type type)
{
	s->r->msg.type = type;
	return conn_send(s->conn, &s->r->msg);
}

/* --- greeting --------------------------------------------------------------------------------------------------- */

/* It was allowed to speak, and did not keep to what was agreed. */
static bool misbehaved(const struct receive_session *s, int rc)
{
	return rc == KC_EPROTO || rc == KC_ELIMIT || rc == KC_EFOREIGN || rc == KC_EFENCED || rc == KC_ECERT ||
	       (rc == KC_ETIMEOUT && !s->greeted);
}

/* The session is over, for whatever reason; conn may be in one of its callbacks. */
static void end_session(struct receive_session *s, int rc, const char *text)
{
	struct receive *r = s->r;

	receive_job_orphan(s, rc, text);
	if (r->directing == s)
		r->directing = NULL;
	if (misbehaved(s, rc) && r->ev.on_refused != NULL)
		/* A master elsewhere was let in for its hello alone. */
		r->ev.on_refused(
		    conn_address(s->conn), rc == KC_ECERT ? PEER_WRONG_HOST : PEER_UNDECIDED, rc, text, r->arg);
	if (s->greeted && r->ev.on_session_end != NULL)
		r->ev.on_session_end(s, rc, text, r->arg);
	free_session(s);
}

static bool same_master(const struct receive_session *a, const struct receive_session *b)
{
	const struct cert_info *x = conn_cert(a->conn), *y = conn_cert(b->conn);

	return a->greeted && x != NULL && y != NULL && strcmp(x->sha256, y->sha256) == 0 &&
	       strcmp(a->hello.lineage, b->hello.lineage) == 0 && a->hello.directs == b->hello.directs &&
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

/* --- directives -------------------------------------------------------------------------------------------------- */

static int answer_directive(struct receive_session *s, const struct proto_directed *answer)
{
	int rc;

	s->r->msg.directed = *answer;
	rc = receive_send(s, PROTO_DIRECTED);
	if (rc == KC_OK)
		receive_session_idle(s);
	return rc;
}

static int got_directive(struct receive_session *s)
{
	struct receive *r = s->r;
	struct proto_directed *no;
	int rc;

	if (!r->directed && r->ev.on_directive != NULL) {
		r->directed = true;
		r->directing = s;
		r->ev.on_directive(s, &r->msg.directive, r->arg);
		return KC_OK;
	}
	no = mem_xalloc(sizeof(*no));
	snprintf(no->error, sizeof(no->error), "%s", err_name(KC_EBUSY));
	snprintf(no->message, sizeof(no->message), "%s",
	    r->directed ? "another directive is under way" : "it takes no directives now");
	rc = answer_directive(s, no);
	free(no);
	return rc;
}

void receive_directed(struct receive *r, const struct proto_directed *answer)
{
	struct receive_session *s = r->directing;
	int rc;

	r->directed = false;
	r->directing = NULL;
	if (s == NULL)
		return;
	rc = answer_directive(s, answer);
	if (rc < 0)
		conn_abort(s->conn, rc);
}

/* --- conn's events ---------------------------------------------------------------------------------------------- */

static int on_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct receive_session *s = arg;
	int rc;

	(void)c;
	if (type == PROTO_DATA) {
		receive_got_data(s, payload, n);
		return KC_OK;
	}
	rc = proto_decode(&s->r->msg, PROTO_MASTER, type, payload, n);
	if (rc < 0)
		return rc;
	switch (type) {
	case PROTO_HELLO:
		return got_hello(s);
	case PROTO_OFFER:
		return receive_got_offer(s);
	case PROTO_END:
		return receive_got_end(s);
	case PROTO_DIRECTIVE:
		return got_directive(s);
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

static struct conn_options as_clone(const struct conn_options *o)
{
	struct conn_options mine = *o;

	mine.self = PROTO_CLONE;
	mine.rule.role = PROTO_MASTER;
	return mine;
}

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
	lo.conn = as_clone(&o->listen.conn);
	rc = conn_listen(&r->listener, l, &lo, &listen_events, r);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->port = conn_listener_port(r->listener);
	r->dir = mem_xstrdup(o->backup_dir);
	r->pulse = loop_timer_new(l, receive_job_pulse, r);
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

void receive_set_options(struct receive *r, const struct conn_options *o)
{
	struct conn_options mine = as_clone(o);

	if (r->listener != NULL)
		conn_listener_set_options(r->listener, &mine);
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

bool receive_is_connected(const struct receive *r)
{
	for (const struct receive_session *s = r->sessions; s != NULL; s = s->next)
		if (s->greeted)
			return true;
	return false;
}

void receive_set_blocked(struct receive *r, bool blocked)
{
	r->blocked = blocked;
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

const struct proto_hello *receive_session_hello(const struct receive_session *s)
{
	return &s->hello;
}

enum peer_verdict receive_session_verdict(const struct receive_session *s)
{
	return conn_verdict(s->conn);
}

const struct cert_info *receive_session_cert(const struct receive_session *s)
{
	return conn_cert(s->conn);
}
