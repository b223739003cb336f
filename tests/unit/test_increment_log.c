/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of increments that are made from the change log of the built-in key database: they say what a snapshot
 * would, and where the log is of no use a snapshot is taken. CHANGELOG_KEPT is 100 here. Random; the seed is shown:
 *
 *     INCREMENT_SEED=n tests/unit/test_increment_log
 */
#include "increment_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "keydb/changelog.h"
#include "keydb/keydb.h"
#include "keydb/master.h"

#define LOG CHANGELOG_TABLE

static struct fixture fix;
static struct fix_master master;
static struct fix_clone clone;
static char *key_file;
static const struct changelog log_of_keys = { CHANGELOG_OF, CHANGELOG_KEY, changelog_schema, CHANGELOG_OBJECTS };
static unsigned seed;

#define ROWS(from, to)                                                                                          \
	"WITH RECURSIVE n(i) AS (SELECT " #from " UNION ALL SELECT i+1 FROM n WHERE i<" #to ") INSERT INTO "    \
	"keys(uuid, alias, kind, algorithm, state, created, master_key, material, fingerprint) SELECT "         \
	"printf('%036d', i), 'k' || i, 'symmetric', 'AES-256', 'active', i, 1, randomblob(60), randomblob(32) " \
	"FROM n"

static int setup(void **state)
{
	(void)state;
	fix_init(&fix);
	key_file = file_join(fix.dir, "m/keydb.key");
	ok(keydb_create(fix.master));
	ok(master_create(key_file));
	fix_sql(fix.master, ROWS(1, 400));
	fix_master_init(&master, &fix);
	ok(changelog_ensure(master.s, &log_of_keys));
	fix_sql(fix.master, "UPDATE keys SET grp='first' WHERE rowid=1");
	master.log = &log_of_keys;
	fix_clone_init(&clone, &fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_master_fini(&master);
	fix_clone_fini(&clone);
	free(key_file);
	fix_fini(&fix);
	return 0;
}

/* A snapshot becomes the next base; from the log the base itself is brought on. */
static ino_t base_inode(void)
{
	char *path = fix_master_base(&master);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	free(path);
	return st.st_ino;
}

static void assert_same(void)
{
	char *base = fix_master_base(&master);
	char live[SOURCE_DIGEST_LEN + 1], there[SOURCE_DIGEST_LEN + 1], kept[SOURCE_DIGEST_LEN + 1];

	fix_digest(live, fix.master);
	fix_digest(there, fix.clone);
	fix_digest(kept, base);
	assert_string_equal(live, master.content);
	assert_string_equal(there, live);
	assert_string_equal(kept, live);
	assert_string_equal(fix_query(base, "PRAGMA integrity_check"), "ok");
	free(base);
}

static void begin(void)
{
	struct create_result r;

	fix_master_full(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_true(master.mark.known);
	assert_same();
}

/* The next one; is it from the log? */
static bool step(const char *sql)
{
	ino_t inode = base_inode();
	struct create_result r;

	if (sql != NULL)
		fix_sql(fix.master, sql);
	fix_master_increment(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
	return base_inode() == inode;
}

static const char *const changes[] = {
	"UPDATE keys SET grp='g' WHERE rowid <= 5",
	"DELETE FROM keys WHERE rowid IN (7, 9, 11)",
	ROWS(1001, 1010),
	"UPDATE keys SET uuid=printf('%036d', 5000 + rowid) WHERE rowid BETWEEN 20 AND 25",
	"UPDATE keys SET alias=NULL, material=NULL, master_key=NULL, state='destroyed' WHERE rowid=30",
	"DELETE FROM keys WHERE rowid=31; " ROWS(31, 31),
	"UPDATE keys SET alias=NULL WHERE alias='k40'; UPDATE keys SET alias='k40' WHERE alias='k41'",
};

static void log__each_change__is_made_without_a_snapshot(void **state)
{
	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (!step(changes[i]))
			fail_msg("a snapshot: %s", changes[i]);
	assert_int_equal(master.full_made, 1);
}

static void log__nothing_changed__makes_nothing(void **state)
{
	struct create_result r;
	ino_t inode;

	(void)state;
	begin();
	inode = base_inode();
	ok(fix_master_make(&master, &r, false));
	assert_true(r.unchanged && r.base_good);
	create_result_fini(&r);
	/* Changed and changed back. */
	fix_sql(fix.master, "UPDATE keys SET grp='x' WHERE rowid=3; UPDATE keys SET grp=NULL WHERE rowid=3");
	ok(fix_master_make(&master, &r, false));
	assert_true(r.unchanged && r.base_good);
	create_result_fini(&r);
	assert_true(base_inode() == inode);
	assert_true(step(changes[0]));
}

/* What the log does not tell is seen by a snapshot, and nothing is lost. */
static void log__of_no_use__takes_a_snapshot(void **state)
{
	static const char *const cases[] = {
		"DELETE FROM " LOG,
		"UPDATE keys SET grp='unseen' WHERE rowid=50; DELETE FROM " LOG
		"; UPDATE keys SET grp='y' WHERE rowid=51",
		"DROP TRIGGER " LOG "_update; UPDATE keys SET grp='unseen' WHERE rowid=52; DROP TABLE " LOG,
		"UPDATE keys SET state='deactivated' WHERE rowid BETWEEN 100 AND 220", /* more than are kept */
		"UPDATE " LOG " SET uuid='x'",
		"UPDATE " LOG " SET seq=seq + 1000000; UPDATE keys SET grp='seen' WHERE rowid=54",
	};

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char sql[600];

		/* There is something in any case. */
		snprintf(sql, sizeof(sql), "UPDATE keys SET grp='%zu' WHERE rowid=60; %s", i, cases[i]);
		if (step(sql))
			fail_msg("no snapshot: %s", cases[i]);
		ok(changelog_ensure(master.s, &log_of_keys));
		step("UPDATE keys SET created=created+1 WHERE rowid=61");
		fix_sql(fix.master, "UPDATE keys SET grp='z' WHERE rowid=62");
		assert_true(
		    step("UPDATE keys SET grp=NULL WHERE rowid=62; UPDATE keys SET created=created+1 WHERE rowid=63"));
	}
	assert_int_equal(master.full_made, 1);
}

/* It says nothing of other tables: the only ones who have some are not as we made them. */
static void log__another_table__takes_a_snapshot(void **state)
{
	(void)state;
	fix_sql(fix.master, "CREATE TABLE notes(id INTEGER PRIMARY KEY, text)");
	begin();
	assert_false(step("INSERT INTO notes VALUES(1, 'a')"));
	assert_false(step("UPDATE keys SET grp='x' WHERE rowid=1; UPDATE notes SET text='b'"));
}

static void log__another_schema__is_a_full(void **state)
{
	struct create_result r;

	(void)state;
	begin();
	fix_sql(fix.master, "CREATE INDEX i ON keys(created); UPDATE keys SET grp='x' WHERE rowid=1");
	ok(fix_master_make(&master, &r, false));
	assert_int_equal(r.kind, STORE_FULL);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
	assert_true(step(changes[0]));
}

/* In another life the log may tell anything: how far it was read is not known. */
static void log__of_another_life__is_read_on_after_a_snapshot(void **state)
{
	(void)state;
	begin();
	assert_true(step(changes[0]));
	fix_sql(fix.master, changes[1]);
	ok(fix_master_restart(&master));
	assert_false(step(NULL));
	assert_true(step(changes[2]));
}

static void make_held(void)
{
	struct create_result r;

	ok(fix_master_make(&master, &r, false));
	assert_true(r.held);
	assert_true(r.base_good);
	assert_string_equal(r.deleted.table, "keys");
	create_result_fini(&r);
}

/* The mark stays where the base is: whatever was held is in the next one. */
static void log__held__is_seen_again(void **state)
{
	(void)state;
	master.max_delete = 10;
	begin();
	fix_sql(fix.master, "DELETE FROM keys WHERE rowid <= 60");
	make_held();
	make_held();
	fix_sql(fix.master, "UPDATE keys SET grp='more' WHERE rowid=100");
	make_held();
	master.max_delete = 0;
	assert_true(step(NULL));
	assert_string_equal(fix_query(fix.clone, "SELECT min(rowid) FROM keys"), "61");
	/* Held, and then taken back. */
	master.max_delete = 10;
	fix_sql(fix.master, "CREATE TEMP TABLE t AS SELECT * FROM keys; DELETE FROM keys WHERE rowid <= 120");
	make_held();
	ok(fix_master_restart(&master));
	make_held();
	master.max_delete = 0;
	assert_false(step(NULL));
}

static int cancel_write(void *arg, const struct create_progress *p)
{
	(void)arg;
	return p->phase == CREATE_WRITE ? KC_ECANCELED : KC_OK;
}

static void log__canceled__is_seen_again(void **state)
{
	struct create_result r;

	(void)state;
	begin();
	fix_sql(fix.master, changes[1]);
	master.progress = cancel_write;
	fails(KC_ECANCELED, fix_master_make(&master, &r, false));
	master.progress = NULL;
	fix_sql(fix.master, changes[2]);
	assert_true(step(NULL));
}

static void log__base_missing__is_a_full(void **state)
{
	struct create_result r;
	char *base;

	(void)state;
	begin();
	base = fix_master_base(&master);
	ok(file_remove(base));
	free(base);
	fix_sql(fix.master, changes[1]);
	ok(fix_master_make(&master, &r, false));
	assert_int_equal(r.kind, STORE_FULL);
	assert_non_null(strstr(r.why_full, "is not there"));
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
	assert_true(step(changes[2]));
}

/* Whole, but nobody heard of it: the base that was brought on is not believed to be what it was. */
static void log__result_lost__base_is_not_believed(void **state)
{
	struct create_result r;

	(void)state;
	begin();
	assert_true(step(changes[0]));
	fix_sql(fix.master, changes[1]);
	master.lost = true;
	fix_master_increment(&master, &r);
	master.lost = false;
	create_result_fini(&r);
	assert_true(fix_master_restart(&master) < 0);
	fix_sql(fix.master, changes[2]);
	ok(fix_master_make(&master, &r, false));
	assert_int_equal(r.kind, STORE_FULL);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
	assert_true(step(changes[3]));
}

/* ---- at random ---- */

static unsigned below(unsigned n)
{
	return (unsigned)rand() % n;
}

static void by_keydb(struct keydb *db)
{
	struct keydb_new what = { .count = 1 + below(4), .group = below(2) ? "g" : NULL, .activate = below(2) };
	static const enum keydb_state to[] = { KEYDB_ACTIVE, KEYDB_DEACTIVATED, KEYDB_COMPROMISED };
	struct keydb_generated made;
	struct keydb_key key;
	char name[KEYDB_UUID_LEN + 1];

	STR_COPY(name, fix_query(fix.master, "SELECT uuid FROM keys ORDER BY random() LIMIT 1"));
	ok(keydb_begin(db));
	ok(keydb_generate(&made, db, &what));
	for (int i = 0; i < 3; i++) /* what the states do not allow changes nothing */
		(void)keydb_set_state(&key, db, below(2) ? name : made.last.uuid, to[below(3)]);
	if (below(3) == 0)
		(void)keydb_destroy(&key, db, name);
	if (below(5) == 0)
		keydb_abort(db);
	else
		ok(keydb_commit(db));
}

static void by_another_program(void)
{
	static const char *const statements[] = {
		"UPDATE keys SET grp='r%u' WHERE abs(random()) %% 30 = 0",
		"DELETE FROM keys WHERE rowid IN (SELECT rowid FROM keys ORDER BY random() LIMIT %u)",
		"INSERT INTO keys(uuid, kind, algorithm, state, created) SELECT lower(hex(randomblob(18))), "
		"'symmetric', "
		"'AES-128', 'active', %u",
		"UPDATE keys SET uuid=lower(hex(randomblob(18))) WHERE rowid=(SELECT rowid FROM keys ORDER BY random() "
		"LIMIT "
		"1) AND %u > 0",
		"UPDATE keys SET alias=NULL WHERE rowid %% 50 = %u",
		"UPDATE keys SET created=created WHERE rowid < %u",
	};
	char *sql = sqlite3_mprintf("BEGIN");

	for (unsigned n = 1 + below(4); n > 0; n--) {
		char one[400], *more;

		_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wformat-nonliteral\"");
		snprintf(one, sizeof(one), statements[below(6)], below(9));
		_Pragma("GCC diagnostic pop");
		more = sqlite3_mprintf("%s; %s", sql, one);
		sqlite3_free(sql);
		sql = more;
	}
	fix_sql(fix.master, sql);
	sqlite3_free(sql);
}

static void damage_log(void)
{
	static const char *const statements[] = { "DELETE FROM " LOG, "DELETE FROM " LOG " WHERE seq % 3 = 0",
		"DROP TABLE IF EXISTS " LOG "; DROP TRIGGER IF EXISTS " LOG "_insert; DROP TRIGGER IF EXISTS " LOG
		"_update; DROP TRIGGER IF EXISTS " LOG "_delete",
		"UPDATE " LOG " SET seq=seq+1000", "INSERT INTO " LOG "(uuid) VALUES('nobody')" };

	ok(changelog_ensure(master.s, &log_of_keys));
	fix_sql(fix.master, statements[below(5)]);
}

static void log__random_operations__are_what_a_snapshot_would_say(void **state)
{
	unsigned rounds = 60, logged = 0, made = 0;
	struct keydb *db;

	(void)state;
	srand(seed);
	begin();
	ok(keydb_open(&db, fix.master, key_file));
	for (unsigned i = 0; i < rounds; i++) {
		ino_t inode = base_inode();
		struct create_result r;

		for (unsigned n = 1 + below(5); n > 0; n--)
			if (below(2))
				by_keydb(db);
			else
				by_another_program();
		if (below(6) == 0)
			damage_log();
		if (below(12) == 0)
			(void)fix_master_restart(&master);
		ok(changelog_ensure(master.s, &log_of_keys));
		ok(fix_master_make(&master, &r, false));
		if (!r.unchanged) {
			made++;
			fix_clone_apply(&clone, &master, &r);
			logged += base_inode() == inode;
		}
		create_result_fini(&r);
		assert_same();
	}
	keydb_close(db);
	printf("%u increments, %u of them from the log\n", made, logged);
	assert_true(logged > made / 3);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(log__each_change__is_made_without_a_snapshot),
		T(log__nothing_changed__makes_nothing),
		T(log__of_no_use__takes_a_snapshot),
		T(log__another_table__takes_a_snapshot),
		T(log__another_schema__is_a_full),
		T(log__of_another_life__is_read_on_after_a_snapshot),
		T(log__held__is_seen_again),
		T(log__canceled__is_seen_again),
		T(log__base_missing__is_a_full),
		T(log__result_lost__base_is_not_believed),
		T(log__random_operations__are_what_a_snapshot_would_say),
	};
	const char *given = getenv("INCREMENT_SEED");

	seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	printf("INCREMENT_SEED=%u\n", seed);
	return cmocka_run_group_tests_name("increments from the log", tests, NULL, NULL);
}
