/* SPDX-License-Identifier: Apache-2.0 */
/* diff_fixture: databases that changed, for the tests of diff. */
#include "diff_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/snapshot.h"
#include "base/file.h"
#include "base/mem.h"

void pair_init(struct pair *p)
{
	memset(p, 0, sizeof(*p));
	strcpy(p->dir, "/tmp/kc-diff-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	p->live = file_join(p->dir, "live.db");
	p->base = file_join(p->dir, "base.sqlite");
	p->now = file_join(p->dir, "now.sqlite");
	p->copy = file_join(p->dir, "copy.sqlite");
	p->changes = file_join(p->dir, "changes");
	p->fd = open(p->changes, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(p->fd >= 0);
}

void pair_begin(struct pair *p, const char *sql)
{
	pair_init(p);
	fix_sql(p->live, sql);
	pair_take_base(p);
}

void pair_end(struct pair *p)
{
	close(p->fd);
	ok(file_remove_tree(p->dir));
	free(p->live);
	free(p->base);
	free(p->now);
	free(p->copy);
	free(p->changes);
	source_digest_fini(&p->digest);
}

static void take(const char *live, const char *to)
{
	struct source *s = fix_open(live, false);
	struct snapshot snap = SNAPSHOT_EMPTY;

	ok(snapshot_take(&snap, s));
	copy_file(snap.path, to);
	snapshot_remove(&snap);
	source_close(s);
}

void pair_take_base(struct pair *p)
{
	take(p->live, p->base);
	source_digest_fini(&p->digest);
	image_digest(&p->digest, p->base);
}

void pair_take_now(struct pair *p)
{
	take(p->live, p->now);
}

void pair_change(struct pair *p, const char *sql)
{
	fix_sql(p->live, sql);
	pair_take_now(p);
}

void image_digest(struct source_digest *d, const char *path)
{
	sqlite3 *db = NULL;

	ok(sqlite_open_image(&db, path));
	ok(sqlite_digest(d, db, path, NULL, NULL, NULL));
	sqlite3_close(db);
}

void assert_same_digest(const struct source_digest *a, const struct source_digest *b)
{
	assert_string_equal(a->content, b->content);
	assert_string_equal(a->schema, b->schema);
	assert_int_equal(a->rows, b->rows);
	assert_int_equal(a->n_tables, b->n_tables);
	for (size_t i = 0; i < a->n_tables; i++) {
		assert_string_equal(a->tables[i].name, b->tables[i].name);
		assert_int_equal(a->tables[i].rows, b->tables[i].rows);
	}
	assert_int_equal(a->n_sequences, b->n_sequences);
	for (size_t i = 0; i < a->n_sequences; i++) {
		assert_string_equal(a->sequences[i].table, b->sequences[i].table);
		assert_int_equal(a->sequences[i].value, b->sequences[i].value);
	}
}

static void read_all(struct buf *b, const char *path)
{
	buf_init(b, 1u << 30);
	ok(file_read(b, path));
}

void copy_file(const char *from, const char *to)
{
	struct buf b;
	int fd;

	read_all(&b, from);
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	ok(file_write_all(fd, buf_data(&b), buf_len(&b), to));
	close(fd);
	buf_fini(&b);
}

static void run(sqlite3 *db, char *sql)
{
	char *text = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
		fail_msg("%s: %s", sql, text);
	sqlite3_free(sql);
}

/* Rows of one table, in an order of their own. */
static void copy_table(sqlite3 *db, const char *table)
{
	struct name_list columns = { NULL, 0 };
	sqlite3_str *list = sqlite3_str_new(NULL);
	char *text;

	ok(sqlite_columns(&columns, db, "copy", table));
	for (size_t i = 0; i < columns.n; i++)
		sqlite3_str_appendf(list, "%s\"%w\"", i > 0 ? "," : "", columns.names[i]);
	text = sqlite3_str_finish(list);
	run(db, sqlite3_mprintf("INSERT INTO main.\"%w\"(%s) SELECT %s FROM old.\"%w\" ORDER BY random()", table, text,
		    text, table));
	sqlite3_free(text);
	name_list_fini(&columns);
}

void copy_rows(const char *from, const char *to)
{
	struct name_list tables = { NULL, 0 };
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;

	unlink(to);
	assert_int_equal(sqlite3_open(to, &db), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	run(db,
	    sqlite3_mprintf(
		"PRAGMA page_size=8192; PRAGMA encoding=%Q; PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; PRAGMA "
		"ignore_check_constraints=ON",
		fix_query(from, "PRAGMA encoding")));
	/* An attached database has to have the encoding of the first, which is fixed with its first page. */
	run(db, sqlite3_mprintf("CREATE TABLE kc_first(x); DROP TABLE kc_first"));
	run(db, sqlite3_mprintf("ATTACH %Q AS old; BEGIN", from));
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(sqlite3_prepare_v2(db,
				     turn == 0 ? "SELECT sql FROM old.sqlite_master WHERE type='table' AND name NOT "
						 "GLOB 'sqlite_*' ORDER BY rowid"
					       : "SELECT sql FROM old.sqlite_master WHERE type<>'table' AND sql IS NOT "
						 "NULL ORDER BY rowid",
				     -1, &st, NULL),
		    SQLITE_OK);
		while (sqlite3_step(st) == SQLITE_ROW)
			run(db, sqlite3_mprintf("%s", sqlite3_column_text(st, 0)));
		sqlite3_finalize(st);
		if (turn > 0)
			break;
		ok(sqlite_tables(&tables, db, "copy", false));
		for (size_t i = 0; i < tables.n; i++)
			copy_table(db, tables.names[i]);
		name_list_fini(&tables);
	}
	if (strcmp(fix_query(from, "SELECT count(*) FROM sqlite_master WHERE name='sqlite_sequence'"), "1") == 0)
		run(db, sqlite3_mprintf("DELETE FROM sqlite_sequence; INSERT INTO sqlite_sequence SELECT * FROM "
					"old.sqlite_sequence"));
	run(db, sqlite3_mprintf("COMMIT; DETACH old; PRAGMA user_version=%s", fix_query(from, "PRAGMA user_version")));
	sqlite3_close(db);
}

int apply_to(struct row_hash *delta, uint64_t *skipped, const char *path, const struct changeset *c,
    const struct name_list *skip)
{
	sqlite3 *db = NULL;
	int rc;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_extended_result_codes(db, 1);
	sqlite_tolerate(db);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	run(db, sqlite3_mprintf("PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; BEGIN IMMEDIATE"));
	rc = changeset_apply(delta, skipped, db, path, c, skip, NULL, NULL);
	run(db, sqlite3_mprintf(rc == KC_OK ? "COMMIT" : "ROLLBACK"));
	sqlite3_close(db);
	return rc;
}

static void check_copy(struct pair *p, const struct diff_result *r, const struct source_digest *now)
{
	struct changeset c = {
		.fd = p->fd, .size = r->size, .sequences = r->digest.sequences, .n_sequences = r->digest.n_sequences
	};
	struct row_hash delta, content;
	struct source_digest d;
	uint64_t skipped = 1;
	char hex[SOURCE_DIGEST_LEN + 1];

	ok(apply_to(&delta, &skipped, p->copy, &c, NULL));
	assert_int_equal(skipped, 0);
	image_digest(&d, p->copy);
	assert_string_equal(d.content, now->content);
	source_digest_fini(&d);
	assert_true(row_hash_from_hex(&content, p->digest.content));
	row_hash_add(&content, &delta);
	row_hash_to_hex(hex, &content);
	assert_string_equal(hex, now->content);
}

void pair_diff(struct diff_result *r, struct pair *p, uint64_t max_rows, uint64_t max_bytes)
{
	struct diff_options o = { .base = p->base,
		.base_digest = &p->digest,
		.snapshot = p->now,
		.fd = p->fd,
		.fd_path = p->changes,
		.max_rows = max_rows,
		.max_bytes = max_bytes };
	struct source_digest now;
	struct buf before, after;

	assert_int_equal(ftruncate(p->fd, 0), 0);
	assert_int_equal(lseek(p->fd, 0, SEEK_SET), 0);
	memset(r, 0xa5, sizeof(*r));
	read_all(&before, p->base);
	ok(diff_snapshot(r, &o));
	read_all(&after, p->base);
	assert_int_equal(buf_len(&before), buf_len(&after));
	assert_memory_equal(buf_data(&before), buf_data(&after), buf_len(&before));
	buf_fini(&before);
	buf_fini(&after);
	assert_int_equal(lseek(p->fd, 0, SEEK_END), r->size);
	if (r->outcome == DIFF_FULL) {
		assert_true(r->why[0] != '\0' && r->digest.n_tables == 0 && r->tables == NULL);
		return;
	}
	image_digest(&now, p->now);
	assert_same_digest(&r->digest, &now);
	for (size_t i = 0; i < now.n_tables; i++)
		assert_int_equal(r->tables[i].rows, now.tables[i].rows);
	if (r->outcome == DIFF_CHANGES) {
		copy_file(p->base, p->copy);
		check_copy(p, r, &now);
		if (!p->quick) {
			copy_rows(p->base, p->copy);
			check_copy(p, r, &now);
		}
	} else {
		assert_string_equal(now.content, p->digest.content);
	}
	source_digest_fini(&now);
}

void pair_expect(struct pair *p, enum diff_outcome outcome, const char *why)
{
	struct diff_result r;

	pair_diff(&r, p, 0, 0);
	if (r.outcome != outcome || (why != NULL && strstr(r.why, why) == NULL))
		fail_msg("outcome %d: %s", (int)r.outcome, r.why);
	diff_result_fini(&r);
}
