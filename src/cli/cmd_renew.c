/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_renew: another certificate for this machine, now: by the own authority, from a set of files, from the master's
 * depot; and that depot.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/member.h"
#include "cert_text.h"
#include "cli.h"
#include "daemon/depot.h"
#include "daemon/own_cert.h"
#include "daemon_client.h"
#include "families.h"
#include "keystore/renewal.h"

#define INPUT_MAX (1024 * 1024)

/* --- cert renew, cert fetch --- */

static int print_renewed(const struct cli *c, const json_t *result, const char *from, bool told)
{
	if (c->json)
		return cli_print_json(json_pack("{s:s, s:s, s:s, s:s, s:b}", "renewed", member_text(result, "alias"),
		    "from", from, "sha256", member_text(result, "sha256"), "not_after",
		    member_text(result, "not_after"), "daemon", (int)told));
	printf("Certificate %s was renewed: until %s, SHA-256 %s.\n%s\n", member_text(result, "alias"),
	    member_text(result, "not_after"), member_text(result, "sha256"),
	    told ? "New sessions use it already." : "keycloned uses it from its next start.");
	return KC_OK;
}

/* That there is only the one in use is no file in the way. */
static int as_failure(int rc)
{
	char *text = rc == KC_EEXIST ? mem_xstrdup(err_text(rc)) : NULL;

	if (text != NULL)
		rc = err_set(KC_ECERT, "%s", text);
	free(text);
	return rc;
}

static int by_daemon(struct cli *c, const char *verb, const char *from)
{
	json_t *result = NULL;
	int rc = daemon_call(&result, c, json_pack("{s:s}", "verb", verb), NULL, NULL);

	if (rc == KC_OK)
		rc = print_renewed(c, result, from, true);
	json_decref(result);
	return as_failure(rc);
}

struct taking {
	const struct identity *id;
	struct renewal_place place;
	struct cert_info info;
};

static int work_take(struct cli *c, struct audit_record *r, void *arg)
{
	struct taking *t = arg;

	(void)c, (void)r;
	return renewal_install(&t->info, t->id, &t->place);
}

static json_t *describe(const struct taking *t)
{
	char end[CLOCK_UTC_SIZE];

	return json_pack("{s:s, s:s, s:s}", "alias", t->place.alias, "sha256", t->info.sha256, "not_after",
	    clock_utc(end, (int64_t)t->info.not_after));
}

static int take_set(struct cli *c, const char *dir, const struct own_cert *own)
{
	struct taking t = { .place = { .keystore_dir = c->conf->keystore_dir,
				.truststore_dir = c->conf->truststore_dir,
				.alias = own->alias } };
	struct identity *id = NULL;
	char *detail = mem_xasprintf("alias %s, from %s", own->alias, dir);
	json_t *result = NULL;
	bool told = false;
	int rc = renewal_read(&id, dir);

	t.id = id;
	if (rc == KC_OK)
		rc = cli_audited(
		    c, &(struct audit_record){ .event = AUDIT_CERT_RENEW, .detail = detail }, work_take, &t);
	if (rc == KC_OK)
		rc = daemon_tell(&told, NULL, c, "the certificate was renewed, but the running daemon does not use it");
	if (rc == KC_OK) {
		result = describe(&t);
		rc = print_renewed(c, result, dir, told);
		if (!c->json)
			printf("Its key is in the keystore, encrypted. The files in %s are not needed any more: remove "
			       "them.\n",
			    dir);
	}
	json_decref(result);
	cert_info_fini(&t.info);
	identity_free(id);
	free(detail);
	return as_failure(rc);
}

static int cmd_cert_renew(struct cli *c)
{
	const char *from = cli_string(c, "from");
	struct own_cert own = { 0 };
	int rc = cli_args(c, 0, 0);

	if (rc < 0)
		return rc;
	if (from == NULL)
		return by_daemon(c, "cert-renew", "authority");
	rc = own_cert_load(&own, c->conf);
	if (rc == KC_OK && own.token)
		rc = err_set(KC_ECERT, "certificate %s: its key is in a token", own.alias);
	if (rc == KC_OK)
		rc = take_set(c, from, &own);
	own_cert_fini(&own);
	return rc;
}

static int cmd_cert_fetch(struct cli *c)
{
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK && c->conf->role != CONF_CLONE)
		rc =
		    err_set(KC_EUSAGE, "this machine is the master; its clones fetch what 'cert depot' keeps for them");
	return rc == KC_OK ? by_daemon(c, "cert-fetch", "depot") : rc;
}

/* --- cert depot --- */

/* A clone of the fleet. The host alone is enough where it is unique. */
static int find_clone(char **host, int *port, const struct cli *c, const char *text)
{
	size_t found = 0;
	char *given = NULL;
	int wanted = 0, rc = host_port_parse(&given, &wanted, text);

	for (size_t i = 0; rc == KC_OK && i < c->conf->clone_count; i++) {
		const struct conf_clone *clone = &c->conf->clones[i];

		if (strcasecmp(clone->host, given) != 0 || (wanted != 0 && wanted != clone->port) || found++ > 0)
			continue;
		*host = mem_xstrdup(clone->host);
		*port = clone->port;
	}
	if (rc == KC_OK && found == 0)
		rc = err_set(KC_ENOENT, "%s is not a clone", text);
	if (rc == KC_OK && found > 1)
		rc = cli_usage(c, "%zu clones are on %s: which port?", found, given);
	free(given);
	return rc;
}

static int read_p12(struct identity **id, struct cli *c, const char *path)
{
	char *password = NULL;
	struct buf b;
	int rc;

	buf_init(&b, INPUT_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = cli_password(
		    &password, cli_string(c, "p12-password-file"), "password of the file", false, "p12-password-file");
	if (rc == KC_OK)
		rc = identity_parse(id, NULL, path, buf_data(&b), buf_len(&b), NULL, 0, password);
	mem_secret_free(password);
	buf_fini(&b);
	return rc;
}

struct keeping {
	const char *host;
	int port;
	const struct identity *id; /* NULL: remove */
};

static int work_depot(struct cli *c, struct audit_record *r, void *arg)
{
	const struct keeping *k = arg;

	(void)r;
	return k->id != NULL ? depot_add(c->conf, k->host, k->port, k->id, cli_flag(c, "replace"))
			     : depot_remove(c->conf, k->host, k->port);
}

static int change(struct cli *c, const struct keeping *k, const char *name)
{
	char *detail = k->id != NULL ? cert_text_detail("depot, for", name, identity_info(k->id))
				     : mem_xasprintf("depot, for %s", name);
	struct keeping copy = *k;
	int rc = cli_audited(c,
	    &(struct audit_record){
		.event = k->id != NULL ? AUDIT_CERT_IMPORT : AUDIT_CERT_REMOVE, .peer = name, .detail = detail },
	    work_depot, &copy);

	free(detail);
	return rc;
}

static int depot_cmd_add(struct cli *c)
{
	struct keeping k = { 0 };
	struct identity *id = NULL;
	char *host = NULL, *name = NULL, end[CLOCK_UTC_SIZE];
	int rc = cli_args(c, 3, 3);

	if (rc == KC_OK)
		rc = find_clone(&host, &k.port, c, c->argv[1]);
	if (rc == KC_OK)
		rc = read_p12(&id, c, c->argv[2]);
	if (rc == KC_OK) {
		k.host = host;
		k.id = id;
		name = host_port_format(host, k.port);
		rc = change(c, &k, name);
	}
	if (rc == KC_OK && c->json)
		rc = cli_print_json(cert_text_json("clone", name, identity_info(id)));
	else if (rc == KC_OK)
		printf("The depot keeps certificate %s for %s, until %s. It fetches it %d days before its own ends, or "
		       "now:\n'keyclone cert fetch' there.\n",
		    identity_info(id)->cn, name, clock_utc(end, (int64_t)identity_info(id)->not_after),
		    OWN_CERT_DEPOT_DAYS);
	identity_free(id);
	free(host);
	free(name);
	return rc;
}

static int depot_cmd_remove(struct cli *c)
{
	struct keeping k = { 0 };
	char *host = NULL, *name = NULL;
	int rc = cli_args(c, 2, 2);

	/* Also of a clone that was removed. */
	if (rc == KC_OK && find_clone(&host, &k.port, c, c->argv[1]) < 0)
		rc = host_port_parse(&host, &k.port, c->argv[1]);
	if (rc == KC_OK) {
		k.host = host;
		name = host_port_format(host, k.port);
		rc = change(c, &k, name);
	}
	if (rc == KC_OK && c->json)
		rc = cli_print_json(json_pack("{s:s}", "removed", name));
	else if (rc == KC_OK)
		printf("The depot keeps nothing for %s any more.\n", name);
	free(host);
	free(name);
	return rc;
}

static int depot_cmd_list(struct cli *c)
{
	struct identity_list list = { 0 };
	json_t *array = json_array();
	char end[CLOCK_UTC_SIZE];
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = depot_list(&list, c->conf);
	if (rc == KC_OK && !c->json)
		printf("%-24s  %-24s  %-20s  %9s  %s\n", "CLONE", "COMMON NAME", "VALID UNTIL", "DAYS LEFT", "SHA-256");
	for (size_t i = 0; rc == KC_OK && i < list.count; i++) {
		const struct cert_info *info = &list.entries[i].info;
		char *name = depot_name(list.entries[i].alias);

		if (c->json)
			json_array_append_new(array, cert_text_json("clone", name, info));
		else
			printf("%-24s  %-24s  %-20s  %9ld  %s\n", name, info->cn, clock_utc(end, info->not_after),
			    cert_info_days_left(info, time(NULL)), info->sha256);
		free(name);
	}
	identity_list_fini(&list);
	if (rc == KC_OK && c->json)
		return cli_print_json(json_pack("{s:o}", "certificates", array));
	json_decref(array);
	return rc;
}

static int cmd_depot(struct cli *c)
{
	const char *verb = c->argc > 0 ? c->argv[0] : "";

	if (c->conf->role != CONF_MASTER)
		return err_set(KC_EUSAGE, "this machine is a clone; its master keeps the depot");
	if (strcmp(verb, "add") == 0)
		return depot_cmd_add(c);
	if (strcmp(verb, "list") == 0)
		return depot_cmd_list(c);
	if (strcmp(verb, "remove") == 0)
		return depot_cmd_remove(c);
	return cli_usage(c, "%s%sone of add, list, remove", verb, verb[0] != '\0' ? " is not " : "");
}

static const struct cli_option renew_options[] = {
	{ "from", 0, CLI_STRING, "DIR", "take the set of certificate and key in this directory" },
	{ NULL },
};

static const struct cli_option depot_options[] = {
	{ "p12-password-file", 0, CLI_STRING, "FILE", "password of the PKCS#12 file" },
	{ "replace", 0, CLI_FLAG, NULL, "replace what is kept for that clone" },
	{ NULL },
};

const struct cli_command cmd_renew_commands[] = {
	{ "cert renew", "", "renew the certificate of this machine now", renew_options, CLI_CONF, cmd_cert_renew },
	{ "cert fetch", "", "on a clone: take the certificate that the master's depot keeps for it", NULL, CLI_CONF,
	    cmd_cert_fetch },
	{ "cert depot", "add HOST[:PORT] FILE.p12 | list | remove HOST[:PORT]",
	    "on the master: keep certificates that its clones fetch", depot_options, CLI_CONF, cmd_depot },
	{ NULL },
};
