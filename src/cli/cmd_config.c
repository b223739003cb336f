/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_config: `config check|show|get|set|unset`. Edits are audited where the configuration before them was good enough
 * to say where the audit log is; a record says which property, never what a secret was.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli.h"
#include "config_access.h"
#include "daemon/secrets.h"
#include "daemon_client.h"

/* --- check, show, get --- */

static int cmd_check(struct cli *c)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	struct conf *conf = NULL;
	int rc = cli_args(c, 0, 0);

	if (rc < 0)
		return rc;
	rc = conf_load(&conf, c->conf_path, CONF_START, &p);
	/* A file that cannot be read has no line to blame. */
	if (rc < 0 && p.errors.count == 0)
		conf_list_add(&p.errors, err_text(rc));
	if (rc == KC_OK) {
		config_access_check(&p, conf);
		if (p.errors.count > 0)
			rc = err_set(KC_ECONF, "%s", p.errors.items[0]);
	}
	if (c->json) {
		cli_print_json(json_pack("{s:s,s:b,s:o,s:o}", "file", c->conf_path, "ok", rc == KC_OK, "errors",
		    conf_list_json(&p.errors), "warnings", conf_list_json(&p.warnings)));
	} else {
		cli_problems(&p);
		if (rc == KC_OK)
			printf("%s: right for a %s\n", c->conf_path, conf->role == CONF_MASTER ? "master" : "clone");
	}
	conf_free(conf);
	conf_problems_fini(&p);
	return rc < 0 ? cli_quiet(c, rc) : KC_OK;
}

static int cmd_show(struct cli *c)
{
	char *text;
	int rc = cli_args(c, 0, 0);

	if (rc < 0)
		return rc;
	if (c->json)
		return cli_print_json(conf_dump_json(c->conf));
	text = conf_dump(c->conf, true);
	fputs(text, stdout);
	free(text);
	return KC_OK;
}

static int cmd_get(struct cli *c)
{
	char *value = NULL;
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = conf_get(&value, c->conf, c->argv[0]);
	if (rc < 0)
		return rc;
	if (c->json) {
		rc = cli_print_json(json_pack("{s:s?}", c->argv[0], value));
	} else if (value != NULL) {
		puts(value);
	} else {
		rc = err_set(KC_ENOENT, "%s is not set", c->argv[0]);
	}
	free(value);
	return rc;
}

/* --- set, unset --- */

/* The audit log of the configuration as it is, if it is good enough; else none, and that is no error. */
static int open_audit(struct audit **audit, struct cli *c)
{
	*audit = NULL;
	if (c->conf == NULL && conf_load(&c->conf, c->conf_path, 0, NULL) < 0)
		return KC_OK;
	return cli_audit(audit, c);
}

static int record(struct audit *audit, enum audit_event event, const char *detail, int rc)
{
	if (audit == NULL)
		return rc;
	return audit_result(audit, &(struct audit_record){ .event = event, .detail = detail }, rc);
}

/* What is to be done for the change to count. */
static int say_when(const struct cli *c)
{
	struct conf_list live = { 0 }, restart = { 0 };
	struct conf *now = NULL;
	int rc = KC_OK;

	if (c->conf != NULL && conf_load(&now, c->conf_path, 0, NULL) == KC_OK)
		conf_diff(&live, &restart, c->conf, now);
	if (c->json) {
		rc = cli_print_json(
		    json_pack("{s:o, s:o}", "changed", conf_list_json(&live), "restart", conf_list_json(&restart)));
	} else {
		for (size_t i = 0; i < live.count; i++)
			printf("%s: changed; keycloned takes it over when it reloads or starts\n", live.items[i]);
		for (size_t i = 0; i < restart.count; i++)
			printf("%s: changed; keycloned takes it over when it starts\n", restart.items[i]);
	}
	conf_list_fini(&live);
	conf_list_fini(&restart);
	conf_free(now);
	return rc;
}

/* "a, b": the names. Heap. */
static char *names_of(const struct conf_change *changes, size_t count, const char *verb)
{
	char *all = mem_xstrdup(verb);

	for (size_t i = 0; i < count; i++) {
		char *longer = mem_xasprintf("%s%s %s", all, i > 0 ? "," : "", changes[i].name);

		free(all);
		all = longer;
	}
	return all;
}

/* A daemon is asked where the file says it is: it would run on, and nobody could ask it any more. */
static int check_running(struct cli *c, const struct conf_change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(changes[i].name, "replication.RunDir") == 0 && c->conf != NULL && daemon_running(c))
			return err_set(
			    KC_EBUSY, "%s: keycloned runs in %s; stop it first", changes[i].name, c->conf->run_dir);
	return KC_OK;
}

/* A daemon would not start with a certificate that is not there. Looked at only where another one is named: a token
 * counts wrong PINs. */
static void judge(struct conf_problems *p, const struct conf *before, const struct conf *after)
{
	if (before == NULL || strcmp(before->keystore_dir, after->keystore_dir) != 0 ||
	    (before->tls_alias == NULL) != (after->tls_alias == NULL) ||
	    (after->tls_alias != NULL && strcmp(before->tls_alias, after->tls_alias) != 0))
		config_access_certificate(p, after);
}

static int change(struct cli *c, const struct conf_change *changes, size_t count, const char *verb)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	struct audit *audit;
	char *detail = NULL;
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < count; i++) {
		rc = conf_check_name(changes[i].name);
		if (rc == KC_EUSAGE && changes[i].value == NULL)
			rc = KC_OK; /* to take a secret away tells none */
	}
	if (rc == KC_OK)
		rc = open_audit(&audit, c);
	if (rc == KC_OK)
		rc = check_running(c, changes, count);
	if (rc < 0)
		return rc;
	detail = names_of(changes, count, verb);
	rc = conf_edit_judged(c->conf_path, changes, count, judge, &p);
	/* The record of a failure carries its reason. */
	rc = record(audit, AUDIT_CONFIG_CHANGE, rc == KC_OK ? detail : NULL, rc);
	if (cli_problems(&p))
		cli_quiet(c, rc);
	conf_problems_fini(&p);
	free(detail);
	return rc == KC_OK ? say_when(c) : rc;
}

static int seal_password(char **sealed, const struct conf *conf, const char *password)
{
	struct secrets s;
	int rc = secrets_open(&s, conf->secrets_dir, conf->role == CONF_MASTER);

	if (rc < 0)
		return rc;
	rc = secret_seal(sealed, s.box, SECRET_BACKUP_PASSWORD, password, strlen(password));
	secrets_fini(&s);
	return rc;
}

static int set_password(struct cli *c, const char *file)
{
	struct audit *audit = NULL;
	char *password = NULL, *sealed = NULL;
	int rc = conf_load(&c->conf, c->conf_path, 0, NULL);

	if (rc == KC_OK)
		rc = cli_password(&password, file, "Password of backups", true, "password-file");
	if (rc == KC_OK)
		rc = conf_check_password(password);
	if (rc == KC_OK)
		rc = cli_audit(&audit, c);
	if (rc == KC_OK)
		rc = seal_password(&sealed, c->conf, password);
	if (rc == KC_OK)
		rc = conf_replace_password(c->conf_path, sealed);
	if (audit != NULL)
		rc = record(audit, AUDIT_PASSWORD_SEAL, NULL, rc);
	if (rc == KC_OK)
		rc = say_when(c);
	mem_secret_free(password);
	free(sealed);
	return rc;
}

static int cmd_set(struct cli *c)
{
	const char *file = cli_string(c, "password-file");
	struct conf_change changes[CLI_ARGS_MAX];
	char *names[CLI_ARGS_MAX];
	int rc = KC_OK, n = 0;

	if (file != NULL && c->argc > 0)
		return cli_usage(c, "--password-file goes alone");
	if (file != NULL)
		return set_password(c, file);
	rc = cli_args(c, 1, CLI_ARGS_MAX);
	for (; rc == KC_OK && n < c->argc; n++) {
		size_t len = strcspn(c->argv[n], "=");

		if (c->argv[n][len] == '\0') {
			rc = conf_check_name(c->argv[n]); /* a secret's name alone */
			if (rc == KC_OK)
				rc = cli_usage(c, "'%s' is not NAME=VALUE", c->argv[n]);
			break;
		}
		names[n] = mem_xstrndup(c->argv[n], len);
		changes[n] = (struct conf_change){ .name = names[n], .value = c->argv[n] + len + 1 };
	}
	if (rc == KC_OK)
		rc = change(c, changes, (size_t)n, "set");
	while (n > 0)
		free(names[--n]);
	return rc;
}

static int cmd_unset(struct cli *c)
{
	struct conf_change changes[CLI_ARGS_MAX];
	int rc = cli_args(c, 1, CLI_ARGS_MAX);

	for (int i = 0; i < c->argc; i++)
		changes[i] = (struct conf_change){ .name = c->argv[i] };
	return rc < 0 ? rc : change(c, changes, (size_t)c->argc, "unset");
}

static const struct cli_option set_options[] = {
	{ "password-file", 0, CLI_STRING, "FILE",
	    "set the password of backups to the first line of FILE (- : standard input)" },
	{ NULL },
};

const struct cli_command cmd_config_commands[] = {
	{ "config check", "", "say whether the configuration is right and everything it names can be reached", NULL,
	    CLI_CONF_LENIENT, cmd_check },
	{ "config show", "", "show the configuration in force, without secrets", NULL, CLI_CONF, cmd_show },
	{ "config get", "NAME", "show one property", NULL, CLI_CONF, cmd_get },
	{ "config set", "NAME=VALUE...", "change properties; comments and order stay", set_options, CLI_CONF_LENIENT,
	    cmd_set },
	{ "config unset", "NAME...", "remove properties", NULL, CLI_CONF_LENIENT, cmd_unset },
	{ NULL },
};
