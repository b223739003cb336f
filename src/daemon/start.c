/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start: a table of start steps, each with its undo; a failure undoes backwards what was done. The order matters: the
 * starter before anything that confinement would take away, the worker before the configuration (it alone reads the
 * file with its secrets), the lock before the state, confinement before the first byte from the network.
 */
#include "start.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/proc.h"
#include "base/str.h"
#include "daemon/alert.h"
#include "daemon/attempts.h"
#include "daemon/changes.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/credentials.h"
#include "daemon/daemon.h"
#include "daemon/expiry.h"
#include "daemon/hook.h"
#include "daemon/master.h"
#include "daemon/own_log.h"
#include "daemon/password.h"
#include "daemon/renew.h"
#include "daemon/revocation.h"
#include "daemon/rotate.h"
#include "daemon/starter.h"
#include "daemon/task.h"
#include "keystore/token.h"

#define CONFIG_TIMEOUT_MS 120000 /* reading the configuration and opening the database, at start */
#define WORKER_GRACE_MS	  5000
#define TICK_MS		  10000

static int start_starter(struct daemon *d)
{
	return starter_new(&d->starter, d->conf_path);
}

static void stop_starter(struct daemon *d)
{
	starter_free(d->starter);
}

static void on_worker_event(const char *why, bool fatal, void *arg)
{
	struct daemon *d = arg;

	if (fatal) {
		log_err("no worker can be started any more: %s; the daemon ends so that it can be started afresh", why);
		daemon_end(d, 1);
		return;
	}
	log_warn("%s; it is started again", why);
	/* It may have left a copy of the database behind; the new one cleans up first of all. */
	if (d->conf != NULL)
		jobs_add_first(d->jobs, json_pack("{s:s, s:o}", "verb", "ready", "conf", conf_public_json(d->conf)),
		    NULL, NULL, NULL, NULL);
}

static int start_worker(struct daemon *d)
{
	int rc = jobs_new(&d->jobs, d->loop, d->starter, 600000);

	if (rc == KC_OK)
		jobs_on_event(d->jobs, on_worker_event, d);
	return rc;
}

static void stop_worker(struct daemon *d)
{
	jobs_free(d->jobs, WORKER_GRACE_MS);
}

/* Each error on its own line, as `keyclone config check` prints them. True: there were some. */
static bool print_errors(const json_t *result)
{
	const json_t *errors = json_object_get(result, "errors");
	size_t i;
	json_t *e;

	json_array_foreach(errors, i, e)
		fprintf(stderr, "keycloned: %s\n", json_string_value(e));
	return json_array_size(errors) > 0;
}

static int start_conf(struct daemon *d)
{
	json_t *result = NULL;
	int rc = jobs_call(&result, d->jobs, json_pack("{s:s}", "verb", "config"), CONFIG_TIMEOUT_MS);

	if (rc < 0)
		d->explained = print_errors(result);
	if (rc == KC_OK)
		rc = conf_from_json(&d->conf, json_object_get(result, "conf"));
	for (size_t i = 0; rc == KC_OK && i < d->conf->warnings.count; i++)
		log_warn("%s", d->conf->warnings.items[i]);
	d->sealed = json_is_true(json_object_get(result, "sealed"));
	if (rc == KC_OK)
		jobs_set_stall(d->jobs, d->conf->job_stall_timeout_ms);
	json_decref(result);
	return rc;
}

static void stop_conf(struct daemon *d)
{
	conf_free(d->conf);
}

static int start_dirs(struct daemon *d)
{
	const char *dirs[] = { d->conf->run_dir, d->conf->state_dir, d->conf->log_dir, d->conf->backup_dir };
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		rc = file_make_dirs(dirs[i]);
		if (rc == KC_OK && access(dirs[i], R_OK | W_OK | X_OK) < 0)
			rc = err_set(KC_EPERM, "%s: not writable for user id %u: %s", dirs[i], (unsigned)geteuid(),
			    strerror(errno));
	}
	return rc;
}

static int start_lock(struct daemon *d)
{
	/* In the state directory too: two configurations may share it with different run directories. */
	char *path = file_join(d->conf->state_dir, "keycloned.lock");
	int rc = file_lock(&d->lock_fd, path);

	d->taken = d->checking && rc == KC_ELOCKED;
	if (d->taken)
		rc = KC_OK;
	else if (rc == KC_ELOCKED)
		rc = err_prefix(rc, "another keycloned runs on this state directory");
	free(path);
	return rc;
}

static void stop_lock(struct daemon *d)
{
	if (d->lock_fd >= 0)
		close(d->lock_fd);
}

/* A role that was changed by hand alone would make two masters of one lineage, or a clone that forgets what is its own.
 */
static int check_role(struct daemon *d)
{
	const char *role = d->conf->role == CONF_MASTER ? "master" : "clone";

	if (strcmp(d->self.role, role) == 0)
		return KC_OK;
	if (d->self.role[0] == '\0' || d->self.lineage[0] == '\0') {
		STR_COPY(d->self.role, role);
		return d->checking ? KC_OK : state_put_self(d->state, &d->self);
	}
	return err_set(KC_ECONF,
	    "replication.role is %s, but the state in %s is that of a %s: 'keyclone %s' changes the role, and finishes "
	    "a change that was interrupted",
	    role, d->conf->state_dir, d->self.role,
	    d->conf->role == CONF_MASTER ? "promote" : "demote --master HOST:PORT");
}

static int start_state(struct daemon *d)
{
	int rc = state_open(&d->state, d->conf->state_dir, true);

	if (rc == KC_OK)
		rc = state_get_self(&d->self, d->state);
	if (rc == KC_OK && d->conf->role == CONF_MASTER && d->self.lineage[0] == '\0') {
		rc = state_new_lineage(d->state);
		if (rc == KC_OK)
			rc = state_get_self(&d->self, d->state);
	}
	if (rc == KC_OK)
		rc = check_role(d);
	return rc == KC_OK ? daemon_set_lineage(d) : rc;
}

static void stop_state(struct daemon *d)
{
	state_close(d->state);
}

static int on_audit_head(const char *hash, uint64_t seq, void *arg)
{
	struct daemon *d = arg;

	/* What is in a transaction may yet be taken back, and the file is gone: it stays until the next rotation. */
	if (state_in_transaction(d->state))
		return KC_EAGAIN;
	return state_put_audit_head(d->state, seq, hash);
}

/* Sums of refused strangers are written when their minute is over. */
static void on_tick(void *arg)
{
	struct daemon *d = arg;

	audit_tick(d->audit, loop_now(d->loop));
	loop_timer_set(d->tick, TICK_MS);
}

static void on_audit_due(void *arg)
{
	struct daemon *d = arg;

	audit_hurry(d->audit);
}

static int start_audit(struct daemon *d)
{
	struct audit_options o = {
		.path = d->conf->audit_log,
		.host = d->host,
		.role = d->conf->role == CONF_MASTER ? "master" : "clone",
		.max_bytes = (uint64_t)d->conf->max_log_file_kb * 1024,
		.max_files = (unsigned)d->conf->max_log_file_num,
		.on_head = on_audit_head,
		.arg = d,
	};
	int rc = audit_open(&d->audit, &o);

	if (rc < 0)
		return rc;
	d->tick = loop_timer_new(d->loop, on_tick, d);
	loop_timer_set(d->tick, TICK_MS);
	d->audit_due = loop_timer_new(d->loop, on_audit_due, d);
	return KC_OK;
}

static void stop_audit(struct daemon *d)
{
	struct audit_record r = { .event = AUDIT_DAEMON_STOP, .outcome = AUDIT_SUCCESS };

	if (!d->checking) {
		loop_timer_free(d->tick);
		loop_timer_free(d->audit_due);
	}
	daemon_audit(d, &r);
	if (d->ending && daemon_sync_audit(d) == KC_OK)
		daemon_save(d);
	audit_close(d->audit);
}

static int start_attempts(struct daemon *d)
{
	struct audit_record r = { .event = AUDIT_DAEMON_START, .outcome = AUDIT_SUCCESS, .detail = PACKAGE_VERSION };
	int rc;

	if (d->checking)
		return KC_OK;
	rc = own_log_look(d);
	if (rc == KC_OK)
		rc = attempts_close(d->audit, d->conf->audit_log);
	return rc == KC_OK ? daemon_audit(d, &r) : rc;
}

static void on_alert(enum alert_kind kind, const struct state_alert *a, bool raised, void *arg)
{
	struct daemon *d = arg;
	char detail[800];
	struct audit_record r = { .event = raised ? AUDIT_ALERT_RAISE : AUDIT_ALERT_CLEAR,
		.outcome = AUDIT_SUCCESS,
		.peer = strchr(a->subject, ':') != NULL ? a->subject : NULL,
		.detail = detail };

	snprintf(detail, sizeof(detail), "%s: %s", alert_name(kind), a->text);
	daemon_audit(d, &r);
	hook_alert(d, (int)kind, a, raised);
}

static int start_alerts(struct daemon *d)
{
	int rc = hooks_new(&d->hooks, d);

	d->expiry = expiry_new(d);
	d->revocation = revocation_new(d);
	d->renew = renew_new(d);
	return rc < 0 ? rc : alerts_new(&d->alerts, d->state, on_alert, d);
}

static void stop_alerts(struct daemon *d)
{
	alerts_free(d->alerts);
	d->alerts = NULL;
	expiry_free(d->expiry);
	revocation_free(d->revocation);
	renew_free(d->renew);
	hooks_free(d->hooks);
	d->hooks = NULL;
}

static int start_credentials(struct daemon *d)
{
	int rc = credentials_load(&d->creds, &d->certificate, d->conf, NULL);

	d->trusted = changes_trusted(d->conf);
	/* What the configuration names is not there, or does not open: the same again would end the same. */
	return rc == KC_ENOENT || rc == KC_EPASSWORD ? err_set(KC_ECONF, "%s", err_text(rc)) : rc;
}

static void stop_credentials(struct daemon *d)
{
	tls_creds_unref(d->creds);
	json_decref(d->certificate);
	json_decref(d->trusted);
}

static int start_database(struct daemon *d)
{
	json_t *result = NULL;
	const char *s;
	bool changed;
	int rc = jobs_call(&result, d->jobs, json_pack("{s:s}", "verb", "open"), CONFIG_TIMEOUT_MS);

	if (rc == KC_OK) {
		d->database = json_incref(json_object_get(result, "database"));
		/* As last counted: by the newest backup, or the last restore. */
		json_object_set_new(d->database, "rows", json_integer((json_int_t)d->self.rows));
		s = json_string_value(json_object_get(result, "recipient"));
		d->recipient = s != NULL ? mem_xstrdup(s) : NULL;
		s = json_string_value(json_object_get(result, "signer"));
		d->signer = s != NULL ? mem_xstrdup(s) : NULL;
		if (!d->checking)
			rc = password_note(&changed, d, member_text(result, "password_id"), d->sealed);
	}
	json_decref(result);
	return rc;
}

static void stop_database(struct daemon *d)
{
	json_decref(d->database);
	free(d->recipient);
	free(d->signer);
}

static int start_role(struct daemon *d)
{
	int rc;

	if (d->conf->role != CONF_MASTER)
		return clone_new(&d->clone, d);
	rc = master_new(&d->master, d);
	return rc == KC_OK ? rotate_new(&d->rotate, d) : rc;
}

static void stop_role(struct daemon *d)
{
	jobs_cancel(d->jobs);
	rotate_free(d->rotate);
	d->rotate = NULL;
	master_free(d->master);
	clone_free(d->clone);
	d->master = NULL;
	d->clone = NULL;
}

static int start_control(struct daemon *d)
{
	return control_new(&d->control, d);
}

static void stop_control(struct daemon *d)
{
	control_free(d->control);
}

static void add_paths(const char **list, char *const *paths)
{
	while (*list != NULL)
		list++;
	while (*paths != NULL)
		*list++ = *paths++;
}

static int start_confinement(struct daemon *d)
{
	const struct conf *c = d->conf;
	const char *write[5 + TOKEN_PATHS] = { c->run_dir, c->state_dir, c->log_dir, c->backup_dir };
	char *crl_dir = c->crl_file != NULL ? file_dirname(c->crl_file) : NULL;
	const char *read[4 + TOKEN_PATHS] = { c->keystore_dir, c->truststore_dir, crl_dir };
	struct confine_rules rules = { .read_only = read, .read_write = write, .system_files = true };
	struct token_paths token = { .read = { NULL } };
	int rc;

	if (token_is_uri(c->tls_alias))
		token_paths(&token, c->tls_alias);
	add_paths(read, token.read);
	add_paths(write, token.write);
	rc = confine_files(&rules);
	token_paths_fini(&token);
	free(crl_dir);
	return rc < 0 ? rc : confine_syscalls();
}

static void on_signal(int sig, void *arg)
{
	struct daemon *d = arg;

	log_info("%s: ending", strsignal(sig));
	daemon_end(d, 0);
}

static void on_hup_done(int rc, const json_t *result, void *arg)
{
	(void)rc, (void)result, (void)arg;
	proc_notify_ready();
}

static void on_hup(int sig, void *arg)
{
	(void)sig;
	proc_notify_reloading();
	daemon_reload(arg, on_hup_done, NULL);
}

static int start_task(struct daemon *d)
{
	task_begin(d);
	return KC_OK;
}

static int start_signals(struct daemon *d)
{
	d->on_term = loop_signal_new(d->loop, SIGTERM, on_signal, d);
	d->on_int = loop_signal_new(d->loop, SIGINT, on_signal, d);
	d->on_hup = loop_signal_new(d->loop, SIGHUP, on_hup, d);
	return KC_OK;
}

static void stop_signals(struct daemon *d)
{
	loop_signal_free(d->on_term);
	loop_signal_free(d->on_int);
	loop_signal_free(d->on_hup);
}

static const struct step {
	const char *name;
	int (*start)(struct daemon *d);
	void (*undo)(struct daemon *d);
	bool alone; /* not beside a keycloned that runs: it holds what this takes */
} steps[] = {
	{ "starter", start_starter, stop_starter, false },
	{ "worker", start_worker, stop_worker, false },
	{ "configuration", start_conf, stop_conf, false },
	{ "directories", start_dirs, NULL, false },
	{ "lock", start_lock, stop_lock, false },
	{ "state", start_state, stop_state, true },
	{ "audit log", start_audit, stop_audit, true },
	{ "interrupted work", start_attempts, NULL, true },
	{ "alerts", start_alerts, stop_alerts, true },
	{ "credentials", start_credentials, stop_credentials, false },
	{ "key database", start_database, stop_database, true },
	{ "task", start_task, task_end, true },
	{ "signals", start_signals, stop_signals, false },
	{ "role", start_role, stop_role, true },
	{ "control socket", start_control, stop_control, true },
	{ "confinement", start_confinement, NULL, true },
};
#define STEPS (sizeof(steps) / sizeof(steps[0]))

void start_undo(struct daemon *d, size_t done)
{
	while (done-- > 0)
		if (steps[done].undo != NULL && !(d->taken && steps[done].alone))
			steps[done].undo(d);
}

int start_all(struct daemon *d, size_t *done)
{
	int rc = KC_OK;

	for (*done = 0; rc == KC_OK && *done < STEPS; ++*done) {
		if (d->taken && steps[*done].alone)
			continue;
		log_debug("start: %s", steps[*done].name);
		rc = steps[*done].start(d);
		if (rc < 0)
			break;
	}
	return rc;
}
