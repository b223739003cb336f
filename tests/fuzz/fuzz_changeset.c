/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_changeset: changes that somebody else wrote, applied to a database with all sorts of tables. The first byte of
 * the input says what goes with them: 1 rows of sqlite_sequence, 2 a table that is left alone.
 *
 * Exact or nothing: where they are applied the content digest moves by what was said, and a database of the same
 * content that lies differently in its pages ends the same; where they are refused nothing has changed, once it is
 * rolled back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backup/changeset_sqlite.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#define NAME "fuzz"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema[] =
    "CREATE TABLE keys(uuid TEXT PRIMARY KEY, alias TEXT UNIQUE, mark INTEGER CHECK (mark > 0), weight REAL NOT NULL, "
    "material BLOB);"
    "CREATE TABLE log(id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT);"
    "CREATE TABLE pairs(k TEXT COLLATE NOCASE, n INTEGER, v, PRIMARY KEY(k, n)) WITHOUT ROWID;"
    "CREATE TABLE replaces(id INTEGER PRIMARY KEY, v UNIQUE ON CONFLICT REPLACE, w NOT NULL ON CONFLICT IGNORE);"
    "CREATE TABLE plain(a, b); CREATE TABLE local(id INTEGER PRIMARY KEY, v);"
    "CREATE TABLE made(id INTEGER PRIMARY KEY, v AS (id * 2) STORED, w);"
    "CREATE TABLE child(id INTEGER PRIMARY KEY, k TEXT REFERENCES keys ON DELETE CASCADE);"
    "CREATE VIEW marks AS SELECT mark FROM keys;"
    "CREATE TRIGGER gone AFTER DELETE ON keys BEGIN DELETE FROM log; UPDATE pairs SET v = old.mark; END;"
    "CREATE TRIGGER guard BEFORE INSERT ON keys BEGIN SELECT raise(IGNORE); END;"
    "CREATE INDEX part ON keys(alias) WHERE mark > 1;";

static const char rows[] =
    "INSERT INTO keys VALUES('a', 'one', 1, 0.5, x'00'), ('b', 'two', 2, -0.0, NULL), ('c', NULL, 3, 1e300, x'');"
    "INSERT INTO log VALUES(1, 'x'), (7, NULL); INSERT INTO pairs VALUES('A', 1, NULL), ('b', 2, 'v');"
    "INSERT INTO replaces VALUES(1, 'p', 1), (2, 'q', 2); INSERT INTO plain VALUES(1, 2); INSERT INTO local VALUES(1, "
    "'mine'); INSERT INTO made(id, w) VALUES(1, 1); INSERT INTO child VALUES(1, 'a');";

static void must(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		abort();
}

static sqlite3 *make(bool otherwise)
{
	sqlite3 *db = NULL;

	if (sqlite3_open(":memory:", &db) != SQLITE_OK)
		abort();
	if (otherwise)
		must(db, "PRAGMA page_size=512; PRAGMA auto_vacuum=2");
	must(db, schema);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	if (otherwise)
		must(db, "CREATE TABLE filler(a); INSERT INTO filler VALUES(randomblob(5000)); INSERT INTO keys "
			 "VALUES('z', 'z', "
			 "9, 9, randomblob(3000)); DELETE FROM keys; DROP TABLE filler");
	must(db, rows);
	return db;
}

static void count(struct row_hash *sum, sqlite3 *db)
{
	struct source_digest d;

	if (sqlite_digest(&d, db, NAME, NULL, NULL, NULL) < 0 || !row_hash_from_hex(sum, d.content))
		abort();
	source_digest_fini(&d);
}

/* What comes of it, and the content then. */
static int apply(
    struct row_hash *after, uint64_t *skipped, const struct changeset *c, const struct name_list *skip, bool otherwise)
{
	sqlite3 *db = make(otherwise);
	struct row_hash before, delta;
	int rc;

	count(&before, db);
	must(db, "BEGIN IMMEDIATE");
	*skipped = 0;
	rc = changeset_apply(&delta, skipped, db, NAME, c, skip, NULL, NULL);
	must(db, rc == KC_OK ? "COMMIT" : "ROLLBACK");
	count(after, db);
	if (rc == KC_OK)
		row_hash_add(&before, &delta);
	if (memcmp(&before, after, sizeof(before)) != 0)
		abort();
	must(db, "PRAGMA integrity_check");
	sqlite3_close(db);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct source_sequence sequences[] = { { (char *)(uintptr_t) "log", 100 } };
	char *local[] = { (char *)(uintptr_t) "local" };
	struct name_list skip = { local, 1 };
	struct row_hash one, two;
	uint64_t skipped, again;
	struct changeset c;
	int rc;

	if (size == 0)
		return 0;
	c = (struct changeset){ .fd = memfd_create("changeset", MFD_CLOEXEC),
		.size = size - 1,
		.sequences = sequences,
		.n_sequences = data[0] & 1 };
	if (c.fd < 0 || write(c.fd, data + 1, size - 1) != (ssize_t)(size - 1))
		abort();
	rc = apply(&one, &skipped, &c, (data[0] & 2) != 0 ? &skip : NULL, false);
	if (apply(&two, &again, &c, (data[0] & 2) != 0 ? &skip : NULL, true) != rc ||
	    memcmp(&one, &two, sizeof(one)) != 0 || skipped != again)
		abort();
	if (rc < 0 && rc != KC_ENEEDFULL && rc != KC_EDAMAGED)
		abort();
	close(c.fd);
	return 0;
}
