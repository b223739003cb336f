/* SPDX-License-Identifier: Apache-2.0 */
/* worker_backup: the master's jobs: has it changed, make a backup, wrap its file key for clones. */
#include <stdlib.h>
#include <string.h>

#include "backup/base.h"
#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/lineage.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "companion.h"
#include "daemon/recipients.h"
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

/* Told once before the first byte is readable, then with each growth. */
static int on_progress(void *arg, const struct create_progress *p)
{
	struct worker *w = arg;
	json_t *j = json_pack("{s:s, s:i}", "phase", create_phase_name(p->phase), "percent", (int)p->percent);

	if (p->path != NULL) {
		json_object_set_new(j, "path", json_string(p->path));
		json_object_set_new(j, "name", json_string(p->name));
		json_object_set_new(j, "bytes", json_integer((json_int_t)p->bytes));
		json_object_set_new(j, "header_size", json_integer((json_int_t)p->header_size));
		json_object_set_new(j, "file_id", json_string(p->file_id));
		json_object_set_new(j, "digest", json_string(p->content));
		json_object_set_new(j, "generation", json_integer((json_int_t)p->generation));
		json_object_set_new(j, "database_size", json_integer((json_int_t)p->database_size));
	}
	return worker_progress(w, j);
}

static int reserve(void *arg, uint64_t *generation, enum store_kind kind)
{
	struct worker *w = arg;
	json_t *answer = NULL;
	int rc = worker_ask(&answer, w, json_pack("{s:s}", "ask", "generation"));

	(void)kind; /* a full: nothing else is asked for */
	if (rc == KC_OK)
		rc = worker_get_number(generation, answer, "generation");
	json_decref(answer);
	return rc;
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
	json_object_set_new(j, "database_size", json_integer((json_int_t)r->database_size));
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

/* Only the base of the newest generation stays. What the daemon says is held is held until the base says otherwise. */
static void use_base(struct create_options *o, const struct worker *w, const json_t *request)
{
	const json_t *base = json_object_get(request, "base");
	char *path;

	o->keep_base = w->conf->max_delete_percent > 0;
	o->base_generation = member_u64(base, "generation");
	path = base_path(w->conf->keydb_path, o->lineage, o->base_generation);
	base_prune(w->conf->keydb_path, o->keep_base ? path : NULL);
	free(path);
	if (w->base_good != o->base_generation)
		o->base_digest = member_text(base, "digest");
	o->was_held = json_is_true(json_object_get(request, "held"));
	o->max_delete_percent =
	    json_is_true(json_object_get(request, "allow_deletes")) ? 0 : (unsigned)w->conf->max_delete_percent;
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
		.arg = w };
	struct lineage_list ancestors = { 0 };
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
	w->lineage = lineage;
	w->unmarked = false;
	o.made = on_made;
	o.prepared = &w->prepared;
	source_set_alive(w->source, worker_alive, w);
	rc = companion_master_key(&o.master_key_file, c, w->source);
	if (rc == KC_OK)
		rc = backup_create(&r, &o);
	if (rc < 0)
		return rc;
	w->version = r.version;
	w->version_known = !w->unmarked;
	memcpy(w->files_stamp, r.held ? "" : r.files_stamp, r.held ? 1 : sizeof(w->files_stamp));
	set_result(result, &r);
	w->base_good = !r.base_good ? 0 : r.unchanged || r.held ? o.base_generation : r.generation;
	if (!r.unchanged && !r.held)
		keep_key(w, &r);
	create_result_fini(&r);
	return KC_OK;
}

/* The file key of the backup at `path`: remembered from making it, else opened with the password. */
static int file_key(struct worker *w, const char *path)
{
	struct age_key *key = NULL;
	int rc;

	if (w->key != NULL && w->key_path != NULL && strcmp(file_basename(w->key_path), file_basename(path)) == 0)
		return KC_OK;
	rc = backup_file_key(&key, path, w->password);
	if (rc < 0)
		return rc;
	age_key_free(w->key);
	free(w->key_path);
	w->key = key;
	w->key_path = mem_xstrdup(path);
	return KC_OK;
}

/* *travel stays NULL for one that cannot or must not be served: the others shall not wait for it. */
static int wrap_one(char **travel, struct worker *w, const json_t *who)
{
	const char *clone, *text;
	struct age_recipient r;
	int rc = worker_get_string(&clone, who, "clone");

	if (rc == KC_OK)
		rc = worker_get_string(&text, who, "recipient");
	if (rc == KC_OK)
		rc = recipients_check(w->conf, clone, text);
	if (rc == KC_OK)
		rc = age_recipient_parse(&r, text);
	return rc == KC_OK ? backup_wrap(travel, w->key, &r, 1) : rc;
}

int worker_job_wrap(json_t *result, struct worker *w, const json_t *request)
{
	const json_t *list = json_object_get(request, "clones");
	json_t *headers = json_object(), *refused = json_object();
	const char *path;
	int rc = worker_get_string(&path, request, "backup");

	if (rc == KC_OK)
		rc = file_key(w, path);
	for (size_t i = 0; rc == KC_OK && i < json_array_size(list); i++) {
		const json_t *who = json_array_get(list, i);
		const char *clone = json_string_value(json_object_get(who, "clone"));
		char *travel = NULL;
		int one = wrap_one(&travel, w, who);

		if (one == KC_OK)
			json_object_set_new(headers, clone, json_string(travel));
		else if (clone != NULL)
			json_object_set_new(refused, clone, ipc_result_new(one));
		free(travel);
	}
	json_object_set_new(result, "headers", headers);
	json_object_set_new(result, "refused", refused);
	return rc;
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
