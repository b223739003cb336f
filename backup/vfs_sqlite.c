/* SPDX-License-Identifier: Apache-2.0 */
/* vfs_sqlite: a layer above SQLite's own VFS; only databases and write-ahead logs are wrapped, the rest is its own. */
#include "backup/vfs_sqlite.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "base/mem.h"

#define NAME "keyclone"

struct file {
	sqlite3_file base;    /* first: what SQLite knows */
	struct file *log;     /* of a database: its write-ahead log, while that is open */
	struct file **as_log; /* of a write-ahead log: where its database has it */
	uint8_t *piece;	      /* VFS_PIECE bytes, NULL: none yet */
	sqlite3_int64 at;     /* where the piece begins in the file */
	int n;		      /* its bytes: to be written, or, where the file is immutable, as read */
	int failed;	      /* of a write that SQLite has not heard of yet; SQLITE_OK: none */
	sqlite3_int64 size;   /* of an immutable file; -1: it is none */
	sqlite3_int64 next;   /* where a read in a row would begin */
	sqlite3_file *real;   /* behind this struct */
};

static struct file *of(sqlite3_file *f)
{
	return (struct file *)f;
}

static const sqlite3_io_methods *methods(const struct file *f)
{
	return f->real->pMethods;
}

static bool is_immutable(const struct file *f)
{
	return f->size >= 0;
}

/* What fails is kept: only a call after which SQLite takes the transaction back or leaves the checkpoint undone may
 * say it once and for all. */
static int flush(struct file *f)
{
	if (is_immutable(f))
		return SQLITE_OK;
	if (f->failed == SQLITE_OK && f->n > 0)
		f->failed = methods(f)->xWrite(f->real, f->piece, f->n, f->at);
	f->n = 0;
	return f->failed;
}

/* Such a call: of a write, a truncation or a sync. What follows may write again, to roll back. */
static int flush_and_say(struct file *f)
{
	int rc = flush(f);

	f->failed = SQLITE_OK;
	return rc;
}

/* Of a database and of its log. */
static void flush_both(struct file *f)
{
	if (f->log != NULL)
		(void)flush(f->log);
	(void)flush(f);
}

/* A transaction begins. What failed in one that was taken back is of no interest any more. */
static void begin(struct file *f)
{
	if (f->log != NULL)
		f->log->failed = SQLITE_OK;
	f->failed = SQLITE_OK;
}

static void forget_piece(struct file *f)
{
	if (f->piece != NULL)
		mem_wipe(f->piece, VFS_PIECE);
	free(f->piece);
	f->piece = NULL;
	f->n = 0;
}

static int on_close(sqlite3_file *file)
{
	struct file *f = of(file);
	int rc = flush(f), closed = methods(f)->xClose(f->real);

	forget_piece(f);
	if (f->as_log != NULL)
		*f->as_log = NULL;
	if (f->log != NULL)
		f->log->as_log = NULL;
	return closed != SQLITE_OK ? closed : rc;
}

/* ---- reading ---- */

static bool holds(const struct file *f, int n, sqlite3_int64 at)
{
	return at >= f->at && at + n <= f->at + f->n;
}

/* As much as there is from `at` on. */
static int read_ahead(struct file *f, sqlite3_int64 at)
{
	sqlite3_int64 left = f->size - at;
	int n = left < (sqlite3_int64)VFS_PIECE ? (int)left : (int)VFS_PIECE, rc;

	if (f->piece == NULL)
		f->piece = mem_xalloc(VFS_PIECE);
	f->n = 0;
	rc = methods(f)->xRead(f->real, f->piece, n, at);
	if (rc != SQLITE_OK)
		return rc;
	f->at = at;
	f->n = n;
	return SQLITE_OK;
}

static int read_immutable(struct file *f, void *data, int n, sqlite3_int64 at)
{
	bool ahead = at == f->next && at + n <= f->size;

	f->next = at + n;
	if (!holds(f, n, at) && !(ahead && read_ahead(f, at) == SQLITE_OK))
		return methods(f)->xRead(f->real, data, n, at);
	memcpy(data, f->piece + (at - f->at), (size_t)n);
	return SQLITE_OK;
}

static int on_read(sqlite3_file *file, void *data, int n, sqlite3_int64 at)
{
	struct file *f = of(file);
	int rc;

	if (is_immutable(f))
		return read_immutable(f, data, n, at);
	rc = flush(f);
	return rc != SQLITE_OK ? rc : methods(f)->xRead(f->real, data, n, at);
}

/* ---- writing ---- */

static int on_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
	struct file *f = of(file);
	int rc = SQLITE_OK;

	if (f->failed != SQLITE_OK || (at != f->at + f->n || n > (int)VFS_PIECE - f->n))
		rc = flush_and_say(f);
	if (rc != SQLITE_OK || n > (int)VFS_PIECE)
		return rc != SQLITE_OK ? rc : methods(f)->xWrite(f->real, data, n, at);
	if (f->piece == NULL)
		f->piece = mem_xalloc(VFS_PIECE);
	if (f->n == 0)
		f->at = at;
	memcpy(f->piece + f->n, data, (size_t)n);
	f->n += n;
	return SQLITE_OK;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct file *f = of(file);
	int rc = flush_and_say(f);

	return rc != SQLITE_OK ? rc : methods(f)->xTruncate(f->real, size);
}

static int on_sync(sqlite3_file *file, int flags)
{
	struct file *f = of(file);
	int rc = flush_and_say(f);

	if (rc == SQLITE_OK)
		rc = methods(f)->xSync(f->real, flags);
	if (!is_immutable(f))
		forget_piece(f); /* as a rule the end of many writes */
	return rc;
}

static int on_size(sqlite3_file *file, sqlite3_int64 *size)
{
	struct file *f = of(file);
	int rc = flush(f);

	return rc != SQLITE_OK ? rc : methods(f)->xFileSize(f->real, size);
}

/* ---- what others could see it by ---- */

static int on_lock(sqlite3_file *file, int level)
{
	struct file *f = of(file);

	if (level == SQLITE_LOCK_SHARED)
		begin(f);
	return methods(f)->xLock(f->real, level);
}

static int on_unlock(sqlite3_file *file, int level)
{
	struct file *f = of(file);

	flush_both(f);
	return methods(f)->xUnlock(f->real, level);
}

static int on_check_lock(sqlite3_file *file, int *reserved)
{
	struct file *f = of(file);

	return methods(f)->xCheckReservedLock(f->real, reserved);
}

static int on_control(sqlite3_file *file, int op, void *arg)
{
	struct file *f = of(file);
	/* The sync of a commit begins with it, also where nothing is synced. What others return is hardly looked at. */
	int rc = op == SQLITE_FCNTL_SYNC ? flush_and_say(f) : SQLITE_OK;

	return rc != SQLITE_OK ? rc : methods(f)->xFileControl(f->real, op, arg);
}

static int on_sector_size(sqlite3_file *file)
{
	struct file *f = of(file);

	return methods(f)->xSectorSize(f->real);
}

static int on_characteristics(sqlite3_file *file)
{
	struct file *f = of(file);

	return methods(f)->xDeviceCharacteristics(f->real) & ~SQLITE_IOCAP_BATCH_ATOMIC;
}

static int on_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **at)
{
	struct file *f = of(file);

	return methods(f)->xShmMap(f->real, region, size, extend, at);
}

static int on_shm_lock(sqlite3_file *file, int first, int n, int flags)
{
	struct file *f = of(file);

	if ((flags & SQLITE_SHM_UNLOCK) != 0)
		flush_both(f);
	else if ((flags & SQLITE_SHM_SHARED) != 0)
		begin(f);
	return methods(f)->xShmLock(f->real, first, n, flags);
}

/* Between the two copies of the index' header: before the second is written nobody believes the first. */
static void on_shm_barrier(sqlite3_file *file)
{
	struct file *f = of(file);

	flush_both(f);
	methods(f)->xShmBarrier(f->real);
}

static int on_shm_unmap(sqlite3_file *file, int remove)
{
	struct file *f = of(file);

	return methods(f)->xShmUnmap(f->real, remove);
}

/* Version 2: without xFetch, so that nothing is mapped. */
static const sqlite3_io_methods layer = { .iVersion = 2,
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_check_lock,
	.xFileControl = on_control,
	.xSectorSize = on_sector_size,
	.xDeviceCharacteristics = on_characteristics,
	.xShmMap = on_shm_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_shm_barrier,
	.xShmUnmap = on_shm_unmap };

/* ---- the VFS ---- */

static sqlite3_vfs *base_of(const sqlite3_vfs *v)
{
	return v->pAppData;
}

static int open_wrapped(sqlite3_vfs *base, const char *name, struct file *f, int flags, int *given)
{
	int rc;

	memset(f, 0, sizeof(*f));
	f->real = (sqlite3_file *)(f + 1);
	f->size = f->next = -1;
	rc = base->xOpen(base, name, f->real, flags, given);
	if (rc == SQLITE_OK && (flags & SQLITE_OPEN_READONLY) != 0 && sqlite3_uri_boolean(name, "immutable", 0))
		rc = methods(f)->xFileSize(f->real, &f->size);
	if (rc != SQLITE_OK) {
		if (f->real->pMethods != NULL)
			methods(f)->xClose(f->real);
		return rc;
	}
	f->base.pMethods = &layer;
	if ((flags & SQLITE_OPEN_WAL) != 0) {
		f->as_log = &of(sqlite3_database_file_object(name))->log;
		*f->as_log = f;
	}
	return SQLITE_OK;
}

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *file, int flags, int *given)
{
	sqlite3_vfs *base = base_of(v);

	file->pMethods = NULL;
	if (name == NULL || (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
		return base->xOpen(base, name, file, flags, given);
	return open_wrapped(base, name, of(file), flags, given);
}

static int on_delete(sqlite3_vfs *v, const char *name, int sync)
{
	return base_of(v)->xDelete(base_of(v), name, sync);
}

static int on_access(sqlite3_vfs *v, const char *name, int flags, int *result)
{
	return base_of(v)->xAccess(base_of(v), name, flags, result);
}

static int on_full_path(sqlite3_vfs *v, const char *name, int n, char *out)
{
	return base_of(v)->xFullPathname(base_of(v), name, n, out);
}

static int on_randomness(sqlite3_vfs *v, int n, char *out)
{
	return base_of(v)->xRandomness(base_of(v), n, out);
}

static int on_sleep(sqlite3_vfs *v, int us)
{
	return base_of(v)->xSleep(base_of(v), us);
}

static int on_time(sqlite3_vfs *v, double *now)
{
	return base_of(v)->xCurrentTime(base_of(v), now);
}

static int on_time_int64(sqlite3_vfs *v, sqlite3_int64 *now)
{
	return base_of(v)->xCurrentTimeInt64(base_of(v), now);
}

static int on_last_error(sqlite3_vfs *v, int n, char *text)
{
	return base_of(v)->xGetLastError(base_of(v), n, text);
}

static sqlite3_vfs vfs = { .iVersion = 2,
	.zName = NAME,
	.xOpen = on_open,
	.xDelete = on_delete,
	.xAccess = on_access,
	.xFullPathname = on_full_path,
	.xRandomness = on_randomness,
	.xSleep = on_sleep,
	.xCurrentTime = on_time,
	.xGetLastError = on_last_error,
	.xCurrentTimeInt64 = on_time_int64 };
static bool registered;

static void register_once(void)
{
	sqlite3_vfs *base = sqlite3_vfs_find(NULL);

	if (base == NULL || base->iVersion < 2)
		return;
	vfs.pAppData = base;
	vfs.szOsFile = (int)sizeof(struct file) + base->szOsFile;
	vfs.mxPathname = base->mxPathname;
	registered = sqlite3_vfs_register(&vfs, 0) == SQLITE_OK;
}

const char *vfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, register_once);
	return registered ? NAME : NULL;
}
