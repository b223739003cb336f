/* SPDX-License-Identifier: Apache-2.0 */
/* identity: the keystore directory: names, loading, saving, listing. */
#include "identity.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity_priv.h"
#include "token_priv.h"

#define ALIAS_MAX    64
#define ALIAS_CHARS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.@"
#define RESERVED     "keydb" /* keydb.key is the master key file of the built-in key database */
#define DEFAULT_NAME "ssl_cert"

char *identity_path(const char *dir, const char *alias, const char *suffix)
{
	char *name = mem_xasprintf("%s%s", alias, suffix), *path = file_join(dir, name);

	free(name);
	return path;
}

int identity_check_alias(const char *alias)
{
	size_t n = strlen(alias), good = strspn(alias, ALIAS_CHARS);

	if (n == 0 || n > ALIAS_MAX)
		return err_set(KC_EUSAGE, "an alias has 1 to %d characters, not %zu", ALIAS_MAX, n);
	if (good != n)
		return err_set(KC_EUSAGE, "alias %s: '%c' is not allowed in an alias", alias, alias[good]);
	if (alias[0] == '.' || alias[0] == '-')
		return err_set(KC_EUSAGE, "alias %s: begins with '%c'", alias, alias[0]);
	if (strcmp(alias, RESERVED) == 0)
		return err_set(KC_EUSAGE, "alias %s: the name is taken by the master key of the key database", alias);
	return KC_OK;
}

char *identity_alias_from_name(const char *name)
{
	char *text = mem_xstrndup(name, ALIAS_MAX), *alias;
	const char *begin;

	for (char *p = text; *p != '\0'; p++)
		if (strchr(ALIAS_CHARS, *p) == NULL)
			*p = '-';
	begin = text + strspn(text, ".-");
	alias = mem_xstrdup(identity_check_alias(begin) == KC_OK ? begin : DEFAULT_NAME);
	free(text);
	return alias;
}

static bool has_key(const char *dir, const char *alias)
{
	char *path = identity_path(dir, alias, IDENTITY_KEY), *new = identity_path(dir, alias, IDENTITY_KEY_NEW);
	bool has = file_exists(path) || file_exists(new);

	free(path);
	free(new);
	return has;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void identity_names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

int identity_names(char ***aliases, size_t *count, const char *dir, const char *suffix)
{
	struct dirent *e;
	size_t n = 0, tail = strlen(suffix);
	char **names = NULL;
	DIR *d = opendir(dir);

	if (d == NULL && errno != ENOENT)
		return err_errno("%s", dir);
	while (d != NULL && (e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);

		if (len <= tail || strcmp(e->d_name + len - tail, suffix) != 0 || e->d_name[0] == '.')
			continue;
		names = mem_xrealloc(names, (n + 1) * sizeof(*names));
		names[n++] = mem_xstrndup(e->d_name, len - tail);
	}
	if (d != NULL)
		closedir(d);
	if (n > 0)
		qsort(names, n, sizeof(*names), compare_names);
	*aliases = names;
	*count = n;
	return KC_OK;
}

static int resolve_wanted(char **alias, const char *dir, const char *wanted)
{
	int rc = identity_check_alias(wanted);
	char *crt;

	if (rc < 0)
		return rc;
	crt = identity_path(dir, wanted, IDENTITY_CRT);
	if (access(crt, F_OK) < 0)
		rc = errno == ENOENT ? err_set(KC_ENOENT, "alias %s: not in the keystore %s", wanted, dir)
				     : err_errno("%s", crt);
	else if (!has_key(dir, wanted))
		rc =
		    err_set(KC_ENOENT, "alias %s: the keystore %s has its certificate but no private key", wanted, dir);
	else
		*alias = mem_xstrdup(wanted);
	free(crt);
	return rc;
}

int identity_resolve(char **alias, const char *dir, const char *wanted)
{
	char **names = NULL, *all = NULL, *only = NULL;
	size_t count = 0, with_key = 0;
	int rc;

	if (token_is_uri(wanted))
		return err_set(KC_EUSAGE, "%.200s: in a PKCS#11 token, not in the keystore %s", wanted, dir);
	if (wanted != NULL && wanted[0] != '\0')
		return resolve_wanted(alias, dir, wanted);
	rc = identity_names(&names, &count, dir, IDENTITY_CRT);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		char *longer;

		if (!has_key(dir, names[i]))
			continue;
		only = names[i];
		longer = with_key++ == 0 ? mem_xstrdup(only) : mem_xasprintf("%s, %s", all, only);
		free(all);
		all = longer;
	}
	if (with_key == 0)
		rc = err_set(KC_ECONF, "the keystore %s has no certificate with a private key", dir);
	else if (with_key > 1)
		rc = err_set(
		    KC_ECONF, "the keystore %s has %zu aliases with a key (%s) and none is named", dir, with_key, all);
	else
		*alias = mem_xstrdup(only);
	free(all);
	identity_names_free(names, count);
	return rc;
}

int identity_read_chain(struct x509_list *chain, const char *path)
{
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = x509_list_parse(chain, buf_data(&b), buf_len(&b), path);
	buf_fini(&b);
	return rc;
}

/* The key of the chain. What was cut short has left the new key beside the old one, or alone. */
static int load_parts(struct identity **id, const char *dir, const char *alias, const struct x509_list *pool)
{
	static const char *const suffixes[] = { IDENTITY_KEY, IDENTITY_KEY_NEW };
	char *secret = file_join(dir, IDENTITY_SECRET), *crt = identity_path(dir, alias, IDENTITY_CRT);
	char *new = identity_path(dir, alias, IDENTITY_KEY_NEW);
	bool alone = file_exists(new);
	int rc = KC_ECERT;

	for (size_t i = 0; rc == KC_ECERT && i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char *path = identity_path(dir, alias, suffixes[i]);
		gnutls_x509_privkey_t key = NULL;

		if (file_exists(path) || (i == 0 && !alone)) {
			rc = identity_read_key(&key, path, secret);
			if (rc == KC_OK)
				rc = identity_assemble(id, pool, key, alias, crt);
		}
		free(path);
	}
	free(secret);
	free(crt);
	free(new);
	return rc;
}

int identity_load(struct identity **id, const char *dir, const char *alias)
{
	struct x509_list pool = { 0 };
	char *path;
	int rc = identity_check_alias(alias);

	if (rc < 0)
		return rc;
	path = identity_path(dir, alias, IDENTITY_CRT);
	rc = identity_read_chain(&pool, path);
	free(path);
	if (rc == KC_OK)
		rc = load_parts(id, dir, alias, &pool);
	x509_list_fini(&pool);
	return rc;
}

int identity_open(struct identity **id, const char *dir, const char *wanted)
{
	char *alias = NULL;
	int rc;

	if (token_is_uri(wanted))
		return token_identity(id, wanted);
	rc = identity_resolve(&alias, dir, wanted);
	if (rc == KC_OK)
		rc = identity_load(id, dir, alias);
	free(alias);
	return rc;
}

struct token *identity_token(const struct identity *id)
{
	return id->token;
}

void identity_free(struct identity *id)
{
	if (id == NULL)
		return;
	free(id->alias);
	for (size_t i = 0; id->ders != NULL && i < id->chain.count; i++)
		gnutls_free(id->ders[i].data);
	x509_list_fini(&id->chain);
	gnutls_x509_privkey_deinit(id->key);
	token_unref(id->token);
	cert_info_fini(&id->info);
	free(id->ders);
	free(id);
}

const char *identity_alias(const struct identity *id)
{
	return id->alias;
}

void identity_rename(struct identity *id, const char *alias)
{
	char *name = mem_xstrdup(alias);

	free(id->alias);
	id->alias = name;
}

const struct cert_info *identity_info(const struct identity *id)
{
	return &id->info;
}

size_t identity_chain_count(const struct identity *id)
{
	return id->chain.count;
}

struct cert_der identity_chain_der(const struct identity *id, size_t i)
{
	return (struct cert_der){ id->ders[i].data, id->ders[i].size };
}

int identity_set_credentials(const struct identity *id, struct gnutls_certificate_credentials_st *cred)
{
	int rc;

	if (id->token != NULL)
		return token_set_credentials(id->token, &id->chain, cred);
	rc = gnutls_certificate_set_x509_key(cred, id->chain.crts, (int)id->chain.count, id->key);
	if (rc < 0)
		return err_set(KC_ECERT, "alias %s: not usable for TLS: %s", id->alias, gnutls_strerror(rc));
	return KC_OK;
}

/* Peers refuse it in the handshake; it is said here. */
static int check_strength(const struct identity *id)
{
	unsigned bits = 0;
	int algorithm = gnutls_x509_crt_get_pk_algorithm(id->chain.crts[0], &bits);
	bool rsa = algorithm == GNUTLS_PK_RSA || algorithm == GNUTLS_PK_RSA_PSS;

	return rsa && bits < X509_RSA_BITS_MIN
		   ? err_set(KC_ECERT, "alias %s: an RSA key of %u bits; at least %d are needed", id->alias, bits,
			 X509_RSA_BITS_MIN)
		   : KC_OK;
}

int identity_check_uses(const struct identity *id)
{
	static const enum cert_use uses[] = { CERT_USE_CLIENT, CERT_USE_SERVER };
	int rc = check_strength(id);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		const char *missing = x509_missing_use(id->chain.crts[0], uses[i]);

		if (missing != NULL)
			return err_set(KC_ECERT, "alias %s: certificate lacks the use '%s'", id->alias, missing);
	}
	return KC_OK;
}

static int read_entry(struct identity_entry *entry, const char *dir, const char *alias)
{
	struct x509_list chain = { 0 };
	char *path = identity_path(dir, alias, IDENTITY_CRT);
	int rc = identity_read_chain(&chain, path);

	free(path);
	if (rc == KC_OK)
		rc = x509_info(&entry->info, chain.crts[0]);
	entry->alias = mem_xstrdup(alias);
	entry->has_key = has_key(dir, alias);
	entry->chain_count = chain.count;
	x509_list_fini(&chain);
	return rc;
}

static int load_list(struct identity_list *list, const char *dir, bool all)
{
	struct identity_list l = { 0 };
	char **names = NULL;
	size_t count = 0;
	int rc = identity_names(&names, &count, dir, IDENTITY_CRT);

	l.entries = mem_xcalloc(count, sizeof(*l.entries));
	for (size_t i = 0; rc == KC_OK && i < count; i++) {
		rc = read_entry(&l.entries[l.count], dir, names[i]);
		if (rc < 0 && all) {
			l.entries[l.count].unreadable = mem_xstrdup(err_text(rc));
			rc = KC_OK;
		}
		l.count++;
	}
	identity_names_free(names, count);
	if (rc == KC_OK)
		*list = l;
	else
		identity_list_fini(&l);
	return rc;
}

int identity_list_load(struct identity_list *list, const char *dir)
{
	return load_list(list, dir, false);
}

int identity_list_load_all(struct identity_list *list, const char *dir)
{
	return load_list(list, dir, true);
}

void identity_list_fini(struct identity_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].alias);
		free(list->entries[i].unreadable);
		cert_info_fini(&list->entries[i].info);
	}
	free(list->entries);
	*list = (struct identity_list){ 0 };
}
