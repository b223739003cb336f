/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_files: companions are judged, prepared and put in their places. Must never touch one that is neither what was
 * last applied nor what the backup has, unless an operator said so.
 */
#include "backup/restore_files.h"

#include <stdlib.h>
#include <string.h>

#include "backup/tree_apply.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

struct one {
	const struct tree *want; /* of the image's manifest */
	size_t index;		 /* in it */
	char *path;
	struct tree live;
	struct apply_tree *apply;
	bool same;
	bool skip; /* left alone: it has diverged while a crash was recovered from */
};

struct restore_files {
	struct restore_files_options o;
	const struct image *img;
	struct one *of;
	size_t n;
	bool take_over;
	char text[COMPANIONS_TEXT];
};

/* Heap; NULL: none. */
static char *path_of(const struct restore_files_options *o, const char *name)
{
	const char *path = companion_path(&o->paths, name);

	if (o->beside != NULL)
		return mem_xasprintf("%s.%s", o->beside, name);
	return path != NULL ? mem_xstrdup(path) : NULL;
}

int restore_files_new(struct restore_files **out, const struct image *img, const struct restore_files_options *o)
{
	const struct manifest *m = image_manifest(img);
	struct restore_files *f = mem_xalloc(sizeof(*f));

	f->o = *o;
	f->img = img;
	f->of = mem_xcalloc(m->n_trees + 1, sizeof(*f->of));
	companions_text(f->text, m->trees, m->n_trees);
	for (size_t i = 0; i < m->n_trees; i++) {
		struct one *x = &f->of[f->n++];

		x->want = &m->trees[i];
		x->index = i;
		tree_init(&x->live, x->want->name);
		x->path = path_of(o, x->want->name);
		if (x->path == NULL) {
			int rc = err_set(KC_ECONF,
			    "the backup has the companion %s, which has no path here: replication.File.%s is not set",
			    x->want->name, x->want->name);

			restore_files_free(f);
			return rc;
		}
	}
	*out = f;
	return KC_OK;
}

void restore_files_free(struct restore_files *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->n; i++) {
		apply_tree_free(f->of[i].apply);
		if (f->o.beside != NULL && f->of[i].path != NULL)
			apply_tree_clean(f->of[i].path, true);
		tree_fini(&f->of[i].live);
		free(f->of[i].path);
	}
	free(f->of);
	free(f);
}

const char *restore_files_text(const struct restore_files *f)
{
	return f->text;
}

/* ---- the rule ---- */

static int walk(struct tree *live, const char *name, const char *path, const struct restore_files_options *o)
{
	const struct tree_walk_options w = {
		.flags = TREE_READ | TREE_LAX, .max = 2 * TREE_ENTRIES_MAX, .alive = o->alive, .arg = o->arg
	};

	tree_fini(live);
	tree_init(live, name);
	return tree_walk(live, path, &w);
}

static void add_row(struct diverged_list *list, const char *name, const char *path, const char *why, bool in_live)
{
	char *table = mem_xasprintf(RESTORE_FILES_TABLE "%s", name);
	char *key = mem_xasprintf("%s%s", path[0] != '\0' ? path : "the file", why);
	struct diverged_row row = { .table = table, .key = key, .in_live = in_live };

	(void)diverged_list_add(list, &row);
	free(table);
	free(key);
}

static bool same_entry(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->type == b->type && strcmp(a->sha256, b->sha256) == 0 && a->mode == b->mode;
}

static bool is_rewritten(const struct restore_files_options *o, const struct tree *t, const struct tree_entry *e)
{
	return e->type == TREE_FILE && companion_is_rewritten(&o->paths, t->name, e->path);
}

/* What of `live` is not as `base` has it, and what is missing. */
static void list_changes(
    struct diverged_list *list, const struct tree *live, const struct tree *base, const struct restore_files_options *o)
{
	for (size_t i = 0; i < live->n; i++) {
		const struct tree_entry *e = &live->entries[i], *was = tree_find(base, e->path);

		if (was == NULL)
			add_row(list, live->name, e->path, "", true);
		else if (!same_entry(e, was) && !(was->type == TREE_FILE && is_rewritten(o, live, e)))
			add_row(list, live->name, e->path, " (changed)", true);
	}
	for (size_t i = 0; i < base->n; i++)
		if (tree_find(live, base->entries[i].path) == NULL)
			add_row(list, live->name, base->entries[i].path, "", false);
}

/* Seen from what was last applied, if its list is there and the right one; else from `want` (NULL: none). */
static void list_diverged(struct diverged_list *list, const struct tree *live, const struct restore_files_options *o,
    const char *applied, const struct tree *want)
{
	uint64_t before = list->live_only + list->other_only;
	struct tree base;

	if (applied != NULL && companions_load_applied(&base, o->keydb_path, live->name) == KC_OK) {
		if (strcmp(base.digest, applied) == 0)
			list_changes(list, live, &base, o);
		tree_fini(&base);
	}
	if (before == list->live_only + list->other_only && want != NULL)
		list_changes(list, live, want, o);
	if (before == list->live_only + list->other_only)
		add_row(list, live->name, "it", " is not what was last applied", true);
}

/* Is it what was last applied, but for what its application rewrites? */
static bool is_applied(const struct tree *live, const struct restore_files_options *o, const char *applied)
{
	struct diverged_list list;
	struct tree base;
	bool same = strcmp(live->digest, applied) == 0;

	if (same || o->paths.n_rewritten == 0 || companions_load_applied(&base, o->keydb_path, live->name) < 0)
		return same;
	diverged_list_init(&list);
	if (strcmp(base.digest, applied) == 0) {
		list_changes(&list, live, &base, o);
		same = list.live_only + list.other_only == 0;
	}
	diverged_list_fini(&list);
	tree_fini(&base);
	return same;
}

static bool is_nothing(const struct tree *live)
{
	return live->kind == TREE_KIND_NONE || (live->kind == TREE_KIND_DIR && live->n == 0);
}

/* Each file is as it was before the commit that was interrupted, or as it is to be. */
static bool is_between(const struct one *x, const struct restore_files_options *o)
{
	struct tree was;
	bool known = apply_tree_left(&was, x->path) == KC_OK, all = true;

	for (size_t i = 0; i < x->live.n && all; i++) {
		const struct tree_entry *e = &x->live.entries[i], *goal = tree_find(x->want, e->path),
					*before = known ? tree_find(&was, e->path) : NULL;

		if (e->type == TREE_DIR)
			all = (goal != NULL && goal->type == TREE_DIR) || (before != NULL && before->type == TREE_DIR);
		else
			all = (goal != NULL && same_entry(e, goal)) || (before != NULL && same_entry(e, before)) ||
			      is_rewritten(o, x->want, e);
	}
	if (known)
		tree_fini(&was);
	return known && all;
}

static int judge_one(struct restore_files *f, struct one *x, bool *diverged, struct diverged_list *list)
{
	char applied[TREE_DIGEST_LEN + 1];
	bool known = f->o.applied != NULL && companions_digest(applied, f->o.applied, x->want->name);
	int rc = walk(&x->live, x->want->name, x->path, &f->o);

	if (rc < 0)
		return rc;
	x->same = strcmp(x->live.digest, x->want->digest) == 0;
	x->skip = false;
	if (x->same || is_nothing(&x->live) || (f->o.resume && is_between(x, &f->o)))
		return KC_OK;
	if (known && is_applied(&x->live, &f->o, applied))
		return KC_OK;
	*diverged = true;
	f->take_over = f->take_over || !known;
	x->skip = f->o.resume;
	list_diverged(list, &x->live, &f->o, known ? applied : NULL, x->want);
	return KC_OK;
}

int restore_files_judge(struct restore_files *f, bool *same, bool *diverged, struct diverged_list *list)
{
	int rc = KC_OK;

	*same = true;
	*diverged = f->take_over = false;
	for (size_t i = 0; rc == KC_OK && i < f->n; i++) {
		rc = judge_one(f, &f->of[i], diverged, list);
		*same = *same && f->of[i].same;
	}
	return rc;
}

bool restore_files_take_over(const struct restore_files *f)
{
	return f->take_over;
}

int restore_files_check(const struct restore_files_options *o, struct diverged_list *list)
{
	char applied[TREE_DIGEST_LEN + 1];
	struct tree live;
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && o->applied != NULL && i < o->paths.n; i++) {
		if (!companions_digest(applied, o->applied, o->paths.of[i].name))
			continue;
		tree_init(&live, o->paths.of[i].name);
		rc = walk(&live, o->paths.of[i].name, o->paths.of[i].path, o);
		if (rc == KC_OK && !is_applied(&live, o, applied))
			list_diverged(list, &live, o, applied, NULL);
		tree_fini(&live);
	}
	return rc;
}

/* ---- doing it ---- */

struct source {
	const struct image *img;
	size_t tree;
};

static char *source_of(void *arg, size_t entry)
{
	const struct source *s = arg;

	return image_tree_file(s->img, s->tree, entry);
}

int restore_files_stage(struct restore_files *f)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < f->n; i++) {
		struct one *x = &f->of[i];
		struct source s = { f->img, x->index };

		apply_tree_free(x->apply);
		x->apply = NULL;
		if (x->same || x->skip)
			continue;
		x->apply = apply_tree_new(&x->live, x->want, x->path);
		rc = apply_tree_stage(x->apply, f->o.resume, source_of, &s);
	}
	return rc;
}

int restore_files_unmoved(struct restore_files *f, bool *unmoved)
{
	const struct tree_walk_options w = { .flags = TREE_LAX, .max = 2 * TREE_ENTRIES_MAX };
	char was[TREE_DIGEST_LEN + 1], is[TREE_DIGEST_LEN + 1];
	struct tree now;
	bool settled;
	int rc = KC_OK;

	*unmoved = true;
	for (size_t i = 0; rc == KC_OK && *unmoved && i < f->n; i++) {
		struct one *x = &f->of[i];

		if (x->same)
			continue;
		tree_init(&now, x->want->name);
		rc = tree_walk(&now, x->path, &w);
		if (rc == KC_OK)
			rc = tree_stamp(was, &settled, &x->live);
		if (rc == KC_OK)
			rc = tree_stamp(is, &settled, &now);
		if (rc == KC_OK)
			*unmoved = strcmp(was, is) == 0;
		tree_fini(&now);
	}
	return rc;
}

static void warn_of_owners(char **warning, const struct one *x)
{
	char *text = mem_xasprintf("%s%s%s: owners and groups are not the master's, only root may set them",
	    *warning != NULL ? *warning : "", *warning != NULL ? "; " : "", x->path);

	free(*warning);
	*warning = text;
}

/* The list of what was last applied is this one already. */
static bool is_listed(const struct restore_files *f, const struct one *x)
{
	char applied[TREE_DIGEST_LEN + 1];

	return x->same && f->o.applied != NULL && companions_digest(applied, f->o.applied, x->want->name) &&
	       strcmp(applied, x->want->digest) == 0;
}

int restore_files_commit(struct restore_files *f, char **warning)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < f->n; i++) {
		struct one *x = &f->of[i];
		bool owners = true;

		if (x->apply != NULL)
			rc = apply_tree_commit(x->apply, &owners);
		if (rc == KC_OK && !owners)
			warn_of_owners(warning, x);
		if (rc == KC_OK && !x->skip && f->o.beside == NULL && !is_listed(f, x))
			rc = companions_save_applied(x->want, f->o.keydb_path);
		if (rc == KC_OK) {
			apply_tree_free(x->apply);
			x->apply = NULL;
		}
	}
	return rc;
}

void restore_files_clean(const struct companion_paths *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		apply_tree_clean(paths->of[i].path, false);
}

int restore_files_finish(const struct image_options *image, const struct restore_files_options *o)
{
	struct restore_files_options again = *o;
	struct restore_files *f = NULL;
	struct diverged_list list;
	struct image *img = NULL;
	bool same, diverged = false;
	char *warning = NULL;
	int rc = image_open(&img, image);

	again.resume = true;
	diverged_list_init(&list);
	if (rc == KC_OK)
		rc = restore_files_new(&f, img, &again);
	if (rc == KC_OK)
		rc = restore_files_judge(f, &same, &diverged, &list);
	if (rc == KC_OK)
		rc = restore_files_stage(f);
	if (rc == KC_OK)
		rc = restore_files_commit(f, &warning);
	if (rc == KC_OK)
		restore_files_clean(&o->paths);
	if (rc == KC_OK && diverged)
		log_warn("companion files were changed while a restore was interrupted, and were left as they are");
	if (rc == KC_OK && warning != NULL)
		log_warn("%s", warning);
	free(warning);
	diverged_list_fini(&list);
	restore_files_free(f);
	image_close(img);
	return rc;
}
