/* SPDX-License-Identifier: Apache-2.0 */
/*
 * renew: when to try which source, one after the other, and what is said of it. How each source is asked is in
 * renew_step.c.
 *
 *     idle ──something is due──> trying ──it came──> taken: new credentials ──> idle
 *                                   └────it failed, or there is none yet────> idle, until its next time
 */
#include "renew.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "daemon/rotate.h"
#include "renew_int.h"

#define DAY_S	    86400
#define DAY_MS	    ((uint64_t)86400000)
#define LOOK_MS	    3600000
#define WAIT_MIN_MS 1000
#define AWAY_TRIES  3 /* a master that just starts is nobody's business */

static const char *const names[] = {
	[RENEW_EXTERNAL] = "from tls.ExternalCertDir",
	[RENEW_AUTHORITY] = "by the own authority",
	[RENEW_DEPOT] = "from the master's depot",
};

const char *renew_source_name(enum renew_source s)
{
	return names[s];
}

/* --- what is due --- */

/* What a rotation replaces, or has just replaced, is its own. */
static bool rotating(const struct renew *r)
{
	return r->d->rotate != NULL && rotate_is_active(r->d->rotate);
}

static bool applies(const struct renew *r, enum renew_source s)
{
	if (r->own.token)
		return false;
	switch (s) {
	case RENEW_EXTERNAL:
		return r->d->conf->external_cert_dir != NULL && !rotating(r);
	case RENEW_AUTHORITY:
		return own_cert_obstacle(&r->own) == NULL && renew_shared_with(r) == NULL && !rotating(r);
	case RENEW_DEPOT:
		return r->d->clone != NULL;
	default:
		return false;
	}
}

/* When it may be asked for the first time, seconds since 1970. */
static int64_t due_of(const struct renew *r, enum renew_source s)
{
	int64_t end = (int64_t)r->own.info.not_after;

	switch (s) {
	case RENEW_EXTERNAL:
		return r->look_external ? 0 : end - OWN_CERT_EXTERNAL_DAYS * DAY_S;
	case RENEW_AUTHORITY:
		return own_cert_due(&r->own.info);
	default:
		return end - OWN_CERT_DEPOT_DAYS * DAY_S;
	}
}

static bool is_near(const struct renew *r)
{
	return (int64_t)r->own.info.not_after - (int64_t)time(NULL) <= OWN_CERT_EXTERNAL_DAYS * DAY_S;
}

/* The own authority is asked again soon, then seldom; whoever else has nothing yet, daily. Nearer to the end more
 * often. */
static uint64_t next_wait(const struct renew *r, const struct renew_try *t, enum renew_source s)
{
	int64_t left = (int64_t)r->own.info.not_after - (int64_t)time(NULL);
	uint64_t wait = s == RENEW_AUTHORITY ? (t->wait_ms == 0 ? r->d->conf->retry_min_ms : 2 * t->wait_ms) : DAY_MS;
	uint64_t most = left > 0 ? (uint64_t)left * 100 : DAY_MS / 24;

	wait = wait < most ? wait : most;
	wait = wait < DAY_MS ? wait : DAY_MS;
	return wait > WAIT_MIN_MS ? wait : WAIT_MIN_MS;
}

/* Until something is due; at most an hour. */
static uint64_t until_next(const struct renew *r)
{
	uint64_t soonest = LOOK_MS, now = loop_now(r->d->loop);
	int64_t today = time(NULL);

	for (enum renew_source s = 0; s < RENEW_SOURCES; s++) {
		int64_t due = due_of(r, s);
		uint64_t ms = due > today ? (uint64_t)(due - today) * 1000 : 0;

		if (!applies(r, s))
			continue;
		if (r->tries[s].next > now && r->tries[s].next - now > ms)
			ms = r->tries[s].next - now;
		if (ms < soonest)
			soonest = ms;
	}
	return soonest > 100 ? soonest : 100;
}

static void begin(struct renew *r, enum renew_source s)
{
	r->trying = true;
	r->source = s;
	r->recorded = false;
	renew_step(r);
}

static void forget_warning(struct renew *r, enum renew_source s)
{
	struct renew_try *t = &r->tries[s];
	bool was = t->warning[0] != '\0';

	t->warning[0] = '\0';
	t->failures = 0;
	t->away = false;
	if (was && r->d->clone != NULL)
		clone_greet_anew(r->d->clone);
}

/* Another certificate is in use. */
static void begin_anew(struct renew *r, enum renew_source s)
{
	forget_warning(r, s);
	r->tries[s] = (struct renew_try){ .next = 0 };
}

static int load(struct renew *r)
{
	struct own_cert own = { 0 };
	int rc = own_cert_load(&own, r->d->conf);
	bool another;

	if (rc < 0)
		return rc;
	another =
	    r->own.alias != NULL && !own.token && !r->own.token && strcmp(own.info.sha256, r->own.info.sha256) != 0;
	own_cert_fini(&r->own);
	r->own = own;
	/* What was said was said of the one before. */
	for (enum renew_source s = 0; another && s < RENEW_SOURCES; s++)
		begin_anew(r, s);
	return KC_OK;
}

static void go_on(struct renew *r)
{
	uint64_t now = loop_now(r->d->loop);
	int64_t today = time(NULL);
	int rc;

	if (r->trying || r->d->ending)
		return;
	rc = load(r);
	if (rc < 0) {
		log_debug("the own certificate cannot be looked at: %s", err_text(rc));
		loop_timer_set(r->timer, LOOK_MS);
		return;
	}
	for (enum renew_source s = 0; s < RENEW_SOURCES; s++) {
		bool asked = r->client != NULL && r->wanted == s;

		if (asked || (applies(r, s) && due_of(r, s) <= today && r->tries[s].next <= now)) {
			begin(r, s);
			return;
		}
	}
	loop_timer_set(r->timer, until_next(r));
}

static void on_timer(void *arg)
{
	go_on(arg);
}

/* --- what came of a try --- */

static void answer(struct renew *r, int rc, const char *alias, const json_t *result)
{
	struct control_client *c = r->client;
	json_t *a;

	if (c == NULL || r->wanted != r->source)
		return;
	r->client = NULL;
	a = ipc_result_new(rc);
	if (rc == KC_OK) {
		json_object_set_new(a, "alias", json_string(alias));
		json_object_set(a, "sha256", json_object_get(result, "sha256"));
		json_object_set(a, "not_after", json_object_get(result, "not_after"));
	}
	control_answer(c, a);
}

static void record(struct renew *r, enum audit_outcome outcome, int rc, const char *text)
{
	char detail[700];
	struct audit_record a = { .event = AUDIT_CERT_RENEW,
		.outcome = outcome,
		.code = rc < 0 ? err_msg_code(rc) : NULL,
		.detail = detail };

	snprintf(detail, sizeof(detail), "alias %.64s, %s%s%.500s", r->own.alias, names[r->source],
	    text[0] != '\0' ? ": " : "", text);
	daemon_audit(r->d, &a);
}

int renew_record_start(struct renew *r, const json_t *question)
{
	char text[200];
	char detail[400];
	struct audit_record a = { .event = AUDIT_CERT_RENEW, .outcome = AUDIT_STARTED, .detail = detail };
	int rc;

	snprintf(text, sizeof(text), "certificate %.64s, SHA-256 %.64s", member_text(question, "cn"),
	    member_text(question, "sha256"));
	snprintf(detail, sizeof(detail), "alias %.64s, %s: %s", r->own.alias, names[r->source], text);
	rc = daemon_audit(r->d, &a);
	r->recorded = rc == KC_OK;
	return rc;
}

/* Once in 24 hours, or when something else is wrong. */
static void warn(struct renew *r, int rc, const char *text)
{
	struct renew_try *t = &r->tries[r->source];
	uint64_t now = loop_now(r->d->loop);
	int64_t left = (int64_t)r->own.info.not_after - (int64_t)time(NULL);
	char span[CLOCK_SPAN_SIZE], warning[RENEW_WARNING];

	snprintf(warning, sizeof(warning), "certificate %.40s is not renewed %s: %.150s", r->own.alias,
	    names[r->source], text);
	str_printable(warning);
	if (strcmp(warning, t->warning) == 0 && now - t->warned_at < DAY_MS)
		return;
	STR_COPY(t->warning, warning);
	t->warned_at = now;
	clock_span(span, left);
	log_warn("certificate %s is not renewed %s: %s; it %s %s%s, and it is tried again", r->own.alias,
	    names[r->source], text, left < 0 ? "ended" : "ends in", span, left < 0 ? " ago" : "");
	if (!r->recorded)
		record(r, AUDIT_FAILURE, rc, text);
	if (r->d->clone != NULL)
		clone_greet_anew(r->d->clone);
}

/* That there is nothing yet is no news while the end is far, nor ever of the depot, which need not have anything. */
static bool is_quiet(const struct renew *r, int rc)
{
	if (rc == KC_ECANCELED || rc == KC_EBUSY)
		return true;
	if (rc != KC_ENOENT && rc != KC_EEXIST)
		return false;
	return r->source == RENEW_DEPOT || (r->source == RENEW_EXTERNAL && !is_near(r));
}

static bool is_away(int rc)
{
	return rc == KC_ENET || rc == KC_ETIMEOUT;
}

static void came(struct renew *r, const json_t *result)
{
	char text[200];

	snprintf(text, sizeof(text), "SHA-256 %.64s, until %.40s", member_text(result, "sha256"),
	    member_text(result, "not_after"));
	record(r, AUDIT_SUCCESS, KC_OK, text);
	log_info("certificate %s was renewed %s: until %s, SHA-256 %.16s…", r->own.alias, names[r->source],
	    member_text(result, "not_after"), member_text(result, "sha256"));
	if (r->source == RENEW_EXTERNAL)
		log_info("%s: what was read is in the keystore now, its key encrypted under the keystore's secret; the "
			 "files are not needed any more, remove them",
		    r->d->conf->external_cert_dir);
}

void renew_over(struct renew *r, int rc, const json_t *result)
{
	struct renew_try *t = &r->tries[r->source];
	char text[300], alias[80];
	bool taken = rc == KC_OK;

	snprintf(text, sizeof(text), "%s", rc < 0 ? err_text(rc) : "");
	STR_COPY(alias, r->own.alias);
	if (rc == KC_OK) {
		came(r, result);
		rc = daemon_reload_credentials(r->d, "this machine has another certificate");
		if (rc == KC_OK && r->d->clone != NULL)
			clone_greet_anew(r->d->clone);
		if (rc < 0)
			log_err("the renewed certificate is in the keystore, but not in force: %s", err_text(rc));
	} else if (rc < 0 && r->recorded) {
		record(r, AUDIT_FAILURE, rc, text);
	}
	t->failures = rc < 0 ? t->failures + 1 : 0;
	t->away = is_away(rc);
	if (rc < 0 && !is_quiet(r, rc) && (!t->away || t->failures >= AWAY_TRIES))
		warn(r, rc, text[0] != '\0' ? text : err_text(rc));
	if (rc < 0 && text[0] != '\0')
		err_set(rc, "%s", text);
	answer(r, rc, alias, result);
	if (r->source == RENEW_EXTERNAL)
		r->look_external = false;
	if (taken) {
		for (enum renew_source s = 0; s < RENEW_SOURCES; s++)
			begin_anew(r, s);
	} else {
		t->wait_ms = next_wait(r, t, r->source);
		if (is_quiet(r, rc))
			forget_warning(r, r->source);
		t->next = loop_now(r->d->loop) + t->wait_ms;
	}
	r->trying = false;
	loop_timer_set(r->timer, 0);
}

/* --- for others --- */

const char *renew_warning(const struct renew *r, size_t i)
{
	for (enum renew_source s = 0; r != NULL && s < RENEW_SOURCES; s++)
		if (r->tries[s].warning[0] != '\0' && i-- == 0)
			return r->tries[s].warning;
	return NULL;
}

static void client_gone(struct control_client *c, void *arg)
{
	struct renew *r = arg;

	(void)c;
	r->client = NULL;
}

static void want(struct renew *r, struct control_client *c, enum renew_source s)
{
	const char *obstacle;
	int rc = load(r);

	if (rc < 0) {
		control_answer(c, ipc_result_new(rc));
		return;
	}
	obstacle = r->own.token ? "its key is in a token" : NULL;
	if (s == RENEW_AUTHORITY && obstacle == NULL)
		obstacle = own_cert_obstacle(&r->own);
	if (s == RENEW_AUTHORITY && obstacle == NULL)
		obstacle = renew_shared_with(r);
	if (obstacle != NULL)
		rc = err_set(KC_ECERT, "certificate %s is not renewed %s: %s", r->own.alias, names[s], obstacle);
	else if (s == RENEW_AUTHORITY && rotating(r))
		rc = err_set(KC_EBUSY, "a rotation of certificates is under way");
	else if (r->client != NULL)
		rc = err_set(KC_EBUSY, "another renewal is asked for already");
	if (rc < 0) {
		control_answer(c, ipc_result_new(rc));
		return;
	}
	r->client = c;
	r->wanted = s;
	control_on_gone(c, client_gone, r);
	loop_timer_set(r->timer, 0);
}

void renew_now(struct renew *r, struct control_client *c)
{
	want(r, c, RENEW_AUTHORITY);
}

void renew_fetch(struct renew *r, struct control_client *c)
{
	if (r->d->clone == NULL)
		control_answer(c, ipc_result_new(err_set(KC_EUSAGE, "this machine is the master; its clones fetch")));
	else
		want(r, c, RENEW_DEPOT);
}

void renew_heard(struct renew *r)
{
	if (r == NULL || r->own.alias == NULL)
		return; /* before the first look */
	for (enum renew_source s = 0; s < RENEW_SOURCES; s++)
		if (r->tries[s].away)
			r->tries[s].next = 0;
	loop_timer_set(r->timer, 0);
}

void renew_look(struct renew *r)
{
	r->look_external = r->d->conf->external_cert_dir != NULL;
	for (enum renew_source s = 0; s < RENEW_SOURCES; s++)
		r->tries[s].next = 0;
	loop_timer_set(r->timer, 0);
}

struct renew *renew_new(struct daemon *d)
{
	struct renew *r = mem_xalloc(sizeof(*r));

	r->d = d;
	r->timer = loop_timer_new(d->loop, on_timer, r);
	return r;
}

void renew_free(struct renew *r)
{
	if (r == NULL)
		return;
	loop_timer_free(r->timer);
	own_cert_fini(&r->own);
	free(r);
}
