/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate_clone: one step of one clone: job "rotate-directive" → session → answer → kept. One that fails is tried again
 * until it does not.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/own_cert.h"
#include "keystore/cert.h"
#include "keystore/token.h"
#include "rotate_int.h"

static struct leg *leg_of(struct rotate *x, const char *name)
{
	struct leg *free_leg = NULL;

	for (size_t i = 0; i < ROTATION_CLONES; i++) {
		if (strcmp(x->legs[i].name, name) == 0)
			return &x->legs[i];
		if (free_leg == NULL &&
		    (x->legs[i].name[0] == '\0' || (!x->legs[i].busy && rotation_find(&x->r, x->legs[i].name) == NULL)))
			free_leg = &x->legs[i];
	}
	if (free_leg != NULL) {
		free(free_leg->csr);
		memset(free_leg, 0, sizeof(*free_leg));
		free_leg->rotate = x;
		STR_COPY(free_leg->name, name);
	}
	return free_leg;
}

static size_t index_of(struct rotate *x, const struct rotation_clone *c)
{
	return (size_t)(c - x->r.clones);
}

static void leg_failed(struct leg *leg, const char *text)
{
	struct rotate *x = leg->rotate;
	struct rotation_clone *c = rotation_find(&x->r, leg->name);

	leg->busy = false;
	leg->wait_ms = rotate_back_off(x, leg->wait_ms);
	leg->not_before = loop_now(x->d->loop) + leg->wait_ms;
	if (c != NULL && strcmp(c->error, text) != 0) {
		STR_COPY(c->error, text);
		log_warn("rotation of certificates: %s waits for clone %s: %s", rotation_step_name(leg->step),
		    leg->name, c->error);
		rotate_tell(x);
	}
	rotate_soon(x);
}

/* The clone's certificate as the step's session has shown it. */
static void learn(struct rotate *x, struct rotation_clone *c, const struct cert_info *peer, const json_t *said)
{
	const struct rotation *r = &x->r;
	bool site = strcmp(peer->spki_sha256, r->old_spki) == 0 || strcmp(peer->spki_sha256, r->new_spki) == 0;
	char day[ROTATION_DAY], suffix[ROTATION_DAY + 11];
	json_t *names;

	if (c->kind != ROTATION_UNKNOWN)
		return;
	STR_COPY(c->alias, member_text(said, "alias"));
	c->kind = site									 ? ROTATION_SITE
		  : token_is_uri(c->alias)						 ? ROTATION_EXTERNAL
		  : peer->role == CERT_ROLE_CLONE && peer->anchor_is_authority && r->own ? ROTATION_OWN
											 : ROTATION_EXTERNAL;
	STR_COPY(c->new_alias, r->new_alias);
	rotation_day(day, r->began);
	STR_COPY(suffix, day);
	if (c->kind == ROTATION_OWN)
		rotation_alias(c->new_alias, c->alias, suffix);
	/* The second of a day, or a name that is in use there. */
	for (unsigned n = 2; c->kind != ROTATION_EXTERNAL && strcmp(c->new_alias, c->alias) == 0; n++) {
		snprintf(suffix, sizeof(suffix), "%s.%u", day, n);
		rotation_alias(c->new_alias, c->alias, suffix);
	}
	if (c->kind != ROTATION_OWN)
		return;
	STR_COPY(c->cn, peer->cn);
	STR_COPY(c->serial, peer->serial);
	names = json_object();
	own_cert_names(names, peer);
	json_decref(c->sans);
	c->sans = json_incref(json_object_get(names, "sans"));
	json_decref(names);
}

/* What the clone said is taken; an error is one of the step. */
static int take_answer(struct leg *leg, struct rotation_clone *c, const struct cert_info *peer, const json_t *said)
{
	struct rotate *x = leg->rotate;

	switch (leg->step) {
	case ROTATION_TRUST:
		learn(x, c, peer, said);
		return KC_OK;
	case ROTATION_REQUEST:
		free(leg->csr);
		leg->csr = mem_xstrdup(member_text(said, "csr"));
		return leg->csr[0] != '\0' ? KC_OK : err_set(KC_EPROTO, "it sent no request");
	case ROTATION_INSTALL:
		STR_COPY(c->sha256, member_text(said, "sha256"));
		return c->sha256[0] != '\0' ? KC_OK : err_set(KC_EPROTO, "it does not say what it has installed");
	case ROTATION_VERIFYING:
		return c->kind == ROTATION_EXTERNAL || strcmp(peer->sha256, c->sha256) == 0
			   ? KC_OK
			   : err_set(KC_ECERT, "it shows another certificate than the new one");
	default:
		return KC_OK;
	}
}

static void on_answer(const struct proto_directed *a, const struct cert_info *peer, void *arg)
{
	struct leg *leg = arg;
	struct rotate *x = leg->rotate;
	struct rotation_clone *c = rotation_find(&x->r, leg->name);
	json_t *said = json_loadb((const char *)a->answer, a->answer_size, 0, NULL);

	leg->answered = true;
	leg->rc = KC_OK;
	if (a->error[0] != '\0') {
		leg->rc = err_from_name(a->error);
		leg->rc = err_set(leg->rc < 0 ? leg->rc : KC_EFAIL, "%.280s", a->message);
	} else if (c != NULL) {
		leg->rc = take_answer(leg, c, peer, said);
		/* It has switched back, and forgets with the same directive once more. */
		if (leg->rc == KC_OK && json_is_true(json_object_get(said, "again")))
			leg->rc = KC_EAGAIN;
	}
	if (c != NULL && leg->step == ROTATION_INSTALL && leg->rc == KC_ENOENT && c->kind == ROTATION_OWN) {
		/* The key went with its worker. */
		rotation_again(&x->r, index_of(x, c), ROTATION_REQUEST);
		leg->rc = KC_EAGAIN;
	}
	if (leg->rc < 0)
		STR_COPY(leg->why, err_text(leg->rc));
	json_decref(said);
}

static void leg_done(struct leg *leg)
{
	struct rotate *x = leg->rotate;
	struct rotation_clone *c = rotation_find(&x->r, leg->name);
	enum rotation_step was;
	bool was_back;

	leg->busy = false;
	/* Whoever asks for the same again has to wait like one that failed; once it may at once. */
	leg->wait_ms = leg->rc == KC_OK || !leg->again ? 0 : rotate_back_off(x, leg->wait_ms);
	leg->not_before = loop_now(x->d->loop) + leg->wait_ms;
	leg->again = leg->rc != KC_OK;
	if (c != NULL && leg->rc == KC_OK) {
		if (leg->step != ROTATION_REQUEST && leg->step != ROTATION_VERIFYING)
			rotate_audit(
			    x, AUDIT_SUCCESS, leg->name, "%s, rotation %s", rotation_step_name(leg->step), x->r.id);
		was = c->next;
		was_back = c->back;
		rotation_did(&x->r, index_of(x, c), leg->step);
		/* It was on its way when the rotation was taken back. */
		if (x->r.phase >= ROTATION_BACK_MASTER && leg->step != ROTATION_GO_BACK)
			c->back = false;
		if (rotate_keep(x) < 0) {
			/* Not kept, it is done once more. */
			c->next = was;
			c->back = was_back;
			leg->not_before = loop_now(x->d->loop) + RETRY_MAX_MS;
		}
	}
	rotate_soon(x);
}

static void on_closed(int rc, enum peer_verdict v, const char *text, void *arg)
{
	struct leg *leg = arg;
	struct rotate *x = leg->rotate;
	if (rc < 0 && v != PEER_UNDECIDED && !peer_may_speak(v))
		daemon_refused(x->d, leg->name, v, rc, text);
	if (!leg->answered)
		STR_COPY(leg->why, text);
	/* Takes `text` with it. */
	directive_free(leg->session);
	leg->session = NULL;
	if (leg->answered && (leg->rc == KC_OK || leg->rc == KC_EAGAIN))
		leg_done(leg);
	else
		leg_failed(leg, leg->why);
}

static void connect_leg(struct leg *leg, const struct target *t, const json_t *result)
{
	static const struct directive_events events = { on_answer, on_closed };
	struct daemon *d = leg->rotate->d;
	const char *body = member_text(result, "body"), *signature = member_text(result, "signature");
	struct proto_hello *h = mem_xalloc(sizeof(*h));
	const struct fleet_record *r = fleet_record(t->clone);
	struct directive_options o = { .host = r->host,
		.port = r->port,
		.conn = daemon_conn_options(d),
		.recipient = t->recipient,
		.hello = h,
		.body = body,
		.body_size = strlen(body),
		.signature = signature,
		.signature_size = strlen(signature) };

	leg->answered = false;
	if (o.body_size > PROTO_DIRECTIVE_MAX) {
		leg_failed(leg, "the directive is too long: shorten the chain of the certificate");
	} else {
		target_fill_hello(t->master, t, h);
		leg->session = directive_start(d->loop, &o, &events, leg);
	}
	free(h);
}

static void on_signed(int rc, const json_t *result, void *arg)
{
	struct leg *leg = arg;
	struct rotate *x = leg->rotate;
	struct target *t = target_find(x->d->master, leg->name);
	char why[300];

	if (rc == KC_ECANCELED || x->stopped) {
		leg->busy = false;
		return;
	}
	if (t == NULL) {
		leg->busy = false;
		rotate_soon(x);
		return;
	}
	if (rc == KC_OK)
		rc = target_note_issued(t->master, fleet_record(t->clone)->host, fleet_record(t->clone)->port, result);
	if (rc < 0) {
		STR_COPY(why, err_text(rc));
		leg_failed(leg, why);
		return;
	}
	connect_leg(leg, t, result);
}

/* Serial numbers go on with the clock, so that a promoted master's are higher. */
static uint64_t next_serial(struct rotation *r)
{
	uint64_t now = (uint64_t)time(NULL) * 1000;

	r->serial = now > r->serial ? now : r->serial + 1;
	return r->serial;
}

/* The members of a directive that its step needs. */
static json_t *directive_of(struct rotate *x, const struct rotation_clone *c, enum rotation_step step)
{
	struct rotation *r = &x->r;
	json_t *d = json_pack("{s:s, s:s, s:I, s:s}", "step", rotation_step_name(step), "rotation", r->id, "serial",
	    (json_int_t)next_serial(r), "lineage", x->d->self.lineage);

	switch (step) {
	case ROTATION_TRUST:
		json_object_set_new(d, "certificates", json_string(r->certificates));
		json_object_set_new(d, "cn", json_string(r->add_cn));
		break;
	case ROTATION_REQUEST:
		json_object_set_new(d, "cn", json_string(c->cn));
		if (c->sans != NULL)
			json_object_set(d, "sans", c->sans);
		break;
	case ROTATION_INSTALL:
	case ROTATION_SWITCHING:
		json_object_set_new(d, "alias", json_string(c->new_alias));
		break;
	case ROTATION_RETIRING:
		if (c->kind != ROTATION_EXTERNAL)
			json_object_set_new(d, "retire", json_string(c->alias));
		json_object_set_new(d, "cn", json_string(r->drop_cn));
		if (r->crl != NULL)
			json_object_set_new(d, "crl", json_string(r->crl));
		if (r->forget != NULL)
			json_object_set(d, "forget", r->forget);
		break;
	case ROTATION_GO_BACK:
		json_object_set_new(d, "alias", json_string(c->alias));
		if (c->kind != ROTATION_EXTERNAL)
			json_object_set_new(d, "retire", json_string(c->new_alias));
		json_object_set_new(d, "cn", json_string(r->drop_cn[0] != '\0' ? r->add_cn : ""));
		if (r->forget_new != NULL)
			json_object_set(d, "forget", r->forget_new);
		break;
	default:
		break;
	}
	return d;
}

static json_t *job_of(struct rotate *x, struct leg *leg, const struct rotation_clone *c, const struct target *t)
{
	json_t *j = json_pack("{s:s, s:s, s:s, s:o}", "verb", "rotate-directive", "clone", leg->name, "recipient",
	    t->recipient, "directive", directive_of(x, c, leg->step));

	if (leg->step == ROTATION_INSTALL && c->kind == ROTATION_SITE)
		json_object_set_new(j, "seal", json_string(x->r.new_alias));
	if (leg->step == ROTATION_INSTALL && c->kind == ROTATION_OWN) {
		json_object_set_new(j, "csr", json_string(leg->csr));
		json_object_set_new(j, "cn", json_string(c->cn));
		json_object_set_new(j, "days", json_integer((json_int_t)x->r.days));
		if (c->sans != NULL)
			json_object_set(j, "sans", c->sans);
	}
	return j;
}

void rotate_clone_step(struct rotate *x, size_t i, uint64_t *in_ms)
{
	struct rotation_clone *c = &x->r.clones[i];
	enum rotation_step step = rotation_due(&x->r, i);
	struct leg *leg = leg_of(x, c->name);
	struct target *t = target_find(x->d->master, c->name);
	uint64_t now = loop_now(x->d->loop);

	if (leg == NULL || t == NULL || leg->busy || step == ROTATION_WAIT || step == ROTATION_DONE)
		return;
	if (now < leg->not_before) {
		*in_ms = leg->not_before - now < *in_ms ? leg->not_before - now : *in_ms;
		return;
	}
	if (step == ROTATION_INSTALL && c->kind == ROTATION_OWN && leg->csr == NULL) {
		rotation_again(&x->r, i, ROTATION_REQUEST);
		step = ROTATION_REQUEST;
	}
	leg->step = step;
	leg->busy = true;
	if (t->recipient[0] == '\0') {
		leg_failed(leg, "it has not been met yet");
		return;
	}
	jobs_add(x->d->jobs, job_of(x, leg, c, t), NULL, NULL, on_signed, leg);
}
