/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report: both ends of a session at the master's listen port. See report.h. Its states are those of proto.h's table,
 * which conn keeps: whatever comes out of turn ends the session there.
 */
#include "replication/report.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"

#define ACK_DEFAULT    60000
#define REPORT_DEFAULT 10000
#define CERT_DEFAULT   600000
#define REPORT_SINCE   2 /* minor version */
#define CERT_SINCE     4

static void fill_hello(struct proto_hello *h, enum proto_role role)
{
	h->role = role;
	h->version = PROTO_VERSION;
	h->time = (uint64_t)time(NULL);
	if (h->product[0] == '\0')
		snprintf(h->product, sizeof(h->product), "%s", PACKAGE_STRING);
}

/* --- the clone's end ---------------------------------------------------------------------------------------------- */

struct report_out {
	struct conn *conn;
	struct report_out_events ev;
	void *arg;
	struct proto_hello hello;
	uint64_t ack_ms, cert_ms;
	uint32_t version;     /* the master's */
	struct proto_msg msg; /* being encoded or decoded */
	char receipt[PROTO_LINEAGE];
	bool done;	  /* nothing was left */
	bool in_callback; /* of the owner, which may free us there */
	bool freed;
};

void report_out_free(struct report_out *s)
{
	if (s == NULL)
		return;
	if (s->in_callback) {
		s->freed = true;
		return;
	}
	conn_free(s->conn);
	free(s);
}

/* The owner said what it had to say; false: it freed us meanwhile. */
static bool out_leave(struct report_out *s)
{
	s->in_callback = false;
	if (!s->freed)
		return true;
	report_out_free(s);
	return false;
}

static void out_ready(struct conn *c, void *arg)
{
	struct report_out *s = arg;
	int rc;

	s->msg.type = PROTO_HELLO;
	s->msg.hello = s->hello;
	fill_hello(&s->msg.hello, PROTO_CLONE);
	rc = conn_send(c, &s->msg);
	if (rc < 0)
		conn_abort(c, rc);
}

/* All is told. */
static int ask_or_finish(struct report_out *s)
{
	bool more = false;
	int rc;

	memset(&s->msg.cert_request, 0, sizeof(s->msg.cert_request));
	s->in_callback = true;
	if (s->ev.ask != NULL && s->version >= CERT_SINCE)
		more = s->ev.ask(&s->msg.cert_request, s->arg);
	if (!out_leave(s))
		return KC_OK;
	if (!more) {
		s->done = true;
		conn_deadline(s->conn, 0, "");
		conn_finish(s->conn);
		return KC_OK;
	}
	s->msg.type = PROTO_CERT_REQUEST;
	rc = conn_send(s->conn, &s->msg);
	if (rc == KC_OK)
		conn_deadline(s->conn, s->cert_ms, "certificate");
	return rc;
}

static int send_next(struct report_out *s)
{
	bool more;
	int rc;

	memset(&s->msg.report, 0, sizeof(s->msg.report));
	s->in_callback = true;
	more = s->ev.next(&s->msg.report, s->arg);
	if (!out_leave(s))
		return KC_OK;
	if (!more)
		return ask_or_finish(s);
	s->msg.type = PROTO_REPORT;
	snprintf(s->receipt, sizeof(s->receipt), "%s", s->msg.report.receipt);
	rc = conn_send(s->conn, &s->msg);
	if (rc == KC_OK)
		conn_deadline(s->conn, s->ack_ms, "acknowledgement of the report");
	return rc;
}

static int out_got_hello(struct report_out *s)
{
	const struct proto_hello *master = &s->msg.hello;
	uint32_t version = master->version;
	int rc = KC_OK;

	s->in_callback = true;
	if (s->ev.on_hello != NULL)
		rc = s->ev.on_hello(master, s->arg);
	if (!out_leave(s) || rc < 0)
		return rc;
	if (version < REPORT_SINCE)
		return err_set(KC_EPROTO, "the master is too old to take reports: it speaks version %u", version);
	s->version = version;
	return send_next(s);
}

static int out_got_ack(struct report_out *s)
{
	if (strcmp(s->msg.ack.receipt, s->receipt) != 0)
		return err_set(KC_EPROTO, "the acknowledgement is not for the report that was sent");
	s->in_callback = true;
	s->ev.on_ack(&s->msg.ack, s->arg);
	return out_leave(s) ? send_next(s) : KC_OK;
}

static int out_got_cert(struct report_out *s)
{
	if (s->msg.cert.refused[0] == '\0' && s->msg.cert.certificate_size == 0)
		return err_set(KC_EPROTO, "the answer holds neither a certificate nor a reason");
	s->in_callback = true;
	s->ev.on_cert(&s->msg.cert, s->arg);
	return out_leave(s) ? send_next(s) : KC_OK;
}

static int out_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct report_out *s = arg;
	int rc = proto_decode(&s->msg, PROTO_MASTER, type, payload, n);

	(void)c;
	if (rc < 0)
		return rc;
	switch (type) {
	case PROTO_HELLO:
		return out_got_hello(s);
	case PROTO_ACK:
		return out_got_ack(s);
	case PROTO_CERT:
		return out_got_cert(s);
	default:
		return err_set(KC_EPROTO, "%s is not for a clone that reports", proto_type_name(type));
	}
}

static void out_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct report_out *s = arg;

	(void)c;
	if (rc == KC_OK && !s->done) {
		rc = KC_ENET;
		text = "the master ended the session before all was told";
	}
	if (s->ev.on_closed != NULL)
		s->ev.on_closed(rc, text, s->arg);
}

struct report_out *report_out_start(
    struct loop *l, const struct report_out_options *o, const struct report_out_events *ev, void *arg)
{
	static const struct conn_events events = {
		.on_ready = out_ready, .on_frame = out_frame, .on_closed = out_closed
	};
	struct report_out *s = mem_xalloc(sizeof(*s));
	struct conn_options co = o->conn;

	assert(ev->next != NULL && ev->on_ack != NULL);
	s->ev = *ev;
	s->arg = arg;
	s->hello = *o->hello;
	s->ack_ms = o->ack_ms != 0 ? o->ack_ms : ACK_DEFAULT;
	s->cert_ms = o->cert_ms != 0 ? o->cert_ms : CERT_DEFAULT;
	co.self = PROTO_CLONE;
	co.rule.role = PROTO_MASTER;
	s->conn = conn_connect(l, o->host, o->port, &co, &events, s);
	return s;
}

/* --- the master's end --------------------------------------------------------------------------------------------- */

struct report_in {
	struct conn *conn;
	struct report_in_events ev;
	void *arg;
	struct proto_hello hello;
	uint64_t report_ms;
	struct proto_msg msg;
	struct proto_msg answer;
};

static int in_got_hello(struct report_in *s)
{
	int rc;

	s->hello = s->msg.hello;
	memset(&s->answer, 0, sizeof(s->answer));
	s->answer.type = PROTO_HELLO;
	rc = s->ev.on_hello(s, &s->hello, &s->answer.hello, s->arg);
	if (rc < 0)
		return rc;
	fill_hello(&s->answer.hello, PROTO_MASTER);
	rc = conn_send(s->conn, &s->answer);
	if (rc == KC_OK)
		conn_deadline(s->conn, s->report_ms, "report");
	return rc;
}

static int in_got_report(struct report_in *s)
{
	int rc;

	memset(&s->answer, 0, sizeof(s->answer));
	s->answer.type = PROTO_ACK;
	snprintf(s->answer.ack.receipt, sizeof(s->answer.ack.receipt), "%s", s->msg.report.receipt);
	rc = s->msg.report.status == PROTO_STORED ? err_set(KC_EPROTO, "a report says 'stored'")
						  : s->ev.on_report(s, &s->msg.report, &s->answer.ack, s->arg);
	if (rc < 0)
		return rc;
	rc = conn_send(s->conn, &s->answer);
	if (rc == KC_OK)
		conn_deadline(s->conn, s->report_ms, "report");
	if (rc == KC_OK && s->answer.ack.refused[0] != '\0')
		conn_finish(s->conn);
	return rc;
}

static int in_got_cert_request(struct report_in *s)
{
	if (s->ev.on_cert_request == NULL)
		return err_set(KC_EPROTO, "no certificates are given here");
	conn_deadline(s->conn, 0, "");
	return s->ev.on_cert_request(s, &s->msg.cert_request, s->arg);
}

void report_in_answer(struct report_in *s, const struct proto_cert *cert)
{
	int rc;

	s->answer.type = PROTO_CERT;
	s->answer.cert = *cert;
	rc = conn_send(s->conn, &s->answer);
	if (rc == KC_OK)
		conn_deadline(s->conn, s->report_ms, "report");
	else
		conn_abort(s->conn, rc);
}

static int in_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct report_in *s = arg;
	int rc = proto_decode(&s->msg, PROTO_CLONE, type, payload, n);

	(void)c;
	if (rc < 0)
		return rc;
	switch (type) {
	case PROTO_HELLO:
		return in_got_hello(s);
	case PROTO_REPORT:
		return in_got_report(s);
	case PROTO_CERT_REQUEST:
		return in_got_cert_request(s);
	default:
		return err_set(KC_EPROTO, "%s is not for the master's listen port", proto_type_name(type));
	}
}

static void in_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct report_in *s = arg;

	(void)c;
	s->ev.on_closed(s, rc, text, s->arg);
}

struct report_in *report_in_new(struct conn *c, uint64_t report_ms, const struct report_in_events *ev, void *arg)
{
	static const struct conn_events events = { .on_frame = in_frame, .on_closed = in_closed };
	struct report_in *s = mem_xalloc(sizeof(*s));

	s->conn = c;
	s->ev = *ev;
	s->arg = arg;
	s->report_ms = report_ms != 0 ? report_ms : REPORT_DEFAULT;
	conn_set_events(c, &events, s);
	return s;
}

void report_in_free(struct report_in *s)
{
	if (s == NULL)
		return;
	conn_free(s->conn);
	free(s);
}

const struct proto_hello *report_in_hello(const struct report_in *s)
{
	return &s->hello;
}

const char *report_in_name(const struct report_in *s)
{
	return conn_name(s->conn);
}

const char *report_in_address(const struct report_in *s)
{
	return conn_address(s->conn);
}

const struct cert_info *report_in_cert(const struct report_in *s)
{
	return conn_cert(s->conn);
}
