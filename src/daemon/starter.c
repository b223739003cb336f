/* SPDX-License-Identifier: Apache-2.0 */
/*
 * starter: starts workers for a daemon that has given up the right to. Protocol on its socket: one byte asks (which
 * of the two kinds), the answer is the child's pid with the daemon's end of the worker's socket attached (SCM_RIGHTS).
 * Must never hold a secret.
 */
#include "starter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/mem.h"

#define CHILD_FD 3 /* where a child finds its socket */

struct starter {
	int fd;
	pid_t pid;
};

/* In a new child: only async-signal-safe calls. Our image again, in another mode, with its socket as descriptor 3. */
static void exec_self(int fd, const char *mode, const char *conf_path)
{
	char *argv[] = { (char *)(uintptr_t) "keycloned", (char *)(uintptr_t)mode, (char *)(uintptr_t) "-c",
		(char *)(uintptr_t)conf_path, NULL };

	if (fd == CHILD_FD)
		fcntl(fd, F_SETFD, 0);
	else if (dup2(fd, CHILD_FD) < 0)
		_exit(127);
	execv("/proc/self/exe", argv);
	_exit(127);
}

int starter_new(struct starter **out, const char *conf_path)
{
	struct starter *s;
	int fds[2], rc = ipc_pair(fds);
	pid_t pid;

	if (rc < 0)
		return rc;
	pid = fork();
	if (pid == 0)
		exec_self(fds[1], "--starter", conf_path);
	close(fds[1]);
	if (pid < 0) {
		rc = err_errno("cannot fork");
		close(fds[0]);
		return rc;
	}
	s = mem_xalloc(sizeof(*s));
	s->fd = fds[0];
	s->pid = pid;
	*out = s;
	return KC_OK;
}

void starter_free(struct starter *s)
{
	if (s == NULL)
		return;
	close(s->fd);
	while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(s);
}

int starter_spawn(int *fd, pid_t *pid, struct starter *s, enum starter_kind kind)
{
	const char ask = (char)kind;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	pid_t got = -1;
	struct iovec iov = { .iov_base = &got, .iov_len = sizeof(got) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
	};
	struct cmsghdr *c;
	ssize_t n;

	if (send(s->fd, &ask, 1, MSG_NOSIGNAL) != 1)
		return err_set(KC_EWORKER, "the process that starts workers is gone");
	do
		n = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n == (ssize_t)sizeof(got) ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c == NULL || c->cmsg_type != SCM_RIGHTS || got <= 0)
		return err_set(KC_EWORKER, "the process that starts workers cannot start one");
	memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	*pid = got;
	return KC_OK;
}

/* fork() whose child belongs to our parent, the daemon. */
static pid_t fork_sibling(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

static int answer(pid_t pid, int fd)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = &pid, .iov_len = sizeof(pid) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (pid > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	}
	return sendmsg(CHILD_FD, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

int starter_main(const char *conf_path)
{
	char ask;

	fcntl(CHILD_FD, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "keyclone-start");
	/* The daemon's end closes when it ends, however it ends. Terminal signals are the daemon's to handle. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	while (read(CHILD_FD, &ask, 1) == 1) {
		int fds[2];
		pid_t pid = -1;

		if (ipc_pair(fds) < 0)
			break;
		pid = fork_sibling();
		if (pid == 0)
			exec_self(fds[1], ask == STARTER_HOOK ? "--hook" : "--worker", conf_path);
		close(fds[1]);
		(void)answer(pid, fds[0]); /* a daemon that is gone closes our socket, too */
		close(fds[0]);
	}
	return 0;
}
