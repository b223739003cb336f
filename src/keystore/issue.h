/* SPDX-License-Identifier: Apache-2.0 */
/*
 * issue: making certificates: the installation's own authority, what it issues, self-signed ones.
 *
 * The authority lives in the secrets directory, which the network process cannot read: authority.crt and
 * authority.key (PKCS#8 encrypted under authority.secret). Its certificate carries the URI SAN urn:keyclone:authority,
 * and what it issues the URI SAN of a role, so that a clone's certificate cannot be used to speak as the master.
 */
#ifndef KC_ISSUE_H
#define KC_ISSUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "cert.h"

struct identity;
struct issue_authority;

#define ISSUE_SERIAL_HEX_MAX 40 /* hex digits of a serial number: 20 bytes */

enum issue_key {
	ISSUE_ECDSA_P256,
	ISSUE_ECDSA_P384,
	ISSUE_ECDSA_P521,
	ISSUE_ED25519,
	ISSUE_RSA_2048,
	ISSUE_RSA_3072,
	ISSUE_RSA_4096
};
/* "ecdsa-p256", …, "ed25519", "rsa-2048", …; KC_EUSAGE for another name. */
int issue_key_from_name(enum issue_key *key, const char *name);

#define ISSUE_YEAR_DAYS	     365 /* of cert.MaximumYears */
#define ISSUE_DAYS_DEFAULT   825
#define ISSUE_YEARS_MAX	     50
#define ISSUE_DAYS_MAX	     18250 /* fifty years; a leaf of an authority is cut to the authority's end */
#define ISSUE_DAYS_AUTHORITY 7300

struct issue_request {
	const char *cn;		 /* required unless `subject` has one */
	const char *subject;	 /* RFC 4514, e.g. "CN=a,O=b"; NULL: only the common name */
	const char *const *sans; /* each "dns:NAME", "ip:ADDRESS", or bare: an address is an IP, everything else DNS */
	size_t san_count;
	unsigned days; /* 0: the default */
	enum issue_key key;
	enum cert_role role; /* of an issued certificate: MASTER, CLONE or NONE */
};

/* Make the authority in `secrets_dir`. `name`: common name. days 0: the default. KC_EEXIST if there is one. */
int issue_authority_create(const char *secrets_dir, const char *name, enum issue_key key, unsigned days);
/* KC_ENOENT if there is none. */
int issue_authority_load(struct issue_authority **authority, const char *secrets_dir);

/* Another authority in its place, of the same kind of key, with the next generation in its name ("X", "X G2"). The one
 * before is kept until it is settled; asked again until then it does nothing. A cut leaves the old or the new one. */
int issue_authority_replace(const char *secrets_dir);
/* The one before is not needed any more; or, undone, it is in force again, and the new one is gone. */
int issue_authority_settle(const char *secrets_dir, bool undone);
void issue_authority_free(struct issue_authority *authority);
const struct cert_info *issue_authority_info(const struct issue_authority *authority);
/* Its certificate as PEM onto the end of `out`, for truststores. */
int issue_authority_pem(struct buf *out, const struct issue_authority *authority);

/* A new key and its certificate, for both sides of TLS, with a random serial and a begin a little in the past. Store it
 * with identity_save(). `authority` NULL: self-signed. The chain of an issued one contains the authority. */
int issue_identity(struct identity **id, const struct issue_authority *authority, const struct issue_request *request);

/*
 * Revocation: the authority's list of what it takes back is authority.crl beside its key. Numbers only grow, and the
 * list is good until the authority's end.
 *
 * issue_revoke adds certificates by their serial numbers (hex, as in cert_info.serial) and signs a new list, unless all
 * of them are on it. *added: how many were not (may be NULL). The list, new or not, is put onto the end of `pem`. Two
 * at a time wait for each other. KC_ENOENT if there is no authority, KC_EUSAGE for what is no serial number,
 * KC_EDAMAGED if the present list is not of this authority's making. issue_crl_pem: the list as it is; KC_ENOENT if
 * nothing was ever revoked. While another authority has its place and is not settled, the one before revokes as well:
 * then `pem` gets two lists.
 */
int issue_revoke(
    struct buf *pem, size_t *added, const char *secrets_dir, const char *const *serials, size_t serial_count);
int issue_crl_pem(struct buf *pem, const char *secrets_dir);

#endif
