/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive_read: reads the tar of a backup, member by member, against what the manifest declared.
 * Hostile until finish: nothing is created here from a name in the archive, and no size in it is believed beyond the
 * declared one.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backup/archive_internal.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

#define SUMS_NAMES    2
#define PADDING_LIMIT (64 << 10)

struct archive_reader {
	struct archive *tar;
	archive_next_fn next;
	void *arg;
	int status;
	struct archive_sums sums;
	struct archive_member *expected; /* what comes after the manifest */
	size_t n_expected;
	bool told;	 /* archive_reader_expect was called */
	size_t position; /* members begun: 1 is the manifest */
	char *name;	 /* the present member */
	uint64_t size;
	uint64_t offset; /* read of it */
	mode_t mode;
	bool directory;	      /* the present member is one */
	bool open;	      /* not read to its end */
	const uint8_t *piece; /* what the source gave last, and all together: to see what libarchive leaves */
	size_t n_piece;
	uint64_t supplied;
};

/* ---- libarchive ---- */

static la_ssize_t on_read(struct archive *tar, void *arg, const void **data)
{
	struct archive_reader *r = arg;
	const uint8_t *p = NULL;
	size_t n = 0;

	if (r->status == KC_OK)
		r->status = r->next(r->arg, &p, &n);
	if (r->status < 0) {
		archive_set_error(tar, EIO, "stopped");
		return -1;
	}
	r->piece = p;
	r->n_piece = n;
	r->supplied += n;
	*data = p;
	return (la_ssize_t)n;
}

/* Ours if the callback failed, else libarchive's; it calls an early end "Truncated". */
static int tar_failed(struct archive_reader *r)
{
	const char *text = archive_error_string(r->tar);

	if (r->status == KC_OK)
		r->status = err_set(KC_EDAMAGED, "not a sound tar: %s", text != NULL ? text : "no reason given");
	return r->status;
}

int archive_reader_new(struct archive_reader **r, archive_next_fn next, void *arg)
{
	struct archive_reader *new = mem_xalloc(sizeof(*new));

	new->next = next;
	new->arg = arg;
	archive_sums_init(&new->sums);
	new->tar = archive_read_new();
	if (new->tar == NULL || archive_read_support_format_tar(new->tar) != ARCHIVE_OK) {
		archive_reader_free(new);
		return err_set(KC_EFAIL, "libarchive cannot read tar");
	}
	*r = new;
	return KC_OK;
}

void archive_reader_free(struct archive_reader *r)
{
	if (r == NULL)
		return;
	if (r->tar != NULL)
		archive_read_free(r->tar);
	for (size_t i = 0; i < r->n_expected; i++)
		free(r->expected[i].name);
	free(r->expected);
	free(r->name);
	archive_sums_fini(&r->sums);
	free(r);
}

int archive_reader_expect(struct archive_reader *r, const struct archive_member *members, size_t n)
{
	if (r->told || r->position == 0)
		return r->status = err_set(KC_EUSAGE, "members are declared once, after the manifest");
	r->told = true;
	if (n > ARCHIVE_MAX_MEMBERS - SUMS_NAMES - 1)
		return r->status =
			   err_set(KC_ELIMIT, "%zu members (limit %d)", n, ARCHIVE_MAX_MEMBERS - SUMS_NAMES - 1);
	r->expected = mem_xcalloc(n, sizeof(*members));
	for (size_t i = 0; i < n; i++) {
		r->expected[i] = members[i];
		r->expected[i].name = mem_xstrdup(members[i].name);
	}
	r->n_expected = n;
	return KC_OK;
}

/* ---- members ---- */

/* The header of any member: a plain file or a directory with a safe name, nothing else. */
static int check_entry(struct archive_reader *r, struct archive_entry *e, const char *name)
{
	int rc;

	r->directory = archive_entry_filetype(e) == AE_IFDIR;
	if ((rc = archive_name_check(name)) < 0)
		return err_set(KC_EDAMAGED, "%s", err_text(rc));
	if ((archive_entry_filetype(e) != AE_IFREG && !r->directory) || archive_entry_hardlink(e) != NULL ||
	    archive_entry_symlink(e) != NULL || archive_entry_sparse_count(e) > 0)
		return err_set(KC_EDAMAGED, "member %s: not a plain file", name);
	if (r->directory && archive_entry_size(e) > 0)
		return err_set(KC_EDAMAGED, "member %s: a directory with a size", name);
	if (!r->directory && (!archive_entry_size_is_set(e) || archive_entry_size(e) < 0))
		return err_set(KC_EDAMAGED, "member %s: without a size", name);
	rc = r->directory ? archive_sums_name(&r->sums, name) : archive_sums_begin(&r->sums, name);
	if (rc < 0)
		return err_set(rc == KC_EFAIL ? rc : KC_EDAMAGED, "%s", err_text(rc));
	return KC_OK;
}

/* Its name, heap; the slash that tar writes behind a directory's is not part of it. */
static char *name_of(struct archive_entry *e)
{
	const char *name = archive_entry_pathname(e);
	size_t n = name != NULL ? strlen(name) : 0;

	if (n > 1 && archive_entry_filetype(e) == AE_IFDIR && name[n - 1] == '/')
		n--;
	return mem_xstrndup(name != NULL ? name : "", n);
}

static int begin_member(struct archive_reader *r)
{
	struct archive_entry *e;
	int res, rc;

	if (r->position == 0 && archive_read_open(r->tar, r, NULL, on_read, NULL) != ARCHIVE_OK)
		return tar_failed(r);
	res = archive_read_next_header(r->tar, &e);
	if (r->status < 0)
		return r->status;
	if (res == ARCHIVE_EOF)
		return r->status = err_set(KC_ETRUNCATED, "truncated: the tar ends before its last member");
	if (res != ARCHIVE_OK)
		return tar_failed(r);
	free(r->name);
	r->name = name_of(e);
	if ((rc = check_entry(r, e, r->name)) < 0)
		return r->status = rc;
	r->size = r->directory ? 0 : (uint64_t)archive_entry_size(e);
	r->mode = archive_entry_perm(e) & 07777;
	r->offset = 0;
	r->open = !r->directory;
	r->position++;
	return KC_OK;
}

/* The next member must be this one. exact: of this size, else at most. */
static int begin_expected(struct archive_reader *r, const char *name, uint64_t size, bool exact, bool directory)
{
	int rc = begin_member(r);

	if (rc < 0)
		return rc;
	if (strcmp(r->name, name) != 0)
		return r->status = err_set(KC_EDAMAGED, "member %s where %s is expected", r->name, name);
	if (r->directory != directory)
		return r->status = err_set(
			   KC_EDAMAGED, "member %s: %s", name, directory ? "not a directory" : "not a plain file");
	if (exact ? r->size != size : r->size > size)
		return r->status = err_set(KC_EDAMAGED, "member %s: %llu bytes where %s%llu are expected", name,
			   (unsigned long long)r->size, exact ? "" : "at most ", (unsigned long long)size);
	return KC_OK;
}

int archive_reader_next(struct archive_reader *r)
{
	const struct archive_member *m;

	if (r->status < 0)
		return r->status;
	if (r->open)
		return r->status = err_set(KC_EUSAGE, "member %s was not read to its end", r->name);
	if (r->position == 0)
		return begin_expected(r, ARCHIVE_MANIFEST, ARCHIVE_MANIFEST_MAX, false, false);
	if (r->position > r->n_expected)
		return err_set(KC_EUSAGE, "no more members are declared");
	m = &r->expected[r->position - 1];
	return begin_expected(r, m->name, m->size, true, m->directory);
}

const char *archive_reader_name(const struct archive_reader *r)
{
	return r->name;
}

uint64_t archive_reader_size(const struct archive_reader *r)
{
	return r->size;
}

bool archive_reader_is_directory(const struct archive_reader *r)
{
	return r->directory;
}

mode_t archive_reader_mode(const struct archive_reader *r)
{
	return r->mode;
}

/* Is it what the manifest says of it? */
static int end_sums(struct archive_reader *r)
{
	const struct archive_member *m =
	    r->position >= 2 && r->position - 2 < r->n_expected ? &r->expected[r->position - 2] : NULL;
	uint8_t digest[SHA256_SIZE] = { 0 };
	char hex[2 * SHA256_SIZE + 1];
	int rc = archive_sums_end(&r->sums, digest);

	if (rc < 0 || m == NULL || m->sha256[0] == '\0')
		return rc;
	hex_encode(hex, digest, sizeof(digest));
	if (strcmp(hex, m->sha256) != 0)
		return err_set(KC_EDAMAGED, "member %s: not what the manifest says of it", m->name);
	return KC_OK;
}

static int end_member(struct archive_reader *r)
{
	r->open = false;
	if (r->offset != r->size)
		return r->status = err_set(KC_EDAMAGED, "member %s: %llu bytes where its header says %llu", r->name,
			   (unsigned long long)r->offset, (unsigned long long)r->size);
	return r->status = end_sums(r);
}

static int next_piece(struct archive_reader *r, const void **data, size_t *n)
{
	la_int64_t offset;
	int res;

	*n = 0;
	*data = NULL;
	if (r->status < 0 || !r->open)
		return r->status;
	do {
		res = archive_read_data_block(r->tar, data, n, &offset);
		if (res == ARCHIVE_EOF) {
			*n = 0;
			return end_member(r);
		}
		if (res != ARCHIVE_OK)
			return tar_failed(r);
	} while (*n == 0);
	if ((uint64_t)offset != r->offset || *n > r->size - r->offset)
		return r->status = err_set(KC_EDAMAGED, "member %s: not a plain file", r->name);
	r->offset += *n;
	return r->status = archive_sums_update(&r->sums, *data, *n);
}

int archive_reader_load(struct archive_reader *r, struct buf *b)
{
	const void *data;
	size_t n;
	int rc;

	while ((rc = next_piece(r, &data, &n)) == KC_OK && n > 0)
		buf_put(b, data, n);
	return rc < 0 ? rc : buf_status(b);
}

int archive_reader_save(struct archive_reader *r, int fd, const char *path)
{
	const void *data;
	size_t n;
	int rc;

	while ((rc = next_piece(r, &data, &n)) == KC_OK && n > 0)
		if ((rc = file_write_all(fd, data, n, path)) < 0)
			return r->status = rc;
	return rc;
}

int archive_reader_skip(struct archive_reader *r)
{
	const void *data;
	size_t n;
	int rc;

	while ((rc = next_piece(r, &data, &n)) == KC_OK && n > 0)
		;
	return rc;
}

/* ---- the end ---- */

static int load_last(struct archive_reader *r, const char *name, uint64_t limit, struct buf *b)
{
	int rc = begin_expected(r, name, limit, false, false);

	return rc < 0 ? rc : archive_reader_load(r, b);
}

/* Behind the end of the tar there may be some zeroes: writers fill a block up. */
static int check_padding(struct archive_reader *r, const uint8_t *data, size_t n, size_t *total)
{
	*total += n;
	for (size_t i = 0; i < n; i++)
		if (data[i] != 0)
			return r->status = err_set(KC_EDAMAGED, "data after the end of the tar");
	if (*total > PADDING_LIMIT)
		return r->status = err_set(KC_EDAMAGED, "more than %d zeroes after the end of the tar", PADDING_LIMIT);
	return KC_OK;
}

/* The end of the tar, and of what it came from: only then was the file whole. */
static int read_to_end(struct archive_reader *r)
{
	struct archive_entry *e;
	size_t n, total = 0;
	int rc, res = archive_read_next_header(r->tar, &e);

	if (r->status < 0)
		return r->status;
	if (res == ARCHIVE_OK || res == ARCHIVE_WARN)
		return r->status = err_set(KC_EDAMAGED, "a member after %s", ARCHIVE_SIG);
	if (res != ARCHIVE_EOF)
		return tar_failed(r);
	n = (size_t)(r->supplied - (uint64_t)archive_filter_bytes(r->tar, 0));
	if (n > r->n_piece)
		n = r->n_piece;
	rc = check_padding(r, r->piece + r->n_piece - n, n, &total);
	for (n = 1; rc == KC_OK && n > 0;) {
		const uint8_t *data = NULL;

		n = 0;
		if ((rc = r->next(r->arg, &data, &n)) < 0)
			return r->status = rc;
		rc = check_padding(r, data, n, &total);
	}
	return rc;
}

int archive_reader_finish(struct archive_reader *r, archive_verify_fn verify, void *arg)
{
	struct archive_sums *s = &r->sums;
	struct buf sums, sig;
	int rc = r->status;

	if (rc < 0)
		return rc;
	if (r->open || !r->told || r->position != r->n_expected + 1)
		return err_set(KC_EUSAGE, "not all members were read");
	archive_sums_seal(s);
	buf_init(&sums, s->text.cap);
	buf_init(&sig, ARCHIVE_SIG_MAX);
	if ((rc = load_last(r, ARCHIVE_SUMS, s->text.cap, &sums)) < 0)
		goto out;
	if (buf_len(&sums) != buf_len(&s->text) || memcmp(buf_data(&sums), buf_data(&s->text), buf_len(&sums)) != 0) {
		rc = err_set(KC_EDAMAGED, "%s is not of these members", ARCHIVE_SUMS);
		goto out;
	}
	if ((rc = load_last(r, ARCHIVE_SIG, ARCHIVE_SIG_MAX, &sig)) < 0 || (rc = read_to_end(r)) < 0)
		goto out;
	rc = verify(arg, buf_data(&sig), buf_len(&sig), buf_data(&sums), buf_len(&sums));
out:
	r->status = rc;
	buf_fini(&sums);
	buf_fini(&sig);
	return rc;
}
