/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrap: key material under a master key: AES-256-GCM.
 *
 * A wrapped blob is nonce (12 random bytes), ciphertext (as long as the material), tag (16). The associated data is
 * "keyclone keydb 1", NUL, uuid, NUL, kind: a blob that was moved to another row, or whose row was made to be of
 * another kind, does not open.
 *
 * A fingerprint finds the same material again without opening every row: the first 16 bytes of an HMAC-SHA-256 under
 * a key derived from the oldest master key, so that it says nothing to whoever lacks the master key file.
 */
#ifndef KC_WRAP_H
#define KC_WRAP_H

#include <stddef.h>
#include <stdint.h>

#include "keydb/lifecycle.h"
#include "keydb/master.h"

#define WRAP_NONCE_SIZE	      12
#define WRAP_TAG_SIZE	      16
#define WRAP_OVERHEAD	      (WRAP_NONCE_SIZE + WRAP_TAG_SIZE)
#define WRAP_FINGERPRINT_SIZE 16

struct wrap;

/* For one master key; borrows nothing afterwards. KC_EPASSWORD where the file has no key `number`. */
int wrap_new(struct wrap **w, const struct master *m, uint32_t number);
void wrap_free(struct wrap *w); /* NULL is a no-op */
uint32_t wrap_number(const struct wrap *w);

/* `blob` has room for size + WRAP_OVERHEAD bytes. */
int wrap_seal(uint8_t *blob, struct wrap *w, const char *uuid, enum keydb_kind kind, const void *data, size_t size);
/* `data` has room for size - WRAP_OVERHEAD bytes, which is what it gets. KC_EDAMAGED if it does not open. */
int wrap_open(uint8_t *data, struct wrap *w, const char *uuid, enum keydb_kind kind, const void *blob, size_t size);

int wrap_fingerprint(uint8_t out[WRAP_FINGERPRINT_SIZE], struct wrap *w, const void *data, size_t size);

#endif
