/* SPDX-License-Identifier: Apache-2.0 */
/* state_backup: which backups there are: on a master those that it made, on a clone those that it has stored. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "state_db.h"

#define MADE_MAX 10000
#define MADE	 (state_db_table("made"))
#define STORED	 (state_db_table("stored"))

const struct state_field state_stored_fields[] = {
	STATE_TEXT(state_stored, backup),
	STATE_TEXT(state_stored, lineage),
	STATE_INT(state_stored, generation),
	STATE_TEXT(state_stored, digest),
	STATE_TEXT(state_stored, receipt),
	STATE_HEAP(state_stored, travel),
	STATE_INT(state_stored, at),
	STATE_INT(state_stored, due),
	STATE_INT(state_stored, base),
	STATE_INT(state_stored, chain),
	STATE_END,
};

const struct state_field state_made_fields[] = {
	STATE_TEXT(state_made, lineage),
	STATE_INT(state_made, generation),
	STATE_TEXT(state_made, digest),
	STATE_INT(state_made, base),
	STATE_INT(state_made, chain),
	STATE_TEXT(state_made, backup),
	STATE_TEXT(state_made, file_id),
	STATE_TEXT(state_made, sha256),
	STATE_INT(state_made, header_size),
	STATE_INT(state_made, database_size),
	STATE_END,
};

int state_put_made(struct state *s, const struct state_made *m)
{
	char *sql;
	int rc = state_db_put(s, MADE, m);

	if (rc < 0 || m->generation <= MADE_MAX)
		return rc;
	sql = mem_xasprintf("DELETE FROM made WHERE generation < %" PRIu64, m->generation - MADE_MAX);
	rc = state_db_run(s, sql);
	free(sql);
	return rc;
}

static int get_made(struct state_made *m, struct state *s, const char *lineage, char *where)
{
	struct state_made got = { .generation = 0 };
	int rc = state_db_get(&got, s, MADE, where, lineage, 0);

	free(where);
	if (rc == KC_OK)
		*m = got;
	return rc;
}

int state_get_made(struct state_made *m, struct state *s, const char *lineage, uint64_t generation)
{
	return get_made(m, s, lineage, mem_xasprintf(" WHERE lineage = ?1 AND generation = %" PRIu64, generation));
}

int state_get_made_on(struct state_made *m, struct state *s, const char *lineage, uint64_t chain, uint64_t base)
{
	return get_made(m, s, lineage,
	    mem_xasprintf(" WHERE lineage = ?1 AND generation > %" PRIu64 " AND chain = %" PRIu64 " AND base = %" PRIu64
			  " AND base <> 0 ORDER BY generation DESC",
		base, chain, base));
}

int state_put_stored(struct state *s, const struct state_stored *st)
{
	return state_db_put(s, STORED, st);
}

int state_get_stored(struct state_stored *st, struct state *s)
{
	return state_db_get(st, s, STORED, " ORDER BY rowid DESC LIMIT 1", NULL, 0);
}

int state_stored_of(struct state_stored *st, struct state *s, const char *lineage, uint64_t generation)
{
	struct state_stored got = { .generation = 0 };
	char *where =
	    mem_xasprintf(" WHERE lineage = ?1 AND generation = %" PRIu64 " ORDER BY rowid DESC LIMIT 1", generation);
	int rc = state_db_get(&got, s, STORED, where, lineage, 0);

	free(where);
	if (rc == KC_OK)
		*st = got;
	return rc;
}

int state_find_stored(struct state_stored *st, struct state *s, const char *backup)
{
	return state_db_get(st, s, STORED, " WHERE backup = ?1", backup, 0);
}

int state_find_travel(char **travel, struct state *s, const char *backup)
{
	struct state_stored st = { 0 }, full = { 0 };
	int rc = state_find_stored(&st, s, backup);

	if (rc == KC_OK && st.base != 0)
		rc = state_stored_of(&full, s, st.lineage, st.chain);
	if (rc == KC_OK) {
		*travel = st.base != 0 ? full.travel : st.travel;
		*(st.base != 0 ? &full.travel : &st.travel) = NULL;
	}
	state_stored_fini(&st);
	state_stored_fini(&full);
	return rc;
}

int state_forget_stored(struct state *s, const char *backup)
{
	int rc = state_db_delete(s, "DELETE FROM stored WHERE backup = ?1", backup, 0);

	return rc < 0 ? rc : state_db_delete(s, "DELETE FROM sealed WHERE backup = ?1", backup, 0);
}

void state_stored_fini(struct state_stored *st)
{
	free(st->travel);
	st->travel = NULL;
}
