/* SPDX-License-Identifier: Apache-2.0 */
/* credentials: the daemon's one look into keystore and truststore, at start and at each reload. */
#include "credentials.h"

#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/member.h"
#include "daemon/daemon.h"
#include "keystore/identity.h"
#include "keystore/trust.h"

static json_t *describe(const struct identity *id)
{
	const struct cert_info *info = identity_info(id);
	int64_t left = ((int64_t)info->not_after - (int64_t)time(NULL)) / 86400;

	return json_pack("{s:s, s:s, s:o, s:I}", "alias", identity_alias(id), "sha256", info->sha256, "not_after",
	    member_time((int64_t)info->not_after), "days_left", (json_int_t)left);
}

int credentials_load(struct tls_creds **creds, json_t **certificate, const struct conf *c)
{
	struct identity *id = NULL;
	struct trust *trust = NULL;
	char *alias = NULL;
	int rc = identity_resolve(&alias, c->keystore_dir, c->tls_alias);

	if (rc == KC_OK)
		rc = identity_load(&id, c->keystore_dir, alias);
	if (rc == KC_OK)
		rc = identity_check_uses(id);
	if (rc == KC_OK)
		rc = trust_load(&trust, c->truststore_dir);
	if (rc == KC_OK && trust_count(trust) == 0)
		log_warn("%s: no certificate is trusted; every peer will be refused until 'keyclone trust add'",
		    c->truststore_dir);
	if (rc == KC_OK && identity_info(id)->not_after < time(NULL))
		log_warn("certificate %s has expired; every peer will refuse it", alias);
	if (rc == KC_OK)
		rc = tls_creds_new(creds, id, trust, c->tls_minimum == CONF_TLS_1_2);
	if (rc == KC_OK) {
		trust = NULL;
		*certificate = describe(id);
	}
	trust_free(trust);
	identity_free(id);
	free(alias);
	return rc;
}
