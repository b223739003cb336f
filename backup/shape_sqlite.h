/* SPDX-License-Identifier: Apache-2.0 */
/* shape_sqlite: a table as a changeset sees it: its columns, and what it knows a row by. */
#ifndef KC_BACKUP_SHAPE_SQLITE_H
#define KC_BACKUP_SHAPE_SQLITE_H

#include "backup/source_sqlite.h"

struct shape {
	char *name;
	struct name_list columns; /* in their order; without generated ones */
	uint8_t *key;		  /* of each column: its place in the primary key, from 1; 0: not in it */
	size_t n_key;		  /* 0: no primary key was declared */
	bool generated;		  /* has generated columns */
	bool without_rowid;
	char *row_id; /* what SQL calls the row id here; NULL: there is none, or columns have all its names */
	bool odd;     /* has indexes on expressions, or partial ones: order depends on more than columns */
};
/* KC_ENEEDFULL: not an ordinary table of this name, in these letters; one of SQLite's own; or the key is too wide. */
int shape_open(struct shape *s, sqlite3 *db, const char *path, const char *table);
void shape_close(struct shape *s);
/* KC_ENEEDFULL: no changeset can carry changes of this table: no key, generated columns, a collation of the
 * application's own where order depends on it, a key whose index has another collation than its column (SQLite would
 * look for each row in the whole table), or an index that calls a function that is not known here. */
int shape_check(const struct shape *s, sqlite3 *db, const char *path);

/* Statements on the table whose columns are the row id (0 where there is none) and s->columns: rows with this key
 * (bound in the order of the columns), the row of a row id, all rows. */
int shape_by_key(struct row_scan *scan, const struct shape *s, sqlite3 *db, const char *path);
int shape_by_row_id(struct row_scan *scan, const struct shape *s, sqlite3 *db, const char *path);
int shape_all(struct row_scan *scan, const struct shape *s, sqlite3 *db, const char *path);

#endif
