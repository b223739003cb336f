/* SPDX-License-Identifier: Apache-2.0 */
/* companion: is there a master key file, and must there be one? */
#include "companion.h"

#include <stdlib.h>

#include "backup/tree_apply.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "keydb/keydb.h"

int companion_master_key(const char **file, const struct conf *c, struct source *s)
{
	struct source_info info;
	int rc;

	*file = c->master_key_file;
	if (file_exists(c->master_key_file))
		return KC_OK;
	*file = NULL;
	if (c->role != CONF_MASTER)
		return KC_OK;
	rc = source_info(&info, s);
	if (rc == KC_OK && info.application_id == KEYDB_APPLICATION_ID)
		rc = err_set(KC_ENOENT, "%s is missing, and no key of a backup could be unwrapped without it",
		    c->master_key_file);
	return rc;
}

void companion_paths_init(struct companion_paths *p, const struct conf *c)
{
	struct companion_path *of = mem_xcalloc(c->file_count + 1, sizeof(*of));

	for (size_t i = 0; i < c->file_count; i++)
		of[i] = (struct companion_path){ .name = c->files[i].name, .path = c->files[i].path };
	p->of = of;
	p->n = c->file_count;
	p->rewritten = (const char *const *)c->rewritten_files.items;
	p->n_rewritten = c->rewritten_files.count;
}

void companion_paths_fini(struct companion_paths *p)
{
	free((void *)(uintptr_t)p->of);
	p->of = NULL;
	p->n = 0;
}

static void append(char **list, char *path)
{
	while (*list != NULL)
		list++;
	*list = path;
}

/* Through links: a rule is about what is there. */
static char *folder_of(const char *path)
{
	char *real = realpath(path, NULL), *dir = file_dirname(real != NULL ? real : path);

	free(real);
	return dir;
}

void companion_rules(char **read, char **write, const struct companion_paths *p, enum conf_role role)
{
	for (size_t i = 0; i < p->n; i++) {
		const char *path = p->of[i].path;
		bool dir = file_is_dir(path);
		char *stage = NULL, *allow = dir ? mem_xstrdup(path) : folder_of(path);
		int rc;

		if (!file_is_dir(allow)) {
			log_warn("replication.File.%s: %s is not there, nor the folder that it would be in",
			    p->of[i].name, path);
			free(allow);
			continue;
		}
		append(role == CONF_CLONE ? write : read, allow);
		if (role != CONF_CLONE || !dir)
			continue;
		rc = apply_tree_prepare(&stage, path);
		if (rc == KC_OK)
			append(write, stage);
		else
			log_warn("replication.File.%s cannot be restored: %s", p->of[i].name, err_text(rc));
	}
}
