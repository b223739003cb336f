/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create: the making of a backup.
 *
 * Two threads run beside the pipeline: scrypt (age_scrypt_start) and quick_check. The signature, without which no clone
 * restores anything, is made only after quick_check has said yes; the final name is given last of all.
 */
#include "backup/create.h"

#include <gnutls/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backup/create_internal.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

#define MASTER_KEY_FILE_MAX (1u << 20)
#define ROOM_FOR_REST	    (1u << 20) /* manifest, tar headers, chunks */

const char *create_phase_name(enum create_phase phase)
{
	static const char *const names[] = { "snapshot", "digest", "write", "finish" };

	return names[phase];
}

int backup_prepare(struct create_prepared **out, const char *password, int logn)
{
	struct create_prepared *p = mem_xalloc(sizeof(*p));
	int rc;

	p->key = age_key_new();
	rc = age_scrypt_start(&p->job, p->key, password, logn);
	if (rc < 0) {
		create_prepared_free(p);
		return rc;
	}
	*out = p;
	return KC_OK;
}

void create_prepared_free(struct create_prepared *p)
{
	if (p == NULL)
		return;
	if (p->job != NULL)
		age_scrypt_join(NULL, p->job);
	age_key_free(p->key);
	free(p);
}

static int report(struct creation *c, enum create_phase phase, unsigned percent)
{
	c->p.phase = phase;
	if (percent > c->p.percent)
		c->p.percent = percent;
	return c->o->progress != NULL ? c->o->progress(c->o->arg, &c->p) : KC_OK;
}

/* Keeps the job alive while somebody else's lock is waited for, and while rows are counted. */
static int on_alive(void *arg)
{
	struct creation *c = arg;

	return report(c, c->p.phase, c->p.percent);
}

static void *check_main(void *arg)
{
	struct check_thread *t = arg;

	t->rc = snapshot_check(t->snap);
	if (t->rc < 0)
		snprintf(t->text, sizeof(t->text), "%s", err_text(t->rc));
	return NULL;
}

static int check_start(struct creation *c)
{
	c->check.snap = &c->snap;
	if (pthread_create(&c->check.thread, NULL, check_main, &c->check) != 0)
		return err_set(KC_EFAIL, "cannot start a thread");
	c->check.running = true;
	return KC_OK;
}

static int check_join(struct creation *c)
{
	if (!c->check.running)
		return KC_OK;
	pthread_join(c->check.thread, NULL);
	c->check.running = false;
	if (c->check.rc < 0)
		return err_set(c->check.rc, "%s", c->check.text);
	return KC_OK;
}

/* Of a full all rows count, and the copy has to be sound. */
static int read_all(struct creation *c)
{
	int rc = check_start(c);

	if (rc == KC_OK)
		rc = report(c, CREATE_DIGEST, 10);
	return rc == KC_OK ? snapshot_digest(&c->digest, &c->snap, on_alive, c) : rc;
}

/* Step 1: the copy. */
static int copy(struct creation *c)
{
	int rc = snapshot_take(&c->snap, c->o->source);

	c->result.mark = c->snap.log;
	c->p.database_size = c->snap.info.size;
	c->result.snapshot_ms = clock_lap(&c->clock);
	if (rc == KC_OK && c->o->increment != NULL)
		rc = create_diff(c, on_alive);
	if (rc == KC_OK && !c->incremental)
		rc = read_all(c);
	return rc;
}

/* Steps 1 and 2: what is in the database, as it is now. */
static int take(struct creation *c)
{
	const struct create_options *o = c->o;
	bool done = false;
	int rc = report(c, CREATE_SNAPSHOT, 0);

	source_set_alive(o->source, on_alive, c);
	if (rc == KC_OK && o->increment != NULL)
		rc = create_from_log(c, &done, on_alive);
	if (rc == KC_OK && !done)
		rc = copy(c);
	source_set_alive(o->source, NULL, NULL);
	if (rc < 0)
		return rc;
	c->result.version = c->snap.version;
	c->result.database_size = c->snap.info.size;
	c->result.digest_ms = clock_lap(&c->clock);
	c->result.rows = c->digest.rows;
	memcpy(c->result.content, c->digest.content, sizeof(c->result.content));
	memcpy(c->result.schema, c->digest.schema, sizeof(c->result.schema));
	rc = create_copy_files(c, on_alive);
	c->result.unchanged = o->unless_content != NULL && o->unless_schema != NULL &&
			      strcmp(o->unless_content, c->digest.content) == 0 &&
			      strcmp(o->unless_schema, c->digest.schema) == 0 &&
			      strcmp(o->unless_files != NULL ? o->unless_files : "", c->result.files) == 0;
	if (rc < 0 || c->result.unchanged)
		return rc;
	return create_compare(c, on_alive);
}

/* A password's header is being made from here on at the latest. */
static int use_prepared(struct creation *c)
{
	const struct create_options *o = c->o;

	if (c->prepared != NULL)
		return KC_OK;
	if (c->incremental) {
		c->prepared = mem_xalloc(sizeof(*c->prepared));
		c->prepared->key = age_key_new();
		return KC_OK;
	}
	return create_take_prepared(&c->prepared, o->prepared, o->password, o->logn);
}

/* Name and path; two backups of one second get different ones. */
static void choose_name(struct creation *c)
{
	const struct create_options *o = c->o;
	struct store_name n;

	if (o->output != NULL) {
		c->result.path = mem_xstrdup(o->output);
		c->result.name = mem_xstrdup(file_basename(o->output));
		return;
	}
	memset(&n, 0, sizeof(n));
	store_database_name(n.database, source_path(o->source));
	snprintf(n.lineage, sizeof(n.lineage), "%.8s", o->lineage);
	n.generation = c->result.generation;
	n.kind = c->result.kind;
	for (n.time = c->result.time;; n.time++) {
		c->result.name = store_name_build(&n);
		c->result.path = file_join(o->dir, c->result.name);
		if (!file_exists(c->result.path))
			break;
		free(c->result.name);
		free(c->result.path);
	}
	c->result.time = n.time;
}

static int check_room(const struct creation *c)
{
	char *dir = file_dirname(c->result.path);
	uint64_t size = c->incremental ? c->result.changeset_size : c->snap.info.size;
	int rc = file_need_space(dir, size + create_files_size(c) + ROOM_FOR_REST, "a backup");

	free(dir);
	return rc;
}

static int open_part(struct creation *c)
{
	int rc = check_room(c);

	return rc == KC_OK ? create_part_open(&c->part, c->result.path) : rc;
}

/* What increments that build on this full will be encrypted for. */
static int begin_chain(struct creation *c)
{
	const struct create_options *o = c->o;
	struct age_recipient r;
	int rc;

	if (c->incremental || o->begin_chain == NULL)
		return KC_OK;
	rc = o->begin_chain(o->arg, &c->chain_key, c->result.generation);
	if (rc < 0 || c->chain_key == NULL)
		return rc;
	age_identity_recipient(&r, c->chain_key);
	age_recipient_text(c->result.increments, &r);
	return KC_OK;
}

static int load_master_key(struct creation *c)
{
	uint8_t sum[32];
	int rc;

	if (c->o->master_key_file == NULL)
		return KC_OK;
	rc = file_read_secret(&c->master_key, c->o->master_key_file);
	if (rc == KC_OK &&
	    gnutls_hash_fast(GNUTLS_DIG_SHA256, buf_data(&c->master_key), buf_len(&c->master_key), sum) < 0)
		rc = err_set(KC_EFAIL, "no SHA-256");
	if (rc == KC_OK)
		hex_encode(c->result.master_key_sum, sum, sizeof(sum));
	/* An increment brings it only where it is not what its chain has. */
	c->with_master_key = !c->incremental || strcmp(c->result.master_key_sum, c->o->increment->master_key_sum) != 0;
	return rc;
}

static int plan(struct creation *c)
{
	const struct create_options *o = c->o;
	int rc = KC_OK;

	c->result.generation = o->generation;
	c->result.kind = c->incremental ? STORE_INCR : o->kind;
	if (o->generation == 0 && o->reserve != NULL)
		rc = o->reserve(o->arg, &c->result.generation, c->result.kind);
	if (rc == KC_OK)
		rc = load_master_key(c);
	if (rc == KC_OK)
		rc = begin_chain(c);
	if (rc < 0)
		return rc;
	c->result.time = (int64_t)time(NULL);
	choose_name(c);
	rc = use_prepared(c);
	if (rc == KC_OK)
		rc = open_part(c);
	return rc;
}

/* Step 5. */
static int finish(struct creation *c)
{
	int rc = create_part_finish(&c->part, c->prepared);

	if (rc == KC_OK) {
		c->result.key = c->prepared->key;
		c->prepared->key = NULL;
	}
	return rc;
}

static int make(struct creation *c)
{
	int rc = plan(c);

	if (rc == KC_OK)
		rc = create_write(c, report);
	if (rc == KC_OK)
		rc = check_join(c);
	if (rc == KC_OK)
		rc = create_sign(c);
	c->result.write_ms = clock_lap(&c->clock);
	if (rc == KC_OK && c->incremental && c->o->whole != NULL)
		rc = c->o->whole(c->o->arg, &c->result);
	if (rc == KC_OK)
		rc = report(c, CREATE_FINISH, 95);
	if (rc == KC_OK)
		rc = finish(c);
	if (rc == KC_OK)
		create_made(c, c->result.generation);
	c->result.finish_ms = clock_lap(&c->clock);
	return rc;
}

static void creation_fini(struct creation *c)
{
	if (c->check.running)
		pthread_join(c->check.thread, NULL);
	seal_free(c->seal);
	create_part_end(&c->part);
	create_prepared_free(c->prepared);
	buf_fini(&c->master_key);
	if (c->changes_fd >= 0)
		close(c->changes_fd);
	create_forget_files(c);
	source_digest_fini(&c->digest);
	snapshot_remove(&c->snap);
}

int backup_create(struct create_result *result, const struct create_options *o)
{
	struct creation c = { .o = o,
		.part = CREATE_PART_EMPTY,
		.snap = SNAPSHOT_EMPTY,
		.copies = STAGING_EMPTY,
		.changes_fd = -1,
		.snap_fd = -1 };
	int rc = KC_OK;

	clock_lap(&c.clock);
	buf_init(&c.master_key, MASTER_KEY_FILE_MAX);
	if (o->output != NULL && file_exists(o->output))
		rc = err_set(KC_EEXIST, "%s: exists already", o->output);
	/* With nothing to compare there will be a backup: scrypt may begin at once. */
	if (rc == KC_OK && o->unless_content == NULL && o->increment == NULL)
		rc = use_prepared(&c);
	if (rc == KC_OK)
		rc = take(&c);
	if (rc == KC_OK && !c.result.unchanged && !c.result.held)
		rc = make(&c);
	else if (rc == KC_OK)
		rc = check_join(&c);
	if (rc == KC_OK && c.result.unchanged)
		create_made(&c, o->base_generation);
	if (rc == KC_OK) {
		c.result.digest = c.digest; /* moves */
		memset(&c.digest, 0, sizeof(c.digest));
	}
	creation_fini(&c);
	if (rc < 0) {
		create_result_fini(&c.result);
		return rc;
	}
	*result = c.result;
	return KC_OK;
}

void create_result_fini(struct create_result *r)
{
	free(r->path);
	free(r->name);
	free(r->changes);
	source_digest_fini(&r->digest);
	age_key_free(r->key);
	memset(r, 0, sizeof(*r));
}
