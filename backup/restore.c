/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore: the order of the five steps. What the database is gets read without the write lock, which would keep the
 * application out for as long as a recount takes; under the lock it is only proved that nothing has moved since. Must
 * never write before that proof, and never report a failure after the commit.
 */
#include "backup/restore.h"

#include <stdlib.h>
#include <string.h>

#include "backup/apply.h"
#include "backup/restore_files.h"
#include "backup/staging.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define TRIES		5 /* for a database that others write all the time */
#define COMPANION_LIMIT (1u << 20)

enum verdict {
	MAY,	  /* nothing is lost by the restore */
	SAME,	  /* it is the backup already */
	DIVERGED, /* somebody's rows would vanish */
};

struct restoring {
	const struct restore_options *o;
	struct restore_result *r;
	struct image *img;
	const struct manifest *m;
	const char *applied; /* o->applied, where the backup goes on from it */
	struct apply *a;
	struct restore_files *files;
	bool db_same;	 /* the database is the backup's already */
	bool files_same; /* so are the companions */
	enum restore_phase phase;
	char now[SOURCE_DIGEST_LEN + 1];    /* digest of the live database */
	char intent[SOURCE_DIGEST_LEN + 1]; /* the one of the intent */
	bool intended;
	uint64_t clock;
};

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
	for (i = 0; i < x->m->n_tables; i++)
		x->r->rows += x->m->tables[i].rows;
	rc = judge_lineage(x);
	if (rc == KC_OK)
		rc = check_companions(x);
	if (rc == KC_OK && source_has_local(x->o->live))
		rc = source_expect(x->r->own, x->o->live, image_database(x->img));
	if (rc == KC_OK)
		rc = open_files(x);
	return rc < 0 ? rc : report(x, RESTORE_CHECKED, 100);
}

/* ---- what is there ---- */

static int read_digest(struct restoring *x)
{
	struct source_digest d;
	int rc = source_known(x->now, x->o->live);

	if (rc < 0 || x->now[0] != '\0')
		return rc;
	rc = source_digest(&d, x->o->live);
	if (rc < 0)
		return rc;
	memcpy(x->now, d.content, sizeof(x->now));
	source_digest_fini(&d);
	return KC_OK;
}

/* Which rows are not of the lineage: seen from what was last applied, or, without that, from the new backup. */
static int list_rows(struct restoring *x)
{
	struct image_options io = x->o->applied_image;
	char *staging = NULL;
	int rc = KC_EFAIL;

	diverged_list_fini(&x->r->diverged);
	if (io.file != NULL && staging_parent(&staging, source_path(x->o->live)) == KC_OK) {
		io.staging = staging;
		io.progress = NULL;
		rc = diverged_find_backup(x->o->live, &io, true, diverged_list_add, &x->r->diverged);
		if (rc < 0)
			log_debug("%s", err_text(rc));
	}
	free(staging);
	if (rc == KC_OK && x->r->diverged.live_only + x->r->diverged.other_only > 0)
		return KC_OK;
	diverged_list_fini(&x->r->diverged);
	return diverged_find(x->o->live, image_database(x->img), true, diverged_list_add, &x->r->diverged);
}

static int judge(struct restoring *x, enum verdict *verdict)
{
	char schema[SOURCE_DIGEST_LEN + 1];
	struct source *live = x->o->live;
	int rc = read_digest(x);

	if (rc == KC_OK)
		rc = source_schema(schema, live);
	if (rc < 0)
		return rc;
	*verdict = MAY;
	if (strcmp(x->now, x->r->own) == 0) {
		*verdict = strcmp(schema, x->m->db.schema_digest) == 0 ? SAME : MAY;
		return KC_OK;
	}
	if (x->applied != NULL) {
		if (strcmp(x->now, x->applied) == 0)
			return KC_OK;
		*verdict = DIVERGED;
		return list_rows(x);
	}
	diverged_list_fini(&x->r->diverged);
	rc = diverged_find(live, image_database(x->img), false, diverged_list_add, &x->r->diverged);
	if (rc == KC_OK && x->r->diverged.live_only > 0)
		*verdict = DIVERGED;
	return rc;
}

/* Companions follow the same rule. */
static int judge_files(struct restoring *x, enum verdict *verdict)
{
	bool diverged;
	int rc;

	if (*verdict != DIVERGED)
		diverged_list_fini(&x->r->diverged);
	rc = restore_files_judge(x->files, &x->files_same, &diverged, &x->r->diverged);
	x->r->take_over = restore_files_take_over(x->files);
	if (rc == KC_OK && diverged)
		*verdict = DIVERGED;
	return rc;
}

static int judge_all(struct restoring *x, enum verdict *verdict)
{
	int rc = judge(x, verdict);

	if (rc < 0)
		return rc;
	x->db_same = *verdict == SAME;
	rc = judge_files(x, verdict);
	if (rc == KC_OK && *verdict == SAME && !x->files_same)
		*verdict = MAY;
	return rc;
}

static int refuse(const struct restoring *x)
{
	const struct diverged_list *l = &x->r->diverged;
	uint64_t all = l->live_only + l->other_only;

	if (l->n == 0)
		return err_set(KC_EDIVERGED, "%s: is not what was last applied", source_path(x->o->live));
	return err_set(KC_EDIVERGED, "%s: %llu row%s not as its master has %s, the first: %s %s%s",
	    source_path(x->o->live), (unsigned long long)all, all == 1 ? " is" : "s are", all == 1 ? "it" : "them",
	    l->rows[0].table, l->rows[0].key, l->rows[0].in_live ? "" : " (missing)");
}

/* ---- steps 2 and 3 ---- */

static int intend(struct restoring *x)
{
	struct restore_intent i = { x->m->lineage, &x->m->ancestors, x->m->generation, x->now, x->m->db.content_digest,
		x->m->db.schema_digest, x->r->files, x->r->own };
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
	int rc = apply_prepare(x->a);

	if (rc == KC_OK)
		rc = report(x, RESTORE_LOCK, 0);
	if (rc == KC_OK)
		rc = apply_carry(locked, x->a, x->now, x->o->lock_ms);
	if (rc < 0 || !*locked)
		return rc;
	rc = apply_lock(x->a, x->o->lock_ms);
	return rc == KC_OK ? apply_unmoved(locked, x->a) : rc;
}

/* One look and one try to find the same under the lock. *locked: it was, and the lock is held (where the database is to
 * be written at all). */
static int try_lock(struct restoring *x, enum verdict *verdict, bool *locked)
{
	int rc = apply_stamp(x->a);

	*locked = false;
	if (rc == KC_OK)
		rc = judge_all(x, verdict);
	if (rc < 0 || *verdict == SAME)
		return rc;
	if (*verdict == DIVERGED && !x->o->discard)
		return refuse(x);
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

	x->a = apply_new(x->o->live, image_database(x->img), &x->m->db, x->r->own);
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
