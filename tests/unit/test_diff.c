/* SPDX-License-Identifier: Apache-2.0 */
/* diff: what changed between two snapshots, and what cannot be said in rows. */
#include "diff_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/base.h"
#include "backup/diff_int.h"
#include "backup/diff_keys_sqlite.h"
#include "base/file.h"
#include "base/mem.h"

#define FILL(table, n)                                                                                      \
	"INSERT INTO " table " WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < " n \
	") SELECT 'key' || i, i, hex(randomblob(20)) FROM c;"
#define KEYS "CREATE TABLE keys (uuid TEXT PRIMARY KEY, v INTEGER, w);" FILL("keys", "2000")

static void expect_counts(struct pair *p, uint64_t inserted, uint64_t updated, uint64_t deleted)
{
	struct diff_result r;

	pair_diff(&r, p, 0, 0);
	if (r.outcome != DIFF_CHANGES)
		fail_msg("outcome %d: %s", (int)r.outcome, r.why);
	assert_int_equal(r.tables[0].inserted, inserted);
	assert_int_equal(r.tables[0].updated, updated);
	assert_int_equal(r.tables[0].deleted, deleted);
	diff_result_fini(&r);
}

static void diff__nothing_changed__same(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, KEYS);
	pair_take_now(&p);
	pair_expect(&p, DIFF_SAME, NULL);
	pair_change(&p, "UPDATE keys SET v = v + 1; UPDATE keys SET v = v - 1; VACUUM");
	pair_expect(&p, DIFF_SAME, NULL);
	pair_end(&p);
}

static void diff__rows_changed__counted(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, KEYS);
	pair_change(&p, "INSERT INTO keys VALUES('new', 1, 2), ('other', 3, x'00ff'); UPDATE keys SET v = -v, w = NULL "
			"WHERE v BETWEEN 100 AND 104; DELETE FROM keys WHERE v BETWEEN 1000 AND 1002");
	expect_counts(&p, 2, 5, 3);
	pair_end(&p);
}

static void diff__keys_of_all_sorts__told_by_key(void **state)
{
	static const char *const tables[] = { "t (a INTEGER PRIMARY KEY, b, c)", "t (a TEXT PRIMARY KEY, b, c)",
		"t (a BLOB PRIMARY KEY, b, c)", "t (b, a, c, PRIMARY KEY (c, a))",
		"t (a TEXT, b, c, PRIMARY KEY (a)) WITHOUT ROWID", "t (b, a, c, PRIMARY KEY (a, c)) WITHOUT ROWID",
		"t (a TEXT COLLATE nocase PRIMARY KEY, b, c)", "t (a INTEGER PRIMARY KEY DESC, b, c)",
		"t (rowid TEXT, a TEXT PRIMARY KEY, b, c)", "t (rowid, _rowid_, oid, a INTEGER PRIMARY KEY, b, c)",
		"t (a TEXT PRIMARY KEY, b TEXT, c INTEGER) STRICT", "t (a PRIMARY KEY, b, c UNIQUE)" };

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		char sql[600];
		struct pair p;

		snprintf(sql, sizeof(sql),
		    "PRAGMA page_size=512; CREATE TABLE %s; INSERT INTO t(a, b, c) WITH RECURSIVE n(i) AS (SELECT 1 "
		    "UNION "
		    "ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i, hex(randomblob(i %% 50)), i FROM n",
		    tables[i]);
		pair_begin(&p, sql);
		pair_change(&p,
		    "DELETE FROM t WHERE c IN (7, 70, 71, 299); UPDATE t SET b = 'x' WHERE c IN (8, 150, 300); "
		    "INSERT INTO t(a, b, c) VALUES(-5, 'y', 1000), (1001, 'y', 1001)");
		expect_counts(&p, 2, 3, 4);
		pair_take_base(&p);
		pair_change(&p, "UPDATE t SET a = 5000 WHERE c = 100"); /* another key: another row */
		expect_counts(&p, 1, 0, 1);
		pair_take_base(&p);
		pair_change(&p, "VACUUM");
		pair_expect(&p, DIFF_SAME, NULL);
		pair_change(&p, "DELETE FROM t");
		expect_counts(&p, 0, 0, 298);
		pair_end(&p);
	}
}

static void diff__equal_for_sql_but_not_in_bits__changed(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, "CREATE TABLE t (k INTEGER PRIMARY KEY, v, w TEXT COLLATE NOCASE);"
		       "INSERT INTO t VALUES(1, 1, 'a'), (2, 0.0, 'b'), (3, 'x', 'c'), (4, 5, 'd')");
	pair_change(&p,
	    "UPDATE t SET v = 1.0 WHERE k = 1; UPDATE t SET w = 'B' WHERE k = 2; UPDATE t SET v = x'78' WHERE "
	    "k = 3");
	expect_counts(&p, 0, 3, 0);
	pair_take_base(&p);
	fix_sql(p.live, "CREATE TABLE zero (v); DROP TABLE zero");
	pair_end(&p);
}

static void diff__minus_zero__changed(void **state)
{
	struct pair p;
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;

	(void)state;
	pair_begin(&p, "CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, 0.0), (2, 0.0)");
	assert_int_equal(sqlite3_open(p.live, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "UPDATE t SET v = ?1 WHERE k = 1", -1, &st, NULL), SQLITE_OK);
	sqlite3_bind_double(st, 1, -0.0);
	assert_int_equal(sqlite3_step(st), SQLITE_DONE);
	sqlite3_finalize(st);
	sqlite3_close(db);
	pair_take_now(&p);
	expect_counts(&p, 0, 1, 0);
	pair_end(&p);
}

static void diff__key_changes_in_bits_alone__deleted_and_inserted(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v); INSERT INTO t VALUES('a', 1), ('b', 2)");
	pair_change(&p, "UPDATE t SET k = 'A' WHERE k = 'a'");
	expect_counts(&p, 1, 0, 1);
	pair_end(&p);
	pair_begin(
	    &p, "CREATE TABLE t (k BLOB PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t VALUES(1, 1), (2, 2), (3, 3)");
	pair_change(&p, "UPDATE t SET k = 2.0 WHERE k = 2");
	expect_counts(&p, 1, 0, 1);
	pair_end(&p);
}

static void diff__row_id_is_no_key__no_content(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, KEYS);
	pair_change(&p, "UPDATE keys SET rowid = rowid + 100000 WHERE v % 7 = 0");
	pair_expect(&p, DIFF_SAME, NULL);
	pair_change(&p, "UPDATE keys SET rowid = rowid - 50000, w = 'moved' WHERE v = 700");
	expect_counts(&p, 0, 1, 0);
	pair_end(&p);
}

static void diff__only_an_overflow_page_changed__found(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p,
	    "CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, 'first'), (2, zeroblob(100000)), "
	    "(3, zeroblob(50000)), (4, 'last');"
	    "CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w SELECT k, v FROM t");
	/* In the middle of a chain, where the leaf stays the same. */
	pair_change(&p, "UPDATE t SET v = CAST(substr(v, 1, 60000) || x'01' || substr(v, 60002) AS BLOB) WHERE k = 2");
	expect_counts(&p, 0, 1, 0);
	pair_take_base(&p);
	pair_change(&p, "UPDATE w SET v = CAST(substr(v, 1, 60000) || x'01' || substr(v, 60002) AS BLOB) WHERE k = 2");
	pair_expect(&p, DIFF_CHANGES, NULL);
	pair_end(&p);
}

static void diff__pages_of_one_table_go_to_another__found(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p,
	    "PRAGMA page_size=512; CREATE TABLE a (k INTEGER PRIMARY KEY, v); CREATE TABLE b (k INTEGER PRIMARY "
	    "KEY, v); INSERT INTO a WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "
	    "500) SELECT i, 'some text' FROM n");
	pair_change(&p, "CREATE TEMP TABLE s AS SELECT * FROM a; DELETE FROM a; INSERT INTO b SELECT * FROM s");
	pair_expect(&p, DIFF_CHANGES, NULL);
	pair_take_base(&p);
	pair_change(&p, "DELETE FROM b WHERE k > 250; INSERT INTO a SELECT k + 250, v FROM b");
	pair_expect(&p, DIFF_CHANGES, NULL);
	pair_end(&p);
}

static void diff__much_changed__base_is_as_before(void **state)
{
	struct pair p;

	(void)state;
	/* More pages than SQLite keeps by itself. */
	pair_begin(&p, "CREATE TABLE keys (uuid TEXT PRIMARY KEY, v INTEGER, w);" FILL("keys", "60000"));
	pair_change(&p, "UPDATE keys SET w = NULL, uuid = 'x' || uuid WHERE v % 4 = 0");
	p.quick = true;
	expect_counts(&p, 15000, 0, 15000);
	pair_end(&p);
}

static void diff__only_a_sequence_changed__carried_beside(void **state)
{
	struct pair p;
	struct diff_result r;

	(void)state;
	pair_begin(&p, "CREATE TABLE t (k INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO t(v) VALUES(1), (2)");
	pair_change(&p, "INSERT INTO t(v) VALUES(3); DELETE FROM t WHERE v = 3");
	pair_diff(&r, &p, 0, 0);
	assert_int_equal(r.outcome, DIFF_CHANGES);
	assert_int_equal(r.size, 0);
	assert_int_equal(r.digest.sequences[0].value, 3);
	diff_result_fini(&r);
	pair_change(&p, "DELETE FROM sqlite_sequence");
	pair_expect(&p, DIFF_CHANGES, NULL);
	pair_change(&p, "INSERT INTO sqlite_sequence VALUES('t', 'many')");
	pair_expect(&p, DIFF_FULL, "sqlite_sequence");
	pair_change(&p, "DELETE FROM sqlite_sequence; INSERT INTO sqlite_sequence VALUES('t', 7), ('t', 7)");
	pair_expect(&p, DIFF_FULL, "sqlite_sequence");
	pair_end(&p);
}

static void diff__triggers_checks_references__do_not_act(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p,
	    "CREATE TABLE t (k INTEGER PRIMARY KEY, v CHECK (v > 0)); CREATE TABLE log (k INTEGER PRIMARY KEY, "
	    "v REFERENCES t (k) ON DELETE CASCADE);"
	    "INSERT INTO t VALUES(1, 1), (2, 2); INSERT INTO log VALUES(1, 1), (2, 2);"
	    "CREATE TRIGGER g AFTER DELETE ON t BEGIN INSERT INTO log(v) VALUES(old.k); END;"
	    "CREATE TRIGGER h AFTER INSERT ON t BEGIN DELETE FROM log; END; CREATE VIEW x AS SELECT * FROM t");
	pair_change(&p, "DELETE FROM t WHERE k = 1; PRAGMA ignore_check_constraints=ON; UPDATE t SET v = -5");
	pair_expect(&p, DIFF_CHANGES, NULL);
	pair_change(&p, "INSERT INTO t VALUES(9, 9)");
	pair_expect(&p, DIFF_CHANGES, NULL);
	pair_end(&p);
}

static void diff__values_of_a_unique_column__move_or_need_full(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, "CREATE TABLE t (k INTEGER PRIMARY KEY, u UNIQUE); INSERT INTO t VALUES(1, 1), (2, 2), (3, 3)");
	/* From a row that goes to one that comes, and along a chain. */
	pair_change(&p,
	    "DELETE FROM t WHERE k = 3; UPDATE t SET u = 3 WHERE k = 2; UPDATE t SET u = 2 WHERE k = 1; INSERT "
	    "INTO t VALUES(0, 1)");
	expect_counts(&p, 1, 2, 1);
	pair_take_base(&p);
	pair_change(
	    &p, "UPDATE t SET u = -1 WHERE k = 1; UPDATE t SET u = 2 WHERE k = 2; UPDATE t SET u = 3 WHERE k = 1");
	pair_expect(&p, DIFF_FULL, "table t: a constraint");
	pair_end(&p);
}

/* --- what rows cannot say --- */

static void diff__not_rows__full(void **state)
{
	static const char *const changes[][2] = { { "CREATE INDEX i ON keys(v)", "schema" },
		{ "ALTER TABLE keys ADD COLUMN x", "schema" }, { "CREATE VIEW x AS SELECT 1", "schema" },
		{ "PRAGMA page_size=8192; VACUUM", "page size" }, { "PRAGMA user_version=9", "user_version" },
		{ "PRAGMA application_id=9", "application_id" }, { "PRAGMA auto_vacuum=1; VACUUM", "auto_vacuum" } };
	struct pair p;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		pair_begin(&p, KEYS);
		pair_change(&p, changes[i][0]);
		pair_expect(&p, DIFF_FULL, changes[i][1]);
		pair_end(&p);
	}
	pair_begin(&p, "PRAGMA encoding='UTF-16le'; CREATE TABLE t (k PRIMARY KEY)");
	fix_remove_database(p.live);
	pair_change(&p, "CREATE TABLE t (k PRIMARY KEY)");
	pair_expect(&p, DIFF_FULL, "encoding");
	pair_end(&p);
	pair_begin(&p, KEYS "CREATE VIRTUAL TABLE f USING fts5(x)");
	pair_take_now(&p);
	pair_expect(&p, DIFF_FULL, "virtual");
	pair_end(&p);
}

static void diff__no_primary_key__full_if_changed(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, KEYS "CREATE TABLE log (a, b, c);" FILL("log", "500"));
	pair_change(&p, "DELETE FROM keys WHERE v = 1");
	expect_counts(&p, 0, 0, 1);
	/* The same rows under other row ids. */
	pair_change(&p,
	    "CREATE TEMP TABLE s AS SELECT * FROM log ORDER BY random(); DELETE FROM log; INSERT INTO log SELECT "
	    "* FROM s");
	expect_counts(&p, 0, 0, 1);
	pair_change(&p, "UPDATE log SET a = 'x' WHERE b = 7");
	pair_expect(&p, DIFF_FULL, "table log: has changed, and has no primary key");
	pair_end(&p);
}

static void diff__null_in_a_key__full_if_changed(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, KEYS "INSERT INTO keys VALUES(NULL, 5000, 'x'), (NULL, 5001, 'y')");
	pair_change(&p, "UPDATE keys SET w = 'z' WHERE v = 1");
	expect_counts(&p, 0, 1, 0);
	pair_change(&p, "UPDATE keys SET rowid = rowid + 7 WHERE v > 4999");
	expect_counts(&p, 0, 1, 0);
	pair_change(&p, "UPDATE keys SET w = 'z' WHERE v = 5001");
	pair_expect(&p, DIFF_FULL, "table keys: a row that changed has NULL in its primary key");
	pair_end(&p);
}

static void diff__generated_columns__full_if_changed(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p,
	    KEYS "CREATE TABLE made (k INTEGER PRIMARY KEY, a, b AS (a * 2) STORED, c AS (a + 1)); INSERT INTO "
		 "made(k, a) VALUES(1, 1), (2, 2)");
	pair_change(&p, "DELETE FROM keys WHERE v = 1; UPDATE made SET a = a");
	expect_counts(&p, 0, 0, 1);
	pair_change(&p, "UPDATE made SET a = 7 WHERE k = 1");
	pair_expect(&p, DIFF_FULL, "table made: has generated columns");
	pair_end(&p);
}

static void diff__too_much__full(void **state)
{
	struct pair p;
	struct diff_result r;

	(void)state;
	pair_begin(&p, KEYS);
	pair_change(&p, "UPDATE keys SET w = 'x' WHERE v <= 10");
	pair_diff(&r, &p, 10, 0);
	assert_int_equal(r.outcome, DIFF_CHANGES);
	uint64_t size = r.size;
	diff_result_fini(&r);
	pair_diff(&r, &p, 9, 0);
	assert_int_equal(r.outcome, DIFF_FULL);
	assert_string_equal(r.why, "more than 9 rows changed");
	pair_diff(&r, &p, 0, size);
	assert_int_equal(r.outcome, DIFF_CHANGES);
	diff_result_fini(&r);
	pair_diff(&r, &p, 0, size - 1);
	assert_int_equal(r.outcome, DIFF_FULL);
	assert_non_null(strstr(r.why, "bytes"));
	pair_end(&p);
	pair_begin(&p,
	    "CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
	    "SELECT i + 1 FROM n WHERE i < 140000) SELECT i, i FROM n");
	pair_change(&p, "UPDATE t SET v = -v");
	pair_expect(&p, DIFF_FULL, "are on changed pages");
	pair_end(&p);
}

static void diff__large_table_without_row_ids__full_if_changed(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p,
	    "PRAGMA page_size=512; CREATE TABLE keys (k INTEGER PRIMARY KEY, v); CREATE TABLE w (k INTEGER PRIMARY "
	    "KEY, v) WITHOUT ROWID; INSERT INTO w WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
	    "WHERE i < 24000) SELECT i, hex(randomblob(40)) FROM n");
	pair_change(&p, "INSERT INTO keys VALUES(1, 1)");
	pair_expect(&p, DIFF_CHANGES, NULL);
	pair_change(&p, "UPDATE w SET v = 'x' WHERE k = 77");
	pair_expect(&p, DIFF_FULL, "table w: has changed, has no row ids, and has");
	pair_end(&p);
}

static void diff__names_of_the_row_id_taken__full_if_changed(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(
	    &p, KEYS "CREATE TABLE t (rowid, _ROWID_, oid, k TEXT PRIMARY KEY); INSERT INTO t VALUES(1, 2, 3, 'a')");
	pair_change(&p, "DELETE FROM keys WHERE v = 1");
	expect_counts(&p, 0, 0, 1);
	pair_change(&p, "INSERT INTO t VALUES(1, 2, 3, 'b')");
	pair_expect(&p, DIFF_FULL, "table t: columns have all names of the row id");
	pair_end(&p);
}

/* --- what only the application knows --- */

static int backwards(void *arg, int n1, const void *p1, int n2, const void *p2)
{
	int c = memcmp(p2, p1, (size_t)(n1 < n2 ? n1 : n2));

	(void)arg;
	return c != 0 ? c : n2 - n1;
}

static void twice(sqlite3_context *context, int n, sqlite3_value **v)
{
	(void)n;
	sqlite3_result_int64(context, 2 * sqlite3_value_int64(v[0]));
}

static void as_application(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	char *text = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_create_collation(db, "backwards", SQLITE_UTF8, NULL, backwards);
	sqlite3_create_function(db, "twice", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, twice, NULL, NULL);
	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}

static void diff__order_of_the_application__full_if_changed(void **state)
{
	static const char *const tables[][2] = {
		{ "CREATE TABLE t (k TEXT COLLATE backwards PRIMARY KEY, v)", "collation backwards" },
		{ "CREATE TABLE t (k TEXT COLLATE backwards PRIMARY KEY, v) WITHOUT ROWID", "collation backwards" },
		{ "CREATE TABLE t (k TEXT PRIMARY KEY, v); CREATE INDEX i ON t(v COLLATE backwards)",
		    "collation backwards" },
		{ "CREATE TABLE t (k TEXT PRIMARY KEY, v); CREATE INDEX i ON t(k) WHERE v > 'b' COLLATE backwards",
		    "collation" },
		{ "CREATE TABLE t (k TEXT PRIMARY KEY, v); CREATE INDEX i ON t(twice(v))", "twice" },
		{ "CREATE TABLE t (k TEXT, v, PRIMARY KEY (k COLLATE NOCASE))", "another collation than its column k" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		struct pair p;

		pair_init(&p);
		fix_sql(p.live, KEYS);
		as_application(p.live, tables[i][0]);
		as_application(p.live, "INSERT INTO t VALUES('a', 'x'), ('b', 'y'), ('c', 'z')");
		pair_take_base(&p);
		fix_sql(p.live, "DELETE FROM keys WHERE v = 1");
		pair_take_now(&p);
		p.quick = true;
		expect_counts(&p, 0, 0, 1);
		as_application(p.live, "INSERT INTO t VALUES('aa', 'xx'); DELETE FROM t WHERE k = 'b'");
		pair_take_now(&p);
		pair_expect(&p, DIFF_FULL, tables[i][1]);
		pair_end(&p);
	}
}

static void diff__collation_without_an_order__carried(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	as_application(
	    p.live, "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT COLLATE backwards); INSERT INTO t VALUES('a', 'x')");
	pair_take_base(&p);
	as_application(p.live, "UPDATE t SET v = 'y'");
	pair_take_now(&p);
	p.quick = true;
	expect_counts(&p, 0, 1, 0);
	pair_end(&p);
}

/* --- failures --- */

static int diff(struct pair *p, int (*alive)(void *arg), void *arg)
{
	struct diff_options o = { .base = p->base,
		.base_digest = &p->digest,
		.snapshot = p->now,
		.fd = p->fd,
		.fd_path = p->changes,
		.alive = alive,
		.arg = arg };
	struct diff_result r;
	int rc = diff_snapshot(&r, &o);

	if (rc == KC_OK)
		diff_result_fini(&r);
	return rc;
}

static void overwrite(const char *path, long at, const char *text)
{
	FILE *f = fopen(path, "r+b");

	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	fclose(f);
}

static void diff__base_missing_or_damaged__is_a_failure(void **state)
{
	struct pair p;
	char *journal;

	(void)state;
	pair_begin(&p, KEYS);
	pair_change(&p, "DELETE FROM keys WHERE v = 1");
	ok(diff(&p, NULL, NULL));
	unlink(p.base);
	fails(KC_ENOENT, diff(&p, NULL, NULL));
	pair_take_now(&p);
	copy_file(p.now, p.base);
	overwrite(p.base, 0, "Not a database at all");
	fails(KC_EDAMAGED, diff(&p, NULL, NULL));
	copy_file(p.now, p.base);
	overwrite(p.base, 18, "\x02\x02"); /* with a write-ahead log */
	fails(KC_EDAMAGED, diff(&p, NULL, NULL));
	copy_file(p.now, p.base);
	journal = mem_xasprintf("%s-journal", p.base);
	copy_file(p.now, journal); /* as left by one that was killed */
	fails(KC_EDAMAGED, diff(&p, NULL, NULL));
	assert_int_equal(unlink(journal), 0);
	free(journal);
	assert_int_equal(truncate(p.base, 8192), 0);
	fails(KC_EDAMAGED, diff(&p, NULL, NULL));
	copy_file(p.now, p.base);
	fix_sql(p.base, "CREATE TABLE other (k)");
	fails(KC_EDAMAGED, diff(&p, NULL, NULL));
	copy_file(p.now, p.base);
	unlink(p.now);
	fails(KC_ENOENT, diff(&p, NULL, NULL));
	pair_end(&p);
}

static int give_up(void *arg)
{
	return --*(int *)arg < 0 ? err_set(KC_ECANCELED, "given up") : KC_OK;
}

static void diff__given_up__ends(void **state)
{
	struct pair p;
	struct buf before, after;
	int calls, rc;

	(void)state;
	pair_begin(&p, "CREATE TABLE keys (uuid TEXT PRIMARY KEY, v INTEGER, w);" FILL("keys", "30000"));
	pair_change(&p, "UPDATE keys SET w = 'x' WHERE v % 2 = 0");
	buf_init(&before, 1u << 30);
	buf_init(&after, 1u << 30);
	ok(file_read(&before, p.base));
	for (int n = 0;; n += 1 + n / 2) {
		calls = n;
		rc = diff(&p, give_up, &calls);
		assert_int_equal(ftruncate(p.fd, 0), 0);
		assert_int_equal(lseek(p.fd, 0, SEEK_SET), 0);
		if (rc == KC_OK) {
			assert_true(n > 10);
			break;
		}
		fails(KC_ECANCELED, rc);
	}
	ok(file_read(&after, p.base));
	assert_int_equal(buf_len(&before), buf_len(&after));
	assert_memory_equal(buf_data(&before), buf_data(&after), buf_len(&before));
	buf_fini(&before);
	buf_fini(&after);
	pair_end(&p);
}

/* --- rows that were named --- */

struct named {
	struct pair p;
	struct diff_base *base;
	sqlite3 *live;
};

static void named_begin(struct named *n, const char *sql)
{
	pair_begin(&n->p, sql);
	ok(diff_base_open(&n->base, n->p.base));
	assert_int_equal(sqlite3_open(n->p.live, &n->live), SQLITE_OK);
}

static void named_end(struct named *n)
{
	sqlite3_close(n->live);
	diff_base_close(n->base);
	pair_end(&n->p);
}

/* Afterwards the base is what the live database is, if all that changed was named. */
static void named_diff(
    struct diff_result *r, struct named *n, const char *table, const char *const *keys, size_t n_keys)
{
	struct diff_keys_options o = { .base = n->base,
		.base_digest = &n->p.digest,
		.live = n->live,
		.live_path = n->p.live,
		.table = table,
		.keys = keys,
		.n_keys = n_keys,
		.fd = n->p.fd,
		.fd_path = n->p.changes };

	assert_int_equal(ftruncate(n->p.fd, 0), 0);
	assert_int_equal(lseek(n->p.fd, 0, SEEK_SET), 0);
	assert_int_equal(sqlite3_exec(n->live, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
	ok(diff_keys(r, &o));
	assert_int_equal(sqlite3_exec(n->live, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(lseek(n->p.fd, 0, SEEK_END), r->size);
	if (r->outcome != DIFF_CHANGES)
		return;
	diff_base_close(n->base);
	ok(base_advance(n->p.base, n->p.base, n->p.fd, r->size, &r->digest));
	ok(diff_base_open(&n->base, n->p.base));
}

static void assert_base_is(struct named *n, const struct source_digest *d)
{
	struct source_digest base;

	ok(sqlite_digest(&base, n->base->db, n->p.base, NULL, NULL, NULL));
	assert_same_digest(&base, d);
	source_digest_fini(&base);
}

static void keys__named_rows_changed__base_follows(void **state)
{
	static const char *const keys[] = { "key7", "new", "key9", "key7", "never", "key1234" };
	struct named n;
	struct diff_result r;
	struct source_digest live;
	struct changeset c;
	struct row_hash delta;
	uint64_t skipped;

	(void)state;
	named_begin(&n, KEYS "CREATE TABLE seq (id INTEGER PRIMARY KEY AUTOINCREMENT)");
	copy_rows(n.p.base, n.p.copy);
	for (int turn = 0; turn < 3; turn++) {
		fix_sql(n.p.live,
		    turn == 0	? "DELETE FROM keys WHERE v = 7; UPDATE keys SET w = 1.0 WHERE v = 9; INSERT INTO keys "
				  "VALUES('new', -1, x'00')"
		    : turn == 1 ? "INSERT INTO keys VALUES('key7', 7, 'back'); DELETE FROM keys WHERE v = -1"
				: "UPDATE keys SET w = NULL WHERE v IN (7, 9, 1234); INSERT INTO sqlite_sequence "
				  "VALUES('seq', 5)");
		named_diff(&r, &n, "keys", keys, sizeof(keys) / sizeof(keys[0]));
		assert_int_equal(r.outcome, DIFF_CHANGES);
		image_digest(&live, n.p.live);
		assert_same_digest(&r.digest, &live);
		assert_base_is(&n, &live);
		c = (struct changeset){ n.p.fd, r.size, r.digest.sequences, r.digest.n_sequences };
		ok(apply_to(&delta, &skipped, n.p.copy, &c, NULL));
		source_digest_fini(&live);
		image_digest(&live, n.p.copy);
		assert_string_equal(live.content, r.digest.content);
		source_digest_fini(&live);
		source_digest_fini(&n.p.digest);
		n.p.digest = r.digest; /* of the new base */
		free(r.tables);
	}
	named_diff(&r, &n, "keys", keys, sizeof(keys) / sizeof(keys[0]));
	assert_int_equal(r.outcome, DIFF_SAME);
	assert_same_digest(&r.digest, &n.p.digest);
	diff_result_fini(&r);
	named_diff(&r, &n, "keys", keys, 0);
	assert_int_equal(r.outcome, DIFF_SAME);
	diff_result_fini(&r);
	named_end(&n);
}

static void keys__cannot_be_said__full_and_base_stays(void **state)
{
	static const char *const keys[] = { "a", "b" };
	static const char *const cases[][3] = {
		{ "CREATE TABLE t (k TEXT PRIMARY KEY, u UNIQUE)",
		    "UPDATE t SET u = -1 WHERE k = 'a'; UPDATE t SET u = 1 WHERE k = 'b'; UPDATE t SET u = 2 WHERE k = "
		    "'a'",
		    "constraint" },
		{ "CREATE TABLE t (k TEXT PRIMARY KEY, u)", "UPDATE t SET u = 7; CREATE INDEX i ON t(u)", "schema" },
		{ "CREATE TABLE t (k TEXT, u, PRIMARY KEY (k, u))", "UPDATE t SET u = 7", "2 columns" },
		{ "CREATE TABLE t (k TEXT, u)", "UPDATE t SET u = 7", "0 columns" },
		{ "CREATE TABLE t (k TEXT PRIMARY KEY, u, g AS (u))", "UPDATE t SET u = 7", "generated" },
		{ "CREATE TABLE t (k TEXT PRIMARY KEY, u)", "UPDATE t SET u = zeroblob(17000000)", "bytes" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct named n;
		struct diff_result r;
		char sql[256];

		snprintf(sql, sizeof(sql), "%s; INSERT INTO t(k, u) VALUES('a', 1), ('b', 2)", cases[i][0]);
		named_begin(&n, sql);
		fix_sql(n.p.live, cases[i][1]);
		named_diff(&r, &n, "t", keys, 2);
		assert_int_equal(r.outcome, DIFF_FULL);
		if (strstr(r.why, cases[i][2]) == NULL)
			fail_msg("%s", r.why);
		assert_base_is(&n, &n.p.digest);
		named_diff(&r, &n, "other", keys, 2);
		assert_int_equal(r.outcome, DIFF_FULL);
		named_end(&n);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(diff__nothing_changed__same),
		cmocka_unit_test(diff__rows_changed__counted),
		cmocka_unit_test(diff__keys_of_all_sorts__told_by_key),
		cmocka_unit_test(diff__equal_for_sql_but_not_in_bits__changed),
		cmocka_unit_test(diff__minus_zero__changed),
		cmocka_unit_test(diff__key_changes_in_bits_alone__deleted_and_inserted),
		cmocka_unit_test(diff__row_id_is_no_key__no_content),
		cmocka_unit_test(diff__only_an_overflow_page_changed__found),
		cmocka_unit_test(diff__pages_of_one_table_go_to_another__found),
		cmocka_unit_test(diff__much_changed__base_is_as_before),
		cmocka_unit_test(diff__only_a_sequence_changed__carried_beside),
		cmocka_unit_test(diff__triggers_checks_references__do_not_act),
		cmocka_unit_test(diff__values_of_a_unique_column__move_or_need_full),
		cmocka_unit_test(diff__not_rows__full),
		cmocka_unit_test(diff__no_primary_key__full_if_changed),
		cmocka_unit_test(diff__null_in_a_key__full_if_changed),
		cmocka_unit_test(diff__generated_columns__full_if_changed),
		cmocka_unit_test(diff__too_much__full),
		cmocka_unit_test(diff__large_table_without_row_ids__full_if_changed),
		cmocka_unit_test(diff__names_of_the_row_id_taken__full_if_changed),
		cmocka_unit_test(diff__order_of_the_application__full_if_changed),
		cmocka_unit_test(diff__collation_without_an_order__carried),
		cmocka_unit_test(diff__base_missing_or_damaged__is_a_failure),
		cmocka_unit_test(diff__given_up__ends),
		cmocka_unit_test(keys__named_rows_changed__base_follows),
		cmocka_unit_test(keys__cannot_be_said__full_and_base_stays),
	};

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
