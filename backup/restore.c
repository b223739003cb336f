/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore: the order of the five steps. What the database is gets read without the write lock, which would keep the
 * application out for as long as a recount takes; under the lock it is only proved that nothing has moved since. Must
 * never write before that proof, and never report a failure after the commit.
 */
#include "backup/restore_int.h"

#include <stdlib.h>
#include <string.h>

#include "backup/staging.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define TRIES		5 /* for a database that others write all the time */
#define COMPANION_LIMIT (1u << 20)

const char *restore_phase_name(enum restore_phase phase)
{
	static const char *const names[] = { "open", "checked", "intent", "lock", "proved", "companion", "write",
		"committed", "done" };

	return names[phase];
}

static int report(struct restoring *x, enum restore_phase phase, unsigned percent)
{
	x->phase = phase;
	return x->o->progress != NULL ? x->o->progress(x->o->arg, phase, percent) : KC_OK;
}

static int on_open(void *arg, unsigned percent)
{
	return report(arg, RESTORE_OPEN, percent);
}

static int on_write(void *arg, unsigned percent)
{
	return report(arg, RESTORE_WRITE, percent);
}

/* Waiting for locks and counting rows. */
static int on_alive(void *arg)
{
	struct restoring *x = arg;

	return report(x, x->phase, 0);
}

/* ---- step 1 ---- */

static int check_companions(const struct restoring *x)
{
	size_t i;

	for (i = 0; i < x->m->n_companions; i++) {
		const char *name = x->m->companions[i].name;

		if (strcmp(name, IMAGE_MASTER_KEY_FILE) != 0 || x->o->master_key_file == NULL)
			return err_set(
			    KC_ECONF, "%s: has the companion file %s, which has no path here", x->o->image.file, name);
		if (x->m->companions[i].size > COMPANION_LIMIT)
			return err_set(KC_ELIMIT, "%s: its companion file %s is larger than %u bytes", x->o->image.file,
			    name, COMPANION_LIMIT);
	}
	return KC_OK;
}

/* Does this machine follow what the signed manifest says that the backup is? */
static int judge_lineage(struct restoring *x)
{
	const struct restore_options *o = x->o;
	struct lineage_place own = { o->own_lineage, o->own_ancestors, o->own_generation, o->applied };
	struct lineage_place offer = { x->m->lineage, &x->m->ancestors, x->m->generation, x->m->db.content_digest };

	x->applied = o->applied;
	if (o->own_lineage == NULL)
		return KC_OK;
	switch (lineage_judge(&own, &offer)) {
	case LINEAGE_FENCED:
		return err_set(KC_EFENCED, "%s: is of lineage %.8s, which lineage %.8s has replaced here",
		    o->image.file, offer.lineage, own.lineage);
	case LINEAGE_FOREIGN:
		return err_set(KC_EFOREIGN,
		    "%s: is of lineage %.8s, which did not begin from %.8s that is followed here", o->image.file,
		    offer.lineage, own.lineage);
	case LINEAGE_FORKED:
		/* What was applied is more than what it began from. */
		x->applied = NULL;
		return KC_OK;
	default:
		return KC_OK;
	}
}

/* What the database will be: the master's, or, where tables of its own are left alone, what the others' changes make
 * it. */
static void expect(struct restoring *x)
{
	const struct manifest *m = x->m;

	if (!source_has_local(x->o->live))
		return; /* as it is */
	STR_COPY(x->r->own, x->applied);
	for (size_t i = 0; i < m->n_tables; i++)
		if (m->tables[i].delta[0] != '\0' && !source_is_local(x->o->live, m->tables[i].name))
			(void)source_digest_add(x->r->own, x->r->own, m->tables[i].delta);
}

/* Changes lead from one generation to the next, and nowhere else. */
static int judge_increment(struct restoring *x)
{
	const struct restore_options *o = x->o;

	if (x->applied == NULL || o->own_lineage == NULL || strcmp(x->m->lineage, o->own_lineage) != 0 ||
	    x->m->base != o->own_generation || o->applied_content == NULL ||
	    strcmp(x->m->base_digest, o->applied_content) != 0)
		return err_set(KC_ENEEDFULL, "%s: builds on generation %llu, which is not what is here", o->image.file,
		    (unsigned long long)x->m->base);
	expect(x);
	manifest_changes_text(x->r->changes, x->m);
	/* It has all companions (there may be none) or, where none has changed, none. */
	if (x->m->n_trees == 0 && x->m->files[0] != '\0' &&
	    strcmp(x->m->files, o->files_applied != NULL ? o->files_applied : "") != 0)
		return err_set(
		    KC_ENEEDFULL, "%s: the companions that it builds on are not what is here", o->image.file);
	return KC_OK;
}

static int open_files(struct restoring *x)
{
	const struct restore_options *o = x->o;
	struct restore_files_options fo = { .paths = o->companions,
		.beside = o->files_beside,
		.applied = x->applied != NULL ? o->files_applied : NULL,
		.keydb_path = source_path(o->live),
		.alive = on_alive,
		.arg = x };
	int rc = restore_files_new(&x->files, x->img, &fo);

	if (rc < 0)
		return err_prefix(rc, "%s", o->image.file);
	if (restore_is_increment(x))
		STR_COPY(x->r->files, x->m->files);
	else
		memcpy(x->r->files, restore_files_text(x->files), sizeof(x->r->files));
	return KC_OK;
}

static int open_image(struct restoring *x)
{
	struct image_options io = x->o->image;
	char *staging = NULL;
	size_t i;
	int rc = staging_parent(&staging, source_path(x->o->live));

	if (rc < 0)
		return rc;
	io.staging = staging;
	io.progress = on_open;
	io.arg = x;
	rc = image_open(&x->img, &io);
	free(staging);
	x->r->open_ms = clock_lap(&x->clock);
	if (rc < 0)
		return rc;
	x->m = image_manifest(x->img);
	memcpy(x->r->lineage, x->m->lineage, sizeof(x->r->lineage));
	memcpy(x->r->content, x->m->db.content_digest, sizeof(x->r->content));
	memcpy(x->r->schema, x->m->db.schema_digest, sizeof(x->r->schema));
	memcpy(x->r->own, x->m->db.content_digest, sizeof(x->r->own));
	x->r->generation = x->m->generation;
	x->r->ancestors = x->m->ancestors;
	x->r->chain = x->m->chain != 0 ? x->m->chain : image_increments(x->img) != NULL ? x->m->generation : 0;
	for (i = 0; i < x->m->n_tables; i++)
		x->r->rows += x->m->tables[i].rows;
	rc = judge_lineage(x);
	if (rc == KC_OK)
		rc = check_companions(x);
	if (rc == KC_OK && restore_is_increment(x))
		rc = judge_increment(x);
	else if (rc == KC_OK && source_has_local(x->o->live))
		rc = source_expect(x->r->own, x->o->live, image_database(x->img));
	if (rc == KC_OK && x->o->chain_key != NULL && image_increments(x->img) != NULL)
		rc = x->o->chain_key(x->o->arg, x->m, image_increments(x->img));
	if (rc == KC_OK)
		rc = open_files(x);
	return rc < 0 ? rc : report(x, RESTORE_CHECKED, 100);
}

/* ---- steps 2 and 3 ---- */

static int intend(struct restoring *x)
{
	struct restore_intent i = { x->m->lineage, &x->m->ancestors, x->m->generation, x->now, x->m->db.content_digest,
		x->m->db.schema_digest, x->r->files, x->r->own, x->r->chain };
	int rc = KC_OK;

	if (x->intended && strcmp(x->intent, x->now) == 0)
		return KC_OK;
	if (x->o->intent != NULL)
		rc = x->o->intent(x->o->arg, &i);
	if (rc < 0)
		return rc;
	x->intended = true;
	memcpy(x->intent, x->now, sizeof(x->intent));
	return report(x, RESTORE_INTENT, 100);
}

/* Is the database still what was judged, now that nobody else can write? */
static int lock_database(struct restoring *x, bool *locked)
{
	bool empty = restore_is_of_no_rows(x->now) && !source_has_local(x->o->live);
	int rc = apply_prepare(x->a, empty);

	if (rc == KC_OK)
		rc = report(x, RESTORE_LOCK, 0);
	if (rc == KC_OK)
		rc = apply_carry(locked, x->a, x->now, x->o->lock_ms);
	if (rc < 0 || !*locked)
		return rc;
	rc = apply_lock(x->a, x->o->lock_ms);
	return rc == KC_OK ? apply_unmoved(locked, x->a, x->now) : rc;
}

/* One look and one try to find the same under the lock. *locked: it was, and the lock is held (where the database is to
 * be written at all). */
static int try_lock(struct restoring *x, enum verdict *verdict, bool *locked)
{
	int rc = apply_stamp(x->a);

	*locked = false;
	if (rc == KC_OK)
		rc = restore_judge(x, verdict);
	if (rc < 0 || *verdict == SAME)
		return rc;
	if (*verdict == DIVERGED && !x->o->discard) {
		memcpy(x->r->found, x->now, sizeof(x->r->found));
		return restore_refuse(x);
	}
	if (*verdict == DIVERGED && restore_is_increment(x))
		return err_set(KC_ENEEDFULL, "%s: what is to be discarded takes a full backup", x->o->image.file);
	if (*verdict == DIVERGED && x->o->safety != NULL) {
		/* It makes a backup with the same source, and minds its own waiting. */
		rc = x->o->safety(x->o->arg);
		source_set_alive(x->o->live, on_alive, x);
	}
	if (rc == KC_OK)
		rc = restore_files_stage(x->files);
	if (rc == KC_OK)
		rc = intend(x);
	*locked = x->db_same;
	if (rc == KC_OK && !x->db_same)
		rc = lock_database(x, locked);
	if (rc == KC_OK && *locked)
		rc = restore_files_unmoved(x->files, locked);
	if (rc == KC_OK && !*locked)
		apply_unlock(x->a);
	return rc;
}

static int prove(struct restoring *x, enum verdict *verdict)
{
	bool locked = false;
	int i, rc = KC_OK;

	for (i = 0; rc == KC_OK && i < TRIES; i++) {
		rc = try_lock(x, verdict, &locked);
		if (rc < 0 || *verdict == SAME || locked)
			break;
	}
	x->r->lock_ms = clock_lap(&x->clock);
	if (rc == KC_OK && *verdict != SAME && !locked)
		rc = err_set(KC_EBUSY, "%s: changed by another process at every look", source_path(x->o->live));
	if (rc == KC_OK && locked)
		rc = report(x, RESTORE_PROVED, 100);
	return rc;
}

/* ---- step 4 ---- */

/* A master key file only ever grows: one that goes on where the backup's ends has all its keys, and stays. */
static bool has_all(const char *path, const struct buf *keys)
{
	struct buf have;
	bool all;

	buf_init(&have, COMPANION_LIMIT);
	all = file_read(&have, path) == KC_OK && buf_len(&have) >= buf_len(keys) &&
	      mem_equal(buf_data(&have), buf_data(keys), buf_len(keys));
	buf_fini(&have);
	return all;
}

/* Before the commit: it may be newer than the database, never older. */
static int place_companions(struct restoring *x)
{
	const char *from = image_companion(x->img, IMAGE_MASTER_KEY_FILE), *to = x->o->master_key_file;
	struct buf keys;
	int rc;

	if (from == NULL || to == NULL)
		return report(x, RESTORE_COMPANION, 100);
	buf_init(&keys, COMPANION_LIMIT);
	rc = file_read(&keys, from);
	if (rc == KC_OK && !has_all(to, &keys))
		rc = file_replace(to, buf_data(&keys), buf_len(&keys), 0600);
	buf_fini(&keys);
	return rc < 0 ? rc : report(x, RESTORE_COMPANION, 100);
}

/* The database is the new one: what fails now is gone on with later. */
static int finish_files(struct restoring *x)
{
	int rc = restore_files_commit(x->files, &x->r->warning);

	x->r->files_pending = rc < 0;
	return rc;
}

static int write_all(struct restoring *x)
{
	int rc = place_companions(x);

	if (rc == KC_OK && !x->db_same)
		rc = apply_write(x->a, on_write, x);
	x->r->write_ms = clock_lap(&x->clock);
	if (rc < 0)
		return rc;
	/* Committed: from here on nothing fails any more, but for companions. */
	(void)report(x, RESTORE_COMMITTED, 100);
	if (!x->db_same)
		apply_finish(x->a, !x->o->defer_checkpoint, &x->r->warning);
	x->r->checkpoint_ms = clock_lap(&x->clock);
	rc = finish_files(x);
	if (rc == KC_OK)
		(void)report(x, RESTORE_DONE, 100);
	return rc;
}

static int restore_image(struct restoring *x)
{
	enum verdict verdict = MAY;
	int rc;

	x->a = restore_is_increment(x)
		   ? apply_new_increment(x->o->live, image_changeset(x->img), x->m, x->applied, x->r->own)
		   : apply_new(x->o->live, image_database(x->img), &x->m->db, x->r->own);
	rc = prove(x, &verdict);
	x->r->same = rc == KC_OK && x->db_same;
	if (rc == KC_OK && verdict == SAME) {
		rc = place_companions(x);
		if (rc == KC_OK)
			rc = finish_files(x);
	} else if (rc == KC_OK) {
		rc = write_all(x);
	}
	apply_free(x->a);
	return rc;
}

int backup_restore(struct restore_result *result, const struct restore_options *o)
{
	struct restoring x = { .o = o, .r = result };
	int rc;

	memset(result, 0, sizeof(*result));
	diverged_list_init(&result->diverged);
	clock_lap(&x.clock);
	source_set_alive(o->live, on_alive, &x);
	rc = source_refresh(o->live);
	if (rc == KC_OK)
		rc = open_image(&x);
	x.phase = RESTORE_LOCK;
	if (rc == KC_OK)
		rc = restore_image(&x);
	restore_files_free(x.files);
	image_close(x.img);
	source_set_alive(o->live, NULL, NULL);
	return rc;
}

void restore_result_fini(struct restore_result *r)
{
	diverged_list_fini(&r->diverged);
	free(r->warning);
	memset(r, 0, sizeof(*r));
}

int restore_resolve(enum restore_outcome *outcome, struct source *live, const char *old_content, const char *content,
    const char *schema)
{
	struct source_digest d;
	int rc = source_digest(&d, live);

	if (rc < 0)
		return rc;
	/* The same rows under another schema: only the schema tells. */
	if (strcmp(d.content, content) == 0 && strcmp(d.schema, schema) == 0)
		*outcome = RESTORE_APPLIED;
	else
		*outcome = strcmp(d.content, old_content) == 0 ? RESTORE_NOT_APPLIED : RESTORE_NEITHER;
	source_digest_fini(&d);
	return KC_OK;
}
