/* SPDX-License-Identifier: Apache-2.0 */
/* state_lineage: the beginnings of histories: a new one, a child, and changes of role. */
#include <string.h>

#include "base/err.h"
#include "base/hex.h"
#include "base/lineage.h"
#include "base/mem.h"
#include "base/str.h"
#include "state_db.h"

int state_new_lineage(struct state *s)
{
	struct state_self self = { .role = "master" };
	uint8_t id[STATE_LINEAGE_LEN / 2];
	struct state_self old;
	int rc = state_get_self(&old, s);

	if (rc < 0)
		return rc;
	mem_random(id, sizeof(id));
	hex_encode(self.lineage, id, sizeof(id));
	self.stopped = old.stopped;
	return state_put_self(s, &self);
}

int state_new_child(struct state *s, const char *lineage, uint64_t fork)
{
	struct lineage_list ancestors = { 0 }, child;
	struct state_self old, self = { .role = "master" };
	uint8_t id[STATE_LINEAGE_LEN / 2];
	int rc = state_get_self(&old, s);

	if (rc == KC_OK)
		rc = lineage_parse(&ancestors, old.ancestors);
	if (rc < 0)
		return err_prefix(rc, "%s", s->path);
	lineage_of_child(&child, old.lineage, &ancestors, lineage, fork);
	lineage_format(self.ancestors, &child);
	mem_random(id, sizeof(id));
	hex_encode(self.lineage, id, sizeof(id));
	self.stopped = old.stopped;
	return state_put_self(s, &self);
}

int state_promote(struct state *s)
{
	struct state_self old;
	int rc = state_get_self(&old, s);

	if (rc == KC_OK && strcmp(old.role, "master") == 0)
		return err_set(KC_EFAIL, "%s: is of a master already", s->path);
	/* One that never applied anything has no parent. */
	if (rc == KC_OK)
		rc = old.lineage[0] != '\0' ? state_new_child(s, old.lineage, old.generation) : state_new_lineage(s);
	return rc;
}

int state_demote(struct state *s)
{
	struct state_self old, self = { .role = "clone" };
	int rc = state_get_self(&old, s);

	if (rc == KC_OK && strcmp(old.role, "clone") == 0)
		return err_set(KC_EFAIL, "%s: is of a clone already", s->path);
	if (rc < 0)
		return rc;
	STR_COPY(self.lineage, old.lineage);
	STR_COPY(self.ancestors, old.ancestors);
	self.generation = self.complete = old.complete;
	self.rows = old.rows;
	rc = state_begin(s);
	if (rc < 0)
		return rc;
	/* What it stored and had to report as a clone, before it was a master, is not waited for any more. */
	rc = state_db_run(s, "DELETE FROM stored; DELETE FROM report");
	if (rc == KC_OK)
		rc = state_put_self(s, &self);
	if (rc == KC_OK)
		return state_commit(s);
	state_abort(s);
	return rc;
}
