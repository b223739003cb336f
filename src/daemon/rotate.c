/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate: when what is done, what is kept of it, and who is told.
 *
 *   tick ─ the master's own work in BEGIN, MASTER, END, BACK_MASTER, BACK_END (rotate_own.c)
 *        └ else for each clone that has something to do a step (rotate_clone.c) → kept → tick
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/hex.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/control.h"
#include "daemon/own_cert.h"
#include "keystore/identity.h"
#include "keystore/token.h"
#include "rotate_int.h"

void rotate_soon(struct rotate *x)
{
	if (!x->stopped)
		loop_timer_set(x->tick, 0);
}

/* --- who watches --- */

void rotate_tell(struct rotate *x)
{
	json_t *j = json_pack("{s:o}", "rotation", rotation_json(&x->r));

	for (size_t i = 0; i < WATCHERS_MAX; i++)
		if (x->watchers[i].client != NULL)
			control_progress(x->watchers[i].client, j);
	json_decref(j);
}

static void answer(struct control_client *c, const struct rotate *x, int rc)
{
	json_t *j = ipc_result_new(rc);

	json_object_set_new(j, "rotation", rotation_json(&x->r));
	control_answer(c, j);
}

void rotate_answer_all(struct rotate *x, int rc)
{
	for (size_t i = 0; i < WATCHERS_MAX; i++) {
		struct control_client *c = x->watchers[i].client;
		bool asked_for = rc == KC_ECANCELED && x->watchers[i].undoes;

		x->watchers[i].client = NULL;
		if (c != NULL)
			answer(c, x, asked_for ? KC_OK : rc);
	}
}

static void on_gone(struct control_client *c, void *arg)
{
	struct rotate *x = arg;

	for (size_t i = 0; i < WATCHERS_MAX; i++)
		if (x->watchers[i].client == c)
			x->watchers[i].client = NULL;
}

static void watch_or_answer(struct rotate *x, struct control_client *c, bool wait, bool undoes)
{
	for (size_t i = 0; wait && i < WATCHERS_MAX; i++) {
		if (x->watchers[i].client != NULL)
			continue;
		x->watchers[i].client = c;
		x->watchers[i].undoes = undoes;
		control_on_gone(c, on_gone, x);
		rotate_tell(x);
		return;
	}
	answer(c, x, KC_OK);
}

/* --- durable --- */

int rotate_audit(struct rotate *x, enum audit_outcome outcome, const char *peer, const char *fmt, ...)
{
	char detail[500];
	struct audit_record r = { .event = AUDIT_CERT_ROTATE, .outcome = outcome, .peer = peer, .detail = detail };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	return daemon_audit(x->d, &r);
}

/* A rotation that is not remembered must not go on. */
int rotate_keep(struct rotate *x)
{
	int rc = rotation_save(&x->r, x->d->conf->state_dir);

	if (rc < 0)
		log_err("rotation of certificates: %s", err_text(rc));
	rotate_tell(x);
	return rc;
}

static void enter_phase(struct rotate *x)
{
	x->wait_ms = x->not_before = 0;
	for (size_t i = 0; i < ROTATION_CLONES; i++)
		x->legs[i].wait_ms = x->legs[i].not_before = 0;
	if (x->r.phase != ROTATION_NONE) {
		log_info("rotation of certificates: %s", rotation_phase_name(x->r.phase));
		return;
	}
	log_info("rotation of certificates: %s is in force%s", x->r.undone ? x->r.old_alias : x->r.new_alias,
	    x->r.undone ? " again" : " everywhere");
	rotate_audit(x, AUDIT_SUCCESS, NULL, "%s to %s%s: %s", x->r.old_alias, x->r.new_alias,
	    x->r.authority ? " with another authority" : "", x->r.undone ? "taken back" : "done");
	rotate_answer_all(x,
	    x->r.undone ? err_set(KC_ECANCELED, "the rotation was taken back: %s is in force", x->r.old_alias) : KC_OK);
}

uint64_t rotate_back_off(const struct rotate *x, uint64_t wait_ms)
{
	uint64_t next = daemon_back_off(x->d, wait_ms);

	return next < RETRY_MAX_MS ? next : RETRY_MAX_MS;
}

void rotate_forward(struct rotate *x)
{
	enum rotation_phase was = x->r.phase;

	rotation_forward(&x->r);
	if (rotate_keep(x) < 0) {
		/* Asked again, its work does nothing; then it is tried to be kept again. */
		x->r.phase = was;
		x->not_before = loop_now(x->d->loop) + RETRY_MAX_MS;
		loop_timer_set(x->tick, RETRY_MAX_MS);
		return;
	}
	enter_phase(x);
	rotate_soon(x);
}

/* --- the clock --- */

static bool sync_clones(struct rotate *x)
{
	const char *names[ROTATION_CLONES];
	size_t n = 0;

	for (struct target *t = x->d->master->targets; t != NULL && n < ROTATION_CLONES; t = t->next)
		names[n++] = t->name;
	return rotation_set_clones(&x->r, names, n);
}

static void on_tick(void *arg)
{
	struct rotate *x = arg;
	uint64_t in_ms = RETRY_MAX_MS, now = loop_now(x->d->loop);
	enum rotation_phase was = x->r.phase;

	if (x->stopped || x->r.phase == ROTATION_NONE || x->working)
		return;
	if (sync_clones(x))
		rotate_keep(x);
	if (now >= x->not_before && rotate_own_work(x))
		return;
	if (rotation_advance(&x->r)) {
		if (rotate_keep(x) < 0) {
			/* What is not kept is not done. */
			x->r.phase = was;
			loop_timer_set(x->tick, RETRY_MAX_MS);
			return;
		}
		enter_phase(x);
		rotate_soon(x);
		return;
	}
	for (size_t i = 0; i < x->r.count; i++)
		rotate_clone_step(x, i, &in_ms);
	if (!loop_timer_is_set(x->tick))
		loop_timer_set(x->tick, in_ms > 0 ? in_ms : 1);
}

void rotate_fleet_changed(struct rotate *x)
{
	if (x->r.phase == ROTATION_NONE || !sync_clones(x))
		return;
	rotate_keep(x);
	rotate_soon(x);
}

/* --- the owner's side --- */

int rotate_new(struct rotate **out, struct daemon *d)
{
	struct rotate *x = mem_xalloc(sizeof(*x));
	int rc;

	x->d = d;
	x->tick = loop_timer_new(d->loop, on_tick, x);
	rc = rotation_load(&x->r, d->conf->state_dir);
	if (rc < 0) {
		rotate_free(x);
		return rc;
	}
	*out = x;
	return KC_OK;
}

void rotate_start(struct rotate *x)
{
	if (x->r.phase == ROTATION_NONE)
		return;
	log_info("rotation of certificates: goes on with %s", rotation_phase_name(x->r.phase));
	rotate_soon(x);
}

void rotate_stop(struct rotate *x)
{
	x->stopped = true;
	loop_timer_clear(x->tick);
	for (size_t i = 0; i < ROTATION_CLONES; i++) {
		directive_free(x->legs[i].session);
		x->legs[i].session = NULL;
	}
}

void rotate_free(struct rotate *x)
{
	if (x == NULL)
		return;
	rotate_stop(x);
	for (size_t i = 0; i < ROTATION_CLONES; i++)
		free(x->legs[i].csr);
	loop_timer_free(x->tick);
	rotation_fini(&x->r);
	rotation_fini(&x->before);
	free(x);
}

bool rotate_is_active(const struct rotate *x)
{
	return x->r.phase != ROTATION_NONE;
}

json_t *rotate_status(const struct rotate *x)
{
	return rotation_json(&x->r);
}

/* "ssl_cert" → "ssl_cert-20261129", with a number where that is taken. */
static int choose_alias(char alias[ROTATION_ALIAS], const struct daemon *d, int64_t now)
{
	struct identity_list list = { 0 };
	char day[ROTATION_DAY], suffix[ROTATION_DAY + 4];
	int rc = identity_list_load(&list, d->conf->keystore_dir);
	bool taken = true;

	rotation_day(day, now);
	for (unsigned i = 1; rc == KC_OK && taken && i < 100; i++) {
		snprintf(suffix, sizeof(suffix), i == 1 ? "%s" : "%s.%u", day, i);
		rotation_alias(alias, member_text(d->certificate, "alias"), suffix);
		taken = false;
		for (size_t k = 0; k < list.count; k++)
			taken = taken || strcmp(list.entries[k].alias, alias) == 0;
	}
	identity_list_fini(&list);
	return rc == KC_OK && taken ? err_set(KC_EEXIST, "every alias for another certificate is taken") : rc;
}

static int prepare(struct rotate *x, const json_t *request)
{
	struct rotation *r = &x->r;
	const char *to = member_text(request, "to");
	char id[16];
	int rc = KC_OK;

	if (x->d->conf->tls_alias != NULL && token_is_uri(x->d->conf->tls_alias))
		return err_set(KC_EUSAGE, "the key in use is in a PKCS#11 token and is not rotated: make another one "
					  "there, trust its certificate "
					  "on the clones, and set backup.TLSCertAlias");
	rotation_set_aside(r, &x->before);
	mem_random(id, sizeof(id));
	hex_encode(r->id, (unsigned char *)id, sizeof(id));
	r->began = time(NULL);
	r->make = to[0] == '\0';
	r->authority = json_is_true(json_object_get(request, "authority"));
	r->days = (unsigned)member_u64(request, "days");
	STR_COPY(r->key_type, member_text(request, "key_type"));
	STR_COPY(r->old_alias, member_text(x->d->certificate, "alias"));
	STR_COPY(r->new_alias, to);
	if (r->make)
		rc = choose_alias(r->new_alias, x->d, r->began);
	if (rc == KC_OK)
		rc = rotate_audit(x, AUDIT_STARTED, NULL, "%s to %s%s", r->old_alias, r->new_alias,
		    r->authority ? " with another authority" : "");
	r->phase = ROTATION_BEGIN;
	if (rc == KC_OK)
		rc = rotation_save(r, x->d->conf->state_dir);
	if (rc < 0)
		rotation_bring_back(r, &x->before);
	return rc;
}

void rotate_begin(struct rotate *x, struct control_client *c, const json_t *request)
{
	int rc =
	    x->r.phase != ROTATION_NONE
		? err_set(KC_EBUSY, "a rotation is under way: 'keyclone cert rotate --status' shows whom it waits for")
		: prepare(x, request);

	if (rc < 0) {
		control_answer(c, ipc_result_new(rc));
		return;
	}
	enter_phase(x);
	watch_or_answer(x, c, json_is_true(json_object_get(request, "wait")), false);
	rotate_soon(x);
}

/* Where the master has changed already, the old one has to be fit to be spoken with again. */
static int check_old(const struct rotate *x)
{
	struct identity *id = NULL;
	int rc;

	if (x->r.phase != ROTATION_VERIFY)
		return KC_OK;
	rc = identity_load(&id, x->d->conf->keystore_dir, x->r.old_alias);
	if (rc == KC_OK)
		rc = own_cert_check(id, x->d->conf);
	identity_free(id);
	return rc;
}

void rotate_abort(struct rotate *x, struct control_client *c, const json_t *request)
{
	enum rotation_phase was = x->r.phase;
	int rc = x->working ? err_set(KC_EBUSY, "a step of the master is being taken: try again") : check_old(x);

	if (rc == KC_OK)
		rc = rotation_undo(&x->r);
	if (rc == KC_OK && x->r.phase != was) {
		rc = rotate_audit(x, AUDIT_STARTED, NULL, "%s to %s is taken back, %s", x->r.old_alias, x->r.new_alias,
		    control_who(c));
		if (rc == KC_OK)
			rc = rotate_keep(x);
		if (rc == KC_OK)
			enter_phase(x);
		else
			x->r.phase = was;
	}
	if (rc < 0) {
		control_answer(c, ipc_result_new(rc));
		return;
	}
	watch_or_answer(x, c, json_is_true(json_object_get(request, "wait")), true);
	rotate_soon(x);
}
