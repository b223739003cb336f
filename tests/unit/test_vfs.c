/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite in larger pieces: the same bytes with fewer calls, and nobody sees, or loses, what would not be so without. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// clang-format off
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <sqlite3.h>

#include "backup/vfs_sqlite.h"
#include "base/file.h"
#include "base/mem.h"

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static char *dir, *path;
static unsigned writes, reads;
static int fail_after; /* writes; negative: none fails */
static ssize_t (*real_pwrite)(int fd, const void *data, size_t n, off_t at);
static ssize_t (*real_pread)(int fd, void *data, size_t n, off_t at);

static ssize_t on_pwrite(int fd, const void *data, size_t n, off_t at)
{
	writes++;
	if (fail_after == 0) {
		errno = ENOSPC;
		return -1;
	}
	if (fail_after > 0)
		fail_after--;
	return real_pwrite(fd, data, n, at);
}

static ssize_t on_pread(int fd, void *data, size_t n, off_t at)
{
	reads++;
	return real_pread(fd, data, n, at);
}

static int setup(void **state)
{
	char template[] = "/tmp/kc-vfs-XXXXXX";

	(void)state;
	dir = mem_xstrdup(mkdtemp(template));
	path = file_join(dir, "keys.db");
	fail_after = -1;
	return 0;
}

static int teardown(void **state)
{
	int rc = file_remove_tree(dir);

	(void)state;
	free(dir);
	free(path);
	return rc;
}

static void hook(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	bool wide = vfs->xGetSystemCall(vfs, "pwrite64") != NULL;

	real_pwrite =
	    (ssize_t(*)(int, const void *, size_t, off_t))vfs->xGetSystemCall(vfs, wide ? "pwrite64" : "pwrite");
	real_pread = (ssize_t(*)(int, void *, size_t, off_t))vfs->xGetSystemCall(vfs, wide ? "pread64" : "pread");
	vfs->xSetSystemCall(vfs, wide ? "pwrite64" : "pwrite", (sqlite3_syscall_ptr)on_pwrite);
	vfs->xSetSystemCall(vfs, wide ? "pread64" : "pread", (sqlite3_syscall_ptr)on_pread);
}

static sqlite3 *open_db(const char *vfs, const char *mode)
{
	char *settings = sqlite3_mprintf(
	    "PRAGMA journal_mode=%s; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=50", mode);
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, settings, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_free(settings);
	return db;
}

static void run(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", sql, why);
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t n;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

/* More pages than the cache has: they are written before the commit. */
#define MANY                                                                                                          \
	"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO keys(v) SELECT " \
	"printf('%0500d', i) FROM n"

static void make(sqlite3 *db)
{
	run(db, "CREATE TABLE keys(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO keys(v) VALUES('first')");
}

static unsigned writes_of_many(const char *vfs, const char *mode)
{
	sqlite3 *db = open_db(vfs, mode);
	unsigned before;

	make(db);
	before = writes;
	run(db, MANY);
	run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	before = writes - before;
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	db = open_db(NULL, mode);
	assert_int_equal(number(db, "SELECT count(*) FROM keys"), 3001);
	assert_int_equal(number(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
	sqlite3_close(db);
	unlink(path);
	return before;
}

static void write__many_pages__few_calls(void **state)
{
	(void)state;
	assert_true(writes_of_many(vfs_name(), "WAL") * 10 < writes_of_many(NULL, "WAL"));
	assert_true(writes_of_many(vfs_name(), "DELETE") < writes_of_many(NULL, "DELETE"));
}

static void write__journal_off_and_no_sync__is_there_at_the_end(void **state)
{
	sqlite3 *db = open_db(vfs_name(), "OFF");

	(void)state;
	run(db, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=OFF");
	make(db);
	run(db, MANY);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	db = open_db(NULL, "DELETE");
	assert_int_equal(number(db, "SELECT count(*) FROM keys"), 3001);
	sqlite3_close(db);
}

static void write__others__see_commits_and_nothing_else(void **state)
{
	static const char *const modes[] = { "WAL", "DELETE" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		sqlite3 *db = open_db(vfs_name(), modes[i]), *other;

		make(db);
		other = open_db(NULL, modes[i]);
		run(db, MANY);
		assert_int_equal(number(other, "SELECT count(*) FROM keys"), 3001);
		/* Taken back, after pages were written; then the other writes to the same places. */
		run(db, "BEGIN IMMEDIATE; " MANY "; ROLLBACK");
		run(other, "DELETE FROM keys WHERE id % 2 = 0");
		assert_int_equal(number(db, "SELECT count(*) FROM keys"), 1501);
		run(db, "UPDATE keys SET v = 'mine' WHERE id = 1");
		run(other, "PRAGMA wal_checkpoint(TRUNCATE)");
		run(db, "INSERT INTO keys(v) VALUES('last')");
		assert_int_equal(number(other, "SELECT count(*) FROM keys WHERE v IN ('mine', 'last')"), 2);
		assert_int_equal(
		    number(other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
		assert_int_equal(sqlite3_close(other), SQLITE_OK);
		assert_int_equal(sqlite3_close(db), SQLITE_OK);
		unlink(path);
	}
}

/* Whichever write fails: the commit fails, or all is there; so does the checkpoint; and the connection works on. */
static void write__nth_fails__is_said_and_nothing_is_lost(void **state)
{
	static const char *const modes[] = { "WAL", "DELETE", "TRUNCATE" };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (int n = 0;; n++) {
			sqlite3 *db = open_db(vfs_name(), modes[i]), *other;
			bool committed, fired;
			int64_t rows;

			make(db);
			fail_after = n;
			committed = sqlite3_exec(db, MANY, NULL, NULL, NULL) == SQLITE_OK;
			if (committed)
				(void)sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
			fired = fail_after == 0;
			fail_after = -1;
			rows = committed ? 3001 : 1;
			assert_int_equal(number(db, "SELECT count(*) FROM keys"), rows);
			run(db, "INSERT INTO keys(v) VALUES('after')");
			run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
			other = open_db(NULL, modes[i]);
			assert_int_equal(number(other, "SELECT count(*) FROM keys"), rows + 1);
			assert_int_equal(
			    number(other, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
			    1);
			sqlite3_close(other);
			sqlite3_close(db);
			unlink(path);
			if (!fired)
				break;
		}
}

static void read__immutable__in_a_row_ahead(void **state)
{
	sqlite3 *db = open_db(NULL, "DELETE");
	char *uri = mem_xasprintf("file:%s?immutable=1", path);
	unsigned plain, ahead;
	int64_t sum;

	(void)state;
	make(db);
	run(db, MANY);
	sum = number(db, "SELECT sum(length(v) * id) FROM keys");
	sqlite3_close(db);
	for (int i = 0; i < 2; i++) {
		unsigned before = reads;

		assert_int_equal(
		    sqlite3_open_v2(uri, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, i == 0 ? NULL : vfs_name()),
		    SQLITE_OK);
		run(db, "PRAGMA cache_size=50");
		assert_int_equal(number(db, "SELECT sum(length(v) * id) FROM keys"), sum);
		assert_int_equal(sqlite3_close(db), SQLITE_OK);
		*(i == 0 ? &plain : &ahead) = reads - before;
	}
	assert_true(ahead * 10 < plain);
	free(uri);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(write__many_pages__few_calls),
		T(write__journal_off_and_no_sync__is_there_at_the_end),
		T(write__others__see_commits_and_nothing_else),
		T(write__nth_fails__is_said_and_nothing_is_lost),
		T(read__immutable__in_a_row_ahead),
	};

	hook();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
