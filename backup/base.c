/* SPDX-License-Identifier: Apache-2.0 */
/* base: one file, kept and forgotten. */
#include "backup/base.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

static char *folder_of(const char *keydb_path)
{
	char *ours = staging_folder(keydb_path), *dir = file_join(ours, "base");

	free(ours);
	return dir;
}

char *base_path(const char *keydb_path, const char *lineage, uint64_t generation)
{
	char *dir = folder_of(keydb_path),
	     *path = mem_xasprintf("%s/%.32s-%" PRIu64 ".sqlite", dir, lineage, generation);

	free(dir);
	return path;
}

int base_keep(const struct snapshot *snap, const char *path)
{
	char *dir = file_dirname(path);
	int rc = file_make_dirs(dir);

	if (rc == KC_OK)
		rc = file_move(snap->path, path);
	free(dir);
	return rc;
}

void base_prune(const char *keydb_path, const char *keep)
{
	char *dir = folder_of(keydb_path);
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		char *path = file_join(dir, e->d_name);

		if (e->d_name[0] != '.' && (keep == NULL || strcmp(path, keep) != 0) && file_discard(path) < 0)
			log_warn("%s", err_text(KC_ESYS));
		free(path);
	}
	if (d != NULL)
		closedir(d);
	free(dir);
}
