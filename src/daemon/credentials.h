/* SPDX-License-Identifier: Apache-2.0 */
/* credentials: from keystore and truststore to what a TLS session needs, and what status says of it. */
#ifndef KC_CREDENTIALS_H
#define KC_CREDENTIALS_H

#include <jansson.h>

#include "base/conf.h"
#include "replication/tls.h"

/* The identity of backup.TLSCertAlias (or the only one) and everything that is trusted. A certificate that cannot serve
 * both as client and server is KC_ECERT. One that every peer will refuse for another reason (own_cert_check) is
 * KC_ECERT where it would take the place of another, and a warning where it is the one of `in_force` (a *certificate as
 * below), or nothing is in force yet (NULL). With tls.CRLFile its lists are in force; one that cannot be read or is not
 * genuine is KC_ECONF. *certificate: {"alias", "sha256", "not_after", "days_left"}. Both are the caller's. */
int credentials_load(struct tls_creds **creds, json_t **certificate, const struct conf *c, const json_t *in_force);

#endif
