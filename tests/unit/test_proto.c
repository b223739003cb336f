/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proto: the table of types and states, and the codec of control bodies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "replication/proto.h"

#define HEX32 "00112233445566778899aabbccddeeff"
#define HEX64 HEX32 HEX32

static struct proto_msg in, out;

static const char clone_hello[] =
    "{\"version\":1,\"product\":\"keyclone 0.1.0\",\"role\":\"clone\",\"host\":\"c1\",\"time\":1750000000,"
    "\"recipient\":\"age1xyz\",\"free\":0}";

/* --- states --- */

static void step(struct proto_fsm *f, bool received, uint8_t type, size_t n)
{
	assert_int_equal(proto_fsm_check(f, received, type, n), KC_OK);
	proto_fsm_step(f, received, type);
}

static void fsm__a_whole_push__is_allowed_on_both_sides(void **state)
{
	static const struct {
		enum proto_type type;
		bool by_master;
		enum proto_state next;
	} course[] = {
		{ PROTO_HELLO, true, PROTO_S_GREETED },
		{ PROTO_HELLO, false, PROTO_S_IDLE },
		{ PROTO_ALIVE, false, PROTO_S_IDLE },
		{ PROTO_OFFER, true, PROTO_S_OFFERED },
		{ PROTO_DECLINE, false, PROTO_S_IDLE },
		{ PROTO_OFFER, true, PROTO_S_OFFERED },
		{ PROTO_ACCEPT, false, PROTO_S_TRANSFER },
		{ PROTO_DATA, true, PROTO_S_TRANSFER },
		{ PROTO_ALIVE, false, PROTO_S_TRANSFER },
		{ PROTO_DATA, true, PROTO_S_TRANSFER },
		{ PROTO_END, true, PROTO_S_RESTORE },
		{ PROTO_PROGRESS, false, PROTO_S_RESTORE },
		{ PROTO_RESULT, false, PROTO_S_IDLE },
		{ PROTO_BYE, true, PROTO_S_ENDED },
	};
	struct proto_fsm master, clone;

	(void)state;
	proto_fsm_init(&master, PROTO_MASTER, true);
	proto_fsm_init(&clone, PROTO_CLONE, false);
	for (size_t i = 0; i < sizeof(course) / sizeof(course[0]); i++) {
		size_t n = course[i].type == PROTO_ALIVE || course[i].type == PROTO_BYE ? 0 : 10;

		step(&master, !course[i].by_master, (uint8_t)course[i].type, n);
		step(&clone, course[i].by_master, (uint8_t)course[i].type, n);
		assert_int_equal(master.state, course[i].next);
		assert_int_equal(clone.state, course[i].next);
	}
}

static void fsm__a_clone_that_reports__is_acknowledged_each_time(void **state)
{
	static const struct {
		enum proto_type type;
		bool by_master;
		enum proto_state next;
	} course[] = {
		{ PROTO_HELLO, false, PROTO_S_GREETED },
		{ PROTO_HELLO, true, PROTO_S_REPORTS },
		{ PROTO_REPORT, false, PROTO_S_REPORTED },
		{ PROTO_ACK, true, PROTO_S_REPORTS },
		{ PROTO_REPORT, false, PROTO_S_REPORTED },
		{ PROTO_ALIVE, true, PROTO_S_REPORTED },
		{ PROTO_ACK, true, PROTO_S_REPORTS },
		{ PROTO_BYE, false, PROTO_S_ENDED },
	};
	struct proto_fsm master, clone;

	(void)state;
	proto_fsm_init(&master, PROTO_MASTER, false);
	proto_fsm_init(&clone, PROTO_CLONE, true);
	for (size_t i = 0; i < sizeof(course) / sizeof(course[0]); i++) {
		size_t n = course[i].type == PROTO_ALIVE || course[i].type == PROTO_BYE ? 0 : 10;

		step(&master, !course[i].by_master, (uint8_t)course[i].type, n);
		step(&clone, course[i].by_master, (uint8_t)course[i].type, n);
		assert_int_equal(master.state, course[i].next);
		assert_int_equal(clone.state, course[i].next);
	}
}

#define EVERY_STATE 8191

/* Every type in every state from either side: what is not in this list must be refused. */
static void fsm__anything_else__is_refused(void **state)
{
	static const struct {
		enum proto_type type;
		enum proto_state states;
		bool by_master, by_clone;
	} allowed[] = {
		{ PROTO_ALIVE, EVERY_STATE, true, true },
		{ PROTO_HELLO, PROTO_S_HELLO, true, false }, /* the master connects */
		{ PROTO_HELLO, PROTO_S_GREETED, false, true },
		{ PROTO_OFFER, PROTO_S_IDLE, true, false },
		{ PROTO_ACCEPT, PROTO_S_OFFERED, false, true },
		{ PROTO_DECLINE, PROTO_S_OFFERED, false, true },
		{ PROTO_DATA, PROTO_S_TRANSFER, true, false },
		{ PROTO_END, PROTO_S_TRANSFER, true, false },
		{ PROTO_PROGRESS, PROTO_S_RESTORE, false, true },
		{ PROTO_RESULT, PROTO_S_RESTORE | PROTO_S_TRANSFER, false, true },
		{ PROTO_BYE, EVERY_STATE, true, true },
		{ PROTO_ERROR, EVERY_STATE, true, true },
		{ PROTO_REPORT, PROTO_S_REPORTS, false, true },
		{ PROTO_ACK, PROTO_S_REPORTED, true, false },
		{ PROTO_CERT_REQUEST, PROTO_S_REPORTS, false, true },
		{ PROTO_CERT, PROTO_S_ASKED, true, false },
		{ PROTO_DIRECTIVE, PROTO_S_IDLE, true, false },
		{ PROTO_DIRECTED, PROTO_S_DIRECTED, false, true },
		{ PROTO_JOIN, PROTO_S_JOIN, false, true },
		{ PROTO_JOINED, PROTO_S_JOINING, true, false },
	};
	struct proto_fsm f;

	(void)state;
	for (unsigned type = 0; type < 256; type++)
		for (unsigned s = 1; s <= PROTO_S_JOINING; s <<= 1)
			for (int by_master = 0; by_master < 2; by_master++) {
				bool expected = false;

				for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
					expected =
					    expected || (allowed[i].type == type && allowed[i].states & s &&
							    (by_master ? allowed[i].by_master : allowed[i].by_clone));
				proto_fsm_init(&f, PROTO_CLONE, false);
				f.state = (enum proto_state)s;
				assert_int_equal(proto_fsm_check(&f, by_master, (uint8_t)type,
						     type == PROTO_ALIVE || type == PROTO_BYE ? 0 : 100),
				    expected ? KC_OK : KC_EPROTO);
			}
}

static void fsm__lengths_outside_the_row__are_refused_with_both_figures(void **state)
{
	struct proto_fsm f;

	(void)state;
	proto_fsm_init(&f, PROTO_CLONE, false);
	f.state = PROTO_S_TRANSFER;
	assert_int_equal(proto_fsm_check(&f, true, PROTO_DATA, PROTO_DATA_MAX), KC_OK);
	assert_int_equal(proto_fsm_check(&f, true, PROTO_DATA, PROTO_DATA_MAX + 1), KC_EPROTO);
	assert_string_equal(err_text(KC_EPROTO), "data of 262145 bytes is over its limit of 262144");
	assert_int_equal(proto_fsm_check(&f, true, PROTO_DATA, 0), KC_EPROTO);
	assert_int_equal(proto_fsm_check(&f, true, PROTO_END, PROTO_CONTROL_MAX + 1), KC_EPROTO);
	assert_int_equal(proto_fsm_check(&f, true, PROTO_BYE, 1), KC_EPROTO);
	assert_int_equal(proto_fsm_check(&f, true, PROTO_HELLO, 10), KC_EPROTO);
	assert_string_equal(err_text(KC_EPROTO), "hello is not allowed in state transfer");
	assert_int_equal(proto_fsm_check(&f, true, 200, 10), KC_EPROTO);
	assert_string_equal(err_text(KC_EPROTO), "message of unknown type 200");
}

/* --- bodies --- */

/* `out` to text, to `in`, and to the same text again. */
static void round_trip(enum proto_role from)
{
	struct buf b, again;

	buf_init(&b, PROTO_CONTROL_MAX);
	buf_init(&again, PROTO_CONTROL_MAX);
	assert_int_equal(proto_encode(&b, &out, from), KC_OK);
	assert_int_equal(proto_decode(&in, from, (uint8_t)out.type, buf_data(&b), buf_len(&b)), KC_OK);
	assert_int_equal(proto_encode(&again, &in, from), KC_OK);
	assert_int_equal(buf_len(&b), buf_len(&again));
	assert_memory_equal(buf_data(&b), buf_data(&again), buf_len(&b));
	buf_fini(&b);
	buf_fini(&again);
}

static void codec__every_message__comes_back_as_it_was(void **state)
{
	(void)state;
	memset(&out, 0, sizeof(out));
	out.type = PROTO_HELLO;
	out.hello = (struct proto_hello){ .version = 1,
		.product = "keyclone 0.1.0 \xc3\xa9",
		.role = PROTO_MASTER,
		.lineage = HEX32,
		.host = "m.example",
		.time = 1750000000,
		.fleet = 20,
		.interval = 3600,
		.signing_key = "RWQabc/+=",
		.ancestors = { .count = 2, .of = { { "ffeeddccbbaa99887766554433221100", 7 }, { HEX32, 0 } } },
		.clone_count = 2,
		.clones = { "[::1]:2222", "c.example:1" },
		.listen_port = 1111 };
	round_trip(PROTO_MASTER);
	assert_int_equal(in.hello.ancestors.count, 2);
	assert_int_equal(in.hello.ancestors.of[0].fork, 7);
	assert_int_equal(in.hello.clone_count, 2);
	assert_string_equal(in.hello.clones[1], "c.example:1");
	assert_int_equal(in.hello.listen_port, 1111);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_HELLO;
	out.hello = (struct proto_hello){ .version = 2,
		.product = "k",
		.role = PROTO_CLONE,
		.host = "c",
		.time = 0,
		.recipient = "age1q",
		.applied_lineage = HEX32,
		.applied_generation = 41,
		.applied_digest = HEX64,
		.stored_lineage = HEX32,
		.stored_generation = 42,
		.chain = 40,
		.free = 9007199254740991u,
		.diverged = true,
		.warning_count = 2,
		.warnings = { "disk nearly full", "" } };
	round_trip(PROTO_CLONE);
	assert_int_equal(in.hello.applied_generation, 41);
	assert_int_equal(in.hello.chain, 40);
	assert_int_equal(in.hello.free, 9007199254740991u);
	assert_true(in.hello.diverged);
	assert_int_equal(in.hello.warning_count, 2);
	assert_string_equal(in.hello.warnings[0], "disk nearly full");
	memset(&out, 0, sizeof(out));
	out.type = PROTO_OFFER;
	out.offer = (struct proto_offer){ .lineage = HEX32,
		.generation = 1,
		.kind = PROTO_FULL,
		.file = "keyclone-a.age",
		.file_id = HEX32,
		.header_size = 150,
		.room = 1,
		.digest = HEX64,
		.receipt = HEX32,
		.restore_now = true };
	round_trip(PROTO_MASTER);
	assert_int_equal(in.offer.base, 0);
	assert_int_equal(in.offer.chain, 0);
	out.offer.kind = PROTO_INCREMENTAL;
	out.offer.generation = 43;
	out.offer.base = 42;
	out.offer.chain = 40;
	round_trip(PROTO_MASTER);
	assert_int_equal(in.offer.kind, PROTO_INCREMENTAL);
	assert_int_equal(in.offer.base, 42);
	assert_int_equal(in.offer.chain, 40);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_DECLINE;
	out.decline = (struct proto_decline){ .reason = PROTO_R_NOSPC, .message = "no \"room\"", .have = 5, .need = 6 };
	round_trip(PROTO_CLONE);
	out.decline = (struct proto_decline){ .reason = PROTO_R_FULL };
	round_trip(PROTO_CLONE);
	assert_int_equal(in.decline.reason, PROTO_R_FULL);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_RESULT;
	out.result = (struct proto_result){ .status = PROTO_FAILED,
		.receipt = HEX32,
		.generation = 7,
		.digest = HEX64,
		.rows = 1000,
		.error = "KC_EBUSY",
		.message = "locked",
		.retryable = true,
		.audit_seq = 12,
		.audit_head = HEX64 };
	round_trip(PROTO_CLONE);
	out.result.status = PROTO_POSTPONED;
	out.result.until = 1750000000;
	round_trip(PROTO_CLONE);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_REPORT;
	out.report = (struct proto_report){ .receipt = HEX32,
		.lineage = HEX32,
		.generation = 7,
		.status = PROTO_RESTORED,
		.digest = HEX64,
		.rows = 1000,
		.error = "KC_EBUSY",
		.message = "locked",
		.retryable = true,
		.time = 1750000000,
		.duration_ms = 20,
		.until = 1750000001,
		.audit_seq = 12,
		.audit_head = HEX64 };
	round_trip(PROTO_CLONE);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_ACK;
	out.ack =
	    (struct proto_ack){ .receipt = HEX32, .refused = "no such receipt", .audit_seq = 3, .audit_head = HEX64 };
	round_trip(PROTO_MASTER);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_PROGRESS;
	out.progress = (struct proto_progress){ .phase = "restore", .percent = 100 };
	round_trip(PROTO_CLONE);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_ACCEPT;
	round_trip(PROTO_CLONE);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_ERROR;
	out.error = (struct proto_error){ .error = "KC_EPROTO", .message = "why" };
	round_trip(PROTO_MASTER);
}

static void codec__headers_of_any_length__survive_base64(void **state)
{
	(void)state;
	for (size_t n = 1; n <= PROTO_HEADER; n += n < 8 ? 1 : 511) {
		memset(&out, 0, sizeof(out));
		out.type = PROTO_END;
		out.end = (struct proto_end){ .size = 1, .sha256 = HEX64, .recovery_size = n, .travel_size = n };
		for (size_t i = 0; i < n; i++)
			out.end.recovery[i] = out.end.travel[n - 1 - i] = (uint8_t)(i * 7 + 3);
		round_trip(PROTO_MASTER);
		assert_int_equal(in.end.recovery_size, n);
		assert_memory_equal(in.end.recovery, out.end.recovery, n);
		assert_int_equal(in.end.travel_size, n);
		assert_memory_equal(in.end.travel, out.end.travel, n);
	}
}

static void codec__long_text_for_people__is_cut_between_characters(void **state)
{
	struct buf b;

	(void)state;
	memset(&out, 0, sizeof(out));
	out.type = PROTO_ERROR;
	strcpy(out.error.error, "KC_EFAIL");
	memset(out.error.message, 'x', PROTO_TEXT - 2);
	strcpy(out.error.message + PROTO_TEXT - 3, "\xc3\xa9");
	buf_init(&b, PROTO_CONTROL_MAX);
	assert_int_equal(proto_encode(&b, &out, PROTO_MASTER), KC_OK);
	assert_int_equal(proto_decode(&in, PROTO_MASTER, PROTO_ERROR, buf_data(&b), buf_len(&b)), KC_OK);
	buf_fini(&b);
	/* Neither UTF-8 nor one line: still told. */
	strcpy(out.error.message, "a\xff\n");
	buf_init(&b, PROTO_CONTROL_MAX);
	assert_int_equal(proto_encode(&b, &out, PROTO_MASTER), KC_OK);
	assert_int_equal(proto_decode(&in, PROTO_MASTER, PROTO_ERROR, buf_data(&b), buf_len(&b)), KC_OK);
	assert_string_equal(in.error.message, "a??");
	buf_fini(&b);
}

static void encode__member_that_the_peer_would_refuse__is_refused_here(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, PROTO_CONTROL_MAX);
	memset(&out, 0, sizeof(out));
	out.type = PROTO_OFFER;
	out.offer = (struct proto_offer){ .lineage = HEX32,
		.generation = 1,
		.kind = PROTO_FULL,
		.file = "../x",
		.file_id = HEX32,
		.header_size = 150,
		.room = 1,
		.digest = HEX64,
		.receipt = HEX32 };
	assert_int_equal(proto_encode(&b, &out, PROTO_MASTER), KC_EPROTO);
	assert_string_equal(err_text(KC_EPROTO), "offer: file is not a valid value");
	strcpy(out.offer.file, "x");
	out.offer.generation = 0;
	assert_int_equal(proto_encode(&b, &out, PROTO_MASTER), KC_EPROTO);
	out.offer.generation = 1;
	out.offer.kind = 9;
	assert_int_equal(proto_encode(&b, &out, PROTO_MASTER), KC_EPROTO);
	out.offer.kind = PROTO_FULL;
	out.offer.digest[0] = '\0';
	assert_int_equal(proto_encode(&b, &out, PROTO_MASTER), KC_EPROTO);
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
}

static int decode(const char *text)
{
	return proto_decode(&in, PROTO_CLONE, PROTO_HELLO, text, strlen(text));
}

/* clone_hello with one piece of text replaced. */
static int decode_with(const char *old, const char *new)
{
	const char *at = strstr(clone_hello, old);
	char *text;
	int rc;

	assert_non_null(at);
	text = mem_xasprintf("%.*s%s%s", (int)(at - clone_hello), clone_hello, new, at + strlen(old));
	rc = decode(text);
	free(text);
	return rc;
}

static void decode__unknown_members__are_skipped(void **state)
{
	(void)state;
	assert_int_equal(decode(clone_hello), KC_OK);
	assert_int_equal(in.hello.role, PROTO_CLONE);
	assert_string_equal(in.hello.recipient, "age1xyz");
	assert_int_equal(in.hello.applied_generation, 0);
	assert_int_equal(decode_with("\"free\":0", "\"free\":0,\"later\":{\"a\":[1,2,null]}"), KC_OK);
}

static void decode__malformed_bodies__are_refused(void **state)
{
	static const struct {
		const char *old, *new, *text;
	} cases[] = {
		{ "\"version\":1,", "", "hello: version is missing" },
		{ "\"free\":0", "\"x\":0", "hello: free is missing" },
		{ "\"version\":1", "\"version\":\"1\"", "hello: version is not an integer between 1 and 4294967295" },
		{ "\"version\":1", "\"version\":0", NULL },
		{ "\"version\":1", "\"version\":1.0", NULL },
		{ "\"version\":1", "\"version\":4294967296", NULL },
		{ "\"time\":1750000000", "\"time\":-1", NULL },
		{ "\"time\":1750000000", "\"time\":9007199254740992", NULL },
		{ "\"time\":1750000000", "\"time\":99999999999999999999999", NULL },
		{ "\"time\":1750000000", "\"time\":null", NULL },
		{ "\"host\":\"c1\"", "\"host\":\"\"", "hello: host is empty" },
		{ "\"host\":\"c1\"", "\"host\":\"c 1\"", "hello: host is not a valid value" },
		{ "\"host\":\"c1\"", "\"host\":7", "hello: host is not a string" },
		{ "\"host\":\"c1\"", "\"host\":\"c\\u0000\"", NULL },
		{ "\"host\":\"c1\"", "\"host\":\"\xff\"", NULL },
		{ "\"host\":\"c1\"", "\"host\":\"c1\",\"host\":\"c2\"", NULL },
		{ "\"role\":\"clone\"", "\"role\":\"king\"", "hello: role is not a known value" },
		{ "\"role\":\"clone\"", "\"role\":\"master\"", "the peer is a master, not a clone" },
		{ "\"free\":0", "\"free\":0,\"diverged\":1", "hello: diverged is not a boolean" },
		{ "\"free\":0", "\"free\":0,\"lineage\":\"0123\"", "hello: lineage is not a valid value" },
		{ "\"free\":0", "\"free\":0,\"lineage\":\"00112233445566778899AABBCCDDEEFF\"", NULL },
		{ "\"free\":0", "\"free\":0,\"ancestors\":{}",
		    "hello: ancestors is not a list of lineages and generations" },
		{ "\"free\":0", "\"free\":0,\"ancestors\":[{\"lineage\":\"00\",\"fork\":1}]", NULL },
		{ "\"free\":0", "\"free\":0,\"ancestors\":[{\"lineage\":\"00112233445566778899aabbccddeeff\"}]", NULL },
		{ "\"free\":0", "\"free\":0,\"clones\":[1]", NULL },
		{ "\"free\":0", "\"free\":0,\"listen_port\":65536", NULL },
		{ "\"free\":0", "\"free\":0,\"warnings\":\"w\"", NULL },
		{ "\"free\":0", "\"free\":0,\"warnings\":[1]", NULL },
		{ "\"free\":0", "\"free\":0,\"warnings\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", NULL },
		{ "}", "} ,", NULL },
		{ "}", "", NULL },
		{ "{", "[", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(decode_with(cases[i].old, cases[i].new), KC_EPROTO);
		if (cases[i].text != NULL)
			assert_string_equal(err_text(KC_EPROTO), cases[i].text);
	}
	assert_int_equal(decode(""), KC_EPROTO);
	assert_int_equal(decode("[]"), KC_EPROTO);
	assert_int_equal(decode("null"), KC_EPROTO);
	assert_int_equal(proto_decode(&in, PROTO_CLONE, PROTO_DATA, "{}", 2), KC_EPROTO);
	assert_int_equal(proto_decode(&in, PROTO_CLONE, 77, "{}", 2), KC_EPROTO);
}

#define OFFER                                                                                                      \
	"{\"lineage\":\"" HEX32 "\",\"generation\":43,\"kind\":\"incremental\",\"base\":42,\"chain\":40,\"file\":" \
	"\"a.age\",\"file_id\":\"" HEX32 "\",\"header_size\":168,\"room\":1,\"digest\":\"" HEX64                   \
	"\",\"receipt\":\"" HEX32 "\"}"

static void decode__increment__as_the_text_has_it(void **state)
{
	static const struct {
		const char *old, *new;
	} cases[] = {
		{ "\"base\":42", "\"base\":-1" },
		{ "\"base\":42", "\"base\":\"42\"" },
		{ "\"base\":42", "\"base\":9007199254740992" },
		{ "\"base\":42", "\"base\":1,\"base\":2" },
		{ "\"chain\":40", "\"chain\":null" },
		{ "\"chain\":40", "\"chain\":4.5" },
		{ "\"incremental\"", "\"increment\"" },
		{ "\"incremental\"", "\"INCREMENTAL\"" },
	};
	static const char text[] = OFFER;

	(void)state;
	assert_int_equal(proto_decode(&in, PROTO_MASTER, PROTO_OFFER, text, strlen(text)), KC_OK);
	assert_int_equal(in.offer.kind, PROTO_INCREMENTAL);
	assert_int_equal(in.offer.base, 42);
	assert_int_equal(in.offer.chain, 40);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *at = strstr(text, cases[i].old);
		char *changed =
		    mem_xasprintf("%.*s%s%s", (int)(at - text), text, cases[i].new, at + strlen(cases[i].old));

		if (proto_decode(&in, PROTO_MASTER, PROTO_OFFER, changed, strlen(changed)) != KC_EPROTO)
			fail_msg("accepted: %s", changed);
		free(changed);
	}
	assert_int_equal(proto_decode(&in, PROTO_CLONE, PROTO_DECLINE, "{\"reason\":\"full\"}", 17), KC_OK);
	assert_int_equal(in.decline.reason, PROTO_R_FULL);
	/* Increments are what version 3 is of. */
	assert_int_equal(PROTO_VERSION, 4);
}

static void decode__strings_over_their_bound__are_refused(void **state)
{
	char *text = mem_xalloc(4000), body[5000];

	(void)state;
	memset(text, 'a', 255);
	snprintf(body, sizeof(body), "\"host\":\"%s\"", text);
	assert_int_equal(decode_with("\"host\":\"c1\"", body), KC_OK);
	text[255] = 'a';
	snprintf(body, sizeof(body), "\"host\":\"%s\"", text);
	assert_int_equal(decode_with("\"host\":\"c1\"", body), KC_EPROTO);
	free(text);
}

static void decode__bad_base64__is_refused(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = { { "AA==", KC_OK }, { "AAE=", KC_OK }, { "AAEC", KC_OK }, { "", KC_EPROTO }, { "A", KC_EPROTO },
		{ "AA=", KC_EPROTO }, { "AB==", KC_EPROTO }, { "AAF=", KC_EPROTO }, { "A===", KC_EPROTO },
		{ "====", KC_EPROTO }, { "AA=A", KC_EPROTO }, { "AA\\n=", KC_EPROTO }, { "AA-_", KC_EPROTO },
		{ "AAECAA==AAEC", KC_EPROTO } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char body[400];

		snprintf(body, sizeof(body),
		    "{\"size\":1,\"sha256\":\"" HEX64 "\",\"recovery\":\"%s\",\"travel\":\"AAAA\"}", cases[i].text);
		assert_int_equal(proto_decode(&in, PROTO_MASTER, PROTO_END, body, strlen(body)), cases[i].rc);
	}
}

static void names__of_all_types__are_known(void **state)
{
	(void)state;
	for (uint8_t t = 0; t <= PROTO_ACK; t++)
		assert_string_not_equal(proto_type_name(t), "unknown");
	assert_string_equal(proto_type_name(PROTO_JOIN), "join");
	assert_string_equal(proto_type_name(PROTO_JOINED), "joined");
	assert_string_equal(proto_type_name(99), "unknown");
	assert_string_equal(proto_reason_name(PROTO_R_NOSPC), "no-space");
	assert_string_equal(proto_reason_name(PROTO_R_FULL), "full");
	assert_string_equal(proto_status_name(PROTO_RESTORED), "restored");
	assert_string_equal(proto_status_name(PROTO_POSTPONED), "postponed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fsm__a_whole_push__is_allowed_on_both_sides),
		cmocka_unit_test(fsm__a_clone_that_reports__is_acknowledged_each_time),
		cmocka_unit_test(fsm__anything_else__is_refused),
		cmocka_unit_test(fsm__lengths_outside_the_row__are_refused_with_both_figures),
		cmocka_unit_test(codec__every_message__comes_back_as_it_was),
		cmocka_unit_test(codec__headers_of_any_length__survive_base64),
		cmocka_unit_test(codec__long_text_for_people__is_cut_between_characters),
		cmocka_unit_test(encode__member_that_the_peer_would_refuse__is_refused_here),
		cmocka_unit_test(decode__unknown_members__are_skipped),
		cmocka_unit_test(decode__malformed_bodies__are_refused),
		cmocka_unit_test(decode__increment__as_the_text_has_it),
		cmocka_unit_test(decode__strings_over_their_bound__are_refused),
		cmocka_unit_test(decode__bad_base64__is_refused),
		cmocka_unit_test(names__of_all_types__are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
