/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_archive: what could come out of age: a zstd frame around a tar. The first byte of the input says whether the
 * rest is such a frame or the tar itself (where a fuzzer gets further).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backup/archive.h"
#include "backup/manifest.h"
#include "backup/pack.h"
#include "base/err.h"

#define OUTPUT_MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
	const uint8_t *p;
	size_t n;
	struct pack_reader *pack; /* NULL: the bytes themselves */
	size_t out;
};

static int next_piece(void *arg, const uint8_t **data, size_t *n)
{
	struct source *s = arg;

	*n = s->n < 4096 ? s->n : 4096;
	*data = s->p;
	s->p += *n;
	s->n -= *n;
	return KC_OK;
}

static int next_tar(void *arg, const uint8_t **data, size_t *n)
{
	struct source *s = arg;
	int rc = s->pack != NULL ? pack_reader_next(s->pack, data, n) : next_piece(s, data, n);

	if (rc == KC_OK && (s->out += *n) > OUTPUT_MAX)
		return err_set(KC_ELIMIT, "enough for a fuzzer");
	return rc;
}

static int verify(void *arg, const void *sig, size_t nsig, const void *text, size_t n)
{
	(void)arg;
	(void)sig;
	(void)nsig;
	(void)text;
	(void)n;
	return KC_OK;
}

/* What opens increments is read into memory, all else is passed over. */
static int read_member(struct archive_reader *r, const char *name)
{
	struct buf b;
	int rc = archive_reader_next(r);

	if (rc < 0 || strcmp(name, ARCHIVE_INCREMENTS) != 0)
		return rc < 0 ? rc : archive_reader_skip(r);
	buf_init(&b, 100);
	rc = archive_reader_load(r, &b);
	buf_fini(&b);
	return rc;
}

static void read_archive(struct archive_reader *r)
{
	struct archive_member *members;
	struct manifest m;
	struct buf json;
	size_t n;
	int rc;

	buf_init(&json, ARCHIVE_MANIFEST_MAX);
	if ((rc = archive_reader_next(r)) == KC_OK && (rc = archive_reader_load(r, &json)) == KC_OK)
		rc = manifest_parse(&m, buf_data(&json), buf_len(&json));
	buf_fini(&json);
	if (rc < 0)
		return;
	members = manifest_members(&m, &n);
	rc = archive_reader_expect(r, members, n);
	for (size_t i = 0; i < n && rc == KC_OK; i++)
		rc = read_member(r, members[i].name);
	if (rc == KC_OK)
		archive_reader_finish(r, verify, NULL);
	manifest_members_free(members, n);
	manifest_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source s = { data, size, NULL, 0 };
	struct archive_reader *r = NULL;

	if (size == 0)
		return 0;
	s.p++;
	s.n--;
	if ((data[0] & 1) != 0 && pack_reader_new(&s.pack, next_piece, &s) < 0)
		abort();
	if (archive_reader_new(&r, next_tar, &s) < 0)
		abort();
	read_archive(r);
	archive_reader_free(r);
	pack_reader_free(s.pack);
	return 0;
}
