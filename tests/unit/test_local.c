/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of local tables: a restore leaves alone what the clone's own application writes. */
#include "backup_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/diverged.h"

static struct fixture fix;
static const char *const local[] = { "uses", "Sessions" };

static const char schema[] = "CREATE TABLE keys(uuid TEXT PRIMARY KEY, v);"
			     "CREATE TABLE uses(id INTEGER PRIMARY KEY AUTOINCREMENT, uuid, at);"
			     "CREATE TABLE sessions(token TEXT, n);";

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

static struct source *open_clone(void)
{
	struct source *s = fix_open(fix.clone, true);

	source_set_local(s, local, 2);
	return s;
}

/* Restores generation `g` of the master; `applied` is what was applied before, and becomes what is. */
static int restore(uint64_t g, struct source *live, char applied[SOURCE_DIGEST_LEN + 1])
{
	struct restore_options o;
	struct restore_result r;
	struct create_result made;
	char *travel = NULL;
	int rc;

	fix_backup(&fix, &made, fix.master, g);
	fix_restore_options(&fix, &o, &travel, &made, live, applied[0] != '\0' ? applied : NULL);
	rc = backup_restore(&r, &o);
	if (rc == KC_OK)
		memcpy(applied, r.own, sizeof(r.own));
	restore_result_fini(&r);
	create_result_fini(&made);
	free(travel);
	return rc;
}

static void local__rows__survive_restores_and_do_not_count(void **state)
{
	char applied[SOURCE_DIGEST_LEN + 1] = "";
	struct diverged_list l;
	struct source *live;
	const char *modes[] = { "wal", "delete" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char sql[100];

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		applied[0] = '\0';
		snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", modes[i]);
		fix_sql(fix.master, sql);
		fix_sql(fix.master, schema);
		fix_sql(fix.master,
		    "INSERT INTO keys VALUES('k1', 1); INSERT INTO uses(uuid, at) VALUES('of the master', 1)");
		live = open_clone();
		ok(restore(1 + 10 * i, live, applied));
		/* The first rows are the master's. */
		assert_string_equal(fix_query(fix.clone, "SELECT group_concat(uuid) FROM uses"), "of the master");
		fix_sql(fix.clone,
		    "DELETE FROM uses; INSERT INTO uses VALUES(40, 'k1', 2); DELETE FROM uses; INSERT INTO "
		    "uses(uuid, at) VALUES('k1', 3); INSERT INTO sessions(rowid, token) VALUES(7, 't')");
		fix_sql(fix.master,
		    "INSERT INTO keys VALUES('k2', 2); DELETE FROM uses; INSERT INTO sessions VALUES('m', 1)");
		ok(restore(2 + 10 * i, live, applied));
		assert_string_equal(fix_query(fix.clone, "SELECT group_concat(uuid) FROM keys"), "k1,k2");
		assert_string_equal(fix_query(fix.clone, "SELECT id || uuid || at FROM uses"), "41k13");
		assert_string_equal(fix_query(fix.clone, "SELECT rowid || token FROM sessions"), "7t");
		assert_string_equal(fix_query(fix.clone, "SELECT seq FROM sqlite_sequence WHERE name='uses'"), "41");
		assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
		/* They are no divergence; a row elsewhere is. */
		diverged_list_init(&l);
		ok(diverged_find(live, fix.master, true, diverged_list_add, &l));
		assert_int_equal(l.live_only + l.other_only, 0);
		fix_sql(fix.clone, "INSERT INTO keys VALUES('own', 1)");
		fix_sql(fix.master, "INSERT INTO keys VALUES('k3', 3)");
		fails(KC_EDIVERGED, restore(3 + 10 * i, live, applied));
		fix_sql(fix.clone, "DELETE FROM keys WHERE uuid='own'; INSERT INTO sessions VALUES('u', 2)");
		ok(restore(4 + 10 * i, live, applied));
		assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM sessions"), "2");
		source_close(live);
	}
}

static volatile sig_atomic_t stop;
static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

/* A process that writes its table all the time; exit status 0 if no row of its was lost. */
static pid_t start_writer(const char *path)
{
	pid_t pid = fork();
	sqlite3 *db;
	sqlite3_stmt *st;
	long n = 0;

	if (pid != 0)
		return pid;
	signal(SIGTERM, on_term);
	if (sqlite3_open(path, &db) != SQLITE_OK)
		_exit(2);
	sqlite3_busy_timeout(db, 10000);
	while (!stop) {
		char *error = NULL;

		if (sqlite3_exec(db, "INSERT INTO uses(uuid, at) VALUES('w', 1)", NULL, NULL, &error) != SQLITE_OK) {
			fprintf(stderr, "writer: %s\n", error);
			_exit(3);
		}
		n++;
		usleep(2000);
	}
	if (sqlite3_prepare_v2(db, "SELECT count(*) FROM uses WHERE uuid='w'", -1, &st, NULL) != SQLITE_OK ||
	    sqlite3_step(st) != SQLITE_ROW)
		_exit(4);
	_exit(sqlite3_column_int64(st, 0) == n && n > 10 ? 0 : 5);
}

static void local__writer_that_goes_on__loses_nothing(void **state)
{
	const char *modes[] = { "wal", "delete" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char applied[SOURCE_DIGEST_LEN + 1] = "", sql[100];
		struct source *live;
		int status;
		pid_t pid;

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		snprintf(sql, sizeof(sql), "PRAGMA journal_mode=%s", modes[i]);
		fix_sql(fix.master, sql);
		fix_sql(fix.master, schema);
		live = open_clone();
		ok(restore(1 + 100 * i, live, applied));
		pid = start_writer(fix.clone);
		for (int g = 2; g < 22; g++) {
			snprintf(sql, sizeof(sql), "INSERT INTO keys VALUES('k%d', %d)", g, g);
			fix_sql(fix.master, sql);
			ok(restore((uint64_t)g + 100 * i, live, applied));
		}
		kill(pid, SIGTERM);
		waitpid(pid, &status, 0);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM keys"), "20");
		assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
		source_close(live);
	}
}

static void local__impossible_tables__are_named(void **state)
{
	static const struct {
		const char *master, *text;
	} cases[] = {
		{ "DROP TABLE uses", "table uses is not in the backup" },
		{ "ALTER TABLE uses ADD COLUMN more", "table uses has other columns" },
		{ "CREATE TABLE x(a REFERENCES uses(id))", "table uses is referred to" },
		{ "DROP TABLE uses; CREATE TABLE uses(id INTEGER PRIMARY KEY AUTOINCREMENT, uuid REFERENCES "
		  "keys(uuid), at)",
		    "table uses refers to" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char applied[SOURCE_DIGEST_LEN + 1] = "";
		struct source *live;

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		fix_sql(fix.master, schema);
		live = open_clone();
		ok(restore(1 + 10 * i, live, applied));
		fix_sql(fix.clone, "INSERT INTO uses(uuid) VALUES('mine')");
		fix_sql(fix.master, cases[i].master);
		fails(KC_ECONF, restore(2 + 10 * i, live, applied));
		if (strstr(err_text(KC_ECONF), cases[i].text) == NULL)
			fail_msg("%s", err_text(KC_ECONF));
		assert_string_equal(fix_query(fix.clone, "SELECT group_concat(uuid) FROM uses"), "mine");
		source_close(live);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(local__rows__survive_restores_and_do_not_count, setup, teardown),
		cmocka_unit_test_setup_teardown(local__writer_that_goes_on__loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(local__impossible_tables__are_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
