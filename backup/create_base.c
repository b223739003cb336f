/* SPDX-License-Identifier: Apache-2.0 */
/* create_base: what the newest generation had: compared with before anything is made, and kept anew after. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "backup/base.h"
#include "backup/create_internal.h"
#include "backup/deleted.h"
#include "base/err.h"
#include "base/log.h"

/* An increment knows what it deletes. */
static void deleted_by_changes(struct creation *c)
{
	struct deleted *d = &c->result.deleted;

	for (size_t i = 0; i < c->digest.n_tables; i++) {
		const struct diff_table *t = &c->result.changes[i];

		deleted_count(d, c->digest.tables[i].name, t->deleted, t->rows - t->inserted + t->deleted,
		    c->o->max_delete_percent);
	}
	c->result.held = d->tables > 0;
	c->result.base_good = true; /* it was read, and its content is known */
}

/* Would too much be deleted? A base that cannot be compared is no reason to replicate nothing, but what was held
 * before for its sake stays held. */
int create_compare(struct creation *c, int (*alive)(void *arg))
{
	const struct create_options *o = c->o;
	char *base;
	int rc;

	if (!o->keep_base || o->base_generation == 0 || o->max_delete_percent == 0)
		return KC_OK;
	if (c->incremental) {
		deleted_by_changes(c);
		return KC_OK;
	}
	base = base_path(source_path(o->source), o->lineage, o->base_generation);
	rc = deleted_find(&c->result.deleted, base, o->base_digest, c->snap.path, o->max_delete_percent, alive, c);
	free(base);
	if (rc == KC_ECANCELED)
		return rc;
	c->result.held = rc == KC_OK ? c->result.deleted.tables > 0 : o->was_held;
	c->result.base_good = rc == KC_OK;
	if (rc < 0 && o->was_held)
		log_warn("the base cannot be compared with, what is held stays held: %s", err_text(rc));
	else if (rc < 0)
		log_info("whether much was deleted cannot be said this time: %s", err_text(rc));
	return KC_OK;
}

/* The base becomes what the increment makes of it. */
static int bring_base(struct creation *c, const char *path)
{
	const struct create_options *o = c->o;
	char *from = base_path(source_path(o->source), o->lineage, o->base_generation);
	int rc = KC_OK;

	if (!c->result.unchanged)
		rc = base_advance(from, path, c->changes_fd, c->result.changeset_size, &c->digest);
	free(from);
	return rc;
}

/* The backup is whole: a base that cannot be kept is missed at the next one only. */
void create_made(struct creation *c, uint64_t generation)
{
	const struct create_options *o = c->o;
	char *path;
	int rc;

	/* An increment from the change log knows of the base alone. */
	assert(!c->logged || o->made == NULL);
	if (o->made != NULL)
		o->made(o->arg, c->snap.path, generation);
	if (!o->keep_base || generation == 0)
		return;
	path = base_path(source_path(o->source), o->lineage, generation);
	rc = c->logged ? bring_base(c, path) : base_keep(&c->snap, path);
	if (rc < 0)
		log_warn(
		    "the snapshot of generation %llu is not kept: %s", (unsigned long long)generation, err_text(rc));
	c->result.base_good = rc == KC_OK;
	free(path);
}
