/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target_next: what is decided when a clone is due: is there something to send, and which file? The newest backup where
 * that helps: a full always, an increment where the clone has what it builds on. A clone that is several generations
 * behind gets the increments that it lacks, one after the other on one session; one that has nothing of the chain its
 * full first.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backup/age.h"
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "master_int.h"

#define VERSION_INCREMENTS 3 /* of the protocol */

/* The newest generation that it has, restored or stored for its hour. */
static uint64_t has(const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);

	return r->postponed_until != 0 && r->stored > r->applied ? r->stored : r->applied;
}

static int from_chain(struct offering **next, const struct master *m, uint64_t have, uint64_t chain)
{
	struct state_made made;
	int rc = have >= chain ? state_get_made_on(&made, m->d->state, m->d->self.lineage, chain, have)
			       : state_get_made(&made, m->d->state, m->d->self.lineage, chain);

	return rc < 0 ? rc : offering_of(next, &made, m->d->conf->backup_dir);
}

/* What brings the clone on from what it has; a reference. KC_ENEEDFULL: nothing but a full that is yet to be made. */
static int next_for(struct offering **next, const struct target *t)
{
	const struct proto_hello *h = push_peer_hello(t->push);
	struct master *m = t->master;
	struct offering *out = m->out;
	uint64_t have = has(t);
	bool afresh = t->needs_full || (t->diverged && t->discard);
	bool opens = h->version >= VERSION_INCREMENTS && t->chain == out->chain;
	int rc;

	if (out->kind == PROTO_FULL || (have >= out->generation && !afresh) ||
	    (out->base == have && opens && !afresh)) {
		*next = offering_ref(out);
		return KC_OK;
	}
	if (afresh || (have >= out->chain && !opens))
		return err_set(KC_ENEEDFULL, "increments are of no use to it");
	rc = from_chain(next, m, have, out->chain);
	/* A file that somebody removed is no reason to send nothing. */
	return rc == KC_ENOENT || rc == KC_ETRUNCATED ? err_set(KC_ENEEDFULL, "%s", err_text(rc)) : rc;
}

void target_took(struct target *t, const struct offering *o)
{
	if (o->kind != PROTO_FULL)
		return;
	t->needs_full = false;
	t->chain = o->chain;
}

/* Nothing that there is helps it: another full is made, and it waits for that, unless none can be made now. */
void target_wait_for_full(struct target *t)
{
	struct master *m = t->master;
	char text[300];

	STR_COPY(text, err_text(KC_ENEEDFULL));
	if (m->backup_wait_ms > 0 || held_is(m) || m->still) {
		target_failed(t, FLEET_FAIL_OTHER, KC_ENEEDFULL, text, true);
		return;
	}
	log_info("clone %s: a full backup is made for it: %s", t->name, text);
	target_over(t, KC_ENEEDFULL, text);
	t->waiting = true;
	m->want_full = true;
	master_look(m, true);
}

static void send_next(struct target *t)
{
	struct offering *next = NULL;
	int rc = next_for(&next, t);

	if (rc == KC_OK)
		target_offer(t, next);
	else if (rc == KC_ENEEDFULL)
		target_wait_for_full(t);
	else
		target_failed(t, FLEET_FAIL_OTHER, rc, err_text(rc), true);
}

/* Has it a generation that this master did not make, or made with other contents? */
bool target_is_rolled_back(char *text, size_t size, const struct target *t, const struct proto_hello *h)
{
	const struct state_self *self = &t->master->d->self;
	uint64_t applied = h->applied_generation;
	struct state_made made;

	if (strcmp(h->applied_lineage, self->lineage) != 0)
		return false;
	/* A number that is reserved only is not made: no clone can have it from here. */
	if (applied > self->complete) {
		snprintf(text, size,
		    "it has applied generation %" PRIu64 ", this master made %" PRIu64
		    " at most: was this machine rolled back?",
		    applied, self->complete);
		return true;
	}
	if (h->applied_digest[0] == '\0' || state_get_made(&made, t->master->d->state, self->lineage, applied) < 0 ||
	    strcmp(made.digest, h->applied_digest) == 0)
		return false;
	snprintf(text, size,
	    "it has applied generation %" PRIu64
	    " with other contents than this master made: was this machine rolled back?",
	    applied);
	return true;
}

/* Has it the newest one stored, and need not be told to hurry? Whoever waits for what it restores right now goes on. */
static bool is_postponed(const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);

	return r->postponed_until != 0 && r->stored >= t->master->out->generation && !t->restore_now &&
	       !(t->awaited && r->postponed_until <= time(NULL));
}

/* A session is there and the clone is due: what does it lack? */
void target_decide(struct target *t)
{
	struct master *m = t->master;
	const struct proto_hello *h = push_peer_hello(t->push);
	const struct fleet_record *r = fleet_record(t->clone);
	struct age_recipient parsed;
	char text[400];

	if (age_recipient_parse(&parsed, h->recipient) < 0) {
		snprintf(text, sizeof(text), "it shows no identity that backups can be encrypted for: %.250s",
		    err_text(KC_EFORMAT));
		target_failed(t, FLEET_FAIL_REFUSED, KC_EFORMAT, text, true);
	} else if (t->recipient[0] != '\0' && strcmp(t->recipient, h->recipient) != 0) {
		target_failed(t, FLEET_FAIL_REFUSED, KC_EPERM,
		    "it shows another identity than the one pinned at first contact; if it was set up anew: "
		    "keyclone clone remove, then clone add",
		    true);
	} else if (t->diverged && !t->discard) {
		target_failed(t, FLEET_FAIL_DIVERGED, KC_EDIVERGED,
		    h->diverged_detail[0] != '\0'
			? h->diverged_detail
			: "it has rows that are not from this master; run 'keyclone diverged list' there",
		    true);
	} else if (target_is_rolled_back(text, sizeof(text), t, h)) {
		target_failed(t, FLEET_FAIL_OTHER, KC_ESTALE, text, true);
	} else if (h->stopped && (m->out == NULL || r->applied < m->out->generation)) {
		target_failed(t, FLEET_FAIL_DECLINED, KC_EBUSY, TARGET_DOWN, true);
	} else if (m->d->self.stopped && !t->awaited) {
		target_idle(t);
	} else if (m->out == NULL && m->making) {
		t->waiting = true;
	} else if (m->out == NULL || (r->applied >= m->out->generation && !(t->diverged && t->discard))) {
		STR_COPY(t->recipient, h->recipient);
		target_idle(t);
	} else if (is_postponed(t)) {
		target_postponed(t, r->stored, r->postponed_until);
	} else {
		STR_COPY(t->recipient, h->recipient);
		t->dirty = true;
		send_next(t);
	}
}
