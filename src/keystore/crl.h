/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crl: certificate revocation lists (RFC 5280), for the files of this library. Above it they are part of a truststore:
 * trust.h.
 *
 * A list is taken in once its signature has been verified with its issuer's certificate, and is plain data from then
 * on: the issuer's key, and the serial numbers. Its dates are not judged: what was revoked stays revoked when nobody
 * has published a newer list.
 */
#ifndef KC_CRL_H
#define KC_CRL_H

#include <stddef.h>
#include <time.h>

#include "x509.h"

#define CRL_FILE_MAX   (16 * 1024 * 1024)
#define CRL_SERIAL_MAX 32 /* bytes; certificates have 20 at most */
#define CRL_NUMBER_MAX 20 /* bytes */

struct crl_entry {
	unsigned char serial[CRL_SERIAL_MAX];
	unsigned char size; /* of it, without leading zeros */
	time_t at;	    /* when it was revoked; 0: it does not say */
};

struct crl {
	gnutls_x509_crl_t raw; /* until crl_verify() */
	char *issuer;	       /* common name, else RFC 4514; printable */
	gnutls_datum_t issuer_dn;
	unsigned char issuer_key[32];		  /* x509_key_id() of who signed it */
	unsigned char number[CRL_NUMBER_MAX + 1]; /* big-endian, after its size in [0] */
	time_t this_update, next_update;	  /* 0: it does not say */
	struct crl_entry *entries;		  /* by serial */
	size_t count;
};

struct crl_list {
	struct crl *crls;
	size_t count;
};
void crl_list_fini(struct crl_list *list);

/* All lists of PEM text, or one in DER, onto the end of `list`. KC_EFORMAT "NAME: …" if there is none, or a bad one. */
int crl_list_parse(struct crl_list *list, const void *data, size_t size, const char *name);

/* The certificate is of the authority that the list says it is of, by name and key identifier. Before crl_verify(). */
bool crl_is_of(const struct crl *crl, gnutls_x509_crt_t issuer);
/* … and has signed it. KC_ECERT. From then on the list can be asked. */
int crl_verify(struct crl *crl, gnutls_x509_crt_t issuer);

/* The entry for a certificate whose issuer has this key, or NULL. Without a key (NULL) the issuer's name decides. */
const struct crl_entry *crl_find(const struct crl *crl, gnutls_x509_crt_t crt, const unsigned char *issuer_key);
/* The entry for a serial number, leading zeros or not. */
const struct crl_entry *crl_find_serial(const struct crl *crl, const unsigned char *serial, size_t size);

/* < 0, 0, > 0: by CRL number; a list without one is older than any. */
int crl_compare_numbers(const struct crl *a, const struct crl *b);

#endif
