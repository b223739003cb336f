/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contact: one session with each of some peers, to find out whether replication would work: name, port, TLS, who
 * authorises whom, and what the peer says of itself. Both sides greet, then it is over: nothing is offered, and the
 * peer sees no more of it than of a clone that says that it is there again.
 *
 * Used by the daemon (`check` on the control socket) and, where none runs, by the command line.
 */
#ifndef KC_CONTACT_H
#define KC_CONTACT_H

#include <jansson.h>

#include "base/conf.h"
#include "base/loop.h"
#include "daemon/state.h"
#include "replication/conn.h"
#include "replication/conn_try.h"

struct contacts;

struct contacts_options {
	struct loop *loop;
	struct tls_creds *creds; /* borrowed, as all of it */
	const struct conf *conf;
	const struct state_self *self;
	struct state *state;   /* NULL: none yet */
	const char *host;      /* this machine's name */
	const char *signer;    /* master: public half of the signing key; NULL: we cannot greet */
	const char *recipient; /* clone: its age recipient; NULL: we cannot greet */
};

/* Told once, from the loop, when every peer has answered or failed. `peers` is borrowed:
 * [{"host", "port", "session": "new"|"open", "rc", "error", "code", "authorised", "tls", "not_after", "hello": null or
 *   {"product", "host", "lineage", "time", "clock_offset", "stopped"; of a clone "applied_lineage", "applied",
 * "stored", "free", "diverged"; of a master "interval", "ancestors"}}] */
typedef void (*contacts_done_fn)(const json_t *peers, void *arg);

struct contacts *contacts_new(const struct contacts_options *o, contacts_done_fn done, void *arg);
/* Sessions that are open are dropped. NULL is a no-op. Allowed inside `done`. */
void contacts_free(struct contacts *c);

/* Before contacts_start(). */
void contacts_add(struct contacts *c, const char *host, int port);
/* Of a clone: the promoted one that it follows, else the configured one, else the one that was heard last, if any. */
void contacts_add_master(struct contacts *c);
/* A peer that a session is open with anyway: what is known of it. */
void contacts_add_open(struct contacts *c, const char *host, int port, const struct proto_hello *h, int clock_offset,
    const struct cert_info *cert);
void contacts_start(struct contacts *c);

#endif
