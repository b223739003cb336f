/* SPDX-License-Identifier: Apache-2.0 */
/* merge_int: between merge.c and merge_sqlite.c. */
#ifndef KC_BACKUP_MERGE_INT_H
#define KC_BACKUP_MERGE_INT_H

#include "backup/merge.h"

/* The transaction: rows of the image's database into the live one. `before_commit` is the last chance to fail. */
struct merge_run {
	struct merge_result *result;
	struct source *live;
	const char *image;
	uint64_t rows; /* of the image, for progress */
	int lock_ms;
	int (*progress)(void *arg, unsigned percent);
	int (*before_commit)(void *arg);
	void *arg;
};
int merge_rows(const struct merge_run *run);

#endif
