/* SPDX-License-Identifier: Apache-2.0 */
/* test_tree: what is read of files and directories, its digest, its JSON, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/tree.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

static char dir[64];

static char *at(const char *name)
{
	static char path[4][300];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static void put(const char *name, const char *text)
{
	assert_int_equal(file_replace(at(name), text, strlen(text), 0640), KC_OK);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-tree-XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	mkdir(at("t"), 0700);
	mkdir(at("t/sub"), 0750);
	mkdir(at("t/empty"), 0700);
	put("t/b", "two");
	put("t/a-b", "");
	put("t/sub/x", "deep");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return file_remove_tree(dir);
}

static int walk(struct tree *t, const char *name, unsigned flags)
{
	struct tree_walk_options o = { .flags = flags };

	tree_init(t, "Tokens");
	return tree_walk(t, at(name), &o);
}

static void digest_of(char digest[TREE_DIGEST_LEN + 1], const char *name)
{
	struct tree t;

	assert_int_equal(walk(&t, name, TREE_READ | TREE_LAX), KC_OK);
	memcpy(digest, t.digest, sizeof(t.digest));
	tree_fini(&t);
}

static void walk__a_directory__lists_it_sorted(void **state)
{
	static const char *const paths[] = { "a-b", "b", "empty", "sub", "sub/x" };
	struct tree t;

	(void)state;
	assert_int_equal(walk(&t, "t", TREE_READ), KC_OK);
	assert_int_equal(t.kind, TREE_KIND_DIR);
	assert_int_equal(t.mode, 0700);
	assert_int_equal(t.n, 5);
	for (size_t i = 0; i < t.n; i++)
		assert_string_equal(t.entries[i].path, paths[i]);
	assert_int_equal(t.size, 7);
	assert_int_equal(tree_find(&t, "sub")->mode, 0750);
	assert_string_equal(
	    tree_find(&t, "b")->sha256, "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3");
	assert_null(tree_find(&t, "c"));
	assert_int_equal(tree_check(&t), KC_OK);
	tree_fini(&t);
}

static void walk__a_file_and_nothing__are_kinds_of_their_own(void **state)
{
	struct tree t;

	(void)state;
	assert_int_equal(walk(&t, "t/b", TREE_READ), KC_OK);
	assert_int_equal(t.kind, TREE_KIND_FILE);
	assert_string_equal(t.file, "b");
	assert_string_equal(t.entries[0].path, "");
	assert_int_equal(tree_check(&t), KC_OK);
	tree_fini(&t);
	assert_int_equal(walk(&t, "t/none", TREE_READ), KC_OK);
	assert_int_equal(t.kind, TREE_KIND_NONE);
	assert_int_equal(tree_check(&t), KC_EFORMAT);
	tree_fini(&t);
}

/* The digest is that of FORMAT.md: content, mode, name and kind move it; owner, time and the root's name do not. */
static void digest__what_counts__moves_it(void **state)
{
	char was[TREE_DIGEST_LEN + 1], is[TREE_DIGEST_LEN + 1];
	const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	(void)state;
	digest_of(was, "t");
	assert_int_equal(utimensat(AT_FDCWD, at("t/b"), old, 0), 0);
	assert_int_equal(chmod(at("t"), 0750), 0);
	digest_of(is, "t");
	assert_string_equal(was, is);
	put("t/b", "too");
	digest_of(is, "t");
	assert_string_not_equal(was, is);
	put("t/b", "two");
	digest_of(is, "t");
	assert_string_equal(was, is);
	chmod(at("t/b"), 0600);
	digest_of(is, "t");
	assert_string_not_equal(was, is);
	chmod(at("t/b"), 0640);
	rmdir(at("t/empty"));
	digest_of(is, "t");
	assert_string_not_equal(was, is);
	put("t/empty", "");
	chmod(at("t/empty"), 0700);
	digest_of(is, "t");
	assert_string_not_equal(was, is);
}

static void walk__links_and_special_files__are_refused_by_name(void **state)
{
	struct tree t;

	(void)state;
	assert_int_equal(symlink("/etc/passwd", at("t/sub/link")), 0);
	assert_int_equal(walk(&t, "t", TREE_READ), KC_EPERM);
	assert_non_null(strstr(err_text(KC_EPERM), "t/sub/link: is a symbolic link"));
	tree_fini(&t);
	assert_int_equal(walk(&t, "t", TREE_READ | TREE_LAX), KC_OK);
	assert_int_equal(tree_find(&t, "sub/link")->type, TREE_OTHER);
	tree_fini(&t);
	assert_int_equal(walk(&t, "t", TREE_READ | TREE_SKIP), KC_OK);
	assert_int_equal(t.n, 5);
	tree_fini(&t);
	unlink(at("t/sub/link"));
	assert_int_equal(mkfifo(at("t/pipe"), 0600), 0);
	assert_int_equal(walk(&t, "t", TREE_READ), KC_EPERM);
	assert_non_null(strstr(err_text(KC_EPERM), "t/pipe: is a fifo"));
	tree_fini(&t);
}

static void walk__names_and_numbers_over_the_limit__are_refused(void **state)
{
	struct tree_walk_options few = { .max = 4 };
	struct tree t;

	(void)state;
	tree_init(&t, "Tokens");
	assert_int_equal(tree_walk(&t, at("t"), &few), KC_ELIMIT);
	tree_fini(&t);
	put("t/bad\nname", "");
	assert_int_equal(walk(&t, "t", 0), KC_EFORMAT);
	tree_fini(&t);
	unlink(at("t/bad\nname"));
	put("t/bad\\name", "");
	assert_int_equal(walk(&t, "t", 0), KC_EFORMAT);
	tree_fini(&t);
}

static void copy__a_tree__is_what_was_listed(void **state)
{
	struct tree_walk_options o = { 0 };
	struct buf b;
	struct tree t;

	(void)state;
	mkdir(at("copy"), 0700);
	tree_init(&t, "Tokens");
	assert_int_equal(tree_copy(&t, at("t"), at("copy"), &o), KC_OK);
	buf_init(&b, 100);
	assert_int_equal(file_read(&b, at("copy/4")), KC_OK);
	assert_int_equal(buf_len(&b), 4);
	assert_memory_equal(buf_data(&b), "deep", 4);
	buf_fini(&b);
	tree_fini(&t);
}

static void stamp__a_write__moves_it(void **state)
{
	char was[TREE_DIGEST_LEN + 1], is[TREE_DIGEST_LEN + 1];
	struct tree t;
	bool settled = true;

	(void)state;
	assert_int_equal(walk(&t, "t", 0), KC_OK);
	assert_int_equal(tree_stamp(was, &settled, &t), KC_OK);
	assert_false(settled); /* it was made just now */
	tree_fini(&t);
	put("t/b", "two");
	assert_int_equal(walk(&t, "t", 0), KC_OK);
	assert_int_equal(tree_stamp(is, &settled, &t), KC_OK);
	assert_string_not_equal(was, is);
	tree_fini(&t);
}

/* ---- JSON ---- */

static json_t *good_json(void)
{
	struct tree t;
	json_t *j;

	assert_int_equal(walk(&t, "t", TREE_READ), KC_OK);
	j = tree_json(&t);
	assert_non_null(j);
	tree_fini(&t);
	return j;
}

static void json__round_trip__is_the_same(void **state)
{
	json_t *j = good_json(), *again;
	struct tree t;

	(void)state;
	assert_int_equal(tree_from_json(&t, j), KC_OK);
	again = tree_json(&t);
	assert_true(json_equal(j, again));
	tree_fini(&t);
	json_decref(j);
	json_decref(again);
}

static json_t *entry(json_t *j, size_t i)
{
	return json_array_get(json_object_get(j, "entries"), i);
}

/* Each path that would lead out, or that two readers could understand differently. */
static void json__hostile_paths__are_refused(void **state)
{
	static const char *const paths[] = { "/etc/passwd", "../x", "sub/../../x", "..", ".", "", "a//b", "a/", "./a",
		"no/dir", "a\\b", "a\nb", "b/x", "sub/x", "zz\x7f" };

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		json_t *j = good_json();
		struct tree t;
		int rc;

		json_object_set_new(entry(j, 1), "path", json_string(paths[i]));
		rc = tree_from_json(&t, j);
		if (rc == KC_OK)
			print_error("taken: %s\n", paths[i]);
		assert_int_equal(rc, KC_EFORMAT);
		json_decref(j);
	}
}

static void json__wrong_members__are_refused(void **state)
{
	static const struct {
		const char *member;
		const char *value; /* JSON */
	} wrong[] = { { "type", "\"link\"" }, { "type", "\"directory\"" }, { "mode", "\"4755\"" }, { "mode", "420" },
		{ "size", "-1" }, { "size", "4" }, { "sha256", "\"00\"" }, { "sha256", "null" }, { "uid", "-1" },
		{ "uid", "4294967296" }, { "mtime", "-1" }, { "user", "7" }, { "path", "7" } };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *j = good_json();
		struct tree t;
		int rc;

		json_object_set_new(entry(j, 1), wrong[i].member, json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
		rc = tree_from_json(&t, j);
		if (rc == KC_OK)
			print_error("taken: %s %s\n", wrong[i].member, wrong[i].value);
		assert_int_equal(rc, KC_EFORMAT);
		json_decref(j);
	}
}

static void json__a_long_path_or_too_many__is_refused(void **state)
{
	json_t *j = good_json();
	char path[TREE_PATH_MAX + 2];
	struct tree t;

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	json_object_set_new(entry(j, 0), "path", json_string(path));
	assert_int_equal(tree_from_json(&t, j), KC_EFORMAT);
	for (int i = 0; i < TREE_ENTRIES_MAX; i++)
		json_array_append_new(json_object_get(j, "entries"), json_object());
	assert_int_equal(tree_from_json(&t, j), KC_ELIMIT);
	json_decref(j);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(walk__a_directory__lists_it_sorted),
		T(walk__a_file_and_nothing__are_kinds_of_their_own),
		T(digest__what_counts__moves_it),
		T(walk__links_and_special_files__are_refused_by_name),
		T(walk__names_and_numbers_over_the_limit__are_refused),
		T(copy__a_tree__is_what_was_listed),
		T(stamp__a_write__moves_it),
		T(json__round_trip__is_the_same),
		T(json__hostile_paths__are_refused),
		T(json__wrong_members__are_refused),
		T(json__a_long_path_or_too_many__is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
