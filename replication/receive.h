/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive: the clone's side: it listens, greets masters, takes one backup at a time and stores it.
 *
 * Any number of authorised masters may be connected; one backup at a time is received or restored, any other offer
 * meanwhile is declined as busy. A new session of the same master (certificate, lineage and address) takes the place of
 * its old one, which can only be a line that broke without our noticing; one for directives only that of another such.
 *
 * What happens to an offer:
 *
 *     on_offer    the owner judges lineage, generation, divergence: KC_OK, or a decline. That it fits the disk is
 *                 checked here, as is that the file can be made: else it is declined with both figures, or the reason.
 *     data        written to `<file>.part` in the backup directory at the offset where it belongs, never more than the
 *                 offer's room. A broken transfer leaves it there; an offer of the same file id goes on at its end.
 *     end         size and SHA-256 are compared, the recovery header is put in front, the file is synced and renamed by
 *                 a helper thread (a sync of a big file would stop the loop)
 *     on_stored   the owner restores: receive_progress() while it does, receive_result() at its end. The master hears
 *                 at least every progress_ms that we live, by itself.
 *
 * If anything fails before on_stored the master gets a result `failed` and the owner on_failed. If the session breaks
 * after `end`, storing and restoring go on; the result is then dropped here, and the master learns it from our next
 * hello. The file never has its name before it is whole and synced.
 */
#ifndef KC_RECEIVE_H
#define KC_RECEIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "replication/conn.h"
#include "replication/proto.h"

struct receive;
struct receive_session;

/* A whole backup on disk. Valid during the call. */
struct receive_stored {
	const struct proto_offer *offer;
	const char *path;	     /* of the file, with its final name */
	const struct proto_end *end; /* with the travel header, to be kept beside the file */
	uint64_t bytes;		     /* payload bytes that came over the line (without a resumed part) */
	uint64_t duration_ms;	     /* from offer to stored */
	const char *master;	     /* who, "10.0.0.1:40112"; the session may be gone */
	bool keeping;		     /* on_kept will follow */
};

struct receive_failure {
	const struct proto_offer *offer;
	int rc;		  /* KC_ENOSPC, KC_EDAMAGED (SHA-256 or size), KC_ELIMIT (more than offered), KC_ENET … */
	const char *text; /* with both figures where two do not fit */
	uint64_t bytes;	  /* as above */
	uint64_t kept;	  /* payload bytes that a next offer of the same file can go on from; 0 = nothing */
	uint64_t duration_ms;
	const char *master;
};

/* All come from the loop. on_hello and on_offer are required. The receiver must not be freed inside any of them; the
 * other calls below are allowed in all. */
struct receive_events {
	/* A master greets. Fill *ours (zeroed; role, version, time and free are filled in here: free is that of the
	 * backup directory; recipient is required). KC_OK, or an error (err_set) that ends the session with its text:
	 * another lineage, … */
	int (*on_hello)(
	    struct receive_session *s, const struct proto_hello *master, struct proto_hello *ours, void *arg);
	/* KC_OK: take it. Else fill *why (reason; message, have, need as they apply) and return any error. */
	int (*on_offer)(
	    struct receive_session *s, const struct proto_offer *offer, struct proto_decline *why, void *arg);
	/* It was accepted, from this offset of the payload on: begin of the attempt, for the audit. */
	void (*on_begin)(struct receive_session *s, const struct proto_offer *offer, uint64_t offset, void *arg);
	/* It was declined, by you or by us: for the audit. */
	void (*on_declined)(
	    struct receive_session *s, const struct proto_offer *offer, const struct proto_decline *why, void *arg);
	/* After on_begin exactly one of these two follows. on_stored begins a restore, which receive_result() ends. An
	 * increment is not on disk yet, and may have its partial name still: on_kept follows, and only then
	 * receive_result() may be called. */
	void (*on_stored)(const struct receive_stored *stored, void *arg);
	void (*on_kept)(const struct receive_stored *stored, int rc, void *arg);
	void (*on_failed)(const struct receive_failure *failure, void *arg);
	/* A directive of the master (directive.h), one at a time: do it, then receive_directed(). NULL: refused. */
	void (*on_directive)(struct receive_session *s, const struct proto_directive *d, void *arg);
	/* A greeted session ended. rc KC_OK: in good order. */
	void (*on_session_end)(struct receive_session *s, int rc, const char *text, void *arg);
	/* A stranger was refused or failed before it was authorised (conn.h); or, with PEER_UNDECIDED, one that was
	 * authorised broke the protocol, was silent, or is the master of others. */
	void (*on_refused)(const char *address, enum peer_verdict v, int rc, const char *text, void *arg);
};

struct receive_options {
	struct conn_listen_options listen; /* self is set here; rule: master, MasterHost, AuthorizedCNs; creds */
	const char *backup_dir;		   /* copied */
	uint64_t stall_ms;		   /* [10 min] a transfer without any new data, though the master lives */
	uint64_t progress_ms; /* [5 s, or a third of idle_ms] the last progress is said again; the master waits for its
				 own timeout */
};

/* Listens. Errors as conn_listen(). */
int receive_new(
    struct receive **out, struct loop *l, const struct receive_options *o, const struct receive_events *ev, void *arg);
/* At once, without callbacks; a partial file stays for resuming. Waits for the helper thread, if one syncs right now.
 * NULL is a no-op. */
void receive_free(struct receive *r);
/* Other credentials, rule or times, as listen.conn of the options: for sessions from now on; idle ones are ended in
 * good order, so that masters come back by the new. */
void receive_set_options(struct receive *r, const struct conn_options *o);
uint16_t receive_port(const struct receive *r);

/* Stop accepting, end idle sessions. What is under way goes on; see receive_busy(). For the daemon's orderly end. */
void receive_stop(struct receive *r);
/* Is a backup being received, stored, or restored (on_stored without receive_result)? */
bool receive_busy(const struct receive *r);

/* Is there a session with a master that has greeted? */
bool receive_is_connected(const struct receive *r);

/* What an interrupted restore left begins to be found out, or is known: offers are declined as busy meanwhile. */
void receive_set_blocked(struct receive *r, bool blocked);

/* How far the restore is; sent to the master that offered, if its session is still there. No-op outside a restore. */
void receive_progress(struct receive *r, const char *phase, unsigned percent);
/* The end of the restore. receipt and generation of *result are filled in here. True: it went to the master's session.
 */
bool receive_result(struct receive *r, const struct proto_result *result);
/* The answer to the directive under way, if its session is still there. */
void receive_directed(struct receive *r, const struct proto_directed *answer);
/* What our hello says has changed outside a push (a postponed restore is done, diverged rows were discarded): end idle
 * sessions in good order; masters come back at once and read the new one. */
void receive_greet_anew(struct receive *r);

const char *receive_session_name(const struct receive_session *s);		  /* "10.0.0.1:40112" */
const char *receive_session_address(const struct receive_session *s);		  /* "10.0.0.1" */
const struct proto_hello *receive_session_hello(const struct receive_session *s); /* the master's */
enum peer_verdict receive_session_verdict(const struct receive_session *s);	  /* by which rule it may speak */
const struct cert_info *receive_session_cert(const struct receive_session *s);

#endif
