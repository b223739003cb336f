/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file: files that are whole or not there, locks, modes, directories.
 *
 * Nobody else calls rename(2). A file made here is 0600 unless said otherwise and, when root works in a directory of
 * somebody else (an administrator's command beside the service's files), belongs to the owner of that directory.
 */
#ifndef KC_FILE_H
#define KC_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"

/*
 * Atomic replacement. begin makes a file with a random name in the directory of `path` (O_EXCL); write errors stick;
 * commit = fsync, close, rename over `path`, fsync of the directory. abort (or commit's failure) leaves `path` as it
 * was and no litter. After commit or abort the struct is empty; abort of an empty one is a no-op.
 */
struct file_new {
	int fd;
	int status; /* first error */
	char *path;
	char *tmp;
};
#define FILE_NEW_EMPTY   \
	{                \
		.fd = -1 \
	}
int file_new_begin(struct file_new *f, const char *path, mode_t mode);
void file_new_write(struct file_new *f, const void *data, size_t n);
int file_new_commit(struct file_new *f);
/* The same, but KC_EEXIST if `path` exists: nothing is ever overwritten. */
int file_new_commit_excl(struct file_new *f);
void file_new_abort(struct file_new *f);

/* The three steps in one. */
int file_replace(const char *path, const void *data, size_t n, mode_t mode);

/* rename, then fsync of the directory of `to`. Both in the same directory. */
int file_rename(const char *from, const char *to);
/* unlink alone, for what may come back after a power failure. One that is not there is no error. */
int file_discard(const char *path);
/* rename alone, for what need not outlive a power failure. */
int file_move(const char *from, const char *to);
/* unlink and fsync of the directory; no error where it does not exist. */
int file_remove(const char *path);
/* Remove a directory and everything below it; does not follow links; no error where it does not exist. */
int file_remove_tree(const char *path);
/* The same, or a file, by its name in an open directory. */
int file_remove_tree_at(int dirfd, const char *name);
int file_sync_dir(const char *dir);

/* renameat(2) between two open directories of one file system (file_at.c); neither is synced. What is at `to` is
 * replaced; a directory that is in the way of a file, or a file in the way of a directory, changes places with it, in
 * one step where the file system can do that, and is gone afterwards. */
int file_move_at(int fromfd, const char *from, int tofd, const char *to);

/* open(2) with O_CLOEXEC|O_NOFOLLOW and an error message; `flags` as for open. */
int file_open(int *fd, const char *path, int flags, mode_t mode);
/* A file of ours at a fixed name in a directory that may be somebody else's, for writing: never through a link, a
 * regular file with this one name only (else KC_EPERM); one that root makes is given to the directory's owner. With
 * O_CREAT it is made, 0600. */
int file_open_own(int *fd, const char *path, int flags);

/* Read all of a file, at most b->cap bytes (else KC_ELIMIT), onto the end of b. */
int file_read(struct buf *b, const char *path);
/* The same for a secret: owner must be us (or root), no bits for group or others, else KC_EPERM. Checked on the fd. */
int file_read_secret(struct buf *b, const char *path);
/* All of an open descriptor. */
int file_read_fd(struct buf *b, int fd, const char *name);
int file_write_all(int fd, const void *data, size_t n, const char *name);

/* A password: the first line of a file, without its end. *password is secret memory (mem_secret_free). KC_ELIMIT over
 * 1024 bytes, KC_EFORMAT with a zero byte in it. */
int file_read_password(char **password, const char *path);
/* The same of an open descriptor, read byte by byte so that nothing behind the line is lost. */
int file_read_password_fd(char **password, int fd, const char *name);

/* mkdir -p with 0700 for what is made (see above for the owner); KC_OK if it exists and is a directory. */
int file_make_dirs(const char *path);
bool file_exists(const char *path);
bool file_is_dir(const char *path);

/* Exclusive advisory lock on `path` (made 0600 if need be) that lasts as long as *fd is open. KC_ELOCKED with the
 * holder's pid in the message if another process has it. Writes our pid into the file, for people only. */
int file_lock(int *fd, const char *path);

/* Free bytes for us on the file system of `path`. */
int file_free_space(uint64_t *bytes, const char *path);
/* KC_ENOSPC, "DIR: WHAT needs 500 bytes, 400 are free", if there are less than `need` in `dir`. */
int file_need_space(const char *dir, uint64_t need, const char *what);

/* "dir/name", heap. `name` absolute: a copy of name. dir "" or NULL: a copy of name. */
char *file_join(const char *dir, const char *name);
/* The directory part of a path ("." where it has none), heap; and the part behind the last slash, borrowed. */
char *file_dirname(const char *path);
const char *file_basename(const char *path);

/* Give a new file or directory to the owner of the directory it is in, when we are root. Called by all of the above. */
int file_give_to_owner_of(int fd, const char *dir);

#endif
