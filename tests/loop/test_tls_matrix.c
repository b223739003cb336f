/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The matrix of bad peers, each as client of our listener and as server of our connection. Every case: the named
 * reason, no session, one log line and one on_refused where a stranger came to us, what the peer is told, and a good
 * session beside it that notices nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/loop/wire.h"

static struct wire_world world;
static struct conn_listener *listener;
static struct wire_log good_clone, good_master; /* the session beside */

static unsigned refusals, sessions;
static enum peer_verdict refused_verdict;
static int refused_rc;
static char refused_text[600];
static struct wire_log accepted;

static void on_session(struct conn *c, void *arg)
{
	(void)arg;
	sessions++;
	memset(&accepted, 0, sizeof(accepted));
	accepted.conn = c;
	conn_set_events(c, &wire_events, &accepted);
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	(void)arg;
	assert_string_equal(address, "127.0.0.1");
	refusals++;
	refused_verdict = v;
	refused_rc = rc;
	snprintf(refused_text, sizeof(refused_text), "%s", text);
}

static void greet(struct conn *c, enum proto_role role)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));

	assert_int_equal(proto_decode(m, role, PROTO_HELLO, role == PROTO_MASTER ? wire_master_hello : wire_clone_hello,
			     strlen(role == PROTO_MASTER ? wire_master_hello : wire_clone_hello)),
	    KC_OK);
	assert_int_equal(conn_send(c, m), KC_OK);
	free(m);
}

static void open_good_session(void)
{
	struct conn_options mo = wire_options(&world, PROTO_MASTER), co = wire_options(&world, PROTO_CLONE);
	int fds[2];

	memset(&good_clone, 0, sizeof(good_clone));
	memset(&good_master, 0, sizeof(good_master));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	good_clone.conn = conn_from_fd(world.loop, fds[0], true, "good", &co, &wire_events, &good_clone);
	good_master.conn = conn_from_fd(world.loop, fds[1], false, "good", &mo, &wire_events, &good_master);
	wire_pump(world.loop, &good_master.ready);
	greet(good_master.conn, PROTO_MASTER);
	wire_pump(world.loop, &good_clone.frames);
	greet(good_clone.conn, PROTO_CLONE);
	wire_pump(world.loop, &good_master.frames);
	assert_int_equal(good_master.last, PROTO_HELLO);
}

static int setup(void **state)
{
	static const struct conn_listen_events events = { on_session, on_refused };
	struct conn_listen_options o = { .address = "127.0.0.1" };

	(void)state;
	wire_world_init(&world);
	o.conn = wire_options(&world, PROTO_CLONE);
	if (conn_listen(&listener, world.loop, &o, &events, NULL) < 0)
		return -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	conn_listener_free(listener);
	wire_world_fini(&world);
	return 0;
}

static void end_good_session(void)
{
	assert_int_equal(good_master.closed, 0);
	assert_int_equal(good_clone.closed, 0);
	assert_true(conn_is_open(good_master.conn));
	conn_free(good_master.conn);
	conn_free(good_clone.conn);
}

/* --- who is bad, and how --- */

#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"

enum who { NOBODY, OWN, OTHER, ROGUE, SELF };

struct bad {
	const char *name;
	enum who ca;
	struct pki_leaf leaf;
	const char *priority, *alpn;
	enum peer_verdict as_client, as_server; /* PEER_UNDECIDED: not in this direction */
	const char *text;
	int alert; /* what the peer is told */
};

#define MASTER .role = CERT_ROLE_MASTER
#define CLONE  .role = CERT_ROLE_CLONE
#define HERE   .dns = "localhost", .ip = "127.0.0.1"

static const struct bad bads[] = {
	{ "no certificate", NOBODY, { 0 }, NULL, PROTO_ALPN, PEER_NO_CERT, PEER_UNDECIDED, "it sent no certificate",
	    GNUTLS_A_CERTIFICATE_REQUIRED },
	{ "unknown authority", ROGUE, { .cn = "x", MASTER, HERE }, NULL, PROTO_ALPN, PEER_UNKNOWN_CA, PEER_UNKNOWN_CA,
	    "not in the truststore", GNUTLS_A_UNKNOWN_CA },
	{ "self-signed", SELF, { .cn = "x", MASTER, HERE }, NULL, PROTO_ALPN, PEER_UNKNOWN_CA, PEER_UNKNOWN_CA,
	    "not in the truststore", GNUTLS_A_UNKNOWN_CA },
	{ "expired, as master", OWN, { .cn = "x", MASTER, HERE, .begin = -7200, .end = -3600 }, NULL, PROTO_ALPN,
	    PEER_EXPIRED, PEER_UNDECIDED, "expired 1 hour ago", GNUTLS_A_CERTIFICATE_EXPIRED },
	{ "expired, as clone", OWN, { .cn = "x", CLONE, HERE, .begin = -7200, .end = -3600 }, NULL, PROTO_ALPN,
	    PEER_EXPIRED, PEER_EXPIRED, "expired 1 hour ago", GNUTLS_A_CERTIFICATE_EXPIRED },
	{ "not yet valid", OWN, { .cn = "x", CLONE, HERE, .begin = 7000, .end = 9000 }, NULL, PROTO_ALPN, PEER_NOT_YET,
	    PEER_NOT_YET, "not valid yet", GNUTLS_A_CERTIFICATE_EXPIRED },
	{ "no client use", OWN, { .cn = "x", MASTER, HERE, .no_client = true }, NULL, PROTO_ALPN, PEER_WRONG_USE,
	    PEER_UNDECIDED, "lacks the use", GNUTLS_A_UNSUPPORTED_CERTIFICATE },
	{ "no server use", OWN, { .cn = "x", CLONE, HERE, .no_server = true }, NULL, PROTO_ALPN, PEER_UNDECIDED,
	    PEER_WRONG_USE, "lacks the use", GNUTLS_A_UNSUPPORTED_CERTIFICATE },
	{ "a stolen clone's that pushes", OWN, { .cn = "c.example", CLONE, HERE }, NULL, PROTO_ALPN, PEER_WRONG_ROLE,
	    PEER_UNDECIDED, "carries another role", GNUTLS_A_ACCESS_DENIED },
	{ "a master's that receives", OWN, { .cn = "m2.example", MASTER, HERE }, NULL, PROTO_ALPN, PEER_UNDECIDED,
	    PEER_WRONG_ROLE, "carries another role", GNUTLS_A_ACCESS_DENIED },
	{ "own authority without a role", OWN, { .cn = "x", HERE }, NULL, PROTO_ALPN, PEER_NO_ROLE, PEER_NO_ROLE,
	    "carries no role", GNUTLS_A_ACCESS_DENIED },
	{ "other host", OWN, { .cn = "c9", CLONE, .dns = "c9.example" }, NULL, PROTO_ALPN, PEER_UNDECIDED,
	    PEER_WRONG_HOST, "for another host", GNUTLS_A_ACCESS_DENIED },
	{ "other authority, other host", OTHER, { .cn = "x", .dns = "x.example" }, NULL, PROTO_ALPN, PEER_NO_NAME,
	    PEER_WRONG_HOST, "its certificate is", GNUTLS_A_ACCESS_DENIED },
	{ "TLS 1.2, as master", OWN, { .cn = "m.example", MASTER, HERE }, TLS12, PROTO_ALPN, PEER_TLS_VERSION,
	    PEER_UNDECIDED, "TLS version is not allowed", GNUTLS_A_PROTOCOL_VERSION },
	{ "TLS 1.2, as clone", OWN, { .cn = "c.example", CLONE, HERE }, TLS12, PROTO_ALPN, PEER_UNDECIDED,
	    PEER_TLS_VERSION, "no common TLS version", -1 },
	{ "no ALPN, as master", OWN, { .cn = "m.example", MASTER, HERE }, NULL, NULL, PEER_NO_ALPN, PEER_UNDECIDED,
	    "does not speak keyclone/1", GNUTLS_A_NO_APPLICATION_PROTOCOL },
	{ "no ALPN, as clone", OWN, { .cn = "c.example", CLONE, HERE }, NULL, NULL, PEER_UNDECIDED, PEER_NO_ALPN,
	    "does not speak keyclone/1", GNUTLS_A_NO_APPLICATION_PROTOCOL },
	{ "other ALPN", OWN, { .cn = "m.example", MASTER, HERE }, NULL, "h2", PEER_NO_ALPN, PEER_UNDECIDED,
	    "does not speak keyclone/1", GNUTLS_A_NO_APPLICATION_PROTOCOL },
};

static struct identity *identity_of(const struct bad *b)
{
	const struct pki_ca *const cas[] = { [OWN] = world.own, [OTHER] = world.other, [ROGUE] = world.rogue };

	return b->ca == NOBODY ? NULL : pki_leaf_new(b->ca == SELF ? NULL : cas[b->ca], &b->leaf);
}

static void reset(void)
{
	refusals = sessions = 0;
	refused_verdict = PEER_UNDECIDED;
	refused_text[0] = '\0';
	wire_watch_log();
}

static void complain(const char *name, enum peer_verdict v, enum peer_verdict expected, const char *text)
{
	if (v != expected)
		print_error("%s: %s instead of %s: %s\n", name, peer_name(v), peer_name(expected), text);
	assert_int_equal(v, expected);
}

static void server__bad_client__is_refused_by_name(void **state)
{
	(void)state;
	open_good_session();
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const struct bad *b = &bads[i];
		struct raw_options o = { .priority = b->priority, .alpn = b->alpn };
		struct identity *id;
		struct raw *raw;

		if (b->as_client == PEER_UNDECIDED)
			continue;
		raw = mem_xalloc(sizeof(*raw));
		id = identity_of(b);
		o.id = id;
		reset();
		raw_init(raw, wire_connect(conn_listener_port(listener)), true, &o);
		raw_pump(raw, world.loop, &refusals);
		complain(b->name, refused_verdict, b->as_client, refused_text);
		assert_int_equal(refused_rc, KC_EREFUSED);
		if (strstr(refused_text, b->text) == NULL && b->as_client != PEER_NO_NAME)
			print_error("%s: %s\n", b->name, refused_text);
		assert_non_null(strstr(refused_text, b->text));
		assert_int_equal(refusals, 1);
		assert_int_equal(sessions, 0);
		assert_int_equal(wire_warnings, 1);
		assert_non_null(strstr(wire_last_warning, b->text));
		if (raw->alert != b->alert)
			print_error("%s: alert %d instead of %d\n", b->name, raw->alert, b->alert);
		assert_int_equal(raw->alert, b->alert);
		raw_fini(raw);
		identity_free(id);
		free(raw);
		for (int k = 0; k < 3; k++) /* so that the log's limit is not met */
			wire_advance(world.loop, 2500);
	}
	end_good_session();
}

static void client__bad_server__is_refused_by_name(void **state)
{
	uint16_t port;
	int lfd = wire_listen(&port);

	(void)state;
	open_good_session();
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		const struct bad *b = &bads[i];
		struct raw_options o = { .priority = b->priority, .alpn = b->alpn };
		struct conn_options mo = wire_options(&world, PROTO_MASTER);
		struct wire_log log = { 0 };
		struct identity *id;
		struct raw *raw;

		if (b->as_server == PEER_UNDECIDED)
			continue;
		raw = mem_xalloc(sizeof(*raw));
		id = identity_of(b);
		o.id = id;
		reset();
		log.conn = conn_connect(world.loop, "127.0.0.1", port, &mo, &wire_events, &log);
		raw_init(raw, accept(lfd, NULL, NULL), false, &o);
		raw_pump(raw, world.loop, &log.closed);
		complain(b->name, log.verdict, b->as_server, log.text);
		assert_int_equal(log.closed, 1);
		assert_int_equal(log.ready, 0);
		assert_int_equal(log.rc, KC_EREFUSED);
		if (strstr(log.text, b->text) == NULL)
			print_error("%s: %s\n", b->name, log.text);
		assert_non_null(strstr(log.text, b->text));
		if (raw->alert != b->alert)
			print_error("%s: alert %d instead of %d\n", b->name, raw->alert, b->alert);
		assert_int_equal(raw->alert, b->alert);
		raw_fini(raw);
		identity_free(id);
		free(raw);
	}
	close(lfd);
	end_good_session();
}

/* --- the good ones --- */

static void listener_creds(struct tls_creds *creds)
{
	struct conn_options o = wire_options(&world, PROTO_CLONE);

	o.creds = creds;
	conn_listener_set_options(listener, &o);
}

static void server__good_peers_of_each_kind__are_let_in(void **state)
{
	static const struct pki_leaf master = { .cn = "any", MASTER, .dns = "any.example" };
	struct identity *ids[] = { pki_leaf_new(world.own, &master), world.master };
	static const enum peer_verdict expected[] = { PEER_ROLE, PEER_SITE };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct raw_options o = { .id = ids[i], .alpn = PROTO_ALPN };
		struct raw *raw = mem_xalloc(sizeof(*raw));

		reset();
		/* The site certificate is one that the listener has itself. */
		listener_creds(i == 0 ? world.clone_creds : world.master_creds);
		raw_init(raw, wire_connect(conn_listener_port(listener)), true, &o);
		raw_pump(raw, world.loop, &sessions);
		assert_int_equal(sessions, 1);
		assert_int_equal(conn_verdict(accepted.conn), expected[i]);
		assert_non_null(strstr(conn_tls(accepted.conn), "TLS1.3"));
		assert_non_null(strstr(conn_tls(accepted.conn), "AES-128-GCM"));
		assert_non_null(conn_cert(accepted.conn));
		assert_string_equal(conn_address(accepted.conn), "127.0.0.1");
		conn_free(accepted.conn);
		raw_fini(raw);
		free(raw);
		assert_int_equal(wire_warnings, 0);
	}
	listener_creds(world.clone_creds);
	identity_free(ids[0]);
}

/* --- revoked --- */

/* Credentials of one side that trust our authority and one below it, with these lists. */
static struct tls_creds *creds_with(const struct identity *ours, const struct buf *lists)
{
	struct trust *trust = pki_trust_new(world.own, NULL, NULL);
	struct tls_creds *creds = NULL;

	assert_int_equal(pki_trust_crl(trust, lists, NULL), KC_OK);
	assert_int_equal(tls_creds_new(&creds, ours, trust, false), KC_OK);
	return creds;
}

/* As client of our listener, and as server of our connection. */
static void refused_both_ways(const struct identity *peer, const struct buf *lists, const char *text)
{
	struct raw_options ro = { .id = peer, .alpn = PROTO_ALPN };
	struct conn_options mo = wire_options(&world, PROTO_MASTER);
	struct tls_creds *as_clone = creds_with(world.clone, lists), *as_master = creds_with(world.master, lists);
	struct raw *raw = mem_xalloc(sizeof(*raw));
	struct wire_log log = { 0 };
	uint16_t port;
	int lfd = wire_listen(&port);

	reset();
	listener_creds(as_clone);
	raw_init(raw, wire_connect(conn_listener_port(listener)), true, &ro);
	raw_pump(raw, world.loop, &refusals);
	complain("revoked client", refused_verdict, PEER_REVOKED, refused_text);
	assert_non_null(strstr(refused_text, text));
	assert_int_equal(raw->alert, GNUTLS_A_CERTIFICATE_REVOKED);
	raw_fini(raw);
	listener_creds(world.clone_creds);

	mo.creds = as_master;
	log.conn = conn_connect(world.loop, "127.0.0.1", port, &mo, &wire_events, &log);
	raw_init(raw, accept(lfd, NULL, NULL), false, &ro);
	raw_pump(raw, world.loop, &log.closed);
	complain("revoked server", log.verdict, PEER_REVOKED, log.text);
	assert_non_null(strstr(log.text, text));
	assert_int_equal(raw->alert, GNUTLS_A_CERTIFICATE_REVOKED);
	raw_fini(raw);
	close(lfd);
	tls_creds_unref(as_clone);
	tls_creds_unref(as_master);
	free(raw);
	for (int k = 0; k < 3; k++)
		wire_advance(world.loop, 2500);
}

static void both__revoked_peer__is_refused_also_by_a_stale_list(void **state)
{
	static const struct pki_leaf spec = { .cn = "x", CLONE, HERE };
	struct identity *leaf = pki_leaf_new(world.own, &spec);
	struct buf lists;

	(void)state;
	open_good_session();
	for (int stale = 0; stale < 2; stale++) {
		buf_init(&lists, 65536);
		pki_crl_new(&lists, world.own,
		    &(struct pki_crl){
			.revoked = { leaf }, .this_update = stale ? -9000 : 0, .next_update = stale ? -7000 : 0 });
		refused_both_ways(leaf, &lists, "certificate x was revoked at 20");
		buf_fini(&lists);
	}
	identity_free(leaf);
	end_good_session();
}

static void both__peer_of_a_revoked_authority__is_refused(void **state)
{
	static const struct pki_leaf spec = { .cn = "x", CLONE, HERE };
	struct pki_ca *below = pki_ca_below(world.own, "below");
	struct identity *leaf = pki_leaf_new(below, &spec);
	struct buf lists;

	(void)state;
	buf_init(&lists, 65536);
	pki_crl_new(&lists, world.own, &(struct pki_crl){ .revoked_ca = below });
	refused_both_ways(leaf, &lists, "certificate below was revoked at 20");
	buf_fini(&lists);
	identity_free(leaf);
	pki_ca_free(below);
}

/* Nothing is sent on it: the side that learns of the revocation ends it by itself, and says why. */
static void open_session__peer_that_is_revoked_now__ends_at_once(void **state)
{
	static const struct pki_leaf spec = { .cn = "x", CLONE, HERE };
	struct identity *leaf = pki_leaf_new(world.own, &spec);
	struct conn_options mo = wire_options(&world, PROTO_MASTER), co = wire_options(&world, PROTO_CLONE);
	struct tls_creds *peers = NULL, *before, *unrelated, *now;
	struct wire_log client = { 0 }, server = { 0 };
	struct buf lists;
	int fds[2];

	(void)state;
	open_good_session();
	reset();
	assert_int_equal(tls_creds_new(&peers, leaf, pki_trust_new(world.own, NULL, NULL), false), KC_OK);
	buf_init(&lists, 65536);
	pki_crl_new(&lists, world.own, &(struct pki_crl){ .number = 1 });
	mo.creds = before = creds_with(world.master, &lists);
	co.creds = peers;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	server.conn = conn_from_fd(world.loop, fds[0], true, "x", &co, &wire_events, &server);
	client.conn = conn_from_fd(world.loop, fds[1], false, "x", &mo, &wire_events, &client);
	wire_pump(world.loop, &client.ready);
	wire_pump(world.loop, &server.ready);
	assert_int_equal(client.ready, 1);
	/* Other credentials have come in between; the session is of those before. */
	unrelated = creds_with(world.master, &lists);
	tls_creds_succeed(unrelated, before);
	assert_int_equal(tls_creds_end_revoked(unrelated), 0);
	tls_creds_unref(before);
	pki_crl_new(&lists, world.own, &(struct pki_crl){ .revoked = { leaf }, .number = 2 });
	now = creds_with(world.master, &lists);
	tls_creds_succeed(now, unrelated);
	tls_creds_unref(unrelated);
	assert_int_equal(client.closed, 0);
	assert_int_equal(tls_creds_end_revoked(now), 1);
	assert_int_equal(tls_creds_end_revoked(now), 0);
	wire_pump(world.loop, &client.closed);
	wire_pump(world.loop, &server.closed);
	assert_int_equal(client.closed, 1);
	assert_int_equal(client.rc, KC_EREFUSED);
	assert_int_equal(client.verdict, PEER_REVOKED);
	assert_non_null(strstr(client.text, "certificate x was revoked at"));
	assert_int_equal(server.closed, 1);
	assert_string_equal(server.text, "refused by the peer: certificate revoked");
	tls_creds_unref(peers);
	tls_creds_unref(now);
	buf_fini(&lists);
	identity_free(leaf);
	end_good_session();
}

/* --- not even TLS --- */

static void server__plain_text__is_told_apart(void **state)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "SSH-2.0-x\r\n",
		"\x80\x2e\x01\x03\x01", "\0" };

	(void)state;
	open_good_session();
	for (size_t i = 0; i < 4; i++) {
		int fd = wire_connect(conn_listener_port(listener));

		reset();
		assert_true(write(fd, texts[i], i == 3 ? 1 : strlen(texts[i])) > 0);
		wire_pump(world.loop, &refusals);
		complain("plain text", refused_verdict, PEER_NO_TLS, refused_text);
		assert_int_equal(refusals, 1);
		close(fd);
		wire_advance(world.loop, 100);
	}
	end_good_session();
}

static void client__plain_text__is_told_apart(void **state)
{
	struct conn_options mo = wire_options(&world, PROTO_MASTER);
	struct wire_log log = { 0 };
	uint16_t port;
	int lfd = wire_listen(&port), fd;

	(void)state;
	reset();
	log.conn = conn_connect(world.loop, "127.0.0.1", port, &mo, &wire_events, &log);
	fd = accept(lfd, NULL, NULL);
	assert_true(write(fd, "220 smtp ready\r\n", 16) == 16);
	wire_pump(world.loop, &log.closed);
	assert_int_equal(log.closed, 1);
	complain("plain text", log.verdict, PEER_NO_TLS, log.text);
	close(fd);
	close(lfd);
}

static void server__record_with_garbage__ends_the_handshake(void **state)
{
	int fd = wire_connect(conn_listener_port(listener));

	(void)state;
	reset();
	assert_true(write(fd, "\x16\x03\x01\x00\x08\x01\x00\x00\x04garb", 13) == 13);
	wire_pump(world.loop, NULL);
	assert_int_equal(refusals, 0); /* it may still read our alert */
	wire_advance(world.loop, 1010);
	assert_int_equal(refusals, 1);
	assert_int_equal(refused_rc, KC_EPROTO);
	close(fd);
}

static void server__silence_before_and_in_the_handshake__ends_in_time(void **state)
{
	(void)state;
	for (int half = 0; half < 2; half++) {
		int fd = wire_connect(conn_listener_port(listener));
		char c;

		reset();
		if (half == 1)
			assert_true(write(fd, "\x16\x03\x01\x02", 4) == 4);
		wire_pump(world.loop, NULL);
		wire_advance(world.loop, 990);
		assert_int_equal(refusals, 0);
		wire_advance(world.loop, 20);
		assert_int_equal(refusals, 1);
		complain("silence", refused_verdict, PEER_SILENT, refused_text);
		assert_string_equal(refused_text, "no TLS handshake within 1 s");
		assert_true(read(fd, &c, 1) <= 0);
		close(fd);
	}
}

static void client__silence__ends_in_time(void **state)
{
	struct conn_options mo = wire_options(&world, PROTO_MASTER);
	struct wire_log log = { 0 };
	uint16_t port;
	int lfd = wire_listen(&port);

	(void)state;
	log.conn = conn_connect(world.loop, "127.0.0.1", port, &mo, &wire_events, &log);
	wire_pump(world.loop, NULL);
	wire_advance(world.loop, 1010);
	assert_int_equal(log.closed, 1);
	assert_int_equal(log.rc, KC_ETIMEOUT);
	complain("silence", log.verdict, PEER_SILENT, log.text);
	close(lfd);
}

/* --- the other side refuses us --- */

static void client__refused_after_the_handshake__says_so(void **state)
{
	struct conn_options mo = wire_options(&world, PROTO_MASTER), co = wire_options(&world, PROTO_CLONE);
	const struct pki_leaf clone = { .cn = "c2", CLONE, HERE };
	struct identity *id = pki_leaf_new(world.own, &clone);
	struct tls_creds *creds = NULL;
	struct wire_log client = { 0 }, server = { 0 };
	int fds[2];

	/* A clone's certificate where a master is expected: in TLS 1.3 the client is ready before it is refused. */
	(void)state;
	reset();
	assert_int_equal(tls_creds_new(&creds, id, pki_trust_new(world.own, NULL, NULL), false), KC_OK);
	mo.creds = creds;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	server.conn = conn_from_fd(world.loop, fds[0], true, "s", &co, &wire_events, &server);
	client.conn = conn_from_fd(world.loop, fds[1], false, "c", &mo, &wire_events, &client);
	wire_pump(world.loop, &client.closed);
	assert_int_equal(client.closed, 1);
	assert_int_equal(client.ready, 1);
	assert_int_equal(client.rc, KC_EREFUSED);
	assert_int_equal(client.verdict, PEER_REFUSED_US);
	assert_string_equal(client.text, "refused by the peer: access denied");
	wire_pump(world.loop, &server.closed);
	assert_int_equal(server.verdict, PEER_WRONG_ROLE);
	tls_creds_unref(creds);
	identity_free(id);
}

static void server__client_that_does_not_trust_us__is_understood(void **state)
{
	struct conn_options mo = wire_options(&world, PROTO_MASTER), co = wire_options(&world, PROTO_CLONE);
	struct tls_creds *creds = NULL;
	struct wire_log client = { 0 }, server = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(tls_creds_new(&creds, world.master, pki_trust_new(world.rogue, NULL, NULL), false), KC_OK);
	mo.creds = creds;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	server.conn = conn_from_fd(world.loop, fds[0], true, "s", &co, &wire_events, &server);
	client.conn = conn_from_fd(world.loop, fds[1], false, "c", &mo, &wire_events, &client);
	wire_pump(world.loop, &server.closed);
	assert_int_equal(server.closed, 1);
	assert_int_equal(server.verdict, PEER_REFUSED_US);
	assert_string_equal(server.text, "refused by the peer: unknown authority");
	wire_pump(world.loop, &client.closed);
	assert_int_equal(client.verdict, PEER_UNKNOWN_CA);
	tls_creds_unref(creds);
}

/* --- TLS 1.2 by configuration --- */

static void tls12__allowed_by_configuration__works_both_ways(void **state)
{
	(void)state;
	for (int server = 0; server < 2; server++) {
		struct conn_options o = wire_options(&world, server ? PROTO_CLONE : PROTO_MASTER);
		const struct identity *ours = server ? world.clone : world.master;
		struct raw_options ro = {
			.id = server ? world.master : world.clone, .priority = TLS12, .alpn = PROTO_ALPN
		};
		struct tls_creds *creds = NULL;
		struct wire_log log = { 0 };
		struct raw *raw = mem_xalloc(sizeof(*raw));
		int fds[2];

		assert_int_equal(tls_creds_new(&creds, ours, pki_trust_new(world.own, NULL, NULL), true), KC_OK);
		o.creds = creds;
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		log.conn = conn_from_fd(world.loop, fds[0], server, "peer", &o, &wire_events, &log);
		raw_init(raw, fds[1], server, &ro);
		raw_pump(raw, world.loop, &log.ready);
		if (log.ready == 0)
			print_error("%s\n", log.text);
		assert_int_equal(log.ready, 1);
		assert_non_null(strstr(conn_tls(log.conn), "TLS1.2"));
		assert_int_equal(conn_verdict(log.conn), PEER_ROLE);
		conn_free(log.conn);
		raw_fini(raw);
		free(raw);
		tls_creds_unref(creds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server__bad_client__is_refused_by_name),
		cmocka_unit_test(client__bad_server__is_refused_by_name),
		cmocka_unit_test(server__good_peers_of_each_kind__are_let_in),
		cmocka_unit_test(both__revoked_peer__is_refused_also_by_a_stale_list),
		cmocka_unit_test(both__peer_of_a_revoked_authority__is_refused),
		cmocka_unit_test(open_session__peer_that_is_revoked_now__ends_at_once),
		cmocka_unit_test(server__plain_text__is_told_apart),
		cmocka_unit_test(client__plain_text__is_told_apart),
		cmocka_unit_test(server__record_with_garbage__ends_the_handshake),
		cmocka_unit_test(server__silence_before_and_in_the_handshake__ends_in_time),
		cmocka_unit_test(client__silence__ends_in_time),
		cmocka_unit_test(client__refused_after_the_handshake__says_so),
		cmocka_unit_test(server__client_that_does_not_trust_us__is_understood),
		cmocka_unit_test(tls12__allowed_by_configuration__works_both_ways),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
