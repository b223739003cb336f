/* SPDX-License-Identifier: Apache-2.0 */
/* system: what goes into a system backup, and the promotion's part of what comes out. */
#include "system.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"
#include "keystore/layout.h"

/* Of the secrets folder, by name: the identity and the password of safety backups are this machine's alone. */
static const char *const secret_names[] = {
	LAYOUT_SEAL_KEY,
	LAYOUT_SIGNING_KEY,
	LAYOUT_SIGNING_PUB,
	LAYOUT_SIGNERS,
	LAYOUT_RECIPIENTS,
	"authority.crl",
	"authority.crt",
	"authority.key",
	"authority.secret",
};
#define N_SECRETS (sizeof(secret_names) / sizeof(secret_names[0]))

/* --- what goes in --- */

static int add_optional(struct system_contents *c, const char *place, const char *dir, const char *name)
{
	char *path = file_join(dir, name), *member = mem_xasprintf("%s%s", place, name);
	int rc = system_add_file(c, member, path);

	free(path);
	free(member);
	return rc == KC_ENOENT ? KC_OK : rc;
}

/* What lies beside the files of a folder for a moment only, or is hidden, is not part of it. */
static bool belongs(const char *dir, const char *name, const char *but)
{
	char *path = file_join(dir, name);
	struct stat st;
	bool yes = name[0] != '.' && strcmp(path, but) != 0 && lstat(path, &st) == 0 && S_ISREG(st.st_mode);

	free(path);
	return yes;
}

static int add_folder(struct system_contents *c, const char *place, const char *dir, const char *but)
{
	struct dirent *e;
	DIR *d = opendir(dir);
	int rc = KC_OK;

	if (d == NULL)
		return file_exists(dir) ? err_errno("%s", dir) : KC_OK;
	while (rc == KC_OK && (e = readdir(d)) != NULL)
		if (belongs(dir, e->d_name, but))
			rc = add_optional(c, place, dir, e->d_name);
	closedir(d);
	return rc;
}

static int add_config(struct system_contents *c, const char *path)
{
	char *member = mem_xasprintf(SYSTEM_CONFIG "%s", file_basename(path));
	int rc = system_add_file(c, member, path);

	free(member);
	return rc;
}

int system_gather(struct system_contents *c, const struct conf *conf)
{
	int rc = add_config(c, conf->path);

	if (rc == KC_OK)
		rc = add_folder(c, SYSTEM_KEYSTORE, conf->keystore_dir, conf->master_key_file);
	if (rc == KC_OK)
		rc = add_folder(c, SYSTEM_TRUSTSTORE, conf->truststore_dir, conf->master_key_file);
	for (size_t i = 0; rc == KC_OK && i < N_SECRETS; i++)
		rc = add_optional(c, SYSTEM_SECRETS, conf->secrets_dir, secret_names[i]);
	for (size_t i = 0; i < conf->clone_count && c->n_clones < SYSTEM_CLONES_MAX; i++)
		c->clones[c->n_clones++] = host_port_format(conf->clones[i].host, conf->clones[i].port);
	return rc;
}

/* --- what comes out --- */

int system_newest(char **path, const char *backup_dir, const char *lineage)
{
	struct store_entry *list = NULL;
	const struct store_entry *found = NULL;
	size_t n = 0;
	bool own = false;
	int rc = store_list(&list, &n, backup_dir);

	if (rc < 0)
		return rc;
	/* In one lineage the generations order; lineages among each other only have times, and clocks may be wrong. */
	for (size_t i = n; i > 0 && !own; i--) {
		const struct store_entry *e = &list[i - 1];

		if (e->name.kind != STORE_SYSTEM)
			continue;
		own = strncmp(e->name.lineage, lineage, strlen(e->name.lineage)) == 0;
		if (own || found == NULL)
			found = e;
	}
	if (found != NULL)
		*path = mem_xstrdup(found->path);
	else
		rc = err_set(KC_ENOENT, "%s: no system backup is here (keyclone-system-….tar.zst.age)", backup_dir);
	store_list_free(list, n);
	return rc;
}

static int lacks(const char *what)
{
	return err_set(KC_EFORMAT, "the system backup has no %s", what);
}

int system_conf(struct conf **conf, const struct system_contents *c, const char *own_path)
{
	const struct system_file *f = system_config(c);
	char *dir, *path;
	int rc;

	if (f == NULL)
		return lacks("configuration");
	dir = file_dirname(own_path);
	path = file_join(dir, f->name + strlen(SYSTEM_CONFIG));
	rc = conf_load_text(conf, path, buf_data(&f->data), buf_len(&f->data), 0, NULL);
	if (rc < 0)
		err_prefix(rc, "the system backup");
	free(path);
	free(dir);
	return rc;
}

/* The members of a place as files of a folder of ours, over what is there, unless `keep`: then beside it. */
static int put_file(const struct system_file *f, const char *dir, const char *name, bool keep)
{
	char *path = file_join(dir, name);
	struct buf there;
	int rc = KC_OK;

	buf_init(&there, SYSTEM_FILE_MAX);
	if (keep && file_exists(path)) {
		rc = file_read(&there, path);
		if (rc == KC_OK && buf_len(&there) == buf_len(&f->data) &&
		    memcmp(buf_data(&there), buf_data(&f->data), buf_len(&there)) == 0)
			goto out;
		free(path);
		path = mem_xasprintf("%s/master-%s", dir, name);
	}
	if (rc == KC_OK)
		rc = file_replace(path, buf_data(&f->data), buf_len(&f->data), f->mode);
out:
	buf_fini(&there);
	free(path);
	return rc;
}

static int put_folder(const struct system_contents *c, const char *place, const char *dir, bool keep)
{
	size_t n = strlen(place);
	int rc = file_make_dirs(dir);

	for (size_t i = 0; rc == KC_OK && i < c->n_files; i++)
		if (strncmp(c->files[i].name, place, n) == 0)
			rc = put_file(&c->files[i], dir, c->files[i].name + n, keep);
	return rc;
}

static int put_secret(const struct system_contents *c, const char *dir, const char *name)
{
	char *member = mem_xasprintf(SYSTEM_SECRETS "%s", name);
	const struct system_file *f = system_find(c, member);
	int rc = f != NULL ? put_file(f, dir, name, false) : KC_OK;

	free(member);
	return rc;
}

/* Everybody whose backups the master restored, and this machine as it was. */
static int take_signers(const struct system_contents *c, const struct secrets *s)
{
	const struct system_file *f = system_find(c, SYSTEM_SECRETS LAYOUT_SIGNERS);
	const char *text = f != NULL && buf_len(&f->data) > 0 ? (const char *)buf_data(&f->data) : "";
	size_t left = f != NULL ? buf_len(&f->data) : 0;
	struct sign_public pub;
	bool added;
	int rc = sign_pin_add(&added, s->signers, sign_key_public(s->signing), "this machine, as a clone");

	while (rc == KC_OK && left > 0) {
		const char *eol = memchr(text, '\n', left);
		size_t n = eol != NULL ? (size_t)(eol - text) : left;

		if (n > 0 && text[0] != '#' && sign_public_parse(&pub, text, n) == KC_OK)
			rc = sign_pin_add(&added, s->signers, &pub, "from the system backup");
		left -= eol != NULL ? n + 1 : n;
		text += n + 1;
	}
	return rc;
}

/* The signing key, opened by the master's box and sealed by ours. */
static int take_signing_key(const struct system_contents *c, struct secrets *s)
{
	const struct system_file *seal = system_find(c, SYSTEM_SECRETS LAYOUT_SEAL_KEY);
	const struct system_file *key = system_find(c, SYSTEM_SECRETS LAYOUT_SIGNING_KEY);
	char *path = file_join(s->dir, LAYOUT_SIGNING_KEY), *sealed = NULL;
	struct secret_box *box = NULL;
	struct sign_key *taken = NULL;
	void *plain = NULL;
	size_t size;
	int rc = seal == NULL || key == NULL ? lacks("signing key") : KC_OK;

	if (rc == KC_OK)
		rc = secret_box_from_bytes(&box, buf_data(&seal->data), buf_len(&seal->data));
	if (rc == KC_OK) {
		sealed = mem_xstrndup((const char *)buf_data(&key->data), buf_len(&key->data));
		sealed[strcspn(sealed, "\r\n")] = '\0';
		rc = secret_unseal(&plain, &size, box, SECRET_SIGNING_KEY, sealed);
	}
	if (rc == KC_OK)
		rc = secret_write(s->box, SECRET_SIGNING_KEY, path, plain, size, true);
	if (rc == KC_OK)
		rc = put_secret(c, s->dir, LAYOUT_SIGNING_PUB);
	if (rc == KC_OK)
		rc = sign_key_load(&taken, s->box, path);
	if (rc == KC_OK) {
		sign_key_free(s->signing);
		s->signing = taken;
	}
	mem_secret_free(plain);
	secret_box_free(box);
	free(sealed);
	free(path);
	return rc;
}

int system_take(const struct system_contents *c, const struct conf *own, struct secrets *s)
{
	int rc = take_signers(c, s);

	if (rc == KC_OK)
		rc = put_folder(c, SYSTEM_TRUSTSTORE, own->truststore_dir, true);
	if (rc == KC_OK)
		rc = put_secret(c, s->dir, LAYOUT_RECIPIENTS);
	if (rc == KC_OK)
		rc = put_secret(c, s->dir, "authority.crl");
	if (rc == KC_OK)
		rc = put_secret(c, s->dir, "authority.secret");
	if (rc == KC_OK)
		rc = put_secret(c, s->dir, "authority.key");
	if (rc == KC_OK)
		rc = put_secret(c, s->dir, "authority.crt");
	return rc == KC_OK ? take_signing_key(c, s) : rc;
}
