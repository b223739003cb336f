/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of proc: hardening in a child, descriptors, notifications. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/proc.h"

/* Run fn in a child; its value is the child's exit status. */
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

static int hardened(void)
{
	struct rlimit core;
	int fds[2];

	close(0);
	if (proc_harden() != KC_OK)
		return 1;
	if (fcntl(0, F_GETFD) < 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
#ifndef KC_WITH_SANITIZER
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 4;
#endif
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_cur != 0 || core.rlim_max != 0)
		return 5;
	if (umask(0) != 077)
		return 6;
	if (pipe(fds) < 0 || close(fds[0]) < 0 || write(fds[1], "x", 1) >= 0)
		return 7; /* and still alive */
	return 0;
}

static void proc__harden__holds(void **state)
{
	(void)state;
	assert_int_equal(in_child(hardened), 0);
}

static int closed_but_kept(void)
{
	int keep[] = { 40, 17, 17, -1, 2 };

	for (int fd = 10; fd < 60; fd++)
		if (dup2(2, fd) < 0)
			return 1;
	proc_close_inherited(keep, sizeof(keep) / sizeof(keep[0]));
	for (int fd = 0; fd < 100; fd++)
		if ((fcntl(fd, F_GETFD) >= 0) != (fd <= 2 || fd == 17 || fd == 40))
			return fd > 1 ? fd : 100;
	proc_close_inherited(NULL, 0);
	return fcntl(17, F_GETFD) >= 0 ? 2 : 0;
}

static void proc__inherited_descriptors__are_closed_but_the_kept(void **state)
{
	(void)state;
	assert_int_equal(in_child(closed_but_kept), 0);
}

static int listen_on(const struct sockaddr_un *addr, socklen_t size)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)addr, size), 0);
	return fd;
}

static void assert_received(int fd, const char *text)
{
	char got[512];
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	assert_true(n >= 0);
	got[n] = '\0';
	if (strcmp(text, "RELOADING=1\nMONOTONIC_USEC=") == 0)
		got[strlen(text)] = '\0';
	assert_string_equal(got, text);
}

static void assert_messages(int fd)
{
	proc_notify_ready();
	assert_received(fd, "READY=1");
	proc_notify_reloading();
	assert_received(fd, "RELOADING=1\nMONOTONIC_USEC=");
	proc_notify_stopping();
	assert_received(fd, "STOPPING=1");
}

static void proc__notify__reaches_a_socket_in_the_file_system(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/kc-test-proc.XXXXXX";
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
	fd = listen_on(&addr, sizeof(addr));
	assert_int_equal(setenv("NOTIFY_SOCKET", addr.sun_path, 1), 0);
	assert_messages(fd);
	close(fd);
	unlink(addr.sun_path);
	proc_notify_ready(); /* nobody there: nothing happens */
	rmdir(dir);
}

static void proc__notify__reaches_an_abstract_socket(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char name[64];
	int n = snprintf(name, sizeof(name), "@kc-test-proc-%d", (int)getpid()), fd;

	(void)state;
	memcpy(addr.sun_path + 1, name + 1, (size_t)n - 1);
	fd = listen_on(&addr, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n));
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	assert_messages(fd);
	close(fd);
}

static void proc__notify__survives_nonsense(void **state)
{
	char longer[300];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(setenv("NOTIFY_SOCKET", longer, 1), 0);
	proc_notify_ready();
	assert_int_equal(setenv("NOTIFY_SOCKET", "", 1), 0);
	proc_notify_ready();
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	proc_notify_ready();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proc__harden__holds),
		cmocka_unit_test(proc__inherited_descriptors__are_closed_but_the_kept),
		cmocka_unit_test(proc__notify__reaches_a_socket_in_the_file_system),
		cmocka_unit_test(proc__notify__reaches_an_abstract_socket),
		cmocka_unit_test(proc__notify__survives_nonsense),
	};

	return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
