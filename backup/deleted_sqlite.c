/* SPDX-License-Identifier: Apache-2.0 */
/* deleted_sqlite: the base's keys, each looked up in the snapshot by SQLite. */
#include "backup/deleted.h"

#include <stdio.h>
#include <string.h>

#include "backup/base.h"
#include "backup/source_sqlite.h"
#include "base/err.h"
#include "base/file.h"
#include "base/str.h"

#define STEPS 200000 /* of SQLite's machine, between two signs of life */

struct search {
	sqlite3 *db; /* main: the base; now: the snapshot */
	const char *path;
	unsigned percent;
	struct deleted *d;
	int (*alive)(void *arg);
	void *arg;
	int alive_rc;
};

static int on_steps(void *arg)
{
	struct search *s = arg;

	s->alive_rc = s->alive(s->arg);
	return s->alive_rc < 0;
}

/* What kind of table is it now, and what is its key? */
struct key {
	struct name_list columns;
	bool is_rowid; /* one INTEGER column: another name of the row id */
};

static int key_of(struct key *key, struct search *s, const char *schema, const char *table)
{
	char *sql = sqlite3_mprintf(
	    "SELECT name, upper(type) FROM pragma_table_xinfo(%Q, %Q) WHERE pk > 0 ORDER BY pk", table, schema);
	sqlite3_stmt *st = NULL;
	int step, rc = sqlite_prepare(&st, s->db, s->path, sql);

	sqlite3_free(sql);
	if (rc < 0)
		return rc;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *type = (const char *)sqlite3_column_text(st, 1);

		key->is_rowid = key->columns.n == 0 && type != NULL && strcmp(type, "INTEGER") == 0;
		name_list_add(&key->columns, (const char *)sqlite3_column_text(st, 0));
	}
	sqlite3_finalize(st);
	return step == SQLITE_DONE ? KC_OK : sqlite_fail(s->db, step, s->path, "cannot read the database");
}

static bool same_key(const struct key *a, const struct key *b)
{
	bool same = a->columns.n == b->columns.n;

	for (size_t i = 0; same && i < a->columns.n; i++)
		same = sqlite3_stricmp(a->columns.names[i], b->columns.names[i]) == 0;
	return same;
}

static int number(uint64_t *n, struct search *s, char *sql)
{
	int64_t value = 0;
	int rc = sqlite_int_of(&value, s->db, s->path, sql);

	if (s->alive_rc < 0)
		return s->alive_rc;
	*n = (uint64_t)value;
	return rc;
}

/* IS, for a key may hold NULL; the row id cannot, and is looked up by = alone. */
static char *missing_sql(const char *table, const struct key *key)
{
	sqlite3_str *q = sqlite3_str_new(NULL);

	sqlite3_str_appendf(
	    q, "SELECT count(*) FROM main.\"%w\" b WHERE NOT EXISTS (SELECT 1 FROM now.\"%w\" n WHERE ", table, table);
	for (size_t i = 0; i < key->columns.n; i++)
		sqlite3_str_appendf(q, "%sn.\"%w\" %s b.\"%w\"", i > 0 ? " AND " : "", key->columns.names[i],
		    key->is_rowid ? "=" : "IS", key->columns.names[i]);
	sqlite3_str_appendall(q, ")");
	return sqlite3_str_finish(q);
}

static int is_there(bool *there, struct search *s, const char *table)
{
	uint64_t n = 0;
	int rc = number(&n, s,
	    sqlite3_mprintf(
		"SELECT count(*) FROM now.sqlite_master WHERE type='table' AND name=%Q COLLATE NOCASE", table));

	*there = n > 0;
	return rc;
}

static int count(uint64_t *deleted, struct search *s, const char *table, uint64_t rows)
{
	struct key before = { .is_rowid = false }, after = { .is_rowid = false };
	uint64_t left = 0;
	bool there = false;
	int rc = is_there(&there, s, table);

	*deleted = rows;
	if (rc < 0 || !there)
		return rc;
	rc = key_of(&before, s, "main", table);
	if (rc == KC_OK)
		rc = key_of(&after, s, "now", table);
	if (rc == KC_OK && before.columns.n > 0 && same_key(&before, &after)) {
		rc = number(deleted, s, missing_sql(table, &before));
	} else if (rc == KC_OK) {
		rc = number(&left, s, sqlite3_mprintf("SELECT count(*) FROM now.\"%w\"", table));
		*deleted = left < rows ? rows - left : 0;
	}
	name_list_fini(&before.columns);
	name_list_fini(&after.columns);
	return rc;
}

void deleted_count(struct deleted *d, const char *table, uint64_t gone, uint64_t rows, unsigned percent)
{
	if (gone < DELETED_LEAST || gone * 100 <= rows * percent)
		return;
	d->tables++;
	if (d->tables == 1 || gone * d->rows > d->deleted * rows) {
		STR_COPY(d->table, table);
		d->deleted = gone;
		d->rows = rows;
	}
}

static int look_at(struct search *s, const char *table)
{
	uint64_t rows = 0, gone = 0;
	int rc = number(&rows, s, sqlite3_mprintf("SELECT count(*) FROM main.\"%w\"", table));

	if (rc < 0 || rows < DELETED_LEAST)
		return rc;
	rc = count(&gone, s, table, rows);
	if (rc == KC_OK)
		deleted_count(s->d, table, gone, rows, s->percent);
	return rc;
}

/* Those that a user made. */
static int tables_of(struct name_list *tables, struct search *s)
{
	sqlite3_stmt *st = NULL;
	int step,
	    rc = sqlite_prepare(&st, s->db, s->path,
		"SELECT name FROM pragma_table_list WHERE schema='main' AND type='table' AND name NOT GLOB 'sqlite_*'");

	if (rc < 0)
		return rc;
	while ((step = sqlite3_step(st)) == SQLITE_ROW)
		name_list_add(tables, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return step == SQLITE_DONE ? KC_OK : sqlite_fail(s->db, step, s->path, "cannot read the database");
}

int deleted_find(struct deleted *out, const char *base, const char *digest, const char *snapshot, unsigned percent,
    int (*alive)(void *arg), void *arg)
{
	struct deleted d = { .tables = 0 };
	struct search s = { .path = base, .percent = percent, .d = &d, .alive = alive, .arg = arg };
	struct name_list tables = { NULL, 0 };
	struct source_digest counted = { .rows = 0 };
	int rc = KC_OK;

	if (!file_exists(base))
		return err_set(KC_ENOENT, "%s: is not there", base);
	if (digest != NULL) {
		rc = base_read(&counted, base, digest, alive, arg);
		source_digest_fini(&counted);
	}
	if (rc == KC_OK)
		rc = sqlite_open_image(&s.db, base);
	if (rc == KC_OK)
		rc = sqlite_attach_image(s.db, snapshot, "now");
	if (rc == KC_OK && alive != NULL)
		sqlite3_progress_handler(s.db, STEPS, on_steps, &s);
	if (rc == KC_OK)
		rc = tables_of(&tables, &s);
	for (size_t i = 0; rc == KC_OK && i < tables.n; i++)
		rc = look_at(&s, tables.names[i]);
	name_list_fini(&tables);
	sqlite3_close(s.db);
	if (rc == KC_OK)
		*out = d;
	return rc;
}
