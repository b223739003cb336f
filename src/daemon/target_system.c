/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target_system: the system backup to one clone, over the session that is there, when it has nothing else to do. The
 * fleet knows nothing of it: a clone that lacks it lacks no keys.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/password.h"
#include "master_int.h"

/* After a refusal. */
#define PAUSE_MS 60000
/* The version of the protocol that has it. */
#define SINCE_VERSION 2

static bool lacks_it(const struct target *t)
{
	const struct master *m = t->master;
	const struct proto_hello *h;

	if (m->system == NULL || t->system != NULL || m->d->self.stopped || m->d->ending ||
	    fleet_record(t->clone)->held || fleet_record(t->clone)->stopped || fleet_in_attempt(t->clone) ||
	    t->push == NULL || push_state(t->push) != PUSH_IDLE)
		return false;
	h = push_peer_hello(t->push);
	return h != NULL && h->version >= SINCE_VERSION && strcmp(t->system_has, m->system->name) != 0 &&
	       loop_now(m->d->loop) >= t->system_not_before;
}

static int offer(struct target *t)
{
	struct master *m = t->master;
	const struct offering *o = m->system;
	struct push_file f = { .path = o->path, .valid = o->valid };
	int rc;

	STR_COPY(f.offer.lineage, m->d->self.lineage);
	offering_describe(&f.offer, o);
	f.offer.kind = PROTO_SYSTEM;
	f.offer.room = o->end.size + o->header_size;
	f.offer.password_since = (uint64_t)password_since(m->d, o->name, false);
	rc = push_offer(t->push, &f);
	return rc < 0 ? rc : push_end(t->push, &o->end);
}

static void audit(const struct target *t, enum audit_event event, int rc, const char *text)
{
	struct audit_record r = { .event = event,
		.outcome = AUDIT_STARTED,
		.lineage = t->master->d->self.lineage,
		.peer = t->name,
		.backup = t->system->name,
		.detail = "system backup" };

	if (event == AUDIT_PUSH_START) {
		daemon_audit(t->master->d, &r);
		return;
	}
	r.bytes = rc == KC_OK ? t->system->end.size : 0;
	r.duration_ms = loop_now(t->master->d->loop) - t->system_began + 1;
	audit_result(t->master->d->audit, &r, rc < 0 ? err_set(rc, "%s", text) : KC_OK);
}

void target_system_due(struct target *t)
{
	int rc;

	if (!lacks_it(t))
		return;
	t->system = offering_ref(t->master->system);
	t->system_began = loop_now(t->master->d->loop);
	audit(t, AUDIT_PUSH_START, KC_OK, NULL);
	rc = offer(t);
	if (rc < 0)
		target_system_over(t, rc, err_text(rc));
	/* Somebody removed it: make another. */
	if (rc == KC_ENOENT)
		master_system_look(t->master, true);
}

bool target_system_over(struct target *t, int rc, const char *text)
{
	char why[400];

	if (t->system == NULL)
		return false;
	STR_COPY(why, text);
	audit(t, AUDIT_PUSH_END, rc, why);
	if (rc == KC_OK)
		STR_COPY(t->system_has, t->system->name);
	else if (rc != KC_EAGAIN && rc != KC_ECANCELED)
		log_info("clone %s: it did not take the system backup: %s", t->name, why);
	t->system_not_before = rc == KC_OK ? 0 : loop_now(t->master->d->loop) + PAUSE_MS;
	offering_unref(t->system);
	t->system = NULL;
	return true;
}

bool target_system_declined(struct target *t, const struct proto_decline *d)
{
	const char *why = d->message[0] != '\0' ? d->message : proto_reason_name(d->reason);

	return target_system_over(t, d->reason == PROTO_R_HAVE ? KC_OK : KC_EREFUSED, why);
}

bool target_system_result(struct target *t, const struct proto_result *r)
{
	int code = err_from_name(r->error);

	if (r->status == PROTO_STORED)
		return target_system_over(t, KC_OK, NULL);
	return target_system_over(t, code == KC_OK ? KC_EFAIL : code, r->message);
}

void target_system_hello(struct target *t, const struct proto_hello *h)
{
	struct state_system sys = { 0 };

	STR_COPY(t->system_has, h->system_file);
	/* This machine was put back to what it was before: numbers that were given once are not given again. */
	if (state_get_system(&sys, t->master->d->state) == KC_OK && h->system_generation > sys.generation)
		master_system_overtaken(t->master, h->system_generation);
}
