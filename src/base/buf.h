/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf: a bounded, growing byte buffer and the codec over it.
 *
 * A buf never grows over its cap. The first failure (over the cap on put, past the end on get) sticks: later puts do
 * nothing, later gets give zero and NULL; check buf_status() once at the end of an encoding or decoding. Contents are
 * wiped when memory is given back. Integers are big-endian.
 *
 *     struct buf b;
 *     buf_init(&b, 65536);
 *     buf_put_u32(&b, n);
 *     buf_put(&b, data, n);
 *     if ((rc = buf_status(&b)) < 0) ...
 *     buf_fini(&b);
 */
#ifndef KC_BUF_H
#define KC_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data; /* contents begin at data + start */
	size_t start;  /* read position */
	size_t end;    /* write position */
	size_t size;   /* allocated */
	size_t cap;
	bool failed;
};

void buf_init(struct buf *b, size_t cap);
void buf_fini(struct buf *b);  /* wipes, frees; the buf may be initialised again */
void buf_reset(struct buf *b); /* empties and wipes, keeps memory, clears the failure */

/* A view for decoding: borrows `data`, which must outlive it. No put, no fini. */
void buf_view(struct buf *b, const void *data, size_t size);

static inline const uint8_t *buf_data(const struct buf *b)
{
	return b->data != NULL ? b->data + b->start : b->data;
}
static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}
int buf_status(const struct buf *b); /* KC_OK; KC_ELIMIT after a failure */

void buf_put(struct buf *b, const void *data, size_t n);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_str(struct buf *b, const char *s); /* without its NUL */
void buf_putf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* `n` uninitialised bytes at the end, for read(2); NULL when over the cap. Give back what was not used with buf_trim.
 */
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_trim(struct buf *b, size_t unused);

const uint8_t *buf_get(struct buf *b, size_t n); /* borrowed; NULL past the end */
uint8_t buf_get_u8(struct buf *b);
uint32_t buf_get_u32(struct buf *b);
void buf_consume(struct buf *b, size_t n);
/* The contents as a NUL-terminated string, borrowed until the next change. NULL after a failure. */
const char *buf_str(struct buf *b);

#endif
