/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_enroll: one-time enrolment of clones: tokens on the master; joining (enroll_join.c) on the clone. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/host.h"
#include "base/ipc.h"
#include "base/mem.h"
#include "base/member.h"
#include "cli.h"
#include "daemon/invites.h"
#include "daemon_client.h"
#include "enroll.h"
#include "families.h"
#include "keystore/issue.h"

#define TTL_MAX	 (30 * 86400)
#define USES_MAX CONF_CLONES_MAX

static int only_master(const struct cli *c)
{
	return c->conf->role == CONF_MASTER ? KC_OK
					    : err_set(KC_EUSAGE, "this machine is a clone; its master enrols clones");
}

/* --- where clones reach this machine --- */

/* Does a clone, which checks it, find this name in our certificate? Without one that can be read here, nobody knows. */
static bool is_in(const struct cert_info *info, const char *host)
{
	return info == NULL || cert_info_matches(info, host);
}

static char *own_address(const struct cert_info *info, int family)
{
	struct ifaddrs *all = NULL;
	char text[INET6_ADDRSTRLEN], *found = NULL;

	if (getifaddrs(&all) < 0)
		return NULL;
	for (struct ifaddrs *i = all; i != NULL && found == NULL; i = i->ifa_next) {
		const void *address = NULL;

		if (i->ifa_addr == NULL || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP) ||
		    (i->ifa_flags & IFF_LOOPBACK))
			continue;
		if (family == AF_INET)
			address = &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr;
		else if (!IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr))
			address = &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr;
		if (address != NULL && inet_ntop(family, address, text, sizeof(text)) != NULL && is_in(info, text))
			found = mem_xstrdup(text);
	}
	freeifaddrs(all);
	return found;
}

/* An address needs no name service on the clone; a name that the certificate has is the next best. */
static char *own_host(const struct conf *conf, const struct cert_info *info)
{
	const char *listen = conf->listen_address;
	char host[256] = "", *found;

	if (listen != NULL && listen[0] != '\0' && strcmp(listen, "any") != 0 && is_in(info, listen))
		return mem_xstrdup(listen);
	found = own_address(info, AF_INET);
	if (found == NULL)
		found = own_address(info, AF_INET6);
	if (found != NULL)
		return found;
	if (gethostname(host, sizeof(host) - 1) == 0 && host[0] != '\0' && strcmp(host, "localhost") != 0 &&
	    info != NULL && is_in(info, host))
		return mem_xstrdup(host);
	for (size_t i = 0; info != NULL && i < info->dns_count; i++)
		if (strcmp(info->dns[i], "localhost") != 0 && strchr(info->dns[i], '*') == NULL)
			return mem_xstrdup(info->dns[i]);
	return is_in(info, "127.0.0.1") ? mem_xstrdup("127.0.0.1") : NULL;
}

/* What our certificate says; NULL where it is not in the keystore. Its key is not needed. */
static const struct cert_info *own_certificate(struct identity_list *list, const struct conf *conf)
{
	const struct cert_info *info = NULL;
	char *alias = NULL;

	if (identity_resolve(&alias, conf->keystore_dir, conf->tls_alias) == KC_OK &&
	    identity_list_load(list, conf->keystore_dir) == KC_OK)
		for (size_t i = 0; i < list->count; i++)
			if (strcmp(list->entries[i].alias, alias) == 0)
				info = &list->entries[i].info;
	free(alias);
	return info;
}

static int choose_host(char **host, int *port, const struct cli *c)
{
	const char *given = cli_string(c, "master");
	struct identity_list list = { 0 };
	const struct cert_info *info = own_certificate(&list, c->conf);
	int rc = KC_OK;

	*port = 0;
	if (given != NULL)
		rc = host_port_parse(host, port, given);
	else if ((*host = own_host(c->conf, info)) == NULL)
		rc = cli_usage(c, "no address of this machine is in its certificate: name it with --master HOST:PORT");
	if (rc == KC_OK && *port == 0)
		*port = c->conf->master_listen_port;
	if (rc == KC_OK && !is_in(info, *host))
		rc = err_set(KC_ECERT, "the certificate of this master is not for %s: a clone would refuse it", *host);
	identity_list_fini(&list);
	return rc;
}

/* --- enroll token --- */

struct making {
	struct invite token;
	struct invites_entry entry;
	int64_t ttl;
};

/* A number with s, m, h or d. */
static int parse_ttl(int64_t *ttl, const struct cli *c, const char *text)
{
	static const char units[] = "smhd";
	static const int64_t seconds[] = { 1, 60, 3600, 86400 };
	size_t n = strspn(text, "0123456789");
	const char *unit = n > 0 && n < 8 && text[n] != '\0' && text[n + 1] == '\0' ? strchr(units, text[n]) : NULL;

	if (unit != NULL)
		*ttl = strtoll(text, NULL, 10) * seconds[unit - units];
	if (unit == NULL || *ttl < 1 || *ttl > TTL_MAX)
		return cli_usage(c, "--ttl '%s': a number with s, m, h or d, at most 30d", text);
	return KC_OK;
}

static int prepare(struct making *m, const struct cli *c)
{
	const char *ttl = cli_string(c, "ttl");
	struct issue_authority *authority = NULL;
	uint64_t uses = cli_number(c, "uses", 1);
	char *host = NULL;
	int port, rc = parse_ttl(&m->ttl, c, ttl != NULL ? ttl : "1h");

	if (rc == KC_OK && (uses < 1 || uses > USES_MAX))
		rc = cli_usage(c, "--uses is %" PRIu64 ": 1 to %d are possible", uses, USES_MAX);
	if (rc == KC_OK)
		rc = issue_authority_load(&authority, c->conf->secrets_dir);
	if (rc == KC_ENOENT)
		rc = err_set(KC_ENOENT,
		    "this installation has no authority of its own: its clones share the site's certificate ('keyclone "
		    "init clone --site-certificate')");
	if (rc == KC_OK)
		rc = choose_host(&host, &port, c);
	if (rc == KC_OK)
		rc = invite_new(&m->token, host, port, issue_authority_info(authority)->sha256);
	if (rc == KC_OK) {
		invite_derive(&m->entry.keys, &m->token);
		m->entry.made = (int64_t)time(NULL);
		m->entry.expires = m->entry.made + m->ttl;
		m->entry.uses = uses;
		memcpy(m->entry.authority, m->token.fingerprint, sizeof(m->entry.authority));
	}
	issue_authority_free(authority);
	free(host);
	return rc;
}

static int audited(struct cli *c, enum audit_event event, const char *detail)
{
	struct audit_record r = { .event = event, .outcome = AUDIT_SUCCESS, .detail = detail };
	struct audit *a = NULL;
	int rc = cli_audit(&a, c);

	if (rc == KC_OK)
		rc = audit_write(a, &r);
	return rc == KC_OK ? audit_sync(a) : rc;
}

static int tell_daemon(bool *told, struct cli *c, json_t *request)
{
	json_t *result = NULL;
	int rc;

	*told = daemon_running(c);
	if (!*told) {
		json_decref(request);
		return KC_OK;
	}
	rc = daemon_call(&result, c, request, NULL, NULL);
	json_decref(result);
	return rc;
}

/* The record, then the file, then the daemon, which takes it from then on. */
static int make(bool *told, struct cli *c, const struct making *m)
{
	char psk[2 * INVITE_KEY_BYTES + 1], until[CLOCK_UTC_SIZE], detail[200];
	const struct invites_entry *e = &m->entry;
	json_t *request;
	int rc;

	snprintf(detail, sizeof(detail), "token %s, until %s, uses %" PRIu64, e->keys.id, clock_utc(until, e->expires),
	    e->uses);
	rc = audited(c, AUDIT_ENROLL_TOKEN, detail);
	if (rc == KC_OK)
		rc = invites_add(c->conf->secrets_dir, e);
	if (rc < 0)
		return rc;
	hex_encode(psk, e->keys.psk, INVITE_KEY_BYTES);
	request = json_pack("{s:s, s:s, s:s, s:I, s:I}", "verb", "enroll-token", "id", e->keys.id, "psk", psk,
	    "expires", (json_int_t)e->expires, "uses", (json_int_t)e->uses);
	mem_wipe(psk, sizeof(psk));
	rc = tell_daemon(told, c, request);
	if (rc < 0) {
		char *why = mem_xstrdup(err_text(rc));

		(void)invites_remove(c->conf->secrets_dir, e->keys.id);
		err_set(rc, "%s", why);
		free(why);
	}
	return rc;
}

static int print_token(const struct cli *c, const struct making *m, bool told)
{
	const struct invites_entry *e = &m->entry;
	char *text = NULL, *master = host_port_format(m->token.host, m->token.port);
	char until[CLOCK_UTC_SIZE], span[CLOCK_SPAN_SIZE];
	int rc = KC_OK;

	invite_format(&text, &m->token);
	if (c->json) {
		rc = cli_print_json(
		    json_pack("{s:s, s:s, s:o, s:I, s:s, s:b}", "token", text, "id", e->keys.id, "expires",
			member_time(e->expires), "uses", (json_int_t)e->uses, "master", master, "daemon", (int)told));
	} else {
		puts(text);
		(void)fflush(stdout);
		fprintf(stderr,
		    "Token %s is good for %" PRIu64 " clone%s until %s (%s from now). It is a secret.\n"
		    "Next, on the new machine, which has to reach this one as %s (another name: --master):\n"
		    "  keyclone enroll join --dir DIR -     (and the token on standard input)\n",
		    e->keys.id, e->uses, e->uses == 1 ? "" : "s", clock_utc(until, e->expires),
		    clock_span(span, m->ttl), master);
		if (!told)
			fprintf(
			    stderr, "keycloned does not run here: start it first, 'keycloned -c %s'.\n", c->conf_path);
	}
	mem_secret_free(text);
	free(master);
	return rc;
}

static int cmd_token(struct cli *c)
{
	struct making *m = mem_secret_new(sizeof(*m));
	bool told = false;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = only_master(c);
	if (rc == KC_OK)
		rc = prepare(m, c);
	if (rc == KC_OK)
		rc = make(&told, c, m);
	if (rc == KC_OK)
		rc = print_token(c, m, told);
	mem_secret_free(m);
	return rc;
}

/* --- enroll list, revoke --- */

static int cmd_list(struct cli *c)
{
	struct invites t = { NULL, 0 };
	json_t *list = json_array();
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = only_master(c);
	if (rc == KC_OK)
		rc = invites_load(&t, c->conf->secrets_dir);
	if (rc == KC_OK && !c->json && t.count > 0)
		printf("%-16s  %-20s  %-20s  %s\n", "ID", "MADE", "VALID UNTIL", "USES LEFT");
	for (size_t i = 0; rc == KC_OK && i < t.count; i++) {
		const struct invites_entry *e = &t.entries[i];
		char made[CLOCK_UTC_SIZE], until[CLOCK_UTC_SIZE];

		if (c->json)
			json_array_append_new(
			    list, json_pack("{s:s, s:o, s:o, s:I}", "id", e->keys.id, "made", member_time(e->made),
				      "expires", member_time(e->expires), "uses", (json_int_t)e->uses));
		else
			printf("%-16s  %-20s  %-20s  %" PRIu64 "\n", e->keys.id, clock_utc(made, e->made),
			    clock_utc(until, e->expires), e->uses);
	}
	if (rc == KC_OK && !c->json && t.count == 0)
		puts("No enrolment token is valid.");
	invites_fini(&t);
	if (rc == KC_OK && c->json)
		return cli_print_json(json_pack("{s:o}", "tokens", list));
	json_decref(list);
	return rc;
}

static int cmd_revoke(struct cli *c)
{
	char detail[200];
	bool told = false;
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = only_master(c);
	if (rc == KC_OK)
		rc = invites_remove(c->conf->secrets_dir, c->argv[0]);
	if (rc == KC_OK)
		rc = tell_daemon(&told, c, json_pack("{s:s, s:s}", "verb", "enroll-revoke", "id", c->argv[0]));
	if (rc == KC_OK) {
		snprintf(detail, sizeof(detail), "token %s", c->argv[0]);
		rc = audited(c, AUDIT_ENROLL_REVOKE, detail);
	}
	if (rc == KC_OK && c->json)
		return cli_print_json(json_pack("{s:s}", "revoked", c->argv[0]));
	if (rc == KC_OK)
		printf("Token %s is not valid any more.\n", c->argv[0]);
	return rc;
}

/* clang-format off */
static const struct cli_option token_options[] = {
	{ "ttl", 0, CLI_STRING, "TIME", "how long it is valid: 30m, 2h, 1d [1h]" },
	{ "uses", 0, CLI_NUMBER, "N", "how many clones may join with it [1]" },
	{ "master", 0, CLI_STRING, "HOST:PORT", "this master as clones reach it (else an address of this machine)" },
	{ NULL },
};

static const struct cli_option join_options[] = {
	{ "dir", 0, CLI_STRING, "DIR", "where to make the clone, or where it is" },
	{ "port", 0, CLI_NUMBER, "PORT", "where the master pushes [2222]" },
	{ "host", 0, CLI_STRING, "HOST", "this machine as the master reaches it (else the address that the master sees)" },
	{ "keydb", 0, CLI_STRING, "PATH", "the SQLite database to replicate (else DIR/keydb.sqlite is made)" },
	{ "password-file", 0, CLI_STRING, "FILE", "the password of backups, if this clone may become the master" },
	{ "external-cert-dir", 0, CLI_STRING, "DIR", "use the certificate in DIR instead of requesting one" },
	{ NULL },
};

const struct cli_command cmd_enroll_commands[] = {
	{ "enroll token", "", "on the master: make a token with which a clone joins", token_options, CLI_CONF, cmd_token },
	{ "enroll join", "TOKEN|-", "on a clone: join the fleet of the token's master", join_options, CLI_CONF_LENIENT,
	    enroll_join },
	{ "enroll list", "", "on the master: list the valid tokens", NULL, CLI_CONF, cmd_list },
	{ "enroll revoke", "ID", "on the master: make a token invalid", NULL, CLI_CONF, cmd_revoke },
	{ NULL },
};
/* clang-format on */
