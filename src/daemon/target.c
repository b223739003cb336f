/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target: the clones as the master keeps them: the list of the configuration, what the state database knows of each,
 * and what status says. Their sessions are in target_push.c.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/alert.h"
#include "daemon/revocation.h"
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
	s->discard = t->discard;
	STR_COPY(s->recipient, t->recipient);
	STR_COPY(s->digest, t->digest);
	s->held = r->held;
	s->stopped = r->stopped;
	STR_COPY(s->certificate, t->certificate);
	STR_COPY(s->serial, t->serial);
	STR_COPY(s->cn, t->cn);
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
	r.held = s->held;
	r.stopped = s->stopped;
	STR_COPY(r.last_error, s->last_error);
	t->discard = s->discard;
	STR_COPY(t->recipient, s->recipient);
	STR_COPY(t->digest, s->digest);
	STR_COPY(t->certificate, s->certificate);
	STR_COPY(t->serial, s->serial);
	STR_COPY(t->cn, s->cn);
	fleet_restore(t->clone, &r);
}

/* Has it come to anything that the state database does not say? */
static bool has_moved(struct state_clone *now, struct target *t)
{
	if (!t->dirty)
		return false;
	to_state(now, t);
	t->dirty = t->log_moved || t->receipt.receipt[0] != '\0' || memcmp(now, &t->kept, sizeof(*now)) != 0;
	return t->dirty;
}

int target_put_dirty(struct master *m)
{
	int rc = KC_OK;

	for (struct target *t = m->targets; rc == KC_OK && t != NULL; t = t->next) {
		struct state_clone s;

		if (!has_moved(&s, t))
			continue;
		rc = state_put_clone(m->d->state, &s);
		t->kept = s;
		if (rc == KC_OK && t->receipt.receipt[0] != '\0')
			rc = state_put_receipt(m->d->state, &t->receipt);
		t->receipt.receipt[0] = '\0';
		if (rc == KC_OK && t->log_moved)
			rc = state_put_peer_log(m->d->state, &t->log);
		t->log_moved = false;
		t->dirty = rc < 0;
	}
	return rc;
}

int target_store_dirty(struct master *m)
{
	bool any = false;
	int rc;

	for (struct target *t = m->targets; t != NULL; t = t->next)
		any = any || t->dirty;
	if (!any)
		return KC_OK;
	rc = state_begin(m->d->state);
	if (rc == KC_OK)
		rc = target_put_dirty(m);
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
		/* Busy with what it was sent before is a state of affairs, not a fault. */
		(r->last_code == KC_EAGAIN ? log_info : log_warn)(
		    "clone %s: %s: %s", t->name, fleet_state_name(to), error);
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
	if (from != to && t->master->started) {
		say_state(t, to, r);
		target_alert(t, to);
	}
	master_settle_soon(arg);
}

/* Nothing more will happen for the present generation without a new event: a retry is such an event. */
bool target_settled(const struct target *t)
{
	enum fleet_state s = fleet_state(t->clone);

	return !fleet_in_attempt(t->clone) && (s == FLEET_HELD || (!t->awaited && s != FLEET_BEHIND));
}

/* Whatever the task does: applied, or stored for its hour. */
bool target_has_newest(const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);

	return fleet_state(t->clone) == FLEET_POSTPONED ||
	       (!r->failing && r->applied >= fleet_generation(t->master->fleet));
}

bool target_has_applied(const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);

	return !r->failing && r->applied >= fleet_generation(t->master->fleet);
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
	if ((rc == KC_OK || rc == KC_ENOENT) && state_get_peer_log(&t->log, m->d->state, host, port) < 0) {
		STR_COPY(t->log.host, host);
		t->log.port = port;
	}
	while (*at != NULL)
		at = &(*at)->next;
	*at = t;
	return rc == KC_ENOENT ? KC_OK : rc;
}

static void drop(struct target *t)
{
	push_free(t->push);
	fleet_set_arg(t->clone, NULL);
	json_decref(t->warnings);
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
		target_over(t, KC_ECANCELED, "the daemon ended");
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

/* It has left the list. A certificate that others of the fleet show too stays good. */
static void revoke(struct master *m, const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);
	json_t *serials = json_array();
	int rc = state_issued_to(serials, m->d->state, r->host, r->port);

	if (rc < 0)
		log_err("the certificates of the removed clone %s are not revoked: %s", t->name, err_text(rc));
	for (size_t i = 0; i < json_array_size(serials); i++)
		revocation_revoke(m->d, json_string_value(json_array_get(serials, i)), t->name);
	json_decref(serials);
}

/* The configuration has another list of clones: removed ones are forgotten, new ones join. */
int target_reconfigure(struct master *m)
{
	const struct conf *c = m->d->conf;
	bool removed = false;
	int rc = KC_OK;

	for (struct target **at = &m->targets; *at != NULL;) {
		struct target *t = *at;
		const struct fleet_record *r = fleet_record(t->clone);
		struct audit_record a = { .event = AUDIT_CLONE_REMOVED, .outcome = AUDIT_SUCCESS, .peer = t->name };

		if (configured(c, t)) {
			at = &t->next;
			continue;
		}
		target_over(t, KC_ECANCELED, "the clone was removed");
		wait_forget(m, t);
		/* It has the key of the newest backup: the next one has another. */
		removed = removed || t->recipient[0] != '\0';
		*at = t->next;
		revoke(m, t);
		state_forget_clone(m->d->state, r->host, r->port);
		push_free(t->push);
		fleet_remove(t->clone);
		alert_forget_clone(m->d, t->name);
		daemon_audit(m->d, &a);
		json_decref(t->warnings);
		free(t);
	}
	if (removed) {
		m->d->self.want_full = true;
		m->made_anew = false; /* the one under way may have been its own as well */
		rc = daemon_save(m->d);
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
	if (r->how == FLEET_FAIL_UNREACHABLE)
		return msg_code(MSG_CLONE_UNREACHABLE);
	/* Of all that a side refuses the other for, what comes by itself, to every machine. */
	if (r->last_code == KC_EREFUSED && strncmp(r->last_error, "certificate expired ", 20) == 0)
		return msg_code(MSG_PEER_EXPIRED);
	return err_msg_code(r->last_code);
}

json_t *target_json(const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);
	/* What went wrong before has nothing to do with a task that was put down there. */
	bool down = fleet_state(t->clone) == FLEET_STOPPED && r->stopped;
	const char *error = down ? TARGET_DOWN : r->last_error;
	json_t *j = json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:i, s:i}", "host", r->host, "port", (int)r->port,
	    "state", fleet_state_name(fleet_state(t->clone)), "offered", (json_int_t)r->offered, "stored",
	    (json_int_t)r->stored, "applied", (json_int_t)r->applied, "lag_seconds",
	    (json_int_t)fleet_lag_seconds(t->clone), "clock_offset_seconds", (int)r->clock_offset, "percent",
	    (int)fleet_percent(t->clone));

	json_object_set_new(j, "held", json_boolean(r->held));
	json_object_set_new(j, "stopped", json_boolean(r->stopped));
	json_object_set_new(j, "behind",
	    json_integer((json_int_t)(fleet_generation(t->master->fleet) > r->applied
					  ? fleet_generation(t->master->fleet) - r->applied
					  : 0)));
	json_object_set_new(j, "applied_at", member_time(r->applied_at));
	json_object_set_new(j, "last_success", member_time(r->last_success));
	json_object_set_new(j, "last_error", error[0] != '\0' ? json_string(error) : json_null());
	json_object_set_new(j, "last_error_code",
	    error[0] == '\0' ? json_null() : json_string(down ? err_msg_code(KC_EBUSY) : error_code(r)));
	json_object_set_new(j, "retry_at", member_time(fleet_retry_at(t->clone)));
	json_object_set_new(j, "postponed_until", member_time(r->postponed_until));
	json_object_set_new(j, "certificate_not_after", member_time(r->not_after));
	json_object_set_new(j, "warnings", t->warnings != NULL ? json_incref(t->warnings) : json_array());
	return j;
}
