/* SPDX-License-Identifier: Apache-2.0 */
/* renewal: reads what others renewed, and judges what shall take the place of a certificate. */
#include "renewal.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity.h"
#include "trust.h"
#include "x509.h"

#define STASH_BYTE  0xf5
#define STASH_MAX   1024
#define AUTHORITIES "additionalCAs"
#define FILES_MAX   64 /* in there */

static const struct set {
	const char *cert, *key, *password;
} sets[] = {
	{ "client_cert.pem", "client_key.pem", "passphrase" },
	{ "tls.crt", "tls.key", "tls.sth" },
};
#define SETS (sizeof(sets) / sizeof(sets[0]))

/* --- the pass phrase --- */

static size_t trimmed(const struct buf *b)
{
	const char *text = (const char *)buf_data(b);
	size_t n = buf_len(b);

	while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL)
		n--;
	return n;
}

static bool is_password(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return n > 0;
}

int renewal_stash(char **password, const struct buf *stash, const char *name)
{
	const unsigned char *bytes = buf_data(stash);
	size_t n = trimmed(stash), got = 0;
	char *text;

	if (buf_len(stash) == 0 || buf_len(stash) > STASH_MAX)
		return err_set(KC_EFORMAT, "%s: %zu bytes are no stashed pass phrase", name, buf_len(stash));
	text = mem_secret_new(STASH_MAX + 1);
	if (base64_decode(text, &got, STASH_MAX, (const char *)bytes, n) < 0 || !is_password(text, got))
		for (got = 0; got < buf_len(stash) && bytes[got] != STASH_BYTE; got++)
			text[got] = (char)(bytes[got] ^ STASH_BYTE);
	text[got] = '\0';
	if (is_password(text, got)) {
		*password = text;
		return KC_OK;
	}
	mem_secret_free(text);
	return err_set(KC_EFORMAT, "%s: neither a pass phrase in base64 nor a stash file of the old form", name);
}

static int read_stash(char **password, const char *path)
{
	struct buf b;
	int rc;

	buf_init(&b, STASH_MAX + 1);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = renewal_stash(password, &b, path);
	buf_fini(&b);
	return rc;
}

/* NULL where there is none. */
static int read_password(char **password, const struct set *s, const char *dir)
{
	char *own = file_join(dir, s->password), *plain = file_join(dir, sets[0].password);
	int rc = KC_OK;

	if (s != &sets[0] && file_exists(own))
		rc = read_stash(password, own);
	else if (file_exists(plain))
		rc = file_read_password(password, plain);
	free(own);
	free(plain);
	return rc;
}

/* --- certificates --- */

static int add_file(struct buf *pem, const char *path)
{
	int rc = file_read(pem, path);

	buf_put_str(pem, "\n");
	return rc < 0 ? rc : buf_status(pem);
}

static int is_certificate(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 4 &&
	       (strcmp(e->d_name + n - 4, ".crt") == 0 || strcmp(e->d_name + n - 4, ".pem") == 0);
}

static int add_authorities(struct buf *pem, const char *dir)
{
	char *folder = file_join(dir, AUTHORITIES);
	struct dirent **names = NULL;
	int n = file_is_dir(folder) ? scandir(folder, &names, is_certificate, alphasort) : 0, rc = KC_OK;

	if (n < 0)
		rc = err_errno("%s", folder);
	if (n > FILES_MAX)
		rc = err_set(KC_ELIMIT, "%s: %d files, more than %d", folder, n, FILES_MAX);
	for (int i = 0; i < n; i++) {
		char *path = file_join(folder, names[i]->d_name);

		if (rc == KC_OK)
			rc = add_file(pem, path);
		free(path);
		free(names[i]);
	}
	free(names);
	free(folder);
	return rc;
}

/* Leaf first, then whatever may lie between it and what is trusted. */
static int read_certificates(struct buf *pem, const struct set *s, const char *dir)
{
	char *leaf = file_join(dir, s->cert), *ca = file_join(dir, "ca.crt");
	int rc = add_file(pem, leaf);

	if (rc == KC_OK && !x509_is_pem(buf_data(pem), buf_len(pem)))
		rc = err_set(KC_EFORMAT, "%s: not a certificate in PEM", leaf);
	if (rc == KC_OK && file_exists(ca))
		rc = add_file(pem, ca);
	if (rc == KC_OK)
		rc = add_authorities(pem, dir);
	free(leaf);
	free(ca);
	return rc;
}

/* --- the set --- */

static bool has(const char *dir, const char *name)
{
	char *path = file_join(dir, name);
	bool there = file_exists(path);

	free(path);
	return there;
}

static int find_set(const struct set **set, const char *dir)
{
	const struct set *found = NULL;

	if (!file_is_dir(dir))
		return err_set(KC_ENOENT, "%s: no such directory, or it cannot be read", dir);
	for (size_t i = 0; i < SETS; i++) {
		bool cert = has(dir, sets[i].cert), key = has(dir, sets[i].key);

		if (!cert && !key)
			continue;
		if (!cert || !key)
			return err_set(KC_EFORMAT, "%s: %s is there, and %s is not", dir,
			    cert ? sets[i].cert : sets[i].key, cert ? sets[i].key : sets[i].cert);
		if (found != NULL)
			return err_set(KC_EFORMAT, "%s: holds two sets, %s and %s", dir, found->cert, sets[i].cert);
		found = &sets[i];
	}
	if (found == NULL)
		return err_set(KC_ENOENT, "%s: holds neither %s with %s nor %s with %s", dir, sets[0].cert, sets[0].key,
		    sets[1].cert, sets[1].key);
	*set = found;
	return KC_OK;
}

int renewal_read(struct identity **id, const char *dir)
{
	const struct set *s = NULL;
	char *password = NULL, *key_path = NULL;
	struct buf pem, key;
	int rc = find_set(&s, dir);

	if (rc < 0)
		return rc;
	buf_init(&pem, X509_FILE_MAX);
	buf_init(&key, X509_FILE_MAX);
	key_path = file_join(dir, s->key);
	rc = read_certificates(&pem, s, dir);
	if (rc == KC_OK)
		rc = file_read(&key, key_path);
	if (rc == KC_OK)
		rc = read_password(&password, s, dir);
	if (rc == KC_OK)
		rc = identity_parse(
		    id, NULL, key_path, buf_data(&pem), buf_len(&pem), buf_data(&key), buf_len(&key), password);
	mem_secret_free(password);
	free(key_path);
	buf_fini(&pem);
	buf_fini(&key);
	return rc;
}

/* --- the check --- */

static int verify(const struct identity *id, const struct trust *trust, time_t now)
{
	static const enum cert_use uses[] = { CERT_USE_CLIENT, CERT_USE_SERVER };
	size_t count = identity_chain_count(id);
	struct cert_der *chain = mem_xcalloc(count, sizeof(*chain));
	int rc = KC_OK;

	for (size_t i = 0; i < count; i++)
		chain[i] = identity_chain_der(id, i);
	for (size_t i = 0; rc == KC_OK && i < sizeof(uses) / sizeof(uses[0]); i++)
		rc = trust_verify(NULL, trust, chain, count, uses[i], now);
	free(chain);
	return rc;
}

int renewal_check(
    const struct identity *next, const struct cert_info *present, const struct trust *trust, time_t now, unsigned allow)
{
	const struct cert_info *info = identity_info(next);
	char end[CLOCK_UTC_SIZE], until[CLOCK_UTC_SIZE];
	int rc;

	if (strcmp(info->sha256, present->sha256) == 0)
		return err_set(KC_EEXIST, "certificate %s there is the one in use", info->cn);
	if ((allow & RENEWAL_ANY_NAME) == 0 && strcmp(info->cn, present->cn) != 0)
		return err_set(KC_ECERT, "its common name is '%.100s', that of the certificate in use '%.100s'",
		    info->cn, present->cn);
	if ((allow & RENEWAL_ANY_END) == 0 && info->not_after <= present->not_after)
		return err_set(KC_ECERT, "certificate %.100s ends at %s, the one in use not before %s", info->cn,
		    clock_utc(end, (int64_t)info->not_after), clock_utc(until, (int64_t)present->not_after));
	rc = identity_check_uses(next);
	return rc == KC_OK ? verify(next, trust, now) : rc;
}

static int present_of(struct cert_info *info, const struct renewal_place *p)
{
	struct identity_list list = { 0 };
	int rc = identity_list_load(&list, p->keystore_dir);
	bool found = false;

	for (size_t i = 0; rc == KC_OK && !found && i < list.count; i++) {
		if (strcmp(list.entries[i].alias, p->alias) != 0)
			continue;
		*info = list.entries[i].info;
		list.entries[i].info = (struct cert_info){ 0 };
		found = true;
	}
	identity_list_fini(&list);
	if (rc == KC_OK && !found)
		rc = err_set(KC_ENOENT, "alias %s: not in the keystore %s", p->alias, p->keystore_dir);
	return rc;
}

int renewal_install(struct cert_info *info, const struct identity *next, const struct renewal_place *p)
{
	const struct cert_der leaf = identity_chain_der(next, 0);
	struct cert_info present = { 0 };
	struct trust *trust = NULL;
	int rc = present_of(&present, p);

	if (rc == KC_OK)
		rc = trust_load(&trust, p->truststore_dir);
	if (rc == KC_OK)
		rc = renewal_check(next, &present, trust, 0, p->allow);
	if (rc == KC_OK && p->go != NULL)
		rc = p->go(identity_info(next), p->arg);
	if (rc == KC_OK)
		rc = identity_save(next, p->keystore_dir, p->alias, true);
	if (rc == KC_OK && info != NULL)
		rc = cert_info_from_der(info, leaf.data, leaf.size);
	trust_free(trust);
	cert_info_fini(&present);
	return rc;
}
