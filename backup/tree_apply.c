/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_apply: staging beside the target, then one rename a file. Everything below the target is reached through open
 * directories, never through a link that somebody put there meanwhile.
 */
#include "backup/tree_apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/companions.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define BLOCK	 (64u << 10)
#define LIST	 "list.json"
#define ROOM_FOR 4096 /* bytes of a file's own */

struct apply_tree {
	const struct tree *live, *want;
	char *path;   /* through links */
	char *folder; /* that it is in */
	char *stage;  /* ".keyclone-<basename>" in it */
	int stage_fd;
	int root;    /* of the target, where it is a directory; of its folder, where it is a file */
	bool keep;   /* the folder: what is in it is gone on with */
	bool owners; /* all could be set */
};

/* ---- where ---- */

static char *resolve(const char *path)
{
	char *real = realpath(path, NULL), *dir, *up;

	if (real != NULL)
		return real;
	dir = file_dirname(path);
	up = realpath(dir, NULL);
	real = up != NULL ? file_join(up, file_basename(path)) : mem_xstrdup(path);
	free(dir);
	free(up);
	return real;
}

static char *stage_of(const char *resolved)
{
	char *dir = file_dirname(resolved), *stage = mem_xasprintf("%s/.keyclone-%s", dir, file_basename(resolved));

	free(dir);
	return stage;
}

struct apply_tree *apply_tree_new(const struct tree *live, const struct tree *want, const char *path)
{
	struct apply_tree *a = mem_xalloc(sizeof(*a));

	a->live = live;
	a->want = want;
	a->path = resolve(path);
	a->folder = file_dirname(a->path);
	a->stage = stage_of(a->path);
	a->stage_fd = a->root = -1;
	a->owners = true;
	return a;
}

/* All but the list goes: should we end before there is a new one, it still says what was there. */
static int empty_stage(int stage, const char *path, bool keep_list)
{
	int fd = openat(stage, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = KC_OK;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return err_errno("%s", path);
	}
	while (rc == KC_OK && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    (!keep_list || strcmp(e->d_name, LIST) != 0))
			rc = file_remove_tree_at(stage, e->d_name);
	closedir(d);
	return rc;
}

/* An administrator's command works beside the service's files: what root makes is the folder's owner's. */
static bool may_use(const struct stat *st)
{
	return S_ISDIR(st->st_mode) && (st->st_uid == geteuid() || geteuid() == 0);
}

static int open_stage(int *fd, const char *stage)
{
	bool made = mkdir(stage, 0700) == 0;
	struct stat st;
	char *folder;
	int rc;

	if (!made && errno != EEXIST)
		return err_errno("%s: cannot be made, and files have to be prepared there", stage);
	rc = file_open(fd, stage, O_RDONLY | O_DIRECTORY, 0);
	if (rc < 0)
		return rc;
	folder = file_dirname(stage);
	/* Confined, we may not even open the folder: only what was made in it needs it. */
	if (made)
		rc = file_give_to_owner_of(*fd, folder);
	if (made && rc == KC_OK)
		rc = file_sync_dir(folder);
	free(folder);
	if (rc == KC_OK && (fstat(*fd, &st) < 0 || !may_use(&st) || fchmod(*fd, 0700) < 0))
		rc = err_set(KC_EPERM, "%s: is not ours, and files have to be prepared there", stage);
	return rc;
}

static int make_stage(struct apply_tree *a)
{
	int rc = open_stage(&a->stage_fd, a->stage);

	return rc < 0 ? rc : empty_stage(a->stage_fd, a->stage, true);
}

int apply_tree_prepare(char **out, const char *path)
{
	char *real = resolve(path), *stage = stage_of(real);
	int fd = -1, rc = open_stage(&fd, stage);

	if (fd >= 0)
		close(fd);
	if (rc < 0)
		free(stage);
	else
		*out = stage;
	free(real);
	return rc;
}

void apply_tree_free(struct apply_tree *a)
{
	if (a == NULL)
		return;
	/* What a commit left that failed is what the next one begins with. */
	if (a->stage_fd >= 0 && !a->keep && empty_stage(a->stage_fd, a->stage, false) < 0)
		log_warn("%s: what a restore prepared there cannot be removed", a->stage);
	if (a->stage_fd >= 0)
		close(a->stage_fd);
	if (a->root >= 0)
		close(a->root);
	free(a->path);
	free(a->folder);
	free(a->stage);
	free(a);
}

int apply_tree_left(struct tree *was, const char *path)
{
	char *real = resolve(path), *stage = stage_of(real), *list = file_join(stage, LIST);
	struct stat st;
	int rc = KC_ENOENT;

	/* Somebody else's folder says nothing. */
	if (lstat(stage, &st) == 0 && may_use(&st) && (st.st_mode & 077) == 0)
		rc = companions_load(was, list);
	free(list);
	free(stage);
	free(real);
	return rc;
}

void apply_tree_clean(const char *path, bool folder)
{
	char *real = resolve(path), *stage = stage_of(real);
	struct stat st;
	int fd = -1;

	if (lstat(stage, &st) == 0 && may_use(&st) &&
	    (file_open(&fd, stage, O_RDONLY | O_DIRECTORY, 0) < 0 || empty_stage(fd, stage, false) < 0))
		log_warn("%s: what a restore left there cannot be removed", stage);
	if (fd >= 0)
		close(fd);
	if (folder)
		(void)rmdir(stage);
	free(stage);
	free(real);
}

/* ---- staging ---- */

static bool same_entry(const struct tree_entry *a, const struct tree_entry *b)
{
	return a != NULL && a->type == b->type && a->mode == b->mode && strcmp(a->sha256, b->sha256) == 0;
}

static bool must_write(const struct apply_tree *a, size_t i)
{
	const struct tree_entry *e = &a->want->entries[i];

	return e->type == TREE_FILE && !same_entry(tree_find(a->live, e->path), e);
}

/* Is there the kind of thing that is to be there, on the file system that we rename from? */
static int check_target(const struct apply_tree *a)
{
	struct stat st, up;

	if (stat(a->folder, &up) < 0)
		return err_errno("%s: where the companion %s is to be", a->folder, a->want->name);
	if (lstat(a->path, &st) < 0)
		return errno == ENOENT ? KC_OK : err_errno("%s", a->path);
	if (S_ISDIR(st.st_mode) != (a->want->kind == TREE_KIND_DIR))
		return err_set(KC_ECONF, "%s: is a %s, the companion %s is a %s", a->path,
		    S_ISDIR(st.st_mode) ? "directory" : "file", a->want->name, tree_kind_name(a->want->kind));
	if (st.st_dev != up.st_dev)
		return err_set(KC_ECONF,
		    "%s: is a file system of its own, into which nothing can be renamed from %s; name a directory in "
		    "it",
		    a->path, a->folder);
	return KC_OK;
}

/* What the commit will need, found out before anything has changed. */
static int check_rights(const struct apply_tree *a)
{
	if (a->live->kind == TREE_KIND_DIR && access(a->path, W_OK | X_OK) < 0)
		return err_errno("%s: cannot be written to", a->path);
	for (size_t i = 0; i < a->live->n; i++) {
		const struct tree_entry *e = &a->live->entries[i], *want = tree_find(a->want, e->path);

		if (e->type == TREE_DIR && want != NULL && want->type == TREE_DIR && geteuid() != 0 &&
		    e->uid != geteuid() && ((e->mode & 0700) != 0700 || e->mode != want->mode))
			return err_set(KC_EPERM, "%s/%s: belongs to user %u, and its mode has to be changed", a->path,
			    e->path, (unsigned)e->uid);
	}
	return KC_OK;
}

static uid_t uid_of(const struct tree_entry *e)
{
	struct passwd pw, *found = NULL;
	char space[4096];

	if (e->user != NULL && getpwnam_r(e->user, &pw, space, sizeof(space), &found) == 0 && found != NULL)
		return found->pw_uid;
	return e->uid;
}

static gid_t gid_of(const struct tree_entry *e)
{
	struct group gr, *found = NULL;
	char space[4096];

	if (e->group != NULL && getgrnam_r(e->group, &gr, space, sizeof(space), &found) == 0 && found != NULL)
		return found->gr_gid;
	return e->gid;
}

/* Owner, mode and time, of a file or a directory. Bits beyond the mode's nine stay as they are. */
static int set_attributes(struct apply_tree *a, int fd, const struct tree_entry *e)
{
	const struct timespec when[2] = { { .tv_sec = e->mtime }, { .tv_sec = e->mtime } };
	uid_t uid = uid_of(e);
	gid_t gid = gid_of(e);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno("%s: %s", a->path, e->path);
	if ((st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) < 0) {
		if (errno != EPERM)
			return err_errno("%s: cannot set the owner of %s", a->path, e->path);
		a->owners = false;
	}
	if ((st.st_mode & TREE_MODE_BITS) != (e->mode & TREE_MODE_BITS) &&
	    fchmod(fd, (e->mode & TREE_MODE_BITS) | (S_ISDIR(st.st_mode) ? st.st_mode & 07000 : 0)) < 0)
		return err_errno("%s: cannot set the mode of %s", a->path, e->path);
	if (e->type == TREE_FILE && futimens(fd, when) < 0)
		return err_errno("%s: cannot set the time of %s", a->path, e->path);
	return KC_OK;
}

static int copy_bytes(int from, int to, const char *path)
{
	uint8_t *block = mem_xalloc(BLOCK);
	ssize_t n;
	int rc = KC_OK;

	while (rc == KC_OK && ((n = read(from, block, BLOCK)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			rc = file_write_all(to, block, (size_t)n, path);
	if (rc == KC_OK && n < 0)
		rc = err_errno("%s", path);
	mem_wipe(block, BLOCK);
	free(block);
	return rc;
}

static int stage_file(struct apply_tree *a, size_t i, const char *source)
{
	char name[24];
	int from = -1, to, rc = file_open(&from, source, O_RDONLY, 0);

	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%zu", i);
	to = openat(a->stage_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		rc = err_errno("%s/%s", a->stage, name);
	if (rc == KC_OK)
		rc = copy_bytes(from, to, a->stage);
	if (rc == KC_OK)
		rc = set_attributes(a, to, &a->want->entries[i]);
	if (rc == KC_OK && fsync(to) < 0)
		rc = err_errno("%s/%s: cannot sync", a->stage, name);
	close(from);
	if (to >= 0)
		close(to);
	return rc;
}

/* What is there, for whoever finds the rest of a crash. A name that no list takes is found as divergence then. */
static int stage_list(struct apply_tree *a)
{
	char *list = file_join(a->stage, LIST);
	int rc = companions_save(a->live, list);

	free(list);
	return rc == KC_EFORMAT ? KC_OK : rc;
}

int apply_tree_stage(struct apply_tree *a, bool resume, apply_tree_source_fn source, void *arg)
{
	uint64_t need = 0;
	char *path, *what;
	int rc = check_target(a);

	if (rc == KC_OK)
		rc = check_rights(a);

	for (size_t i = 0; i < a->want->n; i++)
		need += must_write(a, i) ? a->want->entries[i].size + ROOM_FOR : 0;
	what = mem_xasprintf("the companion %s", a->want->name);
	if (rc == KC_OK)
		rc = file_need_space(a->folder, need, what);
	free(what);
	if (rc == KC_OK)
		rc = make_stage(a);
	a->keep = resume;
	if (rc == KC_OK && !resume)
		rc = stage_list(a);
	for (size_t i = 0; rc == KC_OK && i < a->want->n; i++) {
		if (!must_write(a, i))
			continue;
		path = source(arg, i);
		rc = stage_file(a, i, path);
		free(path);
	}
	return rc < 0 ? rc : file_sync_dir(a->stage);
}

/* ---- commit ---- */

static int open_root(struct apply_tree *a)
{
	if (a->want->kind == TREE_KIND_FILE)
		return file_open(&a->root, a->folder, O_RDONLY | O_DIRECTORY, 0);
	if (mkdir(a->path, 0700) == 0) {
		int rc = chmod(a->path, a->want->mode | 0700) < 0 ? err_errno("%s", a->path) : KC_OK;

		if (rc == KC_OK)
			rc = file_sync_dir(a->folder);
		if (rc < 0)
			return rc;
	} else if (errno != EEXIST && !file_is_dir(a->path)) {
		return err_errno("%s", a->path);
	}
	return file_open(&a->root, a->path, O_RDONLY | O_DIRECTORY, 0);
}

/* Where an entry is to be. */
static int open_place(const struct apply_tree *a, int *fd, const char **leaf, const char *path)
{
	return tree_open_parent(fd, leaf, a->root, a->want->kind == TREE_KIND_FILE ? file_basename(a->path) : path);
}

/* One that is there is opened up for what is to be put into it; its mode comes last. */
static int make_dir(struct apply_tree *a, const struct tree_entry *e)
{
	const char *leaf;
	struct stat st;
	int fd, rc = open_place(a, &fd, &leaf, e->path);

	if (rc < 0)
		return rc;
	if (fstatat(fd, leaf, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) {
		if ((st.st_mode & 0700) != 0700 && fchmodat(fd, leaf, (st.st_mode & 07777) | 0700, 0) < 0)
			rc = err_errno("%s/%s: cannot be written to", a->path, e->path);
	} else if (mkdirat(a->stage_fd, "directory", 0700) < 0) {
		rc = err_errno("%s", a->stage);
	} else {
		rc = file_move_at(a->stage_fd, "directory", fd, leaf);
	}
	close(fd);
	return rc;
}

static int place_file(struct apply_tree *a, size_t i)
{
	const char *leaf;
	char name[24];
	int fd, rc;

	if (!must_write(a, i))
		return KC_OK;
	rc = open_place(a, &fd, &leaf, a->want->entries[i].path);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%zu", i);
	rc = file_move_at(a->stage_fd, name, fd, leaf);
	close(fd);
	return rc;
}

/* What is in it goes first. Where somebody put something new into a directory it stays, and is found as divergence. */
static int remove_entry(const struct apply_tree *a, const struct tree_entry *e)
{
	const char *leaf;
	int fd, rc = open_place(a, &fd, &leaf, e->path);

	if (rc < 0) /* its directory is gone, or another thing is in its place */
		return rc == KC_ENOENT || errno == ENOTDIR || errno == ELOOP ? KC_OK : rc;
	if (unlinkat(fd, leaf, e->type == TREE_DIR ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT && errno != ENOTEMPTY &&
	    errno != EEXIST && errno != EISDIR && errno != ENOTDIR)
		rc = err_errno("%s/%s: cannot be removed", a->path, e->path);
	close(fd);
	return rc;
}

static int finish_dir(struct apply_tree *a, const struct tree_entry *e)
{
	const char *leaf;
	int up, fd, rc = open_place(a, &up, &leaf, e->path);

	if (rc < 0)
		return rc;
	fd = openat(up, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		rc = err_errno("%s/%s", a->path, e->path);
	if (rc == KC_OK)
		rc = set_attributes(a, fd, e);
	if (rc == KC_OK && fsync(fd) < 0)
		rc = err_errno("%s/%s: cannot sync", a->path, e->path);
	if (fd >= 0)
		close(fd);
	close(up);
	return rc;
}

static int change(struct apply_tree *a)
{
	const struct tree *want = a->want, *live = a->live;
	int rc = open_root(a);

	for (size_t i = 0; rc == KC_OK && i < want->n; i++)
		rc = want->entries[i].type == TREE_DIR ? make_dir(a, &want->entries[i]) : place_file(a, i);
	for (size_t i = live->n; rc == KC_OK && live->kind == TREE_KIND_DIR && i-- > 0;)
		if (tree_find(want, live->entries[i].path) == NULL)
			rc = remove_entry(a, &live->entries[i]);
	for (size_t i = want->n; rc == KC_OK && i-- > 0;)
		if (want->entries[i].type == TREE_DIR)
			rc = finish_dir(a, &want->entries[i]);
	if (rc == KC_OK && fsync(a->root) < 0)
		rc = err_errno("%s: cannot sync", a->path);
	return rc;
}

int apply_tree_commit(struct apply_tree *a, bool *owners)
{
	int rc;

	a->keep = true;
	rc = change(a);
	if (rc == KC_OK)
		a->keep = false;
	*owners = a->owners;
	return rc;
}
