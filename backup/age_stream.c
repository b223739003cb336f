/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age_stream: the payload: a nonce, then chunks, each under the counter of its place and a mark on the last.
 * A chunk is only known to be the last when the end came, so both directions keep one chunk back.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "backup/age_internal.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"

#define SEALED_SIZE (AGE_CHUNK_SIZE + AGE_TAG_SIZE)
#define READ_CHUNKS 4

struct stream_key {
	uint8_t bytes[32];
};

static struct stream_key *stream_key_new(const struct age_key *key, const uint8_t nonce[AGE_NONCE_SIZE])
{
	struct stream_key *k = mem_secret_new(sizeof(*k));

	age_hkdf(k->bytes, key->bytes, sizeof(key->bytes), nonce, AGE_NONCE_SIZE, "payload");
	return k;
}

/* 11 bytes of counter, big-endian, and the mark. 2^64 chunks are more than any disk. */
static void chunk_nonce(uint8_t nonce[12], uint64_t counter, bool last)
{
	memset(nonce, 0, 12);
	for (int i = 10; i > 2; i--, counter >>= 8)
		nonce[i] = (uint8_t)counter;
	nonce[11] = last;
}

void age_id_text(char *id, const uint8_t nonce[AGE_NONCE_SIZE])
{
	hex_encode(id, nonce, AGE_NONCE_SIZE);
}

/* ---- sealing ---- */

struct age_writer {
	age_write_fn write;
	void *arg;
	int status;
	struct stream_key *key;
	uint8_t nonce[AGE_NONCE_SIZE];
	uint64_t counter; /* chunks given away */
	unsigned present; /* slot that is being filled */
	size_t fill;	  /* plain bytes in it */
	bool waiting;	  /* the other slot is full, not sealed yet */
	uint8_t *slot[2];
};

int age_writer_new(struct age_writer **w, const struct age_key *key, age_write_fn write, void *arg)
{
	struct age_writer *new = mem_xalloc(sizeof(*new));
	int rc;

	new->write = write;
	new->arg = arg;
	new->slot[0] = mem_xalloc(SEALED_SIZE);
	new->slot[1] = mem_xalloc(SEALED_SIZE);
	mem_random(new->nonce, sizeof(new->nonce));
	new->key = stream_key_new(key, new->nonce);
	if ((rc = write(arg, new->nonce, sizeof(new->nonce))) < 0) {
		age_writer_free(new);
		return rc;
	}
	*w = new;
	return KC_OK;
}

void age_writer_free(struct age_writer *w)
{
	if (w == NULL)
		return;
	mem_secret_free(w->key);
	for (int i = 0; i < 2; i++) {
		mem_wipe(w->slot[i], SEALED_SIZE);
		free(w->slot[i]);
	}
	free(w);
}

void age_writer_id(char *id, const struct age_writer *w)
{
	age_id_text(id, w->nonce);
}

static int seal_slot(struct age_writer *w, unsigned slot, size_t n, bool last)
{
	uint8_t nonce[12];

	chunk_nonce(nonce, w->counter++, last);
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    w->slot[slot], NULL, w->slot[slot], n, NULL, 0, NULL, nonce, w->key->bytes);
	w->status = w->write(w->arg, w->slot[slot], n + AGE_TAG_SIZE);
	return w->status;
}

uint8_t *age_writer_space(struct age_writer *w, size_t *n)
{
	if (w->fill == AGE_CHUNK_SIZE) {
		/* the other slot was given away when this one got its first byte */
		w->present ^= 1;
		w->fill = 0;
		w->waiting = true;
	}
	*n = AGE_CHUNK_SIZE - w->fill;
	return w->slot[w->present] + w->fill;
}

int age_writer_used(struct age_writer *w, size_t n)
{
	if (w->status < 0 || n == 0)
		return w->status;
	w->fill += n;
	if (!w->waiting)
		return KC_OK;
	w->waiting = false;
	return seal_slot(w, w->present ^ 1, AGE_CHUNK_SIZE, false);
}

int age_writer_put(struct age_writer *w, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n > 0 && w->status == KC_OK) {
		size_t room;
		uint8_t *to = age_writer_space(w, &room);

		if (room > n)
			room = n;
		memcpy(to, p, room);
		p += room;
		n -= room;
		age_writer_used(w, room);
	}
	return w->status;
}

int age_writer_finish(struct age_writer *w)
{
	if (w->status < 0)
		return w->status;
	if (w->waiting) { /* room was asked for and not used: the full chunk is the last */
		w->present ^= 1;
		w->fill = AGE_CHUNK_SIZE;
		w->waiting = false;
	}
	return seal_slot(w, w->present, w->fill, true);
}

/* ---- opening ---- */

struct age_reader {
	age_read_fn read;
	void *arg;
	int status;
	bool done;
	bool eof;
	bool cut;		  /* the chunk given last was not marked as the last, but is */
	bool trailing;		  /* it was marked so, but is not */
	struct age_key *file_key; /* until the nonce is known */
	struct stream_key *key;
	uint8_t nonce[AGE_NONCE_SIZE];
	uint64_t counter;
	uint64_t offset; /* of the next chunk, for messages */
	size_t start, end;
	uint8_t *sealed; /* READ_CHUNKS chunks and the byte that says that there is another */
	uint8_t *plain;
};
#define READ_SIZE (READ_CHUNKS * SEALED_SIZE + 1)

int age_reader_new(struct age_reader **r, const struct age_key *key, age_read_fn read, void *arg)
{
	struct age_reader *new = mem_xalloc(sizeof(*new));

	new->read = read;
	new->arg = arg;
	new->file_key = age_key_from(key->bytes);
	new->sealed = mem_xalloc(READ_SIZE);
	new->plain = mem_xalloc(AGE_CHUNK_SIZE);
	*r = new;
	return KC_OK;
}

void age_reader_free(struct age_reader *r)
{
	if (r == NULL)
		return;
	age_key_free(r->file_key);
	mem_secret_free(r->key);
	mem_wipe(r->plain, AGE_CHUNK_SIZE);
	free(r->plain);
	free(r->sealed);
	free(r);
}

/* At least n bytes, or the end. */
static int fill(struct age_reader *r, size_t n)
{
	size_t got;
	int rc;

	if (r->end - r->start >= n || r->eof)
		return KC_OK;
	memmove(r->sealed, r->sealed + r->start, r->end - r->start);
	r->end -= r->start;
	r->start = 0;
	while (r->end < n && !r->eof) {
		if ((rc = r->read(r->arg, r->sealed + r->end, READ_SIZE - r->end, &got)) < 0)
			return rc;
		r->eof = got == 0;
		r->end += got;
	}
	return KC_OK;
}

static int read_nonce(struct age_reader *r)
{
	int rc = fill(r, AGE_NONCE_SIZE);

	if (rc < 0)
		return rc;
	if (r->end - r->start < AGE_NONCE_SIZE)
		return err_set(KC_ETRUNCATED, "truncated: ends inside the payload's nonce");
	memcpy(r->nonce, r->sealed + r->start, AGE_NONCE_SIZE);
	r->start += AGE_NONCE_SIZE;
	r->offset = AGE_NONCE_SIZE;
	r->key = stream_key_new(r->file_key, r->nonce);
	age_key_free(r->file_key);
	r->file_key = NULL;
	return KC_OK;
}

static bool open_chunk(struct age_reader *r, uint8_t *plain, size_t n, bool last)
{
	uint8_t nonce[12];

	chunk_nonce(nonce, r->counter, last);
	return crypto_aead_chacha20poly1305_ietf_decrypt(
		   plain, NULL, NULL, r->sealed + r->start, n, NULL, 0, nonce, r->key->bytes) == 0;
}

static int refuse_chunk(struct age_reader *r, size_t n, bool last)
{
	unsigned long long from = r->offset, to = r->offset + n;

	if (n < AGE_TAG_SIZE || (last && open_chunk(r, NULL, n, false)))
		return err_set(KC_ETRUNCATED, "truncated: ends at byte %llu of the payload", to);
	return err_set(
	    KC_EDAMAGED, "damaged%s between bytes %llu and %llu of the payload", last ? " or cut short" : "", from, to);
}

/* A whole chunk with the other mark is authentic: it comes out, and the failure after it. */
static int after_the_wrong_mark(struct age_reader *r)
{
	if (r->cut)
		return err_set(
		    KC_ETRUNCATED, "truncated: ends at byte %llu of the payload", (unsigned long long)r->offset);
	return err_set(
	    KC_EDAMAGED, "data after its end, from byte %llu of the payload on", (unsigned long long)r->offset);
}

static int next_chunk(struct age_reader *r, const uint8_t **data, size_t *n)
{
	size_t have;
	bool last;
	int rc;

	if (r->cut || r->trailing)
		return after_the_wrong_mark(r);
	if (r->key == NULL && (rc = read_nonce(r)) < 0)
		return rc;
	if ((rc = fill(r, SEALED_SIZE + 1)) < 0)
		return rc;
	have = r->end - r->start;
	last = have <= SEALED_SIZE;
	if (!last)
		have = SEALED_SIZE;
	if (have < AGE_TAG_SIZE || !open_chunk(r, r->plain, have, last)) {
		if (have < SEALED_SIZE || !open_chunk(r, r->plain, have, !last))
			return refuse_chunk(r, have, last);
		r->cut = last;
		r->trailing = !last;
	}
	if (have == AGE_TAG_SIZE && r->counter > 0)
		return err_set(KC_EDAMAGED, "its last chunk is empty");
	r->start += have;
	r->offset += have;
	r->counter++;
	r->done = last && !r->cut;
	*data = r->plain;
	*n = have - AGE_TAG_SIZE;
	return KC_OK;
}

int age_reader_next(struct age_reader *r, const uint8_t **data, size_t *n)
{
	if (r->status < 0)
		return r->status;
	if (!r->done)
		return r->status = next_chunk(r, data, n);
	*data = r->plain;
	*n = 0;
	return KC_OK;
}
