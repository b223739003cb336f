/* SPDX-License-Identifier: Apache-2.0 */
/* increment_fixture: what a master and a clone remember of a chain. */
#include "increment_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "backup/base.h"
#include "backup/staging.h"
#include "base/str.h"

void fix_master_init(struct fix_master *m, struct fixture *f)
{
	memset(m, 0, sizeof(*m));
	m->f = f;
	STR_COPY(m->lineage, FIX_LINEAGE);
	m->s = fix_open(f->master, false);
}

void fix_master_fini(struct fix_master *m)
{
	source_close(m->s);
	source_digest_fini(&m->base);
	age_identity_free(m->key);
	free(m->travel);
	memset(m, 0, sizeof(*m));
}

static int begin_chain(void *arg, const struct age_identity **identity, uint64_t generation)
{
	struct fix_master *m = arg;

	assert_int_equal(generation, m->reserved);
	if (m->begin_chain < 0)
		return err_set(m->begin_chain, "no key");
	age_identity_free(m->key);
	m->key = age_identity_new();
	*identity = m->key;
	return KC_OK;
}

static int on_progress(void *arg, const struct create_progress *p)
{
	struct fix_master *m = arg;

	return m->progress != NULL ? m->progress(m, p) : KC_OK;
}

static void forget(struct fix_master *m)
{
	source_digest_fini(&m->base);
	memset(&m->base, 0, sizeof(m->base));
	memset(&m->mark, 0, sizeof(m->mark));
	m->master_key_sum[0] = '\0';
}

static void take(struct fix_master *m, struct create_result *r)
{
	if (r->held) {
		m->held = true;
		if (!r->base_good)
			forget(m);
		return;
	}
	m->held = false;
	if (!r->unchanged) {
		m->generation = r->generation;
		STR_COPY(m->content, r->content);
		STR_COPY(m->schema, r->schema);
		STR_COPY(m->files, r->files);
		STR_COPY(m->master_key_sum, r->master_key_sum);
	}
	if (!r->unchanged && r->kind == STORE_FULL) {
		m->chain = r->increments[0] != '\0' ? r->generation : 0;
		m->full_made++;
		free(m->travel);
		ok(backup_wrap(&m->travel, r->key, &m->f->recipient, 1));
	}
	m->mark = r->mark;
	source_digest_fini(&m->base);
	m->base = r->digest;
	memset(&r->digest, 0, sizeof(r->digest));
	if (!r->base_good)
		forget(m);
}

int fix_master_make(struct fix_master *m, struct create_result *r, bool full)
{
	struct create_increment i = { .chain = m->chain,
		.recipient = &m->recipient,
		.base = &m->base,
		.files = m->files,
		.master_key_sum = m->master_key_sum,
		.log = m->log,
		.mark = &m->mark };
	struct create_options o;
	char *keep;
	int rc;

	fix_create_options(m->f, &o, m->s, ++m->reserved);
	o.lineage = m->lineage;
	o.ancestors = m->ancestors;
	o.keep_base = true;
	o.base_generation = m->generation;
	o.base_digest = m->base.content[0] != '\0' ? NULL : m->content;
	o.max_delete_percent = m->max_delete;
	o.was_held = m->held;
	o.companions = m->companions;
	o.master_key_file = m->master_key_file;
	o.begin_chain = begin_chain;
	o.progress = on_progress;
	o.arg = m;
	if (m->content[0] != '\0') {
		o.unless_content = full ? NULL : m->content;
		o.unless_schema = m->schema;
		o.unless_files = m->files;
	}
	keep = fix_master_base(m);
	base_prune(m->f->master, keep);
	free(keep);
	if (!full && m->chain != 0 && m->key != NULL && m->base.content[0] != '\0') {
		age_identity_recipient(&m->recipient, m->key);
		o.increment = &i;
	}
	rc = backup_create(r, &o);
	if (rc < 0 || r->unchanged || r->held)
		m->reserved--; /* it is never asked for */
	if (rc == KC_OK && !m->lost)
		take(m, r);
	return rc;
}

void fix_master_full(struct fix_master *m, struct create_result *r)
{
	ok(fix_master_make(m, r, true));
	assert_false(r->unchanged || r->held);
	assert_int_equal(r->kind, STORE_FULL);
	assert_int_equal(r->chain, 0);
	assert_string_not_equal(r->increments, "");
	assert_true(r->base_good);
}

void fix_master_increment(struct fix_master *m, struct create_result *r)
{
	ok(fix_master_make(m, r, false));
	assert_false(r->unchanged || r->held);
	if (r->kind != STORE_INCR)
		fail_msg("a full: %s", r->why_full);
	assert_string_equal(r->why_full, "");
	assert_int_equal(r->chain, m->chain);
	assert_int_equal(r->generation, m->reserved);
	assert_string_equal(r->increments, "");
	assert_true(r->base_good);
}

char *fix_master_base(const struct fix_master *m)
{
	return base_path(m->f->master, m->lineage, m->generation);
}

int fix_master_restart(struct fix_master *m)
{
	char *path = fix_master_base(m);
	int rc;

	forget(m);
	source_close(m->s);
	ok(staging_clean(m->f->master));
	m->s = fix_open(m->f->master, false);
	rc = base_read(&m->base, path, m->content, NULL, NULL);
	free(path);
	return rc;
}

/* ---- the clone ---- */

void fix_clone_init(struct fix_clone *c, struct fixture *f)
{
	memset(c, 0, sizeof(*c));
	c->f = f;
	STR_COPY(c->lineage, FIX_LINEAGE);
	c->live = fix_open(f->clone, true);
}

void fix_clone_fini(struct fix_clone *c)
{
	source_close(c->live);
	age_identity_free(c->key);
	memset(c, 0, sizeof(*c));
}

static int on_chain_key(void *arg, const struct manifest *m, const struct age_identity *identity)
{
	struct fix_clone *c = arg;
	char text[AGE_IDENTITY_LEN + 1];

	assert_int_equal(m->kind, MANIFEST_FULL);
	age_identity_text(text, identity);
	age_identity_free(c->key);
	ok(age_identity_parse(&c->key, text));
	return KC_OK;
}

static int on_restore(void *arg, enum restore_phase phase, unsigned percent)
{
	struct fix_clone *c = arg;

	return c->progress != NULL ? c->progress(c->arg, phase, percent) : KC_OK;
}

void fix_clone_options(
    struct fix_clone *c, struct restore_options *o, const struct fix_master *m, const struct create_result *r)
{
	memset(o, 0, sizeof(*o));
	o->image.file = r->path;
	o->image.travel = m->travel;
	o->image.identity = c->f->identity;
	o->image.pins = &c->f->pins;
	o->image.lineage = m->lineage;
	o->image.generation = r->generation;
	o->image.increments = r->kind == STORE_INCR ? c->key : NULL;
	o->live = c->live;
	if (c->generation != 0) {
		o->applied = c->own;
		o->applied_content = c->content;
		o->own_lineage = c->lineage;
		o->own_generation = c->generation;
	}
	o->companions = c->companions;
	o->files_applied = c->files;
	o->master_key_file = c->master_key_file;
	o->chain_key = on_chain_key;
	o->progress = on_restore;
	o->arg = c;
}

int fix_clone_run(struct fix_clone *c, struct restore_result *result, const struct restore_options *o)
{
	int rc = backup_restore(result, o);

	if (rc < 0)
		return rc;
	STR_COPY(c->lineage, result->lineage);
	STR_COPY(c->content, result->content);
	STR_COPY(c->own, result->own);
	STR_COPY(c->schema, result->schema);
	STR_COPY(c->files, result->files);
	c->generation = result->generation;
	c->chain = result->chain;
	return KC_OK;
}

void fix_clone_apply(struct fix_clone *c, const struct fix_master *m, const struct create_result *r)
{
	struct restore_options o;
	struct restore_result result;

	fix_clone_options(c, &o, m, r);
	ok(fix_clone_run(c, &result, &o));
	assert_string_equal(result.content, r->content);
	assert_string_equal(result.schema, r->schema);
	assert_string_equal(result.files, r->files);
	assert_int_equal(result.rows, r->rows);
	assert_int_equal(result.generation, r->generation);
	assert_int_equal(result.chain, r->kind == STORE_INCR ? r->chain : r->generation);
	assert_string_equal(result.changes, r->kind == STORE_INCR ? r->changed : "");
	restore_result_fini(&result);
}
