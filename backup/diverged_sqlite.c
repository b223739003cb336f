/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diverged_sqlite: rows that one database has and another lacks.
 *
 * Both sides are read row by row as hashes. The other side's hashes of one table are held sorted, at most PASS_ROWS of
 * them; a larger table takes several passes, each for the hashes of one residue class.
 */
#include "backup/diverged.h"

#include <stdlib.h>
#include <string.h>

#include "backup/source_sqlite.h"
#include "base/err.h"
#include "base/mem.h"

#define PASS_ROWS      (768u * 1024) /* of 16 bytes */
#define ALIVE_INTERVAL 8192

struct entry {
	uint64_t h; /* the first 96 bits of the hash */
	uint32_t h2;
	uint32_t count; /* rows of the other side that no row of the live one has matched yet */
};

struct side {
	sqlite3 *db;
	const char *path;
};

struct comparison {
	struct side live, other;
	const struct name_list *local; /* tables that do not count */
	int (*alive)(void *arg);
	void *alive_arg;
	bool both;
	diverged_fn found;
	void *arg;
};

/* One table: how it is read on both sides. */
struct table {
	const char *name;
	struct name_list columns; /* of the live side */
	struct name_list others;  /* of the other side */
	struct name_list keys;	  /* expressions that name a row */
	struct name_list primary; /* the live side's primary key; the first of `keys` */
	sqlite3_stmt *twin;	 /* finds a row of the same primary key in the other side; NULL: there is no such key */
	sqlite3_stmt *twin_live; /* and in the live side */
	uint64_t passes;
	struct entry *set;
	size_t n, size;
};

/* Key columns first (where the side has them), then the live side's columns, NULL for what a side lacks. */
static char *select_list(const struct table *t, const struct name_list *has, bool with_keys)
{
	sqlite3_str *s = sqlite3_str_new(NULL);
	bool rowid;
	size_t i;

	for (i = 0; with_keys && i < t->keys.n; i++) {
		rowid = !name_list_has(&t->columns, t->keys.names[i]);
		if (rowid || name_list_has(has, t->keys.names[i]))
			sqlite3_str_appendf(s, rowid ? "%w," : "\"%w\",", t->keys.names[i]);
		else
			sqlite3_str_appendall(s, "NULL,");
	}
	for (i = 0; i < t->columns.n; i++)
		if (name_list_has(has, t->columns.names[i]))
			sqlite3_str_appendf(s, "%s\"%w\"", i > 0 ? "," : "", t->columns.names[i]);
		else
			sqlite3_str_appendf(s, "%sNULL", i > 0 ? "," : "");
	return sqlite3_str_finish(s);
}

static int open_scan(struct row_scan *scan, const struct table *t, const struct side *s, bool with_keys, bool live)
{
	return row_scan_open(scan, s->db, s->path, t->name, select_list(t, live ? &t->columns : &t->others, with_keys),
	    with_keys ? (int)t->keys.n : 0);
}

/* A statement that finds the row of a primary key. */
static int prepare_twin(sqlite3_stmt **st, const struct side *s, const struct table *t)
{
	sqlite3_str *text = sqlite3_str_new(NULL);
	char *sql;
	size_t i;
	int rc;

	sqlite3_str_appendf(text, "SELECT 1 FROM main.\"%w\"", t->name);
	for (i = 0; i < t->primary.n; i++)
		sqlite3_str_appendf(text, " %s \"%w\"=?%d", i == 0 ? "WHERE" : "AND", t->primary.names[i], (int)i + 1);
	sql = sqlite3_str_finish(text);
	rc = sqlite_prepare(st, s->db, s->path, sql);
	sqlite3_free(sql);
	return rc;
}

static int prepare_twins(struct table *t, const struct comparison *c)
{
	size_t i;
	int rc;

	for (i = 0; i < t->primary.n; i++)
		if (!name_list_has(&t->others, t->primary.names[i]))
			return KC_OK;
	if (t->primary.n == 0)
		return KC_OK;
	rc = prepare_twin(&t->twin, &c->other, t);
	return rc == KC_OK && c->both ? prepare_twin(&t->twin_live, &c->live, t) : rc;
}

/* Has the other side a row of the same key as the present one of `st`? */
static bool has_twin(sqlite3_stmt *twin, const struct table *t, sqlite3_stmt *st)
{
	bool found;
	size_t i;

	if (twin == NULL)
		return false;
	for (i = 0; i < t->primary.n; i++)
		sqlite3_bind_value(twin, (int)i + 1, sqlite3_column_value(st, (int)i));
	found = sqlite3_step(twin) == SQLITE_ROW;
	sqlite3_reset(twin);
	return found;
}

static int tell(const struct comparison *c, const struct table *t, sqlite3_stmt *st, bool in_live)
{
	bool changed = has_twin(in_live ? t->twin : t->twin_live, t, st);
	struct diverged_row row = { .table = t->name, .in_live = in_live, .changed = changed };
	char *key;
	int rc;

	if (!in_live && changed)
		return KC_OK; /* told as a changed row of the live side */
	key = row_name_text(&t->keys, st);
	row.key = key;
	rc = c->found(c->arg, &row);
	free(key);
	return rc;
}

static int by_hash(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->h != y->h)
		return x->h < y->h ? -1 : 1;
	if (x->h2 != y->h2)
		return x->h2 < y->h2 ? -1 : 1;
	return 0;
}

static struct entry *lookup(const struct table *t, const struct row_hash *hash)
{
	struct entry want = { .h = hash->w[0], .h2 = (uint32_t)hash->w[1] };

	return t->n > 0 ? bsearch(&want, t->set, t->n, sizeof(want), by_hash) : NULL;
}

static bool in_pass(const struct table *t, const struct row_hash *hash, uint64_t pass)
{
	return t->passes == 1 || hash->w[3] % t->passes == pass;
}

static int stay_alive(const struct comparison *c, uint64_t rows)
{
	return rows % ALIVE_INTERVAL == 0 && c->alive != NULL ? c->alive(c->alive_arg) : KC_OK;
}

static void set_finish(struct table *t)
{
	size_t i, n = 0;

	if (t->n > 0)
		qsort(t->set, t->n, sizeof(*t->set), by_hash);
	for (i = 0; i < t->n; i++)
		if (n > 0 && by_hash(&t->set[n - 1], &t->set[i]) == 0)
			t->set[n - 1].count++;
		else
			t->set[n++] = t->set[i];
	t->n = n;
}

static int collect(struct table *t, const struct comparison *c, uint64_t pass)
{
	struct row_scan scan = { .st = NULL };
	struct row_hash h;
	uint64_t rows = 0;
	bool done = false;
	int rc;

	t->n = 0;
	if (t->others.n == 0)
		return KC_OK; /* it has no such table */
	rc = open_scan(&scan, t, &c->other, false, false);
	while (rc == KC_OK && (rc = row_scan_next(&h, &done, &scan)) == KC_OK && !done) {
		rc = stay_alive(c, ++rows);
		if (!in_pass(t, &h, pass))
			continue;
		if (t->n == t->size) {
			t->size = t->size > 0 ? t->size * 2 : 1024;
			t->set = mem_xrealloc(t->set, t->size * sizeof(*t->set));
		}
		t->set[t->n++] = (struct entry){ .h = h.w[0], .h2 = (uint32_t)h.w[1], .count = 1 };
	}
	row_scan_close(&scan);
	set_finish(t);
	return rc;
}

/* Rows of one side: of the live one those that match no entry, of the other those whose entry nobody matched. */
static int sift(struct table *t, const struct comparison *c, uint64_t pass, bool live)
{
	struct row_scan scan = { .st = NULL };
	struct row_hash h;
	uint64_t rows = 0;
	bool done = false;
	int rc = open_scan(&scan, t, live ? &c->live : &c->other, true, live);

	while (rc == KC_OK && (rc = row_scan_next(&h, &done, &scan)) == KC_OK && !done) {
		struct entry *e;
		bool left;

		rc = stay_alive(c, ++rows);
		if (rc < 0 || !in_pass(t, &h, pass))
			continue;
		e = lookup(t, &h);
		left = e != NULL && e->count > 0;
		if (left)
			e->count--;
		if (left != live)
			rc = tell(c, t, scan.st, live);
	}
	row_scan_close(&scan);
	return rc;
}

static int compare_rows(struct table *t, const struct comparison *c)
{
	const struct side *counted = &c->other;
	int64_t rows = 0;
	uint64_t pass;
	char *sql;
	int rc = KC_OK;

	if (t->others.n > 0) {
		sql = sqlite3_mprintf("SELECT count(*) FROM main.\"%w\"", t->name);
		rc = sqlite_int(&rows, counted->db, counted->path, sql);
		sqlite3_free(sql);
	}
	t->passes = (uint64_t)rows / PASS_ROWS + 1;
	for (pass = 0; rc == KC_OK && pass < t->passes; pass++) {
		rc = collect(t, c, pass);
		if (rc == KC_OK)
			rc = sift(t, c, pass, true);
		if (rc == KC_OK && c->both && t->others.n > 0)
			rc = sift(t, c, pass, false);
	}
	return rc;
}

static int compare_table(const struct comparison *c, const char *name, bool other_has)
{
	struct table t = { .name = name };
	int rc = sqlite_columns(&t.columns, c->live.db, c->live.path, name);

	if (rc == KC_OK)
		rc = row_names(&t.keys, c->live.db, c->live.path, name, &t.columns);
	if (rc == KC_OK)
		rc = sqlite_key(&t.primary, c->live.db, c->live.path, name);
	if (rc == KC_OK && other_has)
		rc = sqlite_columns(&t.others, c->other.db, c->other.path, name);
	if (rc == KC_OK && other_has)
		rc = prepare_twins(&t, c);
	if (rc == KC_OK)
		rc = compare_rows(&t, c);
	name_list_fini(&t.columns);
	name_list_fini(&t.others);
	name_list_fini(&t.keys);
	name_list_fini(&t.primary);
	sqlite3_finalize(t.twin);
	sqlite3_finalize(t.twin_live);
	free(t.set);
	return rc;
}

static int on_swapped(void *arg, const struct diverged_row *row)
{
	const struct comparison *c = arg;
	struct diverged_row swapped = *row;

	swapped.in_live = false;
	return c->found(c->arg, &swapped);
}

static int compare_tables(struct comparison *c)
{
	struct comparison swapped = *c;
	struct name_list live = { NULL, 0 }, other = { NULL, 0 };
	size_t i;
	int rc = sqlite_tables(&live, c->live.db, c->live.path, false);

	if (rc == KC_OK)
		rc = sqlite_tables(&other, c->other.db, c->other.path, false);
	for (i = 0; rc == KC_OK && i < live.n; i++)
		if (!name_list_has(c->local, live.names[i]))
			rc = compare_table(c, live.names[i], name_list_has(&other, live.names[i]));
	/* Tables that only the other side has: all their rows. */
	swapped.live = c->other;
	swapped.other = c->live;
	swapped.both = false;
	swapped.found = on_swapped;
	swapped.arg = c;
	for (i = 0; rc == KC_OK && c->both && i < other.n; i++)
		if (!name_list_has(&live, other.names[i]) && !name_list_has(c->local, other.names[i]))
			rc = compare_table(&swapped, other.names[i], false);
	name_list_fini(&live);
	name_list_fini(&other);
	return rc;
}

int diverged_find(struct source *live, const char *image, bool both, diverged_fn found, void *arg)
{
	struct comparison c = { .live = { NULL, source_path(live) },
		.other = { NULL, image },
		.local = &live->local,
		.alive = live->alive,
		.alive_arg = live->arg,
		.both = both,
		.found = found,
		.arg = arg };
	int rc = source_refresh(live);

	if (rc == KC_OK)
		rc = sqlite_open_image(&c.other.db, image);
	if (rc < 0)
		return rc;
	c.live.db = live->r;
	rc = sqlite_exec(c.live.db, c.live.path, "BEGIN");
	if (rc == KC_OK) {
		rc = compare_tables(&c);
		sqlite3_exec(c.live.db, "COMMIT", NULL, NULL, NULL);
	}
	sqlite3_close(c.other.db);
	return rc;
}
