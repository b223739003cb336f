/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_clone: the fleet: add, remove, list in the configuration, hold and resume in the state. A running daemon is told.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/str.h"
#include "cert_revoke.h"
#include "cli.h"
#include "daemon/depot.h"
#include "daemon/recipients.h"
#include "daemon/state.h"
#include "daemon_client.h"
#include "families.h"

#define NOT_TAKEN "the file was changed, but the running daemon did not take it over"

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

/* What a removed clone was sent, it can open: the others get a new full with a new key. */
static int want_full(struct state *s, const char *host, int port)
{
	struct state_self self;
	struct state_clone known;
	int rc = state_get_clone(&known, s, host, (uint16_t)port);

	if (rc < 0)
		return rc;
	if (known.recipient[0] == '\0')
		return KC_OK;
	rc = state_get_self(&self, s);
	self.want_full = true;
	return rc == KC_OK ? state_put_self(s, &self) : rc;
}

/* A clone of that name is another one when it is added again: what it showed at first contact does not count. */
static int forget(struct cli *c, const char *host, int port, const char *name)
{
	struct state *s = NULL;
	int rc = recipients_forget(c->conf, name);

	if (rc == KC_OK)
		rc = state_open(&s, c->conf->state_dir, false);
	if (rc == KC_OK)
		rc = want_full(s, host, port);
	if (rc == KC_OK)
		rc = state_forget_clone(s, host, (uint16_t)port);
	state_close(s);
	return rc == KC_ENOENT ? KC_OK : rc;
}

/* A clone that is removed. */
struct gone {
	json_t *serials; /* of the certificates that are revoked */
	char cn[256];	 /* a name of tls.AuthorizedCNs that nobody else of the fleet has; "": none */
	bool depot;	 /* something was kept for it */
};

/* The name of its certificate, if that still lets it in and no other clone needs it. */
static int find_name(struct gone *g, struct cli *c, const char *host, int port)
{
	const struct conf_list *names = &c->conf->authorized_cns;
	struct state_clone gone, other;
	struct state *s = NULL;
	bool needed = true;
	int rc = state_open(&s, c->conf->state_dir, false);

	if (rc == KC_OK)
		rc = state_get_clone(&gone, s, host, (uint16_t)port);
	for (size_t i = 0; rc == KC_OK && i < names->count; i++)
		needed = needed && strcasecmp(names->items[i], gone.cn) != 0;
	for (size_t i = 0; rc == KC_OK && i < c->conf->clone_count; i++) {
		const struct conf_clone *o = &c->conf->clones[i];

		if ((strcmp(o->host, host) != 0 || o->port != port) &&
		    state_get_clone(&other, s, o->host, (uint16_t)o->port) == KC_OK)
			needed = needed || strcasecmp(other.cn, gone.cn) == 0;
	}
	state_close(s);
	if (rc == KC_OK && !needed)
		STR_COPY(g->cn, gone.cn);
	return rc == KC_ENOENT ? KC_OK : rc;
}

struct place {
	const char *host;
	int port;
};

static int work_depot(struct cli *c, struct audit_record *r, void *arg)
{
	const struct place *p = arg;

	(void)r;
	return depot_remove(c->conf, p->host, p->port);
}

/* What the depot keeps for it is retired. */
static int retire(struct gone *g, struct cli *c, const char *host, int port, const char *name)
{
	struct place p = { host, port };
	char *detail;
	int rc;

	if (!depot_keeps(c->conf, host, port))
		return KC_OK;
	detail = mem_xasprintf("depot, for %s, the clone is removed", name);
	rc = cli_audited(
	    c, &(struct audit_record){ .event = AUDIT_CERT_REMOVE, .peer = name, .detail = detail }, work_depot, &p);
	free(detail);
	g->depot = rc == KC_OK;
	return rc;
}

/* The certificates that were issued to it go with it, unless another clone shows the same. */
static int revoke(json_t *serials, struct cli *c, const char *host, int port, const char *name)
{
	struct state *s = NULL;
	int rc = state_open(&s, c->conf->state_dir, false);

	if (rc == KC_OK)
		rc = state_issued_to(serials, s, host, (uint16_t)port);
	state_close(s);
	if (rc == KC_ENOENT)
		return KC_OK; /* nothing was ever sent from here */
	for (size_t i = 0; rc == KC_OK && i < json_array_size(serials); i++) {
		const char *serial = json_string_value(json_array_get(serials, i));
		char *detail = mem_xasprintf("serial number %s, the clone is removed", serial);

		rc = cert_revoke_serial(NULL, c, serial, name, detail);
		free(detail);
	}
	return rc;
}

/* A clone of the fleet. The host alone is enough where it is unique. */
static int find_port(int *port, const struct cli *c, const char *host)
{
	int given = *port;
	size_t found = 0;

	for (size_t i = 0; i < c->conf->clone_count; i++)
		if (strcasecmp(c->conf->clones[i].host, host) == 0 &&
		    (given == 0 || c->conf->clones[i].port == given) && found++ == 0)
			*port = c->conf->clones[i].port;
	if (found == 0 && given != 0)
		return err_set(KC_ENOENT, "%s, port %d, is not a clone", host, given);
	if (found == 0)
		return err_set(KC_ENOENT, "%s is not a clone", host);
	if (found > 1)
		return cli_usage(c, "%zu clones are on %s: which port?", found, host);
	return KC_OK;
}

typedef int (*edit_fn)(const char *path, const char *host, int port, struct conf_problems *p);

/* g: unused where a clone is added. */
static int edit(struct cli *c, edit_fn fn, enum audit_event event, char **name, bool *told, struct gone *g)
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
	if (port == 0 && event == AUDIT_CLONE_ADDED)
		port = CONF_CLIENT_PORT_NO; /* a new clone's port has a default */
	else if (port == 0)
		rc = find_port(&port, c, host);
	if (rc == KC_OK) {
		*name = host_port_format(host, port);
		/* First: whoever is cut short here is not trusted, and can be removed again. */
		if (event == AUDIT_CLONE_REMOVED)
			rc = revoke(g->serials, c, host, port, *name);
		if (rc == KC_OK && event == AUDIT_CLONE_REMOVED)
			rc = find_name(g, c, host, port);
	}
	if (rc == KC_OK) {
		rc = fn(c->conf_path, host, port, &problems);
	}
	if (rc < 0)
		rc = cli_problems(&problems) ? cli_quiet(c, rc) : rc;
	/* A running daemon audits what it takes over, and forgets whom it knew. */
	if (rc == KC_OK)
		rc = daemon_tell(told, NULL, c, NOT_TAKEN);
	if (rc == KC_OK && !*told)
		rc = audited(c, event, *name);
	if (rc == KC_OK && !*told && event == AUDIT_CLONE_REMOVED)
		rc = forget(c, host, port, *name);
	if (rc == KC_OK && event == AUDIT_CLONE_REMOVED)
		rc = retire(g, c, host, port, *name);
	conf_problems_fini(&problems);
	free(host);
	return rc;
}

static int cmd_add(struct cli *c)
{
	char *name = NULL;
	bool told = false;
	int rc = edit(c, conf_clone_add, AUDIT_CLONE_ADDED, &name, &told, NULL);

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

#define REMOVED	 "Clone %s was removed: nothing is sent to it any more%s.\n"
#define NEW_FULL ", and the others get a new full backup with a new key"
#define ERASE                                                                                             \
	" the keys it has, and the backups in its backup folder. Next: erase them there (key database,\n" \
	"replication.BackupDestDir, keystore.SecretsDir), and where it is not in your hands any more, "   \
	"replace the keys that it\n"

static void print_revoked(const json_t *serials)
{
	size_t n = json_array_size(serials);

	if (n == 0) {
		printf("No certificate was revoked: it never had one that the own authority made for it alone.\n");
		return;
	}
	printf(n == 1 ? "Its certificate (serial number" : "Its certificates (serial numbers");
	for (size_t i = 0; i < n; i++)
		printf("%s %s", i > 0 ? "," : "", json_string_value(json_array_get(serials, i)));
	printf(n == 1 ? ") is revoked: this master refuses it from now on.\n"
		      : ") are revoked: this master refuses them from now on.\n");
}

/* What lets its certificate in after all, and how that ends. */
static void print_name(const struct cli *c, const char *cn)
{
	const struct conf_list *names = &c->conf->authorized_cns;
	const char *before = "";

	printf("Its certificate is of another authority, and its common name is in tls.AuthorizedCNs still. Next:\n"
	       "have that authority revoke it, and ");
	if (names->count == 1) {
		printf("'keyclone config unset tls.AuthorizedCNs' (%s).\n", cn);
		return;
	}
	printf("keyclone config set 'tls.AuthorizedCNs=");
	for (size_t i = 0; i < names->count; i++)
		if (strcasecmp(names->items[i], cn) != 0) {
			printf("%s%s", before, names->items[i]);
			before = ";";
		}
	printf("' (without %s).\n", cn);
}

static int cmd_remove(struct cli *c)
{
	struct gone g = { .serials = json_array() };
	char *name = NULL;
	bool told = false;
	int rc = edit(c, conf_clone_remove, AUDIT_CLONE_REMOVED, &name, &told, &g);

	if (rc == KC_OK && c->json) {
		cli_print_json(
		    json_pack("{s:s, s:b, s:O, s:o, s:b}", "removed", name, "daemon", (int)told, "revoked", g.serials,
			"authorized_cn", g.cn[0] != '\0' ? json_string(g.cn) : json_null(), "depot", (int)g.depot));
	} else if (rc == KC_OK) {
		printf(REMOVED, name, c->conf->clone_count > 1 ? NEW_FULL : "");
		print_revoked(g.serials);
		if (g.cn[0] != '\0')
			print_name(c, g.cn);
		if (g.depot)
			printf("What the depot kept for it is retired.\n");
		printf("That machine still holds" ERASE "knows%s.\n",
		    json_array_size(g.serials) == 0 ? ", and its certificate if it shared the site's" : "");
	}
	json_decref(g.serials);
	free(name);
	return rc;
}

/* --- hold, resume --- */

/* Without a daemon: the next one reads it from the state database. */
static int hold_offline(bool *was, struct cli *c, const char *host, int port, const char *name, bool held)
{
	struct state_clone known = { .port = (uint16_t)port };
	struct state *s = NULL;
	int rc = state_open(&s, c->conf->state_dir, true);

	if (rc == KC_OK) {
		rc = state_get_clone(&known, s, host, (uint16_t)port);
		if (rc == KC_ENOENT) {
			STR_COPY(known.host, host);
			rc = KC_OK;
		}
	}
	*was = known.held;
	if (rc == KC_OK && known.held != held) {
		rc = audited(c, held ? AUDIT_CLONE_HELD : AUDIT_CLONE_RESUMED, name);
		known.held = held;
		if (rc == KC_OK)
			rc = state_put_clone(s, &known);
	}
	state_close(s);
	return rc;
}

static int hold_online(bool *was, struct cli *c, const char *name, bool held)
{
	json_t *result = NULL;
	int rc = daemon_call(&result, c,
	    json_pack("{s:s, s:s}", "verb", held ? "clone-hold" : "clone-resume", "clone", name), NULL, NULL);

	*was = json_is_true(json_object_get(result, "was_held"));
	json_decref(result);
	return rc;
}

static int set_held(struct cli *c, bool held)
{
	char *host = NULL, *name = NULL;
	int port = 0, rc = cli_args(c, 1, 1);
	bool was = false, told = false;

	if (rc == KC_OK && c->conf->role != CONF_MASTER)
		rc = err_set(KC_EUSAGE, "this machine is a clone; its master holds and resumes");
	if (rc == KC_OK)
		rc = host_port_parse(&host, &port, c->argv[0]);
	if (rc == KC_OK)
		rc = find_port(&port, c, host);
	if (rc == KC_OK) {
		name = host_port_format(host, port);
		told = daemon_running(c);
		rc = told ? hold_online(&was, c, name, held) : hold_offline(&was, c, host, port, name, held);
	}
	if (rc == KC_OK && c->json)
		rc =
		    cli_print_json(json_pack("{s:s, s:b, s:b}", "clone", name, "held", (int)held, "daemon", (int)told));
	else if (rc == KC_OK && was == held)
		printf("Clone %s %s.\n", name, held ? "is held already" : "was not held");
	else if (rc == KC_OK && held)
		printf("Clone %s is held: nothing is sent to it until 'keyclone clone resume %s'.\n", name, name);
	else if (rc == KC_OK)
		printf("Clone %s is resumed: %s.\n", name,
		    told ? "it is sent what it lacks now" : "it is sent what it lacks when keycloned starts");
	free(name);
	free(host);
	return rc;
}

static int cmd_hold(struct cli *c)
{
	return set_held(c, true);
}

static int cmd_resume(struct cli *c)
{
	return set_held(c, false);
}

/* --- list --- */

static bool is_held(struct state *s, const struct conf_clone *clone)
{
	struct state_clone known;

	return s != NULL && state_get_clone(&known, s, clone->host, (uint16_t)clone->port) == KC_OK && known.held;
}

static int cmd_list(struct cli *c)
{
	json_t *list = json_array();
	struct state *s = NULL;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK && c->conf->clone_count > 0 && state_open(&s, c->conf->state_dir, false) < 0)
		s = NULL; /* nothing was ever sent from here */
	for (size_t i = 0; rc == KC_OK && i < c->conf->clone_count; i++) {
		const struct conf_clone *clone = &c->conf->clones[i];
		char *name = host_port_format(clone->host, clone->port);
		bool held = is_held(s, clone);

		if (c->json)
			json_array_append_new(list,
			    json_pack("{s:s, s:i, s:b}", "host", clone->host, "port", clone->port, "held", (int)held));
		else
			printf("%s%s\n", name, held ? "  held" : "");
		free(name);
	}
	state_close(s);
	if (rc == KC_OK && c->json)
		return cli_print_json(list);
	json_decref(list);
	return rc;
}

const struct cli_command cmd_clone_commands[] = {
	{ "clone add", "HOST:PORT", "add a clone to the fleet", NULL, CLI_CONF, cmd_add },
	{ "clone remove", "HOST:PORT", "remove a clone from the fleet", NULL, CLI_CONF, cmd_remove },
	{ "clone hold", "HOST:PORT", "send no backup to a clone until it is resumed", NULL, CLI_CONF, cmd_hold },
	{ "clone resume", "HOST:PORT", "send to a held clone again, at once", NULL, CLI_CONF, cmd_resume },
	{ "clone list", "", "list the fleet as configured", NULL, CLI_CONF, cmd_list },
	{ NULL },
};
