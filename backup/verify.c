/* SPDX-License-Identifier: Apache-2.0 */
/* verify: open, prove, recount, forget. */
#include "backup/verify.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"

void verify_result_fini(struct verify_result *r)
{
	free(r->host);
	memset(r, 0, sizeof(*r));
}

static int describe(struct verify_result *r, const struct image *img, const char *file)
{
	const struct manifest *m = image_manifest(img);
	struct stat st;
	size_t i;

	if (stat(file, &st) < 0)
		return err_errno("%s", file);
	memset(r, 0, sizeof(*r));
	memcpy(r->lineage, m->lineage, sizeof(r->lineage));
	memcpy(r->content, m->db.content_digest, sizeof(r->content));
	r->generation = m->generation;
	r->time = m->time;
	r->host = mem_xstrdup(m->host);
	r->size = (uint64_t)st.st_size;
	r->database = m->db.size;
	for (i = 0; i < m->n_tables; i++)
		r->rows += m->tables[i].rows;
	r->companions = m->n_companions + m->n_trees;
	r->files = m->n_companions;
	for (i = 0; i < m->n_trees; i++)
		for (size_t j = 0; j < m->trees[i].n; j++)
			r->files += m->trees[i].entries[j].type == TREE_FILE;
	return KC_OK;
}

int backup_verify(struct verify_result *r, const struct image_options *o)
{
	struct image *img = NULL;
	int rc = image_open(&img, o);

	if (rc == KC_OK)
		rc = image_recount(img);
	if (rc == KC_OK)
		rc = describe(r, img, o->file);
	image_close(img);
	return rc;
}
