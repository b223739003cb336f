/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll_keep: asks the master and keeps what it answers. The key is made here and never leaves; the identity comes
 * last, so that what is cut short leaves a machine that is as it was, and trusts one more.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/secrets.h"
#include "enroll.h"
#include "keystore/issue.h"
#include "keystore/layout.h"
#include "keystore/renewal.h"
#include "keystore/request.h"
#include "keystore/sign.h"
#include "keystore/trust.h"

#define PEM_MAX (64 * 1024)

void joining_fini(struct joining *j)
{
	invite_fini(&j->token);
	if (j->answered)
		enroll_answer_fini(&j->answer);
	identity_free(j->id);
	free(j->alias);
}

int enroll_look(struct joining *j, const struct conf *conf)
{
	int rc = KC_OK;

	if (conf->tls_alias != NULL && strncmp(conf->tls_alias, "pkcs11:", 7) == 0)
		return err_set(KC_EUSAGE,
		    "backup.TLSCertAlias names a key in a PKCS#11 token, which stays there; name an alias first");
	if (j->external != NULL)
		rc = renewal_read(&j->id, j->external);
	return rc == KC_OK && j->id != NULL ? identity_check_uses(j->id) : rc;
}

/* --- asking --- */

static int make_request(struct request **q, struct buf *pem)
{
	char host[256] = "";
	struct issue_request r = { .cn = host };
	int rc;

	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
		memcpy(host, "clone", 6);
	rc = request_new(q, &r);
	return rc == KC_OK ? request_pem(pem, *q) : rc;
}

static int own_recipient(char recipient[AGE_RECIPIENT_LEN + 1], const struct conf *conf)
{
	struct age_recipient r;
	struct secrets s;
	int rc = secrets_open(&s, conf->secrets_dir, false);

	if (rc < 0)
		return rc;
	age_identity_recipient(&r, s.identity);
	age_recipient_text(recipient, &r);
	secrets_fini(&s);
	return KC_OK;
}

/* It is ours, a clone's, and of the authority that the token names. */
static int check_issued(const struct joining *j)
{
	const struct cert_info *info = identity_info(j->id);
	struct cert_der last = identity_chain_der(j->id, identity_chain_count(j->id) - 1);
	struct cert_info top = { 0 };
	int rc = cert_info_from_der(&top, last.data, last.size);

	if (rc == KC_OK && info->role != CERT_ROLE_CLONE)
		rc = err_set(KC_ECERT, "the master issued a certificate that is not a clone's");
	else if (rc == KC_OK && strcmp(top.sha256, j->token.fingerprint) != 0)
		rc = err_set(KC_ECERT, "the master issued a certificate of another authority than the token names");
	cert_info_fini(&top);
	return rc == KC_OK ? identity_check_uses(j->id) : rc;
}

static int ask(struct joining *j, const struct conf *conf)
{
	char recipient[AGE_RECIPIENT_LEN + 1];
	struct enroll_request r = { .host = j->host, .port = j->port, .recipient = recipient, .lineage = j->lineage };
	struct request *q = NULL;
	struct buf pem;
	bool sent = false;
	int rc = own_recipient(recipient, conf);

	buf_init(&pem, PEM_MAX);
	if (rc == KC_OK && j->external != NULL)
		rc = identity_export(&pem, j->id, IDENTITY_PEM, false, NULL);
	else if (rc == KC_OK)
		rc = make_request(&q, &pem);
	r.csr = j->external == NULL ? &pem : NULL;
	r.chain = j->external != NULL ? &pem : NULL;
	if (rc == KC_OK)
		rc = enroll_ask(&j->answer, &sent, &j->token, &r);
	j->answered = rc == KC_OK;
	if (rc == KC_OK && j->external == NULL) {
		rc = request_identity(
		    &j->id, q, buf_data(&j->answer.chain), buf_len(&j->answer.chain), "what the master issued");
		if (rc == KC_OK)
			rc = check_issued(j);
	}
	request_free(q);
	buf_fini(&pem);
	return rc;
}

/* --- keeping --- */

static int keep_trust(const char *dir, const struct buf *pem, const char *name)
{
	char *path, *file = mem_xasprintf("%s.pem", name);
	size_t added;
	bool taken;

	path = file_join(dir, file);
	taken = file_exists(path);
	free(path);
	free(file);
	if (buf_len(pem) == 0)
		return KC_OK;
	return trust_add(&added, NULL, dir, taken ? NULL : name, buf_data(pem), buf_len(pem));
}

static int keep_signer(const struct joining *j, const struct conf *conf)
{
	char *path, *comment;
	struct sign_public pub;
	bool added;
	int rc = sign_public_parse(&pub, j->answer.signing_key, strlen(j->answer.signing_key));

	if (rc < 0)
		return rc;
	path = file_join(conf->secrets_dir, LAYOUT_SIGNERS);
	comment = mem_xasprintf("of %s, by enrolment", j->answer.master[0] != '\0' ? j->answer.master : j->token.host);
	rc = sign_pin_add(&added, path, &pub, comment);
	free(comment);
	free(path);
	return rc;
}

int enroll_ask_and_keep(struct joining *j, const struct conf *conf)
{
	int rc = ask(j, conf);

	if (rc < 0)
		return rc;
	rc = keep_trust(conf->truststore_dir, &j->answer.authority, "authority");
	if (rc == KC_OK)
		rc = keep_trust(conf->truststore_dir, &j->answer.trust, "master");
	if (rc == KC_OK)
		rc = keep_signer(j, conf);
	if (rc == KC_OK)
		rc = identity_save(j->id, conf->keystore_dir, j->alias, true);
	return rc < 0 ? err_prefix(rc,
			    "the master took this clone in, but what it answered cannot be kept here; join again with "
			    "another token")
		      : KC_OK;
}
