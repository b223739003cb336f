/* SPDX-License-Identifier: Apache-2.0 */
/*
 * alert: what needs a person, from when it is first seen until it is over.
 *
 * An alert is a kind and a subject (a clone's HOST:PORT, a certificate's alias, "" where there is only one). It is
 * raised once, however often it is seen: raising it again changes its text, and nobody is told again; clearing one that
 * was not raised does nothing. Alerts are in the state database and so outlive the daemon: what was raised before a
 * restart is neither raised again by it nor forgotten.
 *
 * Each change is a log line, an audit record, and one run of replication.AlertCommand (hook.h); `status` lists what is
 * raised.
 *
 *     alert_raise(d, ALERT_CLONE_UNREACHABLE, t->name, "connection refused");
 *     …
 *     alert_clear_clone(d, t->name, "current, generation 41");
 */
#ifndef KC_ALERT_H
#define KC_ALERT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/log.h"
#include "daemon/state.h"

/*
 * constant, name (KEYCLONE_ALERT, status), level of the log line when it is raised (information where whoever found
 * it has logged it as a fault already), what is said of the subject
 */
#define ALERT_TABLE(A)                                                                                   \
	A(ALERT_CLONE_FAILED, "clone.failed", LOG_LVL_INFO, "clone %s: replication fails")               \
	A(ALERT_CLONE_UNREACHABLE, "clone.unreachable", LOG_LVL_INFO, "clone %s cannot be reached")      \
	A(ALERT_CLONE_REFUSED, "clone.refused", LOG_LVL_INFO, "clone %s: one side refuses the other")    \
	A(ALERT_CLONE_DIVERGED, "clone.diverged", LOG_LVL_INFO, "clone %s has diverged")                 \
	A(ALERT_RESTORE_FAILED, "restore.failed", LOG_LVL_INFO, "restores fail on this clone")           \
	A(ALERT_DIVERGED, "diverged", LOG_LVL_INFO, "this clone has diverged")                           \
	A(ALERT_RUN_HELD, "run.held", LOG_LVL_WARN, "a replication run is held")                         \
	A(ALERT_MASTER_SILENT, "master.silent", LOG_LVL_WARN, "the master is silent")                    \
	A(ALERT_CERT_EXPIRING, "certificate.expiring", LOG_LVL_WARN, "the end of the certificate of %s") \
	A(ALERT_CRL_STALE, "revocation.stale", LOG_LVL_WARN, "the revocation list of %s is out of date") \
	A(ALERT_CRL_FAILED, "revocation.failed", LOG_LVL_INFO, "a new revocation list cannot be taken")  \
	A(ALERT_INCREMENT, "increment.wrong", LOG_LVL_INFO, "an increment did not hold every change")    \
	A(ALERT_TASK_STOPPED, "task.stopped", LOG_LVL_WARN, "the replication task is down")

enum alert_kind {
#define A(constant, name, level, text) constant,
	ALERT_TABLE(A)
#undef A
	    ALERT_COUNT
};

struct daemon;
struct alerts;

/* Told of each change, after it is durable: audit, log and command. Borrowed for the call. */
typedef void (*alert_told_fn)(enum alert_kind kind, const struct state_alert *a, bool raised, void *arg);

/* With what the state database has. `s` is borrowed. */
int alerts_new(struct alerts **out, struct state *s, alert_told_fn told, void *arg);
void alerts_free(struct alerts *a); /* NULL is a no-op */

/* Something is wrong, as `text` says (for people; one line); and it no longer is. They never fail: an alert that the
 * state database does not take is logged, and is raised all the same until the daemon ends. */
void alert_raise(struct daemon *d, enum alert_kind kind, const char *subject, const char *text);
/* It was seen before, and is more urgent now: everybody is told again. */
void alert_raise_again(struct daemon *d, enum alert_kind kind, const char *subject, const char *text);
void alert_clear(struct daemon *d, enum alert_kind kind, const char *subject, const char *text);
bool alert_is_raised(const struct daemon *d, enum alert_kind kind, const char *subject);

/* One clone has one trouble at a time: raising another of ALERT_CLONE_* clears the ones before without telling. */
void alert_raise_clone(struct daemon *d, enum alert_kind kind, const char *clone, const char *text);
/* All of ALERT_CLONE_* of it are over; told once. */
void alert_clear_clone(struct daemon *d, const char *clone, const char *text);
/* A clone was removed from the fleet: its alerts are gone, and nobody is told. */
void alert_forget_clone(struct daemon *d, const char *clone);

/* The command that tells of it has run, or there is none. */
void alert_mark_told(struct daemon *d, enum alert_kind kind, const char *subject);
/* Every one that is raised, oldest first; `each` may clear it. */
typedef void (*alert_each_fn)(enum alert_kind kind, const struct state_alert *a, void *arg);
void alert_each(struct daemon *d, alert_each_fn each, void *arg);

/* At a role's start: what only the other role can raise, and so nobody would ever clear, is over. */
void alert_clear_other_role(struct daemon *d);

const char *alert_name(enum alert_kind kind);
/* "clone 10.0.0.5:2222 cannot be reached" into `out`. */
void alert_title(char *out, size_t size, enum alert_kind kind, const char *subject);

/* [{"alert", "subject", "title", "text", "since"}], oldest first. New reference. */
json_t *alerts_json(const struct daemon *d);

#endif
