/* SPDX-License-Identifier: Apache-2.0 */
/* image_sqlite: the proof of a database file that came with a backup. `label` is what messages call it. */
#ifndef KC_BACKUP_IMAGE_SQLITE_H
#define KC_BACKUP_IMAGE_SQLITE_H

#include "backup/manifest.h"

/* Sound, and what the manifest says of it: KC_EDAMAGED. Takes WAL mode out of the file. */
int image_check_database(const char *path, const char *label, const struct manifest_database *db);
/* Has it the rows of the manifest? KC_EDAMAGED. */
int image_check_digest(const char *path, const char *label, const struct manifest_database *db);

#endif
