/* SPDX-License-Identifier: Apache-2.0 */
/* pki: certificates for tests, good and bad, made in memory. A failure to make one ends the program. */
#ifndef KC_TESTS_PKI_H
#define KC_TESTS_PKI_H

#include <stdbool.h>
#include <stddef.h>

#include "keystore/identity.h"
#include "keystore/trust.h"

struct pki_ca;

/* An authority; `own`: with the URI that makes it one of ours. */
struct pki_ca *pki_ca_new(const char *cn, bool own);
void pki_ca_free(struct pki_ca *ca);

/* One below it. The leaves that it issues bring its certificate along. Freed before `ca`. */
struct pki_ca *pki_ca_below(const struct pki_ca *ca, const char *cn);

struct pki_leaf {
	const char *cn;
	const char *dns;     /* NULL: none */
	const char *ip;	     /* NULL: none */
	enum cert_role role; /* its URI */
	long begin, end;     /* seconds from now; both 0: an hour ago to tomorrow */
	bool no_client, no_server;
};
/* `ca` NULL: self-signed. */
struct identity *pki_leaf_new(const struct pki_ca *ca, const struct pki_leaf *spec);

/* A truststore with up to three of these (NULL: fewer). `leaf` (may be NULL) is trusted as itself. */
struct trust *pki_trust_new(const struct pki_ca *a, const struct pki_ca *b, const struct identity *leaf);

/* A revocation list of `ca` onto the end of `out`. */
struct pki_crl {
	const struct identity *revoked[4]; /* NULL: fewer */
	const struct pki_ca *revoked_ca;   /* an authority below; NULL: none */
	const struct pki_ca *signed_by;	   /* somebody else; NULL: `ca` */
	long this_update, next_update;	   /* seconds from now; both 0: an hour ago to tomorrow */
	unsigned char number;
	bool der;
};
void pki_crl_new(struct buf *out, const struct pki_ca *ca, const struct pki_crl *spec);
/* Take the lists in by way of a file; what trust_add_crl_file() says. */
int pki_trust_crl(struct trust *trust, const struct buf *lists, const struct identity *own);
/* The authority's certificate as PEM onto the end of `out`. */
void pki_ca_pem(struct buf *out, const struct pki_ca *ca);

#endif
