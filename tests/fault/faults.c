/* SPDX-License-Identifier: Apache-2.0 */
/* faults: the calls that can fail, ours by the linker's --wrap. */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

bool fault_fired;
int fault_error = ENOSPC;

static int countdown = -1; /* 0: the next call fails; negative: off */
static const char *target; /* the call that fails */

static bool hit(const char *name)
{
	if (countdown < 0 || strcmp(name, target) != 0)
		return false;
	if (countdown-- > 0)
		return false;
	fault_fired = true;
	errno = fault_error;
	return true;
}

/* ---- ours ---- */

ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n)
{
	return hit("write") ? -1 : __real_write(fd, data, n);
}

ssize_t __real_pwrite(int fd, const void *data, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at)
{
	return hit("pwrite") ? -1 : __real_pwrite(fd, data, n, at);
}

ssize_t __real_read(int fd, void *data, size_t n);
ssize_t __wrap_read(int fd, void *data, size_t n);
ssize_t __wrap_read(int fd, void *data, size_t n)
{
	return hit("read") ? -1 : __real_read(fd, data, n);
}

ssize_t __real_pread(int fd, void *data, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *data, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *data, size_t n, off_t at)
{
	return hit("pread") ? -1 : __real_pread(fd, data, n, at);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	return hit("fsync") ? -1 : __real_fsync(fd);
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
	return hit("rename") ? -1 : __real_rename(from, to);
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if ((flags & O_CREAT) != 0)
		mode = (mode_t)va_arg(ap, int);
	va_end(ap);
	return hit("open") ? -1 : __real_open(path, flags, mode);
}

/* ---- SQLite's ---- */

static ssize_t sqlite_pwrite(int fd, const void *data, size_t n, off_t at)
{
	return hit("sqlite pwrite") ? -1 : __real_pwrite(fd, data, n, at);
}

static ssize_t sqlite_pread(int fd, void *data, size_t n, off_t at)
{
	return hit("sqlite pread") ? -1 : __real_pread(fd, data, n, at);
}

static int sqlite_ftruncate(int fd, off_t size)
{
	return hit("sqlite ftruncate") ? -1 : ftruncate(fd, size);
}

static int sqlite_open_call(const char *path, int flags, int mode)
{
	return hit("sqlite open") ? -1 : __real_open(path, flags, (mode_t)mode);
}

static int sqlite_unlink(const char *path)
{
	return hit("sqlite unlink") ? -1 : unlink(path);
}

void faults_hook_sqlite(void)
{
	static const struct {
		const char *name;
		sqlite3_syscall_ptr fn;
	} calls[] = { { "pwrite", (sqlite3_syscall_ptr)sqlite_pwrite },
		{ "pwrite64", (sqlite3_syscall_ptr)sqlite_pwrite }, { "pread", (sqlite3_syscall_ptr)sqlite_pread },
		{ "pread64", (sqlite3_syscall_ptr)sqlite_pread },
		{ "ftruncate", (sqlite3_syscall_ptr)sqlite_ftruncate },
		{ "open", (sqlite3_syscall_ptr)sqlite_open_call }, { "unlink", (sqlite3_syscall_ptr)sqlite_unlink } };
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		vfs->xSetSystemCall(vfs, calls[i].name, calls[i].fn);
}

void fault_arm(const char *call, int n)
{
	target = call;
	countdown = n;
	fault_fired = false;
}

void fault_disarm(void)
{
	countdown = -1;
}
