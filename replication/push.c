/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push: the master's session with one clone. See push.h for its states.
 *
 *     event       allowed in                 does
 *     ready       CONNECTING                 send hello
 *     hello       CONNECTING                 IDLE
 *     accept      OFFERED                    SENDING
 *     decline     OFFERED                    IDLE
 *     writable    SENDING                    next frame; after the last: end, RESTORING
 *     progress    RESTORING                  moves the deadline
 *     result      SENDING                    ENDING (the clone cannot go on)
 *                 RESTORING                  IDLE
 *     closed      any                        OVER
 *
 * The table of proto.h has already refused what is not allowed. It must never hold more of a file than the one frame
 * that conn lends, and never read beyond what is valid.
 */
#include "replication/push.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "replication/outgoing.h"

#define CONNECT_DEFAULT	 10000
#define TIMEOUT_DEFAULT	 60000
#define MAX_AGE_DEFAULT	 3600000
#define PROGRESS_DEFAULT 500

struct push {
	struct loop *loop;
	struct conn *conn;
	struct push_events ev;
	void *arg;
	enum push_state state;
	uint64_t timeout_ms;
	uint64_t max_age_ms;
	uint64_t progress_ms;
	struct loop_timer *age; /* ends an idle session */
	bool greeted;
	bool stopping; /* end when idle */
	int32_t clock_offset;
	struct proto_hello hello; /* ours */
	struct proto_hello peer;
	struct proto_msg msg; /* being encoded or decoded */
	struct outgoing out;  /* the offer under way, or the last one */
	uint64_t told_at;
};

static const char *const state_names[] = {
	[PUSH_CONNECTING] = "connecting",
	[PUSH_IDLE] = "idle",
	[PUSH_OFFERED] = "offered",
	[PUSH_SENDING] = "sending",
	[PUSH_RESTORING] = "restoring",
	[PUSH_ENDING] = "ending",
	[PUSH_OVER] = "over",
};

/* --- states ----------------------------------------------------------------------------------------------------- */

/* The only function that changes state; each has its deadline. */
static void set_state(struct push *p, enum push_state s)
{
	p->state = s;
	switch (s) {
	case PUSH_OFFERED:
		conn_deadline(p->conn, p->timeout_ms, "answer to the offer");
		break;
	case PUSH_SENDING:
		/* Armed by send_some() while there is something to send. */
		conn_deadline(p->conn, 0, "");
		break;
	case PUSH_RESTORING:
		conn_deadline(p->conn, p->timeout_ms, "progress of the restore");
		break;
	case PUSH_CONNECTING: /* conn's own, until the hello */
	case PUSH_IDLE:	      /* conn's keep-alives */
	case PUSH_ENDING:     /* conn's linger */
		conn_deadline(p->conn, 0, "");
		break;
	case PUSH_OVER:
		break;
	}
}

static void finish(struct push *p)
{
	set_state(p, PUSH_ENDING);
	conn_finish(p->conn);
}

/* Nothing is under way any more. */
static void become_idle(struct push *p)
{
	outgoing_close(&p->out);
	if (p->stopping)
		finish(p);
	else
		set_state(p, PUSH_IDLE);
}

static void on_age(void *arg)
{
	struct push *p = arg;

	if (p->state == PUSH_IDLE)
		finish(p);
	else
		p->stopping = true;
}

/* --- data ------------------------------------------------------------------------------------------------------- */

static void tell_sent(struct push *p, bool last)
{
	uint64_t now = loop_now(p->loop);

	if (p->ev.on_sent == NULL || (!last && now < p->told_at + p->progress_ms))
		return;
	p->told_at = now;
	p->ev.on_sent(p, p->out.sent, p->arg);
}

static int send_end(struct push *p)
{
	int rc;

	p->msg.type = PROTO_END;
	p->msg.end = p->out.end;
	rc = conn_send(p->conn, &p->msg);
	if (rc < 0)
		return rc;
	set_state(p, PUSH_RESTORING);
	tell_sent(p, true);
	return KC_OK;
}

/* One frame at most: the loop comes back when it has left. */
static int send_some(struct push *p)
{
	size_t n = outgoing_next(&p->out);
	uint8_t *frame;
	int rc;

	if (outgoing_done(&p->out))
		return send_end(p);
	if (n == 0) {
		/* The file must grow first: that is the worker's business, and its deadline. */
		conn_deadline(p->conn, 0, "");
		return KC_OK;
	}
	frame = conn_data_buffer(p->conn);
	if (frame == NULL)
		return KC_OK;
	rc = outgoing_read(&p->out, frame, n);
	if (rc == KC_OK)
		rc = conn_send_data(p->conn, n);
	if (rc < 0)
		return rc;
	conn_deadline(p->conn, p->timeout_ms, "room for data");
	tell_sent(p, false);
	return KC_OK;
}

static void on_writable(struct conn *c, void *arg)
{
	struct push *p = arg;
	int rc;

	if (p->state != PUSH_SENDING)
		return;
	rc = send_some(p);
	if (rc < 0)
		conn_abort(c, rc);
}

/* --- messages --------------------------------------------------------------------------------------------------- */

static void on_ready(struct conn *c, void *arg)
{
	struct push *p = arg;
	int rc;

	p->msg.type = PROTO_HELLO;
	p->msg.hello = p->hello;
	p->msg.hello.role = PROTO_MASTER;
	p->msg.hello.version = PROTO_VERSION;
	if (p->msg.hello.product[0] == '\0')
		snprintf(p->msg.hello.product, sizeof(p->msg.hello.product), "%s", PACKAGE_STRING);
	p->msg.hello.time = (uint64_t)time(NULL);
	rc = conn_send(c, &p->msg);
	if (rc < 0)
		conn_abort(c, rc);
}

static void got_hello(struct push *p)
{
	p->peer = p->msg.hello;
	p->greeted = true;
	p->clock_offset = (int32_t)((int64_t)p->peer.time - (int64_t)time(NULL));
	loop_timer_set(p->age, p->max_age_ms);
	become_idle(p);
	if (p->state == PUSH_IDLE && p->ev.on_ready != NULL)
		p->ev.on_ready(p, &p->peer, p->arg);
}

static int got_accept(struct push *p)
{
	int rc = outgoing_resume(&p->out, p->msg.accept.offset);

	if (rc < 0)
		return rc;
	set_state(p, PUSH_SENDING);
	conn_want_writable(p->conn);
	if (p->ev.on_accepted != NULL)
		p->ev.on_accepted(p, p->out.resumed, p->arg);
	return KC_OK;
}

static void got_decline(struct push *p)
{
	struct proto_decline *d = &p->msg.decline;

	become_idle(p);
	if (p->ev.on_declined != NULL)
		p->ev.on_declined(p, d, p->arg);
}

static void got_progress(struct push *p)
{
	set_state(p, PUSH_RESTORING);
	if (p->ev.on_restoring != NULL)
		p->ev.on_restoring(p, &p->msg.progress, p->arg);
}

static int got_result(struct push *p)
{
	const struct proto_result *r = &p->msg.result;

	if (strcmp(r->receipt, p->out.offer.receipt) != 0 || r->generation != p->out.offer.generation)
		return err_set(KC_EPROTO,
		    "the result of generation %" PRIu64 " is not for the offer of generation %" PRIu64, r->generation,
		    p->out.offer.generation);
	if (p->state == PUSH_SENDING && r->status != PROTO_FAILED)
		return err_set(KC_EPROTO, "result '%s' before the end of the data", proto_status_name(r->status));
	if (p->state == PUSH_SENDING)
		p->stopping = true;
	become_idle(p);
	if (p->ev.on_result != NULL)
		p->ev.on_result(p, r, p->arg);
	return KC_OK;
}

static int on_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct push *p = arg;
	int rc = proto_decode(&p->msg, PROTO_CLONE, type, payload, n);

	(void)c;
	if (rc < 0)
		return rc;
	switch (type) {
	case PROTO_HELLO:
		got_hello(p);
		return KC_OK;
	case PROTO_ACCEPT:
		return got_accept(p);
	case PROTO_DECLINE:
		got_decline(p);
		return KC_OK;
	case PROTO_PROGRESS:
		got_progress(p);
		return KC_OK;
	case PROTO_RESULT:
		return got_result(p);
	default:
		return err_set(KC_EPROTO, "%s is not for a master", proto_type_name(type));
	}
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static enum push_ending how_it_ended(const struct push *p, int rc)
{
	enum peer_verdict v = conn_verdict(p->conn);

	bool between = !p->out.active || p->state == PUSH_OFFERED;

	if (rc == KC_OK && between && p->state != PUSH_CONNECTING)
		return PUSH_GOOD;
	if (!p->greeted && v == PEER_SILENT)
		return PUSH_UNREACHABLE;
	if (!p->greeted && v != PEER_UNDECIDED && !peer_may_speak(v))
		return PUSH_UNAUTHORISED;
	if (!p->greeted && v == PEER_UNDECIDED)
		return PUSH_UNREACHABLE;
	return PUSH_FAILED;
}

static void over(struct push *p, enum push_ending how, int rc, const char *text)
{
	outgoing_close(&p->out);
	loop_timer_clear(p->age);
	set_state(p, PUSH_OVER);
	if (p->ev.on_closed != NULL)
		p->ev.on_closed(p, how, rc, text, p->arg);
}

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct push *p = arg;
	enum push_ending how = how_it_ended(p, rc);

	(void)c;
	if (how != PUSH_GOOD && rc == KC_OK)
		over(p, how, KC_ENET, "the clone ended the session in the middle");
	else
		over(p, how, rc, text);
}

static const struct conn_events conn_events = {
	.on_ready = on_ready,
	.on_frame = on_frame,
	.on_writable = on_writable,
	.on_closed = on_closed,
};

/* --- the owner's side ------------------------------------------------------------------------------------------- */

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
	return value != 0 ? value : fallback;
}

static void conn_options(struct conn_options *co, const struct push_options *o)
{
	*co = (struct conn_options){
		.creds = o->creds,
		.rule = { .role = PROTO_CLONE, .host = o->host, .cns = o->cns },
		.self = PROTO_MASTER,
		.connect_ms = or_default(o->connect_ms, CONNECT_DEFAULT),
		.handshake_ms = or_default(o->handshake_ms, CONNECT_DEFAULT),
		.idle_ms = or_default(o->timeout_ms, TIMEOUT_DEFAULT),
	};
}

static struct push *new_push(struct loop *l, const struct push_options *o, const struct push_events *ev, void *arg)
{
	struct push *p = mem_xalloc(sizeof(*p));

	p->loop = l;
	p->ev = *ev;
	p->arg = arg;
	outgoing_init(&p->out);
	p->timeout_ms = or_default(o->timeout_ms, TIMEOUT_DEFAULT);
	p->max_age_ms = or_default(o->max_age_ms, MAX_AGE_DEFAULT);
	p->progress_ms = or_default(o->progress_ms, PROGRESS_DEFAULT);
	p->age = loop_timer_new(l, on_age, p);
	p->hello = *o->hello;
	return p;
}

struct push *push_start(struct loop *l, const struct push_options *o, const struct push_events *ev, void *arg)
{
	struct push *p = new_push(l, o, ev, arg);
	struct conn_options co;

	conn_options(&co, o);
	p->conn = conn_connect(l, o->host, o->port, &co, &conn_events, p);
	return p;
}

void push_free(struct push *p)
{
	if (p == NULL)
		return;
	outgoing_close(&p->out);
	conn_free(p->conn);
	loop_timer_free(p->age);
	free(p);
}

int push_offer(struct push *p, const struct push_file *file)
{
	int fd, rc;

	if (p->state != PUSH_IDLE)
		return err_set(KC_EBUSY, "%s: the session is %s", conn_name(p->conn), state_names[p->state]);
	rc = outgoing_open(&fd, file->path);
	if (rc < 0)
		return rc;
	p->msg.type = PROTO_OFFER;
	p->msg.offer = file->offer;
	rc = conn_send(p->conn, &p->msg);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	outgoing_begin(&p->out, fd, &file->offer, file->valid);
	p->told_at = 0;
	set_state(p, PUSH_OFFERED);
	return KC_OK;
}

void push_grow(struct push *p, uint64_t valid)
{
	if (outgoing_grow(&p->out, valid) && p->state == PUSH_SENDING)
		conn_want_writable(p->conn);
}

int push_end(struct push *p, const struct proto_end *end)
{
	int rc;

	if (!push_needs_end(p))
		return KC_OK;
	rc = outgoing_complete(&p->out, end);
	if (rc < 0) {
		push_cancel(p, rc);
		return rc;
	}
	if (p->state == PUSH_SENDING)
		conn_want_writable(p->conn);
	return KC_OK;
}

bool push_needs_end(const struct push *p)
{
	return p->out.active && !p->out.complete;
}

void push_cancel(struct push *p, int rc)
{
	if (p->state == PUSH_OVER || p->state == PUSH_ENDING)
		return;
	if (!p->out.active) {
		push_stop(p);
		return;
	}
	/* Still active: on_closed reports it as failed. */
	set_state(p, PUSH_ENDING);
	conn_abort(p->conn, rc);
}

void push_stop(struct push *p)
{
	p->stopping = true;
	if (p->state == PUSH_IDLE || p->state == PUSH_CONNECTING)
		finish(p);
}

/* --- asking ----------------------------------------------------------------------------------------------------- */

enum push_state push_state(const struct push *p)
{
	return p->state;
}

const struct proto_hello *push_peer_hello(const struct push *p)
{
	return p->greeted ? &p->peer : NULL;
}

int32_t push_clock_offset(const struct push *p)
{
	return p->clock_offset;
}

const struct proto_offer *push_current(const struct push *p)
{
	return p->out.active ? &p->out.offer : NULL;
}

uint64_t push_sent(const struct push *p)
{
	return p->out.sent;
}

enum peer_verdict push_verdict(const struct push *p)
{
	return conn_verdict(p->conn);
}

const struct cert_info *push_cert(const struct push *p)
{
	return conn_cert(p->conn);
}
