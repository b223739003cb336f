/* SPDX-License-Identifier: Apache-2.0 */
/* backup_fixture: databases, keys, backups for the tests of backup/. */
#include "backup_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "keystore/secret.h"

void fix_init(struct fixture *f)
{
	struct secret_box *box = NULL;
	char *p, *q, *r;

	memset(f, 0, sizeof(*f));
	strcpy(f->dir, "/tmp/kc-backup-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	ok(mem_init());
	p = file_join(f->dir, "m");
	q = file_join(f->dir, "c");
	f->backups = file_join(f->dir, "backups");
	ok(file_make_dirs(p));
	ok(file_make_dirs(q));
	ok(file_make_dirs(f->backups));
	f->master = file_join(p, "keys.db");
	f->clone = file_join(q, "keys.db");
	free(p);
	free(q);
	p = file_join(f->dir, "seal.key");
	q = file_join(f->dir, "signing.key");
	r = file_join(f->dir, "signing.pub");
	ok(secret_box_open(&box, p));
	ok(sign_key_create(&f->key, box, q, r));
	secret_box_free(box);
	free(p);
	free(q);
	free(r);
	f->pin.pub = *sign_key_public(f->key);
	f->pin.comment = (char *)"";
	f->pins.pins = &f->pin;
	f->pins.count = 1;
	f->identity = age_identity_new();
	age_identity_recipient(&f->recipient, f->identity);
}

void fix_fini(struct fixture *f)
{
	ok(file_remove_tree(f->dir));
	free(f->master);
	free(f->clone);
	free(f->backups);
	sign_key_free(f->key);
	age_identity_free(f->identity);
}

static sqlite3 *connect_to(const char *path)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	return db;
}

void fix_sql(const char *path, const char *sql)
{
	sqlite3 *db = connect_to(path);
	char *text = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", sql, text);
	sqlite3_close(db);
}

const char *fix_query(const char *path, const char *sql)
{
	static char out[256];
	sqlite3 *db = connect_to(path);
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	snprintf(out, sizeof(out), "%s", sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	sqlite3_close(db);
	return out;
}

static const char schema[] =
    "CREATE TABLE keys(uuid TEXT PRIMARY KEY, alias TEXT, mark INTEGER, weight REAL, material BLOB);"
    "CREATE INDEX keys_alias ON keys(alias);"
    "CREATE TABLE log(id INTEGER PRIMARY KEY AUTOINCREMENT, mark INTEGER, text TEXT);"
    "CREATE TABLE plain(mark INTEGER, a, b);"
    "CREATE TABLE pairs(k TEXT, n INTEGER, mark INTEGER, PRIMARY KEY(k, n)) WITHOUT ROWID;"
    "CREATE TABLE made(id INTEGER PRIMARY KEY, mark INTEGER, v INTEGER AS (mark * 2) VIRTUAL, s TEXT AS (id || 'x') "
    "STORED);"
    "CREATE VIEW marks AS SELECT mark FROM keys;"
    "CREATE TRIGGER keys_log AFTER DELETE ON keys BEGIN INSERT INTO log(mark, text) VALUES(old.mark, 'gone'); END;";

void fix_make_database(const char *path, const struct fix_kind *kind, int rows, int mark)
{
	sqlite3 *db = connect_to(path);
	char *sql =
	    sqlite3_mprintf("PRAGMA page_size=%d; PRAGMA encoding='%s'; PRAGMA auto_vacuum=%d; PRAGMA "
			    "journal_mode=%s; PRAGMA synchronous=OFF; BEGIN; %s"
			    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) INSERT INTO "
			    "keys SELECT printf('%%08x-%d', i*7919), 'key-' || i || 'äöü', %d, i/3.0, "
			    "randomblob(20 + i %% 40) FROM n;"
			    "INSERT INTO log(mark, text) SELECT mark, alias FROM keys;"
			    "INSERT INTO plain SELECT mark, NULL, 'same' FROM keys;"
			    "INSERT INTO pairs SELECT alias, rowid, mark FROM keys;"
			    "INSERT INTO made(mark) SELECT mark FROM keys LIMIT 50; ANALYZE; PRAGMA user_version=7; "
			    "COMMIT; INSERT INTO plain VALUES(%d, 'long', randomblob(100000));",
		kind->page_size, kind->encoding, kind->auto_vacuum, kind->journal, schema, rows, mark, mark, mark);
	char *text = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s", text);
	sqlite3_free(sql);
	sqlite3_close(db);
}

int fix_mark(sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	int mark = -2;

	if (sqlite3_prepare_v2(db,
		"SELECT min(m), max(m) FROM (SELECT mark m FROM keys UNION ALL SELECT mark FROM log UNION ALL SELECT "
		"mark FROM "
		"plain UNION ALL SELECT mark FROM pairs UNION ALL SELECT mark FROM made)",
		-1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		mark = sqlite3_column_int(st, 0) == sqlite3_column_int(st, 1) ? sqlite3_column_int(st, 0) : -1;
	if (sqlite3_finalize(st) != SQLITE_OK || mark == -2)
		fprintf(stderr, "reader: %s\n", sqlite3_errmsg(db));
	return mark;
}

struct source *fix_open(const char *path, bool create)
{
	struct source_options o = { .create = create, .busy_ms = 3000 };
	struct source *s = NULL;

	ok(source_open(&s, path, &o));
	return s;
}

void fix_digest(char out[SOURCE_DIGEST_LEN + 1], const char *path)
{
	struct source *s = fix_open(path, false);
	struct source_digest d;

	ok(source_digest(&d, s));
	memcpy(out, d.content, sizeof(d.content));
	source_digest_fini(&d);
	source_close(s);
}

void fix_create_options(struct fixture *f, struct create_options *o, struct source *s, uint64_t generation)
{
	*o = (struct create_options){ .source = s,
		.dir = f->backups,
		.lineage = FIX_LINEAGE,
		.generation = generation,
		.kind = STORE_FULL,
		.host = "master.example",
		.product = "keyclone test",
		.level = 1,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = f->key };
}

void fix_backup(struct fixture *f, struct create_result *r, const char *path, uint64_t generation)
{
	struct source *s = fix_open(path, false);
	struct create_options o;

	fix_create_options(f, &o, s, generation);
	ok(backup_create(r, &o));
	source_close(s);
}

void fix_restore_options(struct fixture *f, struct restore_options *o, char **travel, const struct create_result *r,
    struct source *live, const char *applied)
{
	memset(o, 0, sizeof(*o));
	ok(backup_wrap(travel, r->key, &f->recipient, 1));
	o->image.file = r->path;
	o->image.travel = *travel;
	o->image.identity = f->identity;
	o->image.pins = &f->pins;
	o->image.lineage = FIX_LINEAGE;
	o->image.generation = r->generation;
	o->live = live;
	o->applied = applied;
}

void fix_restore(struct fixture *f, const struct create_result *r, struct source *live, const char *applied)
{
	struct restore_options o;
	struct restore_result result;
	char *travel;

	fix_restore_options(f, &o, &travel, r, live, applied);
	ok(backup_restore(&result, &o));
	assert_string_equal(result.content, r->content);
	assert_int_equal(result.rows, r->rows);
	restore_result_fini(&result);
	free(travel);
}

void fix_remove_database(const char *path)
{
	static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
	size_t i;

	for (i = 0; i < 4; i++) {
		char *p = mem_xasprintf("%s%s", path, ends[i]);

		unlink(p);
		free(p);
	}
}
