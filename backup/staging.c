/* SPDX-License-Identifier: Apache-2.0 */
/* staging: private folders that do not outlive their job. */
#include "backup/staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

int staging_begin(struct staging *st, const char *parent)
{
	uint8_t r[8];
	uint64_t n;
	int rc;

	mem_random(r, sizeof(r));
	memcpy(&n, r, sizeof(n));
	st->dir = mem_xasprintf("%s/%016llx", parent, (unsigned long long)n);
	st->fd = -1;
	rc = file_make_dirs(st->dir);
	if (rc == KC_OK)
		rc = file_open(&st->fd, st->dir, O_RDONLY | O_DIRECTORY, 0);
	if (rc == KC_OK && flock(st->fd, LOCK_EX | LOCK_NB) < 0)
		rc = err_errno("%s: cannot lock", st->dir);
	if (rc < 0)
		staging_end(st);
	return rc;
}

void staging_end(struct staging *st)
{
	int saved = errno;

	if (st->dir != NULL && st->fd >= 0) {
		int rc = file_remove_tree(st->dir);

		if (rc < 0)
			log_warn("%s", err_text(rc));
	}
	if (st->fd >= 0)
		close(st->fd);
	free(st->dir);
	st->dir = NULL;
	st->fd = -1;
	errno = saved;
}

static int clean_one(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc = KC_OK;

	if (fd < 0)
		return errno == ENOENT ? KC_OK : file_remove_tree_at(parent, name);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		rc = file_remove_tree_at(parent, name);
	close(fd);
	return rc;
}

/* Everything in it goes: a link in its place would lead to somebody else's files. */
static int clean_all(const char *parent)
{
	int fd = -1, rc = file_open(&fd, parent, O_RDONLY | O_DIRECTORY, 0);
	struct dirent *e;
	DIR *d;

	if (rc < 0)
		return rc == KC_ENOENT ? KC_OK : rc;
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return err_errno("%s", parent);
	}
	while (rc == KC_OK && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = clean_one(fd, e->d_name);
	closedir(d);
	return rc;
}

/* Through links: what is beside the file itself is on its file system. */
char *staging_folder(const char *keydb_path)
{
	char *real = realpath(keydb_path, NULL), *dir = file_dirname(real != NULL ? real : keydb_path);
	char *ours = file_join(dir, ".keyclone");

	free(dir);
	free(real);
	return ours;
}

int staging_parent(char **parent, const char *keydb_path)
{
	char *ours = staging_folder(keydb_path), *staging = file_join(ours, "staging");
	int rc = file_make_dirs(staging);

	free(ours);
	if (rc < 0)
		free(staging);
	else
		*parent = staging;
	return rc;
}

int staging_clean(const char *keydb_path)
{
	char *ours = staging_folder(keydb_path), *staging = file_join(ours, "staging");
	struct stat st;
	int rc = lstat(ours, &st) == 0 && !S_ISDIR(st.st_mode) ? err_set(KC_EPERM, "%s: not a directory", ours)
							       : clean_all(staging);

	free(ours);
	free(staging);
	return rc;
}
