/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_clone: the fleet in the configuration: add, remove, list. A running daemon is told. */
#include <stdlib.h>
#include <strings.h>

#include "base/err.h"
#include "base/host.h"
#include "cli.h"
#include "daemon/recipients.h"
#include "daemon/state.h"
#include "daemon_client.h"
#include "families.h"

/* The daemon reads the file anew; one that cannot is an error: the file and what runs would differ. */
static int tell_daemon(bool *told, struct cli *c)
{
	json_t *result = NULL;
	int rc;

	*told = daemon_running(c);
	if (!*told)
		return KC_OK;
	rc = daemon_call(&result, c, json_pack("{s:s}", "verb", "reload"), NULL, NULL);
	json_decref(result);
	return rc < 0 ? err_prefix(rc, "the file was changed, but the running daemon did not take it over") : KC_OK;
}

static int audited(struct cli *c, enum audit_event event, const char *peer)
{
	struct audit_record r = {
		.event = event, .outcome = AUDIT_SUCCESS, .peer = peer, .detail = "in the configuration"
	};
	struct audit *a = NULL;
	int rc = cli_audit(&a, c);

	if (rc == KC_OK)
		rc = audit_write(a, &r);
	return rc == KC_OK ? audit_sync(a) : rc;
}

/* A clone of that name is another one when it is added again: what it showed at first contact does not count. */
static int forget(struct cli *c, const char *host, int port, const char *name)
{
	struct state *s = NULL;
	int rc = recipients_forget(c->conf, name);

	if (rc == KC_OK)
		rc = state_open(&s, c->conf->state_dir, false);
	if (rc == KC_OK)
		rc = state_forget_clone(s, host, (uint16_t)port);
	state_close(s);
	return rc == KC_ENOENT ? KC_OK : rc;
}

/* The host alone is enough where it is unique; a new clone's port has a default. */
static int choose_port(int *port, const struct cli *c, const char *host, enum audit_event event)
{
	size_t found = 0;

	if (event == AUDIT_CLONE_ADDED) {
		*port = CONF_CLIENT_PORT_NO;
		return KC_OK;
	}
	for (size_t i = 0; i < c->conf->clone_count; i++)
		if (strcasecmp(c->conf->clones[i].host, host) == 0 && found++ == 0)
			*port = c->conf->clones[i].port;
	if (found == 0)
		return err_set(KC_ENOENT, "%s is not a clone", host);
	if (found > 1)
		return cli_usage(c, "%zu clones are on %s: which port?", found, host);
	return KC_OK;
}

typedef int (*edit_fn)(const char *path, const char *host, int port, struct conf_problems *p);

static int edit(struct cli *c, edit_fn fn, enum audit_event event, char **name, bool *told)
{
	struct conf_problems problems = CONF_PROBLEMS_EMPTY;
	char *host = NULL;
	int port = 0, rc = cli_args(c, 1, 1);

	if (rc == KC_OK && c->conf->role != CONF_MASTER)
		rc = err_set(KC_EUSAGE, "this machine is a clone; its master keeps the list of clones");
	if (rc == KC_OK)
		rc = host_port_parse(&host, &port, c->argv[0]);
	if (rc < 0)
		return rc;
	if (port == 0)
		rc = choose_port(&port, c, host, event);
	if (rc == KC_OK) {
		*name = host_port_format(host, port);
		rc = fn(c->conf_path, host, port, &problems);
	}
	if (rc < 0)
		rc = cli_problems(&problems) ? cli_quiet(c, rc) : rc;
	/* A running daemon audits what it takes over, and forgets whom it knew. */
	if (rc == KC_OK)
		rc = tell_daemon(told, c);
	if (rc == KC_OK && !*told)
		rc = audited(c, event, *name);
	if (rc == KC_OK && !*told && event == AUDIT_CLONE_REMOVED)
		rc = forget(c, host, port, *name);
	conf_problems_fini(&problems);
	free(host);
	return rc;
}

static int cmd_add(struct cli *c)
{
	char *name = NULL;
	bool told = false;
	int rc = edit(c, conf_clone_add, AUDIT_CLONE_ADDED, &name, &told);

	if (rc == KC_OK && c->json)
		cli_print_json(json_pack("{s:s, s:b}", "added", name, "daemon", (int)told));
	else if (rc == KC_OK)
		printf("Clone %s was added.\nNext: %s; then 'keyclone replicate-now --clone %s'.\n", name,
		    told ? "the daemon connects to it now, 'keyclone status' shows how it goes"
			 : "start keycloned here and there",
		    name);
	free(name);
	return rc;
}

static int cmd_remove(struct cli *c)
{
	char *name = NULL;
	bool told = false;
	int rc = edit(c, conf_clone_remove, AUDIT_CLONE_REMOVED, &name, &told);

	if (rc == KC_OK && c->json)
		cli_print_json(json_pack("{s:s, s:b}", "removed", name, "daemon", (int)told));
	else if (rc == KC_OK)
		printf(
		    "Clone %s was removed: nothing is sent to it any more. That machine still holds the keys it has.\n",
		    name);
	free(name);
	return rc;
}

static int cmd_list(struct cli *c)
{
	json_t *list = json_array();
	int rc = cli_args(c, 0, 0);

	for (size_t i = 0; rc == KC_OK && i < c->conf->clone_count; i++) {
		char *name = host_port_format(c->conf->clones[i].host, c->conf->clones[i].port);

		if (c->json)
			json_array_append_new(list,
			    json_pack("{s:s, s:i}", "host", c->conf->clones[i].host, "port", c->conf->clones[i].port));
		else
			puts(name);
		free(name);
	}
	if (rc == KC_OK && c->json)
		return cli_print_json(list);
	json_decref(list);
	return rc;
}

const struct cli_command cmd_clone_commands[] = {
	{ "clone add", "HOST:PORT", "add a clone to the fleet", NULL, CLI_CONF, cmd_add },
	{ "clone remove", "HOST:PORT", "remove a clone from the fleet", NULL, CLI_CONF, cmd_remove },
	{ "clone list", "", "list the fleet as configured", NULL, CLI_CONF, cmd_list },
	{ NULL },
};
