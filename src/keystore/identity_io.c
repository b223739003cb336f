/* SPDX-License-Identifier: Apache-2.0 */
/* identity_io: identities from and to what other tools write and read. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "foreign.h"
#include "identity_priv.h"
#include "issue.h"
#include "pbes2.h"
#include "trust.h"

#define BEGIN	 "-----BEGIN "
#define END	 "-----END "
#define KEY_TAIL "PRIVATE KEY-----"

/* The first PEM block of a private key in the text, and how many there are. */
struct key_block {
	const char *data;
	size_t size;
	unsigned count;
};

static struct key_block find_key(const void *data, size_t size)
{
	const char *p = data, *end = p + size;
	struct key_block block = { 0 };

	while ((p = memmem(p, (size_t)(end - p), BEGIN, strlen(BEGIN))) != NULL) {
		const char *label = p + strlen(BEGIN), *eol = memchr(label, '\n', (size_t)(end - label)), *stop;

		if (eol == NULL)
			break;
		stop = memmem(eol, (size_t)(end - eol), END, strlen(END));
		if (stop == NULL)
			break;
		stop = memchr(stop, '\n', (size_t)(end - stop));
		stop = stop != NULL ? stop + 1 : end;
		if (memmem(label, (size_t)(eol - label), KEY_TAIL, strlen(KEY_TAIL)) != NULL && block.count++ == 0) {
			block.data = p;
			block.size = (size_t)(stop - p);
		}
		p = stop;
	}
	return block;
}

static int key_from_pem(gnutls_x509_privkey_t *key, const struct x509_list *pool, const void *data, size_t size,
    const char *password, const char *name)
{
	struct key_block block = find_key(data, size);

	if (block.count != 1)
		return err_set(KC_EFORMAT, "%s: holds %u private keys instead of one", name, block.count);
	return identity_get_key(key, pool, block.data, block.size, password, name);
}

/* A key in a file of its own. */
static int separate_key(gnutls_x509_privkey_t *key, const struct x509_list *pool, const void *data, size_t size,
    const char *password, const char *name)
{
	if (x509_is_pem(data, size))
		return key_from_pem(key, pool, data, size, password, name);
	return identity_get_key(key, pool, data, size, password, name);
}

bool identity_holds_key(const void *data, size_t size)
{
	return x509_is_pem(data, size) ? find_key(data, size).count > 0 : identity_is_p12(data, size);
}

int identity_read_further(struct x509_list *pool, const struct identity_source *s)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < s->further_count; i++)
		rc = x509_list_parse(pool, s->further[i].data, s->further[i].size, s->further[i].name);
	return rc;
}

int identity_read_pool(struct x509_list *pool, const struct identity_source *s)
{
	int rc = x509_list_parse(pool, s->file.data, s->file.size, s->file.name);

	return rc == KC_OK ? identity_read_further(pool, s) : rc;
}

static int check_size(const struct identity_source *s)
{
	const char *foreign = foreign_kind(s->file.data, s->file.size, s->file.name);

	if (s->file.size == 0)
		return err_set(KC_EFORMAT, "%s: empty", s->file.name);
	if (foreign != NULL)
		return err_set(KC_EFORMAT, "%s: %s, not PKCS#12", s->file.name, foreign);
	if (s->file.size > X509_FILE_MAX)
		return err_set(KC_ELIMIT, "%s: %zu bytes, more than %d", s->file.name, s->file.size, X509_FILE_MAX);
	return KC_OK;
}

static int read_parts(
    struct x509_list *pool, gnutls_x509_privkey_t *key, char **alias, size_t *keys, const struct identity_source *s)
{
	const struct identity_part *f = &s->file;
	bool pem = x509_is_pem(f->data, f->size);
	int rc;

	if (!pem && identity_is_p12(f->data, f->size)) {
		rc = identity_read_further(pool, s); /* they may be what a key belongs to */
		return rc == KC_OK ? identity_get_p12(pool, key, alias, keys, s) : rc;
	}
	rc = identity_read_pool(pool, s);
	if (rc < 0)
		return rc;
	if (s->key.data != NULL)
		return separate_key(
		    key, pool, s->key.data, s->key.size, s->password, s->key.name != NULL ? s->key.name : f->name);
	if (pem)
		return key_from_pem(key, pool, f->data, f->size, s->password, f->name);
	return err_set(KC_EFORMAT, "%s: holds a certificate but no private key", f->name);
}

int identity_read(struct identity **id, char **friendly, size_t *keys, const struct identity_source *s)
{
	gnutls_x509_privkey_t key = NULL;
	struct x509_list pool = { 0 };
	char *alias = NULL;
	size_t n = 1;
	int rc = check_size(s);

	if (rc == KC_OK)
		rc = read_parts(&pool, &key, &alias, &n, s);
	if (rc == KC_OK)
		rc = identity_assemble(id, &pool, key, "", s->file.name);
	x509_list_fini(&pool);
	if (keys != NULL)
		*keys = n;
	if (rc == KC_OK && friendly != NULL)
		*friendly = alias != NULL ? alias : mem_xstrdup("");
	else
		free(alias);
	return rc;
}

int identity_parse(struct identity **id, char **alias_or_null, const char *name, const void *data, size_t size,
    const void *key_data, size_t key_size, const char *password)
{
	const struct identity_source s = {
		.file = { name, data, size }, .key = { NULL, key_data, key_size }, .password = password
	};

	return identity_read(id, alias_or_null, NULL, &s);
}

int identity_trust(const struct identity *id, const char *dir, const char *name)
{
	size_t added, first = id->info.self_signed ? 0 : 1;
	struct buf b;
	int rc = KC_OK;

	if (first >= id->chain.count)
		return err_set(KC_ECERT, "%s: certificate %s is issued by %s, which is not in the file", name,
		    id->info.cn, id->info.issuer);
	buf_init(&b, X509_FILE_MAX);
	for (size_t i = first; rc == KC_OK && i < id->chain.count; i++)
		rc = x509_put_pem(&b, id->chain.crts[i]);
	if (rc == KC_OK)
		rc = trust_add(&added, NULL, dir, NULL, buf_data(&b), buf_len(&b));
	buf_fini(&b);
	return rc;
}

static char *choose_alias(const char *wanted, const char *friendly)
{
	return wanted != NULL && wanted[0] != '\0' ? mem_xstrdup(wanted) : identity_alias_from_name(friendly);
}

int identity_import_site(char **alias_used, const char *keystore_dir, const char *truststore_dir, const char *p12_path,
    const char *password, const char *alias)
{
	char *friendly = NULL, *used = NULL;
	struct identity *id = NULL;
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = file_read(&b, p12_path);
	if (rc == KC_OK)
		rc = identity_parse(&id, &friendly, p12_path, buf_data(&b), buf_len(&b), NULL, 0, password);
	buf_fini(&b);
	if (rc < 0)
		return rc;
	used = choose_alias(alias, friendly);
	identity_rename(id, used);
	rc = identity_check_uses(id);
	if (rc == KC_OK && cert_info_exceeds(&id->info, ISSUE_YEARS_MAX))
		rc = err_set(KC_ECERT, "%s: certificate %s is valid for more than %d years", p12_path, id->info.cn,
		    ISSUE_YEARS_MAX);
	if (rc == KC_OK)
		rc = identity_trust(id, truststore_dir, p12_path);
	if (rc == KC_OK)
		rc = identity_save(id, keystore_dir, used, false);
	identity_free(id);
	free(friendly);
	if (rc == KC_OK)
		*alias_used = used;
	else
		free(used);
	return rc;
}

int identity_format_from_name(enum identity_format *format, const char *name)
{
	static const char *const names[] = { "pem", "base64", "der", "p12" };

	for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++) {
		if (strcmp(names[i], name) == 0) {
			*format = (enum identity_format)i;
			return KC_OK;
		}
	}
	return err_set(KC_EUSAGE, "format %s: not one of pem, base64, der, p12", name);
}

static int put_pem(struct buf *out, const struct identity *id, bool with_key, const char *password)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < id->chain.count; i++)
		rc = x509_put_pem(out, id->chain.crts[i]);
	return rc == KC_OK && with_key ? identity_put_key(out, id->key, password) : rc;
}

int identity_export(
    struct buf *out, const struct identity *id, enum identity_format format, bool with_key, const char *password)
{
	if ((format == IDENTITY_BASE64 || format == IDENTITY_DER) && with_key)
		return err_set(KC_EUSAGE, "a private key is exported as pem or p12 only");
	if ((with_key || format == IDENTITY_P12) && (password == NULL || password[0] == '\0'))
		return err_set(KC_EUSAGE, "a private key is not exported without a password");
	switch (format) {
	case IDENTITY_PEM:
		return put_pem(out, id, with_key, password);
	case IDENTITY_BASE64:
		return x509_put_pem(out, id->chain.crts[0]);
	case IDENTITY_DER:
		buf_put(out, id->ders[0].data, id->ders[0].size);
		return buf_status(out);
	case IDENTITY_P12:
		return identity_put_p12(out, id, with_key, password);
	}
	return err_set(KC_EUSAGE, "unknown format");
}

int identity_export_under(struct buf *out, const struct identity *id, const char *secret)
{
	int rc = put_pem(out, id, false, NULL);

	return rc == KC_OK ? pbes2_put_key(out, id->key, secret) : rc;
}
