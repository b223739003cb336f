/* SPDX-License-Identifier: Apache-2.0 */
/* failover: configuration and state of a machine that changes its role. */
#include "failover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/probe.h"
#include "daemon/system.h"
#include "daemon_client.h"

#define APPLY_STEP_MS 200
#define CHANGES_MAX   (2 * CONF_CLONES_MAX + 16)

int failover_read(struct failover *f)
{
	struct state *s = NULL;
	int rc = state_open(&s, f->c->conf->state_dir, false);

	if (rc == KC_OK)
		rc = state_get_self(&f->self, s);
	if (rc == KC_OK)
		rc = state_get_siblings(&f->siblings, s);
	if (rc == KC_ENOENT && s != NULL)
		rc = KC_OK;
	state_close(s);
	f->running = daemon_running(f->c);
	f->generation = f->self.generation;
	return rc;
}

/* --- what is stored --- */

static int ask(struct failover *f, const char *verb, const char *step)
{
	json_t *result = NULL;
	int rc = daemon_call(&result, f->c,
	    json_pack("{s:s, s:s, s:b}", "verb", verb, "step", step, "force", (int)cli_flag(f->c, "force")), NULL,
	    NULL);
	const char *lineage = json_string_value(json_object_get(result, "lineage"));

	if (rc == KC_OK && lineage != NULL && strcmp(step, "commit") != 0)
		f->generation = (uint64_t)json_integer_value(json_object_get(result, "generation"));
	else if (rc == KC_OK && lineage != NULL)
		STR_COPY(f->lineage, lineage);
	json_decref(result);
	return rc;
}

/* As long as it takes: the daemon ends a restore that makes no progress. */
static int ask_until(struct failover *f, const char *verb, const char *step)
{
	struct timespec pause = { .tv_nsec = APPLY_STEP_MS * 1000000L };
	int rc;

	while ((rc = ask(f, verb, step)) == KC_EAGAIN)
		nanosleep(&pause, NULL);
	return rc;
}

static bool has_more(const struct state_stored *st, const struct state_self *self)
{
	return strcmp(st->lineage, self->lineage) != 0 || st->generation > self->generation;
}

int failover_apply(struct failover *f)
{
	struct state_stored st = { 0 };
	struct state_intent intent;
	struct state *s = NULL;
	int rc;

	if (f->running)
		return ask_until(f, "promote", "apply");
	if (cli_flag(f->c, "force"))
		return KC_OK;
	if (f->self.diverged)
		return err_set(KC_EDIVERGED, "this clone has diverged: %s", f->self.diverged_detail);
	rc = state_open(&s, f->c->conf->state_dir, false);
	if (rc < 0)
		return rc;
	rc = state_get_intent(&intent, s);
	if (rc == KC_OK)
		rc = err_set(
		    KC_EAGAIN, "a restore was interrupted: start keycloned, which finishes it, and repeat this");
	else if (rc == KC_ENOENT)
		rc = state_get_stored(&st, s);
	if (rc == KC_OK && has_more(&st, &f->self))
		rc = err_set(KC_EAGAIN,
		    "generation %llu is stored and not applied: start keycloned, which this command then has apply it, "
		    "and "
		    "repeat it; --force leaves it out",
		    (unsigned long long)st.generation);
	state_stored_fini(&st);
	state_close(s);
	return rc == KC_ENOENT ? KC_OK : rc;
}

/* --- the master --- */

int failover_probe(bool *answers, char **who, struct failover *f)
{
	const struct conf *conf = f->c->conf;
	const char *host = conf->master_host;
	int port = conf->master_listen_port, rc;

	*answers = false;
	*who = NULL;
	/* As the daemon sees it: a promoted one that was followed, the configured one, the one that was heard last. */
	if (host != NULL && f->self.successor[0] != '\0' && strcmp(f->self.successor_of, host) == 0) {
		host = f->self.successor;
		port = f->self.successor_port > 0 ? (int)f->self.successor_port : port;
	} else if (host == NULL) {
		host = f->siblings.address;
		port = f->siblings.port > 0 ? (int)f->siblings.port : port;
	}
	if (host[0] == '\0')
		return KC_OK;
	rc = probe_master(answers, conf, host, port, conf->master_host != NULL);
	if (rc == KC_OK)
		*who = host_port_format(host, port);
	return rc;
}

/* --- configuration --- */

struct changes {
	struct conf_change list[CHANGES_MAX];
	char text[CHANGES_MAX][64];
	size_t count;
};

static void change(struct changes *c, const char *name, const char *value)
{
	STR_COPY(c->text[c->count], name);
	c->list[c->count].name = c->text[c->count];
	c->list[c->count].value = value;
	c->count++;
}

/* The list of clones becomes the one in `names` (NULL-terminated pairs of host and port). */
static void change_clones(struct changes *c, const struct conf *conf, char *const *hosts, char *const *ports, size_t n)
{
	for (size_t i = 0; i < n || i < conf->clone_count; i++) {
		char name[64];

		snprintf(name, sizeof(name), CONF_CLIENT_IP "%zu", i + 1);
		change(c, name, i < n ? hosts[i] : NULL);
		snprintf(name, sizeof(name), CONF_CLIENT_PORT "%zu", i + 1);
		change(c, name, i < n ? ports[i] : NULL);
	}
}

static int edit(struct failover *f, const struct changes *c)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	int rc = conf_edit(f->c->conf->path, c->list, c->count, &p);

	if (rc == KC_ECONF && p.errors.count > 1 && cli_problems(&p))
		rc = cli_quiet(f->c, rc);
	conf_problems_fini(&p);
	return rc;
}

/* How the installation is run, as the master had it: these are taken over, what concerns files and certificates of a
 * machine is its own. */
static const char *const settings[] = { "backup.CheckFrequency", "backup.OnChange",
	"backup.DailyStartReplicationBackupTime", "backup.CompressionLevel", "backup.KeyDerivationWork",
	"backup.MaxDeletePercent", "backup.ReleaseKeysOnSuccessfulBackup", "replication.MaxBackupNum" };
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static int take_settings(struct failover *f, struct changes *c, char **taken)
{
	struct conf *theirs = NULL;
	int rc = KC_OK;

	if (!f->has_system)
		return KC_OK;
	rc = system_conf(&theirs, &f->system, f->c->conf->path);
	for (size_t i = 0; rc == KC_OK && i < SETTINGS; i++) {
		char *own = NULL;

		rc = conf_get(&taken[i], theirs, settings[i]);
		if (rc == KC_OK)
			rc = conf_get(&own, f->c->conf, settings[i]);
		if (rc == KC_OK && taken[i] != NULL && (own == NULL || strcmp(own, taken[i]) != 0))
			change(c, settings[i], taken[i]);
		free(own);
	}
	conf_free(theirs);
	return rc;
}

int failover_configure_master(struct failover *f)
{
	struct changes *c = mem_xalloc(sizeof(*c));
	char *hosts[CONF_CLONES_MAX] = { NULL }, *ports[CONF_CLONES_MAX] = { NULL };
	char *names = mem_xstrdup(f->siblings.clones), *save = NULL;
	char *taken[SETTINGS] = { NULL };
	size_t n = 0;
	int rc;

	for (char *t = strtok_r(names, " ", &save); t != NULL && n < CONF_CLONES_MAX; t = strtok_r(NULL, " ", &save)) {
		int port;

		if (host_port_parse(&hosts[n], &port, t) == KC_OK) {
			ports[n] = mem_xasprintf("%d", port);
			n++;
		}
	}
	change(c, "replication.role", "master");
	change(c, "replication.MasterHost", NULL);
	change_clones(c, f->c->conf, hosts, ports, n);
	rc = take_settings(f, c, taken);
	if (f->sealed != NULL)
		change(c, "backup.ObfuscatedEncryptionPassword", f->sealed);
	if (f->alias != NULL)
		change(c, "backup.TLSCertAlias", f->alias);
	if (rc == KC_OK)
		rc = edit(f, c);
	for (size_t i = 0; i < SETTINGS; i++)
		free(taken[i]);
	while (n > 0) {
		free(hosts[--n]);
		free(ports[n]);
	}
	free(names);
	free(c);
	return rc;
}

int failover_configure_clone(struct failover *f, const char *host, int port)
{
	struct changes *c = mem_xalloc(sizeof(*c));
	char number[16];
	int rc;

	snprintf(number, sizeof(number), "%d", port);
	change(c, "replication.role", "clone");
	change(c, "replication.MasterHost", host);
	change(c, "replication.MasterListenPort", number);
	change_clones(c, f->c->conf, NULL, NULL, 0);
	if (f->alias != NULL)
		change(c, "backup.TLSCertAlias", f->alias);
	rc = edit(f, c);
	free(c);
	return rc;
}

/* --- state --- */

int failover_commit(struct failover *f, bool master)
{
	char *path = file_join(f->c->conf->state_dir, "keycloned.lock");
	struct state_self self;
	struct state *s = NULL;
	int lock = -1, rc;

	if (f->running) {
		free(path);
		return ask_until(f, master ? "promote" : "demote", "commit");
	}
	rc = file_lock(&lock, path);
	if (rc == KC_OK)
		rc = state_open(&s, f->c->conf->state_dir, false);
	if (rc == KC_OK)
		rc = master ? state_promote(s) : state_demote(s);
	if (rc == KC_OK)
		rc = state_get_self(&self, s);
	if (rc == KC_OK)
		STR_COPY(f->lineage, self.lineage);
	state_close(s);
	if (lock >= 0)
		close(lock);
	free(path);
	return rc;
}
