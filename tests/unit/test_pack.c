/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of backup's pack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "backup/pack.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

struct sink {
	struct buf out;
	size_t room;
	uint8_t space[4096];
	int fail_after; /* calls; 0: never */
};

static uint8_t *space(void *arg, size_t *n)
{
	struct sink *s = arg;

	*n = s->room;
	return s->space;
}

static int used(void *arg, size_t n)
{
	struct sink *s = arg;

	if (s->fail_after > 0 && --s->fail_after == 0)
		return err_set(KC_ENOSPC, "no room for this test");
	buf_put(&s->out, s->space, n);
	return buf_status(&s->out);
}

/* Text-like and random stretches. */
static uint8_t *make_plain(size_t n)
{
	uint8_t *p = mem_xalloc(n);
	uint32_t x = 12345;

	for (size_t i = 0; i < n; i++) {
		x = x * 1103515245 + 12345;
		p[i] = (i >> 12 & 1) != 0 ? (uint8_t)(x >> 24) : (uint8_t)("key material\n"[i % 13]);
	}
	return p;
}

static void pack(struct sink *s, int level, size_t room, const uint8_t *plain, size_t n)
{
	struct pack_sink ps = { .space = space, .used = used, .arg = s };
	struct pack_writer *w = NULL;

	memset(s, 0, sizeof(*s));
	s->room = room;
	buf_init(&s->out, 8 << 20);
	assert_int_equal(pack_writer_new(&w, level, &ps), KC_OK);
	for (size_t done = 0; done < n;) {
		size_t step = n - done < 10007 ? n - done : 10007;

		assert_int_equal(pack_writer_put(w, plain + done, step), KC_OK);
		done += step;
	}
	assert_int_equal(pack_writer_finish(w), KC_OK);
	pack_writer_free(w);
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

static int unpack(const uint8_t *data, size_t n, size_t step, const uint8_t *plain, size_t *got)
{
	struct source s = { data, n, step };
	struct pack_reader *r = NULL;
	const uint8_t *p;
	size_t len = 1;
	int rc;

	*got = 0;
	assert_int_equal(pack_reader_new(&r, next, &s), KC_OK);
	while ((rc = pack_reader_next(r, &p, &len)) == KC_OK && len > 0) {
		if (plain != NULL)
			assert_memory_equal(p, plain + *got, len);
		*got += len;
	}
	assert_int_equal(pack_reader_next(r, &p, &len), rc);
	pack_reader_free(r);
	return rc;
}

static void frame__any_size_and_level__comes_back(void **state)
{
	static const size_t sizes[] = { 0, 1, 255, 256, 131072, 262144, 300001, 1500000 };
	uint8_t *plain = make_plain(1500000);
	size_t got;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (int level = 1; level <= 19; level += level == 1 ? 2 : 16) {
			struct sink *s = mem_xalloc(sizeof(*s));

			pack(s, level, i % 2 == 0 ? sizeof(s->space) : 7, plain, sizes[i]);
			assert_int_equal(unpack(buf_data(&s->out), buf_len(&s->out), 65536, plain, &got), KC_OK);
			assert_int_equal(got, sizes[i]);
			assert_int_equal(unpack(buf_data(&s->out), buf_len(&s->out), 1, plain, &got), KC_OK);
			assert_int_equal(got, sizes[i]);
			buf_fini(&s->out);
			free(s);
		}
	free(plain);
}

static void frame__cut_anywhere__is_truncated(void **state)
{
	uint8_t *plain = make_plain(20000);
	struct sink *s = mem_xalloc(sizeof(*s));
	size_t got;

	(void)state;
	pack(s, 1, sizeof(s->space), plain, 20000);
	for (size_t n = 0; n < buf_len(&s->out); n += n < 64 || n + 64 > buf_len(&s->out) ? 1 : 13)
		assert_int_equal(unpack(buf_data(&s->out), n, 4096, plain, &got), KC_ETRUNCATED);
	buf_fini(&s->out);
	free(s);
	free(plain);
}

static void frame__flipped_bit__is_refused(void **state)
{
	uint8_t *plain = make_plain(600);
	struct sink *s = mem_xalloc(sizeof(*s));
	size_t got, passed = 0;

	(void)state;
	pack(s, 1, sizeof(s->space), plain, 600);
	for (size_t i = 0; i < buf_len(&s->out) * 8; i++) {
		int rc;

		s->out.data[s->out.start + i / 8] ^= (uint8_t)(1 << i % 8);
		rc = unpack(buf_data(&s->out), buf_len(&s->out), 4096, NULL, &got);
		s->out.data[s->out.start + i / 8] ^= (uint8_t)(1 << i % 8);
		/* bits that are reserved or only enlarge the window change no content, and that is what the checksum
		 * is of; that nothing at all was changed is age's to say */
		passed += rc == KC_OK;
		assert_true(rc == KC_OK || rc == KC_EDAMAGED || rc == KC_ETRUNCATED || rc == KC_EFORMAT);
	}
	assert_true(passed < 16);
	buf_fini(&s->out);
	free(s);
	free(plain);
}

static void frame__followed_by_data__is_refused(void **state)
{
	uint8_t *plain = make_plain(5000);
	struct sink *s = mem_xalloc(sizeof(*s));
	size_t got, n;

	(void)state;
	pack(s, 1, sizeof(s->space), plain, 5000);
	n = buf_len(&s->out);
	buf_put_u8(&s->out, 0);
	assert_int_equal(unpack(buf_data(&s->out), n + 1, 1 << 20, plain, &got), KC_EDAMAGED);
	assert_int_equal(unpack(buf_data(&s->out), n + 1, n, plain, &got), KC_EDAMAGED);
	assert_string_equal(err_text(KC_EDAMAGED), "data after the end of the zstd frame");
	buf_fini(&s->out);
	free(s);
	free(plain);
}

static void frame__window_over_the_limit__is_refused(void **state)
{
	/* magic, descriptor (no content size, checksum), window 2^24, an empty last block, checksum */
	static const uint8_t frame[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x04, (24 - 10) << 3, 0x01, 0, 0, 0x99, 0xe9, 0xd8,
		0x51 };
	uint8_t small[sizeof(frame)];
	size_t got;

	(void)state;
	assert_int_equal(unpack(frame, sizeof(frame), 64, NULL, &got), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "the zstd frame asks for a window over 8 MB");
	memcpy(small, frame, sizeof(frame));
	small[5] = (PACK_WINDOW_LOG - 10) << 3;
	assert_int_equal(unpack(small, sizeof(small), 64, NULL, &got), KC_OK);
	assert_int_equal(got, 0);
}

static void frame__not_zstd__is_refused(void **state)
{
	static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x' };
	static const uint8_t legacy[] = { 0x25, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0, 0 };
	size_t got;

	(void)state;
	assert_int_equal(unpack(skippable, sizeof(skippable), 64, NULL, &got), KC_EDAMAGED);
	assert_string_equal(err_text(KC_EDAMAGED), "not a zstd frame");
	assert_int_equal(unpack(legacy, sizeof(legacy), 1, NULL, &got), KC_EDAMAGED);
	assert_int_equal(unpack((const uint8_t *)"(", 1, 1, NULL, &got), KC_ETRUNCATED);
}

static int fail_next(void *arg, const uint8_t **data, size_t *n)
{
	(void)arg;
	(void)data;
	(void)n;
	return err_set(KC_ESYS, "this test cannot read");
}

static void callback__fails__its_code_comes_back(void **state)
{
	uint8_t *plain = make_plain(2000000);
	struct sink *s = mem_xalloc(sizeof(*s));
	struct pack_sink ps = { .space = space, .used = used, .arg = s };
	struct pack_writer *w = NULL;
	struct pack_reader *r = NULL;
	const uint8_t *p;
	size_t n;

	(void)state;
	s->room = sizeof(s->space);
	s->fail_after = 3;
	buf_init(&s->out, 8 << 20);
	assert_int_equal(pack_writer_new(&w, 0, &ps), KC_EUSAGE);
	assert_int_equal(pack_writer_new(&w, 20, &ps), KC_EUSAGE);
	assert_int_equal(pack_writer_new(&w, 1, &ps), KC_OK);
	assert_int_equal(pack_writer_put(w, plain, 2000000), KC_ENOSPC);
	assert_int_equal(pack_writer_put(w, plain, 1), KC_ENOSPC);
	assert_int_equal(pack_writer_finish(w), KC_ENOSPC);
	pack_writer_free(w);
	assert_int_equal(pack_reader_new(&r, fail_next, NULL), KC_OK);
	assert_int_equal(pack_reader_next(r, &p, &n), KC_ESYS);
	pack_reader_free(r);
	buf_fini(&s->out);
	free(s);
	free(plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frame__any_size_and_level__comes_back),
		cmocka_unit_test(frame__cut_anywhere__is_truncated),
		cmocka_unit_test(frame__flipped_bit__is_refused),
		cmocka_unit_test(frame__followed_by_data__is_refused),
		cmocka_unit_test(frame__window_over_the_limit__is_refused),
		cmocka_unit_test(frame__not_zstd__is_refused),
		cmocka_unit_test(callback__fails__its_code_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
