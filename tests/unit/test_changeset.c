/* SPDX-License-Identifier: Apache-2.0 */
/* changeset: applied exactly or not at all, whoever wrote it. */
#include "diff_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

struct bed {
	char dir[64], db[80];
	int fd; /* of the changeset */
	uint64_t size;
};

static void begin(struct bed *b, const char *sql)
{
	char *path;

	memset(b, 0, sizeof(*b));
	strcpy(b->dir, "/tmp/kc-set-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->db, sizeof(b->db), "%s/db", b->dir);
	fix_sql(b->db, sql);
	path = file_join(b->dir, "changes");
	ok(file_open(&b->fd, path, O_RDWR | O_CREAT, 0600));
	free(path);
}

static void end(struct bed *b)
{
	close(b->fd);
	ok(file_remove_tree(b->dir));
}

static void use(struct bed *b, const void *data, size_t n)
{
	assert_int_equal(ftruncate(b->fd, 0), 0);
	assert_int_equal(pwrite(b->fd, data, n, 0), n);
	b->size = n;
}

/* What a session records of this SQL, in a copy of the database. */
static void record(struct bed *b, const char *sql, bool patchset)
{
	char *copy = file_join(b->dir, "copy");
	sqlite3_session *session = NULL;
	sqlite3 *db = NULL;
	void *data = NULL;
	int n = 0;

	copy_file(b->db, copy);
	assert_int_equal(sqlite3_open(copy, &db), SQLITE_OK);
	assert_int_equal(sqlite3session_create(db, "main", &session), SQLITE_OK);
	assert_int_equal(sqlite3session_attach(session, NULL), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	assert_int_equal(
	    patchset ? sqlite3session_patchset(session, &n, &data) : sqlite3session_changeset(session, &n, &data),
	    SQLITE_OK);
	use(b, data, (size_t)n);
	sqlite3_free(data);
	sqlite3session_delete(session);
	sqlite3_close(db);
	free(copy);
}

static int apply_with(struct bed *b, const struct source_sequence *sequences, size_t n, const struct name_list *skip,
    struct row_hash *delta, uint64_t *skipped)
{
	struct changeset c = { .fd = b->fd, .size = b->size, .sequences = sequences, .n_sequences = n };

	return apply_to(delta, skipped, b->db, &c, skip);
}

static int apply(struct bed *b)
{
	struct row_hash delta;
	uint64_t skipped;

	return apply_with(b, NULL, 0, NULL, &delta, &skipped);
}

static void digest_of(char out[SOURCE_DIGEST_LEN + 1], const struct bed *b)
{
	struct source_digest d;

	image_digest(&d, b->db);
	memcpy(out, d.content, sizeof(d.content));
	source_digest_fini(&d);
}

/* A full is needed, for this reason, and nothing was changed. */
static void refused(struct bed *b, const char *why)
{
	char before[SOURCE_DIGEST_LEN + 1], after[SOURCE_DIGEST_LEN + 1];
	int rc;

	digest_of(before, b);
	rc = apply(b);
	if (rc != KC_ENEEDFULL || strstr(err_text(rc), why) == NULL)
		fail_msg("%s: %s (not %s)", err_name(rc), err_text(rc), why);
	digest_of(after, b);
	assert_string_equal(before, after);
}

static void applied(struct bed *b)
{
	char before[SOURCE_DIGEST_LEN + 1], after[SOURCE_DIGEST_LEN + 1];
	struct row_hash delta, sum;
	uint64_t skipped;

	digest_of(before, b);
	ok(apply_with(b, NULL, 0, NULL, &delta, &skipped));
	digest_of(after, b);
	assert_true(row_hash_from_hex(&sum, before));
	row_hash_add(&sum, &delta);
	row_hash_to_hex(before, &sum);
	assert_string_equal(before, after);
}

#define KEYS                                                                                        \
	"CREATE TABLE keys (uuid TEXT PRIMARY KEY, alias TEXT UNIQUE, v); INSERT INTO keys VALUES " \
	"('a', 'one', 1), ('b', 'two', 2), ('c', 'three', 3);"

static void apply__what_a_session_recorded__exact(void **state)
{
	static const char *const cases[][2] = {
		{ KEYS,
		    "DELETE FROM keys WHERE uuid = 'a'; UPDATE keys SET v = x'00ff' WHERE uuid = 'b'; INSERT INTO keys "
		    "VALUES('d', 'one', 9.5)" },
		{ "CREATE TABLE t (a, b, c, PRIMARY KEY (c, a)) WITHOUT ROWID; INSERT INTO t VALUES(1, 2, 3), (1.5, "
		  "x'', '')",
		    "UPDATE t SET b = NULL; INSERT INTO t VALUES(7, 7, 7)" },
		{ "CREATE TABLE t (k INTEGER PRIMARY KEY, v REAL); INSERT INTO t VALUES(1, 1), (2, -2.5)",
		    "UPDATE t SET v = 3 WHERE k = 1; DELETE FROM t WHERE k = 2" },
		{ "CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, zeroblob(200000))",
		    "UPDATE t SET v = CAST(v || x'01' AS BLOB); INSERT INTO t VALUES(2, zeroblob(100000))" },
		{ "PRAGMA encoding='UTF-16be'; CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v COLLATE NOCASE "
		  "UNIQUE); "
		  "INSERT INTO t VALUES('äa', 'B'), ('c', '€')",
		    "UPDATE t SET v = 'ö' WHERE k = 'C'; DELETE FROM t WHERE k = 'äA'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bed b;

		begin(&b, cases[i][0]);
		record(&b, cases[i][1], false);
		applied(&b);
		end(&b);
	}
}

static void apply__empty__nothing(void **state)
{
	struct bed b;

	(void)state;
	begin(&b, KEYS);
	applied(&b);
	end(&b);
}

/* --- the database is not what it was --- */

static void apply__another_state__refused(void **state)
{
	static const char *const cases[][3] = {
		{ "UPDATE keys SET v = 7 WHERE uuid = 'b'", "DELETE FROM keys WHERE uuid = 'b'",
		    "table keys: a row is missing" },
		{ "UPDATE keys SET v = 7 WHERE uuid = 'b'", "UPDATE keys SET v = 8 WHERE uuid = 'b'",
		    "table keys: a row is not what it was" },
		{ "DELETE FROM keys WHERE uuid = 'b'", "UPDATE keys SET alias = 'x' WHERE uuid = 'b'",
		    "table keys: a row is not what it was" },
		{ "DELETE FROM keys WHERE uuid = 'b'", "DELETE FROM keys", "table keys: a row is missing" },
		{ "INSERT INTO keys VALUES('d', 'four', 4)", "INSERT INTO keys VALUES('d', 'five', 5)",
		    "table keys: a row is there already" },
		{ "INSERT INTO keys VALUES('d', 'four', 4)", "INSERT INTO keys VALUES('e', 'four', 5)",
		    "table keys: a constraint" },
		{ "UPDATE keys SET alias = 'x' WHERE uuid = 'a'", "INSERT INTO keys VALUES('e', 'x', 5)",
		    "table keys: a constraint" },
		{ "UPDATE keys SET v = 7", "DROP TABLE keys", "table keys: is no ordinary table" },
		{ "UPDATE keys SET v = 7", "DROP TABLE keys; CREATE VIEW keys AS SELECT 'a' AS uuid",
		    "table keys: is no ordinary table" },
		{ "UPDATE keys SET v = 7", "ALTER TABLE keys RENAME TO k; ALTER TABLE k RENAME TO Keys",
		    "table keys: is no ordinary table" },
		{ "UPDATE keys SET v = 7", "ALTER TABLE keys ADD COLUMN w", "has 4 columns, of the changeset 3" },
		{ "UPDATE keys SET v = 7", "ALTER TABLE keys DROP COLUMN v", "has 2 columns, of the changeset 3" },
		{ "UPDATE keys SET v = 7",
		    "DROP TABLE keys; CREATE TABLE keys (uuid, alias TEXT PRIMARY KEY, v); INSERT INTO keys "
		    "VALUES('a', 'one', 1)",
		    "another primary key" },
		{ "UPDATE keys SET v = 7", "DROP TABLE keys; CREATE TABLE keys (uuid, alias, v)",
		    "another primary key" },
		{ "UPDATE keys SET v = NULL",
		    "CREATE TABLE new (uuid TEXT PRIMARY KEY, alias, v NOT NULL); INSERT INTO new SELECT "
		    "* FROM keys; DROP TABLE keys; ALTER TABLE new RENAME TO keys",
		    "table keys: a constraint" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bed b;

		begin(&b, KEYS);
		record(&b, cases[i][0], false);
		fix_sql(b.db, cases[i][1]);
		refused(&b, cases[i][2]);
		end(&b);
	}
}

static void apply__replace_in_the_schema__removes_nothing_unseen(void **state)
{
	struct bed b;

	(void)state;
	begin(&b, "CREATE TABLE t (k INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT REPLACE); INSERT INTO t VALUES(1, 1)");
	record(&b, "INSERT INTO t VALUES(2, 2)", false);
	fix_sql(b.db, "INSERT INTO t VALUES(3, 2)");
	refused(&b, "replace rows");
	fix_sql(b.db, "DELETE FROM t WHERE k = 3");
	applied(&b);
	end(&b);
}

/* --- one that no session wrote --- */

static void put_head(struct buf *b, const char *table, const char *key, size_t columns)
{
	buf_put_u8(b, 'T');
	buf_put_u8(b, (uint8_t)columns);
	buf_put(b, key, columns);
	buf_put(b, table, strlen(table) + 1);
}

static void put_op(struct buf *b, int op)
{
	buf_put_u8(b, (uint8_t)op);
	buf_put_u8(b, 0);
}

static void put_texts(struct buf *b, const char *const *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (values[i] == NULL) {
			buf_put_u8(b, SQLITE_NULL);
		} else if (*values[i] == '\0') {
			buf_put_u8(b, 0);
		} else {
			buf_put_u8(b, SQLITE_TEXT);
			buf_put_u8(b, (uint8_t)strlen(values[i]));
			buf_put_str(b, values[i]);
		}
	}
}

static void apply__tables_that_are_not_the_users__refused(void **state)
{
	static const char *const names[] = { "sqlite_master", "sqlite_schema", "sqlite_sequence", "sqlite_stat1",
		"sqlite_temp_master", "v", "f", "f_data", "never", "", "main.keys", "KEYS" };
	static const char *const row[] = { "x", "y" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct bed b;
		struct buf set;

		begin(&b, "CREATE TABLE keys (k TEXT PRIMARY KEY, v); CREATE TABLE seq (k INTEGER PRIMARY KEY "
			  "AUTOINCREMENT); "
			  "INSERT INTO seq VALUES(1); CREATE VIEW v AS SELECT k, v FROM keys; CREATE INDEX i ON "
			  "keys(v); ANALYZE; "
			  "CREATE VIRTUAL TABLE f USING fts5(a)");
		buf_init(&set, 1000);
		put_head(&set, names[i], "\1\0", 2);
		put_op(&set, SQLITE_INSERT);
		put_texts(&set, row, 2);
		use(&b, buf_data(&set), buf_len(&set));
		refused(&b, "is no ordinary table");
		buf_fini(&set);
		end(&b);
	}
}

struct change {
	int op;
	const char *values[6]; /* "": not there */
};

static void apply__changes_that_no_session_writes__refused(void **state)
{
	static const struct {
		struct change changes[3];
		const char *why;
	} cases[] = {
		{ { { SQLITE_INSERT, { NULL, "x", "y" } } }, "lacks values" },
		{ { { SQLITE_INSERT, { "d", "", "y" } } }, NULL },
		{ { { SQLITE_DELETE, { "a", "one", "" } } }, NULL },
		{ { { SQLITE_UPDATE, { "a", "", "", "", "x", "" } } },
		    "lacks values" }, /* the old value is not there */
		{ { { SQLITE_UPDATE, { "a", "one", "", "b2", "x", "" } } }, "lacks values" }, /* another key */
		{ { { SQLITE_UPDATE, { "a", "one", "", "", "x", "" } },
		      { SQLITE_UPDATE, { "a", "one", "", "", "y", "" } } },
		    "two changes of one row" },
		{ { { SQLITE_UPDATE, { "a", "one", "", "", "x", "" } }, { SQLITE_DELETE, { "a", "x", "1" } } },
		    "two changes of one row" },
		{ { { SQLITE_INSERT, { "d", "x", "y" } }, { SQLITE_DELETE, { "d", "x", "y" } } }, "a row is missing" },
		{ { { SQLITE_INSERT, { "d", "x", "y" } }, { SQLITE_INSERT, { "d", "z", "y" } } },
		    "a row is there already" },
		{ { { SQLITE_UPDATE, { "A", "one", "", "", "x", "" } } }, "a row is missing" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bed b;
		struct buf set;

		begin(&b, "CREATE TABLE keys (uuid TEXT COLLATE NOCASE PRIMARY KEY, alias TEXT UNIQUE, v TEXT); INSERT "
			  "INTO keys "
			  "VALUES('a', 'one', '1'), ('b', 'two', '2')");
		buf_init(&set, 1000);
		put_head(&set, "keys", "\1\0\0", 3);
		for (int k = 0; k < 3 && cases[i].changes[k].op != 0; k++) {
			put_op(&set, cases[i].changes[k].op);
			put_texts(&set, cases[i].changes[k].values, cases[i].changes[k].op == SQLITE_UPDATE ? 6 : 3);
		}
		use(&b, buf_data(&set), buf_len(&set));
		if (cases[i].why != NULL)
			refused(&b, cases[i].why);
		else
			assert_int_not_equal(apply(&b), KC_OK);
		buf_fini(&set);
		end(&b);
	}
}

static void apply__patchset__refused(void **state)
{
	struct bed b;

	(void)state;
	begin(&b, KEYS);
	record(&b, "UPDATE keys SET v = 7", true);
	fails(KC_EDAMAGED, apply(&b));
	record(&b, "DELETE FROM keys", true);
	fails(KC_EDAMAGED, apply(&b));
	/* With the head of a changeset it is none either. */
	assert_int_equal(pwrite(b.fd, "T", 1, 0), 1);
	fails(KC_EDAMAGED, apply(&b));
	end(&b);
}

static void apply__cut_short__refused(void **state)
{
	struct bed b;
	char before[SOURCE_DIGEST_LEN + 1], after[SOURCE_DIGEST_LEN + 1];
	uint64_t whole;

	(void)state;
	begin(&b, KEYS);
	record(&b, "UPDATE keys SET v = 'a value' WHERE uuid = 'b'", false);
	whole = b.size;
	digest_of(before, &b);
	for (b.size = 1; b.size < whole; b.size++)
		if (apply(&b) == KC_OK) /* the head of a table alone */
			break;
		else
			fails(KC_EDAMAGED, apply(&b));
	assert_true(b.size > 5 && b.size < 20);
	while (++b.size < whole)
		fails(KC_EDAMAGED, apply(&b));
	digest_of(after, &b);
	assert_string_equal(before, after);
	/* The file is shorter than it was said to be. */
	b.size = whole + 1;
	fails(KC_EDAMAGED, apply(&b));
	use(&b, "Something else", 14);
	fails(KC_EDAMAGED, apply(&b));
	end(&b);
}

static void apply__bytes_turned__refused_or_exact(void **state)
{
	struct bed b;
	uint8_t data[1000];
	char *good;
	ssize_t n;

	(void)state;
	begin(&b, KEYS "CREATE TABLE seq (k INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO seq VALUES(1, 1)");
	record(&b,
	    "DELETE FROM keys WHERE uuid = 'a'; UPDATE keys SET v = x'00ff', alias = 'changed' WHERE uuid = 'b'; "
	    "INSERT "
	    "INTO keys VALUES('d', 'four', 9.5); UPDATE seq SET v = 2",
	    false);
	n = pread(b.fd, data, sizeof(data), 0);
	good = file_join(b.dir, "good");
	copy_file(b.db, good);
	for (ssize_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			struct row_hash delta, sum;
			char hex[SOURCE_DIGEST_LEN + 1], before[SOURCE_DIGEST_LEN + 1];
			uint64_t skipped;

			data[i] ^= (uint8_t)(1 << bit);
			use(&b, data, (size_t)n);
			data[i] ^= (uint8_t)(1 << bit);
			digest_of(before, &b);
			if (apply_with(&b, NULL, 0, NULL, &delta, &skipped) != KC_OK)
				continue;
			assert_true(row_hash_from_hex(&sum, before));
			row_hash_add(&sum, &delta);
			row_hash_to_hex(before, &sum);
			digest_of(hex, &b);
			assert_string_equal(hex, before);
			copy_file(good, b.db);
		}
	free(good);
	end(&b);
}

/* --- beside the rows --- */

static void apply__tables_to_skip__left_alone(void **state)
{
	struct bed b;
	struct row_hash delta, sum;
	uint64_t skipped = 0;
	char *name = (char *)"Mine", before[SOURCE_DIGEST_LEN + 1], after[SOURCE_DIGEST_LEN + 1];
	struct name_list skip = { &name, 1 };
	struct source_sequence sequences[] = { { (char *)"theirs", 5 }, { (char *)"mine", 900 } };

	(void)state;
	begin(&b,
	    "CREATE TABLE mine (k INTEGER PRIMARY KEY AUTOINCREMENT, v); CREATE TABLE theirs (k INTEGER PRIMARY KEY "
	    "AUTOINCREMENT, v); INSERT INTO mine VALUES(1, 1), (2, 2); INSERT INTO theirs VALUES(1, 1), (2, 2)");
	record(&b,
	    "UPDATE mine SET v = 7; INSERT INTO mine VALUES(3, 3); DELETE FROM theirs WHERE k = 1; INSERT INTO theirs "
	    "VALUES(3, 3)",
	    false);
	/* Whatever became of it. */
	fix_sql(b.db, "DELETE FROM mine WHERE k = 1; UPDATE mine SET v = 8; UPDATE sqlite_sequence SET seq = 70 WHERE "
		      "name = 'mine'");
	digest_of(before, &b);
	ok(apply_with(&b, sequences, 2, &skip, &delta, &skipped));
	assert_int_equal(skipped, 3);
	assert_string_equal(fix_query(b.db, "SELECT group_concat(k || '=' || v) FROM mine"), "2=8");
	assert_string_equal(fix_query(b.db, "SELECT group_concat(k || '=' || v) FROM theirs"), "2=2,3=3");
	assert_string_equal(
	    fix_query(b.db, "SELECT group_concat(name || '=' || seq) FROM (SELECT * FROM sqlite_sequence ORDER "
			    "BY name)"),
	    "mine=70,theirs=5");
	assert_true(row_hash_from_hex(&sum, before));
	row_hash_add(&sum, &delta);
	row_hash_to_hex(before, &sum);
	digest_of(after, &b);
	assert_string_equal(before, after);
	/* With the table gone it is the same. */
	fix_sql(b.db, "DROP TABLE mine");
	record(&b, "UPDATE theirs SET v = 10", false);
	ok(apply_with(&b, sequences, 2, &skip, &delta, &skipped));
	end(&b);
}

static void apply__sequences__exactly_these(void **state)
{
	struct bed b;
	struct row_hash delta;
	uint64_t skipped;
	struct source_sequence sequences[] = { { (char *)"a", 5 }, { (char *)"c", INT64_MIN } };

	(void)state;
	begin(&b, "CREATE TABLE a (k INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO sqlite_sequence VALUES('a', 5), "
		  "('a', 5), "
		  "('b', 1), (NULL, 1), ('c', 'text'), (x'61', 5), ('', 0)");
	ok(apply_with(&b, sequences, 2, NULL, &delta, &skipped));
	assert_string_equal(
	    fix_query(b.db,
		"SELECT group_concat(quote(name) || '=' || quote(seq)) FROM (SELECT * FROM sqlite_sequence ORDER "
		"BY name)"),
	    "'a'=5,'c'=-9223372036854775808");
	ok(apply_with(&b, NULL, 0, NULL, &delta, &skipped));
	assert_string_equal(fix_query(b.db, "SELECT count(*) FROM sqlite_sequence"), "0");
	end(&b);
	begin(&b, KEYS);
	fails(KC_ENEEDFULL, apply_with(&b, sequences, 2, NULL, &delta, &skipped));
	assert_non_null(strstr(err_text(KC_ENEEDFULL), "table a"));
	end(&b);
}

static int give_up(void *arg)
{
	return --*(int *)arg < 0 ? err_set(KC_ECANCELED, "given up") : KC_OK;
}

static void apply__on_a_connection__leaves_its_settings(void **state)
{
	struct bed b;
	struct row_hash delta;
	struct changeset c;
	sqlite3 *db = NULL;
	uint64_t skipped;
	int64_t value = 0;
	int triggers = 0, calls = 0, rc;

	(void)state;
	begin(&b,
	    "CREATE TABLE t (k INTEGER PRIMARY KEY, v CHECK (v > 0)); CREATE TABLE log (k INTEGER PRIMARY KEY); CREATE "
	    "TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES(new.k); END");
	record(&b,
	    "PRAGMA ignore_check_constraints=ON; DROP TRIGGER g; INSERT INTO t VALUES(1, -1); INSERT INTO t WITH "
	    "RECURSIVE "
	    "n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) SELECT i, hex(randomblob(20)) FROM n",
	    false);
	c = (struct changeset){ .fd = b.fd, .size = b.size };
	assert_int_equal(sqlite3_open(b.db, &db), SQLITE_OK);
	sqlite3_exec(db, "PRAGMA foreign_keys=ON; BEGIN", NULL, NULL, NULL);
	fails(KC_EFAIL, changeset_apply(&delta, &skipped, db, b.db, &c, NULL, NULL, NULL));
	sqlite3_exec(db, "COMMIT; PRAGMA foreign_keys=OFF", NULL, NULL, NULL);
	for (int n = 0;; n++) {
		calls = n;
		sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
		rc = changeset_apply(&delta, &skipped, db, b.db, &c, NULL, give_up, &calls);
		if (rc == KC_OK)
			break;
		fails(KC_ECANCELED, rc);
		assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
		assert_true(n < 100);
	}
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	ok(sqlite_int(&value, db, b.db, "PRAGMA ignore_check_constraints"));
	assert_int_equal(value, 0);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, -1, &triggers);
	assert_int_equal(triggers, 1);
	sqlite3_close(db);
	assert_string_equal(fix_query(b.db, "SELECT count(*) FROM log"), "0");
	assert_string_equal(fix_query(b.db, "SELECT count(*) FROM t"), "9000");
	end(&b);
}

static int backwards(void *arg, int n1, const void *p1, int n2, const void *p2)
{
	int c = memcmp(p2, p1, (size_t)(n1 < n2 ? n1 : n2));

	(void)arg;
	return c != 0 ? c : n2 - n1;
}

static void apply__order_of_the_application__refused(void **state)
{
	static const char *const indexes[][2] = { { "CREATE INDEX i ON t(v COLLATE backwards)",
						      "table t: collation backwards" },
		{ "CREATE INDEX i ON t(v) WHERE v > 'a' COLLATE backwards", "a collation that is not built in" },
		{ "CREATE INDEX i ON t(v > 'a' COLLATE backwards)", "a collation that is not built in" } };

	(void)state;
	for (size_t i = 0; i < sizeof(indexes) / sizeof(indexes[0]); i++) {
		struct bed b;
		sqlite3 *db = NULL;

		begin(&b, "CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, 'a'), (2, 'b')");
		record(&b, "UPDATE t SET v = 'c' WHERE k = 1", false);
		assert_int_equal(sqlite3_open(b.db, &db), SQLITE_OK);
		sqlite3_create_collation(db, "backwards", SQLITE_UTF8, NULL, backwards);
		assert_int_equal(sqlite3_exec(db, indexes[i][0], NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(db);
		refused(&b, indexes[i][1]);
		end(&b);
	}
}

/* SQLite asks for the UTF-16 forms of what it has; ours is for what it has not. */
static void tolerate__collation_that_is_built_in__stays(void **state)
{
	struct bed b;
	sqlite3 *db = NULL;
	int64_t n = 0;

	(void)state;
	begin(&b, "PRAGMA encoding='UTF-16le'; CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY, v COLLATE RTRIM); "
		  "INSERT INTO t "
		  "VALUES('a', 'x  ')");
	ok(sqlite_open_image(&db, b.db));
	ok(sqlite_int(&n, db, b.db, "SELECT count(*) FROM t WHERE k = 'A' AND v = 'x'"));
	assert_int_equal(n, 1);
	sqlite3_close(db);
	end(&b);
}

static void row_hash__sums__go_around(void **state)
{
	static const char all[] = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
	struct row_hash a, b, zero = { { 0 } };
	char hex[SOURCE_DIGEST_LEN + 1];

	(void)state;
	assert_true(row_hash_from_hex(&a, all));
	b = zero;
	b.w[3] = 1;
	row_hash_add(&a, &b);
	assert_memory_equal(&a, &zero, sizeof(a));
	row_hash_sub(&a, &b);
	row_hash_to_hex(hex, &a);
	assert_string_equal(hex, all);
	for (int i = 0; i < 10000; i++) {
		struct row_hash c;

		mem_random(&a, sizeof(a));
		mem_random(&b, sizeof(b));
		for (int k = 0; k < 4; k++) { /* carries over whole words */
			uint8_t r;

			mem_random(&r, 1);
			if (r < 64)
				a.w[k] = 0;
			else if (r < 128)
				a.w[k] = UINT64_MAX;
			else if (r < 192)
				b.w[k] = UINT64_MAX;
		}
		c = a;
		row_hash_add(&c, &b);
		row_hash_sub(&c, &a);
		assert_memory_equal(&c, &b, sizeof(c));
		c = zero;
		row_hash_sub(&c, &a);
		row_hash_add(&c, &a);
		assert_memory_equal(&c, &zero, sizeof(c));
		row_hash_to_hex(hex, &a);
		assert_true(row_hash_from_hex(&c, hex));
		assert_memory_equal(&c, &a, sizeof(c));
	}
}

static void row_hash__malformed__refused(void **state)
{
	struct row_hash a = { { 1, 2, 3, 4 } }, b = a;
	char hex[SOURCE_DIGEST_LEN + 2];

	(void)state;
	assert_false(row_hash_from_hex(&a, ""));
	memset(hex, '0', sizeof(hex));
	hex[SOURCE_DIGEST_LEN + 1] = '\0';
	assert_false(row_hash_from_hex(&a, hex)); /* one too many */
	hex[SOURCE_DIGEST_LEN - 1] = '\0';
	assert_false(row_hash_from_hex(&a, hex));
	hex[SOURCE_DIGEST_LEN - 1] = 'G';
	hex[SOURCE_DIGEST_LEN] = '\0';
	assert_false(row_hash_from_hex(&a, hex));
	hex[SOURCE_DIGEST_LEN - 1] = 'A';
	assert_false(row_hash_from_hex(&a, hex));
	assert_memory_equal(&a, &b, sizeof(a));
	hex[SOURCE_DIGEST_LEN - 1] = 'a';
	assert_true(row_hash_from_hex(&a, hex));
	assert_int_equal(a.w[3], 10);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(apply__what_a_session_recorded__exact),
		cmocka_unit_test(apply__empty__nothing),
		cmocka_unit_test(apply__another_state__refused),
		cmocka_unit_test(apply__replace_in_the_schema__removes_nothing_unseen),
		cmocka_unit_test(apply__tables_that_are_not_the_users__refused),
		cmocka_unit_test(apply__changes_that_no_session_writes__refused),
		cmocka_unit_test(apply__patchset__refused),
		cmocka_unit_test(apply__cut_short__refused),
		cmocka_unit_test(apply__bytes_turned__refused_or_exact),
		cmocka_unit_test(apply__tables_to_skip__left_alone),
		cmocka_unit_test(apply__sequences__exactly_these),
		cmocka_unit_test(apply__on_a_connection__leaves_its_settings),
		cmocka_unit_test(apply__order_of_the_application__refused),
		cmocka_unit_test(tolerate__collation_that_is_built_in__stays),
		cmocka_unit_test(row_hash__sums__go_around),
		cmocka_unit_test(row_hash__malformed__refused),
	};

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
