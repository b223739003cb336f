/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_rotate: the master's own part of a rotation of certificates: the new identity, what has to be trusted for it,
 * directives and their signatures, and what goes at the end. Each verb can be asked again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/own_cert.h"
#include "daemon/properties.h"
#include "daemon/recipients.h"
#include "daemon/sealed.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/trust.h"
#include "keystore/trust_share.h"
#include "worker_int.h"

#define CERTIFICATES_MAX (16 * 1024)

/* --- begin --- */

/* Another certificate for the same names and uses. */
static int make(struct identity **id, const struct conf *c, const struct identity *old,
    const struct issue_authority *authority, const json_t *request)
{
	const struct cert_info *info = identity_info(old);
	const char *sans[WORKER_SANS_MAX], *type = member_text(request, "key_type");
	struct issue_request r = { .role = authority != NULL ? CERT_ROLE_MASTER : CERT_ROLE_NONE };
	int rc = worker_days(&r.days, c, request);

	worker_names(&r, sans, info);
	if (rc == KC_OK && type[0] != '\0')
		rc = issue_key_from_name(&r.key, type);
	return rc == KC_OK ? issue_identity(id, authority, &r) : rc;
}

/* The identity that is to be in force: in the keystore already, or made. */
static int new_identity(struct identity **id, const struct worker *w, const struct identity *old,
    const struct issue_authority *authority, bool of_authority, const json_t *request)
{
	const char *dir = w->conf->keystore_dir, *alias = member_text(request, "new_alias");
	bool made = json_is_true(json_object_get(request, "make"));
	char *found = NULL;
	int rc = identity_resolve(&found, dir, alias);

	free(found);
	if (rc == KC_OK)
		return identity_load(id, dir, alias);
	if (rc != KC_ENOENT || !made)
		return rc;
	if (!of_authority && !identity_info(old)->self_signed)
		return err_set(KC_EUSAGE,
		    "certificate %s is issued by %s, not by the own authority: 'keyclone cert request', import what "
		    "comes, "
		    "then 'cert rotate --to' it",
		    identity_info(old)->cn, identity_info(old)->issuer);
	rc = make(id, w->conf, old, of_authority ? authority : NULL, request);
	return rc == KC_OK ? identity_save(*id, dir, alias, false) : rc;
}

static void describe(json_t *result, const char *which, const struct identity *id, bool own)
{
	const struct cert_info *info = identity_info(id);

	json_object_set_new(result, which,
	    json_pack("{s:s, s:s, s:s, s:s, s:b}", "sha256", info->sha256, "spki", info->spki_sha256, "cn", info->cn,
		"serial", info->serial, "own", (int)own));
}

/* What clones have to trust, which the master trusts first; and what is of no use without the one or the other. */
static int share_trust(json_t *result, const struct worker *w, const struct identity *old, const struct identity *new)
{
	const char *dir = w->conf->truststore_dir;
	json_t *had = json_array(), *without_old = json_array(), *without_new = json_array();
	size_t added = 0;
	struct buf pem;
	int rc = trust_share_list(had, new, dir);

	buf_init(&pem, CERTIFICATES_MAX);
	if (rc == KC_OK)
		rc = trust_share(&pem, new, dir);
	if (rc == KC_OK)
		rc = trust_add(&added, NULL, dir, NULL, buf_data(&pem), buf_len(&pem));
	if (rc == KC_OK)
		rc = trust_share_list(without_old, old, dir);
	if (rc == KC_OK)
		rc = trust_share_list(without_new, new, dir);
	/* What both need stays; what was trusted before this rotation is not taken back with it. */
	trust_share_subtract(without_old, without_new);
	trust_share_subtract(without_new, had);
	json_object_set_new(result, "forget", without_old);
	json_object_set_new(result, "forget_new", without_new);
	json_object_set_new(result, "certificates", json_stringn((const char *)buf_data(&pem), buf_len(&pem)));
	json_decref(had);
	buf_fini(&pem);
	return rc;
}

static int begin(json_t *result, struct worker *w, const struct identity *old, const json_t *request)
{
	struct issue_authority *authority = NULL;
	bool replace = json_is_true(json_object_get(request, "authority")), own = false;
	struct identity *new = NULL;
	int rc = KC_OK;

	if (replace)
		rc = issue_authority_replace(w->conf->secrets_dir);
	if (rc == KC_OK && (rc = issue_authority_load(&authority, w->conf->secrets_dir)) == KC_ENOENT && !replace)
		rc = KC_OK;
	if (rc == KC_OK)
		rc = new_identity(&new, w, old, authority, replace || worker_is_own(old, authority), request);
	if (rc == KC_OK && strcmp(identity_info(new)->sha256, identity_info(old)->sha256) == 0)
		rc = err_set(KC_EUSAGE, "alias %s is the one in use already", identity_alias(new));
	if (rc == KC_OK)
		rc = own_cert_check(new, w->conf);
	if (rc == KC_OK)
		rc = share_trust(result, w, old, new);
	if (rc == KC_OK) {
		own = worker_is_own(new, authority);
		describe(result, "old", old, worker_is_own(old, authority));
		describe(result, "new", new, own);
		json_object_set_new(result, "own", json_boolean(own));
	}
	issue_authority_free(authority);
	identity_free(new);
	return rc;
}

/* Nobody was told of another authority: the one before is in force again. Keeps the error. */
static int give_up(struct worker *w, int rc)
{
	char *why = mem_xstrdup(err_text(rc));

	if (issue_authority_settle(w->conf->secrets_dir, true) < 0)
		log_warn("the authority before could not be put back: 'keyclone cert rotate --new-authority' goes on");
	rc = err_set(rc, "%s", why);
	free(why);
	return rc;
}

int worker_job_rotate_begin(json_t *result, struct worker *w, const json_t *request)
{
	const struct conf *c = w->conf;
	struct identity *old = NULL;
	char *alias = NULL;
	int rc = identity_resolve(&alias, c->keystore_dir, c->tls_alias);

	if (rc == KC_OK)
		rc = identity_load(&old, c->keystore_dir, alias);
	/* With a second alias in the keystore it has to be said which one is in use. */
	if (rc == KC_OK && c->tls_alias == NULL)
		rc = properties_set(w->conf_path, PROPERTY_TLS_ALIAS, alias);
	if (rc == KC_OK && (rc = begin(result, w, old, request)) < 0 &&
	    json_is_true(json_object_get(request, "authority")))
		rc = give_up(w, rc);
	if (rc == KC_OK)
		json_object_set_new(result, "old_alias", json_string(alias));
	identity_free(old);
	free(alias);
	return rc;
}

/* --- directives --- */

/* The certificate for a clone's request, for the names that its present one has. */
static int add_chain(json_t *answer, json_t *directive, struct worker *w, const json_t *request)
{
	json_t *result = json_object(), *issue;
	int rc;

	issue = json_pack("{s:O, s:O, s:O?, s:s, s:I}", "csr", json_object_get(request, "csr"), "cn",
	    json_object_get(request, "cn"), "sans", json_object_get(request, "sans"), "role", "clone", "days",
	    (json_int_t)member_int(request, "days"));
	rc = issue == NULL ? err_set(KC_EPROTO, "request lacks csr or cn") : worker_job_issue(result, w, issue);
	if (rc == KC_OK) {
		json_object_set(directive, "chain", json_object_get(result, "chain"));
		json_object_set(answer, "serial", json_object_get(result, "serial"));
		json_object_set(answer, "not_after", json_object_get(result, "not_after"));
	}
	json_decref(issue);
	json_decref(result);
	return rc;
}

static int add_sealed(json_t *directive, struct worker *w, const char *alias, const struct age_recipient *to)
{
	struct identity *id = NULL;
	char *text = NULL;
	int rc = identity_load(&id, w->conf->keystore_dir, alias);

	if (rc == KC_OK)
		rc = sealed_identity(&text, id, to);
	if (rc == KC_OK)
		json_object_set_new(directive, "sealed", json_string(text));
	identity_free(id);
	free(text);
	return rc;
}

static int sign(json_t *result, const struct worker *w, const json_t *directive)
{
	char *body = json_dumps(directive, JSON_COMPACT), *signature = NULL;
	int rc = body == NULL ? err_set(KC_EFAIL, "the directive cannot be written")
			      : sign_bytes(&signature, w->secrets.signing, body, strlen(body));

	if (rc == KC_OK) {
		json_object_set_new(result, "body", json_string(body));
		json_object_set_new(result, "signature", json_string(signature));
		json_object_set(result, "sha256", json_object_get(directive, "sha256"));
	}
	free(signature);
	free(body);
	return rc;
}

int worker_job_rotate_directive(json_t *result, struct worker *w, const json_t *request)
{
	json_t *directive = json_deep_copy(json_object_get(request, "directive"));
	const char *clone, *recipient, *seal = member_text(request, "seal");
	struct age_recipient to;
	int rc = worker_get_string(&clone, request, "clone");

	if (rc == KC_OK)
		rc = worker_get_string(&recipient, request, "recipient");
	if (rc == KC_OK)
		rc = recipients_check(w->conf, clone, recipient);
	if (rc == KC_OK)
		rc = age_recipient_parse(&to, recipient);
	if (rc == KC_OK && !json_is_object(directive))
		rc = err_set(KC_EPROTO, "request lacks directive");
	if (rc == KC_OK)
		json_object_set_new(directive, "recipient", json_string(recipient));
	if (rc == KC_OK && json_object_get(request, "csr") != NULL)
		rc = add_chain(result, directive, w, request);
	if (rc == KC_OK && seal[0] != '\0')
		rc = add_sealed(directive, w, seal, &to);
	if (rc == KC_OK)
		rc = sign(result, w, directive);
	json_decref(directive);
	return rc;
}

/* --- the master's own switch, and the end --- */

int worker_job_rotate_use(json_t *result, struct worker *w, const json_t *request)
{
	struct identity *id = NULL;
	const char *alias;
	int rc = worker_get_string(&alias, request, "alias");

	(void)result;
	if (rc == KC_OK)
		rc = identity_load(&id, w->conf->keystore_dir, alias);
	if (rc == KC_OK)
		rc = own_cert_check(id, w->conf);
	if (rc == KC_OK)
		rc = properties_set(w->conf_path, PROPERTY_TLS_ALIAS, alias);
	identity_free(id);
	return rc;
}

/* The alias goes into what was retired, certificates out of the truststore; the other authority is forgotten (or, where
 * the rotation was undone, in force again). */
int worker_job_rotate_end(json_t *result, struct worker *w, const json_t *request)
{
	const struct conf *c = w->conf;
	const char *alias = member_text(request, "retire");
	json_t *forget;
	int rc = KC_OK;

	(void)result;
	if (c->tls_alias == NULL || strcmp(c->tls_alias, alias) == 0)
		return err_set(KC_EBUSY, "alias %s is in use", alias);
	if (alias[0] != '\0' && (rc = identity_remove(c->keystore_dir, alias)) == KC_ENOENT)
		rc = KC_OK;
	forget = json_deep_copy(json_object_get(request, "forget"));
	if (rc == KC_OK && json_is_true(json_object_get(request, "keep_authorities")))
		rc = trust_share_keep_authorities(forget, c->truststore_dir);
	if (rc == KC_OK)
		rc = trust_share_forget(forget, c->truststore_dir);
	json_decref(forget);
	if (rc == KC_OK && json_is_true(json_object_get(request, "authority")))
		rc = issue_authority_settle(c->secrets_dir, json_is_true(json_object_get(request, "undone")));
	return rc;
}
