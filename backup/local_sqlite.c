/* SPDX-License-Identifier: Apache-2.0 */
/*
 * local_sqlite: tables that the clone's own application writes. They do not count, and a full that is about to be
 * restored gets their rows in place of its own, while W holds a lock that keeps writers out.
 */
#include <stdlib.h>
#include <string.h>

#include "backup/source_sqlite.h"
#include "base/err.h"

static int refused(const char *table, const char *why)
{
	return err_set(KC_ECONF, "replication.LocalTables: table %s %s", table, why);
}

/* *is: an ordinary table; *rowid: not a WITHOUT ROWID one. */
static int look_at(bool *is, bool *rowid, sqlite3 *db, const char *path, const char *table)
{
	sqlite3_stmt *st = NULL;
	int step, rc = sqlite_prepare(&st, db, path, "PRAGMA main.table_list");

	*is = *rowid = false;
	if (rc < 0)
		return rc;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 1),
			   *type = (const char *)sqlite3_column_text(st, 2);

		if (name == NULL || type == NULL || sqlite3_stricmp(name, table) != 0 || strcmp(type, "table") != 0)
			continue;
		*is = true;
		*rowid = sqlite3_column_int(st, 4) == 0;
	}
	sqlite3_finalize(st);
	return step == SQLITE_DONE ? KC_OK : sqlite_fail(db, step, path, "cannot read the database");
}

static bool same_columns(const struct name_list *a, const struct name_list *b)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		if (!name_list_has(b, a->names[i]))
			return false;
	return a->n == b->n;
}

static int check_columns(struct source *live, sqlite3 *img, const char *image, const char *table)
{
	struct name_list here = { NULL, 0 }, there = { NULL, 0 };
	int rc = sqlite_columns(&here, live->r, live->path, table);

	if (rc == KC_OK)
		rc = sqlite_columns(&there, img, image, table);
	if (rc == KC_OK && !same_columns(&here, &there))
		rc = refused(table, "has other columns in the backup");
	name_list_fini(&here);
	name_list_fini(&there);
	return rc;
}

/* Its rows and the master's are put together without a look at each other: neither may refer to the other. */
static int check_references(const struct source *live, sqlite3 *img, const char *image)
{
	struct name_list tables = { NULL, 0 };
	int rc = sqlite_tables(&tables, img, image, false);

	for (size_t i = 0; rc == KC_OK && i < tables.n; i++) {
		char *sql = sqlite3_mprintf("PRAGMA main.foreign_key_list(\"%w\")", tables.names[i]);
		bool local = name_list_has(&live->local, tables.names[i]);
		sqlite3_stmt *st = NULL;

		rc = sqlite_prepare(&st, img, image, sql);
		sqlite3_free(sql);
		while (rc == KC_OK && sqlite3_step(st) == SQLITE_ROW) {
			const char *to = (const char *)sqlite3_column_text(st, 2);

			if (to != NULL && local != name_list_has(&live->local, to))
				rc = refused(local ? tables.names[i] : to,
				    local ? "refers to a replicated table (a foreign key)"
					  : "is referred to by a replicated table (a foreign key)");
		}
		sqlite3_finalize(st);
	}
	name_list_fini(&tables);
	return rc;
}

static int local_check(struct source *live, const char *image)
{
	sqlite3 *img = NULL;
	bool is, rowid;
	int rc = sqlite_open_image(&img, image);

	for (size_t i = 0; rc == KC_OK && i < live->local.n; i++) {
		const char *table = live->local.names[i];

		rc = look_at(&is, &rowid, img, image, table);
		if (rc == KC_OK && !is)
			rc = refused(table, "is not in the backup; the master's database must have it, too");
		if (rc == KC_OK)
			rc = look_at(&is, &rowid, live->r, live->path, table);
		if (rc == KC_OK && is)
			rc = check_columns(live, img, image, table);
	}
	if (rc == KC_OK)
		rc = check_references(live, img, image);
	sqlite3_close(img);
	return rc;
}

static int local_digest(char content[SOURCE_DIGEST_LEN + 1], struct source *live, const char *image)
{
	struct source_digest d;
	sqlite3 *img = NULL;
	int rc = sqlite_open_image(&img, image);

	if (rc == KC_OK)
		rc = sqlite_digest(&d, img, image, &live->local, live->alive, live->arg);
	sqlite3_close(img);
	if (rc < 0)
		return rc;
	memcpy(content, d.content, SOURCE_DIGEST_LEN + 1);
	source_digest_fini(&d);
	return KC_OK;
}

int source_expect(char content[SOURCE_DIGEST_LEN + 1], struct source *s, const char *image)
{
	int rc = source_refresh(s);

	if (rc == KC_OK)
		rc = local_check(s, image);
	return rc == KC_OK ? local_digest(content, s, image) : rc;
}

/* --- carrying --- */

struct carrier {
	struct source *live;
	sqlite3 *img;
	const char *image;
	const char *table;
	struct name_list columns;
	sqlite3_stmt *from, *to;
};

static void append_columns(sqlite3_str *s, const struct carrier *c, const char *rowid)
{
	if (rowid != NULL)
		sqlite3_str_appendf(s, "%s,", rowid);
	for (size_t i = 0; i < c->columns.n; i++)
		sqlite3_str_appendf(s, "%s\"%w\"", i > 0 ? "," : "", c->columns.names[i]);
}

/* The name by which the row id can be said; NULL: a column of every such name hides it. */
static const char *rowid_name(const struct name_list *columns)
{
	static const char *const names[] = { "rowid", "_rowid_", "oid" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!name_list_has(columns, names[i]))
			return names[i];
	return NULL;
}

static int prepare(struct carrier *c, bool has_rowid)
{
	const char *rowid = has_rowid ? rowid_name(&c->columns) : NULL;
	sqlite3_str *from = sqlite3_str_new(NULL), *to = sqlite3_str_new(NULL);
	char *sql;
	int rc;

	sqlite3_str_appendall(from, "SELECT ");
	append_columns(from, c, rowid);
	sqlite3_str_appendf(from, " FROM main.\"%w\" NOT INDEXED", c->table);
	sqlite3_str_appendf(to, "INSERT INTO main.\"%w\"(", c->table);
	append_columns(to, c, rowid);
	sqlite3_str_appendall(to, ") VALUES(?");
	for (size_t i = rowid != NULL ? 0 : 1; i < c->columns.n; i++)
		sqlite3_str_appendall(to, ",?");
	sqlite3_str_appendall(to, ")");
	sql = sqlite3_str_finish(from);
	rc = sqlite_prepare(&c->from, c->live->w, c->live->path, sql);
	sqlite3_free(sql);
	sql = sqlite3_str_finish(to);
	if (rc == KC_OK)
		rc = sqlite_prepare(&c->to, c->img, c->image, sql);
	sqlite3_free(sql);
	return rc;
}

static int copy_rows(struct carrier *c)
{
	int step = SQLITE_DONE, rc = KC_OK, n = sqlite3_column_count(c->from);

	while (rc == KC_OK && (step = sqlite3_step(c->from)) == SQLITE_ROW) {
		for (int i = 0; i < n; i++)
			sqlite3_bind_value(c->to, i + 1, sqlite3_column_value(c->from, i));
		if (sqlite3_step(c->to) != SQLITE_DONE)
			rc = sqlite_fail(
			    c->img, sqlite3_errcode(c->img), c->image, "cannot carry the rows of a local table over");
		sqlite3_reset(c->to);
	}
	if (rc == KC_OK && step != SQLITE_DONE)
		rc = sqlite_fail(c->live->w, step, c->live->path, "cannot read a local table");
	return rc;
}

static int run(const struct carrier *c, char *sql)
{
	int rc = sqlite_exec(c->img, c->image, sql);

	sqlite3_free(sql);
	return rc;
}

/* The next id of an AUTOINCREMENT table is higher than any that was ever given. */
static int copy_sequence(const struct carrier *c)
{
	sqlite3_stmt *st = NULL;
	int64_t has = 0;
	int rc = sqlite_int(
	    &has, c->live->w, c->live->path, "SELECT count(*) FROM main.sqlite_master WHERE name='sqlite_sequence'");

	if (rc < 0 || has == 0)
		return rc;
	rc = sqlite_prepare(
	    &st, c->live->w, c->live->path, "SELECT seq FROM main.sqlite_sequence WHERE name=?1 COLLATE NOCASE");
	if (rc < 0)
		return rc;
	sqlite3_bind_text(st, 1, c->table, -1, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW)
		rc =
		    run(c, sqlite3_mprintf("DELETE FROM main.sqlite_sequence WHERE name=%Q COLLATE NOCASE; INSERT INTO "
					   "main.sqlite_sequence(name, seq) VALUES(%Q, %lld)",
			       c->table, c->table, sqlite3_column_int64(st, 0)));
	sqlite3_finalize(st);
	return rc;
}

static int carry_table(struct source *live, sqlite3 *img, const char *image, const char *table)
{
	struct carrier c = { .live = live, .img = img, .image = image, .table = table };
	bool is, rowid;
	int rc = look_at(&is, &rowid, live->w, live->path, table);

	if (rc < 0 || !is)
		return rc; /* it has none yet: the master's rows are its first */
	rc = sqlite_columns(&c.columns, live->w, live->path, table);
	if (rc == KC_OK)
		rc = run(&c, sqlite3_mprintf("DELETE FROM main.\"%w\"", table));
	if (rc == KC_OK)
		rc = prepare(&c, rowid);
	if (rc == KC_OK)
		rc = copy_rows(&c);
	sqlite3_finalize(c.from);
	sqlite3_finalize(c.to);
	if (rc == KC_OK)
		rc = copy_sequence(&c);
	name_list_fini(&c.columns);
	return rc;
}

int local_carry(sqlite3 *img, const char *image, struct source *live)
{
	int rc = sqlite_exec(img, image, "BEGIN");

	for (size_t i = 0; rc == KC_OK && i < live->local.n; i++)
		rc = carry_table(live, img, image, live->local.names[i]);
	return rc == KC_OK ? sqlite_exec(img, image, "COMMIT") : rc;
}
