/* SPDX-License-Identifier: Apache-2.0 */
/* retired: copies into the folder, and what is in it. */
#include "retired.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "identity_priv.h"
#include "request_priv.h"

#define SHA_DIGITS  16
#define TIME_FORMAT "%Y%m%dT%H%M%SZ"
#define TIME_SIZE   17 /* with its NUL */

/* --- putting --- */

/* What tells this certificate, or this key, from any other. */
static int mark_of(char mark[CERT_HEX_SIZE], const char *dir, const char *alias)
{
	char *crt = identity_path(dir, alias, IDENTITY_CRT), *csr = identity_path(dir, alias, IDENTITY_CSR);
	struct x509_list chain = { 0 };
	struct cert_info info = { 0 };
	int rc = KC_OK;

	if (file_exists(crt)) {
		rc = identity_read_chain(&chain, crt);
		if (rc == KC_OK)
			rc = x509_info(&info, chain.crts[0]);
		if (rc == KC_OK)
			memcpy(mark, info.sha256, CERT_HEX_SIZE);
	} else {
		rc = request_file_key_id(mark, csr);
	}
	cert_info_fini(&info);
	x509_list_fini(&chain);
	free(crt);
	free(csr);
	return rc;
}

static char *stem_of(const char *name, const char *mark)
{
	time_t now = time(NULL);
	char when[TIME_SIZE];
	struct tm tm;

	strftime(when, sizeof(when), TIME_FORMAT, gmtime_r(&now, &tm));
	return mem_xasprintf("%s.%s.%.*s", name, when, SHA_DIGITS, mark);
}

static int write_copy(const char *to_dir, const char *stem, const char *suffix, const struct buf *b)
{
	char *to = identity_path(to_dir, stem, suffix);
	struct file_new f = FILE_NEW_EMPTY;
	int rc = file_new_begin(&f, to, strcmp(suffix, IDENTITY_KEY) == 0 ? 0600 : 0644);

	if (rc == KC_OK) {
		file_new_write(&f, buf_data(b), buf_len(b));
		rc = file_new_commit_excl(&f);
	}
	free(to);
	return rc == KC_EEXIST ? KC_OK : rc; /* the same within one second */
}

static int copy(const char *to_dir, const char *stem, const char *dir, const char *alias, const char *suffix)
{
	char *from = identity_path(dir, alias, suffix);
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = file_read(&b, from);
	if (rc == KC_OK)
		rc = write_copy(to_dir, stem, suffix, &b);
	else if (rc == KC_ENOENT)
		rc = KC_OK;
	buf_fini(&b);
	free(from);
	return rc;
}

int retired_put(const char *dir, const char *alias, bool all)
{
	char mark[CERT_HEX_SIZE], *to = file_join(dir, RETIRED_DIR), *stem;
	int rc = mark_of(mark, dir, alias);

	if (rc == KC_OK)
		rc = file_make_dirs(to);
	if (rc < 0) {
		free(to);
		return rc == KC_ENOENT ? KC_OK : rc;
	}
	stem = stem_of(alias, mark);
	/* The key first: a certificate in the list has its key. */
	if (all)
		rc = copy(to, stem, dir, alias, IDENTITY_KEY);
	if (rc == KC_OK && all)
		rc = copy(to, stem, dir, alias, IDENTITY_CSR);
	if (rc == KC_OK)
		rc = copy(to, stem, dir, alias, IDENTITY_CRT);
	free(stem);
	free(to);
	return rc;
}

int retired_put_trusted(const char *dir, const char *file)
{
	char *from = file_join(dir, file), *to = file_join(dir, RETIRED_DIR), *name, *stem, mark[CERT_HEX_SIZE];
	const char *suffix = strrchr(file, '.');
	unsigned char hash[32];
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = file_read(&b, from);
	if (rc == KC_OK && gnutls_hash_fast(GNUTLS_DIG_SHA256, buf_data(&b), buf_len(&b), hash) < 0)
		rc = err_set(KC_EFAIL, "SHA-256 is not available");
	if (rc == KC_OK)
		rc = file_make_dirs(to);
	if (rc == KC_OK) {
		hex_encode(mark, hash, sizeof(hash));
		name = mem_xstrndup(file, (size_t)(suffix - file));
		stem = stem_of(name, mark);
		rc = write_copy(to, stem, suffix, &b);
		free(stem);
		free(name);
	}
	buf_fini(&b);
	free(to);
	free(from);
	return rc;
}

/* --- listing --- */

/* "alias.20260619T145059Z.0123456789abcdef" taken apart. */
static bool parse_name(struct retired_entry *e, const char *name)
{
	size_t n = strlen(name), tail = 1 + (TIME_SIZE - 1) + 1 + SHA_DIGITS;
	const char *when = name + n - tail + 1, *rest;
	struct tm tm = { 0 };

	if (n <= tail || name[n - tail] != '.' || when[TIME_SIZE - 1] != '.')
		return false;
	rest = strptime(when, TIME_FORMAT, &tm);
	if (rest != when + TIME_SIZE - 1)
		return false;
	e->alias = mem_xstrndup(name, n - tail);
	e->file = mem_xstrdup(name);
	e->retired_at = timegm(&tm);
	return true;
}

static int read_entry(struct retired_list *l, const char *dir, const char *name)
{
	char *crt = identity_path(dir, name, IDENTITY_CRT), *key = identity_path(dir, name, IDENTITY_KEY);
	struct retired_entry e = { 0 };
	struct x509_list chain = { 0 };
	int rc = KC_OK;

	if (parse_name(&e, name)) {
		e.has_key = file_exists(key);
		e.has_cert = file_exists(crt);
		if (e.has_cert && (rc = identity_read_chain(&chain, crt)) == KC_OK)
			rc = x509_info(&e.info, chain.crts[0]);
		l->entries = mem_xrealloc(l->entries, (l->count + 1) * sizeof(*l->entries));
		l->entries[l->count++] = e;
	}
	x509_list_fini(&chain);
	free(crt);
	free(key);
	return rc;
}

static bool in_list(const struct retired_list *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->entries[i].file, name) == 0)
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct retired_entry *)a)->file, ((const struct retired_entry *)b)->file);
}

int retired_list_load(struct retired_list *list, const char *keystore_dir)
{
	static const char *const suffixes[] = { IDENTITY_CRT, IDENTITY_CSR };
	char *dir = file_join(keystore_dir, RETIRED_DIR);
	struct retired_list l = { 0 };
	int rc = KC_OK;

	for (size_t s = 0; rc == KC_OK && s < sizeof(suffixes) / sizeof(suffixes[0]); s++) {
		char **names = NULL;
		size_t count = 0;

		rc = identity_names(&names, &count, dir, suffixes[s]);
		for (size_t i = 0; rc == KC_OK && i < count; i++)
			if (!in_list(&l, names[i]))
				rc = read_entry(&l, dir, names[i]);
		identity_names_free(names, count);
	}
	free(dir);
	if (l.count > 0)
		qsort(l.entries, l.count, sizeof(*l.entries), compare);
	if (rc == KC_OK)
		*list = l;
	else
		retired_list_fini(&l);
	return rc;
}

void retired_list_fini(struct retired_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].alias);
		free(list->entries[i].file);
		cert_info_fini(&list->entries[i].info);
	}
	free(list->entries);
	*list = (struct retired_list){ 0 };
}
