/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_cert: certificates. The authority's key and the keystore's secret are the worker's: the daemon gets requests
 * to sign, and hands over what it was given for requests that were made here.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/request.h"
#include "keystore/trust.h"
#include "worker_int.h"

#define CHAIN_MAX (64 * 1024)
#define LIST_MAX  (16 * 1024 * 1024) /* of revoked certificates */

static int names_of(struct issue_request *r, const char *sans[WORKER_SANS_MAX], const json_t *request)
{
	const json_t *list = json_object_get(request, "sans");
	int rc = worker_get_string(&r->cn, request, "cn");

	if (rc < 0)
		return rc;
	if (json_array_size(list) > WORKER_SANS_MAX)
		return err_set(KC_EPROTO, "more than %d alternative names", WORKER_SANS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *san = json_string_value(json_array_get(list, i));

		if (san == NULL)
			return err_set(KC_EPROTO, "an alternative name is no text");
		sans[r->san_count++] = san;
	}
	r->sans = sans;
	return KC_OK;
}

void worker_describe(json_t *result, const struct cert_info *info)
{
	json_object_set_new(result, "sha256", json_string(info->sha256));
	json_object_set_new(result, "spki_sha256", json_string(info->spki_sha256));
	json_object_set_new(result, "not_after", member_time((int64_t)info->not_after));
}

bool worker_is_own(const struct identity *id, const struct issue_authority *authority)
{
	size_t n = identity_chain_count(id);
	struct cert_info last = { 0 };
	struct cert_der der = identity_chain_der(id, n - 1);
	bool own = false;

	if (authority != NULL && n > 1 && cert_info_from_der(&last, der.data, der.size) == KC_OK)
		own = strcmp(last.sha256, issue_authority_info(authority)->sha256) == 0;
	cert_info_fini(&last);
	return own;
}

void worker_say_issued(json_t *result, const struct cert_info *info)
{
	if (info->role == CERT_ROLE_CLONE)
		json_object_set_new(result, "serial", json_string(info->serial));
}

/* --- issue --- */

static int role_of(enum cert_role *role, const json_t *request)
{
	const char *name;
	int rc = worker_get_string(&name, request, "role");

	if (rc < 0)
		return rc;
	for (enum cert_role r = CERT_ROLE_MASTER; r <= CERT_ROLE_CLONE; r++) {
		if (strcmp(name, cert_role_name(r)) == 0) {
			*role = r;
			return KC_OK;
		}
	}
	return err_set(KC_EPROTO, "role %s is not issued", name);
}

static int issue(json_t *result, struct worker *w, const struct issue_request *r, const char *csr)
{
	struct issue_authority *authority = NULL;
	struct cert_info info = { 0 };
	struct buf chain;
	int rc = issue_authority_load(&authority, w->conf->secrets_dir);

	buf_init(&chain, CHAIN_MAX);
	if (rc == KC_OK)
		rc = request_issue(&chain, &info, authority, csr, strlen(csr), r);
	if (rc == KC_OK) {
		worker_describe(result, &info);
		worker_say_issued(result, &info);
		json_object_set_new(result, "chain", json_stringn((const char *)buf_data(&chain), buf_len(&chain)));
	}
	cert_info_fini(&info);
	issue_authority_free(authority);
	buf_fini(&chain);
	return rc;
}

int worker_days(unsigned *days, const struct conf *c, const json_t *request)
{
	uint64_t most = (uint64_t)c->max_cert_years * ISSUE_YEAR_DAYS, wanted = member_u64(request, "days");

	/* One that is renewed may be from a time when more was allowed. */
	if (wanted > most && json_is_true(json_object_get(request, "renews")))
		wanted = most;
	if (wanted > most)
		return err_set(KC_EUSAGE, "%llu days are more than the %d years of cert.MaximumYears",
		    (unsigned long long)wanted, c->max_cert_years);
	*days = wanted > 0 ? (unsigned)wanted : ISSUE_DAYS_DEFAULT < most ? ISSUE_DAYS_DEFAULT : (unsigned)most;
	return KC_OK;
}

static struct worker_request *find_request(struct worker *w, const char *purpose)
{
	for (size_t i = 0; i < WORKER_REQUESTS; i++)
		if (w->requests[i].request != NULL && strcmp(w->requests[i].purpose, purpose) == 0)
			return &w->requests[i];
	return NULL;
}

void worker_names(struct issue_request *r, const char *sans[WORKER_SANS_MAX], const struct cert_info *info)
{
	r->cn = info->cn;
	r->san_count = 0;
	for (size_t i = 0; i < info->dns_count && r->san_count < WORKER_SANS_MAX; i++)
		sans[r->san_count++] = info->dns[i];
	for (size_t i = 0; i < info->ip_count && r->san_count < WORKER_SANS_MAX; i++)
		sans[r->san_count++] = info->ips[i];
	r->sans = sans;
}

/* A master's certificate is issued for this machine alone: whoever asks, for the key of a request that was made here
 * and the names of the certificate in force. */
static int only_for_us(struct issue_request *r, const char *sans[WORKER_SANS_MAX], struct identity **own,
    struct worker *w, const char *csr)
{
	const struct worker_request *q = find_request(w, "renew");
	bool ours = false;
	struct buf pem;
	int rc;

	buf_init(&pem, REQUEST_MAX);
	if (q != NULL && request_pem(&pem, q->request) == KC_OK)
		ours = buf_len(&pem) == strlen(csr) && memcmp(buf_data(&pem), csr, buf_len(&pem)) == 0;
	buf_fini(&pem);
	if (!ours)
		return err_set(KC_EPERM, "a master's certificate is issued for a request of this machine only");
	rc = identity_open(own, w->conf->keystore_dir, w->conf->tls_alias);
	if (rc < 0)
		return rc;
	worker_names(r, sans, identity_info(*own));
	return KC_OK;
}

int worker_job_issue(json_t *result, struct worker *w, const json_t *request)
{
	struct issue_request r = { .role = CERT_ROLE_NONE };
	struct identity *own = NULL;
	const char *sans[WORKER_SANS_MAX], *csr;
	int rc = worker_get_string(&csr, request, "csr");

	if (rc == KC_OK)
		rc = worker_days(&r.days, w->conf, request);
	if (rc == KC_OK)
		rc = names_of(&r, sans, request);
	if (rc == KC_OK)
		rc = role_of(&r.role, request);
	if (rc == KC_OK && r.role == CERT_ROLE_MASTER)
		rc = only_for_us(&r, sans, &own, w, csr);
	if (rc == KC_OK)
		rc = issue(result, w, &r, csr);
	identity_free(own);
	return rc;
}

/* --- csr, install --- */

void worker_request_drop(struct worker_request *q)
{
	request_free(q->request);
	free(q->purpose);
	*q = (struct worker_request){ 0 };
}

/* The newest of a purpose takes the place of the one before. */
static int keep_request(struct worker *w, const char *purpose, struct request *takes)
{
	struct worker_request *q = find_request(w, purpose);

	if (q != NULL)
		worker_request_drop(q);
	for (size_t i = 0; q == NULL && i < WORKER_REQUESTS; i++)
		if (w->requests[i].request == NULL)
			q = &w->requests[i];
	if (q == NULL) {
		request_free(takes);
		return err_set(KC_ELIMIT, "%d certificate requests are under way", WORKER_REQUESTS);
	}
	q->purpose = mem_xstrdup(purpose);
	q->request = takes;
	return KC_OK;
}

int worker_job_csr(json_t *result, struct worker *w, const json_t *request)
{
	struct issue_request r = { .key = ISSUE_ECDSA_P256 };
	const char *sans[WORKER_SANS_MAX], *purpose, *type = member_text(request, "key_type");
	struct request *q = NULL;
	struct buf pem;
	int rc = worker_get_string(&purpose, request, "purpose");

	if (rc == KC_OK)
		rc = names_of(&r, sans, request);
	if (rc == KC_OK && type[0] != '\0')
		rc = issue_key_from_name(&r.key, type);
	if (rc == KC_OK)
		rc = request_new(&q, &r);
	if (rc < 0)
		return rc;
	buf_init(&pem, REQUEST_MAX);
	rc = request_pem(&pem, q);
	if (rc == KC_OK)
		json_object_set_new(result, "csr", json_stringn((const char *)buf_data(&pem), buf_len(&pem)));
	buf_fini(&pem);
	if (rc < 0) {
		request_free(q);
		return rc;
	}
	return keep_request(w, purpose, q);
}

int worker_job_install(json_t *result, struct worker *w, const json_t *request)
{
	const char *purpose, *chain, *alias;
	struct worker_request *q = NULL;
	struct identity *id = NULL;
	int rc = worker_get_string(&purpose, request, "purpose");

	if (rc == KC_OK)
		rc = worker_get_string(&chain, request, "chain");
	if (rc == KC_OK)
		rc = worker_get_string(&alias, request, "alias");
	if (rc == KC_OK && (q = find_request(w, purpose)) == NULL)
		rc = err_set(KC_ENOENT, "the key of this certificate is gone: it was requested before a restart");
	if (rc == KC_OK)
		rc = request_identity(&id, q->request, chain, strlen(chain), "what was issued");
	if (rc == KC_OK)
		rc = identity_check_uses(id);
	if (rc == KC_OK && json_is_true(json_object_get(request, "renews")))
		rc = worker_renew(result, w, id, alias, 0);
	else if (rc == KC_OK)
		rc = identity_save(id, w->conf->keystore_dir, alias, json_is_true(json_object_get(request, "replace")));
	if (rc == KC_OK) {
		worker_describe(result, identity_info(id));
		json_object_set_new(result, "alias", json_string(alias));
		worker_request_drop(q);
	}
	identity_free(id);
	return rc;
}

/* --- revoke --- */

int worker_job_revoke(json_t *result, struct worker *w, const json_t *request)
{
	const json_t *list = json_object_get(request, "serials");
	size_t n = json_array_size(list), added = 0;
	const char **serials = mem_xcalloc(n + 1, sizeof(*serials));
	struct buf pem;
	int rc = n > 0 ? KC_OK : err_set(KC_EPROTO, "request lacks serials");

	for (size_t i = 0; rc == KC_OK && i < n; i++) {
		serials[i] = json_string_value(json_array_get(list, i));
		if (serials[i] == NULL)
			rc = err_set(KC_EPROTO, "a serial number is no text");
	}
	buf_init(&pem, LIST_MAX);
	if (rc == KC_OK)
		rc = issue_revoke(&pem, &added, w->conf->secrets_dir, serials, n);
	if (rc == KC_OK)
		rc = trust_take_crl(NULL, w->conf->truststore_dir, buf_data(&pem), buf_len(&pem));
	if (rc == KC_OK) {
		json_object_set_new(result, "crl", json_stringn((const char *)buf_data(&pem), buf_len(&pem)));
		json_object_set_new(result, "added", json_integer((json_int_t)added));
	}
	buf_fini(&pem);
	free(serials);
	return rc;
}

void worker_publish_crl(const struct conf *c)
{
	struct buf pem;
	int rc;

	buf_init(&pem, LIST_MAX);
	rc = issue_crl_pem(&pem, c->secrets_dir);
	if (rc == KC_OK)
		rc = trust_take_crl(NULL, c->truststore_dir, buf_data(&pem), buf_len(&pem));
	/* Of an authority that nobody trusts here there is nothing to revoke. */
	if (rc < 0 && rc != KC_ENOENT && rc != KC_ECERT)
		log_warn("the own authority's revocation list is not in the truststore: %s", err_text(rc));
	buf_fini(&pem);
}
