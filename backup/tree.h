/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: a file or a whole directory as a list of what is in it: the companion files of a key database.
 *
 * A tree has plain files and directories only. Entries are sorted by path (byte order), a directory before what is in
 * it; the root of a directory is not among them. Nothing here follows a link below the root.
 *
 * The digest of a tree is over types, paths, modes, sizes and contents; not over owners and times (FORMAT.md).
 */
#ifndef KC_BACKUP_TREE_H
#define KC_BACKUP_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define TREE_NAME_MAX	 64   /* bytes of the logical name */
#define TREE_PATH_MAX	 512  /* bytes of a path in a tree */
#define TREE_DEPTH_MAX	 32   /* directories in directories */
#define TREE_ENTRIES_MAX 8192 /* in all trees of a backup */
#define TREE_DIGEST_LEN	 64   /* hex digits */
#define TREE_MODE_BITS	 0777

enum tree_type {
	TREE_FILE,
	TREE_DIR,
	TREE_OTHER /* a link, device, socket: only where a walk was told to show them */
};
enum tree_kind {
	TREE_KIND_NONE, /* there is nothing at its path */
	TREE_KIND_FILE, /* one entry, whose path is "" */
	TREE_KIND_DIR
};
const char *tree_kind_name(enum tree_kind kind); /* "none", "file", "directory" */

struct tree_entry {
	char *path; /* relative, with slashes; heap */
	enum tree_type type;
	mode_t mode; /* TREE_MODE_BITS */
	uid_t uid;
	gid_t gid;
	char *user, *group; /* their names there, heap; NULL: none known */
	int64_t mtime;
	uint64_t size;			  /* of a file, else 0 */
	char sha256[TREE_DIGEST_LEN + 1]; /* of a file, once it was read; else "" */
	/* Of a walk alone: to see cheaply that nothing has changed. */
	uint64_t dev, ino;
	int64_t mtime_ns, ctime_ns;
};

struct tree {
	char name[TREE_NAME_MAX + 1];
	enum tree_kind kind;
	char *file;  /* of a file: its base name where it was read; heap */
	mode_t mode; /* of a directory: its own; not in the digest, given only where it is made */
	struct tree_entry *entries;
	size_t n;
	char digest[TREE_DIGEST_LEN + 1]; /* "" where files were not read */
	uint64_t size;			  /* bytes of all files */
};

void tree_init(struct tree *t, const char *name);
void tree_fini(struct tree *t); /* frees; may be initialised again */
/* Appends an empty entry; path is copied. Valid until the next. */
struct tree_entry *tree_add(struct tree *t, const char *path, enum tree_type type);
/* The entry of a path, NULL: none. */
const struct tree_entry *tree_find(const struct tree *t, const char *path);
/* Sums up `digest` and `size` from the entries. KC_EFAIL: no SHA-256. */
int tree_sum(struct tree *t);
/* Is it what a backup may carry? Sorted, no path twice, what a file lies in is a directory that is there, names that
 * archive.h takes, modes and sizes in bounds. KC_EFORMAT, KC_ELIMIT. */
int tree_check(const struct tree *t);
bool tree_name_ok(const char *name); /* [A-Za-z][A-Za-z0-9_-]* */

/* The member of the tar that an entry is (`e` NULL: the root of a directory), heap. */
char *tree_member(const struct tree *t, const struct tree_entry *e);

/* For the manifest and for what was last applied: {name, kind, file or mode, digest, size, entries […]}. */
json_t *tree_json(const struct tree *t);
/* Strict; the digest must be that of the entries. Fills *t (not initialised before; on failure left empty). */
int tree_from_json(struct tree *t, const json_t *j);

/* ---- reading (tree_walk.c) ---- */

enum {
	TREE_READ = 1, /* read all files: sha256, digest. Else stat data only */
	TREE_LAX = 2,  /* links and special files become TREE_OTHER, names that no archive takes stay; else KC_EPERM,
			* KC_EFORMAT with the path */
	TREE_SKIP = 4  /* they are left out */
};
struct tree_walk_options {
	unsigned flags;
	size_t max;		 /* entries; KC_ELIMIT above. 0: TREE_ENTRIES_MAX */
	int (*alive)(void *arg); /* called now and then; a failure stops. May be NULL */
	void *arg;
};
/* Reads the tree at `path`; the path itself is followed through links. Nothing there: KC_OK, kind NONE. KC_EAGAIN if
 * it changes while it is read. *t must be initialised (its name stays). */
int tree_walk(struct tree *t, const char *path, const struct tree_walk_options *o);
/* What stat says of all of it, as 64 hex digits; moves when something is written, at least. *settled: false if it is so
 * young that a further write could leave the same stamp. */
int tree_stamp(char stamp[TREE_DIGEST_LEN + 1], bool *settled, const struct tree *walked);

/*
 * Copies the tree at `path` into the folder `to` (exists, ours alone) as files "0", "1", … by the index of the entry:
 * as it was at one instant, proved by stat before and after; tried again while somebody writes. KC_EBUSY if he never
 * stops. *t as after tree_walk with TREE_READ, without TREE_LAX. `flags`: TREE_SKIP or 0.
 */
int tree_copy(struct tree *t, const char *path, const char *to, const struct tree_walk_options *o);

/* Opens the directory that `path` (relative) lies in, below `root`, never through a link; *leaf points into path.
 * KC_ENOENT, KC_EPERM. */
int tree_open_parent(int *fd, const char **leaf, int root, const char *path);

#endif
