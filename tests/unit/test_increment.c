/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of increments: made from a database and its base, and restored, one after the other. */
#include "increment_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/image.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static struct fixture fix;
static struct fix_master master;
static struct fix_clone clone;
static const struct fix_kind usual = { "wal", 4096, "UTF-8", 0 };

static int setup(void **state)
{
	(void)state;
	fix_init(&fix);
	fix_make_database(fix.master, &usual, 300, 1);
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

/* What is in both databases, counted afresh. */
static void assert_same(void)
{
	struct source *a = fix_open(fix.master, false), *b = fix_open(fix.clone, false);
	struct source_digest x, y;

	ok(source_digest(&x, a));
	ok(source_digest(&y, b));
	assert_string_equal(x.content, y.content);
	assert_string_equal(x.schema, y.schema);
	assert_string_equal(y.content, clone.own);
	source_digest_fini(&x);
	source_digest_fini(&y);
	source_close(a);
	source_close(b);
	assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
}

/* A full, applied. */
static void begin(void)
{
	struct create_result r;

	fix_master_full(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
}

/* One change, made and applied. */
static void step(const char *sql)
{
	struct create_result r;

	fix_sql(fix.master, sql);
	fix_master_increment(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
}

/* ---- exact ---- */

static const char *const changes[] = {
	"INSERT INTO keys VALUES('new', 'a', 5, 0.5, x'00ff')",
	"UPDATE keys SET mark=9, weight=-0.0 WHERE rowid % 7 = 0",
	"DELETE FROM keys WHERE rowid % 11 = 0", /* and a row of log each, by a trigger of the schema */
	"UPDATE keys SET uuid='renamed' WHERE uuid='new'",
	"UPDATE pairs SET n=n+1000 WHERE n < 20",
	"DELETE FROM log",
	"INSERT INTO log(mark, text) VALUES(1, NULL)",
	"UPDATE keys SET material=randomblob(70000) WHERE uuid='renamed'; UPDATE keys SET alias=NULL WHERE rowid < 9",
	"DELETE FROM keys; INSERT INTO keys VALUES('only', '', NULL, 1e308, '')",
};

static void increments__one_after_the_other__clone_is_the_master(void **state)
{
	static const struct fix_kind kinds[] = { { "wal", 4096, "UTF-8", 0 }, { "delete", 1024, "UTF-8", 0 },
		{ "wal", 1024, "UTF-16le", 0 }, { "delete", 4096, "UTF-8", 1 } };

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		teardown(NULL);
		fix_init(&fix);
		fix_make_database(fix.master, &kinds[k], 200, 1);
		fix_master_init(&master, &fix);
		fix_clone_init(&clone, &fix);
		begin();
		for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
			step(changes[i]);
		assert_int_equal(master.full_made, 1);
		assert_int_equal(master.generation, 10);
	}
}

static void increment__from_a_base_of_another_life__is_the_same(void **state)
{
	(void)state;
	begin();
	for (size_t i = 0; i < 4; i++) {
		ok(fix_master_restart(&master));
		step(changes[i]);
	}
	assert_int_equal(master.full_made, 1);
}

static void increment__of_readers_that_stay__is_seen_by_them(void **state)
{
	sqlite3 *reader;

	(void)state;
	begin();
	assert_int_equal(sqlite3_open(fix.clone, &reader), SQLITE_OK);
	sqlite3_busy_timeout(reader, 5000);
	assert_int_equal(fix_mark(reader), 1);
	step("UPDATE keys SET mark=2; UPDATE log SET mark=2; UPDATE pairs SET mark=2");
	assert_int_equal(sqlite3_exec(reader, "SELECT count(*) FROM keys WHERE mark=2", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(fix_mark(reader), -1); /* the other tables have the old one */
	sqlite3_close(reader);
}

static void increment__result__says_what_it_is(void **state)
{
	struct image_options o = { .pins = &fix.pins, .staging = fix.dir };
	struct create_result full, r;
	const struct manifest *m;
	struct image *img;
	struct stat st;
	bool keys = false;

	(void)state;
	fix_master_full(&master, &full);
	fix_sql(fix.master,
	    "DELETE FROM keys WHERE rowid <= 3; UPDATE keys SET mark=2 WHERE rowid IN (5, 6); INSERT INTO "
	    "pairs VALUES('x', 1, 1)");
	fix_master_increment(&master, &r);
	assert_string_equal(r.changed, "keys +0 ~2 -3, log +3 ~0 -0, pairs +1 ~0 -0");
	assert_non_null(strstr(r.name, "-0000000002-incr-"));
	assert_int_equal(r.header_size, 168);
	assert_int_equal(stat(r.path, &st), 0);
	assert_int_equal(st.st_size, r.size);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(r.changeset_size > 0);
	assert_int_equal(r.rows, full.rows + 1);
	assert_int_equal(r.deleted.tables, 0);
	o.file = r.path;
	o.increments = master.key;
	ok(image_open(&img, &o));
	m = image_manifest(img);
	assert_int_equal(m->kind, MANIFEST_INCREMENTAL);
	assert_int_equal(m->generation, 2);
	assert_int_equal(m->base, 1);
	assert_int_equal(m->chain, 1);
	assert_string_equal(m->base_digest, full.content);
	assert_string_equal(m->db.content_digest, r.content);
	assert_string_equal(m->db.schema_digest, full.schema);
	assert_int_equal(m->changeset_size, r.changeset_size);
	assert_string_equal(m->files, "");
	assert_string_equal(m->increments, "");
	assert_null(image_database(img));
	assert_null(image_increments(img));
	assert_non_null(image_changeset(img));
	for (size_t i = 0; i < m->n_tables; i++)
		if (strcmp(m->tables[i].name, "keys") == 0) {
			keys = true;
			assert_int_equal(m->tables[i].rows, 297);
			assert_int_equal(m->tables[i].updated, 2);
			assert_int_equal(m->tables[i].deleted, 3);
		}
	assert_true(keys);
	image_close(img);
	/* It is no full, and a full is none. */
	o.file = full.path;
	fails(KC_EPASSWORD, image_open(&img, &o));
	o.increments = fix.identity;
	o.file = r.path;
	fails(KC_EPASSWORD, image_open(&img, &o));
	create_result_fini(&r);
	create_result_fini(&full);
}

static void increment__nothing_changed__makes_nothing(void **state)
{
	struct create_result r;
	struct store_entry *e;
	size_t n;

	(void)state;
	begin();
	ok(fix_master_make(&master, &r, false));
	assert_true(r.unchanged);
	assert_true(r.base_good);
	create_result_fini(&r);
	fix_sql(fix.master, "UPDATE keys SET mark=7 WHERE rowid=1; UPDATE keys SET mark=1 WHERE rowid=1");
	ok(fix_master_make(&master, &r, false));
	assert_true(r.unchanged);
	create_result_fini(&r);
	ok(store_list(&e, &n, fix.backups));
	assert_int_equal(n, 1);
	store_list_free(e, n);
	step("UPDATE keys SET mark=7 WHERE rowid=1");
}

static void increment__only_sequences_changed__is_carried(void **state)
{
	(void)state;
	begin();
	step("UPDATE sqlite_sequence SET seq=seq+1000 WHERE name='log'");
	step("INSERT INTO log(mark) VALUES(1)");
	step("DELETE FROM sqlite_sequence");
}

static void increment__what_no_changeset_can_carry__is_a_full(void **state)
{
	static const char *const cases[][2] = {
		{ "CREATE INDEX i ON keys(mark)", "schema" },
		{ "PRAGMA user_version=8", "user_version" },
		{ "INSERT INTO plain VALUES(1, 2, 3)", "plain" },
		{ "UPDATE made SET mark=2 WHERE id=1", "made" },
		{ "DROP TABLE pairs", "schema" },
	};
	struct create_result r;

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fix_sql(fix.master, cases[i][0]);
		ok(fix_master_make(&master, &r, false));
		assert_int_equal(r.kind, STORE_FULL);
		if (strstr(r.why_full, cases[i][1]) == NULL)
			fail_msg("%s: %s", cases[i][0], r.why_full);
		assert_string_not_equal(r.increments, "");
		fix_clone_apply(&clone, &master, &r);
		create_result_fini(&r);
		assert_same();
		step("UPDATE keys SET mark=mark+1 WHERE rowid=1");
	}
	assert_int_equal(master.full_made, 6);
}

/* ---- what it is made from ---- */

static void make_full_because(const char *why)
{
	struct create_result r;

	fix_sql(fix.master, "UPDATE keys SET mark=mark+1 WHERE rowid=2");
	ok(fix_master_make(&master, &r, false));
	assert_int_equal(r.kind, STORE_FULL);
	if (strstr(r.why_full, why) == NULL)
		fail_msg("%s: %s", why, r.why_full);
	assert_true(r.base_good);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
	step("UPDATE keys SET mark=mark+1 WHERE rowid=3");
}

static void increment__base_missing_or_damaged__is_a_full(void **state)
{
	char *base;

	(void)state;
	begin();
	base = fix_master_base(&master);
	assert_int_equal(unlink(base), 0);
	free(base);
	make_full_because("is not there");
	base = fix_master_base(&master);
	assert_int_equal(truncate(base, 8192), 0);
	free(base);
	make_full_because("");
	base = fix_master_base(&master);
	ok(file_replace(base, "no database at all", 18, 0600));
	free(base);
	make_full_because("");
}

/* One that says something else than it is known to is found by counting, before it is believed. */
static void base__changed_behind_our_back__is_not_believed(void **state)
{
	struct create_result r;
	char *base;

	(void)state;
	begin();
	base = fix_master_base(&master);
	fix_sql(base, "UPDATE keys SET mark=77 WHERE rowid=5");
	fails(KC_EDAMAGED, fix_master_restart(&master));
	free(base);
	fix_sql(fix.master, "UPDATE keys SET mark=2 WHERE rowid=1");
	ok(fix_master_make(&master, &r, false));
	assert_int_equal(r.kind, STORE_FULL);
	create_result_fini(&r);
}

static void full__begin_chain_fails__nothing_is_made(void **state)
{
	struct create_result r;

	(void)state;
	master.begin_chain = KC_ENOSPC;
	fails(KC_ENOSPC, fix_master_make(&master, &r, true));
	assert_int_equal(rmdir(fix.backups), 0);
	ok(file_make_dirs(fix.backups));
	master.begin_chain = KC_OK;
	begin();
	step(changes[0]);
}

static int cancel_write(void *arg, const struct create_progress *p)
{
	(void)arg;
	return p->phase == CREATE_WRITE ? KC_ECANCELED : KC_OK;
}

static void increment__canceled__leaves_nothing_and_the_next_has_all(void **state)
{
	struct create_result r;
	struct store_entry *e;
	size_t n;

	(void)state;
	begin();
	fix_sql(fix.master, changes[2]);
	master.progress = cancel_write;
	fails(KC_ECANCELED, fix_master_make(&master, &r, false));
	ok(store_list(&e, &n, fix.backups));
	assert_int_equal(n, 1);
	store_list_free(e, n);
	master.progress = NULL;
	step(changes[1]);
}

/* ---- held ---- */

static void make_held(const char *table)
{
	struct create_result r;

	ok(fix_master_make(&master, &r, false));
	assert_true(r.held);
	assert_string_equal(r.deleted.table, table);
	assert_null(r.path);
	assert_true(r.base_good);
	create_result_fini(&r);
}

static void increment__would_delete_much__is_held_until_it_may(void **state)
{
	struct create_result r;

	(void)state;
	master.max_delete = 20;
	begin();
	step("DELETE FROM keys WHERE rowid <= 30");
	fix_sql(fix.master, "DELETE FROM keys WHERE rowid <= 150");
	make_held("keys");
	fix_sql(fix.master, "INSERT INTO keys(uuid) VALUES('later')");
	make_held("keys");
	ok(fix_master_restart(&master));
	make_held("keys");
	master.max_delete = 0;
	fix_master_increment(&master, &r);
	assert_non_null(strstr(r.changed, "keys +1 ~0 -120"));
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
}

static void increment__deleted_rows_came_back__is_held_no_more(void **state)
{
	(void)state;
	master.max_delete = 20;
	begin();
	fix_sql(fix.master, "CREATE TABLE temp_keys AS SELECT * FROM keys; DELETE FROM keys WHERE rowid <= 150");
	fix_sql(fix.master, "INSERT OR IGNORE INTO keys SELECT * FROM temp_keys; DROP TABLE temp_keys");
	step("DELETE FROM log WHERE text='gone'");
}

/* ---- the clone ---- */

struct other {
	const char *what;
	int code;
	void (*change)(struct restore_options *o);
};

#define DIGEST_X "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void not_applied(struct restore_options *o)
{
	o->applied = NULL;
}

static void unknown_lineage(struct restore_options *o)
{
	o->own_lineage = NULL;
}

static void older(struct restore_options *o)
{
	o->own_generation = 1;
}

static void newer(struct restore_options *o)
{
	o->own_generation = 3;
}

static void other_content(struct restore_options *o)
{
	o->applied_content = DIGEST_X;
}

static void no_content(struct restore_options *o)
{
	o->applied_content = NULL;
}

static void no_digest(struct restore_options *o)
{
	o->applied = "none";
}

static void foreign(struct restore_options *o)
{
	o->own_lineage = "ffffffffffffffffffffffffffffffff";
}

static void other_chain_key(struct restore_options *o)
{
	o->image.increments = fix.identity;
}

static void other_generation(struct restore_options *o)
{
	o->image.generation = 4;
}

static void restore__of_what_is_not_its_base__needs_a_full(void **state)
{
	static const struct other cases[] = {
		{ "not applied", KC_ENEEDFULL, not_applied },
		{ "no lineage", KC_ENEEDFULL, unknown_lineage },
		{ "older", KC_ENEEDFULL, older },
		{ "newer", KC_ENEEDFULL, newer },
		{ "other content", KC_ENEEDFULL, other_content },
		{ "no content", KC_ENEEDFULL, no_content },
		{ "no digest", KC_EDIVERGED, no_digest },
		{ "foreign", KC_EFOREIGN, foreign },
		{ "another chain's key", KC_EPASSWORD, other_chain_key },
		{ "another generation", KC_ESTALE, other_generation },
	};
	struct restore_result result;
	struct restore_options o;
	struct create_result r;
	char before[SOURCE_DIGEST_LEN + 1], now[SOURCE_DIGEST_LEN + 1];

	(void)state;
	begin();
	step(changes[0]);
	fix_sql(fix.master, changes[1]);
	fix_master_increment(&master, &r);
	fix_digest(before, fix.clone);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc;

		fix_clone_options(&clone, &o, &master, &r);
		cases[i].change(&o);
		rc = backup_restore(&result, &o);
		if (rc != cases[i].code)
			fail_msg("%s: %s: %s", cases[i].what, err_name(rc), err_text(rc));
		if (rc == KC_ENEEDFULL)
			assert_non_null(strstr(err_text(rc), r.path));
		restore_result_fini(&result);
	}
	fix_digest(now, fix.clone);
	assert_string_equal(now, before);
	fix_clone_apply(&clone, &master, &r);
	assert_same();
	create_result_fini(&r);
}

/* A clone that still follows the parent has to begin with the child's full. */
static void restore__of_a_child_lineage__needs_a_full(void **state)
{
	struct lineage_list ancestors = { 0 };
	struct restore_result result;
	struct restore_options o;
	struct create_result full, r;

	(void)state;
	begin();
	lineage_push(&ancestors, FIX_LINEAGE, 1);
	fix_master_fini(&master);
	fix_master_init(&master, &fix);
	STR_COPY(master.lineage, "abababababababababababababababab");
	master.ancestors = &ancestors;
	fix_master_full(&master, &full);
	fix_sql(fix.master, changes[0]);
	fix_master_increment(&master, &r);
	age_identity_free(clone.key);
	clone.key = master.key;
	fix_clone_options(&clone, &o, &master, &r);
	fails(KC_ENEEDFULL, backup_restore(&result, &o));
	restore_result_fini(&result);
	clone.key = NULL;
	fix_clone_apply(&clone, &master, &full);
	fix_clone_apply(&clone, &master, &r);
	assert_same();
	create_result_fini(&full);
	create_result_fini(&r);
}

/* What is there is believed to be right, and is not: found in the transaction. */
static void restore__row_that_is_not_there__changes_nothing(void **state)
{
	static const struct {
		const char *master, *clone, *why;
	} cases[] = {
		{ "UPDATE keys SET mark=2 WHERE uuid='k1'", "DELETE FROM keys WHERE uuid='k1'", "missing" },
		{ "DELETE FROM keys WHERE uuid='k1'", "UPDATE keys SET alias='other' WHERE uuid='k1'", "keys" },
		{ "UPDATE keys SET mark=2 WHERE uuid='k1'", "UPDATE keys SET mark=3 WHERE uuid='k1'", "keys" },
		{ "INSERT INTO keys(uuid) VALUES('k2')", "INSERT INTO keys(uuid, mark) VALUES('k2', 3)", "keys" },
		{ "INSERT INTO keys(uuid) VALUES('k2')", "ALTER TABLE keys ADD COLUMN more", "keys" },
		{ "INSERT INTO keys(uuid) VALUES('k2')", "ALTER TABLE keys RENAME TO other", "keys" },
	};
	struct restore_result result;
	struct restore_options o;
	struct create_result r;

	(void)state;
	fix_sql(fix.master, "INSERT INTO keys(uuid) VALUES('k1')");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char now[SOURCE_DIGEST_LEN + 1], after[SOURCE_DIGEST_LEN + 1];
		int rc;

		teardown(NULL);
		setup(NULL);
		fix_sql(fix.master, "INSERT INTO keys(uuid) VALUES('k1')");
		begin();
		fix_sql(fix.master, cases[i].master);
		fix_master_increment(&master, &r);
		fix_sql(fix.clone, cases[i].clone);
		fix_digest(now, fix.clone);
		fix_clone_options(&clone, &o, &master, &r);
		o.applied = now;
		rc = backup_restore(&result, &o);
		if (rc != KC_ENEEDFULL || strstr(err_text(rc), cases[i].why) == NULL)
			fail_msg("%s: %s: %s", cases[i].clone, err_name(rc), err_text(rc));
		restore_result_fini(&result);
		fix_digest(after, fix.clone);
		assert_string_equal(now, after);
		assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
		create_result_fini(&r);
	}
}

static void restore__diverged__is_found_before_anything_else(void **state)
{
	struct restore_result result;
	struct restore_options o;
	struct create_result full, r;

	(void)state;
	fix_master_full(&master, &full);
	fix_clone_apply(&clone, &master, &full);
	fix_sql(fix.master, changes[0]);
	fix_master_increment(&master, &r);
	fix_sql(fix.clone, "INSERT INTO keys(uuid) VALUES('mine')");
	/* What was applied is no longer here: the rows cannot be told. */
	fix_clone_options(&clone, &o, &master, &r);
	fails(KC_EDIVERGED, backup_restore(&result, &o));
	assert_int_equal(result.diverged.n, 0);
	assert_non_null(strstr(err_text(KC_EDIVERGED), "not what was last applied"));
	restore_result_fini(&result);
	o.applied_image = o.image;
	o.applied_image.file = full.path;
	o.applied_image.increments = NULL;
	o.applied_image.generation = 0;
	fails(KC_EDIVERGED, backup_restore(&result, &o));
	assert_int_equal(result.diverged.live_only, 1);
	assert_string_equal(result.diverged.rows[0].table, "keys");
	restore_result_fini(&result);
	/* To discard takes a full, which has all rows. */
	o.discard = true;
	fails(KC_ENEEDFULL, backup_restore(&result, &o));
	restore_result_fini(&result);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM keys WHERE uuid='mine'"), "1");
	fix_sql(fix.clone,
	    "DELETE FROM keys WHERE uuid='mine'; DELETE FROM log WHERE text='gone'; UPDATE sqlite_sequence "
	    "SET seq=300 WHERE name='log'");
	fix_clone_apply(&clone, &master, &r);
	assert_same();
	create_result_fini(&r);
	create_result_fini(&full);
}

/* After a crash behind the commit. */
static void restore__already_applied__is_the_same(void **state)
{
	struct restore_result result;
	struct restore_options o;
	struct create_result r;
	char content[SOURCE_DIGEST_LEN + 1];
	uint64_t v, w;

	(void)state;
	begin();
	STR_COPY(content, clone.content);
	fix_sql(fix.master, changes[1]);
	fix_master_increment(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	clone.generation = 1;
	STR_COPY(clone.content, content);
	STR_COPY(clone.own, content);
	ok(source_version(&v, clone.live));
	fix_clone_options(&clone, &o, &master, &r);
	ok(fix_clone_run(&clone, &result, &o));
	assert_true(result.same);
	assert_string_equal(result.own, r.content);
	restore_result_fini(&result);
	ok(source_version(&w, clone.live));
	assert_int_equal(v, w);
	create_result_fini(&r);
	step(changes[2]);
}

static void restore__locked__is_busy_and_untouched(void **state)
{
	struct restore_result result;
	struct restore_options o;
	struct create_result r;
	sqlite3 *writer;

	(void)state;
	begin();
	fix_sql(fix.master, changes[0]);
	fix_master_increment(&master, &r);
	assert_int_equal(sqlite3_open(fix.clone, &writer), SQLITE_OK);
	assert_int_equal(sqlite3_exec(writer, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	fix_clone_options(&clone, &o, &master, &r);
	o.lock_ms = 100;
	fails(KC_EBUSY, backup_restore(&result, &o));
	restore_result_fini(&result);
	sqlite3_exec(writer, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(writer);
	fix_clone_apply(&clone, &master, &r);
	assert_same();
	create_result_fini(&r);
}

static void local_tables__are_left_alone_by_increments(void **state)
{
	static const char *const local[] = { "stats" };
	struct restore_result result;
	struct restore_options o;
	struct create_result r;

	(void)state;
	fix_sql(
	    fix.master, "CREATE TABLE stats(id INTEGER PRIMARY KEY AUTOINCREMENT, n); INSERT INTO stats(n) VALUES(1)");
	source_set_local(clone.live, local, 1);
	begin();
	fix_sql(fix.clone, "INSERT INTO stats(n) VALUES(22), (23); DELETE FROM stats WHERE id=1");
	for (size_t i = 0; i < 3; i++) {
		fix_sql(fix.master, changes[i]);
		fix_master_increment(&master, &r);
		fix_clone_apply(&clone, &master, &r);
		assert_string_not_equal(clone.own, clone.content);
		create_result_fini(&r);
		assert_string_equal(fix_query(fix.clone, "SELECT group_concat(n) FROM stats"), "22,23");
		fix_sql(fix.clone, "UPDATE stats SET n=n");
	}
	assert_string_equal(
	    fix_query(fix.master, "SELECT count(*) FROM keys"), fix_query(fix.clone, "SELECT count(*) FROM keys"));
	/* What the master changes in such a table is passed over, also beside other changes. */
	fix_sql(fix.master, "UPDATE stats SET n=2; INSERT INTO stats(n) VALUES(3)");
	fix_master_increment(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	fix_sql(fix.master, "DELETE FROM stats WHERE n=3; UPDATE keys SET mark=8 WHERE rowid=1; INSERT INTO log(mark) "
			    "VALUES(8); UPDATE sqlite_sequence SET seq=77 WHERE name='stats'");
	fix_master_increment(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_string_equal(fix_query(fix.clone, "SELECT group_concat(n) FROM stats"), "22,23");
	assert_string_equal(fix_query(fix.clone, "SELECT seq FROM sqlite_sequence WHERE name='stats'"), "3");
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM log WHERE mark=8"), "1");
	/* What the clone is now is what it is said to be: nothing has diverged. */
	fix_master_full(&master, &r);
	fix_clone_options(&clone, &o, &master, &r);
	ok(fix_clone_run(&clone, &result, &o));
	restore_result_fini(&result);
	create_result_fini(&r);
	assert_string_equal(fix_query(fix.clone, "SELECT group_concat(n) FROM stats"), "22,23");
	fix_sql(fix.master, changes[3]);
	fix_master_increment(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	/* Of the other tables a row that is not there is still found. */
	fix_sql(fix.master, "UPDATE keys SET mark=10 WHERE rowid=1");
	fix_master_increment(&master, &r);
	fix_sql(fix.clone, "UPDATE keys SET mark=9 WHERE rowid=1");
	fix_clone_options(&clone, &o, &master, &r);
	fails(KC_EDIVERGED, backup_restore(&result, &o));
	restore_result_fini(&result);
	create_result_fini(&r);
}

/* ---- companions ---- */

struct companions {
	struct companion_path from[2], to[2];
	char *paths[4];
};

static void make_companions(struct companions *c)
{
	static const char *const names[] = { "m/conf", "m/list", "c/conf", "c/list" };

	for (size_t i = 0; i < 4; i++)
		c->paths[i] = file_join(fix.dir, names[i]);
	ok(file_make_dirs(c->paths[0]));
	c->from[0] = (struct companion_path){ "Conf", c->paths[0] };
	c->from[1] = (struct companion_path){ "List", c->paths[1] };
	c->to[0] = (struct companion_path){ "Conf", c->paths[2] };
	c->to[1] = (struct companion_path){ "List", c->paths[3] };
	master.companions = (struct companion_paths){ .of = c->from, .n = 2 };
	clone.companions = (struct companion_paths){ .of = c->to, .n = 2 };
}

static void free_companions(struct companions *c)
{
	for (size_t i = 0; i < 4; i++)
		free(c->paths[i]);
}

static void put(const char *name, const char *text)
{
	char *path = file_join(fix.dir, name);

	ok(file_replace(path, text, strlen(text), 0600));
	free(path);
}

static void assert_file(const char *name, const char *text)
{
	char *path = file_join(fix.dir, name);
	struct buf b;

	buf_init(&b, 1000);
	ok(file_read(&b, path));
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
	free(path);
}

static size_t trees_in(const struct create_result *r, char files[COMPANIONS_TEXT])
{
	struct image_options o = { .file = r->path, .increments = master.key, .pins = &fix.pins, .staging = fix.dir };
	struct image *img;
	size_t n;

	ok(image_open(&img, &o));
	n = image_manifest(img)->n_trees;
	strcpy(files, image_manifest(img)->files);
	image_close(img);
	return n;
}

/* A folder and a file beside the database, on both sides. */
static void begin_with_companions(struct companions *c)
{
	make_companions(c);
	put("m/conf/a", "1");
	put("m/list", "one");
	begin();
}

static void companions__changed_and_unchanged__all_or_none(void **state)
{
	char files[COMPANIONS_TEXT], before[COMPANIONS_TEXT];
	struct restore_result result;
	struct restore_options o;
	struct create_result r;
	struct companions c;

	(void)state;
	begin_with_companions(&c);
	assert_file("c/conf/a", "1");
	strcpy(before, clone.files);
	fix_sql(fix.master, changes[0]);
	fix_master_increment(&master, &r);
	assert_int_equal(trees_in(&r, files), 0);
	assert_string_equal(files, before);
	fix_clone_options(&clone, &o, &master, &r);
	o.files_applied = "Conf:" DIGEST_X;
	fails(KC_ENEEDFULL, backup_restore(&result, &o));
	restore_result_fini(&result);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_string_equal(clone.files, before);
	/* One has changed, rows have not. */
	put("m/list", "two");
	fix_master_increment(&master, &r);
	assert_int_equal(r.changeset_size, 0);
	assert_string_equal(r.changed, "");
	assert_int_equal(trees_in(&r, files), 2);
	assert_string_equal(files, r.files);
	assert_string_not_equal(files, before);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_file("c/list", "two");
	assert_file("c/conf/a", "1");
	assert_same();
	/* Rows and one that goes. */
	put("m/conf/b", "2");
	fix_sql(fix.master, changes[1]);
	fix_master_increment(&master, &r);
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_file("c/conf/b", "2");
	assert_same();
	/* And none. */
	step(changes[2]);
	ok(fix_master_make(&master, &r, false));
	assert_true(r.unchanged);
	create_result_fini(&r);
	free_companions(&c);
}

static void companions__none_any_more__is_followed(void **state)
{
	struct create_result r;
	struct companions c;

	(void)state;
	begin_with_companions(&c);
	master.companions.n = 0;
	fix_sql(fix.master, changes[0]);
	ok(fix_master_make(&master, &r, false));
	fix_clone_apply(&clone, &master, &r);
	assert_string_equal(clone.files, "");
	create_result_fini(&r);
	step(changes[1]);
	free_companions(&c);
}

static void companions__diverged__is_found(void **state)
{
	struct restore_result result;
	struct restore_options o;
	struct create_result r;
	struct companions c;

	(void)state;
	begin_with_companions(&c);
	put("m/list", "two");
	fix_sql(fix.master, changes[0]);
	fix_master_increment(&master, &r);
	put("c/list", "mine");
	fix_clone_options(&clone, &o, &master, &r);
	fails(KC_EDIVERGED, backup_restore(&result, &o));
	restore_result_fini(&result);
	o.discard = true;
	fails(KC_ENEEDFULL, backup_restore(&result, &o));
	restore_result_fini(&result);
	assert_file("c/list", "mine");
	put("c/list", "one");
	fix_clone_apply(&clone, &master, &r);
	assert_file("c/list", "two");
	assert_same();
	create_result_fini(&r);
	free_companions(&c);
}

static bool brings_master_key(const struct create_result *r)
{
	struct image_options o = { .file = r->path, .increments = master.key, .pins = &fix.pins, .staging = fix.dir };
	struct image *img;
	bool brings;

	ok(image_open(&img, &o));
	brings = image_companion(img, IMAGE_MASTER_KEY_FILE) != NULL;
	assert_int_equal(brings, image_manifest(img)->n_companions == 1);
	image_close(img);
	return brings;
}

static void master_key_file__is_carried_where_it_changed(void **state)
{
	char *from = file_join(fix.dir, "m/keydb.key"), *to = file_join(fix.dir, "c/keydb.key");
	struct restore_result result;
	struct restore_options o;
	struct create_result r;

	(void)state;
	master.master_key_file = from;
	clone.master_key_file = to;
	put("m/keydb.key", "one");
	begin();
	fix_sql(fix.master, changes[0]);
	fix_master_increment(&master, &r);
	assert_false(brings_master_key(&r));
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	/* It grew. */
	put("m/keydb.key", "one two");
	fix_sql(fix.master, changes[1]);
	fix_master_increment(&master, &r);
	assert_true(brings_master_key(&r));
	clone.master_key_file = NULL;
	fix_clone_options(&clone, &o, &master, &r);
	fails(KC_ECONF, backup_restore(&result, &o));
	restore_result_fini(&result);
	clone.master_key_file = to;
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_file("c/keydb.key", "one two");
	fix_sql(fix.master, changes[2]);
	fix_master_increment(&master, &r);
	assert_false(brings_master_key(&r));
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	/* In another life it is not known what the chain has. */
	ok(fix_master_restart(&master));
	fix_sql(fix.master, changes[3]);
	fix_master_increment(&master, &r);
	assert_true(brings_master_key(&r));
	fix_clone_apply(&clone, &master, &r);
	create_result_fini(&r);
	assert_same();
	free(from);
	free(to);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(increments__one_after_the_other__clone_is_the_master),
		T(increment__from_a_base_of_another_life__is_the_same),
		T(increment__of_readers_that_stay__is_seen_by_them),
		T(increment__result__says_what_it_is),
		T(increment__nothing_changed__makes_nothing),
		T(increment__only_sequences_changed__is_carried),
		T(increment__what_no_changeset_can_carry__is_a_full),
		T(increment__base_missing_or_damaged__is_a_full),
		T(base__changed_behind_our_back__is_not_believed),
		T(full__begin_chain_fails__nothing_is_made),
		T(increment__canceled__leaves_nothing_and_the_next_has_all),
		T(increment__would_delete_much__is_held_until_it_may),
		T(increment__deleted_rows_came_back__is_held_no_more),
		T(restore__of_what_is_not_its_base__needs_a_full),
		T(restore__of_a_child_lineage__needs_a_full),
		T(restore__row_that_is_not_there__changes_nothing),
		T(restore__diverged__is_found_before_anything_else),
		T(restore__already_applied__is_the_same),
		T(restore__locked__is_busy_and_untouched),
		T(local_tables__are_left_alone_by_increments),
		T(companions__changed_and_unchanged__all_or_none),
		T(companions__none_any_more__is_followed),
		T(companions__diverged__is_found),
		T(master_key_file__is_carried_where_it_changed),
	};

	return cmocka_run_group_tests_name("increment", tests, NULL, NULL);
}
