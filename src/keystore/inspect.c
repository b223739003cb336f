/* SPDX-License-Identifier: Apache-2.0 */
/* inspect: private keys and certificates through GnuTLS, into DER and a name. Its copies are wiped. */
#include "inspect.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static void name_algorithm(char name[INSPECT_ALGORITHM_SIZE], int algorithm, unsigned bits)
{
	switch (algorithm) {
	case GNUTLS_PK_ECDSA:
		snprintf(name, INSPECT_ALGORITHM_SIZE, "EC-P%u", bits == 528 ? 521 : bits); /* GnuTLS: whole bytes */
		break;
	case GNUTLS_PK_EDDSA_ED25519:
		snprintf(name, INSPECT_ALGORITHM_SIZE, "Ed25519");
		break;
	case GNUTLS_PK_EDDSA_ED448:
		snprintf(name, INSPECT_ALGORITHM_SIZE, "Ed448");
		break;
	default:
		snprintf(name, INSPECT_ALGORITHM_SIZE, "%.20s-%u",
		    algorithm == GNUTLS_PK_RSA ? "RSA" : gnutls_pk_get_name((gnutls_pk_algorithm_t)algorithm), bits);
	}
}

static void wipe_datum(gnutls_datum_t *d)
{
	if (d->data != NULL)
		mem_wipe(d->data, d->size);
	gnutls_free(d->data);
	d->data = NULL;
}

/* Moves a datum of GnuTLS into secret memory. */
static void take(struct inspected *out, gnutls_datum_t *der)
{
	out->der = mem_secret_new(der->size);
	out->size = der->size;
	memcpy(out->der, der->data, der->size);
	wipe_datum(der);
}

static gnutls_x509_crt_fmt_t format_of(enum inspect_encoding encoding)
{
	return encoding == INSPECT_PEM ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER;
}

int inspect_private_key(struct inspected *out, const void *data, size_t size, enum inspect_encoding encoding,
    const char *password, const char *name)
{
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)data, (unsigned)size }, der = { NULL, 0 };
	gnutls_x509_privkey_t key = NULL;
	size_t id_size = sizeof(out->id);
	unsigned bits = 0;
	int algorithm, rc;

	rc = gnutls_x509_privkey_init(&key);
	if (rc >= 0)
		rc = gnutls_x509_privkey_import2(key, &in, format_of(encoding), password, 0);
	if (rc >= 0)
		rc = gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, out->id, &id_size);
	if (rc >= 0)
		rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN, &der);
	if (rc >= 0) {
		algorithm = gnutls_x509_privkey_get_pk_algorithm2(key, &bits);
		name_algorithm(out->algorithm, algorithm, bits);
		take(out, &der);
	}
	gnutls_x509_privkey_deinit(key);
	if (rc >= 0)
		return KC_OK;
	if (rc == GNUTLS_E_DECRYPTION_FAILED)
		return err_set(KC_EPASSWORD, "%s: %s", name,
		    password != NULL ? "the password does not open it" : "encrypted, and no password was given");
	return err_set(KC_EFORMAT, "%s: not a private key: %s", name, gnutls_strerror(rc));
}

int inspect_certificate(
    struct inspected *out, const void *data, size_t size, enum inspect_encoding encoding, const char *name)
{
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)data, (unsigned)size }, der = { NULL, 0 };
	gnutls_x509_crt_t crt = NULL;
	size_t id_size = sizeof(out->id);
	unsigned bits = 0;
	int algorithm, rc;

	rc = gnutls_x509_crt_init(&crt);
	if (rc >= 0)
		rc = gnutls_x509_crt_import(crt, &in, format_of(encoding));
	if (rc >= 0)
		rc = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, out->id, &id_size);
	if (rc >= 0)
		rc = gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der);
	if (rc >= 0) {
		algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);
		name_algorithm(out->algorithm, algorithm, bits);
		take(out, &der);
	}
	gnutls_x509_crt_deinit(crt);
	return rc >= 0 ? KC_OK : err_set(KC_EFORMAT, "%s: not a certificate: %s", name, gnutls_strerror(rc));
}
