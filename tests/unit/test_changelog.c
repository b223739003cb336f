/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the change log: who writes the built-in key database fills it, it is read from where it was read last,
 * and nothing that is made of the database has it. CHANGELOG_KEPT is 100 here.
 */
#include "backup_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/changelog_sqlite.h"
#include "backup/snapshot.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "keydb/changelog.h"
#include "keydb/keydb.h"
#include "keydb/master.h"

#define LOG CHANGELOG_TABLE

static struct fixture fix;
static char *key_file;
static const struct changelog log_of_keys = { CHANGELOG_OF, CHANGELOG_KEY, changelog_schema, CHANGELOG_OBJECTS };

static int setup(void **state)
{
	(void)state;
	fix_init(&fix);
	key_file = file_join(fix.dir, "m/keydb.key");
	ok(keydb_create(fix.master));
	ok(master_create(key_file));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(key_file);
	fix_fini(&fix);
	return 0;
}

static const char *count_of(const char *what)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", what);
	return fix_query(fix.master, sql);
}

/* The uuids that were noted, without what begins the log. */
static const char *noted(void)
{
	return fix_query(fix.master, "SELECT ifnull(group_concat(substr(uuid, 1, 4)), '') FROM (SELECT uuid FROM " LOG
				     " WHERE uuid <> '' ORDER BY seq)");
}

/* A row as another program would write it. */
#define UUID(c) c c c c "0000-0000-4000-8000-000000000000"
#define ADD_KEY(c)                                                                                               \
	"INSERT INTO keys(uuid, kind, algorithm, state, created) VALUES('" UUID(c) "', 'symmetric', 'AES-256', " \
										   "'active', 1);"

static void ensure(void)
{
	struct source *s = fix_open(fix.master, false);

	ok(changelog_ensure(s, &log_of_keys));
	source_close(s);
}

/* ---- who writes it ---- */

static void keydb__each_change__is_noted_once(void **state)
{
	struct keydb_new what = { .count = 3, .activate = true };
	struct keydb_generated made;
	struct keydb_key key;
	struct keydb *db;

	(void)state;
	ok(keydb_open(&db, fix.master, key_file));
	ok(keydb_begin(db));
	ok(keydb_generate(&made, db, &what));
	ok(keydb_commit(db));
	assert_string_equal(count_of(LOG " WHERE uuid <> ''"), "3");
	assert_string_equal(count_of(LOG " WHERE uuid IN (SELECT uuid FROM keys)"), "3");
	ok(keydb_begin(db));
	ok(keydb_set_state(&key, db, made.first.uuid, KEYDB_DEACTIVATED));
	ok(keydb_destroy(&key, db, made.first.uuid));
	ok(keydb_commit(db));
	assert_string_equal(count_of(LOG " WHERE uuid <> ''"), "5");
	/* What did not come to be is not noted. */
	ok(keydb_begin(db));
	ok(keydb_generate(&made, db, &what));
	keydb_abort(db);
	assert_string_equal(count_of(LOG " WHERE uuid <> ''"), "5");
	assert_string_equal(fix_query(fix.master, "SELECT max(seq) - min(seq) FROM " LOG), "5");
	keydb_close(db);
}

static void keydb__log_was_taken_away__is_made_again(void **state)
{
	struct keydb_new what = { .count = 1 };
	struct keydb_generated made;
	struct keydb *db;

	(void)state;
	ok(keydb_open(&db, fix.master, key_file));
	for (int i = 0; i < 3; i++) {
		ok(keydb_begin(db));
		ok(keydb_generate(&made, db, &what));
		ok(keydb_commit(db));
		assert_string_equal(count_of(LOG " WHERE uuid <> ''"), "1");
		fix_sql(fix.master, i == 0 ? "DROP TABLE " LOG
					   : "DROP TABLE " LOG "; DROP TRIGGER " LOG "_insert; DROP TRIGGER " LOG
					     "_update; DROP TRIGGER " LOG "_delete");
	}
	keydb_close(db);
}

static void other_program__each_change__is_noted(void **state)
{
	(void)state;
	ensure();
	fix_sql(fix.master, ADD_KEY("a") ADD_KEY("b") ADD_KEY("c"));
	assert_string_equal(noted(), "aaaa,bbbb,cccc");
	fix_sql(fix.master, "UPDATE keys SET grp='x' WHERE uuid='" UUID("b") "'; DELETE FROM keys WHERE uuid='" UUID(
				"a") "'; UPDATE keys SET uuid='" UUID("d") "' WHERE uuid='" UUID("c") "'");
	assert_string_equal(noted(), "aaaa,bbbb,cccc,bbbb,aaaa,cccc,dddd");
	/* Of a REPLACE the new row. */
	fix_sql(fix.master, "INSERT OR REPLACE INTO keys(uuid, kind, algorithm, state, created) VALUES('" UUID(
				"b") "', "
				     "'symmetric', 'AES-128', 'active', 2)");
	assert_string_equal(noted(), "aaaa,bbbb,cccc,bbbb,aaaa,cccc,dddd,bbbb");
	/* No gaps, wherever it began. */
	assert_string_equal(fix_query(fix.master, "SELECT max(seq) - min(seq) + 1 = count(*) FROM " LOG), "1");
}

static void log__is_a_ring(void **state)
{
	(void)state;
	ensure();
	for (int i = 0; i < 25; i++)
		fix_sql(fix.master, ADD_KEY("a") "UPDATE keys SET grp='x'; UPDATE keys SET grp='y'; UPDATE keys SET "
						 "grp=NULL; UPDATE keys SET grp='z'; DELETE FROM keys;");
	assert_string_equal(count_of(LOG), "100");
	assert_string_equal(fix_query(fix.master, "SELECT max(seq) - min(seq) FROM " LOG), "99");
	fix_sql(fix.master,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO "
	    "keys(uuid, kind, algorithm, state, created) SELECT printf('%036d', i), 'symmetric', 'AES-128', "
	    "'active', i FROM n");
	assert_string_equal(count_of(LOG), "100");
	assert_string_equal(count_of(LOG " JOIN keys USING(uuid) WHERE created > 400"), "100");
}

static void log__emptied__begins_elsewhere(void **state)
{
	char was[64];

	(void)state;
	ensure();
	fix_sql(fix.master, ADD_KEY("a"));
	STR_COPY(was, fix_query(fix.master, "SELECT max(seq) FROM " LOG));
	fix_sql(fix.master, "DELETE FROM " LOG ";" ADD_KEY("b"));
	assert_string_equal(noted(), "bbbb");
	assert_string_not_equal(fix_query(fix.master, "SELECT max(seq) FROM " LOG), was);
}

/* ---- ensure ---- */

static void ensure__where_it_is_missing__makes_it(void **state)
{
	static const char *const lost[] = { "SELECT 1", "DROP TABLE " LOG, "DROP TRIGGER " LOG "_update",
		"DROP TRIGGER " LOG "_insert; DROP TRIGGER " LOG "_delete", "CREATE INDEX mine ON " LOG "(uuid)",
		"DROP TRIGGER " LOG "_update" };
	struct source *s = fix_open(fix.master, false);

	(void)state;
	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
		ok(changelog_ensure(s, &log_of_keys));
		fix_sql(fix.master, lost[i]);
		ok(changelog_ensure(s, &log_of_keys));
		assert_string_equal(
		    count_of("sqlite_master WHERE name GLOB '" LOG "*' AND type IN ('table', 'trigger')"), "4");
		fix_sql(fix.master, "DELETE FROM " LOG ";" ADD_KEY("a") "UPDATE keys SET grp='x'; DELETE FROM keys");
		assert_string_equal(noted(), "aaaa,aaaa,aaaa");
	}
	source_close(s);
}

static void ensure__nothing_to_do__writes_nothing(void **state)
{
	struct source *s = fix_open(fix.master, false);
	uint64_t v, w;

	(void)state;
	ok(changelog_ensure(s, &log_of_keys));
	ok(source_version(&v, s));
	ok(changelog_ensure(s, &log_of_keys));
	ok(source_version(&w, s));
	assert_int_equal(v, w);
	source_close(s);
}

static void ensure__of_another_schema__fails_and_changes_nothing(void **state)
{
	struct source *s;
	sqlite3 *writer;

	(void)state;
	fix_sql(fix.clone, "CREATE TABLE other(id INTEGER PRIMARY KEY)");
	s = fix_open(fix.clone, false);
	assert_int_not_equal(changelog_ensure(s, &log_of_keys), KC_OK);
	source_close(s);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM sqlite_master"), "1");
	/* And of a database that is locked. */
	assert_int_equal(sqlite3_open(fix.master, &writer), SQLITE_OK);
	assert_int_equal(sqlite3_exec(writer, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	ok(source_open(&s, fix.master, &(struct source_options){ .busy_ms = 100 }));
	fails(KC_EBUSY, changelog_ensure(s, &log_of_keys));
	sqlite3_close(writer);
	ok(changelog_ensure(s, &log_of_keys));
	source_close(s);
}

/* ---- reading ---- */

static bool whole;
static char keys_read[400];

/* What was noted since the mark, which moves. */
static const char *read_on(struct changelog_mark *mark, size_t max)
{
	struct name_list keys = { NULL, 0 };
	sqlite3 *db;

	assert_int_equal(sqlite3_open(fix.master, &db), SQLITE_OK);
	ok(changelog_read(&keys, &whole, mark, db, fix.master, CHANGELOG_KEY, max));
	sqlite3_close(db);
	keys_read[0] = '\0';
	for (size_t i = 0; whole && i < keys.n; i++) {
		size_t n = strlen(keys_read);

		snprintf(keys_read + n, sizeof(keys_read) - n, "%.1s", keys.names[i]);
	}
	name_list_fini(&keys);
	return whole ? keys_read : "?";
}

static void read__goes_on_where_it_was_read_last(void **state)
{
	struct changelog_mark mark = { .known = false };

	(void)state;
	ensure();
	assert_string_equal(read_on(&mark, 100), "?");
	assert_false(mark.known); /* an empty one: anything may have been in it */
	fix_sql(fix.master, ADD_KEY("a"));
	assert_string_equal(read_on(&mark, 100), "?");
	assert_true(mark.known);
	assert_string_equal(mark.key, UUID("a"));
	assert_string_equal(read_on(&mark, 100), "");
	fix_sql(fix.master, ADD_KEY("b") ADD_KEY("c") "UPDATE keys SET grp='x' WHERE uuid='" UUID("a") "'");
	assert_string_equal(read_on(&mark, 100), "bca");
	assert_string_equal(read_on(&mark, 100), "");
	fix_sql(fix.master, "DELETE FROM keys");
	assert_int_equal(strlen(read_on(&mark, 100)), 3);
	assert_string_equal(read_on(&mark, 100), "");
}

static void read__what_does_not_go_on__is_not_whole(void **state)
{
	static const char *const cases[] = {
		"DELETE FROM " LOG,						  /* emptied */
		"DELETE FROM " LOG ";" ADD_KEY("d") ADD_KEY("e") ADD_KEY("f"),	  /* and filled again */
		"DELETE FROM " LOG " WHERE seq = (SELECT max(seq) FROM " LOG ")", /* what was read last is gone */
		"DELETE FROM " LOG " WHERE seq = (SELECT max(seq) FROM " LOG
		");" ADD_KEY("d"), /* another in its place */
		"UPDATE " LOG " SET uuid = 'other'",
		ADD_KEY("d") ADD_KEY("e") "DELETE FROM " LOG " WHERE uuid='" UUID("d") "'",
		"UPDATE " LOG " SET seq = seq + 1000000",
		"UPDATE " LOG " SET seq = seq - 1",					 /* a gap behind the mark */
		"INSERT INTO " LOG " SELECT max(seq) + 1, printf('%300d', 1) FROM " LOG, /* no key of ours */
		"DROP TABLE " LOG "; CREATE TABLE " LOG "(seq INTEGER PRIMARY KEY, uuid)",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct changelog_mark mark = { .known = false };

		teardown(NULL);
		setup(NULL);
		ensure();
		fix_sql(fix.master, ADD_KEY("a") ADD_KEY("b"));
		read_on(&mark, 100);
		assert_true(mark.known);
		fix_sql(fix.master, cases[i]);
		if (strcmp(read_on(&mark, 100), "?") != 0)
			fail_msg("%s: %s", cases[i], keys_read);
		/* It goes on from there, if there is anything. */
		fix_sql(fix.master, ADD_KEY("9"));
		if (mark.known && strlen(mark.key) < 40 && strcmp(read_on(&mark, 100), "9") != 0 && i < 9)
			fail_msg("%s: then %s", cases[i], keys_read);
	}
}

static void read__more_than_are_wanted__is_not_whole(void **state)
{
	struct changelog_mark mark = { .known = false }, again;

	(void)state;
	ensure();
	fix_sql(fix.master, ADD_KEY("a"));
	read_on(&mark, 100);
	again = mark;
	fix_sql(fix.master, ADD_KEY("b") ADD_KEY("c") ADD_KEY("d"));
	assert_string_equal(read_on(&again, 3), "bcd");
	again = mark;
	assert_string_equal(read_on(&again, 2), "?");
	assert_string_equal(again.key, UUID("d"));
	assert_string_equal(read_on(&again, 2), "");
	/* More than are kept. */
	fix_sql(fix.master,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO "
	    "keys(uuid, kind, algorithm, state, created) SELECT printf('%036d', i), 'symmetric', 'AES-128', "
	    "'active', i FROM n");
	assert_string_equal(read_on(&mark, 1000), "?");
}

static void read__no_table_or_another_one__fails(void **state)
{
	static const char *const cases[] = { "SELECT 1", "CREATE TABLE " LOG "(seq INTEGER PRIMARY KEY)" };
	struct changelog_mark mark = { .known = true, .seq = 1, .key = "a" };
	struct name_list keys = { NULL, 0 };
	sqlite3 *db;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		fix_sql(fix.master, cases[i]);
		assert_int_equal(sqlite3_open(fix.master, &db), SQLITE_OK);
		assert_int_not_equal(changelog_read(&keys, &whole, &mark, db, fix.master, "no such column", 10), KC_OK);
		assert_false(whole);
		assert_int_equal(keys.n, 0);
		sqlite3_close(db);
	}
}

/* ---- what has none ---- */

static void take(struct snapshot *snap)
{
	struct source *s = fix_open(fix.master, false);

	ok(snapshot_take(snap, s));
	source_close(s);
}

static void snapshot__has_none_and_says_how_far_it_goes(void **state)
{
	struct snapshot snap;

	(void)state;
	take(&snap);
	assert_false(snap.log.known);
	snapshot_remove(&snap);
	ensure();
	fix_sql(fix.master, ADD_KEY("a") ADD_KEY("b"));
	take(&snap);
	assert_true(snap.log.known);
	assert_string_equal(snap.log.key, UUID("b"));
	assert_string_equal(fix_query(snap.path, "SELECT count(*) FROM sqlite_master WHERE name GLOB '" LOG "*'"), "0");
	assert_string_equal(fix_query(snap.path, "SELECT count(*) FROM keys"), "2");
	assert_string_equal(fix_query(snap.path, "PRAGMA integrity_check"), "ok");
	snapshot_remove(&snap);
	fix_sql(fix.master, ADD_KEY("c"));
	assert_string_equal(count_of(LOG " WHERE uuid <> ''"), "3");
}

/* Names that begin like it are the application's. */
static void snapshot__has_tables_that_are_called_similarly(void **state)
{
	struct snapshot snap;
	struct source *s;
	struct source_digest live, copy;

	(void)state;
	fix_sql(fix.master, "CREATE TABLE keyclone_logs(a); INSERT INTO keyclone_logs VALUES(1); CREATE TABLE "
			    "keyclone_log_old(b); CREATE INDEX keyclone_login ON keyclone_logs(a)");
	ensure();
	fix_sql(fix.master, "CREATE INDEX mine ON " LOG "(uuid);" ADD_KEY("a"));
	take(&snap);
	assert_string_equal(fix_query(snap.path, "SELECT group_concat(name) FROM (SELECT name FROM sqlite_master WHERE "
						 "name GLOB 'keyclone*' OR name='mine' ORDER BY name)"),
	    "keyclone_log_old,keyclone_login,keyclone_logs");
	ok(snapshot_digest(&copy, &snap, NULL, NULL));
	s = fix_open(fix.master, false);
	ok(source_digest(&live, s));
	assert_string_equal(live.content, copy.content);
	assert_string_equal(live.schema, copy.schema);
	assert_int_equal(copy.n_tables, 3);
	source_digest_fini(&live);
	source_digest_fini(&copy);
	source_close(s);
	snapshot_remove(&snap);
}

static void digests__do_not_see_it(void **state)
{
	struct source *s = fix_open(fix.master, false);
	struct source_digest before, after;
	char schema[SOURCE_DIGEST_LEN + 1];

	(void)state;
	fix_sql(fix.master, ADD_KEY("a"));
	ok(source_digest(&before, s));
	ok(changelog_ensure(s, &log_of_keys));
	fix_sql(fix.master, "DELETE FROM keys;" ADD_KEY("a"));
	ok(source_digest(&after, s));
	assert_string_equal(count_of(LOG " WHERE uuid <> ''"), "2");
	assert_string_equal(before.content, after.content);
	assert_string_equal(before.schema, after.schema);
	assert_int_equal(before.rows, after.rows);
	assert_int_equal(after.n_tables, 1);
	ok(source_schema(schema, s));
	assert_string_equal(schema, before.schema);
	source_digest_fini(&before);
	source_digest_fini(&after);
	source_close(s);
}

static void restore__clone_has_none(void **state)
{
	struct create_result r;
	struct source *live;

	(void)state;
	ensure();
	fix_sql(fix.master, ADD_KEY("a"));
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore(&fix, &r, live, NULL);
	source_close(live);
	create_result_fini(&r);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM sqlite_master WHERE name GLOB '" LOG "*'"), "0");
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM keys"), "1");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(keydb__each_change__is_noted_once),
		T(keydb__log_was_taken_away__is_made_again),
		T(other_program__each_change__is_noted),
		T(log__is_a_ring),
		T(log__emptied__begins_elsewhere),
		T(ensure__where_it_is_missing__makes_it),
		T(ensure__nothing_to_do__writes_nothing),
		T(ensure__of_another_schema__fails_and_changes_nothing),
		T(read__goes_on_where_it_was_read_last),
		T(read__what_does_not_go_on__is_not_whole),
		T(read__more_than_are_wanted__is_not_whole),
		T(read__no_table_or_another_one__fails),
		T(snapshot__has_none_and_says_how_far_it_goes),
		T(snapshot__has_tables_that_are_called_similarly),
		T(digests__do_not_see_it),
		T(restore__clone_has_none),
	};

	return cmocka_run_group_tests_name("change log", tests, NULL, NULL);
}
