/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults under companion files: the n-th call that changes something fails, or the process ends there, for n = 1, 2, 3…
 * until a restore is through. Whatever happens: each file of the tree is the old one or the new one, what the next
 * start does makes all of them the one or the other, and the database goes with them.
 */
#include "../unit/backup_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/restore_files.h"
#include "backup/staging.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "nth_call.h"

static struct fixture fix;

NTH_WRAP(ssize_t, write, (int fd, const void *data, size_t n), (fd, data, n))
NTH_WRAP(int, fsync, (int fd), (fd))
NTH_WRAP(int, rename, (const char *from, const char *to), (from, to))
NTH_WRAP(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
NTH_WRAP(int, renameat2, (int a, const char *from, int b, const char *to, unsigned f), (a, from, b, to, f))
NTH_WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
NTH_WRAP(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
NTH_WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
NTH_WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode))
NTH_WRAP(int, fchmodat, (int fd, const char *path, mode_t mode, int flags), (fd, path, mode, flags))

/* ---- trees ---- */

static const struct content {
	const char *path;
	const char *old, *goal; /* NULL: not there; "/": a directory */
} contents[] = {
	{ "becomes-dir", "was a file", "/" },
	{ "becomes-dir/in", NULL, "new in it" },
	{ "becomes-file", "/", "is a file" },
	{ "becomes-file/in", "goes with it", NULL },
	{ "changed", "old", "new" },
	{ "gone", "old", NULL },
	{ "kept", "the same", "the same" },
	{ "new", NULL, "new" },
	{ "sub", "/", "/" },
	{ "sub/changed", "older", "newer" },
	{ "sub/deep", NULL, "/" },
	{ "sub/deep/new", NULL, "" },
	{ "sub/gone", "/", NULL },
	{ "sub/gone/x", "", NULL },
};
#define N_CONTENTS (sizeof(contents) / sizeof(contents[0]))

static void make_tree(const char *dir, bool old)
{
	assert_int_equal(file_remove_tree(dir) | file_make_dirs(dir), KC_OK);
	for (size_t i = 0; i < N_CONTENTS; i++) {
		const char *text = old ? contents[i].old : contents[i].goal;
		char *path = file_join(dir, contents[i].path);

		if (text != NULL && strcmp(text, "/") == 0)
			ok(file_make_dirs(path));
		else if (text != NULL)
			ok(file_replace(path, text, strlen(text), old ? 0600 : 0640));
		free(path);
	}
}

static bool is_text(const char *path, const char *text)
{
	struct buf b;
	bool same;

	buf_init(&b, 100);
	same = file_read(&b, path) == KC_OK && buf_len(&b) == strlen(text) &&
	       (text[0] == '\0' || memcmp(buf_data(&b), text, strlen(text)) == 0);
	buf_fini(&b);
	return same;
}

/* What is at each path is what was there or what is to be there. */
static void check_each(const char *dir, const char *what, int n)
{
	for (size_t i = 0; i < N_CONTENTS; i++) {
		const struct content *c = &contents[i];
		char *path = file_join(dir, c->path);
		bool both =
		    c->old != NULL && c->goal != NULL && (strcmp(c->old, "/") == 0) == (strcmp(c->goal, "/") == 0);
		struct stat st;

		if (lstat(path, &st) < 0) {
			if (both)
				fail_msg("%s %d: %s is neither old nor new", what, n, c->path);
		} else if (S_ISREG(st.st_mode) && !(c->old != NULL && is_text(path, c->old)) &&
			   !(c->goal != NULL && is_text(path, c->goal))) {
			fail_msg("%s %d: %s has other contents", what, n, c->path);
		}
		free(path);
	}
}

static void digest_of(char digest[TREE_DIGEST_LEN + 1], const char *dir)
{
	const struct tree_walk_options o = { .flags = TREE_READ };
	struct tree t;

	tree_init(&t, "Token");
	ok(tree_walk(&t, dir, &o));
	memcpy(digest, t.digest, sizeof(t.digest));
	tree_fini(&t);
}

/* ---- one restore, and the next start ---- */

struct round {
	char *from, *to; /* the trees of master and clone */
	struct companion_path path;
	struct create_result made;
	char old_db[SOURCE_DIGEST_LEN + 1];
	char old_files[COMPANIONS_TEXT];
	char old_tree[TREE_DIGEST_LEN + 1], new_tree[TREE_DIGEST_LEN + 1];
};

static void set_up_round(struct round *r, bool database)
{
	struct fix_kind kind = { "wal", 4096, "UTF-8", 0 };
	struct companion_paths paths = { &r->path, 1, NULL, 0 };
	const struct tree_walk_options o = { .flags = TREE_READ };
	struct tree t;

	fix_remove_database(fix.clone);
	fix_make_database(fix.clone, &kind, 20, database ? 1 : 2);
	fix_digest(r->old_db, fix.clone);
	make_tree(r->to, true);
	ok(companions_now(r->old_files, &paths, NULL, NULL));
	tree_init(&t, "Token");
	ok(tree_walk(&t, r->to, &o));
	ok(companions_save_applied(&t, fix.clone));
	tree_fini(&t);
	digest_of(r->old_tree, r->to);
}

static int run_restore(void *arg)
{
	const struct round *r = arg;
	struct restore_result result;
	struct restore_options o;
	struct source *live = fix_open(fix.clone, true);
	char *travel;
	int rc;

	fix_restore_options(&fix, &o, &travel, &r->made, live, r->old_db);
	o.companions = (struct companion_paths){ &r->path, 1, NULL, 0 };
	o.files_applied = r->old_files;
	rc = backup_restore(&result, &o);
	nth_countdown = -1;
	restore_result_fini(&result);
	source_close(live);
	free(travel);
	return rc;
}

/* As the worker does it after a crash between intent and result. */
static void next_start(struct round *r, const char *what, int n)
{
	struct restore_files_options fo = { .paths = { &r->path, 1, NULL, 0 }, .keydb_path = fix.clone };
	char now[TREE_DIGEST_LEN + 1], *staging, *travel;
	enum restore_outcome outcome;
	struct restore_options o;
	struct source *live;

	check_each(r->to, what, n);
	ok(staging_clean(fix.clone));
	live = fix_open(fix.clone, true);
	ok(restore_resolve(&outcome, live, r->old_db, r->made.content, r->made.schema));
	assert_int_not_equal(outcome, RESTORE_NEITHER);
	if (outcome == RESTORE_APPLIED) {
		fix_restore_options(&fix, &o, &travel, &r->made, live, NULL);
		ok(staging_parent(&staging, fix.clone));
		o.image.staging = staging;
		fo.applied = r->made.files;
		ok(restore_files_finish(&o.image, &fo));
		free(staging);
		free(travel);
	}
	source_close(live);
	digest_of(now, r->to);
	if (strcmp(now, outcome == RESTORE_APPLIED ? r->new_tree : r->old_tree) != 0)
		fail_msg("%s %d: the tree is not the %s one", what, n, outcome == RESTORE_APPLIED ? "new" : "old");
}

/* database: it changes, too; else only the tree does. */
static void rounds(bool kill, bool database)
{
	struct fix_kind kind = { "wal", 4096, "UTF-8", 0 };
	struct round r = { .from = file_join(fix.dir, "from"), .to = file_join(fix.dir, "to") };
	struct source *s;
	struct create_options o;
	bool through = false;
	char *stage;

	fix_make_database(fix.master, &kind, 20, 2);
	make_tree(r.from, false);
	digest_of(r.new_tree, r.from);
	r.path = (struct companion_path){ "Token", r.from };
	s = fix_open(fix.master, false);
	fix_create_options(&fix, &o, s, 1);
	o.companions = (struct companion_paths){ &r.path, 1, NULL, 0 };
	ok(backup_create(&r.made, &o));
	source_close(s);
	r.path.path = r.to;
	nth_killing = kill;
	for (int n = 0; !through; n++) {
		set_up_round(&r, database);
		through = nth_run(run_restore, &r, n);
		next_start(&r, kill ? "kill" : "fault", n);
		assert_true(n < 2000);
	}
	stage = file_join(fix.dir, ".keyclone-to");
	assert_int_equal(rmdir(stage), 0); /* nothing stays in it */
	create_result_fini(&r.made);
	free(stage);
	free(r.from);
	free(r.to);
}

static void restore__nth_call_fails__files_are_old_or_new(void **state)
{
	(void)state;
	rounds(false, true);
}

static void restore__killed_at_nth_call__next_start_goes_on(void **state)
{
	(void)state;
	rounds(true, true);
}

static void restore__files_alone_killed__next_start_goes_on(void **state)
{
	(void)state;
	rounds(true, false);
}

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
		T(restore__nth_call_fails__files_are_old_or_new),
		T(restore__killed_at_nth_call__next_start_goes_on),
		T(restore__files_alone_killed__next_start_goes_on),
	};

	log_set_sink(quiet, NULL);
	return cmocka_run_group_tests_name("companion faults", tests, NULL, NULL);
}
