/* SPDX-License-Identifier: Apache-2.0 */
/* diff_int: between the files of diff. That changes cannot be carried is KC_ENEEDFULL in here; its text becomes `why`.
 */
#ifndef KC_BACKUP_DIFF_INT_H
#define KC_BACKUP_DIFF_INT_H

#include "backup/changeset_sqlite.h"
#include "backup/diff.h"
#include "backup/pages.h"

struct diff_base {
	sqlite3 *db;
	char *path;
};

/* One comparison. */
struct diff_run {
	sqlite3 *base, *now;
	const char *base_path, *now_path;
	const struct source_digest *base_digest;
	struct pages *pages; /* NULL: of rows that were named */
	struct changeset_writer out;
	uint64_t max_rows, rows; /* that changed */
	struct row_hash delta;	 /* of all */
	struct row_hash *deltas; /* of each table's rows */
	struct diff_result r;
	int (*alive)(void *arg);
	void *arg;
	unsigned work;
};

/* A table in both databases. */
struct diff_pair {
	struct diff_run *run;
	struct shape shape;
	struct diff_table *count;
	struct row_hash *delta;
	struct row_scan was_key, is_key; /* rows by key, in the base and now */
	bool checked;			 /* its changes can be carried */
	struct row_hash loose;		 /* rows without a key, or with NULL in it: as they are minus as they were */
};
int diff_pair_open(struct diff_pair *p, struct diff_run *run, size_t i); /* of base_digest->tables */
void diff_pair_close(struct diff_pair *p);
/* All changes of the table are put: into the file with them. */
int diff_pair_end(struct diff_pair *p);

/* The rows of one key, either may be NULL: puts, counts and hashes the change, if there is one. */
int diff_row(struct diff_pair *p, struct row_scan *was, struct row_scan *is);
/* A row that is only known on one side: looks for its key on the other. Each key has to come in both ways, where it is.
 * *found (may be NULL): the row id of the row of the same key there; *there: is there one? */
int diff_was(struct diff_pair *p, struct row_scan *was, bool *there, int64_t *found);
int diff_is(struct diff_pair *p, struct row_scan *is, bool *there, int64_t *found);
bool diff_same_key(const struct diff_pair *p, const struct row_scan *a, const struct row_scan *b);
bool diff_same_row(const struct diff_pair *p, const struct row_scan *a, const struct row_scan *b);

/* A table of which nobody knows which rows changed (diff_table_sqlite.c). */
int diff_table(struct diff_run *run, size_t i);

/* Calls alive() now and then. */
int diff_alive(struct diff_run *run);
/* Prepares a result, and what is written; ends it: tries the changes on the base, and
 * fills in *r. `rc`: how it went until here. */
int diff_begin(struct diff_run *run, int fd, const char *fd_path, uint64_t max_rows, uint64_t max_bytes);
int diff_end(struct diff_result *r, struct diff_run *run, int rc);

#endif
