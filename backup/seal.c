/* SPDX-License-Identifier: Apache-2.0 */
/* seal: puts tar, zstd and age in a row, from members to a descriptor. */
#include "backup/seal.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/pack.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define PROGRESS_STEP (256u << 10)

struct seal {
	struct seal_options o;
	char id[33];
	uint64_t header_size;
	uint64_t size;
	uint64_t reported;
	gnutls_hash_hd_t hash;
	struct age_writer *age;
	struct pack_writer *pack;
	struct archive_writer *archive;
};

static int report(struct seal *s, bool last)
{
	if (s->o.progress == NULL || (!last && s->size - s->reported < PROGRESS_STEP))
		return KC_OK;
	s->reported = s->size;
	return s->o.progress(s->o.arg, s->size);
}

/* age's: the payload, nonce included */
static int put_sealed(void *arg, const void *data, size_t n)
{
	struct seal *s = arg;
	int rc;

	if (gnutls_hash(s->hash, data, n) < 0)
		return err_set(KC_EFAIL, "SHA-256 fails");
	if ((rc = file_write_all(s->o.fd, data, n, s->o.path)) < 0)
		return rc;
	s->size += n;
	return report(s, false);
}

/* tar's */
static int put_tar(void *arg, const void *data, size_t n)
{
	return pack_writer_put(((struct seal *)arg)->pack, data, n);
}

/* zstd's */
static uint8_t *sink_space(void *arg, size_t *n)
{
	return age_writer_space(arg, n);
}

static int sink_used(void *arg, size_t n)
{
	return age_writer_used(arg, n);
}

static int begin_file(struct seal *s, const struct buf *header)
{
	size_t n = header != NULL ? buf_len(header) : age_scrypt_header_size();
	uint8_t *zeroes = header == NULL ? mem_xalloc(n) : NULL;
	int rc = file_write_all(s->o.fd, header != NULL ? buf_data(header) : zeroes, n, s->o.path);

	free(zeroes);
	s->size = s->header_size = n;
	return rc;
}

int seal_new(struct seal **s, const struct age_key *key, const struct seal_options *o)
{
	struct seal *new = mem_xalloc(sizeof(*new));
	struct pack_sink sink = { .space = sink_space, .used = sink_used };
	int rc;

	new->o = *o;
	if (gnutls_hash_init(&new->hash, GNUTLS_DIG_SHA256) < 0)
		rc = err_set(KC_EFAIL, "no SHA-256");
	else if ((rc = begin_file(new, o->header)) == KC_OK)
		rc = age_writer_new(&new->age, key, put_sealed, new);
	sink.arg = new->age;
	if (rc < 0 || (rc = pack_writer_new(&new->pack, o->level, &sink)) < 0 ||
	    (rc = archive_writer_new(&new->archive, o->mtime, put_tar, new)) < 0) {
		seal_free(new);
		return rc;
	}
	age_writer_id(new->id, new->age);
	*s = new;
	return KC_OK;
}

void seal_free(struct seal *s)
{
	if (s == NULL)
		return;
	archive_writer_free(s->archive);
	pack_writer_free(s->pack);
	age_writer_free(s->age);
	if (s->hash != NULL)
		gnutls_hash_deinit(s->hash, NULL);
	free(s);
}

const char *seal_id(const struct seal *s)
{
	return s->id;
}

struct archive_writer *seal_archive(struct seal *s)
{
	return s->archive;
}

int seal_finish(struct seal_result *result, struct seal *s, archive_sign_fn sign, void *arg)
{
	int rc;

	if ((rc = archive_writer_finish(s->archive, sign, arg)) < 0 || (rc = pack_writer_finish(s->pack)) < 0 ||
	    (rc = age_writer_finish(s->age)) < 0 || (rc = report(s, true)) < 0)
		return rc;
	result->size = s->size;
	result->header_size = s->header_size;
	gnutls_hash_output(s->hash, result->payload_sha256);
	memcpy(result->id, s->id, sizeof(s->id));
	return KC_OK;
}

int seal_put_header(int fd, const char *path, const void *header, size_t n)
{
	const uint8_t *p = header;

	if (n != age_scrypt_header_size())
		return err_set(
		    KC_EUSAGE, "%s: a header of %zu bytes where %zu are left free", path, n, age_scrypt_header_size());
	for (size_t done = 0; done < n;) {
		ssize_t w = pwrite(fd, p + done, n - done, (off_t)done);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_errno("%s: cannot write", path);
		done += (size_t)w;
	}
	return KC_OK;
}
