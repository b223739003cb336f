/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of restore: readers, locks, divergence. */
#include "backup_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static struct fixture fix;
static const struct fix_kind usual = { "wal", 4096, "UTF-8", 0 };
static const struct fix_kind rollback = { "delete", 4096, "UTF-8", 0 };

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

/* A second process's connection, open all the time. */
static sqlite3 *attached(const char *path)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	return db;
}

static void restore__reader_attached__sees_old_then_new(void **state)
{
	static const struct {
		struct fix_kind master, clone;
	} cases[] = {
		{ { "wal", 4096, "UTF-8", 0 }, { "wal", 4096, "UTF-8", 0 } },
		{ { "delete", 4096, "UTF-8", 0 }, { "delete", 4096, "UTF-8", 0 } },
		{ { "wal", 4096, "UTF-8", 0 }, { "delete", 4096, "UTF-8", 0 } },
		{ { "delete", 4096, "UTF-8", 0 }, { "wal", 4096, "UTF-8", 0 } },
		{ { "wal", 1024, "UTF-8", 0 }, { "wal", 4096, "UTF-8", 0 } }, /* the image is rewritten */
		{ { "wal", 65536, "UTF-8", 1 }, { "wal", 512, "UTF-8", 0 } },
		{ { "delete", 1024, "UTF-8", 2 }, { "delete", 8192, "UTF-8", 0 } },
		{ { "wal", 8192, "UTF-8", 0 }, { "delete", 1024, "UTF-8", 1 } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct create_result r;
		struct source *live;
		char old[SOURCE_DIGEST_LEN + 1], now[SOURCE_DIGEST_LEN + 1];
		sqlite3 *reader;

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		fix_make_database(fix.master, &cases[i].master, 400, 2);
		fix_make_database(fix.clone, &cases[i].clone, 100, 1);
		fix_digest(old, fix.clone);
		fix_backup(&fix, &r, fix.master, i + 1);
		reader = attached(fix.clone);
		assert_int_equal(fix_mark(reader), 1);
		live = fix_open(fix.clone, true);
		fix_restore(&fix, &r, live, old);
		assert_int_equal(fix_mark(reader), 2);
		/* It can write, and the database stays sound. */
		assert_int_equal(
		    sqlite3_exec(reader, "UPDATE keys SET mark=2, alias=alias||'x'; INSERT INTO plain VALUES(2,1,2)",
			NULL, NULL, NULL),
		    SQLITE_OK);
		assert_int_equal(fix_mark(reader), 2);
		sqlite3_close(reader);
		source_close(live);
		assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
		fix_digest(now, fix.clone);
		assert_string_not_equal(now, r.content);
		create_result_fini(&r);
	}
}

static volatile sig_atomic_t stop;
static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

/* A process that polls; exit status 0 if it never saw an error or a mixture, and saw the new rows. */
static pid_t start_poller(const char *path, int last)
{
	pid_t pid = fork();
	sqlite3 *db;
	int mark = 0, bad = 0;

	if (pid != 0)
		return pid;
	signal(SIGTERM, on_term);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		_exit(2);
	sqlite3_busy_timeout(db, 10000);
	while (!stop && !bad) {
		int m = fix_mark(db);

		bad = m < mark;
		mark = m > mark ? m : mark;
	}
	if (!bad)
		mark = fix_mark(db);
	sqlite3_close(db);
	_exit(bad ? 3 : mark == last ? 0 : 4);
}

static void restore__readers_poll__never_an_error_or_a_mixture(void **state)
{
	static const char *const journals[] = { "wal", "delete" };
	int i, g, k, status;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct fix_kind kind = { journals[i], 1024, "UTF-8", 0 };
		char applied[SOURCE_DIGEST_LEN + 1];
		struct source *live;
		pid_t readers[3];

		fix_remove_database(fix.clone);
		fix_make_database(fix.clone, &kind, 2000, 0);
		fix_digest(applied, fix.clone);
		for (k = 0; k < 3; k++)
			readers[k] = start_poller(fix.clone, 4);
		live = fix_open(fix.clone, true);
		for (g = 1; g <= 4; g++) {
			struct create_result r;

			fix_remove_database(fix.master);
			fix_make_database(fix.master, &kind, 1000 + 500 * g, g);
			fix_backup(&fix, &r, fix.master, (uint64_t)(i * 10 + g));
			fix_restore(&fix, &r, live, applied);
			memcpy(applied, r.content, sizeof(applied));
			create_result_fini(&r);
		}
		source_close(live);
		for (k = 0; k < 3; k++) {
			kill(readers[k], SIGTERM);
			assert_int_equal(waitpid(readers[k], &status, 0), readers[k]);
			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 0);
		}
	}
}

static void restore__same_digest__is_not_written(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	char *travel;
	uint64_t v, w;

	(void)state;
	fix_make_database(fix.master, &usual, 50, 1);
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore(&fix, &r, live, NULL);
	ok(source_version(&v, live));
	fix_restore_options(&fix, &o, &travel, &r, live, r.content);
	ok(backup_restore(&result, &o));
	assert_true(result.same);
	ok(source_version(&w, live));
	assert_int_equal(v, w);
	restore_result_fini(&result);
	/* Even where what was applied is not known any more. */
	o.applied = "0000000000000000000000000000000000000000000000000000000000000000";
	ok(backup_restore(&result, &o));
	assert_true(result.same);
	restore_result_fini(&result);
	free(travel);
	source_close(live);
	create_result_fini(&r);
}

static void restore__locked_by_writer__is_busy_and_untouched(void **state)
{
	static const struct fix_kind *const kinds[] = { &usual, &rollback };
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct restore_options o;
		struct restore_result result;
		struct create_result r;
		struct source *live;
		sqlite3 *writer;
		char *travel, old[SOURCE_DIGEST_LEN + 1], now[SOURCE_DIGEST_LEN + 1];

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		fix_make_database(fix.master, kinds[i], 50, 2);
		fix_make_database(fix.clone, kinds[i], 20, 1);
		fix_digest(old, fix.clone);
		fix_backup(&fix, &r, fix.master, (uint64_t)i + 1);
		live = fix_open(fix.clone, true);
		writer = attached(fix.clone);
		assert_int_equal(
		    sqlite3_exec(writer, "BEGIN IMMEDIATE; UPDATE keys SET mark=9", NULL, NULL, NULL), SQLITE_OK);
		fix_restore_options(&fix, &o, &travel, &r, live, old);
		o.lock_ms = 200;
		fails(KC_EBUSY, backup_restore(&result, &o));
		assert_non_null(strstr(err_text(KC_EBUSY), "200 ms"));
		assert_int_equal(sqlite3_exec(writer, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
		restore_result_fini(&result);
		fix_digest(now, fix.clone);
		assert_string_equal(old, now);
		ok(backup_restore(&result, &o));
		restore_result_fini(&result);
		assert_int_equal(fix_mark(writer), 2);
		sqlite3_close(writer);
		free(travel);
		source_close(live);
		create_result_fini(&r);
	}
}

/* Somebody writes between the look at the database and the lock. */
struct intruder {
	int calls;
	const char *sql;
	char old[SOURCE_DIGEST_LEN + 1];
};

static int on_intent(void *arg, const struct restore_intent *i)
{
	struct intruder *in = arg;

	memcpy(in->old, i->old_content, sizeof(in->old));
	if (in->calls++ == 0 && in->sql != NULL)
		fix_sql(fix.clone, in->sql);
	return KC_OK;
}

static void restore__write_before_the_lock__is_found(void **state)
{
	static const struct fix_kind *const kinds[] = { &usual, &rollback };
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct intruder in = { .sql = "INSERT INTO keys VALUES('late', 'a', 1, 0, x'00')" };
		struct restore_options o;
		struct restore_result result;
		struct create_result r;
		struct source *live;
		char *travel, old[SOURCE_DIGEST_LEN + 1];

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		fix_make_database(fix.master, kinds[i], 50, 2);
		fix_make_database(fix.clone, kinds[i], 20, 1);
		fix_digest(old, fix.clone);
		fix_backup(&fix, &r, fix.master, (uint64_t)i + 1);
		live = fix_open(fix.clone, true);
		fix_restore_options(&fix, &o, &travel, &r, live, old);
		o.intent = on_intent;
		o.arg = &in;
		fails(KC_EDIVERGED, backup_restore(&result, &o));
		restore_result_fini(&result);
		assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM keys WHERE uuid='late'"), "1");
		/* A write that changes nothing: looked at again, and done. */
		in.calls = 0;
		in.sql = "UPDATE keys SET alias=alias WHERE rowid=1";
		fix_sql(fix.clone, "DELETE FROM keys WHERE uuid='late'; DELETE FROM log WHERE text='gone'; UPDATE "
				   "sqlite_sequence SET seq=20");
		ok(backup_restore(&result, &o));
		assert_int_equal(in.calls, 1);
		assert_string_equal(in.old, old);
		restore_result_fini(&result);
		free(travel);
		source_close(live);
		create_result_fini(&r);
	}
}

static void restore__own_commit__is_known_without_a_recount(void **state)
{
	static const struct fix_kind *const kinds[] = { &usual, &rollback };
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		char old[SOURCE_DIGEST_LEN + 1], known[SOURCE_DIGEST_LEN + 1];
		struct create_result r;
		struct source *live;

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		fix_make_database(fix.master, kinds[i], 50, 2);
		fix_make_database(fix.clone, kinds[i], 20, 1);
		fix_digest(old, fix.clone);
		fix_backup(&fix, &r, fix.master, (uint64_t)i + 1);
		live = fix_open(fix.clone, false);
		fix_restore(&fix, &r, live, old);
		ok(source_known(known, live));
		assert_string_equal(known, r.content);
		fix_sql(fix.clone, "UPDATE keys SET alias='x' WHERE rowid=1");
		ok(source_known(known, live));
		assert_string_equal(known, "");
		source_close(live);
		create_result_fini(&r);
	}
}

static void restore__root_for_another_owner__files_stay_the_owners(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char *dir = file_dirname(fix.clone);
	struct create_result r;
	struct source *live;
	sqlite3 *reader;
	struct stat st;
	size_t i;

	(void)state;
	if (geteuid() != 0) {
		free(dir);
		skip();
	}
	fix_make_database(fix.master, &usual, 50, 2);
	fix_backup(&fix, &r, fix.master, 1);
	assert_int_equal(chown(dir, 65534, 65534), 0);
	live = fix_open(fix.clone, true);
	fix_restore(&fix, &r, live, NULL);
	reader = attached(fix.clone);
	assert_int_equal(fix_mark(reader), 2);
	for (i = 0; i < 3; i++) {
		char *path = mem_xasprintf("%s%s", fix.clone, ends[i]);

		assert_int_equal(stat(path, &st), 0);
		if (st.st_uid != 65534)
			fail_msg("%s belongs to %u", path, (unsigned)st.st_uid);
		free(path);
	}
	sqlite3_close(reader);
	source_close(live);
	create_result_fini(&r);
	free(dir);
}

static int give_up(void *arg, enum restore_phase phase, unsigned percent)
{
	int *calls = arg;

	(void)percent;
	return phase == RESTORE_LOCK && ++*calls > 3 ? KC_ECANCELED : KC_OK;
}

static void restore__waiting_for_the_lock__can_be_canceled(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	sqlite3 *writer;
	char *travel, old[SOURCE_DIGEST_LEN + 1];
	int calls = 0;

	(void)state;
	fix_make_database(fix.master, &usual, 50, 2);
	fix_make_database(fix.clone, &usual, 20, 1);
	fix_digest(old, fix.clone);
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	writer = attached(fix.clone);
	assert_int_equal(sqlite3_exec(writer, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	fix_restore_options(&fix, &o, &travel, &r, live, old);
	o.progress = give_up;
	o.arg = &calls;
	fails(KC_ECANCELED, backup_restore(&result, &o));
	restore_result_fini(&result);
	assert_int_equal(sqlite3_exec(writer, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(writer);
	source_close(live);
	free(travel);
	create_result_fini(&r);
}

/* Whether it could leave the mode for the restore or not. */
static void restore__empty_wal__is_wal_again(void **state)
{
	(void)state;
	for (int with_user = 0; with_user < 2; with_user++) {
		struct create_result r;
		struct source *live;
		sqlite3 *user = NULL;
		char now[SOURCE_DIGEST_LEN + 1];

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		fix_make_database(fix.master, &usual, 500, 2);
		assert_int_equal(sqlite3_open(fix.clone, &user), SQLITE_OK);
		assert_int_equal(
		    sqlite3_exec(user, "PRAGMA journal_mode=WAL; CREATE TABLE keys(id)", NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(user);
		user = with_user ? attached(fix.clone) : NULL;
		if (with_user)
			assert_int_equal(sqlite3_exec(user, "SELECT * FROM keys", NULL, NULL, NULL), SQLITE_OK);
		fix_backup(&fix, &r, fix.master, (uint64_t)with_user + 1);
		live = fix_open(fix.clone, true);
		fix_restore(&fix, &r, live, NULL);
		if (with_user)
			assert_int_equal(fix_mark(user), 2);
		assert_string_equal(fix_query(fix.clone, "PRAGMA journal_mode"), "wal");
		assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
		fix_digest(now, fix.clone);
		assert_string_equal(now, r.content);
		sqlite3_close(user);
		source_close(live);
		create_result_fini(&r);
	}
}

static void restore__other_encoding_in_use__waits_for_its_user(void **state)
{
	static const struct fix_kind wide = { "wal", 4096, "UTF-16le", 0 };
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	sqlite3 *user;
	char *travel, old[SOURCE_DIGEST_LEN + 1];

	(void)state;
	fix_make_database(fix.master, &usual, 50, 2);
	fix_make_database(fix.clone, &wide, 20, 1);
	fix_digest(old, fix.clone);
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	user = attached(fix.clone);
	assert_int_equal(fix_mark(user), 1);
	fix_restore_options(&fix, &o, &travel, &r, live, old);
	fails(KC_EBUSY, backup_restore(&result, &o));
	assert_non_null(strstr(err_text(KC_EBUSY), "UTF-16le"));
	restore_result_fini(&result);
	assert_int_equal(fix_mark(user), 1);
	sqlite3_close(user);
	ok(backup_restore(&result, &o));
	restore_result_fini(&result);
	assert_string_equal(fix_query(fix.clone, "PRAGMA encoding"), "UTF-8");
	assert_string_equal(fix_query(fix.clone, "PRAGMA journal_mode"), "wal");
	source_close(live);
	free(travel);
	create_result_fini(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(restore__reader_attached__sees_old_then_new),
		T(restore__readers_poll__never_an_error_or_a_mixture),
		T(restore__same_digest__is_not_written),
		T(restore__locked_by_writer__is_busy_and_untouched),
		T(restore__write_before_the_lock__is_found),
		T(restore__own_commit__is_known_without_a_recount),
		T(restore__waiting_for_the_lock__can_be_canceled),
		T(restore__empty_wal__is_wal_again),
		T(restore__other_encoding_in_use__waits_for_its_user),
		T(restore__root_for_another_owner__files_stay_the_owners),
	};

	return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
