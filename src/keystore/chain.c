/* SPDX-License-Identifier: Apache-2.0 */
/* chain: see chain.h. */
#include "chain.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "trust.h"
#include "trust_priv.h"
#include "x509.h"

#define CHAIN_MAX 10

int chain_info(struct cert_info *info, const void *pem, size_t size, size_t i, const char *name)
{
	struct x509_list list = { 0 };
	int rc = x509_list_parse(&list, pem, size, name);

	if (rc == KC_OK && i >= list.count)
		rc = err_set(KC_EFORMAT, "%s: %zu certificates", name, list.count);
	if (rc == KC_OK)
		rc = x509_info(info, list.crts[i]);
	x509_list_fini(&list);
	return rc;
}

int chain_verify(struct cert_info *info, const struct trust *trust, const void *pem, size_t size, const char *name)
{
	struct x509_list list = { 0 };
	struct cert_der der[CHAIN_MAX];
	gnutls_datum_t raw[CHAIN_MAX] = { { NULL, 0 } };
	size_t count = 0;
	int rc = x509_list_parse(&list, pem, size, name);

	for (; rc == KC_OK && count < list.count && count < CHAIN_MAX; count++) {
		if (gnutls_x509_crt_export2(list.crts[count], GNUTLS_X509_FMT_DER, &raw[count]) < 0)
			rc = err_set(KC_EFORMAT, "%s: a certificate cannot be read", name);
		der[count] = (struct cert_der){ raw[count].data, raw[count].size };
	}
	if (rc == KC_OK)
		rc = trust_verify(NULL, trust, der, count, CERT_USE_CLIENT, 0);
	if (rc == KC_OK)
		rc = trust_verify(info, trust, der, count, CERT_USE_SERVER, 0);
	for (size_t i = 0; i < CHAIN_MAX; i++)
		gnutls_free(raw[i].data);
	x509_list_fini(&list);
	return rc;
}

int chain_of_trust(struct buf *out, const struct trust *trust, const char *but)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < trust->anchors.count; i++) {
		struct cert_info info = { 0 };

		rc = x509_info(&info, trust->anchors.crts[i]);
		if (rc == KC_OK && strcmp(info.sha256, but) != 0)
			rc = x509_put_pem(out, trust->anchors.crts[i]);
		cert_info_fini(&info);
	}
	return rc;
}
