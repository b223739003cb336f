/* SPDX-License-Identifier: Apache-2.0 */
/* own_cert: the certificate that this machine speaks with, or shall: is it fit, who can renew it, when is that due. */
#ifndef KC_OWN_CERT_H
#define KC_OWN_CERT_H

#include <jansson.h>

#include "base/conf.h"
#include "keystore/cert.h"

#define OWN_CERT_EXTERNAL_DAYS 60 /* before the end: a set in tls.ExternalCertDir is looked for */
#define OWN_CERT_DEPOT_DAYS    15 /* … and the master's depot is asked */

struct identity;

struct own_cert {
	char *alias;
	struct cert_info info;
	bool token;	/* its key is in a token: nothing here takes its place */
	bool authority; /* the installation's own authority made it */
	bool role;	/* … for what this machine is: else it is another's, shared */
};

/* Free with own_cert_fini(), which an empty one does not mind. */
int own_cert_load(struct own_cert *own, const struct conf *c);
void own_cert_fini(struct own_cert *own);

/* May this machine begin to speak with this identity? KC_ECERT where every peer would have to refuse it: it does not
 * serve both sides, it has expired or is not valid yet, or the own authority made it for a clone and this is a master.
 */
int own_cert_check(const struct identity *id, const struct conf *c);

/* Why the own authority cannot renew it; NULL: it can. */
const char *own_cert_obstacle(const struct own_cert *own);

/* When a certificate of the own authority is to be renewed: a third of its life before its end. */
int64_t own_cert_due(const struct cert_info *info);
/* Days that the next one is to last: as long as this one was made for. At least one. */
unsigned own_cert_days(const struct cert_info *info);
/* "cn", "sans", into a request for the worker. */
void own_cert_names(json_t *request, const struct cert_info *info);

#endif
