/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire: what the loop tests of sessions share: a small world of certificates, a recorder of what a conn says, and a
 * peer of bare GnuTLS that can be as bad as a test wants.
 */
#ifndef KC_TESTS_WIRE_H
#define KC_TESTS_WIRE_H

#include <gnutls/gnutls.h>

#include "base/loop.h"
#include "replication/conn.h"
#include "tests/loop/pki.h"

/* Authorities: ours, another one that is trusted, one that nobody trusts. */
struct wire_world {
	struct loop *loop;
	struct pki_ca *own, *other, *rogue;
	struct identity *master, *clone;
	struct tls_creds *master_creds, *clone_creds;
};
void wire_world_init(struct wire_world *w); /* with a fake clock */
void wire_world_fini(struct wire_world *w);
/* For the side `self`, expecting the other; handshake 1 s, idle 4 s, keep-alive 1 s, linger 1 s, connect 2 s. */
struct conn_options wire_options(const struct wire_world *w, enum proto_role self);

/* What happened to a conn. */
struct wire_log {
	struct conn *conn;
	unsigned ready, frames, writable, closed;
	size_t bytes; /* of data */
	uint8_t last; /* type of the last frame */
	struct proto_msg msg;
	int rc;
	enum peer_verdict verdict;
	char text[600];
	int answer; /* what on_frame returns */
	bool free_in_frame;
};
extern const struct conn_events wire_events;

/* Log lines at WARN and above since the last reset, by the sink. */
extern unsigned wire_warnings;
extern char wire_last_warning[600];
void wire_watch_log(void);

/* Turn the loop until `*flag` is not 0, or nothing happens any more. The clock stands still. */
void wire_pump(struct loop *l, const unsigned *flag);
void wire_advance(struct loop *l, uint64_t ms);

/* --- the bad peer --- */

struct raw_options {
	const struct identity *id; /* NULL: no certificate */
	const char *priority;	   /* NULL: NORMAL with TLS 1.3 */
	const char *alpn;	   /* NULL: none */
};
struct raw {
	int fd;
	bool client, shaken, dead;
	int error; /* of GnuTLS, that ended it */
	int alert; /* read from the other side; -1: none */
	gnutls_session_t session;
	gnutls_certificate_credentials_t cred;
	uint8_t got[65536];
	size_t got_length;
};
/* Takes fd (connected). */
void raw_init(struct raw *r, int fd, bool client, const struct raw_options *o);
void raw_fini(struct raw *r);
/* One step: handshake, then read what there is. */
void raw_step(struct raw *r);
/* Turn the loop and step, until *flag, or quiet. */
void raw_pump(struct raw *r, struct loop *l, const unsigned *flag);
void raw_send(struct raw *r, const void *data, size_t n);
void raw_frame(struct raw *r, uint8_t type, const void *body, size_t length_said, size_t length_sent);

int wire_connect(uint16_t port); /* a plain TCP connection to 127.0.0.1 */
int wire_listen(uint16_t *port); /* a plain listener there */

extern const char wire_master_hello[], wire_clone_hello[];

#endif
