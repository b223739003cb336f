/* SPDX-License-Identifier: Apache-2.0 */
/* own_cert: looks into the keystore; no state. */
#include "own_cert.h"

#include <stdlib.h>
#include <string.h>

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

/* Whose it is by the truststore; its dates do not matter. */
static void find_anchor(struct own_cert *own, const struct cert_list *chain, const struct conf *c)
{
	enum cert_role mine = c->role == CONF_MASTER ? CERT_ROLE_MASTER : CERT_ROLE_CLONE;
	struct cert_info info = { 0 };
	struct trust *trust = NULL;

	if (trust_load(&trust, c->truststore_dir) == KC_OK &&
	    trust_verify(&info, trust, chain->ders, chain->count, CERT_USE_SERVER, own->info.not_after) == KC_OK)
		own->authority = info.anchor_is_authority;
	own->role = own->authority && info.role == mine;
	cert_info_fini(&info);
	trust_free(trust);
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
