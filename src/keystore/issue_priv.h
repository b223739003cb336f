/* SPDX-License-Identifier: Apache-2.0 */
/* issue_priv: what making certificates and making requests for them share. */
#ifndef KC_ISSUE_PRIV_H
#define KC_ISSUE_PRIV_H

#include <gnutls/abstract.h>
#include <stdbool.h>

#include "issue.h"
#include "x509.h"

#define ISSUE_CN_MAX 64 /* bytes of a common name */

struct issue_authority {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
	struct cert_info info;
};

/* A GnuTLS result as ours: `what` failed. */
int issue_check(int rc, const char *what);

int issue_make_key(gnutls_x509_privkey_t *key, enum issue_key type);
/* The digest that fits a key which signs. */
gnutls_digest_algorithm_t issue_digest_of(gnutls_x509_privkey_t key);

/* An alternative name as it goes into a certificate: `data` points into `raw` or into the text. */
struct issue_san {
	gnutls_x509_subject_alt_name_t type;
	const void *data;
	unsigned size;
	unsigned char raw[16];
};
int issue_parse_san(struct issue_san *san, const char *text);

/* The files of the authority, and those of the one before while another has its place (issue_replace.c). */
#define ISSUE_PRESENT "authority."
#define ISSUE_BEFORE  "authority.old."
/* KC_ENOENT. */
int issue_authority_read(struct issue_authority **authority, const char *secrets_dir, const char *stem);

/* A replacement that was cut short is completed (issue_replace.c). */
int issue_authority_finish(const char *secrets_dir);

/* Is there another authority that is not settled yet? */
bool issue_authority_is_replaced(const char *secrets_dir);

/* A certificate for this public key. `own` NULL: of the authority; else self-signed. */
int issue_certificate(gnutls_x509_crt_t *crt, gnutls_pubkey_t key, gnutls_x509_privkey_t own,
    const struct issue_request *r, const struct issue_authority *authority);

#endif
