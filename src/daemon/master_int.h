/* SPDX-License-Identifier: Apache-2.0 */
/* master_int: what the files of the master's role share: master.c (checks, backups), target.c (clones), wait.c (who
 * waits). */
#ifndef KC_MASTER_INT_H
#define KC_MASTER_INT_H

#include "daemon/daemon.h"
#include "daemon/master.h"
#include "replication/fleet.h"
#include "replication/push.h"

/* The backup that clones are offered: the newest one, growing or whole. */
struct outgoing {
	uint64_t generation; /* 0: none */
	char path[4096];
	char name[256];
	char file_id[33];
	char digest[STATE_DIGEST_LEN + 1];
	uint32_t header_size;
	uint64_t valid;		/* bytes of the file that will not change any more */
	uint64_t database_size; /* a clone unpacks as much */
	bool complete;
	struct proto_end end; /* once complete; without a travel header */
};

/* One clone. */
struct target {
	struct target *next;
	struct master *master;
	struct fleet_clone *clone;
	struct push *push;
	bool awaited;  /* somebody asked for it now, and its attempt is not over */
	bool wrapping; /* a job makes its travel header */
	bool dirty;    /* its record is newer than the state database's */
	bool offering; /* push.start is in the audit, push.end is not */
	uint64_t offered_at;
	char name[300]; /* HOST:PORT */
	char recipient[80];
	char digest[STATE_DIGEST_LEN + 1]; /* of what it has applied */
};

struct run {
	bool active;
	uint64_t generation;
	uint64_t began; /* monotonic */
	char phase[32];
	unsigned percent;
};

struct waiter;

struct master {
	struct daemon *d;
	struct fleet *fleet;
	struct target *targets;
	struct waiter *waiters;
	struct loop_timer *check;  /* the next scheduled look */
	struct loop_timer *settle; /* what changed in this turn is looked at once, at its end */
	struct loop_timer *minute; /* audit of summed strangers */
	struct outgoing out;
	struct run run;
	int64_t next_check;	 /* wall clock */
	uint64_t backup_wait_ms; /* back-off of a failing backup */
	uint64_t backup_began;
	bool looking;	/* a check or backup job is queued or running */
	bool making;	/* a generation is reserved, its backup is being made */
	bool want_full; /* the next look makes a backup whatever */
	bool look_again;
	uint64_t look_number; /* of the look under way or, else, of the last one */
};

/* master.c */
void master_look(struct master *m, bool force);
void master_run_begin(struct master *m, uint64_t generation);
void master_settle_soon(struct master *m);

/* target.c */
int target_load_all(struct master *m); /* clones of the configuration with what the state database knows of them */
int target_reconfigure(struct master *m);
void target_free_all(struct master *m);
void target_due(struct fleet_clone *c, void *arg);						   /* fleet_due_fn */
void target_changed(struct fleet_clone *c, enum fleet_state from, enum fleet_state to, void *arg); /* fleet_change_fn */
void target_grow_all(struct master *m);
/* The backup is whole: make travel headers for whoever waits for its end. */
void target_end_all(struct master *m);
void target_cancel_all(struct master *m, int rc);
void target_renew_all(struct master *m); /* new credentials: sessions end in good order and are made again */
int target_store_dirty(struct master *m);
struct target *target_find(const struct master *m, const char *host_port);
json_t *target_json(const struct target *t);
bool target_settled(const struct target *t);

/* wait.c */
/* The outcome of the look under way is known: what was asked for before it began goes to the fleet. */
void wait_arm_all(struct master *m);
void wait_update_all(struct master *m);	      /* something changed: progress, or the answer */
void wait_fail_all(struct master *m, int rc); /* the backup failed */
void wait_free_all(struct master *m);

#endif
