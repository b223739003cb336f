/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state: the state database. Records are plain structs; a table of fields for each says which member is which column,
 * so that reading and writing are one function each. Every setter is one transaction, durable when it returns.
 */
#include "state.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"

#define STATE_VERSION 2
#define DIGESTS_MAX   10000
#define BUSY_MS	      10000

struct state {
	sqlite3 *db;
	char *path;
};

enum field_type { FIELD_TEXT, FIELD_INT, FIELD_PORT, FIELD_BOOL, FIELD_HEAP };

struct field {
	const char *column;
	enum field_type type;
	size_t offset;
	size_t size;
};

#define TEXT(s, m)                                                                \
	{                                                                         \
#m, FIELD_TEXT, offsetof(struct s, m), sizeof(((struct s *)0)->m) \
	}
#define INT(s, m)                                                     \
	{                                                             \
#m, FIELD_INT, offsetof(struct s, m), sizeof(int64_t) \
	}
#define PORT(s, m)                                                      \
	{                                                               \
#m, FIELD_PORT, offsetof(struct s, m), sizeof(uint16_t) \
	}
#define FLAG(s, m)                                                  \
	{                                                           \
#m, FIELD_BOOL, offsetof(struct s, m), sizeof(bool) \
	}
#define HEAP(s, m)                                                    \
	{                                                             \
#m, FIELD_HEAP, offsetof(struct s, m), sizeof(char *) \
	}
#define END                           \
	{                             \
		NULL, FIELD_INT, 0, 0 \
	}

static const struct field self_fields[] = {
	TEXT(state_self, lineage),
	INT(state_self, generation),
	INT(state_self, replicated),
	INT(state_self, complete),
	TEXT(state_self, digest),
	TEXT(state_self, schema),
	TEXT(state_self, file_id),
	TEXT(state_self, backup),
	TEXT(state_self, sha256),
	INT(state_self, header_size),
	INT(state_self, database_size),
	INT(state_self, rows),
	INT(state_self, last_completed),
	INT(state_self, applied_at),
	INT(state_self, last_check),
	TEXT(state_self, last_check_result),
	INT(state_self, unreplicated_since),
	FLAG(state_self, stopped),
	FLAG(state_self, diverged),
	FLAG(state_self, discard),
	TEXT(state_self, diverged_detail),
	INT(state_self, master_contact),
	TEXT(state_self, master_host),
	END,
};

static const struct field intent_fields[] = {
	TEXT(state_intent, lineage),
	INT(state_intent, generation),
	TEXT(state_intent, old_digest),
	TEXT(state_intent, digest),
	TEXT(state_intent, schema),
	TEXT(state_intent, backup),
	END,
};

static const struct field stored_fields[] = {
	TEXT(state_stored, backup),
	TEXT(state_stored, lineage),
	INT(state_stored, generation),
	TEXT(state_stored, digest),
	TEXT(state_stored, receipt),
	HEAP(state_stored, travel),
	INT(state_stored, at),
	END,
};

static const struct field clone_fields[] = {
	TEXT(state_clone, host),
	PORT(state_clone, port),
	TEXT(state_clone, lineage),
	INT(state_clone, offered),
	INT(state_clone, stored),
	INT(state_clone, applied),
	INT(state_clone, applied_at),
	INT(state_clone, last_success),
	INT(state_clone, last_attempt),
	INT(state_clone, behind_since),
	INT(state_clone, postponed_until),
	INT(state_clone, not_after),
	INT(state_clone, clock_offset),
	FLAG(state_clone, failing),
	INT(state_clone, how),
	INT(state_clone, last_code),
	TEXT(state_clone, last_error),
	TEXT(state_clone, recipient),
	TEXT(state_clone, digest),
	END,
};

struct made {
	char lineage[STATE_LINEAGE_LEN + 1];
	uint64_t generation;
	char digest[STATE_DIGEST_LEN + 1];
};

static const struct field made_fields[] = {
	TEXT(made, lineage),
	INT(made, generation),
	TEXT(made, digest),
	END,
};

/* One table for each kind of record; `key` makes its primary key. */
static const struct table {
	const char *name;
	const char *key;
	const struct field *fields;
} tables[] = {
	{ "self", "one", self_fields },
	{ "intent", "one", intent_fields },
	{ "stored", "backup", stored_fields },
	{ "clone", "host, port", clone_fields },
	{ "made", "lineage, generation", made_fields },
};

#define SELF   (&tables[0])
#define INTENT (&tables[1])
#define STORED (&tables[2])
#define CLONE  (&tables[3])
#define MADE   (&tables[4])

static int db_error(struct state *s)
{
	int code = sqlite3_errcode(s->db);

	return err_set(code == SQLITE_FULL				 ? KC_ENOSPC
		       : code == SQLITE_BUSY				 ? KC_EBUSY
		       : code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? KC_EDAMAGED
									 : KC_ESYS,
	    "%s: %s", s->path, sqlite3_errmsg(s->db));
}

static int run_sql(struct state *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? KC_OK : db_error(s);
}

static int prepare(sqlite3_stmt **st, struct state *s, const char *sql)
{
	return sqlite3_prepare_v2(s->db, sql, -1, st, NULL) == SQLITE_OK ? KC_OK : db_error(s);
}

/* Step a statement that gives no rows, and finalize it. */
static int finish(struct state *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st) == SQLITE_DONE ? KC_OK : db_error(s);

	sqlite3_finalize(st);
	return rc;
}

static void append(char **sql, const char *text)
{
	char *more = mem_xasprintf("%s%s", *sql != NULL ? *sql : "", text);

	free(*sql);
	*sql = more;
}

static int create_table(struct state *s, const struct table *t)
{
	char *sql = mem_xasprintf("CREATE TABLE IF NOT EXISTS %s(", t->name);
	int rc;

	if (strcmp(t->key, "one") == 0)
		append(&sql, "one INT NOT NULL DEFAULT 1 CHECK(one = 1), ");
	for (const struct field *f = t->fields; f->column != NULL; f++) {
		bool text = f->type == FIELD_TEXT || f->type == FIELD_HEAP;
		char *column = mem_xasprintf(
		    "%s %s NOT NULL DEFAULT %s, ", f->column, text ? "TEXT" : "INTEGER", text ? "''" : "0");

		append(&sql, column);
		free(column);
	}
	append(&sql, "PRIMARY KEY(");
	append(&sql, t->key);
	append(&sql, "))");
	rc = run_sql(s, sql);
	free(sql);
	return rc;
}

static int put_row(struct state *s, const struct table *t, const void *record)
{
	char *sql = mem_xasprintf("INSERT OR REPLACE INTO %s(", t->name), *values = NULL;
	sqlite3_stmt *st = NULL;
	int rc, i = 0;

	for (const struct field *f = t->fields; f->column != NULL; f++) {
		append(&sql, f == t->fields ? "" : ", ");
		append(&sql, f->column);
		append(&values, f == t->fields ? "?" : ", ?");
	}
	append(&sql, ") VALUES(");
	append(&sql, values);
	append(&sql, ")");
	rc = prepare(&st, s, sql);
	free(sql);
	free(values);
	if (rc < 0)
		return rc;
	for (const struct field *f = t->fields; f->column != NULL; f++) {
		const void *at = (const char *)record + f->offset;

		i++;
		if (f->type == FIELD_TEXT)
			sqlite3_bind_text(st, i, at, -1, SQLITE_TRANSIENT);
		else if (f->type == FIELD_HEAP)
			sqlite3_bind_text(
			    st, i, *(char *const *)at != NULL ? *(char *const *)at : "", -1, SQLITE_TRANSIENT);
		else if (f->type == FIELD_PORT)
			sqlite3_bind_int(st, i, *(const uint16_t *)at);
		else if (f->type == FIELD_BOOL)
			sqlite3_bind_int(st, i, *(const bool *)at);
		else
			sqlite3_bind_int64(st, i, *(const int64_t *)at);
	}
	return finish(s, st);
}

static void take_row(void *record, sqlite3_stmt *st, const struct table *t)
{
	int i = 0;

	for (const struct field *f = t->fields; f->column != NULL; f++, i++) {
		void *at = (char *)record + f->offset;
		const char *text = (const char *)sqlite3_column_text(st, i);

		if (f->type == FIELD_TEXT)
			snprintf(at, f->size, "%s", text != NULL ? text : "");
		else if (f->type == FIELD_HEAP)
			*(char **)at = mem_xstrdup(text != NULL ? text : "");
		else if (f->type == FIELD_PORT)
			*(uint16_t *)at = (uint16_t)sqlite3_column_int(st, i);
		else if (f->type == FIELD_BOOL)
			*(bool *)at = sqlite3_column_int(st, i) != 0;
		else
			*(int64_t *)at = sqlite3_column_int64(st, i);
	}
}

/* The first row of `tail` (" WHERE …"), whose two parameters are bound where given. KC_ENOENT without one. */
static int get_row(void *record, struct state *s, const struct table *t, const char *tail, const char *text, int number)
{
	char *sql = mem_xstrdup("SELECT ");
	sqlite3_stmt *st = NULL;
	int rc;

	for (const struct field *f = t->fields; f->column != NULL; f++) {
		append(&sql, f == t->fields ? "" : ", ");
		append(&sql, f->column);
	}
	append(&sql, " FROM ");
	append(&sql, t->name);
	append(&sql, tail);
	rc = prepare(&st, s, sql);
	free(sql);
	if (rc < 0)
		return rc;
	if (text != NULL)
		sqlite3_bind_text(st, 1, text, -1, SQLITE_STATIC);
	if (number != 0)
		sqlite3_bind_int(st, 2, number);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		take_row(record, st, t);
	rc = rc == SQLITE_ROW ? KC_OK : rc == SQLITE_DONE ? KC_ENOENT : db_error(s);
	sqlite3_finalize(st);
	return rc;
}

static int delete_row(struct state *s, const char *sql, const char *text, int number)
{
	sqlite3_stmt *st = NULL;
	int rc = prepare(&st, s, sql);

	if (rc < 0)
		return rc;
	if (text != NULL)
		sqlite3_bind_text(st, 1, text, -1, SQLITE_STATIC);
	if (number != 0)
		sqlite3_bind_int(st, 2, number);
	return finish(s, st);
}

static int prepare_schema(struct state *s)
{
	sqlite3_stmt *st = NULL;
	int version, rc = prepare(&st, s, "PRAGMA user_version");

	if (rc < 0)
		return rc;
	if (sqlite3_step(st) != SQLITE_ROW) {
		sqlite3_finalize(st);
		return db_error(s);
	}
	version = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	if (version > STATE_VERSION)
		return err_set(KC_EFORMAT, "%s: made by a newer version of keyclone (format %d, this one knows %d)",
		    s->path, version, STATE_VERSION);
	if (version == STATE_VERSION)
		return KC_OK;
	rc = run_sql(s, "BEGIN IMMEDIATE");
	for (size_t i = 0; rc == KC_OK && i < sizeof(tables) / sizeof(tables[0]); i++)
		rc = create_table(s, &tables[i]);
	if (rc == KC_OK)
		rc = run_sql(s, "CREATE TABLE IF NOT EXISTS audit_head(one INTEGER PRIMARY KEY CHECK(one = 1), seq "
				"INTEGER NOT NULL, hash TEXT NOT NULL);"
				"PRAGMA user_version = 2; COMMIT");
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
		rc = run_sql(s, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-256");
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

int state_get_self(struct state_self *self, struct state *s)
{
	struct state_self got = { 0 };
	int rc = get_row(&got, s, SELF, "", NULL, 0);

	if (rc < 0 && rc != KC_ENOENT)
		return rc;
	*self = got;
	return KC_OK;
}

int state_put_self(struct state *s, const struct state_self *self)
{
	return put_row(s, SELF, self);
}

int state_new_lineage(struct state *s)
{
	struct state_self self = { 0 };
	uint8_t id[STATE_LINEAGE_LEN / 2];
	struct state_self old;
	int rc = state_get_self(&old, s);

	if (rc < 0)
		return rc;
	mem_random(id, sizeof(id));
	hex_encode(self.lineage, id, sizeof(id));
	self.stopped = old.stopped;
	return state_put_self(s, &self);
}

int state_put_digest(struct state *s, const char *lineage, uint64_t generation, const char *digest)
{
	struct made m = { .generation = generation };
	char *sql;
	int rc;

	STR_COPY(m.lineage, lineage);
	STR_COPY(m.digest, digest);
	rc = put_row(s, MADE, &m);
	if (rc < 0 || generation <= DIGESTS_MAX)
		return rc;
	sql = mem_xasprintf("DELETE FROM made WHERE generation < %" PRIu64, generation - DIGESTS_MAX);
	rc = run_sql(s, sql);
	free(sql);
	return rc;
}

int state_get_digest(char digest[STATE_DIGEST_LEN + 1], struct state *s, const char *lineage, uint64_t generation)
{
	struct made m = { .generation = 0 };
	char *where = mem_xasprintf(" WHERE lineage = ?1 AND generation = %" PRIu64, generation);
	int rc = get_row(&m, s, MADE, where, lineage, 0);

	free(where);
	if (rc == KC_OK)
		memcpy(digest, m.digest, sizeof(m.digest));
	return rc;
}

int state_put_intent(struct state *s, const struct state_intent *i)
{
	return put_row(s, INTENT, i);
}

int state_get_intent(struct state_intent *i, struct state *s)
{
	return get_row(i, s, INTENT, "", NULL, 0);
}

int state_clear_intent(struct state *s)
{
	return run_sql(s, "DELETE FROM intent");
}

int state_put_applied(struct state *s, const struct state_self *self)
{
	int rc = run_sql(s, "BEGIN IMMEDIATE");

	if (rc < 0)
		return rc;
	rc = put_row(s, SELF, self);
	if (rc == KC_OK)
		rc = run_sql(s, "DELETE FROM intent");
	if (rc == KC_OK)
		rc = run_sql(s, "COMMIT");
	if (rc < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int state_put_stored(struct state *s, const struct state_stored *st)
{
	return put_row(s, STORED, st);
}

int state_get_stored(struct state_stored *st, struct state *s)
{
	return get_row(st, s, STORED, " ORDER BY rowid DESC LIMIT 1", NULL, 0);
}

int state_find_stored(struct state_stored *st, struct state *s, const char *backup)
{
	return get_row(st, s, STORED, " WHERE backup = ?1", backup, 0);
}

int state_forget_stored(struct state *s, const char *backup)
{
	return delete_row(s, "DELETE FROM stored WHERE backup = ?1", backup, 0);
}

void state_stored_fini(struct state_stored *st)
{
	free(st->travel);
	st->travel = NULL;
}

int state_put_clone(struct state *s, const struct state_clone *c)
{
	return put_row(s, CLONE, c);
}

int state_get_clone(struct state_clone *c, struct state *s, const char *host, uint16_t port)
{
	return get_row(c, s, CLONE, " WHERE host = ?1 AND port = ?2", host, port);
}

int state_forget_clone(struct state *s, const char *host, uint16_t port)
{
	return delete_row(s, "DELETE FROM clone WHERE host = ?1 AND port = ?2", host, port);
}

int state_begin(struct state *s)
{
	return run_sql(s, "BEGIN IMMEDIATE");
}

int state_commit(struct state *s)
{
	int rc = run_sql(s, "COMMIT");

	if (rc < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int state_put_audit_head(struct state *s, uint64_t seq, const char *hash)
{
	sqlite3_stmt *st = NULL;
	int rc = prepare(&st, s, "INSERT OR REPLACE INTO audit_head VALUES(1, ?1, ?2)");

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(st, 1, (int64_t)seq);
	sqlite3_bind_text(st, 2, hash, -1, SQLITE_STATIC);
	return finish(s, st);
}

int state_get_audit_head(uint64_t *seq, char hash[65], struct state *s)
{
	sqlite3_stmt *st = NULL;
	int rc = prepare(&st, s, "SELECT seq, hash FROM audit_head"), step;

	if (rc < 0)
		return rc;
	step = sqlite3_step(st);
	if (step == SQLITE_ROW) {
		*seq = (uint64_t)sqlite3_column_int64(st, 0);
		snprintf(hash, 65, "%s", (const char *)sqlite3_column_text(st, 1));
	}
	rc = step == SQLITE_ROW ? KC_OK : step == SQLITE_DONE ? KC_ENOENT : db_error(s);
	sqlite3_finalize(st);
	return rc;
}
