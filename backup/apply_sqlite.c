/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply_sqlite: the transaction of a restore.
 *
 * W is the destination of the backup and holds the write lock from apply_lock to the commit; meanwhile it must not be
 * used for anything else. What has to be read under the lock is read through R (source_stamp_locked).
 */
#include "backup/apply.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/apply_sqlite.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define STEP_BYTES     (1u << 20) /* between two calls of progress */
#define ALONE_MS       500	  /* how long we try to be the only one who has the database open */
#define LOCK_WINDOW_MS 5000	  /* in rollback mode new readers wait as long as we wait for old ones */
#define LOCK_PAUSE_MS  100
#define TRUNCATE_MS    20

static bool is_wal(const struct source_info *info)
{
	return strcmp(info->journal_mode, "wal") == 0;
}

/* *done: W and R are in rollback mode. Only the sole user of a WAL database can leave that mode; R is one, too. */
static int leave_wal(bool *done, struct source *s, int wait_ms)
{
	char mode[16] = "";
	int rc;

	source_close_reader(s);
	source_begin_wait(s, wait_ms);
	rc = sqlite_str(mode, sizeof(mode), s->w, s->path, "PRAGMA main.journal_mode=DELETE");
	*done = rc == KC_OK && strcmp(mode, "delete") == 0;
	s->alive_status = KC_OK;
	source_begin_wait(s, 0);
	return source_open_reader(s);
}

static int convert(struct apply *a, uint32_t page_size)
{
	char *dir = file_dirname(a->image);

	a->converted = file_join(dir, "converted.sqlite");
	free(dir);
	return sqlite_rewrite_image(a->image, a->converted, page_size);
}

static int check_room(const struct apply *a, const struct source_info *info)
{
	uint64_t need = a->m->size + (a->m->size > info->size ? a->m->size - info->size : 0);
	char *dir = file_dirname(a->live->path);
	int rc = file_need_space(dir, need, "a restore");

	free(dir);
	return rc;
}

static int fit(struct apply *a, bool empty)
{
	struct source_info info;
	bool done = false, encoding, size;
	int rc = source_info(&info, a->live);

	if (rc == KC_OK)
		rc = check_room(a, &info);
	if (rc < 0 || info.size == 0)
		return rc;
	encoding = strcmp(info.encoding, a->m->encoding) != 0;
	size = info.page_size != a->m->page_size;
	a->new_encoding = encoding;
	if (!is_wal(&info) || !(encoding || size || empty))
		return KC_OK;
	a->stamped = false;
	rc = leave_wal(&done, a->live, encoding || size ? ALONE_MS : 1);
	if (rc < 0 || done || !(encoding || size))
		return rc;
	if (encoding)
		return err_set(KC_EBUSY, "%s: is in %s, the backup in %s, and another process has it open",
		    a->live->path, info.encoding, a->m->encoding);
	return convert(a, info.page_size);
}

struct apply *apply_new(struct source *live, const char *image, const struct manifest_database *m, const char *content)
{
	struct apply *a = mem_xalloc(sizeof(*a));

	a->live = live;
	a->image = image;
	a->m = m;
	a->content = content;
	return a;
}

static const char *image_path(const struct apply *a)
{
	return a->converted != NULL ? a->converted : a->image;
}

int apply_prepare(struct apply *a, bool empty)
{
	int rc;

	if (a->prepared || a->increment != NULL)
		return KC_OK;
	rc = fit(a, empty);
	if (rc == KC_OK)
		rc = source_has_local(a->live) ? sqlite_open_image_to_write(&a->img, image_path(a))
					       : sqlite_open_image(&a->img, image_path(a));
	a->empty = empty;
	a->prepared = rc == KC_OK;
	return rc;
}

void apply_free(struct apply *a)
{
	if (a == NULL)
		return;
	apply_unlock(a);
	sqlite3_close(a->img);
	free(a->converted);
	free(a);
}

int apply_stamp(struct apply *a)
{
	int rc = source_stamp(&a->stamp, a->live);

	if (rc == KC_OK)
		rc = source_data_version(&a->version, a->live, a->live->w);
	a->stamped = rc == KC_OK;
	return rc;
}

/* All but the local tables, in W's present transaction. */
static int has_content(bool *has, struct source *s, const char *content)
{
	struct source_digest d = { .rows = 0 };
	int rc = sqlite_digest(&d, s->w, s->path, &s->local, s->alive, s->arg);

	*has = rc == KC_OK && strcmp(d.content, content) == 0;
	source_digest_fini(&d);
	return rc;
}

static int carry_locked(bool *unmoved, struct apply *a, const char *now)
{
	struct source *s = a->live;
	int rc = has_content(unmoved, s, now);

	if (rc < 0 || !*unmoved)
		return rc;
	rc = local_carry(a->img, image_path(a), s);
	if (rc == KC_OK)
		rc = source_stamp_locked(&a->stamp, s, &a->stamp);
	if (rc == KC_OK)
		rc = source_data_version(&a->version, s, s->w);
	a->stamped = rc == KC_OK;
	return rc;
}

int apply_carry(bool *unmoved, struct apply *a, const char *now, int lock_ms)
{
	struct source *s = a->live;
	int step, rc;

	*unmoved = true;
	if (a->increment != NULL || !source_has_local(s)) /* an increment leaves their rows alone */
		return KC_OK;
	source_begin_wait(s, lock_ms);
	step = sqlite3_exec(s->w, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (step != SQLITE_OK)
		return source_fail(s, s->w, step, "cannot write the key database");
	rc = carry_locked(unmoved, a, now);
	sqlite3_exec(s->w, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

static int locked_for(const struct apply *a, int ms)
{
	return err_set(KC_EBUSY, "%s: locked by another process for %d ms", a->live->path, ms);
}

int apply_lock(struct apply *a, int lock_ms)
{
	struct source *s = a->live;
	int total = lock_ms > 0 ? lock_ms : s->busy_ms, step;
	int64_t begin = (int64_t)clock_ms(), left;

	if (a->increment != NULL)
		return increment_lock(a, lock_ms);
	(void)source_set_small_cache(s, a->empty || a->stamp.wal);
	a->b = sqlite3_backup_init(s->w, "main", a->img, "main");
	if (a->b == NULL)
		return sqlite_fail(s->w, sqlite3_errcode(s->w), s->path, "cannot write the key database");
	for (;;) {
		left = begin + total - (int64_t)clock_ms();
		source_begin_wait(s, left < 1 ? 1 : left < LOCK_WINDOW_MS ? (int)left : LOCK_WINDOW_MS);
		step = sqlite3_backup_step(a->b, 0);
		if (step == SQLITE_OK)
			return KC_OK;
		if (s->alive_status < 0 || (step != SQLITE_BUSY && step != SQLITE_LOCKED))
			break;
		if ((int64_t)clock_ms() - begin >= total) {
			apply_unlock(a);
			return locked_for(a, total);
		}
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_PAUSE_MS * 1000000L }, NULL);
	}
	apply_unlock(a);
	return source_fail(s, NULL, step, "cannot write the key database");
}

int apply_unmoved(bool *unmoved, struct apply *a, const char *now)
{
	struct source_stamp stamp;
	int rc;

	if (!a->stamped) {
		*unmoved = false;
		return KC_OK;
	}
	rc = source_stamp_locked(&stamp, a->live, &a->stamp);
	if (rc < 0)
		return rc;
	*unmoved = stamp.value == a->stamp.value;
	/* Rows of local tables may come all the time, and more often than anybody can look. */
	if (!*unmoved && a->increment != NULL && source_has_local(a->live))
		return has_content(unmoved, a->live, now);
	return KC_OK;
}

void apply_unlock(struct apply *a)
{
	if (a->b != NULL) {
		sqlite3_backup_finish(a->b); /* rolls back what is not committed */
		(void)source_set_small_cache(a->live, false);
	}
	if (a->writing)
		sqlite3_exec(a->live->w, "ROLLBACK", NULL, NULL, NULL);
	a->writing = false;
	a->b = NULL;
}

int apply_write(struct apply *a, int (*progress)(void *arg, unsigned percent), void *arg)
{
	int pages = (int)(STEP_BYTES / a->m->page_size), step, rc = KC_OK;

	if (a->increment != NULL)
		return increment_write(a);
	a->live->wal_pages = INT_MAX; /* SQLite's hook is not told */
	while (rc == KC_OK && (step = sqlite3_backup_step(a->b, pages)) != SQLITE_DONE) {
		int all = sqlite3_backup_pagecount(a->b), left = sqlite3_backup_remaining(a->b);

		if (step != SQLITE_OK)
			rc = sqlite_fail(NULL, step, a->live->path, "cannot write the key database");
		else if (progress != NULL)
			rc = progress(arg, all > 0 ? (unsigned)((int64_t)(all - left) * 100 / all) : 0);
	}
	apply_unlock(a);
	return rc;
}

static void follow_journal_mode(struct apply *a, char **warning)
{
	bool master = strcmp(a->m->journal_mode, "wal") == 0, done = false;
	struct source *s = a->live;
	struct source_info info;
	char mode[16] = "";

	if (source_info(&info, s) < 0 || is_wal(&info) == master)
		return;
	if (!master) {
		if (leave_wal(&done, s, ALONE_MS) == KC_OK && !done)
			*warning = mem_xasprintf(
			    "%s: stays in WAL mode, the master's is in %s mode: another process has it open", s->path,
			    a->m->journal_mode);
		return;
	}
	source_begin_wait(s, ALONE_MS);
	if (sqlite_str(mode, sizeof(mode), s->w, s->path, "PRAGMA main.journal_mode=WAL") < 0 ||
	    strcmp(mode, "wal") != 0)
		*warning =
		    mem_xasprintf("%s: stays in %s mode, the master's is in WAL mode", s->path, info.journal_mode);
}

void source_checkpoint(struct source *s)
{
	if (s->w == NULL)
		return;
	source_begin_wait(s, 0);
	sqlite3_wal_checkpoint_v2(s->w, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	source_begin_wait(s, TRUNCATE_MS);
	if (sqlite3_wal_checkpoint_v2(s->w, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
		s->wal_pages = 0;
	s->alive_status = KC_OK;
	source_begin_wait(s, 0);
}

void apply_finish(struct apply *a, bool checkpoint, char **warning)
{
	struct source *s = a->live;
	int64_t version;
	int rc = KC_OK;

	*warning = NULL;
	s->known = false;
	if (a->new_encoding)
		rc = source_reopen(s);
	if (rc < 0) {
		log_warn("%s", err_text(rc)); /* the next use tries again */
		return;
	}
	if (a->increment == NULL)
		follow_journal_mode(a, warning);
	if (s->w == NULL || s->r == NULL)
		return;
	if (checkpoint)
		source_checkpoint(s);
	/* W's number moves with commits of others alone: unmoved since before the lock, it is what we wrote. */
	if (!a->new_encoding && source_data_version(&version, s, s->w) == KC_OK && version == a->version)
		source_set_known(s, (uint64_t)s->epoch << 32 | (uint32_t)version, a->content);
}
