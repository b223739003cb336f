/* SPDX-License-Identifier: Apache-2.0 */
/* master: the role as a whole: when it looks, its start and end, and what status says of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/control.h"
#include "daemon/enroll.h"
#include "daemon/fence.h"
#include "daemon/rotate.h"
#include "master_int.h"
#include "restore_order.h"

#define RUN_PASSES_MS 2000 /* a change waits so long for the run before it */
#define COMMIT_MS     50
#define SETTLE_MS     3
#define MARK_MS	      60000 /* where changes are not replicated at once they are looked at so often */

/* --- schedule --- */

static void on_look_due(bool change, void *arg)
{
	struct master *m = arg;

	if (change && !m->d->conf->on_change)
		master_mark(m);
	else
		master_look(m, false);
}

void master_see_change(struct master *m)
{
	uint64_t now = loop_now(m->d->loop), not_before = m->not_before;

	if (m->changed_at == 0 || m->looking || m->marking || m->d->self.stopped)
		return;
	if (!m->d->conf->on_change) {
		if (m->d->self.unreplicated_since == 0)
			/* There is one look: the commit is over by then. */
			master_schedule_changed(
			    m->schedule, m->marked_at > 0 ? m->marked_at + MARK_MS : now + COMMIT_MS);
		return;
	}
	/* No more than half of the time goes into looking; a run on its way is let through, but not for long. */
	if (m->look_began + 2 * m->look_took > not_before)
		not_before = m->look_began + 2 * m->look_took;
	if (m->run.active && m->run.began + RUN_PASSES_MS > not_before)
		not_before = m->run.began + RUN_PASSES_MS;
	master_schedule_changed(m->schedule, not_before > now ? not_before : now);
}

static void on_changed(void *arg)
{
	struct master *m = arg;

	if (m->changed_at == 0)
		m->changed_at = time(NULL);
	master_see_change(m);
}

static void on_watch_lost(const char *why, void *arg)
{
	struct master *m = arg;

	(m->d->conf->on_change ? log_warn : log_info)(
	    "changes of %s are not noticed at once (%s); the schedule finds them", m->d->conf->keydb_path, why);
}

/* Before confinement: the folder is not the daemon's to open later. */
static void watch(struct master *m)
{
	static const struct watch_events events = { on_changed, on_watch_lost };
	int rc = watch_new(&m->watch, m->d->loop, m->d->conf->keydb_path, &events, m);

	if (rc < 0)
		on_watch_lost(err_text(rc), m);
}

static void configure_schedule(struct master *m)
{
	const struct conf *c = m->d->conf;

	master_schedule_configure(m->schedule, c->check_frequency_ms, c->daily_backup, c->on_change);
	if (c->daily_backup == NULL)
		m->d->self.daily_done = 0;
}

const char *master_schedule_in_force(const struct master *m, char *out)
{
	return master_schedule_text(out, m->schedule);
}

/* The task is up. */
static void start_schedule(struct master *m)
{
	int64_t keep = master_schedule_start(m->schedule, m->d->self.daily_done);

	if (keep != m->d->self.daily_done) {
		m->d->self.daily_done = keep;
		daemon_save(m->d);
	}
	/* Who changed it while nobody watched is found by the next look; status shall know before. */
	if (m->changed_at == 0 && m->d->conf->daily_backup != NULL) {
		m->changed_at = time(NULL);
		master_see_change(m);
	}
}

/* Soon, and not in each turn: what goes to the clones goes first. Store what changed, tell who waits, see whether the
 * run is over. */
static void on_settle(void *arg)
{
	struct master *m = arg;
	bool over = m->run.active && !m->making;
	bool applied = true;

	target_store_dirty(m);
	for (struct target *t = m->targets; t != NULL; t = t->next) {
		hold_rest(t);
		target_greet_due(t);
		target_system_due(t);
		over = over && target_settled(t);
		applied = applied && target_has_applied(t);
	}
	if (applied)
		master_run_completed(m);
	if (over) {
		master_run_end(m, KC_OK);
		master_see_change(m);
	}
	release_update(m);
	wait_update_all(m);
}

void master_end_turn(struct master *m)
{
	bool given = false;

	for (struct target *t = m->targets; t != NULL; t = t->next)
		given = given || t->receipt.receipt[0] != '\0';
	if (!given)
		return;
	audit_sync_ahead(m->d->audit);
	(void)target_store_dirty(m);
}

void master_settle_soon(struct master *m)
{
	if (!loop_timer_is_set(m->settle))
		loop_timer_set(m->settle, SETTLE_MS);
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
	/* A daemon that was killed may have given it. */
	if (d->self.reserved > d->self.generation)
		d->self.generation = d->self.reserved;
	m->knocks = (struct log_rate)LOG_RATE(10, 60000);
	m->fleet = fleet_new(&o);
	m->schedule =
	    master_schedule_new(&(struct master_schedule_options){ .loop = d->loop, .look = on_look_due, .arg = m });
	configure_schedule(m);
	m->settle = loop_timer_new(d->loop, on_settle, m);
	m->recount = loop_timer_new(d->loop, master_on_recount, m);
	master_system_new(m);
	rc = target_load_all(m);
	if (rc == KC_OK)
		rc = enroll_new(&m->enroll, m);
	if (rc == KC_OK)
		rc = master_listen(m);
	if (rc == KC_OK)
		rc = fence_new(&m->fence, d);
	if (rc < 0) {
		master_free(m);
		return rc;
	}
	watch(m);
	*out = m;
	return KC_OK;
}

void master_free(struct master *m)
{
	if (m == NULL)
		return;
	conn_listener_free(m->listener);
	enroll_free(m->enroll);
	target_free_callers(m);
	wait_free_all(m);
	/* It was not given. */
	m->d->self.reserved = 0;
	daemon_save(m->d);
	target_store_dirty(m);
	target_free_all(m);
	offering_unref(m->out);
	fence_free(m->fence);
	master_system_free(m);
	fleet_free(m->fleet);
	master_schedule_free(m->schedule);
	watch_free(m->watch);
	loop_timer_free(m->settle);
	loop_timer_free(m->recount);
	free(m);
}

int master_start(struct master *m)
{
	int rc = store_clean(m->d->conf->backup_dir, NULL, NULL);

	if (rc < 0)
		log_warn("left-over partial backups stay: %s", err_text(rc));
	rc = master_load_newest(m);
	if (rc < 0)
		log_warn("the newest backup cannot be used, a new one is made: %s", err_text(rc));
	else if (m->out != NULL)
		fleet_set_generation(m->fleet, m->d->self.lineage, m->out->generation, 0);
	if (m->d->self.unreplicated_since != 0)
		fleet_set_unreplicated(m->fleet, m->d->self.unreplicated_since);
	fleet_set_task(m->fleet, !m->d->self.stopped);
	if (m->d->self.stopped)
		target_greet_all(m);
	master_system_start(m);
	m->started = true;
	(void)restore_order_resolve(m->d);
	if (!m->d->self.stopped)
		start_schedule(m);
	rotate_start(m->d->rotate);
	return KC_OK;
}

void master_stop(struct master *m)
{
	struct target *t;

	rotate_stop(m->d->rotate);
	master_schedule_stop(m->schedule);
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
	target_greet_all(m);
	if (up)
		start_schedule(m);
	else
		master_schedule_stop(m->schedule);
}

void master_reloaded(struct master *m)
{
	struct fleet_options o = { .retry_min_ms = m->d->conf->retry_min_ms, .retry_max_ms = m->d->conf->retry_max_ms };
	int rc = target_reconfigure(m);

	if (rc < 0)
		log_err("the list of clones: %s", err_text(rc));
	rotate_fleet_changed(m->d->rotate);
	fleet_set_options(m->fleet, &o);
	master_listen_anew(m);
	fence_reloaded(m->fence);
	target_renew_all(m);
	configure_schedule(m);
	if (!m->d->self.stopped && m->d->conf->daily_backup == NULL)
		master_schedule_sooner(m->schedule, 0);
	release_again(m);
	if (held_is(m))
		master_look(m, true); /* perhaps more may be deleted now */
	master_system_look(m, true);
}

void master_password_changed(struct master *m)
{
	if (!m->d->self.stopped && m->d->conf->daily_backup == NULL)
		master_look(m, true);
	master_system_look(m, true);
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
	int64_t next = master_schedule_next_look(m->schedule);

	for (const struct target *t = m->targets; t != NULL; t = t->next)
		json_array_append_new(clones, target_json(t));
	if (m->run.active)
		run = run_json(m);
	json_object_set_new(status, "generation", json_integer((json_int_t)self->complete));
	json_object_set_new(status, "next_scheduled", member_time(next));
	json_object_set_new(status, "last_check", member_time(self->last_check));
	json_object_set_new(status, "last_check_result",
	    self->last_check_result[0] != '\0' ? json_string(self->last_check_result) : json_null());
	json_object_set_new(status, "unreplicated_since", member_time(self->unreplicated_since));
	json_object_set_new(status, "run", run);
	json_object_set_new(status, "held", held_json(m));
	/* Both roles have the same shape; a master has what it made, and no master. */
	json_object_set_new(status, "self",
	    json_pack("{s:I, s:n, s:I, s:n, s:b, s:n, s:{s:n, s:n, s:i}}", "applied", (json_int_t)self->complete,
		"applied_at", "stored", (json_int_t)self->complete, "postponed_until", "diverged", 0, "diverged_detail",
		"master", "host", "last_contact", "clock_offset_seconds", 0));
	json_object_set_new(status, "clones", clones);
	json_object_set_new(status, "rotation", rotate_status(m->d->rotate));
	return next;
}
