/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of store: names, list, retention, cleaning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
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
		cmocka_unit_test_setup_teardown(clean__parts__removed_but_for_the_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(clean_staging__held_folder__stays, setup, teardown),
		cmocka_unit_test_setup_teardown(clean_staging__link_in_its_place__is_not_followed, setup, teardown),
	};

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
