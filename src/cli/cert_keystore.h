/* SPDX-License-Identifier: Apache-2.0 */
/* cert_keystore: everything that `cert list` and `cert show` can name: certificates and requests of the keystore, and
 * the certificate of a PKCS#11 token. */
#ifndef KC_CERT_KEYSTORE_H
#define KC_CERT_KEYSTORE_H

#include "base/conf.h"
#include "keystore/identity.h"
#include "keystore/request.h"

struct trust;

struct keystore {
	struct identity_list certs; /* the one of a token is the last */
	struct request_list pending;
	bool *revoked;	     /* of each of certs */
	struct trust *trust; /* NULL: it cannot be read, and nothing is known to be revoked */
	char *own;	     /* the alias that TLS uses, NULL: none */
};

/* What cannot be read is in the list as well, with the reason. */
int keystore_load(struct keystore *k, const struct conf *conf);
/* NULL: it is not there. A PKCS#11 URI is opened where it is not in the list yet; its alias is the URI without what
 * follows the '?'. */
const struct identity_entry *keystore_find(struct keystore *k, const struct conf *conf, const char *alias);
void keystore_fini(struct keystore *k);

#endif
