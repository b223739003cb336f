/* SPDX-License-Identifier: Apache-2.0 */
/* diff_table_sqlite: a table whose rows on changed pages are compared; without row ids, all of its rows. */
#include <stdlib.h>

#include "backup/diff_int.h"
#include "base/err.h"

static int root_of(uint32_t *root, sqlite3 *db, const char *path, const char *table)
{
	int64_t page = 0;
	int rc = sqlite_int_of(&page, db, path,
	    sqlite3_mprintf("SELECT rootpage FROM main.sqlite_master WHERE type='table' AND name=%Q", table));

	if (rc == KC_OK && (page < 2 || page > UINT32_MAX))
		rc = err_set(KC_EDAMAGED, "%s: table %s has no root page", path, table);
	*root = (uint32_t)page;
	return rc;
}

/* The row of a row id that its page was seen to have. */
static int fetch(struct row_scan *scan, int64_t row_id)
{
	bool there = false;
	int rc;

	sqlite3_reset(scan->st);
	sqlite3_bind_int64(scan->st, 1, row_id);
	rc = row_scan_step(&there, scan);
	if (rc == KC_OK && !there)
		rc = err_set(KC_EDAMAGED, "%s: the database is damaged: row %lld is on a page and not in the table",
		    scan->path, (long long)row_id);
	return rc;
}

static int by_row_id(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The other row of a key is a candidate as well: if not, it is the same in both, and the key is there twice. */
static int check_found(const struct pages_rows *rows, int64_t row_id, const struct row_scan *scan)
{
	if (rows->n > 0 && bsearch(&row_id, rows->ids, rows->n, sizeof(row_id), by_row_id) != NULL)
		return KC_OK;
	return err_set(
	    KC_EDAMAGED, "%s: the database is damaged: row %lld has another's key", scan->path, (long long)row_id);
}

/* Both sides of the candidates. */
struct candidates {
	struct diff_pair pair;
	struct pages_rows rows[2];
	struct row_scan was, is; /* by row id */
};

static int one_was(struct candidates *c)
{
	int64_t found = 0;
	bool there = false;
	int rc = diff_was(&c->pair, &c->was, &there, &found);

	return rc == KC_OK && there ? check_found(&c->rows[PAGES_NOW], found, &c->is) : rc;
}

static int one_is(struct candidates *c)
{
	int64_t found = 0;
	bool there = false;
	int rc = diff_is(&c->pair, &c->is, &there, &found);

	return rc == KC_OK && there ? check_found(&c->rows[PAGES_BASE], found, &c->was) : rc;
}

/* Most rows on a page that changed did not, and are where they were: for these no key has to be looked up. */
static int merge_rows(struct candidates *c)
{
	const struct pages_rows *was = &c->rows[PAGES_BASE], *is = &c->rows[PAGES_NOW];
	size_t i = 0, k = 0;
	int rc = KC_OK;

	while (rc == KC_OK && (i < was->n || k < is->n)) {
		bool left = k == is->n || (i < was->n && was->ids[i] <= is->ids[k]);
		bool right = i == was->n || (k < is->n && is->ids[k] <= was->ids[i]);

		if (left)
			rc = fetch(&c->was, was->ids[i++]);
		if (rc == KC_OK && right)
			rc = fetch(&c->is, is->ids[k++]);
		if (rc == KC_OK && left && right &&
		    (diff_same_row(&c->pair, &c->was, &c->is) || diff_same_key(&c->pair, &c->was, &c->is))) {
			rc = diff_row(&c->pair, &c->was, &c->is);
			if (rc == KC_OK)
				rc = diff_alive(c->pair.run);
			continue;
		}
		if (rc == KC_OK && left)
			rc = one_was(c);
		if (rc == KC_OK && right)
			rc = one_is(c);
	}
	return rc;
}

static int table_with_row_ids(struct candidates *c, const uint32_t roots[2])
{
	struct diff_run *run = c->pair.run;
	const struct shape *shape = &c->pair.shape;
	int rc = pages_rows(c->rows, run->pages, roots, shape->name, DIFF_MAX_CANDIDATES);

	if (rc < 0 || (c->rows[PAGES_BASE].n == 0 && c->rows[PAGES_NOW].n == 0))
		return rc;
	if (shape->row_id == NULL)
		return err_set(KC_ENEEDFULL, "table %s: columns have all names of the row id", shape->name);
	rc = shape_by_row_id(&c->was, shape, run->base, run->base_path);
	if (rc == KC_OK)
		rc = shape_by_row_id(&c->is, shape, run->now, run->now_path);
	return rc == KC_OK ? merge_rows(c) : rc;
}

/* The next row of one side, unless the present one still waits. */
static int advance(bool *there, bool *wait, struct row_scan *scan)
{
	bool step = *there && !*wait;

	*wait = false;
	return step ? row_scan_step(there, scan) : KC_OK;
}

/* Both in the order of the key. A row that is gone or came is a step of its own side, while the other one waits; that
 * keeps them in step, and most rows need not be looked up. The outcome does not depend on it: each row is either equal
 * to one of the other side, or looked up there. */
static int scan_rows(struct candidates *c)
{
	bool was = true, is = true, was_waits = false, is_waits = false, judged = false, there;
	int rc = KC_OK;

	while (rc == KC_OK) {
		judged = judged && was_waits;
		rc = advance(&was, &was_waits, &c->was);
		if (rc == KC_OK)
			rc = advance(&is, &is_waits, &c->is);
		if (rc == KC_OK)
			rc = diff_alive(c->pair.run);
		if (rc < 0 || (!was && !is))
			break;
		if (was && is && diff_same_row(&c->pair, &c->was, &c->is))
			continue;
		there = true;
		if (was && !judged)
			rc = diff_was(&c->pair, &c->was, &there, NULL);
		judged = was;
		is_waits = !there;
		if (rc == KC_OK && there && is) {
			rc = diff_is(&c->pair, &c->is, &there, NULL);
			was_waits = !there;
		}
	}
	return rc;
}

static int table_without_row_ids(struct candidates *c, const uint32_t roots[2])
{
	struct diff_run *run = c->pair.run;
	const struct shape *shape = &c->pair.shape;
	uint64_t pages[2];
	bool same = false;
	int rc = pages_index(&same, pages, run->pages, roots, shape->name);

	if (rc < 0 || same)
		return rc;
	if (pages[0] > DIFF_MAX_SCAN || pages[1] > DIFF_MAX_SCAN)
		return err_set(KC_ENEEDFULL, "table %s: has changed, has no row ids, and has %llu pages", shape->name,
		    (unsigned long long)(pages[0] > pages[1] ? pages[0] : pages[1]));
	rc = shape_all(&c->was, shape, run->base, run->base_path);
	if (rc == KC_OK)
		rc = shape_all(&c->is, shape, run->now, run->now_path);
	return rc == KC_OK ? scan_rows(c) : rc;
}

int diff_table(struct diff_run *run, size_t i)
{
	const char *name = run->base_digest->tables[i].name;
	struct candidates c = { .rows = { { NULL, 0 }, { NULL, 0 } } };
	uint32_t roots[2] = { 0, 0 };
	int rc = root_of(&roots[PAGES_BASE], run->base, run->base_path, name);

	if (rc == KC_OK)
		rc = root_of(&roots[PAGES_NOW], run->now, run->now_path, name);
	if (rc == KC_OK)
		rc = diff_pair_open(&c.pair, run, i);
	if (rc < 0)
		return rc;
	rc = c.pair.shape.without_rowid ? table_without_row_ids(&c, roots) : table_with_row_ids(&c, roots);
	if (rc == KC_OK)
		rc = diff_pair_end(&c.pair);
	row_scan_close(&c.was);
	row_scan_close(&c.is);
	free(c.rows[0].ids);
	free(c.rows[1].ids);
	diff_pair_close(&c.pair);
	return rc;
}
