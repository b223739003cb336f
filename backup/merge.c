/* SPDX-License-Identifier: Apache-2.0 */
/* merge: the backup is proved as for a restore; then its rows, and before their commit what unwraps them. */
#include "backup/merge.h"

#include <stdlib.h>
#include <string.h>

#include "backup/merge_int.h"
#include "backup/staging.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define KEYS_MAX (1u << 20)

struct merging {
	const struct merge_options *o;
	struct image *img;
	const char *phase;
	unsigned percent;
	struct buf keys; /* the master key file to be; empty: ours stays */
};

static int report(struct merging *x, unsigned percent)
{
	x->percent = percent;
	return x->o->progress != NULL ? x->o->progress(x->o->arg, x->phase, percent) : KC_OK;
}

static int on_percent(void *arg, unsigned percent)
{
	return report(arg, percent);
}

static int on_alive(void *arg)
{
	struct merging *x = arg;

	return report(x, x->percent);
}

static bool begins_with(const struct buf *whole, const struct buf *part)
{
	return buf_len(whole) >= buf_len(part) && mem_equal(buf_data(whole), buf_data(part), buf_len(part));
}

/* A row is of use only with the master key that wraps it: nothing of another installation's is mixed in. */
static int judge_keys(struct merging *x)
{
	const char *from = image_companion(x->img, IMAGE_MASTER_KEY_FILE), *ours = x->o->master_key_file;
	struct buf have, other;
	int rc = KC_OK;

	if (from == NULL)
		return KC_OK;
	if (ours == NULL)
		return err_set(KC_ECONF, "%s: has a master key file, which has no path here (keydb.MasterKeyFile)",
		    x->o->image.file);
	buf_init(&have, KEYS_MAX);
	buf_init(&other, KEYS_MAX);
	rc = file_read_secret(&other, from);
	if (rc == KC_OK && file_exists(ours))
		rc = file_read_secret(&have, ours);
	if (rc == KC_OK && !begins_with(&have, &other)) {
		if (begins_with(&other, &have))
			buf_put(&x->keys, buf_data(&other), buf_len(&other));
		else
			rc = err_set(KC_EFOREIGN,
			    "%s: its rows are wrapped by another master key file than %s and could not be unwrapped "
			    "here",
			    x->o->image.file, ours);
	}
	buf_fini(&have);
	buf_fini(&other);
	return rc < 0 ? rc : buf_status(&x->keys);
}

/* It may have more keys than the database needs, never fewer. */
static int place_keys(void *arg)
{
	struct merging *x = arg;

	if (buf_len(&x->keys) == 0)
		return KC_OK;
	return file_replace(x->o->master_key_file, buf_data(&x->keys), buf_len(&x->keys), 0600);
}

static int check_companions(const struct merging *x)
{
	const struct manifest *m = image_manifest(x->img);

	for (size_t i = 0; i < m->n_companions; i++)
		if (strcmp(m->companions[i].name, IMAGE_MASTER_KEY_FILE) == 0 && m->companions[i].size > KEYS_MAX)
			return err_set(
			    KC_ELIMIT, "%s: its master key file is larger than %u bytes", x->o->image.file, KEYS_MAX);
	return KC_OK;
}

static int open_image(struct merging *x, struct merge_result *r)
{
	struct image_options io = x->o->image;
	char *staging = NULL;
	int rc = staging_parent(&staging, source_path(x->o->live));

	io.staging = staging;
	io.progress = on_percent;
	io.arg = x;
	if (rc == KC_OK)
		rc = image_open(&x->img, &io);
	free(staging);
	if (rc < 0)
		return rc;
	memcpy(r->lineage, image_manifest(x->img)->lineage, sizeof(r->lineage));
	r->generation = image_manifest(x->img)->generation;
	return check_companions(x);
}

static int merge_image(struct merging *x, struct merge_result *r)
{
	const struct manifest *m = image_manifest(x->img);
	struct merge_run run = { .result = r,
		.live = x->o->live,
		.image = image_database(x->img),
		.lock_ms = x->o->lock_ms,
		.progress = on_percent,
		.before_commit = place_keys,
		.arg = x };

	for (size_t i = 0; i < m->n_tables; i++)
		run.rows += m->tables[i].rows;
	return merge_rows(&run);
}

int backup_merge(struct merge_result *result, const struct merge_options *o)
{
	struct merging x = { .o = o, .phase = "open" };
	int rc;

	memset(result, 0, sizeof(*result));
	buf_init(&x.keys, KEYS_MAX);
	source_set_alive(o->live, on_alive, &x);
	rc = source_refresh(o->live);
	if (rc == KC_OK)
		rc = open_image(&x, result);
	if (rc == KC_OK)
		rc = judge_keys(&x);
	x.phase = "merge";
	if (rc == KC_OK)
		rc = merge_image(&x, result);
	image_close(x.img);
	buf_fini(&x.keys);
	source_set_alive(o->live, NULL, NULL);
	return rc;
}

void merge_result_fini(struct merge_result *r)
{
	for (size_t i = 0; i < r->n_tables; i++)
		free(r->tables[i].name);
	for (size_t i = 0; i < r->n_rows; i++) {
		free(r->rows[i].table);
		free(r->rows[i].key);
		free(r->rows[i].why);
	}
	free(r->tables);
	memset(r, 0, sizeof(*r));
}
