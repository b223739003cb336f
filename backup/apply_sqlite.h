/* SPDX-License-Identifier: Apache-2.0 */
/* apply_sqlite: what the two ways of writing a live database share: an image's pages, an increment's rows. */
#ifndef KC_BACKUP_APPLY_SQLITE_H
#define KC_BACKUP_APPLY_SQLITE_H

#include "backup/apply.h"
#include "backup/changeset_sqlite.h"

struct apply {
	struct source *live;
	const char *image;
	const struct manifest_database *m;
	const char *content;
	char *converted; /* the image with another page size */
	sqlite3 *img;
	sqlite3_backup *b;
	struct source_stamp stamp;
	int64_t version; /* W's, before the lock */
	bool stamped;
	bool prepared;
	bool empty; /* the database has no rows */
	bool new_encoding;
	/* an increment */
	const struct manifest *increment;
	const char *changeset; /* path */
	const char *own;       /* digest before */
	bool writing;	       /* W is in our transaction */
};

/* increment_sqlite.c */
int increment_lock(struct apply *a, int lock_ms);
int increment_write(struct apply *a);

#endif
