/* SPDX-License-Identifier: Apache-2.0 */
/* age_key: file keys, identities, and the constructions that wrap one for the other. */
#include <sodium.h>
#include <string.h>

#include "backup/age_internal.h"
#include "backup/bech32.h"
#include "base/err.h"
#include "base/mem.h"

#define X25519_INFO  "age-encryption.org/v1/X25519"
#define SCRYPT_LABEL "age-encryption.org/v1/scrypt"

/* ---- file key ---- */

struct age_key *age_key_new(void)
{
	struct age_key *key = mem_secret_new(sizeof(*key));

	mem_random(key->bytes, sizeof(key->bytes));
	return key;
}

struct age_key *age_key_from(const uint8_t bytes[AGE_FILE_KEY_SIZE])
{
	struct age_key *key = mem_secret_new(sizeof(*key));

	memcpy(key->bytes, bytes, sizeof(key->bytes));
	return key;
}

void age_key_free(struct age_key *key)
{
	mem_secret_free(key);
}

/* ---- derivation ---- */

void age_hkdf(uint8_t out[32], const void *ikm, size_t nikm, const void *salt, size_t nsalt, const char *info)
{
	static const uint8_t block = 1;
	crypto_auth_hmacsha256_state st;
	uint8_t prk[32];

	crypto_auth_hmacsha256_init(&st, salt, nsalt);
	crypto_auth_hmacsha256_update(&st, ikm, nikm);
	crypto_auth_hmacsha256_final(&st, prk);
	crypto_auth_hmacsha256_init(&st, prk, sizeof(prk));
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)info, strlen(info));
	crypto_auth_hmacsha256_update(&st, &block, 1);
	crypto_auth_hmacsha256_final(&st, out);
	mem_wipe(prk, sizeof(prk));
	mem_wipe(&st, sizeof(st));
}

void age_header_mac(uint8_t mac[32], const struct age_key *key, const uint8_t *header, size_t n)
{
	crypto_auth_hmacsha256_state st;
	uint8_t k[32];

	age_hkdf(k, key->bytes, sizeof(key->bytes), "", 0, "header");
	crypto_auth_hmacsha256_init(&st, k, sizeof(k));
	crypto_auth_hmacsha256_update(&st, header, n);
	crypto_auth_hmacsha256_final(&st, mac);
	mem_wipe(k, sizeof(k));
	mem_wipe(&st, sizeof(st));
}

int age_scrypt_kek(uint8_t kek[32], const char *password, const uint8_t salt[AGE_SALT_SIZE], int logn)
{
	uint8_t labelled[sizeof(SCRYPT_LABEL) - 1 + AGE_SALT_SIZE];

	memcpy(labelled, SCRYPT_LABEL, sizeof(SCRYPT_LABEL) - 1);
	memcpy(labelled + sizeof(SCRYPT_LABEL) - 1, salt, AGE_SALT_SIZE);
	if (crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)password, strlen(password), labelled,
		sizeof(labelled), (uint64_t)1 << logn, 8, 1, kek, 32) != 0)
		return err_set(KC_EFAIL, "no memory for scrypt with N = 2^%d (%llu MB)", logn, 1024ULL << logn >> 20);
	return KC_OK;
}

void age_x25519_kek(uint8_t kek[32], const uint8_t secret[32], const uint8_t ephemeral[32], const uint8_t recipient[32])
{
	uint8_t salt[64];

	memcpy(salt, ephemeral, 32);
	memcpy(salt + 32, recipient, 32);
	age_hkdf(kek, secret, 32, salt, sizeof(salt), X25519_INFO);
}

static const uint8_t zero_nonce[crypto_aead_chacha20poly1305_IETF_NPUBBYTES];

void age_wrap(uint8_t body[AGE_BODY_SIZE], const struct age_key *key, const uint8_t kek[32])
{
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    body, NULL, key->bytes, sizeof(key->bytes), NULL, 0, NULL, zero_nonce, kek);
}

int age_unwrap(uint8_t key[AGE_FILE_KEY_SIZE], const uint8_t body[AGE_BODY_SIZE], const uint8_t kek[32])
{
	return crypto_aead_chacha20poly1305_ietf_decrypt(
		   key, NULL, NULL, body, AGE_BODY_SIZE, NULL, 0, zero_nonce, kek) == 0
		   ? KC_OK
		   : KC_EPASSWORD;
}

/* ---- base64 ---- */

/* libsodium's decoder takes some bytes over 0x7f for digits. */
static bool is_base64(const uint8_t *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!(text[i] >= 'A' && text[i] <= 'Z') && !(text[i] >= 'a' && text[i] <= 'z') &&
		    !(text[i] >= '0' && text[i] <= '9') && text[i] != '+' && text[i] != '/')
			return false;
	return true;
}

int age_base64_decode(uint8_t *out, size_t size, const uint8_t *text, size_t n)
{
	const char *end;
	size_t len;

	if (n != sodium_base64_ENCODED_LEN(size, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) - 1 || !is_base64(text, n))
		return KC_EDAMAGED;
	if (sodium_base642bin(
		out, size, (const char *)text, n, NULL, &len, &end, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 ||
	    len != size || end != (const char *)text + n)
		return KC_EDAMAGED;
	return KC_OK;
}

void age_base64_put(struct buf *b, const uint8_t *data, size_t n)
{
	char text[sodium_base64_ENCODED_LEN(48, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];

	sodium_bin2base64(text, sizeof(text), data, n, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	buf_put_str(b, text);
}

/* ---- identities and recipients ---- */

struct age_identity *age_identity_new(void)
{
	struct age_identity *id = mem_secret_new(sizeof(*id));

	mem_random(id->secret, sizeof(id->secret));
	crypto_scalarmult_curve25519_base(id->share, id->secret);
	return id;
}

void age_identity_free(struct age_identity *id)
{
	mem_secret_free(id);
}

void age_identity_text(char *text, const struct age_identity *id)
{
	bech32_encode(text, "age-secret-key-", id->secret, true);
}

/* The one line that is neither empty nor a comment. */
static int identity_line(const char **line, size_t *n, const char *text)
{
	const char *found = NULL;
	size_t found_len = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		const char *next = text + len + (text[len] == '\n');

		if (len > 0 && text[len - 1] == '\r')
			len--;
		if (len > 0 && text[0] != '#') {
			if (found != NULL)
				return err_set(KC_EFORMAT, "more than one age identity");
			found = text;
			found_len = len;
		}
		text = next;
	}
	if (found == NULL)
		return err_set(KC_EFORMAT, "no age identity");
	*line = found;
	*n = found_len;
	return KC_OK;
}

int age_identity_parse(struct age_identity **id, const char *text)
{
	struct age_identity *new;
	const char *line;
	size_t n;
	int rc;

	if ((rc = identity_line(&line, &n, text)) < 0)
		return rc;
	new = mem_secret_new(sizeof(*new));
	if ((rc = bech32_decode(new->secret, line, n, "age-secret-key-", true)) < 0) {
		age_identity_free(new);
		return err_prefix(rc, "not an age identity");
	}
	crypto_scalarmult_curve25519_base(new->share, new->secret);
	*id = new;
	return KC_OK;
}

void age_identity_recipient(struct age_recipient *r, const struct age_identity *id)
{
	memcpy(r->share, id->share, sizeof(r->share));
}

void age_recipient_text(char *text, const struct age_recipient *r)
{
	bech32_encode(text, "age", r->share, false);
}

int age_recipient_parse(struct age_recipient *r, const char *text)
{
	static const uint8_t any_scalar[32] = { 8 };
	uint8_t share[32], product[32];
	int rc = bech32_decode(share, text, strlen(text), "age", false);

	if (rc < 0)
		return err_prefix(rc, "not an age recipient");
	if (crypto_scalarmult_curve25519(product, any_scalar, share) != 0)
		return err_set(KC_EFORMAT, "not an age recipient: a point of low order");
	memcpy(r->share, share, sizeof(share));
	return KC_OK;
}
