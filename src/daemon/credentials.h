/* SPDX-License-Identifier: Apache-2.0 */
/* credentials: from keystore and truststore to what a TLS session needs, and what status says of it. */
#ifndef KC_CREDENTIALS_H
#define KC_CREDENTIALS_H

#include <jansson.h>

#include "base/conf.h"
#include "replication/tls.h"

/* The identity of backup.TLSCertAlias (or the only one) and everything that is trusted. A certificate that cannot serve
 * both as client and server is KC_ECERT; one that has expired is a warning: a peer will refuse it, and say so.
 * With tls.CRLFile its lists are in force; one that cannot be read or is not genuine is KC_ECONF.
 * *certificate: {"alias", "sha256", "not_after", "days_left"}. Both are the caller's. */
int credentials_load(struct tls_creds **creds, json_t **certificate, const struct conf *c);

#endif
