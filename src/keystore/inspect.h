/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect: what a file with a private key or a certificate holds, for keys that are stored and not used here.
 *
 * The result is DER (PKCS#8 without a password, or X.509) in memory from mem_secret_new that the caller frees, and a
 * name of the algorithm: "RSA-3072", "EC-P256", "Ed25519"; and an id that is the same for the same key however it is
 * encoded (an EC key may repeat its curve and its public key, or not).
 */
#ifndef KC_INSPECT_H
#define KC_INSPECT_H

#include <stddef.h>
#include <stdint.h>

#define INSPECT_ALGORITHM_SIZE 32
#define INSPECT_ID_SIZE	       32

struct inspected {
	uint8_t *der;
	size_t size;
	char algorithm[INSPECT_ALGORITHM_SIZE];
	uint8_t id[INSPECT_ID_SIZE]; /* SHA-256 of the public key, or of the certificate */
};

enum inspect_encoding { INSPECT_PEM, INSPECT_DER };

/* `name` (of the file) is for messages. KC_EPASSWORD: encrypted, and `password` (may be NULL) does not open it;
 * KC_EFORMAT: not a private key. */
int inspect_private_key(struct inspected *out, const void *data, size_t size, enum inspect_encoding encoding,
    const char *password, const char *name);
/* KC_EFORMAT: not a certificate. */
int inspect_certificate(
    struct inspected *out, const void *data, size_t size, enum inspect_encoding encoding, const char *name);

#endif
