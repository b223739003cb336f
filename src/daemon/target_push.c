/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target_push: the session with one clone: what is decided when the clone is due, and what came of it. The fleet says
 * when, push how; this file knows what to send.
 *
 *   due → no session: connect → hello → decide;   session idle: decide
 *   decide → nothing lacking: idle | cannot be helped: failed | offer → data … end → result → applied | failed
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/age.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/password.h"
#include "keystore/cert.h"
#include "master_int.h"

/* --- attempts --- */

/* What it was offered has come to its end. */
void target_over(struct target *t, int rc, const char *text)
{
	struct audit_record r = { .event = AUDIT_PUSH_END,
		.lineage = t->master->d->self.lineage,
		.peer = t->name,
		.bytes = t->push != NULL ? push_sent(t->push) : 0,
		.duration_ms = loop_now(t->master->d->loop) - t->offered_at + 1 };

	if (t->offering) {
		r.generation = t->sent->generation;
		r.backup = t->sent->name;
		if (rc < 0)
			err_set(rc, "%s", text);
		audit_result(t->master->d->audit, &r, rc);
		if (r.generation == t->master->run.generation) {
			t->share.bytes += r.bytes;
			t->share.ms += r.duration_ms;
		}
	}
	t->offering = false;
	t->waiting = false;
	offering_unref(t->sent);
	t->sent = NULL;
}

/* Who asked for it now has his outcome. */
static void answered(struct target *t)
{
	t->awaited = t->restore_now = false;
}

void target_failed(struct target *t, enum fleet_failure how, int code, const char *text, bool keep)
{
	struct master *m = t->master;
	/* Somebody asked for a newer backup in the middle of this attempt: its failure says nothing about that one. */
	bool overtaken = t->awaited && t->sent != NULL && m->out != NULL && t->aimed != m->out->generation;
	bool again;

	target_over(t, code, text);
	again = fleet_failed(t->clone, how, code, text, keep);
	if (overtaken)
		fleet_now(m->fleet, t->clone);
	else if (!again)
		answered(t);
	master_settle_soon(m);
}

void target_idle(struct target *t)
{
	answered(t);
	fleet_idle(t->clone);
	master_settle_soon(t->master);
}

/* On its way to the newest generation it has come to another one: who asked for it goes on waiting. */
static bool is_on_its_way(const struct target *t, uint64_t generation)
{
	return t->awaited && t->master->out != NULL && generation < t->master->out->generation;
}

/* It has it stored, and waits for its hour: that is the end of an attempt, unless somebody asked for more meanwhile. */
void target_postponed(struct target *t, uint64_t generation, int64_t until)
{
	bool more = (t->restore_now && t->awaited) || is_on_its_way(t, generation);

	if (!more)
		answered(t);
	fleet_postponed(t->clone, generation, until);
	if (more)
		fleet_now(t->master->fleet, t->clone);
	master_settle_soon(t->master);
}

static void applied(struct target *t, uint64_t generation)
{
	bool more = is_on_its_way(t, generation);

	if (!more)
		answered(t);
	fleet_applied(t->clone, generation);
	if (more)
		fleet_now(t->master->fleet, t->clone);
	master_settle_soon(t->master);
}

/* Sends `o`, whose reference it takes. */
void target_offer(struct target *t, struct offering *o)
{
	struct master *m = t->master;
	struct push_file f = { .path = o->part != NULL ? o->part : o->path, .valid = o->valid };
	struct audit_record r = { .event = AUDIT_PUSH_START,
		.outcome = AUDIT_STARTED,
		.generation = o->generation,
		.lineage = m->d->self.lineage,
		.peer = t->name,
		.backup = o->name };
	int rc;

	/* A push outside a run (a clone that answers again, somebody asked again) is one of its own: the record of the
	 * run's end that is in the audit was true when it was written. */
	master_run_begin(m, m->out->generation);
	STR_COPY(f.offer.lineage, m->d->self.lineage);
	offering_describe(&f.offer, o);
	f.offer.password_since = (uint64_t)password_since(m->d, o->name, !o->complete);
	/* The file may be as large as the database, which is unpacked beside it. */
	f.offer.room =
	    (o->complete ? o->end.size + o->header_size : o->database_size + o->database_size / 64 + 262144) +
	    o->database_size;
	f.offer.discard = t->discard;
	f.offer.restore_now = t->offered_now = t->restore_now;
	rc = daemon_audit(m->d, &r);
	t->sent = o;
	t->aimed = m->out->generation;
	t->offering = rc == KC_OK;
	t->offered_at = loop_now(m->d->loop);
	if (rc == KC_OK)
		rc = push_offer(t->push, &f);
	if (rc == KC_ENOENT && o->part != NULL) {
		/* It has just got its name; the worker's word of it is on its way. */
		f.path = o->path;
		rc = push_offer(t->push, &f);
	}
	if (rc == KC_ENOENT && o->complete) {
		/* Somebody removed it: make another. */
		m->want_full = true;
		master_look(m, true);
	}
	if (rc == KC_ENET)
		return; /* it was ending already: on_closed says how, and the attempt goes on from there */
	if (rc < 0) {
		target_failed(t, FLEET_FAIL_OTHER, rc, err_text(rc), true);
		return;
	}
	target_note_receipt(t, &f.offer);
	fleet_offered(t->clone, o->generation);
	fleet_phase(t->clone, FLEET_PUSHING, 0);
	if (o->complete)
		target_end_all(m);
}

static void note_issued(const struct target *t, const struct cert_info *cert)
{
	struct state_issued i = { .port = fleet_record(t->clone)->port, .not_after = (int64_t)cert->not_after };
	int rc;

	STR_COPY(i.host, fleet_record(t->clone)->host);
	STR_COPY(i.serial, cert->serial);
	rc = state_put_issued(t->master->d->state, &i);
	if (rc < 0)
		log_err("the certificate of clone %s is not remembered: %s", t->name, err_text(rc));
}

/* Which certificate goes with the clone when it is removed: one that the own authority made for it, not the site's;
 * and which name may be needed no longer then. */
static void note_certificate(struct target *t, const struct cert_info *cert, enum peer_verdict v)
{
	const char *const *ours = tls_creds_spkis(t->master->d->creds);
	bool own = cert != NULL && cert->anchor_is_authority && cert->role == CERT_ROLE_CLONE;

	for (; own && *ours != NULL; ours++)
		own = strcmp(cert->spki_sha256, *ours) != 0;
	STR_COPY(t->certificate, own ? cert->sha256 : "");
	STR_COPY(t->cn, cert != NULL && !cert->anchor_is_authority && v != PEER_SITE ? cert->cn : "");
	if (strcmp(t->serial, own ? cert->serial : "") == 0)
		return;
	STR_COPY(t->serial, own ? cert->serial : "");
	if (own)
		note_issued(t, cert);
}

static void on_ready(struct push *p, const struct proto_hello *h, void *arg)
{
	struct target *t = arg;
	bool ours = strcmp(h->applied_lineage, t->master->d->self.lineage) == 0;
	bool stored = strcmp(h->stored_lineage, t->master->d->self.lineage) == 0;
	const struct cert_info *cert = push_cert(p);
	char text[400];
	/* What it has of another history, of whatever number, is not what this master makes under that number. */
	bool rolled_back = target_is_rolled_back(text, sizeof(text), t, h);
	struct fleet_hello f = { .applied = ours && !rolled_back ? h->applied_generation : 0,
		.stored = stored ? h->stored_generation : 0,
		.postponed_until = stored ? (int64_t)h->postponed_until : 0,
		.not_after = cert != NULL ? (int64_t)cert->not_after : 0,
		.clock_offset = push_clock_offset(p),
		.stopped = h->stopped };

	t->diverged = h->diverged;
	daemon_say_clock(&t->clock_said, t->name, push_clock_offset(p));
	STR_COPY(t->digest, h->applied_digest);
	t->chain = (ours && !rolled_back) || f.postponed_until != 0 ? h->chain : 0;
	target_hear_warnings(t, h);
	target_see_certificate(t, cert);
	target_system_hello(t, h);
	note_certificate(t, cert, push_verdict(p));
	t->dirty = true;
	fleet_hello(t->clone, &f);
	target_decide(t);
}

/* The session was busy with the system backup; what came due meanwhile is next. */
static void go_on(struct target *t)
{
	if (fleet_in_attempt(t->clone) && push_state(t->push) == PUSH_IDLE)
		target_decide(t);
	master_settle_soon(t->master);
}

static void on_accepted(struct push *p, uint64_t offset, void *arg)
{
	struct target *t = arg;

	(void)p;
	if (offset > 0)
		log_info("clone %s: the transfer goes on at byte %" PRIu64, t->name, offset);
}

static void on_declined(struct push *p, const struct proto_decline *d, void *arg)
{
	struct target *t = arg;
	uint64_t had;
	char text[400];

	(void)p;
	if (target_system_declined(t, d)) {
		go_on(t);
		return;
	}
	if (d->reason == PROTO_R_FULL) {
		t->needs_full = true;
		err_set(KC_ENEEDFULL, "%.250s", d->message);
		target_wait_for_full(t);
		return;
	}
	if (d->reason == PROTO_R_HAVE) {
		had = t->sent->generation;
		STR_COPY(t->share.result, "had it");
		target_over(t, KC_OK, NULL);
		applied(t, had);
		return;
	}
	if (d->reason == PROTO_R_NOSPC)
		snprintf(text, sizeof(text), "it has no room: %" PRIu64 " bytes are free, %" PRIu64 " are needed",
		    d->have, d->need);
	else
		snprintf(
		    text, sizeof(text), "%.300s", d->message[0] != '\0' ? d->message : proto_reason_name(d->reason));
	switch (d->reason) {
	case PROTO_R_DIVERGED:
		target_failed(t, FLEET_FAIL_DIVERGED, KC_EDIVERGED, text, true);
		break;
	case PROTO_R_NOSPC:
		target_failed(t, FLEET_FAIL_DECLINED, KC_ENOSPC, text, true);
		break;
	case PROTO_R_FOREIGN:
		target_failed(t, FLEET_FAIL_REFUSED, KC_EFOREIGN, text, true);
		break;
	case PROTO_R_STALE:
		target_failed(t, FLEET_FAIL_DECLINED, KC_ESTALE, text, true);
		break;
	case PROTO_R_BUSY:
		target_failed(t, FLEET_FAIL_DECLINED, KC_EAGAIN, text, true);
		break;
	default:
		target_failed(t, FLEET_FAIL_DECLINED, KC_EBUSY, text, true);
	}
}

static void on_sent(struct push *p, uint64_t bytes, void *arg)
{
	struct target *t = arg;
	const struct offering *o = t->sent;
	uint64_t total;

	(void)p;
	if (o == NULL)
		return;
	total = o->complete ? o->end.size : 0;
	/* While the file grows its size is not known: the share of what there is, in the share of the backup that is
	 * made. */
	if (total == 0 && o->valid > o->header_size)
		total = (o->valid - o->header_size) * 100 / (t->master->run.percent > 0 ? t->master->run.percent : 1);
	fleet_phase(t->clone, FLEET_PUSHING, total > 0 && bytes < total ? (unsigned)(bytes * 100 / total) : 99);
	master_settle_soon(t->master);
}

static void on_restoring(struct push *p, const struct proto_progress *progress, void *arg)
{
	struct target *t = arg;

	(void)p;
	if (t->sent == NULL)
		return;
	fleet_stored(t->clone, t->sent->generation);
	fleet_phase(t->clone, FLEET_RESTORING, progress->percent);
	master_settle_soon(t->master);
}

static void on_result(struct push *p, const struct proto_result *r, void *arg)
{
	struct target *t = arg;
	int code;

	(void)p;
	target_see_log(t, r->audit_seq, r->audit_head);
	if (target_system_result(t, r)) {
		go_on(t);
		return;
	}
	STR_COPY(t->share.result, proto_status_name(r->status));
	switch (r->status) {
	case PROTO_RESTORED:
	case PROTO_UNCHANGED:
		target_took(t, t->sent);
		STR_COPY(t->digest, r->digest);
		target_over(t, KC_OK, NULL);
		t->discard = t->diverged = false;
		fleet_stored(t->clone, r->generation);
		applied(t, r->generation);
		break;
	case PROTO_STORED:
	case PROTO_POSTPONED:
		t->restore_now = t->restore_now && !t->offered_now;
		target_took(t, t->sent);
		target_over(t, KC_OK, NULL);
		fleet_stored(t->clone, r->generation);
		target_postponed(t, r->generation, (int64_t)r->until);
		break;
	case PROTO_DIVERGED:
		target_failed(t, FLEET_FAIL_DIVERGED, KC_EDIVERGED, r->message, true);
		break;
	default:
		code = err_from_name(r->error);
		if (code == KC_ENEEDFULL) {
			t->needs_full = true;
			err_set(code, "%.250s", r->message);
			target_wait_for_full(t);
			break;
		}
		target_failed(t, FLEET_FAIL_OTHER, code == KC_OK ? KC_EFAIL : code, r->message, true);
	}
	master_settle_soon(t->master);
}

static void on_closed(struct push *p, enum push_ending how, int rc, const char *text, void *arg)
{
	struct target *t = arg;

	bool refused = how == PUSH_UNAUTHORISED || rc == KC_EFENCED || rc == KC_EFOREIGN || rc == KC_ECERT;

	if (refused || (rc == KC_EPROTO && !t->offering))
		daemon_refused(t->master->d, t->name, push_verdict(p), rc, text);
	t->push = NULL;
	(void)target_system_over(t, rc == KC_OK ? KC_EAGAIN : rc, text);
	if (!fleet_in_attempt(t->clone)) {
		fleet_lost(t->clone, how == PUSH_GOOD ? KC_OK : rc);
	} else if (how == PUSH_GOOD && !t->master->d->ending) {
		/* It was due while the session was ending, or waited for a backup to grow, or the clone left first. */
		target_over(t, KC_EAGAIN, "the session ended before the offer was answered");
		if (!fleet_again(t->clone))
			target_failed(
			    t, FLEET_FAIL_OTHER, KC_ENET, "it ends its sessions when it is offered a backup", false);
	} else {
		target_failed(t,
		    how == PUSH_UNREACHABLE ? FLEET_FAIL_UNREACHABLE
		    : refused		    ? FLEET_FAIL_REFUSED
					    : FLEET_FAIL_OTHER,
		    rc, text, false);
	}
	push_free(p);
	master_settle_soon(t->master);
}

void target_fill_hello(const struct master *m, const struct target *to, struct proto_hello *h)
{
	const struct daemon *d = m->d;

	STR_COPY(h->product, PACKAGE_NAME " " PACKAGE_VERSION);
	STR_COPY(h->lineage, d->self.lineage);
	STR_COPY(h->host, d->host);
	STR_COPY(h->signing_key, d->signer);
	h->ancestors = d->ancestors;
	h->listen_port = (uint32_t)d->conf->master_listen_port;
	for (const struct target *t = m->targets; t != NULL && h->clone_count < PROTO_CLONES; t = t->next)
		if (t != to)
			STR_COPY(h->clones[h->clone_count++], t->name);
	h->fleet = (uint32_t)fleet_count(m->fleet);
	h->stopped = d->self.stopped;
	h->interval = d->conf->daily_backup != NULL ? 86400 : d->conf->check_frequency_ms / 1000;
}

static void connect_to(struct target *t)
{
	static const struct push_events events = { on_ready, on_accepted, on_declined, on_sent, on_restoring, on_result,
		on_closed };
	struct daemon *d = t->master->d;
	const struct fleet_record *r = fleet_record(t->clone);
	struct proto_hello *h = mem_xalloc(sizeof(*h));
	struct push_options o = { .creds = d->creds,
		.host = r->host,
		.port = r->port,
		.cns = (const char *const *)d->conf->authorized_cns.items,
		.hello = h,
		.timeout_ms = d->conf->timeout_ms,
		.progress_ms = 200 };

	target_fill_hello(t->master, t, h);
	t->push = push_start(d->loop, &o, &events, t);
	free(h);
}

void target_due(struct fleet_clone *c, void *arg)
{
	struct target *t = fleet_arg(c);

	(void)arg;
	if (t->push == NULL)
		connect_to(t);
	else if (push_state(t->push) == PUSH_IDLE)
		target_decide(t);
	/* Else it is ending, and on_closed says so to the fleet; or it sends the system backup, and go_on() goes on. */
}
