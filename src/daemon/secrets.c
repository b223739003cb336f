/* SPDX-License-Identifier: Apache-2.0 */
/* secrets: opens, and makes where missing, what backups are sealed, signed and opened with. */
#include "secrets.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "keystore/layout.h"

static int open_identity(struct secrets *s)
{
	char *path = file_join(s->dir, LAYOUT_AGE_IDENTITY);
	void *text = NULL;
	size_t size;
	int rc = secret_read(&text, &size, s->box, SECRET_AGE_IDENTITY, path);

	if (rc == KC_ENOENT) {
		s->identity = age_identity_new();
		text = mem_secret_new(AGE_IDENTITY_LEN + 1);
		age_identity_text(text, s->identity);
		rc = secret_write(s->box, SECRET_AGE_IDENTITY, path, text, AGE_IDENTITY_LEN, false);
	} else if (rc == KC_OK) {
		rc = age_identity_parse(&s->identity, text);
	}
	mem_secret_free(text);
	free(path);
	return rc;
}

static int open_signing(struct secrets *s, bool master)
{
	char *key = file_join(s->dir, LAYOUT_SIGNING_KEY), *pub = file_join(s->dir, LAYOUT_SIGNING_PUB);
	bool added, lost = false;
	int rc = sign_key_load(&s->signing, s->box, key);

	if (rc == KC_ENOENT) {
		lost = file_exists(s->signers);
		rc = sign_key_create(&s->signing, s->box, key, pub);
	}
	if (rc == KC_OK && master && lost)
		log_warn("%s was not there: a new signing key was made, and no clone restores what it signs until "
			 "'keyclone trust signer' accepts it there",
		    key);
	if (rc == KC_OK && master)
		rc = sign_pin_add(&added, s->signers, sign_key_public(s->signing), "this installation");
	free(key);
	free(pub);
	return rc;
}

int secrets_open(struct secrets *s, const char *dir, bool master)
{
	char *path = file_join(dir, LAYOUT_SEAL_KEY);
	int rc;

	memset(s, 0, sizeof(*s));
	s->dir = mem_xstrdup(dir);
	s->signers = file_join(dir, LAYOUT_SIGNERS);
	rc = file_make_dirs(dir);
	if (rc == KC_OK)
		rc = secret_box_open(&s->box, path);
	if (rc == KC_OK)
		rc = open_identity(s);
	if (rc == KC_OK)
		rc = open_signing(s, master);
	free(path);
	if (rc < 0)
		secrets_fini(s);
	return rc;
}

void secrets_fini(struct secrets *s)
{
	sign_key_free(s->signing);
	age_identity_free(s->identity);
	secret_box_free(s->box);
	free(s->signers);
	free(s->dir);
	memset(s, 0, sizeof(*s));
}

/* What a file says is held to the rule of the property. */
static int password_of_file(char **password, const char *path)
{
	char *text = NULL;
	int rc = file_read_password(&text, path);

	if (rc == KC_OK && strlen(text) < CONF_PASSWORD_MIN) {
		rc = err_set(KC_ECONF, "%s: the password has %zu bytes, at least %d are needed", path, strlen(text),
		    CONF_PASSWORD_MIN);
		mem_secret_free(text);
		return rc;
	}
	if (rc == KC_OK)
		*password = text;
	return rc;
}

int secrets_password(char **password, const struct secrets *s, const struct conf *c)
{
	char *text = NULL;
	void *sealed = NULL;
	size_t size;
	int rc = KC_OK;

	if (c->password != NULL)
		text = mem_secret_strdup(c->password);
	else if (c->sealed_password != NULL)
		rc = secret_unseal(&sealed, &size, s->box, SECRET_BACKUP_PASSWORD, c->sealed_password);
	else if (c->password_file != NULL)
		rc = password_of_file(&text, c->password_file);
	if (rc == KC_OK)
		*password = sealed != NULL ? sealed : text;
	return rc;
}

int secrets_safety_password(char **password, const struct secrets *s, bool create)
{
	char *path = file_join(s->dir, LAYOUT_SAFETY_PASSWORD);
	void *text = NULL;
	size_t size;
	uint8_t random[32];
	int rc = secret_read(&text, &size, s->box, SECRET_BACKUP_PASSWORD, path);

	if (rc == KC_ENOENT && create) {
		text = mem_secret_new(2 * sizeof(random) + 1);
		mem_random(random, sizeof(random));
		hex_encode(text, random, sizeof(random));
		mem_wipe(random, sizeof(random));
		rc = secret_write(s->box, SECRET_BACKUP_PASSWORD, path, text, 2 * sizeof(random), false);
	}
	free(path);
	if (rc == KC_OK)
		*password = text;
	else
		mem_secret_free(text);
	return rc;
}
