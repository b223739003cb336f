/* SPDX-License-Identifier: Apache-2.0 */
/* wire: see wire.h. */
#include "tests/loop/wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#define HEX32 "00112233445566778899aabbccddeeff"

const char wire_master_hello[] = "{\"version\":1,\"product\":\"test\",\"role\":\"master\",\"host\":\"m\",\"time\":1,"
				 "\"lineage\":\"" HEX32 "\",\"signing_key\":\"RW\"}";
const char wire_clone_hello[] = "{\"version\":1,\"product\":\"test\",\"role\":\"clone\",\"host\":\"c\",\"time\":1,"
				"\"recipient\":\"age1q\",\"free\":1}";

unsigned wire_warnings;
char wire_last_warning[600];

static void sink(enum log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level > LOG_LVL_WARN)
		return;
	wire_warnings++;
	snprintf(wire_last_warning, sizeof(wire_last_warning), "%s", text);
}

void wire_watch_log(void)
{
	wire_warnings = 0;
	wire_last_warning[0] = '\0';
	log_set_sink(sink, NULL);
}

/* --- the world --- */

static struct tls_creds *creds_of(const struct wire_world *w, const struct identity *id)
{
	struct tls_creds *c = NULL;

	if (tls_creds_new(&c, id, pki_trust_new(w->own, w->other, NULL), false) < 0)
		abort();
	return c;
}

void wire_world_init(struct wire_world *w)
{
	const struct pki_leaf master = {
		.cn = "m.example", .dns = "m.example", .ip = "127.0.0.1", .role = CERT_ROLE_MASTER
	};
	const struct pki_leaf clone = {
		.cn = "c.example", .dns = "localhost", .ip = "127.0.0.1", .role = CERT_ROLE_CLONE
	};

	if (mem_init() < 0)
		abort();
	memset(w, 0, sizeof(*w));
	w->loop = loop_new();
	loop_fake_clock(w->loop, 1000000);
	w->own = pki_ca_new("own authority", true);
	w->other = pki_ca_new("other authority", false);
	w->rogue = pki_ca_new("rogue authority", true);
	w->master = pki_leaf_new(w->own, &master);
	w->clone = pki_leaf_new(w->own, &clone);
	w->master_creds = creds_of(w, w->master);
	w->clone_creds = creds_of(w, w->clone);
	wire_watch_log();
}

void wire_world_fini(struct wire_world *w)
{
	tls_creds_unref(w->master_creds);
	tls_creds_unref(w->clone_creds);
	identity_free(w->master);
	identity_free(w->clone);
	pki_ca_free(w->own);
	pki_ca_free(w->other);
	pki_ca_free(w->rogue);
	loop_free(w->loop);
	log_set_sink(NULL, NULL);
}

struct conn_options wire_options(const struct wire_world *w, enum proto_role self)
{
	struct conn_options o = { .self = self,
		.connect_ms = 2000,
		.handshake_ms = 1000,
		.idle_ms = 4000,
		.keepalive_ms = 1000,
		.linger_ms = 1000 };

	o.creds = self == PROTO_MASTER ? w->master_creds : w->clone_creds;
	o.rule.role = self == PROTO_MASTER ? PROTO_CLONE : PROTO_MASTER;
	o.rule.host = self == PROTO_MASTER ? "127.0.0.1" : NULL;
	return o;
}

static void on_ready(struct conn *c, void *arg)
{
	struct wire_log *log = arg;

	log->conn = c;
	log->ready++;
	log->verdict = conn_verdict(c);
}

static int on_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct wire_log *log = arg;

	log->frames++;
	log->last = type;
	if (type == PROTO_DATA)
		log->bytes += n;
	else if (proto_decode(&log->msg,
		     type == PROTO_HELLO && memmem(payload, n, "\"master\"", 8) != NULL ? PROTO_MASTER : PROTO_CLONE,
		     type, payload, n) < 0)
		return KC_EPROTO;
	if (log->free_in_frame) {
		conn_free(c);
		log->conn = NULL;
	}
	return log->answer;
}

static void on_writable(struct conn *c, void *arg)
{
	struct wire_log *log = arg;

	(void)c;
	log->writable++;
}

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct wire_log *log = arg;

	log->closed++;
	log->rc = rc;
	log->verdict = conn_verdict(c);
	snprintf(log->text, sizeof(log->text), "%s", text);
	conn_free(c);
	log->conn = NULL;
}

const struct conn_events wire_events = { on_ready, on_frame, on_writable, on_closed };

void wire_pump(struct loop *l, const unsigned *flag)
{
	for (int quiet = 0; quiet < 40 && (flag == NULL || *flag == 0); quiet++)
		loop_turn(l, 1);
}

void wire_advance(struct loop *l, uint64_t ms)
{
	loop_fake_advance(l, ms);
	for (int i = 0; i < 10; i++)
		loop_turn(l, 1);
}

/* --- the bad peer --- */

void raw_init(struct raw *r, int fd, bool client, const struct raw_options *o)
{
	gnutls_datum_t alpn = { (unsigned char *)(uintptr_t)o->alpn, o->alpn != NULL ? (unsigned)strlen(o->alpn) : 0 };

	memset(r, 0, sizeof(*r));
	r->fd = fd;
	r->client = client;
	r->alert = -1;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	gnutls_certificate_allocate_credentials(&r->cred);
	if (o->id != NULL && identity_set_credentials(o->id, r->cred) < 0)
		abort();
	gnutls_init(&r->session, (client ? GNUTLS_CLIENT : GNUTLS_SERVER) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);
	if (gnutls_priority_set_direct(
		r->session, o->priority != NULL ? o->priority : "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL) < 0)
		abort();
	gnutls_credentials_set(r->session, GNUTLS_CRD_CERTIFICATE, r->cred);
	if (o->alpn != NULL)
		gnutls_alpn_set_protocols(r->session, &alpn, 1, 0);
	if (!client)
		gnutls_certificate_server_set_request(r->session, GNUTLS_CERT_REQUEST);
	gnutls_transport_set_int(r->session, fd);
}

void raw_fini(struct raw *r)
{
	gnutls_deinit(r->session);
	gnutls_certificate_free_credentials(r->cred);
	close(r->fd);
}

static void note(struct raw *r, int e)
{
	if (e >= 0 || e == GNUTLS_E_AGAIN || e == GNUTLS_E_INTERRUPTED || r->dead)
		return;
	if (e == GNUTLS_E_FATAL_ALERT_RECEIVED)
		r->alert = (int)gnutls_alert_get(r->session);
	r->error = e;
	r->dead = true;
	/* As a program that gives up. */
	gnutls_alert_send_appropriate(r->session, e);
	shutdown(r->fd, SHUT_RDWR);
}

void raw_step(struct raw *r)
{
	ssize_t n;
	int e;

	if (r->dead)
		return;
	if (!r->shaken) {
		e = gnutls_handshake(r->session);
		r->shaken = e == 0;
		note(r, e);
		return;
	}
	n = gnutls_record_recv(r->session, r->got + r->got_length, sizeof(r->got) - r->got_length);
	if (n > 0)
		r->got_length += (size_t)n;
	else if (n == 0)
		note(r, GNUTLS_E_PREMATURE_TERMINATION);
	else
		note(r, (int)n);
}

void raw_pump(struct raw *r, struct loop *l, const unsigned *flag)
{
	for (int quiet = 0; quiet < 60 && (flag == NULL || *flag == 0); quiet++) {
		raw_step(r);
		loop_turn(l, 1);
	}
	raw_step(r);
}

void raw_send(struct raw *r, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n > 0) {
		ssize_t put = gnutls_record_send(r->session, p, n);

		if (put < 0)
			return;
		p += put;
		n -= (size_t)put;
	}
}

void raw_frame(struct raw *r, uint8_t type, const void *body, size_t length_said, size_t length_sent)
{
	uint8_t head[PROTO_HEAD_BYTES] = { (uint8_t)(length_said >> 24), (uint8_t)(length_said >> 16),
		(uint8_t)(length_said >> 8), (uint8_t)length_said, type };

	raw_send(r, head, sizeof(head));
	raw_send(r, body, length_sent);
}

/* --- plain sockets --- */

int wire_connect(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		abort();
	return fd;
}

int wire_listen(uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		abort();
	*port = ntohs(a.sin_port);
	return fd;
}
