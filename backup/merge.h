/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge: add the rows of a full backup that the live database lacks, and touch nothing else.
 *
 * A row is missing if no row has its primary key (in a table without one: if no row equals it). A row that is there
 * with other values is left alone and counted. All rows are added in one transaction, or none: one that a UNIQUE or
 * another constraint keeps out spoils the whole. Triggers do not run. Tables are not made: a backup with rows of a
 * table that is not here, or with columns that are not, is refused. Virtual tables and their shadows, sqlite_sequence
 * and sqlite_stat* are left out.
 */
#ifndef KC_BACKUP_MERGE_H
#define KC_BACKUP_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "backup/image.h"
#include "backup/source.h"

#define MERGE_SHOWN 20 /* rows that are named */

struct merge_table {
	char *name;
	uint64_t added;
	uint64_t same;	  /* here with the same values */
	uint64_t differ;  /* here with other values: left alone */
	uint64_t refused; /* kept out by a constraint: then nothing was added at all */
};
struct merge_row {
	char *table;
	char *key; /* row_name_text */
	char *why; /* NULL: here with other values; else the constraint's message */
};
struct merge_result {
	char lineage[MANIFEST_LINEAGE_LEN + 1];
	uint64_t generation;
	struct merge_table *tables; /* those with rows in the backup */
	size_t n_tables;
	struct merge_row rows[MERGE_SHOWN]; /* that differ or were refused; those first that came first */
	size_t n_rows;
	uint64_t added, differ, refused; /* of all tables */
};
void merge_result_fini(struct merge_result *r);

struct merge_options {
	struct image_options image; /* its staging and progress are set here */
	struct source *live;
	/*
	 * The live database's master key file; NULL: none, a backup that has one is refused. Added rows are wrapped by
	 * the backup's: it must have all keys of ours (then it takes its place, before the commit), or be the beginning
	 * of ours.
	 */
	const char *master_key_file;
	int lock_ms; /* longest wait for the write lock; 0: the source's */
	/* "open" 0..100 of the file, then "merge" 0..100 of its rows; a failure cancels. May be NULL. */
	int (*progress)(void *arg, const char *phase, unsigned percent);
	void *arg;
};

/* KC_EFAIL: rows were refused, nothing was added (*result says which). Otherwise the codes of image.h and source.h.
 * *result must be given to merge_result_fini in any case. */
int backup_merge(struct merge_result *result, const struct merge_options *o);

#endif
