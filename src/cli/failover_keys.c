/* SPDX-License-Identifier: Apache-2.0 */
/* failover_keys: password, signing key and certificate of a promoted machine. */
#include "failover_keys.h"

#include <stdlib.h>
#include <string.h>

#include "backup/age.h"
#include "backup/create.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

/* --- password --- */

/* Newer backups of the clones must open with what the operators know. */
static int prove_password(const struct failover *f)
{
	struct state_stored st = { 0 };
	struct age_key *key = NULL;
	struct state *s = NULL;
	char *path = NULL;
	int rc = state_open(&s, f->c->conf->state_dir, false);

	if (rc == KC_OK)
		rc = state_get_stored(&st, s);
	if (rc == KC_OK)
		path = file_join(f->c->conf->backup_dir, st.backup);
	if (rc == KC_OK && file_exists(path))
		rc = backup_file_key(&key, path, f->password);
	if (rc == KC_EPASSWORD)
		rc = err_set(KC_EPASSWORD, "the password does not open %s, the newest backup of the master", path);
	age_key_free(key);
	free(path);
	state_stored_fini(&st);
	state_close(s);
	return rc == KC_ENOENT ? KC_OK : rc;
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
	if (rc == KC_OK && !cli_flag(f->c, "force"))
		rc = prove_password(f);
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

int failover_take_keys(struct failover *f)
{
	bool added;
	int rc = knows_another(&f->own_signer, f);

	if (rc == KC_OK)
		rc = sign_pin_add(&added, f->secrets.signers, sign_key_public(f->secrets.signing), "this installation");
	return rc;
}
