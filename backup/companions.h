/* SPDX-License-Identifier: Apache-2.0 */
/*
 * companions: the set of companion files of a key database: which there are, their digests as one text, and the lists
 * of what was last applied.
 */
#ifndef KC_BACKUP_COMPANIONS_H
#define KC_BACKUP_COMPANIONS_H

#include "backup/tree.h"

#define COMPANIONS_MAX 32
/* "NAME:DIGEST NAME:DIGEST", sorted by name; "" for none. */
#define COMPANIONS_TEXT (COMPANIONS_MAX * (TREE_NAME_MAX + TREE_DIGEST_LEN + 2) + 1)

/* Where a companion is on this machine; borrowed strings. */
struct companion_path {
	const char *name;
	const char *path;
};
struct companion_paths {
	const struct companion_path *of; /* sorted by name */
	size_t n;
	/* Patterns (fnmatch) of "NAME/path": files that an application rewrites where it only uses them. Their changes
	 * on a clone are no divergence; a restore replaces them. */
	const char *const *rewritten;
	size_t n_rewritten;
};
bool companion_is_rewritten(const struct companion_paths *p, const char *name, const char *path);
const char *companion_path(const struct companion_paths *p, const char *name); /* NULL: none */

void companions_text(char text[COMPANIONS_TEXT], const struct tree *trees, size_t n);
/* False: the text has none of this name. */
bool companions_digest(char digest[TREE_DIGEST_LEN + 1], const char *text, const char *name);

/* The text of what is there now: all of it is read. KC_ENOENT: one is missing. */
int companions_now(char text[COMPANIONS_TEXT], const struct companion_paths *p, int (*alive)(void *arg), void *arg);

/* What stat says of all of them, for "has anything changed" without reading (tree_stamp). What is missing, or cannot be
 * looked at, counts as a state of its own. */
int companions_stamp(char stamp[TREE_DIGEST_LEN + 1], bool *settled, const struct companion_paths *p);
int companions_stamp_of(char stamp[TREE_DIGEST_LEN + 1], bool *settled, const struct tree *trees, size_t n);

/* What was last applied of a companion: a list beside the key database at `keydb_path`. KC_ENOENT: none. */
int companions_load_applied(struct tree *t, const char *keydb_path, const char *name);
int companions_save_applied(const struct tree *t, const char *keydb_path);

/* A list of a tree as a file, whole or not there, and back. */
int companions_save(const struct tree *t, const char *path);
int companions_load(struct tree *t, const char *path);

#endif
