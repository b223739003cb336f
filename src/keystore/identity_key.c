/* SPDX-License-Identifier: Apache-2.0 */
/* identity_key: private keys as encrypted PKCS#8, and the putting together of key and chain. */
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "ec_key.h"
#include "identity_priv.h"
#include "pbes2.h"
#include "secret.h"

int identity_put_key(struct buf *out, gnutls_x509_privkey_t key, const char *password)
{
	gnutls_datum_t pem = { 0 };
	int rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, password, GNUTLS_PKCS_PBES2_AES_256, &pem);

	if (rc < 0)
		return err_set(KC_EFAIL, "a private key cannot be encrypted: %s", gnutls_strerror(rc));
	buf_put(out, pem.data, pem.size);
	gnutls_free(pem.data);
	return buf_status(out);
}

static bool is_encrypted(const gnutls_datum_t *d, gnutls_x509_crt_fmt_t format)
{
	if (format == GNUTLS_X509_FMT_PEM && (memmem(d->data, d->size, "Proc-Type: 4,ENCRYPTED", 22) != NULL ||
						 memmem(d->data, d->size, "BEGIN ENCRYPTED ", 16) != NULL))
		return true;
	return gnutls_pkcs8_info(d, format, NULL, NULL, NULL, NULL, NULL, NULL) >= 0;
}

int identity_get_key(gnutls_x509_privkey_t *key, const struct x509_list *pool, const void *data, size_t size,
    const char *password, const char *name)
{
	gnutls_datum_t d = { (unsigned char *)data, (unsigned)size };
	gnutls_x509_crt_fmt_t format = x509_is_pem(data, size) ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER;
	bool encrypted = size > 0 && is_encrypted(&d, format);
	gnutls_x509_privkey_t k;
	int rc;

	if (size == 0)
		return err_set(KC_EFORMAT, "%s: empty, no private key in it", name);
	if (encrypted && password == NULL)
		return err_set(KC_EPASSWORD, "%s: the private key is encrypted and no password is given", name);
	if (gnutls_x509_privkey_init(&k) < 0)
		return err_set(KC_EFAIL, "GnuTLS does not start");
	rc = gnutls_x509_privkey_import2(k, &d, format, encrypted ? password : NULL, 0);
	if (rc >= 0) {
		*key = k;
		return KC_OK;
	}
	gnutls_x509_privkey_deinit(k);
	if (ec_key_recover(key, data, size, encrypted ? password : NULL, pool))
		return KC_OK;
	if (encrypted && rc != GNUTLS_E_UNKNOWN_CIPHER_TYPE)
		return err_set(KC_EPASSWORD, "%s: the password does not open the private key", name);
	return err_set(KC_EFORMAT, "%s: the private key cannot be read: %s", name, gnutls_strerror(rc));
}

int identity_write_key(gnutls_x509_privkey_t key, const char *path, const char *secret_path, bool replace)
{
	struct file_new f = FILE_NEW_EMPTY;
	char *password = NULL;
	struct buf b;
	int rc = secret_password_file(&password, secret_path, true);

	if (rc < 0)
		return rc;
	buf_init(&b, X509_FILE_MAX);
	rc = pbes2_put_key(&b, key, password);
	mem_secret_free(password);
	if (rc == KC_OK)
		rc = file_new_begin(&f, path, 0600);
	if (rc == KC_OK) {
		file_new_write(&f, buf_data(&b), buf_len(&b));
		rc = replace ? file_new_commit(&f) : file_new_commit_excl(&f);
	}
	buf_fini(&b);
	return rc;
}

int identity_read_key(gnutls_x509_privkey_t *key, const char *path, const char *secret_path)
{
	const struct x509_list none = { 0 };
	char *password = NULL;
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = file_read_secret(&b, path);
	if (rc == KC_OK)
		rc = secret_password_file(&password, secret_path, false);
	if (rc == KC_OK)
		rc = identity_get_key(key, &none, buf_data(&b), buf_len(&b), password, path);
	if (rc == KC_EPASSWORD)
		rc = err_set(KC_EDAMAGED, "%s: does not open with the secret in %s", path, secret_path);
	mem_secret_free(password);
	buf_fini(&b);
	return rc;
}

bool identity_key_fits(gnutls_x509_privkey_t key, gnutls_x509_crt_t crt)
{
	unsigned char of_key[32], of_crt[32];
	size_t n = sizeof(of_key);

	return gnutls_x509_privkey_get_key_id(key, GNUTLS_KEYID_USE_SHA256, of_key, &n) >= 0 && n == sizeof(of_key) &&
	       x509_key_id(of_crt, crt) == KC_OK && memcmp(of_key, of_crt, sizeof(of_key)) == 0;
}

/* Of the certificates of this key the one that lasts longest, or NULL. */
static gnutls_x509_crt_t find_leaf(const struct x509_list *pool, gnutls_x509_privkey_t key)
{
	gnutls_x509_crt_t best = NULL;

	for (size_t i = 0; i < pool->count; i++) {
		gnutls_x509_crt_t c = pool->crts[i];

		if (!identity_key_fits(key, c))
			continue;
		if (best == NULL || gnutls_x509_crt_get_expiration_time(c) > gnutls_x509_crt_get_expiration_time(best))
			best = c;
	}
	return best;
}

/* Of two authorities with one name, the one that has signed. */
static gnutls_x509_crt_t find_issuer(const struct x509_list *pool, const struct x509_list *chain, gnutls_x509_crt_t crt)
{
	gnutls_x509_crt_t named = NULL;

	if (x509_is_issued_by(crt, crt))
		return NULL;
	for (size_t i = 0; i < pool->count; i++) {
		gnutls_x509_crt_t c = pool->crts[i];

		if (!x509_is_ca(c) || !x509_is_issued_by(crt, c) || x509_list_have(chain, c))
			continue;
		if (x509_is_signed_by(crt, c))
			return c;
		if (named == NULL)
			named = c;
	}
	return named;
}

static int order_chain(struct x509_list *chain, const struct x509_list *pool, gnutls_x509_crt_t leaf)
{
	for (gnutls_x509_crt_t c = leaf; c != NULL; c = find_issuer(pool, chain, c)) {
		gnutls_x509_crt_t copy;
		int rc = x509_copy(&copy, c);

		if (rc < 0)
			return rc;
		x509_list_take(chain, copy);
	}
	return KC_OK;
}

int identity_keep_ders(struct identity *id)
{
	id->ders = mem_xcalloc(id->chain.count, sizeof(*id->ders));
	for (size_t i = 0; i < id->chain.count; i++) {
		int rc = gnutls_x509_crt_export2(id->chain.crts[i], GNUTLS_X509_FMT_DER, &id->ders[i]);

		if (rc < 0)
			return err_set(KC_EFAIL, "a certificate cannot be exported: %s", gnutls_strerror(rc));
	}
	return KC_OK;
}

int identity_assemble(
    struct identity **id, const struct x509_list *pool, gnutls_x509_privkey_t key, const char *alias, const char *name)
{
	struct identity *x = mem_xalloc(sizeof(*x));
	gnutls_x509_crt_t leaf = find_leaf(pool, key);
	int rc;

	x->key = key;
	x->alias = mem_xstrdup(alias);
	if (leaf == NULL)
		rc =
		    err_set(KC_ECERT, "%s: the private key belongs to none of the %zu certificates", name, pool->count);
	else
		rc = order_chain(&x->chain, pool, leaf);
	if (rc == KC_OK)
		rc = identity_keep_ders(x);
	if (rc == KC_OK)
		rc = x509_info(&x->info, x->chain.crts[0]);
	if (rc == KC_OK)
		*id = x;
	else
		identity_free(x);
	return rc;
}
