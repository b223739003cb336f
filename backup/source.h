/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: an open key database: what a database kind must do for us. SQLite is the kind there is (source_sqlite.c).
 *
 * A source is opened once and kept: change detection and the quick proof before a restore depend on connections that
 * stay. It holds two, R for reading and snapshots, W for the one thing that writes, a restore. Any schema, page size,
 * encoding and journal mode will do; another process has the database open and uses it all the time. Neither
 * connection holds a lock or a transaction between calls.
 *
 * Not safe for use by two threads at once. All calls block; waits for locks are bounded by busy_ms.
 *
 * Codes: KC_EBUSY locked for longer than busy_ms; KC_EDAMAGED not a database, or a damaged one; KC_EPERM the rule of
 * access (below); KC_ENOENT; KC_ESYS, KC_ENOSPC from the file system.
 */
#ifndef KC_BACKUP_SOURCE_H
#define KC_BACKUP_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOURCE_DIGEST_LEN 64 /* hex digits */
#define SOURCE_BUSY_MS	  30000

struct source;

/*
 * May we open the database at `path` beside its owner? Whoever opens an idle WAL database first owns its -wal and -shm
 * and would lock the other out. So: the effective user owns the file, or is root, or the file is 0660 (at least) in a
 * set-gid folder, both of one group that we are in. Else KC_EPERM, and the message says who owns what and both
 * remedies. A missing file is judged by its folder. (Opening as root gives new files to the owner of the database.)
 */
int source_check_access(const char *path);
/*
 * Does the file begin as a database does, and whose is it? A missing or empty one will become one: KC_OK, 0. Else
 * KC_EDAMAGED. Not for a process that has it open: closing a second descriptor drops SQLite's locks.
 */
int source_check_format(int32_t *application_id, const char *path);

struct source_options {
	bool create; /* a missing file is no error: an empty database, whose file is made when it is opened */
	int busy_ms; /* longest wait for a lock; 0 = SOURCE_BUSY_MS */
	/* Called while waiting for a lock and during long work; a failure cancels the work. May be NULL. */
	int (*alive)(void *arg);
	void *arg;
};

/* Opens `path` (copied), after source_check_access. */
int source_open(struct source **s, const char *path, const struct source_options *o);
void source_close(struct source *s); /* NULL is a no-op */
const char *source_path(const struct source *s);
/* Replace `alive` and its argument, e.g. for each job. */
void source_set_alive(struct source *s, int (*alive)(void *arg), void *arg);
/* Opens anew if the path now leads to another file (somebody renamed one over it). Called by all that follow. */
int source_refresh(struct source *s);

/*
 * Tables that only this machine's own application writes: they are in no digest and no list of rows, and a restore
 * leaves them alone (restore.h). Copied. Names are compared as SQL does.
 */
void source_set_local(struct source *s, const char *const *tables, size_t n);
bool source_has_local(const struct source *s);
/* What the content digest will be once this image (a proved one) was restored with the rows of the local tables carried
 * over: its digest without them. KC_ECONF: a table cannot be carried over, and why. */
int source_expect(char content[SOURCE_DIGEST_LEN + 1], struct source *s, const char *image);

/*
 * A number that moves when anybody but us commits (and sometimes without a change of content), O(1). Compare for
 * equality only, within one process. Read it before the snapshot.
 */
int source_version(uint64_t *version, struct source *s);

struct source_info {
	uint64_t size; /* bytes: pages times page size */
	uint32_t page_size;
	char encoding[12]; /* "UTF-8", "UTF-16le", "UTF-16be" */
	int auto_vacuum;   /* 0 none, 1 full, 2 incremental */
	int32_t user_version;
	int32_t application_id;
	char journal_mode[12]; /* "delete", "truncate", "persist", "wal", … */
};
int source_info(struct source_info *info, struct source *s);

/*
 * The digest of a database. content: the sum modulo 2^256 of the SHA-256 of every row (with its table's name and typed
 * columns), in hex; independent of order, page size, encoding and free pages. Counted are all tables that have storage
 * (also the shadow tables of virtual ones, WITHOUT ROWID tables and sqlite_sequence); left out are sqlite_stat*,
 * views, generated columns. schema: the SHA-256 of user_version, application_id and the text of the schema.
 */
struct source_table {
	char *name;
	uint64_t rows;
};
struct source_sequence {
	char *table;
	int64_t value;
};
struct source_digest {
	char content[SOURCE_DIGEST_LEN + 1];
	char schema[SOURCE_DIGEST_LEN + 1];
	uint64_t rows; /* in all tables but sqlite_sequence */
	struct source_table *tables;
	size_t n_tables;
	struct source_sequence *sequences; /* of sqlite_sequence */
	size_t n_sequences;
};
void source_digest_fini(struct source_digest *d);
/* What `own` (may be `out`) becomes by changes that add `delta`: their sum. False: one is no digest. */
bool source_digest_add(char out[SOURCE_DIGEST_LEN + 1], const char *own, const char *delta);
bool source_is_local(const struct source *s, const char *table);
/* Of the live database, in one read transaction. */
int source_digest(struct source_digest *d, struct source *s);
/* The schema digest alone. */
int source_schema(char schema[SOURCE_DIGEST_LEN + 1], struct source *s);

/*
 * The database was proved to be what was last applied at this version: a restore or a recount told so (`content` as
 * above). Forgotten when the version moves. source_known says what is known now, "" if nothing.
 */
int source_known(char content[SOURCE_DIGEST_LEN + 1], struct source *s);

/* Have restores left much in the write-ahead log? */
bool source_log_is_long(const struct source *s);
/* Bring what a restore left in the write-ahead log into the database file. Best effort, bounded; readers go on. */
void source_checkpoint(struct source *s);

#endif
