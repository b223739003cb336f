/* SPDX-License-Identifier: Apache-2.0 */
/* failover_keys: password, signing key and certificate of a promoted machine. */
#include "failover_keys.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/age.h"
#include "backup/create.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/system.h"
#include "init.h"
#include "keystore/identity.h"
#include "keystore/issue.h"

#define MASTER_ALIAS "master" /* of the certificate that a promotion issues */

/* --- password --- */

/* A password opens fulls: the newest one, or the one that the newest increment builds on. */
static int newest_full(struct state_stored *st, struct state *s)
{
	struct state_stored newest = { 0 };
	int rc = state_get_stored(&newest, s);

	if (rc == KC_OK && newest.base != 0) {
		rc = state_stored_of(st, s, newest.lineage, newest.chain);
		state_stored_fini(&newest);
	} else if (rc == KC_OK) {
		*st = newest;
	}
	return rc;
}

/* Newer backups of the clones must open with what the operators know. */
static int prove_password(const struct failover *f)
{
	struct state_stored st = { 0 };
	struct age_key *key = NULL;
	struct state *s = NULL;
	char *path = NULL;
	int rc = state_open(&s, f->c->conf->state_dir, false);

	if (rc == KC_OK)
		rc = newest_full(&st, s);
	if (rc == KC_OK)
		path = file_join(f->c->conf->backup_dir, st.backup);
	if (rc == KC_OK && file_exists(path))
		rc = backup_file_key(&key, path, f->password);
	if (rc == KC_EPASSWORD)
		rc = err_set(KC_EPASSWORD, "the password does not open %s, the newest full backup of the master", path);
	age_key_free(key);
	free(path);
	state_stored_fini(&st);
	state_close(s);
	return rc == KC_ENOENT ? KC_OK : rc;
}

/* The master's authority, signing key and settings, if a system backup of it came here. */
static int open_system(struct failover *f)
{
	struct sign_pins pins = { 0 };
	char *path = NULL;
	int rc = system_newest(&path, f->c->conf->backup_dir, f->self.lineage);

	if (rc == KC_OK)
		rc = sign_pins_load(&pins, f->secrets.signers);
	if (rc == KC_OK)
		rc = system_open(&f->system, path, f->password, &pins);
	f->has_system = rc == KC_OK;
	if (rc == KC_EPASSWORD)
		rc = err_set(KC_EPASSWORD,
		    "the password does not open %s, which has authority and signing key of the installation; --force "
		    "goes on "
		    "without them",
		    path);
	sign_pins_fini(&pins);
	free(path);
	return rc == KC_ENOENT ? KC_OK : rc;
}

/* What opens the master's backups is what the operators know. */
static int prove(struct failover *f)
{
	bool force = cli_flag(f->c, "force");
	int rc = force ? KC_OK : prove_password(f);

	if (rc == KC_OK)
		rc = open_system(f);
	if (rc < 0 && force) {
		log_warn("%s", err_text(rc));
		rc = KC_OK;
	}
	return rc;
}

int failover_ask_password(struct failover *f)
{
	const char *file = cli_string(f->c, "password-file");
	char *configured = NULL;
	int rc = secrets_open(&f->secrets, f->c->conf->secrets_dir, false);

	if (rc == KC_OK)
		rc = secrets_password(&configured, &f->secrets, f->c->conf);
	if (rc == KC_OK && file == NULL && configured != NULL)
		f->password = mem_secret_strdup(configured);
	else if (rc == KC_OK)
		rc = cli_password(&f->password, file, "password of the backups", false, "password-file");
	if (rc == KC_OK)
		rc = conf_check_password(f->password);
	if (rc == KC_OK)
		rc = prove(f);
	if (rc == KC_OK && (configured == NULL || strcmp(configured, f->password) != 0))
		rc = secret_seal(&f->sealed, f->secrets.box, SECRET_BACKUP_PASSWORD, f->password, strlen(f->password));
	mem_secret_free(configured);
	return rc;
}

/* --- signing key --- */

/* What was restored here was signed by another: that one's key is what the clones know. */
static int knows_another(bool *another, const struct failover *f)
{
	struct sign_pins pins = { 0 };
	int rc = sign_pins_load(&pins, f->secrets.signers);

	*another = false;
	for (size_t i = 0; rc == KC_OK && i < pins.count; i++)
		*another = *another || !sign_public_equal(&pins.pins[i].pub, sign_key_public(f->secrets.signing));
	sign_pins_fini(&pins);
	return rc;
}

static int take_signing(struct failover *f)
{
	bool added;
	int rc;

	if (f->has_system)
		return system_take(&f->system, f->c->conf, &f->secrets);
	rc = knows_another(&f->own_signer, f);
	if (rc == KC_OK)
		rc = sign_pin_add(&added, f->secrets.signers, sign_key_public(f->secrets.signing), "this installation");
	return rc;
}

/* --- certificate --- */

/* Of the own authority a clone's certificate cannot push. One that the site shares, or of another authority, stays. */
static int take_certificate(struct failover *f)
{
	const struct conf *conf = f->c->conf;
	struct issue_authority *authority = NULL;
	struct identity *id = NULL;
	char host[256] = "";
	int rc = issue_authority_load(&authority, conf->secrets_dir);

	if (rc == KC_ENOENT)
		return KC_OK;
	if (rc == KC_OK)
		rc = identity_open(&id, conf->keystore_dir, conf->tls_alias);
	if (rc == KC_OK && identity_info(id)->role == CERT_ROLE_CLONE) {
		if (gethostname(host, sizeof(host) - 1) < 0)
			host[0] = '\0';
		rc = init_issue_master(authority, conf->keystore_dir, MASTER_ALIAS, host, true);
		if (rc == KC_OK)
			f->alias = mem_xstrdup(MASTER_ALIAS);
	}
	identity_free(id);
	issue_authority_free(authority);
	return rc;
}

int failover_take_keys(struct failover *f)
{
	int rc = take_signing(f);

	return rc == KC_OK ? take_certificate(f) : rc;
}
