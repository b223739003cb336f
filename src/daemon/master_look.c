/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_look: looks for changes and makes backups. A look is: has the database moved since the newest backup (O(1))?
 * If so a backup job, which compares digests first and reserves a generation only when something changed. Never two at
 * a time.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/password.h"
#include "master_int.h"

#define CHAIN_MAX 1000 /* increments that build on one full */

void master_checked(struct master *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->d->self.last_check_result, sizeof(m->d->self.last_check_result), fmt, ap);
	va_end(ap);
	m->d->self.last_check = time(NULL);
	daemon_save(m->d);
}

int master_load_newest(struct master *m)
{
	int rc;

	offering_unref(m->out);
	m->out = NULL;
	rc = offering_load(&m->out, m->d->state, &m->d->self, m->d->conf->backup_dir);
	return rc == KC_ENOENT && m->d->self.complete == 0 ? KC_OK : rc;
}

static bool has_whole(const struct master *m)
{
	return m->out != NULL && m->out->complete;
}

/* A backup, whatever has changed. */
static bool must_make(const struct master *m)
{
	return m->want_full || m->allow_deletes || m->d->self.want_full || !has_whole(m);
}

/* May what changed be an increment on the newest backup? The worker says whether it can. */
static bool may_be_increment(const struct master *m)
{
	const struct state_self *self = &m->d->self;
	const struct conf *c = m->d->conf;
	int64_t age = (int64_t)time(NULL) - self->chain_since;

	return self->chain != 0 && c->full_frequency_ms > 0 && self->chain_count < CHAIN_MAX &&
	       self->chain_bytes < self->chain_full / 2 && age >= 0 &&
	       (uint64_t)age < (uint64_t)c->full_frequency_ms / 1000;
}

/* The worker is about to write: give it a number that was never given before, and say so in the audit log. */
static json_t *give_number(struct master *m, bool increment)
{
	struct state_self *self = &m->d->self;
	struct audit_record r = { .event = AUDIT_BACKUP_CREATE, .outcome = AUDIT_STARTED, .lineage = self->lineage };
	bool ready = self->reserved > self->generation;
	int rc = KC_OK;
	json_t *answer;

	self->generation++;
	if (self->unreplicated_since == 0)
		self->unreplicated_since = m->look_changed != 0 ? m->look_changed : time(NULL);
	if (!ready)
		rc = daemon_save(m->d);
	master_run_begin(m, self->generation);
	r.generation = self->generation;
	/* The file of an increment has to wait for the record: take_whole(). */
	if (rc == KC_OK)
		rc = (increment ? daemon_audit_lazily : daemon_audit)(m->d, &r);
	fleet_set_unreplicated(m->fleet, self->unreplicated_since);
	answer = ipc_result_new(rc);
	json_object_set_new(answer, "generation", json_integer((json_int_t)self->generation));
	m->making = rc == KC_OK;
	offering_unref(m->out);
	m->out = NULL;
	return answer;
}

/* Offer it to everybody. changed_at: the oldest change in it. */
static void begin_offering(struct master *m, int64_t changed_at)
{
	fleet_set_generation(m->fleet, m->d->self.lineage, m->out->generation, changed_at);
	target_offer_all(m);
	wait_arm_all(m);
}

static void made_of(struct state_made *made, const struct master *m, const json_t *result)
{
	memset(made, 0, sizeof(*made));
	STR_COPY(made->lineage, m->d->self.lineage);
	made->generation = member_u64(result, "generation");
	made->base = member_u64(result, "base");
	made->chain = member_u64(result, "chain");
	STR_COPY(made->digest, member_text(result, "digest"));
	STR_COPY(made->backup, member_text(result, "name"));
	STR_COPY(made->file_id, member_text(result, "file_id"));
	STR_COPY(made->sha256, member_text(result, "sha256"));
	made->header_size = member_u64(result, "header_size");
	made->database_size = member_u64(result, "database_size");
}

static void count_chain(struct state_self *self, const struct state_made *made, uint64_t size)
{
	self->chain = made->chain;
	if (made->base == 0) {
		self->chain_since = time(NULL);
		self->chain_full = size;
		self->chain_bytes = self->chain_count = 0;
	} else {
		self->chain_bytes += size;
		self->chain_count++;
	}
}

/* What this machine has now: in a transaction. */
static int put_made(struct master *m, const struct state_made *made, const json_t *result)
{
	struct state_self *self = &m->d->self;

	self->complete = made->generation;
	self->reserved = self->generation + 1;
	STR_COPY(self->digest, made->digest);
	STR_COPY(self->schema, member_text(result, "schema"));
	STR_COPY(self->files, member_text(result, "files"));
	STR_COPY(self->file_id, made->file_id);
	STR_COPY(self->backup, made->backup);
	STR_COPY(self->sha256, made->sha256);
	self->header_size = made->header_size;
	self->database_size = made->database_size;
	self->rows = member_u64(result, "rows");
	self->unreplicated_since = 0;
	self->want_full = self->want_full && !m->made_anew;
	count_chain(self, made, member_u64(result, "size"));
	json_object_set_new(m->d->database, "rows", json_integer((json_int_t)self->rows));
	password_made(m->d, self->backup);
	master_checked(m, "generation %" PRIu64 " was made", self->complete);
	return state_put_made(m->d->state, made);
}

static int commit_made(struct master *m, int rc)
{
	if (rc == KC_OK)
		rc = target_put_dirty(m);
	audit_hurry(m->d->audit);
	audit_sync_ahead(m->d->audit); /* two files: the disk is waited for once */
	if (rc == KC_OK)
		rc = state_commit(m->d->state);
	else
		state_abort(m->d->state);
	if (rc < 0) {
		log_err("the state database cannot be written, the daemon ends: %s", err_text(rc));
		daemon_end(m->d, err_exit_status(rc));
	}
	return rc;
}

/* All of its file is there, if not on disk yet: this machine has made it, whatever comes, and clones may have it.
 * (Should the power go before the file is on disk, the next start makes a full.) */
static int backup_whole(struct master *m, const json_t *result)
{
	int64_t changed_at = m->d->self.unreplicated_since;
	struct state_made made;
	bool begun = m->out != NULL;
	int rc, kept;

	if (!begun)
		m->out = offering_new(result, m->d->conf->backup_dir);
	made_of(&made, m, result);
	rc = offering_complete(m->out, &made);
	kept = state_begin(m->d->state);
	if (kept == KC_OK)
		kept = put_made(m, &made, result);
	m->making = false;
	m->unkept = true;
	fleet_set_unreplicated(m->fleet, 0);
	/* What is known of the clones from now on, with the receipts of what they are offered, goes to the disk with
	 * it. */
	if (!begun && rc == KC_OK && kept == KC_OK) {
		begin_offering(m, changed_at);
		fleet_begin(m->fleet);
	}
	kept = commit_made(m, kept);
	if (rc < 0 || kept < 0)
		target_cancel_all(m, m->out, rc < 0 ? rc : kept);
	else
		target_end_all(m);
	master_recount_soon(m, made.base != 0);
	return rc < 0 ? rc : kept;
}

/* Its file gets its name when the audit log says on disk that it was begun, and who is offered it. */
static json_t *take_whole(struct master *m, const json_t *whole)
{
	int rc = m->making ? backup_whole(m, whole) : KC_OK;

	if (rc == KC_OK)
		rc = daemon_sync_audit(m->d);
	return ipc_result_new(rc);
}

static json_t *on_ask(const json_t *ask, void *arg)
{
	const char *what = member_text(ask, "ask");

	if (strcmp(what, "generation") == 0)
		return give_number(arg, json_is_true(json_object_get(ask, "increment")));
	return strcmp(what, "whole") == 0 ? take_whole(arg, json_object_get(ask, "whole")) : NULL;
}

static void backup_kept(struct master *m, const json_t *result)
{
	char detail[400] = "";
	uint64_t base = member_u64(result, "base");
	struct audit_record r = { .event = AUDIT_BACKUP_CREATE,
		.outcome = AUDIT_SUCCESS,
		.lineage = m->d->self.lineage,
		.generation = member_u64(result, "generation"),
		.backup = member_text(result, "name"),
		.bytes = member_u64(result, "size"),
		.duration_ms = loop_now(m->d->loop) - m->backup_began,
		.detail = detail };

	if (base != 0)
		snprintf(detail, sizeof(detail), "increment on generation %" PRIu64 ": %.300s", base,
		    member_text(result, "changes"));
	else if (member_text(result, "why_full")[0] != '\0')
		snprintf(detail, sizeof(detail), "full: %.300s", member_text(result, "why_full"));
	else
		r.detail = NULL;
	daemon_audit(m->d, &r);
	m->unkept = false;
	if (base == 0) /* fulls are counted */
		daemon_prune(m->d, NULL);
}

static void on_backup_progress(const json_t *p, void *arg)
{
	struct master *m = arg;

	if (json_object_get(p, "phase") == NULL)
		return;
	STR_COPY(m->run.phase, member_text(p, "phase"));
	m->run.percent = (unsigned)member_u64(p, "percent");
	if (json_object_get(p, "path") != NULL && m->making) {
		if (m->out == NULL) {
			m->out = offering_new(p, m->d->conf->backup_dir);
			begin_offering(m, m->d->self.unreplicated_since);
		}
		m->out->valid = member_u64(p, "bytes");
		target_grow_all(m);
	}
	master_settle_soon(m);
}

/* A worker that was killed could not remove what it was writing. */
static bool keep_part(void *arg, const char *name)
{
	const struct master *m = arg;
	struct store_name n;

	return store_name_parse(&n, name) < 0 || (n.kind != STORE_FULL && n.kind != STORE_INCR) ||
	       n.generation != m->d->self.generation || strncmp(n.lineage, m->d->self.lineage, 8) != 0;
}

static void backup_failed(struct master *m, int rc)
{
	struct audit_record r = { .event = AUDIT_BACKUP_CREATE,
		.generation = m->d->self.generation,
		.lineage = m->d->self.lineage,
		.duration_ms = loop_now(m->d->loop) - m->backup_began };
	char why[600];
	int cleaned;

	STR_COPY(why, err_text(rc));
	if (rc != KC_ECANCELED)
		log_err("backup failed: %s", why);
	if (m->unkept) {
		/* It was whole, and clones may have it; its file is not kept here. */
		audit_result(m->d->audit, &r, err_set(rc, "%s", why));
		m->d->self.want_full = true;
		m->unkept = false;
	}
	if (m->making) {
		audit_result(m->d->audit, &r, rc);
		fleet_withdraw_generation(m->fleet, m->d->self.generation);
		target_cancel_all(m, m->out, err_set(rc, "%s", why));
		m->making = false;
	}
	if (m->run.active)
		master_run_end(m, err_set(rc, "%s", why));
	cleaned = store_clean(m->d->conf->backup_dir, keep_part, m);
	if (cleaned < 0)
		log_warn("a partial backup stays: %s", err_text(cleaned));
	m->backup_wait_ms = daemon_back_off(m->d, m->backup_wait_ms);
	m->not_before = loop_now(m->d->loop) + m->backup_wait_ms;
	master_load_newest(m);
	if (m->out == NULL) /* there is nothing to send to those that lack it; the next one is a full */
		fleet_withdraw_generation(m->fleet, m->d->self.complete);
	m->looking = m->look_again = false;
	target_offer_all(m);
	if (rc != KC_ECANCELED)
		master_system_look(m, false);
	m->changed_at = m->look_changed;
	if (rc == KC_ECANCELED) /* nothing is wrong with it; the next start looks again */
		master_checked(m, "broken off: %.480s", why);
	else
		master_checked(m, "failed: %.480s", why);
	wait_fail_all(m, err_set(rc, "%s", why));
	if (err_retryable(rc))
		master_schedule_sooner(m->schedule, m->backup_wait_ms);
	master_settle_soon(m);
}

/* Every row is in the newest backup. */
static void nothing_new(struct master *m)
{
	m->d->self.unreplicated_since = 0;
	fleet_set_unreplicated(m->fleet, 0);
	master_checked(m, "no change since generation %" PRIu64, m->d->self.complete);
}

static void look_done(struct master *m)
{
	m->looking = false;
	master_system_look(m, false);
	m->look_took = loop_now(m->d->loop) - m->look_began;
	m->not_before = 0;
	if (m->d->self.daily_done != m->look_daily) {
		m->d->self.daily_done = m->look_daily;
		daemon_save(m->d);
	}
	wait_arm_all(m);
	master_settle_soon(m);
	if (m->look_again) {
		m->look_again = false;
		master_look(m, false);
	} else {
		master_see_change(m);
	}
}

static void on_backup_done(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;

	if (rc < 0) {
		backup_failed(m, rc);
		return;
	}
	m->backup_wait_ms = 0;
	if (json_object_get(result, "held") != NULL) {
		held_begin(m, json_object_get(result, "held"));
		target_offer_all(m);
		look_done(m);
		return;
	}
	held_end(m, json_is_true(json_object_get(result, "unchanged")));
	if (json_is_true(json_object_get(result, "unchanged"))) {
		nothing_new(m);
		release_again(m);
	} else {
		if (m->making)
			(void)backup_whole(m, result);
		backup_kept(m, result);
	}
	look_done(m);
}

static void start_backup(struct master *m)
{
	const struct state_self *self = &m->d->self;
	bool full = must_make(m);
	json_t *request = json_pack("{s:s, s:s, s:o, s:s}", "verb", "backup", "lineage", self->lineage, "ancestors",
	    lineage_json(&m->d->ancestors), "host", m->d->host);

	m->want_full = false;
	m->made_anew = self->want_full;
	json_object_set_new(
	    request, "base", json_pack("{s:I, s:s}", "generation", (json_int_t)self->complete, "digest", self->digest));
	json_object_set_new(request, "held", json_boolean(held_is(m)));
	json_object_set_new(request, "allow_deletes", json_boolean(m->allow_deletes));
	m->allowed = m->allow_deletes;
	m->allow_deletes = false;
	if (!full && may_be_increment(m))
		json_object_set_new(request, "chain", json_integer((json_int_t)self->chain));
	json_object_set_new(request, "base_files", json_string(self->files));
	if (!full) {
		json_object_set_new(request, "digest", json_string(self->digest));
		json_object_set_new(request, "schema", json_string(self->schema));
		json_object_set_new(request, "files", json_string(self->files));
	}
	m->backup_began = loop_now(m->d->loop);
	jobs_add(m->d->jobs, request, on_backup_progress, on_ask, on_backup_done, m);
}

/* A write was seen and nothing has changed: its commit may have been on its way, and no write says that it is over. */
static void look_closer(struct master *m)
{
	static const uint64_t pauses[] = { 5, 20, 100 };

	if (m->look_changed == 0 || m->looking || m->too_early == sizeof(pauses) / sizeof(pauses[0])) {
		m->too_early = 0;
		return;
	}
	if (m->changed_at == 0)
		m->changed_at = m->look_changed;
	master_schedule_changed(m->schedule, loop_now(m->d->loop) + pauses[m->too_early++]);
}

static void on_check_done(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;

	if (rc < 0) {
		backup_failed(m, rc);
		return;
	}
	if (json_is_true(json_object_get(result, "moved")) || must_make(m)) {
		m->too_early = 0;
		start_backup(m);
		return;
	}
	if (!held_is(m)) /* else it is still as it was */
		nothing_new(m);
	look_done(m);
	look_closer(m);
}

json_t *master_check_request(const struct master *m)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "verb", "check", "digest", m->d->self.digest, "schema",
	    m->d->self.schema, "files", m->d->self.files);
}

void master_look(struct master *m, bool force)
{
	if (m->still)
		return; /* master_release looks */
	if (m->looking) {
		m->look_again = true;
		return;
	}
	m->looking = true;
	m->look_began = loop_now(m->d->loop);
	m->look_daily = master_schedule_begun(m->schedule);
	m->look_changed = m->changed_at;
	m->changed_at = 0;
	m->look_number++;
	if (force || must_make(m))
		start_backup(m);
	else
		jobs_add(m->d->jobs, json_pack("{s:s}", "verb", "check"), NULL, NULL, on_check_done, m);
}

static void on_marked(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;

	m->marking = false;
	m->marked_at = loop_now(m->d->loop);
	if (rc < 0) {
		if (rc != KC_ECANCELED)
			log_warn("whether the database has changed is not known: %s", err_text(rc));
		return;
	}
	if (m->looking || m->changed_at == 0)
		return;
	if (json_is_true(json_object_get(result, "changed"))) {
		m->d->self.unreplicated_since = m->changed_at;
		fleet_set_unreplicated(m->fleet, m->changed_at);
		daemon_save(m->d);
	} else {
		m->changed_at = 0;
	}
}

void master_mark(struct master *m)
{
	if (m->looking || m->marking || m->d->self.unreplicated_since != 0)
		return;
	m->marking = true;
	jobs_add(m->d->jobs, master_check_request(m), NULL, NULL, on_marked, m);
}
