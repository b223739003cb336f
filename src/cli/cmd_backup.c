/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_backup: backups made, listed and verified without a daemon. Restoring is in backup_restore.c. */
#include <stdlib.h>
#include <string.h>

#include "backup/create.h"
#include "backup/staging.h"
#include "backup/store.h"
#include "backup/verify.h"
#include "backup_env.h"
#include "backup_list.h"
#include "backup_needed.h"
#include "backup_restore.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/companion.h"
#include "daemon/key_wait.h"
#include "families.h"
#include "system_verify.h"

/* --- create --- */

struct creating {
	struct create_result result;
};

static int on_progress(void *arg, const struct create_progress *p)
{
	backup_env_show(arg, create_phase_name(p->phase), p->percent);
	return KC_OK;
}

/* Where no clone is configured a backup that is made is all that a new key waits for. */
static void on_made(void *arg, const char *snapshot, uint64_t generation)
{
	struct backup_env *e = arg;
	struct waiting *list = NULL;
	uint64_t released = 0;
	int rc = key_wait_open(&list, e->c->conf, false);

	(void)generation;
	if (rc == KC_OK)
		rc = waiting_release_snapshot(&released, list, snapshot);
	waiting_close(list);
	if (rc < 0 && rc != KC_ENOENT)
		log_warn("held keys stay held: %s", err_text(rc));
	e->released = released;
}

int backup_env_create(struct create_result *result, struct backup_env *e, struct source *s, enum store_kind kind)
{
	const struct conf *conf = e->c->conf;
	struct create_options o = { .source = s,
		.dir = conf->backup_dir,
		.output = kind == STORE_FULL ? cli_string(e->c, "output") : NULL,
		.lineage = e->self.lineage[0] != '\0' ? e->self.lineage : CREATE_NO_LINEAGE,
		.generation = e->self.complete, /* a number that another one has: nothing builds on it */
		.kind = kind,
		.host = e->host,
		.product = PACKAGE_NAME " " PACKAGE_VERSION,
		.level = conf->compression_level,
		.logn = conf->key_derivation_work,
		.password = e->password,
		.key = e->secrets.signing,
		.progress = on_progress,
		.arg = e };
	struct lineage_list ancestors = { 0 };
	bool holds = false;
	int rc = lineage_parse(&ancestors, e->self.ancestors);

	if (rc == KC_OK)
		rc = key_wait_applies(&holds, conf, s);
	if (holds && conf->role == CONF_MASTER && conf->clone_count == 0)
		o.made = on_made;
	o.ancestors = &ancestors;
	o.safety = kind == STORE_SAFETY;
	companion_paths_init(&o.companions, conf);
	if (rc == KC_OK)
		rc = companion_master_key(&o.master_key_file, conf, s);
	if (rc == KC_OK)
		rc = backup_create(result, &o);
	companion_paths_fini(&o.companions);
	return rc;
}

static int work_create(struct backup_env *e, struct audit_record *r, void *arg)
{
	struct creating *x = arg;
	struct source *s = NULL;
	int rc = source_open(&s, e->c->conf->keydb_path, &(struct source_options){ .create = false });

	if (rc == KC_OK)
		rc = file_make_dirs(e->c->conf->backup_dir);
	if (rc == KC_OK)
		rc = backup_env_create(&x->result, e, s, STORE_FULL);
	if (rc == KC_OK) {
		r->backup = x->result.name;
		r->bytes = x->result.size;
		r->generation = x->result.generation;
		r->lineage = e->self.lineage[0] != '\0' ? e->self.lineage : NULL;
	}
	source_close(s);
	return rc;
}

static int on_removed(void *arg, const struct store_entry *entry)
{
	struct backup_env *e = arg;
	struct audit_record r = { .event = AUDIT_BACKUP_DELETE,
		.backup = entry->file,
		.bytes = entry->size,
		.generation = entry->name.generation,
		.detail = "older than replication.MaxBackupNum keeps" };
	struct audit *audit = NULL;
	int rc = cli_audit(&audit, e->c);

	return rc < 0 ? rc : audit_result(audit, &r, KC_OK);
}

/* What a running daemon may be sending, or has yet to restore, stays. */
static int prune(struct backup_env *e, const char *made)
{
	const char *keep[3] = { made, e->self.backup, NULL };
	struct store_prune p = { .dir = e->c->conf->backup_dir,
		.max = (size_t)e->c->conf->max_backup_num,
		.keep = keep,
		.n_keep = 3,
		.removed = on_removed,
		.arg = e };
	struct state_stored newest = { 0 };
	struct state *s = NULL;
	int rc;

	if (state_open(&s, e->c->conf->state_dir, false) == KC_OK && state_get_stored(&newest, s) == KC_OK)
		keep[2] = newest.backup;
	state_close(s);
	rc = store_prune(&p);
	state_stored_fini(&newest);
	return rc;
}

static int print_created(struct cli *c, const struct create_result *r, const char *lineage)
{
	if (c->json)
		return cli_print_json(json_pack("{ss ss sI ss sI sI ss ss ss}", "backup", r->name, "path", r->path,
		    "generation", (json_int_t)r->generation, "lineage", lineage, "bytes", (json_int_t)r->size, "rows",
		    (json_int_t)r->rows, "file_id", r->file_id, "digest", r->content, "payload_sha256",
		    r->payload_sha256));
	printf("%s: %llu rows, %llu bytes\n", r->path, (unsigned long long)r->rows, (unsigned long long)r->size);
	return KC_OK;
}

static int tell_released(struct backup_env *e, const struct create_result *made)
{
	char *detail = mem_xasprintf(
	    "%llu %s held no more", (unsigned long long)e->released, e->released == 1 ? "key is" : "keys are");
	struct audit_record r = { .event = AUDIT_KEY_RELEASE, .backup = made->name, .detail = detail };
	struct audit *audit = NULL;
	int rc = cli_audit(&audit, e->c);

	if (rc == KC_OK)
		rc = audit_result(audit, &r, KC_OK);
	if (rc == KC_OK && !e->c->json)
		printf("No clone is configured: %s.\n", detail);
	free(detail);
	return rc;
}

static int cmd_create(struct cli *c)
{
	struct creating x = { .result = { 0 } };
	struct backup_env e;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = backup_env_open(&e, c);
	if (rc < 0)
		return rc;
	rc = backup_env_password(&e, true);
	if (rc == KC_OK)
		rc = backup_env_audited(&e, AUDIT_BACKUP_CREATE, work_create, &x);
	if (rc == KC_OK)
		backup_env_note_password(&e, x.result.name);
	if (rc == KC_OK)
		rc = print_created(c, &x.result, e.self.lineage);
	if (rc == KC_OK && e.released > 0)
		rc = tell_released(&e, &x.result);
	if (rc == KC_OK && cli_string(c, "output") == NULL)
		rc = prune(&e, x.result.name);
	create_result_fini(&x.result);
	backup_env_close(&e);
	return rc;
}

/* --- verify --- */

struct verifying {
	struct image_options image;
	struct verify_result result;
};

static int on_verify(void *arg, unsigned percent)
{
	backup_env_show(arg, "verify", percent);
	return KC_OK;
}

static int work_verify(struct backup_env *e, struct audit_record *r, void *arg)
{
	struct verifying *x = arg;
	char *staging = NULL;
	int rc = staging_parent(&staging, e->c->conf->keydb_path);

	x->image.staging = staging;
	x->image.progress = on_verify;
	x->image.arg = e;
	if (rc == KC_OK)
		rc = backup_verify(&x->result, &x->image);
	if (rc == KC_OK) {
		r->generation = x->result.generation;
		r->lineage = x->result.lineage;
		r->bytes = x->result.size;
	}
	free(staging);
	return rc;
}

static int print_verified(struct cli *c, const struct verify_result *v, const char *file)
{
	char when[CLOCK_UTC_SIZE];

	clock_utc(when, v->time);
	if (c->json)
		return cli_print_json(json_pack("{ss sb ss sI ss ss sI sI sI ss sI sI}", "backup", file, "good", 1,
		    "lineage", v->lineage, "generation", (json_int_t)v->generation, "time", when, "host", v->host,
		    "rows", (json_int_t)v->rows, "bytes", (json_int_t)v->size, "database_size", (json_int_t)v->database,
		    "digest", v->content, "companions", (json_int_t)v->companions, "files", (json_int_t)v->files));
	printf("%s: good: generation %llu of lineage %.8s, made %s on %s, %llu rows", file,
	    (unsigned long long)v->generation, v->lineage, when, v->host, (unsigned long long)v->rows);
	if (v->companions > 0)
		printf(", %llu companion file%s", (unsigned long long)v->files, v->files == 1 ? "" : "s");
	printf("\n");
	return KC_OK;
}

static int cmd_verify(struct cli *c)
{
	struct verifying x = { .result = { .host = NULL } };
	struct backup_env e;
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = backup_env_open(&e, c);
	if (rc < 0)
		return rc;
	rc = backup_env_image(&x.image, &e);
	if (rc == KC_OK && system_verify_is(e.file)) {
		rc = system_verify(&e, &x.image);
	} else if (rc == KC_OK) {
		rc = backup_env_audited(&e, AUDIT_BACKUP_VERIFY, work_verify, &x);
		if (rc == KC_OK)
			rc = print_verified(c, &x.result, e.file);
	}
	verify_result_fini(&x.result);
	backup_env_close(&e);
	return rc;
}

static const struct cli_option create_options[] = {
	{ "output", 'o', CLI_STRING, "FILE", "write this file instead of one in the backup folder" },
	{ "password-file", 0, CLI_STRING, "FILE",
	    "password of the backup (-: standard input) instead of the configured one" },
	{ NULL },
};
static const struct cli_option verify_options[] = {
	{ "password-file", 0, CLI_STRING, "FILE", "password of the backup (-: standard input)" },
	{ NULL },
};
static const struct cli_option restore_options[] = {
	{ "to", 0, CLI_STRING, "PATH", "restore into this database instead of the configured one" },
	{ "discard", 0, CLI_FLAG, NULL, "let rows that the backup lacks go, after a safety backup" },
	{ "merge", 0, CLI_FLAG, NULL, "only add the rows that are missing" },
	{ "force", 0, CLI_FLAG, NULL,
	    "take a backup of a foreign lineage; with --merge: on a clone; with --system: write over what is "
	    "there" },
	{ "password-file", 0, CLI_STRING, "FILE", "password of the backup (-: standard input)" },
	{ "system", 0, CLI_FLAG, NULL, "put a master's configuration back from a system backup" },
	{ "dir", 0, CLI_STRING, "DIR", "where to put it (else where the configuration is looked for)" },
	{ NULL },
};
const struct cli_command cmd_backup_commands[] = {
	{ "backup create", "", "make a full backup of the key database, outside the schedule", create_options, CLI_CONF,
	    cmd_create },
	{ "backup list", "", "list the backups in the backup folder", NULL, CLI_CONF, backup_list_command },
	{ "backup needed", "", "see whether the newest backup has every key (exit status 2: it has not)", NULL,
	    CLI_CONF, backup_needed_command },
	{ "backup verify", "FILE", "open a backup and prove everything that a restore would", verify_options, CLI_CONF,
	    cmd_verify },
	{ "backup restore", "FILE", "restore a backup into the key database", restore_options,
	    CLI_CONF | CLI_CONF_SYSTEM, backup_restore_command },
	{ NULL },
};
