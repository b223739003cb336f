/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults under increments: the n-th call of a system call fails, for n = 1, 2, 3… until it is not reached any more, in
 * our own code (--wrap) and in SQLite's (its table of system calls); and a restore is killed in each of its phases.
 * Whatever happens: a backup folder has a whole increment or none of it, what the next one is made from is right or not
 * believed, and a clone's database is the old one or the new one.
 */
#include "../unit/increment_fixture.h"
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/restore_files.h"
#include "backup/staging.h"
#include "backup/verify.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "keydb/changelog.h"

static struct fixture fix;
static struct fix_master master;
static struct fix_clone clone;
static const struct changelog log_of_keys = { CHANGELOG_OF, CHANGELOG_KEY, changelog_schema, CHANGELOG_OBJECTS };
static const struct {
	const char *name;
	int error;
} calls[] = { { "write", ENOSPC }, { "pwrite", ENOSPC }, { "read", EIO }, { "pread", EIO }, { "fsync", EIO },
	{ "rename", EIO }, { "open", EMFILE }, { "sqlite pwrite", ENOSPC }, { "sqlite pread", EIO },
	{ "sqlite ftruncate", EIO }, { "sqlite open", EACCES }, { "sqlite unlink", EIO } };
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

/* Every call while few, then ever larger steps. With sanitizers each takes twenty times as long. */
#ifdef __SANITIZE_ADDRESS__
#define EACH 3
#else
#define EACH 6
#endif

static int next(int n)
{
	return n < EACH ? n + 1 : 2 * n;
}

/* ---- making ---- */

static void make_database(void)
{
	fix_sql(fix.master,
	    "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE keys(uuid TEXT PRIMARY KEY, mark INTEGER, "
	    "material BLOB); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200) INSERT INTO "
	    "keys "
	    "SELECT printf('%036d', i), 1, randomblob(60) FROM n");
}

static int setup(void **state)
{
	(void)state;
	fix_init(&fix);
	make_database();
	fix_master_init(&master, &fix);
	fix_clone_init(&clone, &fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_master_fini(&master);
	fix_clone_fini(&clone);
	fix_fini(&fix);
	return 0;
}

static void change(void)
{
	fix_sql(fix.master,
	    "UPDATE keys SET mark=mark+1 WHERE rowid % 40 = abs(random()) % 40; DELETE FROM keys WHERE rowid=(SELECT "
	    "max(rowid) FROM keys); INSERT INTO keys VALUES(lower(hex(randomblob(18))), 2, randomblob(50))");
}

static void assert_same(void)
{
	char live[SOURCE_DIGEST_LEN + 1], there[SOURCE_DIGEST_LEN + 1];

	fix_digest(live, fix.master);
	fix_digest(there, fix.clone);
	assert_string_equal(live, there);
	assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
}

/* All that the folder has is whole. */
static size_t verify_all(void)
{
	struct image_options io = { .password = FIX_PASSWORD, .pins = &fix.pins, .staging = fix.dir };
	struct verify_result v;
	struct store_entry *e;
	size_t n, i;

	ok(store_list(&e, &n, fix.backups));
	for (i = n > 1 ? n - 1 : 0; i < n; i++) {
		io.file = e[i].path;
		ok(backup_verify(&v, &io));
		verify_result_fini(&v);
	}
	store_list_free(e, n);
	return n;
}

static size_t parts(void)
{
	char *command = mem_xasprintf("ls %s | grep -c part", fix.backups), text[16] = "";
	FILE *f = popen(command, "r");

	assert_non_null(fgets(text, sizeof(text), f));
	pclose(f);
	free(command);
	return (size_t)atoi(text);
}

/* The next one, whatever the last one left: it and all before lead to what the master has. */
static void go_on(struct create_result *missed)
{
	struct create_result r;

	if (missed != NULL)
		fix_clone_apply(&clone, &master, missed);
	change();
	ok(fix_master_make(&master, &r, false));
	assert_false(r.unchanged || r.held);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
}

/* One try with the n-th call failing; then the next one, in the same life or in another. */
static void try_making(const char *call, int n, bool restart)
{
	size_t before = verify_all();
	struct create_result r = { 0 };
	int rc;

	change();
	fault_arm(call, n);
	rc = fix_master_make(&master, &r, false);
	fault_disarm();
	assert_int_equal(parts(), 0);
	if (verify_all() != before + (rc == KC_OK))
		fail_msg("%s %d: %s: not as many backups as there should be", call, n, err_name(rc));
	if (restart)
		(void)fix_master_restart(&master);
	go_on(rc == KC_OK ? &r : NULL);
	create_result_fini(&r);
}

static void making(const struct changelog *log)
{
	struct create_result r;

	for (size_t i = 0; i < N_CALLS; i++)
		for (int n = 0;; n = next(n)) {
			if (n % 16 == 0) {
				teardown(NULL);
				setup(NULL);
				if (log != NULL)
					ok(changelog_ensure(master.s, log));
				master.log = log;
				change();
				fix_master_full(&master, &r);
				fix_clone_apply(&clone, &master, &r);
				create_result_fini(&r);
			}
			fault_error = calls[i].error;
			try_making(calls[i].name, n, n % 2 == 1);
			if (!fault_fired)
				break;
		}
}

static void create__snapshot_and_nth_call_fails__next_is_right(void **state)
{
	(void)state;
	making(NULL);
}

static void create__log_and_nth_call_fails__next_is_right(void **state)
{
	(void)state;
	making(&log_of_keys);
}

/* The worker is killed while it makes one: what is left is no base that anybody believes, and no file. */
static enum create_phase die_in;
static unsigned die_after;

static int die(void *arg, const struct create_progress *p)
{
	(void)arg;
	if (p->phase == die_in && die_after-- == 0)
		_exit(7);
	return KC_OK;
}

static void kill_making(const struct changelog *log, enum create_phase phase, unsigned after)
{
	struct create_result r;
	pid_t pid;
	int status;

	change();
	master.log = log;
	pid = fork();
	if (pid == 0) {
		source_close(master.s);
		master.s = fix_open(fix.master, false);
		die_in = phase;
		die_after = after;
		master.progress = die;
		(void)fix_master_make(&master, &r, false);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	ok(store_clean(fix.backups, NULL, NULL));
	ok(staging_clean(fix.master));
	/* In its next life the master knows what it knew. */
	master.reserved++;
	(void)fix_master_restart(&master);
	master.log = log;
	go_on(NULL);
}

static void create__killed__next_is_right(void **state)
{
	static const enum create_phase phases[] = { CREATE_SNAPSHOT, CREATE_DIGEST, CREATE_WRITE, CREATE_FINISH };
	const struct changelog *logs[] = { NULL, &log_of_keys };
	struct create_result r;

	(void)state;
	for (size_t l = 0; l < 2; l++)
		for (size_t p = 0; p < 4; p++)
			for (unsigned after = 0; after < 3; after++) {
				teardown(NULL);
				setup(NULL);
				if (l == 1)
					ok(changelog_ensure(master.s, &log_of_keys));
				change();
				fix_master_full(&master, &r);
				fix_clone_apply(&clone, &master, &r);
				create_result_fini(&r);
				kill_making(logs[l], phases[p], after);
			}
}

/* ---- restoring ---- */

/* A full that the clone has, and an increment of rows, of companions and of the master key file. */
static struct companion_path from = { "List", NULL }, to = { "List", NULL };
static char *master_key, *clone_key;

static void put(const char *path, const char *text)
{
	ok(file_replace(path, text, strlen(text), 0600));
}

static void prepare(struct create_result *full, struct create_result *increment)
{
	from.path = file_join(fix.dir, "m/list");
	to.path = file_join(fix.dir, "c/list");
	master_key = file_join(fix.dir, "m/keydb.key");
	clone_key = file_join(fix.dir, "c/keydb.key");
	master.companions = (struct companion_paths){ .of = &from, .n = 1 };
	master.master_key_file = master_key;
	put(from.path, "one");
	put(master_key, "k1");
	fix_master_full(&master, full);
	change();
	put(from.path, "two");
	put(master_key, "k1k2");
	fix_master_increment(&master, increment);
}

static void end_prepare(struct create_result *full, struct create_result *increment)
{
	create_result_fini(full);
	create_result_fini(increment);
	free((char *)(uintptr_t)from.path);
	free((char *)(uintptr_t)to.path);
	free(master_key);
	free(clone_key);
	memset(&clone.companions, 0, sizeof(clone.companions));
}

/* The clone as it is before, with the full applied. */
static void begin_clone(const struct create_result *full)
{
	fix_clone_fini(&clone);
	fix_remove_database(fix.clone);
	unlink(to.path);
	unlink(clone_key);
	fix_clone_init(&clone, &fix);
	clone.companions = (struct companion_paths){ .of = &to, .n = 1 };
	clone.master_key_file = clone_key;
	fix_clone_apply(&clone, &master, full);
}

static void assert_file(const char *path, const char *text)
{
	struct buf b;

	buf_init(&b, 100);
	ok(file_read(&b, path));
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

/* What the next start does where the database is the new one: the rest of the companions. */
static void finish(const struct create_result *increment)
{
	struct restore_files_options fo = {
		.paths = clone.companions, .applied = clone.files, .keydb_path = fix.clone
	};
	struct restore_options o;

	fix_clone_options(&clone, &o, &master, increment);
	o.image.increments = NULL; /* with all that it builds on */
	o.image.staging = fix.dir;
	ok(restore_files_finish(&o.image, &fo));
	STR_COPY(clone.content, increment->content);
	STR_COPY(clone.own, increment->content);
	STR_COPY(clone.files, increment->files);
	clone.generation = increment->generation;
}

/* After a restore that ended with `rc`, or was killed: which is it? What is left to do is done. */
static void judge_and_finish(
    int rc, const struct create_result *full, const struct create_result *increment, const char *what)
{
	enum restore_outcome outcome;
	char now[SOURCE_DIGEST_LEN + 1];

	source_close(clone.live);
	ok(staging_clean(fix.clone));
	clone.live = fix_open(fix.clone, true);
	ok(restore_resolve(&outcome, clone.live, full->content, increment->content, increment->schema));
	fix_digest(now, fix.clone);
	if (outcome == RESTORE_NEITHER || (rc == KC_OK && outcome != RESTORE_APPLIED))
		fail_msg("%s: %s: outcome %d", what, err_name(rc), outcome);
	assert_string_equal(now, outcome == RESTORE_APPLIED ? increment->content : full->content);
	assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
	if (outcome == RESTORE_APPLIED)
		assert_file(clone_key, "k1k2"); /* there before the rows that need it */
	if (outcome == RESTORE_APPLIED && rc < 0)
		finish(increment);
	else if (rc < 0)
		fix_clone_apply(&clone, &master, increment);
	assert_file(to.path, "two");
	assert_file(clone_key, "k1k2");
	assert_same();
}

static void restore__nth_call_fails__old_or_new(void **state)
{
	struct create_result full, increment;
	struct restore_result result;
	struct restore_options o;
	char what[64];

	(void)state;
	prepare(&full, &increment);
	for (size_t i = 0; i < N_CALLS; i++)
		for (int n = 0;; n = next(n)) {
			int rc;

			begin_clone(&full);
			fix_clone_options(&clone, &o, &master, &increment);
			fault_error = calls[i].error;
			fault_arm(calls[i].name, n);
			rc = fix_clone_run(&clone, &result, &o);
			fault_disarm();
			restore_result_fini(&result);
			snprintf(what, sizeof(what), "%s %d", calls[i].name, n);
			judge_and_finish(rc, &full, &increment, what);
			if (!fault_fired)
				break;
		}
	end_prepare(&full, &increment);
}

static enum restore_phase die_at;

static int die_restoring(void *arg, enum restore_phase phase, unsigned percent)
{
	(void)arg;
	(void)percent;
	if (phase == die_at)
		_exit(7);
	return KC_OK;
}

static void restore__killed_in_each_phase__old_or_new(void **state)
{
	struct create_result full, increment;
	struct restore_result result;
	struct restore_options o;
	unsigned died = 0;
	int status;
	pid_t pid;

	(void)state;
	prepare(&full, &increment);
	for (int phase = RESTORE_OPEN; phase <= RESTORE_DONE; phase++) {
		begin_clone(&full);
		source_close(clone.live);
		clone.live = NULL;
		pid = fork();
		if (pid == 0) {
			clone.live = fix_open(fix.clone, true);
			die_at = (enum restore_phase)phase;
			clone.progress = die_restoring;
			fix_clone_options(&clone, &o, &master, &increment);
			(void)fix_clone_run(&clone, &result, &o);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		died += WEXITSTATUS(status) == 7;
		if (WEXITSTATUS(status) != 7)
			assert_int_equal(phase, RESTORE_WRITE); /* of an increment not told */
		clone.live = fix_open(fix.clone, true);
		if (WEXITSTATUS(status) == 7)
			judge_and_finish(KC_EWORKER, &full, &increment, restore_phase_name((enum restore_phase)phase));
	}
	assert_true(died >= RESTORE_DONE);
	end_prepare(&full, &increment);
}

/* ---- chains by hand ---- */

static void image__nth_call_fails__is_refused_or_right(void **state)
{
	struct image_options io = { .password = FIX_PASSWORD, .pins = &fix.pins, .staging = fix.dir };
	struct create_result full, increment;
	struct image *img;

	(void)state;
	prepare(&full, &increment);
	io.file = increment.path;
	for (size_t i = 0; i < N_CALLS; i++)
		for (int n = 0;; n = next(n)) {
			int rc;

			fault_error = calls[i].error;
			fault_arm(calls[i].name, n);
			rc = image_open(&img, &io);
			fault_disarm();
			if (rc == KC_OK) {
				ok(image_recount(img));
				assert_string_equal(image_manifest(img)->db.content_digest, increment.content);
				image_close(img);
			}
			if (!fault_fired)
				break;
		}
	end_prepare(&full, &increment);
}

static void quiet(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)text;
	(void)arg;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(create__snapshot_and_nth_call_fails__next_is_right),
		T(create__log_and_nth_call_fails__next_is_right),
		T(create__killed__next_is_right),
		T(restore__nth_call_fails__old_or_new),
		T(restore__killed_in_each_phase__old_or_new),
		T(image__nth_call_fails__is_refused_or_right),
	};

	log_set_sink(quiet, NULL);
	faults_hook_sqlite();
	return cmocka_run_group_tests_name("increment faults", tests, NULL, NULL);
}
