/* SPDX-License-Identifier: Apache-2.0 */
/* age_internal: what the files of age share and nobody else sees. */
#ifndef KC_BACKUP_AGE_INTERNAL_H
#define KC_BACKUP_AGE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "backup/age.h"

#define AGE_VERSION_LINE  "age-encryption.org/v1\n"
#define AGE_FILE_KEY_SIZE 16
#define AGE_BODY_SIZE	  32 /* a wrapped file key */
#define AGE_SALT_SIZE	  16
#define AGE_BASE64_32	  43 /* digits of 32 bytes */
#define AGE_BASE64_16	  22

struct age_key {
	uint8_t bytes[AGE_FILE_KEY_SIZE];
};

struct age_identity {
	uint8_t secret[32];
	uint8_t share[32]; /* public */
};

struct age_key *age_key_from(const uint8_t bytes[AGE_FILE_KEY_SIZE]);

/* HKDF-SHA-256 with one block of output. salt may be empty. */
void age_hkdf(uint8_t out[32], const void *ikm, size_t nikm, const void *salt, size_t nsalt, const char *info);

/* The MAC over a header up to and including "---". */
void age_header_mac(uint8_t mac[32], const struct age_key *key, const uint8_t *header, size_t n);

/* The key that wraps a file key for a password. KC_EFAIL without memory. */
int age_scrypt_kek(uint8_t kek[32], const char *password, const uint8_t salt[AGE_SALT_SIZE], int logn);
void age_x25519_kek(
    uint8_t kek[32], const uint8_t secret[32], const uint8_t ephemeral[32], const uint8_t recipient[32]);

/* Wrap and unwrap a file key under a key that is used once. age_unwrap: KC_OK or KC_EPASSWORD, without a message. */
void age_wrap(uint8_t body[AGE_BODY_SIZE], const struct age_key *key, const uint8_t kek[32]);
int age_unwrap(uint8_t key[AGE_FILE_KEY_SIZE], const uint8_t body[AGE_BODY_SIZE], const uint8_t kek[32]);

/* Strict: exactly `size` bytes from n digits, canonical, without padding. */
int age_base64_decode(uint8_t *out, size_t size, const uint8_t *text, size_t n);
void age_base64_put(struct buf *b, const uint8_t *data, size_t n);

#endif
