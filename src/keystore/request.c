/* SPDX-License-Identifier: Apache-2.0 */
/* request: PKCS#10 through GnuTLS; certificates for it come from issue.c. */
#include "request.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "identity_priv.h"
#include "issue_priv.h"
#include "request_priv.h"

void request_free(struct request *q)
{
	if (q == NULL)
		return;
	if (q->crq != NULL)
		gnutls_x509_crq_deinit(q->crq);
	gnutls_x509_privkey_deinit(q->key);
	free(q);
}

static bool has_common_name(gnutls_x509_crq_t crq)
{
	char cn[512];
	size_t n = sizeof(cn);

	return gnutls_x509_crq_get_dn_by_oid(crq, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &n) >= 0 && n > 0;
}

static int set_subject(gnutls_x509_crq_t crq, const struct issue_request *r)
{
	const char *bad = NULL;

	if (r->subject != NULL && gnutls_x509_crq_set_dn(crq, r->subject, &bad) < 0)
		return err_set(KC_EUSAGE, "subject %s: not a distinguished name at '%s'", r->subject,
		    bad != NULL ? bad : r->subject);
	if (r->subject != NULL && has_common_name(crq))
		return KC_OK;
	if (r->cn == NULL || r->cn[0] == '\0')
		return err_set(KC_EUSAGE, "a request needs a common name");
	if (strlen(r->cn) > ISSUE_CN_MAX)
		return err_set(
		    KC_EUSAGE, "common name %s: %zu bytes, more than %d", r->cn, strlen(r->cn), ISSUE_CN_MAX);
	return issue_check(
	    gnutls_x509_crq_set_dn_by_oid(crq, GNUTLS_OID_X520_COMMON_NAME, 0, r->cn, (unsigned)strlen(r->cn)),
	    "common name");
}

/* What an authority that goes by the request has to put into the certificate. */
static int set_uses(gnutls_x509_crq_t crq)
{
	int rc = issue_check(gnutls_x509_crq_set_key_usage(crq, GNUTLS_KEY_DIGITAL_SIGNATURE), "key usage");

	if (rc == KC_OK)
		rc = issue_check(
		    gnutls_x509_crq_set_key_purpose_oid(crq, GNUTLS_KP_TLS_WWW_SERVER, 0), "extended key usage");
	if (rc == KC_OK)
		rc = issue_check(
		    gnutls_x509_crq_set_key_purpose_oid(crq, GNUTLS_KP_TLS_WWW_CLIENT, 0), "extended key usage");
	return rc;
}

static int add_sans(gnutls_x509_crq_t crq, const struct issue_request *r)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < r->san_count; i++) {
		struct issue_san san;

		rc = issue_parse_san(&san, r->sans[i]);
		if (rc == KC_OK)
			rc = issue_check(
			    gnutls_x509_crq_set_subject_alt_name(crq, san.type, san.data, san.size, GNUTLS_FSAN_APPEND),
			    "alternative name");
	}
	return rc;
}

static int fill(struct request *q, const struct issue_request *r)
{
	int rc = issue_make_key(&q->key, r->key);

	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crq_init(&q->crq), "request");
	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crq_set_version(q->crq, 1), "version");
	if (rc == KC_OK)
		rc = set_subject(q->crq, r);
	if (rc == KC_OK)
		rc = add_sans(q->crq, r);
	if (rc == KC_OK)
		rc = set_uses(q->crq);
	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crq_set_key(q->crq, q->key), "public key");
	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crq_sign2(q->crq, q->key, issue_digest_of(q->key), 0), "signature");
	return rc;
}

int request_new(struct request **out, const struct issue_request *r)
{
	struct request *q = mem_xalloc(sizeof(*q));
	int rc = fill(q, r);

	if (rc == KC_OK)
		*out = q;
	else
		request_free(q);
	return rc;
}

int request_pem(struct buf *out, const struct request *q)
{
	gnutls_datum_t pem = { 0 };
	int rc = gnutls_x509_crq_export2(q->crq, GNUTLS_X509_FMT_PEM, &pem);

	if (rc < 0)
		return issue_check(rc, "request");
	buf_put(out, pem.data, pem.size);
	gnutls_free(pem.data);
	return buf_status(out);
}

int request_identity(
    struct identity **id, const struct request *q, const void *certificates, size_t size, const char *name)
{
	struct x509_list pool = { 0 };
	gnutls_x509_privkey_t key = NULL;
	int rc = x509_list_parse(&pool, certificates, size, name);

	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_privkey_init(&key), "private key");
	if (rc == KC_OK && (rc = issue_check(gnutls_x509_privkey_cpy(key, q->key), "private key")) < 0)
		gnutls_x509_privkey_deinit(key);
	if (rc == KC_OK)
		rc = identity_assemble(id, &pool, key, "", name);
	x509_list_fini(&pool);
	return rc;
}

static int check_key(gnutls_pubkey_t key)
{
	unsigned bits = 0;

	switch (gnutls_pubkey_get_pk_algorithm(key, &bits)) {
	case GNUTLS_PK_RSA:
		return bits >= X509_RSA_BITS_MIN && bits <= X509_RSA_BITS_MAX
			   ? KC_OK
			   : err_set(KC_ECERT, "a request for an RSA key of %u bits, not %d to %d", bits,
				 X509_RSA_BITS_MIN, X509_RSA_BITS_MAX);
	case GNUTLS_PK_ECDSA:
		return bits >= 256 ? KC_OK : err_set(KC_ECERT, "a request for an elliptic curve of %u bits", bits);
	case GNUTLS_PK_EDDSA_ED25519:
		return KC_OK;
	default:
		return err_set(KC_ECERT, "a request for a key of a type that is not issued here");
	}
}

static int load(gnutls_x509_crq_t crq, gnutls_pubkey_t key, const void *request, size_t size)
{
	gnutls_datum_t d = { (unsigned char *)request, (unsigned)size };
	int rc;

	if (size > REQUEST_MAX)
		return err_set(KC_ELIMIT, "a request of %zu bytes, more than %d", size, REQUEST_MAX);
	rc = gnutls_x509_crq_import(crq, &d, x509_is_pem(request, size) ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER);
	if (rc < 0)
		return err_set(KC_EFORMAT, "not a certificate request: %s", gnutls_strerror(rc));
	if (gnutls_x509_crq_verify(crq, 0) < 0)
		return err_set(KC_ECERT, "the request is not signed by its own key");
	rc = issue_check(gnutls_pubkey_import_x509_crq(key, crq, 0), "public key");
	return rc == KC_OK ? check_key(key) : rc;
}

/* By way of DER: a certificate that was signed does not answer every question in memory. */
static int info_of(struct cert_info *info, gnutls_x509_crt_t crt)
{
	gnutls_x509_crt_t copy;
	int rc = x509_copy(&copy, crt);

	if (rc < 0)
		return rc;
	rc = x509_info(info, copy);
	gnutls_x509_crt_deinit(copy);
	return rc;
}

static int sign(gnutls_x509_crt_t *crt, const struct issue_authority *authority, const void *request, size_t size,
    const struct issue_request *r)
{
	gnutls_x509_crq_t crq;
	gnutls_pubkey_t key;
	int rc = issue_check(gnutls_x509_crq_init(&crq), "request");

	if (rc < 0)
		return rc;
	rc = issue_check(gnutls_pubkey_init(&key), "public key");
	if (rc == KC_OK) {
		rc = load(crq, key, request, size);
		if (rc == KC_OK)
			rc = issue_certificate(crt, key, NULL, r, authority);
		gnutls_pubkey_deinit(key);
	}
	gnutls_x509_crq_deinit(crq);
	return rc;
}

int request_issue(struct buf *chain, struct cert_info *info_or_null, const struct issue_authority *authority,
    const void *request, size_t size, const struct issue_request *r)
{
	gnutls_x509_crt_t crt;
	int rc = sign(&crt, authority, request, size, r);

	if (rc < 0)
		return rc;
	rc = x509_put_pem(chain, crt);
	if (rc == KC_OK)
		rc = x509_put_pem(chain, authority->crt);
	if (rc == KC_OK && info_or_null != NULL)
		rc = info_of(info_or_null, crt);
	gnutls_x509_crt_deinit(crt);
	return rc;
}
