/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone: receives, restores by the worker, answers. What is stored and not applied is tried again here, with back-off,
 * in this order at start: resolve an intent that a crash left, then restore what is stored.
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
#include "base/msg.h"
#include "base/str.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "keystore/sign.h"
#include "replication/receive.h"

#define MINUTE_MS 10000

struct clone_role {
	struct daemon *d;
	struct receive *receive;
	struct conn *knock; /* tells the master that we are here again */
	struct loop_timer *retry;
	struct loop_timer *minute;
	struct state_stored stored; /* the newest backup on disk; generation 0: none */
	uint64_t wait_ms;
	uint64_t restore_began;
	bool restoring; /* or finding out what an interrupted one left */
	int broken;	/* KC_OK, or how the worker of the restore that is being found out about ended */
	char broken_why[200];
	char peer[300];		/* the master of the restore under way, or of the last one */
	char signer[PROTO_KEY]; /* as the master said in its hello */
	char phase[32];
	unsigned percent;
	struct control_client *asking; /* for the list of diverged rows */
	char **cns;
};

static int timing(const json_t *result, const char *name)
{
	return (int)json_integer_value(json_object_get(json_object_get(result, "timings"), name));
}

static bool has_stored(const struct clone_role *c)
{
	const struct state_self *self = &c->d->self;

	return c->stored.generation != 0 &&
	       (strcmp(c->stored.lineage, self->lineage) != 0 || c->stored.generation > self->generation);
}

static void start_restore(struct clone_role *c);
static void restore_failed(struct clone_role *c, int rc, const char *why, struct proto_result *answer);
static void fill_result(
    struct clone_role *c, struct proto_result *r, enum proto_status status, int rc, const char *text);

/* --- intents --- */

/* It was written: the same as if the worker had lived to say so. */
static int take_as_applied(struct clone_role *c, const struct state_intent *i)
{
	struct state_self *self = &c->d->self;
	struct audit_record discarded = { .event = AUDIT_CLONE_DISCARDED,
		.outcome = AUDIT_SUCCESS,
		.generation = i->generation,
		.detail = self->diverged_detail };

	if (self->discard)
		daemon_audit(c->d, &discarded);
	STR_COPY(self->lineage, i->lineage);
	STR_COPY(self->digest, i->digest);
	STR_COPY(self->schema, i->schema);
	STR_COPY(self->backup, i->backup);
	self->generation = self->complete = i->generation;
	self->applied_at = self->last_completed = time(NULL);
	self->discard = self->diverged = false;
	self->diverged_detail[0] = '\0';
	return state_put_applied(c->d->state, self);
}

static void audit_resolved(struct clone_role *c, const struct state_intent *i, bool written)
{
	struct audit_record r = { .event = AUDIT_RESTORE_END,
		.outcome = written ? AUDIT_SUCCESS : AUDIT_FAILURE,
		.generation = i->generation,
		.lineage = i->lineage,
		.backup = i->backup,
		.code = written ? NULL : msg_code(MSG_INTERRUPTED),
		.detail = written ? "it was complete when the daemon or its worker ended"
				  : "interrupted before the database changed" };

	daemon_audit(c->d, &r);
	log_info("generation %" PRIu64 ": its restore was %s", i->generation,
	    written ? "complete when it was interrupted" : "interrupted before the database changed");
}

/* The restore under way failed: say so to everybody. */
static void give_up(struct clone_role *c, int rc, const char *why)
{
	struct proto_result *answer = mem_xalloc(sizeof(*answer));

	restore_failed(c, rc, why, answer);
	if (!receive_result(c->receive, answer))
		receive_greet_anew(c->receive);
	free(answer);
}

static void answer_applied(struct clone_role *c)
{
	struct proto_result *answer = mem_xalloc(sizeof(*answer));

	fill_result(c, answer, PROTO_RESTORED, KC_OK, "");
	if (!receive_result(c->receive, answer))
		receive_greet_anew(c->receive);
	free(answer);
}

static void on_resolved(int rc, const json_t *result, void *arg)
{
	struct clone_role *c = arg;
	struct state_intent i;
	bool written = strcmp(member_text(result, "which"), "new") == 0;
	int broken = c->broken;

	c->restoring = false;
	c->broken = KC_OK;
	if (rc == KC_ECANCELED && c->d->ending)
		return;
	if (rc == KC_OK)
		rc = state_get_intent(&i, c->d->state);
	if (rc < 0) {
		log_err("what the last restore left cannot be found out: %s", err_text(rc));
		if (receive_busy(c->receive))
			give_up(c, broken < 0 ? broken : rc, broken < 0 ? c->broken_why : err_text(rc));
		loop_timer_set(c->retry, c->d->conf->retry_min_ms);
		return;
	}
	rc = written ? take_as_applied(c, &i) : state_clear_intent(c->d->state);
	if (rc < 0) {
		log_err("state database: %s", err_text(rc));
		daemon_end(c->d, err_exit_status(rc));
		return;
	}
	receive_set_blocked(c->receive, false);
	if (written || broken == KC_OK)
		audit_resolved(c, &i, written);
	if (!written && broken < 0)
		give_up(c, broken, c->broken_why);
	else if (has_stored(c))
		start_restore(c);
	else
		answer_applied(c);
}

/* True: a restore was interrupted, and what it left is being found out. Nothing may be restored before that. */
static bool resolve_intent(struct clone_role *c)
{
	struct state_intent i;

	if (state_get_intent(&i, c->d->state) < 0)
		return false;
	c->restoring = true;
	receive_set_blocked(c->receive, true);
	jobs_add(c->d->jobs,
	    json_pack("{s:s, s:s, s:s, s:s}", "verb", "resolve", "old_digest", i.old_digest, "digest", i.digest,
		"schema", i.schema),
	    NULL, NULL, on_resolved, c);
	return true;
}

/* --- restore --- */

static void on_progress(const json_t *p, void *arg)
{
	struct clone_role *c = arg;

	if (json_object_get(p, "phase") == NULL)
		return;
	STR_COPY(c->phase, member_text(p, "phase"));
	c->percent = (unsigned)json_integer_value(json_object_get(p, "percent"));
	receive_progress(c->receive, c->phase, c->percent);
}

/* Before the database is touched: what is about to happen is durable. */
static json_t *on_ask(const json_t *ask, void *arg)
{
	struct clone_role *c = arg;
	struct state_intent i = { 0 };

	if (strcmp(member_text(ask, "ask"), "intent") != 0)
		return NULL;
	STR_COPY(i.lineage, member_text(ask, "lineage"));
	i.generation = (uint64_t)json_integer_value(json_object_get(ask, "generation"));
	STR_COPY(i.old_digest, member_text(ask, "old_digest"));
	STR_COPY(i.digest, member_text(ask, "digest"));
	STR_COPY(i.schema, member_text(ask, "schema"));
	STR_COPY(i.backup, c->stored.backup);
	return ipc_result_new(state_put_intent(c->d->state, &i));
}

static void fill_result(
    struct clone_role *c, struct proto_result *r, enum proto_status status, int rc, const char *text)
{
	uint64_t seq;

	memset(r, 0, sizeof(*r));
	r->status = status;
	STR_COPY(r->digest, c->d->self.digest);
	r->rows = c->d->self.rows;
	if (rc < 0) {
		STR_COPY(r->error, err_name(rc));
		STR_COPY(r->message, text);
		r->retryable = err_retryable(rc);
	}
	if (audit_head(c->d->audit, &seq, r->audit_head) < 0)
		r->audit_head[0] = '\0';
}

static int note_removed(void *arg, const struct store_entry *e)
{
	struct clone_role *c = arg;
	struct audit_record r = { .event = AUDIT_BACKUP_DELETE,
		.outcome = AUDIT_SUCCESS,
		.backup = e->file,
		.generation = e->name.generation,
		.bytes = e->size,
		.detail = "over replication.MaxBackupNum" };
	int rc = daemon_audit(c->d, &r);

	return rc < 0 ? rc : state_forget_stored(c->d->state, e->file);
}

/* The rest of a partial file comes only as long as its generation is newer than what is stored. */
static bool keep_part(void *arg, const char *name)
{
	const struct clone_role *c = arg;
	struct store_name n;

	if (store_name_parse(&n, name) < 0 || n.kind != STORE_FULL)
		return true;
	return strncmp(n.lineage, c->stored.lineage, 8) != 0 || n.generation > c->stored.generation;
}

static void prune(struct clone_role *c)
{
	const char *keep[] = { c->stored.backup, c->d->self.backup };
	struct store_prune p = { .dir = c->d->conf->backup_dir,
		.max = (size_t)c->d->conf->max_backup_num,
		.keep = keep,
		.n_keep = 2,
		.removed = note_removed,
		.arg = c };
	int rc = store_prune(&p);

	if (rc < 0)
		log_warn("old backups are kept: %s", err_text(rc));
	rc = store_clean(c->d->conf->backup_dir, keep_part, c);
	if (rc < 0)
		log_warn("left-over partial backups stay: %s", err_text(rc));
}

static void restored(struct clone_role *c, const json_t *result, struct proto_result *answer)
{
	struct state_self *self = &c->d->self;
	bool same = json_is_true(json_object_get(result, "same"));
	const char *warning = json_string_value(json_object_get(result, "warning"));
	struct audit_record r = { .event = AUDIT_RESTORE_END,
		.outcome = AUDIT_SUCCESS,
		.generation = c->stored.generation,
		.lineage = c->stored.lineage,
		.peer = c->peer,
		.backup = c->stored.backup,
		.duration_ms = loop_now(c->d->loop) - c->restore_began + 1,
		.detail = same ? "stored, not restored: the database has this content already" : NULL };
	struct audit_record discarded = { .event = AUDIT_CLONE_DISCARDED,
		.outcome = AUDIT_SUCCESS,
		.generation = c->stored.generation,
		.detail = member_text(result, "diverged") };
	int rc;

	STR_COPY(self->lineage, c->stored.lineage);
	self->generation = self->complete = c->stored.generation;
	STR_COPY(self->digest, member_text(result, "digest"));
	STR_COPY(self->schema, member_text(result, "schema"));
	STR_COPY(self->backup, c->stored.backup);
	self->rows = (uint64_t)json_integer_value(json_object_get(result, "rows"));
	self->applied_at = self->last_completed = time(NULL);
	if (self->discard && json_integer_value(json_object_get(result, "only_here")) > 0)
		daemon_audit(c->d, &discarded);
	self->discard = self->diverged = false;
	self->diverged_detail[0] = '\0';
	json_object_set_new(c->d->database, "rows", json_integer((json_int_t)self->rows));
	rc = state_put_applied(c->d->state, self);
	if (rc < 0)
		daemon_end(c->d, err_exit_status(rc)); /* the intent is still there: the next start goes on */
	if (warning != NULL)
		log_warn("generation %" PRIu64 ": %s", c->stored.generation, warning);
	daemon_audit(c->d, &r);
	log_info("generation %" PRIu64 " is %s: %" PRIu64 " rows, after %" PRIu64 " ms (open %d, lock %d, write %d)",
	    self->generation, same ? "stored; the database has its content already" : "restored", self->rows,
	    r.duration_ms, timing(result, "open_ms"), timing(result, "lock_ms"), timing(result, "write_ms"));
	c->wait_ms = 0;
	prune(c);
	fill_result(c, answer, same ? PROTO_UNCHANGED : PROTO_RESTORED, KC_OK, "");
}

static void diverged(struct clone_role *c, const json_t *result, struct proto_result *answer)
{
	struct state_self *self = &c->d->self;
	struct audit_record r = { .event = AUDIT_CLONE_DIVERGED,
		.outcome = AUDIT_FAILURE,
		.generation = c->stored.generation,
		.lineage = c->stored.lineage,
		.code = err_msg_code(KC_EDIVERGED),
		.detail = self->diverged_detail };

	self->diverged = true;
	snprintf(self->diverged_detail, sizeof(self->diverged_detail), "not from the master: %.400s",
	    member_text(result, "diverged"));
	state_clear_intent(c->d->state);
	daemon_save(c->d);
	daemon_audit(c->d, &r);
	log_err("generation %" PRIu64 " is not restored, nothing was written: this machine's database has rows %s; see "
		"'keyclone diverged list'",
	    c->stored.generation, self->diverged_detail);
	fill_result(c, answer, PROTO_DIVERGED, KC_EDIVERGED, self->diverged_detail);
}

static void restore_failed(struct clone_role *c, int rc, const char *why, struct proto_result *answer)
{
	struct audit_record r = { .event = AUDIT_RESTORE_END,
		.generation = c->stored.generation,
		.lineage = c->stored.lineage,
		.peer = c->peer,
		.backup = c->stored.backup,
		.duration_ms = loop_now(c->d->loop) - c->restore_began + 1 };
	uint64_t min = c->d->conf->retry_min_ms, max = c->d->conf->retry_max_ms;

	log_err("generation %" PRIu64 " is not restored: %s", c->stored.generation, why);
	audit_result(c->d->audit, &r, err_set(rc, "%s", why));
	fill_result(c, answer, PROTO_FAILED, rc, why);
	c->wait_ms = c->wait_ms == 0 ? min : c->wait_ms * 2 > max ? max : c->wait_ms * 2;
	if (err_retryable(rc)) {
		loop_timer_set(c->retry, c->wait_ms);
		return;
	}
	/* It will not get better: forget it, so that the master's next one, or the same sent again, is taken. */
	state_forget_stored(c->d->state, c->stored.backup);
	state_stored_fini(&c->stored);
	c->stored.generation = 0;
}

static void on_restored(int rc, const json_t *result, void *arg)
{
	struct clone_role *c = arg;
	struct proto_result *answer;
	char why[600];

	c->restoring = false;
	STR_COPY(why, err_text(rc));
	if ((rc == KC_EWORKER || rc == KC_ETIMEOUT) && !c->d->ending) {
		/* Whether it wrote is found out before anything else (the intent says what to look for). */
		c->broken = rc;
		STR_COPY(c->broken_why, why);
		if (resolve_intent(c))
			return;
		c->broken = KC_OK;
	}
	answer = mem_xalloc(sizeof(*answer));
	if (rc == KC_EDIVERGED)
		diverged(c, result, answer);
	else if (rc < 0)
		restore_failed(c, rc, why, answer);
	else
		restored(c, result, answer);
	if (rc < 0 && rc != KC_EWORKER && rc != KC_ETIMEOUT && rc != KC_ECANCELED)
		state_clear_intent(c->d->state);
	if (!receive_result(c->receive, answer))
		receive_greet_anew(c->receive);
	free(answer);
}

static void start_restore(struct clone_role *c)
{
	const struct state_self *self = &c->d->self;
	bool follows = strcmp(self->lineage, c->stored.lineage) == 0 && self->digest[0] != '\0';
	struct audit_record r = { .event = AUDIT_RESTORE_START,
		.outcome = AUDIT_STARTED,
		.generation = c->stored.generation,
		.lineage = c->stored.lineage,
		.peer = c->peer[0] != '\0' ? c->peer : NULL,
		.backup = c->stored.backup };
	char *path = file_join(c->d->conf->backup_dir, c->stored.backup), *old = NULL;
	struct state_stored applied;
	json_t *request;

	if (resolve_intent(c)) {
		free(path);
		return;
	}
	request = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:b, s:s}", "verb", "restore", "backup", path, "travel",
	    c->stored.travel, "lineage", c->stored.lineage, "generation", (json_int_t)c->stored.generation, "applied",
	    follows ? self->digest : "", "discard", (int)self->discard, "signer", c->signer);
	/* What was applied last opens the list of rows that are not from it, should there be any. */
	if (follows && self->backup[0] != '\0' && state_find_stored(&applied, c->d->state, self->backup) == KC_OK) {
		old = file_join(c->d->conf->backup_dir, self->backup);
		if (file_exists(old)) {
			json_object_set_new(request, "applied_backup", json_string(old));
			json_object_set_new(request, "applied_travel", json_string(applied.travel));
		}
		state_stored_fini(&applied);
	}
	c->restoring = true;
	c->restore_began = loop_now(c->d->loop);
	c->percent = 0;
	STR_COPY(c->phase, "open");
	daemon_audit(c->d, &r);
	jobs_add(c->d->jobs, request, on_progress, on_ask, on_restored, c);
	free(old);
	free(path);
}

static void on_retry(void *arg)
{
	struct clone_role *c = arg;

	/* A transfer under way ends with a restore, or with on_failed. */
	if (c->restoring || receive_busy(c->receive) || resolve_intent(c))
		return;
	if (has_stored(c) && (!c->d->self.diverged || c->d->self.discard))
		start_restore(c);
}

/* --- sessions --- */

static int on_hello(struct receive_session *s, const struct proto_hello *master, struct proto_hello *ours, void *arg)
{
	struct clone_role *c = arg;
	struct state_self *self = &c->d->self;

	if (self->lineage[0] != '\0' && strcmp(self->lineage, master->lineage) != 0)
		return err_set(KC_EFOREIGN,
		    "this clone follows the master of lineage %.8s, the one at %s is of lineage %.8s", self->lineage,
		    receive_session_name(s), master->lineage);
	self->master_contact = time(NULL);
	STR_COPY(self->master_host, master->host);
	daemon_save(c->d);
	STR_COPY(c->signer, master->signing_key);
	STR_COPY(ours->product, PACKAGE_NAME " " PACKAGE_VERSION);
	STR_COPY(ours->lineage, self->lineage);
	STR_COPY(ours->host, c->d->host);
	STR_COPY(ours->recipient, c->d->recipient);
	STR_COPY(ours->applied_lineage, self->lineage);
	ours->applied_generation = self->generation;
	STR_COPY(ours->applied_digest, self->digest);
	STR_COPY(ours->stored_lineage, c->stored.lineage);
	ours->stored_generation = c->stored.generation;
	ours->diverged = self->diverged && !self->discard;
	return KC_OK;
}

static int decline(struct proto_decline *why, enum proto_reason reason, const char *text)
{
	why->reason = reason;
	STR_COPY(why->message, text);
	return KC_EFAIL;
}

static int on_offer(struct receive_session *s, const struct proto_offer *o, struct proto_decline *why, void *arg)
{
	struct clone_role *c = arg;
	const struct state_self *self = &c->d->self;

	(void)s;
	if (self->stopped)
		return decline(
		    why, PROTO_R_STOPPED, "the replication task of this clone is down; 'keyclone start' there");
	if (self->lineage[0] != '\0' && strcmp(self->lineage, o->lineage) != 0)
		return decline(why, PROTO_R_FOREIGN, "it follows another lineage");
	if (self->diverged && !self->discard)
		return decline(why, PROTO_R_DIVERGED, self->diverged_detail);
	if (self->lineage[0] != '\0' && o->generation == self->generation && strcmp(o->digest, self->digest) == 0)
		return decline(why, PROTO_R_HAVE, "applied already");
	if (self->lineage[0] != '\0' && o->generation <= self->generation) {
		why->have = self->generation;
		return decline(why, PROTO_R_STALE, "it has applied a newer generation");
	}
	if (c->restoring)
		return decline(why, PROTO_R_BUSY, "it restores right now");
	/* What is on disk already needs no data, but the offer is as good as an order to try again now. */
	loop_timer_clear(c->retry);
	c->wait_ms = 0;
	return KC_OK;
}

static void on_begin(struct receive_session *s, const struct proto_offer *o, uint64_t offset, void *arg)
{
	struct clone_role *c = arg;
	char detail[80];
	struct audit_record r = { .event = AUDIT_RECEIVE_START,
		.outcome = AUDIT_STARTED,
		.generation = o->generation,
		.lineage = o->lineage,
		.peer = receive_session_name(s),
		.backup = o->file,
		.detail = offset > 0 ? detail : NULL };

	snprintf(detail, sizeof(detail), "goes on at byte %" PRIu64, offset);
	daemon_audit(c->d, &r);
}

static void on_declined(
    struct receive_session *s, const struct proto_offer *o, const struct proto_decline *why, void *arg)
{
	struct clone_role *c = arg;
	char detail[400];
	struct audit_record r = { .event = AUDIT_RECEIVE_END,
		.outcome = AUDIT_FAILURE,
		.generation = o->generation,
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
	daemon_audit(c->d, &r);
	log_warn("generation %" PRIu64 " of %s: %s", o->generation, receive_session_name(s), detail);
}

static void on_stored(const struct receive_stored *st, void *arg)
{
	struct clone_role *c = arg;
	struct audit_record r = { .event = AUDIT_RECEIVE_END,
		.outcome = AUDIT_SUCCESS,
		.generation = st->offer->generation,
		.lineage = st->offer->lineage,
		.peer = st->master,
		.backup = st->offer->file,
		.bytes = st->bytes,
		.duration_ms = st->duration_ms };
	int rc;

	state_stored_fini(&c->stored);
	memset(&c->stored, 0, sizeof(c->stored));
	STR_COPY(c->stored.lineage, st->offer->lineage);
	c->stored.generation = st->offer->generation;
	STR_COPY(c->stored.backup, st->offer->file);
	STR_COPY(c->stored.digest, st->offer->digest);
	STR_COPY(c->stored.receipt, st->offer->receipt);
	c->stored.travel = base64_encode(st->end->travel, st->end->travel_size);
	c->stored.at = time(NULL);
	STR_COPY(c->peer, st->master);
	rc = state_put_stored(c->d->state, &c->stored);
	if (rc == KC_OK)
		rc = daemon_audit(c->d, &r);
	if (rc == KC_OK) {
		start_restore(c);
	} else {
		struct proto_result *answer = mem_xalloc(sizeof(*answer));

		fill_result(c, answer, PROTO_FAILED, rc, err_text(rc));
		receive_result(c->receive, answer);
		free(answer);
	}
}

static void on_failed(const struct receive_failure *f, void *arg)
{
	struct clone_role *c = arg;
	char why[600];
	struct audit_record r = { .event = AUDIT_RECEIVE_END,
		.generation = f->offer->generation,
		.lineage = f->offer->lineage,
		.peer = f->master,
		.backup = f->offer->file,
		.bytes = f->bytes,
		.duration_ms = f->duration_ms };

	STR_COPY(why, f->text);
	log_warn("generation %" PRIu64 " of %s was not received: %s%s", f->offer->generation, f->master, why,
	    f->kept > 0 ? "; a next try goes on where it broke off" : "");
	audit_result(c->d->audit, &r, err_set(f->rc, "%s", why));
	if (has_stored(c))
		loop_timer_set(c->retry, c->d->conf->retry_min_ms);
}

static void on_session_end(struct receive_session *s, int rc, const char *text, void *arg)
{
	struct clone_role *c = arg;

	(void)s, (void)rc, (void)text; /* conn has logged it */
	c->d->self.master_contact = time(NULL);
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	struct clone_role *c = arg;

	audit_stranger(c->d->audit, loop_now(c->d->loop), address,
	    v == PEER_UNDECIDED ? err_msg_code(rc) : peer_msg_code(v), text);
}

static void on_minute(void *arg)
{
	struct clone_role *c = arg;

	audit_tick(c->d->audit, loop_now(c->d->loop));
	loop_timer_set(c->minute, MINUTE_MS);
}

/* --- start --- */

int clone_new(struct clone_role **out, struct daemon *d)
{
	struct clone_role *c = mem_xalloc(sizeof(*c));
	struct receive_events events = { on_hello, on_offer, on_begin, on_declined, on_stored, on_failed,
		on_session_end, on_refused };
	struct receive_options o = { .backup_dir = d->conf->backup_dir };
	int rc;

	c->d = d;
	c->retry = loop_timer_new(d->loop, on_retry, c);
	c->minute = loop_timer_new(d->loop, on_minute, c);
	c->cns = mem_xcalloc(d->conf->authorized_cns.count + 1, sizeof(*c->cns));
	for (size_t i = 0; i < d->conf->authorized_cns.count; i++)
		c->cns[i] = d->conf->authorized_cns.items[i];
	o.listen.address = d->conf->listen_address;
	o.listen.port = (uint16_t)d->conf->listen_port;
	o.listen.conn.creds = d->creds;
	o.listen.conn.self = PROTO_CLONE;
	o.listen.conn.idle_ms = d->conf->timeout_ms;
	o.listen.conn.rule.role = PROTO_MASTER;
	o.listen.conn.rule.host = d->conf->master_host;
	o.listen.conn.rule.cns = (const char *const *)c->cns;
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
	conn_free(c->knock);
	receive_free(c->receive);
	state_stored_fini(&c->stored);
	loop_timer_free(c->retry);
	loop_timer_free(c->minute);
	free(c->cns);
	free(c);
}

static void on_knock_ready(struct conn *conn, void *arg)
{
	(void)arg;
	conn_finish(conn);
}

static void on_knock_closed(struct conn *conn, int rc, const char *text, void *arg)
{
	struct clone_role *c = arg;

	if (rc < 0)
		log_debug("the master was not told that this clone is up: %s", text);
	c->knock = NULL;
	conn_free(conn);
}

/* A master that found us unreachable would try again in RetryMax only: tell it. One that is down comes by itself. */
static void knock(struct clone_role *c)
{
	static const struct conn_events events = { .on_ready = on_knock_ready, .on_closed = on_knock_closed };
	const struct conf *conf = c->d->conf;
	struct conn_options o = { .creds = c->d->creds,
		.self = PROTO_CLONE,
		.idle_ms = conf->timeout_ms,
		.rule = { .role = PROTO_MASTER, .host = conf->master_host, .cns = (const char *const *)c->cns } };

	if (conf->master_host != NULL)
		c->knock =
		    conn_connect(c->d->loop, conf->master_host, (uint16_t)conf->master_listen_port, &o, &events, c);
}

int clone_start(struct clone_role *c)
{
	knock(c);
	loop_timer_set(c->minute, MINUTE_MS);
	loop_timer_set(c->retry, 0);
	return KC_OK;
}

void clone_stop(struct clone_role *c)
{
	loop_timer_clear(c->retry);
	receive_stop(c->receive);
}

void clone_reloaded(struct clone_role *c)
{
	receive_set_creds(c->receive, c->d->creds);
}

/* --- divergence --- */

static void on_list(int rc, const json_t *result, void *arg)
{
	struct clone_role *c = arg;

	(void)rc;
	if (c->asking != NULL)
		control_answer(c->asking, json_deep_copy(result));
	c->asking = NULL;
}

static void asking_gone(struct control_client *client, void *arg)
{
	struct clone_role *c = arg;

	(void)client;
	c->asking = NULL;
}

/* Against what was applied last; before the first restore against what is stored. */
void clone_diverged_list(struct clone_role *c, struct control_client *client)
{
	const struct state_self *self = &c->d->self;
	struct state_stored st = { 0 };
	char *path;
	int rc = self->backup[0] != '\0' ? state_find_stored(&st, c->d->state, self->backup)
					 : state_get_stored(&st, c->d->state);

	if (c->asking != NULL)
		rc = err_set(KC_EBUSY, "another client waits for the same list");
	else if (rc == KC_ENOENT)
		rc = err_set(KC_ENOENT, "nothing was received from a master yet: there is nothing to compare with");
	if (rc < 0) {
		state_stored_fini(&st);
		control_answer(client, ipc_result_new(rc));
		return;
	}
	c->asking = client;
	control_on_gone(client, asking_gone, c);
	path = file_join(c->d->conf->backup_dir, st.backup);
	jobs_add(c->d->jobs,
	    json_pack("{s:s, s:s, s:s, s:s, s:s}", "verb", "diverged", "backup", path, "travel", st.travel, "applied",
		self->digest, "signer", c->signer),
	    NULL, NULL, on_list, c);
	free(path);
	state_stored_fini(&st);
}

void clone_diverged_discard(struct clone_role *c, struct control_client *client)
{
	struct state_self *self = &c->d->self;
	struct audit_record r = {
		.event = AUDIT_CLONE_DISCARDED, .outcome = AUDIT_STARTED, .detail = control_who(client)
	};
	int rc = KC_OK;

	if (!self->diverged) {
		control_answer(client,
		    ipc_result_new(err_set(KC_EFAIL, "this clone has not diverged: there is nothing to discard")));
		return;
	}
	self->discard = true;
	/* The same generation must come again if it was applied before the rows went astray. */
	if (!has_stored(c))
		self->generation = self->complete = 0;
	rc = daemon_save(c->d);
	if (rc == KC_OK)
		rc = daemon_audit(c->d, &r);
	if (rc == KC_OK && has_stored(c))
		loop_timer_set(c->retry, 0);
	else if (rc == KC_OK)
		receive_greet_anew(c->receive);
	control_answer(client, ipc_result_new(rc));
}

/* --- status --- */

void clone_status(const struct clone_role *c, json_t *status)
{
	const struct state_self *self = &c->d->self;
	json_t *master =
	    json_pack("{s:o, s:o}", "host", self->master_host[0] != '\0' ? json_string(self->master_host) : json_null(),
		"last_contact", member_time(self->master_contact));

	json_object_set_new(status, "generation", json_integer((json_int_t)self->generation));
	json_object_set_new(status, "self",
	    json_pack("{s:I, s:o, s:I, s:n, s:b, s:o, s:o}", "applied", (json_int_t)self->generation, "applied_at",
		member_time(self->applied_at), "stored",
		(json_int_t)(c->stored.generation > self->generation ? c->stored.generation : self->generation),
		"postponed_until", "diverged", (int)(self->diverged && !self->discard), "diverged_detail",
		self->diverged_detail[0] != '\0' ? json_string(self->diverged_detail) : json_null(), "master", master));
	if (c->restoring)
		json_object_set_new(status, "run",
		    json_pack(
			"{s:s, s:s, s:i}", "id", c->stored.backup, "phase", c->phase, "percent", (int)c->percent));
}
