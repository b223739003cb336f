/* SPDX-License-Identifier: Apache-2.0 */
/* trust_share: from a chain and a truststore to the few certificates that matter. */
#include "trust_share.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "identity_priv.h"
#include "trust_priv.h"

/* The certificates of the chain that stand for it, and the issuers of its end that are trusted here. */
static int collect(struct x509_list *out, const struct identity *id, const struct trust *trust)
{
	gnutls_x509_crt_t last = id->chain.crts[id->chain.count - 1], copy;
	size_t first = id->chain.count == 1 && id->info.self_signed ? 0 : 1;
	int rc = KC_OK;

	for (size_t i = first; rc == KC_OK && i < id->chain.count; i++) {
		rc = x509_copy(&copy, id->chain.crts[i]);
		if (rc == KC_OK)
			x509_list_take(out, copy);
	}
	if (x509_is_issued_by(last, last))
		return rc;
	for (size_t i = 0; rc == KC_OK && i < trust->anchors.count; i++) {
		if (!x509_is_issued_by(last, trust->anchors.crts[i]) || x509_list_have(out, trust->anchors.crts[i]))
			continue;
		rc = x509_copy(&copy, trust->anchors.crts[i]);
		if (rc == KC_OK)
			x509_list_take(out, copy);
	}
	return rc;
}

static int load_and_collect(struct x509_list *out, struct trust **trust, const struct identity *id, const char *dir)
{
	int rc = trust_load(trust, dir);

	return rc == KC_OK ? collect(out, id, *trust) : rc;
}

int trust_share(struct buf *pem, const struct identity *id, const char *truststore_dir)
{
	struct x509_list list = { 0 };
	struct trust *trust = NULL;
	int rc = load_and_collect(&list, &trust, id, truststore_dir);

	if (rc == KC_OK && list.count == 0)
		rc = err_set(KC_ECERT, "certificate %s: issued by %s, which is not in the truststore", id->info.cn,
		    id->info.issuer);
	for (size_t i = 0; rc == KC_OK && i < list.count; i++)
		rc = x509_put_pem(pem, list.crts[i]);
	x509_list_fini(&list);
	trust_free(trust);
	return rc;
}

int trust_share_list(json_t *list, const struct identity *id, const char *truststore_dir)
{
	struct x509_list certs = { 0 };
	struct trust *trust = NULL;
	int rc = load_and_collect(&certs, &trust, id, truststore_dir);

	for (size_t i = 0; rc == KC_OK && i < certs.count; i++) {
		struct cert_info info = { 0 };

		if (!x509_list_have(&trust->anchors, certs.crts[i]))
			continue;
		rc = x509_info(&info, certs.crts[i]);
		if (rc == KC_OK)
			json_array_append_new(list, json_string(info.sha256));
		cert_info_fini(&info);
	}
	x509_list_fini(&certs);
	trust_free(trust);
	return rc;
}

int trust_share_forget(const json_t *list, const char *truststore_dir)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < json_array_size(list); i++) {
		const char *sha256 = json_string_value(json_array_get(list, i));

		if (sha256 == NULL)
			return err_set(KC_EPROTO, "a certificate to forget is no text");
		rc = trust_remove(truststore_dir, sha256);
		if (rc == KC_ELIMIT)
			log_warn("a certificate stays trusted that a rotation replaced: %s", err_text(rc));
		if (rc == KC_ENOENT || rc == KC_ELIMIT)
			rc = KC_OK;
	}
	return rc;
}

static bool has(const json_t *list, const json_t *value)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_equal(json_array_get(list, i), value))
			return true;
	return false;
}

void trust_share_subtract(json_t *list, const json_t *others)
{
	for (size_t i = json_array_size(list); i-- > 0;)
		if (has(others, json_array_get(list, i)))
			json_array_remove(list, i);
}

int trust_share_keep_authorities(json_t *list, const char *truststore_dir)
{
	json_t *authorities = json_array();
	struct trust *trust = NULL;
	int rc = trust_load(&trust, truststore_dir);

	for (size_t i = 0; rc == KC_OK && i < trust->anchors.count; i++) {
		struct cert_info info = { 0 };

		if (!x509_is_ca(trust->anchors.crts[i]))
			continue;
		rc = x509_info(&info, trust->anchors.crts[i]);
		if (rc == KC_OK)
			json_array_append_new(authorities, json_string(info.sha256));
		cert_info_fini(&info);
	}
	trust_share_subtract(list, authorities);
	json_decref(authorities);
	trust_free(trust);
	return rc;
}
