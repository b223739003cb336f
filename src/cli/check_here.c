/* SPDX-License-Identifier: Apache-2.0 */
/* check_here: configuration, daemon, task, port, certificate, truststore, password, signing keys, and what the daemon
 * says is wrong. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/member.h"
#include "base/msg.h"
#include "check.h"
#include "config_access.h"
#include "daemon/contact.h"
#include "daemon_client.h"
#include "keystore/cert.h"
#include "keystore/identity.h"
#include "keystore/layout.h"
#include "keystore/renewal.h"
#include "keystore/sign.h"
#include "keystore/trust.h"

int check_configuration(struct check *k)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	struct conf *conf = NULL;
	int rc = conf_load(&conf, k->c->conf_path, CONF_START, &p);

	if (rc < 0 && p.errors.count == 0)
		conf_list_add(&p.errors, err_text(rc));
	if (rc == KC_OK)
		config_access_check(&p, conf);
	for (size_t i = 0; i < p.errors.count; i++)
		check_say(k, CHECK_FAIL, "configuration", "correct it; 'keyclone config check' says it again", "%s",
		    p.errors.items[i]);
	for (size_t i = 0; i < p.warnings.count; i++)
		check_say(k, CHECK_WARN, "configuration", NULL, "%s", p.warnings.items[i]);
	if (rc == KC_OK && p.errors.count == 0)
		check_say(k, CHECK_OK, "configuration", NULL, "%s: a %s", conf->path,
		    conf->role == CONF_MASTER ? "master" : "clone");
	conf_problems_fini(&p);
	k->c->conf = conf;
	return rc < 0 ? KC_ECONF : KC_OK;
}

/* --- the fleet --- */

static void check_fleet(struct check *k)
{
	const struct conf *conf = k->c->conf;

	if (conf->role == CONF_MASTER && conf->clone_count == 0)
		check_say(k, CHECK_WARN, "fleet", "'keyclone clone add HOST:PORT' for each clone",
		    "no clone is configured: backups are made, and go nowhere");
	else if (conf->role == CONF_MASTER)
		check_say(
		    k, CHECK_OK, "fleet", NULL, "%zu clone%s", conf->clone_count, conf->clone_count == 1 ? "" : "s");
	else if (conf->master_host == NULL && json_array_size(k->peers) == 0)
		check_say(k, CHECK_WARN, "fleet", "'keyclone config set replication.MasterHost=HOST'",
		    "replication.MasterHost is not set, and no master has come yet: this clone does not know where it "
		    "is");
}

/* --- the daemon --- */

static void check_daemon(struct check *k)
{
	const json_t *self = json_object_get(k->status, "self");

	if (!k->running) {
		check_say(k, CHECK_FAIL, "daemon", "start it: 'systemctl start keycloned', or 'keycloned -c FILE'",
		    "no keycloned runs for this configuration");
		return;
	}
	check_say(k, CHECK_OK, "daemon", NULL, "keycloned %s runs", member_text(k->status, "version"));
	if (strcmp(member_text(k->status, "task"), "UP") == 0)
		check_say(k, CHECK_OK, "task", NULL, "the replication task is up");
	else
		check_say(k, CHECK_FAIL, "task", "'keyclone start'", "the replication task is down here");
	if (k->c->conf->role == CONF_CLONE && json_is_true(json_object_get(self, "diverged")))
		check_say(k, CHECK_FAIL, "key database",
		    "'keyclone diverged list' shows the rows, 'keyclone diverged discard' gives them up",
		    "this clone has diverged: %s", member_text(self, "diverged_detail"));
}

/* What it has raised and no other line says. */
static void check_alerts(struct check *k)
{
	static const char *const said[] = { "clone.", "diverged", "task.", "certificate." };
	size_t i, n;
	json_t *a;

	json_array_foreach(json_object_get(k->status, "alerts"), i, a) {
		const char *name = member_text(a, "alert");

		for (n = 0; n < sizeof(said) / sizeof(said[0]); n++)
			if (strncmp(name, said[n], strlen(said[n])) == 0)
				break;
		if (n == sizeof(said) / sizeof(said[0]))
			check_say(k, CHECK_FAIL, "alert", "'keyclone status', 'keyclone audit --failed'",
			    "%s since %s: %s", member_text(a, "title"), member_text(a, "since"),
			    member_text(a, "text"));
	}
}

/* --- the port --- */

static void check_port(struct check *k)
{
	const struct conf *conf = k->c->conf;
	bool master = conf->role == CONF_MASTER;
	int rc, port = master ? conf->master_listen_port : conf->listen_port;
	const char *name = master ? "replication.MasterListenPort" : "restore.ListenPort";

	if (k->running) {
		if (member_int(k->status, "port") != port)
			check_say(k, CHECK_FAIL, "own port", "restart keycloned", "%s is %d, keycloned listens on %lld",
			    name, port, member_int(k->status, "port"));
		else
			check_say(k, CHECK_OK, "own port", NULL, "keycloned listens on %d", port);
		return;
	}
	rc = conn_try_listen(conf->listen_address, port);
	if (rc == KC_OK)
		check_say(k, CHECK_OK, "own port", NULL, "%d is free for keycloned", port);
	else
		check_say(k, CHECK_FAIL, "own port", msg_get(MSG_PORT_IN_USE)->remedy, "%s", err_text(rc));
}

/* --- certificates --- */

static void check_dates(struct check *k, const char *alias, const struct cert_info *info)
{
	time_t now = time(NULL);
	long long days = ((long long)info->not_after - (long long)now) / 86400;
	char from[CLOCK_UTC_SIZE], until[CLOCK_UTC_SIZE], here[CLOCK_UTC_SIZE];

	clock_utc(from, (int64_t)info->not_before);
	clock_utc(until, (int64_t)info->not_after);
	clock_utc(here, (int64_t)now);
	if (info->not_after < now)
		check_say(k, CHECK_FAIL, "certificate", msg_get(MSG_CERT_EXPIRED)->remedy,
		    "%s ended at %s (the clock here says %s)", alias, until, here);
	else if (info->not_before > now)
		check_say(k, CHECK_FAIL, "certificate", "set the clock, or make another certificate",
		    "%s is not valid before %s (the clock here says %s)", alias, from, here);
	else if (days <= CERT_NEAR_END_DAYS)
		check_say(k, CHECK_WARN, "certificate", msg_get(MSG_CERT_EXPIRES_SOON)->remedy,
		    "%s ends at %s, in %lld days", alias, until, days);
	else
		check_say(k, CHECK_OK, "certificate", NULL, "%s, for both sides of TLS, until %s (%lld days)", alias,
		    until, days);
}

/* What another tool renews: is there something that will be taken? */
static void check_external(struct check *k, const struct cert_info *present)
{
	const struct conf *conf = k->c->conf;
	const char *dir = conf->external_cert_dir;
	char until[CLOCK_UTC_SIZE];
	struct identity *next = NULL;
	struct trust *trust = NULL;
	int rc = file_is_dir(dir) ? renewal_read(&next, dir) : err_set(KC_EFOUND, "%s: no such folder", dir);
	bool none = rc == KC_ENOENT;

	if (rc == KC_OK)
		rc = trust_load(&trust, conf->truststore_dir);
	if (rc == KC_OK)
		rc = renewal_check(next, present, trust, 0, 0);
	if (rc == KC_OK) {
		clock_utc(until, (int64_t)identity_info(next)->not_after);
		check_say(k, CHECK_OK, "renewal", NULL,
		    "%s has a new certificate, until %s: 'keyclone cert renew' takes it at once", dir, until);
	} else if (none || rc == KC_EEXIST) {
		check_say(k, CHECK_OK, "renewal", NULL, "%s has no certificate but the one in use", dir);
	} else {
		check_say(k, CHECK_WARN, "renewal", "put a right set there; tls.ExternalCertDir names the folder", "%s",
		    err_text(rc));
	}
	identity_free(next);
	trust_free(trust);
}

static void check_certificate(struct check *k)
{
	const struct conf *conf = k->c->conf;
	struct identity *id = NULL;
	int rc = identity_open(&id, conf->keystore_dir, conf->tls_alias);

	if (rc == KC_OK)
		rc = identity_check_uses(id);
	if (rc < 0)
		check_say(k, CHECK_FAIL, "certificate",
		    "'keyclone cert list'; 'keyclone cert create' or 'cert import', and backup.TLSCertAlias", "%s",
		    err_text(rc));
	else
		check_dates(k, identity_alias(id), identity_info(id));
	if (rc == KC_OK && conf->external_cert_dir != NULL)
		check_external(k, identity_info(id));
	identity_free(id);
}

/* Lists that are in force, also if they are out of date. */
static void check_revocation(struct check *k, struct trust *trust)
{
	const struct conf *conf = k->c->conf;
	struct identity *own = NULL;
	char due[CLOCK_UTC_SIZE];
	size_t stale = 0;
	int rc = KC_OK;

	if (conf->crl_file != NULL) {
		(void)identity_open(&own, conf->keystore_dir, conf->tls_alias);
		rc = trust_add_crl_file(trust, conf->crl_file, own);
		identity_free(own);
	}
	if (rc < 0) {
		check_say(k, CHECK_FAIL, "revocation",
		    "the list of the authority itself, PEM or DER; tls.CRLFile names it", "tls.CRLFile: %s",
		    err_text(rc));
		return;
	}
	for (size_t i = 0; i < trust_crl_count(trust); i++) {
		struct trust_crl c = trust_crl_at(trust, i);

		if (c.next_update == 0 || c.next_update >= time(NULL))
			continue;
		clock_utc(due, (int64_t)c.next_update);
		check_say(k, CHECK_WARN, "revocation", "bring a newer one from that authority",
		    "the list of %s is out of date, a newer one was due at %s; it stays in force", c.issuer, due);
		stale++;
	}
	if (stale == 0 && trust_crl_count(trust) > 0)
		check_say(k, CHECK_OK, "revocation", NULL, "%zu list%s in force", trust_crl_count(trust),
		    trust_crl_count(trust) == 1 ? "" : "s");
}

static void check_trust(struct check *k)
{
	struct trust *trust = NULL;
	int rc = trust_load(&trust, k->c->conf->truststore_dir);

	if (rc < 0)
		check_say(k, CHECK_FAIL, "truststore", "'keyclone trust list'", "%s", err_text(rc));
	else if (trust_count(trust) == 0)
		check_say(k, CHECK_FAIL, "truststore",
		    "'keyclone trust add FILE' with the certificate of their authority",
		    "no certificate is trusted: every peer is refused");
	else
		check_say(k, CHECK_OK, "truststore", NULL, "%zu certificate%s trusted", trust_count(trust),
		    trust_count(trust) == 1 ? "" : "s");
	if (rc == KC_OK)
		check_revocation(k, trust);
	trust_free(trust);
}

/* --- secrets --- */

static void check_password(struct check *k)
{
	const struct conf *conf = k->c->conf;

	if (conf->password_set)
		check_say(k, CHECK_OK, "password", NULL, "the password of backups is set");
	else if (conf->role == CONF_MASTER)
		check_say(k, CHECK_FAIL, "password", msg_get(MSG_NO_PASSWORD)->remedy, "no password of backups");
}

static void check_master_key(struct check *k)
{
	char *path = file_join(k->c->conf->secrets_dir, LAYOUT_SIGNING_PUB), print[SIGN_FINGERPRINT_SIZE];
	struct sign_public pub;
	int rc = sign_public_read(&pub, path);

	if (rc < 0) {
		check_say(k, CHECK_WARN, "signing key", "start keycloned once, it makes the key", "%s", err_text(rc));
	} else {
		sign_public_fingerprint(print, &pub);
		check_say(k, CHECK_OK, "signing key", NULL, "%s", print);
	}
	free(path);
}

static void check_pins(struct check *k)
{
	char *path = file_join(k->c->conf->secrets_dir, LAYOUT_SIGNERS);
	struct sign_pins pins = { 0 };
	int rc = sign_pins_load(&pins, path);

	if (rc < 0 && rc != KC_ENOENT)
		check_say(k, CHECK_FAIL, "signing key", "'keyclone trust signer'", "%s", err_text(rc));
	else if (pins.count == 0)
		check_say(k, CHECK_OK, "signing key", NULL,
		    "none is pinned yet: that of the first authorised master will be");
	else
		check_say(k, CHECK_OK, "signing key", NULL, "%zu pinned; backups of no other are restored", pins.count);
	sign_pins_fini(&pins);
	free(path);
}

void check_here(struct check *k)
{
	check_fleet(k);
	check_daemon(k);
	check_alerts(k);
	check_port(k);
	check_certificate(k);
	check_trust(k);
	check_password(k);
	if (k->c->conf->role == CONF_MASTER)
		check_master_key(k);
	else
		check_pins(k);
}
