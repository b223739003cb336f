/* SPDX-License-Identifier: Apache-2.0 */
/* image_sqlite: the proof of a database file that came with a backup. `label` is what messages call it. */
#ifndef KC_BACKUP_IMAGE_SQLITE_H
#define KC_BACKUP_IMAGE_SQLITE_H

#include <stdbool.h>

#include "backup/manifest.h"

/* Sound, and what the manifest says of it: KC_EDAMAGED. Takes WAL mode out of the file. `copy`: as large as it says,
 * too, which a database that changes were applied to need not be. */
int image_check_database(const char *path, const char *label, const struct manifest_database *db, bool copy);
/* Brings the database at `path` from one generation to the next. KC_EDAMAGED unless it then has that one's content. */
int image_apply_increment(const char *path, const char *label, const struct manifest *increment, const char *changeset);
/* Has it the rows of the manifest? KC_EDAMAGED. */
int image_check_digest(const char *path, const char *label, const struct manifest_database *db);

#endif
