/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign: the installation's Ed25519 signing key and the signers whose backups are restored here.
 *
 * Public keys and signatures are those of OpenBSD's signify (an "untrusted comment:" line and one of base64), so
 * that `signify -V` verifies them. The secret key is sealed at rest (secret.h). A signature covers the bytes
 * themselves: callers sign small lists of checksums, not archives.
 */
#ifndef KC_SIGN_H
#define KC_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct secret_box;
struct sign_key;

struct sign_public {
	uint8_t number[8]; /* random; tells keys apart, proves nothing */
	uint8_t key[32];
};
#define SIGN_NUMBER_SIZE      17 /* 16 hex digits and NUL */
#define SIGN_FINGERPRINT_SIZE 40 /* "0123 4567 … " eight groups and NUL */

/* Make a key: sealed into key_path, its public part in signify's format into pub_path. KC_EEXIST if there is one. */
int sign_key_create(struct sign_key **key, const struct secret_box *box, const char *key_path, const char *pub_path);
int sign_key_load(struct sign_key **key, const struct secret_box *box, const char *key_path);
void sign_key_free(struct sign_key *key); /* wipes; NULL is a no-op */
const struct sign_public *sign_key_public(const struct sign_key *key);

/* *sig is heap text, two lines, the contents of a .sig file. */
int sign_bytes(char **sig, const struct sign_key *key, const void *data, size_t size);
/* KC_ESIGNATURE if it is not a signature of these bytes by this key, KC_EFORMAT if it is no signature text. */
int sign_verify(const struct sign_public *pub, const void *data, size_t size, const char *sig, size_t sig_size);
/* The key number a signature names. */
int sign_sig_number(uint8_t number[8], const char *sig, size_t sig_size);

/* A public key from signify's two lines or from one line of base64 (a comment may follow after a blank). */
int sign_public_parse(struct sign_public *pub, const char *text, size_t size);
int sign_public_read(struct sign_public *pub, const char *path);
/* One line of base64 without line end; heap. What travels in messages and stands in the list of signers. */
char *sign_public_text(const struct sign_public *pub);
/* What people compare: 128 bits of the SHA-256 of the key, in groups. And the number in hex, as signify shows it. */
void sign_public_fingerprint(char out[SIGN_FINGERPRINT_SIZE], const struct sign_public *pub);
void sign_public_number(char out[SIGN_NUMBER_SIZE], const struct sign_public *pub);
bool sign_public_equal(const struct sign_public *a, const struct sign_public *b);

/*
 * The list of pinned signers: a file with one `base64 comment` a line, '#' begins a comment line.
 * A missing file is an empty list.
 */
struct sign_pin {
	struct sign_public pub;
	char *comment; /* "" where it has none */
};
struct sign_pins {
	struct sign_pin *pins;
	size_t count;
};
int sign_pins_load(struct sign_pins *pins, const char *path);
void sign_pins_fini(struct sign_pins *pins);
/* Add a key to the file. *added false: it was there. Control characters in `comment` (may be NULL) are replaced. */
int sign_pin_add(bool *added, const char *path, const struct sign_public *pub, const char *comment);
/* KC_OK if one of the pinned keys signed the bytes (*by, may be NULL, borrowed from pins); else KC_ESIGNATURE, with
 * the key number in the message if it is not pinned. */
int sign_pins_verify(const struct sign_pin **by, const struct sign_pins *pins, const void *data, size_t size,
    const char *sig, size_t sig_size);

#endif
