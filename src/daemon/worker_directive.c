/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_directive: a clone's steps of a rotation of certificates (rotation.h says what they are for).
 *
 * A directive is a JSON object that the installation's signing key has signed: what opens a session does not suffice to
 * change whom this machine trusts. It names this machine by its recipient, and its serial number never goes back, so
 * that one that was overheard, or belongs to another clone, is of no use. Each step can be taken twice.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/own_cert.h"
#include "daemon/properties.h"
#include "daemon/sealed.h"
#include "keystore/identity.h"
#include "keystore/layout.h"
#include "keystore/request.h"
#include "keystore/token.h"
#include "keystore/trust.h"
#include "keystore/trust_share.h"
#include "worker_int.h"

#define PURPOSE	   "rotate"
#define SERIAL_MAX 32

/* --- is it for us? --- */

static int check_signature(struct worker *w, const char *body, const char *signature)
{
	struct sign_pins pins = { 0 };
	int rc = sign_pins_load(&pins, w->secrets.signers);

	if (rc == KC_OK)
		rc = sign_pins_verify(NULL, &pins, body, strlen(body), signature, strlen(signature));
	sign_pins_fini(&pins);
	return rc;
}

static int check_recipient(struct worker *w, const json_t *d)
{
	char own[AGE_RECIPIENT_LEN + 1];
	struct age_recipient r;

	age_identity_recipient(&r, w->secrets.identity);
	age_recipient_text(own, &r);
	return strcmp(own, member_text(d, "recipient")) == 0
		   ? KC_OK
		   : err_set(KC_EPERM, "the directive is for another machine, or for this one as it was before");
}

static char *serial_path(const struct worker *w)
{
	return file_join(w->conf->secrets_dir, LAYOUT_DIRECTIVES);
}

static int last_serial(uint64_t *serial, const struct worker *w)
{
	char *path = serial_path(w);
	struct buf b;
	int rc;

	*serial = 0;
	buf_init(&b, SERIAL_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		*serial = strtoull(buf_str(&b), NULL, 10);
	buf_fini(&b);
	free(path);
	return rc == KC_ENOENT ? KC_OK : rc;
}

static int keep_serial(const struct worker *w, uint64_t serial)
{
	char text[SERIAL_MAX], *path = serial_path(w);
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", serial);
	int rc = file_replace(path, text, (size_t)n, 0600);

	free(path);
	return rc;
}

/* --- steps --- */

struct step {
	struct worker *w;
	const json_t *directive;
	json_t *answer;
	bool reload; /* keystore, truststore or configuration have changed */
};

static const char *text_of(const struct step *s, const char *name)
{
	return member_text(s->directive, name);
}

static int alias_in_use(char **alias, const struct conf *c)
{
	if (c->tls_alias != NULL && token_is_uri(c->tls_alias)) {
		*alias = mem_xstrdup(c->tls_alias);
		return KC_OK;
	}
	return identity_resolve(alias, c->keystore_dir, c->tls_alias);
}

static int say_in_use(struct step *s, const char *alias)
{
	struct identity *id = NULL;
	int rc = KC_OK;

	json_object_set_new(s->answer, "alias", json_string(alias));
	if (token_is_uri(alias))
		return KC_OK;
	rc = identity_load(&id, s->w->conf->keystore_dir, alias);
	if (rc == KC_OK)
		json_object_set_new(s->answer, "sha256", json_string(identity_info(id)->sha256));
	identity_free(id);
	return rc;
}

/* The new certificate's authority is trusted, and its name authorised. From now on which alias is in use is written
 * down: with a second one in the keystore it would not be clear. */
static int step_trust(struct step *s)
{
	const struct conf *c = s->w->conf;
	const char *pem = text_of(s, "certificates");
	char *alias = NULL;
	size_t added = 0;
	int rc = alias_in_use(&alias, c);

	if (rc == KC_OK && pem[0] != '\0')
		rc = trust_add(&added, NULL, c->truststore_dir, NULL, pem, strlen(pem));
	if (rc == KC_OK && c->tls_alias == NULL)
		rc = properties_set(s->w->conf_path, PROPERTY_TLS_ALIAS, alias);
	if (rc == KC_OK)
		rc = properties_authorise(s->w->conf_path, text_of(s, "cn"), true);
	s->reload = true;
	if (rc == KC_OK)
		rc = say_in_use(s, alias);
	free(alias);
	return rc;
}

static int step_request(struct step *s)
{
	json_t *request =
	    json_pack("{s:s, s:O, s:O?, s:s}", "purpose", PURPOSE, "cn", json_object_get(s->directive, "cn"), "sans",
		json_object_get(s->directive, "sans"), "key_type", text_of(s, "key_type"));
	int rc = request == NULL ? err_set(KC_EPROTO, "the directive lacks the name of the certificate")
				 : worker_job_csr(s->answer, s->w, request);

	json_decref(request);
	return rc;
}

static int install_sealed(struct step *s, const char *alias)
{
	struct identity *id = NULL;
	int rc = sealed_open(&id, text_of(s, "sealed"), s->w->secrets.identity);

	if (rc == KC_OK)
		rc = own_cert_check(id, s->w->conf);
	if (rc == KC_OK)
		rc = identity_save(id, s->w->conf->keystore_dir, alias, true);
	if (rc == KC_OK)
		json_object_set_new(s->answer, "sha256", json_string(identity_info(id)->sha256));
	identity_free(id);
	return rc;
}

static int not_in_use(const struct step *s, const char *alias)
{
	const struct conf *c = s->w->conf;

	return c->tls_alias != NULL && strcmp(c->tls_alias, alias) != 0
		   ? KC_OK
		   : err_set(KC_EBUSY, "alias %s is the one in use", alias);
}

/* The new identity is in the keystore, and not in use. */
static int step_install(struct step *s)
{
	const char *alias = text_of(s, "alias");
	json_t *request;
	int rc = identity_check_alias(alias);

	if (rc == KC_OK)
		rc = not_in_use(s, alias);
	s->reload = true;
	if (rc < 0 || text_of(s, "sealed")[0] != '\0')
		return rc < 0 ? rc : install_sealed(s, alias);
	request = json_pack(
	    "{s:s, s:s, s:s, s:b}", "purpose", PURPOSE, "chain", text_of(s, "chain"), "alias", alias, "replace", 1);
	rc = worker_job_install(s->answer, s->w, request);
	json_decref(request);
	return rc;
}

static int use_alias(struct step *s, const char *alias)
{
	struct identity *id = NULL;
	int rc = identity_check_alias(alias);

	if (rc == KC_OK)
		rc = identity_load(&id, s->w->conf->keystore_dir, alias);
	if (rc == KC_OK)
		rc = own_cert_check(id, s->w->conf);
	if (rc == KC_OK)
		rc = properties_set(s->w->conf_path, PROPERTY_TLS_ALIAS, alias);
	s->reload = true;
	if (rc == KC_OK)
		rc = say_in_use(s, alias);
	identity_free(id);
	return rc;
}

static int step_switch(struct step *s)
{
	return use_alias(s, text_of(s, "alias"));
}

static int step_verify(struct step *s)
{
	char *alias = NULL;
	int rc = alias_in_use(&alias, s->w->conf);

	if (rc == KC_OK)
		rc = say_in_use(s, alias);
	free(alias);
	return rc;
}

/* An alias goes to what was retired, certificates out of the truststore, a name out of those that are authorised. */
static int forget(struct step *s)
{
	const struct conf *c = s->w->conf;
	const char *alias = text_of(s, "retire");
	int rc = alias[0] != '\0' ? not_in_use(s, alias) : KC_OK;

	if (rc == KC_OK && alias[0] != '\0' && (rc = identity_remove(c->keystore_dir, alias)) == KC_ENOENT)
		rc = KC_OK;
	if (rc == KC_OK)
		rc = trust_share_forget(json_object_get(s->directive, "forget"), c->truststore_dir);
	if (rc == KC_OK)
		rc = properties_authorise(s->w->conf_path, text_of(s, "cn"), false);
	s->reload = true;
	return rc;
}

/* What is revoked is known before the rest goes. */
static int step_retire(struct step *s)
{
	const char *crl = text_of(s, "crl");
	int rc = crl[0] != '\0' ? trust_take_crl(NULL, s->w->conf->truststore_dir, crl, strlen(crl)) : KC_OK;

	/* Taken once more, its authority may be forgotten already: nobody trusts what that issued. */
	return rc == KC_OK || rc == KC_ECERT ? forget(s) : rc;
}

/* Everything as it was. Two steps where the new one is in use: the configuration is read anew in between. */
static int step_back(struct step *s)
{
	const struct conf *c = s->w->conf;
	const char *old = text_of(s, "alias"), *new = text_of(s, "retire");

	if (strcmp(old, new) == 0)
		return err_set(KC_EPROTO, "the directive names %s as both the old and the new alias", old);
	if (new[0] != '\0' && c->tls_alias != NULL && strcmp(c->tls_alias, new) == 0) {
		json_object_set_new(s->answer, "again", json_true());
		return use_alias(s, old);
	}
	return forget(s);
}

static const struct {
	const char *name;
	int (*run)(struct step *s);
} steps[] = {
	{ "trust", step_trust },
	{ "request", step_request },
	{ "install", step_install },
	{ "switch", step_switch },
	{ "verify", step_verify },
	{ "retire", step_retire },
	{ "back", step_back },
};

/* It is in the audit log before anything is changed. */
static int begin(struct worker *w, const json_t *d, const char *name)
{
	json_t *answer = NULL;
	int rc = worker_ask(&answer, w,
	    json_pack("{s:s, s:s, s:s}", "ask", "begin", "step", name, "rotation", member_text(d, "rotation")));

	json_decref(answer);
	return rc;
}

static int take_step(json_t *result, struct worker *w, const json_t *d)
{
	struct step s = { .w = w, .directive = d, .answer = json_object() };
	const char *name = member_text(d, "step");
	int rc = err_set(KC_EPROTO, "a directive with the step '%.40s', which is not known here", name);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (strcmp(steps[i].name, name) != 0)
			continue;
		rc = begin(w, d, name);
		if (rc == KC_OK)
			rc = steps[i].run(&s);
	}
	json_object_set_new(result, "step", json_string(name));
	json_object_set_new(result, "answer", s.answer);
	json_object_set_new(result, "reload", json_boolean(s.reload));
	return rc;
}

int worker_job_directive(json_t *result, struct worker *w, const json_t *request)
{
	const char *body, *signature;
	uint64_t serial, last = 0;
	json_t *d = NULL;
	int rc = worker_get_string(&body, request, "body");

	if (rc == KC_OK)
		rc = worker_get_string(&signature, request, "signature");
	if (rc == KC_OK)
		rc = check_signature(w, body, signature);
	if (rc == KC_OK)
		d = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
	if (rc == KC_OK && !json_is_object(d))
		rc = err_set(KC_EPROTO, "the directive is no JSON object");
	if (rc == KC_OK)
		rc = check_recipient(w, d);
	if (rc == KC_OK)
		rc = last_serial(&last, w);
	serial = member_u64(d, "serial");
	if (rc == KC_OK && serial < last)
		rc = err_set(KC_ESTALE,
		    "the directive is older than the last one: serial %" PRIu64 ", not %" PRIu64
		    " or more; is the master's clock behind?",
		    serial, last);
	if (rc == KC_OK && serial > last)
		rc = keep_serial(w, serial);
	if (rc == KC_OK)
		rc = take_step(result, w, d);
	json_decref(d);
	return rc;
}
