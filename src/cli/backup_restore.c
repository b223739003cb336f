/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup_restore: `backup restore FILE`. The database is compared with the backup first: rows that would vanish are
 * listed and refused, or with --discard saved in a safety backup.
 */
#include "backup_restore.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backup/restore.h"
#include "backup/staging.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon_client.h"

struct restoring {
	struct backup_env *e;
	struct source *live;
	const char *target;
	bool to; /* not into the configured database */
	char *master_key_file;
	struct image_options image;
	struct restore_result result;
	char *safety; /* path of the safety backup */
	char *detail; /* of the audit record */
};

static int on_progress(void *arg, enum restore_phase phase, unsigned percent)
{
	struct restoring *x = arg;

	backup_env_show(x->e, restore_phase_name(phase), percent);
	return KC_OK;
}

static int on_safety(void *arg)
{
	struct restoring *x = arg;
	struct create_result made = { 0 };
	int rc = KC_OK;

	if (x->e->password == NULL)
		rc = backup_env_password(x->e, true);
	if (rc == KC_OK)
		rc = file_make_dirs(x->e->c->conf->backup_dir);
	if (rc == KC_OK)
		rc = backup_env_create(&made, x->e, x->live, STORE_SAFETY);
	if (rc == KC_OK) {
		free(x->safety);
		x->safety = mem_xstrdup(made.path);
	}
	create_result_fini(&made);
	return rc;
}

/* Rows of a machine that has no lineage yet are anybody's; all others have one. */
static void choose_lineage(struct restoring *x)
{
	if (!cli_flag(x->e->c, "force") && x->e->self.lineage[0] != '\0')
		x->image.lineage = x->e->self.lineage;
}

/* Somebody else's folder is left as it was found. */
static void tidy(const char *target)
{
	char *staging = NULL, *parent;

	if (staging_parent(&staging, target) < 0)
		return;
	parent = file_dirname(staging);
	if (rmdir(staging) == 0)
		(void)rmdir(parent);
	free(parent);
	free(staging);
}

static int work_restore(struct backup_env *e, struct audit_record *r, void *arg)
{
	struct restoring *x = arg;
	struct restore_options o = { .image = x->image,
		.discard = cli_flag(e->c, "discard"),
		.safety = on_safety,
		.master_key_file = x->master_key_file,
		.progress = on_progress,
		.arg = x };
	int rc = source_open(&x->live, x->target, &(struct source_options){ .create = true });

	o.live = x->live;
	if (rc == KC_OK)
		rc = backup_restore(&x->result, &o);
	r->generation = x->result.generation;
	r->lineage = x->result.lineage[0] != '\0' ? x->result.lineage : NULL;
	/* The record of a failure carries its reason. */
	x->detail = rc == KC_OK ? NULL : mem_xasprintf("%s: %s", x->target, err_text(rc));
	r->detail = x->detail != NULL ? x->detail : x->target;
	source_close(x->live);
	x->live = NULL;
	if (x->to)
		tidy(x->target);
	return rc;
}

static json_t *rows_json(const struct diverged_list *l)
{
	json_t *rows = json_array();
	size_t i;

	for (i = 0; i < l->n; i++)
		json_array_append_new(rows, json_pack("{ss ss}", "table", l->rows[i].table, "key", l->rows[i].key));
	return rows;
}

static int refuse(struct restoring *x)
{
	const struct diverged_list *l = &x->result.diverged;
	unsigned long long n = l->live_only;
	size_t i;

	if (x->e->c->json) {
		(void)cli_print_json(
		    json_pack("{sb sI so}", "restored", 0, "would_vanish", (json_int_t)n, "rows", rows_json(l)));
	} else {
		printf(
		    "%llu row%s of %s %s not in the backup:\n", n, n == 1 ? "" : "s", x->target, n == 1 ? "is" : "are");
		for (i = 0; i < l->n; i++)
			printf("  %s %s\n", l->rows[i].table, l->rows[i].key);
		if (n > l->n)
			printf("  and %llu more\n", n - l->n);
	}
	return err_set(KC_EPERM, "%s: %llu row%s would vanish, which needs --discard", x->target, n, n == 1 ? "" : "s");
}

/* What the clone has applied is now this backup; a running daemon knows better than to be told behind its back. */
static int remember(struct restoring *x)
{
	const struct restore_result *r = &x->result;
	struct state_self self;
	struct state *s = NULL;
	int rc;

	if (x->to || x->e->c->conf->role != CONF_CLONE)
		return KC_OK;
	if (daemon_running(x->e->c)) {
		if (!r->same)
			log_warn(
			    "the running clone will find its database changed by hand: see 'keyclone diverged list'");
		return KC_OK;
	}
	rc = state_open(&s, x->e->c->conf->state_dir, true);
	if (rc == KC_OK)
		rc = state_get_self(&self, s);
	if (rc == KC_OK) {
		memcpy(self.lineage, r->lineage, sizeof(self.lineage));
		memcpy(self.digest, r->content, sizeof(self.digest));
		memcpy(self.schema, r->schema, sizeof(self.schema));
		self.generation = self.complete = r->generation;
		self.rows = r->rows;
		self.applied_at = (int64_t)time(NULL);
		self.diverged = self.discard = false;
		rc = state_put_applied(s, &self);
	}
	state_close(s);
	return rc;
}

static int print_restored(const struct restoring *x)
{
	const struct restore_result *r = &x->result;

	if (r->warning != NULL)
		log_warn("%s", r->warning);
	if (x->e->c->json)
		return cli_print_json(json_pack("{sb sb ss ss sI sI ss sI ss?}", "restored", 1, "same", r->same ? 1 : 0,
		    "database", x->target, "lineage", r->lineage, "generation", (json_int_t)r->generation, "rows",
		    (json_int_t)r->rows, "digest", r->content, "discarded", (json_int_t)r->diverged.live_only,
		    "safety_backup", x->safety));
	if (r->same)
		printf("%s: has these rows already\n", x->target);
	else
		printf("%s: restored, generation %llu, %llu rows\n", x->target, (unsigned long long)r->generation,
		    (unsigned long long)r->rows);
	if (x->to && file_exists(x->master_key_file))
		printf("what unwraps its keys is in %s\n", x->master_key_file);
	if (x->safety != NULL)
		printf("what was discarded is in %s\n", x->safety);
	return KC_OK;
}

int backup_restore_command(struct cli *c)
{
	struct restoring x = { .target = cli_string(c, "to") };
	struct backup_env e;
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = backup_env_open(&e, c);
	if (rc < 0)
		return rc;
	x.e = &e;
	x.to = x.target != NULL;
	if (!x.to)
		x.target = c->conf->keydb_path;
	x.master_key_file =
	    x.to ? mem_xasprintf("%s." IMAGE_MASTER_KEY_FILE, x.target) : mem_xstrdup(c->conf->master_key_file);
	rc = backup_env_image(&x.image, &e);
	choose_lineage(&x);
	if (rc == KC_OK)
		rc = backup_env_audited(&e, AUDIT_BACKUP_RESTORE, work_restore, &x);
	if (rc == KC_EDIVERGED)
		rc = refuse(&x);
	if (rc == KC_OK)
		rc = remember(&x);
	if (rc == KC_OK)
		rc = print_restored(&x);
	restore_result_fini(&x.result);
	free(x.safety);
	free(x.detail);
	free(x.master_key_file);
	backup_env_close(&e);
	return rc;
}
