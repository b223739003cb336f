/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: one clone as the master sees it: the session, what is decided when it is due, and what came of it. The fleet
 * says when, push how; this file knows what to send, and writes it down.
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
#include "base/base64.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/host.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "keystore/cert.h"
#include "master_int.h"

/* --- the record --- */

static void to_state(struct state_clone *s, const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);

	memset(s, 0, sizeof(*s));
	STR_COPY(s->host, r->host);
	s->port = r->port;
	STR_COPY(s->lineage, r->lineage);
	s->offered = r->offered;
	s->stored = r->stored;
	s->applied = r->applied;
	s->applied_at = r->applied_at;
	s->last_success = r->last_success;
	s->last_attempt = r->last_attempt;
	s->behind_since = r->behind_since;
	s->postponed_until = r->postponed_until;
	s->not_after = r->not_after;
	s->clock_offset = r->clock_offset;
	s->failing = r->failing;
	s->how = (int64_t)r->how;
	s->last_code = r->last_code;
	STR_COPY(s->last_error, r->last_error);
	STR_COPY(s->recipient, t->recipient);
	STR_COPY(s->digest, t->digest);
}

static void from_state(struct target *t, const struct state_clone *s)
{
	struct fleet_record r = { 0 };

	STR_COPY(r.lineage, s->lineage);
	r.offered = s->offered;
	r.stored = s->stored;
	r.applied = s->applied;
	r.applied_at = s->applied_at;
	r.last_success = s->last_success;
	r.last_attempt = s->last_attempt;
	r.behind_since = s->behind_since;
	r.postponed_until = s->postponed_until;
	r.not_after = s->not_after;
	r.clock_offset = (int32_t)s->clock_offset;
	r.failing = s->failing;
	r.how = (enum fleet_failure)s->how;
	r.last_code = (int)s->last_code;
	STR_COPY(r.last_error, s->last_error);
	STR_COPY(t->recipient, s->recipient);
	STR_COPY(t->digest, s->digest);
	fleet_restore(t->clone, &r);
}

int target_store_dirty(struct master *m)
{
	bool any = false;
	int rc = KC_OK;

	for (struct target *t = m->targets; t != NULL; t = t->next)
		any = any || t->dirty;
	if (!any)
		return KC_OK;
	rc = state_begin(m->d->state);
	for (struct target *t = m->targets; rc == KC_OK && t != NULL; t = t->next) {
		struct state_clone s;

		if (!t->dirty)
			continue;
		to_state(&s, t);
		rc = state_put_clone(m->d->state, &s);
		t->dirty = rc < 0;
	}
	if (rc == KC_OK)
		rc = state_commit(m->d->state);
	if (rc < 0) {
		log_err("the state of the clones cannot be kept: %s", err_text(rc));
		daemon_end(m->d, err_exit_status(rc));
	}
	return rc;
}

/* Every try passes through the same states: only what the last one did not end with is said. */
static void say_state(struct target *t, enum fleet_state to, const struct fleet_record *r)
{
	bool bad = to == FLEET_UNREACHABLE || to == FLEET_FAILED || to == FLEET_REFUSED || to == FLEET_DIVERGED;
	uint64_t generation = to == FLEET_CURRENT ? r->applied : 0;
	const char *error = bad ? r->last_error : "";
	bool known = t->said == to && t->said_generation == generation && strcmp(t->said_error, error) == 0;

	if (known || !(bad || (to == FLEET_CURRENT && generation > 0))) {
		log_debug("clone %s: %s", t->name, fleet_state_name(to));
		return;
	}
	t->said = to;
	t->said_generation = generation;
	STR_COPY(t->said_error, error);
	if (bad)
		log_warn("clone %s: %s: %s", t->name, fleet_state_name(to), error);
	else
		log_info("clone %s: current, generation %" PRIu64, t->name, generation);
}

void target_changed(struct fleet_clone *c, enum fleet_state from, enum fleet_state to, void *arg)
{
	struct target *t = fleet_arg(c);
	const struct fleet_record *r = fleet_record(c);

	if (t == NULL)
		return;
	t->dirty = true;
	if (from != to && t->master->started)
		say_state(t, to, r);
	master_settle_soon(arg);
}

/* Nothing more will happen for the present generation without a new event: a retry is such an event. */
bool target_settled(const struct target *t)
{
	enum fleet_state s = fleet_state(t->clone);

	return !fleet_in_attempt(t->clone) && !t->awaited && s != FLEET_BEHIND;
}

/* Whatever the task does: applied, or stored for its hour. */
bool target_has_newest(const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);

	return fleet_state(t->clone) == FLEET_POSTPONED ||
	       (!r->failing && r->applied >= fleet_generation(t->master->fleet));
}

/* --- attempts --- */

/* What it was offered has come to its end. */
static void audit_end(struct target *t, int rc, const char *text)
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
	}
	t->offering = false;
	t->waiting = false;
	offering_unref(t->sent);
	t->sent = NULL;
}

static void failed(struct target *t, enum fleet_failure how, int code, const char *text, bool keep)
{
	bool again;

	audit_end(t, code, text);
	again = fleet_failed(t->clone, how, code, text, keep);
	if (!again)
		t->awaited = false;
	master_settle_soon(t->master);
}

static void idle(struct target *t)
{
	t->awaited = false;
	fleet_idle(t->clone);
	master_settle_soon(t->master);
}

static void make_receipt(char receipt[PROTO_LINEAGE])
{
	uint8_t r[16];

	mem_random(r, sizeof(r));
	hex_encode(receipt, r, sizeof(r));
}

static void offer(struct target *t)
{
	struct master *m = t->master;
	const struct offering *o = m->out;
	struct push_file f = { .path = o->part != NULL ? o->part : o->path, .valid = o->valid };
	struct audit_record r = { .event = AUDIT_PUSH_START,
		.outcome = AUDIT_STARTED,
		.generation = o->generation,
		.lineage = m->d->self.lineage,
		.peer = t->name,
		.backup = o->name };
	int rc;

	STR_COPY(f.offer.lineage, m->d->self.lineage);
	f.offer.generation = o->generation;
	f.offer.kind = PROTO_FULL;
	STR_COPY(f.offer.file, o->name);
	STR_COPY(f.offer.file_id, o->file_id);
	STR_COPY(f.offer.digest, o->digest);
	f.offer.header_size = o->header_size;
	/* The file may be as large as the database, which is unpacked beside it. */
	f.offer.room =
	    (o->complete ? o->end.size + o->header_size : o->database_size + o->database_size / 64 + 262144) +
	    o->database_size;
	make_receipt(f.offer.receipt);
	rc = daemon_audit(m->d, &r);
	t->sent = offering_ref(m->out);
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
	if (rc < 0) {
		failed(t, FLEET_FAIL_OTHER, rc, err_text(rc), true);
		return;
	}
	fleet_offered(t->clone, o->generation);
	fleet_phase(t->clone, FLEET_PUSHING, 0);
	if (o->complete)
		target_end_all(m);
}

/* A session is there and the clone is due: what does it lack? */
static void decide(struct target *t)
{
	struct master *m = t->master;
	const struct proto_hello *h = push_peer_hello(t->push);
	const struct fleet_record *r = fleet_record(t->clone);
	const struct state_self *self = &m->d->self;
	struct age_recipient parsed;
	char text[400];

	if (age_recipient_parse(&parsed, h->recipient) < 0) {
		snprintf(text, sizeof(text), "it shows no identity that backups can be encrypted for: %.250s",
		    err_text(KC_EFORMAT));
		failed(t, FLEET_FAIL_REFUSED, KC_EFORMAT, text, true);
	} else if (t->recipient[0] != '\0' && strcmp(t->recipient, h->recipient) != 0) {
		failed(t, FLEET_FAIL_REFUSED, KC_EPERM,
		    "it shows another identity than the one pinned at first contact; if it was set up anew: "
		    "keyclone clone remove, then clone add",
		    true);
	} else if (h->diverged) {
		failed(t, FLEET_FAIL_DIVERGED, KC_EDIVERGED,
		    "it has rows that are not from this master; run 'keyclone diverged list' there", true);
	} else if (strcmp(h->applied_lineage, self->lineage) == 0 && r->applied > self->generation) {
		snprintf(text, sizeof(text),
		    "it has applied generation %" PRIu64 ", this master made %" PRIu64
		    " at most: was this machine rolled back?",
		    r->applied, self->generation);
		failed(t, FLEET_FAIL_OTHER, KC_ESTALE, text, true);
	} else if (m->out == NULL && m->making) {
		t->waiting = true;
	} else if (m->out == NULL || r->applied >= m->out->generation) {
		STR_COPY(t->recipient, h->recipient);
		idle(t);
	} else {
		STR_COPY(t->recipient, h->recipient);
		t->dirty = true;
		offer(t);
	}
}

static void on_ready(struct push *p, const struct proto_hello *h, void *arg)
{
	struct target *t = arg;
	bool ours = strcmp(h->applied_lineage, t->master->d->self.lineage) == 0;
	bool stored = strcmp(h->stored_lineage, t->master->d->self.lineage) == 0;
	const struct cert_info *cert = push_cert(p);
	struct fleet_hello f = { .applied = ours ? h->applied_generation : 0,
		.stored = stored ? h->stored_generation : 0,
		.not_after = cert != NULL ? (int64_t)cert->not_after : 0,
		.clock_offset = push_clock_offset(p) };

	STR_COPY(t->digest, h->applied_digest);
	fleet_hello(t->clone, &f);
	decide(t);
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
	if (d->reason == PROTO_R_HAVE) {
		had = t->sent->generation;
		audit_end(t, KC_OK, NULL);
		t->awaited = false;
		fleet_applied(t->clone, had);
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
		failed(t, FLEET_FAIL_DIVERGED, KC_EDIVERGED, text, true);
		break;
	case PROTO_R_NOSPC:
		failed(t, FLEET_FAIL_DECLINED, KC_ENOSPC, text, true);
		break;
	case PROTO_R_FOREIGN:
		failed(t, FLEET_FAIL_REFUSED, KC_EFOREIGN, text, true);
		break;
	case PROTO_R_STALE:
		failed(t, FLEET_FAIL_DECLINED, KC_ESTALE, text, true);
		break;
	default:
		failed(t, FLEET_FAIL_DECLINED, KC_EBUSY, text, true);
	}
}

static void on_sent(struct push *p, uint64_t bytes, void *arg)
{
	struct target *t = arg;
	const struct offering *o = t->sent;
	uint64_t total = o->complete ? o->end.size : 0;

	(void)p;
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
	fleet_stored(t->clone, t->sent->generation);
	fleet_phase(t->clone, FLEET_RESTORING, progress->percent);
	master_settle_soon(t->master);
}

static void on_result(struct push *p, const struct proto_result *r, void *arg)
{
	struct target *t = arg;
	int code;

	(void)p;
	switch (r->status) {
	case PROTO_RESTORED:
	case PROTO_UNCHANGED:
		STR_COPY(t->digest, r->digest);
		audit_end(t, KC_OK, NULL);
		t->awaited = false;
		fleet_stored(t->clone, r->generation);
		fleet_applied(t->clone, r->generation);
		break;
	case PROTO_STORED:
		audit_end(t, KC_OK, NULL);
		t->awaited = false;
		fleet_stored(t->clone, r->generation);
		fleet_postponed(t->clone, r->generation, 0);
		break;
	case PROTO_DIVERGED:
		failed(t, FLEET_FAIL_DIVERGED, KC_EDIVERGED, r->message, true);
		break;
	default:
		code = err_from_name(r->error);
		failed(t, FLEET_FAIL_OTHER, code == KC_OK ? KC_EFAIL : code, r->message, true);
	}
	master_settle_soon(t->master);
}

static void on_closed(struct push *p, enum push_ending how, int rc, const char *text, void *arg)
{
	struct target *t = arg;

	if (how == PUSH_UNAUTHORISED || (rc == KC_EPROTO && !t->offering))
		daemon_refused(t->master->d, t->name, push_verdict(p), rc, text);
	t->push = NULL;
	if (!fleet_in_attempt(t->clone)) {
		fleet_lost(t->clone, how == PUSH_GOOD ? KC_OK : rc);
	} else if (how == PUSH_GOOD && !t->master->d->ending) {
		/* It was due while the session was ending, or waited for a backup to grow, or the clone left first. */
		audit_end(t, KC_EAGAIN, "the session ended before the offer was answered");
		if (!fleet_again(t->clone))
			failed(t, FLEET_FAIL_OTHER, KC_ENET, "it ends its sessions when it is offered a backup", false);
	} else {
		failed(t,
		    how == PUSH_UNREACHABLE    ? FLEET_FAIL_UNREACHABLE
		    : how == PUSH_UNAUTHORISED ? FLEET_FAIL_REFUSED
					       : FLEET_FAIL_OTHER,
		    rc, text, false);
	}
	push_free(p);
	master_settle_soon(t->master);
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

	STR_COPY(h->product, PACKAGE_NAME " " PACKAGE_VERSION);
	STR_COPY(h->lineage, d->self.lineage);
	STR_COPY(h->host, d->host);
	STR_COPY(h->signing_key, d->signer);
	h->fleet = (uint32_t)fleet_count(t->master->fleet);
	h->interval = d->conf->check_frequency_ms / 1000;
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
		decide(t);
	/* Else it is ending, and on_closed says so to the fleet. */
}

/* --- the beginning and the end of a backup --- */

void target_offer_all(struct master *m)
{
	for (struct target *t = m->targets; t != NULL; t = t->next) {
		if (!t->waiting)
			continue;
		t->waiting = false;
		if (t->push != NULL && push_state(t->push) == PUSH_IDLE)
			decide(t);
	}
}

void target_grow_all(struct master *m)
{
	for (struct target *t = m->targets; t != NULL; t = t->next)
		if (t->push != NULL && t->sent == m->out)
			push_grow(t->push, m->out->valid);
}

/* Everything of its file is known, but it was not told yet. */
static bool lacks_end(const struct target *t)
{
	enum push_state s = t->push != NULL ? push_state(t->push) : PUSH_OVER;

	return t->sent != NULL && t->sent->complete && (s == PUSH_OFFERED || s == PUSH_SENDING) &&
	       push_needs_end(t->push);
}

static void end_one(struct target *t, const char *travel)
{
	struct proto_end *end = mem_xalloc(sizeof(*end));
	int rc;

	*end = t->sent->end;
	rc = base64_decode(end->travel, &end->travel_size, sizeof(end->travel), travel, strlen(travel));
	if (rc == KC_OK)
		rc = push_end(t->push, end);
	if (rc < 0)
		push_cancel(t->push, rc);
	free(end);
}

static void on_wrapped(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;
	const json_t *headers = json_object_get(result, "headers"), *refused = json_object_get(result, "refused");
	struct offering *file = m->wrapping;
	char why[400];

	STR_COPY(why, err_text(rc));
	m->wrapping = NULL;
	for (struct target *t = m->targets; t != NULL; t = t->next) {
		const char *travel = json_string_value(json_object_get(headers, t->name));
		const json_t *reason = json_object_get(refused, t->name);

		if (t->sent != file || !lacks_end(t))
			continue;
		if (rc < 0)
			push_cancel(t->push, err_set(rc, "%s", why));
		else if (travel != NULL)
			end_one(t, travel);
		else if (reason != NULL) /* this one alone; else it came while the job ran */
			push_cancel(t->push, ipc_result_code(reason));
	}
	offering_unref(file);
	if (!m->d->ending)
		target_end_all(m); /* who came while the job ran */
}

/* One job for all clones that are sent the same file; for another file when that is done. */
void target_end_all(struct master *m)
{
	json_t *clones = json_array();
	struct offering *file = NULL;

	for (struct target *t = m->targets; m->wrapping == NULL && t != NULL; t = t->next) {
		if (!lacks_end(t) || (file != NULL && t->sent != file))
			continue;
		file = t->sent;
		json_array_append_new(clones, json_pack("{s:s, s:s}", "clone", t->name, "recipient", t->recipient));
	}
	if (file != NULL) {
		m->wrapping = offering_ref(file);
		jobs_add_first(m->d->jobs,
		    json_pack("{s:s, s:s, s:O}", "verb", "wrap", "backup", file->path, "clones", clones), NULL, NULL,
		    on_wrapped, m);
	}
	json_decref(clones);
}

void target_cancel_all(struct master *m, const struct offering *o, int rc)
{
	char why[400];

	STR_COPY(why, err_text(rc));
	for (struct target *t = m->targets; t != NULL; t = t->next)
		if (o != NULL && t->sent == o && t->push != NULL)
			push_cancel(t->push, err_set(rc, "%s", why));
}

void target_renew_all(struct master *m)
{
	for (struct target *t = m->targets; t != NULL; t = t->next)
		if (t->push != NULL)
			push_stop(t->push);
}

/* --- the list --- */

static int add(struct master *m, const char *host, uint16_t port)
{
	struct target *t = mem_xalloc(sizeof(*t)), **at = &m->targets;
	struct state_clone s;
	char *name;
	int rc = fleet_add(&t->clone, m->fleet, host, port);

	if (rc < 0) {
		free(t);
		return rc;
	}
	name = host_port_format(host, port);
	STR_COPY(t->name, name);
	free(name);
	t->master = m;
	fleet_set_arg(t->clone, t);
	rc = state_get_clone(&s, m->d->state, host, port);
	if (rc == KC_OK)
		from_state(t, &s);
	while (*at != NULL)
		at = &(*at)->next;
	*at = t;
	return rc == KC_ENOENT ? KC_OK : rc;
}

static void drop(struct target *t)
{
	push_free(t->push);
	fleet_set_arg(t->clone, NULL);
	free(t);
}

int target_load_all(struct master *m)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < m->d->conf->clone_count; i++)
		rc = add(m, m->d->conf->clones[i].host, (uint16_t)m->d->conf->clones[i].port);
	return rc;
}

void target_free_all(struct master *m)
{
	while (m->targets != NULL) {
		struct target *t = m->targets;

		m->targets = t->next;
		audit_end(t, KC_ECANCELED, "the daemon ended");
		drop(t);
	}
}

static bool configured(const struct conf *c, const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);

	for (size_t i = 0; i < c->clone_count; i++)
		if (strcmp(c->clones[i].host, r->host) == 0 && c->clones[i].port == r->port)
			return true;
	return false;
}

/* The configuration has another list of clones: removed ones are forgotten, new ones join. */
int target_reconfigure(struct master *m)
{
	const struct conf *c = m->d->conf;
	int rc = KC_OK;

	for (struct target **at = &m->targets; *at != NULL;) {
		struct target *t = *at;
		const struct fleet_record *r = fleet_record(t->clone);
		struct audit_record a = { .event = AUDIT_CLONE_REMOVED, .outcome = AUDIT_SUCCESS, .peer = t->name };

		if (configured(c, t)) {
			at = &t->next;
			continue;
		}
		audit_end(t, KC_ECANCELED, "the clone was removed");
		wait_forget(m, t);
		*at = t->next;
		state_forget_clone(m->d->state, r->host, r->port);
		push_free(t->push);
		fleet_remove(t->clone);
		daemon_audit(m->d, &a);
		free(t);
	}
	for (size_t i = 0; rc == KC_OK && i < c->clone_count; i++) {
		char *name = host_port_format(c->clones[i].host, c->clones[i].port);
		struct audit_record a = { .event = AUDIT_CLONE_ADDED, .outcome = AUDIT_SUCCESS, .peer = name };

		if (target_find(m, name) == NULL) {
			rc = add(m, c->clones[i].host, (uint16_t)c->clones[i].port);
			if (rc == KC_OK)
				daemon_audit(m->d, &a);
		}
		free(name);
	}
	master_settle_soon(m);
	return rc;
}

struct target *target_find(const struct master *m, const char *host_port)
{
	char *host = NULL;
	int port = 0;
	struct fleet_clone *c = NULL;

	if (host_port_parse(&host, &port, host_port) == KC_OK)
		c = fleet_find(m->fleet, host, (uint16_t)port);
	free(host);
	return c != NULL ? fleet_arg(c) : NULL;
}

/* "Refused" would send who looks it up to certificates: nobody listens there. */
static const char *error_code(const struct fleet_record *r)
{
	return r->how == FLEET_FAIL_UNREACHABLE ? msg_code(MSG_CLONE_UNREACHABLE) : err_msg_code(r->last_code);
}

json_t *target_json(const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);
	json_t *j = json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:i, s:i}", "host", r->host, "port", (int)r->port,
	    "state", fleet_state_name(fleet_state(t->clone)), "offered", (json_int_t)r->offered, "stored",
	    (json_int_t)r->stored, "applied", (json_int_t)r->applied, "lag_seconds",
	    (json_int_t)fleet_lag_seconds(t->clone), "clock_offset_seconds", (int)r->clock_offset, "percent",
	    (int)fleet_percent(t->clone));

	json_object_set_new(j, "applied_at", member_time(r->applied_at));
	json_object_set_new(j, "last_success", member_time(r->last_success));
	json_object_set_new(j, "last_error", r->last_error[0] != '\0' ? json_string(r->last_error) : json_null());
	json_object_set_new(j, "last_error_code", r->last_error[0] != '\0' ? json_string(error_code(r)) : json_null());
	json_object_set_new(j, "retry_at", member_time(fleet_retry_at(t->clone)));
	json_object_set_new(j, "postponed_until", member_time(r->postponed_until));
	json_object_set_new(j, "certificate_not_after", member_time(r->not_after));
	return j;
}
