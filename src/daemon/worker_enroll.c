/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_enroll: who may become a clone. The daemon has met somebody who knows the key of a token's session; whether he
 * may join, and with which identity, is proved to the worker by the token's other key, which the daemon never sees.
 *
 * Nothing is handed out before the use of the token is on disk. A crash before that leaves at most a clone in the
 * configuration that has no certificate: the token is still good, and joining again finds it there.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "backup/age.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/invites.h"
#include "daemon/properties.h"
#include "daemon/recipients.h"
#include "keystore/chain.h"
#include "keystore/issue.h"
#include "keystore/request.h"
#include "keystore/trust.h"
#include "replication/proto.h"
#include "worker_int.h"

#define PEM_MAX (64 * 1024)

/* --- tokens --- */

int worker_job_tokens(json_t *result, struct worker *w, const json_t *request)
{
	struct invites t = { NULL, 0 };
	json_t *list = json_array();
	int rc = invites_load(&t, w->conf->secrets_dir);

	(void)request;
	for (size_t i = 0; rc == KC_OK && i < t.count; i++) {
		const struct invites_entry *e = &t.entries[i];
		char psk[2 * INVITE_KEY_BYTES + 1];

		hex_encode(psk, e->keys.psk, INVITE_KEY_BYTES);
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "id", e->keys.id, "psk", psk, "expires",
						(json_int_t)e->expires, "uses", (json_int_t)e->uses));
		mem_wipe(psk, sizeof(psk));
	}
	json_object_set_new(result, "tokens", list);
	invites_fini(&t);
	return rc;
}

/* --- enroll --- */

struct enrolment {
	struct worker *w;
	json_t *result;
	const char *id, *csr, *chain, *claimed, *host, *recipient, *lineage, *proof;
	int port;
	char *name;	   /* HOST:PORT */
	struct conf *conf; /* as the file is now */
	struct issue_authority *authority;
	char named[CERT_HEX_SIZE]; /* the authority that the token names */
	bool known;		   /* it is in the configuration */
};

static int take_request(struct enrolment *e, const json_t *request)
{
	int rc = worker_get_string(&e->id, request, "token");

	if (rc == KC_OK)
		rc = worker_get_string(&e->host, request, "host");
	if (rc == KC_OK)
		rc = worker_get_string(&e->recipient, request, "recipient");
	if (rc == KC_OK)
		rc = worker_get_string(&e->proof, request, "proof");
	e->csr = member_text(request, "csr");
	e->chain = member_text(request, "chain");
	e->claimed = member_text(request, "claimed");
	e->lineage = member_text(request, "lineage");
	e->port = (int)member_int(request, "port");
	return rc;
}

static int check_proof(struct enrolment *e)
{
	const struct invite_claim claim = { .csr = e->csr,
		.csr_size = strlen(e->csr),
		.chain = e->chain,
		.chain_size = strlen(e->chain),
		.host = e->claimed,
		.port = e->port,
		.recipient = e->recipient,
		.lineage = e->lineage };
	char right[CERT_HEX_SIZE];
	struct invites t = { NULL, 0 };
	const struct invites_entry *found = NULL;
	int rc = invites_load(&t, e->w->conf->secrets_dir);

	for (size_t i = 0; rc == KC_OK && i < t.count; i++)
		if (strcmp(t.entries[i].keys.id, e->id) == 0)
			found = &t.entries[i];
	if (rc == KC_OK && found == NULL)
		rc = err_set(KC_EPERM, "the token is not valid any more: it was used, has expired, or was revoked");
	if (rc == KC_OK) {
		memcpy(e->named, found->authority, sizeof(e->named));
		invite_prove(right, found->keys.proof, &claim);
		if (strlen(e->proof) != strlen(right) || !mem_equal(right, e->proof, strlen(right)))
			rc = err_set(KC_EPERM, "the request is not what the holder of the token asked for");
	}
	if (rc == KC_OK && e->claimed[0] != '\0' && strcasecmp(e->claimed, e->host) != 0)
		rc = err_set(KC_EPERM, "the clone asked for another host");
	invites_fini(&t);
	return rc;
}

static int load_conf(struct enrolment *e)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	int rc = conf_load(&e->conf, e->w->conf_path, 0, &p);

	if (rc < 0)
		rc = err_set(KC_ECONF, "the master's configuration has errors%s%s", p.errors.count > 0 ? ": " : "",
		    p.errors.count > 0 ? p.errors.items[0] : "");
	conf_problems_fini(&p);
	for (size_t i = 0; rc == KC_OK && i < e->conf->clone_count; i++)
		e->known = e->known ||
			   (strcasecmp(e->conf->clones[i].host, e->host) == 0 && e->conf->clones[i].port == e->port);
	return rc;
}

/* --- its certificate --- */

/* What does not fit the answer is found out before the token is used. */
static int set_pem(json_t *result, const char *name, const struct buf *pem, size_t max)
{
	int rc = buf_status(pem);

	if (rc == KC_OK && buf_len(pem) > max)
		rc = err_set(KC_ELIMIT, "%s: %zu bytes of certificates, more than the %zu that an enrolment carries",
		    name, buf_len(pem), max);
	if (rc == KC_OK && buf_len(pem) > 0)
		json_object_set_new(result, name, json_stringn((const char *)buf_data(pem), buf_len(pem)));
	return rc;
}

/* The names are those under which the master reaches it: what the request says of itself does not count. */
static int issue(struct enrolment *e)
{
	struct issue_request r = { .cn = e->host, .sans = &e->host, .san_count = 1, .role = CERT_ROLE_CLONE };
	struct cert_info info = { 0 };
	struct buf chain;
	int rc = worker_days(&r.days, e->w->conf, NULL);

	buf_init(&chain, PEM_MAX);
	if (rc == KC_OK)
		rc = request_issue(&chain, &info, e->authority, e->csr, strlen(e->csr), &r);
	if (rc == KC_OK)
		rc = set_pem(e->result, "chain", &chain, PROTO_CHAIN);
	if (rc == KC_OK) {
		worker_describe(e->result, &info);
		worker_say_issued(e->result, &info);
	}
	cert_info_fini(&info);
	buf_fini(&chain);
	return rc;
}

static int authorize(const struct enrolment *e, const char *cn)
{
	return cn[0] == '\0' ? err_set(KC_ECERT, "the certificate has no common name that tls.AuthorizedCNs can have")
			     : properties_authorise(e->w->conf_path, cn, true);
}

/* One that others issued: it has to verify here, and its name is authorised where it is not for the host. */
static int take_external(struct enrolment *e)
{
	struct cert_info info = { 0 };
	struct trust *trust = NULL;
	int rc = trust_load(&trust, e->conf->truststore_dir);

	if (rc == KC_OK)
		rc = chain_verify(&info, trust, e->chain, strlen(e->chain), "the clone's certificate");
	trust_free(trust);
	if (rc < 0)
		return rc;
	if (info.role == CERT_ROLE_MASTER)
		rc = err_set(KC_ECERT, "certificate %s is a master's", info.subject);
	else if (!cert_info_matches(&info, e->host))
		rc = authorize(e, info.cn);
	if (rc == KC_OK) {
		worker_describe(e->result, &info);
		json_object_set_new(e->result, "cn", json_string(info.cn));
	}
	cert_info_fini(&info);
	return rc;
}

/* --- the fleet --- */

static int enlist(struct enrolment *e)
{
	struct age_recipient parsed;
	int rc = age_recipient_parse(&parsed, e->recipient);

	if (rc == KC_OK && !e->known)
		rc = conf_clone_add(e->w->conf_path, e->host, e->port, NULL);
	if (rc < 0)
		return rc;
	conf_free(e->conf);
	e->conf = NULL;
	rc = load_conf(e);
	return rc == KC_OK ? recipients_pin(e->conf, e->name, e->recipient) : rc;
}

/* Whom it has to trust: the authority that the token names, and whom the master trusts. */
static int add_trust(struct enrolment *e)
{
	struct trust *trust = NULL;
	struct buf pem;
	int rc = trust_load(&trust, e->conf->truststore_dir);

	buf_init(&pem, PEM_MAX);
	if (rc == KC_OK)
		rc = issue_authority_pem(&pem, e->authority);
	if (rc == KC_OK)
		rc = set_pem(e->result, "authority", &pem, PROTO_AUTHORITY);
	buf_reset(&pem);
	if (rc == KC_OK)
		rc = chain_of_trust(&pem, trust, issue_authority_info(e->authority)->sha256);
	if (rc == KC_OK)
		rc = set_pem(e->result, "trust", &pem, PROTO_TRUST);
	trust_free(trust);
	buf_fini(&pem);
	return rc;
}

static int enroll(struct enrolment *e)
{
	bool known;
	int rc = check_proof(e);

	if (rc == KC_OK)
		rc = load_conf(e);
	if (rc == KC_OK)
		rc = issue_authority_load(&e->authority, e->conf->secrets_dir);
	if (rc == KC_OK && strcmp(issue_authority_info(e->authority)->sha256, e->named) != 0)
		rc = err_set(KC_ECERT, "the master has another authority than when the token was made; 'keyclone "
				       "enroll token' there makes "
				       "a new one");
	if (rc == KC_OK)
		rc = e->csr[0] != '\0' ? issue(e) : take_external(e);
	if (rc == KC_OK)
		rc = add_trust(e);
	known = e->known;
	if (rc == KC_OK)
		rc = enlist(e);
	if (rc == KC_OK)
		rc = invites_use(e->conf->secrets_dir, e->id);
	json_object_set_new(e->result, "known", json_boolean(known));
	return rc;
}

int worker_job_enroll(json_t *result, struct worker *w, const json_t *request)
{
	struct enrolment e = { .w = w, .result = json_object() };
	int rc = take_request(&e, request);

	if (rc == KC_OK) {
		e.name = host_port_format(e.host, e.port);
		rc = enroll(&e);
	}
	/* All of it or nothing. */
	if (rc == KC_OK)
		json_object_update(result, e.result);
	json_decref(e.result);
	issue_authority_free(e.authority);
	conf_free(e.conf);
	free(e.name);
	return rc;
}
