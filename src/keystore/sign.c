/* SPDX-License-Identifier: Apache-2.0 */
/* sign: Ed25519 in signify's clothes. The only place that knows its layout: "Ed", key number, key or signature. */
#include "sign.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "secret.h"

#define ALGORITHM      "Ed"
#define ALGORITHM_SIZE 2
#define NUMBER_SIZE    8
#define HEAD_SIZE      (ALGORITHM_SIZE + NUMBER_SIZE)
#define PUBLIC_SIZE    (HEAD_SIZE + crypto_sign_PUBLICKEYBYTES)
#define SIG_SIZE       (HEAD_SIZE + crypto_sign_BYTES)
#define COMMENT	       "untrusted comment: "
#define COMMENT_MAX    1024
#define BASE64(n)      (((n) + 2) / 3 * 4)
#define FILE_MAX       (COMMENT_MAX + BASE64(SIG_SIZE) + 8)

struct sign_key {
	struct sign_public pub;
	uint8_t secret[crypto_sign_SECRETKEYBYTES];
};

/* What is sealed: the key number and the secret key. */
#define SEALED_SIZE (NUMBER_SIZE + crypto_sign_SECRETKEYBYTES)

static char *encode(const struct sign_public *pub, const uint8_t *rest, size_t rest_size)
{
	uint8_t blob[SIG_SIZE];

	memcpy(blob, ALGORITHM, ALGORITHM_SIZE);
	memcpy(blob + ALGORITHM_SIZE, pub->number, NUMBER_SIZE);
	memcpy(blob + HEAD_SIZE, rest, rest_size);
	return base64_encode(blob, HEAD_SIZE + rest_size);
}

/* Exactly `want` bytes from the base64 at the beginning of text, up to a blank or the end of the line. */
static int decode_line(uint8_t *blob, size_t want, const char *text, size_t size, const char *what)
{
	size_t got = 0, n = 0;

	while (n < size && memchr(" \t\r\n", text[n], 4) == NULL)
		n++;
	if (base64_decode(blob, &got, want, text, n) < 0 || got != want || memcmp(blob, ALGORITHM, ALGORITHM_SIZE) != 0)
		return err_set(KC_EFORMAT, "not a signify Ed25519 %s", what);
	return KC_OK;
}

/* The line behind the comment line. */
static int skip_comment(const char **text, size_t *size, const char *what)
{
	const char *nl = memchr(*text, '\n', *size);
	size_t head = sizeof(COMMENT) - 1;

	if (*size < head || memcmp(*text, COMMENT, head) != 0 || nl == NULL || nl - *text > COMMENT_MAX)
		return err_set(KC_EFORMAT, "not a signify %s: the comment line is missing", what);
	*size -= (size_t)(nl + 1 - *text);
	*text = nl + 1;
	return KC_OK;
}

int sign_public_parse(struct sign_public *pub, const char *text, size_t size)
{
	uint8_t blob[PUBLIC_SIZE];
	int rc = KC_OK;

	if (size >= sizeof(COMMENT) - 1 && memcmp(text, COMMENT, sizeof(COMMENT) - 1) == 0)
		rc = skip_comment(&text, &size, "public key");
	if (rc == KC_OK)
		rc = decode_line(blob, sizeof(blob), text, size, "public key");
	if (rc < 0)
		return rc;
	memcpy(pub->number, blob + ALGORITHM_SIZE, NUMBER_SIZE);
	memcpy(pub->key, blob + HEAD_SIZE, sizeof(pub->key));
	return KC_OK;
}

int sign_public_read(struct sign_public *pub, const char *path)
{
	struct buf b;
	int rc;

	buf_init(&b, FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK && (rc = sign_public_parse(pub, (const char *)buf_data(&b), buf_len(&b))) < 0)
		err_prefix(rc, "%s", path);
	buf_fini(&b);
	return rc;
}

char *sign_public_text(const struct sign_public *pub)
{
	return encode(pub, pub->key, sizeof(pub->key));
}

void sign_public_fingerprint(char out[SIGN_FINGERPRINT_SIZE], const struct sign_public *pub)
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, pub->key, sizeof(pub->key));
	for (size_t i = 0; i < 8; i++) {
		hex_encode(out + i * 5, hash + i * 2, 2);
		out[i * 5 + 4] = i < 7 ? ' ' : '\0';
	}
}

void sign_public_number(char out[SIGN_NUMBER_SIZE], const struct sign_public *pub)
{
	hex_encode(out, pub->number, NUMBER_SIZE);
}

bool sign_public_equal(const struct sign_public *a, const struct sign_public *b)
{
	return memcmp(a->number, b->number, sizeof(a->number)) == 0 && memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

static int public_write(const struct sign_public *pub, const char *path)
{
	char number[SIGN_NUMBER_SIZE], *base64 = sign_public_text(pub), *text;
	int rc;

	sign_public_number(number, pub);
	text = mem_xasprintf(COMMENT "keyclone signing key %s\n%s\n", number, base64);
	rc = file_replace(path, text, strlen(text), 0644);
	free(text);
	free(base64);
	return rc;
}

int sign_key_create(struct sign_key **key, const struct secret_box *box, const char *key_path, const char *pub_path)
{
	struct sign_key *k = mem_secret_new(sizeof(*k));
	uint8_t *plain = mem_secret_new(SEALED_SIZE);
	int rc;

	crypto_sign_keypair(k->pub.key, k->secret);
	mem_random(k->pub.number, NUMBER_SIZE);
	memcpy(plain, k->pub.number, NUMBER_SIZE);
	memcpy(plain + NUMBER_SIZE, k->secret, sizeof(k->secret));
	rc = secret_write(box, SECRET_SIGNING_KEY, key_path, plain, SEALED_SIZE, false);
	if (rc == KC_OK)
		rc = public_write(&k->pub, pub_path);
	mem_secret_free(plain);
	if (rc == KC_OK)
		*key = k;
	else
		sign_key_free(k);
	return rc;
}

int sign_key_load(struct sign_key **key, const struct secret_box *box, const char *key_path)
{
	struct sign_key *k;
	void *plain = NULL;
	size_t n;
	int rc = secret_read(&plain, &n, box, SECRET_SIGNING_KEY, key_path);

	if (rc == KC_OK && n != SEALED_SIZE)
		rc = err_set(KC_EDAMAGED, "%s: has %zu bytes instead of %zu", key_path, n, (size_t)SEALED_SIZE);
	if (rc == KC_OK) {
		k = mem_secret_new(sizeof(*k));
		memcpy(k->pub.number, plain, NUMBER_SIZE);
		memcpy(k->secret, (uint8_t *)plain + NUMBER_SIZE, sizeof(k->secret));
		crypto_sign_ed25519_sk_to_pk(k->pub.key, k->secret);
		*key = k;
	}
	mem_secret_free(plain);
	return rc;
}

void sign_key_free(struct sign_key *key)
{
	mem_secret_free(key);
}

const struct sign_public *sign_key_public(const struct sign_key *key)
{
	return &key->pub;
}

int sign_bytes(char **sig, const struct sign_key *key, const void *data, size_t size)
{
	char number[SIGN_NUMBER_SIZE], *base64;
	uint8_t raw[crypto_sign_BYTES];

	if (crypto_sign_detached(raw, NULL, data, size, key->secret) != 0)
		return err_set(KC_EFAIL, "signing failed");
	base64 = encode(&key->pub, raw, sizeof(raw));
	sign_public_number(number, &key->pub);
	*sig = mem_xasprintf(COMMENT "signature by keyclone signing key %s\n%s\n", number, base64);
	free(base64);
	return KC_OK;
}

static int parse_sig(uint8_t blob[SIG_SIZE], const char *sig, size_t sig_size)
{
	int rc = skip_comment(&sig, &sig_size, "signature");

	return rc == KC_OK ? decode_line(blob, SIG_SIZE, sig, sig_size, "signature") : rc;
}

int sign_sig_number(uint8_t number[8], const char *sig, size_t sig_size)
{
	uint8_t blob[SIG_SIZE];
	int rc = parse_sig(blob, sig, sig_size);

	if (rc == KC_OK)
		memcpy(number, blob + ALGORITHM_SIZE, NUMBER_SIZE);
	return rc;
}

int sign_verify(const struct sign_public *pub, const void *data, size_t size, const char *sig, size_t sig_size)
{
	char number[SIGN_NUMBER_SIZE], theirs[SIGN_NUMBER_SIZE];
	uint8_t blob[SIG_SIZE];
	int rc = parse_sig(blob, sig, sig_size);

	if (rc < 0)
		return rc;
	sign_public_number(number, pub);
	hex_encode(theirs, blob + ALGORITHM_SIZE, NUMBER_SIZE);
	if (strcmp(number, theirs) != 0)
		return err_set(KC_ESIGNATURE, "signed by key %s, not by %s", theirs, number);
	if (crypto_sign_verify_detached(blob + HEAD_SIZE, data, size, pub->key) != 0)
		return err_set(KC_ESIGNATURE, "the signature of key %s does not verify", number);
	return KC_OK;
}
