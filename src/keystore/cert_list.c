/* SPDX-License-Identifier: Apache-2.0 */
/* cert_list: certificates as they are found. */
#include "cert_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "identity_priv.h"

static int add(struct cert_list *l, gnutls_x509_crt_t crt)
{
	gnutls_datum_t der = { 0 };
	uint8_t *copy;
	int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der);

	if (rc < 0)
		return err_set(KC_EFAIL, "a certificate cannot be exported: %s", gnutls_strerror(rc));
	l->infos = mem_xrealloc(l->infos, (l->count + 1) * sizeof(*l->infos));
	l->ders = mem_xrealloc(l->ders, (l->count + 1) * sizeof(*l->ders));
	rc = x509_info(&l->infos[l->count], crt);
	if (rc == KC_OK) {
		copy = mem_xalloc(der.size);
		memcpy(copy, der.data, der.size);
		l->ders[l->count++] = (struct cert_der){ copy, der.size };
	}
	gnutls_free(der.data);
	return rc;
}

static int add_all(struct cert_list *list, const struct x509_list *crts)
{
	struct cert_list l = { .has_key = list->has_key };
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < crts->count; i++)
		rc = add(&l, crts->crts[i]);
	if (rc == KC_OK)
		*list = l;
	else
		cert_list_fini(&l);
	return rc;
}

/* With several keys, or without one, the certificates are there all the same. */
static int read_p12(struct x509_list *crts, size_t *keys, const struct identity_source *s)
{
	gnutls_x509_privkey_t key = NULL;
	char *alias = NULL;
	int rc = identity_get_p12(crts, &key, &alias, keys, s);

	if (rc == KC_EFORMAT && *keys != 1 && crts->count > 0)
		rc = KC_OK;
	gnutls_x509_privkey_deinit(key);
	free(alias);
	return rc;
}

int cert_list_read(struct cert_list *list, const void *data, size_t size, const char *password, const char *name)
{
	const struct identity_source s = { .file = { name, data, size }, .password = password };
	struct x509_list crts = { 0 };
	size_t keys = 0;
	int rc;

	if (size > 0 && !x509_is_pem(data, size) && identity_is_p12(data, size))
		rc = read_p12(&crts, &keys, &s);
	else
		rc = identity_read_pool(&crts, &s);
	list->has_key = keys > 0 || (size > 0 && x509_is_pem(data, size) && identity_holds_key(data, size));
	if (rc == KC_OK)
		rc = add_all(list, &crts);
	x509_list_fini(&crts);
	return rc;
}

int cert_list_copy(struct cert_list *list, const struct cert_der *ders, size_t count)
{
	struct x509_list crts = { 0 };
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < count; i++) {
		gnutls_x509_crt_t crt;

		rc = x509_load(&crt, ders[i].data, ders[i].size);
		if (rc == KC_OK)
			x509_list_take(&crts, crt);
	}
	list->has_key = false;
	if (rc == KC_OK)
		rc = add_all(list, &crts);
	x509_list_fini(&crts);
	return rc;
}

void cert_list_fini(struct cert_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		cert_info_fini(&list->infos[i]);
		free((void *)(uintptr_t)list->ders[i].data);
	}
	free(list->infos);
	free(list->ders);
	*list = (struct cert_list){ 0 };
}
