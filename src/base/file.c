/* SPDX-License-Identifier: Apache-2.0 */
/* file: atomic replacement, locks, reading with limits. The only caller of rename(2). */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "err.h"
#include "mem.h"

#define PASSWORD_MAX 1024

char *file_join(const char *dir, const char *name)
{
	if (name[0] == '/' || dir == NULL || dir[0] == '\0')
		return mem_xstrdup(name);
	return mem_xasprintf("%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", name);
}

char *file_dirname(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return mem_xstrdup(".");
	return slash == path ? mem_xstrdup("/") : mem_xstrndup(path, (size_t)(slash - path));
}

const char *file_basename(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

bool file_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int file_open(int *fd, const char *path, int flags, mode_t mode)
{
	int f = open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode);

	if (f < 0)
		return err_errno("%s", path);
	*fd = f;
	return KC_OK;
}

int file_give_to_owner_of(int fd, const char *dir)
{
	struct stat st;

	if (geteuid() != 0)
		return KC_OK;
	if (stat(dir, &st) < 0)
		return err_errno("%s", dir);
	if (st.st_uid == 0 && st.st_gid == 0)
		return KC_OK;
	if (fchown(fd, st.st_uid, st.st_gid) < 0)
		return err_errno("%s: cannot give a new file to its owner", dir);
	return KC_OK;
}

int file_sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = KC_OK;

	if (fd < 0)
		return err_errno("%s", dir);
	if (fsync(fd) < 0)
		rc = err_errno("%s: cannot sync", dir);
	close(fd);
	return rc;
}

static int sync_dir_of(const char *path)
{
	char *dir = file_dirname(path);
	int rc = file_sync_dir(dir);

	free(dir);
	return rc;
}

int file_new_begin(struct file_new *f, const char *path, mode_t mode)
{
	uint8_t r[8];
	char *dir = file_dirname(path);
	int rc;

	f->fd = -1;
	f->status = KC_OK;
	f->path = mem_xstrdup(path);
	mem_random(r, sizeof(r));
	f->tmp = mem_xasprintf("%s/.%s.%02x%02x%02x%02x%02x%02x%02x%02x.new", dir, file_basename(path), r[0], r[1],
	    r[2], r[3], r[4], r[5], r[6], r[7]);
	f->fd = open(f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (f->fd < 0)
		rc = err_errno("%s: cannot write", path);
	else if (fchmod(f->fd, mode) < 0)
		rc = err_errno("%s: cannot set the mode", path);
	else
		rc = file_give_to_owner_of(f->fd, dir);
	free(dir);
	if (rc < 0)
		file_new_abort(f);
	return rc;
}

void file_new_write(struct file_new *f, const void *data, size_t n)
{
	if (f->status == KC_OK)
		f->status = file_write_all(f->fd, data, n, f->path);
}

static void file_new_fini(struct file_new *f)
{
	if (f->fd >= 0)
		close(f->fd);
	free(f->path);
	free(f->tmp);
	f->fd = -1;
	f->path = f->tmp = NULL;
}

void file_new_abort(struct file_new *f)
{
	int saved = errno;

	if (f->fd >= 0 && f->tmp != NULL)
		unlink(f->tmp);
	file_new_fini(f);
	errno = saved;
}

static int new_commit(struct file_new *f, bool excl)
{
	int rc = f->status;

	if (rc == KC_OK && fsync(f->fd) < 0)
		rc = err_errno("%s: cannot sync", f->path);
	if (rc == KC_OK && excl) {
		/* link(2) fails where the name exists; rename would replace it. */
		if (link(f->tmp, f->path) < 0)
			rc = errno == EEXIST ? err_set(KC_EEXIST, "%s: exists already", f->path)
					     : err_errno("%s", f->path);
		else
			unlink(f->tmp);
	} else if (rc == KC_OK && rename(f->tmp, f->path) < 0) {
		rc = err_errno("%s: cannot rename", f->path);
	}
	if (rc < 0) {
		file_new_abort(f);
		return rc;
	}
	rc = sync_dir_of(f->path);
	file_new_fini(f);
	return rc;
}

int file_new_commit(struct file_new *f)
{
	return new_commit(f, false);
}

int file_new_commit_excl(struct file_new *f)
{
	return new_commit(f, true);
}

int file_replace(const char *path, const void *data, size_t n, mode_t mode)
{
	struct file_new f = FILE_NEW_EMPTY;
	int rc = file_new_begin(&f, path, mode);

	if (rc < 0)
		return rc;
	file_new_write(&f, data, n);
	return file_new_commit(&f);
}

int file_rename(const char *from, const char *to)
{
	if (rename(from, to) < 0)
		return err_errno("%s: cannot rename to %s", from, to);
	return sync_dir_of(to);
}

int file_move(const char *from, const char *to)
{
	return rename(from, to) < 0 ? err_errno("%s: cannot rename to %s", from, to) : KC_OK;
}

int file_discard(const char *path)
{
	return unlink(path) < 0 && errno != ENOENT ? err_errno("%s: cannot remove", path) : KC_OK;
}

int file_remove(const char *path)
{
	if (unlink(path) < 0) {
		if (errno == ENOENT)
			return KC_OK;
		return err_errno("%s: cannot remove", path);
	}
	return sync_dir_of(path);
}

static int remove_below(int dirfd, const char *name, const char *path)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc = KC_OK;
	struct dirent *e;
	DIR *d;

	if (fd < 0) {
		if (errno == ENOENT || unlinkat(dirfd, name, 0) == 0)
			return KC_OK;
		return err_errno("%s: cannot remove", path);
	}
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return err_errno("%s", path);
	}
	while (rc == KC_OK && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = remove_below(fd, e->d_name, path);
	closedir(d);
	if (rc == KC_OK && unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
		rc = err_errno("%s: cannot remove", path);
	return rc;
}

int file_remove_tree(const char *path)
{
	return remove_below(AT_FDCWD, path, path);
}

int file_remove_tree_at(int dirfd, const char *name)
{
	return remove_below(dirfd, name, name);
}

int file_write_all(int fd, const void *data, size_t n, const char *name)
{
	const uint8_t *p = data;

	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_errno("%s: cannot write", name);
		p += w;
		n -= (size_t)w;
	}
	return KC_OK;
}

int file_read_fd(struct buf *b, int fd, const char *name)
{
	for (;;) {
		size_t room = b->cap - buf_len(b), ask = room < 65536 ? room : 65536;
		uint8_t probe, *p = ask > 0 ? buf_reserve(b, ask) : &probe;
		ssize_t r;

		do
			r = read(fd, p, ask > 0 ? ask : 1);
		while (r < 0 && errno == EINTR);
		if (ask > 0)
			buf_trim(b, ask - (r > 0 ? (size_t)r : 0));
		if (r < 0)
			return err_errno("%s: cannot read", name);
		if (r == 0)
			return KC_OK;
		if (ask == 0)
			return err_set(KC_ELIMIT, "%s: larger than %zu bytes", name, b->cap);
	}
}

int file_read(struct buf *b, const char *path)
{
	int fd = -1, rc;

	/* Links are followed here: certificates and password files are often links. */
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno("%s", path);
	rc = file_read_fd(b, fd, path);
	close(fd);
	return rc;
}

int file_read_secret(struct buf *b, const char *path)
{
	struct stat st;
	int fd = -1, rc = file_open(&fd, path, O_RDONLY, 0);

	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0)
		rc = err_errno("%s", path);
	else if (st.st_uid != geteuid() && geteuid() != 0 && st.st_uid != 0)
		rc = err_set(KC_EPERM, "%s: belongs to user %u", path, (unsigned)st.st_uid);
	else if ((st.st_mode & 077) != 0)
		rc = err_set(
		    KC_EPERM, "%s: mode %04o lets others read it, 0600 is needed", path, (unsigned)st.st_mode & 07777);
	else
		rc = file_read_fd(b, fd, path);
	close(fd);
	return rc;
}

/* One directory in another that is held open: nobody can put a link in the way between making it and giving it away. */
static int make_dir_at(int parent, const char *name, const char *path)
{
	struct stat st;
	int fd, rc = KC_OK;

	if (mkdirat(parent, name, 0700) < 0)
		return errno == EEXIST && file_is_dir(path) ? KC_OK
							    : err_errno("%s: cannot create the directory", path);
	if (geteuid() != 0)
		return KC_OK;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(parent, &st) < 0 || fchown(fd, st.st_uid, st.st_gid) < 0)
		rc = err_errno("%s: cannot give the new directory to its owner", path);
	if (fd >= 0)
		close(fd);
	return rc;
}

int file_make_dirs(const char *path)
{
	char *parent;
	int rc, fd;

	if (file_is_dir(path))
		return KC_OK;
	parent = file_dirname(path);
	rc = strcmp(parent, path) == 0 ? KC_OK : file_make_dirs(parent);
	fd = rc == KC_OK ? open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (rc == KC_OK && fd < 0)
		rc = err_errno("%s: cannot create the directory", path);
	else if (rc == KC_OK && file_basename(path)[0] != '\0')
		rc = make_dir_at(fd, file_basename(path), path);
	if (fd >= 0)
		close(fd);
	free(parent);
	return rc;
}

int file_open_own(int *fd, const char *path, int flags)
{
	char *dir;
	struct stat st;
	int f = -1, rc = file_open(&f, path, flags | O_NONBLOCK, 0600);

	if (rc < 0)
		return rc;
	if (fstat(f, &st) < 0)
		rc = err_errno("%s", path);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(KC_EPERM, "%s: not a regular file", path);
	else if (st.st_nlink > 1)
		rc = err_set(KC_EPERM, "%s: has %ju names, it may be somebody else's", path, (uintmax_t)st.st_nlink);
	dir = file_dirname(path);
	if (rc == KC_OK && st.st_uid == 0)
		rc = file_give_to_owner_of(f, dir);
	free(dir);
	if (rc < 0)
		close(f);
	else
		*fd = f;
	return rc;
}

int file_lock(int *fd, const char *path)
{
	char pid[32] = "";
	int f, rc, n;

	rc = file_open_own(&f, path, O_RDWR | O_CREAT);
	if (rc < 0)
		return rc;
	if (flock(f, LOCK_EX | LOCK_NB) < 0) {
		n = (int)read(f, pid, sizeof(pid) - 1);
		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		rc = errno == EWOULDBLOCK || n >= 0
			 ? err_set(KC_ELOCKED, "%s: held by process %s", path, pid[0] != '\0' ? pid : "(unknown)")
			 : err_errno("%s: cannot lock", path);
		close(f);
		return rc;
	}
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	if (rc == KC_OK && (ftruncate(f, 0) < 0 || pwrite(f, pid, (size_t)n, 0) != n))
		rc = err_errno("%s: cannot write", path);
	if (rc < 0) {
		close(f);
		return rc;
	}
	*fd = f;
	return KC_OK;
}

int file_free_space(uint64_t *bytes, const char *path)
{
	struct statvfs v;

	if (statvfs(path, &v) < 0)
		return err_errno("%s", path);
	*bytes = (uint64_t)v.f_bavail * v.f_frsize;
	return KC_OK;
}

int file_need_space(const char *dir, uint64_t need, const char *what)
{
	uint64_t room;
	int rc = file_free_space(&room, dir);

	if (rc == KC_OK && room < need)
		rc = err_set(KC_ENOSPC, "%s: %s needs %" PRIu64 " bytes, %" PRIu64 " are free", dir, what, need, room);
	return rc;
}

int file_read_password_fd(char **password, int fd, const char *name)
{
	struct buf b;
	uint8_t byte;
	ssize_t n;
	int rc = KC_OK;

	buf_init(&b, PASSWORD_MAX);
	while ((n = read(fd, &byte, 1)) == 1 && byte != '\n')
		buf_put_u8(&b, byte);
	if (n < 0)
		rc = err_errno("%s", name);
	else if ((rc = buf_status(&b)) < 0)
		rc = err_set(KC_ELIMIT, "%s: password longer than %d bytes", name, PASSWORD_MAX);
	else if (buf_len(&b) > 0 && buf_data(&b)[buf_len(&b) - 1] == '\r')
		buf_trim(&b, 1);
	if (rc == KC_OK && memchr(buf_data(&b), 0, buf_len(&b)) != NULL)
		rc = err_set(KC_EFORMAT, "%s: a password cannot contain a zero byte", name);
	if (rc == KC_OK) {
		*password = mem_secret_new(buf_len(&b) + 1);
		if (buf_len(&b) > 0)
			memcpy(*password, buf_data(&b), buf_len(&b));
	}
	buf_fini(&b);
	return rc;
}

int file_read_password(char **password, const char *path)
{
	/* Not file_open: /dev/stdin and a link that an administrator made are fine here. */
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_errno("%s", path);
	rc = file_read_password_fd(password, fd, path);
	close(fd);
	return rc;
}
