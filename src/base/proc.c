/* SPDX-License-Identifier: Apache-2.0 */
/* proc: hardens the process and talks to systemd. Needs no library for either. */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "log.h"
#include "mem.h"

/* A file opened later must not become standard error and receive log lines. */
static int open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return err_errno("/dev/null");
	} while (fd <= STDERR_FILENO);
	close(fd);
	return KC_OK;
}

int proc_harden(void)
{
	const struct rlimit none = { 0, 0 };
	struct sigaction ignore;
	int rc = open_standard();

	if (rc < 0)
		return rc;
	memset(&ignore, 0, sizeof(ignore));
	ignore.sa_handler = SIG_IGN;
	umask(077);
	if (sigaction(SIGPIPE, &ignore, NULL) < 0)
		return err_errno("cannot ignore SIGPIPE");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_errno("cannot forbid core dumps");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno("cannot give up new privileges");
#ifndef KC_WITH_SANITIZER
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno("cannot become undumpable");
#endif
	return KC_OK;
}

static int ascending(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static void close_between(unsigned first, unsigned last)
{
	long max;

	if (first > last || close_range(first, last, 0) == 0)
		return;
	/* a kernel before 5.9, or a sandbox that does not know the call */
	max = sysconf(_SC_OPEN_MAX);
	if (max > 0 && last >= (unsigned long)max)
		last = (unsigned)max - 1;
	for (unsigned fd = first; fd <= last; fd++)
		close((int)fd);
}

void proc_close_inherited(const int *keep, size_t n)
{
	int *sorted = mem_xcalloc(n, sizeof(*sorted));
	unsigned next = STDERR_FILENO + 1;

	if (n > 0) {
		memcpy(sorted, keep, n * sizeof(*sorted));
		qsort(sorted, n, sizeof(*sorted), ascending);
	}
	for (size_t i = 0; i < n; i++) {
		if (sorted[i] < 0 || (unsigned)sorted[i] < next)
			continue;
		close_between(next, (unsigned)sorted[i] - 1);
		next = (unsigned)sorted[i] + 1;
	}
	close_between(next, ~0u);
	free(sorted);
}

static bool send_to_socket(const char *path, const char *text)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	bool ok;
	int fd;

	if ((path[0] != '/' && path[0] != '@') || n < 2 || n >= sizeof(addr.sun_path))
		return false;
	memcpy(addr.sun_path, path, n);
	if (path[0] == '@')
		addr.sun_path[0] = '\0'; /* abstract */
	else
		size++;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	ok = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr, size) >= 0;
	close(fd);
	return ok;
}

static void notify(const char *text)
{
	static bool complained;
	const char *path = getenv("NOTIFY_SOCKET");
	int saved = errno;

	if (path != NULL && !send_to_socket(path, text) && !complained) {
		complained = true;
		log_debug("%s: cannot notify the service manager", path);
	}
	errno = saved;
}

void proc_notify_ready(void)
{
	notify("READY=1");
}

void proc_notify_reloading(void)
{
	char text[80];
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
	    (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
	notify(text);
}

void proc_notify_stopping(void)
{
	notify("STOPPING=1");
}
