/* SPDX-License-Identifier: Apache-2.0 */
/* unseal: the way back, from a descriptor to members. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/age_internal.h"
#include "backup/pack.h"
#include "backup/seal.h"
#include "base/err.h"
#include "base/mem.h"

#define PROGRESS_STEP (256u << 10)
#define HEADER_STEP   512

/* ---- header ---- */

static int pread_some(int fd, void *data, size_t n, uint64_t offset, size_t *got)
{
	ssize_t r;

	do
		r = pread(fd, data, n, (off_t)offset);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_errno("cannot read");
	*got = (size_t)r;
	return KC_OK;
}

static bool all_zero(const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (data[i] != 0)
			return false;
	return n > 0;
}

/* The bytes of the header at offset 0, and not one more. */
static int read_header(struct buf *header, int fd, const char *path)
{
	size_t size = 0, got = 1, begin = buf_len(header);
	int rc = KC_EAGAIN;
	uint8_t *to;

	while (rc == KC_EAGAIN && got > 0) {
		if ((to = buf_reserve(header, HEADER_STEP)) == NULL)
			return buf_status(header);
		rc = pread_some(fd, to, HEADER_STEP, buf_len(header) - begin - HEADER_STEP, &got);
		if (rc < 0)
			return err_prefix(rc, "%s", path);
		buf_trim(header, HEADER_STEP - got);
		rc = age_header_size(&size, buf_data(header) + begin, buf_len(header) - begin);
	}
	if (rc == KC_OK)
		buf_trim(header, buf_len(header) - begin - size);
	else if (rc == KC_EAGAIN)
		rc = err_set(KC_ETRUNCATED, "%s: truncated: ends inside its age header", path);
	else if (all_zero(buf_data(header) + begin, 16))
		rc = err_set(KC_ETRUNCATED, "%s: not finished: its header was never filled in", path);
	else
		rc = err_prefix(rc, "%s", path);
	return rc;
}

int unseal_header(
    struct age_key **key, uint64_t *offset, struct buf *header, int fd, const char *path, const struct age_unlock *with)
{
	struct buf b;
	uint64_t size;
	int rc;

	buf_init(&b, AGE_HEADER_LIMIT + HEADER_STEP);
	if ((rc = read_header(&b, fd, path)) < 0)
		goto out;
	if ((rc = age_open_header(key, buf_data(&b), buf_len(&b), with)) < 0) {
		rc = err_prefix(rc, "%s", path);
		goto out;
	}
	size = buf_len(&b);
	if (header != NULL) {
		buf_put(header, buf_data(&b), buf_len(&b));
		if ((rc = buf_status(header)) < 0) {
			age_key_free(*key);
			*key = NULL;
			goto out;
		}
	}
	*offset = size;
out:
	buf_fini(&b);
	return rc;
}

int unseal_is_increment(bool *increment, int fd, const char *path)
{
	static const char first[] = AGE_VERSION_LINE "-> X25519 ";
	char begin[sizeof(first) - 1];
	size_t got = 0;
	int rc = pread_some(fd, begin, sizeof(begin), 0, &got);

	if (rc < 0)
		return err_prefix(rc, "%s", path);
	*increment = got == sizeof(begin) && memcmp(begin, first, sizeof(begin)) == 0;
	return KC_OK;
}

int unseal_identify(uint64_t *offset, char *id, int fd, const char *path)
{
	uint8_t nonce[AGE_NONCE_SIZE];
	size_t got = 0;
	struct buf b;
	int rc;

	buf_init(&b, AGE_HEADER_LIMIT + HEADER_STEP);
	if ((rc = read_header(&b, fd, path)) < 0)
		goto out;
	if ((rc = pread_some(fd, nonce, sizeof(nonce), buf_len(&b), &got)) < 0) {
		rc = err_prefix(rc, "%s", path);
		goto out;
	}
	if (got < sizeof(nonce)) {
		rc = err_set(KC_ETRUNCATED, "%s: truncated: ends inside the payload's nonce", path);
		goto out;
	}
	*offset = buf_len(&b);
	age_id_text(id, nonce);
out:
	buf_fini(&b);
	return rc;
}

/* ---- payload ---- */

struct unseal {
	int fd;
	uint64_t offset; /* of the next byte to read */
	uint64_t read;
	uint64_t reported;
	seal_progress_fn progress;
	void *arg;
	struct age_reader *age;
	struct pack_reader *pack;
	struct archive_reader *archive;
};

static int report(struct unseal *u, bool last)
{
	if (u->progress == NULL || (last ? u->read == u->reported : u->read - u->reported < PROGRESS_STEP))
		return KC_OK;
	u->reported = u->read;
	return u->progress(u->arg, u->read);
}

/* age's */
static int get_sealed(void *arg, void *data, size_t n, size_t *got)
{
	struct unseal *u = arg;
	int rc;

	if ((rc = pread_some(u->fd, data, n, u->offset, got)) < 0)
		return rc;
	u->offset += *got;
	u->read += *got;
	return report(u, *got == 0);
}

/* zstd's */
static int get_packed(void *arg, const uint8_t **data, size_t *n)
{
	return age_reader_next(((struct unseal *)arg)->age, data, n);
}

/* tar's */
static int get_tar(void *arg, const uint8_t **data, size_t *n)
{
	return pack_reader_next(((struct unseal *)arg)->pack, data, n);
}

int unseal_new(
    struct unseal **u, const struct age_key *key, int fd, uint64_t offset, seal_progress_fn progress, void *arg)
{
	struct unseal *new = mem_xalloc(sizeof(*new));
	int rc;

	new->fd = fd;
	new->offset = offset;
	new->progress = progress;
	new->arg = arg;
	if ((rc = age_reader_new(&new->age, key, get_sealed, new)) < 0 ||
	    (rc = pack_reader_new(&new->pack, get_packed, new)) < 0 ||
	    (rc = archive_reader_new(&new->archive, get_tar, new)) < 0) {
		unseal_free(new);
		return rc;
	}
	*u = new;
	return KC_OK;
}

void unseal_free(struct unseal *u)
{
	if (u == NULL)
		return;
	archive_reader_free(u->archive);
	pack_reader_free(u->pack);
	age_reader_free(u->age);
	free(u);
}

struct archive_reader *unseal_archive(struct unseal *u)
{
	return u->archive;
}
