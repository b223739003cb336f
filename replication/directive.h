/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directive: the master's session that has a clone take one step of a rotation of certificates.
 *
 * A session of its own beside the one for backups: it is made with the credentials of now, so that what it proves about
 * trust is true now, and it disturbs no push. Connect, hello (`directs`), directive, its answer, bye. What a directive
 * says is the workers' business: here it is signed bytes. The clone's end is in receive.h.
 */
#ifndef KC_DIRECTIVE_H
#define KC_DIRECTIVE_H

#include <stdint.h>

#include "base/loop.h"
#include "replication/conn.h"
#include "replication/proto.h"

#define DIRECTIVE_SINCE 4 /* version of the protocol */

struct directive;

/* Both come from the loop and are required. The directive may be freed inside on_closed only. */
struct directive_events {
	/* The clone did it, or says why not; `peer` is its certificate, as it showed it on this session. */
	void (*on_answer)(const struct proto_directed *answer, const struct cert_info *peer, void *arg);
	/* Once, last; KC_OK: after an answer. `v`: why one refused the other, else PEER_UNDECIDED. */
	void (*on_closed)(int rc, enum peer_verdict v, const char *text, void *arg);
};

struct directive_options {
	const char *host;
	uint16_t port;
	struct conn_options conn;	 /* self and the role and host of the rule are set here */
	const char *recipient;		 /* that the clone has to show; copied */
	const struct proto_hello *hello; /* ours; role, version, time, directs are filled in. Copied */
	const void *body;		 /* copied; at most PROTO_DIRECTIVE_MAX bytes */
	size_t body_size;
	const void *signature; /* copied; at most PROTO_SIGNATURE bytes */
	size_t signature_size;
	uint64_t answer_ms; /* [120 s] */
};

/* Never fails at once: on_closed tells. */
struct directive *directive_start(
    struct loop *l, const struct directive_options *o, const struct directive_events *ev, void *arg);
/* At once, without on_closed. NULL is a no-op. */
void directive_free(struct directive *d);

#endif
