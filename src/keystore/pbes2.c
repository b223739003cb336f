/* SPDX-License-Identifier: Apache-2.0 */
/* pbes2: a few lines of DER around what GnuTLS computes. */
#include "pbes2.h"

#include <gnutls/crypto.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define ITERATIONS 2048
#define SALT_SIZE  16
#define BLOCK	   16
#define KEY_SIZE   32
#define DER_MAX	   (64 * 1024)
#define LINE	   64 /* characters of base64 */

enum { DER_INTEGER = 0x02, DER_OCTETS = 0x04, DER_SEQUENCE = 0x30 };

/* 1.2.840.113549.1.5.13, 1.2.840.113549.1.5.12, 1.2.840.113549.2.9 with NULL, 2.16.840.1.101.3.4.1.42 */
static const uint8_t oid_pbes2[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d };
static const uint8_t oid_pbkdf2[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c };
static const uint8_t hmac_sha256[] = { 0x30, 0x0c, 0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09, 0x05,
	0x00 };
static const uint8_t oid_aes256_cbc[] = { 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a };

static void put_tlv(struct buf *out, uint8_t tag, const void *data, size_t n)
{
	buf_put_u8(out, tag);
	if (n >= 0x100) {
		buf_put_u8(out, 0x82);
		buf_put_u8(out, (uint8_t)(n >> 8));
	} else if (n >= 0x80) {
		buf_put_u8(out, 0x81);
	}
	buf_put_u8(out, (uint8_t)n);
	buf_put(out, data, n);
}

/* What is in `content` becomes a sequence on the end of `out`; `content` is empty afterwards. */
static void put_sequence(struct buf *out, struct buf *content)
{
	put_tlv(out, DER_SEQUENCE, buf_data(content), buf_len(content));
	buf_reset(content);
}

static void put_algorithm(struct buf *out, const uint8_t salt[SALT_SIZE], const uint8_t iv[BLOCK])
{
	static const uint8_t iterations[] = { ITERATIONS >> 8, ITERATIONS & 0xff };
	struct buf a, b, c;

	buf_init(&a, DER_MAX);
	buf_init(&b, DER_MAX);
	buf_init(&c, DER_MAX);
	put_tlv(&a, DER_OCTETS, salt, SALT_SIZE);
	put_tlv(&a, DER_INTEGER, iterations, sizeof(iterations));
	buf_put(&a, hmac_sha256, sizeof(hmac_sha256));
	buf_put(&b, oid_pbkdf2, sizeof(oid_pbkdf2));
	put_sequence(&b, &a);
	put_sequence(&c, &b);
	buf_put(&a, oid_aes256_cbc, sizeof(oid_aes256_cbc));
	put_tlv(&a, DER_OCTETS, iv, BLOCK);
	put_sequence(&c, &a);
	buf_put(&b, oid_pbes2, sizeof(oid_pbes2));
	put_sequence(&b, &c);
	put_sequence(out, &b);
	buf_fini(&a);
	buf_fini(&b);
	buf_fini(&c);
}

/* In place; `n` is a multiple of the block. */
static int encrypt(uint8_t *data, size_t n, const char *secret, uint8_t salt[SALT_SIZE], uint8_t iv[BLOCK])
{
	uint8_t *key = mem_secret_new(KEY_SIZE);
	gnutls_datum_t password = { (unsigned char *)(uintptr_t)secret, (unsigned)strlen(secret) };
	gnutls_datum_t k = { key, KEY_SIZE }, s = { salt, SALT_SIZE }, v = { iv, BLOCK };
	gnutls_cipher_hd_t cipher;
	int rc = gnutls_pbkdf2(GNUTLS_MAC_SHA256, &password, &s, ITERATIONS, key, KEY_SIZE);

	if (rc >= 0)
		rc = gnutls_cipher_init(&cipher, GNUTLS_CIPHER_AES_256_CBC, &k, &v);
	if (rc >= 0) {
		rc = gnutls_cipher_encrypt(cipher, data, n);
		gnutls_cipher_deinit(cipher);
	}
	mem_secret_free(key);
	return rc >= 0 ? KC_OK : err_set(KC_EFAIL, "a private key cannot be encrypted: %s", gnutls_strerror(rc));
}

static void put_pem(struct buf *out, const struct buf *der)
{
	char *text = base64_encode(buf_data(der), buf_len(der));
	size_t n = strlen(text);

	buf_put_str(out, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
	for (size_t i = 0; i < n; i += LINE) {
		buf_put(out, text + i, n - i < LINE ? n - i : LINE);
		buf_put_str(out, "\n");
	}
	buf_put_str(out, "-----END ENCRYPTED PRIVATE KEY-----\n");
	mem_wipe_free(text);
}

static int put_encrypted(struct buf *out, const gnutls_datum_t *plain, const char *secret)
{
	size_t pad = BLOCK - plain->size % BLOCK, n = plain->size + pad;
	uint8_t salt[SALT_SIZE], iv[BLOCK], *data = mem_secret_new(n);
	struct buf content, der;
	int rc;

	buf_init(&content, DER_MAX);
	buf_init(&der, DER_MAX);
	mem_random(salt, sizeof(salt));
	mem_random(iv, sizeof(iv));
	memcpy(data, plain->data, plain->size);
	memset(data + plain->size, (int)pad, pad);
	put_algorithm(&content, salt, iv);
	rc = encrypt(data, n, secret, salt, iv);
	if (rc == KC_OK) {
		put_tlv(&content, DER_OCTETS, data, n);
		put_sequence(&der, &content);
		rc = buf_status(&der);
	}
	if (rc == KC_OK)
		put_pem(out, &der);
	mem_secret_free(data);
	buf_fini(&der);
	buf_fini(&content);
	return rc == KC_OK ? buf_status(out) : rc;
}

int pbes2_put_key(struct buf *out, gnutls_x509_privkey_t key, const char *secret)
{
	gnutls_datum_t plain = { 0 };
	int rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN, &plain);

	if (rc < 0)
		return err_set(KC_EFAIL, "a private key cannot be encoded: %s", gnutls_strerror(rc));
	rc = put_encrypted(out, &plain, secret);
	gnutls_memset(plain.data, 0, plain.size);
	gnutls_free(plain.data);
	return rc;
}
