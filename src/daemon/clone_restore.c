/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_restore: a stored backup into the key database, by the worker. The intent is durable before the database is
 * touched.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "clone_int.h"
#include "daemon/alert.h"
#include "daemon/by_hand.h"
#include "daemon/hook.h"

static int timing(const json_t *result, const char *name)
{
	return (int)json_integer_value(json_object_get(json_object_get(result, "timings"), name));
}

bool clone_has_stored(const struct clone_role *c)
{
	const struct state_self *self = &c->d->self;

	return c->stored.generation != 0 &&
	       (strcmp(c->stored.lineage, self->lineage) != 0 || c->stored.generation > self->generation);
}

static void on_progress(const json_t *p, void *arg)
{
	struct clone_role *c = arg;

	if (json_object_get(p, "phase") == NULL)
		return;
	STR_COPY(c->phase, member_text(p, "phase"));
	c->percent = (unsigned)json_integer_value(json_object_get(p, "percent"));
	receive_progress(c->receive, c->phase, c->percent);
	clone_progress_waiting(c);
}

/* Before the database is touched: what is about to happen is durable. */
static json_t *on_ask(const json_t *ask, void *arg)
{
	struct clone_role *c = arg;
	struct lineage_list ancestors;
	struct state_intent i;
	int rc;

	if (strcmp(member_text(ask, "ask"), "intent") != 0)
		return NULL;
	memset(&i, 0, sizeof(i)); /* it is compared as a whole */
	rc = lineage_from_json(&ancestors, json_object_get(ask, "ancestors"));
	if (rc < 0)
		return ipc_result_new(rc);
	lineage_format(i.ancestors, &ancestors);
	STR_COPY(i.lineage, member_text(ask, "lineage"));
	i.generation = (uint64_t)json_integer_value(json_object_get(ask, "generation"));
	STR_COPY(i.old_digest, member_text(ask, "old_digest"));
	STR_COPY(i.digest, member_text(ask, "digest"));
	STR_COPY(i.schema, member_text(ask, "schema"));
	STR_COPY(i.files, member_text(ask, "files"));
	STR_COPY(i.own_digest, member_text(ask, "own_digest"));
	i.chain = member_u64(ask, "chain");
	STR_COPY(i.backup, c->next.backup);
	return ipc_result_new(clone_intend(c, &i));
}

void clone_fill_result(struct clone_role *c, struct proto_result *r, enum proto_status status, int rc, const char *text)
{
	memset(r, 0, sizeof(*r));
	r->status = status;
	STR_COPY(r->digest, c->d->self.digest);
	r->rows = c->d->self.rows;
	if (rc < 0) {
		STR_COPY(r->error, err_name(rc));
		STR_COPY(r->message, text);
		r->retryable = err_retryable(rc);
	}
	if (audit_head(c->d->audit, &r->audit_seq, r->audit_head) < 0) {
		r->audit_seq = 0;
		r->audit_head[0] = '\0';
	}
}

/* The rest of a partial file comes only as long as its generation is newer than what is stored. */
bool clone_keep_part(void *arg, const char *name)
{
	const struct clone_role *c = arg;
	struct store_name n;

	if (store_name_parse(&n, name) < 0 || (n.kind != STORE_FULL && n.kind != STORE_INCR))
		return true;
	if (c->keeping && strcmp(name, c->stored.backup) == 0)
		return true; /* it is about to get its name */
	return strncmp(n.lineage, c->stored.lineage, 8) != 0 || n.generation > c->stored.generation;
}

void clone_prune(struct clone_role *c)
{
	int rc = store_clean(c->d->conf->backup_dir, clone_keep_part, c);

	c->broken_off = false;
	daemon_prune(c->d, c->stored.backup);
	if (rc < 0)
		log_warn("left-over partial backups stay: %s", err_text(rc));
}

/* Whom is followed from now on, in d->self. True: another than before, a child of that. */
static bool follow(struct clone_role *c, const json_t *result)
{
	struct state_self *self = &c->d->self;
	bool child = self->lineage[0] != '\0' && strcmp(self->lineage, c->next.lineage) != 0;

	if (child)
		log_info("lineage %.8s is followed from now on, which began from %.8s", c->next.lineage, self->lineage);
	STR_COPY(self->lineage, c->next.lineage);
	if (lineage_from_json(&c->d->ancestors, json_object_get(result, "ancestors")) == KC_OK)
		lineage_format(self->ancestors, &c->d->ancestors);
	if (child)
		clone_take_successor(c);
	return child;
}

static void restored(struct clone_role *c, const json_t *result, struct proto_result *answer)
{
	struct state_self *self = &c->d->self;
	bool same = json_is_true(json_object_get(result, "same"));
	bool child = follow(c, result);
	const char *warning = json_string_value(json_object_get(result, "warning")),
		   *changes = json_string_value(json_object_get(result, "changes"));
	struct audit_record r = { .event = AUDIT_RESTORE_END,
		.outcome = AUDIT_SUCCESS,
		.generation = c->next.generation,
		.lineage = c->next.lineage,
		.peer = c->peer,
		.backup = c->next.backup,
		.duration_ms = loop_now(c->d->loop) - c->restore_began + 1,
		.detail = same ? "stored, not restored: the database has this content already" : changes };
	struct audit_record discarded = { .event = AUDIT_CLONE_DISCARDED,
		.outcome = AUDIT_SUCCESS,
		.generation = c->next.generation,
		.detail = member_text(result, "diverged") };
	int rc;

	self->generation = self->complete = c->next.generation;
	self->chain = member_u64(result, "chain");
	STR_COPY(self->digest, member_text(result, "digest"));
	STR_COPY(self->schema, member_text(result, "schema"));
	STR_COPY(self->files, member_text(result, "files"));
	STR_COPY(self->own_digest, member_text(result, "own_digest"));
	by_hand_local_tables(self->own_tables, sizeof(self->own_tables), c->d->conf);
	STR_COPY(self->backup, c->next.backup);
	self->rows = (uint64_t)json_integer_value(json_object_get(result, "rows"));
	self->applied_at = self->last_completed = time(NULL);
	if (self->discard && member_u64(result, "only_here") + member_u64(result, "changed") > 0)
		daemon_audit(c->d, &discarded);
	self->discard = self->diverged = self->by_hand = false;
	self->diverged_detail[0] = '\0';
	json_object_set_new(c->d->database, "rows", json_integer((json_int_t)self->rows));
	if (!same)
		self->after_restore = self->generation;
	rc = state_put_applied(c->d->state, self);
	if (rc < 0)
		daemon_end(c->d, err_exit_status(rc)); /* the intent is still there: the next start goes on */
	if (child)
		clone_reloaded(c); /* others may push; the master that was replaced is to hear of it */
	if (warning != NULL)
		log_warn("generation %" PRIu64 ": %s", c->next.generation, warning);
	daemon_audit(c->d, &r);
	log_info("generation %" PRIu64 " is %s: %" PRIu64 " rows, after %" PRIu64 " ms (open %d, lock %d, write %d)",
	    self->generation, same ? "stored; the database has its content already" : "restored", self->rows,
	    r.duration_ms, timing(result, "open_ms"), timing(result, "lock_ms"), timing(result, "write_ms"));
	c->wait_ms = 0;
	if (child || self->generation >= c->overdue)
		c->overdue = 0;
	alert_clear(c->d, ALERT_RESTORE_FAILED, "", "restored");
	alert_clear(c->d, ALERT_DIVERGED, "", "restored");
	if (!same)
		hook_restored(c->d, c->peer, r.duration_ms);
	if (c->next.base == 0 || c->broken_off) /* fulls are counted */
		clone_prune(c);
	clone_fill_result(c, answer, same ? PROTO_UNCHANGED : PROTO_RESTORED, KC_OK, "");
}

static void audit_failed(struct clone_role *c, int rc, const char *why)
{
	struct audit_record r = { .event = AUDIT_RESTORE_END,
		.generation = c->next.generation,
		.lineage = c->next.lineage,
		.peer = c->peer,
		.backup = c->next.backup,
		.duration_ms = loop_now(c->d->loop) - c->restore_began + 1 };

	audit_result(c->d->audit, &r, err_set(rc, "%s", why));
}

static void diverged(struct clone_role *c, const json_t *result, struct proto_result *answer)
{
	struct state_self *self = &c->d->self;

	state_clear_intent(c->d->state);
	clone_set_diverged(c, member_text(result, "diverged"));
	STR_COPY(c->checked, member_text(result, "found")); /* the next look must not find the same anew */
	self->take_over = json_is_true(json_object_get(result, "take_over"));
	daemon_save(c->d);
	audit_failed(c, KC_EDIVERGED, self->diverged_detail);
	log_err("generation %" PRIu64 " is not restored, nothing was written: %s; see 'keyclone diverged list'",
	    c->next.generation, self->diverged_detail);
	clone_fill_result(c, answer, PROTO_DIVERGED, KC_EDIVERGED, self->diverged_detail);
}

/* What is no backup of this installation is no backup: it must not fill the disk, nor count against those that are. */
static void remove_bad(struct clone_role *c, int rc)
{
	struct audit_record r = { .event = AUDIT_BACKUP_DELETE,
		.outcome = AUDIT_SUCCESS,
		.backup = c->next.backup,
		.generation = c->next.generation,
		.detail = "it cannot be restored" };
	char *path;
	int removed;

	switch (rc) {
	case KC_EFORMAT:
	case KC_EPASSWORD:
	case KC_EDAMAGED:
	case KC_ETRUNCATED:
	case KC_ESIGNATURE:
	case KC_EFOREIGN:
	case KC_EFENCED:
	case KC_ESTALE:
		break;
	default:
		return;
	}
	path = file_join(c->d->conf->backup_dir, c->next.backup);
	removed = daemon_audit(c->d, &r);
	if (removed == KC_OK)
		removed = file_remove(path);
	if (removed < 0)
		log_warn("a file that is no backup stays: %s", err_text(removed));
	free(path);
}

static void restore_failed(struct clone_role *c, int rc, const char *why, struct proto_result *answer)
{
	bool full = rc == KC_ENEEDFULL; /* the master hears of it, and sends one */

	(full ? log_info : log_err)("generation %" PRIu64 " is not restored: %s", c->next.generation, why);
	audit_failed(c, rc, why);
	clone_fill_result(c, answer, PROTO_FAILED, rc, why);
	/* What may be over with the next try is not said before that. */
	if (!full && (!err_retryable(rc) || c->wait_ms > 0))
		alert_raise(c->d, ALERT_RESTORE_FAILED, "", why);
	c->wait_ms = daemon_back_off(c->d, c->wait_ms);
	if (err_retryable(rc)) {
		loop_timer_set(c->retry, c->wait_ms);
		return;
	}
	/* It will not get better: forget it, so that the master's next one, or the same sent again, is taken. */
	remove_bad(c, rc);
	state_forget_stored(c->d->state, c->next.backup);
	state_forget_stored(c->d->state, c->stored.backup);
	state_stored_fini(&c->stored);
	c->overdue = c->stored.generation;
	c->stored.generation = 0;
	if (full)
		c->d->self.chain = 0;
	daemon_save(c->d);
}

static void take_result(struct clone_role *c, int rc, const json_t *result)
{
	bool pending = json_is_true(json_object_get(result, "pending")); /* the database is new, companions are not */
	struct proto_result *answer;
	char why[600];

	c->restoring = false;
	clone_forget_intent(c);
	STR_COPY(why, err_text(rc));
	if ((rc == KC_EWORKER || rc == KC_ETIMEOUT || pending) && !c->d->ending) {
		/* Whether it wrote is found out before anything else (the intent says what to look for). */
		c->broken = rc;
		STR_COPY(c->broken_why, why);
		if (clone_resolve_intent(c))
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
	/* On its way to the newest: nobody has to be told. */
	if (rc == KC_OK && clone_has_stored(c) && strcmp(c->stored.lineage, c->d->self.lineage) == 0) {
		free(answer);
		clone_start_restore(c);
		return;
	}
	if (rc < 0 && rc != KC_EWORKER && rc != KC_ETIMEOUT && rc != KC_ECANCELED)
		state_clear_intent(c->d->state);
	clone_tell(c, answer);
	free(answer);
}

static void on_restored(int rc, const json_t *result, void *arg)
{
	struct clone_role *c = arg;

	take_result(c, rc, result);
	clone_diverged_go_on(c);
}

void clone_fail_restore(struct clone_role *c, int rc, const char *why)
{
	struct proto_result *answer = mem_xalloc(sizeof(*answer));

	restore_failed(c, rc, why, answer);
	clone_tell(c, answer);
	free(answer);
}

/* Of what is stored, the one that leads on from what is applied. */
static int find_next(struct clone_role *c)
{
	const struct state_self *self = &c->d->self;
	struct state_stored st = { 0 };
	int rc = state_find_stored(&st, c->d->state, c->stored.backup);

	while (rc == KC_OK && st.base != 0 && (st.base != self->generation || strcmp(st.lineage, self->lineage) != 0)) {
		uint64_t base = st.base;
		char lineage[sizeof(st.lineage)];

		STR_COPY(lineage, st.lineage);
		state_stored_fini(&st);
		rc = base > self->generation || strcmp(lineage, self->lineage) != 0
			 ? state_stored_of(&st, c->d->state, lineage, base)
			 : KC_ENOENT;
		if (rc == KC_ENOENT)
			rc = err_set(KC_ENEEDFULL, "generation %" PRIu64 ", on which others build, is not here", base);
	}
	state_stored_fini(&c->next);
	c->next = st;
	if (rc < 0) {
		STR_COPY(c->next.backup, c->stored.backup);
		STR_COPY(c->next.lineage, c->stored.lineage);
		c->next.generation = c->stored.generation;
	}
	return rc;
}

void clone_start_restore(struct clone_role *c)
{
	const struct state_self *self = &c->d->self;
	bool follows = self->lineage[0] != '\0' && self->digest[0] != '\0';
	struct audit_record r = { .event = AUDIT_RESTORE_START,
		.outcome = AUDIT_STARTED,
		.lineage = c->stored.lineage,
		.peer = c->peer[0] != '\0' ? c->peer : NULL,
		.detail = c->asked_by[0] != '\0' ? c->asked_by : NULL };
	json_t *request;
	char *path;
	int rc;

	if (clone_resolve_intent(c))
		return;
	c->restore_began = loop_now(c->d->loop);
	rc = find_next(c);
	if (rc < 0) {
		clone_forget_intent(c);
		clone_fail_restore(c, rc, err_text(rc));
		return;
	}
	r.generation = c->next.generation;
	r.backup = c->next.backup;
	path = file_join(c->d->conf->backup_dir, c->next.backup);
	request = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:o, s:I, s:s, s:b, s:s}", "verb", "restore", "backup",
	    path, "travel", c->next.travel, "lineage", c->next.lineage, "generation", (json_int_t)c->next.generation,
	    "own_lineage", self->lineage, "own_ancestors", lineage_json(&c->d->ancestors), "own_generation",
	    (json_int_t)self->generation, "applied", follows ? clone_applied_digest(c) : "", "discard",
	    (int)self->discard, "signer", c->signer);
	/* What was applied last opens the list of rows that are not from it, should there be any. */
	if (follows)
		clone_add_applied(request, c);
	json_object_set_new(request, "files", json_string(follows ? self->files : ""));
	json_object_set_new(request, "chain", json_integer((json_int_t)c->next.chain));
	json_object_set_new(request, "applied_content", json_string(follows ? self->digest : ""));
	c->restoring = true;
	c->percent = 0;
	STR_COPY(c->phase, "open");
	daemon_audit(c->d, &r);
	c->asked_by[0] = '\0';
	jobs_add(c->d->jobs, request, on_progress, on_ask, on_restored, c);
	free(path);
}

void clone_on_retry(void *arg)
{
	struct clone_role *c = arg;

	/* A transfer under way ends with a restore, or with on_failed; one of a system backup with neither, and what an
	 * operator does by hand neither. */
	if ((c->restoring || receive_busy(c->receive)) && clone_has_stored(c))
		loop_timer_set(c->retry, c->d->conf->retry_min_ms);
	if (c->restoring || receive_busy(c->receive) || clone_resolve_intent(c))
		return;
	clone_go_on(c);
}
