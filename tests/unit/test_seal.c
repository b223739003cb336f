/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the whole pipeline: seal and unseal. */
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

#include "backup/seal.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define PASSWORD "correct horse battery"
#define MANIFEST "{}\n"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-test-seal.XXXXXX");
	return mem_init() == KC_OK && mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static int sign(void *arg, struct buf *sig, const void *text, size_t n)
{
	(void)arg;
	(void)text;
	buf_putf(sig, "%zu", n);
	return KC_OK;
}

static int verify(void *arg, const void *sig, size_t nsig, const void *text, size_t n)
{
	char expect[32];

	(void)arg;
	(void)text;
	snprintf(expect, sizeof(expect), "%zu", n);
	return strlen(expect) == nsig && memcmp(expect, sig, nsig) == 0 ? KC_OK : err_set(KC_ESIGNATURE, "no");
}

struct progress {
	uint64_t last;
	unsigned calls;
	int rc;
};

static int on_progress(void *arg, uint64_t bytes)
{
	struct progress *p = arg;

	assert_true(bytes >= p->last);
	p->last = bytes;
	p->calls++;
	return p->rc < 0 ? err_set(p->rc, "stopped by this test") : KC_OK;
}

/* Random bytes: they do not shrink. */
static int make_file(int *fd, const struct age_key *key, size_t n, struct seal_result *result, struct progress *p)
{
	struct seal_options o = { .path = "test", .level = 1, .mtime = 1781880659, .progress = on_progress, .arg = p };
	uint8_t *data = mem_xalloc(n);
	struct seal *s = NULL;
	char path[128];
	int rc;

	snprintf(path, sizeof(path), "%s/sealed", dir);
	*fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(*fd >= 0);
	o.fd = *fd;
	mem_random(data, n);
	assert_int_equal(seal_new(&s, key, &o), KC_OK);
	if ((rc = archive_writer_add(seal_archive(s), ARCHIVE_MANIFEST, 0600, MANIFEST, strlen(MANIFEST))) == KC_OK &&
	    (rc = archive_writer_add(seal_archive(s), "keydb.sqlite", 0600, data, n)) == KC_OK)
		rc = seal_finish(result, s, sign, NULL);
	if (rc == KC_OK)
		assert_string_equal(result->id, seal_id(s));
	seal_free(s);
	free(data);
	return rc;
}

static int read_members(struct archive_reader *r, size_t n)
{
	struct archive_member m = { (char *)"keydb.sqlite", n };
	int rc;

	if ((rc = archive_reader_next(r)) < 0 || (rc = archive_reader_skip(r)) < 0 ||
	    (rc = archive_reader_expect(r, &m, 1)) < 0 || (rc = archive_reader_next(r)) < 0 ||
	    (rc = archive_reader_skip(r)) < 0)
		return rc;
	return archive_reader_finish(r, verify, NULL);
}

static int read_payload(const struct age_key *key, int fd, uint64_t offset, size_t n, struct progress *p)
{
	struct unseal *u = NULL;
	int rc = unseal_new(&u, key, fd, offset, p != NULL ? on_progress : NULL, p);

	if (rc == KC_OK)
		rc = read_members(unseal_archive(u), n);
	unseal_free(u);
	return rc;
}

static int read_file(int fd, size_t n, const char *password)
{
	struct age_unlock with = { .password = password };
	struct age_key *key = NULL;
	uint64_t offset = 0;
	int rc = unseal_header(&key, &offset, NULL, fd, "test", &with);

	if (rc == KC_OK) {
		assert_int_equal(offset, age_scrypt_header_size());
		rc = read_payload(key, fd, offset, n, NULL);
	}
	age_key_free(key);
	return rc;
}

static void fill_header(int fd, const struct age_key *key)
{
	struct buf header;

	buf_init(&header, 1024);
	assert_int_equal(age_wrap_scrypt(&header, key, PASSWORD, AGE_MIN_LOGN), KC_OK);
	assert_int_equal(seal_put_header(fd, "test", buf_data(&header), buf_len(&header)), KC_OK);
	assert_int_equal(seal_put_header(fd, "test", buf_data(&header), buf_len(&header) - 1), KC_EUSAGE);
	buf_fini(&header);
}

static void check_digest(int fd, const struct seal_result *r)
{
	uint8_t *data = mem_xalloc(r->size), digest[32];
	char id[33], expect[33];
	uint64_t offset = 0;

	assert_int_equal(pread(fd, data, r->size + 1, 0), (ssize_t)r->size);
	gnutls_hash_fast(GNUTLS_DIG_SHA256, data + r->header_size, r->size - r->header_size, digest);
	assert_memory_equal(digest, r->payload_sha256, 32);
	assert_int_equal(unseal_identify(&offset, id, fd, "test"), KC_OK);
	assert_int_equal(offset, r->header_size);
	age_id_text(expect, data + r->header_size);
	assert_string_equal(id, expect);
	assert_string_equal(id, r->id);
	free(data);
}

static void sealed_file__with_its_password__opens(void **state)
{
	struct age_key *key = age_key_new();
	struct progress p = { 0 }, q = { 0 };
	struct seal_result r;
	int fd;

	(void)state;
	assert_int_equal(make_file(&fd, key, 3000000, &r, &p), KC_OK);
	assert_int_equal(p.last, r.size);
	assert_true(p.calls >= 10 && p.calls <= 13);
	assert_int_equal(read_file(fd, 3000000, PASSWORD), KC_ETRUNCATED);
	assert_string_equal(err_text(KC_ETRUNCATED), "test: not finished: its header was never filled in");
	fill_header(fd, key);
	check_digest(fd, &r);
	assert_int_equal(read_file(fd, 3000000, PASSWORD), KC_OK);
	assert_int_equal(read_file(fd, 3000000, "wrong"), KC_EPASSWORD);
	assert_string_equal(err_text(KC_EPASSWORD), "test: wrong password");
	assert_int_equal(read_payload(key, fd, r.header_size, 3000000, &q), KC_OK);
	assert_int_equal(q.last, r.size - r.header_size);
	close(fd);
	age_key_free(key);
}

static void sealed_file__travel_header__opens_the_same_payload(void **state)
{
	struct age_identity *id = age_identity_new();
	const struct age_identity *ids[1] = { id };
	struct age_unlock with = { .identities = ids, .n_identities = 1 };
	struct age_key *key = age_key_new(), *found = NULL;
	struct progress p = { 0 };
	struct age_recipient to;
	struct seal_result r;
	struct buf travel;
	int fd;

	(void)state;
	assert_int_equal(make_file(&fd, key, 1000, &r, &p), KC_OK);
	buf_init(&travel, 1024);
	age_identity_recipient(&to, id);
	assert_int_equal(age_wrap_x25519(&travel, key, &to, 1), KC_OK);
	assert_int_equal(age_open_header(&found, buf_data(&travel), buf_len(&travel), &with), KC_OK);
	assert_int_equal(read_payload(found, fd, r.header_size, 1000, NULL), KC_OK);
	buf_fini(&travel);
	close(fd);
	age_key_free(found);
	age_key_free(key);
	age_identity_free(id);
}

/* Every byte of the file, one bit of it: a clear code of exit status 65, never success. */
static void sealed_file__flipped_bit__is_refused(void **state)
{
	struct age_key *key = age_key_new();
	struct progress p = { 0 };
	struct seal_result r;
	int fd;

	(void)state;
	assert_int_equal(make_file(&fd, key, 2000, &r, &p), KC_OK);
	fill_header(fd, key);
	assert_int_equal(read_file(fd, 2000, PASSWORD), KC_OK);
	for (uint64_t i = 0; i < r.size; i++) {
		uint8_t was, is;
		int rc;

		assert_int_equal(pread(fd, &was, 1, (off_t)i), 1);
		is = was ^ (uint8_t)(1 << i % 8);
		assert_int_equal(pwrite(fd, &is, 1, (off_t)i), 1);
		rc = i < r.header_size ? read_file(fd, 2000, PASSWORD)
				       : read_payload(key, fd, r.header_size, 2000, NULL);
		assert_true(rc == KC_EDAMAGED || rc == KC_EFORMAT || rc == KC_EPASSWORD ||
			    (rc == KC_ETRUNCATED && i < r.header_size));
		assert_int_equal(pwrite(fd, &was, 1, (off_t)i), 1);
	}
	close(fd);
	age_key_free(key);
}

static void sealed_file__cut_anywhere__is_refused(void **state)
{
	struct age_key *key = age_key_new();
	struct progress p = { 0 };
	struct seal_result r;
	int fd;

	(void)state;
	assert_int_equal(make_file(&fd, key, 300000, &r, &p), KC_OK);
	fill_header(fd, key);
	for (uint64_t n = r.size - 1; n > 0; n -= n > r.header_size + 40 ? (n > 7001 ? 6991 : 13) : 1) {
		int rc;

		assert_int_equal(ftruncate(fd, (off_t)n), 0);
		rc = n < r.header_size ? read_file(fd, 300000, PASSWORD)
				       : read_payload(key, fd, r.header_size, 300000, NULL);
		assert_true(rc == KC_ETRUNCATED || rc == KC_EDAMAGED);
		if (n < r.header_size + AGE_NONCE_SIZE + AGE_TAG_SIZE)
			assert_int_equal(rc, KC_ETRUNCATED);
		if (n < 100)
			break;
	}
	close(fd);
	age_key_free(key);
}

static void foreign_file__is_named(void **state)
{
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/foreign", dir);
	assert_int_equal(file_replace(path, "PK\3\4 something else", 19, 0600), KC_OK);
	assert_int_equal(file_open(&fd, path, O_RDONLY, 0), KC_OK);
	assert_int_equal(read_file(fd, 1, PASSWORD), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "test: not an age file");
	close(fd);
	assert_int_equal(file_replace(path, "", 0, 0600), KC_OK);
	assert_int_equal(file_open(&fd, path, O_RDONLY, 0), KC_OK);
	assert_int_equal(read_file(fd, 1, PASSWORD), KC_ETRUNCATED);
	close(fd);
}

static void progress__failing__stops_the_pipeline(void **state)
{
	struct age_key *key = age_key_new();
	struct progress p = { .rc = KC_ECANCELED };
	struct seal_result r;
	int fd;

	(void)state;
	assert_int_equal(make_file(&fd, key, 3000000, &r, &p), KC_ECANCELED);
	assert_int_equal(p.calls, 1);
	close(fd);
	p = (struct progress){ 0 };
	assert_int_equal(make_file(&fd, key, 3000000, &r, &p), KC_OK);
	p = (struct progress){ .rc = KC_ECANCELED };
	assert_int_equal(read_payload(key, fd, r.header_size, 3000000, &p), KC_ECANCELED);
	close(fd);
	age_key_free(key);
}

static void full_device__is_no_room(void **state)
{
	struct seal_options o = { .path = "/dev/full", .level = 1 };
	struct age_key *key = age_key_new();
	struct seal *s = NULL;

	(void)state;
	o.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(o.fd >= 0);
	assert_int_equal(seal_new(&s, key, &o), KC_ENOSPC);
	assert_null(s);
	close(o.fd);
	age_key_free(key);
}

static void unreadable_file__is_named(void **state)
{
	struct age_unlock with = { .password = PASSWORD };
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct age_key *key = age_key_new(), *none = NULL;
	uint64_t offset = 0;
	char id[33];

	(void)state;
	assert_int_equal(unseal_header(&none, &offset, NULL, fd, "test", &with), KC_ESYS);
	assert_non_null(strstr(err_text(KC_ESYS), "test: cannot read"));
	assert_int_equal(unseal_identify(&offset, id, fd, "test"), KC_ESYS);
	assert_int_equal(read_payload(key, fd, 0, 1, NULL), KC_ESYS);
	assert_int_equal(seal_put_header(-1, "test", id, age_scrypt_header_size()), KC_ESYS);
	assert_null(none);
	close(fd);
	age_key_free(key);
}

/* The header is handed out, as it stands in the file; a header cut off behind it is an id cut off. */
static void header_of_a_file__is_read(void **state)
{
	struct age_unlock with = { .password = PASSWORD };
	struct age_key *key = age_key_new(), *found = NULL;
	struct progress p = { 0 };
	struct seal_result r;
	uint8_t bytes[1024];
	uint64_t offset = 0;
	struct buf header;
	char id[33];
	int fd;

	(void)state;
	assert_int_equal(make_file(&fd, key, 10, &r, &p), KC_OK);
	fill_header(fd, key);
	buf_init(&header, 1024);
	assert_int_equal(unseal_header(&found, &offset, &header, fd, "test", &with), KC_OK);
	assert_int_equal(pread(fd, bytes, offset, 0), (ssize_t)offset);
	assert_int_equal(buf_len(&header), offset);
	assert_memory_equal(buf_data(&header), bytes, offset);
	age_key_free(found);
	found = NULL;
	buf_fini(&header);
	buf_init(&header, 10);
	assert_int_equal(unseal_header(&found, &offset, &header, fd, "test", &with), KC_ELIMIT);
	assert_null(found);
	buf_fini(&header);
	assert_int_equal(ftruncate(fd, (off_t)offset + 15), 0);
	assert_int_equal(unseal_identify(&offset, id, fd, "test"), KC_ETRUNCATED);
	assert_int_equal(ftruncate(fd, (off_t)offset - 1), 0);
	assert_int_equal(unseal_identify(&offset, id, fd, "test"), KC_ETRUNCATED);
	close(fd);
	age_key_free(key);
}

/* A header of many stanzas is found, one without an end is not looked for for ever. */
static void long_header__has_a_limit(void **state)
{
	struct age_unlock with = { .password = PASSWORD };
	struct age_key *key = NULL;
	uint64_t offset = 0;
	struct buf b;
	char path[128];
	int fd;

	(void)state;
	buf_init(&b, 1 << 20);
	buf_put_str(&b, "age-encryption.org/v1\n");
	while (buf_len(&b) < 70000)
		buf_put_str(&b, "-> grease\n\n");
	snprintf(path, sizeof(path), "%s/long", dir);
	assert_int_equal(file_replace(path, buf_data(&b), buf_len(&b), 0600), KC_OK);
	assert_int_equal(file_open(&fd, path, O_RDONLY, 0), KC_OK);
	assert_int_equal(unseal_header(&key, &offset, NULL, fd, "test", &with), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "test: its age header is longer than 65536 bytes");
	close(fd);
	assert_int_equal(file_replace(path, buf_data(&b), 60000, 0600), KC_OK);
	assert_int_equal(file_open(&fd, path, O_RDONLY, 0), KC_OK);
	assert_int_equal(unseal_header(&key, &offset, NULL, fd, "test", &with), KC_ETRUNCATED);
	close(fd);
	assert_null(key);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealed_file__with_its_password__opens),
		cmocka_unit_test(sealed_file__travel_header__opens_the_same_payload),
		cmocka_unit_test(sealed_file__flipped_bit__is_refused),
		cmocka_unit_test(sealed_file__cut_anywhere__is_refused),
		cmocka_unit_test(foreign_file__is_named),
		cmocka_unit_test(progress__failing__stops_the_pipeline),
		cmocka_unit_test(full_device__is_no_room),
		cmocka_unit_test(unreadable_file__is_named),
		cmocka_unit_test(header_of_a_file__is_read),
		cmocka_unit_test(long_header__has_a_limit),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
