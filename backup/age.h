/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age: the age v1 file format (the C2SP specification), with two kinds of recipient: scrypt (a password) and X25519.
 *
 * A file is a text header, which wraps a random 16-byte file key for each recipient and ends with a MAC, and a
 * payload: a 16-byte nonce, then chunks of 64 KiB sealed with ChaCha20-Poly1305. Header and payload meet only in the
 * file key, so one payload can have several headers: the recovery header in the stored file (password) and a travel
 * header for each clone (its X25519 recipient). ASCII armor is not implemented and refused by that name.
 *
 * Codes, all of exit status 65:
 *     KC_EFORMAT     not an age file, armored, or work that we refuse to do (scrypt's N over the limit)
 *     KC_EPASSWORD   "wrong password", or "no identity matches": the text says which
 *     KC_EDAMAGED    the header is malformed or its MAC does not match; a chunk is not authentic; trailing data
 *     KC_ETRUNCATED  the file ends inside the header or the nonce, or at a chunk border before the last chunk
 * A file cut inside a chunk cannot be told from one damaged there: KC_EDAMAGED, and the text says both.
 *
 * Call mem_init() before anything here.
 */
#ifndef KC_BACKUP_AGE_H
#define KC_BACKUP_AGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define AGE_NONCE_SIZE	 16
#define AGE_CHUNK_SIZE	 65536 /* of plain text; 16 more of ciphertext */
#define AGE_TAG_SIZE	 16
#define AGE_HEADER_LIMIT 65536 /* longer headers are refused when reading */
#define AGE_MIN_LOGN	 15    /* scrypt work that we write: two digits, so the header has one size */
#define AGE_MAX_LOGN	 20    /* and the most that we do when reading, unless told otherwise */

/* ---- file key ---- */

/* 16 secret bytes, in locked memory. */
struct age_key;
struct age_key *age_key_new(void); /* random */
void age_key_free(struct age_key *key);

/* ---- X25519 identities ---- */

#define AGE_RECIPIENT_LEN 62 /* strlen("age1…") */
#define AGE_IDENTITY_LEN  74 /* strlen("AGE-SECRET-KEY-1…") */

struct age_recipient {
	uint8_t share[32];
};

struct age_identity; /* a secret key, in locked memory */
struct age_identity *age_identity_new(void);
void age_identity_free(struct age_identity *id);
/* "AGE-SECRET-KEY-1…"; `text` has room for AGE_IDENTITY_LEN + 1 bytes and belongs in secret memory (mem_secret_new). */
void age_identity_text(char *text, const struct age_identity *id);
/* Strict: upper case, checksum, length. KC_EFORMAT otherwise, without repeating the text. Also accepts an identity
 * *file* as age-keygen writes it (comment lines, one identity, line end). Free with age_identity_free. */
int age_identity_parse(struct age_identity **id, const char *text);
void age_identity_recipient(struct age_recipient *r, const struct age_identity *id);

/* "age1…", AGE_RECIPIENT_LEN + 1 bytes. */
void age_recipient_text(char *text, const struct age_recipient *r);
/* Strict: lower case, checksum, length, no point of low order. KC_EFORMAT. */
int age_recipient_parse(struct age_recipient *r, const char *text);

/* ---- wrapping ---- */

/* The size of the header that age_wrap_scrypt() makes, which does not depend on logn. */
size_t age_scrypt_header_size(void);

/* Appends a header with one scrypt recipient. logn AGE_MIN_LOGN..AGE_MAX_LOGN, else KC_EUSAGE. Needs 128·8·2^logn
 * bytes of memory (KC_EFAIL without) and a good part of a second; touches nothing but its arguments, so it may run in
 * a thread. `password` is not empty. */
int age_wrap_scrypt(struct buf *header, const struct age_key *key, const char *password, int logn);

/* The same in a thread of its own, beside the pipeline. start copies key and password. join waits, appends the header
 * (`header` NULL: throw it away), frees the job and is due exactly once after a successful start; NULL is a no-op. */
struct age_scrypt_job;
int age_scrypt_start(struct age_scrypt_job **job, const struct age_key *key, const char *password, int logn);
int age_scrypt_join(struct buf *header, struct age_scrypt_job *job);

/* Appends a header with one X25519 stanza a recipient. */
int age_wrap_x25519(struct buf *header, const struct age_key *key, const struct age_recipient *r, size_t n);

/* ---- opening ---- */

/* What may open a header: a password or identities; the other is NULL / 0. */
struct age_unlock {
	const char *password;
	const struct age_identity *const *identities;
	size_t n_identities;
	int max_logn; /* most scrypt work we do; 0 = AGE_MAX_LOGN */
};

/* How long is the header that `data` begins with? KC_OK and *size; KC_EAGAIN if it goes on after n bytes (n below
 * AGE_HEADER_LIMIT); KC_EFORMAT as soon as it cannot be one. Looks only for its end; a wrong inside is found by
 * age_open_header. */
int age_header_size(size_t *size, const uint8_t *data, size_t n);

/* Unwraps the file key. `header` is exactly one header (age_header_size). Free *key with age_key_free. */
int age_open_header(struct age_key **key, const uint8_t *header, size_t n, const struct age_unlock *with);

/* ---- payload, sealing ---- */

/* Where ciphertext goes: all n bytes or a failure, which the writer returns to its caller and keeps. */
typedef int (*age_write_fn)(void *arg, const void *data, size_t n);

/*
 * The writer owns two chunks; plain text is put into them (age_writer_space, then age_writer_used: no copy) or copied
 * there (age_writer_put), sealed in place, and given to `write` a chunk at a time; the nonce comes before the first.
 */
struct age_writer;
int age_writer_new(struct age_writer **w, const struct age_key *key, age_write_fn write, void *arg);
void age_writer_free(struct age_writer *w); /* wipes; NULL is a no-op */

/* The payload's nonce in 32 hex digits: the id of the file, known before the first byte. id has room for 33. */
void age_writer_id(char *id, const struct age_writer *w);

/* Room for plain text: at least one byte, *n of them. Valid until the next call. */
uint8_t *age_writer_space(struct age_writer *w, size_t *n);
/* The first n bytes of that room are filled. The first failure sticks. */
int age_writer_used(struct age_writer *w, size_t n);
int age_writer_put(struct age_writer *w, const void *data, size_t n);
/* Seals the last chunk. Nothing may follow but free. */
int age_writer_finish(struct age_writer *w);

/* ---- payload, opening ---- */

/* Where ciphertext comes from: up to n bytes, *got of them; 0 only at the end. */
typedef int (*age_read_fn)(void *arg, void *data, size_t n, size_t *got);

/* `read` starts at the nonce. Not one byte of plain text comes out that is not authentic. */
struct age_reader;
int age_reader_new(struct age_reader **r, const struct age_key *key, age_read_fn read, void *arg);
void age_reader_free(struct age_reader *r);

/* The next plain text, at most a chunk, borrowed until the next call. *n is 0 at the end, and then the file was whole:
 * a caller that needs that must read so far. The first failure sticks. */
int age_reader_next(struct age_reader *r, const uint8_t **data, size_t *n);

/* "0123…" of a nonce, for who reads it from a file without opening it. */
void age_id_text(char *id, const uint8_t nonce[AGE_NONCE_SIZE]);

#endif
