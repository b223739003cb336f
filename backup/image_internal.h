/* SPDX-License-Identifier: Apache-2.0 */
/* image_internal: what image.c (one file) and image_chain.c (a full and what builds on it) share. */
#ifndef KC_BACKUP_IMAGE_INTERNAL_H
#define KC_BACKUP_IMAGE_INTERNAL_H

#include "backup/image.h"
#include "backup/staging.h"

struct image {
	char *file; /* of the backup, for messages */
	struct manifest manifest;
	struct staging staging;
	char *database;			 /* NULL: an increment alone */
	char *changeset;		 /* NULL: a full, or a chain */
	struct age_identity *increments; /* of a full */
	char **companions;		 /* paths, in the order of the manifest */
	char *trees;			 /* folder of the files of trees */
	/* Of a chain: the increments whose companions and trees these are, which may be one; NULL: its own. Their
	 * folders stay until it is closed, or other ones take their place. */
	struct image *companions_of, *trees_of;
};

/* By its header alone. */
int image_is_increment(bool *increment, const char *file);
/* One file, as it is: a full, or an increment alone. */
int image_open_one(struct image **img, const struct image_options *o);
/* image_chain.c: an increment's full and all that leads to it. */
int image_open_chain(struct image **img, const struct image_options *o);

#endif
