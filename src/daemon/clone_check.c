/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_check: a clone looks by itself whether its key database is what was last restored: at its start, and when it is
 * idle, whether its master is there or not. As long as nobody has written, that is one number; else the rows are
 * counted anew. What is found is kept, told to the master by a new hello, and left alone until an operator says so or
 * the rows are gone again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/member.h"
#include "base/str.h"
#include "clone_int.h"
#include "daemon/alert.h"
#include "daemon/by_hand.h"

#define LOOK_MS 5000
#define COUNT_PART \
	20 /* so many times as long as a count took passes until the next one: at most a twentieth of a CPU */

static void audit_diverged(struct clone_role *c, enum audit_outcome outcome, const char *detail)
{
	const struct state_self *self = &c->d->self;
	struct audit_record r = { .event = AUDIT_CLONE_DIVERGED,
		.outcome = outcome,
		.generation = self->generation,
		.lineage = self->lineage,
		.code = outcome == AUDIT_FAILURE ? err_msg_code(KC_EDIVERGED) : NULL,
		.detail = detail };

	daemon_audit(c->d, &r);
}

void clone_set_diverged(struct clone_role *c, const char *text)
{
	struct state_self *self = &c->d->self;

	/* What was given up are the rows that an operator saw. */
	self->discard = self->take_over = false;
	self->diverged = true;
	STR_COPY(self->diverged_detail, text);
	daemon_save(c->d);
	audit_diverged(c, AUDIT_FAILURE, self->diverged_detail);
	alert_raise(c->d, ALERT_DIVERGED, "", self->diverged_detail);
}

/* By hand they came, by hand they went. */
static void set_undiverged(struct clone_role *c, const char *over)
{
	struct state_self *self = &c->d->self;

	self->diverged = self->discard = false;
	self->diverged_detail[0] = '\0';
	daemon_save(c->d);
	audit_diverged(c, AUDIT_SUCCESS, over);
	alert_clear(c->d, ALERT_DIVERGED, "", over);
	log_info("%s", over);
	receive_greet_anew(c->receive);
	loop_timer_set(c->retry, 0);
}

bool clone_is_of_stored(const struct clone_role *c)
{
	const struct state_self *self = &c->d->self;

	return clone_has_stored(c) && (self->digest[0] == '\0' || strcmp(c->stored.lineage, self->lineage) != 0);
}

void clone_leave_fork(struct clone_role *c, const char *lineage)
{
	struct state_self *self = &c->d->self;

	if (!self->diverged || self->discard || self->digest[0] == '\0' || !clone_is_of_stored(c) ||
	    strcmp(c->stored.lineage, lineage) == 0)
		return;
	state_forget_stored(c->d->state, c->stored.backup);
	state_stored_fini(&c->stored);
	memset(&c->stored, 0, sizeof(c->stored));
	set_undiverged(c, "a master is there whose history has what this clone has");
}

static void judge(struct clone_role *c, const json_t *result)
{
	struct state_self *self = &c->d->self;
	const char *digest = member_text(result, "digest"), *own = member_text(result, "applied"),
		   *text = member_text(result, "diverged");
	bool first = c->checked[0] == '\0', moved = strcmp(c->checked, digest) != 0;

	STR_COPY(c->checked, digest);
	if (own[0] != '\0') {
		STR_COPY(self->own_digest, own);
		by_hand_local_tables(self->own_tables, sizeof(self->own_tables), c->d->conf);
		daemon_save(c->d);
	}
	if (self->diverged && (clone_is_of_stored(c) || (self->take_over && clone_has_stored(c)))) {
		/* Only that restore can tell. */
		if (moved && !first)
			clone_start_restore(c);
	} else if (self->digest[0] == '\0') {
		return; /* nothing was restored yet: whatever is there is nobody's */
	} else if (strcmp(clone_applied_digest(c), digest) == 0) {
		if (self->diverged)
			set_undiverged(c, "the key database is what was last restored again");
	} else if (text[0] != '\0' && (!self->diverged || (moved && !first) || self->diverged_detail[0] == '\0')) {
		log_err("the key database is not what was last restored: %s; see 'keyclone diverged list'", text);
		clone_set_diverged(c, text);
		receive_greet_anew(c->receive);
	}
}

static void on_checked(int rc, const json_t *result, void *arg)
{
	struct clone_role *c = arg;
	uint64_t pause = member_u64(result, "count_ms") * COUNT_PART;

	c->checking = false;
	if (rc == KC_ECANCELED && c->d->ending)
		return;
	loop_timer_set(c->check, pause > LOOK_MS ? pause : LOOK_MS);
	if (rc < 0)
		log_debug("the key database was not looked at: %s", err_text(rc));
	else
		log_debug("the key database was looked at: %.8s", member_text(result, "digest"));
	if (rc == KC_OK && !c->restoring)
		judge(c, result);
	clone_diverged_go_on(c);
}

const char *clone_applied_digest(const struct clone_role *c)
{
	const struct state_self *self = &c->d->self;

	return self->own_digest[0] != '\0' ? self->own_digest : self->digest;
}

void clone_add_applied(json_t *request, const struct clone_role *c)
{
	char tables[sizeof(c->d->self.own_tables)];
	const struct state_self *self = &c->d->self;

	/* The digest was made when other tables were left out. */
	by_hand_local_tables(tables, sizeof(tables), c->d->conf);
	if (strcmp(tables, self->own_tables) != 0)
		json_object_set_new(request, "count_applied", json_true());
	if (self->backup[0] != '\0')
		clone_name_backup(c, request, "applied_backup", "applied_travel", self->backup);
}

void clone_check_now(struct clone_role *c)
{
	json_t *request;

	if (c->checking)
		return;
	request = json_pack("{s:s, s:s, s:s, s:s, s:s}", "verb", "self-check", "applied", clone_applied_digest(c),
	    "seen", c->checked, "files", c->d->self.files, "signer", c->signer);
	clone_add_applied(request, c);
	c->checking = true;
	jobs_add(c->d->jobs, request, NULL, NULL, on_checked, c);
}

void clone_on_check(void *arg)
{
	struct clone_role *c = arg;

	if (c->restoring || !jobs_idle(c->d->jobs))
		loop_timer_set(c->check, LOOK_MS);
	else
		clone_check_now(c);
}
