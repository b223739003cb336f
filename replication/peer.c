/* SPDX-License-Identifier: Apache-2.0 */
/* peer: the rule of who may speak, on plain data. No I/O, no state. */
#include "peer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "keystore/cert.h"

static const struct {
	const char *name;
	const char *msg;
	const char *text;
	bool ok;
} rows[] = { [PEER_UNDECIDED] = { "PEER_UNDECIDED", "KC0000I", "not decided", false },
#define P(name, ok, code, text) [name] = { #name, code, text, ok },
	PEER_TABLE(P)
#undef P
};

static const char *const *copy_names(const char *const *names)
{
	size_t n = 0;
	char **copy;

	if (names == NULL)
		return NULL;
	while (names[n] != NULL)
		n++;
	copy = mem_xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		copy[i] = mem_xstrdup(names[i]);
	return (const char *const *)copy;
}

static void free_names(const char *const *names)
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		free((char *)names[i]);
	free((void *)names);
}

struct peer_rule peer_rule_copy(const struct peer_rule *rule)
{
	struct peer_rule copy = *rule;

	copy.host = rule->host != NULL ? mem_xstrdup(rule->host) : NULL;
	copy.hosts = copy_names(rule->hosts);
	copy.cns = copy_names(rule->cns);
	return copy;
}

void peer_rule_fini(struct peer_rule *copy)
{
	free((char *)copy->host);
	free_names(copy->hosts);
	free_names(copy->cns);
	*copy = (struct peer_rule){ .role = copy->role };
}

static bool is_authorised_cn(const struct cert_info *cert, const char *const *cns)
{
	if (cns == NULL || cert->cn == NULL || cert->cn[0] == '\0')
		return false;
	for (; *cns != NULL; cns++)
		if (strcasecmp(*cns, cert->cn) == 0)
			return true;
	return false;
}

static bool is_for_one_of(const struct cert_info *cert, const char *const *hosts)
{
	for (; hosts != NULL && *hosts != NULL; hosts++)
		if (cert_info_matches(cert, *hosts))
			return true;
	return false;
}

static enum peer_verdict decide_name(const struct cert_info *cert, const struct peer_rule *rule)
{
	if ((rule->host != NULL && cert_info_matches(cert, rule->host)) || is_for_one_of(cert, rule->hosts))
		return PEER_HOST;
	if (is_authorised_cn(cert, rule->cns))
		return PEER_CN;
	return rule->host != NULL ? PEER_WRONG_HOST : PEER_NO_NAME;
}

static enum peer_verdict decide_role(const struct cert_info *cert, const struct peer_rule *rule)
{
	enum cert_role expected = rule->role == PROTO_MASTER ? CERT_ROLE_MASTER : CERT_ROLE_CLONE;

	if (cert->role == CERT_ROLE_NONE)
		return PEER_NO_ROLE;
	if (cert->role != expected)
		return PEER_WRONG_ROLE;
	if (rule->host != NULL && !peer_may_speak(decide_name(cert, rule)))
		return rule->successor && expected == CERT_ROLE_MASTER ? PEER_ELSEWHERE : PEER_WRONG_HOST;
	return PEER_ROLE;
}

static bool is_own(const struct cert_info *cert, const char *const *spkis)
{
	for (; spkis != NULL && *spkis != NULL; spkis++)
		if (strcmp(*spkis, cert->spki_sha256) == 0)
			return true;
	return false;
}

enum peer_verdict peer_decide(const struct cert_info *cert, const struct peer_rule *rule)
{
	bool own = is_own(cert, rule->own_spkis);
	/* Our authority made it for a clone: who has stolen our own key must not push to us with it. */
	bool only_clone = cert->anchor_is_authority && cert->role == CERT_ROLE_CLONE && rule->role == PROTO_MASTER;

	if (own && !only_clone)
		return PEER_SITE;
	return cert->anchor_is_authority ? decide_role(cert, rule) : decide_name(cert, rule);
}

bool peer_may_speak(enum peer_verdict v)
{
	return rows[v].ok;
}

const char *peer_text(enum peer_verdict v)
{
	return rows[v].text;
}

const char *peer_msg_code(enum peer_verdict v)
{
	return rows[v].msg;
}

const char *peer_name(enum peer_verdict v)
{
	return rows[v].name;
}
