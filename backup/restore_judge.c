/* SPDX-License-Identifier: Apache-2.0 */
/* restore_judge: is what is there what was last applied, or what the backup has? Else whose rows are they? */
#include <stdlib.h>
#include <string.h>

#include "backup/restore_int.h"
#include "backup/staging.h"
#include "base/err.h"
#include "base/log.h"

bool restore_is_increment(const struct restoring *x)
{
	return image_changeset(x->img) != NULL;
}

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
	if (restore_is_increment(x))
		return KC_OK; /* which rows cannot be told */
	return diverged_find(x->o->live, image_database(x->img), true, diverged_list_add, &x->r->diverged);
}

/* The sum of no hashes. */
bool restore_is_of_no_rows(const char *digest)
{
	return strspn(digest, "0") == SOURCE_DIGEST_LEN;
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
	if (restore_is_of_no_rows(x->now))
		return KC_OK; /* first contact, as a rule */
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

int restore_judge(struct restoring *x, enum verdict *verdict)
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

int restore_refuse(const struct restoring *x)
{
	const struct diverged_list *l = &x->r->diverged;
	uint64_t all = l->live_only + l->other_only;

	if (l->n == 0)
		return err_set(KC_EDIVERGED, "%s: is not what was last applied", source_path(x->o->live));
	return err_set(KC_EDIVERGED, "%s: %llu row%s not as its master has %s, the first: %s %s%s",
	    source_path(x->o->live), (unsigned long long)all, all == 1 ? " is" : "s are", all == 1 ? "it" : "them",
	    l->rows[0].table, l->rows[0].key, l->rows[0].in_live ? "" : " (missing)");
}
