/* SPDX-License-Identifier: Apache-2.0 */
/*
 * push: the master's session with one clone, and the backups that go over it.
 *
 *     CONNECTING → IDLE → OFFERED → SENDING → RESTORING → IDLE → …       → OVER
 *                    ↑       └ declined         └ result    ↑
 *                    └────────┴─────────────────────────────┘
 *
 * push_start() connects, does TLS, authorises and exchanges hellos: on_ready, and the session is idle. It stays open
 * between generations, with keep-alives. push_offer() offers one backup file; when the clone accepts, its payload goes
 * out as far as it is valid, while it grows: push_grow() whenever there is more, push_end() when it is complete. Then
 * the clone verifies, restores, says how far it is, and at last the result: on_result, and the session is idle again.
 *
 * At most one frame is in memory: a slow clone is held back by TCP. Each turn of the loop sends at most one frame per
 * session, so one clone does not delay the others. Every state has a deadline that the clone cannot stretch by sending
 * something else: connecting and greeting (connect_ms, handshake_ms, timeout_ms), the answer to an offer (timeout_ms),
 * taking data (one frame in timeout_ms), restoring (timeout_ms since the last progress message; a clone sends
 * one every timeout_ms / 3 at most, and ours do it every 5 s).
 *
 * The session ends by itself (on_closed with PUSH_GOOD) when it is idle and older than max_age_ms, or when the clone
 * says bye, which it does to be greeted anew (what it has applied changed outside a push). Then start a new one.
 */
#ifndef KC_PUSH_H
#define KC_PUSH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "replication/conn.h"
#include "replication/proto.h"

struct push;

enum push_state {
	PUSH_CONNECTING, /* until on_ready */
	PUSH_IDLE,	 /* may offer */
	PUSH_OFFERED,	 /* waits for accept or decline */
	PUSH_SENDING,
	PUSH_RESTORING, /* all is sent: the clone verifies, restores */
	PUSH_ENDING,	/* says bye; on_closed follows */
	PUSH_OVER,	/* after on_closed */
};

/* How a session ended. */
enum push_ending {
	PUSH_GOOD,	   /* bye was said: by us (push_stop, age) or by the clone. rc is KC_OK */
	PUSH_UNREACHABLE,  /* connection refused (KC_EREFUSED), no route or no such name (KC_ENET), no answer
			      (KC_ETIMEOUT) */
	PUSH_UNAUTHORISED, /* one side refused the other's certificate, name, role, TLS version (KC_ECERT …);
			      push_verdict() */
	PUSH_FAILED,	   /* anything after that: broken line, silence, protocol, the clone's error, canceled */
};

/* What goes out; all is copied. */
struct push_file {
	struct proto_offer offer;
	const char
	    *path; /* the growing .part, or the finished file. Opened by push_offer() and kept open: renaming is fine */
	uint64_t valid; /* bytes from the beginning of the file that will not change (the header region counts, whatever
			   is in it): header_size, or more */
};

/* All may be NULL. A push may be freed inside any of them. They come from the loop, never from inside a call to push_*.
 */
struct push_events {
	/* The clone's hello; the session is idle: offer something, here or later. */
	void (*on_ready)(struct push *p, const struct proto_hello *clone, void *arg);
	/* It takes the file from this offset of the payload on. */
	void (*on_accepted)(struct push *p, uint64_t offset, void *arg);
	/* It does not take it; the session is idle. */
	void (*on_declined)(struct push *p, const struct proto_decline *d, void *arg);
	/* While sending: payload bytes sent (with those that the clone had), at most once in progress_ms. */
	void (*on_sent)(struct push *p, uint64_t bytes, void *arg);
	/* While restoring: as the clone says it. */
	void (*on_restoring)(struct push *p, const struct proto_progress *progress, void *arg);
	/* The outcome, with the receipt of the offer (checked). The session is idle, unless it was given before all was
	 * sent (the clone could not store it): then it ends, on_closed follows. */
	void (*on_result)(struct push *p, const struct proto_result *r, void *arg);
	/* Once, last. An offer without on_declined or on_result before has failed with it: the clone may still restore
	 * what it has wholly received, and says so in its next hello. */
	void (*on_closed)(struct push *p, enum push_ending how, int rc, const char *text, void *arg);
};

struct push_options {
	struct tls_creds *creds; /* a reference is taken */
	const char *host;	 /* as configured; also what the clone's certificate must be for */
	uint16_t port;
	const char *const *cns; /* tls.AuthorizedCNs, NULL-terminated, or NULL; copied */
	/* Our hello. role, version and time are filled in. Copied. */
	const struct proto_hello *hello;
	/* milliseconds; 0 = the default in brackets */
	uint64_t connect_ms;   /* [10 s] */
	uint64_t handshake_ms; /* [10 s] */
	uint64_t timeout_ms;   /* [60 s] replication.Timeout */
	uint64_t max_age_ms;   /* [1 h] */
	uint64_t progress_ms;  /* [500 ms] */
};

/* Never fails at once: on_closed tells. */
struct push *push_start(struct loop *l, const struct push_options *o, const struct push_events *ev, void *arg);
/* At once and without on_closed; what is under way breaks off. NULL is a no-op. */
void push_free(struct push *p);

/* Only while idle (else KC_EBUSY). KC_ENET: the session is over already, on_closed follows. KC_ENOENT, KC_EPERM,
 * KC_ESYS: the file cannot be opened. KC_EPROTO: a member of the offer is out of range. On failure the session stays
 * idle. */
int push_offer(struct push *p, const struct push_file *file);
/* More of the file is valid now. Ignored when no offer is under way, so that it may be called for all sessions. */
void push_grow(struct push *p, uint64_t valid);
/* The file is complete: payload size and SHA-256, recovery header, this clone's travel header. Any time after
 * push_offer(), also before the clone has accepted; implies push_grow(header_size + size). Ignored when no offer is
 * under way. KC_EPROTO: a member is out of range; the session is then aborted. */
int push_end(struct push *p, const struct proto_end *end);
/* Is an offer of ours under way that still lacks its push_end()? */
bool push_needs_end(const struct push *p);

/* Break off what is under way, telling the clone why, and end the session: on_closed(PUSH_FAILED, rc, text). `rc` with
 * err_text(rc), e.g. err_set(KC_ECANCELED, …): its backup failed, an operator said so. An idle session just ends. */
void push_cancel(struct push *p, int rc);
/* Finish what is under way, then end in good order. For credentials that changed, a clone removed, the daemon's end. */
void push_stop(struct push *p);

enum push_state push_state(const struct push *p);
const struct proto_hello *push_peer_hello(const struct push *p); /* NULL before on_ready */
int32_t push_clock_offset(const struct push *p);	      /* the clone's clock minus ours, seconds, at its hello */
const struct proto_offer *push_current(const struct push *p); /* the offer under way, NULL if none */
uint64_t push_sent(const struct push *p); /* payload bytes of the current or last offer that are at the clone's side or
					     on their way, those of the resumed part included */
enum peer_verdict push_verdict(const struct push *p);	 /* why it was not authorised */
const struct cert_info *push_cert(const struct push *p); /* the clone's, NULL before it is authorised */

#endif
