/* SPDX-License-Identifier: Apache-2.0 */
/* worker_restore: the clone's jobs: restore a stored backup, resolve an intent after a crash, list diverged rows. */
#include <stdlib.h>
#include <string.h>

#include "backup/restore.h"
#include "backup/restore_files.h"
#include "backup/staging.h"
#include "backup/store.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/member.h"
#include "by_hand.h"
#include "worker_int.h"

struct restoring {
	struct worker *worker;
	struct sign_pins pins;
	int last_percent;
	uint64_t said_at; /* monotonic; or when it began */
};

#define SAY_MIN 200 /* ms */

static int on_progress(void *arg, enum restore_phase phase, unsigned percent)
{
	struct restoring *r = arg;

	/* One message for each phase and each five percent, none for what is over in an instant; in between a sign of
	 * life. */
	if ((int)(phase * 1000 + percent / 5) == r->last_percent || clock_ms() - r->said_at < SAY_MIN)
		return worker_alive(r->worker);
	r->said_at = clock_ms();
	r->last_percent = (int)(phase * 1000 + percent / 5);
	return worker_progress(
	    r->worker, json_pack("{s:s, s:i}", "phase", restore_phase_name(phase), "percent", (int)percent));
}

static int pin_first(struct restoring *r)
{
	struct sign_pins have;
	bool added;
	int rc = sign_pins_load(&have, r->worker->secrets.signers);

	if (rc == KC_OK && have.count == 0)
		rc = sign_pin_add(&added, r->worker->secrets.signers, &r->pins.pins[0].pub, r->pins.pins[0].comment);
	sign_pins_fini(&have);
	return rc;
}

/* The image is proved, nothing is written yet: the last chance for anything to fail. */
static int on_intent(void *arg, const struct restore_intent *i)
{
	struct restoring *r = arg;
	json_t *answer = NULL;
	int rc = pin_first(r);

	if (rc == KC_OK)
		rc = worker_ask(&answer, r->worker,
		    json_pack("{s:s, s:s, s:I, s:o, s:I, s:s, s:s, s:s, s:s, s:s}", "ask", "intent", "lineage",
			i->lineage, "chain", (json_int_t)i->chain, "ancestors", lineage_json(i->ancestors),
			"generation", (json_int_t)i->generation, "old_digest", i->old_content, "digest", i->content,
			"schema", i->schema, "files", i->files, "own_digest", i->own));
	json_decref(answer);
	return rc;
}

/* A backup of what is about to be discarded, for this machine's identity and, where there is one, the password. */
static int on_safety(void *arg)
{
	struct restoring *r = arg;

	return worker_safety_backup(NULL, r->worker, NULL);
}

/* A full that is proved: what opens the increments that will follow it is kept before it is restored. */
static int on_chain_key(void *arg, const struct manifest *m, const struct age_identity *identity)
{
	struct restoring *r = arg;
	struct worker *w = r->worker;
	int rc = chain_key_save(&w->secrets, m->lineage, m->generation, identity);

	if (rc == KC_OK)
		chain_key_prune(&w->secrets, w->conf->backup_dir, m->lineage, m->generation);
	return rc;
}

/* Of an increment: what its full has brought. */
static int open_chain(struct age_identity **key, struct restoring *r, const json_t *request, const char *lineage)
{
	uint64_t chain = member_u64(request, "chain");
	int rc = chain != 0 ? chain_key_load(key, &r->worker->secrets, lineage, chain) : KC_OK;

	return rc == KC_ENOENT ? err_set(KC_ENEEDFULL, "the key that opens it is not here") : rc;
}

static int open_pins(struct restoring *r, const json_t *request)
{
	struct worker *w = r->worker;
	const char *offered = json_string_value(json_object_get(request, "signer"));
	struct sign_public pub;
	int rc = sign_pins_load(&r->pins, w->secrets.signers);
	struct sign_pin *only;

	if (rc < 0 || r->pins.count > 0 || offered == NULL || offered[0] == '\0')
		return rc;
	/* First full ever: the key that the authenticated master names; pinned once its backup was proved with it. */
	rc = sign_public_parse(&pub, offered, strlen(offered));
	if (rc < 0)
		return rc;
	only = mem_xcalloc(1, sizeof(*only));
	only->pub = pub;
	only->comment = mem_xstrdup("pinned with the first full backup");
	r->pins.pins = only;
	r->pins.count = 1;
	return KC_OK;
}

static void set_image(struct image_options *o, struct restoring *r, const char *file, const char *travel)
{
	o->file = file;
	o->travel = travel;
	o->identity = r->worker->secrets.identity;
	o->pins = &r->pins;
}

static void set_diverged(json_t *result, const struct diverged_list *l)
{
	char *text = diverged_list_text(l);

	json_object_set_new(result, "rows_here", by_hand_rows(l));
	json_object_set_new(result, "only_here", json_integer((json_int_t)(l->live_only - l->changed)));
	json_object_set_new(result, "changed", json_integer((json_int_t)l->changed));
	json_object_set_new(result, "only_master", json_integer((json_int_t)l->other_only));
	json_object_set_new(result, "diverged", json_string(text));
	free(text);
}

static void set_result(json_t *result, const struct restore_result *r)
{
	json_object_set_new(result, "same", json_boolean(r->same));
	json_object_set_new(result, "lineage", json_string(r->lineage));
	json_object_set_new(result, "ancestors", lineage_json(&r->ancestors));
	json_object_set_new(result, "generation", json_integer((json_int_t)r->generation));
	json_object_set_new(result, "digest", json_string(r->content));
	json_object_set_new(result, "schema", json_string(r->schema));
	json_object_set_new(result, "files", json_string(r->files));
	json_object_set_new(result, "own_digest", json_string(r->own));
	json_object_set_new(result, "rows", json_integer((json_int_t)r->rows));
	json_object_set_new(result, "chain", json_integer((json_int_t)r->chain));
	if (r->changes[0] != '\0')
		json_object_set_new(result, "changes", json_string(r->changes));
	if (r->warning != NULL)
		json_object_set_new(result, "warning", json_string(r->warning));
	json_object_set_new(result, "timings",
	    json_pack("{s:i, s:i, s:i, s:i}", "open_ms", (int)r->open_ms, "lock_ms", (int)r->lock_ms, "write_ms",
		(int)r->write_ms, "checkpoint_ms", (int)r->checkpoint_ms));
}

/* The digest of what was last applied, as it is without the tables that are local by now. */
static int count_applied(char digest[SOURCE_DIGEST_LEN + 1], struct restoring *r, const json_t *request)
{
	const char *file = json_string_value(json_object_get(request, "applied_backup"));
	struct image_options o = { 0 };
	struct image *img = NULL;
	char *staging = NULL;
	int rc = file != NULL ? staging_parent(&staging, r->worker->conf->keydb_path)
			      : err_set(KC_ENOENT, "replication.LocalTables was changed, and the backup that was last "
						   "restored is no longer here");

	if (rc == KC_OK) {
		set_image(&o, r, file, json_string_value(json_object_get(request, "applied_travel")));
		o.staging = staging;
		rc = image_open(&img, &o);
	}
	if (rc == KC_OK)
		rc = source_expect(digest, r->worker->source, image_database(img));
	image_close(img);
	free(staging);
	return rc;
}

/* What is followed here. */
static int get_own(struct restore_options *o, struct lineage_list *ancestors, const json_t *request)
{
	int rc = worker_get_string(&o->own_lineage, request, "own_lineage");

	if (rc == KC_OK)
		rc = worker_get_number(&o->own_generation, request, "own_generation");
	if (rc == KC_OK)
		rc = lineage_from_json(ancestors, json_object_get(request, "own_ancestors"));
	o->own_ancestors = ancestors;
	return rc;
}

/* What is still being brought to disk may have its partial name, and get the other at any moment. */
static int restore_file(struct restore_result *res, struct restore_options *o, const char *file)
{
	char *part = mem_xasprintf("%s" STORE_PART, file);
	int rc;

	o->image.file = file_exists(file) ? file : part;
	rc = backup_restore(res, o);
	if (rc == KC_ENOENT && o->image.file == part && file_exists(file)) {
		restore_result_fini(res);
		o->image.file = file;
		rc = backup_restore(res, o);
	}
	o->image.file = file;
	free(part);
	return rc;
}

int worker_job_restore(json_t *result, struct worker *w, const json_t *request)
{
	struct restoring r = { .worker = w, .last_percent = -1, .said_at = clock_ms() };
	struct restore_options o = { .live = w->source,
		.safety = on_safety,
		.intent = on_intent,
		.chain_key = on_chain_key,
		.progress = on_progress,
		.arg = &r,
		.master_key_file = w->conf->master_key_file,
		.defer_checkpoint = true };
	struct restore_result res = { 0 };
	struct lineage_list ancestors = { 0 };
	const char *file, *travel, *lineage, *applied, *applied_file;
	char counted[SOURCE_DIGEST_LEN + 1];
	struct age_identity *chain_key = NULL;
	int rc = worker_get_string(&file, request, "backup");

	if (rc == KC_OK)
		rc = worker_get_string(&travel, request, "travel");
	if (rc == KC_OK)
		rc = worker_get_string(&lineage, request, "lineage");
	if (rc == KC_OK)
		rc = worker_get_number(&o.image.generation, request, "generation");
	if (rc == KC_OK)
		rc = get_own(&o, &ancestors, request);
	if (rc == KC_OK)
		rc = open_pins(&r, request);
	if (rc == KC_OK)
		rc = open_chain(&chain_key, &r, request, lineage);
	if (rc < 0)
		goto out;
	set_image(&o.image, &r, file, travel);
	o.image.increments = chain_key;
	o.image.lineage = lineage;
	o.applied_content = member_text(request, "applied_content");
	applied = json_string_value(json_object_get(request, "applied"));
	o.applied = applied != NULL && applied[0] != '\0' ? applied : NULL;
	if (o.applied != NULL && json_is_true(json_object_get(request, "count_applied"))) {
		/* Not to be had: only what the new backup lacks can be told to be lost. */
		o.applied = count_applied(counted, &r, request) == KC_OK ? counted : NULL;
	}
	applied_file = json_string_value(json_object_get(request, "applied_backup"));
	if (applied_file != NULL)
		set_image(
		    &o.applied_image, &r, applied_file, json_string_value(json_object_get(request, "applied_travel")));
	o.discard = json_is_true(json_object_get(request, "discard"));
	o.companions = w->companions;
	o.files_applied = member_text(request, "files");
	source_set_alive(w->source, worker_alive, w);
	rc = source_refresh(w->source);
	/* Restores back to back must not let the write-ahead log grow without end. */
	if (rc == KC_OK && w->checkpoint_due && source_log_is_long(w->source))
		source_checkpoint(w->source);
	if (rc == KC_OK)
		rc = restore_file(&res, &o, file);
	w->checkpoint_due = (rc == KC_OK && !res.same) || w->checkpoint_due;
	w->files_stamp[0] = '\0';
	json_object_set_new(result, "pending", json_boolean(res.files_pending));
	json_object_set_new(result, "take_over", json_boolean(res.take_over));
	if (rc == KC_OK && res.same)
		rc = pin_first(&r);
	if (rc == KC_OK)
		worker_keys_restored(w);
	if (rc == KC_OK)
		set_result(result, &res);
	if (rc == KC_EDIVERGED || res.diverged.live_only > 0)
		set_diverged(result, &res.diverged);
	if (rc == KC_EDIVERGED && worker_files_strayed(res.found, w, request) == KC_OK)
		json_object_set_new(result, "found", json_string(res.found));
	restore_result_fini(&res);
out:
	age_identity_free(chain_key);
	sign_pins_fini(&r.pins);
	return rc;
}

int worker_job_resolve(json_t *result, struct worker *w, const json_t *request)
{
	static const char *const words[] = { "old", "new", "neither" };
	struct restoring r = { .worker = w };
	struct image_options image = { 0 };
	char *staging = NULL;
	enum restore_outcome outcome;
	const char *old, *new, *schema;
	int rc = worker_get_string(&old, request, "old_digest");

	if (rc == KC_OK)
		rc = worker_get_string(&new, request, "digest");
	if (rc == KC_OK)
		rc = worker_get_string(&schema, request, "schema");
	source_set_alive(w->source, worker_alive, w);
	if (rc == KC_OK)
		rc = restore_resolve(&outcome, w->source, old, new, schema);
	if (rc == KC_OK)
		rc = open_pins(&r, request);
	if (rc == KC_OK)
		rc = staging_parent(&staging, w->conf->keydb_path);
	if (rc == KC_OK && json_object_get(request, "backup") != NULL) {
		set_image(&image, &r, member_text(request, "backup"), member_text(request, "travel"));
		image.staging = staging;
	}
	if (rc == KC_OK && outcome == RESTORE_APPLIED)
		rc = worker_files_finish(w, request, &image);
	else if (rc == KC_OK)
		restore_files_clean(&w->companions);
	if (rc == KC_OK)
		json_object_set_new(result, "which", json_string(words[outcome]));
	sign_pins_fini(&r.pins);
	free(staging);
	return rc;
}

int worker_job_diverged(json_t *result, struct worker *w, const json_t *request)
{
	struct restoring r = { .worker = w };
	struct image_options o = { 0 }, newest = { 0 };
	char *staging = NULL;
	struct diverged_list list;
	struct source_digest digest = { 0 };
	const char *applied, *file = json_string_value(json_object_get(request, "backup"));
	int rc = worker_get_string(&applied, request, "applied");

	diverged_list_init(&list);
	if (rc == KC_OK)
		rc = staging_parent(&staging, w->conf->keydb_path);
	if (rc == KC_OK)
		rc = open_pins(&r, request);
	source_set_alive(w->source, worker_alive, w);
	if (rc == KC_OK)
		rc = source_digest(&digest, w->source);
	/* What was applied is what is there: nothing to list. */
	if (rc == KC_OK && strcmp(digest.content, applied) != 0 && file == NULL) {
		rc = err_set(KC_ENOENT,
		    "the database is not what was last restored, and the backup of that is no longer "
		    "here to list the rows");
	} else if (rc == KC_OK && strcmp(digest.content, applied) != 0) {
		set_image(&o, &r, file, json_string_value(json_object_get(request, "travel")));
		o.staging = staging;
		rc = diverged_find_backup(w->source, &o, true, diverged_list_add, &list);
	}
	if (rc == KC_OK && json_object_get(request, "newest") != NULL) {
		set_image(&newest, &r, member_text(request, "newest"), member_text(request, "newest_travel"));
		newest.staging = staging;
	}
	if (rc == KC_OK)
		rc = worker_files_diverged(&list, w, request, &newest);
	if (rc == KC_OK)
		set_diverged(result, &list);
	diverged_list_fini(&list);
	source_digest_fini(&digest);
	sign_pins_fini(&r.pins);
	free(staging);
	return rc;
}

/* The rows that differ, as far as they can be listed: what was applied may be gone, and is no longer to be opened. */
static void list_differences(json_t *result, struct worker *w, const json_t *request)
{
	const char *file = json_string_value(json_object_get(request, "applied_backup"));
	struct restoring r = { .worker = w };
	struct image_options o = { 0 };
	struct diverged_list list;
	char *staging = NULL, *text;
	int rc = file != NULL ? open_pins(&r, request) : err_set(KC_ENOENT, "its backup is no longer here");

	diverged_list_init(&list);
	if (rc == KC_OK)
		rc = staging_parent(&staging, w->conf->keydb_path);
	if (rc == KC_OK) {
		set_image(&o, &r, file, json_string_value(json_object_get(request, "applied_travel")));
		o.staging = staging;
		rc = diverged_find_backup(w->source, &o, true, diverged_list_add, &list);
	}
	if (rc == KC_OK || rc == KC_ENOENT)
		(void)worker_files_diverged(&list, w, request, &(struct image_options){ 0 });
	if (list.live_only + list.other_only > 0) {
		set_diverged(result, &list);
	} else {
		text = mem_xasprintf("rows are not as the master has them, and cannot be listed%s%.300s",
		    rc < 0 ? ": " : "", rc < 0 ? err_text(rc) : "");
		json_object_set_new(result, "diverged", json_string(text));
		free(text);
	}
	diverged_list_fini(&list);
	sign_pins_fini(&r.pins);
	free(staging);
}

int worker_job_self_check(json_t *result, struct worker *w, const json_t *request)
{
	char now[SOURCE_DIGEST_LEN + 1] = "";
	struct source_digest digest = { 0 };
	char counted[SOURCE_DIGEST_LEN + 1];
	struct restoring r = { .worker = w };
	const char *applied, *seen;
	uint64_t clock = clock_ms();
	int rc = worker_get_string(&applied, request, "applied");

	if (rc == KC_OK)
		rc = worker_get_string(&seen, request, "seen");
	source_set_alive(w->source, worker_alive, w);
	if (rc == KC_OK)
		rc = source_known(now, w->source);
	if (rc == KC_OK && now[0] == '\0') {
		rc = source_digest(&digest, w->source);
		if (rc == KC_OK)
			memcpy(now, digest.content, sizeof(now));
		json_object_set_new(result, "count_ms", json_integer((json_int_t)clock_lap(&clock)));
		source_digest_fini(&digest);
	}
	if (rc < 0)
		return rc;
	rc = worker_files_strayed(now, w, request);
	if (rc < 0)
		return rc;
	json_object_set_new(result, "digest", json_string(now));
	if (applied[0] != '\0' && json_is_true(json_object_get(request, "count_applied"))) {
		rc = open_pins(&r, request);
		if (rc == KC_OK)
			rc = count_applied(counted, &r, request);
		sign_pins_fini(&r.pins);
		if (rc < 0)
			return rc;
		json_object_set_new(result, "applied", json_string(counted));
		applied = counted;
	}
	if (applied[0] != '\0' && strcmp(now, applied) != 0 && strcmp(now, seen) != 0)
		list_differences(result, w, request);
	return KC_OK;
}
