/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hold: what an operator decides of one clone. To one that is held no backup is sent until it is resumed: what is being
 * sent is broken off and goes on where it was after the resume; what was sent wholly is restored, and its result is
 * waited for. The session ends, none is made but for a rotation of certificates, which would leave it behind. One that
 * has diverged may be told to let its own rows go.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/host.h"
#include "base/ipc.h"
#include "base/member.h"
#include "daemon/control.h"
#include "master_int.h"

void hold_rest(struct target *t)
{
	enum push_state s = t->push != NULL ? push_state(t->push) : PUSH_OVER;

	if (!fleet_record(t->clone)->held)
		return;
	if (s == PUSH_CONNECTING || s == PUSH_OFFERED || s == PUSH_SENDING)
		push_cancel(t->push, err_set(KC_ECANCELED, "an operator holds this clone"));
	else if (s == PUSH_IDLE && t->waiting)
		push_cancel(t->push, err_set(KC_ECANCELED, "an operator holds this clone"));
	else if (s == PUSH_IDLE)
		push_stop(t->push);
}

static int change(struct target *t, const char *who, bool held)
{
	struct audit_record r = { .event = held ? AUDIT_CLONE_HELD : AUDIT_CLONE_RESUMED,
		.outcome = AUDIT_SUCCESS,
		.peer = t->name,
		.detail = who };
	int rc;

	if (fleet_record(t->clone)->held == held)
		return KC_OK;
	rc = daemon_audit(t->master->d, &r);
	if (rc < 0)
		return rc;
	fleet_hold(t->clone, held);
	t->dirty = true;
	rc = target_store_dirty(t->master);
	hold_rest(t);
	master_settle_soon(t->master);
	return rc;
}

void master_hold(struct master *m, struct control_client *c, const json_t *request, bool held)
{
	const char *name = json_string_value(json_object_get(request, "clone"));
	struct target *t = name != NULL ? target_find(m, name) : NULL;
	bool was = false;
	json_t *result;
	int rc;

	if (t == NULL) {
		rc = err_set(KC_EUSAGE, "%s: no such clone (or several with this host: give HOST:PORT)",
		    name != NULL ? name : "?");
	} else {
		was = fleet_record(t->clone)->held;
		rc = change(t, control_who(c), held);
	}
	result = ipc_result_new(rc);
	json_object_set_new(result, "was_held", json_boolean(was));
	control_answer(c, result);
}

static int discard(struct target *t, const char *who)
{
	struct audit_record r = {
		.event = AUDIT_CLONE_DISCARDED, .outcome = AUDIT_STARTED, .peer = t->name, .detail = who
	};
	int rc;

	if (fleet_state(t->clone) != FLEET_DIVERGED)
		return err_set(KC_EFAIL, "%s has not diverged: there is nothing to discard", t->name);
	rc = daemon_audit(t->master->d, &r);
	if (rc < 0)
		return rc;
	t->discard = t->dirty = true;
	rc = target_store_dirty(t->master);
	fleet_now(t->master->fleet, t->clone);
	master_settle_soon(t->master);
	return rc;
}

void master_discard(struct master *m, struct control_client *c, const json_t *request)
{
	const char *name = member_text(request, "clone");
	struct target *t = target_find(m, name);

	control_answer(c,
	    ipc_result_new(
		t != NULL ? discard(t, control_who(c))
			  : err_set(KC_EUSAGE, "%s: no such clone (or several with this host: give HOST:PORT)", name)));
}
