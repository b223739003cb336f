/* SPDX-License-Identifier: Apache-2.0 */
/* worker_password: the backup password: read, sealed in its place, told from others. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "worker_int.h"

#define LEFTOVER_MAX (1u << 20)

/* --- sealing --- */

/* What an editor leaves beside a file has the file's name in its own. */
static void look_into(const char *dir, const char *name, const char *base, const char *password)
{
	char *path;
	struct stat st;
	struct buf b;

	if (strcmp(name, base) == 0 || strstr(name, base) == NULL)
		return;
	path = file_join(dir, name);
	buf_init(&b, LEFTOVER_MAX);
	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && file_read(&b, path) == KC_OK &&
	    memmem(buf_data(&b), buf_len(&b), password, strlen(password)) != NULL)
		log_warn("the backup password can be read in %s, which is not ours to remove: remove it", path);
	buf_fini(&b);
	free(path);
}

static void warn_of_leftovers(const struct conf *c)
{
	DIR *d = opendir(c->dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		look_into(c->dir, e->d_name, file_basename(c->path), c->password);
	if (d != NULL)
		closedir(d);
}

int worker_seal_password(bool *sealed, const struct conf *c)
{
	struct secrets s;
	char *text = NULL;
	int rc;

	*sealed = false;
	if (c->password == NULL)
		return KC_OK;
	rc = secrets_open(&s, c->secrets_dir, c->role == CONF_MASTER);
	if (rc < 0)
		return rc;
	rc = secret_seal(&text, s.box, SECRET_BACKUP_PASSWORD, c->password, strlen(c->password));
	if (rc == KC_OK) {
		rc = conf_replace_password(c->path, text);
		*sealed = rc == KC_OK;
		if (rc < 0)
			log_warn("backup.EncryptionPassword stays readable in %s: it cannot be replaced by its sealed "
				 "form: %s",
			    c->path, err_text(rc));
		else
			warn_of_leftovers(c);
	}
	free(text);
	secrets_fini(&s);
	return KC_OK;
}

/* --- the one in force --- */

static void take(struct worker *w, char *password, const char *id)
{
	if (strcmp(w->password_id, id) != 0) {
		/* Made for the other one. */
		create_prepared_free(w->prepared);
		w->prepared = NULL;
	}
	mem_secret_free(w->password);
	w->password = password;
	memcpy(w->password_id, id, sizeof(w->password_id));
}

int worker_take_password(struct worker *w, const struct conf *c)
{
	char *password = NULL, id[SECRET_FINGERPRINT_SIZE] = "";
	int rc = secrets_password(&password, &w->secrets, c);

	if (rc == KC_OK && password == NULL && c->role == CONF_MASTER)
		rc = err_set(KC_ECONF, "%s: backup.EncryptionPassword is not set", c->path);
	if (rc == KC_EPERM && w->opened && c->password_file != NULL)
		rc = err_set(KC_EPERM, "%s; a password file in another folder needs a restart", err_text(rc));
	if (rc < 0)
		return rc;
	if (password != NULL)
		secret_fingerprint(id, w->secrets.box, SECRET_BACKUP_PASSWORD, password, strlen(password));
	take(w, password, id);
	return KC_OK;
}
