/* SPDX-License-Identifier: Apache-2.0 */
/* chain_key: sealed identities, one a file. */
#include "chain_key.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "keystore/layout.h"

#define LINEAGE_IN_NAMES 8 /* digits of it that names of backups have */

static char *folder_of(const struct secrets *s)
{
	return file_join(s->dir, LAYOUT_CHAIN_KEYS);
}

static char *path_of(const struct secrets *s, const char *lineage, uint64_t generation)
{
	return mem_xasprintf("%s/" LAYOUT_CHAIN_KEYS "/%s-%010" PRIu64 ".key", s->dir, lineage, generation);
}

int chain_key_save(const struct secrets *s, const char *lineage, uint64_t generation, const struct age_identity *id)
{
	char *dir = folder_of(s), *path = path_of(s, lineage, generation), *text = mem_secret_new(AGE_IDENTITY_LEN + 1);
	int rc = file_make_dirs(dir);

	age_identity_text(text, id);
	if (rc == KC_OK)
		rc = secret_write(s->box, SECRET_CHAIN_KEY, path, text, AGE_IDENTITY_LEN, true);
	mem_secret_free(text);
	free(path);
	free(dir);
	return rc;
}

int chain_key_load(struct age_identity **id, const struct secrets *s, const char *lineage, uint64_t generation)
{
	char *path = path_of(s, lineage, generation);
	void *text = NULL;
	size_t size;
	int rc = secret_read(&text, &size, s->box, SECRET_CHAIN_KEY, path);

	if (rc == KC_OK)
		rc = age_identity_parse(id, text);
	mem_secret_free(text);
	free(path);
	return rc;
}

static bool has_full(const struct store_entry *list, size_t n, const char *lineage, uint64_t generation)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].name.kind == STORE_FULL && list[i].name.generation == generation &&
		    strncmp(list[i].name.lineage, lineage, LINEAGE_IN_NAMES) == 0)
			return true;
	return false;
}

void chain_key_prune(const struct secrets *s, const char *backup_dir, const char *lineage, uint64_t generation)
{
	char *dir = folder_of(s);
	struct store_entry *list = NULL;
	size_t n = 0;
	DIR *d = opendir(dir);
	struct dirent *e;

	if (d != NULL && store_list(&list, &n, backup_dir) == KC_OK) {
		while ((e = readdir(d)) != NULL) {
			char of[33], *path;
			uint64_t number;

			if (sscanf(e->d_name, "%32[0-9a-f]-%" SCNu64 ".key", of, &number) != 2 ||
			    (number == generation && strcmp(of, lineage) == 0) || has_full(list, n, of, number))
				continue;
			path = file_join(dir, e->d_name);
			if (file_remove(path) < 0)
				log_warn("%s", err_text(KC_ESYS));
			free(path);
		}
	}
	if (d != NULL)
		closedir(d);
	store_list_free(list, n);
	free(dir);
}
