/* SPDX-License-Identifier: Apache-2.0 */
/* waiting: one small table of uuids. */
#include "waiting.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keydb/keydb.h"

struct waiting {
	sqlite3 *sql;
	char *path;
	sqlite3_stmt *add, *has; /* prepared once: there may be a million keys */
	bool in_txn;
};

static int failed(struct waiting *w, int code)
{
	int ours = KC_EFAIL;

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		ours = KC_EBUSY;
		break;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		ours = KC_EDAMAGED;
		break;
	case SQLITE_FULL:
		ours = KC_ENOSPC;
		break;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		ours = KC_EPERM;
		break;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		ours = KC_ESYS;
		break;
	default:
		break;
	}
	return err_set(ours, "%s: %s", w->path, sqlite3_errmsg(w->sql));
}

static int exec(struct waiting *w, const char *text)
{
	int code = sqlite3_exec(w->sql, text, NULL, NULL, NULL);

	return code == SQLITE_OK ? KC_OK : failed(w, code);
}

char *waiting_path(const char *folder)
{
	return file_join(folder, "waiting.sqlite");
}

/* The file belongs to whom the folder does: root may have made it. */
static int make(const char *path)
{
	char *dir = file_dirname(path);
	int fd = -1, rc = file_make_dirs(dir);

	if (rc == KC_OK && !file_exists(path))
		rc = file_open(&fd, path, O_RDWR | O_CREAT, 0600);
	if (rc == KC_OK && fd >= 0) {
		rc = file_give_to_owner_of(fd, dir);
		close(fd);
		if (rc == KC_OK)
			rc = file_sync_dir(dir);
	}
	free(dir);
	return rc;
}

int waiting_open(struct waiting **out, const char *path, bool create)
{
	struct waiting *w;
	int code, rc = create ? make(path) : KC_OK;

	/* Not to be able to see it is another thing than that it is not there. */
	if (rc == KC_OK && access(path, F_OK) < 0)
		rc = err_errno("%s", path);
	if (rc < 0)
		return rc;
	w = mem_xalloc(sizeof(*w));
	w->path = mem_xstrdup(path);
	code = sqlite3_open_v2(path, &w->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI | SQLITE_OPEN_PRIVATECACHE, NULL);
	if (code == SQLITE_OK) {
		sqlite3_busy_timeout(w->sql, KEYDB_BUSY_MS);
		sqlite3_db_config(w->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(w->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		sqlite3_db_config(w->sql, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
		sqlite3_db_config(w->sql, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
		rc = exec(w, "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
			     "CREATE TABLE IF NOT EXISTS waiting (uuid TEXT NOT NULL PRIMARY KEY, lineage TEXT NOT "
			     "NULL DEFAULT '',"
			     " generation INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID");
	} else {
		rc = w->sql != NULL ? failed(w, code) : err_set(KC_ESYS, "%s: SQLite does not start", path);
	}
	if (rc < 0)
		waiting_close(w);
	else
		*out = w;
	return rc;
}

void waiting_close(struct waiting *w)
{
	if (w == NULL)
		return;
	waiting_abort(w);
	sqlite3_finalize(w->add);
	sqlite3_finalize(w->has);
	sqlite3_close_v2(w->sql);
	free(w->path);
	free(w);
}

/* Runs a statement with up to two texts (?1, ?2) and a number (?3); *changed: how many rows it changed. */
static int run(uint64_t *changed, struct waiting *w, const char *text, const char *one, const char *two, uint64_t n)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(w->sql, text, -1, &st, NULL);

	if (code != SQLITE_OK)
		return failed(w, code);
	if (one != NULL)
		sqlite3_bind_text(st, 1, one, -1, SQLITE_STATIC);
	if (two != NULL)
		sqlite3_bind_text(st, 2, two, -1, SQLITE_STATIC);
	if (sqlite3_bind_parameter_count(st) >= 3)
		sqlite3_bind_int64(st, 3, (int64_t)n);
	code = sqlite3_step(st);
	sqlite3_finalize(st);
	if (code != SQLITE_DONE)
		return failed(w, code);
	if (changed != NULL)
		*changed = (uint64_t)sqlite3_changes64(w->sql);
	return KC_OK;
}

static int prepared(sqlite3_stmt **st, struct waiting *w, const char *text, const char *uuid)
{
	int code = *st != NULL ? SQLITE_OK : sqlite3_prepare_v2(w->sql, text, -1, st, NULL);

	if (code != SQLITE_OK)
		return failed(w, code);
	sqlite3_bind_text(*st, 1, uuid, -1, SQLITE_TRANSIENT);
	return KC_OK;
}

int waiting_add(struct waiting *w, const char *uuid)
{
	int code, rc = KC_OK;

	if (!w->in_txn) {
		rc = exec(w, "BEGIN IMMEDIATE");
		w->in_txn = rc == KC_OK;
	}
	if (rc == KC_OK)
		rc = prepared(&w->add, w, "INSERT OR REPLACE INTO waiting (uuid) VALUES (?1)", uuid);
	if (rc < 0)
		return rc;
	code = sqlite3_step(w->add);
	sqlite3_reset(w->add);
	return code == SQLITE_DONE ? KC_OK : failed(w, code);
}

int waiting_commit(struct waiting *w)
{
	int rc;

	if (!w->in_txn)
		return KC_OK;
	rc = exec(w, "COMMIT");
	if (rc < 0)
		waiting_abort(w);
	w->in_txn = false;
	return rc;
}

void waiting_abort(struct waiting *w)
{
	if (w->in_txn)
		sqlite3_exec(w->sql, "ROLLBACK", NULL, NULL, NULL);
	w->in_txn = false;
}

int waiting_has(bool *has, struct waiting *w, const char *uuid)
{
	int code, rc = prepared(&w->has, w, "SELECT 1 FROM waiting WHERE uuid = ?1", uuid);

	if (rc < 0)
		return rc;
	code = sqlite3_step(w->has);
	sqlite3_reset(w->has);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return failed(w, code);
	*has = code == SQLITE_ROW;
	return KC_OK;
}

static int attach(struct waiting *w, const char *snapshot)
{
	sqlite3_str *uri = sqlite3_str_new(NULL);
	char *text;
	int rc;

	sqlite3_str_appendall(uri, "file:");
	for (const char *p = snapshot; *p != '\0'; p++)
		if (strchr("?#%", *p) != NULL)
			sqlite3_str_appendf(uri, "%%%02x", (unsigned char)*p);
		else
			sqlite3_str_appendchar(uri, 1, *p);
	sqlite3_str_appendall(uri, "?mode=ro&immutable=1");
	text = sqlite3_str_finish(uri);
	rc = run(NULL, w, "ATTACH ?1 AS snapshot", text, NULL, 0);
	sqlite3_free(text);
	return rc;
}

static int detach(struct waiting *w, int rc)
{
	sqlite3_exec(w->sql, "DETACH snapshot", NULL, NULL, NULL);
	return rc;
}

int waiting_mark(struct waiting *w, const char *snapshot, const char *lineage, uint64_t generation)
{
	int rc = attach(w, snapshot);

	if (rc < 0)
		return rc;
	return detach(w, run(NULL, w,
			     "UPDATE waiting SET lineage = ?1, generation = ?3 WHERE (generation = 0 OR lineage <> ?1)"
			     " AND uuid IN (SELECT uuid FROM snapshot.keys)",
			     lineage, NULL, generation));
}

int waiting_release(uint64_t *released, struct waiting *w, const char *lineage, uint64_t generation)
{
	return run(released, w, "DELETE FROM waiting WHERE lineage = ?1 AND generation BETWEEN 1 AND ?3", lineage, NULL,
	    generation);
}

int waiting_release_snapshot(uint64_t *released, struct waiting *w, const char *snapshot)
{
	int rc = attach(w, snapshot);

	if (rc < 0)
		return rc;
	return detach(
	    w, run(released, w, "DELETE FROM waiting WHERE uuid IN (SELECT uuid FROM snapshot.keys)", NULL, NULL, 0));
}

int waiting_clear(struct waiting *w)
{
	return run(NULL, w, "DELETE FROM waiting", NULL, NULL, 0);
}
