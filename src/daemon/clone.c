/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone: the sessions of a clone: what it says of itself, which offers it takes, what it does with what it stored.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/store.h"
#include "base/base64.h"
#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "clone_int.h"
#include "daemon/expiry.h"
#include "daemon/renew.h"
#include "daemon/silence.h"
#include "keystore/cert.h"

#define DECLINED_MS  60000
#define DECLINED_MAX 20 /* records of declined offers in that time; more are summed */

/* --- sessions --- */

/* The chain of what the next increment would build on: what waits for its hour, else what is applied. */
static uint64_t chain_of(const struct clone_role *c, bool waits)
{
	const struct state_self *self = &c->d->self;

	if (self->discard || self->by_hand || self->diverged)
		return 0; /* its rows are not what an increment builds on */
	if (waits && clone_has_stored(c))
		return c->stored.base != 0 ? c->stored.chain : c->stored.generation;
	return self->chain;
}

int clone_fill_hello(const struct clone_role *c, struct proto_hello *ours)
{
	const struct state_self *self = &c->d->self;

	STR_COPY(ours->product, PACKAGE_NAME " " PACKAGE_VERSION);
	STR_COPY(ours->lineage, self->lineage);
	STR_COPY(ours->host, c->d->host);
	STR_COPY(ours->recipient, c->d->recipient);
	STR_COPY(ours->applied_lineage, self->lineage);
	ours->applied_generation = self->generation;
	/* Else it asks for the generation again that the digest is of, or the digest is of none. */
	if (!self->discard && !self->by_hand)
		STR_COPY(ours->applied_digest, self->digest);
	STR_COPY(ours->stored_lineage, c->stored.lineage);
	ours->stored_generation = c->stored.generation;
	/* What is restored right now needs no offer: what comes of it is reported. */
	ours->postponed_until = (uint64_t)(c->restoring ? time(NULL) : clone_postponed_until(c));
	ours->chain = chain_of(c, ours->postponed_until != 0);
	ours->stopped = self->stopped;
	ours->diverged = self->diverged && !self->discard;
	if (ours->diverged)
		STR_COPY(ours->diverged_detail, self->diverged_detail);
	for (const char *w; ours->warning_count < PROTO_WARNINGS; ours->warning_count++) {
		w = renew_warning(c->d->renew, ours->warning_count);
		if (w == NULL)
			break;
		STR_COPY(ours->warnings[ours->warning_count], w);
	}
	return file_free_space(&ours->free, c->d->conf->backup_dir);
}

static int on_hello(struct receive_session *s, const struct proto_hello *master, struct proto_hello *ours, void *arg)
{
	struct clone_role *c = arg;
	struct state_self *self = &c->d->self;
	const struct cert_info *cert = receive_session_cert(s);
	int rc = clone_judge_master(c, master, s);

	if (rc < 0)
		return rc;
	self->master_contact = time(NULL);
	self->master_interval = (int64_t)master->interval;
	if (cert != NULL && self->master_not_after != (int64_t)cert->not_after)
		expiry_soon(c->d->expiry);
	self->master_not_after = cert != NULL ? (int64_t)cert->not_after : 0;
	self->master_clock_offset = (int64_t)master->time - self->master_contact;
	STR_COPY(self->master_host, master->host);
	daemon_say_clock(&c->clock_said, "the master", self->master_clock_offset);
	if (master->stopped && !self->master_stopped)
		log_info("the master's replication task is down: nothing comes until 'keyclone start' there");
	self->master_stopped = master->stopped;
	silence_heard(c->silence);
	renew_heard(c->d->renew);
	daemon_save(c->d);
	clone_remember_fleet(c, master, s);
	STR_COPY(c->signer, master->signing_key);
	c->knocked = true;
	clone_tell_soon(c);
	clone_system_hello(c, master->lineage, ours);
	return clone_fill_hello(c, ours);
}

static int decline(struct proto_decline *why, enum proto_reason reason, const char *text)
{
	why->reason = reason;
	STR_COPY(why->message, text);
	return KC_EFAIL;
}

/* A file that the retention of backups would not know would stay for ever. */
static bool is_backup_of(const struct proto_offer *o)
{
	enum store_kind kind = o->kind == PROTO_FULL ? STORE_FULL : STORE_INCR;
	struct store_name n;

	return store_name_parse(&n, o->file) == KC_OK && n.kind == kind && n.generation == o->generation &&
	       strncmp(n.lineage, o->lineage, strlen(n.lineage)) == 0;
}

static int on_offer(struct receive_session *s, const struct proto_offer *o, struct proto_decline *why, void *arg)
{
	struct clone_role *c = arg;
	const struct state_self *self = &c->d->self;

	if (self->stopped)
		return decline(
		    why, PROTO_R_STOPPED, "the replication task of this clone is down; 'keyclone start' there");
	if (o->kind == PROTO_SYSTEM)
		return clone_system_offer(why, receive_session_hello(s), o);
	if (self->diverged && !self->discard && o->discard && clone_discard_offered(c, receive_session_name(s)) < 0)
		return decline(why, PROTO_R_FAILED, err_text(KC_EFAIL));
	if (self->diverged && !self->discard)
		return decline(why, PROTO_R_DIVERGED, self->diverged_detail);
	if (clone_judge_offer(why, c, receive_session_hello(s), o) < 0)
		return KC_EFAIL;
	if (!is_backup_of(o))
		return decline(
		    why, PROTO_R_FAILED, "the file's name is not that of a backup of this kind and generation");
	if (o->kind == PROTO_INCREMENTAL && clone_judge_increment(why, c, o) < 0)
		return KC_EFAIL;
	if (c->restoring)
		return decline(why, PROTO_R_BUSY, "it restores right now");
	/* What is on disk already needs no data, but the offer is as good as an order to try again now. */
	loop_timer_clear(c->retry);
	c->wait_ms = 0;
	return KC_OK;
}

/* The audit log counts what keys came in: system backups have numbers of their own, in their names. */
static uint64_t generation_of(const struct proto_offer *o)
{
	return o->kind == PROTO_SYSTEM ? 0 : o->generation;
}

static void on_begin(struct receive_session *s, const struct proto_offer *o, uint64_t offset, void *arg)
{
	struct clone_role *c = arg;
	char detail[80];
	struct audit_record r = { .event = AUDIT_RECEIVE_START,
		.outcome = AUDIT_STARTED,
		.generation = generation_of(o),
		.lineage = o->lineage,
		.peer = receive_session_name(s),
		.backup = o->file,
		.detail = offset > 0		    ? detail
			  : o->kind == PROTO_SYSTEM ? "system backup"
						    : NULL };

	snprintf(detail, sizeof(detail), "goes on at byte %" PRIu64, offset);
	/* Of an increment, which is here in a moment, the file gets its name after the next record is on disk. */
	(o->kind == PROTO_INCREMENTAL ? daemon_audit_lazily : daemon_audit)(c->d, &r);
}

/* A master offers again after a pause; one that offers without any must not fill log and audit with our answers. */
static bool is_one_too_many(struct clone_role *c)
{
	uint64_t now = loop_now(c->d->loop);

	if (c->declined == 0 || now - c->declined_since >= DECLINED_MS) {
		c->declined_since = now;
		c->declined = 0;
	}
	return c->declined++ >= DECLINED_MAX;
}

static void on_declined(
    struct receive_session *s, const struct proto_offer *o, const struct proto_decline *why, void *arg)
{
	struct clone_role *c = arg;
	char detail[400];
	struct audit_record r = { .event = AUDIT_RECEIVE_END,
		.outcome = AUDIT_FAILURE,
		.generation = generation_of(o),
		.lineage = o->lineage,
		.peer = receive_session_name(s),
		.backup = o->file,
		.detail = detail };

	if (why->reason == PROTO_R_HAVE || why->reason == PROTO_R_BUSY)
		return; /* nothing was attempted */
	if (why->reason == PROTO_R_NOSPC)
		snprintf(detail, sizeof(detail), "declined: %" PRIu64 " bytes are free, %" PRIu64 " are needed",
		    why->have, why->need);
	else
		snprintf(detail, sizeof(detail), "declined: %.300s",
		    why->message[0] != '\0' ? why->message : proto_reason_name(why->reason));
	r.code = err_msg_code(why->reason == PROTO_R_NOSPC	? KC_ENOSPC
			      : why->reason == PROTO_R_DIVERGED ? KC_EDIVERGED
								: KC_EREFUSED);
	if (is_one_too_many(c)) {
		audit_stranger(
		    c->d->audit, loop_now(c->d->loop), receive_session_address(s), r.code, "its offers are declined");
		return;
	}
	daemon_audit(c->d, &r);
	/* A full comes in its place. */
	(why->reason == PROTO_R_FULL ? log_info : log_warn)(
	    "generation %" PRIu64 " of %s: %s", o->generation, receive_session_name(s), detail);
}

/* What it is, and by which receipt its outcome will be told, or neither. */
static int keep_stored(struct clone_role *c, const struct proto_offer *o)
{
	int rc = state_begin(c->d->state);

	if (rc < 0)
		return rc;
	rc = state_put_stored(c->d->state, &c->stored);
	if (rc == KC_OK)
		rc = clone_expect_report(c, o);
	if (rc == KC_OK)
		rc = state_put_sealed(c->d->state, c->stored.backup, (int64_t)o->password_since);
	if (rc == KC_OK && c->stored.due == 0)
		rc = clone_intend_ahead(c);
	if (rc == KC_OK)
		return state_commit(c->d->state);
	clone_forget_intent(c);
	state_abort(c->d->state);
	return rc;
}

static int audit_received(struct clone_role *c, const struct receive_stored *st, int rc)
{
	struct audit_record r = { .event = AUDIT_RECEIVE_END,
		.generation = st->offer->generation,
		.lineage = st->offer->lineage,
		.peer = st->master,
		.backup = st->offer->file,
		.bytes = st->bytes,
		.duration_ms = st->duration_ms };

	return audit_result(c->d->audit, &r, rc);
}

/* The increment that is restored, or was, is on disk; or it cannot be kept, which is no matter to the database. */
static void on_kept(const struct receive_stored *st, int rc, void *arg)
{
	struct clone_role *c = arg;
	struct proto_result *answer = c->untold;

	if (rc < 0)
		log_warn("generation %" PRIu64 " is not kept as a file: %s", st->offer->generation, err_text(rc));
	audit_received(c, st, rc);
	c->keeping = false;
	c->untold = NULL;
	if (answer != NULL)
		clone_tell(c, answer);
	free(answer);
}

static void on_stored(const struct receive_stored *st, void *arg)
{
	struct clone_role *c = arg;
	/* What waited is part of what an increment builds on. */
	uint64_t waited = clone_postponed_until(c) != 0 && st->offer->base == 0 ? c->stored.generation : 0;
	int64_t due = clone_due_of_new(c, st->offer->restore_now);
	int rc;

	audit_hurry(c->d->audit); /* whatever comes of it, its file gets its name in the next turn */
	if (st->offer->kind == PROTO_SYSTEM) {
		clone_system_stored(c, st);
		clone_answer_nothing(c);
		return;
	}
	state_stored_fini(&c->stored);
	memset(&c->stored, 0, sizeof(c->stored));
	STR_COPY(c->stored.lineage, st->offer->lineage);
	c->stored.generation = st->offer->generation;
	STR_COPY(c->stored.backup, st->offer->file);
	STR_COPY(c->stored.digest, st->offer->digest);
	STR_COPY(c->stored.receipt, st->offer->receipt);
	c->stored.travel = base64_encode(st->end->travel, st->end->travel_size);
	c->stored.at = time(NULL);
	c->stored.due = due;
	c->stored.base = st->offer->base;
	c->stored.chain = st->offer->chain;
	STR_COPY(c->peer, st->master);
	c->keeping = st->keeping;
	rc = keep_stored(c, st->offer);
	if (rc == KC_OK && !st->keeping)
		rc = audit_received(c, st, KC_OK);
	if (rc == KC_OK && due != 0) {
		clone_postpone(c, waited != st->offer->generation ? waited : 0);
	} else if (rc == KC_OK) {
		clone_start_restore(c);
	} else {
		struct proto_result *answer = mem_xalloc(sizeof(*answer));

		clone_forget_intent(c);
		clone_fill_result(c, answer, PROTO_FAILED, rc, err_text(rc));
		clone_tell(c, answer);
		free(answer);
	}
}

static void on_failed(const struct receive_failure *f, void *arg)
{
	struct clone_role *c = arg;
	char why[600];
	struct audit_record r = { .event = AUDIT_RECEIVE_END,
		.generation = generation_of(f->offer),
		.lineage = f->offer->lineage,
		.peer = f->master,
		.backup = f->offer->file,
		.bytes = f->bytes,
		.duration_ms = f->duration_ms };

	STR_COPY(why, f->text);
	/* A master that ends in good order says so. */
	(f->rc == KC_ECANCELED ? log_info : log_warn)("generation %" PRIu64 " of %s was not received: %s%s",
	    f->offer->generation, f->master, why, f->kept > 0 ? "; a next try goes on where it broke off" : "");
	audit_result(c->d->audit, &r, err_set(f->rc, "%s", why));
	c->broken_off = true;
	if (clone_has_stored(c))
		loop_timer_set(c->retry, c->d->conf->retry_min_ms);
	clone_answer_nothing(c);
}

static void on_session_end(struct receive_session *s, int rc, const char *text, void *arg)
{
	struct clone_role *c = arg;

	(void)s, (void)rc, (void)text; /* conn has logged it */
	c->broken_off = true;
	c->d->self.master_contact = time(NULL);
	silence_heard(c->silence);
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	struct clone_role *c = arg;

	daemon_refused(c->d, address, v, rc, text);
}

/* --- start --- */

static bool hears_master(void *arg)
{
	const struct clone_role *c = arg;

	return receive_is_connected(c->receive);
}

int clone_new(struct clone_role **out, struct daemon *d)
{
	struct clone_role *c = mem_xalloc(sizeof(*c));
	struct receive_events events = { on_hello, on_offer, on_begin, on_declined, on_stored, on_kept, on_failed,
		clone_on_directive, on_session_end, on_refused };
	struct receive_options o = { .backup_dir = d->conf->backup_dir };
	int rc;

	c->d = d;
	c->broken_off = true; /* who knows how the last life ended */
	c->retry = loop_timer_new(d->loop, clone_on_retry, c);
	c->check = loop_timer_new(d->loop, clone_on_check, c);
	c->silence = silence_new(d, hears_master, c);
	c->hour = schedule_timer_new(d->loop, NULL, clone_on_hour, c);
	c->tell = loop_timer_new(d->loop, clone_on_tell, c);
	o.listen.address = d->conf->listen_address;
	o.listen.port = (uint16_t)d->conf->listen_port;
	o.listen.conn = daemon_conn_options(d);
	rc = state_get_stored(&c->stored, d->state);
	if (rc == KC_ENOENT)
		rc = KC_OK;
	if (rc == KC_OK)
		rc = receive_new(&c->receive, d->loop, &o, &events, c);
	if (rc < 0) {
		clone_free(c);
		return rc;
	}
	*out = c;
	return KC_OK;
}

void clone_free(struct clone_role *c)
{
	if (c == NULL)
		return;
	clone_free_waiting(c);
	clone_end_asking(c);
	clone_end_telling(c);
	receive_free(c->receive);
	state_stored_fini(&c->stored);
	state_stored_fini(&c->next);
	free(c->untold);
	loop_timer_free(c->retry);
	loop_timer_free(c->check);
	silence_free(c->silence);
	schedule_timer_free(c->hour);
	loop_timer_free(c->tell);
	free(c);
}

int clone_start(struct clone_role *c)
{
	clone_resume_reports(c);
	clone_tell_soon(c);
	loop_timer_set(c->retry, 0);
	loop_timer_set(c->check, 0);
	silence_start(c->silence);
	return KC_OK;
}

void clone_stop(struct clone_role *c)
{
	loop_timer_clear(c->retry);
	schedule_timer_clear(c->hour);
	loop_timer_clear(c->tell);
	receive_stop(c->receive);
}

/* What is stored may be due now: the hour is another one, or the task is up. A restore that is tried again after a
 * pause keeps that. */
static void look_again(struct clone_role *c)
{
	if (!loop_timer_is_set(c->retry))
		loop_timer_set(c->retry, 0);
}

void clone_reloaded(struct clone_role *c)
{
	struct conn_options o = daemon_conn_options(c->d);

	receive_set_options(c->receive, &o);
	silence_reloaded(c->silence);
	look_again(c);
}

void clone_greet_anew(struct clone_role *c)
{
	receive_greet_anew(c->receive);
}

void clone_set_task(struct clone_role *c, bool up)
{
	if (up)
		look_again(c);
	receive_greet_anew(c->receive);
}

/* --- status --- */

void clone_status(const struct clone_role *c, json_t *status)
{
	const struct state_self *self = &c->d->self;
	json_t *master = json_pack("{s:o, s:o, s:b, s:I}", "host",
	    self->master_host[0] != '\0' ? json_string(self->master_host) : json_null(), "last_contact",
	    member_time(self->master_contact), "stopped", (int)self->master_stopped, "clock_offset_seconds",
	    (json_int_t)self->master_clock_offset);

	json_object_set_new(status, "generation", json_integer((json_int_t)self->generation));
	json_object_set_new(status, "rotation", json_null());
	json_object_set_new(status, "self",
	    json_pack("{s:I, s:o, s:I, s:o, s:b, s:o, s:o}", "applied", (json_int_t)self->generation, "applied_at",
		member_time(self->applied_at), "stored",
		(json_int_t)(c->stored.generation > self->generation ? c->stored.generation : self->generation),
		"postponed_until", member_time(clone_postponed_until(c)), "diverged",
		(int)(self->diverged && !self->discard), "diverged_detail",
		self->diverged_detail[0] != '\0' ? json_string(self->diverged_detail) : json_null(), "master", master));
	if (c->restoring)
		json_object_set_new(status, "run",
		    json_pack(
			"{s:s, s:s, s:i}", "id", c->stored.backup, "phase", c->phase, "percent", (int)c->percent));
}
