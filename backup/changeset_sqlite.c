/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changeset_sqlite: a changeset is read three times: first to see that it fits the schema and to take the hashes of the
 * rows that go, then by SQLite to apply it, then to take the hashes of the rows that came. SQLite passes over tables
 * that do not fit, so that has to be found before.
 */
#include "backup/changeset_sqlite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define ALIVE_INTERVAL 64 /* reads */

struct run {
	sqlite3 *db;
	const char *path;
	const struct changeset *c;
	const struct name_list *skip;
	int (*alive)(void *arg);
	void *arg;
	/* reading */
	uint64_t at;
	unsigned reads;
	int failed; /* in a callback: comes before what SQLite makes of it */
	/* the present table of the passes */
	bool skipping, open;
	struct shape shape;
	struct row_scan find;
	/* what was found */
	struct row_hash sum;
	uint64_t skipped, deletes, deleted;
	bool odd;
	uint64_t *rows; /* hashes, cut short, of the rows of this pass: none may come twice */
	size_t n_rows, room;
};

static int on_input(void *arg, void *data, int *n)
{
	struct run *run = arg;
	uint64_t left = run->c->size - run->at;
	ssize_t got = 0;

	if (run->alive != NULL && ++run->reads % ALIVE_INTERVAL == 0 && (run->failed = run->alive(run->arg)) < 0)
		return SQLITE_INTERRUPT;
	if ((uint64_t)*n > left)
		*n = (int)left;
	if (*n > 0)
		got = pread(run->c->fd, data, (size_t)*n, (off_t)run->at);
	if (got < 0 || (got == 0 && *n > 0)) {
		run->failed = got < 0 ? err_errno("%s: cannot read the changeset", run->path)
				      : err_set(KC_EDAMAGED, "%s: the changeset ends early", run->path);
		return SQLITE_IOERR;
	}
	run->at += (uint64_t)got;
	*n = (int)got;
	return SQLITE_OK;
}

static int need_full(const char *table, const char *what)
{
	return err_set(KC_ENEEDFULL, "table %s: %s", table, what);
}

/* A failure of SQLite: of the changes, or of the file? */
static int fail(struct run *run, int code, const char *what)
{
	if (run->failed < 0)
		return run->failed;
	switch (code & 0xff) {
	case SQLITE_ERROR:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_SCHEMA:
	case SQLITE_ABORT:
		return err_set(KC_ENEEDFULL, "%s: %s", what, sqlite3_errmsg(run->db));
	default:
		return sqlite_fail(run->db, code, run->path, what);
	}
}

static void close_table(struct run *run)
{
	if (run->open) {
		row_scan_close(&run->find);
		shape_close(&run->shape);
	}
	run->open = run->skipping = false;
}

/* The table of the present change. */
static int open_table(struct run *run, sqlite3_changeset_iter *it, const char *table, int columns)
{
	unsigned char *key = NULL;
	int n = 0, rc, code = sqlite3changeset_pk(it, &key, &n);

	close_table(run);
	if (code != SQLITE_OK)
		return fail(run, code, "cannot read the changeset");
	run->skipping = run->skip != NULL && name_list_has(run->skip, table);
	if (run->skipping)
		return KC_OK;
	rc = shape_open(&run->shape, run->db, run->path, table);
	if (rc < 0)
		return rc;
	if (run->shape.columns.n != (size_t)columns || n != columns)
		rc = err_set(KC_ENEEDFULL, "table %s: has %zu columns, of the changeset %d", table,
		    run->shape.columns.n, columns);
	else if (memcmp(run->shape.key, key, (size_t)n) != 0)
		rc = need_full(table, "has another primary key in the changeset");
	if (rc == KC_OK)
		rc = shape_check(&run->shape, run->db, run->path);
	if (rc == KC_OK)
		rc = shape_by_key(&run->find, &run->shape, run->db, run->path);
	if (rc < 0) {
		shape_close(&run->shape);
		return rc;
	}
	run->odd = run->odd || run->shape.odd;
	run->open = true;
	return KC_OK;
}

static bool same_as_column(sqlite3_value *v, sqlite3_stmt *st, int i)
{
	int type = sqlite3_value_type(v), n;
	const void *a, *b;
	double x, y;

	if (type != sqlite3_column_type(st, i))
		return false;
	switch (type) {
	case SQLITE_INTEGER:
		return sqlite3_value_int64(v) == sqlite3_column_int64(st, i);
	case SQLITE_FLOAT:
		x = sqlite3_value_double(v);
		y = sqlite3_column_double(st, i);
		return memcmp(&x, &y, sizeof(x)) == 0;
	case SQLITE_TEXT:
		a = sqlite3_value_text(v);
		b = sqlite3_column_text(st, i);
		break;
	case SQLITE_BLOB:
		a = sqlite3_value_blob(v);
		b = sqlite3_column_blob(st, i);
		break;
	default:
		return true;
	}
	n = sqlite3_value_bytes(v);
	return n == sqlite3_column_bytes(st, i) && (n == 0 || memcmp(a, b, (size_t)n) == 0);
}

/* A patchset, or what no session writes: an update has the old value of what it changes, and keeps the key. */
static int check_values(struct run *run, sqlite3_changeset_iter *it, int op)
{
	for (size_t i = 0; i < run->shape.columns.n; i++) {
		sqlite3_value *was = NULL, *is = NULL;
		bool key = run->shape.key[i] > 0, good;
		int code = op == SQLITE_INSERT ? SQLITE_OK : sqlite3changeset_old(it, (int)i, &was);

		if (code == SQLITE_OK && op != SQLITE_DELETE)
			code = sqlite3changeset_new(it, (int)i, &is);
		if (code != SQLITE_OK)
			return fail(run, code, "cannot read the changeset");
		if (op == SQLITE_UPDATE)
			good = key ? was != NULL && is == NULL : (was != NULL) == (is != NULL);
		else
			good = (was != NULL) != (is != NULL);
		if (good && key)
			good = sqlite3_value_type(was != NULL ? was : is) != SQLITE_NULL;
		if (!good)
			return need_full(run->shape.name, "the changeset lacks values of a row");
	}
	return KC_OK;
}

/* The row that the change is of, into the sum. */
static int count_row(struct run *run, sqlite3_changeset_iter *it, int op, bool after)
{
	struct row_hash h;
	sqlite3_value *v = NULL;
	int bound = 0, code = SQLITE_OK, rc;
	bool there = false;

	sqlite3_reset(run->find.st);
	for (size_t i = 0; code == SQLITE_OK && i < run->shape.columns.n; i++) {
		if (run->shape.key[i] == 0)
			continue;
		code =
		    op == SQLITE_INSERT ? sqlite3changeset_new(it, (int)i, &v) : sqlite3changeset_old(it, (int)i, &v);
		if (code == SQLITE_OK)
			code = sqlite3_bind_value(run->find.st, ++bound, v);
	}
	if (code != SQLITE_OK)
		return fail(run, code, "cannot read the changeset");
	rc = row_scan_step(&there, &run->find);
	for (size_t i = 0; rc == KC_OK && there && i < run->shape.columns.n; i++) {
		if (run->shape.key[i] == 0)
			continue;
		code =
		    op == SQLITE_INSERT ? sqlite3changeset_new(it, (int)i, &v) : sqlite3changeset_old(it, (int)i, &v);
		there = code == SQLITE_OK && same_as_column(v, run->find.st, run->find.skip + (int)i);
	}
	if (rc == KC_OK && !there)
		rc = need_full(run->shape.name, after ? "a row that was written is not there" : "a row is missing");
	if (rc == KC_OK)
		rc = row_scan_hash(&h, &run->find);
	sqlite3_reset(run->find.st);
	if (rc < 0)
		return rc;
	if (after)
		row_hash_add(&run->sum, &h);
	else
		row_hash_sub(&run->sum, &h);
	if (run->n_rows == run->room) {
		run->room = run->room * 2 + 256;
		run->rows = mem_xrealloc(run->rows, run->room * sizeof(*run->rows));
	}
	run->rows[run->n_rows++] = h.w[0];
	return KC_OK;
}

static int one_change(struct run *run, sqlite3_changeset_iter *it, bool after)
{
	const char *table = NULL;
	int columns = 0, op = 0, indirect, rc = KC_OK;
	int code = sqlite3changeset_op(it, &table, &columns, &op, &indirect);

	if (code != SQLITE_OK)
		return fail(run, code, "cannot read the changeset");
	if (op != SQLITE_INSERT && op != SQLITE_UPDATE && op != SQLITE_DELETE)
		return err_set(KC_EDAMAGED, "%s: the changeset has an unknown change", run->path);
	if (!(run->open && strcmp(run->shape.name, table) == 0) || run->shape.columns.n != (size_t)columns)
		rc = open_table(run, it, table, columns);
	if (rc < 0)
		return rc;
	if (run->skipping) {
		run->skipped += !after;
		return KC_OK;
	}
	if (!after)
		rc = check_values(run, it, op);
	run->deletes += !after && op == SQLITE_DELETE;
	if (rc == KC_OK && op != (after ? SQLITE_DELETE : SQLITE_INSERT))
		rc = count_row(run, it, op, after);
	return rc;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int pass(struct run *run, bool after)
{
	sqlite3_changeset_iter *it = NULL;
	int rc = KC_OK, code;

	run->at = 0;
	run->n_rows = 0;
	code = sqlite3changeset_start_v2_strm(&it, on_input, run, 0);
	while (code == SQLITE_OK && rc == KC_OK && (code = sqlite3changeset_next(it)) == SQLITE_ROW) {
		rc = one_change(run, it, after);
		code = SQLITE_OK;
	}
	close_table(run);
	sqlite3changeset_finalize(it);
	if (rc == KC_OK && code != SQLITE_DONE) {
		if (run->failed < 0)
			return run->failed;
		/* of the changeset: the connection knows nothing of it */
		return (code & 0xff) == SQLITE_CORRUPT
			   ? err_set(KC_EDAMAGED, "%s: the changeset is damaged", run->path)
			   : sqlite_fail(NULL, code, run->path, "cannot read the changeset");
	}
	if (rc < 0)
		return rc;
	if (run->n_rows > 1)
		qsort(run->rows, run->n_rows, sizeof(*run->rows), by_value);
	for (size_t i = 1; i < run->n_rows; i++)
		if (run->rows[i] == run->rows[i - 1])
			return err_set(KC_ENEEDFULL, "the changeset has two changes of one row");
	return KC_OK;
}

static int on_table(void *arg, const char *table)
{
	struct run *run = arg;

	return run->skip == NULL || !name_list_has(run->skip, table);
}

static int on_conflict(void *arg, int kind, sqlite3_changeset_iter *it)
{
	struct run *run = arg;
	const char *table = "?", *what;
	int columns, op, indirect;

	if (kind != SQLITE_CHANGESET_FOREIGN_KEY)
		sqlite3changeset_op(it, &table, &columns, &op, &indirect);
	switch (kind) {
	case SQLITE_CHANGESET_DATA:
		what = "a row is not what it was";
		break;
	case SQLITE_CHANGESET_NOTFOUND:
		what = "a row is missing";
		break;
	case SQLITE_CHANGESET_CONFLICT:
		what = "a row is there already";
		break;
	default:
		what = "a constraint forbids a change";
		break;
	}
	if (run->failed == KC_OK)
		run->failed = need_full(table, what);
	return SQLITE_CHANGESET_ABORT;
}

/* REPLACE, in the schema, removes rows that nobody named, and the hashes of which nobody took. */
static void on_change(
    void *arg, sqlite3 *db, int op, const char *schema, const char *table, sqlite3_int64 old_row, sqlite3_int64 new_row)
{
	struct run *run = arg;

	(void)db, (void)schema, (void)table, (void)old_row, (void)new_row;
	run->deleted += op == SQLITE_DELETE;
}

static int apply(struct run *run)
{
	uint64_t tolerated = sqlite_tolerated();
	int code;

	run->at = 0;
	sqlite3_preupdate_hook(run->db, on_change, run);
	code = sqlite3changeset_apply_v2_strm(
	    run->db, on_input, run, on_table, on_conflict, run, NULL, NULL, SQLITE_CHANGESETAPPLY_NOSAVEPOINT);
	sqlite3_preupdate_hook(run->db, NULL, NULL);
	/* Which rows are in an index was then decided by an order that is not the application's: SQLite may take that
	 * for damage. */
	if (run->odd && sqlite_tolerated() != tolerated && run->failed == KC_OK)
		return err_set(KC_ENEEDFULL, "an index needs a collation that is not built in");
	if (code != SQLITE_OK || run->failed < 0)
		return fail(run, code, "cannot apply the changes");
	if (run->deleted != run->deletes)
		return err_set(KC_ENEEDFULL, "the changes would replace rows that they do not name");
	return KC_OK;
}

static int all_passes(struct run *run)
{
	struct row_hash before, after;
	int rc = changeset_check(run->c, run->path);

	if (rc == KC_OK)
		rc = sequences_sum(&before, run->db, run->path, run->skip);
	if (rc == KC_OK)
		rc = pass(run, false);
	if (rc == KC_OK)
		rc = apply(run);
	if (rc == KC_OK)
		rc = pass(run, true);
	if (rc == KC_OK)
		rc = sequences_set(run->db, run->path, run->c->sequences, run->c->n_sequences, run->skip);
	if (rc == KC_OK)
		rc = sequences_sum(&after, run->db, run->path, run->skip);
	if (rc == KC_OK) {
		row_hash_add(&run->sum, &after);
		row_hash_sub(&run->sum, &before);
	}
	return rc;
}

int changeset_apply(struct row_hash *delta, uint64_t *skipped, sqlite3 *db, const char *path, const struct changeset *c,
    const struct name_list *skip, int (*alive)(void *arg), void *arg)
{
	struct run run = { .db = db, .path = path, .c = c, .skip = skip, .alive = alive, .arg = arg };
	int64_t keys = 0, unchecked = 0;
	int triggers = 0, rc = sqlite_int(&keys, db, path, "PRAGMA foreign_keys");

	if (rc == KC_OK && keys != 0)
		rc = err_set(KC_EFAIL, "%s: foreign keys are enforced", path);
	if (rc == KC_OK)
		rc = sqlite_int(&unchecked, db, path, "PRAGMA ignore_check_constraints");
	if (rc == KC_OK)
		rc = sqlite_exec(db, path, "PRAGMA ignore_check_constraints=ON");
	if (rc < 0)
		return rc;
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, -1, &triggers);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	rc = all_passes(&run);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, triggers, NULL);
	if (unchecked == 0)
		sqlite3_exec(db, "PRAGMA ignore_check_constraints=OFF", NULL, NULL, NULL);
	free(run.rows);
	if (rc < 0)
		return rc;
	*delta = run.sum;
	*skipped = run.skipped;
	return KC_OK;
}
