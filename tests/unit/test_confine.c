/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of confine: what a confined child can still do and what not, at each version of Landlock there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

static char dir[64];
static char *allowed, *shown, *forbidden; /* read and write; read; nothing */

static char *below(const char *folder, const char *name)
{
	return file_join(folder, name);
}

static int setup(void **state)
{
	char *p;

	(void)state;
	strcpy(dir, "/tmp/kc-test-confine.XXXXXX");
	if (mem_init() != KC_OK || mkdtemp(dir) == NULL)
		return -1;
	allowed = below(dir, "allowed");
	shown = below(dir, "shown");
	forbidden = below(dir, "forbidden");
	p = below(allowed, "sub");
	assert_int_equal(file_make_dirs(p), KC_OK);
	free(p);
	assert_int_equal(file_make_dirs(shown), KC_OK);
	assert_int_equal(file_make_dirs(forbidden), KC_OK);
	p = below(shown, "f");
	assert_int_equal(file_replace(p, "x", 1, 0600), KC_OK);
	free(p);
	p = below(forbidden, "f");
	assert_int_equal(file_replace(p, "x", 1, 0600), KC_OK);
	free(p);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(allowed);
	free(shown);
	free(forbidden);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

#define EXPECT(condition)                                                                             \
	do {                                                                                          \
		if (!(condition)) {                                                                   \
			fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #condition, strerror(errno)); \
			return 1;                                                                     \
		}                                                                                     \
	} while (0)

static bool opens(const char *folder, const char *name, int flags)
{
	char *path = below(folder, name);
	int fd = open(path, flags, 0600);

	free(path);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int change_allowed(void)
{
	char *a = below(allowed, "a"), *b = below(allowed, "b"), *s = below(allowed, "sub/b"), *d = below(allowed, "d");
	int rc = 1;

	if (file_replace(a, "one", 3, 0600) == KC_OK && file_rename(a, b) == KC_OK && truncate(b, 1) == 0 &&
	    mkdir(d, 0700) == 0 && rmdir(d) == 0 && opens(allowed, "b", O_RDWR | O_TRUNC) &&
	    file_sync_dir(allowed) == KC_OK && file_rename(b, s) == KC_OK && file_remove(s) == KC_OK)
		rc = 0;
	free(a);
	free(b);
	free(s);
	free(d);
	return rc;
}

static int bind_socket(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", allowed);
	rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	unlink(addr.sun_path);
	return rc;
}

static int use_sqlite(const char *folder, const char *mode)
{
	char *path = below(folder, "k.sqlite"), *sql;
	sqlite3 *db = NULL;
	int rc = sqlite3_open(path, &db);

	for (unsigned i = 0; rc == SQLITE_OK && i < 3; i++) {
		sql =
		    sqlite3_mprintf("PRAGMA journal_mode=%s; PRAGMA synchronous=EXTRA; CREATE TABLE IF NOT EXISTS t(a);"
				    "BEGIN; INSERT INTO t VALUES(%u); COMMIT;",
			mode, i);
		rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
		sqlite3_free(sql);
	}
	sqlite3_close(db);
	file_remove(path);
	free(path);
	return rc;
}

static int forced_abi;

static int confined_files(void)
{
	const char *const ro[] = { shown, NULL }, *const rw[] = { allowed, NULL };
	struct confine_rules rules = { .read_only = ro, .read_write = rw, .system_files = true };

	EXPECT(proc_harden() == KC_OK);
	EXPECT(confine_files_at_abi(&rules, forced_abi) == KC_OK);
	EXPECT(opens(shown, "f", O_RDONLY));
	EXPECT(!opens(shown, "f", O_RDWR) && errno == EACCES);
	EXPECT(!opens(shown, "new", O_RDWR | O_CREAT) && errno == EACCES);
	EXPECT(file_sync_dir(shown) == KC_OK);
	EXPECT(!opens(forbidden, "f", O_RDONLY) && errno == EACCES);
	EXPECT(!opens("/etc", "shadow", O_RDONLY) && !opens(dir, ".", O_RDONLY | O_DIRECTORY));
	EXPECT(opens("/dev", "null", O_RDWR) && opens("/dev", "urandom", O_RDONLY));
	EXPECT(change_allowed() == 0);
	EXPECT(bind_socket() == 0);
	EXPECT(use_sqlite(allowed, "WAL") == SQLITE_OK);
	EXPECT(use_sqlite(allowed, "DELETE") == SQLITE_OK);
	EXPECT(use_sqlite(forbidden, "WAL") == SQLITE_CANTOPEN);
	execl("/bin/true", "true", (char *)NULL);
	EXPECT(errno == EACCES);
	return 0;
}

static void *thread(void *arg)
{
	return arg;
}

static bool makes_socket(int family)
{
	int fd = socket(family, family == AF_PACKET || family == AF_NETLINK ? SOCK_RAW : SOCK_STREAM, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == EAFNOSUPPORT; /* the machine may have no IPv6 */
}

static int confined_syscalls(void)
{
	pthread_t t;
	pid_t pid;
	int status;

	EXPECT(proc_harden() == KC_OK);
	EXPECT(confine_syscalls() == KC_OK);
	EXPECT(use_sqlite(allowed, "WAL") == SQLITE_OK);
	execl("/bin/true", "true", (char *)NULL);
	EXPECT(errno == EPERM);
	EXPECT(unshare(CLONE_NEWUSER) < 0 && errno == EPERM);
	EXPECT(mount("none", dir, "tmpfs", 0, NULL) < 0 && errno == EPERM);
#ifndef KC_WITH_SANITIZER
	EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 && errno == EPERM);
#endif
	EXPECT(setuid(getuid()) < 0 && errno == EPERM);
	EXPECT(ioctl(0, TIOCSTI, "x") < 0 && errno == EPERM);
	EXPECT(makes_socket(AF_INET) && makes_socket(AF_INET6) && makes_socket(AF_UNIX));
	/* forking and threads go on */
	EXPECT(pthread_create(&t, NULL, thread, NULL) == 0 && pthread_join(t, NULL) == 0);
	pid = fork();
	if (pid == 0)
		_exit(7);
	EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	return 0;
}

static int confined_offline(void)
{
	int pair[2];

	EXPECT(proc_harden() == KC_OK);
	EXPECT(confine_network() == KC_OK && confine_syscalls() == KC_OK);
	EXPECT(!makes_socket(AF_INET) && errno == EACCES);
	EXPECT(!makes_socket(AF_INET6) && errno == EACCES);
	EXPECT(!makes_socket(AF_NETLINK) && errno == EACCES);
	EXPECT(!makes_socket(AF_PACKET) && errno == EACCES);
	EXPECT(makes_socket(AF_UNIX) && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	EXPECT(use_sqlite(allowed, "WAL") == SQLITE_OK);
	return 0;
}

static int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(fn());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void confine__files_at_every_version__only_what_is_allowed(void **state)
{
	int newest = confine_landlock_abi();

	(void)state;
	if (newest == 0)
		skip();
	for (forced_abi = newest < 2 ? newest : 2; forced_abi <= newest; forced_abi++)
		assert_int_equal(in_child(confined_files), 0);
}

static int confined_at_1(void)
{
	const char *const rw[] = { allowed, NULL };
	struct confine_rules rules = { .read_write = rw };

	EXPECT(proc_harden() == KC_OK);
	EXPECT(confine_files_at_abi(&rules, 1) == KC_OK);
	EXPECT(!opens(forbidden, "f", O_RDONLY) && errno == EACCES);
	EXPECT(use_sqlite(allowed, "WAL") == SQLITE_OK);
	return 0;
}

/* The first version forbids renames between folders altogether; within one they work. */
static void confine__files_at_version_1__still_work(void **state)
{
	(void)state;
	if (confine_landlock_abi() == 0)
		skip();
	assert_int_equal(in_child(confined_at_1), 0);
}

static int missing_folder(void)
{
	const char *const rw[] = { "/nonexistent/folder", NULL };

	EXPECT(proc_harden() == KC_OK);
	EXPECT(confine_files(&(struct confine_rules){ .read_write = rw }) == KC_ENOENT);
	EXPECT(opens(forbidden, "f", O_RDONLY)); /* not confined by halves */
	return 0;
}

static void confine__missing_folder__is_an_error(void **state)
{
	(void)state;
	if (confine_landlock_abi() == 0)
		skip();
	assert_int_equal(in_child(missing_folder), 0);
}

static void confine__system_calls__are_denied(void **state)
{
	(void)state;
	assert_int_equal(in_child(confined_syscalls), 0);
}

static void confine__without_network__has_local_sockets_only(void **state)
{
	(void)state;
	assert_int_equal(in_child(confined_offline), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(confine__files_at_every_version__only_what_is_allowed),
		T(confine__files_at_version_1__still_work),
		T(confine__missing_folder__is_an_error),
		T(confine__system_calls__are_denied),
		T(confine__without_network__has_local_sockets_only),
	};

	return cmocka_run_group_tests_name("confine", tests, NULL, NULL);
}
