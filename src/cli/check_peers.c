/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_peers: the other machines: their names resolve, they are reached, both sides authorise each other, and what
 * they say of themselves fits. With a daemon it is the daemon that asks them; without one we do.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/ipc.h"
#include "base/lineage.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "check.h"
#include "daemon/contact.h"
#include "daemon/credentials.h"
#include "daemon/secrets.h"
#include "daemon_client.h"
#include "keystore/cert.h"
#include "keystore/layout.h"
#include "keystore/sign.h"

#define CLOCK_MAX 300 /* seconds */

/* --- asking --- */

static void on_done(const json_t *peers, void *arg)
{
	struct check *k = arg;

	k->peers = json_deep_copy(peers);
}

/* What our hello needs; without it being let in has to do. */
static char *read_signer(const struct conf *conf)
{
	char *path = file_join(conf->secrets_dir, LAYOUT_SIGNING_PUB), *text = NULL;
	struct sign_public pub;

	if (sign_public_read(&pub, path) == KC_OK)
		text = sign_public_text(&pub);
	free(path);
	return text;
}

static char *read_recipient(const struct conf *conf)
{
	char *path = file_join(conf->secrets_dir, LAYOUT_AGE_IDENTITY), *text = NULL;
	struct age_recipient r;
	struct secrets s = { 0 };

	/* Opening makes what is missing: that is the service's to do. */
	if (access(path, R_OK) == 0 && secrets_open(&s, conf->secrets_dir, false) == KC_OK) {
		text = mem_xalloc(AGE_RECIPIENT_LEN + 1);
		age_identity_recipient(&r, s.identity);
		age_recipient_text(text, &r);
		secrets_fini(&s);
	}
	free(path);
	return text;
}

static int add_peers(struct contacts *all, const struct conf *conf, const char *only)
{
	char *host = NULL;
	int port = 0, rc = KC_OK;
	unsigned added = 0;

	if (conf->role == CONF_CLONE) {
		contacts_add_master(all);
		return KC_OK;
	}
	if (only != NULL)
		rc = host_port_parse(&host, &port, only);
	for (size_t i = 0; rc == KC_OK && i < conf->clone_count; i++)
		if (host == NULL ||
		    (strcasecmp(host, conf->clones[i].host) == 0 && (port == 0 || port == conf->clones[i].port))) {
			contacts_add(all, conf->clones[i].host, conf->clones[i].port);
			added++;
		}
	if (rc == KC_OK && only != NULL && added == 0)
		rc = err_set(KC_ENOENT, "%s is not a clone of this master", only);
	free(host);
	return rc;
}

static int ask_ourselves(struct check *k, const char *only)
{
	struct state *state = NULL;
	json_t *certificate = NULL;
	struct tls_creds *creds = NULL;
	struct contacts *all = NULL;
	char host[256] = "localhost", *signer, *recipient;
	const struct conf *conf = k->c->conf;
	int rc = KC_OK;

	gethostname(host, sizeof(host) - 1);
	if (state_open(&state, conf->state_dir, false) == KC_OK && state_get_self(&k->self, state) < 0)
		memset(&k->self, 0, sizeof(k->self));
	signer = conf->role == CONF_MASTER ? read_signer(conf) : NULL;
	recipient = conf->role == CONF_CLONE ? read_recipient(conf) : NULL;
	if (credentials_load(&creds, &certificate, conf, NULL) == KC_OK) {
		struct contacts_options o = { .loop = loop_new(),
			.creds = creds,
			.conf = conf,
			.self = &k->self,
			.state = state,
			.host = host,
			.signer = signer,
			.recipient = recipient };

		all = contacts_new(&o, on_done, k);
		rc = add_peers(all, conf, only);
		if (rc == KC_OK)
			contacts_start(all);
		while (rc == KC_OK && k->peers == NULL)
			loop_turn(o.loop, -1);
		contacts_free(all);
		loop_free(o.loop);
	}
	state_close(state);
	tls_creds_unref(creds);
	json_decref(certificate);
	free(signer);
	free(recipient);
	return rc;
}

int check_ask_peers(struct check *k, const char *only)
{
	json_t *result = NULL;
	int rc;

	if (only != NULL && k->c->conf->role != CONF_MASTER)
		return cli_usage(k->c, "--clone is for a master; this machine is a clone");
	k->running = daemon_running(k->c);
	if (!k->running)
		return ask_ourselves(k, only);
	rc = daemon_call(&result, k->c, json_pack("{s:s, s:s*}", "verb", "check", "clone", only), NULL, NULL);
	if (rc == KC_OK) {
		k->peers = json_incref(json_object_get(result, "peers"));
		k->status = json_incref(json_object_get(result, "status"));
		json_object_set(k->status, "port", json_object_get(result, "port"));
		json_object_set(k->status, "ancestors", json_object_get(result, "ancestors"));
	}
	json_decref(result);
	return rc;
}

/* --- judging --- */

static void good(struct check *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void good(struct check *k, const char *fmt, ...)
{
	size_t n = strlen(k->good);
	va_list ap;

	if (n > 0 && n + 3 < sizeof(k->good)) {
		memcpy(k->good + n, ", ", 3);
		n += 2;
	}
	va_start(ap, fmt);
	vsnprintf(k->good + n, sizeof(k->good) - n, fmt, ap);
	va_end(ap);
}

/* What the daemon knows of a clone; NULL: nothing. */
static const json_t *clone_status(const struct check *k, const json_t *p)
{
	size_t i;
	json_t *c;

	json_array_foreach(json_object_get(k->status, "clones"), i, c)
		if (strcmp(member_text(c, "host"), member_text(p, "host")) == 0 &&
		    member_int(c, "port") == member_int(p, "port"))
			return c;
	return NULL;
}

static bool check_name(struct check *k, const char *what, const char *host)
{
	char *address = NULL, advice[300];
	int rc;

	if (host_is_address(host))
		return true;
	rc = conn_try_name(&address, host);
	if (rc == KC_OK) {
		good(k, "%s is %s", host, address);
		free(address);
		return true;
	}
	snprintf(advice, sizeof(advice),
	    "correct the name in the configuration, or make it known: /etc/hosts, the name server; 'getent hosts "
	    "%.100s' "
	    "tries it",
	    host);
	check_say(k, CHECK_FAIL, what, advice, "%s", err_text(rc));
	return false;
}

/* "Refused" by nobody who listens is another matter than by one who does not want us. */
static const char *remedy_of(const json_t *p, bool master)
{
	int rc = err_from_name(member_text(p, "rc"));
	const struct msg *m = msg_find(member_text(p, "code"));

	if (!json_is_true(json_object_get(p, "authorised")) &&
	    (rc == KC_EREFUSED || rc == KC_ENET || rc == KC_ETIMEOUT) &&
	    strncmp(member_text(p, "code"), "KC03", 4) != 0)
		return master ? "is keycloned running there ('keyclone check' there)? Does a firewall let this machine "
				"reach "
				"that port?"
			      : "is keycloned running on the master ('keyclone check' there)? Does a firewall let this "
				"machine reach replication.MasterListenPort?";
	return m != NULL ? m->remedy : NULL;
}

static void check_clock(struct check *k, const char *what, const json_t *hello)
{
	long long offset = member_int(hello, "clock_offset"), s = offset < 0 ? -offset : offset;
	char here[CLOCK_UTC_SIZE], there[CLOCK_UTC_SIZE];

	if (s <= CLOCK_MAX) {
		good(k, "clock %lld s off", s);
		return;
	}
	clock_utc(here, (int64_t)time(NULL));
	clock_utc(there, (int64_t)time(NULL) + offset);
	check_say(k, CHECK_WARN, what,
	    "set the clocks (chrony, systemd-timesyncd); certificates are judged by them, the order of backups is not",
	    "its clock says %s, the one here %s", there, here);
}

static void check_end(struct check *k, const char *what, const json_t *p)
{
	int64_t not_after = 0;
	long long days;

	if (clock_parse_utc(&not_after, member_text(p, "not_after")) < 0)
		return;
	days = (not_after - (int64_t)time(NULL)) / 86400;
	if (days <= CERT_NEAR_END_DAYS)
		check_say(k, CHECK_WARN, what, msg_get(MSG_CERT_EXPIRES_SOON)->remedy,
		    "its certificate ends at %s, in %lld days", member_text(p, "not_after"), days);
}

static bool is_ancestor(const char *ancestors, const json_t *list, const char *lineage)
{
	size_t i;
	json_t *a;

	json_array_foreach(list, i, a)
		if (strcmp(member_text(a, "lineage"), lineage) == 0)
			return true;
	return ancestors != NULL && strstr(ancestors, lineage) != NULL;
}

/* Does the clone follow the master? What it greeted with may be older than what it has applied since. */
static void check_lineage(struct check *k, const char *what, const json_t *p, const json_t *hello)
{
	bool master = k->c->conf->role == CONF_MASTER;
	const char *own = k->running ? member_text(k->status, "lineage") : k->self.lineage;
	const char *theirs = member_text(hello, master ? "applied_lineage" : "lineage");

	if (strcmp(own, theirs) == 0 || member_int(clone_status(k, p), "applied") > 0)
		good(k, "lineage %.8s", own);
	else if (own[0] == '\0' || theirs[0] == '\0')
		good(k, "nothing replicated yet");
	else if (!master && is_ancestor(NULL, json_object_get(hello, "ancestors"), own))
		good(k, "lineage %.8s, a child of ours, which we follow", theirs);
	else if (master && is_ancestor(k->self.ancestors, json_object_get(k->status, "ancestors"), theirs))
		good(k, "lineage %.8s, an ancestor of ours, so it follows", theirs);
	else
		check_say(k, CHECK_FAIL, what,
		    "two masters, or one that was set up anew? 'keyclone status' on both; the one that was replaced "
		    "becomes a clone by 'keyclone demote --master HOST:PORT'",
		    "its lineage is %.8s, ours %.8s: they do not belong together", theirs, own);
	if (json_is_true(json_object_get(hello, "diverged")) && !k->running)
		check_say(k, CHECK_FAIL, what, "there: 'keyclone diverged list', 'keyclone diverged discard'",
		    "it has diverged: it has rows that are not from this master");
}

static void check_hello(struct check *k, const char *what, const json_t *p)
{
	const json_t *hello = json_object_get(p, "hello");
	bool master = k->c->conf->role == CONF_MASTER;

	if (json_is_true(json_object_get(hello, "stopped")))
		check_say(k, CHECK_FAIL, what, "'keyclone start' there", "its replication task is down");
	check_clock(k, what, hello);
	check_lineage(k, what, p, hello);
	if (master && member_int(hello, "free") < member_int(json_object_get(k->status, "database"), "size"))
		check_say(k, CHECK_FAIL, what, "make room there", "only %lld bytes are free for backups there",
		    member_int(hello, "free"));
}

/* The last replication may have failed for what no greeting shows. */
static void check_last(struct check *k, const char *what, const json_t *p)
{
	const json_t *c = clone_status(k, p);
	const char *state = member_text(c, "state");
	const struct msg *m = msg_find(member_text(c, "last_error_code"));

	if (strcmp(state, "held") == 0)
		check_say(k, CHECK_WARN, what, "'keyclone clone resume'", "it is held: nothing is sent to it");
	else if (strcmp(state, "diverged") == 0)
		check_say(k, CHECK_FAIL, what, "there: 'keyclone diverged list', 'keyclone diverged discard'",
		    "it has diverged: %s", member_text(c, "last_error"));
	else if (strcmp(state, "failed") == 0 || strcmp(state, "refused") == 0)
		check_say(k, CHECK_FAIL, what, m != NULL ? m->remedy : NULL, "its last replication failed: %s",
		    member_text(c, "last_error"));
	else if (member_int(c, "applied") > 0)
		good(k, "%s with generation %lld", state, member_int(c, "applied"));
}

static void check_peer(struct check *k, const json_t *p)
{
	bool master = k->c->conf->role == CONF_MASTER;
	char *name = host_port_format(member_text(p, "host"), (int)member_int(p, "port"));
	char *what = mem_xasprintf("%s %s", master ? "clone" : "master", name);
	const json_t *hello = json_object_get(p, "hello");

	k->good[0] = '\0';
	if (check_name(k, what, member_text(p, "host"))) {
		if (member_text(p, "error")[0] != '\0')
			check_say(k, CHECK_FAIL, what, remedy_of(p, master), "%s (%s)", member_text(p, "error"),
			    member_text(p, "code"));
		else
			good(k, "reached, each side lets the other in%s%s", json_is_object(hello) ? ", " : "",
			    member_text(hello, "product"));
		check_end(k, what, p);
		if (json_is_object(hello))
			check_hello(k, what, p);
	}
	if (master && member_text(p, "error")[0] == '\0')
		check_last(k, what, p);
	if (k->good[0] != '\0')
		check_say(k, CHECK_OK, what, NULL, "%s", k->good);
	free(what);
	free(name);
}

/* From this side one sees only whether the master came. */
static void check_way_here(struct check *k)
{
	const json_t *m = json_object_get(json_object_get(k->status, "self"), "master");
	const char *at = member_text(m, "last_contact");
	char advice[200];

	if (!k->running)
		return;
	snprintf(advice, sizeof(advice),
	    "on the master: 'keyclone clone add HOST:%d' with this machine's name, 'keyclone check'; a firewall here?",
	    k->c->conf->listen_port);
	if (at[0] == '\0')
		check_say(k, CHECK_WARN, "way here", advice, "the master has never connected to this clone");
	else
		check_say(
		    k, CHECK_OK, "way here", NULL, "the master (%s) was last here at %s", member_text(m, "host"), at);
}

void check_peers(struct check *k)
{
	size_t i;
	json_t *p;

	json_array_foreach(k->peers, i, p)
		check_peer(k, p);
	if (k->c->conf->role == CONF_CLONE)
		check_way_here(k);
}
