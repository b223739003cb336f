/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changeset_sqlite: changes of rows in the format of SQLite's session extension, written and applied.
 *
 *     for each table that changes
 *       'T', varint number of columns, for each column its place in the primary key (a byte; 0: not in it), name, NUL
 *       then for each row: 9 delete, 18 insert, 23 update; 0; then
 *         delete: all values as they were
 *         insert: all values as they are
 *         update: the key and what changes, as they were; then what changes, as it is; 0 for all other columns
 *     value: 1 i64 | 2 the bits of a double | 3 varint length, UTF-8 text | 4 varint length, bytes | 5 NULL
 *
 * (big-endian; varints are SQLite's.) Deletes come first, then updates, then inserts, so that a value of a UNIQUE
 * column is free when another row takes it. A row whose key changes, in whatever bit, is deleted and inserted.
 */
#ifndef KC_BACKUP_CHANGESET_SQLITE_H
#define KC_BACKUP_CHANGESET_SQLITE_H

#include "backup/manifest.h"
#include "backup/shape_sqlite.h"
#include "backup/source_sqlite.h"
#include "base/buf.h"

struct changeset {
	int fd; /* read with pread from offset 0 */
	uint64_t size;
	const struct source_sequence *sequences; /* the rows that sqlite_sequence has afterwards */
	size_t n_sequences;
};

/*
 * Applies it in the open write transaction of `db`, which the caller rolls back if this fails. `skip` (may be NULL):
 * tables that are left alone: neither their rows nor what sqlite_sequence knows of them are touched or counted.
 * *delta: the sum of the hashes of all rows as they are, minus that of the rows as they were (mod 2^256, FORMAT.md's
 * row hash; rows of sqlite_sequence count). *skipped: changes that were left alone.
 *
 * The changeset may be hostile. Exact or nothing: KC_ENEEDFULL if a row is not what the changeset says it was, for a
 * constraint, a table or column that is missing, or a table whose changes no changeset can carry (shape_check); the
 * text names the table and no path. KC_EDAMAGED: it is no changeset, or ends early. Else KC_ENOSPC, KC_EBUSY, KC_ESYS
 * of the database, and what alive() returned.
 *
 * The connection must not enforce foreign keys (KC_EFAIL); it may be in defensive mode; another one's preupdate hook is
 * lost. Triggers and checks are off meanwhile. The same content always has the same outcome, however it lies in its
 * pages: what was applied to one copy can be applied to all.
 */
int changeset_apply(struct row_hash *delta, uint64_t *skipped, sqlite3 *db, const char *path, const struct changeset *c,
    const struct name_list *skip, int (*alive)(void *arg), void *arg);

/* The changeset at `path` of the increment that `m` is the manifest of, which must outlive it; *sequences is what c
 * points at. End with changeset_close, after a failure, too. */
int changeset_open(struct changeset *c, struct source_sequence **sequences, const struct manifest *m, const char *path);
void changeset_close(struct changeset *c, struct source_sequence *sequences);

/* Applies all of it to the file at `path`, which messages call `label`, as sqlite_open_to_change() opens it. After a
 * failure the file is one to throw away. */
int changeset_apply_to_file(struct row_hash *delta, const char *path, const char *label, const struct changeset *c);

/* Is it one, from its first byte to its last? KC_EDAMAGED, and `path` in the message. changeset_apply asks by itself.
 */
int changeset_check(const struct changeset *c, const char *path);

/* Writes one, table after table, to an empty file. Of each table up to `max` bytes are in memory. */
struct changeset_writer {
	int fd;
	const char *path; /* for messages */
	uint64_t size, max;
	struct buf deletes, updates, inserts; /* of the present table */
};
void changeset_writer_init(struct changeset_writer *w, int fd, const char *path, uint64_t max);
void changeset_writer_fini(struct changeset_writer *w);
/* A change of the present table: `was` and `is` are present rows of scans of this shape (shape_sqlite.h); an insert has
 * no `was`, a delete no `is`, and the two rows of an update have the same key and differ. KC_ENEEDFULL: over max. */
int changeset_put(
    struct changeset_writer *w, const struct shape *s, const struct row_scan *was, const struct row_scan *is);
/* The present table is complete. */
int changeset_end_table(struct changeset_writer *w, const struct shape *s);

#endif
