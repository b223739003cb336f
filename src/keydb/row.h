/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row: one row of the table `keys`, in and out. For the files of this folder only.
 */
#ifndef KC_KEYDB_ROW_H
#define KC_KEYDB_ROW_H

#include "keydb/store.h"

/* The columns that row_read() expects first in a statement, in its order. */
#define ROW_COLUMNS                                                                                           \
	"uuid, alias, grp, kind, algorithm, state, created, activated, deactivated, compromised, destroyed, " \
	"ifnull(master_key, 0)"

/* KC_EDAMAGED where a column holds what this program never writes. */
int row_read(struct keydb_key *key, struct keydb *db, sqlite3_stmt *st);

/* A random (version 4) uuid; a given one in lower case, KC_EUSAGE if it is none. */
void row_new_uuid(char uuid[KEYDB_UUID_LEN + 1]);
int row_parse_uuid(char uuid[KEYDB_UUID_LEN + 1], const char *text);
/* Is this good as an alias or group? KC_EUSAGE says why not. NULL is. */
int row_check_name(const char *what, const char *text);

/* The statement that adds rows; row_insert() binds, wraps and steps it. Needs db->wrap. `key` is complete but for
 * master_key, which it gets; `same` is what the fingerprint is made of. KC_EEXIST names the alias, the uuid or the key
 * that has the same material. */
int row_prepare_insert(sqlite3_stmt **st, struct keydb *db);
int row_insert(sqlite3_stmt *st, struct keydb *db, struct keydb_key *key, const void *material, size_t size,
    const void *same, size_t same_size);

#endif
