/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions after the handshake: what an authorised peer may not do, deadlines in every state, back-pressure, ends, and
 * freeing in callbacks. The peer is either another conn or bare GnuTLS with a good certificate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "tests/loop/wire.h"

#define HEX32 "00112233445566778899aabbccddeeff"
#define HEX64 HEX32 HEX32

static struct wire_world world;

static int setup(void **state)
{
	(void)state;
	wire_world_init(&world);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	wire_world_fini(&world);
	return 0;
}

/* --- our clone's session against a bare master --- */

static struct wire_log clone_log;
static struct raw raw;

static void open_raw(enum proto_role self)
{
	struct conn_options o = wire_options(&world, self);
	struct raw_options ro = { .id = self == PROTO_CLONE ? world.master : world.clone, .alpn = PROTO_ALPN };
	bool server = self == PROTO_CLONE;
	int fds[2];

	memset(&clone_log, 0, sizeof(clone_log));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	clone_log.conn = conn_from_fd(world.loop, fds[0], server, "peer", &o, &wire_events, &clone_log);
	raw_init(&raw, fds[1], server, &ro);
	raw_pump(&raw, world.loop, &clone_log.ready);
	assert_int_equal(clone_log.ready, 1);
	while (!raw.shaken)
		raw_step(&raw);
}

static void send_hello(struct conn *c, enum proto_role role)
{
	const char *text = role == PROTO_MASTER ? wire_master_hello : wire_clone_hello;
	struct proto_msg *m = mem_xalloc(sizeof(*m));

	assert_int_equal(proto_decode(m, role, PROTO_HELLO, text, strlen(text)), KC_OK);
	assert_int_equal(conn_send(c, m), KC_OK);
	free(m);
}

static void raw_greet(void)
{
	raw_frame(&raw, PROTO_HELLO, wire_master_hello, strlen(wire_master_hello), strlen(wire_master_hello));
	raw_pump(&raw, world.loop, &clone_log.frames);
	send_hello(clone_log.conn, PROTO_CLONE);
	raw_pump(&raw, world.loop, NULL);
	assert_int_equal(conn_state(clone_log.conn), PROTO_S_IDLE);
}

static void expect_end(int rc, const char *text)
{
	if (clone_log.closed != 1 || clone_log.rc != rc || strcmp(clone_log.text, text) != 0)
		print_error("%s: %s\n", err_name(clone_log.rc), clone_log.text);
	assert_int_equal(clone_log.closed, 1);
	assert_int_equal(clone_log.rc, rc);
	assert_string_equal(clone_log.text, text);
}

static void close_raw(void)
{
	raw_fini(&raw);
	if (clone_log.conn != NULL)
		conn_free(clone_log.conn);
	clone_log.conn = NULL;
}

struct misdeed {
	uint8_t type;
	const char *body;
	size_t said, sent;
	bool greeted;
	const char *text;
};

static void frames__outside_the_table__end_the_session(void **state)
{
	static const struct misdeed misdeeds[] = {
		{ 0xee, "", 0x61626364, 0, false, "message of unknown type 238" },
		{ PROTO_HELLO, "", PROTO_CONTROL_MAX + 1, 0, false, "hello of 65537 bytes is over its limit of 65536" },
		{ PROTO_HELLO, "", 0xffffffff, 0, false, "hello of 4294967295 bytes is over its limit of 65536" },
		{ PROTO_HELLO, "", 0, 0, false, "hello of 0 bytes is under its minimum of 2" },
		{ PROTO_OFFER, "{}", 2, 2, false, "offer is not allowed in state hello" },
		{ PROTO_DATA, "x", 1, 1, true, "data is not allowed in state idle" },
		{ PROTO_HELLO, "{}", 2, 2, true, "hello is not allowed in state idle" },
		{ PROTO_ACCEPT, "{}", 2, 2, true, "accept is not allowed in state idle" },
		{ PROTO_ALIVE, "x", 1, 1, true, "alive of 1 bytes is over its limit of 0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(misdeeds) / sizeof(misdeeds[0]); i++) {
		const struct misdeed *m = &misdeeds[i];

		open_raw(PROTO_CLONE);
		if (m->greeted)
			raw_greet();
		raw.got_length = 0;
		raw_frame(&raw, m->type, m->body, m->said, m->sent);
		raw_pump(&raw, world.loop, &clone_log.closed);
		expect_end(KC_EPROTO, m->text);
		/* and the peer was told */
		assert_true(raw.got_length > PROTO_HEAD_BYTES);
		assert_int_equal(raw.got[4], PROTO_ERROR);
		assert_non_null(memmem(raw.got, raw.got_length, m->text, strlen(m->text)));
		close_raw();
	}
}

static void frame__that_its_handler_refuses__ends_the_session(void **state)
{
	(void)state;
	open_raw(PROTO_CLONE);
	raw_frame(&raw, PROTO_HELLO, "{\"a\":1}", 7, 7);
	clone_log.answer = err_set(KC_EPROTO, "hello: version is missing");
	raw_pump(&raw, world.loop, &clone_log.closed);
	assert_int_equal(clone_log.rc, KC_EPROTO);
	close_raw();
}

static void stream__broken_below_tls__ends_the_session(void **state)
{
	(void)state;
	open_raw(PROTO_CLONE);
	raw_greet();
	assert_true(write(raw.fd, "\x17\x03\x03\x00\x20garbagegarbagegarbagegarbage!!!!", 37) == 37);
	raw_pump(&raw, world.loop, &clone_log.closed);
	assert_int_equal(clone_log.closed, 1);
	assert_int_equal(clone_log.rc, KC_EPROTO);
	assert_non_null(strstr(clone_log.text, "TLS: "));
	close_raw();
}

static void ends__by_the_peer__are_told_apart(void **state)
{
	static const char error[] = "{\"error\":\"KC_EBUSY\",\"message\":\"not\\nnow\"}";

	(void)state;
	open_raw(PROTO_CLONE);
	shutdown(raw.fd, SHUT_RDWR);
	wire_pump(world.loop, &clone_log.closed);
	expect_end(KC_ENET, "connection lost: closed by the peer");
	close_raw();

	open_raw(PROTO_CLONE);
	gnutls_bye(raw.session, GNUTLS_SHUT_WR);
	wire_pump(world.loop, &clone_log.closed);
	expect_end(KC_ENET, "closed by the peer");
	close_raw();

	open_raw(PROTO_CLONE);
	raw_greet();
	raw_frame(&raw, PROTO_BYE, "", 0, 0);
	wire_pump(world.loop, &clone_log.closed);
	expect_end(KC_OK, "ended by the peer");
	close_raw();

	open_raw(PROTO_CLONE);
	raw_frame(&raw, PROTO_ERROR, error, sizeof(error) - 1, sizeof(error) - 1);
	wire_pump(world.loop, &clone_log.closed);
	expect_end(KC_EBUSY, "the peer ended the session: not?now");
	close_raw();

	open_raw(PROTO_CLONE);
	raw_frame(&raw, PROTO_ERROR, "{}", 2, 2);
	wire_pump(world.loop, &clone_log.closed);
	assert_int_equal(clone_log.rc, KC_EPROTO);
	close_raw();
}

/* --- silence, in each state --- */

static void silence__before_the_hello__ends_in_time(void **state)
{
	(void)state;
	for (int half = 0; half < 3; half++) {
		open_raw(PROTO_CLONE);
		if (half == 1) /* half a frame */
			raw_frame(&raw, PROTO_HELLO, wire_master_hello, strlen(wire_master_hello), 20);
		if (half == 2) /* life signs are no hello */
			raw_frame(&raw, PROTO_ALIVE, "", 0, 0);
		raw_pump(&raw, world.loop, NULL);
		wire_advance(world.loop, 990);
		assert_true(conn_is_open(clone_log.conn));
		wire_advance(world.loop, 20);
		raw_pump(&raw, world.loop, &clone_log.closed);
		expect_end(KC_ETIMEOUT, "no hello within 1 s");
		close_raw();
	}
}

static void silence__when_idle__ends_in_time(void **state)
{
	(void)state;
	open_raw(PROTO_CLONE);
	raw_greet();
	for (int s = 0; s < 3; s++)
		wire_advance(world.loop, 1000);
	wire_advance(world.loop, 990);
	assert_true(conn_is_open(clone_log.conn));
	wire_advance(world.loop, 20);
	raw_pump(&raw, world.loop, &clone_log.closed);
	expect_end(KC_ETIMEOUT, "the peer said nothing within 4 s");
	close_raw();
}

static void single_bytes__of_a_frame__do_not_keep_a_session(void **state)
{
	(void)state;
	open_raw(PROTO_CLONE);
	raw_greet();
	raw_frame(&raw, PROTO_OFFER, "{", 2000, 1);
	for (int i = 0; i < 9 && clone_log.closed == 0; i++) {
		wire_advance(world.loop, 500);
		raw_send(&raw, " ", 1);
		raw_pump(&raw, world.loop, &clone_log.closed);
	}
	expect_end(KC_ETIMEOUT, "the peer said nothing within 4 s");
	close_raw();
}

static void owner_deadline__passes__whatever_the_peer_says(void **state)
{
	(void)state;
	open_raw(PROTO_CLONE);
	raw_greet();
	conn_deadline(clone_log.conn, 3000, "answer to the offer");
	for (int i = 0; i < 4; i++) {
		wire_advance(world.loop, 800);
		raw_frame(&raw, PROTO_ALIVE, "", 0, 0);
		raw_pump(&raw, world.loop, &clone_log.closed);
	}
	expect_end(KC_ETIMEOUT, "no answer to the offer within 3 s");
	close_raw();

	open_raw(PROTO_CLONE);
	raw_greet();
	conn_deadline(clone_log.conn, 3000, "answer to the offer");
	conn_deadline(clone_log.conn, 0, "");
	for (int i = 0; i < 8; i++) {
		wire_advance(world.loop, 800);
		raw_frame(&raw, PROTO_ALIVE, "", 0, 0);
		raw_pump(&raw, world.loop, NULL);
	}
	assert_true(conn_is_open(clone_log.conn));
	close_raw();
}

static void send_offer(struct conn *c)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));

	m->type = PROTO_OFFER;
	m->offer.generation = m->offer.room = 1;
	m->offer.header_size = 150;
	m->offer.kind = PROTO_FULL;
	strcpy(m->offer.lineage, HEX32);
	strcpy(m->offer.file, "a.age");
	strcpy(m->offer.file_id, HEX32);
	strcpy(m->offer.digest, HEX64);
	strcpy(m->offer.receipt, HEX32);
	assert_int_equal(conn_send(c, m), KC_OK);
	free(m);
}

static void peer__that_takes_nothing__ends_in_time_though_it_talks(void **state)
{
	static const char accept[] = "{\"offset\":0}";
	unsigned sent = 0;

	(void)state;
	open_raw(PROTO_MASTER);
	send_hello(clone_log.conn, PROTO_MASTER);
	raw_pump(&raw, world.loop, NULL);
	raw_frame(&raw, PROTO_HELLO, wire_clone_hello, strlen(wire_clone_hello), strlen(wire_clone_hello));
	wire_pump(world.loop, &clone_log.frames);
	send_offer(clone_log.conn);
	assert_null(conn_data_buffer(clone_log.conn));
	raw_pump(&raw, world.loop, NULL);
	raw_frame(&raw, PROTO_ACCEPT, accept, sizeof(accept) - 1, sizeof(accept) - 1);
	wire_pump(world.loop, NULL);
	assert_int_equal(conn_state(clone_log.conn), PROTO_S_TRANSFER);
	/* Fill until the socket takes no more; then only life signs come. */
	for (int s = 0; s < 12 && clone_log.closed == 0; s++) {
		while (clone_log.conn != NULL && conn_data_buffer(clone_log.conn) != NULL) {
			assert_int_equal(conn_send_data(clone_log.conn, PROTO_DATA_MAX), KC_OK);
			sent++;
			wire_pump(world.loop, NULL);
		}
		raw_frame(&raw, PROTO_ALIVE, "", 0, 0);
		wire_advance(world.loop, 1000);
	}
	assert_true(sent >= 1);
	expect_end(KC_ETIMEOUT, "the peer took nothing within 4 s");
	close_raw();
}

/* --- two of ours --- */

static struct wire_log a, b; /* master (client), clone (server) */

static void open_pair(void)
{
	struct conn_options mo = wire_options(&world, PROTO_MASTER), co = wire_options(&world, PROTO_CLONE);
	int fds[2];

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	a.conn = conn_from_fd(world.loop, fds[1], false, "clone", &mo, &wire_events, &a);
	b.conn = conn_from_fd(world.loop, fds[0], true, "master", &co, &wire_events, &b);
	wire_pump(world.loop, &b.ready);
	assert_int_equal(a.ready, 1);
	assert_int_equal(b.ready, 1);
	assert_int_equal(conn_verdict(a.conn), PEER_ROLE);
	assert_int_equal(conn_verdict(b.conn), PEER_ROLE);
	assert_int_equal(conn_state(a.conn), PROTO_S_HELLO);
}

static void greet_pair(void)
{
	open_pair();
	send_hello(a.conn, PROTO_MASTER);
	wire_pump(world.loop, &b.frames);
	send_hello(b.conn, PROTO_CLONE);
	wire_pump(world.loop, &a.frames);
	assert_string_equal(b.msg.hello.signing_key, "RW");
	assert_string_equal(a.msg.hello.recipient, "age1q");
}

static void close_pair(void)
{
	if (a.conn != NULL)
		conn_free(a.conn);
	if (b.conn != NULL)
		conn_free(b.conn);
	a.conn = b.conn = NULL;
}

static void accept_offer(void)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));

	b.frames = a.frames = 0;
	send_offer(a.conn);
	wire_pump(world.loop, &b.frames);
	m->type = PROTO_ACCEPT;
	m->accept.offset = 0;
	assert_int_equal(conn_send(b.conn, m), KC_OK);
	wire_pump(world.loop, &a.frames);
	free(m);
}

static void idle_session__keeps_itself_alive(void **state)
{
	(void)state;
	greet_pair();
	for (int s = 0; s < 100; s++)
		wire_advance(world.loop, 1000);
	assert_true(conn_is_open(a.conn));
	assert_true(conn_is_open(b.conn));
	assert_int_equal(a.frames, 1); /* not shown above */
	close_pair();
}

static void send_end(struct conn *c)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));

	m->type = PROTO_END;
	m->end.size = 1;
	strcpy(m->end.sha256, HEX64);
	m->end.recovery_size = m->end.travel_size = 3;
	assert_int_equal(conn_send(c, m), KC_OK);
	free(m);
}

static void data__goes_in_order_and_in_bounded_memory(void **state)
{
	const size_t total = 64u * 1024 * 1024;
	size_t sent = 0;
	struct timespec t0, t1;
	double s;

	(void)state;
	greet_pair();
	accept_offer();
	clock_gettime(CLOCK_MONOTONIC, &t0);
	while (sent < total) {
		uint8_t *p = conn_data_buffer(a.conn);

		if (p == NULL) {
			a.writable = 0;
			loop_turn(world.loop, 1);
			continue;
		}
		memset(p, (int)(sent >> 18), 16);
		assert_int_equal(conn_send_data(a.conn, PROTO_DATA_MAX), KC_OK);
		assert_null(conn_data_buffer(a.conn));
		sent += PROTO_DATA_MAX;
	}
	send_end(a.conn);
	b.frames = 0;
	for (int i = 0; i < 2000 && b.last != PROTO_END; i++)
		loop_turn(world.loop, 1);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	assert_int_equal(b.last, PROTO_END);
	assert_int_equal(b.bytes, total);
	assert_int_equal(conn_state(a.conn), PROTO_S_RESTORE);
	s = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
	print_message("64 MiB through one session, both ends in one thread: %.0f MB/s\n", (double)total / 1e6 / s);
	close_pair();
}

static void control_messages__over_the_bound__are_refused_until_drained(void **state)
{
	struct conn_options mo = wire_options(&world, PROTO_MASTER);
	struct proto_msg *m = mem_xalloc(sizeof(*m));
	int rc = KC_OK, n = 0;

	(void)state;
	(void)mo;
	greet_pair();
	accept_offer();
	send_end(a.conn);
	wire_pump(world.loop, NULL);
	m->type = PROTO_PROGRESS;
	m->progress.percent = 50;
	strcpy(m->progress.phase, "restore");
	while ((rc = conn_send(b.conn, m)) == KC_OK)
		n++;
	assert_int_equal(rc, KC_ELIMIT);
	assert_true(n > 1000);
	b.writable = 0;
	a.frames = 0;
	for (int i = 0; i < 3000 && a.frames < (unsigned)n; i++)
		loop_turn(world.loop, 1);
	assert_int_equal(a.frames, n);
	assert_true(b.writable >= 1);
	assert_int_equal(conn_send(b.conn, m), KC_OK);
	close_pair();
	free(m);
}

static void send__what_the_table_or_the_peer_would_refuse__is_refused_here(void **state)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));

	(void)state;
	open_pair();
	m->type = PROTO_ACCEPT;
	assert_int_equal(conn_send(b.conn, m), KC_EPROTO);
	assert_string_equal(err_text(KC_EPROTO), "accept is not allowed in state hello");
	m->type = PROTO_HELLO;
	assert_int_equal(conn_send(a.conn, m), KC_EPROTO);
	assert_true(conn_is_open(a.conn));
	close_pair();
	free(m);
}

static void want_writable__comes_once_at_the_next_turn(void **state)
{
	(void)state;
	greet_pair();
	accept_offer();
	a.writable = 0;
	conn_want_writable(a.conn);
	assert_int_equal(a.writable, 0);
	wire_pump(world.loop, NULL);
	assert_int_equal(a.writable, 1);
	close_pair();
}

/* --- ends --- */

static void finish__lets_everything_arrive(void **state)
{
	(void)state;
	greet_pair();
	accept_offer();
	assert_non_null(conn_data_buffer(a.conn));
	assert_int_equal(conn_send_data(a.conn, PROTO_DATA_MAX), KC_OK);
	conn_finish(a.conn);
	assert_false(conn_is_open(a.conn));
	for (int i = 0; i < 1000 && (a.closed == 0 || b.closed == 0); i++)
		loop_turn(world.loop, 1);
	assert_int_equal(b.bytes, PROTO_DATA_MAX);
	assert_int_equal(b.rc, KC_OK);
	assert_string_equal(b.text, "ended by the peer");
	assert_int_equal(a.rc, KC_OK);
	assert_int_equal(a.closed, 1);
	assert_int_equal(wire_warnings, 0);
}

static void abort__tells_the_peer_why(void **state)
{
	(void)state;
	greet_pair();
	conn_abort(b.conn, err_set(KC_ENOSPC, "no room: have 1, need 2"));
	assert_int_equal(b.closed, 0); /* never from inside a call */
	wire_pump(world.loop, &a.closed);
	wire_pump(world.loop, &b.closed);
	assert_int_equal(a.rc, KC_ENOSPC);
	assert_string_equal(a.text, "the peer ended the session: no room: have 1, need 2");
	assert_int_equal(b.rc, KC_ENOSPC);
	assert_string_equal(b.text, "no room: have 1, need 2");
}

static void abort__while_the_peer_still_sends__is_not_lost(void **state)
{
	int frames = 0;

	(void)state;
	greet_pair();
	accept_offer();
	while (frames < 200 && a.closed == 0) {
		if (conn_data_buffer(a.conn) != NULL) {
			assert_int_equal(conn_send_data(a.conn, PROTO_DATA_MAX), KC_OK);
			if (++frames == 20)
				conn_abort(b.conn, err_set(KC_ENOSPC, "disk full"));
		}
		loop_turn(world.loop, 1);
	}
	assert_int_equal(a.rc, KC_ENOSPC);
	assert_string_equal(a.text, "the peer ended the session: disk full");
	wire_pump(world.loop, &b.closed);
	assert_int_equal(b.closed, 1);
}

static void finish__to_a_peer_that_does_not_read__is_bounded(void **state)
{
	(void)state;
	open_raw(PROTO_CLONE);
	raw_greet();
	conn_finish(clone_log.conn);
	wire_pump(world.loop, NULL);
	assert_int_equal(clone_log.closed, 0);
	wire_advance(world.loop, 1010);
	assert_int_equal(clone_log.closed, 1);
	assert_int_equal(clone_log.rc, KC_OK);
	close_raw();
}

static void on_ready_frees(struct conn *c, void *arg)
{
	struct wire_log *log = arg;

	log->ready++;
	log->conn = NULL;
	conn_free(c);
}

static void free__inside_callbacks__is_safe(void **state)
{
	struct conn_events events = wire_events;
	struct conn_options co = wire_options(&world, PROTO_CLONE), mo = wire_options(&world, PROTO_MASTER);
	int fds[2];

	(void)state;
	/* in on_frame */
	open_pair();
	b.free_in_frame = true;
	send_hello(a.conn, PROTO_MASTER);
	wire_pump(world.loop, &a.closed);
	assert_int_equal(b.frames, 1);
	assert_int_equal(b.closed, 0);
	assert_int_equal(a.closed, 1);
	assert_int_equal(a.rc, KC_ENET);
	/* in on_frame, and an error as well */
	open_pair();
	b.free_in_frame = true;
	b.answer = KC_EPROTO;
	send_hello(a.conn, PROTO_MASTER);
	wire_pump(world.loop, &a.closed);
	assert_int_equal(a.closed, 1);
	/* in on_ready */
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	events.on_ready = on_ready_frees;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	a.conn = conn_from_fd(world.loop, fds[1], false, "c", &mo, &wire_events, &a);
	b.conn = conn_from_fd(world.loop, fds[0], true, "m", &co, &events, &b);
	wire_pump(world.loop, &a.closed);
	assert_int_equal(b.ready, 1);
	assert_int_equal(a.closed, 1);
	/* before anything happened */
	memset(&a, 0, sizeof(a));
	conn_free(conn_connect(world.loop, "127.0.0.1", 1, &mo, &wire_events, &a));
	conn_free(conn_connect(world.loop, "localhost", 1, &mo, &wire_events, &a));
	wire_pump(world.loop, NULL);
	assert_int_equal(a.closed, 0);
	conn_free(NULL);
}

static void frames__of_a_busy_peer__do_not_starve_the_loop(void **state)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));
	unsigned before;

	(void)state;
	greet_pair();
	accept_offer();
	send_end(a.conn);
	wire_pump(world.loop, NULL);
	m->type = PROTO_PROGRESS;
	strcpy(m->progress.phase, "restore");
	for (int i = 0; i < 1000; i++)
		assert_int_equal(conn_send(b.conn, m), KC_OK);
	before = a.frames;
	for (int i = 0; i < 20; i++) {
		unsigned last = a.frames;

		loop_turn(world.loop, 1);
		/* by the descriptor, and once more by the timer */
		assert_true(a.frames - last <= 64);
	}
	for (int i = 0; i < 1000 && a.frames - before < 1000; i++)
		loop_turn(world.loop, 1);
	assert_int_equal(a.frames - before, 1000);
	close_pair();
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames__outside_the_table__end_the_session),
		cmocka_unit_test(frame__that_its_handler_refuses__ends_the_session),
		cmocka_unit_test(stream__broken_below_tls__ends_the_session),
		cmocka_unit_test(ends__by_the_peer__are_told_apart),
		cmocka_unit_test(silence__before_the_hello__ends_in_time),
		cmocka_unit_test(silence__when_idle__ends_in_time),
		cmocka_unit_test(single_bytes__of_a_frame__do_not_keep_a_session),
		cmocka_unit_test(owner_deadline__passes__whatever_the_peer_says),
		cmocka_unit_test(peer__that_takes_nothing__ends_in_time_though_it_talks),
		cmocka_unit_test(idle_session__keeps_itself_alive),
		cmocka_unit_test(data__goes_in_order_and_in_bounded_memory),
		cmocka_unit_test(control_messages__over_the_bound__are_refused_until_drained),
		cmocka_unit_test(send__what_the_table_or_the_peer_would_refuse__is_refused_here),
		cmocka_unit_test(want_writable__comes_once_at_the_next_turn),
		cmocka_unit_test(finish__lets_everything_arrive),
		cmocka_unit_test(abort__tells_the_peer_why),
		cmocka_unit_test(abort__while_the_peer_still_sends__is_not_lost),
		cmocka_unit_test(finish__to_a_peer_that_does_not_read__is_bounded),
		cmocka_unit_test(free__inside_callbacks__is_safe),
		cmocka_unit_test(frames__of_a_busy_peer__do_not_starve_the_loop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
