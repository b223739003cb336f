/* SPDX-License-Identifier: Apache-2.0 */
/* conn_look: one address after the other, each waited for. */
#include "conn_look.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

/* 0, or errno. */
static int wait_connected(int fd, unsigned timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int e = 0, n;

	do
		n = poll(&p, 1, (int)timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return ETIMEDOUT;
	return n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) < 0 ? errno : e;
}

static int try_address(int *out, const struct addrinfo *a, unsigned timeout_ms)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
		e = errno == EINPROGRESS ? wait_connected(fd, timeout_ms) : errno;
	if (e == 0 && fcntl(fd, F_SETFL, 0) < 0)
		e = errno;
	if (e == 0)
		*out = fd;
	else
		close(fd);
	return e;
}

static int explain(int e, unsigned timeout_ms)
{
	if (e == ETIMEDOUT)
		return err_set(KC_ETIMEOUT, "no answer within %u s", timeout_ms / 1000);
	if (e == ECONNREFUSED)
		return err_set(KC_EREFUSED, "connection refused");
	return err_set(KC_ENET, "cannot connect: %s", strerror(e));
}

int conn_look(int *fd, const char *host, int port, unsigned timeout_ms)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL;
	char service[8];
	int e = EHOSTUNREACH, rc;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(host, service, &hints, &list);
	if (rc != 0)
		return err_set(KC_ENET, "the name %s is not known here: %s", host, gai_strerror(rc));
	for (const struct addrinfo *a = list; e != 0 && a != NULL; a = a->ai_next)
		e = try_address(fd, a, timeout_ms);
	freeaddrinfo(list);
	return e == 0 ? KC_OK : explain(e, timeout_ms);
}
