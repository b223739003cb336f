/* SPDX-License-Identifier: Apache-2.0 */
/* push and receive against each other: whole transfers, broken ones, sessions and their ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/file.h"
#include "rig.h"

#define MIB (1024u * 1024)

static void connect_pair(struct rig *rig, struct rig_clone *c, struct rig_master *m)
{
	rig_clone_start(c, rig, "clone");
	rig_master_start(m, rig, receive_port(c->receive));
	assert_true(rig_until(rig, &m->ready));
	assert_int_equal(push_state(m->push), PUSH_IDLE);
}

static void stop_pair(struct rig_clone *c, struct rig_master *m)
{
	rig_master_stop(m);
	rig_clone_stop(c);
	assert_int_equal(file_remove_tree(c->dir), KC_OK);
}

/* Offer a file that is complete, and wait for the result. */
static void push_whole(struct rig_master *m, struct rig_backup *b)
{
	m->results = 0;
	assert_int_equal(push_offer(m->push, &b->file), KC_OK);
	assert_int_equal(push_end(m->push, &b->end), KC_OK);
	assert_true(rig_until(m->rig, &m->results));
}

static void push__file_grows__clone_has_the_same_bytes(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, 3 * MIB + 77);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_int_equal(push_state(m.push), PUSH_OFFERED);
	assert_int_equal(push_offer(m.push, &b.file), KC_EBUSY);
	while (b.written < b.size) {
		rig_backup_grow(&b, 100000);
		push_grow(m.push, b.written);
		rig_pass(rig, 2);
	}
	assert_true(rig_until(rig, &m.accepted));
	assert_true(push_needs_end(m.push));
	rig_pass(rig, 50);
	assert_int_equal(c.stored, 0);
	rig_backup_finish(&b);
	assert_int_equal(push_end(m.push, &b.end), KC_OK);
	assert_true(rig_until(rig, &m.results));
	assert_int_equal(m.result.status, PROTO_RESTORED);
	assert_int_equal(push_state(m.push), PUSH_IDLE);
	assert_int_equal(m.sent, b.size - RIG_HEADER);
	assert_int_equal(c.bytes, b.size - RIG_HEADER);
	assert_int_equal(c.travel_size, 13);
	assert_true(rig_clone_has(&c, &b));
	assert_false(receive_busy(c.receive));
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

/* The master's configuration: no travel header, stored and not restored; the session is idle again. */
static void push__system_backup__stored(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	c.no_result = true;
	rig_backup_init(&b, rig, 1, 5000);
	rig_backup_grow(&b, b.size);
	rig_backup_finish(&b);
	b.file.offer.kind = PROTO_SYSTEM;
	b.file.valid = b.size;
	b.end.travel_size = 0;
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_int_equal(push_end(m.push, &b.end), KC_OK);
	assert_true(rig_until(rig, &c.stored));
	assert_int_equal(c.travel_size, 0);
	rig_clone_result(&c, PROTO_STORED);
	assert_true(rig_until(rig, &m.results));
	assert_int_equal(m.result.status, PROTO_STORED);
	assert_int_equal(push_state(m.push), PUSH_IDLE);
	assert_true(rig_clone_has(&c, &b));
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

/* What a clone is to restore it must be able to open; what it only keeps is no business of its identity. */
static void push__travel_header_missing_or_too_many__session_ends(void **state)
{
	struct rig *rig = *state;

	for (int kind = PROTO_FULL; kind <= PROTO_INCREMENTAL; kind++) {
		struct rig_clone c;
		struct rig_master m;
		struct rig_backup b;

		connect_pair(rig, &c, &m);
		rig_backup_init(&b, rig, 1, 5000);
		rig_backup_grow(&b, b.size);
		rig_backup_finish(&b);
		b.file.offer.kind = (enum proto_kind)kind;
		b.file.offer.base = kind == PROTO_INCREMENTAL;
		b.file.valid = b.size;
		if (kind == PROTO_FULL)
			b.end.travel_size = 0;
		assert_int_equal(push_offer(m.push, &b.file), KC_OK);
		assert_int_equal(push_end(m.push, &b.end), KC_OK);
		assert_true(rig_until(rig, &m.closed));
		assert_int_equal(c.stored, 0);
		rig_backup_fini(&b);
		stop_pair(&c, &m);
	}
}

/* A full, and increments on it, on one session: what opens them came with the full. */
static void push__increments__stored_without_a_travel_header(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, 100000);
	rig_backup_finish(&b);
	push_whole(&m, &b);
	assert_int_equal(c.travel_size, 13);
	assert_int_equal(c.on_disk, 0);
	rig_backup_fini(&b);
	for (uint64_t g = 1; g < 4; g++) {
		rig_backup_init_increment(&b, rig, g, 300 + 70000 * (g - 1));
		rig_backup_finish(&b);
		push_whole(&m, &b);
		assert_int_equal(m.result.status, PROTO_RESTORED);
		assert_int_equal(m.result.generation, g + 1);
		assert_int_equal(c.offer.kind, PROTO_INCREMENTAL);
		assert_int_equal(c.offer.base, g);
		assert_int_equal(c.offer.chain, 1);
		assert_int_equal(c.travel_size, 0);
		assert_int_equal(c.on_disk, g);
		assert_int_equal(c.disk, KC_OK);
		assert_true(rig_clone_has(&c, &b)); /* its header is the file's, as it came in the end */
		assert_int_equal(push_state(m.push), PUSH_IDLE);
		rig_backup_fini(&b);
	}
	assert_int_equal(c.stored, 4);
	assert_int_equal(m.ready, 1);
	stop_pair(&c, &m);
}

static void push__increment_grows__clone_has_the_same_bytes(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init_increment(&b, rig, 1, MIB);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	while (b.written < b.size) {
		rig_backup_grow(&b, 50000);
		push_grow(m.push, b.written);
		rig_pass(rig, 2);
	}
	rig_backup_finish(&b);
	assert_int_equal(push_end(m.push, &b.end), KC_OK);
	assert_true(rig_until(rig, &m.results));
	assert_int_equal(m.result.status, PROTO_RESTORED);
	assert_true(rig_clone_has(&c, &b));
	/* The same again is there already. */
	c.stored = 0;
	push_whole(&m, &b);
	assert_int_equal(c.stored, 1);
	assert_true(rig_clone_has(&c, &b));
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

/* Its clone waits for a full: the reason arrives, and the session goes on with one. */
static void push__increment_of_no_use__declined_and_a_full_follows(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	c.decline = PROTO_R_FULL;
	rig_backup_init_increment(&b, rig, 5, 1000);
	rig_backup_finish(&b);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.declined));
	assert_int_equal(m.why.reason, PROTO_R_FULL);
	assert_string_equal(proto_reason_name(m.why.reason), "full");
	assert_int_equal(push_state(m.push), PUSH_IDLE);
	assert_int_equal(c.begun, 0);
	rig_backup_fini(&b);
	c.decline = 0;
	rig_backup_init(&b, rig, 7, 1000);
	rig_backup_finish(&b);
	push_whole(&m, &b);
	assert_true(rig_clone_has(&c, &b));
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void push__increment_with_a_wrong_sha256__failed_and_dropped(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init_increment(&b, rig, 1, 5000);
	rig_backup_finish(&b);
	b.end.sha256[0] = b.end.sha256[0] == 'a' ? 'b' : 'a';
	push_whole(&m, &b);
	assert_int_equal(m.result.status, PROTO_FAILED);
	assert_int_equal(c.failure, KC_EDAMAGED);
	assert_int_equal(c.stored, 0); /* nothing of it is restored */
	assert_int_equal(c.on_disk, 0);
	assert_false(rig_clone_has_part(&c, &b));
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void push__several_generations__one_session(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;

	connect_pair(rig, &c, &m);
	for (uint64_t g = 1; g <= 5; g++) {
		struct rig_backup b;

		rig_backup_init(&b, rig, g, 20 + g * 33333);
		rig_backup_finish(&b);
		push_whole(&m, &b);
		assert_int_equal(m.result.generation, g);
		assert_string_equal(m.result.receipt, b.file.offer.receipt);
		assert_true(rig_clone_has(&c, &b));
		rig_backup_fini(&b);
	}
	assert_int_equal(m.ready, 1);
	assert_int_equal(m.closed, 0);
	assert_int_equal(c.stored, 5);
	stop_pair(&c, &m);
}

static void push__broken_at_random_offsets__resumes(void **state)
{
	struct rig *rig = *state;
	unsigned seed = (unsigned)time(NULL);
	struct rig_clone c;
	struct rig_master m;

	print_message("seed %u\n", seed);
	srandom(seed);
	rig_clone_start(&c, rig, "clone");
	for (uint64_t g = 1; g <= 8; g++) {
		struct rig_backup b;
		uint64_t at = 0;

		rig_backup_init(&b, rig, g, 6 * MIB + (size_t)random() % MIB);
		rig_backup_finish(&b);
		for (unsigned i = 0; i < 3; i++) {
			rig_master_start(&m, rig, receive_port(c.receive));
			assert_true(rig_until(rig, &m.ready));
			at += (uint64_t)random() % (2 * MIB);
			m.break_at = at + 1;
			c.failed = 0;
			assert_int_equal(push_offer(m.push, &b.file), KC_OK);
			assert_int_equal(push_end(m.push, &b.end), KC_OK);
			assert_true(rig_until(rig, &m.broken));
			assert_true(rig_until(rig, &c.failed));
			assert_int_equal(c.failure, KC_ENET);
			assert_true(rig_clone_has_part(&c, &b));
		}
		rig_master_start(&m, rig, receive_port(c.receive));
		assert_true(rig_until(rig, &m.ready));
		push_whole(&m, &b);
		assert_int_equal(m.offset, c.kept);
		assert_int_equal(c.bytes, b.size - RIG_HEADER - m.offset);
		assert_int_equal(m.result.status, PROTO_RESTORED);
		assert_true(rig_clone_has(&c, &b));
		rig_master_stop(&m);
		rig_backup_fini(&b);
	}
	rig_clone_stop(&c);
	assert_int_equal(file_remove_tree(c.dir), KC_OK);
}

static void push__clone_dies_in_transfer__resumes_with_the_next(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, 5 * MIB);
	rig_backup_grow(&b, 2 * MIB);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.accepted));
	rig_pass(rig, 200);
	rig_clone_stop(&c);
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_FAILED);
	assert_int_equal(m.rc, KC_ENET);
	rig_master_stop(&m);
	assert_true(rig_clone_has_part(&c, &b));
	rig_clone_start(&c, rig, "clone");
	rig_master_start(&m, rig, receive_port(c.receive));
	assert_true(rig_until(rig, &m.ready));
	rig_backup_finish(&b);
	push_whole(&m, &b);
	assert_int_equal(m.offset, 2 * MIB);
	assert_true(rig_clone_has(&c, &b));
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void push__another_file_than_the_partial_one__from_the_beginning(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b, other;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, 3 * MIB);
	rig_backup_grow(&b, 2 * MIB);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.accepted));
	rig_pass(rig, 100);
	push_cancel(m.push, err_set(KC_ECANCELED, "the backup failed"));
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_FAILED);
	assert_int_equal(m.rc, KC_ECANCELED);
	assert_true(rig_until(rig, &c.failed));
	assert_int_equal(c.failure, KC_ECANCELED);
	assert_non_null(strstr(c.text, "the backup failed"));
	assert_int_equal(c.kept, 2 * MIB);
	rig_master_stop(&m);
	rig_backup_fini(&b);
	/* the same name, other contents */
	rig_backup_init(&other, rig, 1, MIB);
	rig_backup_finish(&other);
	rig_master_start(&m, rig, receive_port(c.receive));
	assert_true(rig_until(rig, &m.ready));
	push_whole(&m, &other);
	assert_int_equal(m.offset, 0);
	assert_true(rig_clone_has(&c, &other));
	rig_backup_fini(&other);
	stop_pair(&c, &m);
}

static void push__file_is_there_already__nothing_is_sent(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b, other;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, MIB);
	rig_backup_finish(&b);
	c.no_result = true;
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_int_equal(push_end(m.push, &b.end), KC_OK);
	assert_true(rig_until(rig, &c.stored));
	rig_clone_result(&c, PROTO_FAILED);
	assert_true(rig_until(rig, &m.results));
	assert_int_equal(m.result.status, PROTO_FAILED);
	c.no_result = false;
	push_whole(&m, &b);
	assert_int_equal(m.offset, MIB);
	assert_int_equal(c.bytes, 0);
	assert_int_equal(c.stored, 2);
	assert_true(rig_clone_has(&c, &b));
	/* another backup must not take its name */
	rig_backup_init(&other, rig, 1, MIB / 2);
	assert_int_equal(push_offer(m.push, &other.file), KC_OK);
	assert_true(rig_until(rig, &m.declined));
	assert_int_equal(m.why.reason, PROTO_R_FAILED);
	assert_true(rig_clone_has(&c, &b));
	rig_backup_fini(&other);
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void push__wrong_sha256__failed_and_dropped(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, MIB);
	rig_backup_finish(&b);
	b.end.sha256[0] = b.end.sha256[0] == '0' ? '1' : '0';
	push_whole(&m, &b);
	assert_int_equal(m.result.status, PROTO_FAILED);
	assert_string_equal(m.result.error, "KC_EDAMAGED");
	assert_false(m.result.retryable);
	assert_int_equal(c.failed, 1);
	assert_int_equal(c.stored, 0);
	assert_false(rig_clone_has_part(&c, &b));
	assert_false(receive_busy(c.receive));
	/* the session goes on */
	b.end.sha256[0] = b.end.sha256[0] == '0' ? '1' : '0';
	rig_backup_fini(&b);
	rig_backup_init(&b, rig, 2, MIB);
	rig_backup_finish(&b);
	push_whole(&m, &b);
	assert_int_equal(m.result.status, PROTO_RESTORED);
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void push__resumed_part_damaged__found_and_dropped(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, 9 * MIB);
	rig_backup_grow(&b, 8 * MIB);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.accepted));
	rig_pass(rig, 300);
	rig_master_stop(&m);
	assert_true(rig_until(rig, &c.failed));
	assert_int_equal(c.kept, 8 * MIB);
	{
		char part[512];
		FILE *f;

		snprintf(part, sizeof(part), "%s/%s.part", c.dir, b.file.offer.file);
		f = fopen(part, "r+");
		assert_non_null(f);
		assert_int_equal(fseek(f, 5 * MIB, SEEK_SET), 0);
		assert_int_equal(fputs("hole", f) >= 0, 1);
		fclose(f);
	}
	rig_backup_finish(&b);
	rig_master_start(&m, rig, receive_port(c.receive));
	assert_true(rig_until(rig, &m.ready));
	push_whole(&m, &b);
	assert_int_equal(m.offset, 8 * MIB);
	assert_string_equal(m.result.error, "KC_EDAMAGED");
	assert_false(rig_clone_has_part(&c, &b));
	push_whole(&m, &b);
	assert_int_equal(m.offset, 0);
	assert_int_equal(m.result.status, PROTO_RESTORED);
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void push__does_not_fit__declined_with_both_figures(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;
	uint64_t available;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, MIB);
	b.file.offer.room = 1ull << 50;
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.declined));
	assert_int_equal(m.why.reason, PROTO_R_NOSPC);
	assert_int_equal(m.why.need, 1ull << 50);
	assert_int_equal(file_free_space(&available, c.dir), KC_OK);
	assert_true(m.why.have > 0 && m.why.have < m.why.need);
	assert_int_equal(push_state(m.push), PUSH_IDLE);
	assert_int_equal(c.declined, 1);
	assert_false(rig_clone_has_part(&c, &b));
	/* what is offered next is taken */
	b.file.offer.room = 2 * MIB;
	rig_backup_finish(&b);
	push_whole(&m, &b);
	assert_int_equal(m.result.status, PROTO_RESTORED);
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void push__owner_declines__reason_and_figures_arrive(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 7, MIB);
	c.decline = PROTO_R_STALE;
	c.applied = 9;
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.declined));
	assert_int_equal(m.why.reason, PROTO_R_STALE);
	assert_int_equal(m.why.have, 9);
	assert_int_equal(m.why.need, 7);
	receive_set_blocked(c.receive, true);
	c.decline = m.declined = 0;
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.declined));
	assert_int_equal(m.why.reason, PROTO_R_BUSY);
	assert_int_equal(c.begun, 0);
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void push__second_master__busy_until_the_first_is_done(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m, n;
	struct rig_backup b, d;

	connect_pair(rig, &c, &m);
	c.no_result = true;
	/* another certificate: another master */
	rig_master_start_with(&n, rig, receive_port(c.receive), rig->master2, 0, 0);
	assert_true(rig_until(rig, &n.ready));
	rig_backup_init(&b, rig, 1, MIB);
	rig_backup_init(&d, rig, 2, MIB);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.accepted));
	rig_backup_finish(&d);
	assert_int_equal(push_offer(n.push, &d.file), KC_OK);
	assert_true(rig_until(rig, &n.declined));
	assert_int_equal(n.why.reason, PROTO_R_BUSY);
	rig_backup_finish(&b);
	assert_int_equal(push_end(m.push, &b.end), KC_OK);
	assert_true(rig_until(rig, &c.stored));
	n.declined = 0;
	assert_int_equal(push_offer(n.push, &d.file), KC_OK);
	assert_true(rig_until(rig, &n.declined));
	assert_int_equal(n.why.reason, PROTO_R_BUSY);
	rig_clone_result(&c, PROTO_RESTORED);
	assert_true(rig_until(rig, &m.results));
	c.no_result = false;
	push_whole(&n, &d);
	assert_int_equal(n.result.status, PROTO_RESTORED);
	assert_int_equal(m.closed, 0);
	rig_backup_fini(&b);
	rig_backup_fini(&d);
	rig_master_stop(&n);
	stop_pair(&c, &m);
}

static void session__same_master_again__replaces_the_old(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m, n;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, 3 * MIB);
	rig_backup_grow(&b, MIB);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.accepted));
	rig_pass(rig, 100);
	rig_master_start(&n, rig, receive_port(c.receive));
	assert_true(rig_until(rig, &n.ready));
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(c.failed, 1);
	assert_int_equal(c.ended, 1);
	rig_backup_finish(&b);
	push_whole(&n, &b);
	assert_int_equal(n.offset, MIB);
	assert_true(rig_clone_has(&c, &b));
	rig_backup_fini(&b);
	rig_master_stop(&n);
	stop_pair(&c, &m);
}

static void session__breaks_while_restoring__restore_goes_on(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m, n;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	c.no_result = true;
	rig_backup_init(&b, rig, 4, MIB);
	rig_backup_finish(&b);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_int_equal(push_end(m.push, &b.end), KC_OK);
	assert_true(rig_until(rig, &c.stored));
	rig_master_stop(&m);
	assert_true(rig_until(rig, &c.ended));
	assert_true(receive_busy(c.receive));
	c.applied = 0;
	rig_master_start(&n, rig, receive_port(c.receive));
	assert_true(rig_until(rig, &n.ready));
	assert_int_equal(n.clone_applied, 0);
	assert_int_equal(push_offer(n.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &n.declined));
	assert_int_equal(n.why.reason, PROTO_R_BUSY);
	/* done: the idle session is ended, so that the master comes back and hears of it */
	c.applied = 4;
	rig_clone_result(&c, PROTO_RESTORED);
	assert_int_equal(c.sent_result, 0);
	assert_true(rig_until(rig, &n.closed));
	assert_int_equal(n.how, PUSH_GOOD);
	rig_master_stop(&n);
	rig_master_start(&n, rig, receive_port(c.receive));
	assert_true(rig_until(rig, &n.ready));
	assert_int_equal(n.clone_applied, 4);
	rig_backup_fini(&b);
	stop_pair(&c, &n);
}

static void session__stop_while_sending__finishes_first(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, 3 * MIB);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.accepted));
	push_stop(m.push);
	receive_stop(c.receive);
	rig_pass(rig, 50);
	assert_int_equal(m.closed, 0);
	rig_backup_finish(&b);
	assert_int_equal(push_end(m.push, &b.end), KC_OK);
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.results, 1);
	assert_int_equal(m.result.status, PROTO_RESTORED);
	assert_int_equal(m.how, PUSH_GOOD);
	assert_int_equal(push_offer(m.push, &b.file), KC_EBUSY);
	assert_true(rig_until(rig, &c.ended));
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

static void session__bye_meets_offer__ends_in_good_order(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	struct rig_backup b;

	connect_pair(rig, &c, &m);
	rig_backup_init(&b, rig, 1, 1000);
	receive_greet_anew(c.receive);
	assert_int_equal(push_offer(m.push, &b.file), KC_OK);
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_GOOD);
	assert_int_equal(m.declined, 0);
	assert_int_equal(c.begun, 0);
	rig_backup_fini(&b);
	stop_pair(&c, &m);
}

/* Whatever turn of the loop the offer comes in: before the clone's bye, after it, or when the session is over already.
 */
static void session__offer_at_each_turn_of_its_end__ends_in_good_order(void **state)
{
	struct rig *rig = *state;
	bool over = false;

	for (int turns = 0; turns < 50 && !over; turns++) {
		struct rig_clone c;
		struct rig_master m;
		struct rig_backup b;

		connect_pair(rig, &c, &m);
		rig_backup_init(&b, rig, 1, 1000);
		receive_greet_anew(c.receive);
		for (int i = 0; i < turns && m.closed == 0; i++)
			loop_turn(rig->loop, 10);
		over = m.closed != 0;
		if (!over) {
			int rc = push_offer(m.push, &b.file);

			assert_true(rc == KC_OK || rc == KC_ENET || rc == KC_EBUSY);
			assert_true(rig_until(rig, &m.closed));
		}
		assert_int_equal(m.how, PUSH_GOOD);
		assert_int_equal(c.begun, 0);
		rig_backup_fini(&b);
		stop_pair(&c, &m);
	}
	assert_true(over);
}

static void session__stop_while_connecting__closed_in_good_order(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;

	rig_clone_start(&c, rig, "clone");
	rig_master_start(&m, rig, receive_port(c.receive));
	push_stop(m.push);
	assert_int_equal(m.closed, 0);
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_GOOD);
	stop_pair(&c, &m);
}

static void session__old_and_idle__ends_in_good_order(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;

	rig_clone_start(&c, rig, "clone");
	rig_master_start_with(&m, rig, receive_port(c.receive), rig->master, 0, 100);
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.ready, 1);
	assert_int_equal(m.how, PUSH_GOOD);
	assert_int_equal(m.rc, KC_OK);
	assert_true(rig_until(rig, &c.ended));
	rig_master_stop(&m);
	/* the clone's side can do so, too */
	rig_master_start(&m, rig, receive_port(c.receive));
	assert_true(rig_until(rig, &m.ready));
	receive_set_options(c.receive, &(struct conn_options){ .creds = rig->clone });
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_GOOD);
	stop_pair(&c, &m);
}

static void connect__nobody_listens__unreachable_refused(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;
	uint16_t port;

	rig_clone_start(&c, rig, "clone");
	port = receive_port(c.receive);
	rig_clone_stop(&c);
	rig_master_start(&m, rig, port);
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_UNREACHABLE);
	assert_int_equal(m.rc, KC_EREFUSED);
	rig_master_stop(&m);
}

static void connect__clone_of_another_authority__unauthorised(void **state)
{
	struct rig *rig = *state;
	struct tls_creds *ours = rig->clone;
	struct rig_clone c;
	struct rig_master m;

	rig->clone = rig->stranger;
	rig_clone_start(&c, rig, "clone");
	rig->clone = ours;
	rig_master_start(&m, rig, receive_port(c.receive));
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_UNAUTHORISED);
	assert_int_equal(m.rc, KC_EREFUSED);
	assert_int_equal(push_verdict(m.push), PEER_UNKNOWN_CA);
	stop_pair(&c, &m);
}

static void connect__clone_certificate_as_master__refused(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;

	rig_clone_start(&c, rig, "clone");
	rig_master_start_with(&m, rig, receive_port(c.receive), rig->stranger, 0, 0);
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_UNAUTHORISED);
	assert_int_equal(m.ready, 0);
	assert_true(rig_until(rig, &c.refused));
	assert_int_equal(c.hellos, 0);
	stop_pair(&c, &m);
}

static void session__clone_refuses_the_hello__failed_with_its_reason(void **state)
{
	struct rig *rig = *state;
	struct rig_clone c;
	struct rig_master m;

	rig_clone_start(&c, rig, "clone");
	rig_lineage = "ffffffffffffffffffffffffffffffff";
	rig_master_start(&m, rig, receive_port(c.receive));
	rig_lineage = RIG_LINEAGE;
	assert_true(rig_until(rig, &m.closed));
	assert_int_equal(m.how, PUSH_FAILED);
	assert_int_equal(m.rc, KC_EFOREIGN);
	assert_non_null(strstr(m.text, "is not mine"));
	assert_int_equal(m.ready, 0);
	stop_pair(&c, &m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		rig_test(push__file_grows__clone_has_the_same_bytes),
		rig_test(push__system_backup__stored),
		rig_test(push__travel_header_missing_or_too_many__session_ends),
		rig_test(push__several_generations__one_session),
		rig_test(push__increments__stored_without_a_travel_header),
		rig_test(push__increment_grows__clone_has_the_same_bytes),
		rig_test(push__increment_of_no_use__declined_and_a_full_follows),
		rig_test(push__increment_with_a_wrong_sha256__failed_and_dropped),
		rig_test(push__broken_at_random_offsets__resumes),
		rig_test(push__clone_dies_in_transfer__resumes_with_the_next),
		rig_test(push__another_file_than_the_partial_one__from_the_beginning),
		rig_test(push__file_is_there_already__nothing_is_sent),
		rig_test(push__wrong_sha256__failed_and_dropped),
		rig_test(push__resumed_part_damaged__found_and_dropped),
		rig_test(push__does_not_fit__declined_with_both_figures),
		rig_test(push__owner_declines__reason_and_figures_arrive),
		rig_test(push__second_master__busy_until_the_first_is_done),
		rig_test(session__same_master_again__replaces_the_old),
		rig_test(session__breaks_while_restoring__restore_goes_on),
		rig_test(session__stop_while_sending__finishes_first),
		rig_test(session__bye_meets_offer__ends_in_good_order),
		rig_test(session__offer_at_each_turn_of_its_end__ends_in_good_order),
		rig_test(session__stop_while_connecting__closed_in_good_order),
		rig_test(session__old_and_idle__ends_in_good_order),
		rig_test(connect__nobody_listens__unreachable_refused),
		rig_test(connect__clone_of_another_authority__unauthorised),
		rig_test(connect__clone_certificate_as_master__refused),
		rig_test(session__clone_refuses_the_hello__failed_with_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
