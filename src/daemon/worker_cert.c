/* SPDX-License-Identifier: Apache-2.0 */
/* worker_cert: certificates. The authority's key is the worker's: the daemon says what is to be revoked. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "keystore/issue.h"
#include "keystore/trust.h"
#include "worker_int.h"

#define LIST_MAX  (16 * 1024 * 1024) /* of revoked certificates */

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
