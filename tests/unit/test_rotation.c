/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of a rotation's order: who may do what when, and what a restart finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/rotation.h"

static const char *const fleet[] = { "a:1", "b:2", "c:3" };

static void begin(struct rotation *r, size_t clones)
{
	memset(r, 0, sizeof(*r));
	strcpy(r->id, "00112233445566778899aabbccddeeff");
	r->phase = ROTATION_BEGIN;
	assert_true(rotation_set_clones(r, fleet, clones));
	assert_int_equal(rotation_due(r, 0), ROTATION_WAIT);
	assert_false(rotation_advance(r));
	rotation_forward(r);
	assert_int_equal(r->phase, ROTATION_PREPARE);
}

static void do_step(struct rotation *r, size_t i, enum rotation_step step)
{
	assert_int_equal(rotation_due(r, i), step);
	rotation_did(r, i, step);
}

/* Everything up to its installation. */
static void prepare(struct rotation *r, size_t i, enum rotation_kind kind)
{
	assert_int_equal(rotation_due(r, i), ROTATION_TRUST);
	r->clones[i].kind = kind;
	rotation_did(r, i, ROTATION_TRUST);
	if (kind == ROTATION_OWN)
		do_step(r, i, ROTATION_REQUEST);
	if (kind != ROTATION_EXTERNAL)
		do_step(r, i, ROTATION_INSTALL);
	assert_int_equal(rotation_due(r, i), ROTATION_WAIT);
}

static void order__nobody_changes__before_all_trust(void **state)
{
	struct rotation r;

	(void)state;
	begin(&r, 3);
	prepare(&r, 0, ROTATION_SITE);
	prepare(&r, 1, ROTATION_OWN);
	assert_false(rotation_advance(&r));
	prepare(&r, 2, ROTATION_EXTERNAL);
	assert_true(rotation_advance(&r));
	assert_int_equal(r.phase, ROTATION_SWITCH);
	/* One that keeps its own has nothing to change. */
	assert_int_equal(rotation_due(&r, 2), ROTATION_WAIT);
	do_step(&r, 0, ROTATION_SWITCHING);
	assert_false(rotation_advance(&r));
	do_step(&r, 1, ROTATION_SWITCHING);
	assert_true(rotation_advance(&r));
	assert_int_equal(r.phase, ROTATION_MASTER);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(rotation_due(&r, i), ROTATION_WAIT);
	assert_false(rotation_advance(&r));
	rotation_forward(&r);
	for (size_t i = 0; i < 3; i++)
		do_step(&r, i, ROTATION_VERIFYING);
	assert_true(rotation_advance(&r));
	assert_int_equal(r.phase, ROTATION_REVOKE);
	assert_false(rotation_advance(&r));
	assert_int_equal(rotation_undo(&r), KC_EBUSY);
	rotation_forward(&r);
	for (size_t i = 0; i < 3; i++) {
		assert_false(rotation_advance(&r));
		do_step(&r, i, ROTATION_RETIRING);
		assert_int_equal(rotation_due(&r, i), ROTATION_DONE);
	}
	assert_true(rotation_advance(&r));
	assert_int_equal(r.phase, ROTATION_END);
	rotation_forward(&r);
	assert_int_equal(r.phase, ROTATION_NONE);
	assert_false(r.undone);
	assert_true(r.ended > 0);
	rotation_fini(&r);
}

static void order__without_clones__is_the_masters_alone(void **state)
{
	struct rotation r = { .phase = ROTATION_PREPARE };

	(void)state;
	assert_true(rotation_advance(&r));
	assert_true(rotation_advance(&r));
	assert_int_equal(r.phase, ROTATION_MASTER);
	assert_false(rotation_advance(&r));
}

static void order__a_key_that_is_gone__is_requested_again(void **state)
{
	struct rotation r;

	(void)state;
	begin(&r, 1);
	r.clones[0].kind = ROTATION_OWN;
	rotation_did(&r, 0, ROTATION_TRUST);
	do_step(&r, 0, ROTATION_REQUEST);
	rotation_again(&r, 0, ROTATION_REQUEST);
	do_step(&r, 0, ROTATION_REQUEST);
	do_step(&r, 0, ROTATION_INSTALL);
	assert_true(rotation_advance(&r));
	rotation_fini(&r);
}

static void clones__that_join_in_the_middle__catch_up(void **state)
{
	struct rotation r;

	(void)state;
	begin(&r, 1);
	prepare(&r, 0, ROTATION_SITE);
	assert_true(rotation_advance(&r));
	assert_true(rotation_set_clones(&r, fleet, 2));
	assert_false(rotation_set_clones(&r, fleet, 2));
	/* The one before may change; the master may not before the new one has, too. */
	do_step(&r, 0, ROTATION_SWITCHING);
	assert_false(rotation_advance(&r));
	assert_int_equal(rotation_due(&r, 1), ROTATION_TRUST);
	r.clones[1].kind = ROTATION_SITE;
	rotation_did(&r, 1, ROTATION_TRUST);
	do_step(&r, 1, ROTATION_INSTALL);
	do_step(&r, 1, ROTATION_SWITCHING);
	assert_true(rotation_advance(&r));
	rotation_fini(&r);
}

static void clones__that_were_removed__are_not_waited_for(void **state)
{
	static const char *const rest[] = { "a:1", "c:3" };
	struct rotation r;

	(void)state;
	begin(&r, 3);
	prepare(&r, 0, ROTATION_SITE);
	prepare(&r, 2, ROTATION_EXTERNAL);
	assert_true(rotation_has_external(&r));
	assert_false(rotation_advance(&r));
	assert_true(rotation_set_clones(&r, rest, 2));
	assert_null(rotation_find(&r, "b:2"));
	assert_int_equal(rotation_find(&r, "c:3")->kind, ROTATION_EXTERNAL);
	assert_true(rotation_advance(&r));
	rotation_fini(&r);
}

static void undo__before_retirement__goes_back_everywhere(void **state)
{
	struct rotation r;

	(void)state;
	begin(&r, 2);
	prepare(&r, 0, ROTATION_SITE);
	assert_int_equal(rotation_undo(&r), KC_OK);
	assert_int_equal(r.phase, ROTATION_BACK_MASTER);
	rotation_forward(&r);
	assert_int_equal(rotation_due(&r, 0), ROTATION_GO_BACK);
	/* It was told nothing. */
	assert_int_equal(rotation_due(&r, 1), ROTATION_DONE);
	assert_false(rotation_advance(&r));
	do_step(&r, 0, ROTATION_GO_BACK);
	assert_true(rotation_advance(&r));
	assert_int_equal(r.phase, ROTATION_BACK_END);
	rotation_forward(&r);
	assert_int_equal(r.phase, ROTATION_NONE);
	assert_true(r.undone);
	assert_int_equal(rotation_undo(&r), KC_EUSAGE);
	rotation_fini(&r);
}

static void undo__during_retirement__is_refused(void **state)
{
	struct rotation r = { .phase = ROTATION_RETIRE };

	(void)state;
	assert_int_equal(rotation_undo(&r), KC_EBUSY);
	r.phase = ROTATION_END;
	assert_int_equal(rotation_undo(&r), KC_EBUSY);
	r.phase = ROTATION_VERIFY;
	assert_int_equal(rotation_undo(&r), KC_OK);
}

static void file__read_again__is_the_same(void **state)
{
	char dir[] = "/tmp/kc-test-rotation.XXXXXX";
	struct rotation r, s;
	json_t *a, *b;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(rotation_load(&s, dir), KC_OK);
	assert_int_equal(s.phase, ROTATION_NONE);
	begin(&r, 3);
	prepare(&r, 0, ROTATION_OWN);
	r.clones[0].sans = json_pack("[s, s]", "a.example", "127.0.0.1");
	strcpy(r.clones[0].cn, "a.example");
	strcpy(r.clones[1].error, "connection refused");
	strcpy(r.old_alias, "ssl_cert");
	strcpy(r.new_alias, "ssl_cert-20261129");
	r.certificates = mem_xstrdup("-----BEGIN CERTIFICATE-----\n");
	r.forget = json_pack("[s]", "aa");
	r.authority = true;
	assert_int_equal(rotation_save(&r, dir), KC_OK);
	assert_int_equal(rotation_load(&s, dir), KC_OK);
	a = rotation_json(&r);
	b = rotation_json(&s);
	assert_true(json_equal(a, b));
	json_decref(a);
	json_decref(b);
	assert_string_equal(s.certificates, r.certificates);
	assert_true(json_equal(s.forget, r.forget));
	assert_true(json_equal(s.clones[0].sans, r.clones[0].sans));
	assert_int_equal(rotation_due(&s, 0), ROTATION_WAIT);
	assert_int_equal(rotation_due(&s, 1), ROTATION_TRUST);
	rotation_fini(&r);
	rotation_fini(&s);
	assert_int_equal(file_remove_tree(dir), KC_OK);
}

static void set_aside__for_one_that_does_not_begin__comes_back(void **state)
{
	struct rotation r, before = { .serial = 0 };

	(void)state;
	begin(&r, 1);
	r.serial = 7;
	strcpy(r.new_alias, "ssl_cert-20261129");
	rotation_set_aside(&r, &before);
	assert_int_equal(r.count, 0);
	assert_int_equal(r.serial, 7);
	strcpy(r.new_alias, "nowhere");
	rotation_bring_back(&r, &before);
	assert_string_equal(r.new_alias, "ssl_cert-20261129");
	assert_int_equal(r.count, 1);
	assert_int_equal(before.count, 0);
	rotation_fini(&r);
}

static void alias__of_an_earlier_rotation__gets_another_date(void **state)
{
	static const struct {
		const char *old, *suffix, *alias;
	} cases[] = { { "ssl_cert", "20261129", "ssl_cert-20261129" },
		{ "ssl_cert-20251129", "20261129", "ssl_cert-20261129" },
		{ "ssl_cert-20261129", "20261129.2", "ssl_cert-20261129.2" },
		{ "ssl_cert-20261129.2", "20261129.3", "ssl_cert-20261129.3" }, { "a-b", "20261129", "a-b-20261129" } };
	char alias[ROTATION_ALIAS];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rotation_alias(alias, cases[i].old, cases[i].suffix);
		assert_string_equal(alias, cases[i].alias);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order__nobody_changes__before_all_trust),
		cmocka_unit_test(order__without_clones__is_the_masters_alone),
		cmocka_unit_test(order__a_key_that_is_gone__is_requested_again),
		cmocka_unit_test(clones__that_join_in_the_middle__catch_up),
		cmocka_unit_test(clones__that_were_removed__are_not_waited_for),
		cmocka_unit_test(undo__before_retirement__goes_back_everywhere),
		cmocka_unit_test(undo__during_retirement__is_refused),
		cmocka_unit_test(file__read_again__is_the_same),
		cmocka_unit_test(set_aside__for_one_that_does_not_begin__comes_back),
		cmocka_unit_test(alias__of_an_earlier_rotation__gets_another_date),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
