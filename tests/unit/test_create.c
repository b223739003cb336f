/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of create and verify. */
#include "backup_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/verify.h"
#include "base/file.h"
#include "base/mem.h"

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

static void master_key_file__is_there_before_the_rows(void **state)
{
	char *from = file_join(fix.dir, "m/keydb.key"), *to = file_join(fix.dir, "c/other.key");
	struct create_options co = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 1,
		.host = "h",
		.product = "p",
		.level = 3,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key,
		.master_key_file = from };
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	struct stat st;
	struct buf b;
	char *travel;

	(void)state;
	fix_make_database(fix.master, &usual, 10, 1);
	ok(file_replace(from, "old and new", 11, 0600));
	co.source = fix_open(fix.master, false);
	ok(backup_create(&r, &co));
	source_close(co.source);
	live = fix_open(fix.clone, true);
	fix_restore_options(&fix, &o, &travel, &r, live, NULL);
	fails(KC_ECONF, backup_restore(&result, &o));
	restore_result_fini(&result);
	o.master_key_file = "/nonexistent/folder/key";
	fails(KC_ENOENT, backup_restore(&result, &o));
	restore_result_fini(&result);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM sqlite_master"), "0");
	o.master_key_file = to;
	ok(backup_restore(&result, &o));
	restore_result_fini(&result);
	buf_init(&b, 100);
	ok(file_read(&b, to));
	assert_string_equal(buf_str(&b), "old and new");
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* One that has grown keeps its newer keys. */
	ok(file_replace(to, "old and new and newer", 21, 0600));
	ok(backup_restore(&result, &o));
	restore_result_fini(&result);
	buf_reset(&b);
	ok(file_read(&b, to));
	assert_string_equal(buf_str(&b), "old and new and newer");
	buf_fini(&b);
	free(travel);
	free(from);
	free(to);
	source_close(live);
	create_result_fini(&r);
}

static void create__unchanged__makes_nothing(void **state)
{
	struct create_options o = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 2,
		.host = "h",
		.product = "p",
		.level = 1,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key };
	struct create_prepared *prepared = NULL;
	struct create_result r, again;
	struct store_entry *e;
	size_t n;

	(void)state;
	fix_make_database(fix.master, &usual, 10, 1);
	fix_backup(&fix, &r, fix.master, 1);
	o.source = fix_open(fix.master, false);
	o.unless_content = r.content;
	o.unless_schema = r.schema;
	ok(backup_prepare(&prepared, FIX_PASSWORD, 15));
	o.prepared = &prepared;
	ok(backup_create(&again, &o));
	assert_true(again.unchanged);
	assert_non_null(prepared);
	assert_string_equal(again.content, r.content);
	create_result_fini(&again);
	fix_sql(fix.master, "CREATE INDEX i ON keys(mark)");
	ok(backup_create(&again, &o));
	assert_false(again.unchanged);
	assert_null(prepared);
	create_result_fini(&again);
	ok(store_list(&e, &n, fix.backups));
	assert_int_equal(n, 2);
	assert_int_equal(e[1].name.generation, 2);
	store_list_free(e, n);
	source_close(o.source);
	create_result_fini(&r);
}

static int seen_phases;
static uint64_t seen_bytes;
static unsigned seen_percent;
static int on_create(void *arg, const struct create_progress *p)
{
	seen_phases |= 1 << p->phase;
	assert_true(p->percent >= seen_percent);
	seen_percent = p->percent;
	if (p->phase == CREATE_WRITE) {
		assert_true(p->bytes >= seen_bytes && p->bytes >= p->header_size);
		assert_true(file_exists(p->path));
		assert_int_equal(strlen(p->file_id), 32);
		seen_bytes = p->bytes;
		if (arg != NULL)
			return KC_ECANCELED;
	}
	return KC_OK;
}

static void create__progress__may_cancel_and_leaves_nothing(void **state)
{
	struct create_options o = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 2,
		.host = "h",
		.product = "p",
		.level = 1,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key,
		.progress = on_create };
	struct create_result r;
	struct stat st;

	(void)state;
	fix_make_database(fix.master, &usual, 5000, 1);
	o.source = fix_open(fix.master, false);
	o.arg = &o;
	fails(KC_ECANCELED, backup_create(&r, &o));
	assert_int_equal(rmdir(fix.backups), 0); /* empty */
	ok(file_make_dirs(fix.backups));
	o.arg = NULL;
	seen_phases = 0;
	seen_bytes = 0;
	seen_percent = 0;
	ok(backup_create(&r, &o));
	assert_int_equal(seen_phases, 15);
	assert_int_equal(stat(r.path, &st), 0);
	assert_int_equal(st.st_size, r.size);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(seen_bytes, r.size);
	create_result_fini(&r);
	/* A named output is never overwritten. */
	o.output = fix.master;
	fails(KC_EEXIST, backup_create(&r, &o));
	source_close(o.source);
}

static void create__damaged_database__is_not_shipped(void **state)
{
	struct create_options o = { .dir = fix.backups,
		.lineage = FIX_LINEAGE,
		.generation = 2,
		.host = "h",
		.product = "p",
		.level = 1,
		.logn = 15,
		.password = FIX_PASSWORD,
		.key = fix.key };
	struct create_result r;
	struct fix_kind kind = { "delete", 1024, "UTF-8", 0 };
	int fd, i;

	(void)state;
	fix_make_database(fix.master, &kind, 3000, 1);
	fd = open(fix.master, O_RDWR);
	/* The number of cells in index pages: the digest does not look there, quick_check does. */
	for (i = 3; i < 400; i++) {
		uint8_t type;

		if (pread(fd, &type, 1, i * 1024L) == 1 && type == 10) {
			assert_int_equal(pwrite(fd, "\x0a\x00\x05\x7f\x00", 5, i * 1024L), 5);
			break;
		}
	}
	close(fd);
	o.source = fix_open(fix.master, false);
	fails(KC_EDAMAGED, backup_create(&r, &o));
	if (strstr(err_text(KC_EDAMAGED), fix.master) == NULL)
		fail_msg("%s", err_text(KC_EDAMAGED));
	assert_int_equal(rmdir(fix.backups), 0);
	source_close(o.source);
}

static void verify__good_and_bad_passwords_and_signers(void **state)
{
	struct image_options o = { .password = FIX_PASSWORD, .pins = &fix.pins };
	struct sign_pins none = { NULL, 0 };
	struct sign_pin other = { .comment = (char *)"" };
	struct sign_pins others = { &other, 1 };
	struct verify_result v;
	struct create_result r;

	(void)state;
	fix_make_database(fix.master, &usual, 100, 1);
	fix_backup(&fix, &r, fix.master, 5);
	o.file = r.path;
	o.staging = fix.dir;
	ok(backup_verify(&v, &o));
	assert_int_equal(v.generation, 5);
	assert_int_equal(v.rows, r.rows);
	assert_string_equal(v.content, r.content);
	assert_string_equal(v.host, "master.example");
	verify_result_fini(&v);
	o.password = "wrong";
	fails(KC_EPASSWORD, backup_verify(&v, &o));
	assert_non_null(strstr(err_text(KC_EPASSWORD), r.path));
	o.password = FIX_PASSWORD;
	o.pins = &none;
	fails(KC_ESIGNATURE, backup_verify(&v, &o));
	mem_random(other.pub.key, 32);
	o.pins = &others;
	fails(KC_ESIGNATURE, backup_verify(&v, &o));
	memcpy(other.pub.number, fix.pin.pub.number, 8); /* the right number under another key */
	fails(KC_ESIGNATURE, backup_verify(&v, &o));
	o.pins = &fix.pins;
	o.lineage = "ffffffffffffffffffffffffffffffff";
	fails(KC_EFOREIGN, backup_verify(&v, &o));
	o.lineage = NULL;
	o.generation = 6;
	fails(KC_ESTALE, backup_verify(&v, &o));
	create_result_fini(&r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(master_key_file__is_there_before_the_rows),
		T(create__unchanged__makes_nothing),
		T(create__progress__may_cancel_and_leaves_nothing),
		T(create__damaged_database__is_not_shipped),
		T(verify__good_and_bad_passwords_and_signers),
	};

	return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
