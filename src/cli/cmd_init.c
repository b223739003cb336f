/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_init: `init master` and `init clone`. Everything that can be known to be wrong is looked at before anything is
 * made; what fails later is taken back. An existing configuration is never touched.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"
#include "cli.h"
#include "init.h"
#include "keystore/identity.h"

char *init_absolute(const char *path)
{
	char *cwd, *abs;

	if (path[0] == '/')
		return mem_xstrdup(path);
	cwd = getcwd(NULL, 0);
	abs = cwd != NULL ? file_join(cwd, path) : mem_xstrdup(path);
	free(cwd);
	return abs;
}

void init_fini(struct init *in)
{
	mem_secret_free(in->password);
	mem_secret_free(in->p12_password);
	free(in->dir);
	free(in->path);
	free(in->master_host);
	free(in->keydb);
	free(in->alias);
	free(in->sealed);
	conf_list_fini(&in->made);
	conf_list_fini(&in->kept);
	conf_list_fini(&in->before);
}

/* --- what was asked for --- */

static int take_master(struct init *in, const char *text)
{
	int rc;

	in->master_port = 1111;
	if (text == NULL)
		return KC_OK;
	rc = host_port_parse(&in->master_host, &in->master_port, text);
	if (rc == KC_OK && in->master_port == 0)
		in->master_port = 1111;
	return rc;
}

static int take_options(struct init *in)
{
	struct cli *c = in->c;
	uint64_t port = cli_number(c, "port", in->master ? 1111 : 2222);
	const char *dir = cli_string(c, "dir"), *keydb = cli_string(c, "keydb");
	int rc = cli_args(c, 0, 0);

	if (rc < 0)
		return rc;
	if (dir == NULL || dir[0] == '\0')
		return cli_usage(c, "--dir is missing");
	if (port < 1 || port > 65535)
		return cli_usage(c, "--port is %llu: 1 to 65535 are possible", (unsigned long long)port);
	if (cli_string(c, "p12-password-file") != NULL && cli_string(c, "site-certificate") == NULL)
		return cli_usage(c, "--p12-password-file needs --site-certificate");
	if (keydb != NULL && strstr(keydb, "://") != NULL)
		return cli_usage(c, "--keydb is the path of an SQLite database");
	in->port = (int)port;
	in->dir = init_absolute(dir);
	in->path = file_join(in->dir, "keyclone.properties");
	in->keydb = keydb != NULL ? init_absolute(keydb) : NULL;
	in->p12 = cli_string(c, "site-certificate");
	return take_master(in, in->master ? NULL : cli_string(c, "master"));
}

static int take_passwords(struct init *in)
{
	struct cli *c = in->c;
	const char *file = cli_string(c, "password-file");
	int rc = KC_OK;

	/* A clone needs none: its travel headers open without. */
	if (in->master || file != NULL)
		rc = cli_password(&in->password, file, "Password of backups", true, "password-file");
	if (rc == KC_OK && in->password != NULL)
		rc = conf_check_password(in->password);
	if (rc == KC_OK && in->p12 != NULL)
		rc = cli_password(&in->p12_password, cli_string(c, "p12-password-file"), "Password of the PKCS#12 file",
		    false, "p12-password-file");
	return rc;
}

static int look_first(const struct init *in)
{
	if (file_exists(in->path))
		return err_set(KC_EEXIST, "%s exists; nothing was changed", in->path);
	if (in->p12 != NULL && access(in->p12, R_OK) < 0)
		return err_errno("%s", in->p12);
	return KC_OK;
}

int init_plan(struct init *in)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	char *text = init_text(in);
	int rc = conf_load_text(&in->c->conf, in->path, text, strlen(text), 0, &p);

	conf_problems_fini(&p);
	free(text);
	return rc;
}

/* --- what to do next --- */

static void print_certificate(const struct init *in)
{
	struct identity *id = NULL;
	char until[32] = "";
	struct tm tm;

	if (in->alias == NULL || identity_load(&id, in->c->conf->keystore_dir, in->alias) < 0)
		return;
	if (gmtime_r(&identity_info(id)->not_after, &tm) != NULL)
		strftime(until, sizeof(until), "%Y-%m-%d", &tm);
	printf("  certificate   %s until %s, SHA-256 %s\n", in->alias, until, identity_info(id)->sha256);
	identity_free(id);
}

void init_print_units(const struct init *in)
{
	struct conf_list paths;

	init_write_paths(&paths, in);
	if (strncmp(in->c->conf->dir, SYSCONFDIR "/", strlen(SYSCONFDIR) + 1) != 0 || in->keydb != NULL) {
		printf("\nAs a systemd service, keycloned must be allowed to write there (systemctl edit "
		       "keycloned):\n\n  [Service]\n");
		for (size_t i = 0; i < paths.count; i++)
			printf("  ReadWritePaths=%s\n", paths.items[i]);
	}
	conf_list_fini(&paths);
}

static void print_next(const struct init *in)
{
	const char *conf = in->path;

	puts("\nNext:");
	if (in->keydb != NULL && !file_exists(in->keydb))
		printf("  %s does not exist yet: keycloned starts when it is there\n", in->keydb);
	if (in->alias == NULL)
		printf("  keyclone -c %s cert import --p12-password-file FILE SITE.p12\n"
		       "  keyclone -c %s trust add ...     (as the import says)\n",
		    conf, conf);
	if (in->master) {
		if (in->p12 == NULL)
			printf("  keyclone -c %s cert export --alias %s --format p12 --p12-password-file FILE --output "
			       "site.p12\n",
			    conf, in->alias);
		printf("  keyclone -c %s clone add HOST:PORT     (for each clone)\n", conf);
	} else {
		printf("  keyclone clone add HOST:%d     (on the master, with the name of this machine)\n", in->port);
	}
	printf("  keycloned -c %s\n", conf);
	init_print_units(in);
}

static int report(const struct init *in)
{
	const struct conf *conf = in->c->conf;
	struct conf_list paths;
	json_t *folders = json_array();

	if (in->c->json) {
		init_write_paths(&paths, in);
		for (size_t i = 0; i < paths.count; i++)
			json_array_append_new(folders, json_string(paths.items[i]));
		conf_list_fini(&paths);
		return cli_print_json(json_pack("{s:s,s:s,s:s,s:i,s:s?,s:s,s:o}", "role",
		    in->master ? "master" : "clone", "dir", in->dir, "properties", in->path, "port", in->port, "alias",
		    in->alias, "keydb", conf->keydb_path, "write_paths", folders));
	}
	json_decref(folders);
	printf("Made a %s in %s:\n", in->master ? "master" : "clone", in->dir);
	init_print_made(in);
	print_next(in);
	return KC_OK;
}

void init_print_made(const struct init *in)
{
	const struct conf *conf = in->c->conf;

	printf("  properties    %s\n", in->path);
	printf("  key database  %s%s\n", conf->keydb_path, in->keydb != NULL ? " (not touched)" : "");
	print_certificate(in);
	printf("  keystore      %s\n  truststore    %s\n  secrets       %s\n", conf->keystore_dir, conf->truststore_dir,
	    conf->secrets_dir);
	printf("  backups       %s\n  audit log     %s\n", conf->backup_dir, conf->audit_log);
}

void init_take_back(struct init *in, int rc)
{
	char *why = mem_xstrdup(err_text(rc));

	audit_close(in->c->audit); /* before its directory goes */
	in->c->audit = NULL;
	init_undo(in);
	err_set(rc, "%s", why);
	free(why);
}

static int run(struct cli *c, bool master)
{
	struct init in = { .c = c, .master = master };
	int rc = take_options(&in);

	if (rc == KC_OK)
		rc = look_first(&in);
	if (rc == KC_OK)
		rc = take_passwords(&in);
	if (rc == KC_OK)
		rc = init_plan(&in);
	if (rc == KC_OK) {
		rc = init_make(&in);
		if (rc == KC_OK)
			rc = init_write(&in);
		if (rc < 0)
			init_take_back(&in, rc);
	}
	if (rc == KC_OK)
		rc = report(&in);
	init_fini(&in);
	return rc;
}

static int cmd_init_master(struct cli *c)
{
	return run(c, true);
}

static int cmd_init_clone(struct cli *c)
{
	return run(c, false);
}

/* clang-format off */
#define COMMON \
	{ "dir", 0, CLI_STRING, "DIR", "where to make it" }, \
	{ "keydb", 0, CLI_STRING, "PATH", "the SQLite database to replicate (else DIR/keydb.sqlite is made)" }, \
	{ "site-certificate", 0, CLI_STRING, "P12", "the certificate of all machines, from a PKCS#12 file" }, \
	{ "p12-password-file", 0, CLI_STRING, "FILE", "the password of that file (- : standard input)" }

static const struct cli_option master_options[] = {
	COMMON,
	{ "port", 0, CLI_NUMBER, "PORT", "where clones report [1111]" },
	{ "password-file", 0, CLI_STRING, "FILE", "the password of backups, its first line (- : standard input)" },
	{ NULL },
};

static const struct cli_option clone_options[] = {
	COMMON,
	{ "port", 0, CLI_NUMBER, "PORT", "where the master pushes [2222]" },
	{ "master", 0, CLI_STRING, "HOST:PORT", "the master that may push, and where this clone reports" },
	{ "password-file", 0, CLI_STRING, "FILE", "the password of backups, if this clone may become the master" },
	{ NULL },
};

const struct cli_command cmd_init_commands[] = {
	{ "init master", "", "make a master's configuration, authority, certificate and key database", master_options, 0,
	    cmd_init_master },
	{ "init clone", "", "make a clone's configuration and key database", clone_options, 0, cmd_init_clone },
	{ NULL },
};
/* clang-format on */
