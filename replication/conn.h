/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: a session: descriptor, TLS and deadlines below, frames above. And the listener that accepts them.
 *
 *     RESOLVE → CONNECT → HANDSHAKE → OPEN → LINGER → (closed)        made by conn_connect()
 *                         HANDSHAKE → OPEN → LINGER → (closed)        accepted by a listener
 *
 * Every state has a deadline. on_ready comes when the peer is authenticated *and* authorised (peer.h); no byte of it is
 * parsed before; or, on a session of enrolment (tls.h), when the peer knows the key of its token: that session carries
 * join and joined and nothing else (proto.h). Each frame's header is checked against proto's table (type, state, size)
 * before anything is allocated for it. on_closed comes exactly once, always from the loop and never from inside a call
 * of yours, unless you free the conn first. A conn may be freed inside any of its callbacks.
 *
 * While OPEN a side that has sent nothing for keepalive_ms sends an alive frame (never shown above), and a side that
 * has received nothing for idle_ms gives up with KC_ETIMEOUT. "Something" is a whole frame, or 16 KiB of a big one:
 * single bytes do not keep a session alive. A state of yours that must end in time, whatever the peer sends meanwhile,
 * has its own conn_deadline().
 */
#ifndef KC_CONN_H
#define KC_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "replication/peer.h"
#include "replication/proto.h"
#include "replication/tls.h"

struct conn;
struct conn_listener;

/* All callbacks may be NULL. */
struct conn_events {
	/* The peer may speak. The connecting side sends its hello now. */
	void (*on_ready)(struct conn *c, void *arg);
	/* A whole frame, already allowed by the table; the state has moved on. `payload` is borrowed until return.
	 * Return KC_OK, or an error (err_set) that ends the session: the peer is told by an error message, you by
	 * on_closed. */
	int (*on_frame)(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg);
	/* The queue went below low water, or the data buffer is free again: go on sending. Also called once per
	 * conn_want_writable(). */
	void (*on_writable)(struct conn *c, void *arg);
	/* The session is over; rc KC_OK where the peer said bye (or we did); `text` says why, one line. Free it now or
	 * later. conn_verdict() tells a refusal from a broken line. */
	void (*on_closed)(struct conn *c, int rc, const char *text, void *arg);
};

/* Where a master's sessions find the keys of tokens: PEER_TOKEN with the key in `psk`, PEER_NO_TOKEN, or
 * PEER_MANY_TOKENS. `address`: of whoever asks. */
struct conn_tokens {
	enum peer_verdict (*find)(uint8_t psk[TLS_PSK_BYTES], const char *id, const char *address, void *arg);
	void *arg;
};

struct conn_options {
	struct tls_creds *creds;   /* a reference is taken */
	struct peer_rule rule;	   /* what it points to is copied */
	enum proto_role self;	   /* what we are; sets the directions of the table */
	struct conn_tokens tokens; /* of a listener that enrols too; find NULL: certificates only */
	/* milliseconds; 0 = the default in brackets */
	uint64_t connect_ms;   /* for each address [10 s]; resolving a name has as much */
	uint64_t handshake_ms; /* from connected to authorised [10 s] */
	uint64_t idle_ms;      /* [60 s] replication.Timeout */
	uint64_t keepalive_ms; /* [idle_ms / 4] */
	uint64_t linger_ms;    /* for the last bytes to arrive [2 s] */
	size_t queue_max;      /* control bytes that may wait [1 MiB] */
};

/*
 * Connect to host:port. Never fails at once: on_closed tells. `host` is a name, an address, or an address in brackets.
 * All addresses of a name are tried in turn; nobody listening at the last one is KC_EREFUSED (with PEER_UNDECIDED).
 * Addresses never block; a name is looked up by a thread that lives for this one question (KC_ENET if it finds nothing,
 * KC_ETIMEOUT), so that a dead name server does not stop the loop.
 */
struct conn *conn_connect(struct loop *l, const char *host, uint16_t port, const struct conn_options *opt,
    const struct conn_events *events, void *arg);

/* A session over an open socket (takes fd), for tests and for sockets made elsewhere. `name`: who, for logs. */
struct conn *conn_from_fd(struct loop *l, int fd, bool server, const char *name, const struct conn_options *opt,
    const struct conn_events *events, void *arg);

/* Drops the session at once, without on_closed. NULL is a no-op. */
void conn_free(struct conn *c);

/* Hand a conn over to another owner (an accepted one to its receiver). */
void conn_set_events(struct conn *c, const struct conn_events *events, void *arg);

/*
 * Queue a control message; KC_OK, KC_ELIMIT if more than queue_max waits (the peer does not read), KC_EPROTO if the
 * table does not allow it now, or a member is out of range. After the session closed: KC_ENET, nothing is sent.
 */
int conn_send(struct conn *c, const struct proto_msg *m);

/*
 * Send data. One frame is in flight at a time, and nothing is copied: get the session's buffer (PROTO_DATA_MAX bytes),
 * fill it (pread), send its first n bytes (1…PROTO_DATA_MAX). conn_data_buffer() is NULL while the frame before has not
 * wholly left, or the state does not allow data: wait for on_writable. Order with control messages is as called.
 */
uint8_t *conn_data_buffer(struct conn *c);
int conn_send_data(struct conn *c, size_t n);

/* Call on_writable at the next turn, if there is room (for a sender that stopped because its file had not grown yet).
 */
void conn_want_writable(struct conn *c);

/* Arm the deadline of the owner's own state: KC_ETIMEOUT "no <what> within N s" unless set anew or cleared (0) in time.
 * `what` is borrowed (a literal): "answer to the offer". Does not depend on what the peer sends meanwhile. Only while
 * open; conn itself waits for the hellos this way. */
void conn_deadline(struct conn *c, uint64_t in_ms, const char *what);

/*
 * End in good order: what is queued is sent, then bye, then the peer's close is awaited (at most linger_ms; what it
 * still sends is read and discarded, so that our last message is not lost to a reset). Then on_closed(KC_OK).
 */
void conn_finish(struct conn *c);
/* The same with an error message to the peer, from rc and err_text(rc). on_closed gets rc and the text. */
void conn_abort(struct conn *c, int rc);

enum proto_state conn_state(const struct conn *c);	 /* of the table */
bool conn_is_open(const struct conn *c);		 /* authorised and not ended */
const char *conn_name(const struct conn *c);		 /* "10.0.0.5:2222", "[::1]:40112"; of connect: as given */
const char *conn_address(const struct conn *c);		 /* the address of the peer without port; "" while unknown */
const struct cert_info *conn_cert(const struct conn *c); /* NULL before on_ready */
enum peer_verdict conn_verdict(const struct conn *c);	 /* PEER_UNDECIDED: it did not come to that */
const char *conn_tls(const struct conn *c);		 /* "TLS1.3 …" */
const char *conn_token(const struct conn *c);		 /* id of the token that opened it; NULL: certificates did */

/*
 * Listener. It owns what it accepts until that is authorised, and bounds it: strangers can hold at most half_open
 * descriptors, half_open_per_address of them from one address; more are closed at once. A stranger that fails, or is
 * refused, costs one rate-limited log line and one on_refused.
 */
struct conn_listen_options {
	const char *address; /* NULL, "" or "any": IPv6 and IPv4; else a numeric address, or a name that has one */
	uint16_t port;	     /* 0: any free port, for tests */
	unsigned half_open;  /* [64] */
	unsigned half_open_per_address; /* [24] */
	unsigned sessions;		/* authorised sessions at a time; more are told "busy" and closed [64] */
	struct conn_options conn;	/* borrowed things are copied */
};
struct conn_listen_events {
	/* An authorised session; ownership moves to you: conn_set_events() here, or conn_free(). */
	void (*on_session)(struct conn *c, void *arg);
	/* A stranger was refused or failed before it was authorised; for the audit. `address` without port. */
	void (*on_refused)(const char *address, enum peer_verdict v, int rc, const char *text, void *arg);
};

/* KC_ECREATE "port 2222 is in use", "port 80: permission denied", "10.0.0.9: no such address on this machine". */
int conn_listen(struct conn_listener **ln, struct loop *l, const struct conn_listen_options *opt,
    const struct conn_listen_events *events, void *arg);
/* Sessions accepted before live on; half-open ones are dropped. NULL is a no-op. */
void conn_listener_free(struct conn_listener *ln);
/* Other credentials, rule or times for sessions accepted from now on. */
void conn_listener_set_options(struct conn_listener *ln, const struct conn_options *opt);
uint16_t conn_listener_port(const struct conn_listener *ln);

#endif
