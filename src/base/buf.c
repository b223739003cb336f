/* SPDX-License-Identifier: Apache-2.0 */
/* buf: bounded bytes with a sticky error. Never allocates past the cap. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"

void buf_init(struct buf *b, size_t cap)
{
	memset(b, 0, sizeof(*b));
	b->cap = cap;
}

void buf_fini(struct buf *b)
{
	if (b->size > 0) {
		mem_wipe(b->data, b->size);
		free(b->data);
	}
	buf_init(b, b->cap);
}

void buf_reset(struct buf *b)
{
	if (b->size > 0)
		mem_wipe(b->data, b->end);
	b->start = b->end = 0;
	b->failed = false;
}

void buf_view(struct buf *b, const void *data, size_t size)
{
	memset(b, 0, sizeof(*b));
	/* Views are never written to: put fails because size is 0 and the cap is 0. */
	b->data = (uint8_t *)(uintptr_t)data;
	b->end = size;
}

int buf_status(const struct buf *b)
{
	return b->failed ? err_set(KC_ELIMIT, "message over its limit or cut short") : KC_OK;
}

/* Make room for n more bytes: first by moving the contents down, then by growing into wiped new memory. */
static bool make_room(struct buf *b, size_t n)
{
	size_t len = buf_len(b), want;
	uint8_t *bigger;

	if (b->failed || n > b->cap || len > b->cap - n) {
		b->failed = true;
		return false;
	}
	if (b->size - b->end >= n)
		return true;
	if (b->start > 0 && b->size - len >= n) {
		memmove(b->data, b->data + b->start, len);
		b->start = 0;
		b->end = len;
		return true;
	}
	want = b->size * 2;
	if (want < len + n)
		want = len + n;
	if (want < 256)
		want = 256;
	if (want > b->cap)
		want = b->cap;
	bigger = mem_xalloc(want);
	if (len > 0)
		memcpy(bigger, b->data + b->start, len);
	if (b->size > 0) {
		mem_wipe(b->data, b->size);
		free(b->data);
	}
	b->data = bigger;
	b->size = want;
	b->start = 0;
	b->end = len;
	return true;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	uint8_t *p;

	if (!make_room(b, n))
		return NULL;
	if (b->data == NULL)
		return (uint8_t *)b; /* n is 0: any valid pointer */
	p = b->data + b->end;
	b->end += n;
	return p;
}

void buf_trim(struct buf *b, size_t unused)
{
	b->end -= unused <= buf_len(b) ? unused : buf_len(b);
}

void buf_put(struct buf *b, const void *data, size_t n)
{
	uint8_t *p = n > 0 ? buf_reserve(b, n) : NULL;

	if (p != NULL)
		memcpy(p, data, n);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	buf_put(b, &v, 1);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
	uint8_t p[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	buf_put(b, p, sizeof(p));
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	buf_put_u32(b, (uint32_t)(v >> 32));
	buf_put_u32(b, (uint32_t)v);
}

void buf_put_str(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	uint8_t *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	/* One byte more for the NUL, given back at once. */
	if (n < 0 || (p = buf_reserve(b, (size_t)n + 1)) == NULL) {
		b->failed = true;
		return;
	}
	va_start(ap, fmt);
	vsnprintf((char *)p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf_trim(b, 1);
}

const uint8_t *buf_get(struct buf *b, size_t n)
{
	const uint8_t *p = b->data + b->start;

	if (b->failed || n > buf_len(b)) {
		b->failed = true;
		return NULL;
	}
	b->start += n;
	return p;
}

uint8_t buf_get_u8(struct buf *b)
{
	const uint8_t *p = buf_get(b, 1);

	return p != NULL ? p[0] : 0;
}

uint32_t buf_get_u32(struct buf *b)
{
	const uint8_t *p = buf_get(b, 4);

	return p != NULL ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

void buf_consume(struct buf *b, size_t n)
{
	b->start += n <= buf_len(b) ? n : buf_len(b);
	if (b->start == b->end)
		b->start = b->end = 0;
}

const char *buf_str(struct buf *b)
{
	buf_put_u8(b, 0);
	if (b->failed)
		return NULL;
	buf_trim(b, 1);
	return (const char *)buf_data(b);
}
