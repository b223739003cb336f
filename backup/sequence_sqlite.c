/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sequence_sqlite: the rows of sqlite_sequence, which SQLite keeps and anybody may write: nothing says that a table has
 * one row in it only, or that the number is one.
 */
#include <stdlib.h>
#include <string.h>

#include "backup/source_sqlite.h"
#include "base/err.h"
#include "base/mem.h"

/* What the sequence table knows of tables that do not count does not count either. */
char *sequences_filter(const struct name_list *skip)
{
	sqlite3_str *s = sqlite3_str_new(NULL);

	if (skip != NULL && skip->n > 0) {
		sqlite3_str_appendall(s, "WHERE lower(name) NOT IN (");
		for (size_t i = 0; i < skip->n; i++)
			sqlite3_str_appendf(s, "%slower(%Q)", i > 0 ? "," : "", skip->names[i]);
		sqlite3_str_appendall(s, ")");
	}
	return sqlite3_str_finish(s);
}

int sequences_read(struct source_digest *d, sqlite3 *db, const char *path)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite_prepare(&st, db, path, "SELECT name, seq FROM main.sqlite_sequence ORDER BY name"), step;

	if (rc < 0)
		return rc;
	while ((step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);

		if (name == NULL)
			continue;
		d->sequences = mem_xrealloc(d->sequences, (d->n_sequences + 1) * sizeof(*d->sequences));
		d->sequences[d->n_sequences++] =
		    (struct source_sequence){ mem_xstrdup(name), sqlite3_column_int64(st, 1) };
	}
	sqlite3_finalize(st);
	return step == SQLITE_DONE ? KC_OK : sqlite_fail(db, step, path, "cannot read the database");
}

int sequences_exist(bool *exist, sqlite3 *db, const char *path)
{
	int64_t n = 0;
	int rc = sqlite_int(
	    &n, db, path, "SELECT count(*) FROM main.sqlite_master WHERE type='table' AND name='sqlite_sequence'");

	*exist = n > 0;
	return rc;
}

/* Of the rows for which `where` (NULL: all) holds. */
static int sum_where(struct row_hash *sum, sqlite3 *db, const char *path, const char *where)
{
	struct row_scan scan = { .st = NULL };
	struct row_hash all = { { 0 } }, h;
	bool done = false;
	int rc = sequences_exist(&done, db, path);

	done = !done;
	if (rc == KC_OK && !done)
		rc = row_scan_open_where(
		    &scan, db, path, "sqlite_sequence", sqlite3_mprintf("name, seq"), 0, where != NULL ? where : "");
	while (rc == KC_OK && !done && (rc = row_scan_next(&h, &done, &scan)) == KC_OK && !done)
		row_hash_add(&all, &h);
	row_scan_close(&scan);
	if (rc == KC_OK)
		*sum = all;
	return rc;
}

int sequences_sum(struct row_hash *sum, sqlite3 *db, const char *path, const struct name_list *skip)
{
	char *where = sequences_filter(skip);
	int rc = sum_where(sum, db, path, where);

	sqlite3_free(where);
	return rc;
}

int sequences_sum_of(struct row_hash *sum, sqlite3 *db, const char *path, const char *table)
{
	char *where = sqlite3_mprintf("WHERE lower(name)=lower(%Q)", table);
	int rc = sum_where(sum, db, path, where);

	sqlite3_free(where);
	return rc;
}

int sequences_check(sqlite3 *db, const char *path)
{
	int64_t odd = 0;
	bool exist = false;
	int rc = sequences_exist(&exist, db, path);

	if (rc < 0 || !exist)
		return rc;
	rc = sqlite_int(&odd, db, path,
	    "SELECT count(*) - count(DISTINCT CASE WHEN typeof(name)='text' AND typeof(seq)='integer' AND instr(name, "
	    "char(0))=0 THEN name END) FROM main.sqlite_sequence");
	if (rc == KC_OK && odd != 0)
		rc = err_set(KC_ENEEDFULL, "sqlite_sequence has rows that are not one number for each table");
	return rc;
}

/* Which of those that are wanted is of this table? n: none. */
static size_t find(const struct source_sequence *wanted, size_t n, const char *name)
{
	size_t i = 0;

	while (i < n && (name == NULL || strcmp(wanted[i].table, name) != 0))
		i++;
	return i;
}

/* Removes what is not wanted, so that what is left is right; notes which are there. */
static int remove_wrong(bool *there, sqlite3 *db, const char *path, const struct source_sequence *wanted, size_t n,
    const struct name_list *skip)
{
	char *where = sequences_filter(skip);
	char *sql = sqlite3_mprintf("SELECT rowid, name, typeof(name), seq, typeof(seq) FROM main.sqlite_sequence %s",
	    where != NULL ? where : "");
	sqlite3_stmt *st = NULL, *del = NULL;
	int step = SQLITE_DONE, rc = sqlite_prepare(&st, db, path, sql);

	sqlite3_free(sql);
	sqlite3_free(where);
	if (rc == KC_OK)
		rc = sqlite_prepare(&del, db, path, "DELETE FROM main.sqlite_sequence WHERE rowid=?1");
	while (rc == KC_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		size_t i = find(wanted, n, (const char *)sqlite3_column_text(st, 1));

		if (i < n && !there[i] && strcmp((const char *)sqlite3_column_text(st, 2), "text") == 0 &&
		    strcmp((const char *)sqlite3_column_text(st, 4), "integer") == 0 &&
		    sqlite3_column_int64(st, 3) == wanted[i].value) {
			there[i] = true;
			continue;
		}
		sqlite3_bind_int64(del, 1, sqlite3_column_int64(st, 0));
		step = sqlite3_step(del);
		if (step != SQLITE_DONE)
			rc = sqlite_fail(db, step, path, "cannot write the database");
		sqlite3_reset(del);
	}
	if (rc == KC_OK && step != SQLITE_DONE)
		rc = sqlite_fail(db, step, path, "cannot read the database");
	sqlite3_finalize(st);
	sqlite3_finalize(del);
	return rc;
}

static int add_missing(const bool *there, sqlite3 *db, const char *path, const struct source_sequence *wanted, size_t n)
{
	sqlite3_stmt *st = NULL;
	int step, rc = sqlite_prepare(&st, db, path, "INSERT INTO main.sqlite_sequence(name, seq) VALUES(?1, ?2)");

	for (size_t i = 0; rc == KC_OK && i < n; i++) {
		if (there[i])
			continue;
		sqlite3_bind_text(st, 1, wanted[i].table, -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, 2, wanted[i].value);
		step = sqlite3_step(st);
		if (step != SQLITE_DONE)
			rc = sqlite_fail(db, step, path, "cannot write the database");
		sqlite3_reset(st);
	}
	sqlite3_finalize(st);
	return rc;
}

int sequences_set(
    sqlite3 *db, const char *path, const struct source_sequence *wanted, size_t n, const struct name_list *skip)
{
	bool exist = false, *there;
	int rc = sequences_exist(&exist, db, path);

	if (rc < 0)
		return rc;
	there = mem_xcalloc(n, sizeof(*there));
	for (size_t i = 0; i < n; i++) /* others' are no business of ours */
		there[i] = skip != NULL && name_list_has(skip, wanted[i].table);
	if (exist)
		rc = remove_wrong(there, db, path, wanted, n, skip);
	for (size_t i = 0; !exist && rc == KC_OK && i < n; i++)
		if (!there[i])
			rc = err_set(KC_ENEEDFULL, "table %s: AUTOINCREMENT has no table here", wanted[i].table);
	if (exist && rc == KC_OK)
		rc = add_missing(there, db, path, wanted, n);
	free(there);
	return rc;
}
