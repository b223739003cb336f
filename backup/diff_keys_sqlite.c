/* SPDX-License-Identifier: Apache-2.0 */
/* diff_keys_sqlite: rows that were named, in the base and in the live database. */
#include "backup/diff_keys_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "backup/diff_int.h"
#include "base/err.h"
#include "base/mem.h"

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int fetch(struct row_scan **row, struct row_scan *scan, const char *key)
{
	bool there = false;
	int rc;

	sqlite3_reset(scan->st);
	sqlite3_bind_text(scan->st, 1, key, -1, SQLITE_STATIC);
	rc = row_scan_step(&there, scan);
	*row = there ? scan : NULL;
	return rc;
}

static int one_key(struct diff_pair *p, const char *key)
{
	struct row_scan *was = NULL, *is = NULL;
	int rc = diff_alive(p->run);

	if (rc == KC_OK)
		rc = fetch(&was, &p->was_key, key);
	if (rc == KC_OK)
		rc = fetch(&is, &p->is_key, key);
	if (rc == KC_OK && was != NULL && is != NULL && !diff_same_key(p, was, is)) {
		rc = diff_row(p, was, NULL);
		was = NULL;
	}
	if (rc == KC_OK)
		rc = diff_row(p, was, is);
	sqlite3_reset(p->was_key.st);
	sqlite3_reset(p->is_key.st);
	return rc;
}

static int all_keys(struct diff_pair *p, const struct diff_keys_options *o)
{
	const char **keys;
	int rc = KC_OK;

	if (p->shape.n_key != 1)
		return err_set(
		    KC_ENEEDFULL, "table %s: its primary key has %zu columns", p->shape.name, p->shape.n_key);
	keys = mem_xcalloc(o->n_keys, sizeof(*keys));
	for (size_t i = 0; i < o->n_keys; i++)
		keys[i] = o->keys[i];
	if (o->n_keys > 0)
		qsort(keys, o->n_keys, sizeof(*keys), by_text);
	for (size_t i = 0; rc == KC_OK && i < o->n_keys; i++)
		if (i == 0 || strcmp(keys[i], keys[i - 1]) != 0)
			rc = one_key(p, keys[i]);
	free(keys);
	return rc == KC_OK ? diff_pair_end(p) : rc;
}

static int diff_named(struct diff_run *run, const struct diff_keys_options *o)
{
	const struct source_digest *d = o->base_digest;
	struct diff_pair p;
	size_t i = 0;
	int rc = diff_begin(run, o->fd, o->fd_path, o->max_rows, o->max_bytes);

	if (rc < 0)
		return rc;
	while (i < d->n_tables && strcmp(d->tables[i].name, o->table) != 0)
		i++;
	if (i == d->n_tables)
		return err_set(KC_ENEEDFULL, "table %s: is not there", o->table);
	rc = diff_pair_open(&p, run, i);
	if (rc < 0)
		return rc;
	rc = all_keys(&p, o);
	diff_pair_close(&p);
	return rc;
}

int diff_keys(struct diff_result *r, const struct diff_keys_options *o)
{
	struct diff_run run = { .base = o->base->db,
		.now = o->live,
		.base_path = o->base->path,
		.now_path = o->live_path,
		.base_digest = o->base_digest,
		.alive = o->alive,
		.arg = o->arg };
	int rc;

	run.out.fd = o->fd;
	run.out.path = o->fd_path;
	rc = diff_named(&run, o);
	return diff_end(r, &run, rc);
}
