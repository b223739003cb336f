/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup_restore: `backup restore FILE`. Into the configured database a running daemon does it (backup_order.h);
 * without one, and into any other database, it is done here. Rows that would vanish are listed and refused, or with
 * --discard saved in a safety backup; --merge adds the rows that are missing.
 */
#include "backup_restore.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/staging.h"
#include "backup_order.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/by_hand.h"
#include "daemon/companion.h"
#include "daemon_client.h"
#include "system_restore.h"

struct restoring {
	struct backup_env *e;
	struct source *live;
	const char *target;
	bool to; /* not into the configured database */
	bool by_daemon;
	char *master_key_file;
	struct image_options image;
	struct state *state; /* of the configured database, while no daemon has it */
	int lock;
	json_t *result;
	char *detail; /* of the audit record */
};

static int on_progress(void *arg, const char *phase, unsigned percent)
{
	struct restoring *x = arg;

	backup_env_show(x->e, phase, percent);
	return KC_OK;
}

static int on_safety(void *arg, char **path)
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
	if (rc == KC_OK)
		*path = mem_xstrdup(made.path);
	create_result_fini(&made);
	return rc;
}

static int on_intent(void *arg, const struct restore_intent *r)
{
	struct restoring *x = arg;
	struct state_intent i;

	if (x->state == NULL)
		return KC_OK;
	by_hand_intent(&i, &x->e->self, r, file_basename(x->e->file));
	return state_put_intent(x->state, &i);
}

/* Somebody else's folder is left as it was found; `made`: nothing came into the database that was made for it. */
static void tidy(const char *target, bool made)
{
	char *staging = NULL, *parent;
	struct stat st;

	if (made && stat(target, &st) == 0 && st.st_size == 0)
		(void)file_remove(target);
	if (staging_parent(&staging, target) < 0)
		return;
	parent = file_dirname(staging);
	if (rmdir(staging) == 0)
		(void)rmdir(parent);
	free(parent);
	free(staging);
}

/* --- without a daemon --- */

/* What a restore that was interrupted has left is found out first. */
static int settle(struct restoring *x)
{
	enum restore_outcome outcome;
	struct state_intent i;
	int rc = x->state != NULL ? state_get_intent(&i, x->state) : KC_ENOENT;

	if (rc == KC_ENOENT)
		return KC_OK;
	if (rc == KC_OK && !i.by_hand)
		return err_set(
		    KC_EBUSY, "a restore from the master was interrupted; keycloned finishes it when it is started");
	if (rc == KC_OK)
		rc = restore_resolve(
		    &outcome, x->live, i.old_digest, i.own_digest[0] != '\0' ? i.own_digest : i.digest, i.schema);
	if (rc == KC_OK && outcome == RESTORE_APPLIED)
		return by_hand_applied(&x->e->self, x->state, &i, x->e->c->conf);
	return rc == KC_OK ? state_clear_intent(x->state) : rc;
}

static int take_over(struct restoring *x)
{
	struct state_intent i;
	int rc = x->state != NULL ? state_get_intent(&i, x->state) : KC_ENOENT;

	if (rc == KC_ENOENT)
		return KC_OK; /* nothing was written, or it was merged */
	if (rc == KC_OK)
		rc = by_hand_applied(&x->e->self, x->state, &i, x->e->c->conf);
	if (rc == KC_OK && x->e->c->conf->role == CONF_MASTER)
		json_object_set_new(x->result, "child_lineage", json_string(x->e->self.lineage));
	return rc;
}

static int run(struct restoring *x)
{
	const struct cli *c = x->e->c;
	struct lineage_list ancestors = { 0 };
	struct by_hand b = { .target = x->target,
		.image = x->image,
		.merge = cli_flag(c, "merge"),
		.discard = cli_flag(c, "discard"),
		.force = cli_flag(c, "force"),
		.master_key_file = x->master_key_file,
		.safety = on_safety,
		.intent = on_intent,
		.progress = on_progress,
		.arg = x };
	int rc = settle(x);

	if (rc == KC_OK)
		rc = lineage_parse(&ancestors, x->e->self.ancestors);
	b.live = x->live;
	b.files_beside = x->to ? x->target : NULL;
	companion_paths_init(&b.companions, c->conf);
	b.lineage = x->e->self.lineage;
	b.ancestors = &ancestors;
	if (rc == KC_OK)
		rc = by_hand_run(x->result, &b);
	companion_paths_fini(&b.companions);
	if (rc == KC_OK)
		return take_over(x);
	if (x->state != NULL)
		(void)state_clear_intent(x->state);
	return rc;
}

static int work_restore(struct backup_env *e, struct audit_record *r, void *arg)
{
	struct restoring *x = arg;
	char why[600];
	bool there = file_exists(x->target);
	int rc = source_open(&x->live, x->target, &(struct source_options){ .create = true });

	if (rc == KC_OK && !x->to && e->c->conf->role == CONF_CLONE)
		source_set_local(
		    x->live, (const char *const *)e->c->conf->local_tables.items, e->c->conf->local_tables.count);
	if (rc == KC_OK)
		rc = run(x);
	snprintf(why, sizeof(why), "%s", err_text(rc));
	r->generation = member_u64(x->result, "generation");
	r->lineage = member_text(x->result, "lineage")[0] != '\0' ? member_text(x->result, "lineage") : NULL;
	/* The record of a failure carries its reason. */
	x->detail = rc == KC_OK ? NULL : mem_xasprintf("%s: %s", x->target, why);
	r->detail = x->detail != NULL ? x->detail : x->target;
	source_close(x->live);
	x->live = NULL;
	if (x->to)
		tidy(x->target, rc < 0 && !there);
	return rc < 0 ? err_set(rc, "%s", why) : rc;
}

/* No daemon may start in the middle. */
static int take_state(struct restoring *x)
{
	char *path = file_join(x->e->c->conf->state_dir, "keycloned.lock");
	int rc = state_open(&x->state, x->e->c->conf->state_dir, true);

	if (rc == KC_OK)
		rc = file_lock(&x->lock, path);
	if (rc == KC_OK)
		rc = state_get_self(&x->e->self, x->state);
	free(path);
	return rc;
}

static int restore_here(struct restoring *x)
{
	int rc = x->to ? KC_OK : take_state(x);

	if (rc == KC_ELOCKED)
		return err_set(KC_EBUSY, "keycloned is starting or ending; try again when it is up or gone");
	x->result = json_object();
	if (rc == KC_OK)
		rc = backup_env_audited(x->e, AUDIT_BACKUP_RESTORE, work_restore, x);
	return rc;
}

/* --- what is printed --- */

static void print_rows(const struct restoring *x)
{
	const json_t *rows = json_object_get(x->result, "rows"), *row;
	unsigned long long n = member_u64(x->result, "would_vanish");
	size_t i;

	printf("%llu row%s of %s %s not in the backup:\n", n, n == 1 ? "" : "s", x->target, n == 1 ? "is" : "are");
	json_array_foreach(rows, i, row)
		printf("  %s %s%s\n", member_text(row, "table"), member_text(row, "key"),
		    strcmp(member_text(row, "only"), "changed") == 0 ? " (there with other values)" : "");
	if (n > json_array_size(rows))
		printf("  and %llu more\n", n - json_array_size(rows));
}

static void print_json(const struct restoring *x)
{
	json_t *j = json_deep_copy(x->result);

	json_object_del(j, "rc");
	json_object_del(j, "error");
	json_object_del(j, "ancestors");
	json_object_del(j, "schema");
	json_object_del(j, "files");
	(void)cli_print_json(j);
}

static void print_merged(const struct restoring *x, bool added)
{
	const json_t *t, *row;
	size_t i;

	printf("%-28s  %10s  %10s  %10s  %10s\n", "TABLE", added ? "ADDED" : "MISSING", "SAME", "DIFFER", "REFUSED");
	json_array_foreach(json_object_get(x->result, "tables"), i, t)
		printf("%-28s  %10llu  %10llu  %10llu  %10llu\n", member_text(t, "table"),
		    (unsigned long long)member_u64(t, "added"), (unsigned long long)member_u64(t, "same"),
		    (unsigned long long)member_u64(t, "differ"), (unsigned long long)member_u64(t, "refused"));
	json_array_foreach(json_object_get(x->result, "rows"), i, row)
		if (member_text(row, "why")[0] != '\0')
			printf("  %s %s: %s\n", member_text(row, "table"), member_text(row, "key"),
			    member_text(row, "why"));
		else
			printf("  %s %s: here with other values, left alone\n", member_text(row, "table"),
			    member_text(row, "key"));
	if (added)
		printf("%s: %llu rows added\n", x->target, (unsigned long long)member_u64(x->result, "added"));
}

static void print_files(const struct restoring *x)
{
	for (const char *p = member_text(x->result, "files"); *p != '\0'; p += strcspn(p, " "), p += *p == ' ') {
		int n = (int)strcspn(p, ":");

		if (x->to)
			printf("companion %.*s is in %s.%.*s\n", n, p, x->target, n, p);
		else
			printf("companion %.*s is in its place\n", n, p);
	}
}

static void print_restored(const struct restoring *x)
{
	const json_t *r = x->result;
	const char *warning = member_text(r, "warning"), *safety = member_text(r, "safety_backup");
	const char *child = member_text(r, "child_lineage");
	bool same = json_is_true(json_object_get(r, "same"));

	if (warning[0] != '\0')
		log_warn("%s", warning);
	if (same)
		printf("%s: has these rows already\n", x->target);
	else
		printf("%s: restored, generation %llu, %llu rows\n", x->target,
		    (unsigned long long)member_u64(r, "generation"), (unsigned long long)member_u64(r, "rows"));
	if (x->to && file_exists(x->master_key_file))
		printf("what unwraps its keys is in %s\n", x->master_key_file);
	print_files(x);
	if (safety[0] != '\0')
		printf("what was discarded is in %s\n", safety);
	if (child[0] != '\0')
		printf("Lineage %.8s begins, from generation %llu of %.8s; a full goes to every clone %s.\n", child,
		    (unsigned long long)member_u64(r, "generation"), member_text(r, "lineage"),
		    x->by_daemon ? "now" : "when keycloned is started");
	else if (!x->to && !same && x->e->c->conf->role == CONF_CLONE)
		puts("This machine is a clone: its master's next backup replaces what was restored.");
}

static int tell(struct restoring *x, int rc)
{
	bool merged = json_object_get(x->result, "merged") != NULL;
	bool vanish = json_object_get(x->result, "would_vanish") != NULL;

	/* A failure has its one line on standard error; what it is about is told before. */
	if (rc < 0 && !vanish && !(merged && member_u64(x->result, "refused") > 0))
		return rc;
	if (x->e->c->json)
		print_json(x);
	else if (vanish)
		print_rows(x);
	else if (merged)
		print_merged(x, rc == KC_OK);
	else
		print_restored(x);
	return rc;
}

/* --- the command --- */

static int check_options(struct restoring *x)
{
	struct cli *c = x->e->c;

	if (cli_flag(c, "merge") && cli_flag(c, "discard"))
		return cli_usage(c, "--merge lets no row go; --discard is for a restore without it");
	if (cli_flag(c, "merge") && !x->to && c->conf->role == CONF_CLONE && !cli_flag(c, "force"))
		return err_set(KC_EPERM, "this is a clone, and rows that its master lacks make it diverge: merge them "
					 "on the master (or here, "
					 "with --force)");
	return KC_OK;
}

int backup_restore_command(struct cli *c)
{
	struct restoring x = { .target = cli_string(c, "to"), .lock = -1 };
	struct backup_env e;
	int rc;

	if (cli_flag(c, "system"))
		return system_restore_command(c);
	rc = cli_args(c, 1, 1);
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
	rc = check_options(&x);
	if (rc == KC_OK)
		rc = backup_env_image(&x.image, &e);
	x.by_daemon = rc == KC_OK && !x.to && daemon_running(c);
	if (rc == KC_OK)
		rc = x.by_daemon ? backup_order(&x.result, &e, &x.image) : restore_here(&x);
	rc = tell(&x, rc);
	state_close(x.state);
	if (x.lock >= 0)
		close(x.lock);
	json_decref(x.result);
	free(x.detail);
	free(x.master_key_file);
	backup_env_close(&e);
	return rc;
}
