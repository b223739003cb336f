/* SPDX-License-Identifier: Apache-2.0 */
/* create_files: companion files into a backup: copied first, so that all of a tree is of one instant. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/create_internal.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

static char *copy_dir(const struct creation *c, size_t i)
{
	return mem_xasprintf("%s/tree-%zu", c->copies.dir, i);
}

static int begin_copies(struct creation *c)
{
	char *parent = NULL;
	int rc;

	if (c->copies.dir != NULL)
		return KC_OK;
	rc = staging_parent(&parent, source_path(c->o->source));
	if (rc == KC_OK)
		rc = staging_begin(&c->copies, parent);
	free(parent);
	return rc;
}

/* Into the next tree; a safety backup takes what there is. */
static int copy_one(struct creation *c, const struct companion_path *p, struct tree_walk_options *o)
{
	struct tree *t = &c->trees[c->n_trees];
	char *to = copy_dir(c, c->n_trees);
	int rc = file_make_dirs(to);

	tree_init(t, p->name);
	c->n_trees++;
	if (rc == KC_OK)
		rc = tree_copy(t, p->path, to, o);
	if (rc == KC_OK && t->kind == TREE_KIND_NONE && !c->o->safety)
		rc = err_set(
		    KC_ENOENT, "%s: the companion %s is missing, so that a backup would lack it", p->path, p->name);
	if (rc == KC_OK && (t->kind == TREE_KIND_NONE || (t->kind == TREE_KIND_FILE && t->n == 0))) {
		tree_fini(t);
		c->n_trees--;
	}
	if (rc == KC_OK && t->kind != TREE_KIND_NONE)
		rc = tree_check(t);
	o->max -= rc == KC_OK ? t->n : 0;
	free(to);
	return rc;
}

int create_copy_files(struct creation *c, int (*alive)(void *arg))
{
	const struct companion_paths *p = &c->o->companions;
	struct tree_walk_options o = {
		.flags = c->o->safety ? TREE_SKIP : 0, .max = TREE_ENTRIES_MAX, .alive = alive, .arg = c
	};
	bool settled;
	int rc = KC_OK;

	if (p->n == 0)
		return KC_OK;
	if (p->n > COMPANIONS_MAX)
		return err_set(KC_ELIMIT, "%zu companions (limit %d)", p->n, COMPANIONS_MAX);
	rc = begin_copies(c);
	c->trees = mem_xcalloc(p->n + 1, sizeof(*c->trees));
	for (size_t i = 0; rc == KC_OK && i < p->n; i++)
		rc = o.max > 0
			 ? copy_one(c, &p->of[i], &o)
			 : err_set(KC_ELIMIT, "more than %d files and directories in companions", TREE_ENTRIES_MAX);
	if (rc < 0)
		return rc;
	companions_text(c->result.files, c->trees, c->n_trees);
	rc = companions_stamp_of(c->result.files_stamp, &settled, c->trees, c->n_trees);
	if (!settled)
		c->result.files_stamp[0] = '\0';
	return rc;
}

bool create_has_trees(const struct creation *c)
{
	return !c->incremental || strcmp(c->result.files, c->o->increment->files) != 0;
}

uint64_t create_files_size(const struct creation *c)
{
	uint64_t size = 0;

	for (size_t i = 0; i < c->n_trees; i++)
		size += c->trees[i].size + c->trees[i].n * 1024;
	return size;
}

static int write_entry(struct creation *c, const struct tree *t, size_t tree, size_t i)
{
	const struct tree_entry *e = &t->entries[i];
	const struct archive_meta m = { e->mode, e->uid, e->gid, e->user, e->group, e->mtime };
	char *member = tree_member(t, e), *copy;
	int fd = -1, rc = KC_OK;

	if (e->type == TREE_FILE) {
		copy = mem_xasprintf("%s/tree-%zu/%zu", c->copies.dir, tree, i);
		rc = file_open(&fd, copy, O_RDONLY, 0);
		free(copy);
	}
	if (rc == KC_OK)
		rc = archive_writer_add_companion(seal_archive(c->seal), member, &m, fd, e->size);
	if (fd >= 0)
		close(fd);
	free(member);
	return rc;
}

static int write_tree(struct creation *c, size_t tree)
{
	const struct tree *t = &c->trees[tree];
	const struct archive_meta root = { .mode = t->mode, .mtime = c->result.time };
	char *member;
	int rc = KC_OK;

	if (t->kind == TREE_KIND_DIR) {
		member = tree_member(t, NULL);
		rc = archive_writer_add_companion(seal_archive(c->seal), member, &root, -1, 0);
		free(member);
	}
	for (size_t i = 0; rc == KC_OK && i < t->n; i++)
		rc = write_entry(c, t, tree, i);
	return rc;
}

int create_write_files(struct creation *c)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < c->n_trees; i++)
		rc = write_tree(c, i);
	return rc;
}

void create_forget_files(struct creation *c)
{
	for (size_t i = 0; i < c->n_trees; i++)
		tree_fini(&c->trees[i]);
	free(c->trees);
	c->trees = NULL;
	c->n_trees = 0;
	staging_end(&c->copies);
}
