/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_sqlite: the two connections to a live SQLite database. Never opens another descriptor of the live file:
 * closing one would drop the POSIX locks of all connections of this process.
 */
#include "backup/source.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backup/source_sqlite.h"
#include "backup/vfs_sqlite.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define COUNTER_OFFSET 24   /* of the file change counter in the database header */
#define WAL_LONG       1000 /* pages, as SQLite's own autocheckpoint */
#define READER_CACHE   "PRAGMA cache_size=-4000"
#define WRITER_CACHE   "PRAGMA cache_size=-16000"
#define WRITER_SMALL   "PRAGMA cache_size=-2000"

int source_fail(struct source *s, sqlite3 *db, int rc, const char *what)
{
	if (s->alive_status < 0) {
		int status = s->alive_status;

		s->alive_status = KC_OK;
		return status;
	}
	if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED)
		return err_set(KC_EBUSY, "%s: %s: locked by another process for %d ms", s->path, what, s->lock_ms);
	return sqlite_fail(db, rc, s->path, what);
}

void source_begin_wait(struct source *s, int lock_ms)
{
	s->waiting = 0;
	s->lock_ms = lock_ms > 0 ? lock_ms : s->busy_ms;
	s->alive_status = KC_OK;
}

/* SQLite's hook of W's commits in WAL mode. */
static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	(void)db, (void)name;
	((struct source *)arg)->wal_pages = pages;
	return SQLITE_OK;
}

bool source_log_is_long(const struct source *s)
{
	return s->wal_pages >= WAL_LONG;
}

/* SQLite's busy handler of both connections: `count` is 0 for the first call of a wait. */
static int on_busy(void *arg, int count)
{
	static const int delays[] = { 1, 2, 5, 10, 15, 20, 25 };
	struct source *s = arg;
	int delay = count < 7 ? delays[count] : 40;

	if (count == 0 || s->waiting == 0)
		s->waiting = clock_ms();
	if (clock_ms() - s->waiting >= (uint64_t)s->lock_ms)
		return 0;
	if (s->alive != NULL && (s->alive_status = s->alive(s->arg)) < 0)
		return 0;
	nanosleep(&(struct timespec){ .tv_nsec = delay * 1000000L }, NULL);
	return 1;
}

static const char *user_name(uid_t uid, char *out, size_t size)
{
	struct passwd *p = getpwuid(uid);

	if (p != NULL)
		snprintf(out, size, "%s", p->pw_name);
	else
		snprintf(out, size, "%u", (unsigned)uid);
	return out;
}

static const char *group_name(gid_t gid, char *out, size_t size)
{
	struct group *g = getgrgid(gid);

	if (g != NULL)
		snprintf(out, size, "%s", g->gr_name);
	else
		snprintf(out, size, "%u", (unsigned)gid);
	return out;
}

static bool in_group(gid_t gid)
{
	gid_t *list;
	int i, n = getgroups(0, NULL);
	bool in = gid == getegid();

	if (in || n <= 0)
		return in;
	list = mem_xcalloc((size_t)n, sizeof(*list));
	n = getgroups(n, list);
	for (i = 0; i < n && !in; i++)
		in = list[i] == gid;
	free(list);
	return in;
}

int source_check_access(const char *path)
{
	char *real = realpath(path, NULL), *dir = file_dirname(real != NULL ? real : path);
	char owner[64], us[64], group[64];
	struct stat st, d;
	int rc = KC_OK;
	bool there, shared;

	if (stat(dir, &d) < 0) {
		rc = err_errno("%s", dir);
		goto out;
	}
	there = stat(path, &st) == 0;
	if (there && !S_ISREG(st.st_mode)) {
		rc = err_set(KC_EDAMAGED, "%s: not a database: not a regular file", path);
		goto out;
	}
	shared = (d.st_mode & S_ISGID) != 0 && (d.st_mode & 030) == 030 && in_group(d.st_gid) &&
		 (!there || (st.st_gid == d.st_gid && (st.st_mode & 060) == 060));
	if (geteuid() == 0 || (there ? st.st_uid : d.st_uid) == geteuid() || shared)
		goto out;
	user_name(there ? st.st_uid : d.st_uid, owner, sizeof(owner));
	user_name(geteuid(), us, sizeof(us));
	rc = err_set(KC_EPERM,
	    "%s: belongs to user %s (mode %04o, folder of group %s, mode %04o) and we are user %s; run as user %s, or "
	    "make the database 0660 in a set-gid folder of a group that both are in",
	    there ? path : dir, owner, (unsigned)(there ? st.st_mode : d.st_mode) & 07777,
	    group_name(d.st_gid, group, sizeof(group)), (unsigned)d.st_mode & 07777, us, owner);
out:
	free(dir);
	free(real);
	return rc;
}

int source_check_format(int32_t *application_id, const char *path)
{
	static const char magic[16] = "SQLite format 3";
	uint8_t head[100];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd < 0 && errno != ENOENT)
		return err_errno("%s", path);
	if (fd >= 0) {
		n = read(fd, head, sizeof(head));
		close(fd);
	}
	if (n < 0)
		return err_errno("%s", path);
	if (n > 0 && (n < (ssize_t)sizeof(head) || memcmp(head, magic, sizeof(magic)) != 0))
		return err_set(KC_EDAMAGED, "%s: not an SQLite database", path);
	*application_id =
	    n == 0
		? 0
		: (int32_t)((uint32_t)head[68] << 24 | (uint32_t)head[69] << 16 | (uint32_t)head[70] << 8 | head[71]);
	return KC_OK;
}

/* SQLite would make the file with the umask's mode and, as root, as root's. */
static int make_file(const char *path)
{
	char *dir = file_dirname(path);
	struct stat d;
	mode_t mode;
	int fd = -1, rc = KC_OK;

	if (stat(dir, &d) < 0) {
		rc = err_errno("%s", dir);
		goto out;
	}
	mode = (d.st_mode & S_ISGID) != 0 && (d.st_mode & 020) != 0 ? 0660 : 0600;
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0 && errno != EEXIST)
		rc = err_errno("%s: cannot create", path);
	else if (fd >= 0 && fchmod(fd, mode) < 0)
		rc = err_errno("%s: cannot set the mode", path);
	else if (fd >= 0)
		rc = file_give_to_owner_of(fd, dir);
	if (fd >= 0)
		close(fd);
out:
	free(dir);
	return rc;
}

static int open_connection(sqlite3 **db, struct source *s, const char *settings)
{
	int rc = sqlite3_open_v2(s->path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs_name());

	if (rc != SQLITE_OK) {
		rc = sqlite_fail(*db, rc, s->path, "cannot open the key database");
		sqlite3_close(*db);
		*db = NULL;
		return rc;
	}
	sqlite3_extended_result_codes(*db, 1);
	sqlite3_busy_handler(*db, on_busy, s);
	sqlite_tolerate(*db);
	sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(*db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(*db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	rc = sqlite_exec(*db, s->path, "PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=0");
	return rc < 0 ? rc : sqlite_exec(*db, s->path, settings);
}

void source_close_reader(struct source *s)
{
	sqlite3_close(s->r);
	s->r = NULL;
}

int source_open_reader(struct source *s)
{
	int rc = open_connection(&s->r, s, READER_CACHE "; PRAGMA query_only=ON");

	if (rc < 0)
		source_close_reader(s);
	return rc;
}

static void close_connections(struct source *s)
{
	source_close_reader(s);
	sqlite3_close(s->w);
	s->w = NULL;
}

int source_reopen(struct source *s)
{
	int64_t dummy;
	struct stat st;
	int rc;

	close_connections(s);
	s->known = false;
	s->epoch++;
	rc = source_check_access(s->path);
	if (rc == KC_OK && s->create)
		rc = make_file(s->path);
	if (rc == KC_OK && stat(s->path, &st) < 0)
		rc = err_errno("%s: cannot open the key database", s->path);
	if (rc < 0)
		return rc;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	source_begin_wait(s, 0);
	rc = open_connection(&s->w, s, WRITER_CACHE "; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF");
	if (rc == KC_OK) {
		sqlite3_wal_hook(s->w, on_wal, s);
		rc = source_open_reader(s);
	}
	/* The first read says whether it is a database at all. */
	if (rc == KC_OK)
		rc = source_data_version(&dummy, s, s->r);
	if (rc < 0)
		close_connections(s);
	return rc;
}

int source_open(struct source **out, const char *path, const struct source_options *o)
{
	struct source *s = mem_xalloc(sizeof(*s));
	int rc;

	s->path = mem_xstrdup(path);
	s->create = o->create;
	s->busy_ms = o->busy_ms > 0 ? o->busy_ms : SOURCE_BUSY_MS;
	s->alive = o->alive;
	s->arg = o->arg;
	rc = source_reopen(s);
	if (rc < 0) {
		source_close(s);
		return rc;
	}
	*out = s;
	return KC_OK;
}

void source_close(struct source *s)
{
	if (s == NULL)
		return;
	close_connections(s);
	name_list_fini(&s->local);
	free(s->path);
	free(s);
}

const char *source_path(const struct source *s)
{
	return s->path;
}

void source_set_local(struct source *s, const char *const *tables, size_t n)
{
	name_list_fini(&s->local);
	for (size_t i = 0; i < n; i++)
		name_list_add(&s->local, tables[i]);
	s->known = false;
}

bool source_has_local(const struct source *s)
{
	return s->local.n > 0;
}

bool source_is_local(const struct source *s, const char *table)
{
	return name_list_has(&s->local, table);
}

void source_set_alive(struct source *s, int (*alive)(void *arg), void *arg)
{
	s->alive = alive;
	s->arg = arg;
}

int source_refresh(struct source *s)
{
	struct stat st;

	source_begin_wait(s, 0);
	if (s->r != NULL && s->w != NULL && stat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		return KC_OK;
	return source_reopen(s);
}

int source_set_small_cache(struct source *s, bool small)
{
	return sqlite_exec(s->w, s->path, small ? WRITER_SMALL : WRITER_CACHE);
}

int source_data_version(int64_t *version, struct source *s, sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA data_version", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*version = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? KC_OK : source_fail(s, db, rc, "cannot read the key database");
}

int source_version(uint64_t *version, struct source *s)
{
	int64_t v;
	int rc = source_refresh(s);

	if (rc == KC_OK)
		rc = source_data_version(&v, s, s->w);
	if (rc == KC_OK)
		*version = (uint64_t)s->epoch << 32 | (uint32_t)v;
	return rc;
}

int source_info(struct source_info *info, struct source *s)
{
	int rc = source_refresh(s);

	if (rc == KC_OK)
		rc = sqlite_exec(s->r, s->path, "BEGIN");
	if (rc < 0)
		return rc;
	rc = sqlite_info(info, s->r, s->path);
	sqlite3_exec(s->r, "COMMIT", NULL, NULL, NULL);
	return rc;
}

int source_digest(struct source_digest *d, struct source *s)
{
	int64_t before, after;
	int rc = source_refresh(s);

	if (rc == KC_OK)
		rc = source_data_version(&before, s, s->w);
	if (rc == KC_OK)
		rc = sqlite_digest(d, s->r, s->path, &s->local, s->alive, s->arg);
	if (rc < 0)
		return rc;
	rc = source_data_version(&after, s, s->w);
	if (rc < 0)
		source_digest_fini(d);
	else if (before == after)
		source_set_known(s, (uint64_t)s->epoch << 32 | (uint32_t)after, d->content);
	return rc;
}

int source_schema(char schema[SOURCE_DIGEST_LEN + 1], struct source *s)
{
	int rc = source_refresh(s);

	if (rc == KC_OK)
		rc = sqlite_exec(s->r, s->path, "BEGIN");
	if (rc < 0)
		return rc;
	rc = sqlite_schema_digest(schema, s->r, s->path);
	sqlite3_exec(s->r, "COMMIT", NULL, NULL, NULL);
	return rc;
}

void source_set_known(struct source *s, uint64_t version, const char *content)
{
	s->known = true;
	s->known_version = version;
	memcpy(s->known_content, content, sizeof(s->known_content));
}

int source_known(char content[SOURCE_DIGEST_LEN + 1], struct source *s)
{
	uint64_t version = 0;
	int rc = source_version(&version, s);

	if (rc < 0)
		return rc;
	if (s->known && s->known_version != version)
		s->known = false;
	memcpy(content, s->known ? s->known_content : "", s->known ? sizeof(s->known_content) : 1);
	return KC_OK;
}

/* Through the connection's own file: another descriptor must not be opened, and a lock is not needed for 4 bytes. */
static int change_counter(int64_t *value, struct source *s)
{
	sqlite3_file *file = NULL;
	uint8_t b[4] = { 0 };
	int rc = sqlite3_file_control(s->r, "main", SQLITE_FCNTL_FILE_POINTER, &file);

	if (rc == SQLITE_OK && (file == NULL || file->pMethods == NULL))
		rc = SQLITE_IOERR;
	if (rc == SQLITE_OK)
		rc = file->pMethods->xRead(file, b, sizeof(b), COUNTER_OFFSET);
	if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ)
		return source_fail(s, NULL, rc, "cannot read the change counter");
	*value = (int64_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
	return KC_OK;
}

int source_stamp(struct source_stamp *stamp, struct source *s)
{
	struct source_info info;
	int rc = source_info(&info, s);

	if (rc < 0)
		return rc;
	stamp->wal = strcmp(info.journal_mode, "wal") == 0;
	return source_stamp_locked(stamp, s, stamp);
}

int source_stamp_locked(struct source_stamp *stamp, struct source *s, const struct source_stamp *mode)
{
	stamp->wal = mode->wal;
	return mode->wal ? source_data_version(&stamp->value, s, s->r) : change_counter(&stamp->value, s);
}
