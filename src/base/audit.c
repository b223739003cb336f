/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit: appends records to the chain. Several processes do: whatever is remembered here (sequence, hash) holds only
 * while the file is the inode and has the size that we left it with, and is read again otherwise.
 *
 * Must never: leave a record half written without a later line that says so; delete a file whose last hash nobody
 * remembers; report success for a record that is not in the file.
 */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit_chain.h"
#include "audit_record.h"
#include "audit_stranger.h"
#include "buf.h"
#include "err.h"
#include "file.h"
#include "log.h"
#include "mem.h"
#include "msg.h"
#include "sync_ahead.h"

#define LOCK_TRIES   2000 /* of a millisecond: other writers hold the lock for microseconds */
#define REOPEN_TRIES 100

struct audit_mark {
	uint64_t seq; /* 0: none yet */
	char hash[AUDIT_HASH_SIZE];
};

struct audit {
	char *path;
	char *host;
	char *role;
	uint64_t max_bytes;
	unsigned max_files;
	audit_head_fn on_head;
	void *arg;
	int fd;
	bool dirty;
	bool lazy; /* there are records that nobody waits for yet */
	struct sync_ahead ahead;
	int lost; /* errno of a sync ahead that nobody has asked for yet; 0: none */
	bool rotation_warned;
	/* as we left the file; size -1: look again */
	dev_t dev;
	ino_t ino;
	off_t size;
	uint64_t seq;
	char hash[AUDIT_HASH_SIZE];
	struct audit_mark synced, ahead_of; /* what is on disk, and what will be when the sync ahead is over */
	struct strangers strangers;
};

static void set_mark(struct audit_mark *m, const struct audit *a)
{
	m->seq = a->seq;
	memcpy(m->hash, a->hash, sizeof(m->hash));
}

/* What it could not bring to the disk is said by the next audit_sync(). */
static void join(struct audit *a)
{
	int error = sync_ahead_wait(&a->ahead);

	a->lost = error != 0 ? error : a->lost;
	if (error == 0 && a->ahead_of.seq > 0)
		a->synced = a->ahead_of;
	a->ahead_of.seq = 0;
}

static void close_file(struct audit *a)
{
	join(a);
	if (a->fd >= 0)
		close(a->fd); /* gives the lock back */
	a->fd = -1;
	a->size = -1;
	a->dirty = a->lazy = false; /* whoever rotates syncs the old file */
}

static int open_file(struct audit *a)
{
	char *dir = file_dirname(a->path);
	struct stat st;
	int rc = KC_OK;

	a->fd = open(a->path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (a->fd < 0 && errno == ENOENT) {
		a->fd = open(a->path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (a->fd >= 0)
			rc = file_give_to_owner_of(a->fd, dir);
		if (a->fd >= 0 && rc == KC_OK)
			rc = file_sync_dir(dir);
		if (a->fd < 0 && errno == EEXIST) { /* another writer was faster: the caller tries again */
			free(dir);
			return KC_OK;
		}
	}
	if (a->fd < 0)
		rc = err_errno("%s: cannot open the audit log", a->path);
	else if (rc == KC_OK && fstat(a->fd, &st) < 0)
		rc = err_errno("%s", a->path);
	else if (rc == KC_OK && !S_ISREG(st.st_mode))
		rc = err_set(KC_EPERM, "%s: the audit log is not a regular file", a->path);
	else if (rc == KC_OK && st.st_nlink > 1)
		rc = err_set(KC_EPERM, "%s: the audit log has a second name, it may be somebody else's file", a->path);
	free(dir);
	if (rc < 0)
		close_file(a);
	return rc;
}

static int lock_file(struct audit *a)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(a->fd, LOCK_EX | LOCK_NB) == 0)
			return KC_OK;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno("%s: cannot lock the audit log", a->path);
		usleep(1000);
	}
	return err_set(KC_EBUSY, "%s: another process keeps the audit log locked", a->path);
}

/* Open and locked, and still the file of that name. */
static int acquire(struct audit *a, struct stat *st)
{
	struct stat named;
	int rc = KC_OK;

	for (int i = 0; i < REOPEN_TRIES && rc == KC_OK; i++) {
		if (a->fd < 0)
			rc = open_file(a);
		if (rc < 0 || a->fd < 0)
			continue;
		rc = lock_file(a);
		if (rc < 0)
			return rc;
		if (fstat(a->fd, st) == 0 && lstat(a->path, &named) == 0 && st->st_dev == named.st_dev &&
		    st->st_ino == named.st_ino)
			return KC_OK;
		close_file(a);
	}
	return rc < 0 ? rc : err_set(KC_EBUSY, "%s: the audit log changes all the time", a->path);
}

static void release(struct audit *a)
{
	if (a->fd >= 0)
		flock(a->fd, LOCK_UN);
}

/* Append `line` with its newline, in one write. On failure the file is cut back to where it was. */
static int append(struct audit *a, const char *line, size_t len)
{
	off_t before = a->size;
	int rc = file_write_all(a->fd, line, len, a->path);

	if (rc < 0) {
		int saved = errno;

		if (ftruncate(a->fd, before) < 0)
			log_warn("%s: cannot take back a line that was cut short", a->path);
		errno = saved;
		a->size = -1;
		return rc;
	}
	a->size += (off_t)len;
	a->dirty = true;
	return KC_OK;
}

static int encode(struct audit *a, struct buf *b, const struct audit_record *r)
{
	struct audit_place place = { .seq = a->seq + 1, .prev = a->hash, .host = a->host, .role = a->role };

	clock_gettime(CLOCK_REALTIME, &place.time);
	return audit_record_encode(b, r, &place);
}

static void advance(struct audit *a, const char *line, size_t len)
{
	a->seq++;
	audit_chain_hash(a->hash, line, len);
}

/* Terminate the line that a crash cut short, and say so in the chain. */
static int repair(struct audit *a, const struct audit_tail *t)
{
	char detail[80];
	struct buf b;
	int rc;

	if (t->whole)
		return append(a, "\n", 1);
	snprintf(detail, sizeof(detail), "a line of %zu bytes had been cut short and was closed", t->len);
	buf_init(&b, AUDIT_LINE_CAP);
	buf_put_u8(&b, '\n');
	rc = encode(a, &b,
	    &(struct audit_record){ .event = AUDIT_AUDIT_REPAIR,
		.outcome = AUDIT_SUCCESS,
		.code = msg_code(MSG_AUDIT_TORN),
		.detail = detail });
	if (rc == KC_OK)
		rc = append(a, (const char *)buf_data(&b), buf_len(&b));
	if (rc == KC_OK)
		advance(a, (const char *)buf_data(&b) + 1, buf_len(&b) - 2);
	buf_fini(&b);
	if (rc == KC_OK)
		log_warn("%s: %s", a->path, detail);
	return rc;
}

/* Locked: learn the end of the chain unless it is as we left it. */
static int catch_up(struct audit *a, const struct stat *st)
{
	struct audit_tail t;
	int rc;

	if (st->st_dev == a->dev && st->st_ino == a->ino && st->st_size == a->size)
		return KC_OK;
	a->size = -1;
	rc = audit_chain_tail(&t, a->fd, st->st_size, a->path);
	if (rc == KC_OK && !t.any)
		rc = audit_chain_tail_of_previous(&t, a->path);
	if (rc < 0)
		return rc;
	a->dev = st->st_dev;
	a->ino = st->st_ino;
	a->size = st->st_size;
	a->seq = t.seq;
	memcpy(a->hash, t.hash, sizeof(a->hash));
	return t.torn && st->st_size > 0 ? repair(a, &t) : KC_OK;
}

static int remember_and_delete(struct audit *a, const char *name)
{
	struct audit_tail t = { .any = false };
	struct stat st;
	int fd = -1, rc = file_open(&fd, name, O_RDONLY, 0);

	if (rc == KC_OK && fstat(fd, &st) == 0)
		rc = audit_chain_tail(&t, fd, st.st_size, name);
	if (fd >= 0)
		close(fd);
	if (rc == KC_OK && t.any)
		rc = a->on_head(t.hash, t.seq, a->arg);
	return rc == KC_OK ? file_remove(name) : rc;
}

/* Delete what will be too much, oldest first, once the rest has moved up by one. */
static int delete_oldest(struct audit *a, const unsigned *numbers, size_t *n)
{
	size_t gone = 0;
	int rc = KC_OK;

	if (a->on_head == NULL || a->max_files == 0)
		return KC_OK;
	/* numbers[gone] becomes the file of age n - gone + 1, the newest (new) file being of age 1 … max_files */
	while (rc == KC_OK && gone<*n && * n - gone + 2> a->max_files) {
		char *name = audit_chain_name(a->path, numbers[gone]);

		rc = remember_and_delete(a, name);
		free(name);
		if (rc == KC_OK)
			gone++;
	}
	*n -= gone;
	return rc;
}

/* Locked. path.1 becomes path.2 and so on, then path becomes path.1; a gap in the numbers takes the shift up. */
static int rotate(struct audit *a)
{
	unsigned *numbers = NULL, run = 0;
	size_t n, all = 0;
	int drc, rc = audit_chain_list(&numbers, &all, a->path);

	if (rc == KC_OK && fsync(a->fd) < 0)
		rc = err_errno("%s: cannot sync", a->path);
	n = all;
	drc = rc == KC_OK ? delete_oldest(a, numbers, &n) : KC_OK;
	if (drc < 0 && drc != KC_EAGAIN)
		log_warn("%s: an old audit log is kept: %s", a->path, err_text(drc));
	/* the lowest numbers are at the end of the list: 1, 2, 3, … up to the first gap */
	while (rc == KC_OK && run < n && numbers[all - 1 - run] == run + 1)
		run++;
	for (unsigned i = run + 1; rc == KC_OK && i-- > 0;) {
		char *from = audit_chain_name(a->path, i), *to = audit_chain_name(a->path, i + 1);

		rc = file_rename(from, to);
		free(from);
		free(to);
	}
	free(numbers);
	return rc;
}

static bool must_rotate(const struct audit *a, size_t len)
{
	return a->max_bytes > 0 && a->size > 0 && (uint64_t)a->size + len > a->max_bytes;
}

static int write_locked(struct audit *a, const struct audit_record *r, struct buf *b)
{
	struct stat st;
	int rc;

	for (bool rotated = false;; rotated = true) {
		rc = acquire(a, &st);
		if (rc == KC_OK)
			rc = catch_up(a, &st);
		buf_reset(b);
		if (rc == KC_OK)
			rc = encode(a, b, r);
		if (rc < 0 || rotated || !must_rotate(a, buf_len(b)))
			break;
		rc = rotate(a);
		if (rc < 0 && !a->rotation_warned)
			log_warn("audit log not rotated: %s", err_text(rc));
		a->rotation_warned = rc < 0;
		close_file(a); /* the next turn opens the new one, or goes on in the old */
	}
	if (rc == KC_OK)
		rc = append(a, (const char *)buf_data(b), buf_len(b));
	if (rc == KC_OK)
		advance(a, (const char *)buf_data(b), buf_len(b) - 1);
	release(a);
	return rc;
}

int audit_write(struct audit *a, const struct audit_record *r)
{
	struct buf b;
	int rc;

	buf_init(&b, AUDIT_LINE_CAP);
	rc = write_locked(a, r, &b);
	buf_fini(&b);
	return rc;
}

int audit_write_lazily(struct audit *a, const struct audit_record *r)
{
	bool dirty = a->dirty;
	int rc = audit_write(a, r);

	a->lazy = a->lazy || a->dirty;
	a->dirty = dirty;
	return rc;
}

void audit_hurry(struct audit *a)
{
	a->dirty = a->dirty || a->lazy;
}

int audit_result(struct audit *a, const struct audit_record *r, int rc)
{
	struct audit_record copy = *r;
	char *text = mem_xstrdup(err_text(rc));
	int wrc;

	copy.outcome = rc == KC_OK ? AUDIT_SUCCESS : AUDIT_FAILURE;
	if (rc < 0 && copy.code == NULL)
		copy.code = err_msg_code(rc);
	if (rc < 0 && copy.detail == NULL)
		copy.detail = text;
	wrc = audit_write(a, &copy);
	if (rc < 0) {
		if (wrc < 0)
			log_err("%s not audited: %s", audit_event_name(r->event), err_text(wrc));
		err_set(rc, "%s", text);
	}
	free(text);
	return rc < 0 ? rc : wrc;
}

void audit_sync_ahead(struct audit *a)
{
	if (!a->dirty || !sync_ahead_start(&a->ahead, a->fd))
		return;
	set_mark(&a->ahead_of, a);
	a->dirty = a->lazy = false;
}

int audit_sync(struct audit *a)
{
	join(a);
	if (a->lost != 0) {
		errno = a->lost;
		a->lost = 0;
		a->dirty = a->fd >= 0;
		return err_errno("%s: cannot sync the audit log", a->path);
	}
	if (!a->dirty)
		return KC_OK;
	if (fsync(a->fd) < 0)
		return err_errno("%s: cannot sync the audit log", a->path);
	set_mark(&a->synced, a);
	a->dirty = a->lazy = false;
	return KC_OK;
}

bool audit_synced(const struct audit *a, uint64_t *seq, char hash[AUDIT_HASH_SIZE])
{
	if (a->synced.seq == 0)
		return false;
	*seq = a->synced.seq;
	memcpy(hash, a->synced.hash, AUDIT_HASH_SIZE);
	return true;
}

int audit_head(struct audit *a, uint64_t *seq, char hash[AUDIT_HASH_SIZE])
{
	struct stat st;
	int rc = acquire(a, &st);

	if (rc == KC_OK)
		rc = catch_up(a, &st);
	audit_hurry(a);
	if (rc == KC_OK) {
		*seq = a->seq;
		memcpy(hash, a->hash, AUDIT_HASH_SIZE);
	}
	release(a);
	return rc;
}

int audit_open(struct audit **out, const struct audit_options *o)
{
	struct audit *a = mem_xalloc(sizeof(*a));
	char host[256] = "", hash[AUDIT_HASH_SIZE];
	uint64_t seq;
	int rc;

	if (o->host == NULL && gethostname(host, sizeof(host) - 1) < 0)
		snprintf(host, sizeof(host), "localhost");
	a->path = mem_xstrdup(o->path);
	a->host = mem_xstrdup(o->host != NULL ? o->host : host);
	a->role = mem_xstrdup(o->role);
	a->max_bytes = o->max_bytes;
	a->max_files = o->max_files;
	a->on_head = o->on_head;
	a->arg = o->arg;
	a->fd = -1;
	a->size = -1;
	rc = audit_head(a, &seq, hash); /* makes the file, repairs its end */
	if (rc < 0) {
		audit_close(a);
		return rc;
	}
	*out = a;
	return KC_OK;
}

void audit_close(struct audit *a)
{
	int rc;

	if (a == NULL)
		return;
	rc = strangers_flush(&a->strangers, a, 0, true);
	audit_hurry(a);
	if (rc == KC_OK)
		rc = audit_sync(a);
	if (rc < 0)
		log_err("audit log: %s", err_text(rc));
	close_file(a);
	free(a->path);
	free(a->host);
	free(a->role);
	free(a);
}

void audit_set_limits(struct audit *a, uint64_t max_bytes, unsigned max_files)
{
	a->max_bytes = max_bytes;
	a->max_files = max_files;
}

int audit_stranger(struct audit *a, uint64_t now_ms, const char *address, const char *code, const char *reason)
{
	return strangers_note(&a->strangers, a, now_ms, address, code, reason);
}

int audit_tick(struct audit *a, uint64_t now_ms)
{
	return strangers_flush(&a->strangers, a, now_ms, false);
}
