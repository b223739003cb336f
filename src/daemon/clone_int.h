/* SPDX-License-Identifier: Apache-2.0 */
/* clone_int: what the files of the clone's role share: clone.c (sessions), clone_restore.c, clone_diverged.c. */
#ifndef KC_CLONE_INT_H
#define KC_CLONE_INT_H

#include "daemon/clone.h"
#include "daemon/daemon.h"
#include "replication/conn.h"
#include "replication/receive.h"

struct clone_role {
	struct daemon *d;
	struct receive *receive;
	struct conn *knock; /* tells the master that we are here again */
	struct loop_timer *retry;
	struct silence *silence;
	struct state_stored stored; /* the newest backup on disk; generation 0: none */
	uint64_t wait_ms;
	uint64_t restore_began;
	uint64_t declined_since; /* monotonic; `declined` offers since then */
	unsigned declined;
	bool restoring;	   /* or finding out what an interrupted one left */
	uint64_t applying; /* the generation that a promotion had restored, or tried to */
	int broken;	   /* KC_OK, or how the worker of the restore that is being found out about ended */
	bool clock_said;   /* that the master's clock is far from ours */
	char broken_why[200];
	char peer[300];		/* the master of the restore under way, or of the last one */
	char signer[PROTO_KEY]; /* as the master said in its hello */
	char phase[32];
	unsigned percent;
	struct control_client *asking; /* for the list of diverged rows */
};

/* clone_lineage.c */
/* May this master go on speaking? KC_EFENCED, KC_EFOREIGN, with both lineages. */
int clone_judge_master(const struct clone_role *c, const struct proto_hello *master, const struct receive_session *s);
/* Is what it offers of a lineage that is followed here, and newer than what is applied? Else *why. The worker judges
 * again, by what is signed. */
int clone_judge_offer(struct proto_decline *why, const struct clone_role *c, const struct proto_hello *master,
    const struct proto_offer *o);
/* The fleet as the master names it is what a promotion of this machine takes over. */
void clone_remember_fleet(struct clone_role *c, const struct proto_hello *master, const struct receive_session *s);
/* A child lineage is followed from now on: its master is where the configured one was. Only in d->self. */
void clone_take_successor(struct clone_role *c);

/* clone_restore.c */
/* Is there a backup on disk that is not applied? */
bool clone_has_stored(const struct clone_role *c);
/* Restore what is stored, by the worker; its end is told to the master's session, or to the next one. */
void clone_start_restore(struct clone_role *c);
/* Find out what a restore that a crash interrupted has written, then go on. False: there was none. */
bool clone_resolve_intent(struct clone_role *c);
void clone_fill_result(
    struct clone_role *c, struct proto_result *r, enum proto_status status, int rc, const char *text);
/* The retry timer: loop_timer_fn. */
void clone_on_retry(void *arg);
/* May a partial file of this name be gone on with? For store_clean. */
bool clone_keep_part(void *arg, const char *name);

#endif
