/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_intent: what a restore that a crash or its worker's death interrupted has left: the key database has the old
 * digest or the new one, and that is found out before anything else is restored.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "clone_int.h"
#include "daemon/by_hand.h"
#include "daemon/hook.h"

int clone_intend(struct clone_role *c, const struct state_intent *i)
{
	int rc;

	if (memcmp(&c->intent, i, sizeof(*i)) == 0)
		return KC_OK;
	rc = state_put_intent(c->d->state, i);
	if (rc == KC_OK)
		c->intent = *i;
	return rc;
}

int clone_intend_ahead(struct clone_role *c)
{
	const struct state_self *self = &c->d->self;
	const struct state_stored *st = &c->stored;
	struct state_intent i;

	/* What an increment leaves as it was is known already; local tables are counted by the worker. */
	if (st->base == 0 || st->base != self->generation || strcmp(st->lineage, self->lineage) != 0 ||
	    strcmp(clone_applied_digest(c), self->digest) != 0)
		return KC_OK;
	memset(&i, 0, sizeof(i));
	STR_COPY(i.lineage, st->lineage);
	STR_COPY(i.ancestors, self->ancestors);
	i.generation = st->generation;
	i.chain = st->chain;
	STR_COPY(i.old_digest, self->digest);
	STR_COPY(i.digest, st->digest);
	STR_COPY(i.schema, self->schema);
	STR_COPY(i.files, self->files);
	STR_COPY(i.own_digest, st->digest);
	STR_COPY(i.backup, st->backup);
	return clone_intend(c, &i);
}

void clone_forget_intent(struct clone_role *c)
{
	c->intent.generation = 0;
}

/* It was written: the same as if the worker had lived to say so. */
static int take_as_applied(struct clone_role *c, const struct state_intent *i)
{
	struct state_self *self = &c->d->self;
	struct audit_record discarded = { .event = AUDIT_CLONE_DISCARDED,
		.outcome = AUDIT_SUCCESS,
		.generation = i->generation,
		.detail = self->diverged_detail };
	bool child = self->lineage[0] != '\0' && strcmp(self->lineage, i->lineage) != 0;
	int rc;

	if (self->discard)
		daemon_audit(c->d, &discarded);
	STR_COPY(self->lineage, i->lineage);
	STR_COPY(self->ancestors, i->ancestors);
	STR_COPY(self->digest, i->digest);
	STR_COPY(self->schema, i->schema);
	STR_COPY(self->files, i->files);
	STR_COPY(self->own_digest, i->own_digest);
	by_hand_local_tables(self->own_tables, sizeof(self->own_tables), c->d->conf);
	STR_COPY(self->backup, i->backup);
	self->generation = self->complete = i->generation;
	self->chain = i->chain;
	self->applied_at = self->last_completed = time(NULL);
	self->discard = self->diverged = self->by_hand = false;
	self->diverged_detail[0] = '\0';
	self->after_restore = self->generation;
	if (child)
		clone_take_successor(c);
	rc = daemon_set_lineage(c->d);
	if (rc == KC_OK)
		rc = state_put_applied(c->d->state, self);
	if (child)
		clone_reloaded(c);
	return rc;
}

/* The same for a restore that an operator had ordered. */
static int take_by_hand(struct clone_role *c, const struct state_intent *i)
{
	int rc = by_hand_applied(&c->d->self, c->d->state, i, c->d->conf);

	return rc < 0 ? rc : daemon_set_lineage(c->d);
}

static void audit_resolved(struct clone_role *c, const struct state_intent *i, bool written)
{
	struct audit_record r = { .event = AUDIT_RESTORE_END,
		.outcome = written ? AUDIT_SUCCESS : AUDIT_FAILURE,
		.generation = i->generation,
		.lineage = i->lineage,
		.backup = i->backup,
		.code = written ? NULL : msg_code(MSG_INTERRUPTED),
		.detail = written ? "it was complete when the daemon or its worker ended"
				  : "interrupted before the database changed" };

	daemon_audit(c->d, &r);
	log_info("generation %" PRIu64 ": its restore was %s", i->generation,
	    written ? "complete when it was interrupted" : "interrupted before the database changed");
}

static void answer_applied(struct clone_role *c)
{
	struct proto_result *answer = mem_xalloc(sizeof(*answer));

	clone_fill_result(c, answer, PROTO_RESTORED, KC_OK, "");
	clone_tell(c, answer);
	free(answer);
}

static void take_resolved(struct clone_role *c, int rc, const json_t *result)
{
	struct state_intent i;
	bool written = strcmp(member_text(result, "which"), "new") == 0;
	int broken = c->broken;

	c->restoring = false;
	c->broken = KC_OK;
	if (rc == KC_ECANCELED && c->d->ending)
		return;
	if (rc == KC_OK)
		rc = state_get_intent(&i, c->d->state);
	if (rc < 0) {
		log_err("what the last restore left cannot be found out: %s", err_text(rc));
		if (receive_busy(c->receive))
			clone_fail_restore(c, broken < 0 ? broken : rc, broken < 0 ? c->broken_why : err_text(rc));
		loop_timer_set(c->retry, c->d->conf->retry_min_ms);
		return;
	}
	rc = !written ? state_clear_intent(c->d->state) : i.by_hand ? take_by_hand(c, &i) : take_as_applied(c, &i);
	if (rc < 0) {
		log_err("state database: %s", err_text(rc));
		daemon_end(c->d, err_exit_status(rc));
		return;
	}
	receive_set_blocked(c->receive, false);
	if (written || broken == KC_OK)
		audit_resolved(c, &i, written);
	if (written)
		hook_restored(c->d, c->peer, 0);
	if (!written && broken < 0)
		clone_fail_restore(c, broken, c->broken_why);
	else if (clone_has_stored(c))
		clone_go_on(c);
	else
		answer_applied(c);
}

static void on_resolved(int rc, const json_t *result, void *arg)
{
	struct clone_role *c = arg;

	take_resolved(c, rc, result);
	clone_diverged_go_on(c);
}

void clone_name_backup(
    const struct clone_role *c, json_t *request, const char *member, const char *travel, const char *backup)
{
	char *path = file_join(c->d->conf->backup_dir, backup), *header = NULL;

	if (file_exists(path) && state_find_travel(&header, c->d->state, backup) == KC_OK) {
		json_object_set_new(request, member, json_string(path));
		json_object_set_new(request, travel, json_string(header));
	}
	free(header);
	free(path);
}

/* True: a restore was interrupted, and what it left is being found out. Nothing may be restored before that. */
bool clone_resolve_intent(struct clone_role *c)
{
	struct state_intent i;
	json_t *request;

	if (c->intent.generation != 0 || state_get_intent(&i, c->d->state) < 0)
		return false;
	c->restoring = true;
	receive_set_blocked(c->receive, true);
	request = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "verb", "resolve", "old_digest", i.old_digest, "digest",
	    i.own_digest[0] != '\0' ? i.own_digest : i.digest, "schema", i.schema, "files", i.files, "signer",
	    c->signer);
	if (i.files[0] != '\0')
		clone_name_backup(c, request, "backup", "travel", i.backup);
	jobs_add(c->d->jobs, request, NULL, NULL, on_resolved, c);
	return true;
}
