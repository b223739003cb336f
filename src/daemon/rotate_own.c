/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_own: the master's own work in a rotation: a job of the worker, then a reload, and the phase is over. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "rotate_int.h"

#define PUSH_LOOK_MS 500
#define CRL_MAX	     20000 /* what goes into one directive */

static void own_failed(struct rotate *x, int rc)
{
	char why[300];

	STR_COPY(why, err_text(rc));
	x->working = false;
	if (rc == KC_ECANCELED)
		return;
	rotate_audit(x, AUDIT_FAILURE, NULL, "%s: %s", rotation_phase_name(x->r.phase), why);
	if (x->r.phase == ROTATION_BEGIN && x->r.new_sha256[0] == '\0') {
		/* Nobody was told anything. */
		log_warn("rotation of certificates: not begun: %s", why);
		rotation_bring_back(&x->r, &x->before);
		rotate_keep(x);
		rotate_answer_all(x, err_set(rc, "%s", why));
		return;
	}
	if (x->r.phase == ROTATION_BEGIN) {
		/* It was made, and is not in force: as if it had never been. */
		log_warn("rotation of certificates: not begun, what was made for it goes: %s", why);
		x->r.phase = ROTATION_BACK_END;
		rotate_keep(x);
		rotate_answer_all(x, err_set(rc, "%s", why));
		rotate_soon(x);
		return;
	}
	log_warn("rotation of certificates: %s: %s", rotation_phase_name(x->r.phase), why);
	x->wait_ms = rotate_back_off(x, x->wait_ms);
	x->not_before = loop_now(x->d->loop) + x->wait_ms;
	loop_timer_set(x->tick, x->wait_ms);
}

/* The reload has put in force what the job has changed. */
static void on_own_reloaded(int rc, const json_t *result, void *arg)
{
	struct rotate *x = arg;
	bool back = x->r.phase == ROTATION_BACK_MASTER;
	const char *wanted = back ? x->r.old_alias : x->r.new_alias;

	(void)result;
	if (rc == KC_OK && (back || x->r.phase == ROTATION_MASTER) &&
	    strcmp(member_text(x->d->certificate, "alias"), wanted) != 0)
		rc = err_set(
		    KC_EFAIL, "the certificate in force is another than %s", back ? x->r.old_alias : x->r.new_alias);
	if (rc < 0) {
		own_failed(x, rc);
		return;
	}
	x->working = false;
	if (x->r.phase == ROTATION_MASTER)
		x->switched_at = loop_now(x->d->loop);
	rotate_forward(x);
}

static void take_begin(struct rotation *r, const json_t *result)
{
	const json_t *old = json_object_get(result, "old"), *new = json_object_get(result, "new");

	STR_COPY(r->old_alias, member_text(result, "old_alias"));
	STR_COPY(r->old_sha256, member_text(old, "sha256"));
	STR_COPY(r->old_spki, member_text(old, "spki"));
	STR_COPY(r->new_sha256, member_text(new, "sha256"));
	STR_COPY(r->new_spki, member_text(new, "spki"));
	r->own = json_is_true(json_object_get(result, "own"));
	/* One that was made has the names of the old one. */
	if (!r->make)
		STR_COPY(r->add_cn, member_text(new, "cn"));
	if (strcasecmp(member_text(old, "cn"), member_text(new, "cn")) != 0)
		STR_COPY(r->drop_cn, member_text(old, "cn"));
	if (json_is_true(json_object_get(old, "own")))
		STR_COPY(r->old_serial, member_text(old, "serial"));
	free(r->certificates);
	r->certificates = mem_xstrdup(member_text(result, "certificates"));
	json_decref(r->forget);
	r->forget = json_deep_copy(json_object_get(result, "forget"));
	json_decref(r->forget_new);
	r->forget_new = json_deep_copy(json_object_get(result, "forget_new"));
}

static void take_crl(struct rotation *r, const char *crl)
{
	free(r->crl);
	r->crl = NULL;
	if (strlen(crl) <= CRL_MAX)
		r->crl = mem_xstrdup(crl);
	else
		log_warn(
		    "the list of revoked certificates is too long for the clones: %zu bytes, more than %d; copy it to "
		    "their tls.CRLFile",
		    strlen(crl), CRL_MAX);
}

/* What is revoked need not be again. */
static void forget_issued(const struct rotate *x)
{
	for (size_t i = 0; i < x->r.count; i++)
		if (state_forget_issued(x->d->state, x->r.clones[i].serial) < 0)
			return;
}

static void on_own_done(int rc, const json_t *result, void *arg)
{
	struct rotate *x = arg;

	if (rc < 0) {
		own_failed(x, rc);
		return;
	}
	if (x->r.phase == ROTATION_BEGIN)
		take_begin(&x->r, result);
	if (x->r.phase == ROTATION_REVOKE) {
		take_crl(&x->r, member_text(result, "crl"));
		forget_issued(x);
	}
	daemon_reload(x->d, on_own_reloaded, x);
}

static json_t *end_request(const struct rotate *x)
{
	const struct rotation *r = &x->r;
	bool undone = r->phase == ROTATION_BACK_END;
	json_t *forget = undone ? r->forget_new : r->forget;
	/* Clones with a certificate of their own may be of an authority that this master's old one was of. */
	bool keep = !undone && rotation_has_external(r);

	return json_pack("{s:s, s:s, s:O*, s:b, s:b, s:b}", "verb", "rotate-end", "retire",
	    undone ? r->new_alias : r->old_alias, "forget", forget, "keep_authorities", (int)keep, "authority",
	    (int)r->authority, "undone", (int)undone);
}

/* Of what our authority issued and still stands for. */
static json_t *old_serials(const struct rotation *r)
{
	json_t *list = json_array();

	if (r->old_serial[0] != '\0')
		json_array_append_new(list, json_string(r->old_serial));
	for (size_t i = 0; !r->authority && i < r->count; i++)
		if (r->clones[i].kind == ROTATION_OWN && r->clones[i].serial[0] != '\0')
			json_array_append_new(list, json_string(r->clones[i].serial));
	return list;
}

static json_t *own_request(const struct rotate *x)
{
	const struct rotation *r = &x->r;

	switch (r->phase) {
	case ROTATION_BEGIN:
		return json_pack("{s:s, s:s, s:b, s:s, s:i, s:b}", "verb", "rotate-begin", "new_alias", r->new_alias,
		    "make", (int)r->make, "key_type", r->key_type, "days", (int)r->days, "authority",
		    (int)r->authority);
	case ROTATION_MASTER:
	case ROTATION_BACK_MASTER:
		return json_pack("{s:s, s:s}", "verb", "rotate-use", "alias",
		    r->phase == ROTATION_MASTER ? r->new_alias : r->old_alias);
	case ROTATION_END:
	case ROTATION_BACK_END:
		return end_request(x);
	default:
		return NULL;
	}
}

static bool is_pushing_on_old(const struct rotate *x)
{
	for (const struct target *t = x->d->master->targets; t != NULL; t = t->next)
		if (t->push != NULL && push_current(t->push) != NULL && t->offered_at <= x->switched_at)
			return true;
	return false;
}

static void start(struct rotate *x, json_t *request)
{
	x->working = true;
	jobs_add(x->d->jobs, request, NULL, NULL, on_own_done, x);
}

static void revoke(struct rotate *x)
{
	json_t *serials = old_serials(&x->r);

	if (json_array_size(serials) == 0)
		rotate_forward(x);
	else if (is_pushing_on_old(x))
		/* A revoked certificate ends its sessions: a push that began before goes on to its end first. */
		loop_timer_set(x->tick, PUSH_LOOK_MS);
	else
		start(x, json_pack("{s:s, s:O}", "verb", "revoke", "serials", serials));
	json_decref(serials);
}

bool rotate_own_work(struct rotate *x)
{
	json_t *request;

	if (x->r.phase == ROTATION_REVOKE) {
		revoke(x);
		return true;
	}
	request = own_request(x);
	if (request != NULL)
		start(x, request);
	return request != NULL;
}
