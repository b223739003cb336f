/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deleted: how many rows of each table a snapshot lacks that its base had, so that a mass deletion is found before it
 * reaches a clone.
 *
 * Rows are told by their primary key: one that was changed is not deleted, fifty that were deleted while fifty others
 * came are fifty. In a table without a primary key only the number of rows can tell: as many are deleted as there are
 * fewer. Left out are SQLite's own tables and the shadow tables of virtual ones. A table that is gone has lost all
 * rows.
 *
 * Streams along the base's keys and looks each one up in the snapshot: no sort, no set in memory.
 */
#ifndef KC_BACKUP_DELETED_H
#define KC_BACKUP_DELETED_H

#include <stdbool.h>
#include <stdint.h>

#include "backup/source.h"

#define DELETED_LEAST 10 /* fewer rows are never too many */

struct deleted {
	unsigned tables; /* that lose too much; 0: none, the rest is empty */
	char table[128]; /* the one that loses the largest share */
	uint64_t deleted, rows;
};

/* `gone` of a table's `rows` are deleted: counts where that is more than `percent`, and at least ten. */
void deleted_count(struct deleted *d, const char *table, uint64_t gone, uint64_t rows, unsigned percent);

/* Does `snapshot` lack more than `percent` of a table's rows, and at least ten? Both are files that nobody writes. If
 * `digest` is given the base must have it. KC_ENOENT: there is no base; KC_EDAMAGED: not what it should be. `alive` as
 * in source_options. */
int deleted_find(struct deleted *d, const char *base, const char *digest, const char *snapshot, unsigned percent,
    int (*alive)(void *arg), void *arg);

#endif
