/* SPDX-License-Identifier: Apache-2.0 */
/* Reports at the master's listen port: what is told, taken, told again, and what ends a session. Real TLS, fake clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "replication/report.h"
#include "tests/loop/wire.h"

#define HEX32	"00112233445566778899aabbccddeeff"
#define LINEAGE "ffeeddccbbaa99887766554433221100"

static struct wire_world world;

/* --- a master --- */

static struct master_side {
	struct conn_listener *listener;
	struct report_in *session;
	unsigned hellos, reports, closed, refused, asked;
	bool later; /* the certificate is not there yet */
	struct proto_cert_request request;
	struct proto_cert cert;
	int on_hello, on_report; /* what they return */
	const char *refuse;	 /* … or say */
	int on_request;
	struct proto_report last;
	char recipient[PROTO_KEY];
	int rc;
	char text[600];
} master;

static int on_hello(struct report_in *s, const struct proto_hello *clone, struct proto_hello *ours, void *arg)
{
	(void)arg;
	assert_ptr_equal(report_in_hello(s), clone);
	assert_string_equal(report_in_address(s), "127.0.0.1");
	assert_non_null(report_in_cert(s));
	master.hellos++;
	snprintf(master.recipient, sizeof(master.recipient), "%s", clone->recipient);
	snprintf(ours->host, sizeof(ours->host), "m");
	snprintf(ours->lineage, sizeof(ours->lineage), LINEAGE);
	snprintf(ours->signing_key, sizeof(ours->signing_key), "RWQ");
	return master.on_hello < 0 ? err_set(master.on_hello, "not now") : KC_OK;
}

static int on_report(struct report_in *s, const struct proto_report *r, struct proto_ack *ack, void *arg)
{
	(void)s, (void)arg;
	master.reports++;
	master.last = *r;
	ack->audit_seq = 100 + master.reports;
	if (master.refuse != NULL)
		snprintf(ack->refused, sizeof(ack->refused), "%s", master.refuse);
	return master.on_report < 0 ? err_set(master.on_report, "no room") : KC_OK;
}

static int on_cert_request(struct report_in *s, const struct proto_cert_request *q, void *arg)
{
	(void)arg;
	master.asked++;
	master.request = *q;
	if (master.on_request < 0)
		return err_set(master.on_request, "too often");
	if (!master.later)
		report_in_answer(s, &master.cert);
	return KC_OK;
}

static void on_in_closed(struct report_in *s, int rc, const char *text, void *arg)
{
	(void)arg;
	master.closed++;
	master.rc = rc;
	snprintf(master.text, sizeof(master.text), "%s", text);
	report_in_free(s);
	master.session = NULL;
}

static void on_session(struct conn *c, void *arg)
{
	static const struct report_in_events events = { on_hello, on_report, on_cert_request, on_in_closed };

	(void)arg;
	master.session = report_in_new(c, 3000, &events, NULL);
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	(void)address, (void)v, (void)rc, (void)text, (void)arg;
	master.refused++;
}

/* --- a clone --- */

static struct clone_side {
	struct report_out *out;
	unsigned left; /* to be told, number `left` first */
	unsigned acks, closed;
	unsigned wants; /* certificates */
	struct proto_cert cert;
	unsigned certs;
	bool again; /* the last one was not acknowledged */
	struct proto_ack last;
	int on_hello;
	bool free_in_ack;
	int rc;
	char text[600];
} clone;

static int on_greeted(const struct proto_hello *m, void *arg)
{
	(void)arg;
	assert_string_equal(m->lineage, LINEAGE);
	return clone.on_hello < 0 ? err_set(clone.on_hello, "it is of another lineage") : KC_OK;
}

static bool next(struct proto_report *r, void *arg)
{
	(void)arg;
	if (clone.left == 0)
		return false;
	snprintf(r->receipt, sizeof(r->receipt), "%032x", clone.left);
	snprintf(r->lineage, sizeof(r->lineage), LINEAGE);
	r->generation = clone.left;
	r->status = PROTO_RESTORED;
	return true;
}

static void on_ack(const struct proto_ack *ack, void *arg)
{
	(void)arg;
	clone.acks++;
	clone.left--;
	clone.last = *ack;
	if (clone.free_in_ack) {
		report_out_free(clone.out);
		clone.out = NULL;
	}
}

static bool ask(struct proto_cert_request *q, void *arg)
{
	(void)arg;
	if (clone.wants == 0)
		return false;
	q->purpose = PROTO_C_RENEW;
	q->csr_size = (size_t)snprintf((char *)q->csr, sizeof(q->csr), "please, number %u", clone.wants);
	return true;
}

static void on_cert(const struct proto_cert *cert, void *arg)
{
	(void)arg;
	clone.certs++;
	clone.wants--;
	clone.cert = *cert;
}

static void on_out_closed(int rc, const char *text, void *arg)
{
	(void)arg;
	clone.closed++;
	clone.rc = rc;
	snprintf(clone.text, sizeof(clone.text), "%s", text);
	report_out_free(clone.out);
	clone.out = NULL;
}

static const struct report_out_events clone_events = { on_greeted, next, on_ack, on_out_closed, ask, on_cert };

static void call_with(uint16_t port, struct tls_creds *creds)
{
	struct proto_hello h = { .host = "c", .recipient = "age1xyz", .free = 1 };
	struct report_out_options o = {
		.host = "127.0.0.1", .port = port, .hello = &h, .ack_ms = 2000, .cert_ms = 100000
	};

	o.conn = wire_options(&world, PROTO_CLONE);
	if (creds != NULL)
		o.conn.creds = creds;
	clone.closed = 0;
	clone.out = report_out_start(world.loop, &o, &clone_events, NULL);
}

static void call(unsigned reports)
{
	clone.left = reports;
	call_with(conn_listener_port(master.listener), NULL);
	wire_pump(world.loop, NULL);
}

static int setup(void **state)
{
	static const struct conn_listen_events events = { on_session, on_refused };
	struct conn_listen_options o = { .address = "127.0.0.1" };

	(void)state;
	wire_world_init(&world);
	memset(&master, 0, sizeof(master));
	memset(&clone, 0, sizeof(clone));
	o.conn = wire_options(&world, PROTO_MASTER);
	o.conn.rule.host = NULL;
	return conn_listen(&master.listener, world.loop, &o, &events, NULL);
}

static int teardown(void **state)
{
	(void)state;
	report_out_free(clone.out);
	report_in_free(master.session);
	conn_listener_free(master.listener);
	wire_world_fini(&world);
	return 0;
}

/* --- tests --- */

static void report__three_of_them__are_acknowledged_in_turn(void **state)
{
	(void)state;
	call(3);
	assert_int_equal(master.hellos, 1);
	assert_string_equal(master.recipient, "age1xyz");
	assert_int_equal(master.reports, 3);
	assert_int_equal(master.last.generation, 1);
	assert_int_equal(clone.acks, 3);
	assert_int_equal(clone.last.audit_seq, 103);
	assert_string_equal(clone.last.receipt, "00000000000000000000000000000001");
	assert_int_equal(clone.closed, 1);
	assert_int_equal(clone.rc, KC_OK);
	assert_int_equal(master.closed, 1);
	assert_int_equal(master.rc, KC_OK);
}

static void report__none__is_a_greeting(void **state)
{
	(void)state;
	call(0);
	assert_int_equal(master.hellos, 1);
	assert_int_equal(master.reports, 0);
	assert_int_equal(clone.rc, KC_OK);
	assert_int_equal(clone.closed, 1);
	assert_int_equal(master.closed, 1);
}

static void give(const char *certificate, const char *refused)
{
	memset(&master.cert, 0, sizeof(master.cert));
	master.cert.certificate_size =
	    (size_t)snprintf((char *)master.cert.certificate, sizeof(master.cert.certificate), "%s", certificate);
	snprintf(master.cert.refused, sizeof(master.cert.refused), "%s", refused);
}

static void certificate__asked_for__comes_after_the_reports(void **state)
{
	(void)state;
	give("a chain", "");
	clone.wants = 2;
	call(1);
	assert_int_equal(clone.acks, 1);
	assert_int_equal(master.asked, 2);
	assert_int_equal(master.request.purpose, PROTO_C_RENEW);
	assert_memory_equal(master.request.csr, "please, number 1", master.request.csr_size);
	assert_int_equal(clone.certs, 2);
	assert_memory_equal(clone.cert.certificate, "a chain", clone.cert.certificate_size);
	assert_int_equal(clone.closed, 1);
	assert_int_equal(clone.rc, KC_OK);
	assert_int_equal(master.rc, KC_OK);
}

static void certificate__refused__is_told_why(void **state)
{
	(void)state;
	give("", "it is revoked");
	clone.wants = 1;
	call(0);
	assert_string_equal(clone.cert.refused, "it is revoked");
	assert_int_equal(clone.rc, KC_OK);
	master.on_request = KC_ELIMIT;
	clone.wants = 1;
	call(0);
	assert_int_equal(clone.certs, 1);
	assert_true(clone.rc < 0);
	assert_non_null(strstr(clone.text, "too often"));
}

static void certificate__neither_it_nor_a_reason__ends_the_session(void **state)
{
	(void)state;
	give("", "");
	clone.wants = 1;
	call(0);
	assert_int_equal(clone.certs, 0);
	assert_int_equal(clone.rc, KC_EPROTO);
}

/* The master's worker may have a backup to make first: neither side's deadlines for reports count meanwhile. */
static void certificate__that_takes_minutes__is_waited_for(void **state)
{
	(void)state;
	give("a chain", "");
	master.later = true;
	clone.wants = 1;
	call(0);
	assert_int_equal(master.asked, 1);
	for (unsigned i = 0; i < 90; i++) {
		loop_fake_advance(world.loop, 1000);
		wire_pump(world.loop, NULL);
	}
	assert_int_equal(clone.closed, 0);
	report_in_answer(master.session, &master.cert);
	wire_pump(world.loop, NULL);
	assert_int_equal(clone.certs, 1);
	assert_int_equal(clone.rc, KC_OK);
	master.later = true;
	clone.wants = 1;
	call(0);
	for (unsigned i = 0; i < 101; i++) {
		loop_fake_advance(world.loop, 1000);
		wire_pump(world.loop, NULL);
	}
	assert_int_equal(clone.closed, 1);
	assert_int_equal(clone.rc, KC_ETIMEOUT);
}

static void report__not_believed__is_told_and_ends_the_session(void **state)
{
	(void)state;
	master.refuse = "its receipt is not one of ours";
	call(2);
	assert_int_equal(clone.acks, 1);
	assert_string_equal(clone.last.refused, "its receipt is not one of ours");
	assert_int_equal(clone.closed, 1);
	assert_true(clone.rc < 0);
	assert_int_equal(clone.left, 1);
	master.refuse = NULL;
	call(1);
	assert_int_equal(clone.rc, KC_OK);
	assert_int_equal(clone.left, 0);
}

static void report__that_cannot_be_kept__comes_again(void **state)
{
	(void)state;
	master.on_report = KC_ENOSPC;
	call(1);
	assert_int_equal(clone.acks, 0);
	assert_int_equal(clone.closed, 1);
	assert_true(clone.rc < 0);
	assert_non_null(strstr(clone.text, "no room"));
	master.on_report = KC_OK;
	call(clone.left);
	assert_int_equal(master.reports, 2);
	assert_string_equal(master.last.receipt, "00000000000000000000000000000001");
	assert_int_equal(clone.acks, 1);
}

static void report__to_a_master_of_another_lineage__is_kept(void **state)
{
	(void)state;
	clone.on_hello = KC_EFOREIGN;
	call(1);
	assert_int_equal(master.reports, 0);
	assert_int_equal(clone.left, 1);
	assert_int_equal(clone.rc, KC_EFOREIGN);
	assert_string_equal(clone.text, "it is of another lineage");
}

static void report__greeting_that_is_refused__says_why(void **state)
{
	(void)state;
	master.on_hello = KC_EBUSY;
	call(1);
	assert_int_equal(clone.left, 1);
	assert_non_null(strstr(clone.text, "not now"));
}

static void report__from_a_stranger__is_refused_before_the_first_frame(void **state)
{
	const struct pki_leaf leaf = { .cn = "c.example", .ip = "127.0.0.1", .role = CERT_ROLE_CLONE };
	struct identity *id = pki_leaf_new(world.rogue, &leaf);
	struct tls_creds *creds;

	(void)state;
	assert_int_equal(tls_creds_new(&creds, id, pki_trust_new(world.own, NULL, NULL), false), KC_OK);
	identity_free(id);
	clone.left = 1;
	call_with(conn_listener_port(master.listener), creds);
	wire_pump(world.loop, NULL);
	assert_int_equal(master.refused, 1);
	assert_int_equal(master.hellos, 0);
	assert_int_equal(clone.left, 1);
	assert_int_equal(clone.closed, 1);
	assert_int_equal(clone.rc, KC_EREFUSED);
	tls_creds_unref(creds);
}

static void report__owner_that_goes_in_the_middle__is_no_fault(void **state)
{
	(void)state;
	clone.free_in_ack = true;
	call(3);
	assert_int_equal(clone.acks, 1);
	assert_int_equal(clone.closed, 0);
	assert_int_equal(master.closed, 1);
	assert_true(master.rc < 0);
}

static void report__nobody_listens__is_refused(void **state)
{
	(void)state;
	clone.left = 1;
	call_with(1, NULL);
	wire_pump(world.loop, NULL);
	assert_int_equal(clone.closed, 1);
	assert_int_equal(clone.rc, KC_EREFUSED);
	assert_int_equal(clone.left, 1);
}

/* --- peers that do not keep to it --- */

/* A master of ours that a test speaks for. */
static void accept_raw(struct raw *r, int fd)
{
	struct raw_options o = { .id = world.master, .alpn = PROTO_ALPN };
	int s = -1;

	for (int i = 0; i < 1000 && s < 0; i++) {
		loop_turn(world.loop, 1);
		s = accept(fd, NULL, NULL);
	}
	assert_true(s >= 0);
	raw_init(r, s, false, &o);
	raw_pump(r, world.loop, NULL);
}

static void say(struct raw *r, uint8_t type, const char *body)
{
	raw_frame(r, type, body, strlen(body), strlen(body));
	raw_pump(r, world.loop, NULL);
}

static const char raw_hello[] = "{\"version\":2,\"product\":\"t\",\"role\":\"master\",\"host\":\"m\",\"time\":1,"
				"\"lineage\":\"" LINEAGE "\",\"signing_key\":\"RW\"}";

static void call_raw(struct raw *r, int *fd, const char *hello)
{
	uint16_t port;

	*fd = wire_listen(&port);
	clone.left = 1;
	call_with(port, NULL);
	accept_raw(r, *fd);
	say(r, PROTO_HELLO, hello);
}

static void end_raw(struct raw *r, int fd)
{
	raw_fini(r);
	close(fd);
	wire_pump(world.loop, NULL);
}

static void ack__that_does_not_come__is_waited_for_no_longer_than_agreed(void **state)
{
	struct raw r;
	int fd;

	(void)state;
	call_raw(&r, &fd, raw_hello);
	assert_int_equal(clone.closed, 0);
	wire_advance(world.loop, 1900);
	assert_int_equal(clone.closed, 0);
	wire_advance(world.loop, 200);
	wire_advance(world.loop, 1100);
	assert_int_equal(clone.closed, 1);
	assert_int_equal(clone.rc, KC_ETIMEOUT);
	assert_string_equal(clone.text, "no acknowledgement of the report within 2 s");
	assert_int_equal(clone.left, 1);
	end_raw(&r, fd);
}

static void ack__of_another_report__ends_the_session(void **state)
{
	struct raw r;
	int fd;

	(void)state;
	call_raw(&r, &fd, raw_hello);
	say(&r, PROTO_ACK, "{\"receipt\":\"" HEX32 "\"}");
	wire_advance(world.loop, 1100);
	assert_int_equal(clone.acks, 0);
	assert_int_equal(clone.rc, KC_EPROTO);
	assert_int_equal(clone.left, 1);
	end_raw(&r, fd);
}

static void ack__that_is_lost__leaves_the_report(void **state)
{
	struct raw r;
	int fd;

	(void)state;
	call_raw(&r, &fd, raw_hello);
	end_raw(&r, fd);
	assert_int_equal(clone.closed, 1);
	assert_true(clone.rc < 0);
	assert_int_equal(clone.left, 1);
	call(clone.left);
	assert_int_equal(clone.left, 0);
}

static void offer__to_a_clone_that_reports__ends_the_session(void **state)
{
	struct raw r;
	int fd;

	(void)state;
	call_raw(&r, &fd, raw_hello);
	say(&r, PROTO_OFFER, "{}");
	wire_advance(world.loop, 1100);
	assert_int_equal(clone.rc, KC_EPROTO);
	assert_string_equal(clone.text, "offer is not allowed in state reported");
	end_raw(&r, fd);
}

static void master__of_the_first_version__is_not_reported_to(void **state)
{
	struct raw r;
	int fd;

	(void)state;
	call_raw(&r, &fd,
	    "{\"version\":1,\"product\":\"t\",\"role\":\"master\",\"host\":\"m\",\"time\":1,"
	    "\"lineage\":\"" LINEAGE "\",\"signing_key\":\"RW\"}");
	wire_advance(world.loop, 1100);
	assert_int_equal(clone.rc, KC_EPROTO);
	assert_non_null(strstr(clone.text, "too old to take reports"));
	assert_int_equal(clone.left, 1);
	end_raw(&r, fd);
}

/* A clone of ours that a test speaks for. */
static void dial_raw(struct raw *r)
{
	struct raw_options o = { .id = world.clone, .alpn = PROTO_ALPN };

	raw_init(r, wire_connect(conn_listener_port(master.listener)), true, &o);
	raw_pump(r, world.loop, NULL);
	assert_true(r->shaken);
}

static void clone__that_has_nothing_to_say__is_shown_out(void **state)
{
	struct raw r;

	(void)state;
	dial_raw(&r);
	say(&r, PROTO_HELLO, wire_clone_hello);
	assert_int_equal(master.hellos, 1);
	for (int i = 0; i < 2; i++) { /* signs of life are no report */
		wire_advance(world.loop, 1400);
		say(&r, PROTO_ALIVE, "");
		assert_int_equal(master.closed, 0);
	}
	wire_advance(world.loop, 300);
	wire_advance(world.loop, 1100);
	assert_int_equal(master.closed, 1);
	assert_int_equal(master.rc, KC_ETIMEOUT);
	assert_string_equal(master.text, "no report within 3 s");
	raw_fini(&r);
}

static void clone__that_reports_without_a_greeting__is_shown_out(void **state)
{
	struct raw r;

	(void)state;
	dial_raw(&r);
	say(&r, PROTO_REPORT, "{}");
	wire_advance(world.loop, 1100);
	assert_int_equal(master.reports, 0);
	assert_int_equal(master.rc, KC_EPROTO);
	assert_string_equal(master.text, "report is not allowed in state hello");
	raw_fini(&r);
}

static void clone__that_reports_no_outcome__is_shown_out(void **state)
{
	struct raw r;

	(void)state;
	dial_raw(&r);
	say(&r, PROTO_HELLO, wire_clone_hello);
	say(&r, PROTO_REPORT,
	    "{\"receipt\":\"" HEX32 "\",\"lineage\":\"" LINEAGE "\",\"generation\":1,\"status\":\"stored\"}");
	wire_advance(world.loop, 1100);
	assert_int_equal(master.reports, 0);
	assert_int_equal(master.rc, KC_EPROTO);
	raw_fini(&r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(report__three_of_them__are_acknowledged_in_turn),
		T(report__none__is_a_greeting),
		T(report__not_believed__is_told_and_ends_the_session),
		T(certificate__asked_for__comes_after_the_reports),
		T(certificate__refused__is_told_why),
		T(certificate__neither_it_nor_a_reason__ends_the_session),
		T(certificate__that_takes_minutes__is_waited_for),
		T(report__that_cannot_be_kept__comes_again),
		T(report__to_a_master_of_another_lineage__is_kept),
		T(report__greeting_that_is_refused__says_why),
		T(report__from_a_stranger__is_refused_before_the_first_frame),
		T(report__owner_that_goes_in_the_middle__is_no_fault),
		T(report__nobody_listens__is_refused),
		T(ack__that_does_not_come__is_waited_for_no_longer_than_agreed),
		T(ack__of_another_report__ends_the_session),
		T(ack__that_is_lost__leaves_the_report),
		T(offer__to_a_clone_that_reports__ends_the_session),
		T(master__of_the_first_version__is_not_reported_to),
		T(clone__that_has_nothing_to_say__is_shown_out),
		T(clone__that_reports_without_a_greeting__is_shown_out),
		T(clone__that_reports_no_outcome__is_shown_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
