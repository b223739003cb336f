/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify: everything that a restore proves about a backup file, and the recount of its digest; touches no database.
 */
#ifndef KC_BACKUP_VERIFY_H
#define KC_BACKUP_VERIFY_H

#include "backup/image.h"

struct verify_result {
	char lineage[MANIFEST_LINEAGE_LEN + 1];
	uint64_t generation;
	int64_t time;
	char *host; /* heap */
	char content[MANIFEST_DIGEST_LEN + 1];
	uint64_t rows;
	uint64_t size;	   /* of the file */
	uint64_t database; /* bytes */
	size_t companions; /* with the master key file */
	uint64_t files;	   /* in them */
};
void verify_result_fini(struct verify_result *r);
int backup_verify(struct verify_result *r, const struct image_options *o);

#endif
