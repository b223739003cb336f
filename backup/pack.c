/* SPDX-License-Identifier: Apache-2.0 */
/* pack: zstd's streaming interface. The only user of zstd.h. */
#include "backup/pack.h"

#include <stdbool.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/err.h"
#include "base/mem.h"

static int packed_wrong(int code, const char *what, size_t result)
{
	return err_set(code, "%s: %s", what, ZSTD_getErrorName(result));
}

/* ---- writing ---- */

struct pack_writer {
	ZSTD_CCtx *ctx;
	struct pack_sink sink;
	int status;
};

/* Level 19 alone would take a window of 2^23 anyway; the cap keeps our reader's promise whatever zstd's tables say. */
static int configure(ZSTD_CCtx *ctx, int level)
{
	ZSTD_bounds b = ZSTD_cParam_getBounds(ZSTD_c_windowLog);
	size_t r = ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);

	if (!ZSTD_isError(r))
		r = ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
	if (!ZSTD_isError(r))
		r = ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, 0);
	if (!ZSTD_isError(r) && level >= 17 && b.upperBound >= PACK_WINDOW_LOG)
		r = ZSTD_CCtx_setParameter(ctx, ZSTD_c_windowLog, PACK_WINDOW_LOG);
	return ZSTD_isError(r) ? packed_wrong(KC_EFAIL, "zstd cannot be set up", r) : KC_OK;
}

int pack_writer_new(struct pack_writer **w, int level, const struct pack_sink *sink)
{
	struct pack_writer *new;
	int rc;

	if (level < PACK_MIN_LEVEL || level > PACK_MAX_LEVEL)
		return err_set(
		    KC_EUSAGE, "compression level %d is not between %d and %d", level, PACK_MIN_LEVEL, PACK_MAX_LEVEL);
	new = mem_xalloc(sizeof(*new));
	new->sink = *sink;
	new->ctx = ZSTD_createCCtx();
	rc = new->ctx != NULL ? configure(new->ctx, level) : err_set(KC_EFAIL, "no memory for zstd");
	if (rc < 0) {
		pack_writer_free(new);
		return rc;
	}
	*w = new;
	return KC_OK;
}

void pack_writer_free(struct pack_writer *w)
{
	if (w == NULL)
		return;
	ZSTD_freeCCtx(w->ctx);
	free(w);
}

/* Until the input is taken (continue) or the frame is out (end). */
static int compress(struct pack_writer *w, ZSTD_inBuffer *in, ZSTD_EndDirective mode)
{
	size_t left;

	do {
		ZSTD_outBuffer out = { .pos = 0 };
		size_t taken = in->pos;

		out.dst = w->sink.space(w->sink.arg, &out.size);
		left = ZSTD_compressStream2(w->ctx, &out, in, mode);
		if (ZSTD_isError(left))
			return packed_wrong(KC_EFAIL, "zstd cannot compress", left);
		if (out.pos == 0 && in->pos == taken && left != 0)
			return err_set(KC_EFAIL, "zstd makes no progress");
		if ((w->status = w->sink.used(w->sink.arg, out.pos)) < 0)
			return w->status;
	} while (mode == ZSTD_e_end ? left != 0 : in->pos < in->size);
	return KC_OK;
}

int pack_writer_put(struct pack_writer *w, const void *data, size_t n)
{
	ZSTD_inBuffer in = { .src = data, .size = n };

	if (w->status == KC_OK && n > 0)
		w->status = compress(w, &in, ZSTD_e_continue);
	return w->status;
}

int pack_writer_finish(struct pack_writer *w)
{
	ZSTD_inBuffer in = { .src = "" };

	if (w->status == KC_OK)
		w->status = compress(w, &in, ZSTD_e_end);
	return w->status;
}

/* ---- reading ---- */

#define OUT_SIZE (256u << 10)

struct pack_reader {
	ZSTD_DCtx *ctx;
	pack_next_fn next;
	void *arg;
	int status;
	unsigned magic;	  /* bytes of the magic number seen */
	bool source_done; /* `next` said so */
	bool frame_done;
	bool flushing; /* the decoder filled the room it had and may hold more */
	ZSTD_inBuffer in;
	uint8_t *out;
};

int pack_reader_new(struct pack_reader **r, pack_next_fn next, void *arg)
{
	struct pack_reader *new = mem_xalloc(sizeof(*new));
	size_t res;

	new->next = next;
	new->arg = arg;
	new->out = mem_xalloc(OUT_SIZE);
	new->ctx = ZSTD_createDCtx();
	if (new->ctx == NULL) {
		pack_reader_free(new);
		return err_set(KC_EFAIL, "no memory for zstd");
	}
	res = ZSTD_DCtx_setParameter(new->ctx, ZSTD_d_windowLogMax, PACK_WINDOW_LOG);
	if (ZSTD_isError(res)) {
		pack_reader_free(new);
		return packed_wrong(KC_EFAIL, "zstd cannot be set up", res);
	}
	*r = new;
	return KC_OK;
}

void pack_reader_free(struct pack_reader *r)
{
	if (r == NULL)
		return;
	ZSTD_freeDCtx(r->ctx);
	mem_wipe(r->out, OUT_SIZE);
	free(r->out);
	free(r);
}

/* Only frames of the published format: the library may know older, unpublished ones, and frames to skip. */
static int check_magic(struct pack_reader *r)
{
	for (size_t i = 0; i < r->in.size && r->magic < 4; i++, r->magic++)
		if (((const uint8_t *)r->in.src)[i] != (uint8_t)(ZSTD_MAGICNUMBER >> 8 * r->magic))
			return err_set(KC_EDAMAGED, "not a zstd frame");
	return KC_OK;
}

/* The present piece is used up: get the next. */
static int more_input(struct pack_reader *r)
{
	const uint8_t *data = NULL;
	size_t n = 0;
	int rc;

	if (r->source_done)
		return KC_OK;
	if ((rc = r->next(r->arg, &data, &n)) < 0)
		return rc;
	r->source_done = n == 0;
	r->in = (ZSTD_inBuffer){ .src = data, .size = n };
	return check_magic(r);
}

/* After the frame there must be nothing. */
static int expect_end(struct pack_reader *r)
{
	int rc;

	if (r->in.pos == r->in.size && (rc = more_input(r)) < 0)
		return rc;
	if (r->in.pos < r->in.size)
		return err_set(KC_EDAMAGED, "data after the end of the zstd frame");
	return KC_OK;
}

static int refuse_frame(size_t result)
{
	switch (ZSTD_getErrorCode(result)) {
	case ZSTD_error_memory_allocation:
		return packed_wrong(KC_EFAIL, "zstd cannot decompress", result);
	case ZSTD_error_frameParameter_windowTooLarge:
		return err_set(
		    KC_EFORMAT, "the zstd frame asks for a window over %llu MB", (1ULL << PACK_WINDOW_LOG) >> 20);
	default:
		return packed_wrong(KC_EDAMAGED, "not a sound zstd frame", result);
	}
}

/* One call of the decoder. A call that had input, took nothing and gave nothing is a loop in the making. */
static int decompress(struct pack_reader *r, size_t *got)
{
	ZSTD_outBuffer out = { .dst = r->out, .size = OUT_SIZE };
	size_t taken = r->in.pos, left = ZSTD_decompressStream(r->ctx, &out, &r->in);

	if (ZSTD_isError(left))
		return refuse_frame(left);
	if (out.pos == 0 && r->in.pos == taken && taken < r->in.size && left != 0)
		return err_set(KC_EDAMAGED, "the zstd frame makes no progress");
	r->frame_done = left == 0;
	r->flushing = out.pos == out.size;
	*got = out.pos;
	return KC_OK;
}

static int read_some(struct pack_reader *r, size_t *got)
{
	int rc;

	for (*got = 0; *got == 0;) {
		if (r->frame_done)
			return expect_end(r);
		if (r->in.pos == r->in.size && !r->flushing) {
			if ((rc = more_input(r)) < 0)
				return rc;
			if (r->source_done)
				return err_set(KC_ETRUNCATED, "truncated: the zstd frame ends too soon");
		}
		if ((rc = decompress(r, got)) < 0)
			return rc;
	}
	return KC_OK;
}

int pack_reader_next(struct pack_reader *r, const uint8_t **data, size_t *n)
{
	if (r->status == KC_OK && (r->status = read_some(r, n)) == KC_OK)
		*data = r->out;
	return r->status;
}
