/* SPDX-License-Identifier: Apache-2.0 */
/*
 * increment_sqlite: the transaction of an increment: W takes the write lock as any writer does, the rows change, and
 * what they are then is what the manifest says, or all is undone.
 */
#include <string.h>

#include "backup/apply_sqlite.h"
#include "base/err.h"
#include "base/mem.h"

struct apply *apply_new_increment(
    struct source *live, const char *changeset, const struct manifest *increment, const char *own, const char *content)
{
	struct apply *a = mem_xalloc(sizeof(*a));

	a->live = live;
	a->changeset = changeset;
	a->increment = increment;
	a->m = &increment->db;
	a->own = own;
	a->content = content;
	return a;
}

int increment_lock(struct apply *a, int lock_ms)
{
	struct source *s = a->live;
	int step;

	source_begin_wait(s, lock_ms);
	step = sqlite3_exec(s->w, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (step != SQLITE_OK)
		return source_fail(s, s->w, step, "cannot write the key database");
	a->writing = true;
	return KC_OK;
}

/* What the database has now, from what it had. */
static int check(const struct apply *a, const struct row_hash *delta)
{
	char hex[SOURCE_DIGEST_LEN + 1];

	if (!row_hash_add_to(hex, a->own, delta))
		return err_set(KC_ENEEDFULL, "%s: what it has is not known", a->live->path);
	return strcmp(hex, a->content) == 0
		   ? KC_OK
		   : err_set(KC_ENEEDFULL, "%s: the changes do not lead to what the master has", a->live->path);
}

int increment_write(struct apply *a)
{
	struct source_sequence *sequences = NULL;
	struct source *s = a->live;
	struct row_hash delta = { { 0 } };
	struct changeset c;
	uint64_t skipped = 0;
	int step, rc = changeset_open(&c, &sequences, a->increment, a->changeset);

	source_begin_wait(s, 0);
	if (rc == KC_OK)
		rc = changeset_apply(
		    &delta, &skipped, s->w, s->path, &c, source_has_local(s) ? &s->local : NULL, s->alive, s->arg);
	if (rc == KC_OK)
		rc = check(a, &delta);
	if (rc == KC_OK && (step = sqlite3_exec(s->w, "COMMIT", NULL, NULL, NULL)) != SQLITE_OK)
		rc = source_fail(s, s->w, step, "cannot write the key database");
	else if (rc == KC_OK)
		a->writing = false;
	apply_unlock(a);
	changeset_close(&c, sequences);
	return rc;
}
