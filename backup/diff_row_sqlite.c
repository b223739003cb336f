/* SPDX-License-Identifier: Apache-2.0 */
/* diff_row_sqlite: one key, as its row was and as it is. */
#include <string.h>

#include "backup/diff_int.h"
#include "base/err.h"

#define ALIVE_INTERVAL 4096 /* rows */

int diff_alive(struct diff_run *run)
{
	return run->alive != NULL && ++run->work % ALIVE_INTERVAL == 0 ? run->alive(run->arg) : KC_OK;
}

int diff_pair_open(struct diff_pair *out, struct diff_run *run, size_t i)
{
	struct diff_pair p = { .run = run, .count = &run->r.tables[i], .delta = &run->deltas[i] };
	int rc = shape_open(&p.shape, run->base, run->base_path, run->base_digest->tables[i].name);

	if (rc == KC_OK && p.shape.n_key > 0)
		rc = shape_by_key(&p.was_key, &p.shape, run->base, run->base_path);
	if (rc == KC_OK && p.shape.n_key > 0)
		rc = shape_by_key(&p.is_key, &p.shape, run->now, run->now_path);
	if (rc < 0)
		diff_pair_close(&p);
	else
		*out = p;
	return rc;
}

void diff_pair_close(struct diff_pair *p)
{
	row_scan_close(&p->was_key);
	row_scan_close(&p->is_key);
	shape_close(&p->shape);
}

int diff_pair_end(struct diff_pair *p)
{
	static const struct row_hash zero;

	/* Rows that nothing tells apart: the same ones in another order are no change. */
	if (memcmp(&p->loose, &zero, sizeof(zero)) == 0)
		return changeset_end_table(&p->run->out, &p->shape);
	if (p->shape.n_key == 0)
		return err_set(KC_ENEEDFULL, "table %s: has changed, and has no primary key", p->shape.name);
	return err_set(KC_ENEEDFULL, "table %s: a row that changed has NULL in its primary key", p->shape.name);
}

bool diff_same_row(const struct diff_pair *p, const struct row_scan *a, const struct row_scan *b)
{
	bool same = true;

	for (size_t i = 0; same && i < p->shape.columns.n; i++)
		same = sqlite_same_value(a->st, a->skip + (int)i, b->st, b->skip + (int)i);
	return same;
}

bool diff_same_key(const struct diff_pair *p, const struct row_scan *a, const struct row_scan *b)
{
	bool same = p->shape.n_key > 0;

	for (size_t i = 0; same && i < p->shape.columns.n; i++)
		same = p->shape.key[i] == 0 || sqlite_same_value(a->st, a->skip + (int)i, b->st, b->skip + (int)i);
	return same;
}

/* Nothing tells it from another one that is equal otherwise. */
static bool is_loose(const struct diff_pair *p, const struct row_scan *row)
{
	bool loose = p->shape.n_key == 0;

	for (size_t i = 0; !loose && i < p->shape.columns.n; i++)
		loose = p->shape.key[i] > 0 && sqlite3_column_type(row->st, row->skip + (int)i) == SQLITE_NULL;
	return loose;
}

static int sum_up(struct row_hash *sum, struct row_scan *was, struct row_scan *is)
{
	struct row_hash h;
	int rc = KC_OK;

	if (was != NULL && (rc = row_scan_hash(&h, was)) == KC_OK)
		row_hash_sub(sum, &h);
	if (rc == KC_OK && is != NULL && (rc = row_scan_hash(&h, is)) == KC_OK)
		row_hash_add(sum, &h);
	return rc;
}

int diff_row(struct diff_pair *p, struct row_scan *was, struct row_scan *is)
{
	struct diff_run *run = p->run;
	int rc = KC_OK;

	if (was == NULL && is == NULL)
		return KC_OK;
	if (was != NULL && is != NULL && diff_same_row(p, was, is))
		return KC_OK;
	if (is_loose(p, was != NULL ? was : is))
		return sum_up(&p->loose, was, is);
	if (!p->checked)
		rc = shape_check(&p->shape, run->base, run->base_path);
	p->checked = true;
	if (rc == KC_OK && ++run->rows > run->max_rows)
		rc = err_set(KC_ENEEDFULL, "more than %llu rows changed", (unsigned long long)run->max_rows);
	if (rc == KC_OK)
		rc = changeset_put(&run->out, &p->shape, was, is);
	if (rc == KC_OK)
		rc = sum_up(p->delta, was, is);
	if (rc < 0)
		return rc;
	if (was == NULL)
		p->count->inserted++;
	else if (is == NULL)
		p->count->deleted++;
	else
		p->count->updated++;
	return KC_OK;
}

/* The row of this key on the other side; the same key by its collation or in value need not be the same in its bits. */
static int look_up(
    bool *there, int64_t *found, const struct diff_pair *p, const struct row_scan *row, struct row_scan *other)
{
	int bound = 0, rc;

	*there = false;
	sqlite3_reset(other->st);
	for (size_t i = 0; i < p->shape.columns.n; i++)
		if (p->shape.key[i] > 0)
			sqlite3_bind_value(other->st, ++bound, sqlite3_column_value(row->st, row->skip + (int)i));
	rc = row_scan_step(there, other);
	if (rc < 0 || !*there)
		return rc;
	*there = diff_same_key(p, row, other);
	if (*there && found != NULL)
		*found = sqlite3_column_int64(other->st, 0);
	return KC_OK;
}

int diff_was(struct diff_pair *p, struct row_scan *was, bool *there, int64_t *found)
{
	int rc = diff_alive(p->run);

	*there = false;
	if (rc == KC_OK && !is_loose(p, was))
		rc = look_up(there, found, p, was, &p->is_key);
	if (rc == KC_OK)
		rc = diff_row(p, was, *there ? &p->is_key : NULL);
	if (p->is_key.st != NULL)
		sqlite3_reset(p->is_key.st);
	return rc;
}

int diff_is(struct diff_pair *p, struct row_scan *is, bool *there, int64_t *found)
{
	int rc = diff_alive(p->run);

	*there = false;
	if (rc == KC_OK && !is_loose(p, is))
		rc = look_up(there, found, p, is, &p->was_key);
	if (rc == KC_OK && !*there) /* else it came the other way */
		rc = diff_row(p, NULL, is);
	if (p->was_key.st != NULL)
		sqlite3_reset(p->was_key.st);
	return rc;
}
