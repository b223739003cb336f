/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait: who asked for a replication now. A request first needs a look (is there something new?) that began after it:
 * one under way may have taken its snapshot already, and what was written since would not be in it. When the outcome
 * of that look is known the request is armed: its clones are due at once, and when the last of them is settled the
 * client gets its answer, if it waits. Requests that wait for the same look share it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/mem.h"
#include "daemon/control.h"
#include "master_int.h"

struct waiter {
	struct waiter *next;
	struct master *master;
	struct control_client *client;	/* NULL: does not wait for the answer */
	struct target *only[FLEET_MAX]; /* none: all */
	size_t n;
	uint64_t look; /* the first one that sees what was there at the time of the request */
	bool armed;
	bool restore_now; /* without waiting for the clones' hours */
};

static bool concerns(const struct waiter *w, const struct target *t)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->only[i] == t)
			return true;
	return w->n == 0;
}

static void forget(struct waiter *w)
{
	struct waiter **at = &w->master->waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	free(w);
}

static void on_gone(struct control_client *c, void *arg)
{
	(void)c;
	forget(arg);
}

static json_t *clones_json(const struct waiter *w)
{
	json_t *a = json_array();

	for (const struct target *t = w->master->targets; t != NULL; t = t->next)
		if (concerns(w, t))
			json_array_append_new(a, target_json(t));
	return a;
}

/* 0 when every clone has it, or has it stored for its hour. */
static int verdict(const struct waiter *w)
{
	char text[300];
	unsigned total = 0, done = 0, held = 0;

	for (const struct target *t = w->master->targets; t != NULL; t = t->next) {
		bool has = target_has_newest(t);

		if (!concerns(w, t))
			continue;
		total++;
		done += has;
		held += !has && fleet_state(t->clone) == FLEET_HELD;
	}
	if (held_is(w->master)) {
		held_text(text, sizeof(text), w->master);
		return err_set(KC_EFAIL, "held: %s; where that is meant: --allow-deletes", text);
	}
	if (done == total)
		return KC_OK;
	if (held == 0)
		return err_set(KC_EFAIL, "%u of %u clones failed", total - done, total);
	if (done + held == total)
		return err_set(
		    KC_EFAIL, "%u of %u clones held: nothing is sent until 'keyclone clone resume'", held, total);
	return err_set(
	    KC_EFAIL, "%u of %u clones failed, %u held ('keyclone clone resume')", total - done - held, total, held);
}

static void answer(struct waiter *w, int rc)
{
	json_t *result = ipc_result_new(rc);
	struct control_client *c = w->client;

	json_object_set_new(result, "clones", clones_json(w));
	json_object_set_new(result, "generation", json_integer((json_int_t)w->master->d->self.complete));
	json_object_set_new(result, "check", json_string(w->master->d->self.last_check_result));
	forget(w);
	if (c != NULL)
		control_answer(c, result);
	else
		json_decref(result);
}

/* Before a look has found out what there is to do, the clones' states say nothing about this request. */
static void tell(struct waiter *w)
{
	const struct run *r = &w->master->run;
	bool making = w->master->making;
	json_t *p = json_pack("{s:o, s:s, s:i}", "clones", w->armed ? clones_json(w) : json_array(), "phase",
	    making     ? r->phase
	    : w->armed ? "push"
		       : "check",
	    "percent", making ? (int)r->percent : 100);

	if (w->client != NULL)
		control_progress(w->client, p);
	json_decref(p);
}

void wait_update_all(struct master *m)
{
	struct waiter *next;

	for (struct waiter *w = m->waiters; w != NULL; w = next) {
		bool over = w->armed && !m->making && !m->looking;

		next = w->next;
		for (const struct target *t = m->targets; t != NULL; t = t->next)
			over = over && (!concerns(w, t) || target_settled(t));
		if (over)
			answer(w, verdict(w));
		else
			tell(w);
	}
}

void wait_arm_all(struct master *m)
{
	for (struct waiter *w = m->waiters; w != NULL; w = w->next) {
		if (w->armed || w->look > m->look_number)
			continue;
		w->armed = true;
		for (struct target *t = m->targets; t != NULL; t = t->next) {
			if (!concerns(w, t))
				continue;
			t->awaited = true;
			t->restore_now = t->restore_now || w->restore_now;
			fleet_now(m->fleet, t->clone);
		}
	}
	master_settle_soon(m);
}

void wait_fail_all(struct master *m, int rc)
{
	char why[600];

	snprintf(why, sizeof(why), "%s", err_text(rc));
	while (m->waiters != NULL)
		answer(m->waiters, err_set(rc, "%s", why));
}

void wait_forget(struct master *m, const struct target *t)
{
	struct waiter *next;

	for (struct waiter *w = m->waiters; w != NULL; w = next) {
		size_t kept = 0;

		next = w->next;
		for (size_t i = 0; i < w->n; i++)
			if (w->only[i] != t)
				w->only[kept++] = w->only[i];
		if (kept == 0 && w->n > 0)
			answer(w, err_set(KC_ECANCELED, "%s: the clone was removed", t->name));
		else
			w->n = kept;
	}
}

void wait_free_all(struct master *m)
{
	/* The message of a failed start is not ours to replace. */
	if (m->waiters != NULL)
		wait_fail_all(m, err_set(KC_EDAEMON, "the daemon is ending"));
}

static int take_clones(struct waiter *w, const json_t *request)
{
	const json_t *list = json_object_get(request, "clones");
	size_t i;
	json_t *e;

	json_array_foreach(list, i, e) {
		const char *name = json_string_value(e);
		struct target *t = name != NULL ? target_find(w->master, name) : NULL;

		if (t == NULL)
			return err_set(KC_EUSAGE, "%s: no such clone (or several with this host: give HOST:PORT)",
			    name != NULL ? name : "?");
		if (w->n < FLEET_MAX)
			w->only[w->n++] = t;
	}
	return KC_OK;
}

void master_replicate_now(struct master *m, struct control_client *c, const json_t *request)
{
	struct waiter *w = mem_xalloc(sizeof(*w));
	int rc;

	w->master = m;
	w->client = c;
	w->restore_now = json_is_true(json_object_get(request, "restore_now"));
	rc = take_clones(w, request);
	if (rc < 0) {
		free(w);
		control_answer(c, ipc_result_new(rc));
		return;
	}
	w->next = m->waiters;
	m->waiters = w;
	control_on_gone(c, on_gone, w);
	if (json_is_true(json_object_get(request, "full")))
		m->want_full = true;
	if (json_is_true(json_object_get(request, "allow_deletes")))
		m->allow_deletes = true;
	w->look = m->look_number + 1;
	master_look(m, true);
	if (json_is_false(json_object_get(request, "wait"))) {
		json_t *result = ipc_result_new(KC_OK);

		json_object_set_new(result, "clones", clones_json(w));
		control_on_gone(c, NULL, NULL);
		w->client = NULL;
		control_answer(c, result);
	}
}
