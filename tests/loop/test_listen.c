/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting and listening: names and addresses, ports in use, and what strangers may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/loop/wire.h"

static struct wire_world world;
static struct wire_log accepted[8];
static unsigned sessions, refusals;
static int refused_rc;
static char refused_text[600];

static void on_session(struct conn *c, void *arg)
{
	struct wire_log *log = &accepted[sessions++ % 8];

	(void)arg;
	memset(log, 0, sizeof(*log));
	log->conn = c;
	conn_set_events(c, &wire_events, log);
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	(void)address, (void)v, (void)arg;
	refusals++;
	refused_rc = rc;
	snprintf(refused_text, sizeof(refused_text), "%s", text);
}

static const struct conn_listen_events events = { on_session, on_refused };

static struct conn_listener *listen_with(const char *address, unsigned half_open, unsigned per_address, unsigned max)
{
	struct conn_listen_options o = {
		.address = address, .half_open = half_open, .half_open_per_address = per_address, .sessions = max
	};
	struct conn_listener *ln = NULL;

	o.conn = wire_options(&world, PROTO_CLONE);
	sessions = refusals = 0;
	assert_int_equal(conn_listen(&ln, world.loop, &o, &events, NULL), KC_OK);
	return ln;
}

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

static void drop_sessions(void)
{
	for (unsigned i = 0; i < sessions && i < 8; i++)
		if (accepted[i].conn != NULL)
			conn_free(accepted[i].conn);
	wire_pump(world.loop, NULL);
}

static void connect_by(const char *host, uint16_t port, struct wire_log *log)
{
	struct conn_options o = wire_options(&world, PROTO_MASTER);

	o.rule.host = "localhost";
	memset(log, 0, sizeof(*log));
	log->conn = conn_connect(world.loop, host, port, &o, &wire_events, log);
	for (int i = 0; i < 3000 && log->ready == 0 && log->closed == 0; i++)
		loop_turn(world.loop, 1);
}

static void connect__names_and_addresses_of_both_families__work(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "::1", "[::1]", "localhost" };
	static const char *const addresses[] = { "127.0.0.1", "::1", "::1", NULL };
	struct conn_listener *ln = listen_with("any", 0, 0, 0);
	struct wire_log log;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		connect_by(hosts[i], conn_listener_port(ln), &log);
		if (log.ready == 0 && strchr(hosts[i], ':') != NULL && strstr(log.text, "cannot connect") != NULL)
			continue; /* a machine without IPv6 */
		if (log.ready == 0)
			print_error("%s: %s\n", hosts[i], log.text);
		assert_int_equal(log.ready, 1);
		if (addresses[i] != NULL)
			assert_string_equal(conn_address(log.conn), addresses[i]);
		conn_free(log.conn);
		wire_pump(world.loop, NULL);
	}
	drop_sessions();
	conn_listener_free(ln);
}

static void connect__name_of_a_peer__is_as_given(void **state)
{
	struct wire_log log;

	(void)state;
	connect_by("::1", 1, &log);
	assert_int_equal(log.closed, 1);
	connect_by("127.0.0.1", 1, &log);
	assert_int_equal(log.rc, KC_EREFUSED);
	assert_string_equal(log.text, "connection refused");
	assert_int_equal(log.verdict, PEER_UNDECIDED);
}

static void connect__unknown_name__fails_without_blocking(void **state)
{
	struct wire_log log = { 0 };

	(void)state;
	connect_by("no-such-host.invalid", 1, &log);
	assert_int_equal(log.closed, 1);
	assert_int_equal(log.rc, KC_ENET);
	assert_non_null(strstr(log.text, "no-such-host.invalid cannot be looked up"));
}

static void connect__name_service_that_does_not_answer__ends_in_time(void **state)
{
	struct conn_options o = wire_options(&world, PROTO_MASTER);
	struct wire_log log = { 0 };

	(void)state;
	log.conn = conn_connect(world.loop, "localhost", 1, &o, &wire_events, &log);
	/* The clock goes on before the thread's answer is looked at. */
	loop_fake_advance(world.loop, 2001);
	for (int i = 0; i < 100 && log.closed == 0; i++)
		loop_turn(world.loop, 1);
	assert_int_equal(log.closed, 1);
}

static void listen__port_in_use__is_said_in_one_sentence(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 0, 0, 0), *second = NULL;
	struct conn_listen_options o = { .address = "127.0.0.1", .port = conn_listener_port(ln) };
	char text[64];

	(void)state;
	o.conn = wire_options(&world, PROTO_CLONE);
	assert_int_equal(conn_listen(&second, world.loop, &o, &events, NULL), KC_ECREATE);
	snprintf(text, sizeof(text), "port %u is in use", o.port);
	assert_string_equal(err_text(KC_ECREATE), text);
	o.address = "192.0.2.77";
	assert_int_equal(conn_listen(&second, world.loop, &o, &events, NULL), KC_ECREATE);
	assert_string_equal(err_text(KC_ECREATE), "192.0.2.77: no such address on this machine");
	o.address = "no-such-host.invalid";
	assert_int_equal(conn_listen(&second, world.loop, &o, &events, NULL), KC_ECREATE);
	assert_null(second);
	conn_listener_free(ln);
	conn_listener_free(NULL);
}

static void listen__strangers_of_one_address__are_bounded(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 0, 3, 0);
	int fds[5];
	char c;

	(void)state;
	for (int i = 0; i < 5; i++)
		fds[i] = wire_connect(conn_listener_port(ln));
	wire_pump(world.loop, NULL);
	assert_int_equal(refusals, 2);
	assert_int_equal(refused_rc, KC_ELIMIT);
	assert_true(read(fds[4], &c, 1) <= 0);
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	wire_pump(world.loop, NULL);
	assert_int_equal(refusals, 5);
	conn_listener_free(ln);
}

static void listen__too_many_strangers__the_oldest_makes_room(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 2, 100, 0);
	struct wire_log log;
	int fds[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		fds[i] = wire_connect(conn_listener_port(ln));
	wire_pump(world.loop, NULL);
	assert_int_equal(refusals, 0);
	connect_by("127.0.0.1", conn_listener_port(ln), &log);
	wire_pump(world.loop, &sessions);
	assert_int_equal(log.ready, 1);
	assert_int_equal(sessions, 1);
	assert_int_equal(refusals, 1);
	assert_int_equal(refused_rc, KC_ELIMIT);
	close(fds[0]);
	close(fds[1]);
	conn_free(log.conn);
	drop_sessions();
	conn_listener_free(ln);
}

static void listen__strangers_in_a_flood__cost_few_log_lines(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 0, 1000, 0);

	(void)state;
	wire_watch_log();
	for (int i = 0; i < 50; i++) {
		int fd = wire_connect(conn_listener_port(ln));

		assert_true(write(fd, "GET /\r\n", 7) == 7);
		wire_pump(world.loop, NULL);
		close(fd);
	}
	assert_int_equal(refusals, 50);
	assert_int_equal(wire_warnings, 10);
	wire_advance(world.loop, 61000);
	close(wire_connect(conn_listener_port(ln)));
	conn_listener_free(ln);
}

static void listen__more_sessions_than_allowed__are_told_busy(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 0, 0, 1);
	struct wire_log one, two;

	(void)state;
	connect_by("127.0.0.1", conn_listener_port(ln), &one);
	assert_int_equal(one.ready, 1);
	connect_by("127.0.0.1", conn_listener_port(ln), &two);
	wire_pump(world.loop, &two.closed);
	assert_int_equal(two.closed, 1);
	assert_int_equal(two.rc, KC_EBUSY);
	assert_string_equal(two.text, "the peer ended the session: 1 sessions are open, which is the limit");
	wire_pump(world.loop, NULL);
	/* the first one gone, there is room */
	conn_free(one.conn);
	wire_pump(world.loop, &accepted[0].closed);
	connect_by("127.0.0.1", conn_listener_port(ln), &one);
	wire_pump(world.loop, NULL);
	assert_int_equal(one.ready, 1);
	assert_int_equal(one.closed, 0);
	conn_free(one.conn);
	drop_sessions();
	conn_listener_free(ln);
}

static void listen__freed__keeps_sessions_and_drops_strangers(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 0, 0, 0);
	struct wire_log log;
	int fd;
	char c;

	(void)state;
	connect_by("127.0.0.1", conn_listener_port(ln), &log);
	wire_pump(world.loop, &sessions);
	fd = wire_connect(conn_listener_port(ln));
	wire_pump(world.loop, NULL);
	conn_listener_free(ln);
	assert_true(read(fd, &c, 1) <= 0);
	assert_true(conn_is_open(accepted[0].conn));
	assert_true(conn_is_open(log.conn));
	close(fd);
	conn_free(log.conn);
	wire_pump(world.loop, &accepted[0].closed);
	assert_int_equal(accepted[0].closed, 1);
}

static void credentials__replaced__serve_new_sessions_and_keep_old_ones(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 0, 0, 0);
	const struct pki_leaf spec = { .cn = "new", .dns = "localhost", .ip = "127.0.0.1", .role = CERT_ROLE_CLONE };
	struct identity *id = pki_leaf_new(world.own, &spec);
	struct conn_options o = wire_options(&world, PROTO_CLONE);
	struct wire_log old, new;

	(void)state;
	connect_by("127.0.0.1", conn_listener_port(ln), &old);
	assert_int_equal(tls_creds_new(&o.creds, id, pki_trust_new(world.own, NULL, NULL), false), KC_OK);
	conn_listener_set_options(ln, &o);
	tls_creds_unref(o.creds);
	identity_free(id);
	connect_by("127.0.0.1", conn_listener_port(ln), &new);
	wire_pump(world.loop, NULL);
	assert_string_equal(conn_cert(old.conn)->cn, "c.example");
	assert_string_equal(conn_cert(new.conn)->cn, "new");
	assert_true(conn_is_open(old.conn));
	conn_free(old.conn);
	conn_free(new.conn);
	drop_sessions();
	conn_listener_free(ln);
}

static void rule__replaced__decides_about_new_sessions(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 0, 0, 0);
	struct conn_options o = wire_options(&world, PROTO_CLONE);
	char host[] = "other.example";
	struct wire_log old, new;

	(void)state;
	connect_by("127.0.0.1", conn_listener_port(ln), &old);
	o.rule.host = host;
	conn_listener_set_options(ln, &o);
	memset(host, 'x', sizeof(host) - 1); /* it has its own copy */
	connect_by("127.0.0.1", conn_listener_port(ln), &new);
	wire_pump(world.loop, NULL);
	assert_int_equal(sessions, 1);
	assert_int_equal(refusals, 1);
	assert_true(conn_is_open(old.conn));
	conn_free(old.conn);
	conn_free(new.conn);
	drop_sessions();
	conn_listener_free(ln);
}

static void rule__hosts__let_in_who_is_for_one_of_them(void **state)
{
	struct conn_listener *ln = listen_with("127.0.0.1", 0, 0, 0);
	struct conn_options o = wire_options(&world, PROTO_CLONE);
	char host[] = "localhost";
	const char *hosts[] = { "other.example", host, NULL };
	const struct pki_leaf spec = { .cn = "x", .dns = "localhost", .ip = "127.0.0.1" };
	struct identity *id = pki_leaf_new(world.other, &spec);
	struct tls_creds *own = world.master_creds;
	struct wire_log in, out;

	(void)state;
	assert_int_equal(tls_creds_new(&world.master_creds, id, pki_trust_new(world.own, NULL, NULL), false), KC_OK);
	o.rule.hosts = hosts;
	conn_listener_set_options(ln, &o);
	memset(host, 'x', sizeof(host) - 1); /* it has its own copy */
	connect_by("127.0.0.1", conn_listener_port(ln), &in);
	hosts[1] = NULL;
	conn_listener_set_options(ln, &o);
	connect_by("127.0.0.1", conn_listener_port(ln), &out);
	wire_pump(world.loop, NULL);
	assert_int_equal(sessions, 1);
	assert_int_equal(refusals, 1);
	conn_free(in.conn);
	conn_free(out.conn);
	tls_creds_unref(world.master_creds);
	world.master_creds = own;
	identity_free(id);
	drop_sessions();
	conn_listener_free(ln);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connect__names_and_addresses_of_both_families__work),
		cmocka_unit_test(connect__name_of_a_peer__is_as_given),
		cmocka_unit_test(connect__unknown_name__fails_without_blocking),
		cmocka_unit_test(connect__name_service_that_does_not_answer__ends_in_time),
		cmocka_unit_test(listen__port_in_use__is_said_in_one_sentence),
		cmocka_unit_test(listen__strangers_of_one_address__are_bounded),
		cmocka_unit_test(listen__too_many_strangers__the_oldest_makes_room),
		cmocka_unit_test(listen__strangers_in_a_flood__cost_few_log_lines),
		cmocka_unit_test(listen__more_sessions_than_allowed__are_told_busy),
		cmocka_unit_test(listen__freed__keeps_sessions_and_drops_strangers),
		cmocka_unit_test(credentials__replaced__serve_new_sessions_and_keep_old_ones),
		cmocka_unit_test(rule__replaced__decides_about_new_sessions),
		cmocka_unit_test(rule__hosts__let_in_who_is_for_one_of_them),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
