/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree_walk: what is at a path, read or copied as it was at one instant: listed, read, listed again; who wrote in
 * between shows in what stat says, and it is done anew. Must never follow a link below the root, nor open what is
 * neither file nor directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backup/archive.h"
#include "backup/tree.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

#define READ_SIZE  (64u << 10)
#define TRIES	   10
#define PAUSE_MS   20
#define SETTLED_NS 2000000000LL /* coarser than the time stamps of any file system we may meet */

struct walk {
	struct tree *t;
	const char *path; /* of the root, for messages */
	const struct tree_walk_options *o;
	size_t max;
	char *user, *group; /* names of the owner seen last */
	uid_t uid;
	gid_t gid;
	bool named;
};

static int alive(const struct tree_walk_options *o)
{
	return o->alive != NULL ? o->alive(o->arg) : KC_OK;
}

/* ---- the list ---- */

static void look_up_owner(struct walk *w, uid_t uid, gid_t gid)
{
	char space[4096];
	struct passwd pw, *user = NULL;
	struct group gr, *group = NULL;

	if (w->named && w->uid == uid && w->gid == gid)
		return;
	free(w->user);
	free(w->group);
	w->user = w->group = NULL;
	if (getpwuid_r(uid, &pw, space, sizeof(space), &user) == 0 && user != NULL && strlen(user->pw_name) < 256)
		w->user = mem_xstrdup(user->pw_name);
	if (getgrgid_r(gid, &gr, space, sizeof(space), &group) == 0 && group != NULL && strlen(group->gr_name) < 256)
		w->group = mem_xstrdup(group->gr_name);
	w->uid = uid;
	w->gid = gid;
	w->named = true;
}

static void describe(struct walk *w, struct tree_entry *e, const struct stat *st)
{
	look_up_owner(w, st->st_uid, st->st_gid);
	e->mode = st->st_mode & TREE_MODE_BITS;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->user = w->user != NULL ? mem_xstrdup(w->user) : NULL;
	e->group = w->group != NULL ? mem_xstrdup(w->group) : NULL;
	e->mtime = st->st_mtime > 0 ? (int64_t)st->st_mtime : 0;
	e->size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
	e->dev = (uint64_t)st->st_dev;
	e->ino = (uint64_t)st->st_ino;
	e->mtime_ns = st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec;
	e->ctime_ns = st->st_ctim.tv_sec * 1000000000LL + st->st_ctim.tv_nsec;
}

static int refuse_other(const struct walk *w, const char *path, mode_t mode)
{
	return err_set(KC_EPERM, "%s%s%s: is a %s; a companion has plain files and directories only", w->path,
	    path[0] != '\0' ? "/" : "", path,
	    S_ISLNK(mode)    ? "symbolic link"
	    : S_ISSOCK(mode) ? "socket"
	    : S_ISFIFO(mode) ? "fifo"
			     : "device");
}

/* *take: it becomes an entry. */
static int add_entry(struct walk *w, const char *path, const struct stat *st, bool *take)
{
	bool plain = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
	struct tree_entry *e;
	char *member;
	int rc = KC_OK;

	*take = false;
	if (!plain && (w->o->flags & TREE_SKIP))
		return KC_OK;
	if (!plain && !(w->o->flags & TREE_LAX))
		return refuse_other(w, path, st->st_mode);
	if (w->t->n >= w->max)
		return err_set(KC_ELIMIT, "%s: more than %zu files and directories in companions", w->path, w->max);
	if (strlen(path) > TREE_PATH_MAX && !(w->o->flags & TREE_LAX))
		return err_set(
		    KC_ELIMIT, "%s: a path of %zu bytes in it (limit %d)", w->path, strlen(path), TREE_PATH_MAX);
	e = tree_add(w->t, path, S_ISDIR(st->st_mode) ? TREE_DIR : plain ? TREE_FILE : TREE_OTHER);
	describe(w, e, st);
	if (!(w->o->flags & TREE_LAX)) {
		member = tree_member(w->t, e);
		rc = archive_name_check(member);
		free(member);
	}
	*take = rc == KC_OK;
	return rc < 0 ? err_prefix(rc, "%s", w->path) : KC_OK;
}

static int walk_dir(struct walk *w, int fd, const char *prefix, int depth);

static int walk_one(struct walk *w, int fd, const char *name, const char *prefix, int depth)
{
	char *path = mem_xasprintf("%s%s%s", prefix, prefix[0] != '\0' ? "/" : "", name);
	bool take = false;
	struct stat st;
	int sub, rc = KC_OK;

	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		/* gone since it was listed */
		rc = errno == ENOENT ? err_set(KC_EAGAIN, "%s: is being changed", w->path)
				     : err_errno("%s/%s", w->path, path);
	else
		rc = add_entry(w, path, &st, &take);
	if (rc == KC_OK && take && S_ISDIR(st.st_mode)) {
		sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = sub < 0 ? err_errno("%s/%s", w->path, path) : walk_dir(w, sub, path, depth + 1);
	}
	free(path);
	return rc < 0 ? rc : alive(w->o);
}

/* Takes fd. */
static int walk_dir(struct walk *w, int fd, const char *prefix, int depth)
{
	struct dirent *e;
	DIR *d = fdopendir(fd);
	int rc = KC_OK;

	if (d == NULL) {
		rc = err_errno("%s/%s", w->path, prefix);
		close(fd);
		return rc;
	}
	if (depth > TREE_DEPTH_MAX)
		rc = err_set(KC_ELIMIT, "%s/%s: deeper than %d directories", w->path, prefix, TREE_DEPTH_MAX);
	while (rc == KC_OK && (errno = 0, e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = walk_one(w, fd, e->d_name, prefix, depth);
	if (rc == KC_OK && errno != 0)
		rc = err_errno("%s/%s", w->path, prefix);
	closedir(d);
	return rc;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct tree_entry *)a)->path, ((const struct tree_entry *)b)->path);
}

static int list(struct tree *t, const char *path, const struct tree_walk_options *o)
{
	struct walk w = { .t = t, .path = path, .o = o, .max = o->max > 0 ? o->max : TREE_ENTRIES_MAX };
	struct stat st;
	bool take;
	int fd, rc = KC_OK;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? KC_OK : err_errno("%s", path);
	if (S_ISDIR(st.st_mode)) {
		t->kind = TREE_KIND_DIR;
		t->mode = st.st_mode & TREE_MODE_BITS;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = fd < 0 ? err_errno("%s", path) : walk_dir(&w, fd, "", 0);
	} else {
		t->kind = TREE_KIND_FILE;
		t->file = mem_xstrdup(file_basename(path));
		rc = add_entry(&w, "", &st, &take);
	}
	free(w.user);
	free(w.group);
	if (rc == KC_OK && t->n > 0)
		qsort(t->entries, t->n, sizeof(*t->entries), by_path);
	return rc;
}

static void put_number(gnutls_hash_hd_t h, uint64_t v)
{
	gnutls_hash(h, &v, sizeof(v));
}

int tree_stamp(char stamp[TREE_DIGEST_LEN + 1], bool *settled, const struct tree *t)
{
	int64_t newest = 0;
	struct timespec now;
	gnutls_hash_hd_t h;
	uint8_t d[32];

	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return err_set(KC_EFAIL, "no SHA-256");
	put_number(h, t->kind);
	for (size_t i = 0; i < t->n; i++) {
		const struct tree_entry *e = &t->entries[i];

		gnutls_hash(h, e->path, strlen(e->path) + 1);
		put_number(h, e->type);
		put_number(h, e->mode);
		put_number(h, e->size);
		put_number(h, e->dev);
		put_number(h, e->ino);
		put_number(h, (uint64_t)e->mtime_ns);
		put_number(h, (uint64_t)e->ctime_ns);
		newest = e->ctime_ns > newest ? e->ctime_ns : newest;
	}
	gnutls_hash_deinit(h, d);
	hex_encode(stamp, d, sizeof(d));
	clock_gettime(CLOCK_REALTIME, &now);
	*settled = now.tv_sec * 1000000000LL + now.tv_nsec - newest > SETTLED_NS;
	return KC_OK;
}

/* ---- contents ---- */

int tree_open_parent(int *fd, const char **leaf, int root, const char *path)
{
	int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
	const char *slash;

	while (at >= 0 && (slash = strchr(path, '/')) != NULL) {
		char *part = mem_xstrndup(path, (size_t)(slash - path));
		int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		free(part);
		close(at);
		at = next;
		path = slash + 1;
	}
	if (at < 0)
		return err_errno("%s", path);
	*fd = at;
	*leaf = path;
	return KC_OK;
}

static bool is_entry(const struct tree_entry *e, const struct stat *st)
{
	return S_ISREG(st->st_mode) && e->dev == (uint64_t)st->st_dev && e->ino == (uint64_t)st->st_ino &&
	       e->size == (uint64_t)st->st_size &&
	       e->mtime_ns == st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec &&
	       e->ctime_ns == st->st_ctim.tv_sec * 1000000000LL + st->st_ctim.tv_nsec;
}

struct content {
	struct tree *t;
	const char *path; /* of the root */
	int root;	  /* of a directory, else -1 */
	int to;		  /* the folder that copies go to, -1: none */
	const struct tree_walk_options *o;
	uint8_t *block;
};

static int pass_bytes(struct content *c, struct tree_entry *e, int from, int to)
{
	gnutls_hash_hd_t h;
	uint64_t total = 0;
	uint8_t d[32];
	ssize_t n = 0;
	int rc = KC_OK;

	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return err_set(KC_EFAIL, "no SHA-256");
	while (rc == KC_OK && ((n = read(from, c->block, READ_SIZE)) > 0 || (n < 0 && errno == EINTR))) {
		if (n < 0)
			continue;
		total += (uint64_t)n;
		gnutls_hash(h, c->block, (size_t)n);
		if (to >= 0)
			rc = file_write_all(to, c->block, (size_t)n, "the copy of a companion");
		if (rc == KC_OK)
			rc = alive(c->o);
	}
	gnutls_hash_deinit(h, d);
	if (rc == KC_OK && n < 0)
		rc = err_errno("%s/%s", c->path, e->path);
	if (rc == KC_OK && total != e->size)
		rc = err_set(KC_EAGAIN, "%s/%s: is being changed", c->path, e->path);
	hex_encode(e->sha256, d, sizeof(d));
	return rc;
}

/* The file that was listed, or KC_EAGAIN. */
static int open_entry(int *fd, const struct content *c, const struct tree_entry *e)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	const char *leaf;
	struct stat st;
	int dir, f, rc;

	if (c->root < 0) {
		f = open(c->path, flags);
	} else {
		rc = tree_open_parent(&dir, &leaf, c->root, e->path);
		if (rc < 0)
			return err_set(rc == KC_ENOENT ? KC_EAGAIN : rc, "%s/%s", c->path, err_text(rc));
		f = openat(dir, leaf, flags | O_NOFOLLOW);
		close(dir);
	}
	if (f < 0)
		return errno == ENOENT || errno == ELOOP
			   ? err_set(KC_EAGAIN, "%s/%s: is being changed", c->path, e->path)
			   : err_errno("%s/%s", c->path, e->path);
	if (fstat(f, &st) < 0 || !is_entry(e, &st)) {
		close(f);
		return err_set(KC_EAGAIN, "%s/%s: is being changed", c->path, e->path);
	}
	*fd = f;
	return KC_OK;
}

static int read_entry(struct content *c, size_t i)
{
	struct tree_entry *e = &c->t->entries[i];
	int from = -1, to = -1, rc = open_entry(&from, c, e);
	char copy[24];

	if (rc < 0)
		return rc;
	if (c->to >= 0) {
		snprintf(copy, sizeof(copy), "%zu", i);
		to = openat(c->to, copy, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (to < 0)
			rc = err_errno("cannot copy %s/%s", c->path, e->path);
	}
	if (rc == KC_OK)
		rc = pass_bytes(c, e, from, to);
	close(from);
	if (to >= 0)
		close(to);
	return rc;
}

static int read_all(struct tree *t, const char *path, int to, const struct tree_walk_options *o)
{
	struct content c = { .t = t, .path = path, .root = -1, .to = to, .o = o, .block = mem_xalloc(READ_SIZE) };
	int rc = KC_OK;

	if (t->kind == TREE_KIND_DIR) {
		c.root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (c.root < 0)
			rc = err_errno("%s", path);
	}
	for (size_t i = 0; rc == KC_OK && i < t->n; i++)
		if (t->entries[i].type == TREE_FILE)
			rc = read_entry(&c, i);
	if (c.root >= 0)
		close(c.root);
	mem_wipe(c.block, READ_SIZE);
	free(c.block);
	return rc < 0 ? rc : tree_sum(t);
}

/* Is it still what was listed? */
static int compare_again(const struct tree *t, const char *path, const struct tree_walk_options *o)
{
	char before[TREE_DIGEST_LEN + 1], after[TREE_DIGEST_LEN + 1];
	struct tree now;
	bool settled;
	int rc;

	tree_init(&now, t->name);
	rc = list(&now, path, o);
	if (rc == KC_OK)
		rc = tree_stamp(before, &settled, t);
	if (rc == KC_OK)
		rc = tree_stamp(after, &settled, &now);
	if (rc == KC_OK && strcmp(before, after) != 0)
		rc = err_set(KC_EAGAIN, "%s: is being changed", path);
	tree_fini(&now);
	return rc;
}

/* An empty tree of the same name. */
static void empty(struct tree *t)
{
	char name[TREE_NAME_MAX + 1];

	memcpy(name, t->name, sizeof(name));
	tree_fini(t);
	tree_init(t, name);
}

static int take(struct tree *t, const char *path, int to, const struct tree_walk_options *o)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };
	int rc = KC_EAGAIN;

	for (int i = 0; rc == KC_EAGAIN && i < TRIES; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		empty(t);
		rc = list(t, path, o);
		if (rc == KC_OK && (o->flags & TREE_READ)) {
			rc = read_all(t, path, to, o);
			if (rc == KC_OK)
				rc = compare_again(t, path, o);
		}
	}
	if (rc == KC_EAGAIN)
		rc = err_set(KC_EBUSY, "%s: is changed all the time, and cannot be read as it is at one instant", path);
	if (rc < 0)
		empty(t);
	return rc;
}

int tree_walk(struct tree *t, const char *path, const struct tree_walk_options *o)
{
	return take(t, path, -1, o);
}

int tree_copy(struct tree *t, const char *path, const char *to, const struct tree_walk_options *o)
{
	struct tree_walk_options copy = *o;
	int fd = -1, rc = file_open(&fd, to, O_RDONLY | O_DIRECTORY, 0);

	copy.flags |= TREE_READ;
	if (rc == KC_OK)
		rc = take(t, path, fd, &copy);
	if (fd >= 0)
		close(fd);
	return rc;
}
