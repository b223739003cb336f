/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll_join: `enroll join`. On a new machine it makes what `init clone` makes, with the certificate that the master
 * issues; a failure leaves nothing behind. On a clone it replaces key and certificate and adds trust, and touches
 * neither data nor state nor any other property.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/member.h"
#include "cli.h"
#include "daemon/state.h"
#include "daemon_client.h"
#include "enroll.h"
#include "init.h"

#define ALIAS "ssl_cert"

/* --- what is said --- */

static char *of_master(const struct joining *j)
{
	return host_port_format(j->token.host, j->token.port);
}

static json_t *result_json(const struct joining *j, const char *properties, bool told)
{
	const struct cert_info *info = identity_info(j->id);
	char *master = of_master(j), *clone = host_port_format(j->answer.host, j->answer.port);
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:b, s:b}", "properties", properties, "clone", clone,
	    "master", master, "alias", j->alias, "sha256", info->sha256, "not_after",
	    member_time((int64_t)info->not_after), "lineage", j->answer.lineage, "known", (int)j->answer.known,
	    "daemon", (int)told);

	free(master);
	free(clone);
	return o;
}

static void print_joined(const struct joining *j)
{
	char *master = of_master(j), *clone = host_port_format(j->answer.host, j->answer.port);

	printf("%s the fleet of %s (%s) as %s%s.\n", j->answer.known ? "This machine is in" : "Joined", master,
	    j->answer.master, clone, j->answer.known ? " again, in the place that it had" : "");
	free(master);
	free(clone);
}

/* Where its own clock and the master's are apart, the new certificate may be of no use here yet. */
static void warn_of_clock(const struct joining *j)
{
	const struct cert_info *info = identity_info(j->id);
	int64_t now = (int64_t)time(NULL);
	char from[CLOCK_UTC_SIZE], to[CLOCK_UTC_SIZE], here[CLOCK_UTC_SIZE];

	if (now >= (int64_t)info->not_before && now <= (int64_t)info->not_after)
		return;
	fprintf(stderr,
	    "keyclone: warning: the certificate is valid from %s to %s, and the clock here says %s: set the clock\n",
	    clock_utc(from, info->not_before), clock_utc(to, info->not_after), clock_utc(here, now));
}

/* --- a new clone --- */

static int join_new(struct init *in, void *arg)
{
	struct joining *j = arg;
	int rc = enroll_ask_and_keep(j, in->c->conf);

	if (rc == KC_OK)
		in->alias = mem_xstrdup(j->alias);
	return rc;
}

static int take_password(struct init *in)
{
	const char *file = cli_string(in->c, "password-file");
	int rc = file != NULL ? cli_password(&in->password, file, "Password of backups", true, "password-file") : KC_OK;

	return rc == KC_OK && in->password != NULL ? conf_check_password(in->password) : rc;
}

static int report_new(const struct init *in, const struct joining *j)
{
	struct conf_list paths;
	json_t *o;

	warn_of_clock(j);
	if (in->c->json) {
		o = result_json(j, in->path, false);
		init_write_paths(&paths, in);
		json_object_set_new(o, "dir", json_string(in->dir));
		json_object_set_new(o, "keydb", json_string(in->c->conf->keydb_path));
		json_object_set_new(o, "write_paths", conf_list_json(&paths));
		conf_list_fini(&paths);
		return cli_print_json(o);
	}
	print_joined(j);
	printf("Made a clone in %s:\n", in->dir);
	init_print_made(in);
	printf("\nNext:\n  keycloned -c %s     (it gets its keys as soon as the master reaches it; 'keyclone status' "
	       "there)\n",
	    in->path);
	init_print_units(in);
	return KC_OK;
}

static int join_as_new(struct cli *c, struct joining *j, const char *dir)
{
	const char *keydb = cli_string(c, "keydb");
	struct init in = { .c = c,
		.port = j->port,
		.dir = init_absolute(dir),
		.master_host = mem_xstrdup(j->token.host),
		.master_port = j->token.port,
		.keydb = keydb != NULL ? init_absolute(keydb) : NULL,
		.external = j->external,
		.join = join_new,
		.join_arg = j };
	int rc;

	in.path = file_join(in.dir, "keyclone.properties");
	j->alias = mem_xstrdup(ALIAS);
	rc = take_password(&in);
	if (rc == KC_OK)
		rc = init_plan(&in);
	if (rc == KC_OK)
		rc = enroll_look(j, c->conf);
	if (rc == KC_OK) {
		rc = init_make(&in);
		if (rc == KC_OK)
			rc = init_write(&in);
		if (rc < 0)
			init_take_back(&in, rc);
	}
	if (rc == KC_OK)
		rc = report_new(&in, j);
	init_fini(&in);
	return rc;
}

/* --- a machine that is a clone already --- */

static int load(struct cli *c, const char *path)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	int rc = conf_load(&c->conf, path, 0, &p);

	conf_list_fini(&p.warnings);
	if (cli_problems(&p))
		cli_quiet(c, rc);
	conf_problems_fini(&p);
	if (rc == KC_OK && c->conf->role != CONF_CLONE)
		return err_set(KC_EUSAGE, "%s is a master's; a clone joins with a folder of its own: --dir DIR", path);
	return rc;
}

/* The name under which its certificate was issued is the one that the master reaches it by. */
static char *known_host(const struct conf *conf, const char *alias)
{
	struct identity *id = NULL;
	const struct cert_info *info;
	char *host = NULL;

	if (identity_load(&id, conf->keystore_dir, alias) < 0)
		return NULL;
	info = identity_info(id);
	if (info->role == CERT_ROLE_CLONE && info->dns_count + info->ip_count == 1)
		host = mem_xstrdup(info->dns_count == 1 ? info->dns[0] : info->ips[0]);
	identity_free(id);
	return host;
}

/* Which alias is replaced: the one in force; where none is, or it cannot be told which, the usual one. */
static int choose_alias(struct joining *j, const struct conf *conf)
{
	if (conf->tls_alias != NULL && conf->tls_alias[0] != '\0') {
		j->alias = mem_xstrdup(conf->tls_alias);
		return identity_check_alias(j->alias);
	}
	if (identity_resolve(&j->alias, conf->keystore_dir, NULL) < 0)
		j->alias = mem_xstrdup(ALIAS);
	return KC_OK;
}

static int set_properties(const struct joining *j, const struct conf *conf)
{
	struct conf_change changes[2];
	char *alias = NULL;
	size_t n = 0;

	if (identity_resolve(&alias, conf->keystore_dir, conf->tls_alias) < 0 || strcmp(alias, j->alias) != 0)
		changes[n++] = (struct conf_change){ "backup.TLSCertAlias", j->alias };
	if (j->external != NULL)
		changes[n++] = (struct conf_change){ "tls.ExternalCertDir", j->external };
	free(alias);
	return n > 0 ? conf_edit(conf->path, changes, n, NULL) : KC_OK;
}

static int make_folders(const struct conf *conf)
{
	const char *const dirs[] = { conf->keystore_dir, conf->truststore_dir, conf->secrets_dir };
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		rc = file_make_dirs(dirs[i]);
	return rc;
}

static int work_again(struct cli *c, struct audit_record *r, void *arg)
{
	struct joining *j = arg;
	int rc = make_folders(c->conf);

	if (rc == KC_OK)
		rc = enroll_ask_and_keep(j, c->conf);
	if (rc == KC_OK) {
		snprintf(
		    j->detail, sizeof(j->detail), "certificate %s, SHA-256 %s", j->alias, identity_info(j->id)->sha256);
		r->detail = j->detail;
	}
	return rc == KC_OK ? set_properties(j, c->conf) : rc;
}

static int report_again(struct cli *c, const struct joining *j, bool told)
{
	const struct conf *conf = c->conf;

	warn_of_clock(j);
	if (conf->master_host != NULL && strcasecmp(conf->master_host, j->token.host) != 0)
		fprintf(stderr,
		    "keyclone: warning: replication.MasterHost is %s and the token names %s: if the master has another "
		    "address now, 'keyclone -c %s config set replication.MasterHost=%s'\n",
		    conf->master_host, j->token.host, conf->path, j->token.host);
	if (c->json)
		return cli_print_json(result_json(j, conf->path, told));
	print_joined(j);
	printf("Certificate %s in %s was replaced (SHA-256 %s); data, state and configuration stay.\n", j->alias,
	    conf->keystore_dir, identity_info(j->id)->sha256);
	if (told)
		puts("The running keycloned has taken it over. Next: 'keyclone status' on the master.");
	else
		printf("Next:\n  keycloned -c %s\n", conf->path);
	return KC_OK;
}

static int join_again(struct cli *c, struct joining *j, const char *path)
{
	char *master = of_master(j), *host = NULL;
	struct audit_record r = { .event = AUDIT_ENROLL_JOIN, .peer = master };
	struct state_self self = { .lineage = "" };
	struct state *s = NULL;
	bool told = false;
	int rc = load(c, path);

	if (rc == KC_OK && cli_number(c, "port", (uint64_t)c->conf->listen_port) != (uint64_t)c->conf->listen_port)
		rc = cli_usage(c, "--port: this clone listens on port %d (restore.ListenPort)", c->conf->listen_port);
	if (rc == KC_OK && (cli_string(c, "keydb") != NULL || cli_string(c, "password-file") != NULL))
		rc = cli_usage(c, "--keydb and --password-file are for a new clone; this one has a configuration");
	if (rc == KC_OK)
		rc = choose_alias(j, c->conf);
	if (rc == KC_OK && state_open(&s, c->conf->state_dir, false) == KC_OK) {
		if (state_get_self(&self, s) == KC_OK)
			j->lineage = self.lineage;
		state_close(s);
	}
	if (rc == KC_OK) {
		j->port = c->conf->listen_port;
		if (j->host == NULL)
			j->host = host = known_host(c->conf, j->alias);
		rc = enroll_look(j, c->conf);
	}
	if (rc == KC_OK)
		rc = cli_audited(c, &r, work_again, j);
	if (rc == KC_OK)
		rc = daemon_tell(
		    &told, NULL, c, "the certificate was replaced, but the running daemon did not take it over");
	if (rc == KC_OK)
		rc = report_again(c, j, told);
	free(host);
	free(master);
	return rc;
}

/* --- both --- */

/* The secret was on the command line: from here on the list of processes does not show it any more. */
static int take_token(struct joining *j, struct cli *c)
{
	char *given = (char *)(uintptr_t)c->argv[0], *text = NULL;
	int rc;

	if (strcmp(given, "-") == 0) {
		rc = cli_password(&text, "-", "Token", false, "token");
	} else {
		text = mem_secret_strdup(given);
		memset(given, 'x', strlen(given));
		rc = KC_OK;
	}
	if (rc == KC_OK)
		rc = invite_parse(&j->token, text);
	mem_secret_free(text);
	return rc;
}

static int take_options(struct joining *j, struct cli *c)
{
	uint64_t port = cli_number(c, "port", 2222);
	const char *keydb = cli_string(c, "keydb"), *host = cli_string(c, "host");
	char *bare = NULL;

	if (port < 1 || port > 65535)
		return cli_usage(c, "--port is %llu: 1 to 65535 are possible", (unsigned long long)port);
	if (keydb != NULL && strstr(keydb, "://") != NULL)
		return cli_usage(c, "--keydb is the path of an SQLite database");
	if (host != NULL && !host_parse(&bare, host))
		return cli_usage(c, "--host: '%s' is no host name or address", host);
	free(bare);
	j->port = (int)port;
	j->host = host;
	return KC_OK;
}

int enroll_join(struct cli *c)
{
	const char *dir = cli_string(c, "dir"), *external = cli_string(c, "external-cert-dir");
	char *folder = external != NULL ? init_absolute(external) : NULL;
	char *path = dir != NULL ? file_join(dir, "keyclone.properties") : mem_xstrdup(c->conf_path);
	struct joining j = { .external = folder };
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = take_token(&j, c);
	if (rc == KC_OK)
		rc = take_options(&j, c);
	if (rc == KC_OK && dir != NULL && dir[0] == '\0')
		rc = cli_usage(c, "--dir is empty");
	if (rc == KC_OK && file_exists(path))
		rc = join_again(c, &j, path);
	else if (rc == KC_OK && dir == NULL)
		rc = cli_usage(c, "--dir is missing, and %s, which would be an existing clone's, is not there", path);
	else if (rc == KC_OK)
		rc = join_as_new(c, &j, dir);
	joining_fini(&j);
	free(path);
	free(folder);
	return rc;
}
