/* SPDX-License-Identifier: Apache-2.0 */
/* request_answer: which alias a certificate belongs to that came without its key. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "identity_priv.h"
#include "request_priv.h"

#define NAMES_MAX 64 /* of one subject */

/* --- subjects --- */

static int compare_text(const void *a, const void *b)
{
	return strcasecmp(*(char *const *)a, *(char *const *)b);
}

/* Take "CN=a,O=b" apart, in place; a comma behind a backslash is part of a value. */
static size_t split(char *names[NAMES_MAX], char *text)
{
	size_t n = 0;

	if (*text != '\0')
		names[n++] = text;
	for (char *p = text; *p != '\0'; p++) {
		if (*p == '\\' && p[1] != '\0') {
			p++;
		} else if (*p == ',' && n < NAMES_MAX) {
			*p = '\0';
			names[n++] = p + 1;
		}
	}
	qsort(names, n, sizeof(*names), compare_text);
	return n;
}

/* Authorities write the parts of a name in another order, and in other types of text. */
static bool same_subject(const char *a, const char *b)
{
	char *copy_a = mem_xstrdup(a), *copy_b = mem_xstrdup(b), *names_a[NAMES_MAX], *names_b[NAMES_MAX];
	size_t n = split(names_a, copy_a);
	bool same = n == split(names_b, copy_b);

	for (size_t i = 0; same && i < n; i++)
		same = strcasecmp(names_a[i], names_b[i]) == 0;
	free(copy_a);
	free(copy_b);
	return same;
}

/* --- keys --- */

/* What an alias waits for, or has. */
struct expected {
	char key[CERT_HEX_SIZE];
	char *subject;
	bool pending;
};

static int expect(struct expected *e, const char *dir, const char *alias)
{
	char *crt = identity_path(dir, alias, IDENTITY_CRT);
	struct x509_list chain = { 0 };
	struct cert_info info = { 0 };
	struct request_info request = { 0 };
	int rc;

	e->pending = !file_exists(crt);
	if (e->pending) {
		rc = request_info_load(&request, dir, alias);
		if (rc == KC_ENOENT)
			rc = err_set(KC_ENOENT, "alias %s: no request is pending, and there is no certificate", alias);
	} else {
		rc = identity_read_chain(&chain, crt);
		if (rc == KC_OK)
			rc = x509_info(&info, chain.crts[0]);
	}
	if (rc == KC_OK) {
		memcpy(e->key, e->pending ? request.spki_sha256 : info.spki_sha256, CERT_HEX_SIZE);
		e->subject = mem_xstrdup(e->pending ? request.subject : info.subject);
	}
	request_info_fini(&request);
	cert_info_fini(&info);
	x509_list_fini(&chain);
	free(crt);
	return rc;
}

static bool pool_has(const struct x509_list *pool, const char *key)
{
	unsigned char id[32];
	char hex[CERT_HEX_SIZE];

	for (size_t i = 0; i < pool->count; i++) {
		if (x509_key_id(id, pool->crts[i]) < 0)
			continue;
		hex_encode(hex, id, sizeof(id));
		if (strcmp(hex, key) == 0)
			return true;
	}
	return false;
}

/* The alias with this suffix whose key is that of a certificate of the pool; NULL if there is none. Heap. */
static char *find_with(const char *dir, const char *suffix, bool pending, const struct x509_list *pool)
{
	char **names = NULL, *found = NULL;
	size_t count = 0;

	if (identity_names(&names, &count, dir, suffix) < 0)
		return NULL;
	for (size_t i = 0; found == NULL && i < count; i++) {
		char *key = identity_path(dir, names[i], IDENTITY_KEY);
		struct expected e = { 0 };

		if (file_exists(key) && expect(&e, dir, names[i]) == KC_OK && e.pending == pending &&
		    pool_has(pool, e.key))
			found = mem_xstrdup(names[i]);
		free(e.subject);
		free(key);
	}
	identity_names_free(names, count);
	return found;
}

static char *find_alias(const char *dir, const struct x509_list *pool)
{
	char *alias = find_with(dir, IDENTITY_CSR, true, pool);

	return alias != NULL ? alias : find_with(dir, IDENTITY_CRT, false, pool);
}

/* --- the answer --- */

/* The certificate that is not an authority's, for messages. Heap. */
static char *name_of_leaf(const struct x509_list *pool)
{
	for (size_t i = 0; i < pool->count; i++)
		if (!x509_is_ca(pool->crts[i]))
			return x509_name(pool->crts[i]);
	return x509_name(pool->crts[0]);
}

static int no_alias(const struct x509_list *pool, const char *name)
{
	char *leaf = name_of_leaf(pool);
	int rc =
	    err_set(KC_ECERT, "%s: certificate %s is for no key in the keystore, and has none with it", name, leaf);

	free(leaf);
	return rc;
}

static int check_key(
    const struct expected *e, const char *dir, const char *alias, const struct x509_list *pool, const char *name)
{
	char *leaf, *other;
	int rc;

	if (pool_has(pool, e->key))
		return KC_OK;
	leaf = name_of_leaf(pool);
	other = find_alias(dir, pool);
	rc = err_set(KC_ECERT, "alias %s: certificate %s in %s is not for its key, but for %s%s", alias, leaf, name,
	    other != NULL ? "that of alias " : "one that is not in the keystore", other != NULL ? other : "");
	free(other);
	free(leaf);
	return rc;
}

static int assemble(
    struct identity **id, const char *dir, const char *alias, const struct x509_list *pool, const char *name)
{
	char *path = identity_path(dir, alias, IDENTITY_KEY), *secret = file_join(dir, IDENTITY_SECRET);
	gnutls_x509_privkey_t key = NULL;
	int rc = identity_read_key(&key, path, secret);

	if (rc == KC_OK)
		rc = identity_assemble(id, pool, key, alias, name);
	free(path);
	free(secret);
	return rc;
}

static int answer(struct identity **id, const char *dir, const char *alias, const struct x509_list *pool,
    const char *name, bool any_subject)
{
	struct expected e = { 0 };
	struct identity *made = NULL;
	int rc = expect(&e, dir, alias);

	if (rc == KC_OK)
		rc = check_key(&e, dir, alias, pool, name);
	if (rc == KC_OK)
		rc = assemble(&made, dir, alias, pool, name);
	if (rc == KC_OK && !any_subject && !same_subject(e.subject, identity_info(made)->subject))
		rc = err_set(KC_ECERT, "alias %s: the certificate is for %s, and %s for %s", alias,
		    identity_info(made)->subject, e.pending ? "its request" : "the one that it would follow",
		    e.subject);
	free(e.subject);
	if (rc == KC_OK)
		*id = made;
	else
		identity_free(made);
	return rc;
}

int request_answer(
    struct identity **id, const char *dir, const char *alias, const struct identity_source *s, bool any_subject)
{
	struct x509_list pool = { 0 };
	char *found = NULL;
	int rc = alias != NULL ? identity_check_alias(alias) : KC_OK;

	if (rc == KC_OK)
		rc = identity_read_pool(&pool, s);
	if (rc == KC_OK && alias == NULL && (found = find_alias(dir, &pool)) == NULL)
		rc = no_alias(&pool, s->file.name);
	if (rc == KC_OK)
		rc = answer(id, dir, alias != NULL ? alias : found, &pool, s->file.name, any_subject);
	x509_list_fini(&pool);
	free(found);
	return rc;
}
