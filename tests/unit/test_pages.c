/* SPDX-License-Identifier: Apache-2.0 */
/* pages: which rows are on pages that differ, and files that are not what they should be. */
#include "backup_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/pages.h"
#include "base/file.h"
#include "base/mem.h"

struct two {
	char dir[64], base[80], now[80];
};

static void copy(const char *from, const char *to)
{
	struct buf b;

	buf_init(&b, 1u << 28);
	ok(file_read(&b, from));
	ok(file_replace(to, buf_data(&b), buf_len(&b), 0600));
	buf_fini(&b);
}

static void begin(struct two *t, const char *sql)
{
	strcpy(t->dir, "/tmp/kc-pages-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	snprintf(t->base, sizeof(t->base), "%s/base", t->dir);
	snprintf(t->now, sizeof(t->now), "%s/now", t->dir);
	fix_sql(t->base, sql);
	copy(t->base, t->now);
}

static void end(struct two *t)
{
	ok(file_remove_tree(t->dir));
}

static uint32_t root_of(const char *path, const char *table)
{
	char sql[100];

	snprintf(sql, sizeof(sql), "SELECT rootpage FROM sqlite_master WHERE name='%s'", table);
	return (uint32_t)strtoul(fix_query(path, sql), NULL, 10);
}

static struct pages *compare(struct two *t)
{
	struct pages *p = NULL;

	ok(pages_open(&p, t->base, t->now, NULL, NULL));
	return p;
}

static void rows_of(struct pages_rows rows[2], struct two *t, const char *table)
{
	uint32_t roots[2] = { root_of(t->base, table), root_of(t->now, table) };
	struct pages *p = compare(t);

	ok(pages_rows(rows, p, roots, table, 1000000));
	pages_close(p);
}

static void free_rows(struct pages_rows rows[2])
{
	free(rows[0].ids);
	free(rows[1].ids);
}

static bool has(const struct pages_rows *rows, int64_t id)
{
	for (size_t i = 0; i < rows->n; i++)
		if (rows->ids[i] == id)
			return true;
	return false;
}

#define FILL(n, value)                                                                                         \
	"CREATE TABLE t (k INTEGER PRIMARY KEY, v); INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL " \
	"SELECT i + 1 FROM n WHERE i < " n ") SELECT i, " value " FROM n;"

static void rows__nothing_changed__none(void **state)
{
	struct two t;
	struct pages_rows rows[2];

	(void)state;
	begin(&t, "PRAGMA page_size=1024;" FILL("5000", "'value ' || i"));
	rows_of(rows, &t, "t");
	assert_int_equal(rows[PAGES_BASE].n, 0);
	assert_int_equal(rows[PAGES_NOW].n, 0);
	end(&t);
}

static void rows__one_changed__those_of_its_page(void **state)
{
	static const int sizes[] = { 512, 1024, 4096, 65536 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct two t;
		struct pages_rows rows[2];
		char sql[300];

		snprintf(sql, sizeof(sql), "PRAGMA page_size=%d; " FILL("30000", "'value ' || i"), sizes[i]);
		begin(&t, sql);
		fix_sql(t.now, "UPDATE t SET v = 'VALUE 7777' WHERE k = 7777");
		rows_of(rows, &t, "t");
		assert_true(rows[PAGES_BASE].n > 0 && rows[PAGES_BASE].n < (size_t)sizes[i] / 8);
		assert_int_equal(rows[PAGES_BASE].n, rows[PAGES_NOW].n);
		assert_true(has(&rows[PAGES_BASE], 7777) && has(&rows[PAGES_NOW], 7777));
		free_rows(rows);
		end(&t);
	}
}

static void rows__pages_go_to_another_table__all_that_moved(void **state)
{
	struct two t;
	struct pages_rows rows[2];

	(void)state;
	/* The pages of one end in the other, some of them to the byte what they were. */
	begin(&t, "PRAGMA page_size=512; CREATE TABLE u (k INTEGER PRIMARY KEY, v);" FILL("1000", "'value ' || i"));
	fix_sql(t.now,
	    "CREATE TEMP TABLE s AS SELECT * FROM t; DELETE FROM t WHERE k > 500; INSERT INTO u SELECT * FROM s "
	    "WHERE k > 500");
	rows_of(rows, &t, "t");
	for (int64_t k = 501; k <= 1000; k++)
		assert_true(has(&rows[PAGES_BASE], k) && !has(&rows[PAGES_NOW], k));
	free_rows(rows);
	rows_of(rows, &t, "u");
	for (int64_t k = 501; k <= 1000; k++)
		assert_true(!has(&rows[PAGES_BASE], k) && has(&rows[PAGES_NOW], k));
	free_rows(rows);
	end(&t);
}

static void rows__overflow__followed_to_its_end(void **state)
{
	struct two t;
	struct pages_rows rows[2];

	(void)state;
	begin(&t, FILL("20", "CAST(zeroblob(i * 5000) AS BLOB)"));
	rows_of(rows, &t, "t");
	assert_int_equal(rows[PAGES_BASE].n + rows[PAGES_NOW].n, 0);
	fix_sql(t.now, "UPDATE t SET v = CAST(substr(v, 1, 94000) || x'07' || substr(v, 94002) AS BLOB) WHERE k = 19");
	rows_of(rows, &t, "t");
	assert_true(has(&rows[PAGES_BASE], 19) && has(&rows[PAGES_NOW], 19));
	assert_true(rows[PAGES_BASE].n < 20);
	free_rows(rows);
	end(&t);
}

static void rows__reserved_bytes__left_out(void **state)
{
	struct two t;
	struct pages_rows rows[2];
	sqlite3 *db = NULL;
	int reserve = 32;

	(void)state;
	begin(&t, "CREATE TABLE other (k)");
	unlink(t.base);
	assert_int_equal(sqlite3_open(t.base, &db), SQLITE_OK);
	assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserve), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db, "PRAGMA page_size=512;" FILL("300", "zeroblob(i * 7)"), NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	copy(t.base, t.now);
	fix_sql(t.now, "UPDATE t SET v = CAST(substr(v, 2) || x'07' AS BLOB) WHERE k = 290");
	rows_of(rows, &t, "t");
	assert_true(has(&rows[PAGES_BASE], 290) && has(&rows[PAGES_NOW], 290));
	free_rows(rows);
	end(&t);
}

static void rows__too_many__need_full(void **state)
{
	struct two t;
	struct pages_rows rows[2];
	struct pages *p;
	uint32_t roots[2];

	(void)state;
	begin(&t, FILL("2000", "i"));
	fix_sql(t.now, "UPDATE t SET v = v + 1");
	roots[0] = roots[1] = root_of(t.base, "t");
	p = compare(&t);
	fails(KC_ENEEDFULL, pages_rows(rows, p, roots, "t", 3999));
	assert_non_null(strstr(err_text(KC_ENEEDFULL), "table t"));
	pages_close(p);
	p = compare(&t);
	ok(pages_rows(rows, p, roots, "t", 4000));
	assert_int_equal(rows[PAGES_BASE].n, 2000);
	free_rows(rows);
	pages_close(p);
	end(&t);
}

static void index__tree__same_or_not(void **state)
{
	struct two t;
	struct pages *p;
	uint32_t roots[2];
	uint64_t count[2];
	bool same = false;

	(void)state;
	begin(&t,
	    "PRAGMA page_size=512; CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w WITH RECURSIVE "
	    "n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT 'key' || i, CASE WHEN i % 50 = 0 "
	    "THEN zeroblob(3000) ELSE i END FROM n; CREATE TABLE x (k)");
	roots[0] = roots[1] = root_of(t.base, "w");
	p = compare(&t);
	ok(pages_index(&same, count, p, roots, "w"));
	assert_true(same);
	assert_true(count[0] > 50 && count[0] == count[1]);
	pages_close(p);
	fix_sql(t.now, "INSERT INTO x VALUES(1)");
	p = compare(&t);
	ok(pages_index(&same, count, p, roots, "w"));
	assert_true(same);
	pages_close(p);
	/* In an overflow chain alone. */
	fix_sql(
	    t.now, "UPDATE w SET v = CAST(substr(v, 1, 2000) || x'07' || substr(v, 2002) AS BLOB) WHERE k = 'key1000'");
	p = compare(&t);
	ok(pages_index(&same, count, p, roots, "w"));
	assert_false(same);
	pages_close(p);
	end(&t);
}

static void open__other_pages__need_full(void **state)
{
	struct two t;
	struct pages *p = NULL;

	(void)state;
	begin(&t, FILL("100", "i"));
	unlink(t.now);
	fix_sql(t.now, "PRAGMA page_size=8192;" FILL("100", "i"));
	fails(KC_ENEEDFULL, pages_open(&p, t.base, t.now, NULL, NULL));
	unlink(t.now);
	fails(KC_ENOENT, pages_open(&p, t.base, t.now, NULL, NULL));
	ok(file_replace(t.now, "short", 5, 0600));
	fails(KC_EDAMAGED, pages_open(&p, t.base, t.now, NULL, NULL));
	end(&t);
}

static int give_up(void *arg)
{
	(void)arg;
	return err_set(KC_ECANCELED, "given up");
}

static void open__given_up__ends(void **state)
{
	struct two t;
	struct pages *p = NULL;

	(void)state;
	begin(&t, FILL("3000", "zeroblob(8000)"));
	fails(KC_ECANCELED, pages_open(&p, t.base, t.now, give_up, NULL));
	end(&t);
}

/* --- damage --- */

static int try_all(const char *base, const char *now, const uint32_t roots[3])
{
	static const char *const names[] = { "t", "u", "w" };
	struct pages *p = NULL;
	int rc = pages_open(&p, base, now, NULL, NULL);

	for (int i = 0; rc == KC_OK && i < 3; i++) {
		uint32_t both[2] = { roots[i], roots[i] };
		struct pages_rows rows[2];
		uint64_t count[2];
		bool same;

		rc =
		    i < 2 ? pages_rows(rows, p, both, names[i], 1000000) : pages_index(&same, count, p, both, names[i]);
		if (rc == KC_OK && i < 2)
			free_rows(rows);
	}
	pages_close(p);
	if (rc != KC_OK && rc != KC_EDAMAGED && rc != KC_ENEEDFULL)
		ok(rc);
	return rc;
}

static void poke(const char *path, long at, const void *data, size_t n)
{
	FILE *f = fopen(path, "r+b");

	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	assert_int_equal(fwrite(data, 1, n, f), n);
	fclose(f);
}

static void begin_damage(struct two *t, uint32_t roots[3])
{
	begin(t,
	    "PRAGMA page_size=512; CREATE TABLE u (k INTEGER PRIMARY KEY, v); CREATE TABLE w (k TEXT PRIMARY KEY, v) "
	    "WITHOUT ROWID;" FILL(
		"600", "i") "INSERT INTO u SELECT k, zeroblob(3 * k) FROM t; INSERT INTO w SELECT 'key' "
			    "|| k, zeroblob(k % 700) FROM t");
	roots[0] = root_of(t->base, "t");
	roots[1] = root_of(t->base, "u");
	roots[2] = root_of(t->base, "w");
}

static void damage__trees_that_are_none__found(void **state)
{
	struct two t;
	uint32_t roots[3], bad[3];
	uint8_t page[4];
	long at;

	(void)state;
	begin_damage(&t, roots);
	assert_int_equal(try_all(t.base, t.now, roots), KC_OK);
	/* Roots outside, of another kind, twice. */
	static const uint32_t outside[] = { 0, 1, 100000, UINT32_MAX };
	for (size_t i = 0; i < 4; i++) {
		memcpy(bad, roots, sizeof(bad));
		bad[0] = outside[i];
		assert_int_equal(try_all(t.base, t.now, bad), KC_EDAMAGED);
	}
	memcpy(bad, roots, sizeof(bad));
	bad[0] = roots[2];
	assert_int_equal(try_all(t.base, t.now, bad), KC_EDAMAGED);
	bad[0] = roots[1];
	assert_int_equal(try_all(t.base, t.now, bad), KC_EDAMAGED);
	/* The rightmost child is the root itself, or another table, or not there. */
	at = (long)(roots[0] - 1) * 512 + 8;
	for (int i = 0; i < 3; i++) {
		uint32_t child = i == 0 ? roots[0] : i == 1 ? roots[1] : 1000000;

		page[0] = (uint8_t)(child >> 24), page[1] = (uint8_t)(child >> 16), page[2] = (uint8_t)(child >> 8),
		page[3] = (uint8_t)child;
		copy(t.base, t.now);
		poke(t.now, at, page, 4);
		assert_int_equal(try_all(t.base, t.now, roots), KC_EDAMAGED);
		assert_int_equal(try_all(t.now, t.base, roots), KC_EDAMAGED);
		assert_int_equal(try_all(t.now, t.now, roots), KC_EDAMAGED);
	}
	copy(t.base, t.now);
	assert_int_equal(truncate(t.now, 20 * 512), 0);
	assert_int_equal(try_all(t.base, t.now, roots), KC_EDAMAGED);
	end(&t);
}

static void damage__deeper_than_any_tree__found(void **state)
{
	struct two t;
	uint32_t roots[3];
	uint8_t page[512];

	(void)state;
	begin_damage(&t, roots);
	/* Interior pages without cells, each the only child of the one before. */
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t child = roots[0] + i + 1;

		memset(page, 0, sizeof(page));
		page[0] = 5;
		page[10] = (uint8_t)(child >> 8), page[11] = (uint8_t)child;
		poke(t.now, (long)(roots[0] + i - 1) * 512, page, sizeof(page));
	}
	assert_int_equal(try_all(t.base, t.now, roots), KC_EDAMAGED);
	assert_int_equal(try_all(t.now, t.now, roots), KC_EDAMAGED);
	end(&t);
}

static void damage__chain_that_goes_in_a_circle__ends(void **state)
{
	struct two t;
	struct pages *p = NULL;
	uint32_t roots[2];
	struct pages_rows rows[2];
	struct buf b;

	(void)state;
	begin(&t, "PRAGMA page_size=512;" FILL("1", "zeroblob(100000)"));
	buf_init(&b, 1u << 24);
	ok(file_read(&b, t.base));
	/* Every page of the chain leads to itself: page n begins with the number of the next one. */
	for (size_t i = 3; i < buf_len(&b) / 512; i++) {
		uint8_t self[4] = { 0, 0, (uint8_t)((i + 1) >> 8), (uint8_t)(i + 1) };

		poke(t.base, (long)i * 512, self, 4);
	}
	buf_fini(&b);
	copy(t.base, t.now);
	roots[0] = roots[1] = 2;
	ok(pages_open(&p, t.base, t.now, NULL, NULL));
	fails(KC_EDAMAGED, pages_rows(rows, p, roots, "t", 1000));
	pages_close(p);
	end(&t);
}

static void damage__bytes_turned__never_a_crash(void **state)
{
	struct two t;
	uint32_t roots[3];
	struct buf good, bad;
	unsigned damaged = 0;

	(void)state;
	begin_damage(&t, roots);
	buf_init(&good, 1u << 24);
	buf_init(&bad, 1u << 24);
	ok(file_read(&good, t.base));
	for (int i = 0; i < 1500; i++) {
		uint32_t chance[9];

		mem_random(chance, sizeof(chance));
		buf_reset(&bad);
		buf_put(&bad, buf_data(&good), buf_len(&good));
		/* Often in the head of a page, where it tells; in both files or in one. */
		for (unsigned k = 0; k <= chance[0] % 4; k++) {
			size_t at = chance[1 + 2 * k] % buf_len(&bad);

			if (chance[0] & 16)
				at = at / 512 * 512 + at % 16;
			bad.data[bad.start + at] = (uint8_t)(chance[2 + 2 * k] >> 8);
		}
		FILE *f = fopen(t.now, "wb");

		assert_non_null(f);
		assert_int_equal(fwrite(buf_data(&bad), 1, buf_len(&bad), f), buf_len(&bad));
		fclose(f);
		damaged += try_all(chance[0] & 32 ? t.base : t.now, t.now, roots) == KC_EDAMAGED;
		damaged += try_all(t.now, t.base, roots) == KC_EDAMAGED;
	}
	assert_true(damaged > 100);
	buf_fini(&good);
	buf_fini(&bad);
	end(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows__nothing_changed__none),
		cmocka_unit_test(rows__one_changed__those_of_its_page),
		cmocka_unit_test(rows__pages_go_to_another_table__all_that_moved),
		cmocka_unit_test(rows__overflow__followed_to_its_end),
		cmocka_unit_test(rows__reserved_bytes__left_out),
		cmocka_unit_test(rows__too_many__need_full),
		cmocka_unit_test(index__tree__same_or_not),
		cmocka_unit_test(open__other_pages__need_full),
		cmocka_unit_test(open__given_up__ends),
		cmocka_unit_test(damage__trees_that_are_none__found),
		cmocka_unit_test(damage__deeper_than_any_tree__found),
		cmocka_unit_test(damage__chain_that_goes_in_a_circle__ends),
		cmocka_unit_test(damage__bytes_turned__never_a_crash),
	};

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
