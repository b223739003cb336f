/* SPDX-License-Identifier: Apache-2.0 */
/* identity_p12: PKCS#12 files, which carry an identity from one product to another. */
#include <gnutls/pkcs12.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "ec_key.h"
#include "identity_priv.h"

#define BAGS_MAX 1000
#define KEYS_MAX 64

/* One private key of the file. */
struct found_key {
	gnutls_x509_privkey_t key;
	uint8_t *unread; /* one that GnuTLS does not read; its certificate may come later */
	size_t unread_size;
	int unread_reason;
	char *name; /* friendly name, NULL where it has none */
};

/* What one walk over the bags collects. */
struct harvest {
	struct x509_list *pool;
	struct found_key keys[KEYS_MAX];
	unsigned n;
	bool opened;	 /* the MAC verified: the password is right */
	char *cert_name; /* friendly name of the first certificate that has one */
	const char *password;
	const char *file;
};

static int p12_load(gnutls_pkcs12_t *p12, const void *data, size_t size)
{
	gnutls_datum_t d = { (unsigned char *)data, (unsigned)size };
	gnutls_pkcs12_t p;
	int rc = gnutls_pkcs12_init(&p);

	if (rc < 0)
		return rc;
	rc = gnutls_pkcs12_import(p, &d, GNUTLS_X509_FMT_DER, 0);
	if (rc < 0) {
		gnutls_pkcs12_deinit(p);
		return rc;
	}
	*p12 = p;
	return 0;
}

bool identity_is_p12(const void *data, size_t size)
{
	gnutls_pkcs12_t p12;

	if (p12_load(&p12, data, size) < 0)
		return false;
	gnutls_pkcs12_deinit(p12);
	return true;
}

static int wrong_password(const struct harvest *h, int rc)
{
	switch (rc) {
	case GNUTLS_E_UNKNOWN_CIPHER_TYPE:
	case GNUTLS_E_UNKNOWN_HASH_ALGORITHM:
	case GNUTLS_E_UNKNOWN_ALGORITHM:
		return err_set(KC_EFORMAT, "%s: a PKCS#12 file with an algorithm that is not supported: %s", h->file,
		    gnutls_strerror(rc));
	default:
		if (h->opened)
			return err_set(KC_EFORMAT, "%s: a PKCS#12 file with contents that cannot be read: %s", h->file,
			    gnutls_strerror(rc));
		if (h->password == NULL)
			return err_set(KC_EPASSWORD, "%s: a PKCS#12 file, and no password is given", h->file);
		return err_set(KC_EPASSWORD, "%s: the password does not open the PKCS#12 file", h->file);
	}
}

static int take_key(struct harvest *h, gnutls_datum_t *data, bool plain, const char *friendly)
{
	struct found_key *k = &h->keys[h->n];
	gnutls_x509_privkey_t key;
	int rc;

	if (h->n >= KEYS_MAX)
		return err_set(KC_ELIMIT, "%s: more than %d private keys", h->file, KEYS_MAX);
	if (gnutls_x509_privkey_init(&key) < 0)
		return err_set(KC_EFAIL, "GnuTLS does not start");
	h->n++;
	rc = gnutls_x509_privkey_import_pkcs8(
	    key, data, GNUTLS_X509_FMT_DER, plain ? NULL : h->password, plain ? GNUTLS_PKCS_PLAIN : 0);
	if (rc < 0) {
		gnutls_x509_privkey_deinit(key);
		k->unread = mem_secret_new(data->size);
		memcpy(k->unread, data->data, data->size);
		k->unread_size = data->size;
		k->unread_reason = rc;
	} else {
		k->key = key;
	}
	k->name = friendly != NULL ? mem_xstrdup(friendly) : NULL;
	return KC_OK;
}

static int take_cert(struct harvest *h, const gnutls_datum_t *data, const char *friendly)
{
	gnutls_x509_crt_t crt;
	int rc = x509_load(&crt, data->data, data->size);

	if (rc < 0)
		return err_prefix(rc, "%s", h->file);
	if (h->pool->count >= X509_COUNT_MAX) {
		gnutls_x509_crt_deinit(crt);
		return err_set(KC_ELIMIT, "%s: more than %d certificates", h->file, X509_COUNT_MAX);
	}
	x509_list_take(h->pool, crt);
	if (friendly != NULL && h->cert_name == NULL)
		h->cert_name = mem_xstrdup(friendly);
	return KC_OK;
}

static int take_element(struct harvest *h, gnutls_pkcs12_bag_t bag, unsigned i)
{
	gnutls_datum_t data = { 0 };
	char *friendly = NULL;
	int type = gnutls_pkcs12_bag_get_type(bag, i), rc;

	if (gnutls_pkcs12_bag_get_data(bag, i, &data) < 0)
		return KC_OK;
	if (gnutls_pkcs12_bag_get_friendly_name(bag, i, &friendly) < 0)
		friendly = NULL;
	switch (type) {
	case GNUTLS_BAG_PKCS8_ENCRYPTED_KEY:
		return take_key(h, &data, false, friendly);
	case GNUTLS_BAG_PKCS8_KEY:
		rc = take_key(h, &data, true, friendly);
		gnutls_memset(data.data, 0, data.size); /* the bag's copy of a key in the clear */
		return rc;
	case GNUTLS_BAG_CERTIFICATE:
		return take_cert(h, &data, friendly);
	default:
		return KC_OK;
	}
}

/* *more is false behind the last bag. */
static int take_bag(struct harvest *h, bool *more, gnutls_pkcs12_t p12, int index)
{
	gnutls_pkcs12_bag_t bag;
	int rc = gnutls_pkcs12_bag_init(&bag), count;

	if (rc < 0)
		return err_set(KC_EFAIL, "GnuTLS does not start");
	rc = gnutls_pkcs12_get_bag(p12, index, bag);
	if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
		gnutls_pkcs12_bag_deinit(bag);
		*more = false;
		return KC_OK;
	}
	if (rc < 0)
		rc = err_set(KC_EFORMAT, "%s: damaged PKCS#12 file: %s", h->file, gnutls_strerror(rc));
	else if (gnutls_pkcs12_bag_get_type(bag, 0) == GNUTLS_BAG_ENCRYPTED &&
		 (rc = gnutls_pkcs12_bag_decrypt(bag, h->password)) < 0)
		rc = wrong_password(h, rc);
	else
		rc = KC_OK;
	count = rc == KC_OK ? gnutls_pkcs12_bag_get_count(bag) : 0;
	for (int i = 0; rc == KC_OK && i < count; i++)
		rc = take_element(h, bag, (unsigned)i);
	gnutls_pkcs12_bag_deinit(bag);
	return rc;
}

static int check_mac(struct harvest *h, gnutls_pkcs12_t p12)
{
	int rc = gnutls_pkcs12_verify_mac(p12, h->password);

	h->opened = rc >= 0;
	/* Without a MAC the encryption alone tells a wrong password. */
	return rc >= 0 || rc == GNUTLS_E_ASN1_ELEMENT_NOT_FOUND ? KC_OK : wrong_password(h, rc);
}

static int walk(struct harvest *h, gnutls_pkcs12_t p12)
{
	bool more = true;
	int rc = check_mac(h, p12);

	for (int i = 0; rc == KC_OK && more; i++)
		rc = i < BAGS_MAX ? take_bag(h, &more, p12, i)
				  : err_set(KC_ELIMIT, "%s: more than %d bags", h->file, BAGS_MAX);
	return rc;
}

/* "a, b, (no name)". Heap. */
static char *names_of(const struct harvest *h)
{
	char *all = mem_xstrdup("");

	for (unsigned i = 0; i < h->n; i++) {
		char *longer = mem_xasprintf(
		    "%s%s%s", all, i > 0 ? ", " : "", h->keys[i].name != NULL ? h->keys[i].name : "(no name)");

		free(all);
		all = longer;
	}
	return all;
}

/* The only key, or the one of that name; keytool writes names in lower case. */
static int choose(struct found_key **chosen, struct harvest *h, const char *from)
{
	char *names;
	int rc;

	if (from == NULL && h->n == 1) {
		*chosen = &h->keys[0];
		return KC_OK;
	}
	for (unsigned i = 0; from != NULL && i < h->n; i++) {
		if (h->keys[i].name != NULL && strcasecmp(h->keys[i].name, from) == 0) {
			*chosen = &h->keys[i];
			return KC_OK;
		}
	}
	if (h->n == 0)
		return err_set(KC_EFORMAT, "%s: holds 0 private keys instead of one", h->file);
	names = names_of(h);
	rc = from != NULL ? err_set(KC_ENOENT, "%s: holds no private key named %s, but %s", h->file, from, names)
			  : err_set(KC_EFORMAT, "%s: holds %u private keys instead of one: %s", h->file, h->n, names);
	free(names);
	return rc;
}

static int give(gnutls_x509_privkey_t *key, char **alias, struct harvest *h, struct found_key *k)
{
	if (k->key == NULL && !ec_key_recover(&k->key, k->unread, k->unread_size, h->password, h->pool))
		return wrong_password(h, k->unread_reason);
	*key = k->key;
	k->key = NULL;
	*alias = mem_xstrdup(k->name != NULL ? k->name : h->cert_name != NULL ? h->cert_name : "");
	return KC_OK;
}

static void harvest_fini(struct harvest *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		gnutls_x509_privkey_deinit(h->keys[i].key);
		mem_secret_free(h->keys[i].unread);
		free(h->keys[i].name);
	}
	free(h->cert_name);
}

int identity_get_p12(
    struct x509_list *pool, gnutls_x509_privkey_t *key, char **alias, size_t *keys, const struct identity_source *s)
{
	struct harvest h = { .pool = pool, .password = s->password, .file = s->file.name };
	struct found_key *chosen = NULL;
	gnutls_pkcs12_t p12;
	int rc = p12_load(&p12, s->file.data, s->file.size);

	if (rc < 0)
		return err_set(KC_EFORMAT, "%s: not a PKCS#12 file: %s", h.file, gnutls_strerror(rc));
	rc = walk(&h, p12);
	gnutls_pkcs12_deinit(p12);
	*keys = h.n;
	if (rc == KC_OK)
		rc = choose(&chosen, &h, s->from_alias);
	if (rc == KC_OK)
		rc = give(key, alias, &h, chosen);
	harvest_fini(&h);
	return rc;
}

/* Name and key id tie the leaf and its key together. */
static int mark(gnutls_pkcs12_bag_t bag, int index, const struct identity *id)
{
	unsigned char key_id[20];
	size_t n = sizeof(key_id);
	gnutls_datum_t d = { key_id, 0 };
	int rc = gnutls_x509_crt_get_key_id(id->chain.crts[0], 0, key_id, &n);

	d.size = (unsigned)n;
	if (rc >= 0)
		rc = gnutls_pkcs12_bag_set_key_id(bag, (unsigned)index, &d);
	return rc >= 0 ? gnutls_pkcs12_bag_set_friendly_name(bag, (unsigned)index, id->alias) : rc;
}

static int put_certs(gnutls_pkcs12_t p12, const struct identity *id, const char *password)
{
	gnutls_pkcs12_bag_t bag;
	int rc = gnutls_pkcs12_bag_init(&bag);

	if (rc < 0)
		return rc;
	for (size_t i = 0; rc >= 0 && i < id->chain.count; i++) {
		rc = gnutls_pkcs12_bag_set_crt(bag, id->chain.crts[i]);
		if (rc >= 0 && i == 0)
			rc = mark(bag, rc, id);
	}
	if (rc >= 0)
		rc = gnutls_pkcs12_bag_encrypt(bag, password, GNUTLS_PKCS_PBES2_AES_256);
	if (rc >= 0)
		rc = gnutls_pkcs12_set_bag(p12, bag);
	gnutls_pkcs12_bag_deinit(bag);
	return rc;
}

static int put_key(gnutls_pkcs12_t p12, const struct identity *id, const char *password)
{
	gnutls_datum_t der = { 0 };
	gnutls_pkcs12_bag_t bag;
	int rc = gnutls_pkcs12_bag_init(&bag);

	if (rc < 0)
		return rc;
	rc = gnutls_x509_privkey_export2_pkcs8(id->key, GNUTLS_X509_FMT_DER, password, GNUTLS_PKCS_PBES2_AES_256, &der);
	if (rc >= 0)
		rc = gnutls_pkcs12_bag_set_data(bag, GNUTLS_BAG_PKCS8_ENCRYPTED_KEY, &der);
	gnutls_free(der.data);
	if (rc >= 0)
		rc = mark(bag, rc, id);
	if (rc >= 0)
		rc = gnutls_pkcs12_set_bag(p12, bag);
	gnutls_pkcs12_bag_deinit(bag);
	return rc;
}

int identity_put_p12(struct buf *out, const struct identity *id, bool with_key, const char *password)
{
	gnutls_datum_t der = { 0 };
	gnutls_pkcs12_t p12;
	int rc = gnutls_pkcs12_init(&p12);

	if (rc < 0)
		return err_set(KC_EFAIL, "GnuTLS does not start");
	rc = put_certs(p12, id, password);
	if (rc >= 0 && with_key)
		rc = put_key(p12, id, password);
	if (rc >= 0)
		rc = gnutls_pkcs12_generate_mac2(p12, GNUTLS_MAC_SHA256, password);
	if (rc >= 0)
		rc = gnutls_pkcs12_export2(p12, GNUTLS_X509_FMT_DER, &der);
	gnutls_pkcs12_deinit(p12);
	if (rc < 0)
		return err_set(KC_EFAIL, "alias %s: cannot be exported: %s", id->alias, gnutls_strerror(rc));
	buf_put(out, der.data, der.size);
	gnutls_free(der.data);
	return buf_status(out);
}
