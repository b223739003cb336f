/* SPDX-License-Identifier: Apache-2.0 */
/* pki: certificates for tests, by GnuTLS directly, because the product's own issuing refuses to make bad ones. */
#include "tests/loop/pki.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

struct pki_ca {
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
	const struct pki_ca *above; /* NULL: self-signed */
};

static void must(int e, const char *what)
{
	if (e >= 0)
		return;
	fprintf(stderr, "%s: %d %s\n", what, e, gnutls_strerror(e));
	abort();
}

static void begin_crt(gnutls_x509_crt_t *crt, gnutls_x509_privkey_t *key, const char *cn, long begin, long end)
{
	unsigned char serial[16];

	mem_random(serial, sizeof(serial));
	serial[0] &= 0x7f;
	must(gnutls_x509_privkey_init(key), "key");
	must(gnutls_x509_privkey_generate(*key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
	    "key");
	must(gnutls_x509_crt_init(crt), "crt");
	must(gnutls_x509_crt_set_version(*crt, 3), "version");
	must(gnutls_x509_crt_set_serial(*crt, serial, sizeof(serial)), "serial");
	must(gnutls_x509_crt_set_dn_by_oid(*crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn)), "cn");
	must(gnutls_x509_crt_set_key(*crt, *key), "key");
	must(gnutls_x509_crt_set_activation_time(*crt, time(NULL) + begin), "begin");
	must(gnutls_x509_crt_set_expiration_time(*crt, time(NULL) + end), "end");
}

static void set_uri(gnutls_x509_crt_t crt, const char *uri)
{
	must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_URI, uri, (unsigned)strlen(uri), GNUTLS_FSAN_APPEND),
	    "uri");
}

static void set_key_id(gnutls_x509_crt_t crt)
{
	unsigned char id[64];
	size_t n = sizeof(id);

	must(gnutls_x509_crt_get_key_id(crt, 0, id, &n), "key id");
	must(gnutls_x509_crt_set_subject_key_id(crt, id, n), "key id");
}

struct pki_ca *pki_ca_below(const struct pki_ca *above, const char *cn)
{
	struct pki_ca *ca = mem_xalloc(sizeof(*ca));

	begin_crt(&ca->crt, &ca->key, cn, -86400, 86400);
	must(gnutls_x509_crt_set_basic_constraints(ca->crt, 1, 0), "ca");
	must(gnutls_x509_crt_set_key_usage(ca->crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN), "usage");
	set_key_id(ca->crt);
	must(gnutls_x509_crt_sign2(ca->crt, above->crt, above->key, GNUTLS_DIG_SHA256, 0), "sign");
	ca->above = above;
	return ca;
}

struct pki_ca *pki_ca_new(const char *cn, bool own)
{
	struct pki_ca *ca = mem_xalloc(sizeof(*ca));

	begin_crt(&ca->crt, &ca->key, cn, -86400, 86400);
	must(gnutls_x509_crt_set_basic_constraints(ca->crt, 1, 1), "ca");
	must(gnutls_x509_crt_set_key_usage(ca->crt, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN), "usage");
	set_key_id(ca->crt);
	if (own)
		set_uri(ca->crt, "urn:keyclone:authority");
	must(gnutls_x509_crt_sign2(ca->crt, ca->crt, ca->key, GNUTLS_DIG_SHA256, 0), "sign");
	return ca;
}

void pki_ca_free(struct pki_ca *ca)
{
	if (ca == NULL)
		return;
	gnutls_x509_crt_deinit(ca->crt);
	gnutls_x509_privkey_deinit(ca->key);
	free(ca);
}

static void set_names(gnutls_x509_crt_t crt, const struct pki_leaf *spec)
{
	unsigned char address[16];

	if (spec->dns != NULL)
		must(gnutls_x509_crt_set_subject_alt_name(
			 crt, GNUTLS_SAN_DNSNAME, spec->dns, (unsigned)strlen(spec->dns), GNUTLS_FSAN_APPEND),
		    "dns");
	if (spec->ip != NULL && inet_pton(AF_INET, spec->ip, address) == 1)
		must(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, address, 4, GNUTLS_FSAN_APPEND),
		    "ip");
	if (spec->role == CERT_ROLE_MASTER)
		set_uri(crt, "urn:keyclone:role:master");
	if (spec->role == CERT_ROLE_CLONE)
		set_uri(crt, "urn:keyclone:role:clone");
}

static void put_pem(struct buf *b, gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
	gnutls_datum_t pem;

	if (crt != NULL) {
		must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), "pem");
		buf_put(b, pem.data, pem.size);
		gnutls_free(pem.data);
	}
	if (key != NULL) {
		must(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem), "pem");
		buf_put(b, pem.data, pem.size);
		gnutls_free(pem.data);
	}
}

struct identity *pki_leaf_new(const struct pki_ca *ca, const struct pki_leaf *spec)
{
	gnutls_x509_crt_t crt;
	gnutls_x509_privkey_t key;
	struct identity *id = NULL;
	char *alias = NULL;
	struct buf pem;
	bool usual = spec->begin == 0 && spec->end == 0;

	begin_crt(&crt, &key, spec->cn, usual ? -3600 : spec->begin, usual ? 86400 : spec->end);
	must(gnutls_x509_crt_set_basic_constraints(crt, 0, -1), "ca");
	must(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE), "usage");
	if (!spec->no_client)
		must(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0), "use");
	if (!spec->no_server)
		must(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0), "use");
	set_names(crt, spec);
	set_key_id(crt);
	must(gnutls_x509_crt_sign2(crt, ca != NULL ? ca->crt : crt, ca != NULL ? ca->key : key, GNUTLS_DIG_SHA256, 0),
	    "sign");
	buf_init(&pem, 65536);
	put_pem(&pem, crt, key);
	for (const struct pki_ca *c = ca; c != NULL; c = c->above)
		put_pem(&pem, c->crt, NULL);
	if (identity_parse(&id, &alias, spec->cn, buf_data(&pem), buf_len(&pem), NULL, 0, NULL) < 0) {
		fprintf(stderr, "%s: %s\n", spec->cn, err_text(KC_EFORMAT));
		abort();
	}
	buf_fini(&pem);
	free(alias);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	return id;
}

static void put_der(struct buf *b, struct cert_der der)
{
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)der.data, (unsigned)der.size };
	gnutls_x509_crt_t crt;

	must(gnutls_x509_crt_init(&crt), "crt");
	must(gnutls_x509_crt_import(crt, &in, GNUTLS_X509_FMT_DER), "crt");
	put_pem(b, crt, NULL);
	gnutls_x509_crt_deinit(crt);
}

struct trust *pki_trust_new(const struct pki_ca *a, const struct pki_ca *b, const struct identity *leaf)
{
	char dir[] = "/tmp/kc-test-pki.XXXXXX";
	struct trust *trust = NULL;
	struct buf pem;
	char *path;

	buf_init(&pem, 65536);
	if (a != NULL)
		put_pem(&pem, a->crt, NULL);
	if (b != NULL)
		put_pem(&pem, b->crt, NULL);
	if (leaf != NULL)
		put_der(&pem, identity_chain_der(leaf, 0));
	if (mkdtemp(dir) == NULL)
		abort();
	path = file_join(dir, "trusted.pem");
	if (buf_len(&pem) > 0 && file_replace(path, buf_data(&pem), buf_len(&pem), 0600) < 0)
		abort();
	if (trust_load(&trust, dir) < 0)
		abort();
	file_remove_tree(dir);
	free(path);
	buf_fini(&pem);
	return trust;
}

static void revoke(gnutls_x509_crl_t crl, gnutls_x509_crt_t crt)
{
	unsigned char serial[64];
	size_t n = sizeof(serial);

	must(gnutls_x509_crt_get_serial(crt, serial, &n), "serial");
	must(gnutls_x509_crl_set_crt_serial(crl, serial, n, time(NULL) - 60), "revoked");
}

static void revoke_identity(gnutls_x509_crl_t crl, const struct identity *id)
{
	struct cert_der der = identity_chain_der(id, 0);
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)der.data, (unsigned)der.size };
	gnutls_x509_crt_t crt;

	must(gnutls_x509_crt_init(&crt), "crt");
	must(gnutls_x509_crt_import(crt, &in, GNUTLS_X509_FMT_DER), "crt");
	revoke(crl, crt);
	gnutls_x509_crt_deinit(crt);
}

void pki_crl_new(struct buf *out, const struct pki_ca *ca, const struct pki_crl *spec)
{
	bool usual = spec->this_update == 0 && spec->next_update == 0;
	const struct pki_ca *by = spec->signed_by != NULL ? spec->signed_by : ca;
	gnutls_x509_crl_t crl;
	gnutls_datum_t text;

	must(gnutls_x509_crl_init(&crl), "crl");
	must(gnutls_x509_crl_set_version(crl, 2), "crl");
	must(gnutls_x509_crl_set_this_update(crl, time(NULL) + (usual ? -3600 : spec->this_update)), "date");
	must(gnutls_x509_crl_set_next_update(crl, time(NULL) + (usual ? 86400 : spec->next_update)), "date");
	if (spec->number > 0)
		must(gnutls_x509_crl_set_number(crl, &spec->number, 1), "number");
	for (size_t i = 0; i < 4 && spec->revoked[i] != NULL; i++)
		revoke_identity(crl, spec->revoked[i]);
	if (spec->revoked_ca != NULL)
		revoke(crl, spec->revoked_ca->crt);
	/* With the name of one and the key of the other. */
	must(gnutls_x509_crl_sign2(crl, ca->crt, by->key, GNUTLS_DIG_SHA256, 0), "sign");
	must(gnutls_x509_crl_export2(crl, spec->der ? GNUTLS_X509_FMT_DER : GNUTLS_X509_FMT_PEM, &text), "crl");
	buf_put(out, text.data, text.size);
	gnutls_free(text.data);
	gnutls_x509_crl_deinit(crl);
}

int pki_trust_crl(struct trust *trust, const struct buf *lists, const struct identity *own)
{
	char dir[] = "/tmp/kc-test-crl.XXXXXX";
	char *path;
	int rc;

	if (mkdtemp(dir) == NULL)
		abort();
	path = file_join(dir, "lists.crl");
	if (file_replace(path, buf_data(lists), buf_len(lists), 0600) < 0)
		abort();
	rc = trust_add_crl_file(trust, path, own);
	file_remove_tree(dir);
	free(path);
	return rc;
}

void pki_ca_pem(struct buf *out, const struct pki_ca *ca)
{
	put_pem(out, ca->crt, NULL);
}
