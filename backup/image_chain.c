/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_chain: an increment and all that it builds on. The full is opened as any other; each increment after it with
 * the key that came in the full, and applied to the unpacked database. Names say where to look, manifests what follows
 * what: an increment that nothing builds on (its master crashed before it was known) may lie in between.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backup/image_internal.h"
#include "backup/image_sqlite.h"
#include "backup/store.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

struct chain {
	const struct image_options *o;
	struct store_entry *list;
	size_t n;
	const struct store_entry *target;
	const struct store_entry **parts; /* the increments that it takes, itself first */
	size_t n_parts;
	size_t count, done; /* files in all (before they are known: by their names), opened */
	struct image *img;
};

static int on_progress(void *arg, unsigned percent)
{
	struct chain *c = arg;

	if (c->o->progress == NULL)
		return KC_OK;
	return c->o->progress(c->o->arg, (unsigned)((100 * c->done + percent) / c->count));
}

static bool is_part(const struct chain *c, const struct store_entry *e)
{
	return e->name.kind == STORE_INCR && strcmp(e->name.lineage, c->target->name.lineage) == 0 &&
	       e->chain == c->target->chain && e->name.generation <= c->target->name.generation;
}

static int find_target(struct chain *c)
{
	const char *name = file_basename(c->o->file);

	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->list[i].file, name) == 0)
			c->target = &c->list[i];
	if (c->target == NULL || c->target->name.kind != STORE_INCR)
		return err_set(KC_EFORMAT,
		    "%s: an increment: the full that it builds on is looked for beside it, by names that backups have, "
		    "and this is none",
		    c->o->file);
	if (c->target->chain == 0)
		return err_set(
		    KC_ENOENT, "%s: an increment, and the full backup that it builds on is not beside it", c->o->file);
	c->count = 1;
	for (size_t i = 0; i < c->n; i++)
		c->count += is_part(c, &c->list[i]);
	return KC_OK;
}

static const struct store_entry *full_of(const struct chain *c)
{
	const struct store_entry *full = NULL;

	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].name.kind == STORE_FULL && !c->list[i].outside &&
		    strcmp(c->list[i].name.lineage, c->target->name.lineage) == 0 &&
		    c->list[i].name.generation == c->target->chain)
			full = &c->list[i];
	return full;
}

static int open_full(struct chain *c)
{
	struct image_options o = *c->o;
	const struct store_entry *full = full_of(c);
	int rc;

	o.file = full->path;
	o.generation = 0;
	o.progress = on_progress;
	o.arg = c;
	rc = image_open_one(&c->img, &o);
	if (rc == KC_OK && c->img->increments == NULL)
		rc = err_set(KC_EDAMAGED, "%s: no increment builds on %s", c->o->file, full->file);
	c->done++;
	return rc;
}

/* Does it follow what is there? */
static int judge(const struct chain *c, const struct image *part)
{
	const struct manifest *m = &part->manifest, *at = &c->img->manifest;

	if (m->chain != c->target->chain || m->base != at->generation ||
	    strcmp(m->base_digest, at->db.content_digest) != 0)
		return err_set(KC_EDAMAGED, "%s: does not build on the generation %" PRIu64 " that is beside it",
		    part->file, m->base);
	return KC_OK;
}

#define SWAP(a, b)                      \
	do {                            \
		__typeof__(a) t_ = (a); \
		(a) = (b);              \
		(b) = t_;               \
	} while (0)

/* An image of which the chain may not need anything any more. */
static void release(const struct image *img, struct image *part)
{
	if (part != img->companions_of && part != img->trees_of)
		image_close(part);
}

/* The image becomes what the increment (taken) says; companions that it does not carry are as they were. */
static void absorb(struct image *img, struct image *part)
{
	struct image *old_companions = img->companions_of, *old_trees = img->trees_of;
	struct manifest old = img->manifest;
	bool trees = part->manifest.n_trees > 0 || part->manifest.files[0] == '\0';
	bool keys = part->manifest.n_companions > 0;

	img->manifest = part->manifest;
	part->manifest = old;
	if (keys) {
		SWAP(img->companions, part->companions);
	} else {
		SWAP(img->manifest.companions, part->manifest.companions);
		SWAP(img->manifest.n_companions, part->manifest.n_companions);
	}
	if (trees) {
		SWAP(img->trees, part->trees);
	} else {
		SWAP(img->manifest.trees, part->manifest.trees);
		SWAP(img->manifest.n_trees, part->manifest.n_trees);
	}
	img->manifest.kind = MANIFEST_FULL;
	if (keys)
		img->companions_of = part;
	if (trees)
		img->trees_of = part;
	release(img, old_companions);
	if (old_trees != old_companions)
		release(img, old_trees);
	release(img, part);
}

static int add(struct chain *c, const struct store_entry *e)
{
	struct image_options o = *c->o;
	struct image *part = NULL;
	int rc;

	o.file = e->path;
	o.increments = c->img->increments;
	o.generation = e == c->target ? c->o->generation : 0;
	o.progress = on_progress;
	o.arg = c;
	rc = image_open_one(&part, &o);
	if (rc == KC_OK)
		rc = judge(c, part);
	if (rc == KC_OK)
		rc = image_apply_increment(c->img->database, part->file, &part->manifest, part->changeset);
	if (rc == KC_OK && file_remove(part->changeset) < 0)
		rc = KC_ESYS;
	if (rc < 0) {
		image_close(part);
		return rc;
	}
	absorb(c->img, part);
	c->done++;
	return KC_OK;
}

/* ---- which increments ---- */

struct peek {
	bool seen;
	uint64_t base, chain;
};

static int on_manifest(void *arg, const struct manifest *m)
{
	struct peek *p = arg;

	*p = (struct peek){ true, m->base, m->chain };
	return KC_ECANCELED;
}

/* What it builds on, as it says; believed only once it is opened. */
static int look_at(struct peek *p, const struct chain *c, const struct store_entry *e)
{
	struct image_options o = *c->o;
	struct image *part = NULL;
	int rc;

	p->seen = false;
	o.file = e->path;
	o.increments = c->img->increments;
	o.generation = e->name.generation;
	o.accept = on_manifest;
	o.accept_arg = p;
	o.progress = NULL;
	rc = image_open_one(&part, &o); /* never succeeds */
	return p->seen ? KC_OK : rc;
}

static const struct store_entry *part_of(const struct chain *c, uint64_t generation)
{
	for (size_t i = 0; i < c->n; i++)
		if (is_part(c, &c->list[i]) && c->list[i].name.generation == generation)
			return &c->list[i];
	return NULL;
}

/* From the last one back to the full. */
static int find_parts(struct chain *c)
{
	const struct store_entry *e = c->target, *next;
	struct peek p;
	int rc;

	c->parts = mem_xcalloc(c->n, sizeof(*c->parts));
	for (;;) {
		rc = look_at(&p, c, e);
		if (rc < 0)
			return rc;
		c->parts[c->n_parts++] = e;
		if (p.chain != c->target->chain)
			return err_set(KC_ENOENT,
			    "%s: builds on the full of generation %" PRIu64 ", which is not beside it", e->path,
			    p.chain);
		if (p.base == p.chain)
			break;
		/* An earlier one: each is looked at once. */
		next = p.base < e->name.generation ? part_of(c, p.base) : NULL;
		if (next == NULL)
			return err_set(
			    KC_ENOENT, "%s: builds on generation %" PRIu64 ", which is not beside it", e->path, p.base);
		e = next;
	}
	c->count = c->n_parts + 1;
	return KC_OK;
}

static int open_all(struct chain *c)
{
	int rc = find_target(c);

	if (rc == KC_OK)
		rc = open_full(c);
	if (rc == KC_OK)
		rc = find_parts(c);
	for (size_t i = c->n_parts; rc == KC_OK && i > 0; i--)
		rc = add(c, c->parts[i - 1]);
	if (rc < 0)
		return rc;
	free(c->img->file);
	c->img->file = mem_xstrdup(c->o->file);
	return image_check_database(c->img->database, c->img->file, &c->img->manifest.db, false);
}

int image_open_chain(struct image **img, const struct image_options *o)
{
	struct chain c = { .o = o };
	char *dir = file_dirname(o->file);
	int rc = store_list(&c.list, &c.n, dir);

	if (rc == KC_OK)
		rc = open_all(&c);
	free(c.parts);
	store_list_free(c.list, c.n);
	free(dir);
	if (rc < 0)
		image_close(c.img);
	else
		*img = c.img;
	return rc;
}

static void add_file(char ***paths, size_t *n, const char *path)
{
	*paths = mem_xrealloc(*paths, (*n + 1) * sizeof(**paths));
	(*paths)[(*n)++] = mem_xstrdup(path);
}

static int chain_files(char ***paths, size_t *n, const char *file)
{
	struct image_options o = { .file = file };
	struct chain c = { .o = &o };
	char *dir = file_dirname(file);
	int rc = store_list(&c.list, &c.n, dir);

	if (rc == KC_OK)
		rc = find_target(&c);
	if (rc == KC_OK)
		add_file(paths, n, full_of(&c)->path);
	for (size_t i = 0; rc == KC_OK && i < c.n; i++)
		if (is_part(&c, &c.list[i]))
			add_file(paths, n, c.list[i].path);
	store_list_free(c.list, c.n);
	free(dir);
	return rc;
}

int image_files(char ***paths, size_t *n, const char *file)
{
	bool increment = false;
	int rc = image_is_increment(&increment, file);

	*paths = NULL;
	*n = 0;
	if (rc < 0)
		return rc;
	if (increment)
		return chain_files(paths, n, file);
	add_file(paths, n, file);
	return KC_OK;
}

void image_files_free(char **paths, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	free(paths);
}
