/* SPDX-License-Identifier: Apache-2.0 */
/* diff_sqlite: two snapshots: is it one database, table after table, and does the result hold? */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/diff_int.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

void diff_result_fini(struct diff_result *r)
{
	source_digest_fini(&r->digest);
	free(r->tables);
	memset(r, 0, sizeof(*r));
}

/* A write-ahead log beside it would be part of the database, and nobody has compared it. */
static int check_base(const char *path)
{
	uint8_t mode[2] = { 0 };
	int fd = -1, rc = sqlite_check_left(path);

	if (rc == KC_OK)
		rc = file_open(&fd, path, O_RDONLY, 0);
	if (rc < 0)
		return rc;
	if (pread(fd, mode, 2, 18) != 2 || mode[0] != 1 || mode[1] != 1)
		rc = err_set(KC_EDAMAGED, "%s: is not what a snapshot is", path);
	close(fd);
	return rc;
}

int diff_base_open(struct diff_base **out, const char *path)
{
	struct diff_base *b;
	sqlite3 *db = NULL;
	int rc = check_base(path);

	if (rc == KC_OK)
		rc = sqlite_open_to_change(&db, path);
	if (rc < 0) {
		sqlite3_close(db);
		return rc;
	}
	b = mem_xalloc(sizeof(*b));
	b->db = db;
	b->path = mem_xstrdup(path);
	*out = b;
	return KC_OK;
}

void diff_base_close(struct diff_base *b)
{
	if (b == NULL)
		return;
	sqlite3_close(b->db);
	free(b->path);
	free(b);
}

int diff_begin(struct diff_run *run, int fd, const char *fd_path, uint64_t max_rows, uint64_t max_bytes)
{
	const struct source_digest *from = run->base_digest;
	struct source_digest *d = &run->r.digest;
	char schema[SOURCE_DIGEST_LEN + 1];
	int rc;

	run->max_rows = max_rows > 0 ? max_rows : DIFF_MAX_ROWS;
	changeset_writer_init(&run->out, fd, fd_path, max_bytes > 0 ? max_bytes : DIFF_MAX_BYTES);
	d->tables = mem_xcalloc(from->n_tables, sizeof(*d->tables));
	run->r.tables = mem_xcalloc(from->n_tables, sizeof(*run->r.tables));
	run->deltas = mem_xcalloc(from->n_tables, sizeof(*run->deltas));
	for (d->n_tables = 0; d->n_tables < from->n_tables; d->n_tables++)
		d->tables[d->n_tables].name = mem_xstrdup(from->tables[d->n_tables].name);
	STR_COPY(d->schema, from->schema);
	rc = sqlite_schema_digest(schema, run->base, run->base_path);
	if (rc == KC_OK && strcmp(schema, from->schema) != 0)
		rc = err_set(KC_EDAMAGED, "%s: has not the schema that it had", run->base_path);
	if (rc == KC_OK)
		rc = sqlite_schema_digest(schema, run->now, run->now_path);
	if (rc == KC_OK && strcmp(schema, from->schema) != 0)
		rc = err_set(KC_ENEEDFULL, "the schema has changed");
	return rc;
}

/* What the changes bring, on the base itself. */
static int try_changes(struct diff_run *run)
{
	struct changeset c = { .fd = run->out.fd,
		.size = run->out.size,
		.sequences = run->r.digest.sequences,
		.n_sequences = run->r.digest.n_sequences };
	struct row_hash delta;
	uint64_t skipped = 0;
	int rc = sqlite_exec(run->base, run->base_path, "BEGIN IMMEDIATE");

	if (rc < 0)
		return rc;
	rc = changeset_apply(&delta, &skipped, run->base, run->base_path, &c, NULL, run->alive, run->arg);
	if (rc == KC_OK && memcmp(&delta, &run->delta, sizeof(delta)) != 0)
		rc = err_set(KC_ENEEDFULL, "applied, the changes do not give what the database has");
	if (sqlite3_get_autocommit(run->base) == 0 &&
	    sqlite3_exec(run->base, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK && (rc == KC_OK || rc == KC_ENEEDFULL))
		rc = sqlite_fail(run->base, sqlite3_errcode(run->base), run->base_path, "cannot roll back");
	return rc;
}

/* Rows of sqlite_sequence are not in the changeset. */
static int compare_sequences(bool *changed, struct diff_run *run)
{
	struct row_hash was, is;
	bool exist = false;
	int rc = sequences_exist(&exist, run->now, run->now_path);

	if (rc == KC_OK && exist)
		rc = sequences_read(&run->r.digest, run->now, run->now_path);
	if (rc == KC_OK)
		rc = sequences_sum(&was, run->base, run->base_path, NULL);
	if (rc == KC_OK)
		rc = sequences_sum(&is, run->now, run->now_path, NULL);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < run->base_digest->n_tables; i++)
		row_hash_add(&run->delta, &run->deltas[i]);
	*changed = run->rows > 0 || memcmp(&was, &is, sizeof(is)) != 0;
	row_hash_add(&run->delta, &is);
	row_hash_sub(&run->delta, &was);
	return *changed ? sequences_check(run->now, run->now_path) : KC_OK;
}

/* What a clone that leaves other tables alone holds its own against. */
static int sum_tables(struct diff_run *run)
{
	static const struct row_hash zero;
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < run->base_digest->n_tables; i++) {
		struct row_hash *sum = &run->deltas[i];
		struct row_hash was, is;

		rc = sequences_sum_of(&was, run->base, run->base_path, run->base_digest->tables[i].name);
		if (rc == KC_OK)
			rc = sequences_sum_of(&is, run->now, run->now_path, run->base_digest->tables[i].name);
		if (rc < 0)
			return rc;
		row_hash_add(sum, &is);
		row_hash_sub(sum, &was);
		if (memcmp(sum, &zero, sizeof(zero)) != 0)
			row_hash_to_hex(run->r.tables[i].delta, sum);
	}
	return rc;
}

static int count_tables(struct diff_run *run)
{
	struct source_digest *d = &run->r.digest;

	if (!row_hash_add_to(d->content, run->base_digest->content, &run->delta))
		return err_set(KC_EFAIL, "%s: its digest is none", run->base_path);
	for (size_t i = 0; i < d->n_tables; i++) {
		struct diff_table *t = &run->r.tables[i];

		if (t->deleted > run->base_digest->tables[i].rows)
			return err_set(
			    KC_EDAMAGED, "%s: has more rows in %s than it had", run->base_path, d->tables[i].name);
		t->rows = run->base_digest->tables[i].rows - t->deleted + t->inserted;
		d->tables[i].rows = t->rows;
		d->rows += t->rows;
	}
	return KC_OK;
}

int diff_end(struct diff_result *r, struct diff_run *run, int rc)
{
	bool changed = false;

	if (rc == KC_OK)
		rc = compare_sequences(&changed, run);
	if (rc == KC_OK)
		rc = count_tables(run);
	if (rc == KC_OK && changed)
		rc = sum_tables(run);
	free(run->deltas);
	run->deltas = NULL;
	if (rc == KC_OK && changed)
		rc = try_changes(run);
	run->r.outcome = changed ? DIFF_CHANGES : DIFF_SAME;
	run->r.size = run->out.size;
	changeset_writer_fini(&run->out);
	if (rc == KC_ENEEDFULL) {
		diff_result_fini(&run->r);
		run->r.outcome = DIFF_FULL;
		STR_COPY(run->r.why, err_text(rc));
		str_printable(run->r.why); /* names of tables are the application's */
		rc = ftruncate(run->out.fd, 0) == 0 ? KC_OK : err_errno("%s: cannot write", run->out.path);
	}
	if (rc == KC_OK)
		*r = run->r;
	else
		diff_result_fini(&run->r);
	return rc;
}

/* What a row cannot say. */
static int compare_files(struct diff_run *run)
{
	struct source_info was, is;
	int64_t n = 0;
	int rc = sqlite_info(&was, run->base, run->base_path);

	if (rc == KC_OK)
		rc = sqlite_info(&is, run->now, run->now_path);
	if (rc < 0)
		return rc;
	if (was.page_size != is.page_size)
		return err_set(KC_ENEEDFULL, "the page size was %u, and is %u", was.page_size, is.page_size);
	if (strcmp(was.encoding, is.encoding) != 0)
		return err_set(KC_ENEEDFULL, "the encoding was %s, and is %s", was.encoding, is.encoding);
	if (was.auto_vacuum != is.auto_vacuum)
		return err_set(KC_ENEEDFULL, "auto_vacuum was %d, and is %d", was.auto_vacuum, is.auto_vacuum);
	if (was.user_version != is.user_version)
		return err_set(KC_ENEEDFULL, "user_version was %d, and is %d", was.user_version, is.user_version);
	if (was.application_id != is.application_id)
		return err_set(KC_ENEEDFULL, "application_id was %d, and is %d", was.application_id, is.application_id);
	rc = sqlite_int(&n, run->now, run->now_path,
	    "SELECT count(*) FROM main.sqlite_master WHERE type='table' AND coalesce(rootpage, 0)=0");
	return rc == KC_OK && n > 0 ? err_set(KC_ENEEDFULL, "there are virtual tables") : rc;
}

/* The digest is of this file. */
static int compare_tables(struct diff_run *run)
{
	const struct source_digest *d = run->base_digest;
	struct name_list tables = { NULL, 0 };
	int rc = sqlite_tables(&tables, run->base, run->base_path, false);
	bool same = rc == KC_OK && tables.n == d->n_tables;

	for (size_t i = 0; same && i < tables.n; i++)
		same = strcmp(tables.names[i], d->tables[i].name) == 0;
	name_list_fini(&tables);
	return rc == KC_OK && !same ? err_set(KC_EDAMAGED, "%s: has not the tables that it had", run->base_path) : rc;
}

static int diff_files(struct diff_run *run, const struct diff_options *o)
{
	int rc = sqlite_exec(run->now, run->now_path, "BEGIN"); /* else each row is a transaction */

	if (rc == KC_OK)
		rc = compare_files(run);
	if (rc == KC_OK)
		rc = diff_begin(run, o->fd, o->fd_path, o->max_rows, o->max_bytes);
	if (rc == KC_OK)
		rc = compare_tables(run);
	if (rc == KC_OK) /* closed after the base: whoever closes a file gives up SQLite's locks on it */
		rc = pages_open(&run->pages, o->base, o->snapshot, o->alive, o->arg);
	for (size_t i = 0; rc == KC_OK && i < o->base_digest->n_tables; i++)
		rc = diff_table(run, i);
	return rc;
}

int diff_snapshot(struct diff_result *r, const struct diff_options *o)
{
	struct diff_run run = { .base_path = o->base,
		.now_path = o->snapshot,
		.base_digest = o->base_digest,
		.alive = o->alive,
		.arg = o->arg };
	struct diff_base *base = NULL;
	int rc = diff_base_open(&base, o->base);

	if (rc == KC_OK && !file_exists(o->snapshot))
		rc = err_set(KC_ENOENT, "%s: is not there", o->snapshot);
	if (rc == KC_OK)
		rc = sqlite_open_image(&run.now, o->snapshot);
	if (rc < 0) {
		diff_base_close(base);
		return rc;
	}
	run.base = base->db;
	run.out.fd = o->fd;
	run.out.path = o->fd_path;
	rc = diff_files(&run, o);
	rc = diff_end(r, &run, rc);
	sqlite3_close(run.now);
	diff_base_close(base);
	pages_close(run.pages);
	return rc;
}
