/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault_conf: the n-th open, write, fsync, link or rename fails, for every n: after a failed edit the file is the old
 * one, after a reported success the new one, and nothing else is in the directory. A failure is reported but for the
 * last sync of the directory, behind the rename: then the new file is there and the failure is reported as well.
 *
 * Wrapped: open, write, fsync, rename, fchmod.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

static int countdown; /* 0: nothing fails */

int __real_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, mode_t mode);
ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);

static bool fails(int code)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	errno = code;
	return true;
}

int __wrap_open(const char *path, int flags, mode_t mode)
{
	return fails(EACCES) ? -1 : __real_open(path, flags, mode);
}

ssize_t __wrap_write(int fd, const void *data, size_t n)
{
	return fails(ENOSPC) ? -1 : __real_write(fd, data, n);
}

int __wrap_fsync(int fd)
{
	return fails(EIO) ? -1 : __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
	return fails(EROFS) ? -1 : __real_rename(from, to);
}

int __wrap_fchmod(int fd, mode_t mode)
{
	return fails(EPERM) ? -1 : __real_fchmod(fd, mode);
}

static char dir[64], path[96];
static const char old_text[] = "# c\nbackup.EncryptionPassword=topsecret\nrestore.ListenPort=1\n";

/* "." and ".." and the file. */
static void no_litter(void)
{
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	assert_int_equal(n, 3);
}

static void is_text(struct buf *b, const char *text)
{
	assert_int_equal(buf_len(b), strlen(text));
	assert_memory_equal(buf_data(b), text, strlen(text));
}

/* True once everything worked. */
static bool try_edit(int n, int (*edit)(void), const char *new_text)
{
	struct buf b;
	int rc, left;

	countdown = 0;
	assert_int_equal(file_replace(path, old_text, strlen(old_text), 0600), KC_OK);
	countdown = n;
	rc = edit();
	left = countdown;
	countdown = 0;
	buf_init(&b, 10000);
	assert_int_equal(file_read(&b, path), KC_OK);
	if (rc == KC_OK || (buf_len(&b) == strlen(new_text) && memcmp(buf_data(&b), new_text, buf_len(&b)) == 0))
		is_text(&b, new_text);
	else
		is_text(&b, old_text);
	/* Whatever failed is told. */
	assert_true(left > 0 || rc < 0);
	buf_fini(&b);
	no_litter();
	return rc == KC_OK && left > 0;
}

static int edit_set(void)
{
	return conf_edit(path, &(struct conf_change){ .name = "restore.ListenPort", .value = "2" }, 1, NULL);
}

static int edit_seal(void)
{
	return conf_replace_password(path, "kc1:sealed");
}

static int edit_add(void)
{
	return conf_clone_add(path, "h", 2, NULL);
}

static void edit__any_call_fails__old_or_new(void **state)
{
	static const struct {
		int (*edit)(void);
		const char *text;
	} edits[] = {
		{ edit_set, "# c\nbackup.EncryptionPassword=topsecret\nrestore.ListenPort=2\n" },
		{ edit_seal, "# c\nbackup.ObfuscatedEncryptionPassword=kc1:sealed\nrestore.ListenPort=1\n" },
		{ edit_add, "# "
			    "c\nbackup.EncryptionPassword=topsecret\nrestore.ListenPort=1\nbackup.ClientIP1=h\nbackup."
			    "ClientPort1=2\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		int n = 1;

		while (!try_edit(n, edits[i].edit, edits[i].text))
			assert_true(++n < 100);
		assert_true(n > 6);
	}
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-fault-conf.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/k.properties", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edit__any_call_fails__old_or_new),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
