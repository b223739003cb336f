/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_hour: when what is stored is restored: at once, at the hour of restore.DailyStartReplicationRestoreTime, or
 * when an operator says so. The hour is reckoned from when the backup came, by the configuration in force: an hour that
 * was missed (the machine was off, its clock was set) is made up at once, and a clock that was put back waits for its
 * hour anew. What has come due once stays due, whatever follows it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "clone_int.h"
#include "daemon/control.h"

/* Who waits for a restore that he asked for. */
struct restore_wait {
	struct restore_wait *next;
	struct clone_role *clone;
	struct control_client *client;
};

/* --- the hour --- */

static void keep_due(struct clone_role *c, int64_t due, int64_t since)
{
	int rc;

	if (c->stored.due == due && c->stored.at == since)
		return;
	c->stored.due = due;
	c->stored.at = since;
	rc = state_put_stored(c->d->state, &c->stored);
	if (rc < 0) {
		log_err("the state database cannot be written, the daemon ends: %s", err_text(rc));
		daemon_end(c->d, err_exit_status(rc));
	}
}

int64_t clone_due_of_new(const struct clone_role *c, bool restore_now)
{
	/* What waits no more for its hour is late: what comes in its place is not postponed again. */
	bool overdue = c->overdue != 0 || (clone_has_stored(c) && c->stored.due == 0);
	int64_t now = time(NULL);

	return restore_now || overdue || c->waiting != NULL
		   ? 0
		   : schedule_wait(&now, schedule_minute(c->d->conf->restore_time), now);
}

int64_t clone_postponed_until(const struct clone_role *c)
{
	return clone_has_stored(c) ? c->stored.due : 0;
}

/* Is it to wait still? Else it is due from now on. */
static bool waits(struct clone_role *c)
{
	int64_t now = time(NULL), since = c->stored.at;
	int64_t due = schedule_wait(&since, schedule_minute(c->d->conf->restore_time), now);

	if (c->stored.due == 0)
		return false;
	if (due != 0) {
		keep_due(c, due, since);
		schedule_timer_set(c->hour, due);
		return true;
	}
	schedule_timer_clear(c->hour);
	if (c->d->self.stopped)
		return true; /* it goes on when the task is up */
	log_info("generation %" PRIu64 ": its hour has come", c->stored.generation);
	keep_due(c, 0, since);
	return false;
}

void clone_go_on(struct clone_role *c)
{
	if (!clone_has_stored(c) || (c->d->self.diverged && !c->d->self.discard))
		return;
	if (!waits(c))
		clone_start_restore(c);
}

void clone_on_hour(void *arg)
{
	struct clone_role *c = arg;

	/* A restore or a transfer under way looks again when it is over. */
	loop_timer_set(c->retry, 0);
}

void clone_postpone(struct clone_role *c, uint64_t superseded)
{
	struct proto_result *answer = mem_xalloc(sizeof(*answer));
	char detail[200], utc[CLOCK_UTC_SIZE], local[SCHEDULE_TEXT_SIZE];
	int64_t due = c->stored.due;
	struct audit_record r = { .event = AUDIT_RESTORE_POSTPONE,
		.outcome = AUDIT_SUCCESS,
		.generation = c->stored.generation,
		.lineage = c->stored.lineage,
		.peer = c->peer,
		.backup = c->stored.backup,
		.detail = detail };
	size_t n;

	schedule_text(local, schedule_minute(c->d->conf->restore_time), due);
	n = (size_t)snprintf(detail, sizeof(detail), "until %s (%s)", clock_utc(utc, due), local);
	if (superseded != 0)
		snprintf(detail + n, sizeof(detail) - n, "; generation %" PRIu64 ", which waited before, is forgotten",
		    superseded);
	daemon_audit(c->d, &r);
	log_info("generation %" PRIu64 " is stored; it is restored at %s%s", c->stored.generation, local,
	    superseded != 0 ? ", in place of the one that waited" : "");
	schedule_timer_set(c->hour, due);
	clone_prune(c);
	c->restore_began = 0;
	clone_fill_result(c, answer, PROTO_POSTPONED, KC_OK, "");
	answer->until = (uint64_t)due;
	clone_tell(c, answer);
	free(answer);
}

/* --- restore-now --- */

static void forget_wait(struct restore_wait *w)
{
	struct restore_wait **at = &w->clone->waiting;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	free(w);
}

static void on_gone(struct control_client *client, void *arg)
{
	(void)client;
	forget_wait(arg);
}

static json_t *now_json(const struct clone_role *c, int rc, bool restored)
{
	json_t *j = ipc_result_new(rc);

	json_object_set_new(j, "generation", json_integer((json_int_t)c->d->self.generation));
	json_object_set_new(j, "rows", json_integer((json_int_t)c->d->self.rows));
	json_object_set_new(j, "restored", json_boolean(restored));
	return j;
}

static json_t *outcome(const struct clone_role *c, const struct proto_result *answer)
{
	int code = err_from_name(answer->error);

	if (answer->status == PROTO_RESTORED || answer->status == PROTO_UNCHANGED)
		return now_json(c, KC_OK, answer->status == PROTO_RESTORED);
	return now_json(c, err_set(code == KC_OK ? KC_EFAIL : code, "%s", answer->message), false);
}

void clone_answer_waiting(struct clone_role *c, const struct proto_result *answer)
{
	while (c->waiting != NULL && answer->status != PROTO_POSTPONED) {
		struct control_client *client = c->waiting->client;

		forget_wait(c->waiting);
		control_answer(client, outcome(c, answer));
	}
}

void clone_answer_nothing(struct clone_role *c)
{
	while (c->waiting != NULL && !clone_has_stored(c)) {
		struct control_client *client = c->waiting->client;

		forget_wait(c->waiting);
		control_answer(client, now_json(c, KC_OK, false));
	}
}

void clone_progress_waiting(struct clone_role *c)
{
	json_t *p = json_pack("{s:s, s:i}", "phase", c->phase, "percent", (int)c->percent);

	for (struct restore_wait *w = c->waiting; w != NULL; w = w->next)
		control_progress(w->client, p);
	json_decref(p);
}

void clone_free_waiting(struct clone_role *c)
{
	while (c->waiting != NULL) {
		struct control_client *client = c->waiting->client;

		forget_wait(c->waiting);
		control_answer(client, ipc_result_new(err_set(KC_EDAEMON, "the daemon is ending")));
	}
}

void clone_restore_now(struct clone_role *c, struct control_client *client)
{
	const struct state_self *self = &c->d->self;
	struct restore_wait *w;

	if (self->diverged && !self->discard) {
		control_answer(client, ipc_result_new(err_set(KC_EDIVERGED, "%s", self->diverged_detail)));
		return;
	}
	if (!clone_has_stored(c) && !receive_busy(c->receive)) {
		control_answer(client, now_json(c, KC_OK, false));
		return;
	}
	w = mem_xalloc(sizeof(*w));
	w->clone = c;
	w->client = client;
	w->next = c->waiting;
	c->waiting = w;
	control_on_gone(client, on_gone, w);
	log_info("restore now: asked for %s", control_who(client));
	if (!c->restoring)
		snprintf(c->asked_by, sizeof(c->asked_by), "restore-now, asked for %s", control_who(client));
	if (clone_has_stored(c))
		keep_due(c, 0, c->stored.at);
	c->wait_ms = 0;
	clone_on_retry(c);
}
