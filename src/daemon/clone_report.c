/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_report: what came of a restore, for the master: on the session that brought the backup, if that is still there;
 * else later, at the master's listen port. From when a backup is stored its receipt is in the state database, with the
 * outcome once there is one; the row goes when the master has taken it, or a newer backup has taken its place.
 *
 *     stored ──> nothing to tell yet ──outcome──> said on the session ──> gone, or as before if more is to come
 *                                          └────> to tell ──ack──> gone, or as before
 *
 * A session without anything to tell is the sign that this clone is there again: once at each start.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/msg.h"
#include "base/str.h"
#include "clone_int.h"
#include "daemon/peer_log.h"
#include "daemon/silence.h"
#include "replication/report.h"

int clone_expect_report(struct clone_role *c, const struct proto_offer *o)
{
	struct state_report r = { .generation = o->generation };
	int rc = state_supersede_reports(c->d->state);

	STR_COPY(r.receipt, o->receipt);
	STR_COPY(r.lineage, o->lineage);
	return rc < 0 ? rc : state_put_report(c->d->state, &r);
}

static void cannot_keep(const struct clone_role *c, int rc)
{
	log_err("what the master has to be told of is not kept: %s", err_text(rc));
	daemon_end(c->d, err_exit_status(rc));
}

/* --- sessions --- */

static void audit_report(struct clone_role *c, const struct state_report *r, enum audit_outcome outcome,
    const char *code, const char *detail)
{
	struct audit_record a = { .event = AUDIT_REPORT_SEND,
		.outcome = outcome,
		.generation = r->generation,
		.lineage = r->lineage,
		.peer = c->reports_to,
		.code = code,
		.detail = detail };

	daemon_audit(c->d, &a);
}

static int on_hello(const struct proto_hello *master, void *arg)
{
	struct clone_role *c = arg;
	int rc = clone_judge_lineage(c, master, c->reports_to);

	if (rc < 0)
		return rc;
	c->knocked = true;
	c->d->self.master_contact = time(NULL);
	silence_heard(c->silence);
	STR_COPY(c->reports_lineage, master->lineage);
	return KC_OK;
}

static bool next(struct proto_report *p, void *arg)
{
	struct clone_role *c = arg;
	struct state_report *r = &c->told;

	if (c->d->ending || state_next_report(r, c->d->state) < 0)
		return false;
	STR_COPY(p->receipt, r->receipt);
	STR_COPY(p->lineage, r->lineage);
	p->generation = r->generation;
	p->status = (enum proto_status)r->status;
	STR_COPY(p->digest, r->digest);
	p->rows = r->rows;
	STR_COPY(p->error, r->error);
	STR_COPY(p->message, r->message);
	p->retryable = r->retryable;
	p->time = (uint64_t)r->at;
	p->duration_ms = r->duration_ms;
	p->until = (uint64_t)r->until;
	audit_report(c, r, AUDIT_STARTED, NULL, proto_status_name(p->status));
	c->telling_one = true;
	if (audit_head(c->d->audit, &p->audit_seq, p->audit_head) < 0)
		p->audit_seq = 0;
	return true;
}

/* It was told. What happened since then is not: it stays, to be told next. */
static void forget_told(struct clone_role *c)
{
	struct state_report now;
	int rc = state_get_report(&now, c->d->state, c->told.receipt);

	if (rc == KC_OK && (now.status != c->told.status || now.at != c->told.at || now.until != c->told.until))
		return;
	if (rc == KC_OK && !now.last) {
		now.status = 0;
		rc = state_put_report(c->d->state, &now);
	} else if (rc == KC_OK) {
		rc = state_forget_report(c->d->state, now.receipt);
	}
	if (rc < 0 && rc != KC_ENOENT)
		cannot_keep(c, rc);
}

/* The master's audit log, as it says it: none of it may have gone. */
static void see_log(struct clone_role *c, const struct proto_ack *ack)
{
	struct state_peer_log known;
	int rc;

	if (state_get_peer_log(&known, c->d->state, "", 0) < 0 || strcmp(known.lineage, c->reports_lineage) != 0) {
		memset(&known, 0, sizeof(known));
		STR_COPY(known.lineage, c->reports_lineage);
	}
	if (!peer_log_see(c->d, &known, c->reports_to, ack->audit_seq, ack->audit_head))
		return;
	rc = state_put_peer_log(c->d->state, &known);
	if (rc < 0)
		log_warn("the head of the master's audit log is not remembered: %s", err_text(rc));
}

static void on_ack(const struct proto_ack *ack, void *arg)
{
	struct clone_role *c = arg;
	const struct state_report *r = &c->told;
	const char *what = proto_status_name((enum proto_status)r->status);

	c->telling_one = false;
	if (ack->refused[0] != '\0') {
		audit_report(c, r, AUDIT_FAILURE, msg_code(MSG_REPORT_UNKNOWN), ack->refused);
		log_warn("generation %" PRIu64 ": %s does not take the report (%s): %s", r->generation, c->reports_to,
		    what, ack->refused);
	} else {
		audit_report(c, r, AUDIT_SUCCESS, NULL, what);
		log_info("generation %" PRIu64 ": %s was told that it is %s", r->generation, c->reports_to, what);
	}
	see_log(c, ack);
	forget_told(c);
}

/* What was begun has its end in the audit log; that the master is away is there once for each time. */
static void say_failed(struct clone_role *c, const struct state_report *r, const char *text)
{
	if (c->telling_one || !c->tell_said)
		audit_report(c, r, AUDIT_FAILURE, msg_code(MSG_NOT_REPORTED), text);
	(c->tell_said ? log_debug : log_info)(
	    "generation %" PRIu64 ": %s could not be told what became of it: %s; it is kept and told again in %" PRIu64
	    " s",
	    r->generation, c->reports_to, text, c->tell_wait_ms / 1000);
	c->tell_said = true;
}

static void on_closed(int rc, const char *text, void *arg)
{
	struct clone_role *c = arg;
	struct state_report *r = mem_xalloc(sizeof(*r));
	bool more = !c->d->ending && state_next_report(r, c->d->state) == KC_OK;

	c->knocked = true;
	if (rc < 0 && (more || c->telling_one)) {
		c->tell_wait_ms = daemon_back_off(c->d, c->tell_wait_ms);
		say_failed(c, c->telling_one ? &c->told : r, text);
	} else if (rc < 0) {
		log_debug("the master was not told that this clone is up: %s", text);
	} else {
		c->tell_wait_ms = 0;
		c->tell_said = false;
	}
	if (more)
		loop_timer_set(c->tell, c->tell_wait_ms);
	c->telling_one = false;
	report_out_free(c->telling);
	c->telling = NULL;
	free(r);
}

void clone_end_telling(struct clone_role *c)
{
	if (c->telling_one)
		audit_report(c, &c->told, AUDIT_FAILURE, msg_code(MSG_NOT_REPORTED), "the daemon ended");
	report_out_free(c->telling);
}

char *clone_master_address(const struct clone_role *c, int *port)
{
	const char *configured = daemon_master_host(c->d);
	struct state_siblings *f;
	char *host = NULL;

	*port = daemon_master_port(c->d);
	if (configured != NULL)
		return mem_xstrdup(configured);
	f = mem_xalloc(sizeof(*f));
	if (state_get_siblings(f, c->d->state) == KC_OK && f->address[0] != '\0') {
		host = mem_xstrdup(f->address);
		*port = f->port > 0 ? (int)f->port : *port;
	}
	free(f);
	return host;
}

static void start_session(struct clone_role *c, const char *host, int port)
{
	static const struct report_out_events events = {
		.on_hello = on_hello, .next = next, .on_ack = on_ack, .on_closed = on_closed
	};
	struct proto_hello *h = mem_xalloc(sizeof(*h));
	struct report_out_options o = { .host = host,
		.port = (uint16_t)port,
		.conn = daemon_conn_options(c->d),
		.hello = h,
		.ack_ms = c->d->conf->timeout_ms };
	char *name = host_port_format(host, port);
	int rc = clone_fill_hello(c, h);

	STR_COPY(c->reports_to, name);
	o.conn.rule.successor = false; /* whom we call is whom we want */
	if (rc == KC_OK)
		c->telling = report_out_start(c->d->loop, &o, &events, c);
	else
		log_warn("%s is not greeted: %s", name, err_text(rc));
	free(name);
	free(h);
}

void clone_on_tell(void *arg)
{
	struct clone_role *c = arg;
	int port;
	char *host = clone_master_address(c, &port);
	struct state_report *r = mem_xalloc(sizeof(*r));
	bool any = state_next_report(r, c->d->state) == KC_OK;

	free(r);
	/* Without a place to report to: the next master that greets is one. */
	if (c->telling == NULL && !c->d->ending && host != NULL && (any || !c->knocked))
		start_session(c, host, port);
	free(host);
}

void clone_tell_soon(struct clone_role *c)
{
	c->tell_wait_ms = 0;
	if (c->telling == NULL)
		loop_timer_set(c->tell, 0);
}

/* --- outcomes --- */

static void keep_outcome(struct clone_role *c, struct state_report *r, const struct proto_result *answer, bool said)
{
	bool done = answer->status == PROTO_RESTORED || answer->status == PROTO_UNCHANGED;
	int rc;

	r->last = done || (answer->status == PROTO_FAILED && !answer->retryable);
	r->status = said ? 0 : (int64_t)answer->status;
	STR_COPY(r->digest, answer->digest);
	r->rows = answer->rows;
	STR_COPY(r->error, answer->error);
	STR_COPY(r->message, answer->message);
	r->retryable = answer->retryable;
	r->at = time(NULL);
	r->until = (int64_t)answer->until;
	r->duration_ms = c->restore_began != 0 ? loop_now(c->d->loop) - c->restore_began + 1 : 0;
	rc = said && r->last ? state_forget_report(c->d->state, r->receipt) : state_put_report(c->d->state, r);
	if (rc < 0)
		cannot_keep(c, rc);
}

void clone_tell(struct clone_role *c, const struct proto_result *answer)
{
	struct state_report *r;
	bool said;

	if (c->keeping) {
		/* The master is told when the file is on disk, too. */
		if (c->untold == NULL)
			c->untold = mem_xalloc(sizeof(*c->untold));
		*c->untold = *answer;
		return;
	}
	r = mem_xalloc(sizeof(*r));
	said = receive_result(c->receive, answer);
	if (!said)
		receive_greet_anew(c->receive);
	if (state_pending_report(r, c->d->state) == KC_OK) {
		keep_outcome(c, r, answer, said);
		if (!said)
			clone_tell_soon(c);
	}
	free(r);
	clone_answer_waiting(c, answer);
}

/* A crash between what was restored and the note of it. */
void clone_resume_reports(struct clone_role *c)
{
	const struct state_self *self = &c->d->self;
	struct state_report *r = mem_xalloc(sizeof(*r));
	bool pending = state_pending_report(r, c->d->state) == KC_OK && r->status == 0;
	int rc = KC_OK;

	if (pending && strcmp(r->lineage, self->lineage) == 0 && r->generation == self->generation) {
		r->status = PROTO_RESTORED;
		r->last = true;
		STR_COPY(r->digest, self->digest);
		r->rows = self->rows;
		r->at = self->applied_at;
		rc = state_put_report(c->d->state, r);
	} else if (pending && c->stored.generation == 0) {
		rc = state_forget_report(c->d->state, r->receipt);
	}
	if (rc < 0)
		cannot_keep(c, rc);
	free(r);
}
