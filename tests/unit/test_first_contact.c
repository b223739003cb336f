/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the first restore into a database: missing, empty, of another layout, not empty. */
#include "backup_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fixture fix;
static const struct fix_kind usual = { "wal", 4096, "UTF-8", 0 };

static int setup(void **state)
{
	(void)state;
	fix_init(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_fini(&fix);
	return 0;
}

/* The clone is what the master is: rows, integrity, layout. */
static void assert_like_master(const char *what)
{
	static const char *const questions[] = { "PRAGMA page_size", "PRAGMA encoding", "PRAGMA auto_vacuum",
		"PRAGMA user_version", "PRAGMA journal_mode", "SELECT count(*) FROM sqlite_master",
		"SELECT count(*) FROM sqlite_stat1" };
	char a[SOURCE_DIGEST_LEN + 1], b[SOURCE_DIGEST_LEN + 1], master[256];
	size_t i;

	fix_digest(a, fix.master);
	fix_digest(b, fix.clone);
	if (strcmp(a, b) != 0)
		fail_msg("%s: other rows", what);
	assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		snprintf(master, sizeof(master), "%s", fix_query(fix.master, questions[i]));
		if (strcmp(master, fix_query(fix.clone, questions[i])) != 0)
			fail_msg("%s: %s is %s, the master's is %s", what, questions[i],
			    fix_query(fix.clone, questions[i]), master);
	}
}

static void first_contact__missing_file__becomes_the_master(void **state)
{
	static const struct fix_kind kinds[] = { { "wal", 4096, "UTF-8", 0 }, { "delete", 512, "UTF-8", 1 },
		{ "truncate", 65536, "UTF-16le", 2 }, { "persist", 1024, "UTF-16be", 0 }, { "wal", 512, "UTF-16le", 2 },
		{ "wal", 65536, "UTF-8", 1 } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct create_result r;
		struct source *live;

		fix_remove_database(fix.master);
		fix_remove_database(fix.clone);
		fix_make_database(fix.master, &kinds[i], 150, (int)i);
		fix_backup(&fix, &r, fix.master, i + 1);
		live = fix_open(fix.clone, true);
		fix_restore(&fix, &r, live, NULL);
		source_close(live);
		assert_like_master(kinds[i].journal);
		create_result_fini(&r);
	}
}

static void first_contact__empty_of_other_layout__becomes_the_master(void **state)
{
	static const struct fix_kind kinds[] = { { "wal", 4096, "UTF-8", 0 }, { "delete", 512, "UTF-8", 1 },
		{ "wal", 65536, "UTF-16le", 2 }, { "persist", 1024, "UTF-16be", 0 } };
	size_t i, j;

	(void)state;
	for (i = 0; i < 4; i++)
		for (j = 0; j < 4; j++) {
			struct create_result r;
			struct source *live;
			char what[64];

			fix_remove_database(fix.master);
			fix_remove_database(fix.clone);
			fix_make_database(fix.master, &kinds[i], 60, 1);
			fix_make_database(fix.clone, &kinds[j], 1, 1);
			fix_sql(fix.clone, "DELETE FROM keys; DELETE FROM log; DELETE FROM plain; DELETE FROM pairs; "
					   "DELETE FROM made; DELETE FROM sqlite_sequence");
			fix_backup(&fix, &r, fix.master, 1 + i * 4 + j);
			live = fix_open(fix.clone, true);
			fix_restore(&fix, &r, live, NULL);
			source_close(live);
			snprintf(what, sizeof(what), "kind %zu into %zu", i, j);
			assert_like_master(what);
			create_result_fini(&r);
		}
}

static void first_contact__rows_the_full_has__are_no_divergence(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	char *travel, sql[512];

	(void)state;
	fix_make_database(fix.master, &usual, 50, 1);
	snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", fix.clone);
	fix_sql(fix.master, sql);
	fix_sql(
	    fix.clone, "PRAGMA journal_mode=WAL; DELETE FROM keys WHERE rowid>10; DELETE FROM pairs; DROP TABLE log");
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore(&fix, &r, live, NULL);
	/* A value that would be lost is. */
	fix_sql(fix.clone, "UPDATE keys SET alias='renamed' WHERE rowid=4");
	fix_restore_options(&fix, &o, &travel, &r, live, NULL);
	fails(KC_EDIVERGED, backup_restore(&result, &o));
	assert_int_equal(result.diverged.live_only, 1);
	restore_result_fini(&result);
	free(travel);
	source_close(live);
	create_result_fini(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(first_contact__missing_file__becomes_the_master),
		T(first_contact__empty_of_other_layout__becomes_the_master),
		T(first_contact__rows_the_full_has__are_no_divergence),
	};

	return cmocka_run_group_tests_name("first contact", tests, NULL, NULL);
}
