/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of create, image, restore: from a master's live database into a clone's. */
#include "backup_fixture.h"

#include <errno.h>
#include <fcntl.h>
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

static void remove_database(const char *path)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
	size_t i;

	for (i = 0; i < 4; i++) {
		char *p = mem_xasprintf("%s%s", path, ends[i]);

		unlink(p);
		free(p);
	}
}

/* The clone is what the master is: rows, integrity, layout. */
static void assert_like_master(const char *what)
{
	static const char *const questions[] = { "PRAGMA page_size", "PRAGMA encoding", "PRAGMA auto_vacuum",
		"PRAGMA user_version", "PRAGMA journal_mode", "SELECT count(*) FROM sqlite_master",
		"SELECT count(*) FROM sqlite_stat1" };
	char a[SOURCE_DIGEST_LEN + 1], b[SOURCE_DIGEST_LEN + 1], master[256];
	size_t i;

	fix_digest(a, fix.master);
	fix_digest(b, fix.clone);
	if (strcmp(a, b) != 0)
		fail_msg("%s: other rows", what);
	assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		snprintf(master, sizeof(master), "%s", fix_query(fix.master, questions[i]));
		if (strcmp(master, fix_query(fix.clone, questions[i])) != 0)
			fail_msg("%s: %s is %s, the master's is %s", what, questions[i],
			    fix_query(fix.clone, questions[i]), master);
	}
}

static void first_contact__missing_file__becomes_the_master(void **state)
{
	static const struct fix_kind kinds[] = { { "wal", 4096, "UTF-8", 0 }, { "delete", 512, "UTF-8", 1 },
		{ "truncate", 65536, "UTF-16le", 2 }, { "persist", 1024, "UTF-16be", 0 }, { "wal", 512, "UTF-16le", 2 },
		{ "wal", 65536, "UTF-8", 1 } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct create_result r;
		struct source *live;

		remove_database(fix.master);
		remove_database(fix.clone);
		fix_make_database(fix.master, &kinds[i], 150, (int)i);
		fix_backup(&fix, &r, fix.master, i + 1);
		live = fix_open(fix.clone, true);
		fix_restore(&fix, &r, live, NULL);
		source_close(live);
		assert_like_master(kinds[i].journal);
		create_result_fini(&r);
	}
}

static void first_contact__empty_of_other_layout__becomes_the_master(void **state)
{
	static const struct fix_kind kinds[] = { { "wal", 4096, "UTF-8", 0 }, { "delete", 512, "UTF-8", 1 },
		{ "wal", 65536, "UTF-16le", 2 }, { "persist", 1024, "UTF-16be", 0 } };
	size_t i, j;

	(void)state;
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++) {
			struct create_result r;
			struct source *live;
			char what[64];

			remove_database(fix.master);
			remove_database(fix.clone);
			fix_make_database(fix.master, &kinds[i], 60, 1);
			fix_make_database(fix.clone, &kinds[j], 1, 1);
			fix_sql(fix.clone, "DELETE FROM keys; DELETE FROM log; DELETE FROM plain; DELETE FROM pairs; "
					   "DELETE FROM made; DELETE FROM sqlite_sequence");
			fix_backup(&fix, &r, fix.master, 1 + i * 4 + j);
			live = fix_open(fix.clone, true);
			fix_restore(&fix, &r, live, NULL);
			source_close(live);
			snprintf(what, sizeof(what), "kind %zu into %zu", i, j);
			assert_like_master(what);
			create_result_fini(&r);
		}
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

		remove_database(fix.master);
		remove_database(fix.clone);
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

		remove_database(fix.clone);
		fix_make_database(fix.clone, &kind, 2000, 0);
		fix_digest(applied, fix.clone);
		for (k = 0; k < 3; k++)
			readers[k] = start_poller(fix.clone, 4);
		live = fix_open(fix.clone, true);
		for (g = 1; g <= 4; g++) {
			struct create_result r;

			remove_database(fix.master);
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

		remove_database(fix.master);
		remove_database(fix.clone);
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

static void first_contact__rows_the_full_has__are_no_divergence(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	char *travel, sql[512];

	(void)state;
	fix_make_database(fix.master, &usual, 50, 1);
	snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", fix.clone);
	fix_sql(fix.master, sql);
	fix_sql(
	    fix.clone, "PRAGMA journal_mode=WAL; DELETE FROM keys WHERE rowid>10; DELETE FROM pairs; DROP TABLE log");
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore(&fix, &r, live, NULL);
	/* A value that would be lost is. */
	fix_sql(fix.clone, "UPDATE keys SET alias='renamed' WHERE rowid=4");
	fix_restore_options(&fix, &o, &travel, &r, live, NULL);
	fails(KC_EDIVERGED, backup_restore(&result, &o));
	assert_int_equal(result.diverged.live_only, 1);
	restore_result_fini(&result);
	free(travel);
	source_close(live);
	create_result_fini(&r);
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

		remove_database(fix.master);
		remove_database(fix.clone);
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

static void master_key_file__is_there_before_the_rows(void **state)
{
	char *from = file_join(fix.dir, "m/keydb.key"), *to = file_join(fix.dir, "c/other.key");
	struct create_options co = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 1,
		.host = "h",
		.product = "p",
		.level = 3,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key,
		.master_key_file = from };
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	struct stat st;
	struct buf b;
	char *travel;

	(void)state;
	fix_make_database(fix.master, &usual, 10, 1);
	ok(file_replace(from, "old and new", 11, 0600));
	co.source = fix_open(fix.master, false);
	ok(backup_create(&r, &co));
	source_close(co.source);
	live = fix_open(fix.clone, true);
	fix_restore_options(&fix, &o, &travel, &r, live, NULL);
	fails(KC_ECONF, backup_restore(&result, &o));
	restore_result_fini(&result);
	o.master_key_file = "/nonexistent/folder/key";
	fails(KC_ENOENT, backup_restore(&result, &o));
	restore_result_fini(&result);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM sqlite_master"), "0");
	o.master_key_file = to;
	ok(backup_restore(&result, &o));
	restore_result_fini(&result);
	buf_init(&b, 100);
	ok(file_read(&b, to));
	assert_string_equal(buf_str(&b), "old and new");
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* One that has grown keeps its newer keys. */
	ok(file_replace(to, "old and new and newer", 21, 0600));
	ok(backup_restore(&result, &o));
	restore_result_fini(&result);
	buf_reset(&b);
	ok(file_read(&b, to));
	assert_string_equal(buf_str(&b), "old and new and newer");
	buf_fini(&b);
	free(travel);
	free(from);
	free(to);
	source_close(live);
	create_result_fini(&r);
}

static void create__unchanged__makes_nothing(void **state)
{
	struct create_options o = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 2,
		.host = "h",
		.product = "p",
		.level = 1,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key };
	struct create_prepared *prepared = NULL;
	struct create_result r, again;
	struct store_entry *e;
	size_t n;

	(void)state;
	fix_make_database(fix.master, &usual, 10, 1);
	fix_backup(&fix, &r, fix.master, 1);
	o.source = fix_open(fix.master, false);
	o.unless_content = r.content;
	o.unless_schema = r.schema;
	ok(backup_prepare(&prepared, FIX_PASSWORD, 15));
	o.prepared = &prepared;
	ok(backup_create(&again, &o));
	assert_true(again.unchanged);
	assert_non_null(prepared);
	assert_string_equal(again.content, r.content);
	create_result_fini(&again);
	fix_sql(fix.master, "CREATE INDEX i ON keys(mark)");
	ok(backup_create(&again, &o));
	assert_false(again.unchanged);
	assert_null(prepared);
	create_result_fini(&again);
	ok(store_list(&e, &n, fix.backups));
	assert_int_equal(n, 2);
	assert_int_equal(e[1].name.generation, 2);
	store_list_free(e, n);
	source_close(o.source);
	create_result_fini(&r);
}

static int seen_phases;
static uint64_t seen_bytes;
static unsigned seen_percent;
static int on_create(void *arg, const struct create_progress *p)
{
	seen_phases |= 1 << p->phase;
	assert_true(p->percent >= seen_percent);
	seen_percent = p->percent;
	if (p->phase == CREATE_WRITE) {
		assert_true(p->bytes >= seen_bytes && p->bytes >= p->header_size);
		assert_true(file_exists(p->path));
		assert_int_equal(strlen(p->file_id), 32);
		seen_bytes = p->bytes;
		if (arg != NULL)
			return KC_ECANCELED;
	}
	return KC_OK;
}

static void create__progress__may_cancel_and_leaves_nothing(void **state)
{
	struct create_options o = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 2,
		.host = "h",
		.product = "p",
		.level = 1,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key,
		.progress = on_create };
	struct create_result r;
	struct stat st;

	(void)state;
	fix_make_database(fix.master, &usual, 5000, 1);
	o.source = fix_open(fix.master, false);
	o.arg = &o;
	fails(KC_ECANCELED, backup_create(&r, &o));
	assert_int_equal(rmdir(fix.backups), 0); /* empty */
	ok(file_make_dirs(fix.backups));
	o.arg = NULL;
	seen_phases = 0;
	seen_bytes = 0;
	seen_percent = 0;
	ok(backup_create(&r, &o));
	assert_int_equal(seen_phases, 15);
	assert_int_equal(stat(r.path, &st), 0);
	assert_int_equal(st.st_size, r.size);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(seen_bytes, r.size);
	create_result_fini(&r);
	/* A named output is never overwritten. */
	o.output = fix.master;
	fails(KC_EEXIST, backup_create(&r, &o));
	source_close(o.source);
}

static void create__damaged_database__is_not_shipped(void **state)
{
	struct create_options o = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 2,
		.host = "h",
		.product = "p",
		.level = 1,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key };
	struct create_result r;
	struct fix_kind kind = { "delete", 1024, "UTF-8", 0 };
	int fd, i;

	(void)state;
	fix_make_database(fix.master, &kind, 3000, 1);
	fd = open(fix.master, O_RDWR);
	/* The number of cells in index pages: the digest does not look there, quick_check does. */
	for (i = 3; i < 400; i++) {
		uint8_t type;

		if (pread(fd, &type, 1, i * 1024L) == 1 && type == 10) {
			assert_int_equal(pwrite(fd, "\x0a\x00\x05\x7f\x00", 5, i * 1024L), 5);
			break;
		}
	}
	close(fd);
	o.source = fix_open(fix.master, false);
	fails(KC_EDAMAGED, backup_create(&r, &o));
	if (strstr(err_text(KC_EDAMAGED), fix.master) == NULL)
		fail_msg("%s", err_text(KC_EDAMAGED));
	assert_int_equal(rmdir(fix.backups), 0);
	source_close(o.source);
}

static void verify__good_and_bad_passwords_and_signers(void **state)
{
	struct image_options o = { .password = FIX_PASSWORD, .pins = &fix.pins };
	struct sign_pins none = { NULL, 0 };
	struct sign_pin other = { .comment = (char *)"" };
	struct sign_pins others = { &other, 1 };
	struct verify_result v;
	struct create_result r;

	(void)state;
	fix_make_database(fix.master, &usual, 100, 1);
	fix_backup(&fix, &r, fix.master, 5);
	o.file = r.path;
	o.staging = fix.dir;
	ok(backup_verify(&v, &o));
	assert_int_equal(v.generation, 5);
	assert_int_equal(v.rows, r.rows);
	assert_string_equal(v.content, r.content);
	assert_string_equal(v.host, "master.example");
	verify_result_fini(&v);
	o.password = "wrong";
	fails(KC_EPASSWORD, backup_verify(&v, &o));
	assert_non_null(strstr(err_text(KC_EPASSWORD), r.path));
	o.password = FIX_PASSWORD;
	o.pins = &none;
	fails(KC_ESIGNATURE, backup_verify(&v, &o));
	mem_random(other.pub.key, 32);
	o.pins = &others;
	fails(KC_ESIGNATURE, backup_verify(&v, &o));
	memcpy(other.pub.number, fix.pin.pub.number, 8); /* the right number under another key */
	fails(KC_ESIGNATURE, backup_verify(&v, &o));
	o.pins = &fix.pins;
	o.lineage = "ffffffffffffffffffffffffffffffff";
	fails(KC_EFOREIGN, backup_verify(&v, &o));
	o.lineage = NULL;
	o.generation = 6;
	fails(KC_ESTALE, backup_verify(&v, &o));
	create_result_fini(&r);
}

static void restore__truncated_or_flipped__untouched(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	char *travel, *bad = file_join(fix.backups, "bad.age"), now[SOURCE_DIGEST_LEN + 1];
	char old[SOURCE_DIGEST_LEN + 1];
	uint8_t *data;
	size_t i, n;
	struct buf b;

	(void)state;
	fix_make_database(fix.master, &usual, 3000, 2);
	fix_make_database(fix.clone, &usual, 20, 1);
	fix_digest(old, fix.clone);
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore_options(&fix, &o, &travel, &r, live, old);
	buf_init(&b, 1u << 26);
	ok(file_read(&b, r.path));
	n = buf_len(&b);
	data = (uint8_t *)buf_data(&b);
	o.image.file = bad;
	for (i = 0; i < n; i += 1 + n / 61) {
		size_t at = i + 40 < n ? i : n - 1;
		int rc;

		ok(file_replace(bad, data, at, 0600));
		rc = backup_restore(&result, &o);
		assert_int_equal(err_exit_status(rc), 65);
		assert_non_null(strstr(err_text(rc), "bad.age"));
		restore_result_fini(&result);
		if (at >= r.header_size) {
			data[at] ^= 0x20;
			ok(file_replace(bad, data, n, 0600));
			data[at] ^= 0x20;
			rc = backup_restore(&result, &o);
			assert_int_equal(err_exit_status(rc), 65);
			restore_result_fini(&result);
		}
	}
	/* More behind the end. */
	buf_put_u8(&b, 0);
	ok(file_replace(bad, buf_data(&b), n + 1, 0600));
	assert_int_equal(err_exit_status(backup_restore(&result, &o)), 65);
	restore_result_fini(&result);
	ok(file_replace(bad, "no backup at all", 16, 0600));
	assert_int_equal(err_exit_status(backup_restore(&result, &o)), 65);
	restore_result_fini(&result);
	source_close(live);
	fix_digest(now, fix.clone);
	assert_string_equal(old, now);
	buf_fini(&b);
	free(bad);
	free(travel);
	create_result_fini(&r);
}

static void restore__part_without_recovery_header__opens_with_identity(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	char *travel, zeroes[4096] = "";
	int fd;

	(void)state;
	fix_make_database(fix.master, &usual, 20, 2);
	fix_backup(&fix, &r, fix.master, 1);
	fd = open(r.path, O_RDWR);
	assert_true(r.header_size < sizeof(zeroes));
	assert_int_equal(pwrite(fd, zeroes, r.header_size, 0), r.header_size);
	close(fd);
	live = fix_open(fix.clone, true);
	fix_restore_options(&fix, &o, &travel, &r, live, NULL);
	ok(backup_restore(&result, &o));
	restore_result_fini(&result);
	o.image.travel = NULL;
	o.image.password = FIX_PASSWORD;
	fails(KC_ETRUNCATED, backup_restore(&result, &o));
	restore_result_fini(&result);
	source_close(live);
	free(travel);
	create_result_fini(&r);
}

static void restore__schema_of_an_application__is_kept_asleep(void **state)
{
	struct create_result r;
	struct source *live;

	(void)state;
	/* Functions, collations and modules that we do not have. */
	fix_sql(fix.master,
	    "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT); INSERT INTO t VALUES(1,'x','y');"
	    "CREATE TRIGGER bomb AFTER INSERT ON t BEGIN DELETE FROM t; END; CREATE VIEW v AS SELECT * FROM t;"
	    "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('hello');"
	    "PRAGMA writable_schema=ON; UPDATE sqlite_master SET sql='CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT "
	    "COLLATE "
	    "app_order, b TEXT CHECK(app_check(b)))' WHERE name='t';"
	    "INSERT INTO sqlite_master VALUES('view','w','w',0,'CREATE VIEW w AS SELECT app_function(a) FROM t');"
	    "INSERT INTO sqlite_master VALUES('table','g','g',0,'CREATE VIRTUAL TABLE g USING app_module(a)');");
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore(&fix, &r, live, NULL);
	source_close(live);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM t"), "1");
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM f WHERE f MATCH 'hello'"), "1");
	create_result_fini(&r);
}

/* ---- crashes ---- */

static int die_at;
static int on_phase(void *arg, enum restore_phase phase, unsigned percent)
{
	(void)arg;
	if ((int)phase * 1000 + (phase == RESTORE_WRITE ? (int)percent / 30 : 0) >= die_at)
		_exit(42);
	return KC_OK;
}

static void restore__killed_at_each_step__old_or_new(void **state)
{
	static const struct fix_kind *const kinds[] = { &usual, &rollback };
	int i, at;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct create_result r;
		char old[SOURCE_DIGEST_LEN + 1];

		remove_database(fix.master);
		fix_make_database(fix.master, kinds[i], 20000, 2);
		fix_backup(&fix, &r, fix.master, (uint64_t)i + 1);
		for (at = 0; at <= RESTORE_DONE * 1000;
		     at += at / 1000 == RESTORE_WRITE && at % 1000 < 2 ? 1 : 1000 - at % 1000) {
			struct restore_result result;
			enum restore_outcome outcome;
			struct restore_options o;
			struct source *live;
			char *travel, now[SOURCE_DIGEST_LEN + 1];
			int status;
			pid_t pid;

			remove_database(fix.clone);
			fix_make_database(fix.clone, kinds[i], 500, 1);
			fix_digest(old, fix.clone);
			die_at = at;
			pid = fork();
			if (pid == 0) {
				live = fix_open(fix.clone, true);
				fix_restore_options(&fix, &o, &travel, &r, live, old);
				o.progress = on_phase;
				(void)backup_restore(&result, &o);
				_exit(1);
			}
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_int_equal(WEXITSTATUS(status), 42);
			fix_digest(now, fix.clone);
			assert_string_equal(now, at < RESTORE_COMMITTED * 1000 ? old : r.content);
			assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
			ok(store_clean_staging(fix.clone));
			live = fix_open(fix.clone, true);
			ok(restore_resolve(&outcome, live, old, r.content, r.schema));
			assert_int_equal(
			    outcome, at < RESTORE_COMMITTED * 1000 ? RESTORE_NOT_APPLIED : RESTORE_APPLIED);
			fix_restore(&fix, &r, live, old);
			source_close(live);
		}
		create_result_fini(&r);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(first_contact__missing_file__becomes_the_master),
		T(first_contact__empty_of_other_layout__becomes_the_master),
		T(first_contact__rows_the_full_has__are_no_divergence),
		T(restore__reader_attached__sees_old_then_new),
		T(restore__readers_poll__never_an_error_or_a_mixture),
		T(restore__same_digest__is_not_written),
		T(restore__locked_by_writer__is_busy_and_untouched),
		T(restore__own_row__is_diverged_until_discarded),
		T(restore__write_before_the_lock__is_found),
		T(master_key_file__is_there_before_the_rows),
		T(create__unchanged__makes_nothing),
		T(create__progress__may_cancel_and_leaves_nothing),
		T(create__damaged_database__is_not_shipped),
		T(verify__good_and_bad_passwords_and_signers),
		T(restore__truncated_or_flipped__untouched),
		T(restore__part_without_recovery_header__opens_with_identity),
		T(restore__schema_of_an_application__is_kept_asleep),
		T(restore__killed_at_each_step__old_or_new),
	};

	if (getenv("TEST_FILTER") != NULL)
		cmocka_set_test_filter(getenv("TEST_FILTER"));
	return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
