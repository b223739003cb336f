/* SPDX-License-Identifier: Apache-2.0 */
/* x509: small questions to certificates, and lists of them. */
#include "x509.h"

#include <gnutls/pkcs7.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

void x509_list_fini(struct x509_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		gnutls_x509_crt_deinit(list->crts[i]);
	free(list->crts);
	*list = (struct x509_list){ 0 };
}

void x509_list_take(struct x509_list *list, gnutls_x509_crt_t crt)
{
	list->crts = mem_xrealloc(list->crts, (list->count + 1) * sizeof(*list->crts));
	list->crts[list->count++] = crt;
}

bool x509_list_have(const struct x509_list *list, gnutls_x509_crt_t crt)
{
	for (size_t i = 0; i < list->count; i++)
		if (gnutls_x509_crt_equals(list->crts[i], crt))
			return true;
	return false;
}

bool x509_is_pem(const void *data, size_t size)
{
	return size > 0 && memmem(data, size, "-----BEGIN ", 11) != NULL;
}

/* Certificates without a signature over them, as authorities hand out chains: PKCS#7, .p7b. */
static int parse_pkcs7(struct x509_list *list, const gnutls_datum_t *d, gnutls_x509_crt_fmt_t format)
{
	size_t before = list->count;
	gnutls_pkcs7_t p7;
	int rc = gnutls_pkcs7_init(&p7), count;

	if (rc < 0)
		return rc;
	rc = gnutls_pkcs7_import(p7, d, format);
	count = rc >= 0 ? gnutls_pkcs7_get_crt_count(p7) : 0;
	for (int i = 0; rc >= 0 && i < count && list->count < X509_COUNT_MAX; i++) {
		gnutls_datum_t der = { 0 };
		gnutls_x509_crt_t crt;

		rc = gnutls_pkcs7_get_crt_raw2(p7, (unsigned)i, &der);
		if (rc >= 0 && x509_load(&crt, der.data, der.size) == KC_OK)
			x509_list_take(list, crt);
		gnutls_free(der.data);
	}
	gnutls_pkcs7_deinit(p7);
	return rc >= 0 && list->count == before ? GNUTLS_E_NO_CERTIFICATE_FOUND : rc;
}

static int parse_der(struct x509_list *list, const gnutls_datum_t *d, const char *name)
{
	gnutls_x509_crt_t crt;

	if (x509_load(&crt, d->data, d->size) == KC_OK) {
		x509_list_take(list, crt);
		return KC_OK;
	}
	if (d->size <= X509_FILE_MAX && parse_pkcs7(list, d, GNUTLS_X509_FMT_DER) >= 0)
		return KC_OK;
	return err_set(KC_EFORMAT, "%s: no certificate in it, neither PEM nor DER", name);
}

static int parse_pem(struct x509_list *list, const gnutls_datum_t *d, const char *name)
{
	gnutls_x509_crt_t *crts = NULL;
	unsigned count = 0;
	int rc = gnutls_x509_crt_list_import2(&crts, &count, d, GNUTLS_X509_FMT_PEM, 0);

	if (rc < 0) {
		if (memmem(d->data, d->size, "-----BEGIN PKCS7-----", 21) != NULL &&
		    parse_pkcs7(list, d, GNUTLS_X509_FMT_PEM) >= 0)
			return KC_OK;
		if (memmem(d->data, d->size, "CERTIFICATE REQUEST-----", 24) != NULL)
			return err_set(KC_EFORMAT, "%s: a certificate request, and no certificate", name);
		return err_set(KC_EFORMAT, "%s: no certificate in it that can be read: %s", name, gnutls_strerror(rc));
	}
	rc = list->count + count > X509_COUNT_MAX
		 ? err_set(KC_ELIMIT, "%s: %u certificates, more than %d", name, count, X509_COUNT_MAX)
		 : KC_OK;
	for (unsigned i = 0; i < count; i++) {
		if (rc == KC_OK)
			x509_list_take(list, crts[i]);
		else
			gnutls_x509_crt_deinit(crts[i]);
	}
	gnutls_free(crts);
	return rc;
}

int x509_list_parse(struct x509_list *list, const void *data, size_t size, const char *name)
{
	gnutls_datum_t d = { (unsigned char *)data, (unsigned)size };

	if (size == 0)
		return err_set(KC_EFORMAT, "%s: empty", name);
	return x509_is_pem(data, size) ? parse_pem(list, &d, name) : parse_der(list, &d, name);
}

int x509_load(gnutls_x509_crt_t *crt, const void *der, size_t size)
{
	gnutls_datum_t d = { (unsigned char *)der, (unsigned)size };
	gnutls_x509_crt_t c;
	int rc;

	if (size > X509_FILE_MAX)
		return err_set(KC_ELIMIT, "a certificate of %zu bytes", size);
	if (gnutls_x509_crt_init(&c) < 0)
		return err_set(KC_EFAIL, "GnuTLS does not start");
	rc = gnutls_x509_crt_import(c, &d, GNUTLS_X509_FMT_DER);
	if (rc < 0) {
		gnutls_x509_crt_deinit(c);
		return err_set(KC_EFORMAT, "not a certificate: %s", gnutls_strerror(rc));
	}
	*crt = c;
	return KC_OK;
}

int x509_copy(gnutls_x509_crt_t *copy, gnutls_x509_crt_t crt)
{
	gnutls_datum_t der = { 0 };
	int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der);

	if (rc < 0)
		return err_set(KC_EFAIL, "a certificate cannot be copied: %s", gnutls_strerror(rc));
	rc = x509_load(copy, der.data, der.size);
	gnutls_free(der.data);
	return rc;
}

char *x509_name(gnutls_x509_crt_t crt)
{
	gnutls_datum_t dn = { 0 };
	char cn[256];
	size_t n = sizeof(cn);
	char *name;

	if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &n) >= 0 && n > 0)
		return str_printable(mem_xstrndup(cn, n));
	if (gnutls_x509_crt_get_dn3(crt, &dn, 0) < 0 || dn.size == 0)
		name = mem_xstrdup("(no name)");
	else
		name = str_printable(mem_xstrndup((const char *)dn.data, dn.size));
	gnutls_free(dn.data);
	return name;
}

bool x509_is_ca(gnutls_x509_crt_t crt)
{
	return gnutls_x509_crt_get_ca_status(crt, NULL) > 0;
}

bool x509_is_issued_by(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
	return gnutls_x509_crt_check_issuer(crt, issuer) != 0;
}

bool x509_is_signed_by(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
	unsigned status = 0;

	return gnutls_x509_crt_verify(crt, &issuer, 1,
		   GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_ALLOW_SIGN_RSA_MD5 |
		       GNUTLS_VERIFY_ALLOW_SIGN_WITH_SHA1,
		   &status) >= 0 &&
	       (status & (GNUTLS_CERT_SIGNATURE_FAILURE | GNUTLS_CERT_SIGNER_NOT_FOUND)) == 0;
}

enum cert_role x509_role(gnutls_x509_crt_t crt)
{
	static const struct {
		const char *uri;
		enum cert_role role;
	} roles[] = {
		{ X509_URI_AUTHORITY, CERT_ROLE_AUTHORITY },
		{ X509_URI_MASTER, CERT_ROLE_MASTER },
		{ X509_URI_CLONE, CERT_ROLE_CLONE },
	};
	enum cert_role found = CERT_ROLE_NONE;

	for (unsigned i = 0; i < 256; i++) {
		char san[512];
		size_t n = sizeof(san);
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, san, &n, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			break;
		if (type != GNUTLS_SAN_URI)
			continue;
		for (size_t r = 0; r < sizeof(roles) / sizeof(roles[0]); r++) {
			if (n != strlen(roles[r].uri) || memcmp(san, roles[r].uri, n) != 0)
				continue;
			if (found != CERT_ROLE_NONE && found != roles[r].role)
				return CERT_ROLE_NONE; /* two roles are none */
			found = roles[r].role;
		}
	}
	return found == CERT_ROLE_AUTHORITY && !x509_is_ca(crt) ? CERT_ROLE_NONE : found;
}

bool x509_has_purpose(gnutls_x509_crt_t crt, enum cert_use use)
{
	const char *wanted = use == CERT_USE_CLIENT ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;

	for (unsigned i = 0; i < 64; i++) {
		char oid[128];
		size_t n = sizeof(oid);
		int rc = gnutls_x509_crt_get_key_purpose_oid(crt, i, oid, &n, NULL);

		if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return i == 0; /* no extension: any purpose */
		if (rc == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (rc < 0)
			return false;
		if (strcmp(oid, wanted) == 0 || strcmp(oid, GNUTLS_KP_ANY) == 0)
			return true;
	}
	return false;
}

const char *x509_missing_use(gnutls_x509_crt_t crt, enum cert_use use)
{
	unsigned usage = 0;
	int rc = gnutls_x509_crt_get_key_usage(crt, &usage, NULL);

	if (!x509_has_purpose(crt, use))
		return cert_use_name(use);
	if (rc != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE && (rc < 0 || (usage & GNUTLS_KEY_DIGITAL_SIGNATURE) == 0))
		return "digital signature";
	return NULL;
}

int x509_key_id(unsigned char id[32], gnutls_x509_crt_t crt)
{
	size_t n = 32;
	int rc = gnutls_x509_crt_get_key_id(crt, GNUTLS_KEYID_USE_SHA256, id, &n);

	if (rc < 0 || n != 32)
		return err_set(KC_EFORMAT, "the public key of a certificate cannot be read: %s", gnutls_strerror(rc));
	return KC_OK;
}

int x509_put_pem(struct buf *out, gnutls_x509_crt_t crt)
{
	gnutls_datum_t pem = { 0 };
	int rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem);

	if (rc < 0)
		return err_set(KC_EFAIL, "a certificate cannot be exported: %s", gnutls_strerror(rc));
	buf_put(out, pem.data, pem.size);
	gnutls_free(pem.data);
	return buf_status(out);
}
