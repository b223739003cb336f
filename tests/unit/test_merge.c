/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of merge: rows that are missing are added, and nothing else is touched. */
#include "backup_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "backup/merge.h"
#include "base/file.h"

static struct fixture fix;

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

static void merge(int wanted, struct merge_result *r, const struct merge_options *more)
{
	struct restore_options ro;
	struct create_result made;
	struct merge_options o = *more;
	char *travel = NULL;
	struct source *live;

	fix_backup(&fix, &made, fix.clone, 3);
	live = fix_open(fix.master, false);
	fix_restore_options(&fix, &ro, &travel, &made, live, NULL);
	o.image = ro.image;
	o.live = live;
	fails(wanted, backup_merge(r, &o));
	source_close(live);
	free(travel);
	create_result_fini(&made);
}

static const struct merge_table *table(const struct merge_result *r, const char *name)
{
	for (size_t i = 0; i < r->n_tables; i++)
		if (strcmp(r->tables[i].name, name) == 0)
			return &r->tables[i];
	fail_msg("no table %s", name);
	return NULL;
}

static void counts(const struct merge_result *r, const char *name, int added, int same, int differ, int refused)
{
	const struct merge_table *t = table(r, name);

	if ((int)t->added != added || (int)t->same != same || (int)t->differ != differ || (int)t->refused != refused)
		fail_msg("%s: %d added, %d the same, %d differ, %d refused", name, (int)t->added, (int)t->same,
		    (int)t->differ, (int)t->refused);
}

static const char schema[] =
    "CREATE TABLE keys(uuid TEXT PRIMARY KEY, alias TEXT UNIQUE, v);"
    "CREATE TABLE uses(id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT);"
    "CREATE TABLE pairs(a, b, v, PRIMARY KEY(a, b)) WITHOUT ROWID;"
    "CREATE TABLE notes(t, n);"
    "CREATE TRIGGER grown AFTER INSERT ON keys BEGIN INSERT INTO notes VALUES('trigger', 1); END;";

static void both(const char *sql)
{
	fix_sql(fix.master, sql);
	fix_sql(fix.clone, sql);
}

static void merge__missing_rows__are_added_and_nothing_else(void **state)
{
	struct merge_options o = { .lock_ms = 1000 };
	struct merge_result r;

	(void)state;
	both(schema);
	both("INSERT INTO keys VALUES('k1', 'a1', 1), ('k2', 'a2', 2), ('k3', NULL, 3); INSERT INTO uses(uuid) "
	     "VALUES('k1');"
	     "INSERT INTO pairs VALUES(1, 2, 'x'); DELETE FROM notes; INSERT INTO notes VALUES('n', 1), (NULL, NULL)");
	fix_sql(fix.master,
	    "PRAGMA journal_mode=WAL; UPDATE keys SET v=20 WHERE uuid='k2'; INSERT INTO keys VALUES('m1', 'am', "
	    "1.5); DELETE FROM notes WHERE t='trigger'; DELETE FROM keys WHERE uuid='k3'");
	fix_sql(fix.clone, "INSERT INTO keys VALUES('c1', 'ac', x'00ff'); DELETE FROM notes WHERE t='trigger'; "
			   "INSERT INTO uses(uuid) VALUES('c1'), ('c1'); INSERT INTO pairs VALUES(1, 3, NULL); "
			   "INSERT INTO notes VALUES('new', 2.5)");
	merge(KC_OK, &r, &o);
	counts(&r, "keys", 2, 1, 1, 0);
	counts(&r, "uses", 2, 1, 0, 0);
	counts(&r, "pairs", 1, 1, 0, 0);
	counts(&r, "notes", 1, 2, 0, 0);
	assert_int_equal(r.added, 6);
	assert_int_equal(r.n_rows, 1);
	assert_string_equal(r.rows[0].key, "uuid=k2,alias=a2");
	assert_null(r.rows[0].why);
	merge_result_fini(&r);
	assert_string_equal(
	    fix_query(fix.master, "SELECT group_concat(uuid || ':' || quote(v)) FROM (SELECT * FROM keys ORDER "
				  "BY uuid)"),
	    "c1:X'00FF',k1:1,k2:20,k3:3,m1:1.5");
	assert_string_equal(fix_query(fix.master, "SELECT count(*) FROM notes WHERE t='trigger'"), "0");
	assert_string_equal(fix_query(fix.master, "SELECT seq FROM sqlite_sequence WHERE name='uses'"), "3");
	/* Once more: nothing is missing any more. */
	merge(KC_OK, &r, &o);
	assert_int_equal(r.added, 0);
	merge_result_fini(&r);
}

static void merge__unique_value_taken__adds_nothing(void **state)
{
	struct merge_options o = { .lock_ms = 1000 };
	struct merge_result r;
	char old[SOURCE_DIGEST_LEN + 1], now[SOURCE_DIGEST_LEN + 1];

	(void)state;
	both(schema);
	fix_sql(fix.master, "INSERT INTO keys VALUES('m1', 'backup', 1)");
	fix_sql(fix.clone, "INSERT INTO keys VALUES('c0', 'free', 1), ('c1', 'backup', 1)");
	fix_digest(old, fix.master);
	merge(KC_EFAIL, &r, &o);
	counts(&r, "keys", 1, 0, 0, 1);
	assert_string_equal(r.rows[0].key, "uuid=c1,alias=backup");
	assert_string_equal(r.rows[0].why, "UNIQUE constraint failed: keys.alias");
	merge_result_fini(&r);
	fix_digest(now, fix.master);
	assert_string_equal(now, old);
}

static void merge__other_schema__is_refused(void **state)
{
	struct merge_options o = { .lock_ms = 1000 };
	struct merge_result r;

	(void)state;
	both(schema);
	fix_sql(fix.clone, "CREATE TABLE more(a); INSERT INTO keys VALUES('c0', 'free', 1)");
	merge(KC_OK, &r, &o); /* without rows it does not matter */
	merge_result_fini(&r);
	fix_sql(fix.clone, "INSERT INTO more VALUES(1); INSERT INTO keys VALUES('c1', 'free too', 1)");
	merge(KC_EFORMAT, &r, &o);
	assert_non_null(strstr(err_text(KC_EFORMAT), "table more of the backup is not there"));
	merge_result_fini(&r);
	fix_sql(fix.clone, "DROP TABLE more; ALTER TABLE keys ADD COLUMN later");
	merge(KC_EFORMAT, &r, &o);
	assert_non_null(strstr(err_text(KC_EFORMAT), "column keys.later of the backup is not there"));
	merge_result_fini(&r);
	assert_string_equal(fix_query(fix.master, "SELECT count(*) FROM keys"), "1");
}

static void merge__reference_to_nothing__adds_nothing(void **state)
{
	static const char refer[] = "CREATE TABLE groups(id INTEGER PRIMARY KEY);"
				    "CREATE TABLE members(id INTEGER PRIMARY KEY, g REFERENCES groups(id))";
	struct merge_options o = { .lock_ms = 1000 };
	struct merge_result r;

	(void)state;
	both(refer);
	fix_sql(fix.clone, "INSERT INTO groups VALUES(1); INSERT INTO members VALUES(1, 1)");
	merge(KC_OK, &r, &o);
	assert_int_equal(r.added, 2);
	merge_result_fini(&r);
	fix_sql(fix.clone, "INSERT INTO members VALUES(2, 7)");
	merge(KC_EFAIL, &r, &o);
	merge_result_fini(&r);
	assert_string_equal(fix_query(fix.master, "SELECT count(*) FROM members"), "1");
}

static int on_keys(const char *path, const char *text)
{
	return file_replace(path, text, strlen(text), 0600);
}

static void merge__master_key_file__grows_or_refuses(void **state)
{
	char *ours = file_join(fix.dir, "ours.key");
	struct merge_options o = { .lock_ms = 1000, .master_key_file = ours };
	struct merge_result r;
	struct create_result made;
	struct restore_options ro;
	struct source *live;
	char *travel = NULL, *theirs = file_join(fix.dir, "theirs.key");
	struct create_options co;
	static const struct {
		const char *ours, *theirs;
		int wanted;
		const char *then;
	} cases[] = {
		{ "1 a\n", "1 a\n2 b\n", KC_OK, "1 a\n2 b\n" },
		{ "1 a\n2 b\n3 c\n", "1 a\n2 b\n", KC_OK, "1 a\n2 b\n3 c\n" },
		{ "1 z\n", "1 a\n", KC_EFOREIGN, "1 z\n" },
	};

	(void)state;
	both("CREATE TABLE keys(uuid TEXT PRIMARY KEY)");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf b;
		char sql[100];

		snprintf(sql, sizeof(sql), "INSERT INTO keys VALUES('c%zu')", i);
		fix_sql(fix.clone, sql);
		ok(on_keys(ours, cases[i].ours));
		ok(on_keys(theirs, cases[i].theirs));
		live = fix_open(fix.clone, false);
		fix_create_options(&fix, &co, live, 5 + i);
		co.master_key_file = theirs;
		ok(backup_create(&made, &co));
		source_close(live);
		live = fix_open(fix.master, false);
		fix_restore_options(&fix, &ro, &travel, &made, live, NULL);
		o.image = ro.image;
		o.live = live;
		fails(cases[i].wanted, backup_merge(&r, &o));
		merge_result_fini(&r);
		source_close(live);
		free(travel);
		create_result_fini(&made);
		buf_init(&b, 1000);
		ok(file_read(&b, ours));
		assert_string_equal(buf_str(&b), cases[i].then);
		buf_fini(&b);
	}
	free(ours);
	free(theirs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(merge__missing_rows__are_added_and_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(merge__unique_value_taken__adds_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(merge__other_schema__is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(merge__reference_to_nothing__adds_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(merge__master_key_file__grows_or_refuses, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
