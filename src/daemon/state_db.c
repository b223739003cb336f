/* SPDX-License-Identifier: Apache-2.0 */
/* state_db: opens the state database, brings its tables up to date, and moves records in and out. */
#include "state_db.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define STATE_VERSION 3 /* also in prepare_schema() */
#define BUSY_MS	      10000

const struct state_table *state_db_table(const char *name)
{
	const struct state_table *t = state_tables;

	while (strcmp(t->name, name) != 0)
		t++;
	return t;
}

int state_db_error(struct state *s)
{
	int code = sqlite3_errcode(s->db);

	return err_set(code == SQLITE_FULL				 ? KC_ENOSPC
		       : code == SQLITE_BUSY				 ? KC_EBUSY
		       : code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? KC_EDAMAGED
									 : KC_ESYS,
	    "%s: %s", s->path, sqlite3_errmsg(s->db));
}

int state_db_run(struct state *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? KC_OK : state_db_error(s);
}

int state_db_prepare(sqlite3_stmt **st, struct state *s, const char *sql)
{
	return sqlite3_prepare_v2(s->db, sql, -1, st, NULL) == SQLITE_OK ? KC_OK : state_db_error(s);
}

int state_db_finish(struct state *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st) == SQLITE_DONE ? KC_OK : state_db_error(s);

	sqlite3_finalize(st);
	return rc;
}

static void append(char **sql, const char *text)
{
	char *more = mem_xasprintf("%s%s", *sql != NULL ? *sql : "", text);

	free(*sql);
	*sql = more;
}

static char *define_column(const struct state_field *f)
{
	bool text = f->type == STATE_FIELD_TEXT || f->type == STATE_FIELD_HEAP;

	return mem_xasprintf("%s %s NOT NULL DEFAULT %s", f->column, text ? "TEXT" : "INTEGER", text ? "''" : "0");
}

static int create_table(struct state *s, const struct state_table *t)
{
	char *sql = mem_xasprintf("CREATE TABLE IF NOT EXISTS %s(", t->name);
	int rc;

	if (strcmp(t->key, "one") == 0)
		append(&sql, "one INT NOT NULL DEFAULT 1 CHECK(one = 1), ");
	for (const struct state_field *f = t->fields; f->column != NULL; f++) {
		char *column = define_column(f);

		append(&sql, column);
		append(&sql, ", ");
		free(column);
	}
	append(&sql, "PRIMARY KEY(");
	append(&sql, t->key);
	append(&sql, "))");
	rc = state_db_run(s, sql);
	free(sql);
	return rc;
}

int state_db_put(struct state *s, const struct state_table *t, const void *record)
{
	char *sql = mem_xasprintf("INSERT OR REPLACE INTO %s(", t->name), *values = NULL;
	sqlite3_stmt *st = NULL;
	int rc, i = 0;

	for (const struct state_field *f = t->fields; f->column != NULL; f++) {
		append(&sql, f == t->fields ? "" : ", ");
		append(&sql, f->column);
		append(&values, f == t->fields ? "?" : ", ?");
	}
	append(&sql, ") VALUES(");
	append(&sql, values);
	append(&sql, ")");
	rc = state_db_prepare(&st, s, sql);
	free(sql);
	free(values);
	if (rc < 0)
		return rc;
	for (const struct state_field *f = t->fields; f->column != NULL; f++) {
		const void *at = (const char *)record + f->offset;

		i++;
		if (f->type == STATE_FIELD_TEXT)
			sqlite3_bind_text(st, i, at, -1, SQLITE_TRANSIENT);
		else if (f->type == STATE_FIELD_HEAP)
			sqlite3_bind_text(
			    st, i, *(char *const *)at != NULL ? *(char *const *)at : "", -1, SQLITE_TRANSIENT);
		else if (f->type == STATE_FIELD_PORT)
			sqlite3_bind_int(st, i, *(const uint16_t *)at);
		else if (f->type == STATE_FIELD_BOOL)
			sqlite3_bind_int(st, i, *(const bool *)at);
		else
			sqlite3_bind_int64(st, i, *(const int64_t *)at);
	}
	return state_db_finish(s, st);
}

static void take_row(void *record, sqlite3_stmt *st, const struct state_table *t)
{
	int i = 0;

	for (const struct state_field *f = t->fields; f->column != NULL; f++, i++) {
		void *at = (char *)record + f->offset;
		const char *text = (const char *)sqlite3_column_text(st, i);

		if (f->type == STATE_FIELD_TEXT)
			snprintf(at, f->size, "%s", text != NULL ? text : "");
		else if (f->type == STATE_FIELD_HEAP)
			*(char **)at = mem_xstrdup(text != NULL ? text : "");
		else if (f->type == STATE_FIELD_PORT)
			*(uint16_t *)at = (uint16_t)sqlite3_column_int(st, i);
		else if (f->type == STATE_FIELD_BOOL)
			*(bool *)at = sqlite3_column_int(st, i) != 0;
		else
			*(int64_t *)at = sqlite3_column_int64(st, i);
	}
}

/* SELECT of all fields; `tail` follows. */
static int select_rows(
    sqlite3_stmt **st, struct state *s, const struct state_table *t, const char *tail, const char *text, int number)
{
	char *sql = mem_xstrdup("SELECT ");
	int rc;

	for (const struct state_field *f = t->fields; f->column != NULL; f++) {
		append(&sql, f == t->fields ? "" : ", ");
		append(&sql, f->column);
	}
	append(&sql, " FROM ");
	append(&sql, t->name);
	append(&sql, tail);
	rc = state_db_prepare(st, s, sql);
	free(sql);
	if (rc < 0)
		return rc;
	if (text != NULL)
		sqlite3_bind_text(*st, 1, text, -1, SQLITE_STATIC);
	if (number != 0)
		sqlite3_bind_int(*st, 2, number);
	return KC_OK;
}

int state_db_get(
    void *record, struct state *s, const struct state_table *t, const char *tail, const char *text, int number)
{
	sqlite3_stmt *st = NULL;
	int rc = select_rows(&st, s, t, tail, text, number);

	if (rc < 0)
		return rc;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		take_row(record, st, t);
	rc = rc == SQLITE_ROW ? KC_OK : rc == SQLITE_DONE ? KC_ENOENT : state_db_error(s);
	sqlite3_finalize(st);
	return rc;
}

int state_db_each(struct state *s, const struct state_table *t, const char *tail, const char *text, size_t size,
    int (*each)(void *record, void *arg), void *arg)
{
	sqlite3_stmt *st = NULL;
	void *record = mem_xalloc(size);
	int step = SQLITE_DONE, rc = select_rows(&st, s, t, tail, text, 0);

	while (rc == KC_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		memset(record, 0, size);
		take_row(record, st, t);
		rc = each(record, arg);
	}
	if (rc == KC_OK && step != SQLITE_DONE)
		rc = state_db_error(s);
	sqlite3_finalize(st);
	free(record);
	return rc;
}

int state_db_delete(struct state *s, const char *sql, const char *text, int number)
{
	sqlite3_stmt *st = NULL;
	int rc = state_db_prepare(&st, s, sql);

	if (rc < 0)
		return rc;
	if (text != NULL)
		sqlite3_bind_text(st, 1, text, -1, SQLITE_STATIC);
	if (number != 0)
		sqlite3_bind_int(st, 2, number);
	return state_db_finish(s, st);
}

static int read_version(int *version, struct state *s)
{
	sqlite3_stmt *st = NULL;
	int rc = state_db_prepare(&st, s, "PRAGMA user_version");

	if (rc < 0)
		return rc;
	if (sqlite3_step(st) == SQLITE_ROW)
		*version = sqlite3_column_int(st, 0);
	else
		rc = state_db_error(s);
	sqlite3_finalize(st);
	return rc;
}

static bool has_column(struct state *s, const struct state_table *t, const struct state_field *f)
{
	return sqlite3_table_column_metadata(s->db, "main", t->name, f->column, NULL, NULL, NULL, NULL, NULL) ==
	       SQLITE_OK;
}

static bool is_complete(struct state *s)
{
	for (const struct state_table *t = state_tables; t->name != NULL; t++)
		for (const struct state_field *f = t->fields; f->column != NULL; f++)
			if (!has_column(s, t, f))
				return false;
	return true;
}

/* A table that an older version made: what it lacks. */
static int add_columns(struct state *s, const struct state_table *t)
{
	int rc = KC_OK;

	for (const struct state_field *f = t->fields; rc == KC_OK && f->column != NULL; f++) {
		char *definition, *sql;

		if (has_column(s, t, f))
			continue;
		definition = define_column(f);
		sql = mem_xasprintf("ALTER TABLE %s ADD COLUMN %s", t->name, definition);
		rc = state_db_run(s, sql);
		free(sql);
		free(definition);
	}
	return rc;
}

static int prepare_schema(struct state *s)
{
	int version = 0, rc = read_version(&version, s);

	if (rc < 0)
		return rc;
	if (version > STATE_VERSION)
		return err_set(KC_EFORMAT, "%s: made by a newer version of keyclone (format %d, this one knows %d)",
		    s->path, version, STATE_VERSION);
	if (version == STATE_VERSION && is_complete(s))
		return KC_OK;
	rc = state_db_run(s, "BEGIN IMMEDIATE");
	for (const struct state_table *t = state_tables; rc == KC_OK && t->name != NULL; t++) {
		rc = create_table(s, t);
		if (rc == KC_OK)
			rc = add_columns(s, t);
	}
	if (rc == KC_OK)
		rc = state_db_run(s, "CREATE TABLE IF NOT EXISTS audit_head(one INTEGER PRIMARY KEY CHECK(one = 1), "
				     "seq INTEGER NOT NULL, hash TEXT NOT NULL);"
				     "PRAGMA user_version = 3; COMMIT");
	if (rc < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

/* SQLite makes files with the umask's mode and root's owner: make ours first. */
static int make_file(const char *path)
{
	int fd = -1, rc = file_open_own(&fd, path, O_RDWR | O_CREAT);

	if (fd >= 0)
		close(fd);
	return rc;
}

int state_open(struct state **out, const char *dir, bool create)
{
	struct state *s = mem_xalloc(sizeof(*s));
	int rc = KC_OK;

	s->path = file_join(dir, "state.db");
	if (create && (rc = file_make_dirs(dir)) == KC_OK)
		rc = make_file(s->path);
	else if (!create && access(s->path, F_OK) < 0)
		rc = err_errno("%s", s->path);
	if (rc == KC_OK && sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		rc = err_set(
		    KC_ESYS, "%s: cannot open: %s", s->path, s->db != NULL ? sqlite3_errmsg(s->db) : "no memory");
	if (rc == KC_OK) {
		sqlite3_busy_timeout(s->db, BUSY_MS);
		rc = state_db_run(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-256");
	}
	if (rc == KC_OK)
		rc = prepare_schema(s);
	if (rc < 0) {
		state_close(s);
		return rc;
	}
	*out = s;
	return KC_OK;
}

void state_close(struct state *s)
{
	if (s == NULL)
		return;
	sqlite3_close(s->db);
	free(s->path);
	free(s);
}
