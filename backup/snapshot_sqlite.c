/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_sqlite: the Online Backup API into a file of our own. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/changelog_sqlite.h"
#include "backup/snapshot.h"
#include "backup/source_sqlite.h"
#include "backup/staging.h"
#include "backup/vfs_sqlite.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

static int open_copy(sqlite3 **out, const char *path)
{
	sqlite3 *db = NULL;
	int fd = -1, rc = file_open(&fd, path, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (rc < 0)
		return rc;
	close(fd);
	rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs_name());
	if (rc != SQLITE_OK)
		rc = sqlite_fail(db, rc, path, "cannot open the copy");
	else
		/* It is thrown away if anything happens: no journal, no sync. */
		rc = sqlite_exec(db, path,
		    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA "
		    "cache_size=-2000");
	if (rc < 0) {
		sqlite3_close(db);
		return rc;
	}
	*out = db;
	return KC_OK;
}

static int copy(struct source *s, const char *path)
{
	sqlite3_backup *b = NULL;
	sqlite3 *db = NULL;
	int rc = open_copy(&db, path), step;

	if (rc < 0)
		return rc;
	source_begin_wait(s, 0);
	b = sqlite3_backup_init(db, "main", s->r, "main");
	if (b == NULL) {
		rc = sqlite_fail(db, sqlite3_errcode(db), path, "cannot copy the key database");
		goto out;
	}
	/* One step: several would begin again at every foreign write. */
	step = sqlite3_backup_step(b, -1);
	sqlite3_backup_finish(b);
	if (step == SQLITE_BUSY || step == SQLITE_LOCKED)
		rc = source_fail(s, NULL, step, "cannot copy the key database");
	else if (step != SQLITE_DONE)
		rc = sqlite_fail(NULL, step, s->path, "cannot copy the key database");
out:
	sqlite3_close(db);
	return rc;
}

static int snapshot_info(struct snapshot *snap)
{
	char mode[sizeof(snap->info.journal_mode)];
	sqlite3 *db = NULL;
	int rc;

	memcpy(mode, snap->info.journal_mode, sizeof(mode));
	rc = sqlite_unset_wal(snap->path);
	if (rc == KC_OK)
		rc = changelog_strip(&snap->log, snap->path);
	if (rc == KC_OK)
		rc = sqlite_open_image(&db, snap->path);
	if (rc == KC_OK)
		rc = sqlite_info(&snap->info, db, snap->label);
	sqlite3_close(db);
	memcpy(snap->info.journal_mode, mode, sizeof(mode));
	return rc;
}

int snapshot_take(struct snapshot *out, struct source *s)
{
	struct snapshot snap = SNAPSHOT_EMPTY;
	char *staging = NULL;
	int rc = source_version(&snap.version, s);

	if (rc == KC_OK)
		rc = source_info(&snap.info, s);
	if (rc == KC_OK)
		rc = staging_parent(&staging, s->path);
	if (rc == KC_OK)
		rc = file_need_space(staging, snap.info.size, "a snapshot");
	if (rc == KC_OK)
		rc = staging_begin(&snap.staging, staging);
	free(staging);
	if (rc < 0)
		return rc;
	snap.path = mem_xasprintf("%s/keydb.sqlite", snap.staging.dir);
	snap.label = mem_xstrdup(s->path);
	rc = copy(s, snap.path);
	if (rc == KC_OK)
		rc = snapshot_info(&snap);
	if (rc < 0)
		snapshot_remove(&snap);
	else
		*out = snap;
	return rc;
}

int snapshot_digest(struct source_digest *d, const struct snapshot *snap, int (*alive)(void *arg), void *arg)
{
	sqlite3 *db = NULL;
	int rc = sqlite_open_image(&db, snap->path);

	if (rc == KC_OK)
		rc = sqlite_digest(d, db, snap->label, NULL, alive, arg);
	sqlite3_close(db);
	return rc;
}

int snapshot_check(const struct snapshot *snap)
{
	sqlite3 *db = NULL;
	int rc = sqlite_open_image(&db, snap->path);

	if (rc == KC_OK)
		rc = sqlite_quick_check(db, snap->label);
	sqlite3_close(db);
	return rc;
}

void snapshot_remove(struct snapshot *snap)
{
	staging_end(&snap->staging);
	free(snap->path);
	free(snap->label);
	snap->path = snap->label = NULL;
}
