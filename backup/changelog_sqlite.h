/* SPDX-License-Identifier: Apache-2.0 */
/* changelog_sqlite: the change log, for the files that have the connections. */
#ifndef KC_BACKUP_CHANGELOG_SQLITE_H
#define KC_BACKUP_CHANGELOG_SQLITE_H

#include "backup/changelog.h"
#include "backup/source_sqlite.h"

/* In a read transaction: the keys that were noted since *mark, which moves. *whole false: nobody knows them all, as the
 * log does not go on there, or they are more than `max`; *mark is then where it ends now. */
int changelog_read(struct name_list *keys, bool *whole, struct changelog_mark *mark, sqlite3 *db, const char *path,
    const char *key, size_t max);
/* A copy of the database (closed) has none; *mark is what it had. */
int changelog_strip(struct changelog_mark *mark, const char *path);

#endif
