/* SPDX-License-Identifier: Apache-2.0 */
/* worker_backup: the master's jobs: has it changed, make a backup, wrap its file key for clones. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/lineage.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "companion.h"
#include "worker_int.h"

/* It has moved; has its content, too? */
static int compare(bool *changed, struct worker *w, const json_t *request, uint64_t version)
{
	struct source_digest d = { 0 };
	int rc = source_digest(&d, w->source);

	if (rc < 0)
		return rc;
	*changed = strcmp(d.content, member_text(request, "digest")) != 0 ||
		   strcmp(d.schema, member_text(request, "schema")) != 0;
	if (!*changed) {
		w->version = version;
		w->version_known = true;
	}
	source_digest_fini(&d);
	return KC_OK;
}

int worker_job_check(json_t *result, struct worker *w, const json_t *request)
{
	uint64_t version = 0;
	bool moved, changed, files = false;
	int rc;

	source_set_alive(w->source, worker_alive, w);
	rc = source_refresh(w->source);
	if (rc == KC_OK)
		rc = source_version(&version, w->source);
	if (rc < 0)
		return rc;
	moved = changed = !w->version_known || version != w->version;
	if (moved && json_object_get(request, "digest") != NULL)
		rc = compare(&changed, w, request, version);
	if (rc == KC_OK)
		rc = worker_files_moved(&files, w, request);
	moved = moved || files;
	changed = changed || files;
	json_object_set_new(result, "moved", json_boolean(moved));
	json_object_set_new(result, "changed", json_boolean(changed));
	return rc;
}

/* Is the database, to the row, what the newest backup says? Only where nobody has written since that was made. */
int worker_job_recount(json_t *result, struct worker *w, const json_t *request)
{
	struct source_digest d = { 0 };
	uint64_t version = 0, clock = clock_ms();
	bool same = false;
	int rc;

	source_set_alive(w->source, worker_alive, w);
	rc = source_version(&version, w->source);
	if (rc < 0 || !w->version_known || version != w->version)
		return rc;
	rc = source_digest(&d, w->source);
	if (rc == KC_OK)
		rc = source_version(&version, w->source);
	if (rc < 0)
		return rc;
	same = strcmp(d.content, member_text(request, "digest")) == 0 &&
	       strcmp(d.schema, member_text(request, "schema")) == 0;
	source_digest_fini(&d);
	json_object_set_new(result, "counted", json_boolean(version == w->version));
	json_object_set_new(result, "same", json_boolean(same));
	json_object_set_new(result, "count_ms", json_integer((json_int_t)clock_lap(&clock)));
	if (version == w->version && !same)
		worker_base_forget(w);
	return KC_OK;
}

#define SHORT_INCREMENT (256u * 1024)

/* Told once before the first byte is readable, then with each growth; of a short increment only when it is whole. */
static int on_progress(void *arg, const struct create_progress *p)
{
	struct worker *w = arg;
	json_t *j = json_pack("{s:s, s:i}", "phase", create_phase_name(p->phase), "percent", (int)p->percent);

	if (p->path != NULL && (p->base == 0 || p->bytes >= SHORT_INCREMENT)) {
		json_object_set_new(j, "path", json_string(p->path));
		json_object_set_new(j, "name", json_string(p->name));
		json_object_set_new(j, "bytes", json_integer((json_int_t)p->bytes));
		json_object_set_new(j, "header_size", json_integer((json_int_t)p->header_size));
		json_object_set_new(j, "file_id", json_string(p->file_id));
		json_object_set_new(j, "digest", json_string(p->content));
		json_object_set_new(j, "generation", json_integer((json_int_t)p->generation));
		json_object_set_new(j, "base", json_integer((json_int_t)p->base));
		json_object_set_new(j, "chain", json_integer((json_int_t)p->chain));
		json_object_set_new(j, "database_size", json_integer((json_int_t)p->database_size));
	}
	return worker_progress(w, j);
}

static int reserve(void *arg, uint64_t *generation, enum store_kind kind)
{
	struct worker *w = arg;
	json_t *answer = NULL;
	int rc = worker_ask(
	    &answer, w, json_pack("{s:s, s:b}", "ask", "generation", "increment", (int)(kind == STORE_INCR)));

	if (rc == KC_OK)
		rc = worker_get_number(generation, answer, "generation");
	json_decref(answer);
	return rc;
}

static void set_chain(json_t *j, const struct create_result *r)
{
	bool increment = r->kind == STORE_INCR;
	uint64_t chain = increment ? r->chain : r->increments[0] != '\0' ? r->generation : 0;

	json_object_set_new(j, "base", json_integer((json_int_t)r->base));
	json_object_set_new(j, "chain", json_integer((json_int_t)chain));
	json_object_set_new(j, "changes", json_string(r->changed));
	json_object_set_new(j, "why_full", json_string(r->why_full));
}

static void set_result(json_t *j, const struct create_result *r)
{
	json_object_set_new(j, "unchanged", json_boolean(r->unchanged));
	if (r->held)
		json_object_set_new(j, "held",
		    json_pack("{s:s, s:I, s:I, s:i}", "table", r->deleted.table, "deleted",
			(json_int_t)r->deleted.deleted, "rows", (json_int_t)r->deleted.rows, "tables",
			(int)r->deleted.tables));
	json_object_set_new(j, "digest", json_string(r->content));
	json_object_set_new(j, "schema", json_string(r->schema));
	json_object_set_new(j, "files", json_string(r->files));
	json_object_set_new(j, "rows", json_integer((json_int_t)r->rows));
	if (r->unchanged || r->held)
		return;
	json_object_set_new(j, "path", json_string(r->path));
	json_object_set_new(j, "name", json_string(r->name));
	json_object_set_new(j, "generation", json_integer((json_int_t)r->generation));
	json_object_set_new(j, "size", json_integer((json_int_t)r->size));
	json_object_set_new(j, "header_size", json_integer((json_int_t)r->header_size));
	json_object_set_new(j, "sha256", json_string(r->payload_sha256));
	json_object_set_new(j, "file_id", json_string(r->file_id));
	json_object_set_new(j, "database_size",
	    json_integer((json_int_t)(r->kind == STORE_INCR ? r->changeset_size : r->database_size)));
	json_object_set_new(j, "timings",
	    json_pack("{s:i, s:i, s:i, s:i}", "snapshot_ms", (int)r->snapshot_ms, "digest_ms", (int)r->digest_ms,
		"write_ms", (int)r->write_ms, "finish_ms", (int)r->finish_ms));
}

static void keep_key(struct worker *w, struct create_result *r)
{
	age_key_free(w->key);
	free(w->key_path);
	w->key = r->key;
	w->key_path = r->path != NULL ? mem_xstrdup(r->path) : NULL;
	r->key = NULL;
}

static void on_made(void *arg, const char *snapshot, uint64_t generation)
{
	struct worker *w = arg;

	worker_keys_made(w, snapshot, w->lineage, generation);
}

/* An increment can be sent to its end, before it is on disk. */
static int on_whole(void *arg, const struct create_result *r)
{
	struct worker *w = arg;
	json_t *whole = json_object(), *answer = NULL;
	char *part = mem_xasprintf("%s" STORE_PART, r->path);
	int rc;

	set_result(whole, r);
	set_chain(whole, r);
	json_object_set_new(whole, "path", json_string(part));
	free(part);
	rc = worker_ask(&answer, w, json_pack("{s:s, s:o}", "ask", "whole", "whole", whole));
	json_decref(answer);
	return rc;
}

/* A key for the increments of this full, kept before anything is encrypted for it. */
static int begin_chain(void *arg, const struct age_identity **identity, uint64_t generation)
{
	struct worker *w = arg;
	int rc;

	age_identity_free(w->chain_key);
	w->chain_key = age_identity_new();
	rc = chain_key_save(&w->secrets, w->lineage, generation, w->chain_key);
	if (rc == KC_OK)
		*identity = w->chain_key;
	return rc;
}

/* What the daemon says is held is held until the base says otherwise. */
static void use_base(struct create_options *o, const struct worker *w, const json_t *request)
{
	const json_t *base = json_object_get(request, "base");

	o->keep_base = w->conf->max_delete_percent > 0 || w->conf->full_frequency_ms > 0;
	o->base_generation = member_u64(base, "generation");
	if (w->base.generation != o->base_generation || strcmp(w->base.lineage, o->lineage) != 0)
		o->base_digest = member_text(base, "digest");
	o->was_held = json_is_true(json_object_get(request, "held"));
	o->max_delete_percent =
	    json_is_true(json_object_get(request, "allow_deletes")) ? 0 : (unsigned)w->conf->max_delete_percent;
	if (w->conf->full_frequency_ms > 0)
		o->begin_chain = begin_chain;
}

/* What is there now. */
static void backup_made(json_t *result, struct worker *w, struct create_result *r, const struct create_options *o)
{
	w->version = r->version;
	w->version_known = !w->unmarked;
	memcpy(w->files_stamp, r->held ? "" : r->files_stamp, r->held ? 1 : sizeof(w->files_stamp));
	set_result(result, r);
	if (!r->unchanged && !r->held) {
		set_chain(result, r);
		keep_key(w, r);
	}
	if (!r->unchanged && !r->held && r->kind == STORE_FULL)
		chain_key_prune(&w->secrets, w->conf->backup_dir, o->lineage, r->generation);
	worker_base_take(w, r, o);
	w->prune_due = true;
}

int worker_job_backup(json_t *result, struct worker *w, const json_t *request)
{
	const struct conf *c = w->conf;
	struct create_result r = { 0 };
	const char *lineage, *host, *digest = json_string_value(json_object_get(request, "digest"));
	struct create_options o = { .source = w->source,
		.dir = c->backup_dir,
		.kind = STORE_FULL,
		.product = PACKAGE_NAME " " PACKAGE_VERSION,
		.level = c->compression_level,
		.logn = c->key_derivation_work,
		.password = w->password,
		.key = w->secrets.signing,
		.reserve = reserve,
		.progress = on_progress,
		.whole = on_whole,
		.arg = w };
	struct lineage_list ancestors = { 0 };
	struct create_increment increment = { 0 };
	struct age_recipient recipient;
	char why[256] = "";
	int rc = worker_get_string(&lineage, request, "lineage");

	if (rc == KC_OK)
		rc = lineage_from_json(&ancestors, json_object_get(request, "ancestors"));
	if (rc == KC_OK)
		rc = worker_get_string(&host, request, "host");
	if (rc < 0)
		return rc;
	o.lineage = lineage;
	o.ancestors = &ancestors;
	o.host = host;
	/* Make nothing where these digests say that the newest backup has it all. */
	if (digest != NULL && digest[0] != '\0') {
		o.unless_content = digest;
		o.unless_schema = json_string_value(json_object_get(request, "schema"));
		o.unless_files = json_string_value(json_object_get(request, "files"));
	}
	o.companions = w->companions;
	use_base(&o, w, request);
	if (worker_base_increment(&increment, &recipient, why, w, request, lineage)) {
		o.increment = &increment;
		o.base_digest = NULL; /* it is known now */
	}
	w->lineage = lineage;
	w->unmarked = false;
	if (c->release_keys)
		o.made = on_made;
	o.prepared = &w->prepared;
	source_set_alive(w->source, worker_alive, w);
	rc = companion_master_key(&o.master_key_file, c, w->source);
	if (rc == KC_OK)
		rc = backup_create(&r, &o);
	if (rc < 0)
		return rc;
	if (r.why_full[0] == '\0')
		STR_COPY(r.why_full, why);
	backup_made(result, w, &r, &o);
	create_result_fini(&r);
	return KC_OK;
}

int worker_safety_backup(char **path, struct worker *w, const struct worker_history *h)
{
	const struct conf *c = w->conf;
	struct create_result r = { 0 };
	char *own = NULL;
	struct create_options o = { .source = w->source,
		.dir = c->backup_dir,
		.kind = STORE_SAFETY,
		.lineage = h != NULL && h->lineage[0] != '\0' ? h->lineage : CREATE_NO_LINEAGE,
		.ancestors = h != NULL ? h->ancestors : NULL,
		.generation = h != NULL ? h->generation : 0,
		.host = "",
		.product = PACKAGE_NAME " " PACKAGE_VERSION,
		.level = c->compression_level,
		.logn = c->key_derivation_work,
		.key = w->secrets.signing,
		.companions = w->companions,
		.safety = true,
		.arg = w };
	int rc = KC_OK;

	if (w->password == NULL)
		rc = secrets_safety_password(&own, &w->secrets, true);
	o.password = own != NULL ? own : w->password;
	if (rc == KC_OK)
		rc = companion_master_key(&o.master_key_file, c, w->source);
	if (rc == KC_OK)
		rc = backup_create(&r, &o);
	if (rc == KC_OK)
		log_warn("what is discarded was saved in %s", r.path);
	if (rc == KC_OK && path != NULL)
		*path = mem_xstrdup(r.path);
	create_result_fini(&r);
	mem_secret_free(own);
	return rc;
}
