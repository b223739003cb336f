/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of images of increments: the full and all increments in between are found, proved and put together. */
#include "increment_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/image.h"
#include "backup/verify.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static struct fixture fix;
static struct fix_master master;
static const struct fix_kind usual = { "wal", 4096, "UTF-8", 0 };

static int setup(void **state)
{
	(void)state;
	fix_init(&fix);
	fix_make_database(fix.master, &usual, 50, 1);
	fix_master_init(&master, &fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_master_fini(&master);
	fix_fini(&fix);
	return 0;
}

#define LEN 6
struct made {
	char *path[LEN + 1]; /* from 1 */
	char content[LEN + 1][SOURCE_DIGEST_LEN + 1];
	uint64_t rows[LEN + 1];
};

/* Generation 1 is the full. */
static void make_chain(struct made *made)
{
	memset(made, 0, sizeof(*made));
	for (size_t i = 1; i <= LEN; i++) {
		struct create_result r;

		if (i == 1)
			fix_master_full(&master, &r);
		else
			fix_master_increment(&master, &r);
		made->path[i] = mem_xstrdup(r.path);
		STR_COPY(made->content[i], r.content);
		made->rows[i] = r.rows;
		create_result_fini(&r);
		fix_sql(fix.master, "INSERT INTO keys(uuid, mark) VALUES(hex(randomblob(8)), 1); INSERT INTO log(mark) "
				    "VALUES(2); DELETE FROM pairs WHERE n=(SELECT min(n) FROM pairs)");
	}
}

static void free_chain(struct made *made)
{
	for (size_t i = 1; i <= LEN; i++)
		free(made->path[i]);
}

static struct image_options with_password(const char *file)
{
	return (struct image_options){
		.file = file, .password = FIX_PASSWORD, .pins = &fix.pins, .lineage = FIX_LINEAGE, .staging = fix.dir
	};
}

static size_t staged(void)
{
	DIR *d = opendir(fix.dir);
	struct dirent *e;
	size_t n = 0;

	while ((e = readdir(d)) != NULL)
		n += strlen(e->d_name) == 16;
	closedir(d);
	return n;
}

static void fails_with(int code, const char *file, const char *text)
{
	struct image_options o = with_password(file);
	struct image *img;
	int rc = image_open(&img, &o);

	if (rc != code || strstr(err_text(rc), text) == NULL)
		fail_msg("%s: %s instead of %s, %s", err_name(rc), err_text(rc), err_name(code), text);
	assert_int_equal(staged(), 0);
}

static unsigned percent;
static int on_progress(void *arg, unsigned p)
{
	(void)arg;
	assert_true(p >= percent && p <= 100);
	percent = p;
	return KC_OK;
}

static void image__of_each_increment__is_the_database_as_it_was(void **state)
{
	struct made made;

	(void)state;
	make_chain(&made);
	for (size_t i = 1; i <= LEN; i++) {
		struct image_options o = with_password(made.path[i]);
		struct image *img;
		char now[SOURCE_DIGEST_LEN + 1];

		percent = 0;
		o.generation = i;
		o.progress = on_progress;
		ok(image_open(&img, &o));
		assert_true(percent >= 80);
		ok(image_recount(img));
		assert_int_equal(image_manifest(img)->generation, i);
		assert_int_equal(image_manifest(img)->kind, MANIFEST_FULL);
		assert_string_equal(image_manifest(img)->db.content_digest, made.content[i]);
		fix_digest(now, image_database(img));
		assert_string_equal(now, made.content[i]);
		assert_string_equal(fix_query(image_database(img), "PRAGMA integrity_check"), "ok");
		assert_non_null(image_increments(img));
		image_close(img);
		assert_int_equal(staged(), 0);
	}
	free_chain(&made);
}

static void verify__of_an_increment__proves_its_chain(void **state)
{
	struct image_options o;
	struct verify_result v;
	struct made made;

	(void)state;
	make_chain(&made);
	o = with_password(made.path[LEN]);
	ok(backup_verify(&v, &o));
	assert_int_equal(v.generation, LEN);
	assert_int_equal(v.rows, made.rows[LEN]);
	assert_string_equal(v.content, made.content[LEN]);
	verify_result_fini(&v);
	o.password = "wrong";
	fails(KC_EPASSWORD, backup_verify(&v, &o));
	o.password = FIX_PASSWORD;
	o.generation = LEN - 1;
	fails(KC_ESTALE, backup_verify(&v, &o));
	free_chain(&made);
}

static void image__by_travel_header_of_the_full__opens_all(void **state)
{
	struct image_options o;
	struct image *img;
	struct made made;

	(void)state;
	make_chain(&made);
	o = with_password(made.path[3]);
	o.password = NULL;
	o.travel = master.travel;
	o.identity = fix.identity;
	ok(image_open(&img, &o));
	assert_string_equal(image_manifest(img)->db.content_digest, made.content[3]);
	image_close(img);
	free_chain(&made);
}

static void restore__of_an_increment_by_hand__is_that_generation(void **state)
{
	struct source *live = fix_open(fix.clone, true);
	struct restore_options o = { .live = live };
	struct restore_result result;
	struct made made;
	char now[SOURCE_DIGEST_LEN + 1];

	(void)state;
	make_chain(&made);
	for (size_t i = LEN; i >= 2; i -= 2) {
		o.image = with_password(made.path[i]);
		o.discard = true;
		ok(backup_restore(&result, &o));
		assert_int_equal(result.generation, i);
		assert_int_equal(result.chain, 1);
		assert_int_equal(result.rows, made.rows[i]);
		assert_string_equal(result.changes, "");
		restore_result_fini(&result);
		fix_digest(now, fix.clone);
		assert_string_equal(now, made.content[i]);
	}
	source_close(live);
	free_chain(&made);
}

static void image__missing_link__is_named(void **state)
{
	struct made made;
	char *aside = file_join(fix.dir, "aside"), *other;

	(void)state;
	make_chain(&made);
	assert_int_equal(rename(made.path[4], aside), 0);
	fails_with(KC_ENOENT, made.path[6], "generation 4");
	fails_with(KC_ENOENT, made.path[5], made.path[5]);
	assert_int_equal(rename(aside, made.path[4]), 0);
	assert_int_equal(rename(made.path[2], aside), 0);
	fails_with(KC_ENOENT, made.path[6], "generation 2");
	assert_int_equal(rename(aside, made.path[2]), 0);
	assert_int_equal(rename(made.path[1], aside), 0);
	fails_with(KC_ENOENT, made.path[6], "the full backup that it builds on is not beside it");
	assert_int_equal(rename(aside, made.path[1]), 0);
	/* By another name nothing is beside it. */
	other = file_join(fix.backups, "copy.age");
	assert_int_equal(link(made.path[3], other), 0);
	fails_with(KC_EFORMAT, other, "by names that backups have");
	unlink(other);
	free(other);
	free(aside);
	free_chain(&made);
}

static void damage(const char *path)
{
	struct buf b;

	buf_init(&b, 1u << 24);
	ok(file_read(&b, path));
	((uint8_t *)(uintptr_t)buf_data(&b))[buf_len(&b) - 100] ^= 1;
	ok(file_replace(path, buf_data(&b), buf_len(&b), 0600));
	buf_fini(&b);
}

static void image__damaged_link__is_named(void **state)
{
	struct made made;

	(void)state;
	make_chain(&made);
	damage(made.path[3]);
	fails_with(KC_EDAMAGED, made.path[5], made.path[3]);
	damage(made.path[3]);
	assert_int_equal(truncate(made.path[2], 100), 0);
	fails_with(KC_ETRUNCATED, made.path[5], made.path[2]);
	free_chain(&made);
}

/* Its master ended before anybody knew of it: the next one has the same base. */
static void image__increment_that_nobody_builds_on__is_passed_over(void **state)
{
	struct create_result r, orphan, last;
	struct image_options o;
	struct image *img;

	(void)state;
	fix_master_full(&master, &r);
	create_result_fini(&r);
	fix_sql(fix.master, "UPDATE keys SET mark=2");
	fix_master_increment(&master, &r);
	create_result_fini(&r);
	fix_sql(fix.master, "UPDATE keys SET mark=3");
	master.lost = true;
	fix_master_increment(&master, &orphan);
	master.lost = false;
	ok(fix_master_restart(&master));
	fix_sql(fix.master, "UPDATE keys SET mark=4");
	fix_master_increment(&master, &r);
	create_result_fini(&r);
	fix_sql(fix.master, "UPDATE keys SET mark=5");
	fix_master_increment(&master, &last);
	assert_int_equal(last.generation, 5);
	o = with_password(last.path);
	ok(image_open(&img, &o));
	assert_string_equal(fix_query(image_database(img), "SELECT min(mark) + max(mark) FROM keys"), "10");
	image_close(img);
	/* It is right in itself. */
	o = with_password(orphan.path);
	ok(image_open(&img, &o));
	assert_string_equal(fix_query(image_database(img), "SELECT min(mark) + max(mark) FROM keys"), "6");
	image_close(img);
	create_result_fini(&orphan);
	create_result_fini(&last);
}

/* Of the same number: one of `backup create`, one of another database, one of another lineage, and what is none. */
static void image__foreign_files_in_between__are_left_alone(void **state)
{
	struct create_result r;
	struct create_options co;
	struct image_options o;
	struct image *img;
	struct made made;
	struct source *s;
	char *path;

	(void)state;
	make_chain(&made);
	s = fix_open(fix.master, false);
	for (uint64_t g = 1; g <= LEN; g++) {
		fix_create_options(&fix, &co, s, g);
		ok(backup_create(&r, &co));
		create_result_fini(&r);
		co.lineage = "89898989898989898989898989898989";
		ok(backup_create(&r, &co));
		create_result_fini(&r);
		co.lineage = FIX_LINEAGE;
		co.kind = STORE_SAFETY;
		ok(backup_create(&r, &co));
		create_result_fini(&r);
	}
	source_close(s);
	path = file_join(fix.backups, "keyclone-keys-01234567-0000000003-incr-notes");
	ok(file_replace(path, "x", 1, 0600));
	free(path);
	for (size_t i = 1; i <= LEN; i++) {
		o = with_password(made.path[i]);
		ok(image_open(&img, &o));
		assert_string_equal(image_manifest(img)->db.content_digest, made.content[i]);
		image_close(img);
	}
	free_chain(&made);
}

/* Two chains beside each other. */
static void image__after_the_next_full__builds_on_its_own(void **state)
{
	struct made first, second;
	struct image_options o;
	struct image *img;

	(void)state;
	make_chain(&first);
	make_chain(&second);
	for (size_t i = 1; i <= LEN; i++) {
		struct made *of[2] = { &first, &second };

		for (size_t k = 0; k < 2; k++) {
			o = with_password(of[k]->path[i]);
			ok(image_open(&img, &o));
			assert_string_equal(image_manifest(img)->db.content_digest, of[k]->content[i]);
			image_close(img);
		}
	}
	/* An increment of the second one under the number of a first one's. */
	unlink(first.path[6]);
	assert_int_equal(rename(second.path[3], first.path[6]), 0);
	fails_with(KC_EPASSWORD, first.path[6], "");
	/* Without the second full its increments seem to be of the first chain, and are not. */
	unlink(second.path[1]);
	fails_with(KC_EPASSWORD, second.path[2], second.path[2]);
	free_chain(&first);
	free_chain(&second);
}

/* A name may say another number than the signed manifest. */
static void image__renamed_increment__is_refused(void **state)
{
	struct made made;
	char *other;

	(void)state;
	make_chain(&made);
	other = mem_xstrdup(made.path[4]);
	memcpy(strstr(other, "0000000004"), "0000000009", 10);
	assert_int_equal(rename(made.path[4], other), 0);
	fails_with(KC_ESTALE, other, "is generation 4, not 9");
	fails_with(KC_ENOENT, made.path[5], "generation 4");
	free(other);
	free_chain(&made);
}

/* ---- companions ---- */

static void put(const char *name, const char *text)
{
	char *path = file_join(fix.dir, name);

	ok(file_replace(path, text, strlen(text), 0600));
	free(path);
}

static void assert_text(const char *path, const char *text)
{
	struct buf b;

	buf_init(&b, 1000);
	ok(file_read(&b, path));
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
}

static void step(const char *sql)
{
	struct create_result r;

	fix_sql(fix.master, sql);
	fix_master_increment(&master, &r);
	create_result_fini(&r);
}

static void image__companions_and_trees__are_of_the_right_member(void **state)
{
	static const struct {
		uint64_t generation;
		const char *key, *list;
	} cases[] = { { 1, "k1", "one" }, { 2, "k1", "one" }, { 3, "k1", "two" }, { 4, "k1k2", "two" },
		{ 5, "k1k2", "two" }, { 6, "k1k2k3", "three" }, { 7, "k1k2k3", "three" }, { 8, "k1k2k3", "four" } };
	char *key = file_join(fix.dir, "m/keydb.key"), *list = file_join(fix.dir, "m/list"),
	     *out = file_join(fix.dir, "c/list"), *key_out = file_join(fix.dir, "c/keydb.key");
	struct companion_path from = { "List", list }, to = { "List", out };
	struct store_entry *e;
	struct create_result r;
	size_t n;

	(void)state;
	master.master_key_file = key;
	master.companions = (struct companion_paths){ .of = &from, .n = 1 };
	put("m/keydb.key", "k1");
	put("m/list", "one");
	fix_master_full(&master, &r);
	create_result_fini(&r);
	step("UPDATE keys SET mark=2");
	put("m/list", "two");
	step("UPDATE keys SET mark=3");
	put("m/keydb.key", "k1k2");
	step("UPDATE keys SET mark=4");
	step("UPDATE keys SET mark=5");
	put("m/keydb.key", "k1k2k3");
	put("m/list", "three");
	step("UPDATE keys SET mark=6");
	step("UPDATE keys SET mark=7");
	put("m/list", "four");
	step("UPDATE keys SET mark=8");
	ok(store_list(&e, &n, fix.backups));
	assert_int_equal(n, 8);
	for (size_t i = 0; i < n; i++) {
		struct image_options io = with_password(e[i].path);
		struct restore_options o = { .image = io, .discard = true, .master_key_file = key_out };
		struct restore_result result;
		struct image *img;
		char *path;

		ok(image_open(&img, &io));
		assert_text(image_companion(img, IMAGE_MASTER_KEY_FILE), cases[i].key);
		assert_int_equal(image_manifest(img)->n_trees, 1);
		path = image_tree_file(img, 0, 0);
		assert_text(path, cases[i].list);
		free(path);
		image_close(img);
		assert_int_equal(staged(), 0);
		fix_remove_database(fix.clone);
		unlink(key_out);
		unlink(out);
		o.live = fix_open(fix.clone, true);
		o.companions = (struct companion_paths){ .of = &to, .n = 1 };
		ok(backup_restore(&result, &o));
		restore_result_fini(&result);
		source_close(o.live);
		assert_text(key_out, cases[i].key);
		assert_text(out, cases[i].list);
	}
	store_list_free(e, n);
	free(key);
	free(list);
	free(out);
	free(key_out);
}

#define MANY 300
/* Nothing that grows with their number is open at a time, whatever they bring. */
static void image__of_many_increments__opens_few_files(void **state)
{
	struct rlimit limit, few;
	char *list = file_join(fix.dir, "m/list");
	struct companion_path from = { "List", list };
	struct image_options o;
	struct create_result r;
	struct image *img;
	char *last = NULL;

	(void)state;
	master.companions = (struct companion_paths){ .of = &from, .n = 1 };
	put("m/list", "0");
	fix_master_full(&master, &r);
	create_result_fini(&r);
	for (unsigned i = 1; i <= MANY; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%u", i);
		if (i > MANY / 2) {
			put("m/list", text);
			master.companions.n = i % 3 != 0;
		}
		fix_sql(fix.master, "UPDATE keys SET mark=mark+1 WHERE rowid=1");
		fix_master_increment(&master, &r);
		free(last);
		last = mem_xstrdup(r.path);
		create_result_fini(&r);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = limit;
	few.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	o = with_password(last);
	ok(image_open(&img, &o));
	assert_string_equal(fix_query(image_database(img), "SELECT mark FROM keys WHERE rowid=1"), "301");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ok(image_recount(img));
	image_close(img);
	assert_int_equal(staged(), 0);
	free(last);
	free(list);
}

/* ---- image_files ---- */

static void files__of_a_full__is_itself(void **state)
{
	struct made made;
	char **paths;
	size_t n;

	(void)state;
	make_chain(&made);
	ok(image_files(&paths, &n, made.path[1]));
	assert_int_equal(n, 1);
	assert_string_equal(paths[0], made.path[1]);
	image_files_free(paths, n);
	free_chain(&made);
}

static void files__of_an_increment__is_its_chain_so_far(void **state)
{
	struct made made;
	char **paths;
	size_t n;

	(void)state;
	make_chain(&made);
	ok(image_files(&paths, &n, made.path[4]));
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(paths[i], made.path[i + 1]);
	image_files_free(paths, n);
	unlink(made.path[1]);
	fails(KC_ENOENT, image_files(&paths, &n, made.path[4]));
	assert_null(paths);
	assert_int_equal(n, 0);
	fails(KC_ENOENT, image_files(&paths, &n, made.path[1]));
	free_chain(&made);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(image__of_each_increment__is_the_database_as_it_was),
		T(verify__of_an_increment__proves_its_chain),
		T(image__by_travel_header_of_the_full__opens_all),
		T(restore__of_an_increment_by_hand__is_that_generation),
		T(image__missing_link__is_named),
		T(image__damaged_link__is_named),
		T(image__increment_that_nobody_builds_on__is_passed_over),
		T(image__foreign_files_in_between__are_left_alone),
		T(image__after_the_next_full__builds_on_its_own),
		T(image__renamed_increment__is_refused),
		T(image__companions_and_trees__are_of_the_right_member),
		T(image__of_many_increments__opens_few_files),
		T(files__of_a_full__is_itself),
		T(files__of_an_increment__is_its_chain_so_far),
	};

	return cmocka_run_group_tests_name("image chain", tests, NULL, NULL);
}
