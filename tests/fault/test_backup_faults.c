/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults under backups: the n-th call of a system call fails, for n = 1, 2, 3… until it is not reached any more, in our
 * own code (--wrap) and in SQLite's (its table of system calls). Whatever happens: a clone's database is the old one or
 * the new one and sound; a backup folder has a whole backup or nothing.
 */
#include "../unit/backup_fixture.h"
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/staging.h"
#include "backup/system.h"
#include "backup/verify.h"
#include "base/file.h"
#include "base/log.h"

static struct fixture fix;
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

static size_t files_in(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	size_t n = 0;

	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
	closedir(d);
	return n;
}

static const char *const calls[] = { "write", "pwrite", "fsync", "rename", "open", "sqlite pwrite", "sqlite ftruncate",
	"sqlite open", "sqlite unlink" };
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

/* Every call while few, then ever larger steps: a restore writes many pages. */
static int next(int n)
{
	return n < 24 ? n + 1 : n + n / 6;
}

static void create__nth_call_fails__whole_backup_or_none(void **state)
{
	struct fix_kind kind = { "wal", 4096, "UTF-8", 0 };
	struct create_options o = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 1,
		.host = "h",
		.product = "p",
		.level = 1,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key };
	struct image_options io = { .password = FIX_PASSWORD, .pins = &fix.pins, .staging = fix.dir };
	size_t i;
	int n;

	(void)state;
	fix_make_database(fix.master, &kind, 300, 1);
	for (i = 0; i < N_CALLS; i++)
		for (n = 0;; n = next(n)) {
			struct create_result r = { 0 };
			struct verify_result v;
			int rc;

			o.source = fix_open(fix.master, false);
			fault_arm(calls[i], n);
			rc = backup_create(&r, &o);
			fault_disarm();
			source_close(o.source);
			if (rc == KC_OK) {
				io.file = r.path;
				ok(backup_verify(&v, &io));
				verify_result_fini(&v);
				unlink(r.path);
			} else if (files_in(fix.backups) != 0) {
				fail_msg("%s %d: something is left", calls[i], n);
			}
			assert_int_equal(file_remove_tree(fix.backups) | file_make_dirs(fix.backups), KC_OK);
			create_result_fini(&r);
			if (!fault_fired)
				break;
		}
}

static void system__nth_call_fails__whole_backup_or_none(void **state)
{
	struct system_options o = {
		.dir = fix.backups, .level = 1, .logn = 15, .password = FIX_PASSWORD, .key = fix.key
	};
	struct system_contents c, back;
	size_t i;
	int n;

	(void)state;
	system_init(&c);
	memcpy(c.lineage, FIX_LINEAGE, sizeof(c.lineage));
	c.generation = 1;
	c.host = strdup("h");
	c.product = strdup("p");
	ok(system_add(&c, SYSTEM_CONFIG "keyclone.properties", 0600, "a=b\n", 4));
	ok(system_add(&c, SYSTEM_SECRETS "seal.key", 0600, "0123", 4));
	for (i = 0; i < N_CALLS; i++)
		for (n = 0;; n = next(n)) {
			struct system_result r = { 0 };
			int rc;

			fault_arm(calls[i], n);
			rc = system_create(&r, &c, &o);
			fault_disarm();
			if (rc == KC_OK) {
				ok(system_open(&back, r.path, FIX_PASSWORD, &fix.pins));
				system_fini(&back);
				unlink(r.path);
			} else if (files_in(fix.backups) != 0) {
				fail_msg("%s %d: something is left", calls[i], n);
			}
			system_result_fini(&r);
			if (!fault_fired)
				break;
		}
	system_fini(&c);
}

static void restore__nth_call_fails__old_or_new(void **state)
{
	static const struct fix_kind kinds[] = { { "wal", 4096, "UTF-8", 0 }, { "delete", 4096, "UTF-8", 0 } };
	size_t i, k;
	int n;

	(void)state;
	for (k = 0; k < 2; k++) {
		char old[SOURCE_DIGEST_LEN + 1], now[SOURCE_DIGEST_LEN + 1];
		struct create_result r;

		fix_remove_database(fix.master);
		fix_make_database(fix.master, &kinds[k], 1200, 2);
		fix_backup(&fix, &r, fix.master, k + 1);
		for (i = 0; i < N_CALLS; i++)
			for (n = 0;; n = next(n)) {
				struct restore_options o;
				struct restore_result result;
				enum restore_outcome outcome;
				struct source *live;
				char *travel;
				int rc;

				fix_remove_database(fix.clone);
				fix_make_database(fix.clone, &kinds[k], 200, 1);
				fix_digest(old, fix.clone);
				live = fix_open(fix.clone, true);
				fix_restore_options(&fix, &o, &travel, &r, live, old);
				fault_arm(calls[i], n);
				rc = backup_restore(&result, &o);
				fault_disarm();
				restore_result_fini(&result);
				source_close(live);
				/* The next start. */
				ok(staging_clean(fix.clone));
				live = fix_open(fix.clone, true);
				ok(restore_resolve(&outcome, live, old, r.content, r.schema));
				if (rc == KC_OK)
					assert_int_equal(outcome, RESTORE_APPLIED);
				assert_int_not_equal(outcome, RESTORE_NEITHER);
				fix_digest(now, fix.clone);
				assert_string_equal(now, outcome == RESTORE_APPLIED ? r.content : old);
				assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
				fix_restore(&fix, &r, live, old);
				source_close(live);
				free(travel);
				if (!fault_fired)
					break;
			}
		create_result_fini(&r);
	}
}

static void quiet(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)text;
	(void)arg;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(create__nth_call_fails__whole_backup_or_none),
		T(system__nth_call_fails__whole_backup_or_none),
		T(restore__nth_call_fails__old_or_new),
	};

	log_set_sink(quiet, NULL);
	faults_hook_sqlite();
	return cmocka_run_group_tests_name("backup faults", tests, NULL, NULL);
}
