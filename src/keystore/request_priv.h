/* SPDX-License-Identifier: Apache-2.0 */
/* request_priv: the inside of a request, shared by the files that make, keep and answer one. */
#ifndef KC_REQUEST_PRIV_H
#define KC_REQUEST_PRIV_H

#include "request.h"
#include "x509.h"

struct request {
	gnutls_x509_privkey_t key;
	gnutls_x509_crq_t crq;
};

/* A request in PEM or DER. KC_EFORMAT; the caller's (gnutls_x509_crq_deinit). */
int request_load_crq(gnutls_x509_crq_t *crq, const void *data, size_t size, const char *name);
/* SHA-256 of the public key that the request in a file is for, in hex. KC_ENOENT if there is no such file. */
int request_file_key_id(char id[CERT_HEX_SIZE], const char *path);

#endif
