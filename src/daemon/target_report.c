/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target_report: what clones say at the master's listen port: that they are there again, and what came of backups after
 * the sessions that brought them. A report is believed by its receipt, which only the clone that got the offer knows,
 * and from a peer that a push would go to.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/peer_log.h"
#include "keystore/cert.h"
#include "master_int.h"
#include "replication/report.h"

#define REPORTS_MS  60000
#define REPORTS_MAX 30 /* of one clone in that time; it tells the rest later */

#define HEARD_MS 3000 /* between two tries because it was heard */

/* One session of a clone. */
struct caller {
	struct caller *next;
	struct master *master;
	struct report_in *session;
	unsigned reports;
};

void target_note_receipt(struct target *t, const struct proto_offer *o)
{
	memset(&t->receipt, 0, sizeof(t->receipt));
	STR_COPY(t->receipt.receipt, o->receipt);
	STR_COPY(t->receipt.host, fleet_record(t->clone)->host);
	t->receipt.port = fleet_record(t->clone)->port;
	STR_COPY(t->receipt.lineage, o->lineage);
	t->receipt.generation = o->generation;
	t->dirty = true; /* it is kept before the offer leaves: master_end_turn() */
}

void target_see_log(struct target *t, uint64_t seq, const char *hash)
{
	if (peer_log_see(t->master->d, &t->log, t->name, seq, hash))
		t->log_moved = t->dirty = true;
}

/* --- is it to be believed? --- */

static int refuse(struct proto_ack *ack, const char *why)
{
	STR_COPY(ack->refused, why);
	return KC_EPERM;
}

/* Whose report is it? NULL: it is not believed, and *ack says why. */
static struct target *judge(
    struct proto_ack *ack, struct state_receipt *given, struct caller *c, const struct proto_report *r)
{
	struct master *m = c->master;
	const struct proto_hello *h = report_in_hello(c->session);
	struct fleet_clone *fc;
	struct target *t;
	struct peer_rule rule = { .role = PROTO_CLONE,
		.cns = (const char *const *)m->d->conf->authorized_cns.items,
		.own_spkis = tls_creds_spkis(m->d->creds) };
	enum peer_verdict v;

	if (state_get_receipt(given, m->d->state, r->receipt) < 0 || strcmp(given->lineage, r->lineage) != 0 ||
	    given->generation != r->generation) {
		refuse(ack, "its receipt is not one that this master gave for that generation");
		return NULL;
	}
	fc = fleet_find(m->fleet, given->host, given->port);
	t = fc != NULL ? fleet_arg(fc) : NULL;
	if (t == NULL) {
		refuse(ack, "the clone that it is about was removed");
		return NULL;
	}
	rule.host = given->host;
	v = peer_decide(report_in_cert(c->session), &rule);
	if (!peer_may_speak(v)) {
		refuse(ack, peer_text(v));
		return NULL;
	}
	if (strcmp(t->recipient, h->recipient) != 0) {
		refuse(ack, "its receipt was given to another clone");
		return NULL;
	}
	return t;
}

/* --- what follows from it --- */

static void audit_report(struct target *t, const struct proto_report *r)
{
	bool good = r->status == PROTO_RESTORED || r->status == PROTO_UNCHANGED || r->status == PROTO_POSTPONED;
	char detail[700];
	struct audit_record a = { .event = AUDIT_REPORT_RECEIVE,
		.outcome = good ? AUDIT_SUCCESS : AUDIT_FAILURE,
		.generation = r->generation,
		.lineage = r->lineage,
		.peer = t->name,
		.duration_ms = r->duration_ms,
		.code = good ? NULL : err_msg_code(err_from_name(r->error)),
		.detail = detail };

	snprintf(detail, sizeof(detail), "%s%s%.600s", proto_status_name(r->status), r->message[0] != '\0' ? ": " : "",
	    r->message);
	daemon_audit(t->master->d, &a);
	log_info("clone %s reports: generation %" PRIu64 " %s", t->name, r->generation, detail);
}

static void take(struct target *t, const struct proto_report *r)
{
	int code = err_from_name(r->error);

	switch (r->status) {
	case PROTO_RESTORED:
	case PROTO_UNCHANGED:
		if (r->generation >= fleet_record(t->clone)->applied)
			STR_COPY(t->digest, r->digest);
		fleet_reported(t->clone, r->generation);
		/* What it could not take before, it can now. */
		if (!fleet_in_attempt(t->clone) && r->generation < fleet_generation(t->master->fleet))
			fleet_now(t->master->fleet, t->clone);
		break;
	case PROTO_POSTPONED:
		if (!fleet_in_attempt(t->clone))
			fleet_postponed(t->clone, r->generation, (int64_t)r->until);
		break;
	case PROTO_DIVERGED:
		if (!fleet_in_attempt(t->clone))
			fleet_failed(t->clone, FLEET_FAIL_DIVERGED, KC_EDIVERGED, r->message, t->push != NULL);
		break;
	default:
		if (!fleet_in_attempt(t->clone) && code == KC_ENEEDFULL) {
			/* Nothing is wrong with it: it gets one. */
			t->needs_full = true;
			fleet_now(t->master->fleet, t->clone);
			break;
		}
		if (!fleet_in_attempt(t->clone))
			fleet_failed(
			    t->clone, FLEET_FAIL_OTHER, code == KC_OK ? KC_EFAIL : code, r->message, t->push != NULL);
	}
	master_settle_soon(t->master);
}

static bool is_done(int64_t status)
{
	return status == PROTO_RESTORED || status == PROTO_UNCHANGED;
}

static void refused_report(struct caller *c, const struct proto_report *r, const struct proto_ack *ack)
{
	struct master *m = c->master;

	log_limited(&m->knocks, loop_now(m->d->loop), LOG_LVL_WARN,
	    "a report of %s on generation %" PRIu64 " is not believed: %s", report_in_name(c->session), r->generation,
	    ack->refused);
	audit_stranger(m->d->audit, loop_now(m->d->loop), report_in_address(c->session), msg_code(MSG_REPORT_UNKNOWN),
	    ack->refused);
}

/* One that reports without end must not fill the audit log. */
static bool is_one_too_many(struct target *t)
{
	uint64_t now = loop_now(t->master->d->loop);

	if (t->reports == 0 || now - t->reports_since >= REPORTS_MS) {
		t->reports_since = now;
		t->reports = 0;
	}
	return t->reports++ >= REPORTS_MAX;
}

/* The record first, then what we know, then the ack: each step again if the power goes before the next. */
static int on_report(struct report_in *s, const struct proto_report *r, struct proto_ack *ack, void *arg)
{
	struct caller *c = arg;
	struct master *m = c->master;
	struct state_receipt *given = mem_xalloc(sizeof(*given));
	struct target *t = judge(ack, given, c, r);
	int rc = KC_OK;

	(void)s;
	c->reports++;
	if (t == NULL) {
		refused_report(c, r, ack);
	} else if (!is_done(given->status) && is_one_too_many(t)) {
		rc = err_set(KC_ELIMIT, "more than %d reports of one clone in a minute", REPORTS_MAX);
	} else if (!is_done(given->status)) {
		audit_report(t, r);
		target_see_log(t, r->audit_seq, r->audit_head);
		given->status = (int64_t)r->status;
		rc = state_put_receipt(m->d->state, given);
		/* What it says of another lineage than ours is news of the past. */
		if (rc == KC_OK && strcmp(r->lineage, m->d->self.lineage) == 0)
			take(t, r);
	}
	if (rc == KC_OK && audit_head(m->d->audit, &ack->audit_seq, ack->audit_head) < 0)
		ack->audit_seq = 0;
	free(given);
	return rc;
}

/* --- sessions --- */

/* One that greets without end, and cannot be reached, must not be tried, and audited, without end. */
static void heard(struct target *t)
{
	uint64_t now = loop_now(t->master->d->loop);

	if (t->heard_at != 0 && now - t->heard_at < HEARD_MS)
		return;
	t->heard_at = now;
	fleet_heard(t->clone);
}

static int on_hello(struct report_in *s, const struct proto_hello *clone, struct proto_hello *ours, void *arg)
{
	struct caller *c = arg;
	struct master *m = c->master;

	(void)s;
	for (struct target *t = m->targets; t != NULL; t = t->next)
		if (t->recipient[0] == '\0' || strcmp(t->recipient, clone->recipient) == 0)
			heard(t);
	target_fill_hello(m, NULL, ours);
	return KC_OK;
}

static int on_cert_request(struct report_in *s, const struct proto_cert_request *q, void *arg)
{
	struct caller *c = arg;

	c->reports++;
	return target_cert_request(c->master, s, q);
}

static void forget(struct caller *c)
{
	struct caller **at = &c->master->callers;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	target_cert_gone(c->master, c->session);
	report_in_free(c->session);
	free(c);
}

static void on_closed(struct report_in *s, int rc, const char *text, void *arg)
{
	struct caller *c = arg;

	if (rc == KC_OK && c->reports == 0)
		log_limited(&c->master->knocks, loop_now(c->master->d->loop), LOG_LVL_INFO,
		    "%s: a clone is there again", report_in_name(s));
	if (rc == KC_EPROTO || rc == KC_ELIMIT)
		daemon_refused(c->master->d, report_in_address(s), PEER_UNDECIDED, rc, text);
	forget(c);
}

void target_take_caller(struct master *m, struct conn *conn)
{
	static const struct report_in_events events = { on_hello, on_report, on_cert_request, on_closed };
	struct caller *c = mem_xalloc(sizeof(*c));

	c->master = m;
	c->session = report_in_new(conn, 0, &events, c);
	c->next = m->callers;
	m->callers = c;
}

void target_free_callers(struct master *m)
{
	while (m->callers != NULL)
		forget(m->callers);
}
