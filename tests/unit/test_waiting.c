/* SPDX-License-Identifier: Apache-2.0 */
/* waiting: keys that are held until a backup has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keydb/keydb.h"
#include "keydb/master.h"
#include "keydb/waiting.h"

#define X "0123456789abcdef0123456789abcdef"
#define Y "fedcba9876543210fedcba9876543210"

#define ok(call)                                                                         \
	do {                                                                             \
		int ok_rc = (call);                                                      \
		if (ok_rc != KC_OK)                                                      \
			fail_msg("%s: %s: %s", #call, err_name(ok_rc), err_text(ok_rc)); \
	} while (0)

struct world {
	char dir[64];
	char *path, *master, *list, *snapshot;
	struct keydb *db;
	struct waiting *w;
};

static void begin(struct world *x)
{
	memset(x, 0, sizeof(*x));
	strcpy(x->dir, "/tmp/kc-waiting-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->path = file_join(x->dir, "keydb.sqlite");
	x->master = file_join(x->dir, "keydb.key");
	x->list = file_join(x->dir, ".keyclone/waiting.sqlite");
	x->snapshot = file_join(x->dir, "snapshot.sqlite");
	ok(master_create(x->master));
	ok(keydb_create(x->path));
	ok(keydb_open(&x->db, x->path, x->master));
	ok(waiting_open(&x->w, x->list, true));
	keydb_use_waiting(x->db, x->w, true);
}

static void end(struct world *x)
{
	keydb_close(x->db);
	waiting_close(x->w);
	ok(file_remove_tree(x->dir));
	free(x->path);
	free(x->master);
	free(x->list);
	free(x->snapshot);
}

static void generate(struct world *x, const char *alias)
{
	struct keydb_generated made;

	ok(keydb_begin(x->db));
	ok(keydb_generate(&made, x->db, &(struct keydb_new){ .alias = alias, .count = 1 }));
	assert_true(made.last.held);
	ok(keydb_commit(x->db));
}

/* As a worker does: a copy of the database as it is now. */
static void snapshot(struct world *x)
{
	sqlite3 *db = NULL;
	char sql[200];

	file_remove(x->snapshot);
	snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", x->snapshot);
	assert_int_equal(sqlite3_open(x->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static bool held(struct world *x, const char *alias)
{
	struct keydb_key key;

	ok(keydb_get(&key, x->db, alias));
	return key.held;
}

static void export__held_key__refused_until_released(void **state)
{
	struct world x;
	struct keydb_key key;
	uint8_t *material = NULL;
	uint64_t n = 0;
	size_t size = 0;

	(void)state;
	begin(&x);
	generate(&x, "one");
	ok(keydb_get(&key, x.db, "one"));
	assert_true(key.held);
	assert_int_equal(keydb_export(&material, &size, x.db, &key), KC_EPERM);
	snapshot(&x);
	ok(waiting_mark(x.w, x.snapshot, X, 1));
	assert_true(held(&x, "one"));
	ok(waiting_release(&n, x.w, X, 1));
	assert_int_equal(n, 1);
	assert_false(held(&x, "one"));
	ok(keydb_export(&material, &size, x.db, &key));
	mem_secret_free(material);
	end(&x);
}

static void release__newer_keys__stay_held(void **state)
{
	struct world x;
	uint64_t n = 0;

	(void)state;
	begin(&x);
	generate(&x, "one");
	snapshot(&x);
	generate(&x, "two"); /* after the snapshot of generation 1 */
	ok(waiting_mark(x.w, x.snapshot, X, 1));
	ok(waiting_release(&n, x.w, X, 1));
	assert_int_equal(n, 1);
	assert_true(held(&x, "two"));
	snapshot(&x);
	generate(&x, "three");
	ok(waiting_mark(x.w, x.snapshot, X, 2));
	generate(&x, "four");
	snapshot(&x);
	ok(waiting_mark(x.w, x.snapshot, X, 3));
	ok(waiting_release(&n, x.w, X, 2));
	assert_false(held(&x, "two"));
	assert_true(held(&x, "three"));
	ok(waiting_release(&n, x.w, X, 3));
	assert_int_equal(n, 2);
	assert_false(held(&x, "four"));
	end(&x);
}

static void mark__in_an_older_backup__keeps_that(void **state)
{
	struct world x;
	uint64_t n = 0;

	(void)state;
	begin(&x);
	generate(&x, "one");
	snapshot(&x);
	ok(waiting_mark(x.w, x.snapshot, X, 1));
	ok(waiting_mark(x.w, x.snapshot, X, 2));
	ok(waiting_release(&n, x.w, X, 1));
	assert_int_equal(n, 1);
	end(&x);
}

static void release__another_lineage__marks_do_not_count(void **state)
{
	struct world x;
	uint64_t n = 0;

	(void)state;
	begin(&x);
	generate(&x, "one");
	snapshot(&x);
	ok(waiting_mark(x.w, x.snapshot, X, 1));
	ok(waiting_release(&n, x.w, Y, 7));
	assert_int_equal(n, 0);
	ok(waiting_mark(x.w, x.snapshot, Y, 7));
	ok(waiting_release(&n, x.w, Y, 7));
	assert_int_equal(n, 1);
	end(&x);
}

static void abort__generated_key__is_not_listed(void **state)
{
	struct world x;
	struct keydb_generated made;
	struct keydb_key key;
	bool has = true;

	(void)state;
	begin(&x);
	ok(keydb_begin(x.db));
	ok(keydb_generate(&made, x.db, &(struct keydb_new){ .alias = "gone", .count = 1 }));
	keydb_abort(x.db);
	ok(waiting_has(&has, x.w, made.last.uuid));
	assert_false(has);
	assert_int_equal(keydb_get(&key, x.db, "gone"), KC_ENOENT);
	end(&x);
}

static void import__held_like_generated(void **state)
{
	struct world x;
	struct keydb_key key;
	uint64_t n = 0;

	(void)state;
	begin(&x);
	ok(keydb_begin(x.db));
	ok(keydb_import(&key, x.db, &(struct keydb_new){ .alias = "in", .algorithm = "AES-256" }, KEYDB_SYMMETRIC, NULL,
	    "0123456789abcdef0123456789abcdef", 32));
	ok(keydb_commit(x.db));
	assert_true(held(&x, "in"));
	snapshot(&x);
	ok(waiting_release_snapshot(&n, x.w, x.snapshot));
	assert_int_equal(n, 1);
	assert_false(held(&x, "in"));
	end(&x);
}

static void open__no_list__nothing_is_held(void **state)
{
	struct world x;
	struct waiting *w = NULL;

	(void)state;
	begin(&x);
	generate(&x, "one");
	keydb_use_waiting(x.db, NULL, true);
	assert_false(held(&x, "one"));
	keydb_use_waiting(x.db, x.w, false);
	assert_true(held(&x, "one"));
	ok(waiting_clear(x.w));
	assert_false(held(&x, "one"));
	assert_int_equal(waiting_open(&w, "/nowhere/waiting.sqlite", false), KC_ENOENT);
	end(&x);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(export__held_key__refused_until_released),
		cmocka_unit_test(release__newer_keys__stay_held),
		cmocka_unit_test(mark__in_an_older_backup__keeps_that),
		cmocka_unit_test(release__another_lineage__marks_do_not_count),
		cmocka_unit_test(abort__generated_key__is_not_listed),
		cmocka_unit_test(import__held_like_generated),
		cmocka_unit_test(open__no_list__nothing_is_held),
	};

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
