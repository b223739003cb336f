/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup_order: what the daemon's worker needs for a restore by hand. The worker is confined: a file from elsewhere is
 * copied (sealed, as it is) into the staging folder beside the key database. The password stays here: the file key is
 * wrapped anew, for this machine's own identity.
 */
#include "backup_order.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/create.h"
#include "backup/staging.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon_client.h"

#define COPY_SIZE 262144

static bool is_below(const char *path, const char *dir)
{
	char *real = realpath(path, NULL), *top = realpath(dir, NULL);
	size_t n = top != NULL ? strlen(top) : 0;
	bool below = real != NULL && n > 0 && strncmp(real, top, n) == 0 && real[n] == '/';

	free(real);
	free(top);
	return below;
}

static int copy_bytes(int to, const char *to_path, int from, const char *from_path)
{
	uint8_t *buf = mem_xalloc(COPY_SIZE);
	ssize_t n;
	int rc = KC_OK;

	while (rc == KC_OK && (n = read(from, buf, COPY_SIZE)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 ? err_errno("%s", from_path) : file_write_all(to, buf, (size_t)n, to_path);
	}
	free(buf);
	return rc;
}

/* Into the folder that is open as `dir`: where its path leads is its owner's affair. */
static int copy_file(int dir, const char *name, const char *from, const char *parent)
{
	struct stat st;
	int in = -1, out = -1, rc = file_open(&in, from, O_RDONLY, 0);

	if (rc == KC_OK && fstat(in, &st) < 0)
		rc = err_errno("%s", from);
	if (rc == KC_OK && !S_ISREG(st.st_mode))
		rc = err_set(KC_EFORMAT, "%s: not a regular file", from);
	if (rc == KC_OK)
		rc = file_need_space(parent, (uint64_t)st.st_size, "a copy of the backup");
	if (rc == KC_OK && (out = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)) < 0)
		rc = err_errno("%s/…/%s", parent, name);
	if (rc == KC_OK)
		rc = copy_bytes(out, name, in, from);
	if (rc == KC_OK)
		rc = file_give_to_owner_of(out, parent);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return rc;
}

/* *path is one that the worker can read; *st holds the copies, should they be needed. */
static int place(char **path, struct staging *st, const struct backup_env *e, char **files, size_t n)
{
	char *parent = NULL;
	int rc;

	if (is_below(e->file, e->c->conf->backup_dir)) {
		*path = realpath(e->file, NULL);
		return *path != NULL ? KC_OK : err_errno("%s", e->file);
	}
	rc = staging_parent(&parent, e->c->conf->keydb_path);
	if (rc == KC_OK)
		rc = staging_begin(st, parent);
	for (size_t i = 0; rc == KC_OK && i < n; i++)
		rc = copy_file(st->fd, file_basename(files[i]), files[i], parent);
	if (rc == KC_OK) /* the files first: in a folder of his own he could put another in their place */
		rc = file_give_to_owner_of(st->fd, parent);
	if (rc == KC_OK)
		*path = file_join(st->dir, file_basename(e->file));
	free(parent);
	return rc;
}

/* The header that opens it for this machine's identity: it came with the file, or is made from the password. */
static int make_travel(
    char **travel, const struct backup_env *e, const struct image_options *image, const char *opened_by)
{
	struct age_recipient own;
	struct age_key *key = NULL;
	int rc;

	if (image->travel != NULL) {
		*travel = mem_xstrdup(image->travel);
		return KC_OK;
	}
	rc = backup_file_key(&key, opened_by, image->password);
	if (rc < 0)
		return rc;
	age_identity_recipient(&own, e->secrets.identity);
	rc = backup_wrap(travel, key, &own, 1);
	age_key_free(key);
	return rc;
}

static void on_progress(const json_t *p, void *arg)
{
	const char *phase = json_string_value(json_object_get(p, "phase"));

	if (phase != NULL)
		backup_env_show(arg, phase, (unsigned)json_integer_value(json_object_get(p, "percent")));
}

int backup_order(json_t **result, struct backup_env *e, const struct image_options *image)
{
	struct staging st = STAGING_EMPTY;
	char *path = NULL, *travel = NULL, **files = NULL;
	size_t n = 0;
	int rc = image_files(&files, &n, e->file);

	*result = NULL;
	if (rc == KC_OK)
		rc = make_travel(&travel, e, image, files[0]);
	if (rc == KC_OK)
		rc = place(&path, &st, e, files, n);
	if (rc == KC_OK)
		rc = daemon_call(result, e->c,
		    json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b}", "verb", "backup-restore", "path", path, "name",
			file_basename(e->file), "travel", travel, "merge", (int)cli_flag(e->c, "merge"), "discard",
			(int)cli_flag(e->c, "discard"), "force", (int)cli_flag(e->c, "force")),
		    on_progress, e);
	backup_env_show(e, NULL, 0);
	staging_end(&st);
	image_files_free(files, n);
	free(path);
	free(travel);
	return rc;
}
