/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_system: the system backup of this master. The worker looks at what belongs into it, at the start, at a reload
 * and after each look at the key database, and makes one where something changed; clones get it when their sessions
 * have nothing else to do (target_system.c).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/password.h"
#include "master_int.h"

/* Keys go first: so long after a look at them the worker has nothing to do, and a password's header at hand. */
#define PAUSE_MS 2000

static bool is_of_lineage(const struct state_system *sys, const char *lineage)
{
	struct store_name n;

	return sys->backup[0] == '\0' ||
	       (store_name_parse(&n, sys->backup) == KC_OK && strncmp(n.lineage, lineage, strlen(n.lineage)) == 0);
}

/* What was made before a restore or a promotion began another lineage is none of this one. */
static void get_record(struct state_system *sys, const struct master *m)
{
	if (state_get_system(sys, m->d->state) < 0 || !is_of_lineage(sys, m->d->self.lineage))
		memset(sys, 0, sizeof(*sys));
}

/* As an offering like any other; nothing of it is unpacked. */
static int load(struct offering **out, const struct master *m)
{
	struct state_made as = { .generation = 0 };
	struct state_system sys;
	struct store_name n;

	get_record(&sys, m);
	if (sys.backup[0] == '\0' || store_name_parse(&n, sys.backup) < 0)
		return KC_ENOENT;
	/* Not the record's: that may be of one that was begun when the daemon ended. */
	as.generation = n.generation;
	STR_COPY(as.backup, sys.backup);
	STR_COPY(as.file_id, sys.file_id);
	STR_COPY(as.sha256, sys.sha256);
	STR_COPY(as.digest, sys.sha256);
	as.header_size = sys.header_size;
	return offering_of(out, &as, m->d->conf->backup_dir);
}

static int forget_digest(struct master *m, uint64_t at_least)
{
	struct state_system sys;

	get_record(&sys, m);
	sys.digest[0] = '\0';
	if (sys.generation < at_least)
		sys.generation = at_least;
	return state_put_system(m->d->state, &sys);
}

/* Something is to be written: give it a number, and say so in the audit log. */
static json_t *on_ask(const json_t *ask, void *arg)
{
	struct master *m = arg;
	struct state_system sys;
	struct audit_record r = { .event = AUDIT_BACKUP_CREATE,
		.outcome = AUDIT_STARTED,
		.lineage = m->d->self.lineage,
		.detail = "system backup" };
	json_t *answer;
	int rc;

	if (strcmp(member_text(ask, "ask"), "system") != 0)
		return NULL;
	get_record(&sys, m);
	sys.generation++;
	sys.digest[0] = '\0';
	rc = state_put_system(m->d->state, &sys);
	if (rc == KC_OK)
		rc = daemon_audit(m->d, &r);
	m->system_making = rc == KC_OK;
	answer = ipc_result_new(rc);
	json_object_set_new(answer, "generation", json_integer((json_int_t)sys.generation));
	return answer;
}

static bool keep_part(void *arg, const char *name)
{
	struct store_name n;

	(void)arg;
	return store_name_parse(&n, name) < 0 || n.kind != STORE_SYSTEM;
}

static void end_record(struct master *m, const json_t *result, int rc)
{
	struct audit_record r = { .event = AUDIT_BACKUP_CREATE,
		.lineage = m->d->self.lineage,
		.backup = json_string_value(json_object_get(result, "name")),
		.bytes = member_u64(result, "size"),
		.duration_ms = loop_now(m->d->loop) - m->system_began,
		.detail = "system backup" };

	if (m->system_making)
		audit_result(m->d->audit, &r, rc);
	m->system_making = false;
}

static void failed(struct master *m, int rc)
{
	char why[400];

	STR_COPY(why, err_text(rc));
	end_record(m, NULL, rc);
	if (rc == KC_ECANCELED)
		return;
	log_warn("the system backup failed, and is tried again with the next look: %s", why);
	(void)store_clean(m->d->conf->backup_dir, keep_part, NULL);
}

static int made(struct master *m, const json_t *result)
{
	struct state_system sys = { .generation = member_u64(result, "generation"),
		.header_size = member_u64(result, "header_size") };
	int rc;

	STR_COPY(sys.digest, member_text(result, "digest"));
	STR_COPY(sys.backup, member_text(result, "name"));
	STR_COPY(sys.file_id, member_text(result, "file_id"));
	STR_COPY(sys.sha256, member_text(result, "sha256"));
	rc = state_put_system(m->d->state, &sys);
	if (rc < 0)
		return rc;
	end_record(m, result, KC_OK);
	password_made(m->d, sys.backup);
	log_info("system backup %" PRIu64 " was made: %s", sys.generation, sys.backup);
	daemon_prune_system(m->d, sys.backup);
	offering_unref(m->system);
	m->system = NULL;
	return load(&m->system, m);
}

static void warn_weak(struct master *m, const json_t *result)
{
	uint64_t n = member_u64(result, "password_bytes");

	if (n >= CONF_PASSWORD_STRONG || m->weak_said)
		return;
	m->weak_said = true;
	log_warn("the backup password has %" PRIu64 " characters, and it guards the authority and the signing key in "
		 "the system backup that all clones keep: use %d or more",
	    n, CONF_PASSWORD_STRONG);
}

static void on_done(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;

	m->system_looking = false;
	if (rc == KC_OK)
		warn_weak(m, result);
	if (rc == KC_OK && !json_is_true(json_object_get(result, "unchanged")))
		rc = made(m, result);
	if (rc < 0)
		failed(m, rc);
	if (m->system_again && !m->d->ending) {
		m->system_again = false;
		master_system_look(m, true);
	}
	master_settle_soon(m);
}

static void look(struct master *m)
{
	struct state_system sys;
	json_t *request;

	get_record(&sys, m);
	request = json_pack("{s:s, s:s, s:o, s:s, s:I}", "verb", "system", "lineage", m->d->self.lineage, "ancestors",
	    lineage_json(&m->d->ancestors), "host", m->d->host, "keys", (json_int_t)m->d->self.complete);
	/* One that somebody removed is made again. */
	if (m->system != NULL && store_has(m->d->conf->backup_dir, sys.backup))
		json_object_set_new(request, "digest", json_string(sys.digest));
	m->system_looking = true;
	m->system_began = loop_now(m->d->loop);
	jobs_add(m->d->jobs, request, NULL, on_ask, on_done, m);
}

static void on_pause_over(void *arg)
{
	master_system_look(arg, true);
}

void master_system_look(struct master *m, bool now)
{
	if (m->d->ending)
		return;
	if (m->system_looking)
		m->system_again = m->system_again || now;
	else if (now)
		look(m);
	else if (!loop_timer_is_set(m->system_pause))
		loop_timer_set(m->system_pause, PAUSE_MS);
}

void master_system_new(struct master *m)
{
	m->system_pause = loop_timer_new(m->d->loop, on_pause_over, m);
}

void master_system_free(struct master *m)
{
	loop_timer_free(m->system_pause);
	offering_unref(m->system);
}

void master_system_start(struct master *m)
{
	int rc = load(&m->system, m);

	if (rc < 0 && rc != KC_ENOENT)
		log_info("the newest system backup cannot be used, another is made: %s", err_text(rc));
	if (m->d->self.stopped)
		master_system_look(m, true);
}

void master_system_child(struct master *m)
{
	offering_unref(m->system);
	m->system = NULL;
	if (m->system_looking)
		m->system_again = true;
}

void master_system_overtaken(struct master *m, uint64_t generation)
{
	if (forget_digest(m, generation) == KC_OK)
		master_system_look(m, true);
}
