/* SPDX-License-Identifier: Apache-2.0 */
/* changelog_sqlite: reads and removes change logs. */
#include "backup/changelog_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

#define OBJECTS "SELECT count(*) FROM main.sqlite_master WHERE type IN ('table', 'trigger') AND " CHANGELOG_OBJECT

/* All of it or nothing. */
static int make(struct source *s, const char *schema)
{
	int rc = sqlite_exec(s->w, s->path, "BEGIN IMMEDIATE");

	if (rc < 0)
		return rc;
	rc = sqlite_exec(s->w, s->path, schema);
	if (rc == KC_OK)
		rc = sqlite_exec(s->w, s->path, "COMMIT");
	if (rc < 0)
		sqlite3_exec(s->w, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int changelog_ensure(struct source *s, const struct changelog *log)
{
	int64_t objects = 0;
	int rc = source_refresh(s);

	if (rc == KC_OK)
		rc = sqlite_int(&objects, s->r, s->path, OBJECTS);
	if (rc == KC_OK && objects < log->objects) {
		source_begin_wait(s, 0);
		rc = make(s, log->schema);
	}
	return rc;
}

/* Where it ends. What follows an empty one may be all that there was, or what somebody left. */
static int find_end(struct changelog_mark *mark, sqlite3 *db, const char *path)
{
	sqlite3_stmt *st = NULL;
	int step,
	    rc = sqlite_prepare(&st, db, path, "SELECT * FROM main." CHANGELOG_TABLE " ORDER BY seq DESC LIMIT 1");

	memset(mark, 0, sizeof(*mark));
	if (rc < 0)
		return rc;
	step = sqlite3_step(st);
	if (step == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(st, 1);

		mark->seq = sqlite3_column_int64(st, 0);
		snprintf(mark->key, sizeof(mark->key), "%s", key != NULL ? key : "");
	}
	mark->known = step == SQLITE_ROW;
	rc = mark->known || step == SQLITE_DONE ? KC_OK : sqlite_fail(db, step, path, "cannot read the change log");
	sqlite3_finalize(st);
	return rc;
}

/* From the row that was read last: another one in its place is another log. */
static int read_rows(struct name_list *keys, bool *whole, struct changelog_mark *mark, sqlite3_stmt *st, size_t max)
{
	int64_t next = mark->seq;
	bool first = true;
	int step;

	*whole = true;
	while (*whole && (step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(st, 1);

		*whole = key != NULL && strlen(key) < sizeof(mark->key) && sqlite3_column_int64(st, 0) == next++ &&
			 keys->n < max && (!first || strcmp(key, mark->key) == 0);
		if (*whole && !first) {
			name_list_add(keys, key);
			STR_COPY(mark->key, key);
			mark->seq = sqlite3_column_int64(st, 0);
		}
		first = false;
	}
	*whole = *whole && !first;
	return *whole && step != SQLITE_DONE ? step : SQLITE_DONE;
}

int changelog_read(struct name_list *keys, bool *whole, struct changelog_mark *mark, sqlite3 *db, const char *path,
    const char *key, size_t max)
{
	char *sql = sqlite3_mprintf(
	    "SELECT l.seq, l.\"%w\" FROM main." CHANGELOG_TABLE " AS l WHERE l.seq >= ?1 ORDER BY l.seq", key);
	sqlite3_stmt *st = NULL;
	int step = SQLITE_DONE, rc = KC_OK;

	*whole = false;
	if (mark->known)
		rc = sqlite_prepare(&st, db, path, sql);
	sqlite3_free(sql);
	if (rc == KC_OK && mark->known) {
		sqlite3_bind_int64(st, 1, mark->seq);
		step = read_rows(keys, whole, mark, st, max);
	}
	if (rc == KC_OK && step != SQLITE_DONE)
		rc = sqlite_fail(db, step, path, "cannot read the change log");
	sqlite3_finalize(st);
	return rc == KC_OK && !*whole ? find_end(mark, db, path) : rc;
}

/* Everything whose name begins so; names are ours, or quoted. */
static int drop_all(sqlite3 *db, const char *path)
{
	struct name_list names = { NULL, 0 };
	sqlite3_stmt *st = NULL;
	int rc = sqlite_prepare(&st, db, path,
	    "SELECT printf('DROP %s main.\"%w\"', type, name) FROM main.sqlite_master WHERE type IN ('table', "
	    "'trigger') "
	    "AND " CHANGELOG_OBJECT " ORDER BY type DESC");

	while (rc == KC_OK && sqlite3_step(st) == SQLITE_ROW)
		name_list_add(&names, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	for (size_t i = 0; rc == KC_OK && i < names.n; i++)
		rc = sqlite_exec(db, path, names.names[i]);
	name_list_fini(&names);
	return rc;
}

int changelog_strip(struct changelog_mark *mark, const char *path)
{
	int64_t objects = 0;
	sqlite3 *db = NULL;
	int rc = sqlite_open_image_to_write(&db, path);

	memset(mark, 0, sizeof(*mark));
	if (rc == KC_OK)
		rc = sqlite_int(&objects, db, path, OBJECTS);
	if (rc == KC_OK && objects > 0 && find_end(mark, db, path) < 0)
		memset(mark, 0, sizeof(*mark));
	if (rc == KC_OK && objects > 0)
		rc = sqlite_exec(db, path, "BEGIN");
	if (rc == KC_OK && objects > 0)
		rc = drop_all(db, path);
	if (rc == KC_OK && objects > 0)
		rc = sqlite_exec(db, path, "COMMIT");
	sqlite3_close(db);
	return rc;
}
