/* SPDX-License-Identifier: Apache-2.0 */
/* config_access: proves access without changing anything. */
#include "config_access.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/source.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keydb/keydb.h"
#include "keystore/identity.h"
#include "keystore/layout.h"
#include "keystore/secret.h"
#include "keystore/token.h"

struct access {
	struct conf_problems *p;
	const struct conf *conf;
};

static void say(const struct access *a, bool error, const char *name, const char *reason)
{
	char *where = conf_where(a->conf, name), *text = mem_xasprintf("%s: %s", where, reason);

	conf_list_add(error ? &a->p->errors : &a->p->warnings, text);
	free(text);
	free(where);
}

/* KC_OK, or why the directory cannot be used (or made). */
static int try_dir(const char *dir, bool write)
{
	char *up, *next;
	int rc = KC_OK;

	if (file_exists(dir)) {
		if (!file_is_dir(dir))
			return err_set(KC_EFAIL, "%s is not a directory", dir);
		if (faccessat(AT_FDCWD, dir, write ? R_OK | W_OK | X_OK : R_OK | X_OK, AT_EACCESS) < 0)
			return err_errno("%s: not %s for this user", dir, write ? "writable" : "readable");
		return KC_OK;
	}
	up = file_dirname(dir);
	while (!file_exists(up) && strcmp(up, "/") != 0 && strcmp(up, ".") != 0) {
		next = file_dirname(up);
		free(up);
		up = next;
	}
	if (!file_is_dir(up))
		rc = err_set(KC_EFAIL, "%s cannot be made: %s is not a directory", dir, up);
	else if (faccessat(AT_FDCWD, up, W_OK | X_OK, AT_EACCESS) < 0)
		rc = err_errno("%s cannot be made: %s", dir, up);
	free(up);
	return rc;
}

static void check_dir(const struct access *a, const char *name, const char *dir, bool write)
{
	int rc = try_dir(dir, write);

	if (rc < 0)
		say(a, true, name, err_text(rc));
}

static void check_private(const struct access *a, const char *name, const char *dir)
{
	struct stat st;
	char *reason;

	if (stat(dir, &st) < 0 || (st.st_mode & 077) == 0)
		return;
	reason = mem_xasprintf("%s has mode %04o; 0700 keeps others out", dir, (unsigned)st.st_mode & 07777);
	say(a, false, name, reason);
	free(reason);
}

static void check_format(const struct access *a, const char *path)
{
	int32_t application_id;
	int rc = source_check_format(&application_id, path);
	char *reason;

	if (rc == KC_OK && a->conf->release_keys && application_id != KEYDB_APPLICATION_ID)
		say(a, false, "backup.ReleaseKeysOnSuccessfulBackup",
		    "has no effect: keydb.Path is not the built-in key database");
	if (rc < 0) {
		say(a, true, "keydb.Path", err_text(rc));
	} else if (application_id == KEYDB_APPLICATION_ID && a->conf->role == CONF_MASTER &&
		   !file_exists(a->conf->master_key_file)) {
		reason = mem_xasprintf(
		    "%s is missing, and no key of a backup could be unwrapped without it", a->conf->master_key_file);
		say(a, true, "keydb.MasterKeyFile", reason);
		free(reason);
	}
}

static void check_keydb(const struct access *a)
{
	const char *path = a->conf->keydb_path;
	char *reason;
	int rc = source_check_access(path);

	if (rc < 0) {
		say(a, true, "keydb.Path", err_text(rc));
	} else if (!file_exists(path)) {
		reason = mem_xasprintf("%s does not exist yet%s", path,
		    a->conf->role == CONF_MASTER
			? "; 'keyclone key generate' makes the built-in one, keydb.Path names another"
			: "");
		say(a, false, "keydb.Path", reason);
		free(reason);
	} else if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0) {
		rc = err_errno("%s", path);
		say(a, true, "keydb.Path", err_text(rc));
	} else {
		check_format(a, path);
	}
}

/* No keystore, or no certificate that could be named: what a fresh configuration has. */
static bool is_fresh(const struct conf *c)
{
	struct identity_list list = { 0 };
	bool fresh = !file_exists(c->keystore_dir);

	if (!fresh && c->tls_alias == NULL && identity_list_load(&list, c->keystore_dir) == KC_OK) {
		fresh = true;
		for (size_t i = 0; i < list.count; i++)
			fresh = fresh && !list.entries[i].has_key;
	}
	identity_list_fini(&list);
	return fresh;
}

/* What this user may not look at the service may. */
static bool is_unknown(const struct conf *c, int rc)
{
	if (token_is_uri(c->tls_alias))
		return rc == KC_EPERM || (rc == KC_EPASSWORD && token_pin_is_elsewhere(c->tls_alias));
	return rc == KC_EPERM || is_fresh(c);
}

static void check_certificate(const struct access *a)
{
	struct identity *id = NULL;
	char *why;
	int rc = identity_open(&id, a->conf->keystore_dir, a->conf->tls_alias);

	if (rc == KC_OK)
		rc = identity_check_uses(id);
	if (rc < 0) {
		why = mem_xstrdup(err_text(rc));
		say(a, !is_unknown(a->conf, rc), "backup.TLSCertAlias", why);
		free(why);
	}
	identity_free(id);
}

void config_access_certificate(struct conf_problems *p, const struct conf *conf)
{
	struct access a = { .p = p, .conf = conf };

	check_certificate(&a);
}

static int read_password(char **password, const char *path)
{
	int rc = file_read_password(password, path);

	if (rc == KC_OK && (rc = conf_check_password(*password)) < 0)
		err_prefix(rc, "%s", path);
	return rc;
}

static void check_password(const struct access *a)
{
	char *path = file_join(a->conf->secrets_dir, LAYOUT_SEAL_KEY), *password = NULL;
	struct secret_box *box = NULL;
	void *data = NULL;
	size_t size;
	int rc;

	if (a->conf->password_file != NULL) {
		rc = read_password(&password, a->conf->password_file);
		if (rc < 0)
			say(a, true, "backup.EncryptionPasswordFile", err_text(rc));
	} else if (a->conf->password == NULL && a->conf->sealed_password != NULL) {
		rc = secret_box_load(&box, path);
		if (rc == KC_OK)
			rc = secret_unseal(&data, &size, box, SECRET_BACKUP_PASSWORD, a->conf->sealed_password);
		if (rc < 0)
			say(a, true, "backup.ObfuscatedEncryptionPassword", err_text(rc));
	} else if (a->conf->password != NULL && access(a->conf->path, W_OK) < 0) {
		say(a, false, "backup.EncryptionPassword",
		    "stays as it is: this user cannot write the file to seal it");
	}
	mem_secret_free(data);
	mem_secret_free(password);
	secret_box_free(box);
	free(path);
}

void config_access_check(struct conf_problems *p, const struct conf *conf)
{
	struct access a = { .p = p, .conf = conf };

	check_dir(&a, "replication.BackupDestDir", conf->backup_dir, true);
	check_dir(&a, "replication.LogDir", conf->log_dir, true);
	check_dir(&a, "replication.StateDir", conf->state_dir, true);
	check_dir(&a, "replication.RunDir", conf->run_dir, true);
	check_dir(&a, "keystore.Dir", conf->keystore_dir, false);
	check_dir(&a, "keystore.SecretsDir", conf->secrets_dir, false);
	check_dir(&a, "truststore.Dir", conf->truststore_dir, false);
	check_private(&a, "keystore.Dir", conf->keystore_dir);
	check_private(&a, "keystore.SecretsDir", conf->secrets_dir);
	check_keydb(&a);
	check_certificate(&a);
	check_password(&a);
}
