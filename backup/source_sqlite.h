/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_sqlite: what the SQLite files of this folder share. Not for anybody else: sqlite3.h stays behind it.
 */
#ifndef KC_BACKUP_SOURCE_SQLITE_H
#define KC_BACKUP_SOURCE_SQLITE_H

#include <sqlite3.h>
#include <sys/types.h>

#include "backup/source.h"

/* Names, e.g. of tables. */
struct name_list {
	char **names;
	size_t n;
};

struct source {
	char *path;
	bool create;
	int busy_ms;
	int (*alive)(void *arg);
	void *arg;
	sqlite3 *r; /* reads, snapshots */
	sqlite3 *w; /* restores; its data_version is the one that counts, since our own commits do not move it */
	dev_t dev;
	ino_t ino;
	uint32_t epoch;	  /* how often it was opened */
	uint64_t waiting; /* monotonic ms since when the present lock is waited for */
	int lock_ms;	  /* longest wait now */
	int alive_status; /* failure of alive() that broke a wait off */
	bool known;
	uint64_t known_version;
	char known_content[SOURCE_DIGEST_LEN + 1];
	struct name_list local; /* tables that do not count */
	int wal_pages;		/* in the write-ahead log after our last commit */
};

/* Turns the failure `rc` of `db` (may be NULL) into our code and message "path: what: reason". */
int sqlite_fail(sqlite3 *db, int rc, const char *path, const char *what);
int sqlite_exec(sqlite3 *db, const char *path, const char *sql);
/* The first column of the first row; KC_EDAMAGED if there is none. */
int sqlite_int(int64_t *value, sqlite3 *db, const char *path, const char *sql);
int sqlite_int_of(int64_t *value, sqlite3 *db, const char *path, char *sql); /* sqlite3_malloc, taken */
int sqlite_str(char *out, size_t size, sqlite3 *db, const char *path, const char *sql);
int sqlite_prepare(sqlite3_stmt **st, sqlite3 *db, const char *path, const char *sql);
/* Do the pragmas of source_info in the present transaction. */
int sqlite_info(struct source_info *info, sqlite3 *db, const char *path);

/* Collations of the application's own are no reason not to read its tables. */
void sqlite_tolerate(sqlite3 *db);
/* How often such a collation was asked in this thread: an order that depends on one is not the application's. */
uint64_t sqlite_tolerated(void);
/* A file that nobody else has open and that may be hostile: read-only, immutable, everything clever is off. */
int sqlite_open_image(sqlite3 **db, const char *path);
/* Another one beside it, under this name. */
int sqlite_attach_image(sqlite3 *db, const char *path, const char *name);
/* Write its content to a new file with another page size. */
int sqlite_rewrite_image(const char *path, const char *to, uint32_t page_size);
/* Mark a closed file as being in rollback mode, so that it can be read without a WAL beside it. */
int sqlite_unset_wal(const char *path);
/* PRAGMA quick_check, one complaint: KC_EDAMAGED. */
int sqlite_quick_check(sqlite3 *db, const char *path);
/* `skip`: tables that do not count, NULL: none. In one transaction, of its own or in the present one. */
int sqlite_digest(struct source_digest *d, sqlite3 *db, const char *path, const struct name_list *skip,
    int (*alive)(void *arg), void *arg);
int sqlite_schema_digest(char out[SOURCE_DIGEST_LEN + 1], sqlite3 *db, const char *path);

/* local_sqlite.c */
/* The rows of the source's local tables, as W sees them in its present transaction, in place of the image's. */
int local_carry(sqlite3 *img, const char *image, struct source *live);
/* The image, to be written: not its master's any more. */
int sqlite_open_image_to_write(sqlite3 **db, const char *path);
/*
 * The same, for changes that may have to be undone: from a journal beside it, so that memory does not grow with what
 * changes. Nothing is synced: a process that is killed meanwhile leaves the journal and a file that is half of each,
 * which is to be thrown away.
 */
int sqlite_open_to_change(sqlite3 **db, const char *path);
/* KC_ENOENT; KC_EDAMAGED: somebody was killed while at it. */
int sqlite_check_left(const char *path);

/* A failed call on the source's connections; prefers the reason why a wait was broken off. */
int source_fail(struct source *s, sqlite3 *db, int rc, const char *what);
void source_begin_wait(struct source *s, int lock_ms); /* the next wait for a lock starts now */
int source_reopen(struct source *s);
/* Close and open R alone: some changes need W to be the only connection of this process. */
void source_close_reader(struct source *s);
int source_open_reader(struct source *s);
/* W's page cache. In rollback mode each page of the old database that does not fit costs an fsync of the journal; else
 * a small one holds as well, and is memory that need not be brought in. */
int source_set_small_cache(struct source *s, bool small);
int source_data_version(int64_t *version, struct source *s, sqlite3 *db);
void source_set_known(struct source *s, uint64_t version, const char *content);

/*
 * A stamp says whether anybody committed between two looks, and can be taken while our own W holds the write lock, in
 * WAL mode by R's data_version; in rollback mode, where W's lock excludes R, by the change counter, read through R's
 * open file.
 */
struct source_stamp {
	bool wal;
	int64_t value;
};
int source_stamp(struct source_stamp *stamp, struct source *s);
/* The same while W holds the lock: `mode` is an earlier stamp. */
int source_stamp_locked(struct source_stamp *stamp, struct source *s, const struct source_stamp *mode);

/* Rows of a table one by one, as hashes. */
struct row_hash {
	uint64_t w[4]; /* most significant first */
};
/* Modulo 2^256. */
void row_hash_add(struct row_hash *sum, const struct row_hash *h);
void row_hash_sub(struct row_hash *sum, const struct row_hash *h);
void row_hash_to_hex(char out[SOURCE_DIGEST_LEN + 1], const struct row_hash *h);
bool row_hash_from_hex(struct row_hash *h, const char *hex); /* false: not 64 lower-case digits; *h is untouched */
/* The digest of content that had the digest `own` (may be `out`) before this was added. false: `own` is none. */
bool row_hash_add_to(char out[SOURCE_DIGEST_LEN + 1], const char *own, const struct row_hash *delta);
struct row_scan {
	sqlite3 *db;
	const char *path;
	sqlite3_stmt *st;
	int skip; /* columns in front that are not hashed */
	uint8_t *buf;
	uint8_t *head; /* the beginning of every row: table name and number of columns */
	size_t prefix; /* its length */
};
/* `select` is a heap (sqlite3_malloc) list of expressions, taken; the first `skip` are for the caller. */
int row_scan_open(struct row_scan *scan, sqlite3 *db, const char *path, const char *table, char *select, int skip);
/* Only rows for which this holds, "" for all. */
int row_scan_open_where(
    struct row_scan *scan, sqlite3 *db, const char *path, const char *table, char *select, int skip, const char *where);
/* A statement of the caller's (sqlite3_malloc, taken), whose columns but the first `skip` are those of the table; it is
 * bound and reset through scan->st. */
int row_scan_open_sql(struct row_scan *scan, sqlite3 *db, const char *path, const char *table, char *sql, int skip);
/* The next row, and the hash of the present one; or both at once, *done at the end. */
int row_scan_step(bool *there, struct row_scan *scan);
int row_scan_hash(struct row_hash *hash, struct row_scan *scan);
int row_scan_next(struct row_hash *hash, bool *done, struct row_scan *scan);
void row_scan_close(struct row_scan *scan);

/* sequence_sqlite.c: the rows of sqlite_sequence, which says what AUTOINCREMENT gave last */
/* Those that count: a WHERE clause, NULL where all do. sqlite3_free. */
char *sequences_filter(const struct name_list *skip);
/* All of them, onto d->sequences. The table must be there. */
int sequences_read(struct source_digest *d, sqlite3 *db, const char *path);
/* Is there one? And the sum of the hashes of the rows that count; zero without one. */
int sequences_exist(bool *exist, sqlite3 *db, const char *path);
int sequences_sum(struct row_hash *sum, sqlite3 *db, const char *path, const struct name_list *skip);
int sequences_sum_of(struct row_hash *sum, sqlite3 *db, const char *path, const char *table); /* of one table */
/* Can a list of source_sequence say what is there? KC_ENEEDFULL: rows without a name or a number, or two of a table. */
int sequences_check(sqlite3 *db, const char *path);
/* Make those that count these; rows that are right are left alone. KC_ENEEDFULL: there is no such table. */
int sequences_set(
    sqlite3 *db, const char *path, const struct source_sequence *wanted, size_t n, const struct name_list *skip);

/* Equal in type and in every bit? `i` and `k` are columns of the present rows. */
bool sqlite_same_value(sqlite3_stmt *a, int i, sqlite3_stmt *b, int k);

/* Names of tables with storage, sorted; and of the stored columns of one. Heap. */
void name_list_add(struct name_list *l, const char *name);
bool name_list_has(const struct name_list *l, const char *name); /* case does not matter, as in SQL */
void name_list_fini(struct name_list *l);
int sqlite_tables(struct name_list *tables, sqlite3 *db, const char *path, bool with_sequence);
int sqlite_columns(struct name_list *columns, sqlite3 *db, const char *path, const char *table);
/* The columns of the primary key, in the order of the table; none: `key` stays empty. */
int sqlite_key(struct name_list *key, sqlite3 *db, const char *path, const char *table);

/* What people know a row by: the primary key's columns, else a column named uuid or id, else the rowid; beside a uuid
 * the alias. And "uuid=…,alias=…" of the present row of `st`, whose first columns are these. Heap. */
int row_names(
    struct name_list *names, sqlite3 *db, const char *path, const char *table, const struct name_list *columns);
char *row_name_text(const struct name_list *names, sqlite3_stmt *st);

#endif
