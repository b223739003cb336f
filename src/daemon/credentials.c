/* SPDX-License-Identifier: Apache-2.0 */
/* credentials: the daemon's one look into keystore and truststore, at start and at each reload. */
#include "credentials.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/member.h"
#include "daemon/daemon.h"
#include "daemon/own_cert.h"
#include "daemon/properties.h"
#include "keystore/identity.h"
#include "keystore/trust.h"

static json_t *describe(const struct identity *id)
{
	const struct cert_info *info = identity_info(id);
	int64_t left = ((int64_t)info->not_after - (int64_t)time(NULL)) / 86400;

	return json_pack("{s:s, s:s, s:o, s:I, s:s, s:s, s:s, s:s}", "alias", identity_alias(id), "sha256",
	    info->sha256, "not_after", member_time((int64_t)info->not_after), "days_left", (json_int_t)left, "cn",
	    info->cn, "key_type", info->key_type, "uses", cert_info_uses(info), "state", "in use");
}

/* While a site certificate is rotated there is another that some peers show already, or still. One that was made here
 * for a clone is not one: its name has to be the clone's. */
static void add_others(struct tls_creds *creds, const char *dir, const char *alias)
{
	struct identity_list list = { 0 };
	int rc = identity_list_load(&list, dir);

	if (rc < 0)
		log_warn("other certificates of the keystore do not count as our own: %s", err_text(rc));
	for (size_t i = 0; i < list.count; i++)
		if (list.entries[i].has_key && list.entries[i].info.role != CERT_ROLE_CLONE &&
		    strcmp(list.entries[i].alias, alias) != 0)
			tls_creds_add_spki(creds, list.entries[i].info.spki_sha256);
	identity_list_fini(&list);
}

/* Whatever is wrong with it: without it the revoked would be let in. */
static int add_crls(struct trust *trust, const char *path, const struct identity *own)
{
	int rc = trust_add_crl_file(trust, path, own);

	if (rc == KC_EPERM)
		return err_set(KC_ECONF,
		    "tls.CRLFile: %s (a daemon that runs may read keystore, truststore, and the folder that "
		    "tls.CRLFile named at its start)",
		    err_text(rc));
	return rc < 0 ? err_set(KC_ECONF, "tls.CRLFile: %s", err_text(rc)) : KC_OK;
}

/* What is in force is not given up for what no peer takes. Where there is nothing better it may be cured: by a renewal,
 * or the clock. */
static int check(const struct identity *id, const struct conf *c, const json_t *in_force)
{
	bool another = in_force != NULL && strcmp(member_text(in_force, "sha256"), identity_info(id)->sha256) != 0;
	int rc = identity_check_uses(id);

	if (rc < 0)
		return rc;
	rc = own_cert_check(id, c);
	if (rc < 0 && !another) {
		log_warn("%s", err_text(rc));
		rc = KC_OK;
	}
	return rc;
}

static int open_identity(struct identity **id, const struct conf *c)
{
	int rc = identity_open(id, c->keystore_dir, c->tls_alias);
	char *where;

	if (rc < 0) {
		where = conf_where(c, PROPERTY_TLS_ALIAS);
		err_prefix(rc, "%s", where);
		free(where);
	}
	return rc;
}

int credentials_load(struct tls_creds **creds, json_t **certificate, const struct conf *c, const json_t *in_force)
{
	struct identity *id = NULL;
	struct trust *trust = NULL;
	int rc = open_identity(&id, c);

	if (rc == KC_OK)
		rc = check(id, c, in_force);
	if (rc == KC_OK)
		rc = trust_load(&trust, c->truststore_dir);
	if (rc == KC_OK && c->crl_file != NULL)
		rc = add_crls(trust, c->crl_file, id);
	if (rc == KC_OK && trust_count(trust) == 0)
		log_warn("%s: no certificate is trusted; every peer will be refused until 'keyclone trust add'",
		    c->truststore_dir);
	if (rc == KC_OK)
		rc = tls_creds_new(creds, id, trust, c->tls_minimum == CONF_TLS_1_2);
	if (rc == KC_OK) {
		trust = NULL;
		add_others(*creds, c->keystore_dir, identity_alias(id));
		*certificate = describe(id);
	}
	trust_free(trust);
	identity_free(id);
	return rc;
}
