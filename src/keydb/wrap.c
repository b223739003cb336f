/* SPDX-License-Identifier: Apache-2.0 */
/* wrap: AES-256-GCM and HMAC-SHA-256 of GnuTLS over key material. */
#include "wrap.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define AAD_MAX 128

static const char aad_label[] = "keyclone keydb 1";
static const char fingerprint_label[] = "keyclone keydb fingerprint 1";

struct wrap {
	gnutls_aead_cipher_hd_t gcm;
	uint8_t *fingerprint_key; /* secret memory, 32 bytes */
	uint32_t number;
};

int wrap_new(struct wrap **out, const struct master *m, uint32_t number)
{
	const uint8_t *key = master_key(m, number), *oldest = master_key(m, master_oldest(m));
	gnutls_datum_t datum = { .data = (unsigned char *)(uintptr_t)key, .size = MASTER_KEY_SIZE };
	struct wrap *w;
	int rc;

	if (key == NULL)
		return err_set(KC_EPASSWORD, "master key %u is not in the master key file", number);
	w = mem_xalloc(sizeof(*w));
	w->number = number;
	w->fingerprint_key = mem_secret_new(32);
	rc = gnutls_aead_cipher_init(&w->gcm, GNUTLS_CIPHER_AES_256_GCM, &datum);
	if (rc >= 0)
		rc = gnutls_hmac_fast(GNUTLS_MAC_SHA256, oldest, MASTER_KEY_SIZE, fingerprint_label,
		    sizeof(fingerprint_label) - 1, w->fingerprint_key);
	if (rc < 0) {
		wrap_free(w);
		return err_set(KC_EFAIL, "cannot use AES-256-GCM: %s", gnutls_strerror(rc));
	}
	*out = w;
	return KC_OK;
}

void wrap_free(struct wrap *w)
{
	if (w == NULL)
		return;
	if (w->gcm != NULL)
		gnutls_aead_cipher_deinit(w->gcm);
	mem_secret_free(w->fingerprint_key);
	free(w);
}

uint32_t wrap_number(const struct wrap *w)
{
	return w->number;
}

/* Label, uuid and kind with a NUL between them. */
static size_t make_aad(char aad[AAD_MAX], const char *uuid, enum keydb_kind kind)
{
	return (size_t)snprintf(aad, AAD_MAX, "%s%c%s%c%s", aad_label, 0, uuid, 0, keydb_kind_name(kind));
}

int wrap_seal(uint8_t *blob, struct wrap *w, const char *uuid, enum keydb_kind kind, const void *data, size_t size)
{
	char aad[AAD_MAX];
	size_t n = size + WRAP_TAG_SIZE;
	int rc;

	mem_random(blob, WRAP_NONCE_SIZE);
	rc = gnutls_aead_cipher_encrypt(w->gcm, blob, WRAP_NONCE_SIZE, aad, make_aad(aad, uuid, kind), WRAP_TAG_SIZE,
	    data, size, blob + WRAP_NONCE_SIZE, &n);
	if (rc < 0 || n != size + WRAP_TAG_SIZE)
		return err_set(KC_EFAIL, "cannot wrap key %s: %s", uuid, gnutls_strerror(rc));
	return KC_OK;
}

int wrap_open(uint8_t *data, struct wrap *w, const char *uuid, enum keydb_kind kind, const void *blob, size_t size)
{
	const uint8_t *in = blob;
	char aad[AAD_MAX];
	size_t n;
	int rc;

	if (size <= WRAP_OVERHEAD)
		return err_set(KC_EDAMAGED, "key %s: its material is %zu bytes, too short", uuid, size);
	n = size - WRAP_OVERHEAD;
	rc = gnutls_aead_cipher_decrypt(w->gcm, in, WRAP_NONCE_SIZE, aad, make_aad(aad, uuid, kind), WRAP_TAG_SIZE,
	    in + WRAP_NONCE_SIZE, size - WRAP_NONCE_SIZE, data, &n);
	if (rc < 0 || n != size - WRAP_OVERHEAD)
		return err_set(KC_EDAMAGED,
		    "key %s: its material does not open under master key %u: changed, or not this master key", uuid,
		    w->number);
	return KC_OK;
}

int wrap_fingerprint(uint8_t out[WRAP_FINGERPRINT_SIZE], struct wrap *w, const void *data, size_t size)
{
	uint8_t full[32];
	int rc = gnutls_hmac_fast(GNUTLS_MAC_SHA256, w->fingerprint_key, 32, data, size, full);

	if (rc < 0)
		return err_set(KC_EFAIL, "cannot compute a fingerprint: %s", gnutls_strerror(rc));
	memcpy(out, full, WRAP_FINGERPRINT_SIZE);
	mem_wipe(full, sizeof(full));
	return KC_OK;
}
