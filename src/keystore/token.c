/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token: PKCS#11 through GnuTLS and p11-kit. A key is opened twice: once to see that it is there and fits its
 * certificate, and once by the credentials, which own it from then on; its PIN function points to the struct token that
 * they keep.
 */
#include "token.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity_priv.h"
#include "token_priv.h"
#include "token_uri.h"

#define PIN_FILE_MAX 1024

struct token {
	unsigned refs;
	struct token_uri uri;
	char why[300]; /* that there is no PIN; "": there was one */
};

/* Of the process: PKCS#11 knows only one state, and which modules it has is settled at its begin. */
static enum { NOT_YET, CONFIGURED, NAMED } modules;

bool token_is_uri(const char *alias)
{
	return alias != NULL && strncmp(alias, "pkcs11:", 7) == 0;
}

struct token *token_ref(struct token *t)
{
	if (t != NULL)
		t->refs++;
	return t;
}

void token_unref(struct token *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	token_uri_fini(&t->uri);
	free(t);
}

/* --- the PIN --- */

char *token_pin_path(const struct token_uri *u)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	if (u->pin_file != NULL)
		return mem_xstrdup(u->pin_file);
	return dir != NULL && dir[0] == '/' ? file_join(dir, TOKEN_PIN_CREDENTIAL) : NULL;
}

bool token_pin_is_elsewhere(const char *uri)
{
	struct token_uri u;
	bool elsewhere = false;
	char *path;

	if (token_uri_parse(&u, uri) < 0)
		return false;
	path = token_pin_path(&u);
	elsewhere = path == NULL || (access(path, R_OK) < 0 && errno == EACCES);
	free(path);
	token_uri_fini(&u);
	return elsewhere;
}

/* Its first line. A credential's mode is systemd's business: what looks like its group's right is a mask. */
static int read_pin(char *pin, size_t size, const char *path, bool credential)
{
	const char *text;
	struct buf b;
	size_t n;
	int rc;

	buf_init(&b, PIN_FILE_MAX);
	rc = credential ? file_read(&b, path) : file_read_secret(&b, path);
	if (rc == KC_OK) {
		text = buf_str(&b);
		n = strcspn(text, "\r\n");
		if (n == 0 || n >= size)
			rc = err_set(KC_EFORMAT, "%s: %s", path, n == 0 ? "no PIN in it" : "longer than a PIN can be");
		else
			memcpy(pin, text, n);
		if (rc == KC_OK)
			pin[n] = '\0';
	}
	buf_fini(&b);
	return rc;
}

/* Once: a token locks itself after a few wrong ones. */
static int on_pin(void *arg, int attempt, const char *url, const char *label, unsigned flags, char *pin, size_t pin_max)
{
	struct token *t = arg;
	char *path = token_pin_path(&t->uri);
	int rc = KC_OK;

	(void)url;
	if (path == NULL)
		rc = err_set(KC_EPASSWORD,
		    "the token %.64s asks for a PIN, and neither pin-source nor a credential " TOKEN_PIN_CREDENTIAL
		    " is there",
		    label);
	else if (attempt > 0 || (flags & GNUTLS_PIN_WRONG) != 0)
		rc = err_set(KC_EPASSWORD, "the PIN in %.200s does not open the token %.64s", path, label);
	else if ((flags & GNUTLS_PIN_FINAL_TRY) != 0)
		rc = err_set(KC_EPASSWORD,
		    "the token %.64s would be locked by one more wrong PIN, so it is not tried from %.150s", label,
		    path);
	else
		rc = read_pin(pin, pin_max, path, t->uri.pin_file == NULL);
	free(path);
	if (rc == KC_OK)
		return 0;
	snprintf(t->why, sizeof(t->why), "%s", err_text(rc));
	return -1;
}

/* --- opening --- */

static int start(const struct token_uri *u)
{
	int e = 0, wanted = u->module != NULL ? NAMED : CONFIGURED;

	if (modules != NOT_YET && (int)modules != wanted)
		return err_set(KC_ECONF,
		    "PKCS#11 modules are chosen at the start of the process: %s module-path takes a restart",
		    wanted == NAMED ? "a" : "no");
	if (modules == NOT_YET)
		e = gnutls_pkcs11_init(wanted == NAMED ? GNUTLS_PKCS11_FLAG_MANUAL : GNUTLS_PKCS11_FLAG_AUTO, NULL);
	if (e < 0)
		return err_set(KC_ECONF, "PKCS#11 does not start: %s", gnutls_strerror(e));
	modules = wanted;
	if (u->module != NULL && (e = gnutls_pkcs11_add_provider(u->module, NULL)) < 0)
		return err_set(KC_ECONF, "PKCS#11 module %s: %s", u->module,
		    e == GNUTLS_E_PKCS11_LOAD_ERROR ? "cannot be loaded" : gnutls_strerror(e));
	return KC_OK;
}

static bool is_there(const struct token *t)
{
	unsigned flags;

	return gnutls_pkcs11_token_get_flags(t->uri.object, &flags) >= 0;
}

/* What ended an attempt to get `what`. */
static int failed(const struct token *t, int e, const char *what)
{
	if (t->why[0] != '\0')
		return err_set(KC_EPASSWORD, "%s", t->why);
	switch (e) {
	case GNUTLS_E_PKCS11_PIN_LOCKED:
		return err_set(KC_EPASSWORD, "%s: the PIN of the token is locked", t->uri.object);
	case GNUTLS_E_PKCS11_PIN_EXPIRED:
		return err_set(KC_EPASSWORD, "%s: the PIN of the token has expired", t->uri.object);
	case GNUTLS_E_PKCS11_PIN_ERROR:
	case GNUTLS_E_PKCS11_USER_ERROR:
		return err_set(
		    KC_EPASSWORD, "%s: the token takes no PIN from here: %s", t->uri.object, gnutls_strerror(e));
	case GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE:
	case GNUTLS_E_PKCS11_REQUESTED_OBJECT_NOT_AVAILBLE:
	case GNUTLS_E_PKCS11_SLOT_ERROR:
	case GNUTLS_E_PKCS11_TOKEN_ERROR:
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
		return is_there(t) ? err_set(KC_ENOENT, "%s: the token has no %s of that name", t->uri.object, what)
				   : err_set(KC_ENOENT, "%s: there is no such token", t->uri.object);
	default:
		return err_set(KC_EFAIL, "%s: the %s cannot be used: %s", t->uri.object, what, gnutls_strerror(e));
	}
}

static char *url_of(const struct token *t, const char *type)
{
	return mem_xasprintf("%s;type=%s", t->uri.object, type);
}

static int open_key(gnutls_privkey_t *key, struct token *t)
{
	char *url = url_of(t, "private");
	gnutls_privkey_t k = NULL;
	int e = gnutls_privkey_init(&k);

	t->why[0] = '\0';
	if (e >= 0) {
		gnutls_privkey_set_pin_function(k, on_pin, t);
		e = gnutls_privkey_import_url(k, url, 0);
	}
	free(url);
	if (e >= 0) {
		*key = k;
		return KC_OK;
	}
	if (k != NULL)
		gnutls_privkey_deinit(k);
	return failed(t, e, "private key");
}

static int open_chain(struct x509_list *chain, struct token *t)
{
	char *url = url_of(t, "cert");
	gnutls_x509_crt_t *crts = NULL;
	unsigned n = 0;
	int e;

	t->why[0] = '\0';
	e = gnutls_x509_crt_list_import_url(&crts, &n, url, on_pin, t, 0);
	free(url);
	if (e < 0)
		return failed(t, e, "certificate");
	for (unsigned i = 0; i < n; i++)
		x509_list_take(chain, crts[i]);
	gnutls_free(crts);
	return n > 0 ? KC_OK : failed(t, GNUTLS_E_NO_CERTIFICATE_FOUND, "certificate");
}

/* The public key that the token knows of the private one. */
static int check_pair(gnutls_privkey_t key, gnutls_x509_crt_t leaf, const char *uri)
{
	unsigned char of_crt[32], of_key[32];
	size_t n = sizeof(of_key);
	gnutls_pubkey_t pub = NULL;
	int rc = x509_key_id(of_crt, leaf);

	if (rc == KC_OK && (gnutls_pubkey_init(&pub) < 0 || gnutls_pubkey_import_privkey(pub, key, 0, 0) < 0 ||
			       gnutls_pubkey_get_key_id(pub, GNUTLS_KEYID_USE_SHA256, of_key, &n) < 0))
		rc = err_set(KC_EFAIL, "%s: the public half of the private key cannot be read", uri);
	else if (rc == KC_OK && memcmp(of_crt, of_key, sizeof(of_crt)) != 0)
		rc = err_set(KC_ECERT, "%s: the private key does not belong to the certificate", uri);
	if (pub != NULL)
		gnutls_pubkey_deinit(pub);
	return rc;
}

static int load(struct identity *x)
{
	gnutls_privkey_t key = NULL;
	int rc = open_chain(&x->chain, x->token);

	if (rc == KC_OK)
		rc = open_key(&key, x->token);
	if (rc == KC_OK)
		rc = check_pair(key, x->chain.crts[0], x->token->uri.object);
	if (key != NULL)
		gnutls_privkey_deinit(key);
	if (rc == KC_OK)
		rc = identity_keep_ders(x);
	return rc == KC_OK ? x509_info(&x->info, x->chain.crts[0]) : rc;
}

int token_identity(struct identity **id, const char *uri)
{
	struct token *t = mem_xalloc(sizeof(*t));
	struct identity *x;
	int rc = token_uri_parse(&t->uri, uri);

	t->refs = 1;
	if (rc == KC_OK)
		rc = start(&t->uri);
	if (rc < 0) {
		token_unref(t);
		return rc;
	}
	x = mem_xalloc(sizeof(*x));
	x->token = t;
	x->alias = mem_xstrdup(t->uri.object);
	rc = load(x);
	if (rc == KC_OK)
		*id = x;
	else
		identity_free(x);
	return rc;
}

int token_set_credentials(
    struct token *t, const struct x509_list *chain, struct gnutls_certificate_credentials_st *cred)
{
	gnutls_pcert_st *shown = mem_xcalloc(chain->count, sizeof(*shown));
	gnutls_privkey_t key = NULL;
	size_t n = 0;
	int e = 0, rc = open_key(&key, t);

	for (; rc == KC_OK && e >= 0 && n < chain->count; n += e >= 0 ? 1 : 0)
		e = gnutls_pcert_import_x509(&shown[n], chain->crts[n], 0);
	if (rc == KC_OK && e >= 0)
		e = gnutls_certificate_set_key(cred, NULL, 0, shown, (int)n, key);
	if (rc == KC_OK && e < 0)
		rc = err_set(KC_ECERT, "%s: not usable for TLS: %s", t->uri.object, gnutls_strerror(e));
	if (rc < 0) {
		/* Otherwise the credentials own both. */
		for (size_t i = 0; i < n; i++)
			gnutls_pcert_deinit(&shown[i]);
		if (key != NULL)
			gnutls_privkey_deinit(key);
	}
	free(shown);
	return rc;
}
