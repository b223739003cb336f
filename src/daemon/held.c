/* SPDX-License-Identifier: Apache-2.0 */
/*
 * held: a run that would delete more than backup.MaxDeletePercent of a table: the worker has made nothing, no
 * generation was reserved, clones keep what they have. It is known by the generation that it would follow, so that it
 * is over when there is a newer one, whoever made that.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/alert.h"
#include "master_int.h"

bool held_is(const struct master *m)
{
	const struct state_self *self = &m->d->self;

	return self->held_over != 0 && self->held_over == self->complete;
}

void held_text(char *out, size_t size, const struct master *m)
{
	const struct state_self *self = &m->d->self;

	snprintf(out, size, "%" PRIu64 " of %" PRIu64 " rows of table %s would be deleted", self->held_deleted,
	    self->held_rows, self->held_table);
}

static bool same(const struct state_self *self, const json_t *held)
{
	const char *table = member_text(held, "table");

	/* Without a base to compare with the worker knows no figures: those of before stand. */
	return table[0] == '\0' ||
	       (strcmp(table, self->held_table) == 0 && member_u64(held, "deleted") == self->held_deleted);
}

void held_begin(struct master *m, const json_t *held)
{
	struct state_self *self = &m->d->self;
	char text[300], more[400];
	struct audit_record r = { .event = AUDIT_RUN_HELD,
		.outcome = AUDIT_FAILURE,
		.generation = self->complete,
		.lineage = self->lineage,
		.code = msg_code(MSG_RUN_HELD),
		.detail = text };
	bool known = held_is(m) && same(self, held);

	if (self->unreplicated_since == 0)
		self->unreplicated_since = time(NULL);
	fleet_set_unreplicated(m->fleet, self->unreplicated_since);
	if (!known) {
		if (!held_is(m))
			self->held_since = time(NULL);
		self->held_over = self->complete;
		STR_COPY(self->held_table, member_text(held, "table"));
		self->held_deleted = member_u64(held, "deleted");
		self->held_rows = member_u64(held, "rows");
	}
	held_text(text, sizeof(text), m);
	master_checked(m, "held: %s", text);
	if (known)
		return;
	daemon_audit(m->d, &r);
	snprintf(more, sizeof(more), "%s; where that is meant: keyclone replicate-now --allow-deletes", text);
	alert_raise(m->d, ALERT_RUN_HELD, "", more);
}

void held_end(struct master *m, bool unchanged)
{
	struct state_self *self = &m->d->self;
	const char *why = m->allowed  ? "allowed by an operator"
			  : unchanged ? "the rows are back"
				      : "not so much would be deleted any more";
	struct audit_record r = { .event = AUDIT_RUN_HELD,
		.outcome = AUDIT_SUCCESS,
		.generation = self->held_over,
		.lineage = self->lineage,
		.detail = why };

	if (self->held_over == 0)
		return;
	log_info("the replication run is not held any more: %s", why);
	self->held_over = 0;
	if (unchanged) {
		self->unreplicated_since = 0;
		fleet_set_unreplicated(m->fleet, 0);
	}
	daemon_save(m->d);
	daemon_audit(m->d, &r);
	alert_clear(m->d, ALERT_RUN_HELD, "", why);
}

json_t *held_json(const struct master *m)
{
	const struct state_self *self = &m->d->self;

	if (!held_is(m))
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:o}", "table", self->held_table, "deleted", (json_int_t)self->held_deleted,
	    "rows", (json_int_t)self->held_rows, "since", member_time(self->held_since));
}
