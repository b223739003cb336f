/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cert: what a certificate says, as plain data.
 *
 * The fields are copied out of the certificate once, so that nobody above this library needs the X.509 API.
 */
#ifndef KC_CERT_H
#define KC_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define CERT_HEX_SIZE	   65 /* SHA-256 in lower-case hex, with its NUL */
#define CERT_NEAR_END_DAYS 30 /* from when on it is time for another */

/* What a certificate is for, by its URI SAN `urn:keyclone:authority` or `urn:keyclone:role:…`. */
enum cert_role { CERT_ROLE_NONE, CERT_ROLE_MASTER, CERT_ROLE_CLONE, CERT_ROLE_AUTHORITY };

/* The side of a TLS session that shows the certificate. */
enum cert_use { CERT_USE_CLIENT, CERT_USE_SERVER };

/* A certificate in DER; borrowed bytes. Laid out for a loop over what a TLS session gives. */
struct cert_der {
	const void *data;
	size_t size;
};

struct cert_info {
	char *cn;	/* "" where it has none */
	char *subject;	/* RFC 4514 */
	char *issuer;	/* RFC 4514 */
	char *serial;	/* hex */
	char *key_type; /* "ecdsa-p256", "ecdsa-p384", "rsa-3072", … */
	char **dns;
	size_t dns_count;
	char **ips; /* in presentation format, canonical */
	size_t ip_count;
	enum cert_role role;
	char sha256[CERT_HEX_SIZE];	 /* of the certificate */
	char spki_sha256[CERT_HEX_SIZE]; /* of the public key: equal for two certificates of one key */
	time_t not_before, not_after;
	bool client, server; /* can be used as that side of TLS (extended key usage and key usage) */
	bool ca;
	bool self_signed;	  /* issuer and subject are the same name and it is signed by its own key */
	bool anchor_is_authority; /* set by trust_verify(): the chain ends in an own authority (its URI says so) */
};

/* Free what the fields hold and empty the struct; an empty one is a no-op. */
void cert_info_fini(struct cert_info *info);

/*
 * Is the certificate for `host`, a DNS name or an IP address (also in brackets)? DNS names compare without case; a
 * leftmost label "*" of a name with at least three labels stands for exactly one label. The common name counts only
 * where there is no DNS and no IP SAN at all, and never as a wildcard.
 */
bool cert_info_matches(const struct cert_info *info, const char *host);

/* Whole days until the end, rounded down; negative once it is past. */
long cert_info_days_left(const struct cert_info *info, time_t now);

/* Is it valid for longer than so many years of the calendar, and a day? */
bool cert_info_exceeds(const struct cert_info *info, int years);

/* The information of one DER certificate. KC_EFORMAT if it is not one. */
int cert_info_from_der(struct cert_info *info, const void *der, size_t size);

/* "valid", "expiring" (CERT_NEAR_END_DAYS or less), "expired", "not yet valid". */
const char *cert_info_state(const struct cert_info *info, time_t now);
/* "TLS client and server", "TLS client", "TLS server", "none"; of an authority "authority", and what else. */
const char *cert_info_uses(const struct cert_info *info);

const char *cert_role_name(enum cert_role role); /* "", "master", "clone", "authority" */
const char *cert_use_name(enum cert_use use);	 /* "TLS client", "TLS server" */

#endif
