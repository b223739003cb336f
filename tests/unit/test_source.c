/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of source, snapshot and diverged, over all sorts of SQLite databases. */
#include "backup_fixture.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/snapshot.h"
#include "base/file.h"
#include "base/mem.h"

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

static void digest__any_layout__depends_on_rows_alone(void **state)
{
	static const char *const journals[] = { "delete", "truncate", "persist", "wal" };
	static const char *const encodings[] = { "UTF-8", "UTF-16le", "UTF-16be" };
	static const int sizes[] = { 512, 1024, 4096, 65536 };
	char first[SOURCE_DIGEST_LEN + 1] = "", now[SOURCE_DIGEST_LEN + 1];
	int i;

	(void)state;
	fix_make_database(fix.master, &usual, 300, 1);
	fix_digest(first, fix.master);
	for (i = 0; i < 12; i++) {
		struct fix_kind kind = { journals[i % 4], sizes[i % 4], encodings[i % 3], i % 3 };
		char *copy = sqlite3_mprintf("%s/copy%d.db", fix.dir, i);
		/* Another layout, the same rows in another order. */
		char *sql = sqlite3_mprintf(
		    "DELETE FROM keys; DELETE FROM log; DELETE FROM plain; DELETE FROM pairs; DELETE FROM made; DELETE "
		    "FROM sqlite_sequence; ATTACH %Q AS m; INSERT INTO keys "
		    "SELECT * FROM m.keys ORDER BY material; INSERT INTO log SELECT * FROM m.log ORDER "
		    "BY text DESC; INSERT INTO plain SELECT * FROM m.plain ORDER BY b; INSERT INTO pairs "
		    "SELECT * FROM m.pairs; INSERT INTO made(id, mark) SELECT id, mark FROM m.made",
		    fix.master);

		if (strcmp(kind.encoding, "UTF-8") == 0) { /* ATTACH wants one encoding */
			fix_make_database(copy, &kind, 0, 1);
			fix_sql(copy, sql);
			fix_digest(now, copy);
			assert_string_equal(first, now);
		} else {
			fix_make_database(copy, &kind, 300, 1);
			fix_digest(now, copy);
			assert_int_equal(strlen(now), SOURCE_DIGEST_LEN);
		}
		sqlite3_free(sql);
		sqlite3_free(copy);
	}
}

static void digest__other_encoding__same_for_same_rows(void **state)
{
	static const char rows[] = "CREATE TABLE t(a TEXT PRIMARY KEY, b); INSERT INTO t VALUES('ä€𝄞', 1), ('', x''), "
				   "('x', NULL), ('y', 0.5), ('z', -9223372036854775807);";
	char a[SOURCE_DIGEST_LEN + 1], b[SOURCE_DIGEST_LEN + 1];
	char sql[512];

	(void)state;
	snprintf(sql, sizeof(sql), "PRAGMA encoding='UTF-16le'; %s", rows);
	fix_sql(fix.clone, sql);
	fix_sql(fix.master, rows);
	fix_digest(a, fix.master);
	fix_digest(b, fix.clone);
	assert_string_equal(a, b);
}

static void digest__every_kind_of_change__moves_it(void **state)
{
	static const char *const changes[] = { "UPDATE keys SET alias=alias||' ' WHERE rowid=17",
		"UPDATE keys SET material=NULL WHERE rowid=3", "INSERT INTO plain VALUES(1, NULL, 'same')",
		"DELETE FROM plain WHERE rowid=2", "UPDATE pairs SET n=n+1000 WHERE n=5",
		"UPDATE keys SET weight=weight+0.0001 WHERE rowid=9", "UPDATE plain SET b=x'73616d65' WHERE rowid=4",
		"UPDATE sqlite_sequence SET seq=seq+1", "INSERT INTO plain SELECT 1, 'l', zeroblob(70000)" };
	char before[SOURCE_DIGEST_LEN + 1], after[SOURCE_DIGEST_LEN + 1];
	size_t i;

	(void)state;
	fix_make_database(fix.master, &usual, 50, 1);
	fix_digest(before, fix.master);
	for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		fix_sql(fix.master, changes[i]);
		fix_digest(after, fix.master);
		if (strcmp(before, after) == 0)
			fail_msg("not seen: %s", changes[i]);
		memcpy(before, after, sizeof(before));
	}
	fix_sql(fix.master, "ANALYZE; VACUUM; REINDEX");
	fix_digest(after, fix.master);
	assert_string_equal(before, after);
}

static void digest__counts__rows_and_sequences(void **state)
{
	struct source_digest d;
	struct source *s;
	char schema[SOURCE_DIGEST_LEN + 1];

	(void)state;
	fix_make_database(fix.master, &usual, 120, 1);
	s = fix_open(fix.master, false);
	ok(source_digest(&d, s));
	assert_int_equal(d.n_tables, 5);
	assert_string_equal(d.tables[0].name, "keys");
	assert_int_equal(d.tables[0].rows, 120);
	assert_int_equal(d.rows, 120 * 3 + 121 + 50);
	assert_int_equal(d.n_sequences, 1);
	assert_string_equal(d.sequences[0].table, "log");
	assert_int_equal(d.sequences[0].value, 120);
	ok(source_schema(schema, s));
	assert_string_equal(schema, d.schema);
	fix_sql(fix.master, "CREATE INDEX more ON log(text)");
	ok(source_schema(schema, s));
	assert_string_not_equal(schema, d.schema);
	source_digest_fini(&d);
	source_close(s);
}

static void digest__full_text_table__its_storage_counts(void **state)
{
	char before[SOURCE_DIGEST_LEN + 1], after[SOURCE_DIGEST_LEN + 1];

	(void)state;
	fix_sql(fix.master, "CREATE VIRTUAL TABLE f USING fts5(t); INSERT INTO f VALUES('one two'), ('three')");
	fix_digest(before, fix.master);
	fix_sql(fix.master, "INSERT INTO f VALUES('four')");
	fix_digest(after, fix.master);
	assert_string_not_equal(before, after);
}

static void version__moves_with_others_commits_only(void **state)
{
	static const char *const journals[] = { "wal", "delete" };
	uint64_t a, b;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct fix_kind kind = { journals[i], 4096, "UTF-8", 0 };
		struct source_digest d;
		struct source *s;
		char known[SOURCE_DIGEST_LEN + 1];

		unlink(fix.master);
		fix_make_database(fix.master, &kind, 10, 1);
		s = fix_open(fix.master, false);
		ok(source_version(&a, s));
		ok(source_digest(&d, s));
		ok(source_version(&b, s));
		assert_int_equal(a, b);
		ok(source_known(known, s));
		assert_string_equal(known, d.content);
		fix_sql(fix.master, "UPDATE keys SET alias='x' WHERE rowid=1");
		ok(source_version(&b, s));
		assert_int_not_equal(a, b);
		ok(source_known(known, s));
		assert_string_equal(known, "");
		source_digest_fini(&d);
		source_close(s);
	}
}

static void refresh__file_replaced__follows_the_new_one(void **state)
{
	char a[SOURCE_DIGEST_LEN + 1], *other = file_join(fix.dir, "other.db");
	struct source_digest d;
	struct source *s;
	uint64_t v, w;

	(void)state;
	fix_make_database(fix.master, &usual, 10, 1);
	fix_make_database(other, &usual, 20, 2);
	fix_digest(a, other);
	s = fix_open(fix.master, false);
	ok(source_version(&v, s));
	ok(file_rename(other, fix.clone));
	ok(rename(fix.clone, fix.master) == 0 ? KC_OK : KC_EFAIL);
	ok(source_version(&w, s));
	assert_int_not_equal(v, w);
	ok(source_digest(&d, s));
	assert_string_equal(a, d.content);
	source_digest_fini(&d);
	source_close(s);
	free(other);
}

static void open__not_a_database__is_damaged(void **state)
{
	struct source_options o = { .busy_ms = 100 };
	struct source *s = NULL;

	(void)state;
	ok(file_replace(fix.master,
	    "this is not a database, is it, and it is long enough to be looked at as one, with "
	    "a header of a hundred bytes and more behind it.................................",
	    160, 0600));
	fails(KC_EDAMAGED, source_open(&s, fix.master, &o));
	fails(KC_ENOENT, source_open(&s, fix.clone, &o));
	fails(KC_EDAMAGED, source_open(&s, fix.dir, &o));
}

static void open__missing_with_create__is_empty(void **state)
{
	struct source *s = fix_open(fix.clone, true);
	struct source_digest d;
	struct stat st;

	(void)state;
	ok(source_digest(&d, s));
	assert_int_equal(strspn(d.content, "0"), SOURCE_DIGEST_LEN);
	assert_int_equal(stat(fix.clone, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	source_digest_fini(&d);
	source_close(s);
}

/* As another user (nobody): what may it open? Returns the code. */
static int check_as_nobody(const char *path, gid_t group)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(group) < 0 || setuid(65534) < 0)
			_exit(99);
		_exit(-source_check_access(path));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void access__rule__owner_or_common_group(void **state)
{
	char *dir = file_dirname(fix.master);

	(void)state;
	if (geteuid() != 0) {
		free(dir);
		skip();
	}
	fix_make_database(fix.master, &usual, 5, 1);
	ok(source_check_access(fix.master)); /* root */
	assert_int_equal(chmod(fix.dir, 0755) | chmod(dir, 0755) | chmod(fix.master, 0644), 0);
	assert_int_equal(check_as_nobody(fix.master, 65534), KC_EPERM);
	assert_int_equal(chown(fix.master, 65534, 65534), 0);
	assert_int_equal(check_as_nobody(fix.master, 65534), KC_OK);
	/* 0660 of a common group, in a set-gid folder of it. */
	assert_int_equal(chown(fix.master, 0, 12345) | chmod(fix.master, 0660) | chown(dir, 0, 12345), 0);
	assert_int_equal(chmod(dir, 0770), 0);
	assert_int_equal(check_as_nobody(fix.master, 12345), KC_EPERM);
	assert_int_equal(chmod(dir, 02770), 0);
	assert_int_equal(check_as_nobody(fix.master, 12345), KC_OK);
	assert_int_equal(chmod(fix.master, 0640), 0);
	assert_int_equal(check_as_nobody(fix.master, 12345), KC_EPERM);
	free(dir);
}

static void access__refused__names_both_and_remedies(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	fix_make_database(fix.master, &usual, 5, 1);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(source_check_access("/etc/passwd"), KC_EPERM);
	assert_int_equal(seteuid(0), 0);
	assert_non_null(strstr(err_text(KC_EPERM), "belongs to user root"));
	assert_non_null(strstr(err_text(KC_EPERM), "run as user root"));
	assert_non_null(strstr(err_text(KC_EPERM), "set-gid"));
}

static void snapshot__live_writer__is_consistent_and_plain(void **state)
{
	static const char *const journals[] = { "wal", "delete", "truncate", "persist" };
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct fix_kind kind = { journals[i], 1024, "UTF-8", 0 };
		struct snapshot snap = SNAPSHOT_EMPTY;
		struct source_digest d, live;
		struct source *s;
		sqlite3 *writer;
		char *path;

		unlink(fix.master);
		fix_make_database(fix.master, &kind, 200, 1);
		s = fix_open(fix.master, false);
		assert_int_equal(sqlite3_open(fix.master, &writer), SQLITE_OK);
		assert_int_equal(
		    sqlite3_exec(writer, "BEGIN IMMEDIATE; UPDATE keys SET mark=2", NULL, NULL, NULL), SQLITE_OK);
		ok(snapshot_take(&snap, s)); /* an open transaction is not seen and does not block */
		assert_int_equal(sqlite3_exec(writer, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(writer);
		ok(snapshot_digest(&d, &snap, NULL, NULL));
		ok(snapshot_check(&snap));
		ok(source_digest(&live, s));
		assert_string_equal(d.content, live.content);
		assert_string_equal(d.schema, live.schema);
		/* TRUNCATE and PERSIST are of a connection, not of the file. */
		assert_string_equal(snap.info.journal_mode, i == 0 ? "wal" : "delete");
		path = mem_xstrdup(snap.staging.dir);
		source_digest_fini(&d);
		source_digest_fini(&live);
		snapshot_remove(&snap);
		assert_false(file_exists(path));
		free(path);
		source_close(s);
	}
}

static void snapshot__exclusive_lock__is_busy_with_the_time(void **state)
{
	struct fix_kind kind = { "delete", 4096, "UTF-8", 0 };
	struct source_options o = { .busy_ms = 150 };
	struct snapshot snap = SNAPSHOT_EMPTY;
	struct source *s;
	sqlite3 *writer;

	(void)state;
	fix_make_database(fix.master, &kind, 20, 1);
	ok(source_open(&s, fix.master, &o));
	assert_int_equal(sqlite3_open(fix.master, &writer), SQLITE_OK);
	assert_int_equal(sqlite3_exec(writer, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	fails(KC_EBUSY, snapshot_take(&snap, s));
	assert_int_equal(sqlite3_exec(writer, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	ok(snapshot_take(&snap, s));
	snapshot_remove(&snap);
	sqlite3_close(writer);
	source_close(s);
}

static void snapshot__damaged_page__fails_the_check(void **state)
{
	struct snapshot snap = SNAPSHOT_EMPTY;
	struct fix_kind kind = { "delete", 1024, "UTF-8", 0 };
	struct source *s;
	FILE *f;

	(void)state;
	fix_make_database(fix.master, &kind, 500, 1);
	f = fopen(fix.master, "r+");
	assert_non_null(f);
	fseek(f, 20 * 1024, SEEK_SET);
	fwrite("garbage garbage garbage garbage", 1, 31, f);
	fclose(f);
	s = fix_open(fix.master, false);
	ok(snapshot_take(&snap, s));
	fails(KC_EDAMAGED, snapshot_check(&snap));
	snapshot_remove(&snap);
	source_close(s);
}

static int any(void *arg, int n1, const void *p1, int n2, const void *p2)
{
	int c = memcmp(p2, p1, (size_t)(n1 < n2 ? n1 : n2));

	(void)arg;
	return c != 0 ? c : n2 - n1;
}

static void digest__collation_of_the_application__does_not_matter(void **state)
{
	struct snapshot snap = SNAPSHOT_EMPTY;
	struct source_digest live, copy;
	struct source *s;
	sqlite3 *db;

	(void)state;
	assert_int_equal(sqlite3_open(fix.master, &db), SQLITE_OK);
	assert_int_equal(sqlite3_create_collation(db, "backwards", SQLITE_UTF8, NULL, any), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db,
		"CREATE TABLE w(k TEXT COLLATE backwards PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w "
		"VALUES('a', 1), ('b', 2), ('c', 3); CREATE TABLE t(a TEXT COLLATE backwards UNIQUE); INSERT INTO t "
		"VALUES('x'), ('y')",
		NULL, NULL, NULL),
	    SQLITE_OK);
	s = fix_open(fix.master, false);
	ok(source_digest(&live, s));
	ok(snapshot_take(&snap, s));
	ok(snapshot_check(&snap));
	ok(snapshot_digest(&copy, &snap, NULL, NULL));
	assert_string_equal(live.content, copy.content);
	assert_int_equal(live.rows, 5);
	source_digest_fini(&live);
	source_digest_fini(&copy);
	snapshot_remove(&snap);
	source_close(s);
	sqlite3_close(db);
}

static void path__characters_of_a_uri__are_only_characters(void **state)
{
	char *dir = file_join(fix.dir, "a?b#c%20&d=é 'q'"), *path = file_join(dir, "k?mode=x.db");
	struct create_result r;
	char digest[SOURCE_DIGEST_LEN + 1];

	(void)state;
	ok(file_make_dirs(dir));
	fix_make_database(path, &usual, 20, 1);
	fix_digest(digest, path);
	fix_backup(&fix, &r, path, 1);
	assert_string_equal(r.content, digest);
	create_result_fini(&r);
	free(path);
	free(dir);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(digest__any_layout__depends_on_rows_alone),
		T(digest__other_encoding__same_for_same_rows),
		T(digest__every_kind_of_change__moves_it),
		T(digest__counts__rows_and_sequences),
		T(digest__full_text_table__its_storage_counts),
		T(version__moves_with_others_commits_only),
		T(refresh__file_replaced__follows_the_new_one),
		T(open__not_a_database__is_damaged),
		T(open__missing_with_create__is_empty),
		T(access__rule__owner_or_common_group),
		T(access__refused__names_both_and_remedies),
		T(snapshot__live_writer__is_consistent_and_plain),
		T(snapshot__exclusive_lock__is_busy_with_the_time),
		T(snapshot__damaged_page__fails_the_check),
		T(digest__collation_of_the_application__does_not_matter),
		T(path__characters_of_a_uri__are_only_characters),
	};

	return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
