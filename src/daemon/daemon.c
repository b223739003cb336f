/* SPDX-License-Identifier: Apache-2.0 */
/* daemon: what both roles do alike: durable state, audit records, the end, a reload. */
#include "daemon.h"

#include <stdlib.h>
#include <string.h>

#include "backup/store.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/proc.h"
#include "base/str.h"
#include "daemon/changes.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/credentials.h"
#include "daemon/expiry.h"
#include "daemon/master.h"
#include "daemon/password.h"
#include "daemon/renew.h"
#include "daemon/revocation.h"
#include "keystore/token.h"

#define AUDIT_LAZY_MS 50
#define END_STEP_MS   20
#define MASTER_END_MS 2000
#define CLONE_END_MS  30000

int daemon_save(struct daemon *d)
{
	int rc;

	if (d->audit != NULL && audit_synced(d->audit, &d->self.audit_seq, d->self.audit_hash))
		STR_COPY(d->self.audit_log, d->conf->audit_log);
	rc = state_put_self(d->state, &d->self);

	if (rc < 0) {
		log_err("the state database cannot be written, the daemon ends: %s", err_text(rc));
		daemon_end(d, err_exit_status(rc));
	}
	return rc;
}

int daemon_set_lineage(struct daemon *d)
{
	int rc = lineage_parse(&d->ancestors, d->self.ancestors);

	return rc < 0 ? err_prefix(rc, "state database") : KC_OK;
}

/* Until somebody configures another host than the one it stands for. */
static bool has_successor(const struct daemon *d)
{
	return d->self.successor[0] != '\0' && d->conf->master_host != NULL &&
	       strcmp(d->self.successor_of, d->conf->master_host) == 0;
}

const char *daemon_master_host(const struct daemon *d)
{
	return has_successor(d) ? d->self.successor : d->conf->master_host;
}

int daemon_master_port(const struct daemon *d)
{
	return has_successor(d) && d->self.successor_port > 0 ? (int)d->self.successor_port
							      : d->conf->master_listen_port;
}

static int not_written(int rc)
{
	if (rc < 0)
		log_err("the audit log cannot be written: %s", err_text(rc));
	return rc;
}

int daemon_audit(struct daemon *d, const struct audit_record *r)
{
	return not_written(audit_write(d->audit, r));
}

int daemon_audit_lazily(struct daemon *d, const struct audit_record *r)
{
	if (!loop_timer_is_set(d->audit_due))
		loop_timer_set(d->audit_due, AUDIT_LAZY_MS);
	return not_written(audit_write_lazily(d->audit, r));
}

int daemon_sync_audit(struct daemon *d)
{
	int rc = d->audit != NULL ? audit_sync(d->audit) : KC_OK;

	if (rc < 0) {
		log_err("the audit log cannot be written: %s; the daemon ends", err_text(rc));
		daemon_end(d, err_exit_status(rc));
	}
	return rc;
}

void daemon_refused(struct daemon *d, const char *address, enum peer_verdict v, int rc, const char *text)
{
	bool by_rule = v != PEER_UNDECIDED && !peer_may_speak(v);

	audit_stranger(d->audit, loop_now(d->loop), address, by_rule ? peer_msg_code(v) : err_msg_code(rc), text);
}

static int on_pruned(void *arg, const struct store_entry *e)
{
	struct daemon *d = arg;
	struct audit_record r = { .event = AUDIT_BACKUP_DELETE,
		.outcome = AUDIT_SUCCESS,
		.backup = e->file,
		.generation = e->name.generation,
		.bytes = e->size,
		.detail = "over replication.MaxBackupNum" };
	int rc = daemon_audit(d, &r);

	return rc < 0 ? rc : state_forget_stored(d->state, e->file);
}

static int on_pruned_system(void *arg, const struct store_entry *e)
{
	struct daemon *d = arg;
	struct audit_record r = { .event = AUDIT_BACKUP_DELETE,
		.outcome = AUDIT_SUCCESS,
		.backup = e->file,
		.bytes = e->size,
		.detail = "system backup, newer ones are kept" };
	int rc = daemon_audit(d, &r);

	return rc < 0 ? rc : state_forget_stored(d->state, e->file);
}

void daemon_prune(struct daemon *d, const char *stored)
{
	const char *keep[] = { d->self.backup, stored };
	struct store_prune p = { .dir = d->conf->backup_dir,
		.max = (size_t)d->conf->max_backup_num,
		.keep = keep,
		.n_keep = stored != NULL ? 2 : 1,
		.removed = on_pruned,
		.arg = d };
	int rc = store_prune(&p);

	if (rc < 0)
		log_warn("old backups are kept: %s", err_text(rc));
}

void daemon_say_clock(bool *said, const char *peer, int64_t offset_s)
{
	bool apart = offset_s > CLOCK_APART_S || offset_s < -CLOCK_APART_S;
	char span[CLOCK_SPAN_SIZE];

	if (apart && !*said)
		log_warn("the clock of %s is %s %s this one; replication goes on, certificates and logs suffer", peer,
		    clock_span(span, offset_s), offset_s > 0 ? "ahead of" : "behind");
	*said = apart;
}

void daemon_prune_system(struct daemon *d, const char *newest)
{
	const char *keep[] = { newest };
	struct store_prune p = {
		.dir = d->conf->backup_dir, .keep = keep, .n_keep = 1, .removed = on_pruned_system, .arg = d
	};
	int rc = store_prune_system(&p);

	if (rc < 0)
		log_warn("old system backups are kept: %s", err_text(rc));
}

uint64_t daemon_back_off(const struct daemon *d, uint64_t wait_ms)
{
	if (wait_ms == 0)
		return d->conf->retry_min_ms;
	return wait_ms * 2 < d->conf->retry_max_ms ? wait_ms * 2 : d->conf->retry_max_ms;
}

struct conn_options daemon_conn_options(const struct daemon *d)
{
	bool master = d->conf->role == CONF_MASTER;

	return (struct conn_options){ .creds = d->creds,
		.self = master ? PROTO_MASTER : PROTO_CLONE,
		.idle_ms = d->conf->timeout_ms,
		.rule = { .role = master ? PROTO_CLONE : PROTO_MASTER,
		    .host = master ? NULL : daemon_master_host(d),
		    .successor = !master,
		    .cns = (const char *const *)d->conf->authorized_cns.items } };
}

/* --- end --- */

/* What may still finish: on a clone the restore under way, on a master the sessions' goodbye. */
static bool quiet(const struct daemon *d)
{
	return d->master != NULL ? master_is_quiet(d->master) : jobs_idle(d->jobs);
}

static void on_deadline(void *arg)
{
	struct daemon *d = arg;

	if (quiet(d) || --d->end_steps == 0)
		loop_stop(d->loop);
	else
		loop_timer_set(d->deadline, END_STEP_MS);
}

void daemon_end(struct daemon *d, int exit_status)
{
	if (d->ending)
		return;
	d->ending = true;
	d->exit_status = exit_status;
	proc_notify_stopping();
	d->end_steps = (d->master != NULL ? MASTER_END_MS : CLONE_END_MS) / END_STEP_MS;
	d->deadline = loop_timer_new(d->loop, on_deadline, d);
	if (d->master != NULL)
		master_stop(d->master);
	else if (d->clone != NULL)
		clone_stop(d->clone);
	loop_timer_set(d->deadline, 0);
}

/* --- reload --- */

struct reload {
	struct daemon *daemon;
	daemon_reload_fn done;
	void *arg;
};

/* What needs a restart keeps its present value: `next` is made again with it. */
static int keep_values(struct conf **next, const struct conf *now, const json_t *json, const struct conf_list *names)
{
	json_t *mixed = json_deep_copy(json), *old = conf_public_json(now);
	json_t *to = json_object_get(mixed, "values");
	const json_t *from = json_object_get(old, "values");
	int rc;

	for (size_t i = 0; i < names->count; i++) {
		json_t *value = json_object_get(from, names->items[i]);

		if (value != NULL)
			json_object_set(to, names->items[i], value);
		else
			json_object_del(to, names->items[i]);
	}
	conf_free(*next);
	*next = NULL;
	rc = conf_from_json(next, mixed);
	json_decref(mixed);
	json_decref(old);
	return rc;
}

/* New credentials take the place of the old ones; takes both. What is other is added to the list. Sessions that are up
 * keep the old ones, but for those with a peer whose certificate is revoked now: how many. */
static size_t swap_credentials(struct daemon *d, struct tls_creds *creds, json_t *certificate, json_t *list)
{
	json_t *trusted = changes_trusted(d->conf);
	size_t ended;

	changes_certificate(list, d->certificate, certificate);
	changes_trust(list, d->trusted, trusted);
	changes_crls(list, tls_creds_trust(d->creds), tls_creds_trust(creds));
	tls_creds_succeed(creds, d->creds);
	tls_creds_unref(d->creds);
	d->creds = creds;
	json_decref(d->certificate);
	d->certificate = certificate;
	json_decref(d->trusted);
	d->trusted = trusted;
	ended = tls_creds_end_revoked(creds);
	if (ended > 0)
		log_info("%zu session%s with a revoked certificate ended", ended, ended == 1 ? "" : "s");
	return ended;
}

/* Configuration or credentials are other ones: for who goes by them. */
static void spread(struct daemon *d)
{
	expiry_look(d->expiry);
	revocation_look(d->revocation);
	if (d->master != NULL)
		master_reloaded(d->master);
	else
		clone_reloaded(d->clone);
}

/* What a token needs was left open when the daemon confined itself, or was not. */
static int check_token(const struct conf *now, const struct conf *next)
{
	bool same = now->tls_alias != NULL && next->tls_alias != NULL && strcmp(now->tls_alias, next->tls_alias) == 0;

	if (!token_is_uri(next->tls_alias) || same || token_is_uri(now->tls_alias))
		return KC_OK;
	return err_set(KC_ECONF,
	    "backup.TLSCertAlias: a daemon that began without a PKCS#11 token cannot reach one; it takes a restart");
}

/* New configuration and credentials are complete before anything is swapped. */
static int take_over(struct daemon *d, const json_t *result, json_t *answer)
{
	struct conf *next = NULL;
	struct conf_list live = { 0 }, restart = { 0 };
	struct tls_creds *creds = NULL;
	json_t *certificate = NULL, *changed;
	size_t ended;
	int rc = conf_from_json(&next, json_object_get(result, "conf"));

	if (rc < 0)
		return rc;
	conf_diff(&live, &restart, d->conf, next);
	rc = keep_values(&next, d->conf, json_object_get(result, "conf"), &restart);
	if (rc < 0)
		return rc;
	revocation_note(d->revocation, next);
	rc = check_token(d->conf, next);
	if (rc == KC_OK)
		rc = credentials_load(&creds, &certificate, next, d->certificate);
	if (rc < 0)
		revocation_missed(d->revocation);
	if (rc == KC_OK) {
		changed = json_array();
		changes_names(changed, &live);
		changes_clones(changed, d->conf, next);
		conf_free(d->conf);
		d->conf = next;
		ended = swap_credentials(d, creds, certificate, changed);
		jobs_set_stall(d->jobs, next->job_stall_timeout_ms);
		audit_set_limits(d->audit, (uint64_t)next->max_log_file_kb * 1024, (unsigned)next->max_log_file_num);
		spread(d);
		renew_look(d->renew);
		json_object_set_new(answer, "changed", changed);
		json_object_set_new(answer, "restart", conf_list_json(&restart));
		json_object_set_new(answer, "sessions_ended", json_integer((json_int_t)ended));
	} else {
		conf_free(next);
	}
	conf_list_fini(&live);
	conf_list_fini(&restart);
	return rc;
}

/* It is told like a property that changed, whichever of the three ways it came. */
static void take_password(struct daemon *d, const json_t *result, json_t *answer)
{
	json_t *names = json_object_get(answer, "changed");
	bool changed = false;
	int rc = password_note(
	    &changed, d, member_text(result, "password_id"), json_is_true(json_object_get(result, "sealed")));

	if (rc < 0)
		log_err("that the password changed is not remembered: %s", err_text(rc));
	if (!changed)
		return;
	json_array_append_new(names, json_string("backup.EncryptionPassword"));
	if (d->master != NULL)
		master_password_changed(d->master);
}

static void on_config(int rc, const json_t *result, void *arg)
{
	struct reload *r = arg;
	struct daemon *d = r->daemon;
	struct audit_record record = { .event = AUDIT_CONFIG_RELOAD };
	json_t *members = json_object(), *answer;
	char *text = NULL;

	if (rc == KC_OK)
		rc = take_over(d, result, members);
	else if (json_object_get(result, "errors") != NULL)
		json_object_set(members, "errors", json_object_get(result, "errors"));
	if (rc == KC_OK) {
		take_password(d, result, members);
		text = changes_text(json_object_get(members, "changed"), json_object_get(members, "restart"));
		record.detail = text;
		log_info("the configuration was read anew: %s", text);
	} else if (rc != KC_ECANCELED) {
		log_err("reload: %s; the old configuration stays in force", err_text(rc));
	}
	if (rc != KC_ECANCELED)
		audit_result(d->audit, &record, rc);
	answer = ipc_result_new(rc);
	json_object_update(answer, members);
	json_decref(members);
	r->done(rc, answer, r->arg);
	json_decref(answer);
	free(text);
	free(r);
}

void daemon_reload(struct daemon *d, daemon_reload_fn done, void *arg)
{
	struct reload *r = mem_xalloc(sizeof(*r));

	r->daemon = d;
	r->done = done;
	r->arg = arg;
	jobs_add_first(d->jobs, json_pack("{s:s}", "verb", "config"), NULL, NULL, on_config, r);
}

int daemon_reload_credentials(struct daemon *d, const char *why)
{
	struct audit_record record = { .event = AUDIT_CONFIG_RELOAD };
	json_t *changed = json_array(), *certificate = NULL;
	struct tls_creds *creds = NULL;
	char *text = NULL, *detail = NULL;
	int rc;

	revocation_note(d->revocation, d->conf);
	rc = credentials_load(&creds, &certificate, d->conf, d->certificate);
	if (rc == KC_OK) {
		swap_credentials(d, creds, certificate, changed);
		text = changes_text(changed, NULL);
		detail = mem_xasprintf("%s: %s", why, text);
		record.detail = detail;
		log_info("the credentials were read anew, %s", detail);
	}
	audit_result(d->audit, &record, rc);
	if (rc == KC_OK)
		spread(d);
	json_decref(changed);
	free(detail);
	free(text);
	return rc;
}
