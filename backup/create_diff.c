/* SPDX-License-Identifier: Apache-2.0 */
/* create_diff: an increment: what changed since the base, where that can be carried. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/base.h"
#include "backup/create_internal.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

static int find_changes(struct diff_result *d, struct creation *c, const char *path, int (*alive)(void *arg))
{
	const struct create_options *o = c->o;
	char *base = base_path(source_path(o->source), o->lineage, o->base_generation);
	struct diff_options diff = { .base = base,
		.base_digest = o->increment->base,
		.snapshot = c->snap.path,
		.fd = c->changes_fd,
		.fd_path = path,
		.alive = alive,
		.arg = c };
	int rc = diff_snapshot(d, &diff);

	free(base);
	return rc;
}

void create_take_changes(struct creation *c, struct diff_result *d)
{
	c->incremental = true;
	c->digest = d->digest;
	c->result.changes = d->tables;
	c->result.changeset_size = d->size;
	c->result.base = c->o->base_generation;
	c->result.chain = c->o->increment->chain;
	c->p.database_size = d->size;
	memset(d, 0, sizeof(*d));
}

int create_open_changes(char **path, struct creation *c)
{
	*path = mem_xasprintf("%s/keydb.changeset", c->snap.staging.dir);
	return file_open(&c->changes_fd, *path, O_RDWR | O_CREAT | O_TRUNC, 0600);
}

int create_diff(struct creation *c, int (*alive)(void *arg))
{
	struct diff_result d = { .outcome = DIFF_FULL };
	char *path;
	int rc = create_open_changes(&path, c);

	if (rc == KC_OK)
		rc = find_changes(&d, c, path, alive);
	free(path);
	if (rc == KC_OK && d.outcome != DIFF_FULL) {
		create_take_changes(c, &d);
	} else if (rc == KC_OK) {
		snprintf(c->result.why_full, sizeof(c->result.why_full), "%s", d.why);
	} else if (rc == KC_ENOENT || rc == KC_EDAMAGED) {
		/* A base that is gone or damaged is made again with the full. */
		snprintf(c->result.why_full, sizeof(c->result.why_full), "%.250s", err_text(rc));
		rc = KC_OK;
	}
	diff_result_fini(&d);
	return rc;
}

int create_increment_header(struct buf *header, const struct creation *c)
{
	return age_wrap_x25519(header, c->prepared->key, c->o->increment->recipient, 1);
}

void create_describe_increment(struct manifest *m, const struct creation *c)
{
	const struct create_increment *i = c->o->increment;

	m->kind = MANIFEST_INCREMENTAL;
	m->base = c->o->base_generation;
	m->chain = i->chain;
	m->changeset_size = c->result.changeset_size;
	m->files = mem_xstrdup(c->result.files);
	memcpy(m->base_digest, i->base->content, sizeof(m->base_digest));
	for (size_t t = 0; t < m->n_tables; t++) {
		m->tables[t].inserted = c->result.changes[t].inserted;
		m->tables[t].updated = c->result.changes[t].updated;
		m->tables[t].deleted = c->result.changes[t].deleted;
		memcpy(m->tables[t].delta, c->result.changes[t].delta, sizeof(m->tables[t].delta));
	}
}
