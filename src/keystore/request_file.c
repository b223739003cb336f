/* SPDX-License-Identifier: Apache-2.0 */
/* request_file: requests in the keystore, which wait there for their certificates. */
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"
#include "identity_priv.h"
#include "request_priv.h"

int request_load_crq(gnutls_x509_crq_t *crq, const void *data, size_t size, const char *name)
{
	gnutls_datum_t d = { (unsigned char *)data, (unsigned)size };
	gnutls_x509_crq_t q;
	int rc;

	if (gnutls_x509_crq_init(&q) < 0)
		return err_set(KC_EFAIL, "GnuTLS does not start");
	rc = gnutls_x509_crq_import(q, &d, x509_is_pem(data, size) ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER);
	if (rc < 0) {
		gnutls_x509_crq_deinit(q);
		return err_set(KC_EFORMAT, "%s: not a certificate request: %s", name, gnutls_strerror(rc));
	}
	*crq = q;
	return KC_OK;
}

static int load_file(gnutls_x509_crq_t *crq, const char *path)
{
	struct buf b;
	int rc;

	buf_init(&b, REQUEST_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = request_load_crq(crq, buf_data(&b), buf_len(&b), path);
	buf_fini(&b);
	return rc;
}

static int key_id(char id[CERT_HEX_SIZE], gnutls_x509_crq_t crq)
{
	unsigned char raw[32];
	size_t n = sizeof(raw);

	if (gnutls_x509_crq_get_key_id(crq, GNUTLS_KEYID_USE_SHA256, raw, &n) < 0 || n != sizeof(raw))
		return err_set(KC_EFORMAT, "the public key of a certificate request cannot be read");
	hex_encode(id, raw, sizeof(raw));
	return KC_OK;
}

int request_file_key_id(char id[CERT_HEX_SIZE], const char *path)
{
	gnutls_x509_crq_t crq;
	int rc = load_file(&crq, path);

	if (rc < 0)
		return rc;
	rc = key_id(id, crq);
	gnutls_x509_crq_deinit(crq);
	return rc;
}

static int write_pem(const struct request *q, const char *path)
{
	struct file_new f = FILE_NEW_EMPTY;
	struct buf b;
	int rc;

	buf_init(&b, REQUEST_MAX);
	rc = request_pem(&b, q);
	if (rc == KC_OK)
		rc = file_new_begin(&f, path, 0644);
	if (rc == KC_OK) {
		file_new_write(&f, buf_data(&b), buf_len(&b));
		rc = file_new_commit_excl(&f);
	}
	buf_fini(&b);
	return rc;
}

/* The request first: a crash leaves one without a key, which `cert remove` takes away, and never a key of nobody. */
static int write_both(const struct request *q, const char *csr, const char *key, const char *secret)
{
	int rc = write_pem(q, csr);

	if (rc < 0)
		return rc;
	rc = identity_write_key(q->key, key, secret, false);
	if (rc < 0)
		(void)file_discard(csr);
	return rc;
}

int request_save(const struct request *q, const char *dir, const char *alias, bool replace)
{
	char *crt, *key, *csr, *secret;
	int rc = identity_check_alias(alias);

	if (rc == KC_OK)
		rc = file_make_dirs(dir);
	if (rc < 0)
		return rc;
	crt = identity_path(dir, alias, IDENTITY_CRT);
	key = identity_path(dir, alias, IDENTITY_KEY);
	csr = identity_path(dir, alias, IDENTITY_CSR);
	secret = file_join(dir, IDENTITY_SECRET);
	if (file_exists(crt))
		rc = err_set(KC_EEXIST, "alias %s: exists already in %s", alias, dir);
	else if (file_exists(csr) && !file_exists(key))
		rc = file_remove(csr); /* cut short; it cannot be answered */
	else if (file_exists(csr) && !replace)
		rc = err_set(KC_EEXIST, "alias %s: a request is pending already", alias);
	else if (file_exists(csr))
		rc = identity_remove(dir, alias);
	else if (file_exists(key))
		rc = err_set(KC_EEXIST, "%s: exists and belongs to no certificate", key);
	if (rc == KC_OK)
		rc = write_both(q, csr, key, secret);
	free(crt);
	free(key);
	free(csr);
	free(secret);
	return rc;
}

int request_kept(struct buf *pem, const char *dir, const char *alias)
{
	int rc = identity_check_alias(alias);
	char *path;

	if (rc < 0)
		return rc;
	path = identity_path(dir, alias, IDENTITY_CSR);
	rc = file_read(pem, path);
	free(path);
	return rc == KC_ENOENT ? err_set(KC_ENOENT, "alias %s: no request is kept in %s", alias, dir) : rc;
}

/* --- what a request says --- */

static void copy_names(struct request_info *info, gnutls_x509_crq_t crq)
{
	char dn[1024] = "";
	gnutls_datum_t text = { 0 };
	size_t n = sizeof(dn) - 1;

	if (gnutls_x509_crq_get_dn3(crq, &text, 0) >= 0)
		info->subject = str_printable(mem_xstrndup((const char *)text.data, text.size));
	else
		info->subject = mem_xstrdup("");
	gnutls_free(text.data);
	if (gnutls_x509_crq_get_dn_by_oid(crq, GNUTLS_OID_X520_COMMON_NAME, 0, 0, dn, &n) < 0)
		dn[0] = '\0';
	info->cn = str_printable(mem_xstrdup(dn));
}

static int describe(struct request_info *info, gnutls_x509_crq_t crq)
{
	struct request_info i = { 0 };
	unsigned bits = 0;
	int algorithm, rc = key_id(i.spki_sha256, crq);

	if (rc < 0)
		return rc;
	copy_names(&i, crq);
	algorithm = gnutls_x509_crq_get_pk_algorithm(crq, &bits);
	i.key_type = x509_key_type(algorithm, bits);
	*info = i;
	return KC_OK;
}

int request_info_from(struct request_info *info, const void *data, size_t size, const char *name)
{
	gnutls_x509_crq_t crq;
	int rc = request_load_crq(&crq, data, size, name);

	if (rc < 0)
		return rc;
	rc = describe(info, crq);
	gnutls_x509_crq_deinit(crq);
	return rc;
}

void request_info_fini(struct request_info *info)
{
	free(info->alias);
	free(info->subject);
	free(info->cn);
	free(info->key_type);
	*info = (struct request_info){ 0 };
}

int request_info_load(struct request_info *info, const char *dir, const char *alias)
{
	char *path = identity_path(dir, alias, IDENTITY_CSR), *key = identity_path(dir, alias, IDENTITY_KEY);
	gnutls_x509_crq_t crq;
	struct stat st;
	int rc = load_file(&crq, path);

	if (rc == KC_OK) {
		rc = describe(info, crq);
		gnutls_x509_crq_deinit(crq);
	}
	if (rc == KC_OK) {
		info->alias = mem_xstrdup(alias);
		info->has_key = file_exists(key);
		info->made_at = stat(path, &st) == 0 ? st.st_mtime : 0;
	}
	free(path);
	free(key);
	return rc;
}

int request_list_load(struct request_list *list, const char *dir)
{
	struct request_list l = { 0 };
	char **names = NULL;
	size_t count = 0;
	int rc = identity_names(&names, &count, dir, IDENTITY_CSR);

	l.entries = mem_xcalloc(count, sizeof(*l.entries));
	for (size_t i = 0; rc == KC_OK && i < count; i++) {
		char *crt = identity_path(dir, names[i], IDENTITY_CRT);

		if (!file_exists(crt) && (rc = request_info_load(&l.entries[l.count], dir, names[i])) == KC_OK)
			l.count++;
		free(crt);
	}
	identity_names_free(names, count);
	if (rc == KC_OK)
		*list = l;
	else
		request_list_fini(&l);
	return rc;
}

void request_list_fini(struct request_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		request_info_fini(&list->entries[i]);
	free(list->entries);
	*list = (struct request_list){ 0 };
}
