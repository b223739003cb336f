/* SPDX-License-Identifier: Apache-2.0 */
/* shape_sqlite: what the schema says of a table. */
#include "backup/shape_sqlite.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define KEY_MAX 255 /* columns in a key: a changeset numbers them in one byte */

static int read_kind(struct shape *s, sqlite3 *db, const char *path)
{
	char *sql =
	    sqlite3_mprintf("SELECT wr FROM pragma_table_list(%Q) WHERE schema='main' AND type='table' AND name=%Q AND "
			    "lower(substr(name, 1, 7))<>'sqlite_'",
		s->name, s->name);
	sqlite3_stmt *st = NULL;
	int step, rc = sqlite_prepare(&st, db, path, sql);

	sqlite3_free(sql);
	if (rc < 0)
		return rc;
	step = sqlite3_step(st);
	if (step == SQLITE_ROW)
		s->without_rowid = sqlite3_column_int(st, 0) != 0;
	else if (step == SQLITE_DONE)
		rc = err_set(KC_ENEEDFULL, "table %s: is no ordinary table", s->name);
	else
		rc = sqlite_fail(db, step, path, "cannot read the database");
	sqlite3_finalize(st);
	return rc;
}

static int read_columns(struct shape *s, sqlite3 *db, const char *path)
{
	char *sql = sqlite3_mprintf("SELECT name, pk, hidden FROM pragma_table_xinfo(%Q, 'main')", s->name);
	sqlite3_stmt *st = NULL;
	int step = SQLITE_DONE, rc = sqlite_prepare(&st, db, path, sql);

	sqlite3_free(sql);
	while (rc == KC_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		int key = sqlite3_column_int(st, 1);

		if (sqlite3_column_int(st, 2) != 0) {
			s->generated = true;
			continue;
		}
		if (key > KEY_MAX)
			rc = err_set(
			    KC_ENEEDFULL, "table %s: more than %d columns in the primary key", s->name, KEY_MAX);
		name_list_add(&s->columns, (const char *)sqlite3_column_text(st, 0));
		s->key = mem_xrealloc(s->key, s->columns.n);
		s->key[s->columns.n - 1] = (uint8_t)key;
		s->n_key += key > 0;
	}
	if (rc == KC_OK && step != SQLITE_DONE)
		rc = sqlite_fail(db, step, path, "cannot read the database");
	sqlite3_finalize(st);
	if (rc == KC_OK && s->columns.n == 0)
		rc = err_set(KC_EDAMAGED, "%s: table %s has no columns", path, s->name);
	return rc;
}

/* The names of the row id are those that no column has; a key that is the row id has its own. */
static int find_row_id(struct shape *s, sqlite3 *db, const char *path)
{
	static const char *const names[] = { "rowid", "_rowid_", "oid" };
	int64_t n = 0;
	int rc;

	if (s->without_rowid)
		return KC_OK;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		/* pragma: generated columns count here */
		rc = sqlite_int_of(&n, db, path,
		    sqlite3_mprintf(
			"SELECT count(*) FROM pragma_table_xinfo(%Q, 'main') WHERE lower(name)=%Q", s->name, names[i]));
		if (rc < 0)
			return rc;
		if (n == 0) {
			s->row_id = mem_xstrdup(names[i]);
			return KC_OK;
		}
	}
	if (s->n_key != 1)
		return KC_OK;
	rc = sqlite_int_of(&n, db, path,
	    sqlite3_mprintf("SELECT count(*) FROM pragma_index_list(%Q, 'main') WHERE origin='pk'", s->name));
	for (size_t i = 0; rc == KC_OK && n == 0 && i < s->columns.n; i++)
		if (s->key[i] > 0)
			s->row_id = mem_xstrdup(s->columns.names[i]);
	return rc;
}

int shape_open(struct shape *out, sqlite3 *db, const char *path, const char *table)
{
	struct shape s = { .name = mem_xstrdup(table) };
	int64_t odd = 0;
	int rc = read_kind(&s, db, path);

	if (rc == KC_OK)
		rc = read_columns(&s, db, path);
	if (rc == KC_OK)
		rc = find_row_id(&s, db, path);
	if (rc == KC_OK)
		rc = sqlite_int_of(&odd, db, path,
		    sqlite3_mprintf("SELECT count(*) FROM pragma_index_list(%Q, 'main') l WHERE l.partial<>0 OR EXISTS "
				    "(SELECT 1 FROM pragma_index_xinfo(l.name, 'main') x WHERE x.cid=-2)",
			table));
	s.odd = odd > 0;
	if (rc < 0)
		shape_close(&s);
	else
		*out = s;
	return rc;
}

void shape_close(struct shape *s)
{
	free(s->name);
	name_list_fini(&s->columns);
	free(s->key);
	free(s->row_id);
	memset(s, 0, sizeof(*s));
}

/* A collation where order depends on it: of an index's columns; the others in it are the key's, or no part of its
 * order. */
static int check_collations(const struct shape *s, sqlite3 *db, const char *path)
{
	char *sql = sqlite3_mprintf("SELECT x.coll, l.origin='pk', x.name FROM pragma_index_list(%Q, 'main') l, "
				    "pragma_index_xinfo(l.name, 'main') "
				    "x WHERE x.key<>0 AND x.coll IS NOT NULL",
	    s->name);
	sqlite3_stmt *st = NULL;
	int step = SQLITE_DONE, rc = sqlite_prepare(&st, db, path, sql);

	sqlite3_free(sql);
	while (rc == KC_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0), *column, *own = NULL;

		if (sqlite3_stricmp(name, "BINARY") != 0 && sqlite3_stricmp(name, "NOCASE") != 0 &&
		    sqlite3_stricmp(name, "RTRIM") != 0)
			rc = err_set(KC_ENEEDFULL, "table %s: collation %s of an index is not built in", s->name, name);
		column = (const char *)sqlite3_column_text(st, 2);
		if (rc < 0 || sqlite3_column_int(st, 1) == 0 || column == NULL)
			continue;
		if (sqlite3_table_column_metadata(db, "main", s->name, column, NULL, &own, NULL, NULL, NULL) !=
			SQLITE_OK ||
		    own == NULL || sqlite3_stricmp(own, name) != 0)
			rc = err_set(KC_ENEEDFULL, "table %s: the primary key has another collation than its column %s",
			    s->name, column);
	}
	if (rc == KC_OK && step != SQLITE_DONE)
		rc = sqlite_fail(db, step, path, "cannot read the database");
	sqlite3_finalize(st);
	return rc;
}

/* An index may call a function of the application's; SQLite tells when it is asked to keep it up to date. */
static int check_functions(const struct shape *s, sqlite3 *db, const char *path)
{
	char *sql = sqlite3_mprintf("INSERT INTO main.\"%w\" DEFAULT VALUES", s->name);
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	sqlite3_free(sql);
	sqlite3_finalize(st);
	if (code == SQLITE_OK)
		return KC_OK;
	if ((code & 0xff) == SQLITE_ERROR)
		return err_set(KC_ENEEDFULL, "table %s: %s", s->name, sqlite3_errmsg(db));
	return sqlite_fail(db, code, path, "cannot write the database");
}

int shape_check(const struct shape *s, sqlite3 *db, const char *path)
{
	int rc;

	if (s->n_key == 0)
		return err_set(KC_ENEEDFULL, "table %s: has no primary key", s->name);
	if (s->generated)
		return err_set(KC_ENEEDFULL, "table %s: has generated columns", s->name);
	rc = check_collations(s, db, path);
	return rc == KC_OK ? check_functions(s, db, path) : rc;
}

static int open_scan(
    struct row_scan *scan, const struct shape *s, sqlite3 *db, const char *path, const char *how, bool by_key)
{
	sqlite3_str *q = sqlite3_str_new(NULL);
	int bound = 0;

	if (s->row_id != NULL)
		sqlite3_str_appendf(q, "SELECT \"%w\"", s->row_id);
	else
		sqlite3_str_appendall(q, "SELECT 0");
	for (size_t i = 0; i < s->columns.n; i++)
		sqlite3_str_appendf(q, ",\"%w\"", s->columns.names[i]);
	sqlite3_str_appendf(q, " FROM main.\"%w\"%s", s->name, how);
	for (size_t i = 0; by_key && i < s->columns.n; i++)
		if (s->key[i] > 0) {
			bound++;
			sqlite3_str_appendf(
			    q, " %s \"%w\"=?%d", bound == 1 ? "WHERE" : "AND", s->columns.names[i], bound);
		}
	return row_scan_open_sql(scan, db, path, s->name, sqlite3_str_finish(q), 1);
}

int shape_by_key(struct row_scan *scan, const struct shape *s, sqlite3 *db, const char *path)
{
	return open_scan(scan, s, db, path, "", true);
}

int shape_by_row_id(struct row_scan *scan, const struct shape *s, sqlite3 *db, const char *path)
{
	char *where = sqlite3_mprintf(" WHERE \"%w\"=?1", s->row_id);
	int rc = open_scan(scan, s, db, path, where, false);

	sqlite3_free(where);
	return rc;
}

int shape_all(struct row_scan *scan, const struct shape *s, sqlite3 *db, const char *path)
{
	return open_scan(scan, s, db, path, " NOT INDEXED", false);
}
