/* SPDX-License-Identifier: Apache-2.0 */
/* identity_priv: the inside of an identity, shared by the files that make, load and write one. */
#ifndef KC_IDENTITY_PRIV_H
#define KC_IDENTITY_PRIV_H

#include "identity.h"
#include "x509.h"

/* The files of an alias, and the one that opens the keys. */
#define IDENTITY_CRT	 ".crt"
#define IDENTITY_KEY	 ".key"
#define IDENTITY_KEY_NEW ".key.new" /* a replacement that is under way, or was cut short */
#define IDENTITY_CSR	 ".csr"
#define IDENTITY_SECRET	 "tls.secret"

/* The path of such a file. Heap. */
char *identity_path(const char *dir, const char *alias, const char *suffix);
/* What the directory has with this suffix, without it, sorted. A missing directory has nothing. Free with
 * identity_names_free(). */
int identity_names(char ***names, size_t *count, const char *dir, const char *suffix);
void identity_names_free(char **names, size_t count);
/* The certificates of one file, at least one. */
int identity_read_chain(struct x509_list *chain, const char *path);

struct identity {
	char *alias; /* "" until it has a name */
	struct x509_list chain;
	gnutls_x509_privkey_t key; /* NULL: it is in the token */
	struct token *token;
	gnutls_datum_t *ders; /* of the chain; each is allocated by GnuTLS */
	struct cert_info info;
};

/*
 * Put an identity together from a pool of certificates and a key: the certificate of the key first (of several the one
 * that lasts longest), then its issuers. Takes `key` in any case; borrows the pool. KC_ECERT if none fits: "NAME: …".
 */
int identity_assemble(
    struct identity **id, const struct x509_list *pool, gnutls_x509_privkey_t key, const char *alias, const char *name);

/* Fill in `ders` of the chain. */
int identity_keep_ders(struct identity *id);

/* An encrypted PKCS#8 key in PEM onto `out`, and back: from any encoding; `pool` has the certificates it may belong to,
 * for keys that come without their public half. */
int identity_put_key(struct buf *out, gnutls_x509_privkey_t key, const char *password);
int identity_get_key(gnutls_x509_privkey_t *key, const struct x509_list *pool, const void *data, size_t size,
    const char *password, const char *name);

/* A 0600 key file encrypted under the password in secret_path (made on demand), and back. */
int identity_write_key(gnutls_x509_privkey_t key, const char *path, const char *secret_path, bool replace);
int identity_read_key(gnutls_x509_privkey_t *key, const char *path, const char *secret_path);

bool identity_key_fits(gnutls_x509_privkey_t key, gnutls_x509_crt_t crt);

/*
 * Copy what there is of an alias into retired/ (retired.c): the certificate, with `all` its key and its request as
 * well. Nothing is removed. KC_OK where there is nothing to copy.
 */
int retired_put(const char *dir, const char *alias, bool all);
/* The same for a file of the truststore `dir`. */
int retired_put_trusted(const char *dir, const char *file);

/* The certificates of a source that is not PKCS#12, and those of its further files. */
int identity_read_pool(struct x509_list *pool, const struct identity_source *s);
int identity_read_further(struct x509_list *pool, const struct identity_source *s);

/* PKCS#12 (identity_p12.c). *alias is heap, "" where there is none; pool is added to; *keys is how many private keys it
 * has, also where the call fails for there being several. KC_EFORMAT if it is not one. */
bool identity_is_p12(const void *data, size_t size);
int identity_get_p12(
    struct x509_list *pool, gnutls_x509_privkey_t *key, char **alias, size_t *keys, const struct identity_source *s);
int identity_put_p12(struct buf *out, const struct identity *id, bool with_key, const char *password);

#endif
