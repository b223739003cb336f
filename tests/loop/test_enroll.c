/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that a token opens: who gets one, what may be said in it, and what does not open it. The other side is
 * another conn, or bare GnuTLS that is as bad as it likes; for the clone's side as a whole, a master in a process of
 * its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "daemon/enroll_client.h"
#include "tests/loop/wire.h"

#define ID    "00112233aabbccdd"
#define HEX32 "00112233445566778899aabbccddeeff"
#define HEX64 HEX32 HEX32

static struct wire_world world;
static uint8_t key[TLS_PSK_BYTES];
static enum peer_verdict found = PEER_TOKEN;
static char asked[64], asked_of[64];

static int setup(void **state)
{
	(void)state;
	wire_world_init(&world);
	memset(key, 7, sizeof(key));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wire_world_fini(&world);
	return 0;
}

static enum peer_verdict find(uint8_t psk[TLS_PSK_BYTES], const char *id, const char *address, void *arg)
{
	(void)arg;
	snprintf(asked, sizeof(asked), "%s", id);
	snprintf(asked_of, sizeof(asked_of), "%s", address);
	if (strcmp(id, ID) != 0)
		return PEER_NO_TOKEN;
	memcpy(psk, key, TLS_PSK_BYTES);
	return found;
}

/* --- a master's session and the other side of it --- */

static struct wire_log master, clone;

static struct conn_options master_options(bool tokens)
{
	struct conn_options o = wire_options(&world, PROTO_MASTER);

	if (tokens)
		o.tokens = (struct conn_tokens){ find, NULL };
	asked[0] = '\0';
	return o;
}

static int open_master(bool tokens)
{
	struct conn_options o = master_options(tokens);
	int fds[2];

	memset(&master, 0, sizeof(master));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	master.conn = conn_from_fd(world.loop, fds[0], true, "peer", &o, &wire_events, &master);
	return fds[1];
}

static void join_by(int fd, const char *id, uint8_t first)
{
	struct conn_options o = wire_options(&world, PROTO_CLONE);
	uint8_t psk[TLS_PSK_BYTES];

	memcpy(psk, key, sizeof(psk));
	psk[0] = first;
	o.creds = NULL;
	assert_int_equal(tls_creds_new_token(&o.creds, id, psk), KC_OK);
	memset(&clone, 0, sizeof(clone));
	clone.conn = conn_from_fd(world.loop, fd, false, "master", &o, &wire_events, &clone);
	tls_creds_unref(o.creds);
	wire_pump(world.loop, NULL);
}

static void drop(void)
{
	if (clone.conn != NULL)
		conn_free(clone.conn);
	if (master.conn != NULL)
		conn_free(master.conn);
	clone.conn = master.conn = NULL;
	wire_pump(world.loop, NULL);
}

static struct proto_msg *a_join(void)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));

	m->type = PROTO_JOIN;
	m->join = (struct proto_join){ .version = 4,
		.product = "test",
		.time = 1,
		.port = 2222,
		.recipient = "age1q",
		.csr = "csr",
		.csr_size = 3,
		.proof = HEX64 };
	return m;
}

static void token__right_one__opens_a_session_of_its_own_kind(void **state)
{
	struct proto_msg *m = a_join();

	(void)state;
	join_by(open_master(true), ID, 7);
	assert_int_equal(master.ready, 1);
	assert_int_equal(clone.ready, 1);
	assert_int_equal(master.verdict, PEER_TOKEN);
	assert_int_equal(clone.verdict, PEER_TOKEN);
	assert_string_equal(conn_token(master.conn), ID);
	assert_null(conn_cert(master.conn));
	assert_null(conn_cert(clone.conn));
	assert_int_equal(conn_state(master.conn), PROTO_S_JOIN);
	assert_int_equal(conn_send(clone.conn, m), KC_OK);
	wire_pump(world.loop, &master.frames);
	assert_int_equal(master.last, PROTO_JOIN);
	assert_string_equal(master.msg.join.recipient, "age1q");
	assert_int_equal(conn_send(clone.conn, m), KC_EPROTO);
	memset(m, 0, sizeof(*m));
	m->type = PROTO_JOINED;
	memcpy(m->joined.host, "10.0.0.5", 9);
	assert_int_equal(conn_send(master.conn, m), KC_OK);
	assert_int_equal(conn_send(master.conn, m), KC_EPROTO);
	conn_finish(master.conn);
	wire_pump(world.loop, NULL);
	assert_int_equal(clone.last, PROTO_JOINED);
	assert_string_equal(clone.msg.joined.host, "10.0.0.5");
	free(m);
	drop();
}

static void expect_refusal(enum peer_verdict here, enum peer_verdict there)
{
	assert_int_equal(master.ready, 0);
	assert_int_equal(clone.ready, 0);
	assert_int_equal(master.closed, 1);
	assert_int_equal(clone.closed, 1);
	assert_int_equal(master.rc, KC_EREFUSED);
	assert_int_equal(clone.rc, KC_EREFUSED);
	assert_string_equal(peer_name(master.verdict), peer_name(here));
	assert_string_equal(peer_name(clone.verdict), peer_name(there));
	drop();
}

static void token__wrong_secret__is_refused_and_both_know_why(void **state)
{
	(void)state;
	join_by(open_master(true), ID, 8);
	assert_string_equal(asked, ID);
	expect_refusal(PEER_BAD_TOKEN, PEER_BAD_TOKEN);
}

static void token__unknown__is_refused_and_both_know_why(void **state)
{
	(void)state;
	join_by(open_master(true), "ffffffffffffffff", 7);
	expect_refusal(PEER_NO_TOKEN, PEER_NO_TOKEN);
}

static void token__longer_than_any_id__is_not_even_looked_for(void **state)
{
	char id[200];

	(void)state;
	memset(id, 'a', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	join_by(open_master(true), id, 7);
	assert_string_equal(asked, "");
	expect_refusal(PEER_NO_TOKEN, PEER_NO_TOKEN);
}

static void token__after_too_many_wrong_ones__is_refused_even_if_right(void **state)
{
	(void)state;
	found = PEER_MANY_TOKENS;
	join_by(open_master(true), ID, 7);
	found = PEER_TOKEN;
	expect_refusal(PEER_MANY_TOKENS, PEER_MANY_TOKENS);
}

static void token__port_without_enrolment__speaks_another_protocol(void **state)
{
	(void)state;
	join_by(open_master(false), ID, 7);
	assert_string_equal(asked, "");
	expect_refusal(PEER_NO_ALPN, PEER_NO_ALPN);
}

/* --- bare GnuTLS --- */

#define ECDHE_PSK "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK"

static struct raw raw;
static gnutls_psk_client_credentials_t raw_psk;

static void open_raw(const char *priority, const char *alpn, const struct identity *id)
{
	struct raw_options o = { .id = id, .priority = priority, .alpn = alpn };
	gnutls_datum_t k = { key, sizeof(key) };
	int fd = open_master(true);

	memset(&clone, 0, sizeof(clone));
	raw_init(&raw, fd, true, &o);
	gnutls_psk_allocate_client_credentials(&raw_psk);
	gnutls_psk_set_client_credentials(raw_psk, ID, &k, GNUTLS_PSK_KEY_RAW);
	if (id == NULL) {
		gnutls_credentials_clear(raw.session);
		gnutls_credentials_set(raw.session, GNUTLS_CRD_PSK, raw_psk);
	}
	raw_pump(&raw, world.loop, &master.ready);
}

static void close_raw(void)
{
	raw_fini(&raw);
	gnutls_psk_free_client_credentials(raw_psk);
	wire_pump(world.loop, NULL);
	drop();
}

static void expect_no_session(void)
{
	raw_pump(&raw, world.loop, &master.closed);
	assert_int_equal(master.ready, 0);
	assert_int_equal(master.closed, 1);
	assert_int_equal(master.frames, 0);
	close_raw();
}

static void handshake__without_an_exchange_of_keys__is_refused(void **state)
{
	(void)state;
	open_raw("NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+PSK", PROTO_ALPN_ENROLL, NULL);
	expect_no_session();
	assert_string_equal(asked, "");
	assert_int_equal(master.verdict, PEER_NO_TOKEN);
}

static void handshake__older_tls__is_refused(void **state)
{
	(void)state;
	open_raw("NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK", PROTO_ALPN_ENROLL, NULL);
	expect_no_session();
	assert_string_equal(asked, "");
}

static void handshake__token_with_the_usual_protocol__is_refused(void **state)
{
	(void)state;
	open_raw(ECDHE_PSK, PROTO_ALPN, NULL);
	expect_no_session();
	assert_string_equal(asked, "");
}

static void handshake__token_without_any_protocol__is_refused(void **state)
{
	(void)state;
	open_raw(ECDHE_PSK, NULL, NULL);
	expect_no_session();
	assert_string_equal(asked, "");
}

static void handshake__certificate_with_the_protocol_of_enrolment__is_refused(void **state)
{
	(void)state;
	open_raw(NULL, PROTO_ALPN_ENROLL, world.clone);
	expect_no_session();
	assert_int_equal(master.verdict, PEER_NO_TOKEN);
}

static void session__of_a_token__takes_no_other_message(void **state)
{
	static const char empty[] = "{}";

	(void)state;
	for (uint8_t type = 0; type < 40; type++) {
		bool bare = type == PROTO_ALIVE || type == PROTO_BYE, body = !bare;

		if (type == PROTO_JOIN || type == PROTO_ALIVE || type == PROTO_BYE || type == PROTO_ERROR)
			continue;
		open_raw(ECDHE_PSK, PROTO_ALPN_ENROLL, NULL);
		assert_int_equal(master.ready, 1);
		raw_frame(&raw, type, empty, body ? 2 : 0, body ? 2 : 0);
		for (int i = 0; i < 5 && master.closed == 0; i++) {
			raw_pump(&raw, world.loop, &master.closed);
			wire_advance(world.loop, 500);
		}
		assert_int_equal(master.frames, 0);
		assert_int_equal(master.closed, 1);
		assert_int_equal(master.rc, KC_EPROTO);
		close_raw();
	}
}

static void session__of_certificates__takes_no_join(void **state)
{
	static const char empty[] = "{}";

	(void)state;
	open_raw(NULL, PROTO_ALPN, world.clone);
	assert_int_equal(master.ready, 1);
	assert_int_equal(master.verdict, PEER_ROLE);
	assert_null(conn_token(master.conn));
	while (!raw.shaken)
		raw_step(&raw);
	raw_frame(&raw, PROTO_JOIN, empty, 2, 2);
	for (int i = 0; i < 5 && master.closed == 0; i++) {
		raw_pump(&raw, world.loop, &master.closed);
		wire_advance(world.loop, 500);
	}
	assert_int_equal(master.frames, 0);
	assert_int_equal(master.rc, KC_EPROTO);
	assert_non_null(strstr(master.text, "join is not allowed in state hello"));
	close_raw();
}

static void session__of_a_token__that_asks_for_nothing__ends_in_time(void **state)
{
	(void)state;
	join_by(open_master(true), ID, 7);
	assert_int_equal(master.ready, 1);
	wire_advance(world.loop, 1001);
	for (int i = 0; i < 5; i++)
		wire_advance(world.loop, 500);
	assert_int_equal(master.closed, 1);
	assert_int_equal(master.rc, KC_ETIMEOUT);
	assert_non_null(strstr(master.text, "request to join"));
	drop();
}

/* Somebody in the middle who has a good certificate, but not the token. */
static void clone__server_with_a_certificate__is_told_nothing(void **state)
{
	struct raw_options ro = { .id = world.master, .alpn = PROTO_ALPN_ENROLL };
	struct conn_options o = wire_options(&world, PROTO_CLONE);
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(tls_creds_new_token(&o.creds, ID, key), KC_OK);
	memset(&clone, 0, sizeof(clone));
	raw_init(&raw, fds[1], false, &ro);
	clone.conn = conn_from_fd(world.loop, fds[0], false, "master", &o, &wire_events, &clone);
	tls_creds_unref(o.creds);
	raw_pump(&raw, world.loop, &clone.closed);
	for (int i = 0; i < 5 && clone.closed == 0; i++)
		wire_advance(world.loop, 500);
	assert_int_equal(clone.ready, 0);
	assert_int_equal(clone.closed, 1);
	assert_false(raw.shaken);
	raw_fini(&raw);
}

/* --- the clone's side as a whole --- */

static struct invite token;
static struct proto_msg answer; /* what the master in the child says; type 0: nothing, it ends the session */
static struct conn *served;

static enum peer_verdict find_derived(uint8_t psk[TLS_PSK_BYTES], const char *id, const char *address, void *arg)
{
	struct invite_keys k;

	(void)address, (void)arg;
	invite_derive(&k, &token);
	if (strcmp(id, k.id) != 0)
		return PEER_NO_TOKEN;
	memcpy(psk, k.psk, TLS_PSK_BYTES);
	return PEER_TOKEN;
}

static int serve_join(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	(void)type, (void)payload, (void)n, (void)arg;
	if (answer.type != 0)
		(void)conn_send(c, &answer);
	conn_finish(c);
	return KC_OK;
}

static void serve_session(struct conn *c, void *arg)
{
	static const struct conn_events events = { .on_frame = serve_join };

	(void)arg;
	served = c;
	conn_set_events(c, &events, NULL);
}

/* A master that serves for at most ten seconds. */
static pid_t start_master(int *port)
{
	static const struct conn_listen_events events = { .on_session = serve_session };
	int fds[2];
	uint16_t at = 0;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct conn_listen_options o = { .address = "127.0.0.1" };
		struct conn_listener *ln = NULL;
		struct loop *l = loop_new();

		o.conn = wire_options(&world, PROTO_MASTER);
		o.conn.tokens = (struct conn_tokens){ find_derived, NULL };
		if (conn_listen(&ln, l, &o, &events, NULL) < 0)
			_exit(1);
		at = conn_listener_port(ln);
		if (write(fds[1], &at, sizeof(at)) != sizeof(at))
			_exit(1);
		alarm(10);
		for (;;)
			loop_turn(l, 100);
	}
	assert_true(pid > 0);
	assert_int_equal(read(fds[0], &at, sizeof(at)), sizeof(at));
	close(fds[0]);
	close(fds[1]);
	*port = at;
	return pid;
}

static void stop_master(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void pem_of(uint8_t *to, size_t *size, size_t max, const struct identity *id, size_t i)
{
	struct cert_der der = identity_chain_der(id, i);
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)der.data, (unsigned)der.size }, out;

	assert_int_equal(gnutls_pem_base64_encode2("CERTIFICATE", &in, &out), 0);
	assert_true(out.size <= max);
	memcpy(to, out.data, out.size);
	*size = out.size;
	gnutls_free(out.data);
}

/* What a master says whose authority is that of `id`. */
static void answer_well(const struct identity *id)
{
	memset(&answer, 0, sizeof(answer));
	answer.type = PROTO_JOINED;
	answer.joined.port = 2222;
	memcpy(answer.joined.host, "127.0.0.1", 10);
	memcpy(answer.joined.lineage, HEX32, 33);
	memcpy(answer.joined.signing_key, "RW", 3);
	pem_of(answer.joined.authority, &answer.joined.authority_size, sizeof(answer.joined.authority), id, 1);
}

static void token_for(const struct identity *id, int port)
{
	struct cert_der der = identity_chain_der(id, 1);
	struct cert_info info = { 0 };

	assert_int_equal(cert_info_from_der(&info, der.data, der.size), KC_OK);
	if (token.port == 0)
		assert_int_equal(invite_new(&token, "127.0.0.1", port, info.sha256), KC_OK);
	token.port = port;
	cert_info_fini(&info);
}

static int ask(bool *sent, struct enroll_answer *a, const struct invite *t)
{
	struct enroll_request r = { .port = 2222, .recipient = "age1q" };
	struct buf csr;
	int rc;

	buf_init(&csr, 100);
	buf_put_str(&csr, "csr");
	r.csr = &csr;
	rc = enroll_ask(a, sent, t, &r);
	buf_fini(&csr);
	return rc;
}

static void ask__right_authority__is_answered(void **state)
{
	struct enroll_answer a;
	bool sent;
	pid_t pid;
	int port;

	(void)state;
	memset(&token, 0, sizeof(token));
	token_for(world.clone, 1);
	answer_well(world.clone);
	pid = start_master(&port);
	token.port = port;
	assert_int_equal(ask(&sent, &a, &token), KC_OK);
	assert_true(sent);
	assert_string_equal(a.host, "127.0.0.1");
	assert_string_equal(a.lineage, HEX32);
	assert_true(buf_len(&a.authority) > 0);
	enroll_answer_fini(&a);
	stop_master(pid);
}

static void ask__master_shows_another_authority__is_not_believed(void **state)
{
	const struct pki_leaf spec = { .cn = "r", .dns = "localhost", .role = CERT_ROLE_MASTER };
	struct identity *rogue = pki_leaf_new(world.rogue, &spec);
	struct enroll_answer a;
	bool sent;
	pid_t pid;
	int port;

	(void)state;
	answer_well(rogue);
	pid = start_master(&port);
	token.port = port;
	assert_int_equal(ask(&sent, &a, &token), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "another authority"));
	stop_master(pid);
	identity_free(rogue);
}

static void ask__refused__says_what_the_master_says(void **state)
{
	struct enroll_answer a;
	bool sent;
	pid_t pid;
	int port;

	(void)state;
	memset(&answer, 0, sizeof(answer));
	answer.type = PROTO_JOINED;
	memcpy(answer.joined.error, "KC_ELIMIT", 10);
	memcpy(answer.joined.message, "there are 20 clones already", 28);
	pid = start_master(&port);
	token.port = port;
	assert_int_equal(ask(&sent, &a, &token), KC_ELIMIT);
	assert_string_equal(err_text(KC_ELIMIT), "the master refuses: there are 20 clones already");
	stop_master(pid);
}

static void ask__no_answer__says_that_the_token_may_be_used_up(void **state)
{
	struct enroll_answer a;
	bool sent = false;
	pid_t pid;
	int port, rc;

	(void)state;
	memset(&answer, 0, sizeof(answer));
	pid = start_master(&port);
	token.port = port;
	rc = ask(&sent, &a, &token);
	assert_true(rc < 0);
	assert_true(sent);
	assert_non_null(strstr(err_text(rc), "may be used up"));
	stop_master(pid);
}

static void ask__token_of_another_master__says_how_to_get_one(void **state)
{
	struct invite other = token;
	struct enroll_answer a;
	bool sent = true;
	pid_t pid;
	int port;

	(void)state;
	pid = start_master(&port);
	other.port = port;
	other.secret[0] ^= 1;
	assert_int_equal(ask(&sent, &a, &other), KC_EREFUSED);
	assert_false(sent);
	assert_non_null(strstr(err_text(KC_EREFUSED), "'keyclone enroll token' there makes a new one"));
	stop_master(pid);
	assert_int_equal(ask(&sent, &a, &other), KC_EREFUSED);
	assert_non_null(strstr(err_text(KC_EREFUSED), "cannot be reached: connection refused"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(token__right_one__opens_a_session_of_its_own_kind),
		cmocka_unit_test(token__wrong_secret__is_refused_and_both_know_why),
		cmocka_unit_test(token__unknown__is_refused_and_both_know_why),
		cmocka_unit_test(token__longer_than_any_id__is_not_even_looked_for),
		cmocka_unit_test(token__after_too_many_wrong_ones__is_refused_even_if_right),
		cmocka_unit_test(token__port_without_enrolment__speaks_another_protocol),
		cmocka_unit_test(handshake__without_an_exchange_of_keys__is_refused),
		cmocka_unit_test(handshake__older_tls__is_refused),
		cmocka_unit_test(handshake__token_with_the_usual_protocol__is_refused),
		cmocka_unit_test(handshake__token_without_any_protocol__is_refused),
		cmocka_unit_test(handshake__certificate_with_the_protocol_of_enrolment__is_refused),
		cmocka_unit_test(session__of_a_token__takes_no_other_message),
		cmocka_unit_test(session__of_certificates__takes_no_join),
		cmocka_unit_test(session__of_a_token__that_asks_for_nothing__ends_in_time),
		cmocka_unit_test(clone__server_with_a_certificate__is_told_nothing),
		cmocka_unit_test(ask__right_authority__is_answered),
		cmocka_unit_test(ask__master_shows_another_authority__is_not_believed),
		cmocka_unit_test(ask__refused__says_what_the_master_says),
		cmocka_unit_test(ask__no_answer__says_that_the_token_may_be_used_up),
		cmocka_unit_test(ask__token_of_another_master__says_how_to_get_one),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
