/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet: the clones of a master: what each one has, who is due for contact, and when to try again.
 *
 * The fleet knows no network and no file. It owns one timer; when a clone is due and there is room in the queue it
 * calls on_due(), which takes one of `max_parallel` places: an *attempt*. The owner then connects, or uses the session
 * that is still open, and tells the fleet what happens; exactly one of fleet_idle(), fleet_applied(),
 * fleet_postponed(), fleet_failed() and fleet_again() ends the attempt and gives the place back.
 *
 * A clone is due when the task is up, its time has come, and
 *   - it has no session (fleet_hello() opens one, fleet_lost() and fleet_failed() close it): sessions are kept, so that
 *     an unreachable clone is known before there is something to send, and a clone that was down catches up as soon as
 *     it answers; or
 *   - it has applied less than the newest generation and has not merely postponed it; or
 *   - fleet_now() asked for it;
 * and it is not held (fleet_hold()).
 * After a failure that a retry may cure (err_retryable()) the next try is RetryMin later, doubling up to RetryMax, each
 * spread by a quarter to both sides within these limits. Any other failure waits for the next generation, for
 * fleet_now(), or for RetryMax, whichever comes first. A success resets the back-off. A clone whose session ended in
 * good order (fleet_lost() with KC_OK) is due at once.
 *
 *     on_due(clone):  no session: push_start()  … on_ready: fleet_hello(), then, as for an open session:
 *                     nothing to send: fleet_idle();  else push_offer(), fleet_offered(), fleet_phase(PUSHING)
 *     on_progress:    fleet_phase(PUSHING or RESTORING, percent)
 *     on_result:      fleet_stored(), then fleet_applied() | fleet_postponed() | fleet_failed()
 *     on_declined:    fleet_failed(FLEET_FAIL_DECLINED, …)
 *     session over:   in an attempt: fleet_failed(), or fleet_again() if in good order; between attempts: fleet_lost()
 *
 * Order comes from lineage and generation; times are for people. Monotonic time is loop_now(); times that people see
 * are seconds since 1970 from `wall`, 0 = never.
 */
#ifndef KC_FLEET_H
#define KC_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define FLEET_MAX	   20
#define FLEET_LINEAGE_SIZE 33 /* 32 hex digits and NUL */

/* What `status` shows. */
enum fleet_state {
	FLEET_CURRENT,	   /* has applied the newest generation */
	FLEET_BEHIND,	   /* has not, and waits for its turn */
	FLEET_CONNECTING,  /* attempt: TCP, TLS, hello */
	FLEET_PUSHING,	   /* attempt: offer and data */
	FLEET_RESTORING,   /* attempt: the clone has it stored and restores */
	FLEET_POSTPONED,   /* has stored the newest generation and waits for its hour */
	FLEET_FAILED,	   /* the last attempt failed on the clone or on the way */
	FLEET_UNREACHABLE, /* connection refused, no route, no answer in time */
	FLEET_REFUSED,	   /* one side does not authorise the other */
	FLEET_DIVERGED,	   /* has rows that are not from its lineage: nothing is sent until that is decided */
	FLEET_STOPPED,	   /* the task is down, here or on the clone */
	FLEET_HELD,	   /* an operator said that nothing is sent to it */
};
const char *fleet_state_name(enum fleet_state s); /* "current" … */

/* How an attempt failed; chooses the state shown. Whether it is worth a retry is a matter of the code alone. */
enum fleet_failure {
	FLEET_FAIL_UNREACHABLE,
	FLEET_FAIL_REFUSED,
	FLEET_FAIL_DECLINED, /* the clone's answer to an offer (no room, busy, …); shown as failed */
	FLEET_FAIL_DIVERGED,
	FLEET_FAIL_OTHER,
};

/* The persistent part of a clone, for state.db. Plain data. */
struct fleet_record {
	char host[256];
	uint16_t port;
	char lineage[FLEET_LINEAGE_SIZE]; /* the generations below are of this lineage; "" = nothing known */
	uint64_t offered;
	uint64_t stored;
	uint64_t applied;
	int64_t applied_at;	 /* when `applied` was applied, by the master's clock */
	int64_t last_success;	 /* last attempt that ended well (applied, postponed, or nothing to do) */
	int64_t last_attempt;	 /* last on_due */
	int64_t behind_since;	 /* age of the oldest change it lacks; 0 = none */
	int64_t postponed_until; /* 0 = not postponed */
	int64_t not_after;	 /* of its certificate, as last seen */
	int32_t clock_offset;	 /* its clock minus ours, seconds, as last seen */
	bool failing;		 /* the last attempt failed: */
	enum fleet_failure how;	 /* in this way */
	int last_code;		 /* KC_E…; survives a success, for the reader's information */
	char last_error[256];
	bool held;    /* fleet_hold() */
	bool stopped; /* its own task is down, as its last hello said */
};

struct fleet;
struct fleet_clone;

/* An attempt begins: contact this clone. Called from the fleet's timer or from fleet_begin(), never from inside another
 * call to the fleet. */
typedef void (*fleet_due_fn)(struct fleet_clone *c, void *arg);
/* The record, or the state shown, has changed; `from` equals `to` where only the record did. Store the record here.
 * Called from inside the calls below (not from fleet_add and fleet_restore); do not remove the clone in it. */
typedef void (*fleet_change_fn)(struct fleet_clone *c, enum fleet_state from, enum fleet_state to, void *arg);

struct fleet_options {
	struct loop *loop;
	unsigned max_parallel;	/* attempts at a time; 0 = FLEET_MAX */
	uint64_t separation_ms; /* least time between two beginnings; 0 = none */
	uint64_t retry_min_ms;	/* 0 = 5 s */
	uint64_t retry_max_ms;	/* 0 = 10 min; never less than retry_min_ms */
	int64_t (*wall)(void);	/* NULL = time(NULL) */
	fleet_due_fn on_due;	/* required */
	fleet_change_fn on_change;
	void *arg;
};

/* Begins with the task down: nothing is due until fleet_set_task(). */
struct fleet *fleet_new(const struct fleet_options *o);
void fleet_free(struct fleet *f); /* NULL is a no-op; attempts under way are forgotten */
/* New limits from a reload. Loop, callbacks and arg of `o` are ignored. Tries already planned keep their time. */
void fleet_set_options(struct fleet *f, const struct fleet_options *o);

/* host is copied. KC_EEXIST for the same host and port, KC_ELIMIT over FLEET_MAX. */
int fleet_add(struct fleet_clone **out, struct fleet *f, const char *host, uint16_t port);
/* Allowed during an attempt: free its session first. */
void fleet_remove(struct fleet_clone *c);
size_t fleet_count(const struct fleet *f);
struct fleet_clone *fleet_at(const struct fleet *f, size_t i); /* in the order they were added */
/* port 0: any, if the host is unique. NULL: none, or several. */
struct fleet_clone *fleet_find(const struct fleet *f, const char *host, uint16_t port);

/* The owner's pointer (its session). */
void fleet_set_arg(struct fleet_clone *c, void *arg);
void *fleet_arg(const struct fleet_clone *c);

/* Read the record (borrowed, valid until the clone is removed), or put back what was stored; host and port of `r` are
 * ignored. A restored clone is due at once, whatever its last error. */
const struct fleet_record *fleet_record(const struct fleet_clone *c);
void fleet_restore(struct fleet_clone *c, const struct fleet_record *r);

/* --- what the master wants -------------------------------------------------------------------------------------- */

/* Up or down. Down: no new attempts; those under way go on to their end. */
void fleet_set_task(struct fleet *f, bool up);

/* The newest generation, from the moment it can be offered (its backup may still be growing). changed_at: the oldest
 * change it carries that its predecessor lacks. Another lineage than before forgets what clones had of the old one
 * (fleet_hello says what they have of the new one). At start, call it for the stored generations in ascending order, so
 * that lag_seconds is exact; the last 256 are remembered. */
void fleet_set_generation(struct fleet *f, const char *lineage, uint64_t generation, int64_t changed_at);
/* Who is due is due in this call, not in the loop's next turn: on_due() may come from inside it. */
void fleet_begin(struct fleet *f);
/* Its backup failed: the one before it is the newest again. */
void fleet_withdraw_generation(struct fleet *f, uint64_t generation);
uint64_t fleet_generation(const struct fleet *f);
/* The database holds changes that no generation carries, since then; 0 = it does not. Counts in the lag of all. */
void fleet_set_unreplicated(struct fleet *f, int64_t since);

/* An operator asks: `c`, or every clone (NULL), is due now, even if current, even while the task is
 * down; back-off forgotten. An attempt under way is joined; if its connection proves broken, which may have been so
 * before anybody asked, another one follows at once. For RetryMin from now a refused connection is tried again
 * every 250 ms, and a clone that declines because it is busy (KC_EAGAIN) every second as long as it says so. */
void fleet_now(struct fleet *f, struct fleet_clone *c);
/* Nothing is sent to the clone, not even by fleet_now(), until it is resumed (false): then it is due at once. An
 * attempt under way is the owner's to break off. */
void fleet_hold(struct fleet_clone *c, bool held);
/* Whatever the task is, and whatever there is to send: the clone is due once, to be greeted. Not while it is held. */
void fleet_greet(struct fleet_clone *c);
/* The clone was heard (it reported, it joined): if it waits for a retry of an unreachable address, it is due now. */
void fleet_heard(struct fleet_clone *c);

/* --- what happened ---------------------------------------------------------------------------------------------- */

/* What the clone said when its session opened, in terms of the fleet's lineage: 0 where its lineage is another. */
struct fleet_hello {
	uint64_t stored;
	uint64_t applied;
	int64_t postponed_until; /* 0 = not postponed */
	int64_t not_after;
	int32_t clock_offset;
	bool stopped; /* its task is down: it is not due again before a hello says otherwise, or fleet_now() */
};
/* The session is open. The attempt goes on. */
void fleet_hello(struct fleet_clone *c, const struct fleet_hello *h);
/* During an attempt: FLEET_CONNECTING (the beginning), FLEET_PUSHING or FLEET_RESTORING, and how far, 0…100. */
void fleet_phase(struct fleet_clone *c, enum fleet_state phase, unsigned percent);
void fleet_offered(struct fleet_clone *c, uint64_t generation);
void fleet_stored(struct fleet_clone *c, uint64_t generation);

/* The attempt is over: */
void fleet_idle(struct fleet_clone *c);				/* nothing had to be sent */
void fleet_applied(struct fleet_clone *c, uint64_t generation); /* implies stored; not the newest: due again at once */
void fleet_postponed(struct fleet_clone *c, uint64_t generation, int64_t until); /* stored, waits until then (not 0) */
/* Not an attempt's end, but what the clone reports by itself: it has applied this generation. */
void fleet_reported(struct fleet_clone *c, uint64_t generation);
/* `text` is copied (cut to fit). keep_session: it is still open (a declined offer, a failed restore). True: it will be
 * tried again within a moment on behalf of fleet_now(); whoever waits for the outcome should go on waiting. */
bool fleet_failed(struct fleet_clone *c, enum fleet_failure how, int code, const char *text, bool keep_session);

/* The session ended in good order before it came to an offer, or before that was answered: due again at once, with a
 * new session. Not a failure; whoever waits for the outcome goes on waiting. False: the clone has done that three times
 * in a row, nothing was done, and fleet_failed() has to end the attempt. */
bool fleet_again(struct fleet_clone *c);

/* The idle session ended, outside an attempt. KC_OK: in good order (it was old, credentials changed, the clone asked to
 * be greeted anew): reconnects at once, but not more often than every 250 ms. Else, or when that happens again and
 * again within RetryMin, the next attempt is RetryMin away. */
void fleet_lost(struct fleet_clone *c, int code);

/* --- what to show ----------------------------------------------------------------------------------------------- */

enum fleet_state fleet_state(const struct fleet_clone *c);
unsigned fleet_percent(const struct fleet_clone *c); /* of the phase, 0 outside one */
bool fleet_in_attempt(const struct fleet_clone *c);
int64_t fleet_retry_at(const struct fleet_clone *c);	/* 0: no try planned, or no failure to recover from */
int64_t fleet_lag_seconds(const struct fleet_clone *c); /* age of the oldest change it has not applied; 0 = none */

#endif
