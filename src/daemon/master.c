/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master: looks for changes and makes backups. A look is: has the database moved since the newest backup (O(1))? If so
 * a backup job, which compares digests first and reserves a generation only when something changed. Never two at a
 * time.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/control.h"
#include "master_int.h"

/* --- schedule --- */

static void schedule_check(struct master *m, uint64_t in_ms)
{
	m->next_check = time(NULL) + (int64_t)(in_ms / 1000);
	loop_timer_set(m->check, in_ms);
}

static void on_check_due(void *arg)
{
	struct master *m = arg;

	schedule_check(m, m->d->conf->check_frequency_ms);
	if (!m->d->self.stopped)
		master_look(m, false);
}

static void checked(struct master *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void checked(struct master *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->d->self.last_check_result, sizeof(m->d->self.last_check_result), fmt, ap);
	va_end(ap);
	m->d->self.last_check = time(NULL);
	daemon_save(m->d);
}

/* --- runs --- */

static void run_end(struct master *m, int rc)
{
	unsigned total = 0, done = 0;
	char detail[300], bad[200] = "";
	struct audit_record r = { .event = AUDIT_REPLICATION_END,
		.generation = m->run.generation,
		.lineage = m->d->self.lineage,
		.duration_ms = loop_now(m->d->loop) - m->run.began,
		.detail = detail };

	for (const struct target *t = m->targets; t != NULL; t = t->next) {
		enum fleet_state s = fleet_state(t->clone);

		total++;
		if (target_has_newest(t))
			done++;
		else if (strlen(bad) + strlen(t->name) + 24 < sizeof(bad))
			snprintf(
			    bad + strlen(bad), sizeof(bad) - strlen(bad), "; %.150s %s", t->name, fleet_state_name(s));
	}
	if (rc < 0)
		snprintf(detail, sizeof(detail), "%.250s", err_text(rc));
	else if (total == 0)
		snprintf(detail, sizeof(detail), "backup only: no clone is configured");
	else
		snprintf(detail, sizeof(detail), "%u of %u clones have it%s", done, total, bad);
	r.outcome = rc < 0 || done < total ? AUDIT_FAILURE : AUDIT_SUCCESS;
	r.code = rc < 0 ? err_msg_code(rc) : done < total ? "KC0001E" : NULL;
	m->run.active = false;
	daemon_audit(m->d, &r);
	if (rc == KC_OK)
		log_info("generation %" PRIu64 ": %s, after %" PRIu64 " ms", m->run.generation, detail, r.duration_ms);
}

static void run_begin(struct master *m, uint64_t generation)
{
	struct audit_record r = { .event = AUDIT_REPLICATION_START,
		.outcome = AUDIT_STARTED,
		.generation = generation,
		.lineage = m->d->self.lineage };

	if (m->run.active && m->run.generation == generation)
		return;
	if (m->run.active)
		run_end(m, err_set(KC_ESTALE, "generation %" PRIu64 " came before every clone had it", generation));
	m->run = (struct run){ .active = true, .generation = generation, .began = loop_now(m->d->loop) };
	STR_COPY(m->run.phase, "backup");
	daemon_audit(m->d, &r);
}

/* Every clone has the newest backup, also those that came late; with no clone, it is made. */
static void note_completed(struct master *m, bool current)
{
	struct state_self *self = &m->d->self;

	if (!current || m->out == NULL || !m->out->complete || self->replicated == m->out->generation)
		return;
	self->replicated = m->out->generation;
	self->last_completed = time(NULL);
	daemon_save(m->d);
}

/* Once a turn at most: store what changed, tell who waits, see whether the run is over. */
static void on_settle(void *arg)
{
	struct master *m = arg;
	bool over = m->run.active && !m->making;
	bool current = true;

	target_store_dirty(m);
	for (const struct target *t = m->targets; t != NULL; t = t->next) {
		over = over && target_settled(t);
		current = current && target_has_newest(t);
	}
	if (over)
		run_end(m, KC_OK);
	note_completed(m, current);
	wait_update_all(m);
}

void master_settle_soon(struct master *m)
{
	if (!loop_timer_is_set(m->settle))
		loop_timer_set(m->settle, 0);
}

/* --- backup --- */

/* What clones are offered when no backup is being made. */
static int load_newest(struct master *m)
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
		self->unreplicated_since = time(NULL);
	rc = daemon_save(m->d);
	run_begin(m, self->generation);
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
	STR_COPY(self->file_id, member_text(result, "file_id"));
	STR_COPY(self->backup, member_text(result, "name"));
	STR_COPY(self->sha256, member_text(result, "sha256"));
	self->header_size = member_u64(result, "header_size");
	self->database_size = member_u64(result, "database_size");
	self->rows = member_u64(result, "rows");
	self->unreplicated_since = 0;
	json_object_set_new(m->d->database, "rows", json_integer((json_int_t)self->rows));
	m->making = false;
	rc = state_put_digest(m->d->state, self->lineage, self->complete, self->digest);
	if (rc < 0)
		log_warn("what generation %" PRIu64 " held is not remembered: %s", self->complete, err_text(rc));
	checked(m, "generation %" PRIu64 " was made", self->complete);
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
		run_end(m, err_set(rc, "%s", why));
	cleaned = store_clean(m->d->conf->backup_dir, keep_part, m);
	if (cleaned < 0)
		log_warn("a partial backup stays: %s", err_text(cleaned));
	load_newest(m);
	target_offer_all(m);
	m->looking = m->look_again = false;
	checked(m, "failed: %.480s", why);
	wait_fail_all(m, err_set(rc, "%s", why));
	m->backup_wait_ms = daemon_back_off(m->d, m->backup_wait_ms);
	if (err_retryable(rc) && m->backup_wait_ms < m->d->conf->check_frequency_ms)
		schedule_check(m, m->backup_wait_ms);
	master_settle_soon(m);
}

static void look_done(struct master *m)
{
	m->looking = false;
	wait_arm_all(m);
	master_settle_soon(m);
	if (m->look_again) {
		m->look_again = false;
		master_look(m, false);
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
	if (json_is_true(json_object_get(result, "unchanged")))
		checked(m, "no change since generation %" PRIu64, m->d->self.complete);
	else
		backup_made(m, result);
	look_done(m);
}

static void start_backup(struct master *m)
{
	const struct state_self *self = &m->d->self;
	bool full = m->want_full || !has_whole(m);
	json_t *request = json_pack("{s:s, s:s, s:s}", "verb", "backup", "lineage", self->lineage, "host", m->d->host);

	m->want_full = false;
	if (!full) {
		json_object_set_new(request, "digest", json_string(self->digest));
		json_object_set_new(request, "schema", json_string(self->schema));
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
	if (json_is_true(json_object_get(result, "moved")) || !has_whole(m)) {
		start_backup(m);
		return;
	}
	checked(m, "no change since generation %" PRIu64, m->d->self.complete);
	look_done(m);
}

/* force: compare digests even if the database has not moved. A look under way goes on; what it may be too early for is
 * left to the next one, right after it. */
void master_look(struct master *m, bool force)
{
	if (m->looking) {
		m->look_again = m->look_again || force || m->want_full;
		return;
	}
	m->looking = true;
	m->look_number++;
	if (force || m->want_full || !has_whole(m))
		start_backup(m);
	else
		jobs_add(m->d->jobs, json_pack("{s:s}", "verb", "check"), NULL, NULL, on_check_done, m);
}

/* --- start --- */

int master_new(struct master **out, struct daemon *d)
{
	struct master *m = mem_xalloc(sizeof(*m));
	struct fleet_options o = { .loop = d->loop,
		.retry_min_ms = d->conf->retry_min_ms,
		.retry_max_ms = d->conf->retry_max_ms,
		.on_due = target_due,
		.on_change = target_changed,
		.arg = m };
	int rc;

	m->d = d;
	m->knocks = (struct log_rate)LOG_RATE(10, 60000);
	m->fleet = fleet_new(&o);
	m->check = loop_timer_new(d->loop, on_check_due, m);
	m->settle = loop_timer_new(d->loop, on_settle, m);
	rc = target_load_all(m);
	if (rc == KC_OK)
		rc = master_listen(m);
	if (rc < 0) {
		master_free(m);
		return rc;
	}
	*out = m;
	return KC_OK;
}

void master_free(struct master *m)
{
	if (m == NULL)
		return;
	wait_free_all(m);
	target_store_dirty(m);
	target_free_all(m);
	offering_unref(m->out);
	fleet_free(m->fleet);
	loop_timer_free(m->check);
	loop_timer_free(m->settle);
	free(m);
}

int master_start(struct master *m)
{
	int rc = store_clean(m->d->conf->backup_dir, NULL, NULL);

	if (rc < 0)
		log_warn("left-over partial backups stay: %s", err_text(rc));
	rc = load_newest(m);
	if (rc < 0)
		log_warn("the newest backup cannot be used, a new one is made: %s", err_text(rc));
	else if (m->out != NULL)
		fleet_set_generation(m->fleet, m->d->self.lineage, m->out->generation, 0);
	if (m->d->self.unreplicated_since != 0)
		fleet_set_unreplicated(m->fleet, m->d->self.unreplicated_since);
	fleet_set_task(m->fleet, !m->d->self.stopped);
	m->started = true;
	schedule_check(m, 0);
	return KC_OK;
}

void master_stop(struct master *m)
{
	struct target *t;

	loop_timer_clear(m->check);
	fleet_set_task(m->fleet, false);
	for (t = m->targets; t != NULL; t = t->next)
		if (t->push != NULL && push_current(t->push) != NULL)
			push_cancel(t->push, err_set(KC_ECANCELED, "the master's daemon is ending"));
	target_renew_all(m);
}

bool master_is_quiet(const struct master *m)
{
	for (const struct target *t = m->targets; t != NULL; t = t->next)
		if (t->push != NULL)
			return false;
	return true;
}

void master_set_task(struct master *m, bool up)
{
	fleet_set_task(m->fleet, up);
	if (up)
		schedule_check(m, 0);
}

void master_reloaded(struct master *m)
{
	struct fleet_options o = { .retry_min_ms = m->d->conf->retry_min_ms, .retry_max_ms = m->d->conf->retry_max_ms };
	struct conn_options sessions = daemon_conn_options(m->d);
	int rc = target_reconfigure(m);

	if (rc < 0)
		log_err("the list of clones: %s", err_text(rc));
	fleet_set_options(m->fleet, &o);
	conn_listener_set_options(m->listener, &sessions);
	target_renew_all(m);
	schedule_check(m, 0);
}

static json_t *run_json(const struct master *m)
{
	char id[60];

	snprintf(id, sizeof(id), "%.8s-%" PRIu64, m->d->self.lineage, m->run.generation);
	return json_pack("{s:s, s:s, s:i}", "id", id, "phase", m->making ? m->run.phase : "pushing", "percent",
	    m->making ? (int)m->run.percent : 100);
}

int64_t master_status(const struct master *m, json_t *status)
{
	const struct state_self *self = &m->d->self;
	json_t *clones = json_array(), *run = json_null();

	for (const struct target *t = m->targets; t != NULL; t = t->next)
		json_array_append_new(clones, target_json(t));
	if (m->run.active)
		run = run_json(m);
	json_object_set_new(status, "generation", json_integer((json_int_t)self->complete));
	json_object_set_new(status, "next_scheduled", member_time(self->stopped ? 0 : m->next_check));
	json_object_set_new(status, "last_check", member_time(self->last_check));
	json_object_set_new(status, "last_check_result",
	    self->last_check_result[0] != '\0' ? json_string(self->last_check_result) : json_null());
	json_object_set_new(status, "unreplicated_since", member_time(self->unreplicated_since));
	json_object_set_new(status, "run", run);
	/* Both roles have the same shape; a master has what it made, and no master. */
	json_object_set_new(status, "self",
	    json_pack("{s:I, s:n, s:I, s:n, s:b, s:n, s:{s:n, s:n}}", "applied", (json_int_t)self->complete,
		"applied_at", "stored", (json_int_t)self->complete, "postponed_until", "diverged", 0, "diverged_detail",
		"master", "host", "last_contact"));
	json_object_set_new(status, "clones", clones);
	return self->stopped ? 0 : m->next_check;
}
