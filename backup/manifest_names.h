/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_names: the member names and bounds that building and parsing share. */
#ifndef KC_BACKUP_MANIFEST_NAMES_H
#define KC_BACKUP_MANIFEST_NAMES_H

#include "backup/manifest.h"

#define MANIFEST_KIND	 "full"
#define MANIFEST_DB_KIND "sqlite"
#define MANIFEST_STRING	 1024	       /* bytes of any string */
#define MANIFEST_SIZE	 ((1LL << 53)) /* any size or count: what a JSON number carries exactly everywhere */

/* Every bound on the values of *m; what is not unique; KC_EFORMAT or KC_ELIMIT with the member's name. */
int manifest_check(const struct manifest *m);

#endif
