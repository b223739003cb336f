/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_renew: what takes the place of this machine's certificate. Before anything is written the daemon is asked:
 * {"ask": "renew"}: it keeps the record.
 */
#include "base/err.h"
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
