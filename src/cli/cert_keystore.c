/* SPDX-License-Identifier: Apache-2.0 */
/* cert_keystore: what is in the keystore, and in the token that takes its place. */
#include "cert_keystore.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/cert_list.h"
#include "keystore/token.h"
#include "keystore/trust.h"

#define FILE_MAX (1024 * 1024)

static void load_trust(struct keystore *k, const struct conf *conf)
{
	int rc = trust_load(&k->trust, conf->truststore_dir);

	if (rc == KC_OK && conf->crl_file != NULL)
		rc = trust_add_crl_file(k->trust, conf->crl_file, NULL);
	if (rc < 0) {
		trust_free(k->trust);
		k->trust = NULL;
	}
}

static bool is_revoked(const struct keystore *k, const struct cert_der *chain, size_t count)
{
	return k->trust != NULL && trust_check_revoked(k->trust, chain, count) == KC_ECERT;
}

static bool is_file_revoked(const struct keystore *k, const struct conf *conf, const char *alias)
{
	char *path = mem_xasprintf("%s/%s.crt", conf->keystore_dir, alias);
	struct cert_list list = { 0 };
	bool revoked = false;
	struct buf b;

	buf_init(&b, FILE_MAX);
	if (file_read(&b, path) == KC_OK && cert_list_read(&list, buf_data(&b), buf_len(&b), NULL, path) == KC_OK)
		revoked = is_revoked(k, list.ders, list.count);
	cert_list_fini(&list);
	buf_fini(&b);
	free(path);
	return revoked;
}

static size_t name_length(const char *alias)
{
	return token_is_uri(alias) ? strcspn(alias, "?") : strlen(alias);
}

static void add_token(struct keystore *k, const struct conf *conf, const char *uri)
{
	struct identity_entry e = { .alias = mem_xstrndup(uri, name_length(uri)), .has_key = true };
	struct identity *id = NULL;
	struct cert_der *chain = NULL;
	int rc = identity_open(&id, conf->keystore_dir, uri);
	bool revoked = false;

	if (rc == KC_OK) {
		e.chain_count = identity_chain_count(id);
		chain = mem_xcalloc(e.chain_count, sizeof(*chain));
		for (size_t i = 0; i < e.chain_count; i++)
			chain[i] = identity_chain_der(id, i);
		rc = cert_info_from_der(&e.info, chain[0].data, chain[0].size);
	}
	if (rc == KC_OK)
		revoked = is_revoked(k, chain, e.chain_count);
	else
		e.unreadable = mem_xstrdup(err_text(rc));
	free(chain);
	identity_free(id);
	k->certs.entries = mem_xrealloc(k->certs.entries, (k->certs.count + 1) * sizeof(e));
	k->revoked = mem_xrealloc(k->revoked, (k->certs.count + 1) * sizeof(*k->revoked));
	k->revoked[k->certs.count] = revoked;
	k->certs.entries[k->certs.count++] = e;
}

int keystore_load(struct keystore *k, const struct conf *conf)
{
	int rc = identity_list_load_all(&k->certs, conf->keystore_dir);

	if (rc == KC_OK)
		rc = request_list_load(&k->pending, conf->keystore_dir);
	if (rc < 0)
		return rc;
	load_trust(k, conf);
	k->revoked = mem_xcalloc(k->certs.count + 1, sizeof(*k->revoked));
	for (size_t i = 0; i < k->certs.count; i++)
		k->revoked[i] =
		    k->certs.entries[i].unreadable == NULL && is_file_revoked(k, conf, k->certs.entries[i].alias);
	if (token_is_uri(conf->tls_alias)) {
		k->own = mem_xstrndup(conf->tls_alias, name_length(conf->tls_alias));
		add_token(k, conf, conf->tls_alias);
	} else if (identity_resolve(&k->own, conf->keystore_dir, conf->tls_alias) < 0) {
		k->own = NULL;
	}
	return KC_OK;
}

const struct identity_entry *keystore_find(struct keystore *k, const struct conf *conf, const char *alias)
{
	size_t n = name_length(alias);

	for (size_t i = 0; i < k->certs.count; i++)
		if (strncmp(k->certs.entries[i].alias, alias, n) == 0 && k->certs.entries[i].alias[n] == '\0')
			return &k->certs.entries[i];
	if (!token_is_uri(alias))
		return NULL;
	add_token(k, conf, alias);
	return &k->certs.entries[k->certs.count - 1];
}

void keystore_fini(struct keystore *k)
{
	identity_list_fini(&k->certs);
	request_list_fini(&k->pending);
	trust_free(k->trust);
	free(k->revoked);
	free(k->own);
}
