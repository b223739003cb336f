/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff: random databases that change at random. Whatever happened between two snapshots, the outcome is a changeset
 * that makes the one the other, with the digest that a recount gives, or that a full backup is needed; and where
 * SQLite's own comparison (sqlite3session_diff) can say it, it says the same.
 *
 * KC_DIFF_CASES cases from KC_DIFF_SEED on; case n of seed s is case 1 of seed s + n - 1.
 */
#include "diff_fixture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/snapshot.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#ifdef __SANITIZE_ADDRESS__
#define CASES 80
#else
#define CASES 200
#endif
#define MAX_TABLES 4

static uint64_t state_of_chance;

static uint32_t chance(uint32_t n)
{
	state_of_chance += 0x9e3779b97f4a7c15u;
	uint64_t z = state_of_chance;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

enum kind { ROWID, AUTO, TEXT, BLOB, PAIR, BARE_TEXT, BARE_PAIR, FOLDED, NULLS, NONE, GENERATED, KINDS };

struct table {
	char name[16];
	enum kind kind;
	int values; /* columns c0, c1, … */
	bool unique, refers;
	int rows; /* about so many */
};

struct world {
	struct pair p;
	sqlite3 *live;
	struct source *source;
	struct table tables[MAX_TABLES];
	int n;
	bool plain; /* nothing in it that SQLite's own comparison does not see */
	char encoding[12];
	int page_size;
};

static struct {
	unsigned rounds, same, changes, full, compared, plain_full;
	struct {
		char why[64];
		unsigned n;
	} reasons[64];
} seen;

/* A statement may break a constraint: then it did nothing. */
static void try_text(struct world *w, char *sql)
{
	int rc = sqlite3_exec(w->live, sql, NULL, NULL, NULL) & 0xff;

	if (rc != SQLITE_OK && rc != SQLITE_CONSTRAINT && rc != SQLITE_MISMATCH)
		fail_msg("%s: %s", sql, sqlite3_errmsg(w->live));
	sqlite3_free(sql);
}
#define try_sql(w, ...) try_text(w, sqlite3_mprintf(__VA_ARGS__))

/* --- values --- */

static void put_text(sqlite3_str *s)
{
	static const char *const words[] = { "a", "A", "b", "äöü", "€", "key", "KEY", "x y", "" };

	sqlite3_str_appendf(s, "'%s%u'", words[chance(9)], chance(30));
}

static void put_value(sqlite3_str *s, const struct world *w)
{
	unsigned kind = chance(w->plain ? 8 : 11);

	switch (kind == 7 && chance(4) > 0 ? 5 : kind) {
	case 0:
		sqlite3_str_appendall(s, "NULL");
		break;
	case 1:
		sqlite3_str_appendf(s, "%d", (int)chance(10));
		break;
	case 2:
		sqlite3_str_appendf(s, "%lld", (long long)((uint64_t)chance(UINT32_MAX) << 31) - (1ll << 60));
		break;
	case 3:
		sqlite3_str_appendf(s, "%d.5", (int)chance(100));
		break;
	case 4:
	case 5:
		put_text(s);
		break;
	case 6:
		sqlite3_str_appendf(s, "x'%.*c'", 2 + 2 * (int)chance(12), 'a' + (int)chance(6));
		break;
	case 7: /* more than a page, at times more than one page of overflow */
		sqlite3_str_appendf(s,
		    chance(2) ? "printf('%%.*c', %u, '%c')" : "CAST(printf('%%.*c', %u, '%c') AS BLOB)",
		    (unsigned)w->page_size / 8 +
			chance((uint32_t)w->page_size > 4096 ? 9000 : 3 * (uint32_t)w->page_size),
		    'p' + (int)chance(4));
		break;
	case 8:
		sqlite3_str_appendf(s, "%d.0", (int)chance(5));
		break;
	case 9:
		sqlite3_str_appendall(s, chance(2) ? "-0.0" : "9e999");
		break;
	default:
		sqlite3_str_appendf(s, "CAST(x'%s' AS TEXT)", chance(2) ? "61ff62" : "610062");
		break;
	}
}

static void put_key(sqlite3_str *s, const struct world *w, const struct table *t)
{
	unsigned k = chance(2 * (unsigned)t->rows + 10);

	switch (t->kind) {
	case ROWID:
	case AUTO:
	case GENERATED:
		sqlite3_str_appendf(s, "%u", k);
		break;
	case BLOB:
		if (chance(3) == 0)
			sqlite3_str_appendf(s, w->plain || chance(2) ? "%u" : "%u.0", k);
		else
			sqlite3_str_appendf(s, "x'%08x'", k * 7919u);
		break;
	case PAIR:
	case BARE_PAIR:
		sqlite3_str_appendf(s, "'%s', %u", chance(2) ? "one" : "two", k);
		break;
	case FOLDED:
		sqlite3_str_appendf(s, chance(2) ? "'key%u'" : "'KEY%u'", k);
		break;
	case NULLS:
		if (chance(20) == 0)
			sqlite3_str_appendall(s, "NULL");
		else
			sqlite3_str_appendf(s, "'k%u'", k);
		break;
	default:
		sqlite3_str_appendf(s, "'%08x-%u'", k * 2654435761u, k);
		break;
	}
}

static const char *key_columns(const struct table *t)
{
	static const char *const names[KINDS] = { "id", "id", "k", "k", "k, n", "k", "k, n", "k", "k", "k", "id" };

	return names[t->kind];
}

/* --- schema --- */

static void make_table(struct world *w, struct table *t, int i)
{
	static const char *const keys[KINDS] = { "id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT",
		"k TEXT PRIMARY KEY", "k BLOB PRIMARY KEY", "k TEXT, n INTEGER", "k TEXT PRIMARY KEY",
		"k TEXT, n INTEGER", "k TEXT COLLATE NOCASE PRIMARY KEY", "k TEXT PRIMARY KEY", "k TEXT",
		"id INTEGER PRIMARY KEY" };
	static const char *const types[] = { "INTEGER", "REAL", "TEXT", "BLOB", "", "NUMERIC" };
	static const enum kind often[] = { ROWID, AUTO, TEXT, BLOB, PAIR, BARE_TEXT, BARE_PAIR };
	sqlite3_str *s = sqlite3_str_new(NULL);
	char *sql;

	snprintf(t->name, sizeof(t->name), i == 3 ? "odd \"name" : "t%d", i);
	t->kind = chance(20) == 0 ? (enum kind)(NULLS + chance(3)) : often[chance(7)];
	if (!w->plain && chance(8) == 0)
		t->kind = FOLDED;
	t->values = 1 + (int)chance(4);
	t->unique = chance(3) == 0;
	t->refers = i > 0 && (w->tables[0].kind == ROWID || w->tables[0].kind == AUTO) && chance(3) == 0;
	t->rows = chance(4) == 0 ? (int)chance(8) : 10 + (int)chance(w->page_size > 4096 ? 200 : 80);
	sqlite3_str_appendf(s, "CREATE TABLE \"%w\"(%s, m INTEGER", t->name, keys[t->kind]);
	for (int c = 0; c < t->values; c++)
		sqlite3_str_appendf(
		    s, ", c%d %s%s", c, types[chance(6)], !w->plain && chance(6) == 0 ? " COLLATE NOCASE" : "");
	if (t->unique)
		sqlite3_str_appendf(s, ", u INTEGER UNIQUE%s", chance(8) == 0 ? " ON CONFLICT REPLACE" : "");
	if (t->refers)
		sqlite3_str_appendall(s, ", r INTEGER REFERENCES t0(id) ON DELETE CASCADE ON UPDATE SET NULL");
	if (t->kind == GENERATED)
		sqlite3_str_appendall(s, ", g AS (m * 2) STORED");
	if (t->kind == PAIR || t->kind == BARE_PAIR)
		sqlite3_str_appendall(s, ", PRIMARY KEY(n, k)");
	sqlite3_str_appendf(s, ")%s;", t->kind == BARE_TEXT || t->kind == BARE_PAIR ? " WITHOUT ROWID" : "");
	if (chance(3) == 0)
		sqlite3_str_appendf(s, "CREATE INDEX \"i%d\" ON \"%w\"(c0);", i, t->name);
	if (chance(5) == 0)
		sqlite3_str_appendf(s, "CREATE INDEX \"j%d\" ON \"%w\"(lower(c0)) WHERE m > 30;", i, t->name);
	if (chance(6) == 0)
		sqlite3_str_appendf(s,
		    "CREATE TRIGGER \"g%d\" AFTER DELETE ON \"%w\" BEGIN UPDATE \"%w\" SET m = m + 1 WHERE m = old.m; "
		    "END;",
		    i, t->name, t->name);
	sql = sqlite3_str_finish(s);
	try_sql(w, "%s", sql);
	sqlite3_free(sql);
}

static void insert(struct world *w, const struct table *t, int n, const char *how)
{
	for (int i = 0; i < n; i++) {
		sqlite3_str *s = sqlite3_str_new(NULL);
		char *sql;

		sqlite3_str_appendf(s, "INSERT OR %s INTO \"%w\"(%s, m", how, t->name, key_columns(t));
		for (int c = 0; c < t->values; c++)
			sqlite3_str_appendf(s, ", c%d", c);
		sqlite3_str_appendf(s, "%s%s) VALUES(", t->unique ? ", u" : "", t->refers ? ", r" : "");
		put_key(s, w, t);
		sqlite3_str_appendf(s, ", %u", chance(100));
		for (int c = 0; c < t->values; c++) {
			sqlite3_str_appendall(s, ", ");
			put_value(s, w);
		}
		if (t->unique)
			sqlite3_str_appendf(s, ", %u", chance(4 * (unsigned)t->rows + 4));
		if (t->refers)
			sqlite3_str_appendf(s, ", (SELECT id FROM t0 WHERE id >= %u LIMIT 1)", chance(200));
		sqlite3_str_appendall(s, ")");
		sql = sqlite3_str_finish(s);
		try_sql(w, "%s", sql);
		sqlite3_free(sql);
	}
}

/* --- changes --- */

static bool has_row_id(const struct table *t)
{
	return t->kind != BARE_TEXT && t->kind != BARE_PAIR;
}

static void change_values(struct world *w, const struct table *t)
{
	sqlite3_str *s = sqlite3_str_new(NULL);
	char *sql;

	sqlite3_str_appendf(s, "UPDATE OR IGNORE \"%w\" SET c%u = ", t->name, chance((unsigned)t->values));
	put_value(s, w);
	sqlite3_str_appendf(s, " WHERE m %s %u", chance(4) == 0 ? "<" : "=", chance(100));
	sql = sqlite3_str_finish(s);
	try_sql(w, "%s", sql);
	sqlite3_free(sql);
}

static void change_key(struct world *w, const struct table *t)
{
	unsigned m = chance(100);

	switch (t->kind) {
	case ROWID:
	case AUTO:
		try_sql(w, "UPDATE OR IGNORE \"%w\" SET id = id + %u WHERE m = %u", t->name, chance(5), m);
		break;
	case PAIR:
	case BARE_PAIR:
		try_sql(w, "UPDATE OR IGNORE \"%w\" SET n = n + 1 WHERE m < %u", t->name, m / 4);
		break;
	case FOLDED:
		try_sql(
		    w, "UPDATE OR IGNORE \"%w\" SET k = %s(k) WHERE m = %u", t->name, chance(2) ? "upper" : "lower", m);
		break;
	case BLOB:
		if (!w->plain)
			try_sql(w, "UPDATE OR IGNORE \"%w\" SET k = k + 0.0 WHERE typeof(k) = 'integer' AND m < %u",
			    t->name, m / 4);
		break;
	case TEXT:
	case BARE_TEXT:
		try_sql(w, "UPDATE OR IGNORE \"%w\" SET k = k || 'x' WHERE m = %u", t->name, m);
		break;
	default:
		break;
	}
	if (has_row_id(t) && t->kind != ROWID && t->kind != AUTO && t->kind != GENERATED && chance(2))
		try_sql(w, "UPDATE OR IGNORE \"%w\" SET rowid = rowid + %u WHERE m %% 10 = %u", t->name,
		    1 + chance(100), m % 10);
}

static void swap_unique(struct world *w, const struct table *t)
{
	if (!t->unique)
		return;
	if (chance(2)) {
		try_sql(w, "UPDATE OR FAIL \"%w\" SET u = u + 100000 WHERE m > %u", t->name, chance(100));
	} else {
		try_sql(w, "CREATE TEMP TABLE s AS SELECT min(u) a, max(u) b FROM \"%w\" WHERE m < 50", t->name);
		try_sql(w,
		    "UPDATE \"%w\" SET u = -1 WHERE u = (SELECT a FROM s); UPDATE \"%w\" SET u = (SELECT a FROM s) "
		    "WHERE u = "
		    "(SELECT b FROM s); UPDATE \"%w\" SET u = (SELECT b FROM s) WHERE u = -1; DROP TABLE s",
		    t->name, t->name, t->name);
		try_sql(w, "DROP TABLE IF EXISTS temp.s");
	}
}

/* The same rows, elsewhere. */
static void write_anew(struct world *w, const struct table *t)
{
	if (t->kind == GENERATED)
		return;
	try_sql(w, "CREATE TEMP TABLE s AS SELECT * FROM \"%w\" ORDER BY %s", t->name, chance(2) ? "m" : "1");
	try_sql(w, "BEGIN; DELETE FROM \"%w\"; INSERT OR IGNORE INTO \"%w\" SELECT * FROM temp.s; COMMIT", t->name,
	    t->name);
	if (sqlite3_get_autocommit(w->live) == 0)
		try_sql(w, "ROLLBACK");
	try_sql(w, "DROP TABLE temp.s");
}

static void change_file(struct world *w, const struct table *t)
{
	switch (chance(7)) {
	case 0:
		try_sql(w, "VACUUM");
		break;
	case 1:
		try_sql(w, "PRAGMA incremental_vacuum(%u)", chance(20));
		break;
	case 2:
		try_sql(w, "REINDEX");
		break;
	case 3:
		try_sql(w, "ANALYZE");
		break;
	case 4:
		write_anew(w, t);
		break;
	case 5:
		if (chance(8) == 0)
			try_sql(w, "CREATE INDEX IF NOT EXISTS late%u ON \"%w\"(m)", chance(3), t->name);
		break;
	default:
		if (t->kind == AUTO)
			try_sql(w, "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = %Q", t->name);
		break;
	}
}

static void change(struct world *w)
{
	const struct table *t = &w->tables[chance((unsigned)w->n)];
	int some = 1 + (int)chance(8);

	switch (chance(13)) {
	case 0:
	case 1:
		insert(w, t, some, "IGNORE");
		break;
	case 2:
		insert(w, t, some, "REPLACE");
		break;
	case 3:
	case 4:
		change_values(w, t);
		break;
	case 5:
		try_sql(w, "DELETE FROM \"%w\" WHERE m = %u", t->name, chance(100));
		break;
	case 6: /* the end goes, and others come on its pages */
		try_sql(w, "DELETE FROM \"%w\" WHERE %s > (SELECT %s FROM \"%w\" LIMIT 1 OFFSET %u)", t->name,
		    has_row_id(t) ? "rowid" : "k", has_row_id(t) ? "rowid" : "k", t->name,
		    chance((unsigned)t->rows + 1));
		insert(w, t, some * 4, "IGNORE");
		break;
	case 7:
		try_sql(w, "DELETE FROM \"%w\" WHERE m > %u", t->name, chance(100));
		insert(w, t, t->rows / 2, "IGNORE");
		break;
	case 8:
		change_key(w, t);
		break;
	case 9:
		swap_unique(w, t);
		break;
	case 10: /* as long as it was, where it was */
		try_sql(w,
		    "UPDATE OR IGNORE \"%w\" SET c0 = replace(c0, 'p', 'z') WHERE typeof(c0) = 'text' AND m < %u",
		    t->name, chance(100));
		break;
	default:
		change_file(w, t);
		break;
	}
}

/* --- what has to hold --- */

static void note(const struct world *w, const struct diff_result *r)
{
	size_t i = 0;

	seen.rounds++;
	seen.same += r->outcome == DIFF_SAME;
	seen.changes += r->outcome == DIFF_CHANGES;
	if (r->outcome != DIFF_FULL)
		return;
	seen.full++;
	seen.plain_full += w->plain;
	/* without the table's name */
	const char *why = strncmp(r->why, "table ", 6) == 0 ? strchr(r->why, ':') : r->why;
	while (seen.reasons[i].n > 0 && strncmp(seen.reasons[i].why, why, 40) != 0 && i < 63)
		i++;
	STR_COPY(seen.reasons[i].why, why);
	seen.reasons[i].n++;
}

/* SQLite's own comparison sees everything that is in these tables. */
static bool comparable(const struct world *w)
{
	bool can = w->plain;

	for (int i = 0; i < w->n; i++)
		can = can && w->tables[i].kind < NULLS;
	return can;
}

static int own_comparison(struct pair *p, int *changes, int fd)
{
	struct name_list tables = { NULL, 0 };
	sqlite3_session *session = NULL;
	sqlite3_changeset_iter *it = NULL;
	sqlite3 *db = NULL;
	void *data = NULL;
	int n = 0;

	ok(sqlite_open_image(&db, p->now));
	ok(sqlite_attach_image(db, p->base, "was"));
	ok(sqlite_tables(&tables, db, p->now, false));
	assert_int_equal(sqlite3session_create(db, "main", &session), SQLITE_OK);
	assert_int_equal(sqlite3session_attach(session, NULL), SQLITE_OK);
	for (size_t i = 0; i < tables.n; i++) {
		char *text = NULL;

		if (sqlite3session_diff(session, "was", tables.names[i], &text) != SQLITE_OK)
			fail_msg("%s: %s", tables.names[i], text);
	}
	assert_int_equal(sqlite3session_changeset(session, &n, &data), SQLITE_OK);
	assert_int_equal(sqlite3changeset_start(&it, n, data), SQLITE_OK);
	for (*changes = 0; sqlite3changeset_next(it) == SQLITE_ROW;)
		++*changes;
	sqlite3changeset_finalize(it);
	assert_int_equal(pwrite(fd, data, (size_t)n, 0), n);
	sqlite3_free(data);
	sqlite3session_delete(session);
	name_list_fini(&tables);
	sqlite3_close(db);
	return n;
}

/* If a full is needed, that it can tell is no proof that it was wrong; but what SQLite finds, we have found. */
static void compare_with_own(struct world *w, const struct diff_result *r)
{
	char *path = file_join(w->p.dir, "own");
	int changes = 0, fd = -1, rc;
	uint64_t skipped, ours = 0;
	struct row_hash delta;
	struct source_digest now, is;
	struct changeset c;

	unlink(path);
	ok(file_open(&fd, path, O_RDWR | O_CREAT, 0600));
	c = (struct changeset){ .fd = fd, .size = (uint64_t)own_comparison(&w->p, &changes, fd) };
	image_digest(&now, w->p.now);
	c.sequences = now.sequences;
	c.n_sequences = now.n_sequences;
	copy_file(w->p.base, w->p.copy);
	rc = apply_to(&delta, &skipped, w->p.copy, &c, NULL);
	/* It has its own order, in which a UNIQUE value may not be free yet. */
	if (rc != KC_OK && rc != KC_ENEEDFULL)
		ok(rc);
	image_digest(&is, w->p.copy);
	if (rc == KC_OK)
		assert_string_equal(is.content, now.content);
	for (size_t i = 0; i < r->digest.n_tables; i++)
		ours += r->tables[i].inserted + r->tables[i].updated + r->tables[i].deleted;
	assert_int_equal(ours, changes);
	if (strcmp(now.content, w->p.digest.content) == 0)
		assert_int_equal(r->outcome, DIFF_SAME);
	source_digest_fini(&now);
	source_digest_fini(&is);
	close(fd);
	free(path);
	seen.compared++;
}

static void one_round(struct world *w)
{
	struct snapshot snap = SNAPSHOT_EMPTY;
	struct diff_result r;

	for (unsigned i = chance(6); i > 0; i--)
		change(w);
	ok(snapshot_take(&snap, w->source));
	copy_file(snap.path, w->p.now);
	snapshot_remove(&snap);
	w->p.quick = chance(3) > 0;
	pair_diff(&r, &w->p, 0, 0);
	note(w, &r);
	if (r.outcome != DIFF_FULL && comparable(w) && chance(3) == 0)
		compare_with_own(w, &r);
	diff_result_fini(&r);
	/* The next base: this snapshot. */
	copy_file(w->p.now, w->p.base);
	source_digest_fini(&w->p.digest);
	image_digest(&w->p.digest, w->p.base);
}

static void one_case(uint64_t seed)
{
	static const int sizes[] = { 512, 512, 1024, 1024, 2048, 4096, 4096, 4096, 8192, 16384, 32768, 65536 };
	static const char *const encodings[] = { "UTF-8", "UTF-8", "UTF-8", "UTF-16le", "UTF-16be" };
	struct world *w = mem_xalloc(sizeof(*w));

	state_of_chance = seed;
	pair_init(&w->p);
	w->plain = chance(2) == 0;
	w->page_size = sizes[chance(12)];
	snprintf(w->encoding, sizeof(w->encoding), "%s", encodings[chance(5)]);
	assert_int_equal(sqlite3_open(w->p.live, &w->live), SQLITE_OK);
	try_sql(w,
	    "PRAGMA page_size=%d; PRAGMA encoding=%Q; PRAGMA auto_vacuum=%u; PRAGMA journal_mode=%s; PRAGMA "
	    "synchronous=OFF; PRAGMA secure_delete=%u; PRAGMA foreign_keys=ON; BEGIN",
	    w->page_size, w->encoding, chance(3), chance(2) ? "WAL" : "DELETE", chance(2));
	w->n = 1 + (int)chance(MAX_TABLES);
	for (int i = 0; i < w->n; i++)
		make_table(w, &w->tables[i], i);
	for (int i = 0; i < w->n; i++)
		insert(w, &w->tables[i], w->tables[i].rows, "IGNORE");
	if (chance(5) == 0) /* rows that are shorter than the table is wide */
		try_sql(w, "ALTER TABLE t0 ADD COLUMN late DEFAULT 'as it was'");
	try_sql(w, "COMMIT");
	w->source = fix_open(w->p.live, false);
	pair_take_base(&w->p);
	for (unsigned i = 1 + chance(4); i > 0; i--)
		one_round(w);
	source_close(w->source);
	assert_int_equal(sqlite3_close(w->live), SQLITE_OK);
	pair_end(&w->p);
	free(w);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void diff__random_changes__exact_or_full(void **state)
{
	uint64_t cases = number_of("KC_DIFF_CASES", CASES), seed, i;

	(void)state;
	mem_random(&seed, sizeof(seed));
	seed = number_of("KC_DIFF_SEED", seed % 1000000000);
	printf("KC_DIFF_SEED=%" PRIu64 " KC_DIFF_CASES=%" PRIu64 "\n", seed, cases);
	for (i = 0; i < cases; i++) {
		/* stays the last line if the case fails */
		printf("\rcase of seed %" PRIu64 " ", seed + i);
		fflush(stdout);
		one_case(seed + i);
	}
	printf("\r%u rounds: %u the same, %u changes, %u full (%u of them plain); %u compared with SQLite's own\n",
	    seen.rounds, seen.same, seen.changes, seen.full, seen.plain_full, seen.compared);
	for (i = 0; i < 64 && seen.reasons[i].n > 0; i++)
		printf("%6u %s\n", seen.reasons[i].n, seen.reasons[i].why);
	if (cases < 100)
		return;
	/* It must not be by needing a full that it holds. */
	assert_true(seen.full * 100 < seen.rounds * 40);
	assert_true(seen.changes * 100 > seen.rounds * 40);
	assert_true(seen.same > 0 && seen.full > 0 && seen.compared * 100 > seen.rounds * 5);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(diff__random_changes__exact_or_full) };

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
