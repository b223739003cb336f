/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create_log_sqlite: an increment from the change log: the rows that it names, read from the live database in one read
 * transaction and compared with the base. Nothing is copied, and nothing that did not change is read.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/base.h"
#include "backup/changelog_sqlite.h"
#include "backup/create_internal.h"
#include "backup/diff_keys_sqlite.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"

/* The log says nothing of the schema, nor of another table. */
static int same_schema(bool *same, const struct creation *c, struct source *s)
{
	char schema[SOURCE_DIGEST_LEN + 1];
	int rc = sqlite_schema_digest(schema, s->r, s->path);

	*same =
	    rc == KC_OK && strcmp(schema, c->o->increment->base->schema) == 0 && c->o->increment->base->n_tables == 1;
	return rc;
}

static int compare(
    struct diff_result *d, struct creation *c, struct source *s, const struct name_list *keys, int (*alive)(void *arg))
{
	const struct create_options *o = c->o;
	char *base = base_path(s->path, o->lineage, o->base_generation), *path = NULL;
	struct diff_keys_options k = { .base_digest = o->increment->base,
		.live = s->r,
		.live_path = s->path,
		.table = o->increment->log->of,
		.keys = (const char *const *)keys->names,
		.n_keys = keys->n,
		.alive = alive,
		.arg = c };
	int rc = diff_base_open(&k.base, base);

	if (rc == KC_OK)
		rc = create_open_changes(&path, c);
	k.fd = c->changes_fd;
	k.fd_path = path;
	if (rc == KC_OK)
		rc = diff_keys(d, &k);
	diff_base_close(k.base);
	free(path);
	free(base);
	return rc;
}

/* In R's read transaction. */
static int read_changes(
    struct diff_result *d, bool *whole, struct creation *c, struct source *s, int (*alive)(void *arg))
{
	const struct create_increment *i = c->o->increment;
	struct name_list keys = { NULL, 0 };
	int rc = same_schema(whole, c, s);

	c->result.mark = *i->mark;
	if (rc == KC_OK && *whole)
		rc = changelog_read(&keys, whole, &c->result.mark, s->r, s->path, i->log->key, 2 * DIFF_MAX_ROWS);
	if (rc == KC_OK && *whole)
		rc = compare(d, c, s, &keys, alive);
	name_list_fini(&keys);
	return rc;
}

static int begin(struct creation *c, struct source *s)
{
	char *staging = NULL;
	int rc = source_version(&c->snap.version, s);

	if (rc == KC_OK)
		rc = source_info(&c->snap.info, s);
	if (rc == KC_OK)
		rc = staging_parent(&staging, s->path);
	if (rc == KC_OK)
		rc = staging_begin(&c->snap.staging, staging);
	free(staging);
	return rc == KC_OK ? sqlite_exec(s->r, s->path, "BEGIN") : rc;
}

int create_from_log(struct creation *c, bool *done, int (*alive)(void *arg))
{
	const struct create_increment *i = c->o->increment;
	struct diff_result d = { .outcome = DIFF_FULL };
	struct source *s = c->o->source;
	bool whole = false;
	int rc;

	*done = false;
	if (i->log == NULL || i->mark == NULL || !i->mark->known)
		return KC_OK;
	rc = begin(c, s);
	if (rc == KC_OK) {
		rc = read_changes(&d, &whole, c, s, alive);
		sqlite3_exec(s->r, "COMMIT", NULL, NULL, NULL);
	}
	*done = rc == KC_OK && whole && d.outcome != DIFF_FULL;
	if (*done) {
		create_take_changes(c, &d);
		c->logged = true;
	} else {
		/* A snapshot tells more. */
		log_debug(
		    "the change log is of no use this time: %s", rc < 0	 ? err_text(rc)
								 : whole ? d.why
									 : "it does not go on where it was read last");
		if (c->changes_fd >= 0)
			close(c->changes_fd);
		c->changes_fd = -1;
		snapshot_remove(&c->snap);
		rc = rc == KC_ECANCELED || rc == KC_EBUSY ? rc : KC_OK;
	}
	diff_result_fini(&d);
	return rc;
}
