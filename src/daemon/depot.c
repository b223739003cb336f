/* SPDX-License-Identifier: Apache-2.0 */
/* depot: a keystore for others, and the envelope in which something of it travels. */
#include "depot.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"
#include "keystore/trust.h"
#include "replication/peer.h"

#define FOLDER	"depot"
#define OWN_MAX 64

char *depot_dir(const struct conf *c)
{
	return file_join(c->keystore_dir, FOLDER);
}

/* --- names --- */

static char *alias_of(const char *host, int port)
{
	char *alias = mem_xasprintf("%d@%s", port, host);

	for (char *p = alias; *p != '\0'; p++)
		*p = *p == ':' ? '_' : (char)tolower((unsigned char)*p);
	return alias;
}

char *depot_name(const char *alias)
{
	const char *at = strchr(alias, '@');
	char *host, *name;

	if (at == NULL)
		return mem_xstrdup(alias);
	host = mem_xstrdup(at + 1);
	if (strchr(host, '_') != NULL && host[strspn(host, "0123456789abcdef_.")] == '\0')
		for (char *p = host; *p != '\0'; p++)
			*p = *p == '_' ? ':' : *p;
	name = host_port_format(host, atoi(alias));
	free(host);
	return name;
}

/* --- what it keeps --- */

/* Public keys of the keystore: a shared site certificate is everybody's. */
static size_t own_keys(const char *spkis[OWN_MAX + 1], const struct identity_list *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->count && n < OWN_MAX; i++)
		if (list->entries[i].has_key)
			spkis[n++] = list->entries[i].info.spki_sha256;
	spkis[n] = NULL;
	return n;
}

/* Would this master let its owner in, as the clone on that host? */
static int check_name(const struct cert_info *info, const struct conf *c, const char *host)
{
	struct peer_rule rule = {
		.role = PROTO_CLONE, .host = host, .cns = (const char *const *)c->authorized_cns.items
	};
	const char *spkis[OWN_MAX + 1];
	struct identity_list own = { 0 };
	enum peer_verdict v = PEER_UNDECIDED;
	int rc = identity_list_load(&own, c->keystore_dir);

	if (rc == KC_OK && own_keys(spkis, &own) > 0)
		rule.own_spkis = spkis;
	if (rc == KC_OK)
		v = peer_decide(info, &rule);
	identity_list_fini(&own);
	if (rc < 0 || peer_may_speak(v))
		return rc;
	return err_set(KC_ECERT, "certificate %.200s is not one that %.200s may show: %s",
	    info->cn[0] != '\0' ? info->cn : info->subject, host, peer_text(v));
}

static int check(const struct identity *id, const struct conf *c, const char *host)
{
	size_t count = identity_chain_count(id);
	struct cert_der *chain = mem_xcalloc(count, sizeof(*chain));
	struct cert_info info = { 0 };
	struct trust *trust = NULL;
	int rc = trust_load(&trust, c->truststore_dir);

	for (size_t i = 0; i < count; i++)
		chain[i] = identity_chain_der(id, i);
	if (rc == KC_OK)
		rc = trust_verify(NULL, trust, chain, count, CERT_USE_SERVER, 0);
	if (rc == KC_OK)
		rc = trust_verify(&info, trust, chain, count, CERT_USE_CLIENT, 0);
	if (rc == KC_OK)
		rc = check_name(&info, c, host);
	cert_info_fini(&info);
	trust_free(trust);
	free(chain);
	return rc;
}

int depot_add(const struct conf *c, const char *host, int port, const struct identity *id, bool replace)
{
	char *alias = alias_of(host, port), *dir = depot_dir(c), *crt = mem_xasprintf("%s/%s.crt", dir, alias), *name;
	int rc = check(id, c, host);

	if (rc == KC_OK && !replace && file_exists(crt)) {
		name = host_port_format(host, port);
		rc =
		    err_set(KC_EEXIST, "the depot keeps a certificate for %s already; --replace takes its place", name);
		free(name);
	}
	if (rc == KC_OK)
		rc = identity_save(id, dir, alias, replace);
	free(crt);
	free(alias);
	free(dir);
	return rc;
}

int depot_list(struct identity_list *list, const struct conf *c)
{
	char *dir = depot_dir(c);
	int rc = identity_list_load(list, dir);

	free(dir);
	return rc;
}

bool depot_keeps(const struct conf *c, const char *host, int port)
{
	char *dir = depot_dir(c), *alias = alias_of(host, port), *crt = mem_xasprintf("%s/%s.crt", dir, alias);
	bool there = file_exists(crt);

	free(crt);
	free(alias);
	free(dir);
	return there;
}

int depot_remove(const struct conf *c, const char *host, int port)
{
	char *dir = depot_dir(c), *alias = alias_of(host, port);
	int rc = identity_check_alias(alias);

	if (rc == KC_OK && !depot_keeps(c, host, port))
		rc = err_set(KC_ENOENT, "the depot keeps no certificate for %s, port %d", host, port);
	if (rc == KC_OK)
		rc = identity_remove(dir, alias);
	free(alias);
	free(dir);
	return rc;
}

int depot_load(struct identity **id, const struct conf *c, const char *clone)
{
	char *dir = depot_dir(c), *host = NULL, *alias = NULL, *crt = NULL;
	int port = 0, rc = host_port_parse(&host, &port, clone);

	if (rc == KC_OK) {
		alias = alias_of(host, port);
		crt = mem_xasprintf("%s/%s.crt", dir, alias);
		rc = file_exists(crt) ? identity_load(id, dir, alias)
				      : err_set(KC_ENOENT, "the depot keeps no certificate for %s", clone);
	}
	free(crt);
	free(alias);
	free(host);
	free(dir);
	return rc;
}
