/* SPDX-License-Identifier: Apache-2.0 */
/* identity_priv: the inside of an identity, shared by the files that make, load and write one. */
#ifndef KC_IDENTITY_PRIV_H
#define KC_IDENTITY_PRIV_H

#include "identity.h"
#include "x509.h"

struct identity {
	char *alias; /* "" until it has a name */
	struct x509_list chain;
	gnutls_x509_privkey_t key;
	gnutls_datum_t *ders; /* of the chain; each is allocated by GnuTLS */
	struct cert_info info;
};

/*
 * Put an identity together from a pool of certificates and a key: the certificate of the key first (of several the one
 * that lasts longest), then its issuers. Takes `key` in any case; borrows the pool. KC_ECERT if none fits: "NAME: …".
 */
int identity_assemble(
    struct identity **id, const struct x509_list *pool, gnutls_x509_privkey_t key, const char *alias, const char *name);

/* An encrypted PKCS#8 key in PEM onto `out`, and back: from any encoding; `pool` has the certificates it may belong to,
 * for keys that come without their public half. */
int identity_put_key(struct buf *out, gnutls_x509_privkey_t key, const char *password);
int identity_get_key(gnutls_x509_privkey_t *key, const struct x509_list *pool, const void *data, size_t size,
    const char *password, const char *name);

/* A 0600 key file encrypted under the password in secret_path (made on demand), and back. */
int identity_write_key(gnutls_x509_privkey_t key, const char *path, const char *secret_path, bool replace);
int identity_read_key(gnutls_x509_privkey_t *key, const char *path, const char *secret_path);

/* PKCS#12 (identity_p12.c). *alias is heap, "" where there is none; pool is added to. KC_EFORMAT if it is not one. */
bool identity_is_p12(const void *data, size_t size);
int identity_get_p12(struct x509_list *pool, gnutls_x509_privkey_t *key, char **alias, const void *data, size_t size,
    const char *password, const char *name);
int identity_put_p12(struct buf *out, const struct identity *id, bool with_key, const char *password);

#endif
