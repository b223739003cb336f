/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: reads requests, finds their row, does them one at a time. Blocking is fine here; a crash is a failed job. It
 * must never open a network socket, and ends when the daemon does.
 */
#include "worker.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "backup/staging.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "daemon/companion.h"
#include "daemon/recipients.h"
#include "worker_int.h"

#define WORKER_FD 3
/* Without a request for so long, there is time for what can wait. */
#define CHECKPOINT_IDLE_MS 5000
#define CHECKPOINT_LONG_MS 200 /* the write-ahead log is long */
#define PREPARE_IDLE_MS	   1000
#define PRUNE_IDLE_MS	   300 /* the daemon has written down by then what was made */

int worker_progress(struct worker *w, json_t *progress)
{
	int rc = ipc_send(w->fd, IPC_PROGRESS, progress);

	json_decref(progress);
	return rc;
}

int worker_alive(void *arg)
{
	struct worker *w = arg;
	uint64_t now = clock_ms();

	if (now - w->alive_at < 1000)
		return KC_OK;
	w->alive_at = now;
	return worker_progress(w, json_pack("{s:b}", "alive", 1));
}

int worker_ask(json_t **answer, struct worker *w, json_t *question)
{
	enum ipc_type type;
	json_t *body = NULL;
	int rc = ipc_send(w->fd, IPC_ASK, question);

	json_decref(question);
	if (rc == KC_OK)
		rc = ipc_recv(&type, &body, w->fd, -1);
	if (rc == KC_OK && type != IPC_ANSWER)
		rc = err_set(KC_EPROTO, "not an answer");
	if (rc == KC_OK)
		rc = ipc_result_code(body);
	if (rc < 0)
		json_decref(body);
	else
		*answer = body;
	return rc;
}

int worker_get_string(const char **value, const json_t *request, const char *name)
{
	const char *s = json_string_value(json_object_get(request, name));

	if (s == NULL)
		return err_set(KC_EPROTO, "request lacks %s", name);
	*value = s;
	return KC_OK;
}

int worker_get_number(uint64_t *value, const json_t *request, const char *name)
{
	const json_t *n = json_object_get(request, name);

	if (!json_is_integer(n) || json_integer_value(n) < 0)
		return err_set(KC_EPROTO, "request lacks %s", name);
	*value = (uint64_t)json_integer_value(n);
	return KC_OK;
}

/* --- config --- */

static int job_config(json_t *result, struct worker *w, const json_t *request)
{
	struct conf_problems problems = CONF_PROBLEMS_EMPTY;
	struct conf *c = NULL;
	bool sealed = false;
	int rc = conf_load(&c, w->conf_path, CONF_START, &problems);

	(void)request;
	if (rc == KC_OK)
		rc = worker_seal_password(&sealed, c);
	if (rc == KC_OK && w->opened)
		rc = worker_take_password(w, c);
	if (rc == KC_OK && c->role == CONF_MASTER && file_is_dir(c->secrets_dir))
		rc = recipients_prune(c);
	if (rc == KC_OK && c->role == CONF_MASTER)
		worker_publish_crl(c);
	if (rc == KC_OK) {
		json_object_set_new(result, "conf", conf_public_json(c));
		if (w->conf != NULL)
			conf_keep(c, w->conf);
		conf_free(w->conf);
		w->conf = c;
		json_object_set_new(result, "sealed", json_boolean(sealed));
		worker_keys_warn(w);
		json_object_set_new(result, "password_id", json_string(w->password_id));
	} else {
		json_object_set_new(result, "errors", conf_list_json(&problems.errors));
		conf_free(c);
	}
	conf_problems_fini(&problems);
	return rc;
}

/* --- open --- */

static json_t *database_json(struct worker *w, uint64_t rows)
{
	return json_pack("{s:s, s:s, s:I}", "kind", "sqlite", "path", w->conf->keydb_path, "rows", (json_int_t)rows);
}

static int open_database(struct worker *w)
{
	struct source_options o = { .create = w->conf->role == CONF_CLONE, .alive = worker_alive, .arg = w };
	int rc;

	if (!o.create && !file_exists(w->conf->keydb_path))
		return err_set(KC_ENOENT,
		    "%s is not there; 'keyclone key generate' makes the built-in one, keydb.Path names another",
		    w->conf->keydb_path);
	rc = source_open(&w->source, w->conf->keydb_path, &o);
	if (rc == KC_OK && w->conf->role == CONF_CLONE)
		source_set_local(
		    w->source, (const char *const *)w->conf->local_tables.items, w->conf->local_tables.count);
	return rc;
}

static void free_rules(char **list)
{
	for (; *list != NULL; list++)
		free(*list);
}

static int confine_worker(const struct worker *w)
{
	const struct conf *c = w->conf;
	char *key_dir = file_dirname(c->master_key_file);
	char *write[9 + COMPANION_RULES] = { file_dirname(c->keydb_path), key_dir, mem_xstrdup(c->dir),
		mem_xstrdup(c->backup_dir), mem_xstrdup(c->secrets_dir), mem_xstrdup(c->log_dir),
		mem_xstrdup(c->keystore_dir), mem_xstrdup(c->truststore_dir) };
	char *read[5 + COMPANION_RULES] = { NULL };
	struct confine_rules rules = {
		.read_only = (const char *const *)read, .read_write = (const char *const *)write, .system_files = true
	};
	size_t n = 0;
	int rc;

	if (c->password_file != NULL)
		read[n++] = file_dirname(c->password_file);
	if (c->external_cert_dir != NULL && file_is_dir(c->external_cert_dir))
		read[n++] = mem_xstrdup(c->external_cert_dir);
	else if (c->external_cert_dir != NULL)
		log_warn("tls.ExternalCertDir: %s is not there or cannot be read; what comes into it is not seen until "
			 "it is made and keycloned is started again",
		    c->external_cert_dir);
	companion_rules(read, write, &w->companions, (enum conf_role)c->role);
	rc = file_make_dirs(key_dir);
	if (rc == KC_OK)
		rc = file_make_dirs(c->keystore_dir);
	if (rc == KC_OK)
		rc = file_make_dirs(c->truststore_dir);
	if (rc == KC_OK)
		rc = confine_files(&rules);
	if (rc == KC_OK)
		rc = confine_syscalls();
	free_rules(write);
	free_rules(read);
	return rc;
}

static int job_open(json_t *result, struct worker *w, const json_t *request)
{
	char recipient[AGE_RECIPIENT_LEN + 1], *signer;
	struct age_recipient r;
	bool master;
	int rc;

	(void)request;
	if (w->conf == NULL)
		return err_set(KC_EPROTO, "the configuration was not read");
	master = w->conf->role == CONF_MASTER;
	rc = secrets_open(&w->secrets, w->conf->secrets_dir, master);
	if (rc == KC_OK)
		rc = worker_take_password(w, w->conf);
	if (rc == KC_OK)
		rc = staging_clean(w->conf->keydb_path);
	if (rc == KC_OK)
		rc = open_database(w);
	if (rc == KC_OK)
		companion_paths_init(&w->companions, w->conf);
	if (rc == KC_OK)
		rc = confine_worker(w);
	if (rc < 0)
		return rc;
	w->opened = true;
	worker_keys_warn(w);
	age_identity_recipient(&r, w->secrets.identity);
	age_recipient_text(recipient, &r);
	json_object_set_new(result, "recipient", json_string(recipient));
	json_object_set_new(result, "password_id", json_string(w->password_id));
	if (master) {
		signer = sign_public_text(sign_key_public(w->secrets.signing));
		json_object_set_new(result, "signer", json_string(signer));
		free(signer);
	}
	json_object_set_new(result, "database", database_json(w, 0));
	return KC_OK;
}

/* --- dispatch --- */

/* A worker that takes another's place: it works with what the daemon began with, whatever the file says by now. Being
 * open, it has removed what the dead one left in the staging folder. */
static int job_ready(json_t *result, struct worker *w, const json_t *request)
{
	struct conf *began = NULL;
	int rc = job_config(result, w, request);

	if (rc == KC_OK)
		rc = conf_from_json(&began, json_object_get(request, "conf"));
	if (rc == KC_OK)
		conf_keep(w->conf, began);
	conf_free(began);
	return rc < 0 ? rc : job_open(result, w, request);
}

/* A daemon asks for no more than what its role has to do. */
enum { MASTER = 1, CLONE = 2, BOTH = 3 };

static const struct verb {
	const char *name;
	bool needs_open;
	unsigned roles;
	worker_verb_fn run;
} verbs[] = {
	{ "config", false, BOTH, job_config },
	{ "open", false, BOTH, job_open },
	{ "ready", false, BOTH, job_ready },
	{ "check", true, MASTER, worker_job_check },
	{ "recount", true, MASTER, worker_job_recount },
	{ "backup", true, MASTER, worker_job_backup },
	{ "wrap", true, MASTER, worker_job_wrap },
	{ "release", true, MASTER, worker_job_release },
	{ "system", true, MASTER, worker_job_system },
	{ "issue", true, MASTER, worker_job_issue },
	{ "rotate-begin", true, MASTER, worker_job_rotate_begin },
	{ "rotate-directive", true, MASTER, worker_job_rotate_directive },
	{ "rotate-use", true, MASTER, worker_job_rotate_use },
	{ "rotate-end", true, MASTER, worker_job_rotate_end },
	{ "tokens", true, MASTER, worker_job_tokens },
	{ "enroll", true, MASTER, worker_job_enroll },
	{ "csr", true, BOTH, worker_job_csr },
	{ "install", true, BOTH, worker_job_install },
	{ "directive", true, CLONE, worker_job_directive },
	{ "revoke", true, MASTER, worker_job_revoke },
	{ "external", true, BOTH, worker_job_external },
	{ "depot", true, MASTER, worker_job_depot },
	{ "fetched", true, CLONE, worker_job_fetched },
	{ "restore", true, CLONE, worker_job_restore },
	{ "resolve", true, BOTH, worker_job_resolve },
	{ "by-hand", true, BOTH, worker_job_by_hand },
	{ "diverged", true, CLONE, worker_job_diverged },
	{ "self-check", true, CLONE, worker_job_self_check },
};

/* A worker that was started anew gets its first job without an open before: it opens by itself. */
static int ensure_open(struct worker *w)
{
	json_t *scratch = json_object();
	int rc = KC_OK;

	if (w->conf == NULL)
		rc = job_config(scratch, w, NULL);
	if (rc == KC_OK && !w->opened)
		rc = job_open(scratch, w, NULL);
	json_decref(scratch);
	return rc;
}

static unsigned role_of(const struct conf *c)
{
	return c->role == CONF_MASTER ? MASTER : CLONE;
}

static int run_verb(json_t *result, struct worker *w, const json_t *request)
{
	const char *name = NULL;
	int rc = worker_get_string(&name, request, "verb");

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		if (verbs[i].needs_open)
			rc = ensure_open(w);
		if (rc == KC_OK && verbs[i].needs_open && (verbs[i].roles & role_of(w->conf)) == 0)
			rc = err_set(KC_EPROTO, "'%s' is not for this role", name);
		return rc < 0 ? rc : verbs[i].run(result, w, request);
	}
	return err_set(KC_EPROTO, "the worker does not know '%s'", name);
}

static bool idle_for(struct worker *w, int ms)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };

	return poll(&p, 1, ms) == 0;
}

/* What can wait until nobody waits for us: a restore into the database file, scrypt for the next backup. */
static void work_when_idle(struct worker *w)
{
	int rc;

	if (w->checkpoint_due && idle_for(w, source_log_is_long(w->source) ? CHECKPOINT_LONG_MS : CHECKPOINT_IDLE_MS)) {
		source_set_alive(w->source, NULL, NULL);
		source_checkpoint(w->source);
		w->checkpoint_due = false;
	}
	if (w->prune_due && idle_for(w, PRUNE_IDLE_MS)) {
		worker_base_prune(w);
		w->prune_due = false;
	}
	if (w->opened && w->conf->role == CONF_MASTER && w->prepared == NULL && idle_for(w, PREPARE_IDLE_MS)) {
		rc = backup_prepare(&w->prepared, w->password, w->conf->key_derivation_work);
		if (rc < 0)
			log_warn("the next backup's password could not be prepared: %s", err_text(rc));
	}
}

static int serve(struct worker *w)
{
	for (;;) {
		enum ipc_type type;
		json_t *request = NULL, *result = json_object(), *head;
		int rc;

		work_when_idle(w);
		rc = ipc_recv(&type, &request, w->fd, -1);
		if (rc < 0 || type != IPC_REQUEST) {
			json_decref(request);
			json_decref(result);
			return rc == KC_ENET ? 0 : 1;
		}
		err_clear();
		rc = run_verb(result, w, request);
		head = ipc_result_new(rc);
		json_object_update(result, head);
		json_decref(head);
		json_decref(request);
		rc = ipc_send(w->fd, IPC_RESULT, result);
		json_decref(result);
		if (rc < 0)
			return rc == KC_ENET ? 0 : 1;
	}
}

static void worker_fini(struct worker *w)
{
	source_close(w->source);
	companion_paths_fini(&w->companions);
	create_prepared_free(w->prepared);
	age_key_free(w->key);
	age_identity_free(w->chain_key);
	worker_base_forget(w);
	for (size_t i = 0; i < WORKER_REQUESTS; i++)
		worker_request_drop(&w->requests[i]);
	free(w->key_path);
	mem_secret_free(w->password);
	secrets_fini(&w->secrets);
	conf_free(w->conf);
}

int worker_main(const char *conf_path)
{
	struct worker w = { .conf_path = conf_path, .fd = WORKER_FD };
	int keep[] = { WORKER_FD }, rc, status;

	fcntl(WORKER_FD, F_SETFD, FD_CLOEXEC);
	proc_close_inherited(keep, 1);
	prctl(PR_SET_NAME, "keyclone-work");
	/* A daemon that ends without a goodbye takes us with it: the next one's worker must be alone with the database.
	 */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A terminal's signals are the daemon's to handle: it ends us when the work is done. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	log_init("keycloned worker", LOG_LVL_INFO);
	rc = confine_network();
	if (rc < 0)
		log_err("%s", err_text(rc));
	status = rc < 0 ? 1 : serve(&w);
	worker_fini(&w);
	return status;
}
