/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_names: the member names and bounds that building and parsing share. */
#ifndef KC_BACKUP_MANIFEST_NAMES_H
#define KC_BACKUP_MANIFEST_NAMES_H

#include "backup/age.h"
#include "backup/manifest.h"

#define MANIFEST_DB_KIND	 "sqlite"
#define MANIFEST_INCREMENTS_SIZE (AGE_IDENTITY_LEN + 1) /* increments.key: the identity and a line end */
#define MANIFEST_STRING		 1024			/* bytes of any string */
#define MANIFEST_SIZE		 ((1LL << 53)) /* any size or count: what a JSON number carries exactly everywhere */

/* By enum manifest_kind. */
extern const char *const manifest_kinds[2];

/* Every bound on the values of *m; what is not unique; KC_EFORMAT or KC_ELIMIT with the member's name. */
int manifest_check(const struct manifest *m);

#endif
