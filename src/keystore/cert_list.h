/* SPDX-License-Identifier: Apache-2.0 */
/* cert_list: the certificates of a file or of a peer, in the order they came, for people to look at. */
#ifndef KC_CERT_LIST_H
#define KC_CERT_LIST_H

#include "cert.h"

struct cert_list {
	struct cert_info *infos;
	struct cert_der *ders; /* of the same certificates; owned */
	size_t count;
	bool has_key; /* there is a private key in the file */
};

/* PEM, PKCS#7, PKCS#12 (opened with `password`, NULL: none) or one in DER. KC_EPASSWORD, KC_EFORMAT. */
int cert_list_read(struct cert_list *list, const void *data, size_t size, const char *password, const char *name);
/* Copies of what a peer showed; what cannot be read is KC_EFORMAT. */
int cert_list_copy(struct cert_list *list, const struct cert_der *ders, size_t count);
void cert_list_fini(struct cert_list *list);

#endif
