/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system_restore: properties, keystore, truststore, secrets and state of a master, from its system backup and the
 * password, where nothing is. Everything is checked before anything is written, and the properties file comes last:
 * where it is, the rest is there too.
 */
#include "system_restore.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/state.h"
#include "daemon/system.h"
#include "daemon_client.h"
#include "keystore/layout.h"

struct putting {
	struct cli *c;
	const char *file;
	char *dir;  /* absolute */
	char *path; /* of the properties file to be */
	struct system_contents contents;
};

/* The folder of a member here, by the configuration that it came with; NULL: a place that this version does not know.
 */
static const char *dir_of(const struct putting *p, const char *member)
{
	const struct conf *conf = p->c->conf;
	const struct {
		const char *place, *dir;
	} rows[] = {
		{ SYSTEM_KEYSTORE, conf->keystore_dir },
		{ SYSTEM_TRUSTSTORE, conf->truststore_dir },
		{ SYSTEM_SECRETS, conf->secrets_dir },
		{ SYSTEM_CONFIG, p->dir },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strncmp(member, rows[i].place, strlen(rows[i].place)) == 0)
			return rows[i].dir;
	return NULL;
}

static char *path_of(const struct putting *p, const struct system_file *f)
{
	return file_join(dir_of(p, f->name), strchr(f->name, '/') + 1);
}

/* --- checks --- */

static int refuse_existing(const struct putting *p, const char *path)
{
	if (cli_flag(p->c, "force") || !file_exists(path))
		return KC_OK;
	return err_set(KC_EEXIST, "%s exists; nothing was changed (--force writes over it)", path);
}

static int check_free(struct putting *p)
{
	char *state = file_join(p->c->conf->state_dir, "state.db"),
	     *seal = file_join(p->c->conf->secrets_dir, LAYOUT_SEAL_KEY);
	int rc = refuse_existing(p, state);

	if (rc == KC_OK)
		rc = refuse_existing(p, seal);
	for (size_t i = 0; rc == KC_OK && i < p->contents.n_files; i++) {
		char *path = path_of(p, &p->contents.files[i]);

		rc = refuse_existing(p, path);
		free(path);
	}
	if (rc == KC_OK && cli_flag(p->c, "force") && file_exists(p->path) && daemon_running(p->c))
		rc = err_set(KC_ELOCKED, "%s: a keycloned runs there; stop it first", p->path);
	free(state);
	free(seal);
	return rc;
}

/* Where it came from decides the syntax; where it goes to, what relative paths are relative to. */
static int read_conf(struct putting *p)
{
	const struct system_file *f = system_config(&p->contents);
	struct conf_problems problems = CONF_PROBLEMS_EMPTY;
	int rc;

	if (f == NULL)
		return err_set(KC_EFORMAT, "%s: has no configuration", p->file);
	p->path = file_join(p->dir, f->name + strlen(SYSTEM_CONFIG));
	rc = conf_load_text(&p->c->conf, p->path, buf_data(&f->data), buf_len(&f->data), 0, &problems);
	conf_list_fini(&problems.warnings);
	if (cli_problems(&problems))
		cli_quiet(p->c, rc);
	conf_problems_fini(&problems);
	return rc;
}

static int open_backup(struct putting *p)
{
	char *password = NULL;
	int rc = cli_password(
	    &password, cli_string(p->c, "password-file"), "password of the system backup", false, "password-file");

	if (rc == KC_OK)
		rc = system_open(&p->contents, p->file, password, NULL);
	mem_secret_free(password);
	return rc;
}

/* --- writing --- */

static int make_dirs(const struct putting *p)
{
	const struct conf *c = p->c->conf;
	const char *const dirs[] = { p->dir, c->keystore_dir, c->truststore_dir, c->secrets_dir, c->backup_dir,
		c->log_dir, c->state_dir, c->run_dir };
	char *keydb = file_dirname(c->keydb_path), *key = file_dirname(c->master_key_file);
	int rc = file_make_dirs(keydb);

	/* What the keys come back into. */
	if (rc == KC_OK)
		rc = file_make_dirs(key);
	for (size_t i = 0; rc == KC_OK && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		rc = file_make_dirs(dirs[i]);
	free(keydb);
	free(key);
	return rc;
}

static bool is_config(const struct system_file *f)
{
	return strncmp(f->name, SYSTEM_CONFIG, strlen(SYSTEM_CONFIG)) == 0;
}

static int put_file(const struct putting *p, const struct system_file *f)
{
	char *path = path_of(p, f);
	struct file_new n = FILE_NEW_EMPTY;
	int rc = file_new_begin(&n, path, 0600);

	if (rc == KC_OK) {
		file_new_write(&n, buf_data(&f->data), buf_len(&f->data));
		rc = cli_flag(p->c, "force") ? file_new_commit(&n) : file_new_commit_excl(&n);
	}
	free(path);
	return rc;
}

static int put_files(const struct putting *p, bool config)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < p->contents.n_files; i++)
		if (is_config(&p->contents.files[i]) == config)
			rc = put_file(p, &p->contents.files[i]);
	return rc;
}

/* The lineage as far as this backup knows it. What the clones have applied since is in their backups of the keys. */
static int put_state(const struct putting *p)
{
	struct state_self self = { .role = "master", .generation = p->contents.keys, .want_full = true };
	struct state_system sys = { .generation = p->contents.generation };
	struct state *s = NULL;
	int rc = state_open(&s, p->c->conf->state_dir, true);

	memcpy(self.lineage, p->contents.lineage, sizeof(self.lineage));
	lineage_format(self.ancestors, &p->contents.ancestors);
	if (rc == KC_OK)
		rc = state_put_self(s, &self);
	if (rc == KC_OK)
		rc = state_put_system(s, &sys);
	state_close(s);
	return rc;
}

static int work(struct cli *c, struct audit_record *r, void *arg)
{
	const struct putting *p = arg;
	int rc = put_files(p, false);

	(void)c;
	if (rc == KC_OK)
		rc = put_state(p);
	if (rc == KC_OK)
		rc = put_files(p, true);
	r->lineage = p->contents.lineage;
	return rc;
}

static int put_all(struct putting *p)
{
	struct audit_record r = {
		.event = AUDIT_BACKUP_RESTORE, .backup = file_basename(p->file), .detail = "system backup"
	};
	int rc = make_dirs(p);

	return rc < 0 ? rc : cli_audited(p->c, &r, work, p);
}

/* --- what was done, and what is next --- */

static int say_json(const struct putting *p)
{
	json_t *clones = json_array();

	for (size_t i = 0; i < p->contents.n_clones; i++)
		json_array_append_new(clones, json_string(p->contents.clones[i]));
	return cli_print_json(json_pack("{s:b, s:s, s:s, s:I, s:I, s:s, s:I, s:o}", "restored", 1, "config", p->path,
	    "lineage", p->contents.lineage, "system_generation", (json_int_t)p->contents.generation, "generation",
	    (json_int_t)p->contents.keys, "host", p->contents.host, "files", (json_int_t)p->contents.n_files, "clones",
	    clones));
}

static void say_next(const struct putting *p)
{
	const struct conf *conf = p->c->conf;
	char host[256] = "";

	puts("\nNext:");
	if (conf->password_file != NULL && !file_exists(conf->password_file))
		printf("  Put the backup password into %s, which the configuration names.\n", conf->password_file);
	printf("  Fetch the newest full backup of the keys (keyclone-…-full-….age) from a clone's backup folder, then\n"
	       "    keyclone -c %s backup restore FILE\n"
	       "  keycloned -c %s\n"
	       "    (clones accept it by its certificate and its signing key)\n",
	    p->path, p->path);
	if (gethostname(host, sizeof(host) - 1) == 0 && strcmp(host, p->contents.host) != 0)
		printf("  The master was called %s, this machine is %s: where clones name it by "
		       "replication.MasterHost,\n  they have to reach this one.\n",
		    p->contents.host, host);
}

static int say(const struct putting *p)
{
	if (p->c->json)
		return say_json(p);
	printf("The master of lineage %.8s is put back in %s, as it was at generation %llu: %zu files.\n",
	    p->contents.lineage, p->dir, (unsigned long long)p->contents.keys, p->contents.n_files);
	printf("  its clones:");
	for (size_t i = 0; i < p->contents.n_clones; i++)
		printf(" %s", p->contents.clones[i]);
	puts(p->contents.n_clones > 0 ? "" : " none");
	say_next(p);
	return KC_OK;
}

/* --dir, else where the configuration is looked for. */
static int choose_dir(struct putting *p)
{
	const char *given = cli_string(p->c, "dir");
	char *dir = given != NULL ? mem_xstrdup(given) : file_dirname(p->c->conf_path), cwd[4096];

	if (dir[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL) {
		free(dir);
		return err_errno("the working directory");
	}
	p->dir = dir[0] == '/' ? mem_xstrdup(dir) : file_join(cwd, dir);
	free(dir);
	return KC_OK;
}

int system_restore_command(struct cli *c)
{
	static const char *const others[] = { "to", "discard", "merge" };
	struct putting p = { .c = c };
	int rc = cli_args(c, 1, 1);

	for (size_t i = 0; rc == KC_OK && i < sizeof(others) / sizeof(others[0]); i++)
		if (cli_string(c, others[i]) != NULL || cli_flag(c, others[i]))
			rc = cli_usage(c, "--%s does not go with --system", others[i]);
	if (rc < 0)
		return rc;
	system_init(&p.contents);
	p.file = c->argv[0];
	rc = choose_dir(&p);
	if (rc == KC_OK)
		rc = open_backup(&p);
	if (rc == KC_OK)
		rc = read_conf(&p);
	if (rc == KC_OK)
		rc = check_free(&p);
	if (rc == KC_OK)
		rc = put_all(&p);
	if (rc == KC_OK)
		rc = say(&p);
	system_fini(&p.contents);
	free(p.path);
	free(p.dir);
	return rc;
}
