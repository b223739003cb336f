/* SPDX-License-Identifier: Apache-2.0 */
/* trust_priv: the inside of a truststore, shared by the files that keep it and that verify with it. */
#ifndef KC_TRUST_PRIV_H
#define KC_TRUST_PRIV_H

#include "crl.h"
#include "trust.h"
#include "x509.h"

struct trust {
	struct x509_list anchors;
	gnutls_datum_t *ders; /* of the anchors; each is allocated by GnuTLS */
	struct crl_list crls; /* each verified */
};

/* Every certificate of the truststore onto the end of the list. */
int trust_read_anchors(struct x509_list *anchors, const char *dir);
/* An authority of the list has signed it. */
bool trust_signed_by(gnutls_x509_crt_t crt, const struct x509_list *issuers);

/* One .crl file of the truststore; see trust_load(). */
int trust_read_crl(struct trust *trust, const char *path);

#endif
