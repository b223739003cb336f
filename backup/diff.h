/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff: what changed in the rows of a database since the last snapshot of it, as a changeset (changeset_sqlite.h).
 *
 * Exact or nothing: either the changeset, applied to the base, makes it the new content to the bit, which was tried, or
 * the outcome is DIFF_FULL with the reason why changes of rows cannot say it. A failure is about the files or the
 * machine: KC_ENOENT, KC_EDAMAGED, KC_ESYS, KC_ENOSPC, what alive() returned.
 *
 * A row is known by its primary key as it was declared. Row ids that are no key are no content. The time follows the
 * change, but for one comparison of both files from front to back.
 */
#ifndef KC_BACKUP_DIFF_H
#define KC_BACKUP_DIFF_H

#include "backup/source.h"

#define DIFF_MAX_ROWS	    65536
#define DIFF_MAX_BYTES	    (16u << 20)
#define DIFF_MAX_CANDIDATES 262144 /* rows of one table on pages that changed, in both files together */
#define DIFF_MAX_SCAN	    4096   /* pages of a WITHOUT ROWID table that changed, in each file */

enum diff_outcome { DIFF_SAME, DIFF_CHANGES, DIFF_FULL };

struct diff_table {
	uint64_t rows; /* as they are */
	uint64_t inserted, updated, deleted;
	/* Hashes of its rows, and of its row of sqlite_sequence, as they are minus as they were (FORMAT.md); "": no
	 * change. */
	char delta[SOURCE_DIGEST_LEN + 1];
};

struct diff_result {
	enum diff_outcome outcome;
	char why[256]; /* DIFF_FULL: what cannot be carried, one line, for log and audit */
	uint64_t size; /* of the changeset; 0 if only sequences changed */
	/* Of the new state, told from the base's and the changes, not counted again. Empty if DIFF_FULL. */
	struct source_digest digest;
	struct diff_table *tables; /* in the order of digest.tables */
};
void diff_result_fini(struct diff_result *r);

/* Two files that nobody else has open, both made by snapshot_take() of one database. The closer they lie to each other
 * page by page, the faster it is; the outcome does not depend on it, but for the limits. */
struct diff_options {
	const char *base;			 /* changes are tried on it, and undone */
	const struct source_digest *base_digest; /* known to be right */
	const char *snapshot;
	int fd;			 /* an empty file, open for reading and writing: gets the changeset */
	const char *fd_path;	 /* for messages */
	uint64_t max_rows;	 /* that change; 0: DIFF_MAX_ROWS */
	uint64_t max_bytes;	 /* of the changeset; 0: DIFF_MAX_BYTES */
	int (*alive)(void *arg); /* as in source_options */
	void *arg;
};
int diff_snapshot(struct diff_result *r, const struct diff_options *o);

/* A base that stays open, for diff_keys (diff_keys_sqlite.h). */
struct diff_base;
int diff_base_open(struct diff_base **b, const char *path);
void diff_base_close(struct diff_base *b); /* NULL is a no-op */

#endif
