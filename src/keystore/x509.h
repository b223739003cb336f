/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x509: what the files of this library share of GnuTLS's X.509 API. Not for anyone outside of it.
 */
#ifndef KC_X509_H
#define KC_X509_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "cert.h"

#define X509_FILE_MAX  (1024 * 1024) /* of a file with certificates or keys */
#define X509_COUNT_MAX 256	     /* certificates in one file */

#define X509_URI_AUTHORITY "urn:keyclone:authority"
#define X509_URI_MASTER	   "urn:keyclone:role:master"
#define X509_URI_CLONE	   "urn:keyclone:role:clone"

struct x509_list {
	gnutls_x509_crt_t *crts;
	size_t count;
};
void x509_list_fini(struct x509_list *list);
void x509_list_take(struct x509_list *list, gnutls_x509_crt_t crt); /* takes crt */
bool x509_list_have(const struct x509_list *list, gnutls_x509_crt_t crt);
bool x509_is_pem(const void *data, size_t size);
/* All certificates of PEM text or of a PKCS#7 file, or one in DER, onto the end of list. KC_EFORMAT "NAME: …" if there
 * is none. */
int x509_list_parse(struct x509_list *list, const void *data, size_t size, const char *name);

int x509_load(gnutls_x509_crt_t *crt, const void *der, size_t size); /* KC_EFORMAT */
int x509_copy(gnutls_x509_crt_t *copy, gnutls_x509_crt_t crt);
int x509_info(struct cert_info *info, gnutls_x509_crt_t crt);
/* cert_info.key_type of what GnuTLS calls it. Heap. */
char *x509_key_type(int algorithm, unsigned bits);
/* Common name, else subject, else "(no name)". Heap. */
char *x509_name(gnutls_x509_crt_t crt);
bool x509_is_ca(gnutls_x509_crt_t crt);
#define X509_RSA_BITS_MIN 2048 /* of keys that are used here */
#define X509_RSA_BITS_MAX 4096 /* of those that certificates are issued for */

/* `crt` may be issued by `issuer`: names and key identifiers fit (the signature is not verified). */
bool x509_is_issued_by(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer);
/* … and its signature verifies, whatever the dates and the strength of the algorithms. */
bool x509_is_signed_by(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer);
enum cert_role x509_role(gnutls_x509_crt_t crt);
/* The use that an end-entity certificate lacks for this side of TLS ("TLS client", "TLS server", "digital signature"),
 * or NULL. */
const char *x509_missing_use(gnutls_x509_crt_t crt, enum cert_use use);
/* The same by extended key usage alone, for an authority. */
bool x509_has_purpose(gnutls_x509_crt_t crt, enum cert_use use);
/* SHA-256 of the public key information. */
int x509_key_id(unsigned char id[32], gnutls_x509_crt_t crt);

/* PEM of a certificate onto `out`. */
struct buf;
int x509_put_pem(struct buf *out, gnutls_x509_crt_t crt);

#endif
