/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge_sqlite: the transaction of a merge. The image is read through a connection of its own, row by row; W looks each
 * one up and inserts what is missing.
 */
#include <stdlib.h>
#include <string.h>

#include "backup/merge_int.h"
#include "backup/source_sqlite.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define PROGRESS_ROWS 4096

struct merger {
	const struct merge_run *run;
	sqlite3 *img;
	sqlite3 *db; /* W of the live source */
	const char *path;
	uint64_t done; /* rows */
};

/* One table: how it is read, looked up and written. */
struct table {
	const char *name;
	struct merge_table *count;
	struct name_list columns; /* of the image */
	struct name_list key;	  /* of the live table */
	struct name_list names;	  /* what a row is called; in front of what is read */
	sqlite3_stmt *scan, *find, *insert;
};

/* Ordinary tables: neither virtual ones nor what such keep their content in. */
static int ordinary_tables(struct name_list *tables, sqlite3 *db, const char *path)
{
	sqlite3_stmt *st = NULL;
	int step, rc = sqlite_prepare(&st, db, path, "PRAGMA main.table_list");

	if (rc < 0)
		return rc;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *schema = (const char *)sqlite3_column_text(st, 0);
		const char *name = (const char *)sqlite3_column_text(st, 1);
		const char *type = (const char *)sqlite3_column_text(st, 2);

		if (schema != NULL && name != NULL && type != NULL && strcmp(schema, "main") == 0 &&
		    strcmp(type, "table") == 0 && sqlite3_strnicmp(name, "sqlite_", 7) != 0)
			name_list_add(tables, name);
	}
	sqlite3_finalize(st);
	return step == SQLITE_DONE ? KC_OK : sqlite_fail(db, step, path, "cannot read the database");
}

static int missing(const struct merger *m, const char *what, const char *table, const char *column)
{
	return err_set(KC_EFORMAT, "%s: %s %s%s%s of the backup is not there: a merge adds rows, and changes no schema",
	    m->path, what, table, column != NULL ? "." : "", column != NULL ? column : "");
}

static void append_columns(sqlite3_str *s, const struct name_list *columns)
{
	for (size_t i = 0; i < columns->n; i++)
		sqlite3_str_appendf(s, "%s\"%w\"", i > 0 ? "," : "", columns->names[i]);
}

static int prepare(sqlite3_stmt **st, sqlite3 *db, const char *path, sqlite3_str *s)
{
	char *sql = sqlite3_str_finish(s);
	int rc =
	    sql != NULL ? sqlite_prepare(st, db, path, sql) : err_set(KC_ELIMIT, "%s: a statement is too long", path);

	sqlite3_free(sql);
	return rc;
}

static int prepare_scan(struct table *t, const struct merger *m)
{
	sqlite3_str *s = sqlite3_str_new(NULL);

	sqlite3_str_appendall(s, "SELECT ");
	for (size_t i = 0; i < t->names.n; i++)
		sqlite3_str_appendf(
		    s, name_list_has(&t->columns, t->names.names[i]) ? "\"%w\"," : "%w,", t->names.names[i]);
	append_columns(s, &t->columns);
	sqlite3_str_appendf(s, " FROM main.\"%w\" NOT INDEXED", t->name);
	return prepare(&t->scan, m->img, m->run->image, s);
}

static int prepare_find(struct table *t, const struct merger *m)
{
	const struct name_list *by = t->key.n > 0 ? &t->key : &t->columns;
	sqlite3_str *s = sqlite3_str_new(NULL);

	sqlite3_str_appendall(s, "SELECT ");
	append_columns(s, &t->columns);
	sqlite3_str_appendf(s, " FROM main.\"%w\"", t->name);
	for (size_t i = 0; i < by->n; i++)
		sqlite3_str_appendf(s, " %s \"%w\" IS ?%d", i == 0 ? "WHERE" : "AND", by->names[i], (int)i + 1);
	return prepare(&t->find, m->db, m->path, s);
}

static int prepare_insert(struct table *t, const struct merger *m)
{
	sqlite3_str *s = sqlite3_str_new(NULL);

	/* OR ABORT overrules what the schema may say (REPLACE would remove rows). */
	sqlite3_str_appendf(s, "INSERT OR ABORT INTO main.\"%w\"(", t->name);
	append_columns(s, &t->columns);
	sqlite3_str_appendall(s, ") VALUES(");
	for (size_t i = 0; i < t->columns.n; i++)
		sqlite3_str_appendf(s, "%s?%d", i > 0 ? "," : "", (int)i + 1);
	sqlite3_str_appendall(s, ")");
	return prepare(&t->insert, m->db, m->path, s);
}

static int open_table(struct table *t, const struct merger *m)
{
	struct name_list live = { NULL, 0 };
	int rc = sqlite_columns(&t->columns, m->img, m->run->image, t->name);

	if (rc == KC_OK)
		rc = sqlite_columns(&live, m->db, m->path, t->name);
	for (size_t i = 0; rc == KC_OK && i < t->columns.n; i++)
		if (!name_list_has(&live, t->columns.names[i]))
			rc = missing(m, "column", t->name, t->columns.names[i]);
	if (rc == KC_OK)
		rc = sqlite_key(&t->key, m->db, m->path, t->name);
	for (size_t i = 0; rc == KC_OK && i < t->key.n; i++)
		if (!name_list_has(&t->columns, t->key.names[i]))
			rc = err_set(KC_EFORMAT, "%s: column %s.%s of the primary key is not in the backup", m->path,
			    t->name, t->key.names[i]);
	if (rc == KC_OK)
		rc = row_names(&t->names, m->img, m->run->image, t->name, &t->columns);
	if (rc == KC_OK)
		rc = prepare_scan(t, m);
	if (rc == KC_OK)
		rc = prepare_find(t, m);
	if (rc == KC_OK)
		rc = prepare_insert(t, m);
	name_list_fini(&live);
	return rc;
}

static void close_table(struct table *t)
{
	sqlite3_finalize(t->scan);
	sqlite3_finalize(t->find);
	sqlite3_finalize(t->insert);
	name_list_fini(&t->columns);
	name_list_fini(&t->key);
	name_list_fini(&t->names);
}

/* Where column `name` of the image is in what is read. */
static int scan_index(const struct table *t, const char *name)
{
	size_t i = 0;

	while (sqlite3_stricmp(t->columns.names[i], name) != 0)
		i++;
	return (int)(t->names.n + i);
}

static void note(struct merge_result *r, const struct table *t, const char *why)
{
	struct merge_row *row;

	if (r->n_rows == MERGE_SHOWN)
		return;
	row = &r->rows[r->n_rows++];
	row->table = str_printable(mem_xstrdup(t->name));
	row->key = row_name_text(&t->names, t->scan);
	row->why = why != NULL ? str_printable(mem_xstrdup(why)) : NULL;
}

/* Is a row of this key there, and is it the same? A NULL in a key makes no two rows one. */
static int look_up(bool *there, bool *same, struct table *t, const struct merger *m)
{
	const struct name_list *by = t->key.n > 0 ? &t->key : &t->columns;
	bool identifies = t->key.n > 0;
	int step;

	*there = *same = false;
	sqlite3_reset(t->find);
	for (size_t i = 0; i < by->n; i++) {
		int at = scan_index(t, by->names[i]);

		identifies = identifies && sqlite3_column_type(t->scan, at) != SQLITE_NULL;
		sqlite3_bind_value(t->find, (int)i + 1, sqlite3_column_value(t->scan, at));
	}
	while ((step = sqlite3_step(t->find)) == SQLITE_ROW && !*same) {
		*there = identifies;
		*same = true;
		for (size_t i = 0; *same && i < t->columns.n; i++)
			*same = sqlite_same_value(t->scan, (int)(t->names.n + i), t->find, (int)i);
	}
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		return sqlite_fail(m->db, step, m->path, "cannot read the key database");
	sqlite3_reset(t->find);
	return KC_OK;
}

static int insert(struct table *t, struct merger *m)
{
	int step, rc = KC_OK;

	for (size_t i = 0; i < t->columns.n; i++)
		sqlite3_bind_value(t->insert, (int)i + 1, sqlite3_column_value(t->scan, (int)(t->names.n + i)));
	step = sqlite3_step(t->insert);
	if (step == SQLITE_DONE) {
		t->count->added++;
	} else if ((step & 0xff) == SQLITE_CONSTRAINT) {
		t->count->refused++;
		note(m->run->result, t, sqlite3_errmsg(m->db));
	} else {
		rc = sqlite_fail(m->db, step, m->path, "cannot write the key database");
	}
	sqlite3_reset(t->insert);
	sqlite3_clear_bindings(t->insert);
	return rc;
}

static int merge_row(struct table *t, struct merger *m)
{
	bool there, same;
	int rc = look_up(&there, &same, t, m);

	if (rc < 0)
		return rc;
	if (same) {
		t->count->same++;
	} else if (there) {
		t->count->differ++;
		note(m->run->result, t, NULL);
	} else {
		rc = insert(t, m);
	}
	if (rc == KC_OK && ++m->done % PROGRESS_ROWS == 0)
		rc = m->run->progress(m->run->arg, m->run->rows > 0 ? (unsigned)(m->done * 100 / m->run->rows) : 0);
	return rc;
}

static int merge_table(struct merger *m, const char *name)
{
	struct merge_result *r = m->run->result;
	struct table t = { .name = name };
	int step = SQLITE_DONE, rc = open_table(&t, m);

	if (rc == KC_OK) {
		r->tables = mem_xrealloc(r->tables, (r->n_tables + 1) * sizeof(*r->tables));
		t.count = &r->tables[r->n_tables];
		*t.count = (struct merge_table){ .name = str_printable(mem_xstrdup(name)) };
		r->n_tables++;
	}
	while (rc == KC_OK && (step = sqlite3_step(t.scan)) == SQLITE_ROW)
		rc = merge_row(&t, m);
	if (rc == KC_OK && step != SQLITE_DONE)
		rc = sqlite_fail(m->img, step, m->run->image, "cannot read the backup's database");
	if (t.count != NULL) {
		r->added += t.count->added;
		r->differ += t.count->differ;
		r->refused += t.count->refused;
	}
	close_table(&t);
	return rc;
}

static int has_rows(bool *has, const struct merger *m, const char *table)
{
	char *sql = sqlite3_mprintf("SELECT EXISTS(SELECT 1 FROM main.\"%w\")", table);
	int64_t any = 0;
	int rc = sqlite_int(&any, m->img, m->run->image, sql);

	sqlite3_free(sql);
	*has = any != 0;
	return rc;
}

static int merge_tables(struct merger *m)
{
	struct name_list from = { NULL, 0 }, to = { NULL, 0 };
	int rc = ordinary_tables(&from, m->img, m->run->image);
	bool has;

	if (rc == KC_OK)
		rc = ordinary_tables(&to, m->db, m->path);
	for (size_t i = 0; rc == KC_OK && i < from.n; i++) {
		rc = has_rows(&has, m, from.names[i]);
		if (rc < 0 || !has)
			continue;
		rc = name_list_has(&to, from.names[i]) ? merge_table(m, from.names[i])
						       : missing(m, "table", from.names[i], NULL);
	}
	name_list_fini(&from);
	name_list_fini(&to);
	return rc;
}

/* Rows that refer to rows that are not there. */
static int broken_references(int64_t *n, const struct merger *m)
{
	sqlite3_stmt *st = NULL;
	int step, rc = sqlite_prepare(&st, m->db, m->path, "PRAGMA main.foreign_key_check");

	if (rc < 0)
		return rc;
	for (*n = 0; (step = sqlite3_step(st)) == SQLITE_ROW;)
		++*n;
	sqlite3_finalize(st);
	/* A reference to a table that is not there at all: nothing that we could judge. */
	return step == SQLITE_DONE || step == SQLITE_ERROR
		   ? KC_OK
		   : sqlite_fail(m->db, step, m->path, "cannot read the key database");
}

static int merge_all(struct merger *m)
{
	const struct merge_result *r = m->run->result;
	int64_t before = 0, after = 0;
	int rc = broken_references(&before, m);

	if (rc == KC_OK)
		rc = merge_tables(m);
	if (rc == KC_OK && r->refused > 0)
		rc = err_set(KC_EFAIL,
		    "%s: %llu row%s of the backup cannot be added beside what is there; nothing was added", m->path,
		    (unsigned long long)r->refused, r->refused == 1 ? "" : "s");
	if (rc == KC_OK && r->added > 0)
		rc = broken_references(&after, m);
	if (rc == KC_OK && after > before)
		rc = err_set(KC_EFAIL, "%s: %lld of the rows refer to rows that are not there; nothing was added",
		    m->path, (long long)(after - before));
	if (rc == KC_OK && r->added > 0)
		rc = m->run->before_commit(m->run->arg);
	return rc;
}

static int begin(const struct merger *m)
{
	int step;

	source_begin_wait(m->run->live, m->run->lock_ms);
	step = sqlite3_exec(m->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	return step == SQLITE_OK ? KC_OK : source_fail(m->run->live, m->db, step, "cannot write the key database");
}

int merge_rows(const struct merge_run *run)
{
	struct merger m = { .run = run, .db = run->live->w, .path = run->live->path };
	int rc = sqlite_open_image(&m.img, run->image);

	if (rc == KC_OK)
		rc = begin(&m);
	if (rc < 0) {
		sqlite3_close(m.img);
		return rc;
	}
	rc = merge_all(&m);
	if (rc == KC_OK && run->result->added > 0) {
		run->live->known = false; /* its own commits do not move W's version */
		rc = sqlite_exec(m.db, m.path, "COMMIT");
	}
	if (sqlite3_get_autocommit(m.db) == 0)
		sqlite3_exec(m.db, "ROLLBACK", NULL, NULL, NULL);
	sqlite3_close(m.img);
	return rc;
}
