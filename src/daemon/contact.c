/* SPDX-License-Identifier: Apache-2.0 */
/* contact: hello, hello, bye. */
#include "contact.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/lineage.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "keystore/cert.h"

#define CONNECT_MS   5000
#define HANDSHAKE_MS 5000
#define ANSWER_MS    5000

struct peer {
	struct peer *next;
	struct contacts *all;
	struct conn *conn;
	char *host;
	int port;
	json_t *result;
	bool ready;
	bool greeted;
};

struct contacts {
	struct contacts_options o;
	enum proto_role self;
	contacts_done_fn done;
	void *arg;
	struct peer *peers;
	json_t *results;
	struct loop_timer *soon; /* the end is told from the loop, never from inside a call */
	unsigned waiting;
	struct proto_msg msg;
};

static const char *trimmed(const char *s)
{
	return s[0] != '\0' ? s : NULL;
}

static json_t *hello_json(const struct proto_hello *h, long long offset)
{
	json_t *j = json_pack("{s:s, s:s, s:s?, s:I, s:I, s:b}", "product", h->product, "host", h->host, "lineage",
	    trimmed(h->lineage), "time", (json_int_t)h->time, "clock_offset", (json_int_t)offset, "stopped",
	    (int)h->stopped);

	if (h->role == PROTO_MASTER) {
		json_object_set_new(j, "interval", json_integer((json_int_t)h->interval));
		json_object_set_new(j, "ancestors", lineage_json(&h->ancestors));
		return j;
	}
	json_object_set_new(
	    j, "applied_lineage", h->applied_lineage[0] != '\0' ? json_string(h->applied_lineage) : json_null());
	json_object_set_new(j, "applied", json_integer((json_int_t)h->applied_generation));
	json_object_set_new(j, "stored", json_integer((json_int_t)h->stored_generation));
	json_object_set_new(j, "free", json_integer((json_int_t)h->free));
	json_object_set_new(j, "diverged", json_boolean(h->diverged));
	return j;
}

static void set_cert(json_t *result, const struct cert_info *cert)
{
	if (cert != NULL)
		json_object_set_new(result, "not_after", member_time((int64_t)cert->not_after));
}

static json_t *new_result(const char *host, int port, const char *session)
{
	return json_pack("{s:s, s:i, s:s, s:s, s:n, s:n, s:b, s:n, s:n, s:n}", "host", host, "port", port, "session",
	    session, "rc", "KC_OK", "error", "code", "authorised", 0, "tls", "not_after", "hello");
}

/* --- our hello --- */

static void fill_master(struct proto_hello *h, const struct contacts *c, const struct peer *p)
{
	const struct conf *conf = c->o.conf;

	STR_COPY(h->signing_key, c->o.signer);
	if (lineage_parse(&h->ancestors, c->o.self->ancestors) < 0)
		memset(&h->ancestors, 0, sizeof(h->ancestors));
	h->listen_port = (uint32_t)conf->master_listen_port;
	h->fleet = (uint32_t)conf->clone_count;
	h->interval = conf->check_frequency_ms / 1000;
	for (size_t i = 0; i < conf->clone_count && h->clone_count < PROTO_CLONES; i++) {
		char *name = host_port_format(conf->clones[i].host, conf->clones[i].port);

		if (strcmp(conf->clones[i].host, p->host) != 0 || conf->clones[i].port != p->port)
			STR_COPY(h->clones[h->clone_count++], name);
		free(name);
	}
}

static void fill_clone(struct proto_hello *h, const struct contacts *c)
{
	const struct state_self *self = c->o.self;

	STR_COPY(h->recipient, c->o.recipient);
	STR_COPY(h->applied_lineage, self->lineage);
	h->applied_generation = self->generation;
	STR_COPY(h->applied_digest, self->digest);
	h->diverged = self->diverged && !self->discard;
	if (file_free_space(&h->free, c->o.conf->backup_dir) < 0)
		h->free = 0;
}

static void greet(struct peer *p)
{
	struct contacts *c = p->all;
	struct proto_hello *h = &c->msg.hello;
	bool master = c->self == PROTO_MASTER;

	if ((master ? c->o.signer : c->o.recipient) == NULL || (master && c->o.self->lineage[0] == '\0')) {
		conn_finish(p->conn); /* without what a hello needs, being let in has to do */
		return;
	}
	memset(&c->msg, 0, sizeof(c->msg));
	c->msg.type = PROTO_HELLO;
	h->version = PROTO_VERSION;
	h->role = c->self;
	STR_COPY(h->product, PACKAGE_STRING);
	STR_COPY(h->host, c->o.host);
	STR_COPY(h->lineage, c->o.self->lineage);
	h->time = (uint64_t)time(NULL);
	h->stopped = c->o.self->stopped;
	if (master)
		fill_master(h, c, p);
	else
		fill_clone(h, c);
	if (conn_send(p->conn, &c->msg) < 0)
		conn_finish(p->conn);
	else
		conn_deadline(p->conn, ANSWER_MS, "answer to our hello");
}

/* --- events --- */

static void on_end(void *arg)
{
	struct contacts *c = arg;

	c->done(c->results, c->arg);
}

static void on_ready(struct conn *conn, void *arg)
{
	struct peer *p = arg;

	p->ready = true;
	json_object_set_new(p->result, "authorised", json_true());
	json_object_set_new(p->result, "tls", json_string(conn_tls(conn)));
	set_cert(p->result, conn_cert(conn));
	greet(p);
}

static int on_frame(struct conn *conn, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct peer *p = arg;
	struct contacts *c = p->all;
	int rc = proto_decode(&c->msg, c->self == PROTO_MASTER ? PROTO_CLONE : PROTO_MASTER, type, payload, n);

	if (rc < 0)
		return rc;
	if (type == PROTO_ERROR)
		return err_set(err_from_name(c->msg.error.error), "refused by the peer: %.400s", c->msg.error.message);
	if (type != PROTO_HELLO)
		return KC_OK;
	p->greeted = true;
	json_object_set_new(
	    p->result, "hello", hello_json(&c->msg.hello, (long long)c->msg.hello.time - (long long)time(NULL)));
	conn_finish(conn);
	return KC_OK;
}

static void on_closed(struct conn *conn, int rc, const char *text, void *arg)
{
	struct peer *p = arg;
	enum peer_verdict v = conn_verdict(conn);
	bool judged = v != PEER_UNDECIDED && !peer_may_speak(v);

	if (rc < 0 && !p->greeted) {
		json_object_set_new(p->result, "rc", json_string(err_name(rc)));
		json_object_set_new(p->result, "error", json_string(text));
		json_object_set_new(p->result, "code",
		    json_string(judged					    ? peer_msg_code(v)
				: !p->ready && p->all->self == PROTO_MASTER ? msg_code(MSG_CLONE_UNREACHABLE)
									    : err_msg_code(rc)));
	}
	conn_free(conn);
	p->conn = NULL;
	if (--p->all->waiting == 0)
		loop_timer_set(p->all->soon, 0);
}

/* --- the set --- */

struct contacts *contacts_new(const struct contacts_options *o, contacts_done_fn done, void *arg)
{
	struct contacts *c = mem_xalloc(sizeof(*c));

	c->o = *o;
	c->self = o->conf->role == CONF_MASTER ? PROTO_MASTER : PROTO_CLONE;
	c->done = done;
	c->arg = arg;
	c->results = json_array();
	c->soon = loop_timer_new(o->loop, on_end, c);
	return c;
}

void contacts_free(struct contacts *c)
{
	if (c == NULL)
		return;
	while (c->peers != NULL) {
		struct peer *p = c->peers;

		c->peers = p->next;
		conn_free(p->conn);
		free(p->host);
		free(p);
	}
	loop_timer_free(c->soon);
	json_decref(c->results);
	free(c);
}

void contacts_add(struct contacts *c, const char *host, int port)
{
	struct peer *p = mem_xalloc(sizeof(*p));

	p->all = c;
	p->host = mem_xstrdup(host);
	p->port = port;
	p->result = new_result(host, port, "new");
	json_array_append_new(c->results, p->result);
	p->next = c->peers;
	c->peers = p;
}

void contacts_add_master(struct contacts *c)
{
	const struct conf *conf = c->o.conf;
	const struct state_self *self = c->o.self;
	struct state_siblings *f = mem_xalloc(sizeof(*f));

	if (conf->master_host != NULL && self->successor[0] != '\0' &&
	    strcmp(self->successor_of, conf->master_host) == 0)
		contacts_add(c, self->successor,
		    self->successor_port > 0 ? (int)self->successor_port : conf->master_listen_port);
	else if (conf->master_host != NULL)
		contacts_add(c, conf->master_host, conf->master_listen_port);
	else if (c->o.state != NULL && state_get_siblings(f, c->o.state) == KC_OK && f->address[0] != '\0')
		contacts_add(c, f->address, f->port > 0 ? (int)f->port : conf->master_listen_port);
	free(f);
}

void contacts_add_open(struct contacts *c, const char *host, int port, const struct proto_hello *h, int clock_offset,
    const struct cert_info *cert)
{
	json_t *result = new_result(host, port, "open");

	json_object_set_new(result, "authorised", json_true());
	set_cert(result, cert);
	json_object_set_new(result, "hello", hello_json(h, clock_offset));
	json_array_append_new(c->results, result);
}

void contacts_start(struct contacts *c)
{
	static const struct conn_events events = { .on_ready = on_ready, .on_frame = on_frame, .on_closed = on_closed };
	const struct conf *conf = c->o.conf;
	bool master = c->self == PROTO_MASTER;

	for (struct peer *p = c->peers; p != NULL; p = p->next) {
		struct conn_options o = { .creds = c->o.creds,
			.self = c->self,
			.connect_ms = CONNECT_MS,
			.handshake_ms = HANDSHAKE_MS,
			.idle_ms = conf->timeout_ms,
			.rule = { .role = master ? PROTO_CLONE : PROTO_MASTER,
			    .host = master || conf->master_host != NULL ? p->host : NULL,
			    .cns = (const char *const *)conf->authorized_cns.items } };

		p->conn = conn_connect(c->o.loop, p->host, (uint16_t)p->port, &o, &events, p);
		c->waiting++;
	}
	if (c->waiting == 0)
		loop_timer_set(c->soon, 0);
}
