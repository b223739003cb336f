/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot: a consistent copy of a source at one instant, in a 0600 file in the staging folder beside it.
 *
 * Taken by SQLite's Online Backup API in one step: a WAL writer is not blocked, a rollback-journal writer waits for the
 * length of the copy. The copy is a plain database file that needs no journal and is not synced: it does not outlive
 * the backup that is made of it.
 */
#ifndef KC_BACKUP_SNAPSHOT_H
#define KC_BACKUP_SNAPSHOT_H

#include "backup/changelog.h"
#include "backup/source.h"
#include "backup/staging.h"

struct snapshot {
	struct staging staging;
	char *path;		   /* heap */
	char *label;		   /* heap: path of the live database, for messages */
	uint64_t version;	   /* source_version() read before */
	struct changelog_mark log; /* where the change log ended, which the copy has not */
	struct source_info info;   /* of the copy; journal_mode of the live database */
};

#define SNAPSHOT_EMPTY                    \
	{                                 \
		.staging = STAGING_EMPTY, \
	}

/* KC_ENOSPC, with both figures, if the file system has no room for the copy. */
int snapshot_take(struct snapshot *snap, struct source *s);
/* Its digest. May run in a thread of its own, beside snapshot_check. `alive` as in source_options. */
int snapshot_digest(struct source_digest *d, const struct snapshot *snap, int (*alive)(void *arg), void *arg);
/* PRAGMA quick_check: KC_EDAMAGED with the first complaint. A damaged database is not replicated over sound clones. */
int snapshot_check(const struct snapshot *snap);
/* Removes the file. An empty one is a no-op. */
void snapshot_remove(struct snapshot *snap);

#endif
