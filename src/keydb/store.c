/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: makes and opens the database file. Other processes write to it, and a restore may replace all of its content
 * between two transactions: so each transaction begins with a look at the two numbers in the header that say what
 * this file is, and SQLite prepares its statements again when the schema has moved.
 */
#include "store.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keydb/changelog.h"
#include "keydb/waiting.h"

static const char schema[] =
    "BEGIN EXCLUSIVE;"
    "CREATE TABLE keys ("
    " uuid TEXT NOT NULL PRIMARY KEY CHECK (length(uuid) = 36),"
    " alias TEXT UNIQUE,"
    " grp TEXT,"
    " kind TEXT NOT NULL CHECK (kind IN ('symmetric', 'private', 'certificate')),"
    " algorithm TEXT NOT NULL,"
    " state TEXT NOT NULL CHECK (state IN ('pre-active', 'active', 'deactivated', 'compromised', 'destroyed',"
    "  'destroyed-compromised')),"
    " created INTEGER NOT NULL,"
    " activated INTEGER,"
    " deactivated INTEGER,"
    " compromised INTEGER,"
    " destroyed INTEGER,"
    " master_key INTEGER,"
    " material BLOB,"
    " fingerprint BLOB UNIQUE,"
    " CHECK ((material IS NULL) = (master_key IS NULL)));"
    "CREATE INDEX keys_grp ON keys (grp);";

int store_error(struct keydb *db, int code)
{
	static const struct {
		int sqlite;
		int ours;
	} map[] = {
		{ SQLITE_BUSY, KC_EBUSY },
		{ SQLITE_LOCKED, KC_EBUSY },
		{ SQLITE_NOTADB, KC_EFORMAT },
		{ SQLITE_CORRUPT, KC_EDAMAGED },
		{ SQLITE_FULL, KC_ENOSPC },
		{ SQLITE_READONLY, KC_EPERM },
		{ SQLITE_PERM, KC_EPERM },
		{ SQLITE_CANTOPEN, KC_ESYS },
		{ SQLITE_IOERR, KC_ESYS },
		{ SQLITE_CONSTRAINT, KC_EEXIST },
		{ SQLITE_SCHEMA, KC_EFORMAT },
		{ SQLITE_TOOBIG, KC_ELIMIT },
	};

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (map[i].sqlite == (code & 0xff))
			return err_set(map[i].ours, "%s: %s", db->path, sqlite3_errmsg(db->sql));
	return err_set(KC_EFAIL, "%s: %s", db->path, sqlite3_errmsg(db->sql));
}

int store_prepare(sqlite3_stmt **st, struct keydb *db, const char *text)
{
	int code = sqlite3_prepare_v2(db->sql, text, -1, st, NULL);

	return code == SQLITE_OK ? KC_OK : store_error(db, code);
}

void store_bind_name(sqlite3_stmt *st, int index, const char *text)
{
	if (text == NULL || text[0] == '\0')
		sqlite3_bind_null(st, index);
	else
		sqlite3_bind_text(st, index, text, -1, SQLITE_TRANSIENT);
}

static int exec(struct keydb *db, const char *text)
{
	int code = sqlite3_exec(db->sql, text, NULL, NULL, NULL);

	return code == SQLITE_OK ? KC_OK : store_error(db, code);
}

static int pragma_number(int64_t *value, struct keydb *db, const char *text)
{
	sqlite3_stmt *st = NULL;
	int rc = store_prepare(&st, db, text), code;

	if (rc < 0)
		return rc;
	code = sqlite3_step(st);
	if (code == SQLITE_ROW)
		*value = sqlite3_column_int64(st, 0);
	else
		rc = store_error(db, code);
	sqlite3_finalize(st);
	return rc;
}

/* Inside a transaction, so that what is found stays. */
static int check_schema(struct keydb *db)
{
	int64_t id = 0, version = 0;
	int rc = pragma_number(&id, db, "PRAGMA application_id");

	if (rc == KC_OK)
		rc = pragma_number(&version, db, "PRAGMA user_version");
	if (rc < 0)
		return rc;
	if (id != KEYDB_APPLICATION_ID)
		return err_set(KC_EFORMAT, "%s: not a built-in key database (application id %lld, ours is %d)",
		    db->path, (long long)id, KEYDB_APPLICATION_ID);
	if (version != KEYDB_SCHEMA_VERSION)
		return err_set(KC_EFORMAT, "%s: key database of version %lld, this program knows %d", db->path,
		    (long long)version, KEYDB_SCHEMA_VERSION);
	return KC_OK;
}

static int connect_to(struct keydb *db)
{
	int code = sqlite3_open_v2(db->path, &db->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, NULL);

	if (db->sql == NULL)
		return err_set(KC_ESYS, "%s: SQLite does not start", db->path);
	if (code != SQLITE_OK)
		return store_error(db, code);
	sqlite3_extended_result_codes(db->sql, 1);
	sqlite3_busy_timeout(db->sql, KEYDB_BUSY_MS);
	/* What was restored here came over a network. */
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	return exec(db, "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL;"
			"PRAGMA cache_size = -32768; PRAGMA journal_size_limit = 67108864;");
}

static struct keydb *keydb_new(const char *path, const char *master_file)
{
	struct keydb *db = mem_xalloc(sizeof(*db));

	db->path = mem_xstrdup(path);
	db->master_file = master_file != NULL ? mem_xstrdup(master_file) : NULL;
	return db;
}

/* Put the schema into the empty file at db->path. */
static int fill(struct keydb *db)
{
	char numbers[96];
	int rc = connect_to(db);

	snprintf(numbers, sizeof(numbers), "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
	    KEYDB_APPLICATION_ID, KEYDB_SCHEMA_VERSION);
	if (rc == KC_OK)
		rc = exec(db, "PRAGMA journal_mode = WAL;");
	if (rc == KC_OK)
		rc = exec(db, schema);
	if (rc == KC_OK)
		rc = exec(db, numbers);
	return rc;
}

int keydb_create(const char *path)
{
	struct keydb *db = NULL;
	char *dir = file_dirname(path);
	int fd = -1, rc;

	rc = file_open(&fd, path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (rc == KC_OK) {
		rc = file_give_to_owner_of(fd, dir);
		close(fd);
		db = keydb_new(path, NULL);
		if (rc == KC_OK)
			rc = fill(db);
		keydb_close(db);
		if (rc < 0)
			unlink(path);
		else
			rc = file_sync_dir(dir);
	}
	free(dir);
	return rc;
}

/* Whoever opens an idle database in WAL mode first owns its -wal and -shm, and may lock its owner out. */
static int check_owner(const char *path)
{
	struct stat st, dir_st;
	char *dir;
	bool shared;

	if (strstr(path, "://") != NULL)
		return err_set(KC_EFORMAT, "%s: not a built-in key database", path);
	if (stat(path, &st) < 0)
		return err_errno("%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(KC_EFORMAT, "%s: not a regular file", path);
	if (geteuid() == 0 || geteuid() == st.st_uid)
		return KC_OK;
	dir = file_dirname(path);
	shared = (st.st_mode & 0060) == 0060 && stat(dir, &dir_st) == 0 && (dir_st.st_mode & S_ISGID) != 0;
	free(dir);
	if (!shared)
		return err_set(KC_EPERM, "%s: belongs to user %u, this is user %u, and it is not shared with a group",
		    path, (unsigned)st.st_uid, (unsigned)geteuid());
	return KC_OK;
}

int keydb_open(struct keydb **out, const char *path, const char *master_key_file)
{
	struct keydb *db;
	bool mine;
	int rc = check_owner(path);

	if (rc < 0)
		return rc;
	db = keydb_new(path, master_key_file);
	rc = connect_to(db);
	if (rc == KC_OK && (rc = store_read_begin(&mine, db)) == KC_OK)
		store_read_end(db, mine);
	if (rc < 0)
		keydb_close(db);
	else
		*out = db;
	return rc;
}

void keydb_close(struct keydb *db)
{
	if (db == NULL)
		return;
	keydb_abort(db);
	sqlite3_close_v2(db->sql);
	wrap_free(db->wrap);
	master_free(db->master);
	free(db->master_file);
	free(db->path);
	free(db);
}

static int begin(struct keydb *db, const char *how)
{
	int rc = exec(db, how);

	if (rc < 0)
		return rc;
	rc = check_schema(db);
	if (rc < 0) {
		sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
		return rc;
	}
	db->in_txn = true;
	return KC_OK;
}

void keydb_use_waiting(struct keydb *db, struct waiting *w, bool hold)
{
	db->waiting = w;
	db->hold = w != NULL && hold;
}

int keydb_begin(struct keydb *db)
{
	int rc;

	assert(!db->in_txn);
	db->wiped = false;
	rc = begin(db, "BEGIN IMMEDIATE");
	/* A restore may have taken the log away. */
	if (rc == KC_OK)
		rc = exec(db, changelog_schema);
	if (rc == KC_OK)
		rc = exec(db, changelog_temporary);
	if (rc < 0 && db->in_txn)
		keydb_abort(db);
	return rc;
}

int keydb_commit(struct keydb *db)
{
	int rc;

	assert(db->in_txn);
	/* First what is held: a power failure in between must not leave a key that nobody waits for. */
	rc = db->waiting != NULL ? waiting_commit(db->waiting) : KC_OK;
	if (rc == KC_OK)
		rc = exec(db, "COMMIT");
	if (rc < 0) {
		keydb_abort(db);
		return rc;
	}
	db->in_txn = false;
	/* Best effort: with a reader in the way the next checkpoint does it. */
	if (db->wiped)
		sqlite3_wal_checkpoint_v2(db->sql, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	return KC_OK;
}

void keydb_abort(struct keydb *db)
{
	if (db->in_txn)
		sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
	if (db->waiting != NULL)
		waiting_abort(db->waiting);
	db->in_txn = false;
}

int store_read_begin(bool *mine, struct keydb *db)
{
	*mine = !db->in_txn;
	return *mine ? begin(db, "BEGIN") : KC_OK;
}

void store_read_end(struct keydb *db, bool mine)
{
	if (mine)
		keydb_abort(db);
}

/* A restore may bring a longer file with it: it is read again when `number` is not in it. */
static int need_master(struct keydb *db, uint32_t number)
{
	struct master *m;
	int rc;

	if (db->master != NULL && (number == 0 || master_key(db->master, number) != NULL))
		return KC_OK;
	if (db->master_file == NULL)
		return err_set(KC_EPASSWORD, "%s: opened without a master key file", db->path);
	rc = master_load(&m, db->master_file);
	if (rc < 0)
		return rc;
	master_free(db->master);
	db->master = m;
	return KC_OK;
}

int store_wrap(struct keydb *db, uint32_t number)
{
	struct wrap *w;
	int rc = need_master(db, number);

	if (rc < 0)
		return rc;
	if (number == 0)
		number = master_newest(db->master);
	if (db->wrap != NULL && wrap_number(db->wrap) == number)
		return KC_OK;
	rc = wrap_new(&w, db->master, number);
	if (rc < 0)
		return err_prefix(rc, "%s", db->master_file);
	wrap_free(db->wrap);
	db->wrap = w;
	return KC_OK;
}
