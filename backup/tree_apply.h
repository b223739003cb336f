/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_apply: makes what is at a path what a backup has there, each file in one step.
 *
 *     stage    files, synced, into ".keyclone-<basename>" (0700) beside the target: it is the same file system, and
 *              a full disk is found before anything changes. What is there now is listed in it.
 *     commit   directories made, files renamed, what is too much removed, modes set, all synced
 *     free     the folder is empty (it stays: a confined process cannot make it again)
 *
 * A crash after stage leaves the folder; a crash in commit leaves each file old or new. The next one who stages begins
 * with the list of what was there (apply_tree_left), so that it is no divergence.
 */
#ifndef KC_BACKUP_TREE_APPLY_H
#define KC_BACKUP_TREE_APPLY_H

#include "backup/tree.h"

struct apply_tree;

/* Borrowed while it lives: what is there (a lax walk), what is to be there, the path. */
struct apply_tree *apply_tree_new(const struct tree *live, const struct tree *want, const char *path);
void apply_tree_free(struct apply_tree *a); /* NULL is a no-op */

/* The path of the contents of an entry of `want`, heap. */
typedef char *(*apply_tree_source_fn)(void *arg, size_t entry);
/* KC_ECONF: a file where a directory is to be or the other way round, or a path that nothing can be renamed into;
 * KC_ENOSPC; KC_EPERM. resume: what a crash interrupted is gone on with; the list of what was there before stays. */
int apply_tree_stage(struct apply_tree *a, bool resume, apply_tree_source_fn source, void *arg);
/* *owners: false if some owner or group could not be made the master's, for lack of privilege. */
int apply_tree_commit(struct apply_tree *a, bool *owners);

/* What was at the path before a commit that a crash interrupted. KC_ENOENT: there was none. */
int apply_tree_left(struct tree *was, const char *path);
/* Makes the folder beside the path; its path in *stage, heap. For whoever is confined later. */
int apply_tree_prepare(char **stage, const char *path);
/* Removes what a crash left beside the path; with `folder` also the folder for it. */
void apply_tree_clean(const char *path, bool folder);

#endif
