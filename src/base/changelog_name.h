/* SPDX-License-Identifier: Apache-2.0 */
/* changelog_name: the table that libkeydb makes (keydb/changelog.h) and libbackup reads (backup/changelog.h). */
#ifndef KC_CHANGELOG_NAME_H
#define KC_CHANGELOG_NAME_H

#define CHANGELOG_TABLE "keyclone_log"

#endif
