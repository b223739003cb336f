/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pbes2: PKCS#8 under a password that is itself a random key (RFC 8018: PBES2 with PBKDF2-HMAC-SHA-256 and
 * AES-256-CBC).
 *
 * GnuTLS writes the same, with 600,000 iterations, which make the guessing of a password slow that a person made up.
 * The secret of a keystore has 256 random bits: nothing is gained by them, and each start, each reload and each command
 * that opens a key would pay a fifth of a second. Not for anyone outside of the library, and not for passwords of
 * people.
 */
#ifndef KC_PBES2_H
#define KC_PBES2_H

#include "x509.h"

/* An ENCRYPTED PRIVATE KEY in PEM onto the end of `out`, which every tool opens that reads PKCS#8. */
int pbes2_put_key(struct buf *out, gnutls_x509_privkey_t key, const char *secret);

#endif
