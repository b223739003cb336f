/* SPDX-License-Identifier: Apache-2.0 */
/* worker_by_hand: a restore that an operator ordered of the running daemon. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/lineage.h"
#include "by_hand.h"
#include "worker_int.h"

struct ordered {
	struct worker *worker;
	struct worker_history history;
	char phase[32];
	int last_percent;
};

static int on_progress(void *arg, const char *phase, unsigned percent)
{
	struct ordered *o = arg;

	/* One message for each phase and each five percent; in between a sign of life. */
	if (strcmp(phase, o->phase) == 0 && (int)(percent / 5) == o->last_percent)
		return worker_alive(o->worker);
	snprintf(o->phase, sizeof(o->phase), "%s", phase);
	o->last_percent = (int)(percent / 5);
	return worker_progress(o->worker, json_pack("{s:s, s:i}", "phase", phase, "percent", (int)percent));
}

static int on_safety(void *arg, char **path)
{
	struct ordered *o = arg;

	return worker_safety_backup(path, o->worker, &o->history);
}

static int on_intent(void *arg, const struct restore_intent *i)
{
	struct ordered *o = arg;
	json_t *answer = NULL;
	int rc = worker_ask(&answer, o->worker,
	    json_pack("{s:s, s:s, s:o, s:I, s:s, s:s, s:s, s:s, s:s}", "ask", "intent", "lineage", i->lineage,
		"ancestors", lineage_json(i->ancestors), "generation", (json_int_t)i->generation, "old_digest",
		i->old_content, "digest", i->content, "schema", i->schema, "files", i->files, "own_digest", i->own));

	json_decref(answer);
	return rc;
}

static int run(json_t *result, struct by_hand *b, struct worker *w, const json_t *request)
{
	int rc = source_refresh(w->source);

	b->live = w->source;
	b->target = w->conf->keydb_path;
	b->master_key_file = w->conf->master_key_file;
	b->companions = w->companions;
	b->merge = json_is_true(json_object_get(request, "merge"));
	b->discard = json_is_true(json_object_get(request, "discard"));
	b->force = json_is_true(json_object_get(request, "force"));
	b->image.identity = w->secrets.identity;
	if (rc == KC_OK)
		rc = by_hand_run(result, b);
	w->version_known = false; /* our own commits do not move it */
	worker_base_unlogged(w);
	return rc;
}

/* The file may be a copy: messages call it what its owner does. */
static int named(int rc, const char *path, const char *name)
{
	char text[600];
	size_t n = strlen(path);

	snprintf(text, sizeof(text), "%s", err_text(rc));
	return strncmp(text, path, n) == 0 ? err_set(rc, "%s%s", name, text + n) : rc;
}

int worker_job_by_hand(json_t *result, struct worker *w, const json_t *request)
{
	struct ordered o = { .worker = w, .last_percent = -1 };
	struct by_hand b = { .safety = on_safety, .intent = on_intent, .progress = on_progress, .arg = &o };
	struct lineage_list ancestors = { 0 };
	struct sign_pins pins = { 0 };
	const char *name = "";
	int rc = worker_get_string(&b.image.file, request, "backup");

	if (rc == KC_OK)
		rc = worker_get_string(&name, request, "name");
	if (rc == KC_OK)
		rc = worker_get_string(&b.image.travel, request, "travel");
	if (rc == KC_OK)
		rc = worker_get_string(&b.lineage, request, "lineage");
	if (rc == KC_OK)
		rc = worker_get_number(&o.history.generation, request, "generation");
	if (rc == KC_OK)
		rc = lineage_from_json(&ancestors, json_object_get(request, "ancestors"));
	if (rc == KC_OK)
		rc = by_hand_pins(&pins, &w->secrets);
	b.ancestors = &ancestors;
	b.image.pins = &pins;
	/* What a clone has beside its master's rows is of no history that could be followed. */
	o.history.lineage = w->conf->role == CONF_MASTER && b.lineage != NULL ? b.lineage : "";
	o.history.ancestors = &ancestors;
	source_set_alive(w->source, worker_alive, w);
	if (rc == KC_OK)
		rc = run(result, &b, w, request);
	if (rc < 0 && b.image.file != NULL)
		rc = named(rc, b.image.file, name);
	sign_pins_fini(&pins);
	return rc;
}
