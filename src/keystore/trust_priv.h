/* SPDX-License-Identifier: Apache-2.0 */
/* trust_priv: the inside of a truststore, shared by the files that keep it and that verify with it. */
#ifndef KC_TRUST_PRIV_H
#define KC_TRUST_PRIV_H

#include "trust.h"
#include "x509.h"

struct trust {
	struct x509_list anchors;
	gnutls_datum_t *ders; /* of the anchors; each is allocated by GnuTLS */
};

#endif
