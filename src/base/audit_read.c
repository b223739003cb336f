/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_read: lines of the log over its rotations, oldest first, and waiting for more. All files are opened at one
 * instant under the writers' lock, so that a rotation in between neither repeats nor hides a line.
 */
#include "audit_read.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_chain.h"
#include "err.h"
#include "file.h"
#include "mem.h"

#define OPEN_TRIES 100
#define POLL_MS	   1000 /* where inotify does not work (a network file system) */

struct input {
	int fd;
	char *name;
	dev_t dev;
	ino_t ino;
};

struct audit_reader {
	char *path;
	struct input *files; /* oldest first; files[at] is being read */
	size_t count, at;
	unsigned long number; /* lines seen of files[at] */
	char data[AUDIT_LINE_MAX];
	size_t start, end;	       /* of what was read and not yet given out */
	char line[AUDIT_LINE_MAX + 1]; /* given out last */
	json_t *json;
	int inotify;
};

static void input_fini(struct input *in)
{
	if (in->fd >= 0)
		close(in->fd);
	free(in->name);
}

static void drop_files(struct audit_reader *r)
{
	for (size_t i = 0; i < r->count; i++)
		input_fini(&r->files[i]);
	free(r->files);
	r->files = NULL;
	r->count = r->at = 0;
}

static int input_open(struct input *in, const char *path, unsigned number)
{
	struct stat st;
	int rc;

	in->name = audit_chain_name(path, number);
	in->fd = -1;
	rc = file_open(&in->fd, in->name, O_RDONLY, 0);
	if (rc == KC_OK && fstat(in->fd, &st) < 0)
		rc = err_errno("%s", in->name);
	if (rc < 0) {
		input_fini(in);
		return rc;
	}
	in->dev = st.st_dev;
	in->ino = st.st_ino;
	return KC_OK;
}

static bool same_file(const struct input *a, const struct input *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* The newest file, locked against rotation. Where locks do not work, it is read without. */
static int lock_newest(struct input *in, const char *path)
{
	struct stat st;
	int rc;

	for (int i = 0; i < OPEN_TRIES; i++) {
		rc = input_open(in, path, 0);
		if (rc < 0)
			return rc;
		while (flock(in->fd, LOCK_SH) < 0 && errno == EINTR)
			;
		if (lstat(path, &st) == 0 && st.st_dev == in->dev && st.st_ino == in->ino)
			return KC_OK;
		input_fini(in);
	}
	return err_set(KC_EBUSY, "%s: the audit log changes all the time", path);
}

/* All files of the log, oldest first, as they are at one instant. */
static int open_all(struct input **files, size_t *count, const char *path)
{
	struct input newest, *list;
	unsigned *numbers = NULL;
	size_t n = 0, made = 0;
	int rc = lock_newest(&newest, path);

	if (rc < 0)
		return rc;
	rc = audit_chain_list(&numbers, &n, path);
	list = mem_xcalloc(n + 1, sizeof(*list));
	for (size_t i = 0; rc == KC_OK && i < n; i++) {
		rc = input_open(&list[made], path, numbers[i]);
		if (rc == KC_OK)
			made++;
	}
	free(numbers);
	flock(newest.fd, LOCK_UN);
	list[made++] = newest;
	if (rc < 0) {
		while (made > 0)
			input_fini(&list[--made]);
		free(list);
		return rc;
	}
	*files = list;
	*count = made;
	return KC_OK;
}

int audit_reader_open(struct audit_reader **out, const char *path)
{
	struct audit_reader *r = mem_xalloc(sizeof(*r));
	char *dir = file_dirname(path);
	int rc = open_all(&r->files, &r->count, path);

	r->path = mem_xstrdup(path);
	r->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r->inotify >= 0)
		inotify_add_watch(r->inotify, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE);
	free(dir);
	if (rc < 0) {
		audit_reader_free(r);
		return rc;
	}
	*out = r;
	return KC_OK;
}

void audit_reader_free(struct audit_reader *r)
{
	if (r == NULL)
		return;
	drop_files(r);
	if (r->inotify >= 0)
		close(r->inotify);
	json_decref(r->json);
	free(r->path);
	free(r);
}

/* After the newest file was read to its end: has it become an older one? Then the list begins with what followed. */
static int follow_rotation(struct audit_reader *r)
{
	struct input *files, *old = &r->files[r->at];
	size_t count, next = 0;
	struct stat st;
	int rc;

	if (lstat(r->path, &st) == 0 && st.st_dev == old->dev && st.st_ino == old->ino)
		return 0;
	rc = open_all(&files, &count, r->path);
	if (rc == KC_ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		if (same_file(&files[i], old))
			next = i; /* read to the end once more: it may have grown before it was renamed */
	if (next == 0 && !same_file(&files[0], old)) {
		/* ours is deleted: everything is new */
		drop_files(r);
		r->number = 0;
		r->start = r->end = 0;
	} else {
		int fd = files[next].fd;

		files[next].fd = old->fd; /* with its read position */
		old->fd = fd;
		drop_files(r);
	}
	r->files = files;
	r->count = count;
	r->at = next;
	return 1;
}

/* Give out the next `len` bytes as a line. */
static int give(struct audit_reader *r, struct audit_line *line, size_t len, bool terminated)
{
	uint64_t seq;

	memcpy(r->line, r->data + r->start, len);
	r->line[len] = '\0';
	r->start += len + (terminated ? 1 : 0);
	r->number++;
	json_decref(r->json);
	r->json = audit_chain_parse(&seq, r->line, len);
	*line = (struct audit_line){ .file = r->files[r->at].name,
		.number = r->number,
		.text = r->line,
		.len = len,
		.json = r->json,
		.terminated = terminated };
	return 1;
}

/* More bytes of the present file: > 0, 0 at its end. */
static int fill(struct audit_reader *r)
{
	ssize_t n;

	if (r->start > 0) {
		memmove(r->data, r->data + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	do
		n = read(r->files[r->at].fd, r->data + r->end, AUDIT_LINE_MAX - r->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_errno("%s: cannot read", r->files[r->at].name);
	r->end += (size_t)n;
	return n > 0;
}

int audit_reader_next(struct audit_reader *r, struct audit_line *line)
{
	const char *nl;
	int rc;

	for (;;) {
		size_t len = r->end - r->start;

		nl = memchr(r->data + r->start, '\n', len);
		if (nl != NULL)
			return give(r, line, (size_t)(nl - r->data) - r->start, true);
		if (len == AUDIT_LINE_MAX)
			return give(r, line, len, false); /* longer than any record */
		rc = fill(r);
		if (rc < 0)
			return rc;
		if (rc > 0)
			continue;
		if (r->at + 1 == r->count) {
			rc = follow_rotation(r);
			if (rc <= 0)
				return rc;
			continue;
		}
		len = r->end - r->start;
		if (len > 0)
			return give(r, line, len, false);
		r->at++;
		r->number = 0;
	}
}

int audit_reader_rest(struct audit_reader *r, struct audit_line *line)
{
	struct input *in = &r->files[r->at];
	int rc;

	if (flock(in->fd, LOCK_SH) == 0)
		flock(in->fd, LOCK_UN); /* a writer that was at work has ended */
	rc = fill(r);
	if (rc < 0)
		return rc;
	if (r->end == r->start || memchr(r->data + r->start, '\n', r->end - r->start) != NULL)
		return 0;
	return give(r, line, r->end - r->start, false);
}

int audit_reader_wait(struct audit_reader *r, int timeout_ms)
{
	char events[4096];
	struct pollfd p = { .fd = r->inotify, .events = POLLIN };
	int wait_ms = timeout_ms < 0 || timeout_ms > POLL_MS ? POLL_MS : timeout_ms;
	int n = poll(&p, r->inotify >= 0 ? 1 : 0, wait_ms);

	if (n < 0)
		return errno == EINTR ? err_set(KC_ECANCELED, "interrupted") : err_errno("poll");
	while (n > 0 && read(r->inotify, events, sizeof(events)) > 0)
		;
	return n > 0 || wait_ms < timeout_ms || timeout_ms < 0 ? KC_OK : err_set(KC_ETIMEOUT, "nothing new");
}
