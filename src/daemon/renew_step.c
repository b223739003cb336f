/* SPDX-License-Identifier: Apache-2.0 */
/*
 * renew_step: one try: the worker's jobs in turn, and between them, on a clone, a session with the master.
 *
 *     external   external
 *     authority  csr ──> master: issue; clone: the master's answer ──> install
 *     depot      the master's answer ──> fetched
 */
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/clone.h"
#include "daemon/daemon.h"
#include "daemon/master.h"
#include "renew_int.h"
#include "replication/proto.h"

#define PURPOSE "renew"

static json_t *on_ask(const json_t *question, void *arg)
{
	if (strcmp(member_text(question, "ask"), "renew") != 0)
		return NULL;
	return ipc_result_new(renew_record_start(arg, question));
}

static void on_installed(int rc, const json_t *result, void *arg)
{
	renew_over(arg, rc, result);
}

static void install(struct renew *r, const char *chain)
{
	json_t *request = json_pack("{s:s, s:s, s:s, s:s, s:b}", "verb", "install", "purpose", PURPOSE, "chain", chain,
	    "alias", r->own.alias, "renews", 1);

	jobs_add(r->d->jobs, request, NULL, on_ask, on_installed, r);
}

/* --- the own authority --- */

static void on_issued(int rc, const json_t *result, void *arg)
{
	if (rc < 0)
		renew_over(arg, rc, NULL);
	else
		install(arg, member_text(result, "chain"));
}

static void issue_here(struct renew *r, const char *csr)
{
	json_t *request = json_pack("{s:s, s:s, s:s, s:I, s:b}", "verb", "issue", "csr", csr, "role", "master", "days",
	    (json_int_t)own_cert_days(&r->own.info), "renews", 1);

	own_cert_names(request, &r->own.info);
	jobs_add(r->d->jobs, request, NULL, NULL, on_issued, r);
}

static void on_chain(int rc, const struct proto_cert *cert, void *arg)
{
	char *chain;

	if (rc < 0) {
		renew_over(arg, rc, NULL);
		return;
	}
	chain = mem_xstrndup((const char *)cert->certificate, cert->certificate_size);
	install(arg, chain);
	free(chain);
}

static void issue_there(struct renew *r, const char *csr)
{
	struct proto_cert_request *q = mem_xalloc(sizeof(*q));
	size_t n = strlen(csr);
	int rc;

	q->purpose = PROTO_C_RENEW;
	q->csr_size = n;
	if (n <= sizeof(q->csr)) {
		memcpy(q->csr, csr, n);
		rc = clone_ask_certificate(r->d->clone, q, on_chain, r);
	} else {
		rc = err_set(KC_ELIMIT, "the request has %zu bytes, more than %zu", n, sizeof(q->csr));
	}
	free(q);
	if (rc < 0)
		renew_over(r, rc, NULL);
}

static void on_csr(int rc, const json_t *result, void *arg)
{
	struct renew *r = arg;

	if (rc < 0)
		renew_over(r, rc, NULL);
	else if (r->d->master != NULL)
		issue_here(r, member_text(result, "csr"));
	else
		issue_there(r, member_text(result, "csr"));
}

static void ask_authority(struct renew *r)
{
	json_t *request = json_pack("{s:s, s:s}", "verb", "csr", "purpose", PURPOSE);
	const char *type = r->own.info.key_type;

	own_cert_names(request, &r->own.info);
	/* What is not made any more becomes the default. */
	if (strcmp(type, "ecdsa-p256") == 0 || strcmp(type, "ecdsa-p384") == 0 || strcmp(type, "rsa-3072") == 0)
		json_object_set_new(request, "key_type", json_string(type));
	jobs_add(r->d->jobs, request, NULL, NULL, on_csr, r);
}

/* --- the depot --- */

static void on_sealed(int rc, const struct proto_cert *cert, void *arg)
{
	struct renew *r = arg;
	bool asked = r->client != NULL && r->wanted == RENEW_DEPOT;
	json_t *request;
	char *sealed;

	if (rc < 0) {
		renew_over(r, rc, NULL);
		return;
	}
	sealed = base64_encode(cert->certificate, cert->certificate_size);
	request = json_pack(
	    "{s:s, s:s, s:s, s:b}", "verb", "fetched", "sealed", sealed, "alias", r->own.alias, "any_end", (int)asked);
	free(sealed);
	jobs_add(r->d->jobs, request, NULL, on_ask, on_installed, r);
}

static void ask_depot(struct renew *r)
{
	struct proto_cert_request *q = mem_xalloc(sizeof(*q));
	int rc;

	q->purpose = PROTO_C_DEPOT;
	STR_COPY(q->have, r->own.info.sha256);
	rc = clone_ask_certificate(r->d->clone, q, on_sealed, r);
	free(q);
	if (rc < 0)
		renew_over(r, rc, NULL);
}

/* --- all --- */

void renew_step(struct renew *r)
{
	switch (r->source) {
	case RENEW_EXTERNAL:
		jobs_add(r->d->jobs, json_pack("{s:s, s:s}", "verb", "external", "alias", r->own.alias), NULL, on_ask,
		    on_installed, r);
		break;
	case RENEW_AUTHORITY:
		ask_authority(r);
		break;
	default:
		ask_depot(r);
	}
}

const char *renew_shared_with(const struct renew *r)
{
	return r->d->master != NULL
		   ? master_shares_certificate(r->d->master, r->own.info.spki_sha256, (int64_t)r->own.info.not_after)
		   : NULL;
}
