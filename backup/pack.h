/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack: one zstd frame as a stream, in bounded memory in both directions.
 *
 * Frames carry a checksum and no content size. Writing at level 1..3 takes under 16 MB, at level 19 under 128 MB (the
 * window is capped at 2^23). Reading refuses a window over 2^23 (8 MB), which is never more than we write; it refuses
 * what follows the frame, a frame that ends too soon (KC_ETRUNCATED) and a decoder that makes no progress. How much
 * comes out is not limited here: whoever reads knows the declared sizes (archive.h) and stops.
 */
#ifndef KC_BACKUP_PACK_H
#define KC_BACKUP_PACK_H

#include <stddef.h>
#include <stdint.h>

#define PACK_MIN_LEVEL	1
#define PACK_MAX_LEVEL	19
#define PACK_WINDOW_LOG 23

/* Where packed bytes go, without a copy: `space` gives room (*n bytes, at least one), `used` says how much of it was
 * filled. age_writer_space and age_writer_used have this shape. */
struct pack_sink {
	uint8_t *(*space)(void *arg, size_t *n);
	int (*used)(void *arg, size_t n);
	void *arg;
};

struct pack_writer;
/* level PACK_MIN_LEVEL..PACK_MAX_LEVEL, else KC_EUSAGE. */
int pack_writer_new(struct pack_writer **w, int level, const struct pack_sink *sink);
void pack_writer_free(struct pack_writer *w);
int pack_writer_put(struct pack_writer *w, const void *data, size_t n);
int pack_writer_finish(struct pack_writer *w); /* ends the frame */

/* Where packed bytes come from: the next piece, borrowed until the next call, *n is 0 at the end (age_reader_next). */
typedef int (*pack_next_fn)(void *arg, const uint8_t **data, size_t *n);

struct pack_reader;
int pack_reader_new(struct pack_reader **r, pack_next_fn next, void *arg);
void pack_reader_free(struct pack_reader *r);
/* The next plain bytes, borrowed until the next call; *n is 0 at the end, and then the frame was whole, its checksum
 * right, and the source at its end. */
int pack_reader_next(struct pack_reader *r, const uint8_t **data, size_t *n);

#endif
