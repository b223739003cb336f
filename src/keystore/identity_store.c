/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity_store: writing, replacing and removing identities in the keystore. What is replaced or removed has a copy in
 * retired/ before anything of it goes, and at every instant an alias loads as the old or as the new identity.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity_priv.h"

/* The files of one alias. */
struct place {
	const char *dir, *alias;
	char *crt, *key, *key_new, *csr, *secret;
};

static struct place place_of(const char *dir, const char *alias)
{
	return (struct place){ .dir = dir,
		.alias = alias,
		.crt = identity_path(dir, alias, IDENTITY_CRT),
		.key = identity_path(dir, alias, IDENTITY_KEY),
		.key_new = identity_path(dir, alias, IDENTITY_KEY_NEW),
		.csr = identity_path(dir, alias, IDENTITY_CSR),
		.secret = file_join(dir, IDENTITY_SECRET) };
}

static void place_fini(struct place *p)
{
	free(p->crt);
	free(p->key);
	free(p->key_new);
	free(p->csr);
	free(p->secret);
}

static int write_chain(const struct identity *id, const char *path, bool replace)
{
	struct file_new f = FILE_NEW_EMPTY;
	struct buf b;
	int rc = KC_OK;

	buf_init(&b, X509_FILE_MAX);
	for (size_t i = 0; rc == KC_OK && i < id->chain.count; i++)
		rc = x509_put_pem(&b, id->chain.crts[i]);
	if (rc == KC_OK)
		rc = file_new_begin(&f, path, 0644);
	if (rc == KC_OK) {
		file_new_write(&f, buf_data(&b), buf_len(&b));
		rc = replace ? file_new_commit(&f) : file_new_commit_excl(&f);
	}
	buf_fini(&b);
	return rc;
}

static bool key_file_fits(const char *path, const struct place *p, gnutls_x509_crt_t crt)
{
	gnutls_x509_privkey_t key;
	bool fits;

	if (!file_exists(path) || identity_read_key(&key, path, p->secret) < 0)
		return false;
	fits = identity_key_fits(key, crt);
	gnutls_x509_privkey_deinit(key);
	return fits;
}

/* The new key takes the place of the old one, whose request is of no use any more. */
static int finish(const struct place *p)
{
	int rc = file_remove(p->csr);

	return rc == KC_OK ? file_rename(p->key_new, p->key) : rc;
}

/* Finish what was cut short, before something else begins. */
static int settle(const struct place *p)
{
	struct x509_list chain = { 0 };
	int rc = KC_OK;

	if (!file_exists(p->key_new))
		return KC_OK;
	if (identity_read_chain(&chain, p->crt) == KC_OK && key_file_fits(p->key_new, p, chain.crts[0]))
		rc = finish(p);
	else
		rc = file_remove(p->key_new);
	x509_list_fini(&chain);
	return rc;
}

/* From the chain on there is a key that fits it, the new one beside the old or the only one: see load_parts(). */
static int write_all(const struct place *p, const struct identity *id, bool replace)
{
	int rc = identity_write_key(id->key, p->key_new, p->secret, true);

	if (rc == KC_OK)
		rc = write_chain(id, p->crt, replace);
	return rc == KC_OK ? finish(p) : rc;
}

/* A certificate for the key that is there: of a pending request, or a renewal. */
static int renew(const struct place *p, const struct identity *id)
{
	int rc = file_exists(p->crt) ? retired_put(p->dir, p->alias, false) : KC_OK;

	return rc == KC_OK ? write_chain(id, p->crt, true) : rc;
}

static int save(const struct place *p, const struct identity *id, bool replace)
{
	bool crt = file_exists(p->crt), key = file_exists(p->key), csr = file_exists(p->csr);
	int rc = KC_OK;

	if (crt && !replace)
		return err_set(KC_EEXIST, "alias %s: exists already in %s", p->alias, p->dir);
	if (key && !crt && !csr)
		return err_set(KC_EEXIST, "%s: exists and belongs to no certificate", p->key);
	if (key && key_file_fits(p->key, p, id->chain.crts[0]))
		return renew(p, id);
	if (csr && !crt && !replace)
		return err_set(KC_EEXIST, "alias %s: a request with another key is pending", p->alias);
	if (crt || csr)
		rc = retired_put(p->dir, p->alias, true);
	return rc == KC_OK ? write_all(p, id, crt) : rc;
}

int identity_save(const struct identity *id, const char *dir, const char *alias, bool replace)
{
	int rc = identity_check_alias(alias);
	struct place p;

	if (rc == KC_OK)
		rc = file_make_dirs(dir);
	if (rc < 0)
		return rc;
	p = place_of(dir, alias);
	rc = settle(&p);
	if (rc == KC_OK)
		rc = save(&p, id, replace);
	place_fini(&p);
	return rc;
}

/* The certificate last: as long as it, or the request, is there, the alias is listed and can be removed again. */
static int remove_files(const struct place *p)
{
	int rc = file_remove(p->key);

	if (rc == KC_OK && file_exists(p->crt))
		rc = file_remove(p->csr);
	if (rc == KC_OK)
		rc = file_remove(p->crt);
	return rc == KC_OK ? file_remove(p->csr) : rc;
}

int identity_remove(const char *dir, const char *alias)
{
	int rc = identity_check_alias(alias);
	struct place p;

	if (rc < 0)
		return rc;
	p = place_of(dir, alias);
	if (!file_exists(p.crt) && !file_exists(p.csr))
		rc = err_set(KC_ENOENT, "alias %s: not in the keystore %s", alias, dir);
	if (rc == KC_OK)
		rc = settle(&p);
	if (rc == KC_OK)
		rc = retired_put(dir, alias, true);
	if (rc == KC_OK)
		rc = remove_files(&p);
	place_fini(&p);
	return rc;
}
