/* SPDX-License-Identifier: Apache-2.0 */
/* own_cert: looks into the keystore; no state. */
#include "own_cert.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/cert_list.h"
#include "keystore/identity.h"
#include "keystore/trust.h"

#define DAY	  86400
#define BACKDATE  3600 /* what issue.c begins before now */
#define TOKEN	  "pkcs11:"
#define CHAIN_MAX (1024 * 1024)

/* Is it of our own authority by the truststore? Its dates do not matter: `end` is within them. */
static bool is_of_authority(const struct cert_der *chain, size_t count, time_t end, const struct conf *c)
{
	struct cert_info info = { 0 };
	struct trust *trust = NULL;
	bool authority = trust_load(&trust, c->truststore_dir) == KC_OK &&
			 trust_verify(&info, trust, chain, count, CERT_USE_SERVER, end) == KC_OK &&
			 info.anchor_is_authority;

	cert_info_fini(&info);
	trust_free(trust);
	return authority;
}

static void find_anchor(struct own_cert *own, const struct cert_list *chain, const struct conf *c)
{
	enum cert_role mine = c->role == CONF_MASTER ? CERT_ROLE_MASTER : CERT_ROLE_CLONE;

	own->authority = is_of_authority(chain->ders, chain->count, own->info.not_after, c);
	own->role = own->authority && own->info.role == mine;
}

/* The chain alone: opening the key takes a tenth of a second, and the loop waits. */
static int read_chain(struct cert_list *chain, const char *dir, const char *alias)
{
	char *path = mem_xasprintf("%s/%s.crt", dir, alias);
	struct buf b;
	int rc;

	buf_init(&b, CHAIN_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = cert_list_read(chain, buf_data(&b), buf_len(&b), NULL, path);
	buf_fini(&b);
	free(path);
	return rc;
}

int own_cert_load(struct own_cert *own, const struct conf *c)
{
	struct cert_list chain = { 0 };
	struct own_cert o = { 0 };
	int rc;

	if (c->tls_alias != NULL && strncmp(c->tls_alias, TOKEN, strlen(TOKEN)) == 0) {
		*own = (struct own_cert){ .alias = mem_xstrdup(c->tls_alias), .token = true };
		return KC_OK;
	}
	rc = identity_resolve(&o.alias, c->keystore_dir, c->tls_alias);
	if (rc == KC_OK)
		rc = read_chain(&chain, c->keystore_dir, o.alias);
	if (rc == KC_OK)
		rc = cert_info_from_der(&o.info, chain.ders[0].data, chain.ders[0].size);
	if (rc == KC_OK)
		find_anchor(&o, &chain, c);
	cert_list_fini(&chain);
	if (rc == KC_OK)
		*own = o;
	else
		own_cert_fini(&o);
	return rc;
}

static int check_dates(const struct identity *id)
{
	const struct cert_info *info = identity_info(id);
	char limit[CLOCK_UTC_SIZE], clock[CLOCK_UTC_SIZE];
	time_t now = time(NULL);

	clock_utc(clock, (int64_t)now);
	if (info->not_after < now)
		return err_set(KC_ECERT,
		    "alias %.200s: its certificate has expired (its end %s, this machine's clock %s); create or import "
		    "another one",
		    identity_alias(id), clock_utc(limit, (int64_t)info->not_after), clock);
	if (info->not_before > now)
		return err_set(KC_ECERT,
		    "alias %.200s: its certificate is not valid yet (its begin %s, this machine's clock %s); wait for "
		    "it, or set the clock",
		    identity_alias(id), clock_utc(limit, (int64_t)info->not_before), clock);
	return KC_OK;
}

/* A clone may have any: the master's is the one that a site shares. */
static int check_role(const struct identity *id, const struct conf *c)
{
	const struct cert_info *info = identity_info(id);
	size_t count = identity_chain_count(id);
	struct cert_der *chain;
	bool wrong;

	if (c->role != CONF_MASTER || info->role != CERT_ROLE_CLONE)
		return KC_OK;
	chain = mem_xcalloc(count, sizeof(*chain));
	for (size_t i = 0; i < count; i++)
		chain[i] = identity_chain_der(id, i);
	wrong = is_of_authority(chain, count, info->not_after, c);
	free(chain);
	return wrong ? err_set(KC_ECERT,
			   "alias %.200s: is a clone's certificate; a master needs one with the role master: 'keyclone "
			   "cert create --issued --role master'",
			   identity_alias(id))
		     : KC_OK;
}

int own_cert_check(const struct identity *id, const struct conf *c)
{
	int rc = identity_check_uses(id);

	if (rc == KC_OK)
		rc = check_dates(id);
	return rc == KC_OK ? check_role(id, c) : rc;
}

void own_cert_fini(struct own_cert *own)
{
	free(own->alias);
	cert_info_fini(&own->info);
	*own = (struct own_cert){ 0 };
}

const char *own_cert_obstacle(const struct own_cert *own)
{
	if (own->token)
		return "its key is in a token";
	if (!own->authority)
		return own->info.self_signed ? "it is self-signed" : "it is not of the installation's own authority";
	if (!own->role)
		return "it is shared with other machines";
	return NULL;
}

int64_t own_cert_due(const struct cert_info *info)
{
	return (int64_t)info->not_after - ((int64_t)info->not_after - (int64_t)info->not_before) / 3;
}

unsigned own_cert_days(const struct cert_info *info)
{
	int64_t life = (int64_t)info->not_after - (int64_t)info->not_before - BACKDATE;

	return life < DAY ? 1 : (unsigned)((life + DAY / 2) / DAY);
}

void own_cert_names(json_t *request, const struct cert_info *info)
{
	json_t *sans = json_array();

	for (size_t i = 0; i < info->dns_count; i++) {
		char *san = mem_xasprintf("dns:%s", info->dns[i]);

		json_array_append_new(sans, json_string(san));
		free(san);
	}
	for (size_t i = 0; i < info->ip_count; i++) {
		char *san = mem_xasprintf("ip:%s", info->ips[i]);

		json_array_append_new(sans, json_string(san));
		free(san);
	}
	json_object_set_new(request, "cn", json_string(info->cn));
	json_object_set_new(request, "sans", sans);
}
