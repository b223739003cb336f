/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of diverged: rows that one database has and another lacks. */
#include "backup_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "backup/diverged.h"
#include "base/file.h"

static struct fixture fix;
static const struct fix_kind usual = { "wal", 4096, "UTF-8", 0 };

static int setup(void **state)
{
	(void)state;
	fix_init(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_fini(&fix);
	return 0;
}

static void diverged__both_ways__finds_rows_by_key(void **state)
{
	char *copy = file_join(fix.dir, "copy.db"), *text, *sql;
	struct diverged_list l;
	struct source *s;

	(void)state;
	fix_make_database(fix.master, &usual, 100, 1);
	sql = sqlite3_mprintf("PRAGMA journal_mode=DELETE; VACUUM INTO %Q", copy);
	fix_sql(fix.master, sql);
	sqlite3_free(sql);
	fix_sql(fix.master, "INSERT INTO keys VALUES('mine', 'a', 1, 0, x'00'); DELETE FROM pairs WHERE n=7; "
			    "INSERT INTO plain VALUES(1, NULL, 'same'); CREATE TABLE extra(id INTEGER PRIMARY KEY); "
			    "INSERT INTO extra VALUES(5)");
	s = fix_open(fix.master, false);
	diverged_list_init(&l);
	ok(diverged_find(s, copy, true, diverged_list_add, &l));
	assert_int_equal(l.live_only, 3); /* the key, one more of the equal rows, the new table's */
	assert_int_equal(l.other_only, 1);
	text = diverged_list_text(&l);
	assert_non_null(strstr(text, "4 rows are not as the master has them: "));
	assert_non_null(strstr(text, "extra id=5"));
	assert_non_null(strstr(text, "keys uuid=mine"));
	assert_non_null(strstr(text, "pairs k=key-7"));
	assert_non_null(strstr(text, " (missing)"));
	free(text);
	diverged_list_fini(&l);
	ok(diverged_find(s, copy, false, diverged_list_add, &l));
	assert_int_equal(l.live_only, 3);
	assert_int_equal(l.other_only, 0);
	diverged_list_fini(&l);
	source_close(s);
	free(copy);
}

static void diverged__odd_tables__are_named_somehow(void **state)
{
	static const char common[] =
	    "CREATE TABLE bin(k BLOB PRIMARY KEY); CREATE TABLE named(name TEXT, v); CREATE TABLE "
	    "grown(id INTEGER PRIMARY KEY, a); CREATE TABLE bare(v);";
	struct diverged_list l;
	struct source *s;
	char *text;

	(void)state;
	fix_sql(fix.clone, common);
	fix_sql(fix.clone,
	    "CREATE TABLE other_only(uuid TEXT); INSERT INTO other_only VALUES('there'); INSERT INTO grown "
	    "VALUES(1, 'same'), (2, 'other')");
	fix_sql(fix.master, common);
	fix_sql(fix.master, "ALTER TABLE grown ADD COLUMN more; INSERT INTO grown VALUES(1, 'same', NULL), (2, "
			    "'other', 'value'); INSERT INTO "
			    "bin VALUES(x'000102030405060708090a0b0c0d0e0f1011'), (NULL); INSERT INTO named VALUES('n' "
			    "|| char(10), 1); "
			    "INSERT INTO bare VALUES(zeroblob(100))");
	s = fix_open(fix.master, false);
	diverged_list_init(&l);
	ok(diverged_find(s, fix.clone, true, diverged_list_add, &l));
	text = diverged_list_text(&l);
	assert_non_null(strstr(text, "bin k=000102030405060708090a0b0c0d0e0f..."));
	assert_non_null(strstr(text, "bin k=NULL"));
	assert_non_null(strstr(text, "named name=n?"));
	assert_non_null(strstr(text, "bare rowid=1"));
	assert_non_null(strstr(text, "grown id=2"));
	assert_null(strstr(text, "grown id=1")); /* a column more, without a value, loses nothing */
	assert_non_null(strstr(text, "other_only uuid=there (missing)"));
	free(text);
	diverged_list_fini(&l);
	source_close(s);
}

static int safety_calls;
static int on_safety(void *arg)
{
	safety_calls++;
	return arg != NULL ? *(int *)arg : KC_OK;
}

static void restore__own_row__is_diverged_until_discarded(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r, next;
	struct source *live;
	char *travel;
	int refuse = KC_ENOSPC;

	(void)state;
	fix_make_database(fix.master, &usual, 50, 1);
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore(&fix, &r, live, NULL);
	fix_sql(fix.clone, "INSERT INTO keys VALUES('only-here', 'a', 1, 0, x'00')");
	fix_sql(fix.master, "INSERT INTO keys VALUES('new', 'b', 1, 0, x'01'); DELETE FROM keys WHERE rowid=3");
	fix_backup(&fix, &next, fix.master, 2);
	fix_restore_options(&fix, &o, &travel, &next, live, r.content);
	/* With what was applied at hand only the own row is named. */
	o.applied_image = o.image;
	o.applied_image.file = r.path;
	o.applied_image.generation = 1;
	o.applied_image.travel = NULL;
	o.applied_image.password = FIX_PASSWORD;
	fails(KC_EDIVERGED, backup_restore(&result, &o));
	assert_non_null(strstr(err_text(KC_EDIVERGED), "keys uuid=only-here"));
	assert_int_equal(result.diverged.live_only, 1);
	assert_int_equal(result.diverged.other_only, 0);
	restore_result_fini(&result);
	/* Without, the new backup is compared. */
	o.applied_image.file = NULL;
	fails(KC_EDIVERGED, backup_restore(&result, &o));
	assert_true(result.diverged.live_only >= 2);
	restore_result_fini(&result);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM keys WHERE uuid='only-here'"), "1");
	/* Discarded only after a safety backup that succeeds. */
	o.discard = true;
	o.safety = on_safety;
	o.arg = &refuse;
	safety_calls = 0;
	fails(KC_ENOSPC, backup_restore(&result, &o));
	restore_result_fini(&result);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM keys WHERE uuid='only-here'"), "1");
	o.arg = NULL;
	ok(backup_restore(&result, &o));
	assert_int_equal(safety_calls, 2);
	restore_result_fini(&result);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM keys WHERE uuid='only-here'"), "0");
	free(travel);
	source_close(live);
	create_result_fini(&r);
	create_result_fini(&next);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(diverged__both_ways__finds_rows_by_key),
		T(diverged__odd_tables__are_named_somehow),
		T(restore__own_row__is_diverged_until_discarded),
	};

	return cmocka_run_group_tests_name("diverged", tests, NULL, NULL);
}
