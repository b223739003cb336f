/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of target_next: which file brings which clone on. What it decides is caught here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backup/age.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/master_int.h"

#define LINEAGE	 "00112233445566778899aabbccddeeff"
#define LINEAGE2 "ffeeddccbbaa99887766554433221100"
#define DIGEST	 LINEAGE LINEAGE
#define DIGEST2	 LINEAGE2 LINEAGE2
#define HEADER	 168

/* ---- what it talks to ---- */

static struct proto_hello hello;
static struct fleet_record record;
static struct {
	struct offering *offered;
	enum fleet_failure how;
	int failed, idle, over, looks;
	int64_t postponed_until;
	char text[500];
} got;
static bool held;

const struct proto_hello *push_peer_hello(const struct push *p)
{
	(void)p;
	return &hello;
}

const struct fleet_record *fleet_record(const struct fleet_clone *c)
{
	(void)c;
	return &record;
}

void target_failed(struct target *t, enum fleet_failure how, int code, const char *text, bool keep)
{
	(void)t;
	assert_true(keep);
	got.failed = code;
	got.how = how;
	STR_COPY(got.text, text);
}

void target_idle(struct target *t)
{
	(void)t;
	got.idle++;
}

void target_postponed(struct target *t, uint64_t generation, int64_t until)
{
	(void)t;
	assert_int_equal(generation, record.stored);
	got.postponed_until = until;
}

void target_offer(struct target *t, struct offering *o)
{
	(void)t;
	assert_null(got.offered);
	got.offered = o;
}

void target_over(struct target *t, int rc, const char *text)
{
	(void)t;
	got.over = rc;
	STR_COPY(got.text, text);
}

void master_look(struct master *m, bool force)
{
	(void)m;
	assert_true(force);
	got.looks++;
}

bool held_is(const struct master *m)
{
	(void)m;
	return held;
}

/* ---- a master and a clone ---- */

static struct world {
	char dir[64];
	struct conf conf;
	struct daemon d;
	struct master m;
	struct target t;
	char recipient[AGE_RECIPIENT_LEN + 1];
} w;

static void reset(void)
{
	offering_unref(got.offered);
	memset(&got, 0, sizeof(got));
	w.t.waiting = w.m.want_full = false;
}

static char *path_of(uint64_t generation)
{
	return mem_xasprintf("%s/backup-%u", w.dir, (unsigned)generation);
}

/* The master has made it. */
static void made(uint64_t generation, uint64_t base, uint64_t chain)
{
	struct state_made made = { .generation = generation, .base = base, .chain = chain, .header_size = HEADER };
	char *path = path_of(generation), bytes[400];

	memset(bytes, 'x', sizeof(bytes));
	STR_COPY(made.lineage, LINEAGE);
	STR_COPY(made.digest, DIGEST);
	snprintf(made.backup, sizeof(made.backup), "backup-%u", (unsigned)generation);
	assert_int_equal(file_replace(path, bytes, sizeof(bytes), 0600), KC_OK);
	assert_int_equal(state_put_made(w.d.state, &made), KC_OK);
	free(path);
	w.d.self.complete = w.d.self.generation = generation;
	offering_unref(w.m.out);
	w.m.out = NULL;
	assert_int_equal(offering_of(&w.m.out, &made, w.dir), KC_OK);
}

static int setup(void **state)
{
	struct age_identity *id;
	struct age_recipient r;

	(void)state;
	memset(&w, 0, sizeof(w));
	strcpy(w.dir, "/tmp/kc-target-XXXXXX");
	if (mem_init() < 0 || mkdtemp(w.dir) == NULL)
		return -1;
	w.conf.backup_dir = w.dir;
	w.d.conf = &w.conf;
	assert_int_equal(state_open(&w.d.state, w.dir, true), KC_OK);
	STR_COPY(w.d.self.lineage, LINEAGE);
	w.m.d = &w.d;
	w.t.master = &w.m;
	STR_COPY(w.t.name, "clone:1");
	id = age_identity_new();
	age_identity_recipient(&r, id);
	age_recipient_text(w.recipient, &r);
	age_identity_free(id);
	memset(&hello, 0, sizeof(hello));
	memset(&record, 0, sizeof(record));
	memset(&got, 0, sizeof(got));
	held = false;
	hello.version = PROTO_VERSION;
	STR_COPY(hello.recipient, w.recipient);
	/* Two chains: 1 to 4 and 5 to 8. */
	made(1, 0, 1);
	made(2, 1, 1);
	made(3, 2, 1);
	made(4, 3, 1);
	made(5, 0, 5);
	made(6, 5, 5);
	made(7, 6, 5);
	made(8, 7, 5);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reset();
	offering_unref(w.m.out);
	state_close(w.d.state);
	return file_remove_tree(w.dir);
}

/* It has this, and can open increments of that chain. */
static void clone_has(uint64_t generation, uint64_t chain)
{
	record.applied = hello.applied_generation = generation;
	STR_COPY(hello.applied_lineage, generation > 0 ? LINEAGE : "");
	STR_COPY(hello.applied_digest, generation > 0 ? DIGEST : "");
	w.t.chain = hello.chain = chain;
}

/* What it is offered; 0: nothing. */
static uint64_t offered(void)
{
	reset();
	target_decide(&w.t);
	return got.offered != NULL ? got.offered->generation : 0;
}

static void assert_waits_for_full(void)
{
	assert_int_equal(offered(), 0);
	assert_int_equal(got.over, KC_ENEEDFULL);
	assert_int_equal(got.failed, 0);
	assert_int_equal(got.looks, 1);
	assert_true(w.t.waiting);
	assert_true(w.m.want_full);
}

static void decide__has_the_newest__is_idle(void **state)
{
	(void)state;
	clone_has(8, 5);
	assert_int_equal(offered(), 0);
	assert_int_equal(got.idle, 1);
	assert_string_equal(w.t.recipient, w.recipient);
	clone_has(8, 0); /* what it could open does not matter */
	assert_int_equal(offered(), 0);
	assert_int_equal(got.idle, 1);
}

static void decide__has_the_base__gets_the_increment(void **state)
{
	(void)state;
	clone_has(7, 5);
	assert_int_equal(offered(), 8);
	assert_int_equal(got.offered->kind, PROTO_INCREMENTAL);
	assert_int_equal(got.offered->base, 7);
	assert_ptr_equal(got.offered, w.m.out);
	assert_int_equal(w.m.out->refs, 2);
}

static void decide__lacks_several__gets_them_in_order(void **state)
{
	(void)state;
	clone_has(5, 5);
	assert_int_equal(offered(), 6);
	assert_int_equal(got.offered->base, 5);
	clone_has(6, 5);
	assert_int_equal(offered(), 7);
	assert_int_equal(got.offered->chain, 5);
	clone_has(7, 5);
	assert_int_equal(offered(), 8);
}

static void decide__has_nothing_of_the_chain__gets_its_full(void **state)
{
	(void)state;
	clone_has(0, 0);
	assert_int_equal(offered(), 5);
	assert_int_equal(got.offered->kind, PROTO_FULL);
	assert_int_equal(got.offered->chain, 5);
	assert_true(got.offered->complete);
	target_took(&w.t, got.offered);
	assert_int_equal(w.t.chain, 5);
	clone_has(3, 1);
	assert_int_equal(offered(), 5);
	clone_has(4, 1); /* the last of the chain before */
	assert_int_equal(offered(), 5);
	/* An old one, too. */
	hello.version = 2;
	clone_has(4, 0);
	assert_int_equal(offered(), 5);
}

static void decide__newest_is_a_full__gets_it_whatever_it_has(void **state)
{
	(void)state;
	made(9, 0, 9);
	for (uint64_t g = 0; g <= 8; g++) {
		clone_has(g, g < 5 ? 1 : 5);
		assert_int_equal(offered(), 9);
		assert_ptr_equal(got.offered, w.m.out);
	}
	hello.version = 1;
	w.t.needs_full = true;
	assert_int_equal(offered(), 9);
	target_took(&w.t, got.offered);
	assert_false(w.t.needs_full);
	assert_int_equal(w.t.chain, 9);
}

static void decide__increments_are_of_no_use__waits_for_a_full(void **state)
{
	(void)state;
	/* It has the chain's full, and cannot open what follows. */
	clone_has(7, 0);
	assert_waits_for_full();
	clone_has(5, 1);
	assert_waits_for_full();
	/* It does not know them. */
	hello.version = 2;
	clone_has(7, 5);
	assert_waits_for_full();
	hello.version = 3;
	/* They did not fit. */
	w.t.needs_full = true;
	clone_has(7, 5);
	assert_waits_for_full();
	clone_has(3, 1);
	assert_waits_for_full();
	target_took(&w.t, w.m.out); /* an increment makes nothing good */
	assert_true(w.t.needs_full);
}

static void decide__link_is_missing__waits_for_a_full(void **state)
{
	char *path = path_of(6);

	(void)state;
	clone_has(5, 5);
	assert_int_equal(truncate(path, HEADER), 0);
	assert_waits_for_full();
	assert_int_equal(unlink(path), 0);
	assert_waits_for_full();
	free(path);
	clone_has(6, 5); /* behind the gap all is well */
	assert_int_equal(offered(), 7);
	path = path_of(5);
	assert_int_equal(unlink(path), 0);
	clone_has(2, 1);
	assert_waits_for_full();
	free(path);
}

static void decide__full_cannot_be_made_now__fails_and_says_so(void **state)
{
	(void)state;
	clone_has(7, 0);
	held = true;
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_ENEEDFULL);
	assert_int_equal(got.looks, 0);
	assert_false(w.t.waiting);
	held = false;
	w.m.still = true;
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_ENEEDFULL);
	w.m.still = false;
	w.m.backup_wait_ms = 1000;
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_ENEEDFULL);
	w.m.backup_wait_ms = 0;
	assert_waits_for_full();
}

/* What waits for its hour counts as there: the next one builds on it. */
static void decide__stored_and_postponed__goes_on_from_there(void **state)
{
	(void)state;
	clone_has(6, 5);
	record.stored = 7;
	record.postponed_until = time(NULL) + 1000;
	assert_int_equal(offered(), 8);
	record.stored = 8;
	assert_int_equal(offered(), 0);
	assert_true(got.postponed_until == record.postponed_until);
	/* Somebody does not want to wait: it is told so with the same file. */
	w.t.restore_now = true;
	assert_int_equal(offered(), 8);
	w.t.restore_now = false;
	/* Not postponed: what is stored was not restored. */
	record.postponed_until = 0;
	assert_int_equal(offered(), 7);
}

static void decide__diverged__stops_or_begins_afresh(void **state)
{
	(void)state;
	clone_has(7, 5);
	w.t.diverged = true;
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_EDIVERGED);
	assert_int_equal(got.how, FLEET_FAIL_DIVERGED);
	/* Its rows may go: that takes a full, even where it has the newest. */
	w.t.discard = true;
	assert_waits_for_full();
	clone_has(8, 5);
	assert_waits_for_full();
	made(9, 0, 9);
	assert_int_equal(offered(), 9);
	clone_has(9, 9);
	assert_int_equal(offered(), 9);
}

static void decide__rolled_back_or_stopped__sends_nothing(void **state)
{
	(void)state;
	clone_has(9, 5);
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_ESTALE);
	assert_non_null(strstr(got.text, "this master made 8 at most"));
	clone_has(7, 5);
	STR_COPY(hello.applied_digest, DIGEST2);
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_ESTALE);
	assert_non_null(strstr(got.text, "other contents"));
	clone_has(7, 5);
	STR_COPY(hello.applied_lineage, LINEAGE2); /* of another history that is no matter of numbers */
	assert_int_equal(offered(), 8);
	clone_has(7, 5);
	hello.stopped = true;
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_EBUSY);
	hello.stopped = false;
	w.d.self.stopped = true;
	assert_int_equal(offered(), 0);
	assert_int_equal(got.idle, 1);
	w.t.awaited = true;
	assert_int_equal(offered(), 8);
}

static void decide__identity__is_the_pinned_one(void **state)
{
	(void)state;
	clone_has(7, 5);
	STR_COPY(hello.recipient, "age1nobody");
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_EFORMAT);
	STR_COPY(hello.recipient, w.recipient);
	STR_COPY(w.t.recipient, "age1other");
	assert_int_equal(offered(), 0);
	assert_int_equal(got.failed, KC_EPERM);
	assert_int_equal(got.how, FLEET_FAIL_REFUSED);
}

static void decide__nothing_to_offer__waits_or_is_idle(void **state)
{
	(void)state;
	clone_has(0, 0);
	offering_unref(w.m.out);
	w.m.out = NULL;
	assert_int_equal(offered(), 0);
	assert_int_equal(got.idle, 1);
	w.m.making = true;
	assert_int_equal(offered(), 0);
	assert_int_equal(got.idle, 0);
	assert_true(w.t.waiting);
}

static void quiet(enum log_level level, const char *text, void *arg)
{
	(void)level, (void)text, (void)arg;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(decide__has_the_newest__is_idle),
		T(decide__has_the_base__gets_the_increment),
		T(decide__lacks_several__gets_them_in_order),
		T(decide__has_nothing_of_the_chain__gets_its_full),
		T(decide__newest_is_a_full__gets_it_whatever_it_has),
		T(decide__increments_are_of_no_use__waits_for_a_full),
		T(decide__link_is_missing__waits_for_a_full),
		T(decide__full_cannot_be_made_now__fails_and_says_so),
		T(decide__stored_and_postponed__goes_on_from_there),
		T(decide__diverged__stops_or_begins_afresh),
		T(decide__rolled_back_or_stopped__sends_nothing),
		T(decide__identity__is_the_pinned_one),
		T(decide__nothing_to_offer__waits_or_is_idle),
	};

	log_set_sink(quiet, NULL);
	return cmocka_run_group_tests_name("target next", tests, NULL, NULL);
}
