/* SPDX-License-Identifier: Apache-2.0 */
/* state: what was put is there after a restart, all of it or nothing. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/state.h"

static struct world {
	char dir[64];
	char *path;
	struct state *s;
} w;

static void reopen(void)
{
	state_close(w.s);
	w.s = NULL;
	assert_int_equal(state_open(&w.s, w.dir, false), KC_OK);
}

static int setup(void **state)
{
	(void)state;
	snprintf(w.dir, sizeof(w.dir), "/tmp/kc-state.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.path = file_join(w.dir, "state.db");
	assert_int_equal(state_open(&w.s, w.dir, true), KC_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	state_close(w.s);
	w.s = NULL;
	free(w.path);
	return file_remove_tree(w.dir);
}

static void open__without_create__needs_one(void **state)
{
	struct state *other = NULL;
	char dir[] = "/tmp/kc-state-none.XXXXXX";
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(state_open(&other, dir, false), KC_ENOENT);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(stat(w.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void open__another_file__is_refused(void **state)
{
	struct state *other = NULL;
	char *text = mem_xalloc(8192);

	(void)state;
	state_close(w.s);
	w.s = NULL;
	memset(text, 'x', 8192);
	assert_int_equal(file_replace(w.path, text, 8192, 0600), KC_OK);
	assert_int_equal(state_open(&other, w.dir, true), KC_EDAMAGED);
	free(text);
}

static void self__everything__comes_back(void **state)
{
	struct state_self a = { 0 }, b;

	(void)state;
	assert_int_equal(state_get_self(&b, w.s), KC_OK);
	assert_memory_equal(&a, &b, sizeof(a)); /* nothing yet: empty */
	STR_COPY(a.lineage, "0123456789abcdef0123456789abcdef");
	a.generation = UINT64_C(0x7fffffffffffffff);
	a.replicated = 4;
	a.complete = 5;
	memset(a.digest, 'd', STATE_DIGEST_LEN);
	memset(a.schema, 'e', STATE_DIGEST_LEN);
	STR_COPY(a.backup, "it's \"a\" name; DROP TABLE self");
	a.header_size = 200;
	a.rows = 1000000;
	a.last_completed = 1700000000;
	STR_COPY(a.last_check_result, "no change");
	a.stopped = a.diverged = a.discard = true;
	STR_COPY(a.diverged_detail, "keys id=1");
	STR_COPY(a.master_host, "::1");
	assert_int_equal(state_put_self(w.s, &a), KC_OK);
	reopen();
	assert_int_equal(state_get_self(&b, w.s), KC_OK);
	assert_string_equal(a.lineage, b.lineage);
	assert_true(a.generation == b.generation);
	assert_string_equal(a.digest, b.digest);
	assert_string_equal(a.backup, b.backup);
	assert_string_equal(a.diverged_detail, b.diverged_detail);
	assert_string_equal(a.master_host, b.master_host);
	assert_true(b.stopped && b.diverged && b.discard);
	assert_int_equal(b.rows, 1000000);
}

static void lineage__new__begins_afresh_and_keeps_the_task(void **state)
{
	struct state_self a, b;

	(void)state;
	assert_int_equal(state_new_lineage(w.s), KC_OK);
	assert_int_equal(state_get_self(&a, w.s), KC_OK);
	a.stopped = true;
	a.generation = a.complete = 9;
	assert_int_equal(state_put_self(w.s, &a), KC_OK);
	assert_int_equal(state_new_lineage(w.s), KC_OK);
	assert_int_equal(state_get_self(&b, w.s), KC_OK);
	assert_string_not_equal(a.lineage, b.lineage);
	assert_int_equal(b.generation, 0);
	assert_true(b.stopped);
}

static void lineage__child__remembers_its_parent(void **state)
{
	struct state_self a, b;
	struct lineage_list l;

	(void)state;
	assert_int_equal(state_new_lineage(w.s), KC_OK);
	assert_int_equal(state_get_self(&a, w.s), KC_OK);
	a.generation = a.complete = 9;
	a.stopped = true;
	assert_int_equal(state_put_self(w.s, &a), KC_OK);
	assert_int_equal(state_new_child(w.s, a.lineage, 7), KC_OK);
	reopen();
	assert_int_equal(state_get_self(&b, w.s), KC_OK);
	assert_string_not_equal(a.lineage, b.lineage);
	assert_int_equal(b.generation, 0);
	assert_int_equal(b.complete, 0);
	assert_true(b.stopped);
	assert_int_equal(lineage_parse(&l, b.ancestors), KC_OK);
	assert_int_equal(l.count, 1);
	assert_string_equal(l.of[0].lineage, a.lineage);
	assert_int_equal(l.of[0].fork, 7);
	assert_int_equal(state_new_child(w.s, b.lineage, 1), KC_OK);
	assert_int_equal(state_get_self(&b, w.s), KC_OK);
	assert_int_equal(lineage_parse(&l, b.ancestors), KC_OK);
	assert_int_equal(l.count, 2);
	assert_string_equal(l.of[1].lineage, a.lineage);
}

static void siblings__last_put__come_back(void **state)
{
	struct state_siblings *f = mem_xalloc(sizeof(*f)), *g = mem_xalloc(sizeof(*g));

	(void)state;
	assert_int_equal(state_get_siblings(g, w.s), KC_ENOENT);
	STR_COPY(f->clones, "a:1");
	assert_int_equal(state_put_siblings(w.s, f), KC_OK);
	STR_COPY(f->clones, "a:1 [::1]:2");
	STR_COPY(f->host, "old");
	f->port = 1111;
	assert_int_equal(state_put_siblings(w.s, f), KC_OK);
	reopen();
	assert_int_equal(state_get_siblings(g, w.s), KC_OK);
	assert_string_equal(g->clones, f->clones);
	assert_string_equal(g->host, "old");
	assert_int_equal(g->port, 1111);
	free(f);
	free(g);
}

static const struct state_intent intent = { .lineage = "0123456789abcdef0123456789abcdef",
	.generation = 6,
	.old_digest = "aa",
	.digest = "bb",
	.schema = "cc",
	.backup = "file" };

static void intent__put__stays_until_applied_or_cleared(void **state)
{
	struct state_intent i;
	struct state_self self = { .generation = 6 };

	(void)state;
	assert_int_equal(state_get_intent(&i, w.s), KC_ENOENT);
	assert_int_equal(state_put_intent(w.s, &intent), KC_OK);
	reopen();
	assert_int_equal(state_get_intent(&i, w.s), KC_OK);
	assert_int_equal(i.generation, 6);
	assert_string_equal(i.old_digest, "aa");
	assert_string_equal(i.digest, "bb");
	assert_int_equal(state_put_applied(w.s, &self), KC_OK);
	assert_int_equal(state_get_intent(&i, w.s), KC_ENOENT);
	assert_int_equal(state_get_self(&self, w.s), KC_OK);
	assert_int_equal(self.generation, 6);
	assert_int_equal(state_put_intent(w.s, &intent), KC_OK);
	assert_int_equal(state_clear_intent(w.s), KC_OK);
	assert_int_equal(state_clear_intent(w.s), KC_OK);
	assert_int_equal(state_get_intent(&i, w.s), KC_ENOENT);
}

static void intent__second__replaces_the_first(void **state)
{
	struct state_intent i = intent;

	(void)state;
	assert_int_equal(state_put_intent(w.s, &intent), KC_OK);
	i.generation = 7;
	assert_int_equal(state_put_intent(w.s, &i), KC_OK);
	assert_int_equal(state_get_intent(&i, w.s), KC_OK);
	assert_int_equal(i.generation, 7);
}

static void put_stored(const char *backup, uint64_t generation, int64_t at)
{
	struct state_stored st = { .generation = generation, .at = at, .travel = mem_xstrdup("travel") };

	STR_COPY(st.backup, backup);
	assert_int_equal(state_put_stored(w.s, &st), KC_OK);
	state_stored_fini(&st);
}

/* A clock that was set back must not bring an old backup to the front. */
static void stored__last_put__is_the_newest_whatever_the_clock_says(void **state)
{
	struct state_stored st = { 0 };

	(void)state;
	assert_int_equal(state_get_stored(&st, w.s), KC_ENOENT);
	put_stored("five", 5, 2000);
	put_stored("six", 6, 1000);
	assert_int_equal(state_get_stored(&st, w.s), KC_OK);
	assert_string_equal(st.backup, "six");
	assert_string_equal(st.travel, "travel");
	state_stored_fini(&st);
	put_stored("five", 5, 500); /* received once more */
	assert_int_equal(state_get_stored(&st, w.s), KC_OK);
	assert_string_equal(st.backup, "five");
	state_stored_fini(&st);
	assert_int_equal(state_forget_stored(w.s, "five"), KC_OK);
	assert_int_equal(state_find_stored(&st, w.s, "five"), KC_ENOENT);
	assert_int_equal(state_find_stored(&st, w.s, "six"), KC_OK);
	assert_int_equal(st.generation, 6);
	state_stored_fini(&st);
}

static struct state_report report_of(const char *receipt, uint64_t generation, int64_t status)
{
	struct state_report r = { .generation = generation, .status = status, .rows = 7, .at = 1750000000 };

	STR_COPY(r.receipt, receipt);
	STR_COPY(r.lineage, "aa");
	STR_COPY(r.message, "why");
	return r;
}

static void reports__of_what_was_superseded__stay_only_if_there_is_something_to_tell(void **state)
{
	struct state_report a = report_of("r1", 1, 0), b = report_of("r2", 2, 4), c = report_of("r3", 3, 0), got;

	(void)state;
	assert_int_equal(state_next_report(&got, w.s), KC_ENOENT);
	assert_int_equal(state_pending_report(&got, w.s), KC_ENOENT);
	assert_int_equal(state_put_report(w.s, &a), KC_OK);
	assert_int_equal(state_next_report(&got, w.s), KC_ENOENT);
	assert_int_equal(state_pending_report(&got, w.s), KC_OK);
	assert_string_equal(got.receipt, "r1");
	assert_int_equal(state_supersede_reports(w.s), KC_OK);
	assert_int_equal(state_get_report(&got, w.s, "r1"), KC_ENOENT);
	assert_int_equal(state_put_report(w.s, &b), KC_OK);
	assert_int_equal(state_supersede_reports(w.s), KC_OK);
	assert_int_equal(state_put_report(w.s, &c), KC_OK);
	reopen();
	assert_int_equal(state_next_report(&got, w.s), KC_OK);
	assert_string_equal(got.receipt, "r2");
	assert_int_equal(got.generation, 2);
	assert_int_equal(got.rows, 7);
	assert_string_equal(got.message, "why");
	assert_true(got.last);
	assert_int_equal(state_pending_report(&got, w.s), KC_OK);
	assert_string_equal(got.receipt, "r3");
	assert_int_equal(state_forget_report(w.s, "r2"), KC_OK);
	assert_int_equal(state_next_report(&got, w.s), KC_ENOENT);
}

static void reports__without_end__are_bounded(void **state)
{
	struct state_report r, got;
	char receipt[16];

	(void)state;
	for (unsigned i = 1; i <= 70; i++) {
		snprintf(receipt, sizeof(receipt), "r%u", i);
		r = report_of(receipt, i, 4);
		assert_int_equal(state_put_report(w.s, &r), KC_OK);
		assert_int_equal(state_supersede_reports(w.s), KC_OK);
	}
	assert_int_equal(state_next_report(&got, w.s), KC_OK);
	assert_string_equal(got.receipt, "r7");
}

static void receipts__of_each_clone__the_newest_sixteen(void **state)
{
	struct state_receipt r = { .port = 2222 }, got;

	(void)state;
	STR_COPY(r.lineage, "aa");
	for (unsigned i = 0; i < 40; i++) {
		snprintf(r.host, sizeof(r.host), "c%u", i % 2);
		snprintf(r.receipt, sizeof(r.receipt), "%u", i);
		r.generation = i;
		assert_int_equal(state_put_receipt(w.s, &r), KC_OK);
	}
	reopen();
	for (unsigned i = 0; i < 40; i++) {
		snprintf(r.receipt, sizeof(r.receipt), "%u", i);
		assert_int_equal(state_get_receipt(&got, w.s, r.receipt), i < 8 ? KC_ENOENT : KC_OK);
	}
	assert_int_equal(got.generation, 39);
	assert_int_equal(got.port, 2222);
	got.status = 1;
	assert_int_equal(state_put_receipt(w.s, &got), KC_OK);
	assert_int_equal(state_get_receipt(&got, w.s, "39"), KC_OK);
	assert_int_equal(got.status, 1);
	assert_int_equal(state_forget_clone(w.s, "c1", 2222), KC_OK);
	assert_int_equal(state_get_receipt(&got, w.s, "39"), KC_ENOENT);
	assert_int_equal(state_get_receipt(&got, w.s, "38"), KC_OK);
}

static void clone__each_host_and_port__is_its_own(void **state)
{
	struct state_clone a = { .host = "10.0.0.5", .port = 2222, .applied = 4, .last_error = "refused" }, b;

	(void)state;
	assert_int_equal(state_begin(w.s), KC_OK);
	assert_int_equal(state_put_clone(w.s, &a), KC_OK);
	a.port = 65535;
	a.applied = 5;
	assert_int_equal(state_put_clone(w.s, &a), KC_OK);
	assert_int_equal(state_commit(w.s), KC_OK);
	reopen();
	assert_int_equal(state_get_clone(&b, w.s, "10.0.0.5", 2222), KC_OK);
	assert_int_equal(b.applied, 4);
	assert_string_equal(b.last_error, "refused");
	assert_int_equal(state_get_clone(&b, w.s, "10.0.0.5", 65535), KC_OK);
	assert_int_equal(b.applied, 5);
	assert_int_equal(state_forget_clone(w.s, "10.0.0.5", 2222), KC_OK);
	assert_int_equal(state_get_clone(&b, w.s, "10.0.0.5", 2222), KC_ENOENT);
	assert_int_equal(state_get_clone(&b, w.s, "10.0.0.5", 65535), KC_OK);
}

static void audit_head__last_one__comes_back(void **state)
{
	uint64_t seq;
	char hash[65];

	(void)state;
	assert_int_equal(state_get_audit_head(&seq, hash, w.s), KC_ENOENT);
	assert_int_equal(state_put_audit_head(w.s, 10, "aa"), KC_OK);
	assert_int_equal(state_put_audit_head(w.s, 20, "bb"), KC_OK);
	reopen();
	assert_int_equal(state_get_audit_head(&seq, hash, w.s), KC_OK);
	assert_int_equal(seq, 20);
	assert_string_equal(hash, "bb");
}

/* A process that puts generations until it is killed: what it said was put is there. */
static void put_until_killed(int fd)
{
	struct state *s = NULL;
	struct state_self self = { 0 };

	if (state_open(&s, w.dir, true) < 0)
		_exit(1);
	for (;;) {
		self.generation++;
		self.complete = self.generation;
		if (state_put_intent(s, &intent) < 0 || state_put_applied(s, &self) < 0 ||
		    write(fd, &self.generation, sizeof(self.generation)) != sizeof(self.generation))
			_exit(1);
	}
}

static void writer__killed__loses_nothing_that_it_was_told_is_durable(void **state)
{
	struct state_self self;
	uint64_t said, last;

	(void)state;
	state_close(w.s);
	w.s = NULL;
	for (int round = 0; round < 5; round++) {
		int fds[2], status;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0)
			put_until_killed(fds[1]);
		close(fds[1]);
		for (int i = 0; i < 10 + round; i++)
			assert_int_equal(read(fds[0], &said, sizeof(said)), sizeof(said));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		while (read(fds[0], &last, sizeof(last)) == sizeof(last))
			said = last;
		close(fds[0]);
		assert_int_equal(state_open(&w.s, w.dir, false), KC_OK);
		assert_int_equal(state_get_self(&self, w.s), KC_OK);
		assert_in_range(self.generation, said, said + 1);
		assert_true(self.complete == self.generation);
		state_close(w.s);
		w.s = NULL;
	}
}

static void change(const char *sql)
{
	sqlite3 *db = NULL;

	state_close(w.s);
	w.s = NULL;
	assert_int_equal(sqlite3_open(w.path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void open__older_tables__get_what_they_lack(void **state)
{
	struct state_self self = { .generation = 7, .complete = 6 };
	char digest[STATE_DIGEST_LEN + 1];

	(void)state;
	STR_COPY(self.schema, "lost");
	STR_COPY(self.digest, "kept");
	assert_int_equal(state_put_self(w.s, &self), KC_OK);
	change("ALTER TABLE self DROP COLUMN schema; ALTER TABLE self DROP COLUMN complete; DROP TABLE made;"
	       "PRAGMA user_version = 1");
	reopen();
	assert_int_equal(state_get_self(&self, w.s), KC_OK);
	assert_int_equal(self.generation, 7);
	assert_int_equal(self.complete, 0);
	assert_string_equal(self.schema, "");
	assert_string_equal(self.digest, "kept");
	assert_int_equal(state_get_digest(digest, w.s, "l", 1), KC_ENOENT);
}

static void open__newer_version__is_refused(void **state)
{
	(void)state;
	change("PRAGMA user_version = 1000");
	assert_int_equal(state_open(&w.s, w.dir, false), KC_EFORMAT);
	assert_non_null(strstr(err_text(KC_EFORMAT), "newer version"));
}

/* Master, clone, master again: what it stored before it was promoted is none of what it may restore now. */
static void demote__what_it_stored_as_a_clone__is_forgotten(void **state)
{
	struct state_self self = { .role = "clone", .generation = 5, .complete = 5 };
	struct state_report r = { .generation = 6, .receipt = "receipt" };
	struct state_stored st = { 0 };

	(void)state;
	STR_COPY(self.lineage, "00112233445566778899aabbccddeeff");
	assert_int_equal(state_put_self(w.s, &self), KC_OK);
	put_stored("six", 6, 1000);
	assert_int_equal(state_put_report(w.s, &r), KC_OK);
	assert_int_equal(state_promote(w.s), KC_OK);
	assert_int_equal(state_demote(w.s), KC_OK);
	reopen();
	assert_int_equal(state_get_stored(&st, w.s), KC_ENOENT);
	assert_int_equal(state_get_report(&r, w.s, "receipt"), KC_ENOENT);
	assert_int_equal(state_get_self(&self, w.s), KC_OK);
	assert_string_equal(self.role, "clone");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(open__without_create__needs_one),
		T(open__another_file__is_refused),
		T(open__older_tables__get_what_they_lack),
		T(open__newer_version__is_refused),
		T(self__everything__comes_back),
		T(lineage__new__begins_afresh_and_keeps_the_task),
		T(lineage__child__remembers_its_parent),
		T(siblings__last_put__come_back),
		T(intent__put__stays_until_applied_or_cleared),
		T(intent__second__replaces_the_first),
		T(stored__last_put__is_the_newest_whatever_the_clock_says),
		T(reports__of_what_was_superseded__stay_only_if_there_is_something_to_tell),
		T(reports__without_end__are_bounded),
		T(demote__what_it_stored_as_a_clone__is_forgotten),
		T(receipts__of_each_clone__the_newest_sixteen),
		T(clone__each_host_and_port__is_its_own),
		T(audit_head__last_one__comes_back),
		T(writer__killed__loses_nothing_that_it_was_told_is_durable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
