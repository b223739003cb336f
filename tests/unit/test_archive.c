/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of backup's archive. Hostile tars are made by hand, a block at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/archive.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define BLOCK 512

static int put_buf(void *arg, const void *data, size_t n)
{
	buf_put(arg, data, n);
	return buf_status(arg);
}

struct source {
	const uint8_t *p;
	size_t n;
	size_t step;
};

static int next(void *arg, const uint8_t **data, size_t *n)
{
	struct source *s = arg;

	*n = s->n < s->step ? s->n : s->step;
	*data = s->p;
	s->p += *n;
	s->n -= *n;
	return KC_OK;
}

static int sign(void *arg, struct buf *sig, const void *text, size_t n)
{
	(void)arg;
	buf_putf(sig, "signed %zu: ", n);
	buf_put(sig, text, n < 10 ? n : 10);
	return KC_OK;
}

static int verify(void *arg, const void *sig, size_t nsig, const void *text, size_t n)
{
	struct buf expect;
	int rc;

	buf_init(&expect, 1024);
	sign(NULL, &expect, text, n);
	rc = buf_len(&expect) == nsig && memcmp(buf_data(&expect), sig, nsig) == 0 ? KC_OK : KC_ESIGNATURE;
	buf_fini(&expect);
	if (arg != NULL)
		rc = *(int *)arg;
	return rc < 0 ? err_set(rc, "this test does not like the signature") : KC_OK;
}

static const struct archive_member members[] = {
	{ (char *)"keydb.sqlite", 100000 },
	{ (char *)"files/MasterKeyFile/keydb.key", 44 },
	{ (char *)"files/Empty/empty file \xc3\xa9", 0 },
};
#define N_MEMBERS (sizeof(members) / sizeof(members[0]))
#define MANIFEST  "{\"a manifest\": true}\n"

/* ---- a good one ---- */

static void write_tar(struct buf *b)
{
	char path[] = "/tmp/kc-test-archive.XXXXXX";
	struct archive_writer *w = NULL;
	uint8_t *data = mem_xalloc(100000), digest[32], expect[32];
	int fd = mkstemp(path);

	for (size_t i = 0; i < 100000; i++)
		data[i] = (uint8_t)(i * 7);
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, data, 100000, path), KC_OK);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	buf_init(b, 1 << 20);
	assert_int_equal(archive_writer_new(&w, 1781880659, put_buf, b), KC_OK);
	assert_int_equal(archive_writer_add(w, ARCHIVE_MANIFEST, 0600, MANIFEST, strlen(MANIFEST)), KC_OK);
	assert_int_equal(archive_writer_add_fd(w, members[0].name, 0600, fd, 100000, digest), KC_OK);
	gnutls_hash_fast(GNUTLS_DIG_SHA256, data, 100000, expect);
	assert_memory_equal(digest, expect, 32);
	assert_int_equal(archive_writer_add(w, members[1].name, 0640, data, 44), KC_OK);
	assert_int_equal(archive_writer_add(w, members[2].name, 0600, "", 0), KC_OK);
	assert_int_equal(archive_writer_finish(w, sign, NULL), KC_OK);
	archive_writer_free(w);
	close(fd);
	unlink(path);
	free(data);
}

/* Reads the whole archive; the code of the first failure. */
static int read_tar(const struct buf *b, size_t step, int *verdict)
{
	struct source s = { buf_data(b), buf_len(b), step };
	struct archive_reader *r = NULL;
	struct buf out;
	int rc;

	buf_init(&out, 1 << 20);
	assert_int_equal(archive_reader_new(&r, next, &s), KC_OK);
	if ((rc = archive_reader_next(r)) == KC_OK && (rc = archive_reader_load(r, &out)) == KC_OK)
		rc = archive_reader_expect(r, members, N_MEMBERS);
	for (size_t i = 0; i < N_MEMBERS && rc == KC_OK; i++) {
		buf_reset(&out);
		if ((rc = archive_reader_next(r)) == KC_OK)
			rc = archive_reader_load(r, &out);
		if (rc == KC_OK)
			assert_int_equal(buf_len(&out), members[i].size);
	}
	if (rc == KC_OK)
		rc = archive_reader_finish(r, verify, verdict);
	archive_reader_free(r);
	buf_fini(&out);
	return rc;
}

static void archive__written__reads_back(void **state)
{
	struct buf b, again;

	(void)state;
	write_tar(&b);
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_OK);
	assert_int_equal(read_tar(&b, 700, NULL), KC_OK);
	write_tar(&again);
	assert_int_equal(buf_len(&b), buf_len(&again));
	assert_memory_equal(buf_data(&b), buf_data(&again), buf_len(&b));
	buf_fini(&again);
	buf_fini(&b);
}

static void archive__signature__decides(void **state)
{
	int verdict = KC_ESIGNATURE;
	struct buf b;

	(void)state;
	write_tar(&b);
	assert_int_equal(read_tar(&b, 1 << 20, &verdict), KC_ESIGNATURE);
	buf_fini(&b);
}

static void archive__cut_anywhere__is_refused(void **state)
{
	struct buf b, part;

	(void)state;
	write_tar(&b);
	for (size_t n = 0; n < buf_len(&b) - 2 * BLOCK; n += 251) {
		int rc;

		buf_init(&part, 1 << 20);
		buf_put(&part, buf_data(&b), n);
		rc = read_tar(&part, 1 << 20, NULL);
		assert_true(rc == KC_EDAMAGED || rc == KC_ETRUNCATED);
		buf_fini(&part);
	}
	buf_fini(&b);
}

static void archive__changed_anywhere__is_refused_or_means_the_same(void **state)
{
	size_t same = 0;
	struct buf b;

	(void)state;
	write_tar(&b);
	for (size_t i = 0; i < buf_len(&b); i += i < 4096 || i > buf_len(&b) - 4096 ? 1 : 97) {
		int rc;

		b.data[b.start + i] ^= 1;
		rc = read_tar(&b, 1 << 20, NULL);
		b.data[b.start + i] ^= 1;
		/* padding behind a member says nothing */
		same += rc == KC_OK;
		assert_true(rc == KC_OK || rc == KC_EDAMAGED || rc == KC_ETRUNCATED || rc == KC_ESIGNATURE);
	}
	assert_true(same < 4000);
	buf_fini(&b);
}

static void archive__data_behind_its_end__is_refused(void **state)
{
	struct buf b;

	(void)state;
	write_tar(&b);
	for (int i = 0; i < 20; i++)
		buf_put(&b, (uint8_t[BLOCK]){ 0 }, BLOCK);
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_OK);
	buf_put_u8(&b, 1);
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_EDAMAGED);
	assert_int_equal(read_tar(&b, 700, NULL), KC_EDAMAGED);
	assert_string_equal(err_text(KC_EDAMAGED), "data after the end of the tar");
	buf_trim(&b, 1);
	for (int i = 0; i < 200; i++)
		buf_put(&b, (uint8_t[BLOCK]){ 0 }, BLOCK);
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_EDAMAGED);
	buf_fini(&b);
}

/* ---- hostile ones ---- */

static void put_header(struct buf *b, const char *name, char type, size_t size, const char *link)
{
	uint8_t block[BLOCK] = { 0 };
	unsigned sum = 0;

	memcpy(block, name, strlen(name) < 100 ? strlen(name) : 100);
	memcpy(block + 100, "0000600\0000000000\0000000000", 23);
	snprintf((char *)block + 124, 12, "%011o", (unsigned)size);
	snprintf((char *)block + 136, 12, "%011o", 0);
	memset(block + 148, ' ', 8);
	block[156] = (uint8_t)type;
	memcpy(block + 157, link, strlen(link));
	memcpy(block + 257, "ustar\00000", 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += block[i];
	snprintf((char *)block + 148, 8, "%06o", sum);
	buf_put(b, block, BLOCK);
}

static void put_member(struct buf *b, const char *name, char type, const char *data, size_t size, const char *link)
{
	put_header(b, name, type, size, link);
	for (size_t i = 0; i < size; i++)
		buf_put_u8(b, data != NULL ? (uint8_t)data[i] : 'x');
	while (buf_len(b) % BLOCK != 0)
		buf_put_u8(b, 0);
}

/* A manifest, and then this in the place of keydb.sqlite. */
static void check_refused(const char *name, char type, size_t size, const char *link, const char *expect)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	put_member(&b, ARCHIVE_MANIFEST, '0', MANIFEST, strlen(MANIFEST), "");
	put_member(&b, name, type, NULL, size, link);
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_EDAMAGED);
	if (strstr(err_text(KC_EDAMAGED), expect) == NULL)
		fail_msg("%s: %s", name, err_text(KC_EDAMAGED));
	buf_fini(&b);
}

static void archive__hostile_member__is_refused(void **state)
{
	(void)state;
	check_refused("keydb.sqlite", '0', 99999, "", "99999 bytes where 100000");
	check_refused("keydb.sqlite", '0', 100001, "", "100001 bytes where 100000");
	check_refused("other", '0', 100000, "", "member other where keydb.sqlite");
	check_refused("/keydb.sqlite", '0', 100000, "", "absolute path");
	check_refused("../keydb.sqlite", '0', 100000, "", "dots");
	check_refused("./keydb.sqlite", '0', 100000, "", "dots");
	check_refused("files//x", '0', 100000, "", "empty");
	check_refused("key\ndb", '0', 100000, "", "character");
	check_refused("key\\db", '0', 100000, "", "character");
	check_refused("key\xff", '0', 100000, "", "character");
	check_refused("manifest.json", '0', 21, "", "comes twice");
	check_refused("keydb.sqlite", '1', 0, "manifest.json", "not a plain file");
	check_refused("keydb.sqlite", '2', 0, "/etc/passwd", "not a plain file");
	check_refused("keydb.sqlite", '3', 0, "", "not a plain file");
	check_refused("keydb.sqlite", '5', 0, "", "not a plain file");
	check_refused("keydb.sqlite", '6', 0, "", "not a plain file");
	check_refused("SHA256SUMS", '0', 100, "", "member SHA256SUMS where keydb.sqlite");
}

static void archive__sparse_member__is_refused(void **state)
{
	static const char pax[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n34 GNU.sparse.name=keydb.sqlite\n"
				  "30 GNU.sparse.realsize=100000\n";
	static const char map[BLOCK] = "1\n0\n100000\n";
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	put_member(&b, ARCHIVE_MANIFEST, '0', MANIFEST, strlen(MANIFEST), "");
	put_member(&b, "pax", 'x', pax, strlen(pax), "");
	put_member(&b, "GNUSparseFile.0/keydb.sqlite", '0', map, sizeof(map), "");
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_EDAMAGED);
	buf_fini(&b);
}

static void archive__manifest_missing_or_huge__is_refused(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8 << 20);
	put_member(&b, "keydb.sqlite", '0', NULL, 100000, "");
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_EDAMAGED);
	assert_string_equal(err_text(KC_EDAMAGED), "member keydb.sqlite where manifest.json is expected");
	buf_reset(&b);
	put_header(&b, ARCHIVE_MANIFEST, '0', ARCHIVE_MANIFEST_MAX + 1, "");
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_EDAMAGED);
	assert_string_equal(
	    err_text(KC_EDAMAGED), "member manifest.json: 8388609 bytes where at most 8388608 are expected");
	buf_reset(&b);
	assert_int_equal(read_tar(&b, 1 << 20, NULL), KC_EDAMAGED);
	buf_fini(&b);
}

static void archive__member_too_many__is_refused(void **state)
{
	struct buf b, more;

	(void)state;
	write_tar(&b);
	buf_init(&more, 1 << 20);
	buf_put(&more, buf_data(&b), buf_len(&b) - 2 * BLOCK);
	put_member(&more, "more", '0', "x", 1, "");
	buf_put(&more, (uint8_t[2 * BLOCK]){ 0 }, 2 * BLOCK);
	assert_int_equal(read_tar(&more, 1 << 20, NULL), KC_EDAMAGED);
	assert_string_equal(err_text(KC_EDAMAGED), "a member after SHA256SUMS.sig");
	buf_fini(&more);
	buf_fini(&b);
}

/* ---- misuse and failures ---- */

static void reader__out_of_order__is_refused(void **state)
{
	struct archive_reader *r = NULL;
	struct source s;
	struct buf b;

	(void)state;
	write_tar(&b);
	s = (struct source){ buf_data(&b), buf_len(&b), 1 << 20 };
	assert_int_equal(archive_reader_new(&r, next, &s), KC_OK);
	assert_int_equal(archive_reader_next(r), KC_OK);
	assert_string_equal(archive_reader_name(r), ARCHIVE_MANIFEST);
	assert_int_equal(archive_reader_size(r), strlen(MANIFEST));
	assert_int_equal(archive_reader_mode(r), 0600);
	assert_int_equal(archive_reader_finish(r, verify, NULL), KC_EUSAGE);
	assert_int_equal(archive_reader_skip(r), KC_OK);
	assert_int_equal(archive_reader_next(r), KC_EUSAGE);
	assert_int_equal(archive_reader_expect(r, members, N_MEMBERS), KC_OK);
	assert_int_equal(archive_reader_next(r), KC_OK);
	assert_int_equal(archive_reader_next(r), KC_EUSAGE);
	archive_reader_free(r);
	buf_fini(&b);
}

static int fail_write(void *arg, const void *data, size_t n)
{
	(void)data;
	*(size_t *)arg += n;
	return *(size_t *)arg > 3000 ? err_set(KC_ENOSPC, "no room for this test") : KC_OK;
}

static void writer__failing_callback__its_code_comes_back(void **state)
{
	struct archive_writer *w = NULL;
	uint8_t *data = mem_xalloc(10000);
	size_t written = 0;

	(void)state;
	assert_int_equal(archive_writer_new(&w, 0, fail_write, &written), KC_OK);
	assert_int_equal(archive_writer_add(w, "a", 0600, data, 10), KC_OK);
	assert_int_equal(archive_writer_add(w, "a", 0600, data, 10), KC_EEXIST);
	archive_writer_free(w);
	written = 0;
	assert_int_equal(archive_writer_new(&w, 0, fail_write, &written), KC_OK);
	assert_int_equal(archive_writer_add(w, "a", 0600, data, 10000), KC_ENOSPC);
	assert_int_equal(archive_writer_add(w, "b", 0600, data, 1), KC_ENOSPC);
	assert_int_equal(archive_writer_finish(w, sign, NULL), KC_ENOSPC);
	archive_writer_free(w);
	free(data);
}

static void writer__file_became_shorter__fails(void **state)
{
	char path[] = "/tmp/kc-test-archive.XXXXXX";
	struct archive_writer *w = NULL;
	int fd = mkstemp(path);
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_int_equal(file_write_all(fd, "12345", 5, path), KC_OK);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(archive_writer_new(&w, 0, put_buf, &b), KC_OK);
	assert_int_equal(archive_writer_add_fd(w, "a", 0600, fd, 8, NULL), KC_EFAIL);
	assert_string_equal(err_text(KC_EFAIL), "a: became shorter while it was read, by 3 bytes");
	assert_int_equal(archive_writer_finish(w, sign, NULL), KC_EFAIL);
	archive_writer_free(w);
	buf_fini(&b);
	close(fd);
	unlink(path);
}

static void writer__unreadable_file__is_named(void **state)
{
	struct archive_writer *w = NULL;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_int_equal(archive_writer_new(&w, 0, put_buf, &b), KC_OK);
	assert_int_equal(archive_writer_add_fd(w, "a", 0600, fd, 8, NULL), KC_ESYS);
	assert_non_null(strstr(err_text(KC_ESYS), "a: cannot read"));
	assert_int_equal(archive_writer_add_fd(w, "b", 0600, fd, 8, NULL), KC_ESYS);
	archive_writer_free(w);
	assert_int_equal(archive_writer_new(&w, 0, put_buf, &b), KC_OK);
	assert_int_equal(archive_writer_add_fd(w, "a", 0600, fd, UINT64_MAX, NULL), KC_ELIMIT);
	archive_writer_free(w);
	buf_fini(&b);
	close(fd);
}

static int sign_not(void *arg, struct buf *sig, const void *text, size_t n)
{
	(void)text;
	(void)n;
	while (*(int *)arg > 0 && buf_len(sig) < ARCHIVE_SIG_MAX && !sig->failed)
		buf_put(sig, "0123456789", 10);
	return *(int *)arg > 0 ? KC_OK : err_set(KC_EPERM, "this test does not sign");
}

static void writer__signer_fails__its_code_comes_back(void **state)
{
	struct archive_writer *w = NULL;
	int too_long = 0;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_int_equal(archive_writer_new(&w, 0, put_buf, &b), KC_OK);
	assert_int_equal(archive_writer_finish(w, sign_not, &too_long), KC_EPERM);
	archive_writer_free(w);
	too_long = 1;
	assert_int_equal(archive_writer_new(&w, 0, put_buf, &b), KC_OK);
	assert_int_equal(archive_writer_finish(w, sign_not, &too_long), KC_ELIMIT);
	assert_int_equal(archive_writer_add(w, "a", 0600, "x", 1), KC_ELIMIT);
	archive_writer_free(w);
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
}

static void writer__members__are_limited(void **state)
{
	struct archive_writer *w = NULL;
	char name[ARCHIVE_NAME_LIMIT + 2];
	struct buf b;

	(void)state;
	buf_init(&b, 16 << 20);
	assert_int_equal(archive_writer_new(&w, 0, put_buf, &b), KC_OK);
	for (int i = 0; i < ARCHIVE_MAX_MEMBERS; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		assert_int_equal(archive_writer_add(w, name, 0600, "", 0), KC_OK);
	}
	assert_int_equal(archive_writer_add(w, "one more", 0600, "", 0), KC_ELIMIT);
	archive_writer_free(w);
	buf_fini(&b);
	memset(name, 'a', sizeof(name));
	name[ARCHIVE_NAME_LIMIT + 1] = '\0';
	assert_int_equal(archive_name_check(name), KC_EFORMAT);
	name[ARCHIVE_NAME_LIMIT] = '\0';
	assert_int_equal(archive_name_check(name), KC_OK);
	assert_int_equal(archive_name_check(""), KC_EFORMAT);
	assert_int_equal(archive_name_check("\xf0\x9f\x94\x91/\xe2\x82\xac"), KC_OK);
	assert_int_equal(archive_name_check("\xed\xa0\x80"), KC_EFORMAT);
	assert_int_equal(archive_name_check("\xc0\xaf"), KC_EFORMAT);
	assert_int_equal(archive_name_check("a\xf4\x90\x80\x80"), KC_EFORMAT);
}

/* ---- directories, and digests that the manifest declares ---- */

#define SHA_OF_TWO "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"

/* A tree: a directory, a file "two" in it, an empty directory. */
static void write_tree(struct buf *b)
{
	const struct archive_meta dir = { .mode = 0750, .uid = 7, .gid = 8, .user = "seven", .mtime = 1000 };
	const struct archive_meta file = { .mode = 0640, .uid = 7, .gid = 8, .group = "eight", .mtime = 2000 };
	char path[] = "/tmp/kc-test-archive.XXXXXX";
	struct archive_writer *w = NULL;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, "two", 3, path), KC_OK);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	buf_init(b, 1 << 20);
	assert_int_equal(archive_writer_new(&w, 0, put_buf, b), KC_OK);
	assert_int_equal(archive_writer_add(w, ARCHIVE_MANIFEST, 0600, MANIFEST, strlen(MANIFEST)), KC_OK);
	assert_int_equal(archive_writer_add_companion(w, "files/T", &dir, -1, 0), KC_OK);
	assert_int_equal(archive_writer_add_companion(w, "files/T/b", &file, fd, 3), KC_OK);
	assert_int_equal(archive_writer_add_companion(w, "files/T/empty", &dir, -1, 0), KC_OK);
	assert_int_equal(archive_writer_finish(w, sign, NULL), KC_OK);
	archive_writer_free(w);
	close(fd);
	unlink(path);
}

static int read_tree(const struct buf *b, const struct archive_member *expected, size_t n)
{
	struct source s = { buf_data(b), buf_len(b), 1 << 20 };
	struct archive_reader *r = NULL;
	struct buf out;
	int rc;

	buf_init(&out, 1 << 20);
	assert_int_equal(archive_reader_new(&r, next, &s), KC_OK);
	if ((rc = archive_reader_next(r)) == KC_OK && (rc = archive_reader_load(r, &out)) == KC_OK)
		rc = archive_reader_expect(r, expected, n);
	for (size_t i = 0; i < n && rc == KC_OK; i++)
		if ((rc = archive_reader_next(r)) == KC_OK && !archive_reader_is_directory(r))
			rc = archive_reader_load(r, &out);
	if (rc == KC_OK)
		rc = archive_reader_finish(r, verify, NULL);
	archive_reader_free(r);
	buf_fini(&out);
	return rc;
}

static void archive__tree__is_what_was_declared(void **state)
{
	const struct archive_member good[] = { { (char *)"files/T", 0, true, "" },
		{ (char *)"files/T/b", 3, false, SHA_OF_TWO }, { (char *)"files/T/empty", 0, true, "" } };
	struct archive_member m[3];
	struct buf b;

	(void)state;
	write_tree(&b);
	assert_int_equal(read_tree(&b, good, 3), KC_OK);
	memcpy(m, good, sizeof(m));
	m[0].directory = false;
	assert_int_equal(read_tree(&b, m, 3), KC_EDAMAGED);
	assert_string_equal(err_text(KC_EDAMAGED), "member files/T: not a plain file");
	memcpy(m, good, sizeof(m));
	m[1].directory = true;
	assert_int_equal(read_tree(&b, m, 3), KC_EDAMAGED);
	assert_string_equal(err_text(KC_EDAMAGED), "member files/T/b: not a directory");
	memcpy(m, good, sizeof(m));
	m[1].sha256[0] = '4';
	assert_int_equal(read_tree(&b, m, 3), KC_EDAMAGED);
	assert_string_equal(err_text(KC_EDAMAGED), "member files/T/b: not what the manifest says of it");
	assert_int_equal(read_tree(&b, good + 1, 2), KC_EDAMAGED); /* one that was not declared */
	assert_int_equal(read_tree(&b, good, 2), KC_EDAMAGED);
	buf_fini(&b);
}

/* A long name and a name beyond ASCII need pax headers. */
static void archive__unusual_names__come_back(void **state)
{
	static const char *const names[] = { "files/caf\xc3\xa9/\xe2\x82\xac", NULL };
	struct archive_writer *w = NULL;
	struct archive_reader *r = NULL;
	struct archive_member m[2];
	char name[600];
	struct source s;
	struct buf b;

	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	m[0] = (struct archive_member){ (char *)names[0], 1 };
	m[1] = (struct archive_member){ name, 2 };
	buf_init(&b, 1 << 20);
	assert_int_equal(archive_writer_new(&w, 0, put_buf, &b), KC_OK);
	assert_int_equal(archive_writer_add(w, ARCHIVE_MANIFEST, 0600, "{}", 2), KC_OK);
	assert_int_equal(archive_writer_add(w, names[0], 0600, "x", 1), KC_OK);
	assert_int_equal(archive_writer_add(w, name, 0600, "xy", 2), KC_OK);
	assert_int_equal(archive_writer_finish(w, sign, NULL), KC_OK);
	archive_writer_free(w);
	s = (struct source){ buf_data(&b), buf_len(&b), 1 << 20 };
	assert_int_equal(archive_reader_new(&r, next, &s), KC_OK);
	assert_int_equal(archive_reader_expect(r, m, 2), KC_EUSAGE);
	archive_reader_free(r);
	assert_int_equal(archive_reader_new(&r, next, &s), KC_OK);
	assert_int_equal(archive_reader_next(r), KC_OK);
	assert_int_equal(archive_reader_skip(r), KC_OK);
	assert_int_equal(archive_reader_expect(r, m, 2), KC_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(archive_reader_next(r), KC_OK);
		assert_int_equal(archive_reader_skip(r), KC_OK);
	}
	assert_int_equal(archive_reader_next(r), KC_EUSAGE);
	assert_int_equal(archive_reader_finish(r, verify, NULL), KC_OK);
	archive_reader_free(r);
	buf_fini(&b);
}

static void reader__member_saved__or_no_room(void **state)
{
	struct archive_reader *r = NULL;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct source s;
	struct buf b;

	(void)state;
	write_tar(&b);
	s = (struct source){ buf_data(&b), buf_len(&b), 1 << 20 };
	assert_int_equal(archive_reader_new(&r, next, &s), KC_OK);
	assert_int_equal(archive_reader_next(r), KC_OK);
	assert_int_equal(archive_reader_save(r, null, "/dev/null"), KC_OK);
	assert_int_equal(archive_reader_expect(r, members, ARCHIVE_MAX_MEMBERS), KC_ELIMIT);
	archive_reader_free(r);
	s = (struct source){ buf_data(&b), buf_len(&b), 1 << 20 };
	assert_int_equal(archive_reader_new(&r, next, &s), KC_OK);
	assert_int_equal(archive_reader_next(r), KC_OK);
	assert_int_equal(archive_reader_save(r, fd, "/dev/full"), KC_ENOSPC);
	assert_int_equal(archive_reader_next(r), KC_ENOSPC);
	assert_int_equal(archive_reader_finish(r, verify, NULL), KC_ENOSPC);
	archive_reader_free(r);
	buf_fini(&b);
	close(fd);
	close(null);
}

static int fail_next(void *arg, const uint8_t **data, size_t *n)
{
	(void)arg;
	(void)data;
	(void)n;
	return err_set(KC_ETRUNCATED, "this test ends here");
}

static void reader__source_fails__its_code_comes_back(void **state)
{
	struct archive_reader *r = NULL;

	(void)state;
	assert_int_equal(archive_reader_new(&r, fail_next, NULL), KC_OK);
	assert_int_equal(archive_reader_next(r), KC_ETRUNCATED);
	assert_string_equal(err_text(KC_ETRUNCATED), "this test ends here");
	assert_int_equal(archive_reader_next(r), KC_ETRUNCATED);
	archive_reader_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archive__written__reads_back),
		cmocka_unit_test(archive__signature__decides),
		cmocka_unit_test(archive__cut_anywhere__is_refused),
		cmocka_unit_test(archive__changed_anywhere__is_refused_or_means_the_same),
		cmocka_unit_test(archive__data_behind_its_end__is_refused),
		cmocka_unit_test(archive__hostile_member__is_refused),
		cmocka_unit_test(archive__sparse_member__is_refused),
		cmocka_unit_test(archive__manifest_missing_or_huge__is_refused),
		cmocka_unit_test(archive__member_too_many__is_refused),
		cmocka_unit_test(archive__tree__is_what_was_declared),
		cmocka_unit_test(reader__out_of_order__is_refused),
		cmocka_unit_test(writer__failing_callback__its_code_comes_back),
		cmocka_unit_test(writer__file_became_shorter__fails),
		cmocka_unit_test(writer__unreadable_file__is_named),
		cmocka_unit_test(writer__signer_fails__its_code_comes_back),
		cmocka_unit_test(writer__members__are_limited),
		cmocka_unit_test(archive__unusual_names__come_back),
		cmocka_unit_test(reader__member_saved__or_no_room),
		cmocka_unit_test(reader__source_fails__its_code_comes_back),
	};

	return mem_init() == KC_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
