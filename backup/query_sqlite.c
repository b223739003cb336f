/* SPDX-License-Identifier: Apache-2.0 */
/* query_sqlite: small questions to an SQLite database, and the opening of files that may be hostile. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/changelog.h"
#include "backup/source_sqlite.h"
#include "backup/vfs_sqlite.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define WAL_FLAGS_OFFSET 18 /* two bytes of the database header: 1 = rollback journal, 2 = WAL */

int sqlite_fail(sqlite3 *db, int rc, const char *path, const char *what)
{
	const char *why = db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
	int code = KC_EFAIL, err = db != NULL ? sqlite3_system_errno(db) : 0;

	switch (rc & 0xff) {
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		code = KC_EDAMAGED;
		break;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		code = KC_EBUSY;
		break;
	case SQLITE_FULL:
		code = KC_ENOSPC;
		break;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		code = KC_EPERM;
		break;
	case SQLITE_INTERRUPT:
		code = KC_ECANCELED;
		break;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		if (err != 0) {
			errno = err;
			return err_errno("%s: %s: %s", path, what, why);
		}
		code = KC_ESYS;
		break;
	default:
		break;
	}
	return err_set(code, "%s: %s: %s", path, what, why);
}

int sqlite_exec(sqlite3 *db, const char *path, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? KC_OK : sqlite_fail(db, rc, path, "cannot use the database");
}

int sqlite_prepare(sqlite3_stmt **st, sqlite3 *db, const char *path, const char *sql)
{
	int rc = sqlite3_prepare_v2(db, sql, -1, st, NULL);

	return rc == SQLITE_OK ? KC_OK : sqlite_fail(db, rc, path, "cannot read the database");
}

/* Prepares and steps to the first row. */
static int first_row(sqlite3_stmt **st, sqlite3 *db, const char *path, const char *sql)
{
	int rc = sqlite_prepare(st, db, path, sql);

	if (rc < 0)
		return rc;
	rc = sqlite3_step(*st);
	if (rc == SQLITE_ROW)
		return KC_OK;
	sqlite3_finalize(*st);
	*st = NULL;
	if (rc == SQLITE_DONE)
		return err_set(KC_EDAMAGED, "%s: no answer to %s", path, sql);
	return sqlite_fail(db, rc, path, "cannot read the database");
}

int sqlite_int(int64_t *value, sqlite3 *db, const char *path, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int rc = first_row(&st, db, path, sql);

	if (rc == KC_OK)
		*value = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc;
}

int sqlite_int_of(int64_t *value, sqlite3 *db, const char *path, char *sql)
{
	int rc = sqlite_int(value, db, path, sql);

	sqlite3_free(sql);
	return rc;
}

int sqlite_str(char *out, size_t size, sqlite3 *db, const char *path, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int rc = first_row(&st, db, path, sql);

	if (rc == KC_OK) {
		const char *text = (const char *)sqlite3_column_text(st, 0);

		snprintf(out, size, "%s", text != NULL ? text : "");
	}
	sqlite3_finalize(st);
	return rc;
}

int sqlite_info(struct source_info *info, sqlite3 *db, const char *path)
{
	/* The first read opens the WAL, if there is one: journal_mode would say "delete" before. */
	static const char *const questions[] = { "SELECT count(*) FROM (SELECT 1 FROM sqlite_master LIMIT 1)",
		"PRAGMA page_count", "PRAGMA page_size", "PRAGMA auto_vacuum", "PRAGMA user_version",
		"PRAGMA application_id" };
	int64_t answers[6] = { 0 };
	struct source_info i;
	int n, rc = KC_OK;

	memset(&i, 0, sizeof(i));
	for (n = 0; rc == KC_OK && n < 6; n++)
		rc = sqlite_int(&answers[n], db, path, questions[n]);
	if (rc == KC_OK)
		rc = sqlite_str(i.encoding, sizeof(i.encoding), db, path, "PRAGMA encoding");
	if (rc == KC_OK)
		rc = sqlite_str(i.journal_mode, sizeof(i.journal_mode), db, path, "PRAGMA journal_mode");
	if (rc < 0)
		return rc;
	i.size = (uint64_t)answers[1] * (uint64_t)answers[2];
	i.page_size = (uint32_t)answers[2];
	i.auto_vacuum = (int)answers[3];
	i.user_version = (int32_t)answers[4];
	i.application_id = (int32_t)answers[5];
	*info = i;
	return KC_OK;
}

/* A collation of the application that we do not have: any order will do, we only need equality. */
static _Thread_local uint64_t compared; /* by any_order */

static int any_order(void *arg, int n1, const void *p1, int n2, const void *p2)
{
	int c = memcmp(p1, p2, (size_t)(n1 < n2 ? n1 : n2));

	(void)arg;
	compared++;
	return c != 0 ? c : n1 - n2;
}

static void on_collation(void *arg, sqlite3 *db, int encoding, const char *name)
{
	(void)arg;
	/* In UTF-16 SQLite asks for these as well, before it makes them of what it has for UTF-8. */
	if (sqlite3_stricmp(name, "NOCASE") == 0 || sqlite3_stricmp(name, "RTRIM") == 0)
		return;
	sqlite3_create_collation(db, name, encoding, NULL, any_order);
}

uint64_t sqlite_tolerated(void)
{
	return compared;
}

void sqlite_tolerate(sqlite3 *db)
{
	sqlite3_collation_needed(db, NULL, on_collation);
}

/* A file that nobody writes, as SQLite wants to be told of it. sqlite3_free. */
static char *uri_of(const char *path, const char *how)
{
	sqlite3_str *text = sqlite3_str_new(NULL);

	sqlite3_str_appendall(text, "file:");
	for (const char *p = path; *p != '\0'; p++)
		if (strchr("?#%", *p) != NULL)
			sqlite3_str_appendf(text, "%%%02x", (unsigned char)*p);
		else
			sqlite3_str_appendchar(text, 1, *p);
	sqlite3_str_appendf(text, "?%s", how);
	return sqlite3_str_finish(text);
}

static int open_image(sqlite3 **out, const char *path, const char *how, int flags)
{
	static const int off[] = { SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
		SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION };
	sqlite3 *db = NULL;
	char *uri = uri_of(path, how);
	size_t i;
	int rc;

	rc = sqlite3_open_v2(uri, &db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, vfs_name());
	sqlite3_free(uri);
	if (rc != SQLITE_OK) {
		rc = sqlite_fail(db, rc, path, "cannot open the database");
		sqlite3_close(db);
		return rc;
	}
	sqlite3_extended_result_codes(db, 1);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	for (i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		sqlite3_db_config(db, off[i], 0, NULL);
	sqlite_tolerate(db);
	rc = sqlite_exec(db, path,
	    "PRAGMA cell_size_check=ON; PRAGMA query_only=ON; PRAGMA ignore_check_constraints=ON; "
	    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-1000; PRAGMA mmap_size=0");
	if (rc < 0) {
		sqlite3_close(db);
		return rc;
	}
	*out = db;
	return KC_OK;
}

int sqlite_open_image(sqlite3 **db, const char *path)
{
	return open_image(db, path, "immutable=1", SQLITE_OPEN_READONLY);
}

int sqlite_open_image_to_write(sqlite3 **db, const char *path)
{
	int rc = open_image(db, path, "mode=rw", SQLITE_OPEN_READWRITE);

	/* It is thrown away if anything happens: no journal, no sync. */
	if (rc == KC_OK)
		rc = sqlite_exec(*db, path,
		    "PRAGMA query_only=OFF; PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA "
		    "synchronous=OFF");
	return rc;
}

int sqlite_check_left(const char *path)
{
	char *journal = mem_xasprintf("%s-journal", path);
	int rc = KC_OK;

	if (!file_exists(path))
		rc = err_set(KC_ENOENT, "%s: is not there", path);
	else if (file_exists(journal))
		rc = err_set(KC_EDAMAGED, "%s: was left while it was changed", path);
	free(journal);
	return rc;
}

int sqlite_open_to_change(sqlite3 **db, const char *path)
{
	char mode[16] = "";
	int rc = sqlite_open_image_to_write(db, path);

	if (rc == KC_OK)
		rc = sqlite_str(mode, sizeof(mode), *db, path, "PRAGMA journal_mode=DELETE");
	if (rc == KC_OK && strcmp(mode, "delete") != 0)
		rc = err_set(KC_EFAIL, "%s: no journal, but %s", path, mode);
	return rc;
}

int sqlite_attach_image(sqlite3 *db, const char *path, const char *name)
{
	char *uri = uri_of(path, "immutable=1"), *sql = sqlite3_mprintf("ATTACH %Q AS \"%w\"", uri, name);
	int rc = sqlite_exec(db, path, sql);

	sqlite3_free(sql);
	sqlite3_free(uri);
	return rc;
}

int sqlite_rewrite_image(const char *path, const char *to, uint32_t page_size)
{
	sqlite3 *db = NULL;
	/* Of an immutable file SQLite would keep the page size. */
	int rc = open_image(&db, path, "mode=ro", SQLITE_OPEN_READONLY);
	char *sql;

	if (rc < 0)
		return rc;
	/* VACUUM INTO keeps row ids, which VACUUM does not promise. query_only would forbid the new file, too. */
	sql = sqlite3_mprintf("PRAGMA query_only=OFF; PRAGMA page_size=%u; VACUUM INTO %Q", page_size, to);
	rc = sqlite_exec(db, path, sql);
	sqlite3_free(sql);
	sqlite3_close(db);
	return rc;
}

int sqlite_unset_wal(const char *path)
{
	static const uint8_t rollback[2] = { 1, 1 };
	uint8_t now[2];
	int fd = -1, rc = file_open(&fd, path, O_RDWR, 0);

	if (rc < 0)
		return rc;
	if (pread(fd, now, 2, WAL_FLAGS_OFFSET) == 2 && memcmp(now, rollback, 2) != 0 &&
	    pwrite(fd, rollback, 2, WAL_FLAGS_OFFSET) != 2)
		rc = err_errno("%s: cannot write", path);
	close(fd);
	return rc;
}

int sqlite_quick_check(sqlite3 *db, const char *path)
{
	sqlite3_stmt *st = NULL;
	const char *text;
	int rc = first_row(&st, db, path, "PRAGMA quick_check(1)");

	if (rc < 0)
		return rc;
	text = (const char *)sqlite3_column_text(st, 0);
	/* With a collation that we do not have, the order of a key cannot be judged. */
	if (text == NULL || (strcmp(text, "ok") != 0 && strstr(text, "not in PRIMARY KEY order") == NULL))
		rc = err_set(KC_EDAMAGED, "%s: the database is damaged: %s", path, text != NULL ? text : "no result");
	sqlite3_finalize(st);
	return rc;
}

bool sqlite_same_value(sqlite3_stmt *a, int i, sqlite3_stmt *b, int k)
{
	int type = sqlite3_column_type(a, i), n;
	double x, y;

	if (type != sqlite3_column_type(b, k))
		return false;
	switch (type) {
	case SQLITE_NULL:
		return true;
	case SQLITE_INTEGER:
		return sqlite3_column_int64(a, i) == sqlite3_column_int64(b, k);
	case SQLITE_FLOAT:
		x = sqlite3_column_double(a, i);
		y = sqlite3_column_double(b, k);
		return memcmp(&x, &y, sizeof(x)) == 0;
	case SQLITE_TEXT:
		n = (sqlite3_column_text(a, i), sqlite3_column_bytes(a, i));
		return n == (sqlite3_column_text(b, k), sqlite3_column_bytes(b, k)) &&
		       (n == 0 || memcmp(sqlite3_column_text(a, i), sqlite3_column_text(b, k), (size_t)n) == 0);
	default:
		n = sqlite3_column_bytes(a, i);
		return n == sqlite3_column_bytes(b, k) &&
		       (n == 0 || memcmp(sqlite3_column_blob(a, i), sqlite3_column_blob(b, k), (size_t)n) == 0);
	}
}

void name_list_fini(struct name_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	l->names = NULL;
	l->n = 0;
}

void name_list_add(struct name_list *l, const char *name)
{
	l->names = mem_xrealloc(l->names, (l->n + 1) * sizeof(*l->names));
	l->names[l->n++] = mem_xstrdup(name);
}

/* Column `column` of all rows for which column `zero` (if not negative) is 0. */
static int list_names(struct name_list *l, sqlite3 *db, const char *path, const char *sql, int column, int zero)
{
	struct name_list found = { NULL, 0 };
	sqlite3_stmt *st = NULL;
	int rc = sqlite_prepare(&st, db, path, sql), step = SQLITE_DONE;

	while (rc == KC_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, column);

		if (name != NULL && (zero < 0 || sqlite3_column_int(st, zero) == 0))
			name_list_add(&found, name);
	}
	if (rc == KC_OK && step != SQLITE_DONE)
		rc = sqlite_fail(db, step, path, "cannot read the database");
	sqlite3_finalize(st);
	if (rc < 0)
		name_list_fini(&found);
	else
		*l = found;
	return rc;
}

int sqlite_tables(struct name_list *tables, sqlite3 *db, const char *path, bool with_sequence)
{
	return list_names(tables, db, path,
	    with_sequence ? "SELECT name FROM main.sqlite_master WHERE type='table' AND rootpage>0 "
			    "AND name NOT GLOB 'sqlite_stat*' AND name<>'" CHANGELOG_TABLE "' ORDER BY name"
			  : "SELECT name FROM main.sqlite_master WHERE type='table' AND rootpage>0 "
			    "AND name NOT GLOB 'sqlite_stat*' AND name<>'sqlite_sequence' AND name<>'" CHANGELOG_TABLE
			    "' ORDER BY name",
	    0, -1);
}

int sqlite_columns(struct name_list *columns, sqlite3 *db, const char *path, const char *table)
{
	char *sql = sqlite3_mprintf("PRAGMA main.table_xinfo(\"%w\")", table);
	int rc = list_names(columns, db, path, sql, 1, 6); /* hidden: not 0 for generated columns */

	sqlite3_free(sql);
	if (rc == KC_OK && columns->n == 0)
		rc = err_set(KC_EDAMAGED, "%s: table %s has no columns", path, table);
	return rc;
}
