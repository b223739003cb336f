/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push and receive against peers that are authorised and do not behave: silent in each state, beyond what they said,
 * out of order, never reading; and twenty clones of which one stands still.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "rig.h"

#define MIB (1024u * 1024)

/* --- a peer made by hand ---------------------------------------------------------------------------------------- */

enum upto { UPTO_NOTHING, UPTO_HELLO, UPTO_ACCEPT, UPTO_EARLY_RESULT, UPTO_WRONG_RECEIPT, UPTO_FAR_OFFSET };

struct raw {
	struct rig *rig;
	struct conn_listener *listener;
	struct conn *conn;
	enum upto upto; /* a clone goes so far, then it is silent */
	struct proto_msg msg;
	int ready, hello, accepted, result, closed, got_end;
	struct proto_result last;
	int rc;
	int data;
	uint64_t room; /* a master: data frames that are left to send */
};

static void send_clone_hello(struct raw *w)
{
	memset(&w->msg, 0, sizeof(w->msg));
	w->msg.type = PROTO_HELLO;
	w->msg.hello.version = 1;
	w->msg.hello.role = PROTO_CLONE;
	strcpy(w->msg.hello.product, "raw");
	strcpy(w->msg.hello.host, "raw.test");
	strcpy(w->msg.hello.recipient, "age1raw");
	w->msg.hello.free = 1;
	assert_int_equal(conn_send(w->conn, &w->msg), KC_OK);
}

static void send_raw_result(struct raw *w, const struct proto_offer *offer, bool wrong)
{
	struct proto_result r = { .status = PROTO_RESTORED, .generation = offer->generation };

	strcpy(r.receipt, wrong ? RIG_LINEAGE : offer->receipt);
	w->msg.type = PROTO_RESULT;
	w->msg.result = r;
	assert_int_equal(conn_send(w->conn, &w->msg), KC_OK);
}

static struct proto_offer raw_offer;

static int clone_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct raw *w = arg;

	if (type == PROTO_HELLO && w->upto >= UPTO_HELLO)
		send_clone_hello(w);
	if (type == PROTO_OFFER && w->upto >= UPTO_ACCEPT) {
		assert_int_equal(proto_decode(&w->msg, PROTO_MASTER, type, payload, n), KC_OK);
		raw_offer = w->msg.offer;
		w->msg.type = PROTO_ACCEPT;
		w->msg.accept.offset = w->upto == UPTO_FAR_OFFSET ? 1u << 30 : 0;
		assert_int_equal(conn_send(c, &w->msg), KC_OK);
		w->accepted++;
		if (w->upto == UPTO_EARLY_RESULT)
			send_raw_result(w, &raw_offer, false);
	}
	if (type == PROTO_DATA)
		w->data++;
	if (type == PROTO_END) {
		w->got_end++;
		if (w->upto == UPTO_WRONG_RECEIPT)
			send_raw_result(w, &raw_offer, true);
	}
	return KC_OK;
}

static void raw_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct raw *w = arg;

	(void)c, (void)text;
	w->closed++;
	w->rc = rc;
}

static void raw_session(struct conn *c, void *arg)
{
	static const struct conn_events events = { .on_frame = clone_frame, .on_closed = raw_closed };
	struct raw *w = arg;

	w->conn = c;
	conn_set_events(c, &events, w);
}

static void raw_clone_start(struct raw *w, struct rig *rig, enum upto upto)
{
	static const struct conn_listen_events events = { .on_session = raw_session };
	struct conn_listen_options o = { .address = "127.0.0.1" };

	memset(w, 0, sizeof(*w));
	w->rig = rig;
	w->upto = upto;
	o.conn.creds = rig->clone;
	o.conn.self = PROTO_CLONE;
	o.conn.keepalive_ms = 50; /* being alive is not an answer */
	o.conn.rule.role = PROTO_MASTER;
	assert_int_equal(conn_listen(&w->listener, rig->loop, &o, &events, w), KC_OK);
}

static void raw_stop(struct raw *w)
{
	conn_free(w->conn);
	conn_listener_free(w->listener);
}

static void master_ready(struct conn *c, void *arg)
{
	struct raw *w = arg;

	w->ready++;
	if (w->upto < UPTO_HELLO)
		return;
	memset(&w->msg, 0, sizeof(w->msg));
	w->msg.type = PROTO_HELLO;
	w->msg.hello.version = 1;
	w->msg.hello.role = PROTO_MASTER;
	strcpy(w->msg.hello.product, "raw");
	strcpy(w->msg.hello.host, "raw.test");
	strcpy(w->msg.hello.lineage, RIG_LINEAGE);
	strcpy(w->msg.hello.signing_key, "RWQraw");
	assert_int_equal(conn_send(c, &w->msg), KC_OK);
}

static int master_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct raw *w = arg;

	(void)c;
	assert_int_equal(proto_decode(&w->msg, PROTO_CLONE, type, payload, n), KC_OK);
	if (type == PROTO_HELLO)
		w->hello++;
	if (type == PROTO_ACCEPT)
		w->accepted++;
	if (type == PROTO_RESULT) {
		w->result++;
		w->last = w->msg.result;
	}
	return KC_OK;
}

static void master_writable(struct conn *c, void *arg)
{
	struct raw *w = arg;
	uint8_t *frame = conn_data_buffer(c);

	if (frame == NULL || w->room == 0)
		return;
	w->room--;
	memset(frame, 'x', PROTO_DATA_MAX);
	assert_int_equal(conn_send_data(c, PROTO_DATA_MAX), KC_OK);
}

static void raw_master_start(struct raw *w, struct rig *rig, uint16_t port, enum upto upto)
{
	static const struct conn_events events = {
		.on_ready = master_ready,
		.on_frame = master_frame,
		.on_writable = master_writable,
		.on_closed = raw_closed,
	};
	struct conn_options o = {
		.creds = rig->master,
		.rule = { .role = PROTO_CLONE, .host = "127.0.0.1" },
		.self = PROTO_MASTER,
	};

	memset(w, 0, sizeof(*w));
	w->rig = rig;
	w->upto = upto;
	w->conn = conn_connect(rig->loop, "127.0.0.1", port, &o, &events, w);
}

static void raw_offer_file(struct raw *w, const struct rig_backup *b)
{
	assert_true(rig_until(w->rig, &w->hello));
	w->msg.type = PROTO_OFFER;
	w->msg.offer = b->file.offer;
	assert_int_equal(conn_send(w->conn, &w->msg), KC_OK);
}

/* --- clones that do not behave ---------------------------------------------------------------------------------- */

static void against_clone(struct rig *rig, struct rig_master *m, enum upto upto, size_t payload)
{
	struct raw w;
	struct rig_backup b;

	raw_clone_start(&w, rig, upto);
	rig_backup_init(&b, rig, 1, payload);
	rig_backup_finish(&b);
	rig_master_start_with(m, rig, conn_listener_port(w.listener), rig->master, 400, 0);
	if (upto >= UPTO_HELLO) {
		assert_true(rig_until(rig, &m->ready));
		assert_int_equal(push_offer(m->push, &b.file), KC_OK);
		assert_int_equal(push_end(m->push, &b.end), KC_OK);
	}
	assert_true(rig_until(rig, &m->closed));
	assert_int_equal(m->how, PUSH_FAILED);
	assert_int_equal(m->results, 0);
	assert_null(push_current(m->push));
	rig_backup_fini(&b);
	rig_master_stop(m);
	raw_stop(&w);
}

static void clone__silent_after_tls__times_out(void **state)
{
	struct rig_master m;

	against_clone(*state, &m, UPTO_NOTHING, 100);
	assert_int_equal(m.rc, KC_ETIMEOUT);
	assert_int_equal(m.ready, 0);
}

static void clone__silent_after_offer__times_out(void **state)
{
	struct rig_master m;

	against_clone(*state, &m, UPTO_HELLO, 100);
	assert_int_equal(m.rc, KC_ETIMEOUT);
	assert_non_null(strstr(m.text, "answer to the offer"));
}

static void clone__silent_after_end__times_out(void **state)
{
	struct rig_master m;

	against_clone(*state, &m, UPTO_ACCEPT, 100000);
	assert_int_equal(m.rc, KC_ETIMEOUT);
	assert_non_null(strstr(m.text, "progress of the restore"));
	assert_int_equal(m.sent, 100000);
}

static void clone__result_before_the_end__protocol_error(void **state)
{
	struct rig_master m;

	against_clone(*state, &m, UPTO_EARLY_RESULT, 20 * MIB);
	assert_int_equal(m.rc, KC_EPROTO);
}

static void clone__receipt_of_another_offer__protocol_error(void **state)
{
	struct rig_master m;

	against_clone(*state, &m, UPTO_WRONG_RECEIPT, 1000);
	assert_int_equal(m.rc, KC_EPROTO);
}

static void clone__offset_beyond_the_file__protocol_error(void **state)
{
	struct rig_master m;

	against_clone(*state, &m, UPTO_FAR_OFFSET, 1000);
	assert_int_equal(m.rc, KC_EPROTO);
}

/* A clone in a process of its own that takes the offer and a little data, and then stands still with the session open.
 */
static pid_t still_clone(uint16_t *port, struct rig *rig)
{
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct rig own = *rig;
		struct raw w;

		own.loop = loop_new();
		raw_clone_start(&w, &own, UPTO_ACCEPT);
		*port = conn_listener_port(w.listener);
		if (write(ends[1], port, sizeof(*port)) != sizeof(*port) || !rig_until(&own, &w.data))
			_exit(1);
		for (;;)
			pause();
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], port, sizeof(*port)), sizeof(*port));
	close(ends[0]);
	return pid;
}

static void fleet__twenty_clones_one_stands_still__others_finish(void **state)
{
	struct rig *rig = *state;
	struct rig_clone clones[19];
	struct rig_master masters[20];
	struct rig_backup b;
	uint16_t port;
	pid_t still = still_clone(&port, rig);
	char name[16];

	rig_backup_init(&b, rig, 1, 12 * MIB);
	rig_backup_finish(&b);
	rig_master_start_with(&masters[19], rig, port, rig->master, 2000, 0);
	for (unsigned i = 0; i < 19; i++) {
		snprintf(name, sizeof(name), "clone%u", i);
		rig_clone_start(&clones[i], rig, name);
		rig_master_start(&masters[i], rig, receive_port(clones[i].receive));
	}
	for (unsigned i = 0; i < 20; i++) {
		assert_true(rig_until(rig, &masters[i].ready));
		assert_int_equal(push_offer(masters[i].push, &b.file), KC_OK);
		assert_int_equal(push_end(masters[i].push, &b.end), KC_OK);
	}
	for (unsigned i = 0; i < 19; i++) {
		assert_true(rig_until(rig, &masters[i].results));
		assert_int_equal(masters[i].result.status, PROTO_RESTORED);
		assert_true(rig_clone_has(&clones[i], &b));
	}
	assert_true(rig_until(rig, &masters[19].closed));
	assert_int_equal(masters[19].rc, KC_ETIMEOUT);
	assert_int_equal(masters[19].results, 0);
	for (unsigned i = 0; i < 19; i++)
		rig_clone_stop(&clones[i]);
	for (unsigned i = 0; i < 20; i++)
		rig_master_stop(&masters[i]);
	rig_backup_fini(&b);
	kill(still, SIGKILL);
	waitpid(still, NULL, 0);
}

/* --- masters that do not behave --------------------------------------------------------------------------------- */

static void master__more_data_than_offered__failed_and_dropped(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_backup b;
	struct raw w;

	rig_clone_start(&c, rig, "clone");
	raw_master_start(&w, rig, receive_port(c.receive), UPTO_HELLO);
	rig_backup_init(&b, rig, 1, MIB);
	raw_offer_file(&w, &b);
	assert_true(rig_until(rig, &w.accepted));
	w.room = 100;
	conn_want_writable(w.conn);
	assert_true(rig_until(rig, &w.result));
	assert_int_equal(w.last.status, PROTO_FAILED);
	assert_string_equal(w.last.error, "KC_ELIMIT");
	assert_int_equal(c.failure, KC_ELIMIT);
	assert_true(c.bytes <= b.file.offer.room);
	assert_false(rig_clone_has_part(&c, &b));
	assert_true(rig_until(rig, &c.ended));
	assert_false(receive_busy(c.receive));
	rig_backup_fini(&b);
	raw_stop(&w);
	rig_clone_stop(&c);
}

static void master__silent_in_transfer__stalls_and_frees_the_clone(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_backup b;
	struct raw w;

	rig_clone_start_with(&c, rig, "clone", 300, 0);
	raw_master_start(&w, rig, receive_port(c.receive), UPTO_HELLO);
	rig_backup_init(&b, rig, 1, MIB);
	raw_offer_file(&w, &b);
	assert_true(rig_until(rig, &w.accepted));
	assert_true(receive_busy(c.receive));
	assert_true(rig_until(rig, &c.failed));
	assert_int_equal(c.failure, KC_ETIMEOUT);
	assert_false(receive_busy(c.receive));
	assert_true(rig_until(rig, &w.closed));
	rig_backup_fini(&b);
	raw_stop(&w);
	rig_clone_stop(&c);
}

static void master__end_at_another_size__failed(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_backup b;
	struct raw w;

	rig_clone_start(&c, rig, "clone");
	raw_master_start(&w, rig, receive_port(c.receive), UPTO_HELLO);
	rig_backup_init(&b, rig, 1, MIB);
	raw_offer_file(&w, &b);
	assert_true(rig_until(rig, &w.accepted));
	w.msg.type = PROTO_END;
	w.msg.end = b.end;
	assert_int_equal(conn_send(w.conn, &w.msg), KC_OK);
	assert_true(rig_until(rig, &w.result));
	assert_string_equal(w.last.error, "KC_ETRUNCATED");
	assert_int_equal(c.stored, 0);
	assert_false(rig_clone_has_part(&c, &b));
	rig_backup_fini(&b);
	raw_stop(&w);
	rig_clone_stop(&c);
}

/* The clone's own restore takes long: it says so by itself, and the master waits. */
static void clone__long_restore__kept_alive_by_progress(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	rig_clone_start_with(&c, rig, "clone", 0, 100);
	c.restore_ms = 1500;
	rig_master_start_with(&m, rig, receive_port(c.receive), rig->master, 400, 0);
	assert_true(rig_until(rig, &m.ready));
	rig_backup_init(&b, rig, 1, 1000);
	rig_backup_finish(&b);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_int_equal(push_end(m.push, &b.end), KC_OK);
	assert_true(rig_until(rig, &m.results));
	assert_int_equal(m.result.status, PROTO_RESTORED);
	assert_true(m.restoring >= 10);
	rig_backup_fini(&b);
	rig_master_stop(&m);
	rig_clone_stop(&c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		rig_test(clone__silent_after_tls__times_out),
		rig_test(clone__silent_after_offer__times_out),
		rig_test(clone__silent_after_end__times_out),
		rig_test(clone__result_before_the_end__protocol_error),
		rig_test(clone__receipt_of_another_offer__protocol_error),
		rig_test(clone__offset_beyond_the_file__protocol_error),
		rig_test(fleet__twenty_clones_one_stands_still__others_finish),
		rig_test(master__more_data_than_offered__failed_and_dropped),
		rig_test(master__silent_in_transfer__stalls_and_frees_the_clone),
		rig_test(master__end_at_another_size__failed),
		rig_test(clone__long_restore__kept_alive_by_progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
