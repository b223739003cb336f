/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_listen: sockets that wait for peers, and what strangers may cost us. A session belongs to the listener while it
 * is half open (until it is authorised); then its owner is whoever on_session() gave it to, and the listener only
 * counts.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "conn_priv.h"
#include "conn_try.h"

#define SOCKETS_MAX	      8
#define BACKLOG		      128
#define ACCEPTS_A_TURN	      16
#define HALF_OPEN	      64
#define HALF_OPEN_PER_ADDRESS 24 /* a fleet of twenty behind one address that comes back at once */
#define SESSIONS	      64
#define PAUSE_MS	      1000 /* after accept(2) found no descriptor */
#define LOG_BURST	      10
#define LOG_INTERVAL_MS	      60000

struct conn_listener {
	struct loop *loop;
	struct conn_listen_options opt;
	struct conn_listen_events events;
	void *arg;
	struct conn *template; /* holds our copies of what the options of its sessions point to */
	int fds[SOCKETS_MAX];
	struct loop_fd *watches[SOCKETS_MAX];
	size_t count;
	struct loop_timer *pause;
	struct conn *conns; /* newest first */
	unsigned half_open, sessions;
	struct log_rate rate;  /* of strangers */
	struct log_rate ended; /* of sessions */
	uint16_t port;
	bool in_callback, freed;
};

/* --- addresses --- */

void conn_address_text(char **address, char **name, const struct sockaddr_storage *a)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)a;
	const struct sockaddr_in *four = (const struct sockaddr_in *)a;
	char text[INET6_ADDRSTRLEN] = "";
	unsigned port = 0;
	bool six_only = false;

	if (a->ss_family == AF_INET) {
		inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
		port = ntohs(four->sin_port);
	} else if (a->ss_family == AF_INET6) {
		six_only = !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
		inet_ntop(six_only ? AF_INET6 : AF_INET,
		    six_only ? (const void *)&six->sin6_addr : &six->sin6_addr.s6_addr[12], text, sizeof(text));
		port = ntohs(six->sin6_port);
	}
	*address = mem_xstrdup(text);
	if (name != NULL)
		*name = host_port_format(text, (int)port);
}

/* --- what strangers cost --- */

static void refused(struct conn_listener *ln, const char *address, enum peer_verdict v, int rc, const char *text)
{
	log_limited(&ln->rate, loop_now(ln->loop), rc == KC_ENET ? LOG_LVL_INFO : LOG_LVL_WARN, "refused %s: %s",
	    address, text);
	if (ln->events.on_refused != NULL)
		ln->events.on_refused(address, v, rc, text, ln->arg);
}

static unsigned half_open_of(const struct conn_listener *ln, const char *address)
{
	unsigned n = 0;

	for (const struct conn *c = ln->conns; c != NULL; c = c->next)
		n += c->half_open && strcmp(c->address, address) == 0;
	return n;
}

/* Room for one more stranger: the one that has taken longest goes. Honest peers need a fraction of a second. */
static void drop_oldest(struct conn_listener *ln)
{
	struct conn *oldest = NULL;

	for (struct conn *c = ln->conns; c != NULL; c = c->next)
		if (c->half_open)
			oldest = c;
	assert(oldest != NULL);
	refused(ln, oldest->address, oldest->verdict, KC_ELIMIT, "too many sessions wait to be authorised");
	conn_free(oldest);
}

static void unlink_conn(struct conn_listener *ln, struct conn *c)
{
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		ln->conns = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->next = c->prev = NULL;
	c->listener = NULL;
}

void conn_listener_forget(struct conn *c)
{
	struct conn_listener *ln = c->listener;

	if (ln == NULL)
		return;
	if (c->half_open)
		ln->half_open--;
	else
		ln->sessions--;
	unlink_conn(ln, c);
}

struct log_rate *conn_listener_rate(struct conn *c)
{
	return c->listener != NULL ? &c->listener->ended : NULL;
}

/* --- half-open sessions --- */

static void enter(struct conn_listener *ln)
{
	ln->in_callback = true;
}

static bool leave(struct conn_listener *ln)
{
	ln->in_callback = false;
	if (!ln->freed)
		return true;
	ln->freed = false;
	conn_listener_free(ln);
	return false;
}

static void on_ready(struct conn *c, void *arg)
{
	struct conn_listener *ln = arg;

	c->half_open = false;
	ln->half_open--;
	if (ln->sessions++ >= ln->opt.sessions) {
		conn_abort(c, err_set(KC_EBUSY, "%u sessions are open, which is the limit", ln->opt.sessions));
		return;
	}
	c->events = (struct conn_events){ 0 };
	enter(ln);
	ln->events.on_session(c, ln->arg);
	leave(ln);
}

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct conn_listener *ln = arg;

	enter(ln);
	refused(ln, c->address, c->verdict, rc, text);
	conn_free(c);
	leave(ln);
}

static void take(struct conn_listener *ln, int fd, const struct sockaddr_storage *a)
{
	static const struct conn_events events = { .on_ready = on_ready, .on_closed = on_closed };
	char *address, *name;
	struct conn *c;
	int on = 1;

	conn_address_text(&address, &name, a);
	if (half_open_of(ln, address) >= ln->opt.half_open_per_address) {
		close(fd);
		refused(
		    ln, address, PEER_UNDECIDED, KC_ELIMIT, "too many sessions of this address wait to be authorised");
	} else {
		if (ln->half_open >= ln->opt.half_open)
			drop_oldest(ln);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c = conn_from_fd(ln->loop, fd, true, name, &ln->template->opt, &events, ln);
		free(c->address);
		c->address = mem_xstrdup(address);
		c->listener = ln;
		c->half_open = true;
		c->next = ln->conns;
		if (c->next != NULL)
			c->next->prev = c;
		ln->conns = c;
		ln->half_open++;
	}
	free(address);
	free(name);
}

static void on_acceptable(int fd, int events, void *arg)
{
	struct conn_listener *ln = arg;

	(void)events;
	enter(ln);
	for (unsigned i = 0; i < ACCEPTS_A_TURN && !ln->freed; i++) {
		struct sockaddr_storage a = { 0 };
		socklen_t n = sizeof(a);
		int peer = accept4(fd, (struct sockaddr *)&a, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer >= 0) {
			take(ln, peer, &a);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_limited(&ln->rate, loop_now(ln->loop), LOG_LVL_ERR, "port %u: cannot accept: %s", ln->port,
			    strerror(errno));
			for (size_t k = 0; k < ln->count; k++)
				loop_fd_want(ln->watches[k], 0);
			loop_timer_set(ln->pause, PAUSE_MS);
		}
		if (errno != EINTR && errno != ECONNABORTED)
			break;
	}
	leave(ln);
}

static void on_pause_over(void *arg)
{
	struct conn_listener *ln = arg;

	for (size_t i = 0; i < ln->count; i++)
		loop_fd_want(ln->watches[i], LOOP_READ);
}

/* --- listening --- */

static int bind_failure(const struct conn_listen_options *opt, int e)
{
	if (e == EADDRINUSE)
		return err_set(KC_ECREATE, "port %u is in use", opt->port);
	if (e == EADDRNOTAVAIL)
		return err_set(KC_ECREATE, "%s: no such address on this machine", opt->address);
	if (e == EACCES)
		return err_set(KC_ECREATE, "port %u: permission denied", opt->port);
	return err_set(KC_ECREATE, "port %u: cannot listen: %s", opt->port, strerror(e));
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage a = { 0 };
	socklen_t n = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		return 0;
	return ntohs(
	    a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
}

static int add_socket(struct conn_listener *ln, struct sockaddr *a, socklen_t n, bool dual)
{
	int fd = socket(a->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, only_six = dual ? 0 : 1, e;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_six, sizeof(only_six));
	if (bind(fd, a, n) < 0 || listen(fd, BACKLOG) < 0) {
		e = errno;
		close(fd);
		return -e;
	}
	ln->fds[ln->count] = fd;
	ln->watches[ln->count] = loop_fd_new(ln->loop, fd, on_acceptable, ln);
	loop_fd_want(ln->watches[ln->count], LOOP_READ);
	ln->count++;
	ln->port = port_of(fd);
	return 0;
}

/* IPv6 and IPv4 by one socket; IPv4 alone where the kernel has no IPv6. */
static int listen_any(struct conn_listener *ln)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(ln->opt.port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(ln->opt.port) };
	int e = add_socket(ln, (struct sockaddr *)&six, sizeof(six), true);

	if (e == -EAFNOSUPPORT || e == -EADDRNOTAVAIL)
		e = add_socket(ln, (struct sockaddr *)&four, sizeof(four), false);
	return e < 0 ? bind_failure(&ln->opt, -e) : KC_OK;
}

static int listen_address(struct conn_listener *ln)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE }, *list;
	char service[8];
	int e;

	snprintf(service, sizeof(service), "%u", ln->opt.port);
	e = getaddrinfo(ln->opt.address, service, &hints, &list);
	if (e != 0)
		return err_set(KC_ECREATE, "%s: %s", ln->opt.address, gai_strerror(e));
	e = 0;
	for (struct addrinfo *a = list; a != NULL && e == 0 && ln->count < SOCKETS_MAX; a = a->ai_next) {
		/* A free port that the first socket got is the others' as well. */
		if (ln->count > 0 && a->ai_family == AF_INET6)
			((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_port = htons(ln->port);
		else if (ln->count > 0)
			((struct sockaddr_in *)(void *)a->ai_addr)->sin_port = htons(ln->port);
		e = add_socket(ln, a->ai_addr, a->ai_addrlen, false);
	}
	freeaddrinfo(list);
	return e < 0 ? bind_failure(&ln->opt, -e) : KC_OK;
}

static struct conn *template_new(struct conn_listener *ln, const struct conn_options *opt)
{
	static const struct conn_events none = { 0 };

	return conn_new(ln->loop, CONN_CLOSED, true, "listener", opt, &none, NULL);
}

int conn_listen(struct conn_listener **listener, struct loop *l, const struct conn_listen_options *opt,
    const struct conn_listen_events *events, void *arg)
{
	struct conn_listener *ln = mem_xalloc(sizeof(*ln));
	bool any = opt->address == NULL || opt->address[0] == '\0' || strcmp(opt->address, "any") == 0;
	int rc;

	ln->loop = l;
	ln->opt = *opt;
	ln->opt.half_open = opt->half_open > 0 ? opt->half_open : HALF_OPEN;
	ln->opt.half_open_per_address =
	    opt->half_open_per_address > 0 ? opt->half_open_per_address : HALF_OPEN_PER_ADDRESS;
	ln->opt.sessions = opt->sessions > 0 ? opt->sessions : SESSIONS;
	ln->events = *events;
	ln->arg = arg;
	ln->rate = (struct log_rate)LOG_RATE(LOG_BURST, LOG_INTERVAL_MS);
	ln->ended = (struct log_rate)LOG_RATE(LOG_BURST, LOG_INTERVAL_MS);
	ln->template = template_new(ln, &opt->conn);
	ln->pause = loop_timer_new(l, on_pause_over, ln);
	rc = any ? listen_any(ln) : listen_address(ln);
	if (rc < 0) {
		conn_listener_free(ln);
		return rc;
	}
	*listener = ln;
	return KC_OK;
}

int conn_try_listen(const char *address, int port)
{
	struct conn_listener *ln = mem_xalloc(sizeof(*ln));
	struct loop *l = loop_new();
	bool any = address == NULL || address[0] == '\0' || strcmp(address, "any") == 0;
	int rc;

	ln->loop = l;
	ln->opt.address = address;
	ln->opt.port = (uint16_t)port;
	rc = any ? listen_any(ln) : listen_address(ln);
	conn_listener_free(ln);
	loop_free(l);
	return rc;
}

void conn_listener_free(struct conn_listener *ln)
{
	if (ln == NULL)
		return;
	if (ln->in_callback) {
		ln->freed = true;
		return;
	}
	while (ln->conns != NULL) {
		struct conn *c = ln->conns;
		bool ours = c->half_open || c->events.on_closed == on_closed;

		unlink_conn(ln, c);
		if (ours)
			conn_free(c);
	}
	for (size_t i = 0; i < ln->count; i++) {
		loop_fd_free(ln->watches[i]);
		close(ln->fds[i]);
	}
	loop_timer_free(ln->pause);
	conn_free(ln->template);
	free(ln);
}

void conn_listener_set_options(struct conn_listener *ln, const struct conn_options *opt)
{
	struct conn *old = ln->template;

	ln->template = template_new(ln, opt);
	conn_free(old);
}

uint16_t conn_listener_port(const struct conn_listener *ln)
{
	return ln->port;
}
