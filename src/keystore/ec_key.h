/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ec_key: elliptic-curve keys that come without their public half.
 *
 * Java writes EC private keys as PKCS#8 with the scalar alone, which RFC 5915 allows and GnuTLS does not read. The
 * public half is in the certificate that belongs to the key; which one it is, arithmetic tells. Not for anyone outside
 * of the library.
 */
#ifndef KC_EC_KEY_H
#define KC_EC_KEY_H

#include <stdbool.h>

#include "x509.h"

/*
 * `data`: PKCS#8, PEM or DER, plain or encrypted with PBES2 (AES, triple DES). *key is the caller's. false if it is
 * anything else, the password does not open it, or it belongs to none of the certificates: the caller has a message
 * already.
 */
bool ec_key_recover(gnutls_x509_privkey_t *key, const void *data, size_t size, const char *password,
    const struct x509_list *certificates);

#endif
