/* SPDX-License-Identifier: Apache-2.0 */
/* archive_write: the tar of a backup, written by libarchive; each member's digest is computed on the way. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/archive_internal.h"
#include "base/err.h"
#include "base/mem.h"

#define READ_SIZE (256u << 10)

struct archive_writer {
	struct archive *tar;
	struct archive_entry *entry;
	int64_t mtime;
	archive_write_fn write;
	void *arg;
	int status;
	struct archive_sums sums;
	uint8_t *block;
};

/* libarchive's callback: our own failure stays in `status`, libarchive only hears that there was one. */
static la_ssize_t on_write(struct archive *tar, void *arg, const void *data, size_t n)
{
	struct archive_writer *w = arg;

	if (w->status == KC_OK)
		w->status = w->write(w->arg, data, n);
	if (w->status == KC_OK)
		return (la_ssize_t)n;
	archive_set_error(tar, EIO, "stopped");
	return -1;
}

/* The reason of a failed libarchive call: ours if the callback failed, else libarchive's. */
static int tar_failed(struct archive_writer *w, const char *name)
{
	if (w->status == KC_OK)
		w->status = err_set(KC_EFAIL, "%s: cannot be written to the archive: %s", name,
		    archive_error_string(w->tar) != NULL ? archive_error_string(w->tar) : "no reason given");
	return w->status;
}

int archive_writer_new(struct archive_writer **w, int64_t mtime, archive_write_fn write, void *arg)
{
	struct archive_writer *new = mem_xalloc(sizeof(*new));

	new->mtime = mtime;
	new->write = write;
	new->arg = arg;
	new->block = mem_xalloc(READ_SIZE);
	archive_sums_init(&new->sums);
	new->tar = archive_write_new();
	new->entry = archive_entry_new();
	/* no blocking: what we give goes straight to the callback, without a copy */
	if (new->tar == NULL || new->entry == NULL || archive_write_set_format_pax_restricted(new->tar) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(new->tar, 0) != ARCHIVE_OK ||
	    archive_write_open(new->tar, new, NULL, on_write, NULL) != ARCHIVE_OK) {
		archive_writer_free(new);
		return err_set(KC_EFAIL, "libarchive cannot write tar");
	}
	*w = new;
	return KC_OK;
}

void archive_writer_free(struct archive_writer *w)
{
	if (w == NULL)
		return;
	if (w->status == KC_OK)
		w->status = KC_ECANCELED; /* free closes; nothing is to be written, and no message is ours to replace */
	if (w->tar != NULL)
		archive_write_free(w->tar);
	archive_entry_free(w->entry);
	archive_sums_fini(&w->sums);
	mem_wipe(w->block, READ_SIZE);
	free(w->block);
	free(w);
}

static bool is_ascii(const char *s)
{
	while (*s != '\0' && (unsigned char)*s < 0x80)
		s++;
	return *s == '\0';
}

static int begin_entry(
    struct archive_writer *w, const char *name, const struct archive_meta *m, uint64_t size, bool directory)
{
	int res, rc = directory ? archive_sums_name(&w->sums, name) : archive_sums_begin(&w->sums, name);

	if (rc < 0)
		return w->status = rc;
	archive_entry_clear(w->entry);
	archive_entry_set_pathname(w->entry, name);
	archive_entry_set_filetype(w->entry, directory ? AE_IFDIR : AE_IFREG);
	archive_entry_set_perm(w->entry, m->mode & 07777);
	archive_entry_set_size(w->entry, (la_int64_t)size);
	archive_entry_set_mtime(w->entry, m->mtime, 0);
	archive_entry_set_uid(w->entry, m->uid);
	archive_entry_set_gid(w->entry, m->gid);
	if (m->user != NULL && is_ascii(m->user))
		archive_entry_set_uname(w->entry, m->user);
	if (m->group != NULL && is_ascii(m->group))
		archive_entry_set_gname(w->entry, m->group);
	res = archive_write_header(w->tar, w->entry);
	/* A name beyond ASCII is written as it is, with a pax header that says so; where the locale is not UTF-8
	 * (we set none) libarchive warns of that. */
	return res == ARCHIVE_OK || (res == ARCHIVE_WARN && !is_ascii(name)) ? KC_OK : tar_failed(w, name);
}

static int begin_member(struct archive_writer *w, const char *name, mode_t mode, uint64_t size)
{
	const struct archive_meta m = { .mode = mode, .mtime = w->mtime };

	return begin_entry(w, name, &m, size, false);
}

static int put(struct archive_writer *w, const char *name, const void *data, size_t n)
{
	int rc = archive_sums_update(&w->sums, data, n);

	if (rc < 0)
		return w->status = rc;
	if (n > 0 && archive_write_data(w->tar, data, n) != (la_ssize_t)n)
		return tar_failed(w, name);
	return KC_OK;
}

static int end_member(struct archive_writer *w, const char *name, uint8_t *sha256)
{
	if (archive_write_finish_entry(w->tar) != ARCHIVE_OK)
		return tar_failed(w, name);
	return w->status = archive_sums_end(&w->sums, sha256);
}

int archive_writer_add(struct archive_writer *w, const char *name, mode_t mode, const void *data, size_t n)
{
	int rc;

	if (w->status < 0)
		return w->status;
	if ((rc = begin_member(w, name, mode, n)) < 0 || (rc = put(w, name, data, n)) < 0)
		return rc;
	return end_member(w, name, NULL);
}

static int copy_fd(struct archive_writer *w, const char *name, int fd, uint64_t size)
{
	while (size > 0) {
		ssize_t n = read(fd, w->block, size < READ_SIZE ? (size_t)size : READ_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return w->status = err_errno("%s: cannot read", name);
		if (n == 0)
			return w->status = err_set(KC_EFAIL, "%s: became shorter while it was read, by %llu bytes",
				   name, (unsigned long long)size);
		if (put(w, name, w->block, (size_t)n) < 0)
			return w->status;
		size -= (uint64_t)n;
	}
	return KC_OK;
}

int archive_writer_add_fd(
    struct archive_writer *w, const char *name, mode_t mode, int fd, uint64_t size, uint8_t *sha256)
{
	int rc;

	if (w->status < 0)
		return w->status;
	if (size > INT64_MAX)
		return w->status = err_set(KC_ELIMIT, "%s: too large", name);
	if ((rc = begin_member(w, name, mode, size)) < 0 || (rc = copy_fd(w, name, fd, size)) < 0)
		return rc;
	return end_member(w, name, sha256);
}

int archive_writer_add_companion(
    struct archive_writer *w, const char *name, const struct archive_meta *m, int fd, uint64_t size)
{
	int rc;

	if (w->status < 0)
		return w->status;
	if (size > INT64_MAX)
		return w->status = err_set(KC_ELIMIT, "%s: too large", name);
	rc = begin_entry(w, name, m, size, fd < 0);
	if (rc == KC_OK && fd < 0)
		return archive_write_finish_entry(w->tar) == ARCHIVE_OK ? KC_OK : tar_failed(w, name);
	if (rc == KC_OK)
		rc = copy_fd(w, name, fd, size);
	return rc < 0 ? rc : end_member(w, name, NULL);
}

/* The last two members are not in the list that they are about. */
static int add_unlisted(struct archive_writer *w, const char *name, const void *data, size_t n)
{
	archive_sums_seal(&w->sums);
	return archive_writer_add(w, name, 0600, data, n);
}

int archive_writer_finish(struct archive_writer *w, archive_sign_fn sign, void *arg)
{
	struct buf sig;
	int rc;

	if (w->status < 0)
		return w->status;
	buf_init(&sig, ARCHIVE_SIG_MAX);
	if ((rc = sign(arg, &sig, buf_data(&w->sums.text), buf_len(&w->sums.text))) < 0)
		w->status = rc;
	else if ((rc = buf_status(&sig)) < 0)
		w->status = rc;
	else if ((rc = add_unlisted(w, ARCHIVE_SUMS, buf_data(&w->sums.text), buf_len(&w->sums.text))) == KC_OK &&
		 (rc = add_unlisted(w, ARCHIVE_SIG, buf_data(&sig), buf_len(&sig))) == KC_OK &&
		 archive_write_close(w->tar) != ARCHIVE_OK)
		rc = tar_failed(w, "the end");
	buf_fini(&sig);
	return rc;
}
