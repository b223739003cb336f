/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_order: one restore by hand at a time.
 *
 *   asked → role held (audit: started) → quiet? → job → written? → state → released, audited, answered
 *                                                  └ the worker died: what it left is found out first
 */
#include "restore_order.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/alert.h"
#include "daemon/by_hand.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "daemon/hook.h"
#include "daemon/master.h"

#define QUIET_MS 50

struct order {
	struct daemon *d;
	struct control_client *client; /* NULL: it left, or nobody asked (at the start) */
	struct loop_timer *wait;
	json_t *request;
	uint64_t began;
	char name[256];
	int broken; /* how the worker ended, while what it left is found out */
	char broken_why[300];
};

static void client_gone(struct control_client *client, void *arg)
{
	struct order *o = arg;

	(void)client;
	o->client = NULL;
}

static void order_free(struct order *o)
{
	loop_timer_free(o->wait);
	json_decref(o->request);
	free(o);
}

static void release(struct order *o, bool changed)
{
	struct daemon *d = o->d;

	d->order = NULL;
	if (d->master != NULL)
		master_release(d->master, changed);
	else
		clone_release(d->clone, changed);
}

/* The record of the end, the answer, and everybody goes on. */
static void finish(struct order *o, int rc, const json_t *result)
{
	struct audit_record r = { .event = AUDIT_BACKUP_RESTORE,
		.backup = o->name,
		.generation = member_u64(result, "generation"),
		.lineage = json_string_value(json_object_get(result, "lineage")),
		.duration_ms = loop_now(o->d->loop) - o->began + 1 };
	bool changed = rc == KC_OK && !json_is_true(json_object_get(result, "same"));
	char detail[200] = "", why[600];
	json_t *answer;

	STR_COPY(why, err_text(rc));
	if (rc == KC_OK && json_object_get(result, "merged") != NULL)
		snprintf(detail, sizeof(detail), "merged: %llu rows added, %llu differ and were left alone",
		    (unsigned long long)member_u64(result, "added"), (unsigned long long)member_u64(result, "differ"));
	else if (rc == KC_OK)
		snprintf(detail, sizeof(detail), "%llu rows%s", (unsigned long long)member_u64(result, "rows"),
		    changed ? "" : ", the database had them already");
	r.detail = rc == KC_OK ? detail : NULL;
	audit_result(o->d->audit, &r, rc == KC_OK ? KC_OK : err_set(rc, "%s", why));
	if (rc == KC_OK)
		log_info("%s was restored by hand: %s", o->name, detail);
	else
		log_info("%s was not restored: %s", o->name, why);
	if (o->client != NULL) {
		answer = ipc_result_new(rc == KC_OK ? KC_OK : err_set(rc, "%s", why));
		json_object_update_missing(answer, (json_t *)result);
		control_answer(o->client, answer);
	}
	release(o, changed);
	order_free(o);
}

/* It is in the database: so it is what this machine has. A state database that cannot be written ends the daemon; the
 * intent is still there, and the next start goes on. */
static int applied(struct order *o, const struct state_intent *i, json_t *result)
{
	struct daemon *d = o->d;
	int rc = by_hand_applied(&d->self, d->state, i, d->conf);

	if (rc == KC_OK)
		rc = daemon_set_lineage(d);
	if (rc < 0) {
		log_err("state database: %s", err_text(rc));
		daemon_end(d, err_exit_status(rc));
		return rc;
	}
	if (d->master != NULL) {
		json_object_set_new(result, "child_lineage", json_string(d->self.lineage));
		log_info("lineage %.8s begins, from generation %llu of %.8s", d->self.lineage,
		    (unsigned long long)i->generation, i->lineage);
	} else {
		alert_clear(d, ALERT_DIVERGED, "", "restored by hand");
		hook_restored(d, "by hand", 0);
	}
	return KC_OK;
}

static void on_resolved(int rc, const json_t *found, void *arg)
{
	struct order *o = arg;
	struct state_intent i;
	json_t *result = json_object();

	if (rc == KC_ECANCELED && o->d->ending) {
		json_decref(result);
		order_free(o);
		return;
	}
	if (rc == KC_OK)
		rc = state_get_intent(&i, o->d->state);
	if (rc < 0) {
		log_err("what an interrupted restore left cannot be found out: %s", err_text(rc));
	} else if (strcmp(member_text(found, "which"), "new") == 0) {
		json_object_set_new(result, "lineage", json_string(i.lineage));
		json_object_set_new(result, "generation", json_integer((json_int_t)i.generation));
		rc = applied(o, &i, result);
	} else {
		rc = state_clear_intent(o->d->state);
		if (rc == KC_OK)
			rc = o->broken < 0 ? err_set(o->broken, "%s", o->broken_why)
					   : err_set(KC_ECANCELED, "interrupted before the database changed");
	}
	finish(o, rc, result);
	json_decref(result);
}

static void resolve(struct order *o, const struct state_intent *i)
{
	jobs_add_first(o->d->jobs,
	    json_pack("{s:s, s:s, s:s, s:s}", "verb", "resolve", "old_digest", i->old_digest, "digest",
		i->own_digest[0] != '\0' ? i->own_digest : i->digest, "schema", i->schema),
	    NULL, NULL, on_resolved, o);
}

static void on_progress(const json_t *p, void *arg)
{
	struct order *o = arg;

	if (o->client != NULL && json_object_get(p, "phase") != NULL)
		control_progress(o->client, p);
}

static json_t *on_ask(const json_t *ask, void *arg)
{
	struct order *o = arg;
	struct state_intent i;
	struct lineage_list ancestors;
	struct restore_intent r = { .lineage = member_text(ask, "lineage"),
		.ancestors = &ancestors,
		.generation = member_u64(ask, "generation"),
		.old_content = member_text(ask, "old_digest"),
		.content = member_text(ask, "digest"),
		.schema = member_text(ask, "schema"),
		.files = member_text(ask, "files"),
		.own = member_text(ask, "own_digest") };
	int rc;

	if (strcmp(member_text(ask, "ask"), "intent") != 0)
		return NULL;
	rc = lineage_from_json(&ancestors, json_object_get(ask, "ancestors"));
	if (rc == KC_OK) {
		by_hand_intent(&i, &o->d->self, &r, o->name);
		rc = state_put_intent(o->d->state, &i);
	}
	return ipc_result_new(rc);
}

static void on_done(int rc, const json_t *done, void *arg)
{
	struct order *o = arg;
	struct state_intent i;
	json_t *result;

	if (rc == KC_ECANCELED && o->d->ending) {
		order_free(o);
		return;
	}
	if ((rc == KC_EWORKER || rc == KC_ETIMEOUT) && state_get_intent(&i, o->d->state) == KC_OK) {
		/* Whether it wrote is found out before anything else. */
		o->broken = rc;
		STR_COPY(o->broken_why, err_text(rc));
		resolve(o, &i);
		return;
	}
	result = json_deep_copy(done);
	if (rc == KC_OK && state_get_intent(&i, o->d->state) == KC_OK)
		rc = applied(o, &i, result);
	else if (rc < 0)
		state_clear_intent(o->d->state);
	finish(o, rc, result);
	json_decref(result);
}

static void when_quiet(void *arg)
{
	struct order *o = arg;
	const struct state_self *self = &o->d->self;

	if (o->d->master != NULL && !master_is_still(o->d->master)) {
		loop_timer_set(o->wait, QUIET_MS);
		return;
	}
	json_object_set_new(o->request, "verb", json_string("by-hand"));
	json_object_set(o->request, "backup", json_object_get(o->request, "path"));
	json_object_set_new(o->request, "lineage", json_string(self->lineage));
	json_object_set_new(o->request, "ancestors", lineage_json(&o->d->ancestors));
	json_object_set_new(o->request, "generation", json_integer((json_int_t)self->complete));
	jobs_add(o->d->jobs, json_incref(o->request), on_progress, on_ask, on_done, o);
}

static struct order *order_new(struct daemon *d)
{
	struct order *o = mem_xalloc(sizeof(*o));

	o->d = d;
	o->began = loop_now(d->loop);
	o->wait = loop_timer_new(d->loop, when_quiet, o);
	d->order = o;
	return o;
}

static int hold(struct daemon *d)
{
	if (d->order != NULL)
		return err_set(KC_EBUSY, "another restore by hand is under way");
	if (d->clone != NULL)
		return clone_keep_still(d->clone);
	master_keep_still(d->master);
	return KC_OK;
}

void restore_order(struct daemon *d, struct control_client *client, const json_t *request)
{
	const char *name = member_text(request, "name");
	struct audit_record r = {
		.event = AUDIT_BACKUP_RESTORE, .outcome = AUDIT_STARTED, .backup = name, .detail = control_who(client)
	};
	struct order *o;
	int rc = member_text(request, "path")[0] != '\0' && member_text(request, "travel")[0] != '\0'
		     ? hold(d)
		     : err_set(KC_EUSAGE, "the request names no backup");

	if (rc < 0) {
		control_answer(client, ipc_result_new(rc));
		return;
	}
	o = order_new(d);
	STR_COPY(o->name, name);
	o->request = json_deep_copy(request);
	rc = daemon_audit(d, &r);
	if (rc < 0) {
		control_answer(client, ipc_result_new(rc));
		release(o, false);
		order_free(o);
		return;
	}
	o->client = client;
	control_on_gone(client, client_gone, o);
	loop_timer_set(o->wait, 0);
}

bool restore_order_resolve(struct daemon *d)
{
	struct state_intent i;
	struct order *o;

	if (state_get_intent(&i, d->state) < 0)
		return false;
	master_keep_still(d->master);
	o = order_new(d);
	STR_COPY(o->name, i.backup);
	resolve(o, &i);
	return true;
}
