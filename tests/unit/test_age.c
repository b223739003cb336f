/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of backup's age: identities, headers, payload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/age.h"
#include "base/err.h"
#include "base/mem.h"

#define PASSWORD "correct horse battery"

static int setup(void **state)
{
	(void)state;
	return mem_init() == KC_OK ? 0 : -1;
}

/* ---- identities ---- */

static void identity__text__parses_back(void **state)
{
	struct age_identity *id = age_identity_new(), *again = NULL;
	char text[AGE_IDENTITY_LEN + 1], public[AGE_RECIPIENT_LEN + 1];
	struct age_recipient r, r2, parsed;

	(void)state;
	age_identity_text(text, id);
	assert_int_equal(strlen(text), AGE_IDENTITY_LEN);
	assert_memory_equal(text, "AGE-SECRET-KEY-1", 16);
	assert_int_equal(age_identity_parse(&again, text), KC_OK);
	age_identity_recipient(&r, id);
	age_identity_recipient(&r2, again);
	assert_memory_equal(&r, &r2, sizeof(r));
	age_recipient_text(public, &r);
	assert_int_equal(strlen(public), AGE_RECIPIENT_LEN);
	assert_int_equal(age_recipient_parse(&parsed, public), KC_OK);
	assert_memory_equal(&r, &parsed, sizeof(r));
	age_identity_free(id);
	age_identity_free(again);
}

/* A pair that age-keygen made for this test. */
static void identity__known_pair__agrees(void **state)
{
	static const char file[] = "# created: 2026-11-21T02:36:29Z\n"
				   "# public key: age1a68cjm4u0hmgtm8tpv63u2asnqlh6k73agwve0vuqa03248sqylsypenyd\n"
				   "AGE-SECRET-KEY-12MN4MEXYDDHNU7NP8T073G4LYQ0K0W5Y92FX923YXFEDXP32JK7QHN5CLT\r\n\n";
	char text[AGE_IDENTITY_LEN + 1], public[AGE_RECIPIENT_LEN + 1], twice[2 * sizeof(file)];
	struct age_identity *id = NULL;
	struct age_recipient r;

	(void)state;
	assert_int_equal(age_identity_parse(&id, file), KC_OK);
	age_identity_text(text, id);
	assert_non_null(strstr(file, text));
	age_identity_recipient(&r, id);
	age_recipient_text(public, &r);
	assert_non_null(strstr(file, public));
	age_identity_free(id);
	id = NULL;
	snprintf(twice, sizeof(twice), "%s%s", file, file);
	assert_int_equal(age_identity_parse(&id, twice), KC_EFORMAT);
	assert_null(id);
}

static void identity__changed_text__is_refused(void **state)
{
	struct age_identity *id = age_identity_new(), *again = NULL;
	char text[AGE_IDENTITY_LEN + 2];

	(void)state;
	age_identity_text(text, id);
	for (size_t i = 0; i < AGE_IDENTITY_LEN; i++) {
		char was = text[i];

		text[i] = was == 'Q' ? 'P' : 'Q';
		assert_int_equal(age_identity_parse(&again, text), KC_EFORMAT);
		text[i] = 'q';
		assert_int_equal(age_identity_parse(&again, text), KC_EFORMAT);
		text[i] = was;
	}
	text[AGE_IDENTITY_LEN] = 'Q';
	text[AGE_IDENTITY_LEN + 1] = '\0';
	assert_int_equal(age_identity_parse(&again, text), KC_EFORMAT);
	assert_null(strstr(err_text(KC_EFORMAT), text));
	text[AGE_IDENTITY_LEN - 1] = '\0';
	assert_int_equal(age_identity_parse(&again, text), KC_EFORMAT);
	assert_int_equal(age_identity_parse(&again, ""), KC_EFORMAT);
	assert_int_equal(age_identity_parse(&again, "# only\n# comments"), KC_EFORMAT);
	assert_null(again);
	age_identity_free(id);
}

static void recipient__of_low_order__is_refused(void **state)
{
	struct age_recipient zero = { { 0 } }, r;
	char text[AGE_RECIPIENT_LEN + 1];
	struct age_key *key = age_key_new();
	struct buf b;

	(void)state;
	age_recipient_text(text, &zero);
	assert_int_equal(age_recipient_parse(&r, text), KC_EFORMAT);
	buf_init(&b, 4096);
	assert_int_equal(age_wrap_x25519(&b, key, &zero, 1), KC_EFORMAT);
	assert_int_equal(age_wrap_x25519(&b, key, &zero, 0), KC_EUSAGE);
	buf_fini(&b);
	age_key_free(key);
}

/* ---- headers ---- */

struct fixture {
	struct age_key *key;
	struct age_identity *id, *other;
	struct buf scrypt, x25519;
};

static int make_headers(void **state)
{
	struct fixture *f = mem_xalloc(sizeof(*f));
	struct age_recipient r[2];

	if (mem_init() < 0)
		return -1;
	f->key = age_key_new();
	f->id = age_identity_new();
	f->other = age_identity_new();
	buf_init(&f->scrypt, 4096);
	buf_init(&f->x25519, 4096);
	age_identity_recipient(&r[1], f->id);
	r[0] = r[1];
	r[0].share[5] ^= 1;
	*state = f;
	return age_wrap_scrypt(&f->scrypt, f->key, PASSWORD, AGE_MIN_LOGN) == KC_OK &&
		       age_wrap_x25519(&f->x25519, f->key, r, 2) == KC_OK
		   ? 0
		   : -1;
}

static int drop_headers(void **state)
{
	struct fixture *f = *state;

	age_key_free(f->key);
	age_identity_free(f->id);
	age_identity_free(f->other);
	buf_fini(&f->scrypt);
	buf_fini(&f->x25519);
	free(f);
	return 0;
}

static int open_with_password(const uint8_t *data, size_t n, const char *password, const struct age_key *expect)
{
	struct age_unlock with = { .password = password };
	struct age_key *key = NULL;
	int rc = age_open_header(&key, data, n, &with);

	if (rc == KC_OK)
		assert_memory_equal(key, expect, 16);
	else
		assert_null(key);
	age_key_free(key);
	return rc;
}

static int open_with_identity(const uint8_t *data, size_t n, struct age_identity *id, const struct age_key *expect)
{
	const struct age_identity *ids[1] = { id };
	struct age_unlock with = { .identities = ids, .n_identities = 1 };
	struct age_key *key = NULL;
	int rc = age_open_header(&key, data, n, &with);

	if (rc == KC_OK)
		assert_memory_equal(key, expect, 16);
	else
		assert_null(key);
	age_key_free(key);
	return rc;
}

static void scrypt_header__password__opens_it(void **state)
{
	struct fixture *f = *state;
	size_t size = 0;

	assert_int_equal(buf_len(&f->scrypt), age_scrypt_header_size());
	assert_int_equal(age_header_size(&size, buf_data(&f->scrypt), buf_len(&f->scrypt)), KC_OK);
	assert_int_equal(size, buf_len(&f->scrypt));
	assert_int_equal(open_with_password(buf_data(&f->scrypt), size, PASSWORD, f->key), KC_OK);
}

static void scrypt_header__what_does_not_open_it__is_named(void **state)
{
	struct fixture *f = *state;
	struct age_unlock with = { .password = PASSWORD, .max_logn = AGE_MIN_LOGN - 1 };
	struct age_key *key = NULL;

	assert_int_equal(
	    open_with_password(buf_data(&f->scrypt), buf_len(&f->scrypt), PASSWORD "!", f->key), KC_EPASSWORD);
	assert_string_equal(err_text(KC_EPASSWORD), "wrong password");
	assert_int_equal(open_with_identity(buf_data(&f->scrypt), buf_len(&f->scrypt), f->id, f->key), KC_EPASSWORD);
	assert_string_equal(err_text(KC_EPASSWORD), "no identity matches: it is encrypted with a password");
	assert_int_equal(age_open_header(&key, buf_data(&f->scrypt), buf_len(&f->scrypt), &with), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "asks for scrypt work of 2^15, the limit is 2^14");
	assert_null(key);
}

static void x25519_header__identity__opens_it(void **state)
{
	struct fixture *f = *state;
	const uint8_t *data = buf_data(&f->x25519);
	size_t n = buf_len(&f->x25519);

	assert_int_equal(open_with_identity(data, n, f->id, f->key), KC_OK);
	assert_int_equal(open_with_identity(data, n, f->other, f->key), KC_EPASSWORD);
	assert_string_equal(err_text(KC_EPASSWORD), "no identity matches");
	assert_int_equal(open_with_password(data, n, PASSWORD, f->key), KC_EPASSWORD);
	assert_string_equal(err_text(KC_EPASSWORD), "is not encrypted with a password");
}

/* Every bit of the X25519 header, one bit of every byte of the scrypt header (it costs its work). */
static void header__flipped_bit__has_a_clear_code(void **state)
{
	struct fixture *f = *state;
	size_t size;

	for (size_t i = 0; i < buf_len(&f->x25519) * 8; i++) {
		uint8_t *p = f->x25519.data + f->x25519.start + i / 8;
		int rc, rc2;

		*p ^= (uint8_t)(1 << i % 8);
		rc2 = age_header_size(&size, buf_data(&f->x25519), buf_len(&f->x25519));
		rc = open_with_identity(buf_data(&f->x25519), buf_len(&f->x25519), f->id, f->key);
		*p ^= (uint8_t)(1 << i % 8);
		assert_true(rc == KC_EFORMAT || rc == KC_EDAMAGED || rc == KC_EPASSWORD);
		assert_true(rc2 == KC_OK || rc2 == KC_EAGAIN || rc2 == KC_EFORMAT);
		assert_int_equal(err_exit_status(rc), 65);
	}
	for (size_t i = 0; i < buf_len(&f->scrypt); i++) {
		uint8_t *p = f->scrypt.data + f->scrypt.start + i;
		int rc;

		*p ^= (uint8_t)(1 << i % 7);
		rc = open_with_password(buf_data(&f->scrypt), buf_len(&f->scrypt), PASSWORD, f->key);
		*p ^= (uint8_t)(1 << i % 7);
		assert_true(rc == KC_EFORMAT || rc == KC_EDAMAGED || rc == KC_EPASSWORD);
	}
}

/* Any other byte in the place of each: what a flipped bit cannot reach. */
static void header__changed_byte__has_a_clear_code(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < buf_len(&f->x25519) * 256; i++) {
		uint8_t *p = f->x25519.data + f->x25519.start + i / 256, was = *p;
		int rc;

		*p = (uint8_t)(i % 256);
		rc = open_with_identity(buf_data(&f->x25519), buf_len(&f->x25519), f->id, f->key);
		assert_int_equal(rc == KC_OK, *p == was);
		assert_true(rc == KC_OK || rc == KC_EFORMAT || rc == KC_EDAMAGED || rc == KC_EPASSWORD);
		*p = was;
	}
}

static void header__cut_anywhere__is_not_one(void **state)
{
	struct fixture *f = *state;
	size_t size = 0;

	for (size_t n = 0; n < buf_len(&f->x25519); n++) {
		int rc;
		uint8_t *copy = mem_xalloc(n);

		memcpy(copy, buf_data(&f->x25519), n);
		assert_int_equal(age_header_size(&size, copy, n), KC_EAGAIN);
		rc = open_with_identity(copy, n, f->id, f->key);
		assert_true(rc == KC_EDAMAGED || rc == KC_EFORMAT);
		free(copy);
	}
}

static void header__foreign_or_armored__is_named(void **state)
{
	static const char armored[] = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n";
	static const char v2[] = "age-encryption.org/v2\n-> x\n\n--- \n";
	static const char zip[] = "PK\x03\x04";
	size_t size;

	(void)state;
	assert_int_equal(age_header_size(&size, (const uint8_t *)armored, strlen(armored)), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "armored: the text form of an age file is not supported");
	assert_int_equal(age_header_size(&size, (const uint8_t *)armored, 20), KC_EAGAIN);
	assert_int_equal(age_header_size(&size, (const uint8_t *)v2, strlen(v2)), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "an age file of another version than 1");
	assert_int_equal(age_header_size(&size, (const uint8_t *)zip, strlen(zip)), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "not an age file");
}

static void header__without_an_end__is_limited(void **state)
{
	size_t n = AGE_HEADER_LIMIT, size;
	char *data = mem_xalloc(n);
	int rc;

	(void)state;
	memset(data, 'A', n);
	memcpy(data, "age-encryption.org/v1\n", 22);
	rc = age_header_size(&size, (uint8_t *)data, n - 1);
	assert_int_equal(rc, KC_EAGAIN);
	assert_int_equal(age_header_size(&size, (uint8_t *)data, n), KC_EFORMAT);
	free(data);
}

static void wrap__bad_arguments__are_refused(void **state)
{
	struct age_key *key = age_key_new();
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(age_wrap_scrypt(&b, key, PASSWORD, AGE_MIN_LOGN - 1), KC_EUSAGE);
	assert_int_equal(age_wrap_scrypt(&b, key, PASSWORD, AGE_MAX_LOGN + 1), KC_EUSAGE);
	assert_int_equal(age_wrap_scrypt(&b, key, "", AGE_MIN_LOGN), KC_EUSAGE);
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
	buf_init(&b, 100); /* too small for the header */
	assert_int_equal(age_wrap_scrypt(&b, key, PASSWORD, AGE_MIN_LOGN), KC_ELIMIT);
	buf_fini(&b);
	age_key_free(key);
}

static void scrypt_job__in_its_thread__gives_the_header(void **state)
{
	struct age_key *key = age_key_new();
	struct age_scrypt_job *job = NULL;
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	assert_int_equal(age_scrypt_start(&job, key, PASSWORD, AGE_MIN_LOGN), KC_OK);
	assert_int_equal(age_scrypt_join(&b, job), KC_OK);
	assert_int_equal(buf_len(&b), age_scrypt_header_size());
	assert_int_equal(open_with_password(buf_data(&b), buf_len(&b), PASSWORD, key), KC_OK);
	assert_int_equal(age_scrypt_start(&job, key, PASSWORD, AGE_MIN_LOGN), KC_OK);
	assert_int_equal(age_scrypt_join(NULL, job), KC_OK);
	assert_int_equal(age_scrypt_start(&job, key, "", AGE_MIN_LOGN), KC_OK);
	assert_int_equal(age_scrypt_join(&b, job), KC_EUSAGE);
	assert_string_equal(err_text(KC_EUSAGE), "the password is empty");
	assert_int_equal(age_scrypt_join(&b, NULL), KC_OK);
	buf_fini(&b);
	age_key_free(key);
}

/* ---- payload ---- */

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

static int get_source(void *arg, void *data, size_t n, size_t *got)
{
	struct source *s = arg;

	*got = s->n < n ? s->n : n;
	if (*got > s->step)
		*got = s->step;
	memcpy(data, s->p, *got);
	s->p += *got;
	s->n -= *got;
	return KC_OK;
}

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void seal(struct buf *out, const struct age_key *key, size_t n)
{
	struct age_writer *w = NULL;
	uint8_t *plain = mem_xalloc(n);
	char id[33], expect[33];

	for (size_t i = 0; i < n; i++)
		plain[i] = byte_at(i);
	buf_init(out, 1 << 20);
	assert_int_equal(age_writer_new(&w, key, put_buf, out), KC_OK);
	assert_int_equal(buf_len(out), AGE_NONCE_SIZE);
	age_writer_id(id, w);
	age_id_text(expect, buf_data(out));
	assert_string_equal(id, expect);
	assert_int_equal(age_writer_put(w, plain, n), KC_OK);
	assert_int_equal(age_writer_finish(w), KC_OK);
	age_writer_free(w);
	free(plain);
}

/* All of it, or the failure; *got: how much came out. What comes out must be right. */
static int open_all(const struct age_key *key, const uint8_t *data, size_t n, size_t step, size_t *got)
{
	struct source s = { data, n, step };
	struct age_reader *r = NULL;
	const uint8_t *p;
	size_t len = 1;
	int rc;

	*got = 0;
	assert_int_equal(age_reader_new(&r, key, get_source, &s), KC_OK);
	while ((rc = age_reader_next(r, &p, &len)) == KC_OK && len > 0) {
		for (size_t i = 0; i < len; i++)
			assert_int_equal(p[i], byte_at(*got + i));
		*got += len;
	}
	assert_int_equal(age_reader_next(r, &p, &len), rc); /* sticks */
	age_reader_free(r);
	return rc;
}

static void payload__any_size__comes_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 65535, 65536, 65537, 131071, 131072, 131073, 262144, 262145,
		400000 };
	struct age_key *key = age_key_new();

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t chunks = sizes[i] == 0 ? 1 : (sizes[i] + AGE_CHUNK_SIZE - 1) / AGE_CHUNK_SIZE, got;
		struct buf b;

		seal(&b, key, sizes[i]);
		assert_int_equal(buf_len(&b), AGE_NONCE_SIZE + sizes[i] + chunks * AGE_TAG_SIZE);
		assert_int_equal(open_all(key, buf_data(&b), buf_len(&b), 1 << 20, &got), KC_OK);
		assert_int_equal(got, sizes[i]);
		assert_int_equal(open_all(key, buf_data(&b), buf_len(&b), 997, &got), KC_OK);
		assert_int_equal(got, sizes[i]);
		buf_fini(&b);
	}
	age_key_free(key);
}

static void payload__written_in_place__is_the_same_stream(void **state)
{
	struct age_key *key = age_key_new();
	struct age_writer *w = NULL;
	struct buf b;
	size_t done = 0, room, got;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_int_equal(age_writer_new(&w, key, put_buf, &b), KC_OK);
	while (done < 3 * AGE_CHUNK_SIZE) {
		uint8_t *p = age_writer_space(w, &room);

		assert_true(room > 0);
		assert_ptr_equal(age_writer_space(w, &room), p);
		if (room > 30000)
			room = 30000;
		if (room > 3 * AGE_CHUNK_SIZE - done)
			room = 3 * AGE_CHUNK_SIZE - done;
		for (size_t i = 0; i < room; i++)
			p[i] = byte_at(done + i);
		assert_int_equal(age_writer_used(w, room), KC_OK);
		done += room;
	}
	age_writer_space(w, &room); /* asked for, not used */
	assert_int_equal(age_writer_used(w, 0), KC_OK);
	assert_int_equal(age_writer_finish(w), KC_OK);
	age_writer_free(w);
	assert_int_equal(buf_len(&b), AGE_NONCE_SIZE + 3 * (AGE_CHUNK_SIZE + AGE_TAG_SIZE));
	assert_int_equal(open_all(key, buf_data(&b), buf_len(&b), 1 << 20, &got), KC_OK);
	assert_int_equal(got, done);
	buf_fini(&b);
	age_key_free(key);
}

static void payload__cut__is_truncated_or_damaged(void **state)
{
	struct age_key *key = age_key_new();
	size_t chunk = AGE_CHUNK_SIZE + AGE_TAG_SIZE, got;
	struct buf b;

	(void)state;
	seal(&b, key, 200);
	for (size_t n = 0; n < buf_len(&b); n++)
		assert_int_equal(open_all(key, buf_data(&b), n, 1 << 20, &got),
		    n < AGE_NONCE_SIZE + AGE_TAG_SIZE ? KC_ETRUNCATED : KC_EDAMAGED);
	buf_fini(&b);
	seal(&b, key, 3 * AGE_CHUNK_SIZE);
	for (size_t i = 0; i <= 2; i++) {
		assert_int_equal(open_all(key, buf_data(&b), AGE_NONCE_SIZE + i * chunk, 1 << 20, &got), KC_ETRUNCATED);
		assert_int_equal(got, i * AGE_CHUNK_SIZE);
		assert_int_equal(
		    open_all(key, buf_data(&b), AGE_NONCE_SIZE + i * chunk + 15, 1 << 20, &got), KC_ETRUNCATED);
		assert_int_equal(
		    open_all(key, buf_data(&b), AGE_NONCE_SIZE + i * chunk + 16, 1 << 20, &got), KC_EDAMAGED);
		assert_int_equal(
		    open_all(key, buf_data(&b), AGE_NONCE_SIZE + (i + 1) * chunk - 1, 1 << 20, &got), KC_EDAMAGED);
	}
	buf_fini(&b);
	age_key_free(key);
}

static void payload__flipped_bit__is_damaged(void **state)
{
	struct age_key *key = age_key_new();
	struct buf b;
	size_t got;

	(void)state;
	seal(&b, key, 100);
	for (size_t i = 0; i < buf_len(&b) * 8; i++) {
		b.data[b.start + i / 8] ^= (uint8_t)(1 << i % 8);
		assert_int_equal(open_all(key, buf_data(&b), buf_len(&b), 1 << 20, &got), KC_EDAMAGED);
		assert_int_equal(got, 0);
		b.data[b.start + i / 8] ^= (uint8_t)(1 << i % 8);
	}
	buf_fini(&b);
	seal(&b, key, 150000);
	for (size_t i = 1; i < buf_len(&b); i += 5003) {
		b.data[b.start + i] ^= 0x10;
		assert_int_equal(open_all(key, buf_data(&b), buf_len(&b), 1 << 20, &got), KC_EDAMAGED);
		assert_int_equal(got % AGE_CHUNK_SIZE, 0);
		b.data[b.start + i] ^= 0x10;
	}
	buf_fini(&b);
	age_key_free(key);
}

static void payload__followed_by_data__is_damaged(void **state)
{
	static const size_t sizes[] = { 0, 100, AGE_CHUNK_SIZE, 2 * AGE_CHUNK_SIZE };
	struct age_key *key = age_key_new();
	size_t got;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct buf b;

		seal(&b, key, sizes[i]);
		buf_put_u8(&b, 0);
		assert_int_equal(open_all(key, buf_data(&b), buf_len(&b), 1 << 20, &got), KC_EDAMAGED);
		if (sizes[i] >= AGE_CHUNK_SIZE)
			assert_non_null(strstr(err_text(KC_EDAMAGED), "data after its end"));
		buf_fini(&b);
	}
	age_key_free(key);
}

static void payload__chunks_exchanged__is_damaged(void **state)
{
	size_t chunk = AGE_CHUNK_SIZE + AGE_TAG_SIZE, got;
	struct age_key *key = age_key_new(), *other = age_key_new();
	uint8_t *tmp = mem_xalloc(chunk);
	struct buf b;
	uint8_t *p;

	(void)state;
	seal(&b, key, 3 * AGE_CHUNK_SIZE);
	assert_int_equal(open_all(other, buf_data(&b), buf_len(&b), 1 << 20, &got), KC_EDAMAGED);
	p = b.data + b.start + AGE_NONCE_SIZE;
	memcpy(tmp, p, chunk);
	memmove(p, p + chunk, chunk);
	memcpy(p + chunk, tmp, chunk);
	assert_int_equal(open_all(key, buf_data(&b), buf_len(&b), 1 << 20, &got), KC_EDAMAGED);
	assert_int_equal(got, 0);
	buf_fini(&b);
	free(tmp);
	age_key_free(key);
	age_key_free(other);
}

static int fail_write(void *arg, const void *data, size_t n)
{
	(void)data;
	(void)n;
	return --*(int *)arg >= 0 ? KC_OK : err_set(KC_ENOSPC, "no room for this test");
}

static int fail_read(void *arg, void *data, size_t n, size_t *got)
{
	(void)arg;
	(void)data;
	(void)n;
	(void)got;
	return err_set(KC_ESYS, "this test cannot read");
}

static void payload__callback_fails__its_code_comes_back(void **state)
{
	struct age_key *key = age_key_new();
	struct age_writer *w = NULL;
	struct age_reader *r = NULL;
	uint8_t *plain = mem_xalloc(4 * AGE_CHUNK_SIZE);
	const uint8_t *p;
	size_t n;
	int writes = 0;

	(void)state;
	assert_int_equal(age_writer_new(&w, key, fail_write, &writes), KC_ENOSPC);
	for (int i = 1; i <= 4; i++) {
		writes = i;
		assert_int_equal(age_writer_new(&w, key, fail_write, &writes), KC_OK);
		age_writer_put(w, plain, 4 * AGE_CHUNK_SIZE);
		assert_int_equal(age_writer_finish(w), KC_ENOSPC);
		assert_int_equal(age_writer_put(w, plain, 1), KC_ENOSPC);
		age_writer_free(w);
	}
	assert_int_equal(age_reader_new(&r, key, fail_read, NULL), KC_OK);
	assert_int_equal(age_reader_next(r, &p, &n), KC_ESYS);
	age_reader_free(r);
	free(plain);
	age_key_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity__text__parses_back),
		cmocka_unit_test(identity__known_pair__agrees),
		cmocka_unit_test(identity__changed_text__is_refused),
		cmocka_unit_test(recipient__of_low_order__is_refused),
		cmocka_unit_test_setup_teardown(scrypt_header__password__opens_it, make_headers, drop_headers),
		cmocka_unit_test_setup_teardown(
		    scrypt_header__what_does_not_open_it__is_named, make_headers, drop_headers),
		cmocka_unit_test_setup_teardown(x25519_header__identity__opens_it, make_headers, drop_headers),
		cmocka_unit_test_setup_teardown(header__flipped_bit__has_a_clear_code, make_headers, drop_headers),
		cmocka_unit_test_setup_teardown(header__changed_byte__has_a_clear_code, make_headers, drop_headers),
		cmocka_unit_test_setup_teardown(header__cut_anywhere__is_not_one, make_headers, drop_headers),
		cmocka_unit_test(header__foreign_or_armored__is_named),
		cmocka_unit_test(header__without_an_end__is_limited),
		cmocka_unit_test(wrap__bad_arguments__are_refused),
		cmocka_unit_test(scrypt_job__in_its_thread__gives_the_header),
		cmocka_unit_test(payload__any_size__comes_back),
		cmocka_unit_test(payload__written_in_place__is_the_same_stream),
		cmocka_unit_test(payload__cut__is_truncated_or_damaged),
		cmocka_unit_test(payload__flipped_bit__is_damaged),
		cmocka_unit_test(payload__followed_by_data__is_damaged),
		cmocka_unit_test(payload__chunks_exchanged__is_damaged),
		cmocka_unit_test(payload__callback_fails__its_code_comes_back),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
