/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff_keys: changes of rows that somebody named, read from the live database: no snapshot, no comparison of files.
 *
 * It is as right as the list: a row that changed and is not named stays unknown, and the digest is then not the live
 * database's. Rows of sqlite_sequence need not be named.
 */
#ifndef KC_BACKUP_DIFF_KEYS_SQLITE_H
#define KC_BACKUP_DIFF_KEYS_SQLITE_H

#include "backup/diff.h"
#include "backup/source_sqlite.h"

struct diff_keys_options {
	struct diff_base *base;
	const struct source_digest *base_digest; /* known to be right */
	sqlite3 *live;				 /* in a read transaction */
	const char *live_path;			 /* for messages */
	const char *table;			 /* has a primary key of one column */
	const char *const *keys;		 /* its values, as text; any order, again and again */
	size_t n_keys;
	int fd; /* as in diff_options, and so on */
	const char *fd_path;
	uint64_t max_rows, max_bytes;
	int (*alive)(void *arg);
	void *arg;
};
/* As diff_snapshot(). */
int diff_keys(struct diff_result *r, const struct diff_keys_options *o);

#endif
