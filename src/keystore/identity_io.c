/* SPDX-License-Identifier: Apache-2.0 */
/* identity_io: identities from and to what other tools write and read. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity_priv.h"
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

static bool is_java(const void *data, size_t size)
{
	return size > 4 && (memcmp(data, "\xfe\xed\xfe\xed", 4) == 0 || memcmp(data, "\xce\xce\xce\xce", 4) == 0);
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

int identity_parse(struct identity **id, char **alias_or_null, const char *name, const void *data, size_t size,
    const void *key_data, size_t key_size, const char *password)
{
	bool pem = x509_is_pem(data, size);
	gnutls_x509_privkey_t key = NULL;
	struct x509_list pool = { 0 };
	char *alias = NULL;
	int rc;

	if (size == 0)
		return err_set(KC_EFORMAT, "%s: empty", name);
	if (is_java(data, size))
		return err_set(KC_EFORMAT, "%s: a Java keystore (JKS), not PKCS#12", name);
	if (size > X509_FILE_MAX)
		return err_set(KC_ELIMIT, "%s: %zu bytes, more than %d", name, size, X509_FILE_MAX);
	if (!pem && identity_is_p12(data, size))
		rc = identity_get_p12(&pool, &key, &alias, data, size, password, name);
	else if ((rc = x509_list_parse(&pool, data, size, name)) < 0)
		;
	else if (key_data != NULL)
		rc = separate_key(&key, &pool, key_data, key_size, password, name);
	else if (pem)
		rc = key_from_pem(&key, &pool, data, size, password, name);
	else
		rc = err_set(KC_EFORMAT, "%s: holds a certificate but no private key", name);
	if (rc == KC_OK)
		rc = identity_assemble(id, &pool, key, "", name);
	x509_list_fini(&pool);
	if (rc == KC_OK && alias_or_null != NULL)
		*alias_or_null = alias != NULL ? alias : mem_xstrdup("");
	else
		free(alias);
	return rc;
}

/* Trust what the peers of this identity are issued by. */
static int trust_chain(const struct identity *id, const char *dir, const char *name)
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
	if (rc == KC_OK)
		rc = trust_chain(id, truststore_dir, p12_path);
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
