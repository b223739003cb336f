/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target_backup: what a backup's beginning, growth and end mean for the clones that wait for it or are sent it, and
 * what ends their sessions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/mem.h"
#include "base/str.h"
#include "master_int.h"

void target_offer_all(struct master *m)
{
	for (struct target *t = m->targets; t != NULL; t = t->next) {
		if (!t->waiting)
			continue;
		t->waiting = false;
		if (t->push != NULL && push_state(t->push) == PUSH_IDLE)
			target_decide(t);
	}
}

void target_grow_all(struct master *m)
{
	for (struct target *t = m->targets; t != NULL; t = t->next)
		if (t->push != NULL && t->sent == m->out)
			push_grow(t->push, m->out->valid);
}

/* Everything of its file is known, but it was not told yet. */
static bool lacks_end(const struct target *t)
{
	enum push_state s = t->push != NULL ? push_state(t->push) : PUSH_OVER;

	return t->sent != NULL && t->sent->complete && (s == PUSH_OFFERED || s == PUSH_SENDING) &&
	       push_needs_end(t->push);
}

/* `travel` NULL: an increment, which is opened by what came with its full. */
static void end_one(struct target *t, const char *travel)
{
	struct proto_end *end = mem_xalloc(sizeof(*end));
	int rc = KC_OK;

	*end = t->sent->end;
	if (travel != NULL)
		rc = base64_decode(end->travel, &end->travel_size, sizeof(end->travel), travel, strlen(travel));
	if (rc == KC_OK)
		rc = push_end(t->push, end);
	if (rc < 0)
		push_cancel(t->push, rc);
	free(end);
}

static void on_wrapped(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;
	const json_t *headers = json_object_get(result, "headers"), *refused = json_object_get(result, "refused");
	struct offering *file = m->wrapping;
	char why[400];

	STR_COPY(why, err_text(rc));
	m->wrapping = NULL;
	for (struct target *t = m->targets; t != NULL; t = t->next) {
		const char *travel = json_string_value(json_object_get(headers, t->name));
		const json_t *reason = json_object_get(refused, t->name);

		if (t->sent != file || !lacks_end(t))
			continue;
		if (rc < 0)
			push_cancel(t->push, err_set(rc, "%s", why));
		else if (travel != NULL)
			end_one(t, travel);
		else if (reason != NULL) /* this one alone; else it came while the job ran */
			push_cancel(t->push, ipc_result_code(reason));
	}
	offering_unref(file);
	if (!m->d->ending)
		target_end_all(m); /* who came while the job ran */
}

/* Of fulls one job for all clones that are sent the same file; for another file when that is done. */
void target_end_all(struct master *m)
{
	json_t *clones = json_array();
	struct offering *file = NULL;

	for (struct target *t = m->targets; t != NULL; t = t->next)
		if (lacks_end(t) && t->sent->kind == PROTO_INCREMENTAL)
			end_one(t, NULL);

	for (struct target *t = m->targets; m->wrapping == NULL && t != NULL; t = t->next) {
		if (!lacks_end(t) || (file != NULL && t->sent != file))
			continue;
		file = t->sent;
		json_array_append_new(clones, json_pack("{s:s, s:s}", "clone", t->name, "recipient", t->recipient));
	}
	if (file != NULL) {
		m->wrapping = offering_ref(file);
		jobs_add_first(m->d->jobs,
		    json_pack("{s:s, s:s, s:O}", "verb", "wrap", "backup", file->path, "clones", clones), NULL, NULL,
		    on_wrapped, m);
	}
	json_decref(clones);
}

void target_cancel_all(struct master *m, const struct offering *o, int rc)
{
	char why[400];

	STR_COPY(why, err_text(rc));
	for (struct target *t = m->targets; t != NULL; t = t->next)
		if (o != NULL && t->sent == o && t->push != NULL)
			push_cancel(t->push, err_set(rc, "%s", why));
}

void target_renew_all(struct master *m)
{
	for (struct target *t = m->targets; t != NULL; t = t->next)
		if (t->push != NULL)
			push_stop(t->push);
}

void target_greet_due(struct target *t)
{
	enum push_state s = t->push != NULL ? push_state(t->push) : PUSH_OVER;

	if (!t->greet || fleet_in_attempt(t->clone))
		return;
	t->greet = false;
	if (s == PUSH_IDLE)
		push_stop(t->push);
	fleet_greet(t->clone);
}

void target_greet_all(struct master *m)
{
	for (struct target *t = m->targets; t != NULL; t = t->next)
		t->greet = true;
	master_settle_soon(m);
}
