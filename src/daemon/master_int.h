/* SPDX-License-Identifier: Apache-2.0 */
/* master_int: what the files of the master's role share: master.c (the whole), master_look.c (looks, backups),
 * master_run.c (runs), master_recount.c, target.c (clones), target_push.c, target_backup.c (their sessions),
 * target_report.c (what they report), wait.c (who waits). */
#ifndef KC_MASTER_INT_H
#define KC_MASTER_INT_H

#include "base/log.h"
#include "daemon/daemon.h"
#include "daemon/master.h"
#include "daemon/master_schedule.h"
#include "daemon/offering.h"
#include "daemon/watch.h"
#include "replication/fleet.h"
#include "replication/push.h"

/* One clone. */
struct target {
	struct target *next;
	struct master *master;
	struct fleet_clone *clone;
	struct push *push;
	struct offering *sent; /* what it was offered; NULL between attempts */
	bool waiting;	       /* in an attempt, for a backup that is about to grow */
	bool awaited;	       /* somebody asked for it now, and its attempt is not over */
	struct {
		uint64_t bytes, ms; /* sent, and how long it took with its restore */
		char result[24];    /* as the clone said; "" while it did not */
	} share;		    /* of the run, or of the last one */
	uint64_t reports_since;	    /* see target_report.c */
	uint64_t heard_at;
	unsigned reports;
	bool clock_said;  /* that its clock is far from ours */
	bool dirty;	  /* its record is newer than the state database's */
	bool greet;	  /* what our hello says has changed: its session is made anew when it is idle */
	bool offering;	  /* push.start is in the audit, push.end is not */
	bool diverged;	  /* its session began with that, and nothing was restored since */
	bool discard;	  /* an operator said that the rows which made it diverge may go */
	bool needs_full;  /* an increment did not help */
	uint64_t chain;	  /* the full whose increments it can open; 0: none */
	bool restore_now; /* who asked for it does not wait for the clone's hour either */
	bool offered_now; /* … and the offer under way says so */
	uint64_t offered_at;
	uint64_t aimed;		      /* the newest generation when it was offered what it was */
	struct state_clone kept;      /* what the state database says of it, since it was written last */
	struct state_receipt receipt; /* of the last offer; "": it is in the state database */
	struct state_peer_log log;    /* the head of its audit log */
	bool log_moved;		      /* … is newer than the state database's */
	char name[300];		      /* HOST:PORT */
	enum fleet_state said;	      /* the log's last word about it */
	uint64_t said_generation;
	char said_error[256];
	unsigned failures; /* in a row */
	char recipient[80];
	char digest[STATE_DIGEST_LEN + 1]; /* of what it has applied */
	char certificate[65], serial[41];  /* see state_clone */
	char cn[256];

	/* target_cert.c */
	bool site;		/* it shows the certificate of this master, as far as is known in this life … */
	bool shown;		/* … in which it has shown one */
	unsigned cert_requests; /* in the minute since then: */
	uint64_t cert_since;	/* monotonic */
	struct {
		uint64_t at; /* monotonic; 0: never */
		char text[PROTO_WARNING];
	} warned[4];	  /* what it warned of, and when that was said here */
	json_t *warnings; /* that its last hello had */

	/* target_system.c */
	struct offering *system;    /* the system backup that is being sent; NULL: none */
	char system_has[256];	    /* file name of the newest that it keeps */
	uint64_t system_began;	    /* monotonic */
	uint64_t system_not_before; /* monotonic, after a refusal */
};

struct run {
	bool active;
	uint64_t generation;
	uint64_t began; /* monotonic */
	char phase[32];
	unsigned percent;
};

struct caller;
struct cert_job;
struct report_in;
struct enroll;
struct waiter;

struct master {
	uint64_t released, releasing; /* held keys of generations so far; the one under way, 0: none */
	char released_lineage[STATE_LINEAGE_LEN + 1];
	struct daemon *d;
	struct fleet *fleet;
	struct target *targets;
	struct conn_listener *listener;
	struct enroll *enroll; /* tokens, and who comes with one */
	struct fence *fence;   /* NULL: this machine was never promoted */
	struct waiter *waiters;
	struct master_schedule *schedule;
	struct watch *watch;	    /* NULL: the folder cannot be watched */
	struct caller *callers;	    /* clones that report */
	struct cert_job *cert_jobs; /* … or ask for a certificate */
	struct loop_timer *settle;  /* what changed in this turn is looked at once, at its end */
	struct offering *out; /* the newest backup, growing or whole; NULL: none, or none yet of the one being made */
	struct offering *wrapping; /* a job makes travel headers for it */
	struct offering *system;   /* the newest system backup; NULL: none yet */
	uint64_t system_began;	   /* monotonic: of the look at it */
	struct loop_timer *system_pause;
	bool system_looking, system_again, system_making;
	bool weak_said; /* that the password is too short for it */
	struct log_rate knocks;
	struct run run;
	uint64_t backup_wait_ms; /* back-off of a failing backup */
	uint64_t backup_began;
	uint64_t look_began, look_took; /* monotonic */
	uint64_t not_before;		/* monotonic; a change waits so long */
	uint64_t marked_at;		/* monotonic; a change was looked at without replicating it */
	int64_t changed_at;		/* wall clock, the first change that no look has seen; 0: none */
	unsigned too_early;		/* looks in a row that found nothing of what was seen to be written */
	int64_t look_changed;		/* changed_at when the look under way began */
	int64_t look_daily;		/* the daily moment that the look under way is for */
	bool started;			/* what is said of clones is news, not memory */
	bool looking;			/* a check or backup job is queued or running */
	bool making;			/* a generation is reserved, its backup is being made */
	bool unkept;			/* its file is whole, and not known to be on disk */
	bool made_anew;			/* the backup under way is the full that state_self.want_full asks for */
	bool allow_deletes;		/* the next backup is made whatever it deletes */
	bool allowed;			/* … the last one that was begun was so */
	bool want_full;			/* the next look makes a backup whatever */
	bool look_again;
	bool marking;				   /* a job finds out whether there is something unreplicated */
	bool still;				   /* an operator restores: no look begins */
	char still_lineage[STATE_LINEAGE_LEN + 1]; /* the lineage when that began */
	struct loop_timer *recount;		   /* master_recount.c */
	bool counting;
	uint64_t recounting, recounted; /* the generation that is counted, and that was found to be right */
	uint64_t count_ms;		/* that it took last */
	uint64_t look_number;		/* of the look under way or, else, of the last one */
};

/* master.c */
/* What changed while there was no time for it gets its look. */
void master_see_change(struct master *m);
void master_settle_soon(struct master *m);

/* master_look.c */
/* force: compare digests even if the database has not moved. A look under way goes on; what it may be too early for is
 * left to the next one, right after it. */
void master_look(struct master *m, bool force);
/* Is there something unreplicated? Says so in state and status, and sends nothing. */
void master_mark(struct master *m);
/* A job that compares the database with the newest backup: "changed" in its result. */
json_t *master_check_request(const struct master *m);
/* What clones are offered when no backup is being made. */
int master_load_newest(struct master *m);

/* The look's outcome, as status says it; durable. */
void master_checked(struct master *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* held.c */
bool held_is(const struct master *m);
/* "60 of 100 rows of table keys would be deleted" */
void held_text(char *out, size_t size, const struct master *m);
void held_begin(struct master *m, const json_t *held); /* of the worker's result; again is fine */
void held_end(struct master *m, bool unchanged);       /* the look found nothing to hold */
json_t *held_json(const struct master *m);	       /* null where nothing is held */

/* release.c */
/* Is a generation stored whose held keys are not released? Once a turn. */
void release_update(struct master *m);
void release_again(struct master *m); /* perhaps keys are held that an older one has */

/* master_recount.c */
void master_on_recount(void *arg); /* loop_timer_fn of m->recount */
/* A generation was made: is it what the key database is? */
void master_recount_soon(struct master *m, bool increment);

/* master_run.c */
void master_run_begin(struct master *m, uint64_t generation);
void master_run_end(struct master *m, int rc);
/* Every clone has restored the newest backup, also those that came late or waited for their hour; with no clone, it is
 * made. */
void master_run_completed(struct master *m);

/* master_system.c */
void master_system_start(struct master *m);
void master_system_new(struct master *m);
void master_system_free(struct master *m);
/* Has anything changed that belongs into the system backup? Not `now`: keys go first. */
void master_system_look(struct master *m, bool now);
/* Another lineage has begun: the newest system backup is of the one before. */
void master_system_child(struct master *m);
/* A clone has one with this number, which this machine does not know to have given. */
void master_system_overtaken(struct master *m, uint64_t generation);

/* target_push.c: how an attempt goes on, or ends */
void target_failed(struct target *t, enum fleet_failure how, int code, const char *text, bool keep);
void target_idle(struct target *t);
void target_postponed(struct target *t, uint64_t generation, int64_t until);
void target_offer(struct target *t, struct offering *o); /* takes the reference */

/* target_next.c */
/* Has it a generation that this master did not make, or made with other contents? */
bool target_is_rolled_back(char *text, size_t size, const struct target *t, const struct proto_hello *h);
/* Nothing that there is helps it (err_text says why): another full is made, and it waits for that, unless none can be
 * made now. */
void target_wait_for_full(struct target *t);
/* What it was sent is there now: restored, or stored for its hour. */
void target_took(struct target *t, const struct offering *o);

/* target_system.c */
void target_system_due(struct target *t); /* offers it, if the session has nothing else to do */
void target_system_hello(struct target *t, const struct proto_hello *h);
/* True: what ended was the system backup's. */
bool target_system_over(struct target *t, int rc, const char *text);
bool target_system_declined(struct target *t, const struct proto_decline *d);
bool target_system_result(struct target *t, const struct proto_result *r);

/* master_listen.c */
int master_listen(struct master *m);
void master_listen_anew(struct master *m); /* the configuration or the credentials have changed */

/* target.c */
int target_load_all(struct master *m); /* clones of the configuration with what the state database knows of them */
int target_reconfigure(struct master *m);
void target_free_all(struct master *m);
void target_changed(struct fleet_clone *c, enum fleet_state from, enum fleet_state to, void *arg); /* fleet_change_fn */
int target_store_dirty(struct master *m);
int target_put_dirty(struct master *m); /* in a transaction of the caller's */
#define TARGET_DOWN "its replication task is down; run 'keyclone start' there"
struct target *target_find(const struct master *m, const char *host_port);
json_t *target_json(const struct target *t);
bool target_settled(const struct target *t);
bool target_has_newest(const struct target *t);

/* target_alert.c */
void target_alert(struct target *t, enum fleet_state to);
/* Has the newest backup in its database. */
bool target_has_applied(const struct target *t);

/* target_report.c */
/* What it says of its audit log: none of it may have gone. */
void target_see_log(struct target *t, uint64_t seq, const char *hash);
/* By this receipt it may report what comes of the offer. */
void target_note_receipt(struct target *t, const struct proto_offer *o);
void target_take_caller(struct master *m, struct conn *c); /* takes the session */
void target_free_callers(struct master *m);

/* target_cert.c */
/* A clone asks for a certificate; report_in_answer() follows, now or later. */
int target_cert_request(struct master *m, struct report_in *s, const struct proto_cert_request *q);
void target_cert_gone(struct master *m, const struct report_in *s); /* the session ended */
/* What a clone's hello warns of is told here as well. */
void target_hear_warnings(struct target *t, const struct proto_hello *h);
/* A clone is about to get what a job issued: it is revoked with it. Durable; nothing to do for other results. */
int target_note_issued(struct master *m, const char *host, int port, const json_t *result);
/* The certificate that it shows. */
void target_see_certificate(struct target *t, const struct cert_info *cert);

/* target_push.c */
/* What the master says of itself; `to`: to whom it is said, who is not among the others. */
void target_fill_hello(const struct master *m, const struct target *to, struct proto_hello *h);
void target_due(struct fleet_clone *c, void *arg); /* fleet_due_fn */
void target_decide(struct target *t);		   /* its session is idle, and it is due: what does it lack? */
/* What it was offered has come to its end: the record of it. */
void target_over(struct target *t, int rc, const char *text);

/* target_backup.c */
/* The backup begins to grow: who waits for it is offered it. */
void target_offer_all(struct master *m);
void target_grow_all(struct master *m);
/* The backup is whole: make travel headers for whoever waits for its end. */
void target_end_all(struct master *m);
/* Break off what sends `o`. */
void target_cancel_all(struct master *m, const struct offering *o, int rc);
/* What our hello says has changed (the task is up or down): every clone is greeted anew, even while the task is down.
 */
void target_greet_all(struct master *m);
void target_greet_due(struct target *t);
void target_renew_all(struct master *m); /* new credentials: sessions end in good order and are made again */

/* hold.c */
void hold_rest(struct target *t); /* a held clone's session ends as soon as it may */

/* wait.c */
/* The outcome of the look under way is known: what was asked for before it began goes to the fleet. */
void wait_arm_all(struct master *m);
void wait_update_all(struct master *m);			    /* something changed: progress, or the answer */
void wait_fail_all(struct master *m, int rc);		    /* the backup failed */
void wait_forget(struct master *m, const struct target *t); /* it is about to be removed */
void wait_free_all(struct master *m);

#endif
