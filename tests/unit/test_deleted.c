/* SPDX-License-Identifier: Apache-2.0 */
/* deleted: how many rows of the base a snapshot lacks, by key; and what a backup does about it. */
#include "backup_fixture.h"

#include <stdio.h>
#include <string.h>

#include "backup/base.h"
#include "backup/deleted.h"
#include "base/file.h"
#include "base/mem.h"

struct pair {
	struct fixture f;
	char *base, *now;
};

static void begin(struct pair *p, const char *make)
{
	fix_init(&p->f);
	p->base = file_join(p->f.dir, "base.sqlite");
	p->now = file_join(p->f.dir, "now.sqlite");
	fix_sql(p->base, make);
	fix_sql(p->now, make);
}

static void end(struct pair *p)
{
	free(p->base);
	free(p->now);
	fix_fini(&p->f);
}

static struct deleted find(const struct pair *p, unsigned percent)
{
	struct deleted d;

	memset(&d, 0xa5, sizeof(d));
	ok(deleted_find(&d, p->base, NULL, p->now, percent, NULL, NULL));
	return d;
}

#define FILL(table, n)                                                                                      \
	"INSERT INTO " table " WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < " n \
	") SELECT 'key' || i, i FROM c;"
#define KEYS "CREATE TABLE keys (uuid TEXT PRIMARY KEY, v INTEGER);"

static void find__nothing_deleted__none(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, KEYS FILL("keys", "100"));
	assert_int_equal(find(&p, 20).tables, 0);
	fix_sql(p.now, "UPDATE keys SET v = v + 1; INSERT INTO keys VALUES ('new', 1)");
	assert_int_equal(find(&p, 1).tables, 0);
	end(&p);
}

static void find__more_than_the_share__table_and_figures(void **state)
{
	struct pair p;
	struct deleted d;

	(void)state;
	begin(&p, KEYS FILL("keys", "100") "CREATE TABLE other (a TEXT PRIMARY KEY, b); " FILL("other", "50"));
	fix_sql(p.now, "DELETE FROM keys WHERE v <= 20");
	assert_int_equal(find(&p, 20).tables, 0);
	fix_sql(p.now, "DELETE FROM keys WHERE v <= 21");
	d = find(&p, 20);
	assert_int_equal(d.tables, 1);
	assert_string_equal(d.table, "keys");
	assert_int_equal(d.deleted, 21);
	assert_int_equal(d.rows, 100);
	fix_sql(p.now, "DELETE FROM other WHERE b <= 40");
	d = find(&p, 20);
	assert_int_equal(d.tables, 2);
	assert_string_equal(d.table, "other");
	assert_int_equal(find(&p, 100).tables, 0);
	end(&p);
}

static void find__as_many_came__counted_by_key(void **state)
{
	struct pair p;
	struct deleted d;

	(void)state;
	begin(&p, KEYS FILL("keys", "100"));
	fix_sql(p.now, "UPDATE keys SET uuid = 'other' || v WHERE v <= 50");
	d = find(&p, 20);
	assert_int_equal(d.deleted, 50);
	end(&p);
}

static void find__fewer_than_ten__never(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, KEYS FILL("keys", "12"));
	fix_sql(p.now, "DELETE FROM keys WHERE v <= 9");
	assert_int_equal(find(&p, 20).tables, 0);
	fix_sql(p.now, "DELETE FROM keys WHERE v <= 10");
	assert_int_equal(find(&p, 20).deleted, 10);
	end(&p);
}

static void find__keys_of_all_sorts__counted(void **state)
{
	static const char *const tables[] = { "t (a INTEGER PRIMARY KEY, b)", "t (a, b, PRIMARY KEY (b, a))",
		"t (a TEXT, b, PRIMARY KEY (a)) WITHOUT ROWID", "t (a TEXT COLLATE nocase PRIMARY KEY, b)",
		"t (\"a\" BLOB PRIMARY KEY DESC, b)" };

	(void)state;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		char sql[400];
		struct pair p;

		snprintf(sql, sizeof(sql),
		    "CREATE TABLE %s; INSERT INTO t WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c "
		    "WHERE i < 60) SELECT i, i FROM c",
		    tables[i]);
		begin(&p, sql);
		fix_sql(p.now, "DELETE FROM t WHERE b > 30");
		assert_int_equal(find(&p, 20).deleted, 30);
		end(&p);
	}
}

static void find__key_is_null__is_the_same_key(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, KEYS FILL("keys", "20") "UPDATE keys SET uuid = NULL");
	assert_int_equal(find(&p, 20).tables, 0);
	end(&p);
}

static void find__no_key__fewer_rows_count(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, "CREATE TABLE log (a TEXT, b INTEGER);" FILL("log", "100"));
	fix_sql(p.now, "UPDATE log SET a = 'x'");
	assert_int_equal(find(&p, 20).tables, 0);
	fix_sql(p.now, "DELETE FROM log WHERE b <= 30; VACUUM");
	assert_int_equal(find(&p, 20).deleted, 30);
	end(&p);
}

static void find__table_dropped__all_its_rows(void **state)
{
	struct pair p;

	(void)state;
	begin(&p, KEYS FILL("keys", "30"));
	fix_sql(p.now, "DROP TABLE keys");
	assert_int_equal(find(&p, 20).deleted, 30);
	fix_sql(p.now, "CREATE VIEW keys AS SELECT 1 AS uuid");
	assert_int_equal(find(&p, 20).deleted, 30);
	end(&p);
}

static void find__another_base_than_was_replicated__refused(void **state)
{
	struct pair p;
	struct deleted d;
	char digest[SOURCE_DIGEST_LEN + 1];

	(void)state;
	begin(&p, KEYS FILL("keys", "30"));
	fix_digest(digest, p.now);
	ok(deleted_find(&d, p.base, digest, p.now, 20, NULL, NULL));
	fix_sql(p.base, "DELETE FROM keys WHERE v = 1");
	fails(KC_EDAMAGED, deleted_find(&d, p.base, digest, p.now, 20, NULL, NULL));
	fails(KC_ENOENT, deleted_find(&d, "/nowhere/base.sqlite", NULL, p.now, 20, NULL, NULL));
	end(&p);
}

static int give_up(void *arg)
{
	++*(int *)arg;
	return err_set(KC_ECANCELED, "given up");
}

static void find__given_up__ends(void **state)
{
	struct pair p;
	struct deleted d;
	int calls = 0;

	(void)state;
	begin(&p, KEYS FILL("keys", "60000"));
	fails(KC_ECANCELED, deleted_find(&d, p.base, NULL, p.now, 20, give_up, &calls));
	assert_true(calls > 0);
	end(&p);
}

/* --- with a backup --- */

static uint64_t reserved;

static int reserve(void *arg, uint64_t *generation, enum store_kind kind)
{
	(void)arg;
	assert_int_equal(kind, STORE_FULL);
	*generation = ++reserved;
	return KC_OK;
}

static void backup(struct create_result *r, struct fixture *f, struct source *s, const struct create_options *more)
{
	struct create_options o = *more;

	o.source = s;
	o.dir = f->backups;
	o.lineage = FIX_LINEAGE;
	o.kind = STORE_FULL;
	o.product = "test";
	o.level = 1;
	o.logn = 15;
	o.password = FIX_PASSWORD;
	o.key = f->key;
	o.keep_base = true;
	o.reserve = reserve;
	memset(r, 0, sizeof(*r));
	ok(backup_create(r, &o));
}

static void create__too_much_deleted__held_and_no_generation(void **state)
{
	struct fixture f;
	struct create_result r;
	struct create_options o = { .max_delete_percent = 20 };
	struct source *s;
	char *first, *second;

	(void)state;
	fix_init(&f);
	reserved = 0;
	fix_sql(f.master, KEYS FILL("keys", "100"));
	s = fix_open(f.master, false);
	backup(&r, &f, s, &o);
	assert_int_equal(r.generation, 1);
	assert_true(r.base_good);
	create_result_fini(&r);
	first = base_path(f.master, FIX_LINEAGE, 1);
	second = base_path(f.master, FIX_LINEAGE, 2);
	assert_true(file_exists(first));
	fix_sql(f.master, "DELETE FROM keys WHERE v <= 60");
	o.base_generation = 1;
	backup(&r, &f, s, &o);
	assert_true(r.held);
	assert_int_equal(r.deleted.deleted, 60);
	assert_int_equal(reserved, 1);
	assert_null(r.path);
	assert_true(file_exists(first));
	create_result_fini(&r);
	/* Allowed: made, and compared with from now on. */
	o.max_delete_percent = 0;
	backup(&r, &f, s, &o);
	assert_false(r.held);
	assert_int_equal(r.generation, 2);
	assert_true(file_exists(second));
	create_result_fini(&r);
	base_prune(f.master, second);
	assert_false(file_exists(first));
	assert_true(file_exists(second));
	base_prune(f.master, NULL);
	assert_false(file_exists(second));
	free(first);
	free(second);
	source_close(s);
	fix_fini(&f);
}

static void create__no_base__held_only_if_it_was(void **state)
{
	struct fixture f;
	struct create_result r;
	struct create_options o = { .max_delete_percent = 20, .base_generation = 7, .was_held = true };
	struct source *s;

	(void)state;
	fix_init(&f);
	reserved = 7;
	fix_sql(f.master, KEYS FILL("keys", "100"));
	s = fix_open(f.master, false);
	backup(&r, &f, s, &o);
	assert_true(r.held);
	assert_string_equal(r.deleted.table, "");
	create_result_fini(&r);
	o.was_held = false;
	backup(&r, &f, s, &o);
	assert_false(r.held);
	assert_int_equal(r.generation, 8);
	create_result_fini(&r);
	source_close(s);
	fix_fini(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(find__nothing_deleted__none),
		cmocka_unit_test(find__more_than_the_share__table_and_figures),
		cmocka_unit_test(find__as_many_came__counted_by_key),
		cmocka_unit_test(find__fewer_than_ten__never),
		cmocka_unit_test(find__keys_of_all_sorts__counted),
		cmocka_unit_test(find__key_is_null__is_the_same_key),
		cmocka_unit_test(find__no_key__fewer_rows_count),
		cmocka_unit_test(find__table_dropped__all_its_rows),
		cmocka_unit_test(find__another_base_than_was_replicated__refused),
		cmocka_unit_test(find__given_up__ends),
		cmocka_unit_test(create__too_much_deleted__held_and_no_generation),
		cmocka_unit_test(create__no_base__held_only_if_it_was),
	};

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
