/* SPDX-License-Identifier: Apache-2.0 */
/* clone_int: what the files of the clone's role share: clone.c (sessions), clone_lineage.c, clone_restore.c,
 * clone_directive.c, clone_hour.c (when), clone_report.c (what the master is told), clone_diverged.c. */
#ifndef KC_CLONE_INT_H
#define KC_CLONE_INT_H

#include "daemon/clone.h"
#include "daemon/daemon.h"
#include "replication/conn.h"
#include "replication/receive.h"
#include "replication/schedule.h"

struct clone_asking;
struct report_out;
struct restore_wait;

struct clone_role {
	struct daemon *d;
	struct receive *receive;
	struct loop_timer *retry;
	struct loop_timer *check;	    /* the next look at the key database by itself */
	char checked[STATE_DIGEST_LEN + 1]; /* its digest at the last one; "": none since the start */
	bool checking;
	struct silence *silence;
	struct state_stored stored; /* the newest backup on disk; generation 0: none */
	struct state_stored next;   /* the one that is being restored: that, or what leads to it */
	struct state_intent intent; /* what is durable of the restore that begins; generation 0: nothing */
	uint64_t wait_ms;
	uint64_t restore_began;
	uint64_t declined_since; /* monotonic; `declined` offers since then */
	unsigned declined;
	bool keeping;		     /* the increment that is restored is not on disk yet … */
	struct proto_result *untold; /* … and its outcome is told when it is; heap */
	bool broken_off;	     /* transfers may have left parts of files, since the folder was tidied */
	bool restoring;		     /* or finding out what an interrupted one left */
	uint64_t applying;	     /* the generation that a promotion had restored, or tried to */
	int broken;		     /* KC_OK, or how the worker of the restore that is being found out about ended */
	bool clock_said;	     /* that the master's clock is far from ours */
	char broken_why[200];
	char peer[300];		/* the master of the restore under way, or of the last one */
	char signer[PROTO_KEY]; /* as the master said in its hello */
	char phase[32];
	unsigned percent;
	struct control_client *asking;	   /* for the list of diverged rows */
	struct control_client *discarding; /* waits for what tells whether there is something to discard */
	/* clone_hour.c */
	struct schedule_timer *hour;
	struct restore_wait *waiting; /* who asked for a restore now */
	uint64_t overdue;	      /* generation that was due and is forgotten: what leads there is due, too */
	char asked_by[100];	      /* for the record of the next restore */
	struct clone_asking *cert;    /* clone_cert.c: a certificate is asked for */
	/* clone_report.c */
	struct report_out *telling; /* a session with the master's listen port */
	struct loop_timer *tell;
	uint64_t tell_wait_ms;
	struct state_report told; /* the last one that was sent */
	bool telling_one;	  /* … and is not acknowledged */
	bool tell_said;		  /* that the master cannot be told is in log and audit */
	bool knocked;		  /* the master has heard of us since we started */
	char reports_to[300];
	char reports_lineage[PROTO_LINEAGE]; /* of the master there */
};

/* clone_check.c */
/* The timer of the looks: loop_timer_fn. */
void clone_on_check(void *arg);
/* A look at once, whatever else is queued. */
void clone_check_now(struct clone_role *c);
/* Rows are not from the master: kept, audited, alerted. The caller logs, and tells the master. */
void clone_set_diverged(struct clone_role *c, const char *text);
/* Are rows of this clone missing in a backup that is stored and does not go on from what is applied? */
bool clone_is_of_stored(const struct clone_role *c);
/* A master of `lineage` greets, which this clone may follow with all that it has: a backup of another history, which
 * lacks rows of it, is no reason to be diverged any more. */
void clone_leave_fork(struct clone_role *c, const char *lineage);
/* What the key database is now if nobody has written: the digest of what was last applied, local tables left out. */
const char *clone_applied_digest(const struct clone_role *c);
/* What opens the backup that was last applied, for lists of rows: "applied_backup", "applied_travel"; where it is still
 * there. And "count_applied" where the digest of what was applied has to be made anew from it. */
void clone_add_applied(json_t *request, const struct clone_role *c);

/* clone_directive.c */
/* receive_events.on_directive */
void clone_on_directive(struct receive_session *s, const struct proto_directive *d, void *arg);

/* clone_diverged.c */
/* An operator said that the rows that only this clone has may go: d->self, to be saved. */
void clone_give_up(struct clone_role *c);
/* The same by its master's operator, as an offer says. */
int clone_discard_offered(struct clone_role *c, const char *master);
/* The look or the restore that `diverged discard` waited for may be over. */
void clone_diverged_go_on(struct clone_role *c);

/* clone_lineage.c */
/* Is this the master of a lineage that is followed here? KC_EFENCED, KC_EFOREIGN, with both lineages. `name`: where. */
int clone_judge_lineage(const struct clone_role *c, const struct proto_hello *master, const char *name);
/* May this master go on speaking? KC_EFENCED, KC_EFOREIGN, with both lineages. */
int clone_judge_master(struct clone_role *c, const struct proto_hello *master, const struct receive_session *s);
/* Is what it offers of a lineage that is followed here, and newer than what is applied? Else *why. The worker judges
 * again, by what is signed. */
int clone_judge_offer(struct proto_decline *why, const struct clone_role *c, const struct proto_hello *master,
    const struct proto_offer *o);
/* Does an increment build on what is applied, or on what is stored and waits, and can it be opened? Else *why. */
int clone_judge_increment(struct proto_decline *why, const struct clone_role *c, const struct proto_offer *o);
/* The fleet as the master names it is what a promotion of this machine takes over. */
void clone_remember_fleet(struct clone_role *c, const struct proto_hello *master, const struct receive_session *s);
/* A child lineage is followed from now on: its master is where the configured one was. Only in d->self. */
void clone_take_successor(struct clone_role *c);

/* clone_hour.c */
/* When a backup that has just come is to be restored; 0: at once. */
int64_t clone_due_of_new(const struct clone_role *c, bool restore_now);
/* What is stored waits for its hour: audit, and the answer to the master. `superseded`: a generation that waited. */
void clone_postpone(struct clone_role *c, uint64_t superseded);
/* When what is stored will be restored; 0: nothing waits for an hour. */
int64_t clone_postponed_until(const struct clone_role *c);
/* Restore what is stored, if there is something and its hour has come; else wait for that. */
void clone_go_on(struct clone_role *c);
void clone_on_hour(void *arg); /* loop_timer_fn of c->hour */
/* A restore is over, or goes on: for those who asked for it. */
void clone_answer_waiting(struct clone_role *c, const struct proto_result *answer);
/* What was on its way did not come: unless something else is stored, they wait for nothing. */
void clone_answer_nothing(struct clone_role *c);
void clone_progress_waiting(struct clone_role *c);
void clone_free_waiting(struct clone_role *c);

/* clone_report.c */
/* With the record of what is stored, in one transaction: its outcome will be told by this receipt. */
int clone_expect_report(struct clone_role *c, const struct proto_offer *o);
/* What came of the backup that is stored: to the master, now or later, and to whoever waits for it here. */
void clone_tell(struct clone_role *c, const struct proto_result *answer);
/* The master is there: what it does not know yet is told without waiting. */
void clone_tell_soon(struct clone_role *c);
void clone_on_tell(void *arg); /* loop_timer_fn of c->tell */
void clone_resume_reports(struct clone_role *c);
void clone_end_telling(struct clone_role *c); /* the daemon ends */
/* Where the master is: as configured (or its successor), else where it was last authenticated. Heap; NULL: unknown. */
char *clone_master_address(const struct clone_role *c, int *port);

/* clone_cert.c */
void clone_end_asking(struct clone_role *c); /* the daemon ends */

/* clone.c */
int clone_fill_hello(const struct clone_role *c, struct proto_hello *ours);

/* clone_system.c: the master's system backups */
/* What our hello says to the master of `lineage` of those that are here. */
void clone_system_hello(const struct clone_role *c, const char *lineage, struct proto_hello *ours);
int clone_system_offer(struct proto_decline *why, const struct proto_hello *master, const struct proto_offer *o);
void clone_system_stored(struct clone_role *c, const struct receive_stored *st);

/* clone_intent.c */
/* An increment was stored, to be restored at once: what will be asked for is written ahead, with what is written
 * anyway. Where it turns out otherwise it is written again. */
int clone_intend_ahead(struct clone_role *c);
int clone_intend(struct clone_role *c, const struct state_intent *i); /* durable when it returns */
void clone_forget_intent(struct clone_role *c);
/* Find out what a restore that a crash interrupted has written, then go on. False: there was none. */
bool clone_resolve_intent(struct clone_role *c);
/* Into a request: where a stored backup is, and what opens it, if it is still there. */
void clone_name_backup(
    const struct clone_role *c, json_t *request, const char *member, const char *travel, const char *backup);

/* clone_restore.c */
void clone_prune(struct clone_role *c);
/* Is there a backup on disk that is not applied? */
bool clone_has_stored(const struct clone_role *c);
/* Restore what is stored, by the worker; its end is told to the master's session, or to the next one. */
void clone_start_restore(struct clone_role *c);
/* The restore under way failed: said to everybody. */
void clone_fail_restore(struct clone_role *c, int rc, const char *why);
void clone_fill_result(
    struct clone_role *c, struct proto_result *r, enum proto_status status, int rc, const char *text);
/* The retry timer: loop_timer_fn. */
void clone_on_retry(void *arg);
/* May a partial file of this name be gone on with? For store_clean. */
bool clone_keep_part(void *arg, const char *name);

#endif
