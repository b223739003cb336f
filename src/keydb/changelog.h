/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changelog: which keys were changed, in the order of the changes, so that an increment is made without a look at all
 * the others.
 *
 *     keyclone_log(seq INTEGER PRIMARY KEY, uuid TEXT)
 *
 * Each change of a row of `keys` adds its uuid; the newest CHANGELOG_KEPT are kept. The table belongs to the machine:
 * it is in no digest, no backup and no clone's database, and who reads it copes with gaps by looking at all rows. An
 * empty one begins at a random number.
 *
 * Triggers of the schema write it for whoever writes the database by other programs. Our own connections have the
 * schema's triggers off (what was restored may have come over a network) and temporary ones of the same kind instead.
 */
#ifndef KC_KEYDB_CHANGELOG_H
#define KC_KEYDB_CHANGELOG_H

#include "base/changelog_name.h"

#define CHANGELOG_OF  "keys"
#define CHANGELOG_KEY "uuid"
#ifndef CHANGELOG_KEPT
#define CHANGELOG_KEPT 65536
#endif
#define CHANGELOG_OBJECTS 4 /* the table and three triggers */

/* SQL that makes the table and the schema's triggers where they are not there; and a connection's own. */
extern const char changelog_schema[];
extern const char changelog_temporary[];

#endif
