/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of store: names, list, retention, cleaning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/staging.h"
#include "backup/store.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-store-XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir);
}

static void touch(const char *name)
{
	char *path = file_join(dir, name);

	assert_int_equal(file_replace(path, "x", 1, 0600), KC_OK);
	free(path);
}

static bool there(const char *name)
{
	char *path = file_join(dir, name);
	bool is = file_exists(path);

	free(path);
	return is;
}

static void name__built__parses_back(void **state)
{
	struct store_name n = { .database = "key-db.main_1",
		.lineage = "0a1b2c3d",
		.generation = 42,
		.kind = STORE_FULL,
		.time = 1781873459 };
	struct store_name p;
	char *name = store_name_build(&n);

	(void)state;
	assert_string_equal(name, "keyclone-key-db.main_1-0a1b2c3d-0000000042-full-20260619T125059Z.tar.zst.age");
	assert_int_equal(store_name_parse(&p, name), KC_OK);
	assert_string_equal(p.database, n.database);
	assert_string_equal(p.lineage, n.lineage);
	assert_int_equal(p.generation, n.generation);
	assert_int_equal(p.kind, n.kind);
	assert_int_equal(p.time, n.time);
	free(name);
	n.kind = STORE_SAFETY;
	name = store_name_build(&n);
	assert_int_equal(store_name_parse(&p, name), KC_OK);
	assert_int_equal(p.kind, STORE_SAFETY);
	free(name);
	n.kind = STORE_INCR;
	name = store_name_build(&n);
	assert_string_equal(name, "keyclone-key-db.main_1-0a1b2c3d-0000000042-incr-20260619T125059Z.tar.zst.age");
	assert_int_equal(store_name_parse(&p, name), KC_OK);
	assert_int_equal(p.kind, STORE_INCR);
	assert_string_equal(store_kind_name(p.kind), "incr");
	free(name);
}

static void name__foreign__is_refused(void **state)
{
	static const char *const bad[] = { "", "x", "keyclone-a-0a1b2c3d-0000000042-full-20260619T125059Z.tar.zst",
		"keyclone-a-0a1b2c3d-0000000042-full-20260619T125059Z.tar.zst.age.part",
		"keyclone--0a1b2c3d-0000000042-full-20260619T125059Z.tar.zst.age",
		"keyclone-a-0A1b2c3d-0000000042-full-20260619T125059Z.tar.zst.age",
		"keyclone-a-0a1b2c3-0000000042-full-20260619T125059Z.tar.zst.age",
		"keyclone-a-0a1b2c3d-000000042-full-20260619T125059Z.tar.zst.age",
		"keyclone-a-0a1b2c3d-00000000x2-full-20260619T125059Z.tar.zst.age",
		"keyclone-a-0a1b2c3d-0000000042-half-20260619T125059Z.tar.zst.age",
		"keyclone-a-0a1b2c3d-0000000042-full-20260631T125059Z.tar.zst.age",
		"keyclone-a-0a1b2c3d-0000000042-incremental-20260619T125059Z.tar.zst.age",
		"keyclone-a-0a1b2c3d-0000000042-INCR-20260619T125059Z.tar.zst.age",
		"keyclone-a-0a1b2c3d-0000000042-full-20260619125059Z.tar.zst.age",
		"keyclone-a/b-0a1b2c3d-0000000042-full-20260619T125059Z.tar.zst.age" };
	struct store_name p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (store_name_parse(&p, bad[i]) != KC_EFORMAT)
			fail_msg("accepted: %s", bad[i]);
}

static void database_name__odd_path__is_a_plain_name(void **state)
{
	char out[STORE_DATABASE_MAX + 1];

	(void)state;
	store_database_name(out, "/var/lib/kmip/pykmip.db");
	assert_string_equal(out, "pykmip");
	store_database_name(out, "my keys.v2.sqlite");
	assert_string_equal(out, "my_keys.v2");
	store_database_name(out, "/x/.hidden");
	assert_string_equal(out, ".hidden");
	store_database_name(out,
	    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789.db");
	assert_int_equal(strlen(out), STORE_DATABASE_MAX);
}

#define N(lineage, generation, kind, time) "keyclone-k-" lineage "-00000000" generation "-" kind "-" time ".tar.zst.age"

static void list__wrong_clock__orders_by_generation(void **state)
{
	struct store_entry *e;
	size_t n;

	(void)state;
	touch(N("aaaaaaaa", "01", "full", "20300101T000000Z"));
	touch(N("aaaaaaaa", "02", "full", "20200101T000000Z"));
	touch(N("bbbbbbbb", "01", "full", "20310101T000000Z"));
	touch("notes.txt");
	touch(N("aaaaaaaa", "03", "full", "20200102T000000Z") ".part");
	assert_int_equal(store_list(&e, &n, dir), KC_OK);
	assert_int_equal(n, 3);
	assert_string_equal(e[0].file, N("aaaaaaaa", "01", "full", "20300101T000000Z"));
	assert_string_equal(e[1].file, N("aaaaaaaa", "02", "full", "20200101T000000Z"));
	assert_string_equal(e[2].file, N("bbbbbbbb", "01", "full", "20310101T000000Z"));
	assert_int_equal(e[0].size, 1);
	store_list_free(e, n);
	assert_int_equal(store_list(&e, &n, "/nonexistent/x"), KC_ENOENT);
}

static int removed;
static int on_removed(void *arg, const struct store_entry *e)
{
	(void)e;
	removed++;
	return arg != NULL ? *(int *)arg : KC_OK;
}

static void prune__keeps_newest_and_used_and_safety(void **state)
{
	const char *keep[] = { N("aaaaaaaa", "02", "full", "20260102T000000Z"), NULL };
	struct store_prune p = { .dir = dir, .max = 2, .keep = keep, .n_keep = 2, .removed = on_removed };
	int refuse = KC_EFAIL;

	(void)state;
	touch(N("aaaaaaaa", "01", "full", "20260101T000000Z"));
	touch(N("aaaaaaaa", "02", "full", "20260102T000000Z"));
	touch(N("aaaaaaaa", "02", "safety", "20250101T000000Z"));
	touch(N("aaaaaaaa", "03", "full", "20260103T000000Z"));
	touch(N("aaaaaaaa", "04", "full", "20260104T000000Z"));
	touch(N("aaaaaaaa", "05", "full", "20260105T000000Z"));
	touch("keyclone-other.txt");
	removed = 0;
	p.arg = &refuse;
	assert_int_equal(store_prune(&p), KC_EFAIL);
	assert_true(there(N("aaaaaaaa", "01", "full", "20260101T000000Z")));
	assert_true(there(N("aaaaaaaa", "03", "full", "20260103T000000Z")));
	p.arg = NULL;
	removed = 0;
	assert_int_equal(store_prune(&p), KC_OK);
	assert_int_equal(removed, 2);
	assert_false(there(N("aaaaaaaa", "01", "full", "20260101T000000Z")));
	assert_true(there(N("aaaaaaaa", "02", "full", "20260102T000000Z")));
	assert_true(there(N("aaaaaaaa", "02", "safety", "20250101T000000Z")));
	assert_false(there(N("aaaaaaaa", "03", "full", "20260103T000000Z")));
	assert_true(there(N("aaaaaaaa", "05", "full", "20260105T000000Z")));
	assert_true(there("keyclone-other.txt"));
	p.max = 0; /* never the newest */
	assert_int_equal(store_prune(&p), KC_OK);
	assert_true(there(N("aaaaaaaa", "05", "full", "20260105T000000Z")));
	assert_false(there(N("aaaaaaaa", "04", "full", "20260104T000000Z")));
}

/* ---- chains ---- */

/* "3f": the full of generation 3; i an increment, o one outside (a full later on), s a safety backup, y of the system.
 * In the order of the list. Static memory. */
static const char *listed(void)
{
	static char text[400];
	struct store_entry *e;
	size_t n, at = 0;

	text[0] = '\0';
	assert_int_equal(store_list(&e, &n, dir), KC_OK);
	for (size_t i = 0; i < n; i++) {
		char kind = "fsiy"[e[i].name.kind];

		if (e[i].outside)
			kind = 'o';
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%c%llu%c", at > 0 ? " " : "",
		    e[i].name.lineage[0], (unsigned long long)e[i].name.generation, kind);
		if (e[i].name.kind == STORE_INCR)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "/%llu", (unsigned long long)e[i].chain);
	}
	store_list_free(e, n);
	return text;
}

#define A(generation, kind)	N("aaaaaaaa", generation, kind, "20260101T0000" generation "Z")
#define B(generation, kind)	N("bbbbbbbb", generation, kind, "20260102T0000" generation "Z")
#define LATER(generation, kind) N("aaaaaaaa", generation, kind, "20260101T0100" generation "Z")

static void list__chains__are_told_by_names(void **state)
{
	(void)state;
	touch(A("01", "full"));
	touch(A("02", "incr"));
	touch(A("03", "incr"));
	touch(A("04", "full"));
	touch(A("05", "incr"));
	assert_string_equal(listed(), "a1f a2i/1 a3i/1 a4f a5i/4");
	/* Another lineage has its own; without a full there is none. */
	touch(B("02", "incr"));
	touch(B("03", "full"));
	touch(B("04", "incr"));
	assert_string_equal(listed(), "a1f a2i/1 a3i/1 a4f a5i/4 b2i/0 b3f b4i/3");
}

static void list__fulls_outside__begin_no_chain(void **state)
{
	(void)state;
	touch(A("01", "full"));
	touch(LATER("01", "full"));
	touch(A("02", "incr"));
	touch(LATER("02", "full"));
	touch(N("aaaaaaaa", "02", "full", "20200101T000002Z")); /* a clock that was wrong */
	touch(A("03", "incr"));
	touch(A("03", "safety"));
	touch(A("00", "full"));
	touch(A("04", "safety"));
	touch(A("05", "incr"));
	touch(N("aaaaaaaa", "03", "system", "20260101T000003Z"));
	assert_string_equal(listed(), "a0o a1f a1o a2o a2i/1 a2o a3i/1 a3s a3y a4s a5i/1");
}

static char order[400];
static int on_order(void *arg, const struct store_entry *e)
{
	size_t at = strlen(order);

	(void)arg;
	snprintf(order + at, sizeof(order) - at, "%s%llu%c", at > 0 ? " " : "", (unsigned long long)e->name.generation,
	    "fsiy"[e->name.kind]);
	return KC_OK;
}

/* Prunes to `max`; what went, in its order. */
static const char *pruned(size_t max, const char *keep)
{
	struct store_prune p = { .dir = dir, .max = max, .keep = &keep, .n_keep = 1, .removed = on_order };

	order[0] = '\0';
	assert_int_equal(store_prune(&p), KC_OK);
	return order;
}

static void touch_two_chains(void)
{
	touch(A("01", "full"));
	touch(A("02", "incr"));
	touch(A("03", "incr"));
	touch(A("04", "full"));
	touch(A("05", "incr"));
	touch(A("06", "incr"));
	touch(A("07", "full"));
	touch(A("08", "incr"));
}

static void prune__chains__go_whole_and_the_newest_increment_first(void **state)
{
	(void)state;
	touch_two_chains();
	assert_string_equal(pruned(3, NULL), "");
	assert_string_equal(pruned(2, NULL), "3i 2i 1f");
	assert_string_equal(pruned(0, NULL), "6i 5i 4f");
	assert_string_equal(listed(), "a7f a8i/7");
	assert_string_equal(pruned(1, NULL), "");
}

static void prune__kept_increment__keeps_what_it_builds_on(void **state)
{
	(void)state;
	touch_two_chains();
	assert_string_equal(pruned(1, A("02", "incr")), "6i 5i 4f 3i");
	assert_string_equal(listed(), "a1f a2i/1 a7f a8i/7");
	assert_string_equal(pruned(1, A("01", "full")), "2i");
	assert_string_equal(listed(), "a1f a7f a8i/7");
	assert_string_equal(pruned(1, A("07", "full")), "1f");
}

/* What is open at each instant can be opened: a removal that fails leaves whole chains, or their beginnings. */
static int refuse_second(void *arg, const struct store_entry *e)
{
	(void)e;
	return ++*(int *)arg == 2 ? KC_EFAIL : KC_OK;
}

static void prune__stopped__leaves_the_beginning_of_a_chain(void **state)
{
	int n = 0;
	struct store_prune p = { .dir = dir, .max = 1, .removed = refuse_second, .arg = &n };

	(void)state;
	touch_two_chains();
	assert_int_equal(store_prune(&p), KC_EFAIL);
	assert_string_equal(listed(), "a1f a2i/1 a3i/1 a4f a5i/4 a7f a8i/7");
}

static void prune__two_lineages__each_chain_for_itself(void **state)
{
	(void)state;
	touch_two_chains();
	touch(B("07", "full"));
	touch(B("08", "incr"));
	assert_string_equal(pruned(2, NULL), "6i 5i 4f 3i 2i 1f");
	assert_string_equal(listed(), "a7f a8i/7 b7f b8i/7");
	assert_string_equal(pruned(1, A("08", "incr")), "");
	assert_string_equal(pruned(1, NULL), "8i 7f");
	assert_string_equal(listed(), "b7f b8i/7");
}

static void prune__increments_without_a_full__go_with_what_is_older(void **state)
{
	(void)state;
	touch(A("02", "incr"));
	touch(A("03", "incr"));
	assert_string_equal(pruned(1, NULL), "");
	touch(A("04", "full"));
	assert_string_equal(pruned(1, A("03", "incr")), "");
	assert_string_equal(pruned(1, NULL), "3i 2i");
	assert_string_equal(listed(), "a4f");
}

/* A full of `backup create` is nobody's base: it counts, and what the increments build on stays. */
static void prune__fulls_outside__do_not_take_a_chain_with_them(void **state)
{
	(void)state;
	touch(A("01", "full"));
	touch(A("02", "incr"));
	touch(A("03", "incr"));
	touch(LATER("02", "full"));
	touch(LATER("03", "full"));
	assert_string_equal(pruned(3, A("03", "incr")), "");
	assert_string_equal(pruned(2, A("03", "incr")), "");
	assert_string_equal(pruned(1, A("03", "incr")), "2f");
	assert_string_equal(listed(), "a1f a2i/1 a3i/1 a3o");
	touch(A("00", "full"));
	assert_string_equal(pruned(2, A("03", "incr")), "0f");
}

static void prune_system__leaves_chains_alone(void **state)
{
	struct store_prune p = { .dir = dir, .removed = on_order };

	(void)state;
	touch_two_chains();
	for (char g = '1'; g <= '5'; g++) {
		char *name = mem_xstrdup(N("aaaaaaaa", "0x", "system", "20260101T000000Z"));

		*strchr(name + 20, 'x') = g;
		touch(name);
		free(name);
	}
	order[0] = '\0';
	assert_int_equal(store_prune_system(&p), KC_OK);
	assert_string_equal(order, "2y 1y");
	assert_string_equal(pruned(1, NULL), "6i 5i 4f 3i 2i 1f");
}

static bool keep_second(void *arg, const char *name)
{
	(void)arg;
	return strstr(name, "-0000000002-") != NULL;
}

static void clean__parts__removed_but_for_the_kept(void **state)
{
	(void)state;
	touch(N("aaaaaaaa", "01", "full", "20260101T000000Z") ".part");
	touch(N("aaaaaaaa", "02", "full", "20260102T000000Z") ".part");
	touch(N("aaaaaaaa", "03", "full", "20260103T000000Z"));
	touch("something.part");
	assert_int_equal(store_clean(dir, keep_second, NULL), KC_OK);
	assert_false(there(N("aaaaaaaa", "01", "full", "20260101T000000Z") ".part"));
	assert_true(there(N("aaaaaaaa", "02", "full", "20260102T000000Z") ".part"));
	assert_true(there("something.part"));
	assert_int_equal(store_clean(dir, NULL, NULL), KC_OK);
	assert_false(there(N("aaaaaaaa", "02", "full", "20260102T000000Z") ".part"));
	assert_true(there(N("aaaaaaaa", "03", "full", "20260103T000000Z")));
}

/* It removes all there is: as root beside somebody else's database it must not be led elsewhere. */
static void clean_staging__link_in_its_place__is_not_followed(void **state)
{
	char *db = file_join(dir, "keys.db"), *other = file_join(dir, "other"),
	     *precious = file_join(other, "precious"), *ours = file_join(dir, ".keyclone"),
	     *parent = file_join(ours, "staging");

	(void)state;
	assert_int_equal(file_make_dirs(other), KC_OK);
	assert_int_equal(file_make_dirs(ours), KC_OK);
	assert_int_equal(file_replace(precious, "x", 1, 0600), KC_OK);
	assert_int_equal(symlink(other, parent), 0);
	assert_int_not_equal(staging_clean(db), KC_OK);
	assert_true(file_exists(precious));
	assert_int_equal(file_remove_tree(ours), KC_OK);
	assert_int_equal(symlink(other, ours), 0);
	assert_int_equal(staging_clean(db), KC_EPERM);
	assert_true(file_exists(precious));
	free(db);
	free(other);
	free(precious);
	free(ours);
	free(parent);
}

static void clean_staging__held_folder__stays(void **state)
{
	struct staging held = STAGING_EMPTY;
	char *db = file_join(dir, "keys.db"), *left = file_join(dir, ".keyclone/staging/left"),
	     *parent = file_join(dir, ".keyclone/staging");

	(void)state;
	assert_int_equal(staging_clean(db), KC_OK); /* nothing there yet */
	assert_int_equal(staging_begin(&held, parent), KC_OK);
	assert_int_equal(file_make_dirs(left), KC_OK);
	assert_int_equal(staging_clean(db), KC_OK);
	assert_false(file_exists(left));
	assert_true(file_exists(held.dir));
	staging_end(&held);
	assert_int_equal(rmdir(parent), 0);
	free(db);
	free(left);
	free(parent);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(name__built__parses_back),
		cmocka_unit_test(name__foreign__is_refused),
		cmocka_unit_test(database_name__odd_path__is_a_plain_name),
		cmocka_unit_test_setup_teardown(list__wrong_clock__orders_by_generation, setup, teardown),
		cmocka_unit_test_setup_teardown(prune__keeps_newest_and_used_and_safety, setup, teardown),
		cmocka_unit_test_setup_teardown(list__chains__are_told_by_names, setup, teardown),
		cmocka_unit_test_setup_teardown(list__fulls_outside__begin_no_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    prune__chains__go_whole_and_the_newest_increment_first, setup, teardown),
		cmocka_unit_test_setup_teardown(prune__kept_increment__keeps_what_it_builds_on, setup, teardown),
		cmocka_unit_test_setup_teardown(prune__stopped__leaves_the_beginning_of_a_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(prune__two_lineages__each_chain_for_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    prune__increments_without_a_full__go_with_what_is_older, setup, teardown),
		cmocka_unit_test_setup_teardown(prune__fulls_outside__do_not_take_a_chain_with_them, setup, teardown),
		cmocka_unit_test_setup_teardown(prune_system__leaves_chains_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(clean__parts__removed_but_for_the_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(clean_staging__held_folder__stays, setup, teardown),
		cmocka_unit_test_setup_teardown(clean_staging__link_in_its_place__is_not_followed, setup, teardown),
	};

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
