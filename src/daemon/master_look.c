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
	rc = offering_load(&m->out, &m->d->self, m->d->conf->backup_dir);
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

/* The worker is about to write: give it a number that was never given before, and say so in the audit log. */
static json_t *on_ask(const json_t *ask, void *arg)
{
	struct master *m = arg;
	struct state_self *self = &m->d->self;
	struct audit_record r = { .event = AUDIT_BACKUP_CREATE, .outcome = AUDIT_STARTED, .lineage = self->lineage };
	json_t *answer;
	int rc;

	if (strcmp(member_text(ask, "ask"), "generation") != 0)
		return NULL;
	self->generation++;
	if (self->unreplicated_since == 0)
		self->unreplicated_since = m->look_changed != 0 ? m->look_changed : time(NULL);
	rc = daemon_save(m->d);
	master_run_begin(m, self->generation);
	r.generation = self->generation;
	if (rc == KC_OK)
		rc = daemon_audit(m->d, &r);
	fleet_set_unreplicated(m->fleet, self->unreplicated_since);
	answer = ipc_result_new(rc);
	json_object_set_new(answer, "generation", json_integer((json_int_t)self->generation));
	m->making = rc == KC_OK;
	offering_unref(m->out);
	m->out = NULL;
	return answer;
}

/* The file begins to grow: offer it to everybody. */
static void begin_offering(struct master *m, const json_t *p)
{
	m->out = offering_new(p, m->d->conf->backup_dir);
	fleet_set_generation(m->fleet, m->d->self.lineage, m->out->generation, m->d->self.unreplicated_since);
	target_offer_all(m);
	wait_arm_all(m);
}

static void on_backup_progress(const json_t *p, void *arg)
{
	struct master *m = arg;

	if (json_object_get(p, "phase") == NULL)
		return;
	STR_COPY(m->run.phase, member_text(p, "phase"));
	m->run.percent = (unsigned)member_u64(p, "percent");
	if (json_object_get(p, "path") != NULL && m->making) {
		if (m->out == NULL)
			begin_offering(m, p);
		m->out->valid = member_u64(p, "bytes");
		target_grow_all(m);
	}
	master_settle_soon(m);
}

static void backup_made(struct master *m, const json_t *result)
{
	struct state_self *self = &m->d->self;
	struct audit_record r = { .event = AUDIT_BACKUP_CREATE,
		.outcome = AUDIT_SUCCESS,
		.lineage = self->lineage,
		.generation = member_u64(result, "generation"),
		.backup = member_text(result, "name"),
		.bytes = member_u64(result, "size"),
		.duration_ms = loop_now(m->d->loop) - m->backup_began };
	int rc;

	if (m->out == NULL)
		begin_offering(m, result);
	self->complete = r.generation;
	STR_COPY(self->digest, member_text(result, "digest"));
	STR_COPY(self->schema, member_text(result, "schema"));
	STR_COPY(self->files, member_text(result, "files"));
	STR_COPY(self->file_id, member_text(result, "file_id"));
	STR_COPY(self->backup, member_text(result, "name"));
	STR_COPY(self->sha256, member_text(result, "sha256"));
	self->header_size = member_u64(result, "header_size");
	self->database_size = member_u64(result, "database_size");
	self->rows = member_u64(result, "rows");
	self->unreplicated_since = 0;
	self->want_full = self->want_full && !m->made_anew;
	json_object_set_new(m->d->database, "rows", json_integer((json_int_t)self->rows));
	m->making = false;
	password_made(m->d, self->backup);
	rc = state_put_digest(m->d->state, self->lineage, self->complete, self->digest);
	if (rc < 0)
		log_warn("what generation %" PRIu64 " held is not remembered: %s", self->complete, err_text(rc));
	master_checked(m, "generation %" PRIu64 " was made", self->complete);
	daemon_audit(m->d, &r);
	fleet_set_unreplicated(m->fleet, 0);
	rc = offering_complete(m->out, self);
	if (rc < 0)
		target_cancel_all(m, m->out, rc);
	else
		target_end_all(m);
	daemon_prune(m->d, NULL);
}

/* A worker that was killed could not remove what it was writing. */
static bool keep_part(void *arg, const char *name)
{
	const struct master *m = arg;
	struct store_name n;

	return store_name_parse(&n, name) < 0 || n.kind != STORE_FULL || n.generation != m->d->self.generation ||
	       strncmp(n.lineage, m->d->self.lineage, 8) != 0;
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
	master_load_newest(m);
	target_offer_all(m);
	m->looking = m->look_again = false;
	if (rc != KC_ECANCELED)
		master_system_look(m, false);
	m->changed_at = m->look_changed;
	if (rc == KC_ECANCELED) /* nothing is wrong with it; the next start looks again */
		master_checked(m, "broken off: %.480s", why);
	else
		master_checked(m, "failed: %.480s", why);
	wait_fail_all(m, err_set(rc, "%s", why));
	m->backup_wait_ms = daemon_back_off(m->d, m->backup_wait_ms);
	m->not_before = loop_now(m->d->loop) + m->backup_wait_ms;
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
		look_done(m);
		return;
	}
	held_end(m, json_is_true(json_object_get(result, "unchanged")));
	if (json_is_true(json_object_get(result, "unchanged"))) {
		nothing_new(m);
		release_again(m);
	} else {
		backup_made(m, result);
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
	if (!full) {
		json_object_set_new(request, "digest", json_string(self->digest));
		json_object_set_new(request, "schema", json_string(self->schema));
		json_object_set_new(request, "files", json_string(self->files));
	}
	m->backup_began = loop_now(m->d->loop);
	jobs_add(m->d->jobs, request, on_backup_progress, on_ask, on_backup_done, m);
}

static void on_check_done(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;

	if (rc < 0) {
		backup_failed(m, rc);
		return;
	}
	if (json_is_true(json_object_get(result, "moved")) || must_make(m)) {
		start_backup(m);
		return;
	}
	if (!held_is(m)) /* else it is still as it was */
		nothing_new(m);
	look_done(m);
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
