/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_priv: what conn.c, conn_time.c, conn_io.c, conn_connect.c and conn_listen.c share. For no one else.
 */
#ifndef KC_CONN_PRIV_H
#define KC_CONN_PRIV_H

#include "base/buf.h"
#include "conn.h"

enum conn_phase { CONN_RESOLVE, CONN_CONNECT, CONN_HANDSHAKE, CONN_OPEN, CONN_LINGER, CONN_CLOSED };

struct conn_dial;
struct log_rate;

/* What the first deadline waits for. */
#define CONN_HELLO "hello"
#define CONN_JOIN  "request to join"

struct conn {
	struct loop *loop;
	struct conn_events events;
	void *arg;
	struct conn_options opt; /* with the defaults filled in; the rule is our copy */
	char *host;		 /* as given to conn_connect(); for the server name */
	char *name;		 /* for people */
	char *address;		 /* of the peer, without port */
	bool server;

	enum conn_phase phase;
	struct proto_fsm fsm;
	int fd;
	struct loop_fd *watch;
	struct tls *tls;
	struct conn_dial *dial; /* while RESOLVE and CONNECT */
	int read_wait, write_wait;

	struct loop_timer *phase_timer; /* deadline of the phase */
	struct loop_timer *owner_timer; /* conn_deadline() */
	struct loop_timer *pulse;	/* idle, stalled, keep-alive: looks at the three times below */
	struct loop_timer *kick;	/* go on at the next turn */
	const char *owner_what;
	uint64_t owner_ms;
	uint64_t last_in, last_out, last_taken; /* received; queued; accepted by the descriptor */
	uint64_t ready_at;

	uint8_t head[PROTO_HEAD_BYTES];
	size_t head_got;
	uint8_t *in; /* payload of the frame that is coming in */
	size_t in_size, in_length, in_got, in_seen;

	struct buf out;	    /* control frames */
	uint8_t *data;	    /* one data frame with its header */
	size_t data_length; /* with header; 0 = free */
	size_t data_sent;
	size_t data_after; /* control bytes that go before it */
	bool want_writable, blocked;
	uint64_t bytes_in, bytes_out;

	bool finishing; /* send what is queued, then linger */
	bool told;	/* on_closed is done */
	size_t discarded;
	enum peer_verdict verdict;
	int rc;
	char *text;

	bool in_callback, freed;

	struct conn_listener *listener; /* that accepted it, while that lives */
	struct conn *next, *prev;	/* in its list */
	bool half_open;
};

/* A conn without descriptor, in `phase`. */
struct conn *conn_new(struct loop *l, enum conn_phase phase, bool server, const char *name,
    const struct conn_options *opt, const struct conn_events *events, void *arg);
/* Take a descriptor and watch it. */
void conn_watch(struct conn *c, int fd);
/* Give it up: no address behind it, or the end. */
void conn_close_fd(struct conn *c);
/* It is connected: begin the handshake. */
void conn_start_tls(struct conn *c);
/* The session is over: on_closed at the next turn. The first reason counts. */
void conn_end(struct conn *c, int rc, const char *text);
/* Over because of tls_error(). */
void conn_end_tls(struct conn *c);
/* Stop talking; let what was sent arrive; then conn_end() with c->rc and c->text. */
void conn_linger(struct conn *c);
void conn_set_phase(struct conn *c, enum conn_phase phase);
void conn_update_watch(struct conn *c);

/* Around every callback and every entry from the loop: false if the conn was freed meanwhile. */
void conn_enter(struct conn *c);
bool conn_leave(struct conn *c);

/* conn_time.c */
void conn_on_phase_timer(void *arg);
void conn_on_owner_timer(void *arg);
void conn_on_pulse(void *arg);

/* conn_io.c */
void conn_read(struct conn *c);
void conn_flush(struct conn *c);
bool conn_has_output(const struct conn *c);
void conn_queue_alive(struct conn *c);
int conn_queue(struct conn *c, const struct proto_msg *m);

/* conn_connect.c */
void conn_dial_free(struct conn_dial *d); /* NULL is a no-op */
void conn_dial_ready(struct conn *c);
void conn_dial_timeout(struct conn *c);

/* conn_listen.c */
void conn_listener_forget(struct conn *c);
/* Bounds what peers that come again and again cost the log; NULL for a session that we made. */
struct log_rate *conn_listener_rate(struct conn *c);

/* The peer's address without port, IPv4 as IPv4 even where it came by way of an IPv6 socket; and with port. */
struct sockaddr_storage;
void conn_address_text(char **address, char **name, const struct sockaddr_storage *a);

#endif
