/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_connect: from a host and a port to a connected descriptor. Addresses are tried in the resolver's order, each
 * with its own deadline. Names are looked up by a thread of their own, because the resolver knows no other way of not
 * blocking; a lookup that nobody waits for any more ends by itself and cleans up.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/host.h"
#include "base/mem.h"
#include "conn_priv.h"

#define LOOKUP_STACK (512u * 1024)

/* Shared with the thread; whoever lets go last frees it. */
struct lookup {
	atomic_int refs;
	int done; /* eventfd */
	int error;
	char *host;
	char port[8];
	struct addrinfo *found;
};

struct conn_dial {
	struct lookup *lookup;
	struct loop_fd *watch; /* of lookup->done */
	struct addrinfo *list, *next;
	int failure; /* errno of the last address */
};

static const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
static const struct addrinfo numeric = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST };

static void lookup_unref(struct lookup *k)
{
	if (atomic_fetch_sub(&k->refs, 1) > 1)
		return;
	if (k->found != NULL)
		freeaddrinfo(k->found);
	close(k->done);
	free(k->host);
	free(k);
}

static void *look_up(void *arg)
{
	struct lookup *k = arg;
	uint64_t one = 1;

	k->error = getaddrinfo(k->host, k->port, &hints, &k->found);
	if (k->error != 0)
		k->found = NULL;
	if (write(k->done, &one, sizeof(one)) < 0)
		k->error = EAI_SYSTEM; /* cannot be: the counter is 0 */
	lookup_unref(k);
	return NULL;
}

static int start_thread(struct lookup *k)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int e;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, LOOKUP_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&thread, &attr, look_up, k);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return e;
}

void conn_dial_free(struct conn_dial *d)
{
	if (d == NULL)
		return;
	loop_fd_free(d->watch);
	if (d->lookup != NULL)
		lookup_unref(d->lookup);
	if (d->list != NULL)
		freeaddrinfo(d->list);
	free(d);
}

static void give_up(struct conn *c)
{
	int e = c->dial->failure;
	char text[160];
	int rc = KC_ENET;

	if (e == ETIMEDOUT) {
		rc = KC_ETIMEOUT;
		snprintf(text, sizeof(text), "no answer within %.4g s", (double)c->opt.connect_ms / 1000);
	} else if (e == ECONNREFUSED) {
		rc = KC_EREFUSED;
		snprintf(text, sizeof(text), "connection refused");
	} else {
		snprintf(text, sizeof(text), "cannot connect: %s", strerror(e));
	}
	conn_end(c, rc, text);
}

/* Begin with the next address that a socket can be made for; give up after the last. */
static void try_next(struct conn *c)
{
	struct conn_dial *d = c->dial;

	conn_close_fd(c);
	for (; d->next != NULL; d->next = d->next->ai_next) {
		const struct addrinfo *a = d->next;
		int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd >= 0 && (connect(fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS)) {
			d->next = a->ai_next;
			conn_watch(c, fd);
			conn_set_phase(c, CONN_CONNECT);
			return;
		}
		d->failure = errno;
		if (fd >= 0)
			close(fd);
	}
	give_up(c);
}

static void on_lookup(int fd, int events, void *arg)
{
	struct conn *c = arg;
	struct conn_dial *d = c->dial;
	char text[400];

	(void)fd, (void)events;
	conn_enter(c);
	loop_fd_free(d->watch);
	d->watch = NULL;
	d->list = d->next = d->lookup->found;
	d->lookup->found = NULL;
	if (d->lookup->error != 0) {
		snprintf(text, sizeof(text), "%s cannot be looked up: %s", c->host, gai_strerror(d->lookup->error));
		conn_end(c, KC_ENET, text);
	} else {
		try_next(c);
	}
	conn_leave(c);
}

static void start_lookup(struct conn *c, uint16_t port)
{
	struct conn_dial *d = c->dial;
	struct lookup *k = mem_xalloc(sizeof(*k));
	int e;

	atomic_init(&k->refs, 2);
	k->host = mem_xstrdup(c->host);
	snprintf(k->port, sizeof(k->port), "%u", port);
	k->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->lookup = k;
	e = k->done < 0 ? errno : start_thread(k);
	if (e != 0) {
		lookup_unref(k); /* the thread's */
		err_set(KC_ESYS, "%s cannot be looked up: %s", c->host, strerror(e));
		conn_end(c, KC_ESYS, err_text(KC_ESYS));
		return;
	}
	d->watch = loop_fd_new(c->loop, k->done, on_lookup, c);
	loop_fd_want(d->watch, LOOP_READ);
}

void conn_dial_timeout(struct conn *c)
{
	char text[400];

	c->dial->failure = ETIMEDOUT;
	if (c->phase == CONN_CONNECT) {
		try_next(c);
		return;
	}
	snprintf(text, sizeof(text), "%s: no answer of the name service within %.4g s", c->host,
	    (double)c->opt.connect_ms / 1000);
	loop_fd_free(c->dial->watch);
	c->dial->watch = NULL;
	conn_end(c, KC_ETIMEOUT, text);
}

void conn_dial_ready(struct conn *c)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(int);
	int e = 0, on = 1;

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
		e = errno;
	n = sizeof(a);
	if (e == 0 && getpeername(c->fd, (struct sockaddr *)&a, &n) < 0)
		e = errno;
	if (e != 0) {
		c->dial->failure = e;
		try_next(c);
		return;
	}
	free(c->address);
	conn_address_text(&c->address, NULL, &a);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn_start_tls(c);
}

/* A bare host out of "[::1]", "::1", "name". Heap. */
static char *bare_host(const char *host)
{
	size_t n = strlen(host);

	return n > 2 && host[0] == '[' && host[n - 1] == ']' ? mem_xstrndup(host + 1, n - 2) : mem_xstrdup(host);
}

struct conn *conn_connect(struct loop *l, const char *host, uint16_t port, const struct conn_options *opt,
    const struct conn_events *events, void *arg)
{
	char *bare = bare_host(host), service[8], *name;
	struct conn *c;

	name = host_port_format(bare, port);
	c = conn_new(l, CONN_RESOLVE, false, name, opt, events, arg);
	free(name);
	c->host = bare;
	c->dial = mem_xalloc(sizeof(*c->dial));
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(bare, service, &numeric, &c->dial->list) == 0) {
		c->dial->next = c->dial->list;
		try_next(c);
	} else {
		c->dial->list = NULL;
		start_lookup(c, port);
	}
	return c;
}
