/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_renew: what takes the place of this machine's certificate: what was issued for a request of ours, a set of
 * files that others renewed, what the master's depot had for us; and, on a master, the sealing of the latter. Before
 * anything is written, or handed out, the daemon is asked: {"ask": "renew"}: it keeps the record.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/depot.h"
#include "daemon/recipients.h"
#include "daemon/sealed.h"
#include "keystore/issue.h"
#include "keystore/renewal.h"
#include "worker_int.h"

static int ask(const struct cert_info *next, void *arg)
{
	json_t *answer = NULL;
	int rc = worker_ask(
	    &answer, arg, json_pack("{s:s, s:s, s:s}", "ask", "renew", "cn", next->cn, "sha256", next->sha256));

	json_decref(answer);
	return rc;
}

int worker_renew(json_t *result, struct worker *w, const struct identity *next, const char *alias, unsigned allow)
{
	struct renewal_place p = { .keystore_dir = w->conf->keystore_dir,
		.truststore_dir = w->conf->truststore_dir,
		.alias = alias,
		.allow = allow,
		.go = ask,
		.arg = w };
	struct cert_info info = { 0 };
	int rc = renewal_install(&info, next, &p);

	if (rc == KC_OK) {
		json_object_set_new(result, "alias", json_string(alias));
		worker_describe(result, &info);
	}
	cert_info_fini(&info);
	return rc;
}

int worker_job_external(json_t *result, struct worker *w, const json_t *request)
{
	struct identity *id = NULL;
	const char *alias;
	int rc = worker_get_string(&alias, request, "alias");

	if (rc == KC_OK && w->conf->external_cert_dir == NULL)
		rc = err_set(KC_ENOENT, "tls.ExternalCertDir is not set");
	if (rc == KC_OK)
		rc = renewal_read(&id, w->conf->external_cert_dir);
	if (rc == KC_OK)
		rc = worker_renew(result, w, id, alias, 0);
	identity_free(id);
	return rc;
}

/* --- depot --- */

static int seal(json_t *result, const struct identity *id, const char *recipient)
{
	struct age_recipient to;
	char *text = NULL;
	int rc = age_recipient_parse(&to, recipient);

	if (rc == KC_OK)
		rc = sealed_identity(&text, id, &to);
	if (rc == KC_OK) {
		json_object_set_new(result, "sealed", json_string(text));
		worker_describe(result, identity_info(id));
	}
	free(text);
	return rc;
}

static void say_issued(json_t *result, const struct worker *w, const struct identity *id)
{
	struct issue_authority *authority = NULL;

	if (issue_authority_load(&authority, w->conf->secrets_dir) == KC_OK && worker_is_own(id, authority))
		worker_say_issued(result, identity_info(id));
	issue_authority_free(authority);
}

int worker_job_depot(json_t *result, struct worker *w, const json_t *request)
{
	struct identity *id = NULL;
	const char *clone, *recipient;
	int rc = worker_get_string(&clone, request, "clone");

	if (rc == KC_OK)
		rc = worker_get_string(&recipient, request, "recipient");
	if (rc == KC_OK)
		rc = recipients_check(w->conf, clone, recipient);
	if (rc == KC_OK)
		rc = depot_load(&id, w->conf, clone);
	if (rc == KC_OK && strcmp(identity_info(id)->sha256, member_text(request, "have")) == 0)
		rc = err_set(KC_EEXIST, "the one that the depot keeps for %s is in use there", clone);
	if (rc == KC_OK)
		rc = ask(identity_info(id), w);
	if (rc == KC_OK)
		rc = seal(result, id, recipient);
	if (rc == KC_OK)
		say_issued(result, w, id);
	identity_free(id);
	return rc;
}

int worker_job_fetched(json_t *result, struct worker *w, const json_t *request)
{
	unsigned allow = RENEWAL_ANY_NAME | (json_is_true(json_object_get(request, "any_end")) ? RENEWAL_ANY_END : 0u);
	const char *text, *alias;
	struct identity *id = NULL;
	int rc = worker_get_string(&alias, request, "alias");

	if (rc == KC_OK)
		rc = worker_get_string(&text, request, "sealed");
	if (rc == KC_OK)
		rc = sealed_open(&id, text, w->secrets.identity);
	if (rc == KC_OK)
		rc = worker_renew(result, w, id, alias, allow);
	identity_free(id);
	return rc;
}
