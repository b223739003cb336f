/* SPDX-License-Identifier: Apache-2.0 */
/* directive: one session, one directive, one answer. Its states are those of proto.h's table, which conn keeps. */
#include "replication/directive.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"

#define ANSWER_DEFAULT 120000

struct directive {
	struct conn *conn;
	struct directive_events ev;
	void *arg;
	uint64_t answer_ms;
	bool answered;
	char recipient[PROTO_KEY];
	struct proto_hello hello;
	struct proto_directive what;
	struct proto_msg msg; /* being encoded or decoded */
};

static void on_ready(struct conn *c, void *arg)
{
	struct directive *d = arg;
	int rc;

	d->msg.type = PROTO_HELLO;
	d->msg.hello = d->hello;
	d->msg.hello.role = PROTO_MASTER;
	d->msg.hello.version = PROTO_VERSION;
	d->msg.hello.time = (uint64_t)time(NULL);
	d->msg.hello.directs = true;
	rc = conn_send(c, &d->msg);
	if (rc < 0)
		conn_abort(c, rc);
}

static int got_hello(struct directive *d)
{
	uint32_t version = d->msg.hello.version;
	int rc;

	if (version < DIRECTIVE_SINCE)
		return err_set(KC_EPROTO, "it is too old to rotate certificates: it speaks version %u, %d is needed",
		    version, DIRECTIVE_SINCE);
	if (strcmp(d->msg.hello.recipient, d->recipient) != 0)
		return err_set(KC_EPERM, "it shows another identity than the one that was pinned");
	d->msg.type = PROTO_DIRECTIVE;
	d->msg.directive = d->what;
	rc = conn_send(d->conn, &d->msg);
	if (rc == KC_OK)
		conn_deadline(d->conn, d->answer_ms, "answer to the directive");
	return rc;
}

static void got_answer(struct directive *d)
{
	d->answered = true;
	d->ev.on_answer(&d->msg.directed, conn_cert(d->conn), d->arg);
	conn_deadline(d->conn, 0, "");
	conn_finish(d->conn);
}

static int on_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct directive *d = arg;
	int rc = proto_decode(&d->msg, PROTO_CLONE, type, payload, n);

	(void)c;
	if (rc < 0)
		return rc;
	switch (type) {
	case PROTO_HELLO:
		return got_hello(d);
	case PROTO_DIRECTED:
		got_answer(d);
		return KC_OK;
	default:
		return err_set(KC_EPROTO, "%s is not for a master that directs", proto_type_name(type));
	}
}

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct directive *d = arg;

	if (!d->answered && rc == KC_OK) {
		rc = KC_ENET;
		text = "the clone ended the session before it answered";
	}
	d->ev.on_closed(d->answered ? KC_OK : rc, conn_verdict(c), text, d->arg);
}

struct directive *directive_start(
    struct loop *l, const struct directive_options *o, const struct directive_events *ev, void *arg)
{
	static const struct conn_events events = { .on_ready = on_ready, .on_frame = on_frame, .on_closed = on_closed };
	struct directive *d = mem_xalloc(sizeof(*d));
	struct conn_options co = o->conn;

	assert(o->body_size <= sizeof(d->what.body) && o->signature_size <= sizeof(d->what.signature));
	d->ev = *ev;
	d->arg = arg;
	d->answer_ms = o->answer_ms != 0 ? o->answer_ms : ANSWER_DEFAULT;
	d->hello = *o->hello;
	snprintf(d->recipient, sizeof(d->recipient), "%s", o->recipient);
	memcpy(d->what.body, o->body, o->body_size);
	d->what.body_size = o->body_size;
	memcpy(d->what.signature, o->signature, o->signature_size);
	d->what.signature_size = o->signature_size;
	co.self = PROTO_MASTER;
	co.rule.role = PROTO_CLONE;
	co.rule.host = o->host;
	d->conn = conn_connect(l, o->host, o->port, &co, &events, d);
	return d;
}

void directive_free(struct directive *d)
{
	if (d == NULL)
		return;
	conn_free(d->conn);
	free(d);
}
