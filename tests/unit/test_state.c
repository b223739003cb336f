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
#include <time.h>
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

static void put_issued(const char *host, const char *serial, int64_t left)
{
	struct state_issued i = { .port = 2222, .not_after = time(NULL) + left };

	STR_COPY(i.host, host);
	STR_COPY(i.serial, serial);
	assert_int_equal(state_put_issued(w.s, &i), KC_OK);
}

static void expect_issued(const char *host, const char *expected)
{
	json_t *serials = json_array();
	char text[200] = "";

	assert_int_equal(state_issued_to(serials, w.s, host, 2222), KC_OK);
	for (size_t i = 0; i < json_array_size(serials); i++) {
		strcat(text, json_string_value(json_array_get(serials, i)));
		strcat(text, " ");
	}
	assert_string_equal(text, expected);
	json_decref(serials);
}

static void issued__to_a_clone__is_what_no_other_shows(void **state)
{
	struct state_clone a = { .host = "c1", .port = 2222, .serial = "a3" },
			   b = { .host = "c2", .port = 2222, .serial = "a2" };

	(void)state;
	put_issued("c1", "a0", -60 * 86400);
	put_issued("c1", "a1", 60);
	put_issued("c1", "a1", 60);
	put_issued("c1", "a2", 60);
	put_issued("c2", "b1", -60);
	assert_int_equal(state_put_clone(w.s, &a), KC_OK);
	reopen();
	expect_issued("c1", "a1 a2 a3 ");
	assert_int_equal(state_put_clone(w.s, &b), KC_OK);
	expect_issued("c1", "a1 a3 ");
	expect_issued("c2", "a2 b1 ");
	assert_int_equal(state_forget_issued(w.s, "a1"), KC_OK);
	expect_issued("c1", "a3 ");
	assert_int_equal(state_forget_clone(w.s, "c2", 2222), KC_OK);
	expect_issued("c2", "");
	expect_issued("c1", "a2 a3 ");
}

static void issued__without_end__is_bounded(void **state)
{
	struct state_issued i = { .host = "c1", .port = 2222, .not_after = time(NULL) + 60 };

	(void)state;
	for (int n = 0; n < 256; n++) {
		snprintf(i.serial, sizeof(i.serial), "%04x", n);
		assert_int_equal(state_put_issued(w.s, &i), KC_OK);
	}
	STR_COPY(i.serial, "ffff");
	assert_int_equal(state_put_issued(w.s, &i), KC_ELIMIT);
	put_issued("c2", "ffff", 60);
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
	struct state_made made;

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
	assert_int_equal(state_get_made(&made, w.s, "l", 1), KC_ENOENT);
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

/* ---- chains ---- */

#define LINEAGE	 "00112233445566778899aabbccddeeff"
#define LINEAGE2 "ffeeddccbbaa99887766554433221100"

static void put_made(const char *lineage, uint64_t generation, uint64_t base, uint64_t chain)
{
	struct state_made m = { .generation = generation, .base = base, .chain = chain, .header_size = 168 };

	STR_COPY(m.lineage, lineage);
	snprintf(m.backup, sizeof(m.backup), "%.4s-%u", lineage, (unsigned)generation);
	assert_int_equal(state_put_made(w.s, &m), KC_OK);
}

static void made__chain__comes_back(void **state)
{
	struct state_made m;

	(void)state;
	put_made(LINEAGE, 1, 0, 1);
	put_made(LINEAGE, 2, 1, 1);
	reopen();
	assert_int_equal(state_get_made(&m, w.s, LINEAGE, 2), KC_OK);
	assert_int_equal(m.base, 1);
	assert_int_equal(m.chain, 1);
	assert_int_equal(m.header_size, 168);
	assert_string_equal(m.backup, "0011-2");
	assert_int_equal(state_get_made(&m, w.s, LINEAGE, 1), KC_OK);
	assert_int_equal(m.base, 0);
	assert_int_equal(state_get_made(&m, w.s, LINEAGE, 3), KC_ENOENT);
	assert_int_equal(state_get_made(&m, w.s, LINEAGE2, 1), KC_ENOENT);
}

static void made_on__base_of_a_chain__is_the_increment(void **state)
{
	struct state_made m;

	(void)state;
	put_made(LINEAGE, 1, 0, 1);
	put_made(LINEAGE, 2, 1, 1);
	put_made(LINEAGE, 3, 2, 1);
	put_made(LINEAGE, 4, 2, 1); /* 3 was lost before anybody heard of it, and made again */
	put_made(LINEAGE, 5, 0, 5);
	put_made(LINEAGE, 6, 5, 5);
	put_made(LINEAGE2, 2, 1, 1);
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 1, 1), KC_OK);
	assert_int_equal(m.generation, 2);
	assert_string_equal(m.backup, "0011-2");
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 1, 2), KC_OK);
	assert_int_equal(m.generation, 4);
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 5, 5), KC_OK);
	assert_int_equal(m.generation, 6);
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE2, 1, 1), KC_OK);
	assert_string_equal(m.backup, "ffee-2");
	/* Another chain's, one that is not there, and never a full. */
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 1, 5), KC_ENOENT);
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 1, 4), KC_ENOENT);
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 5, 0), KC_ENOENT);
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 0, 0), KC_ENOENT);
	assert_int_equal(m.generation, 2); /* untouched where nothing is found */
}

static void put_stored_of(const char *backup, uint64_t generation, uint64_t base, uint64_t chain, const char *travel)
{
	struct state_stored st = {
		.generation = generation, .base = base, .chain = chain, .travel = mem_xstrdup(travel)
	};

	STR_COPY(st.backup, backup);
	STR_COPY(st.lineage, LINEAGE);
	assert_int_equal(state_put_stored(w.s, &st), KC_OK);
	state_stored_fini(&st);
}

static void stored__of_a_generation__is_the_newest_file(void **state)
{
	struct state_stored st = { .travel = NULL };

	(void)state;
	put_stored_of("old", 3, 0, 0, "t1");
	put_stored_of("new", 3, 2, 1, "");
	put_stored_of("other", 4, 3, 1, "");
	reopen();
	assert_int_equal(state_stored_of(&st, w.s, LINEAGE, 3), KC_OK);
	assert_string_equal(st.backup, "new");
	assert_int_equal(st.base, 2);
	assert_int_equal(st.chain, 1);
	state_stored_fini(&st);
	assert_int_equal(state_stored_of(&st, w.s, LINEAGE, 5), KC_ENOENT);
	assert_int_equal(state_stored_of(&st, w.s, LINEAGE2, 3), KC_ENOENT);
	assert_null(st.travel);
}

static void travel__of_an_increment__is_its_fulls(void **state)
{
	char *travel = NULL;

	(void)state;
	put_stored_of("full", 1, 0, 0, "of the full");
	put_stored_of("two", 2, 1, 1, "");
	put_stored_of("three", 3, 2, 1, "");
	put_stored_of("lost", 9, 8, 7, "");
	assert_int_equal(state_find_travel(&travel, w.s, "full"), KC_OK);
	assert_string_equal(travel, "of the full");
	free(travel);
	assert_int_equal(state_find_travel(&travel, w.s, "three"), KC_OK);
	assert_string_equal(travel, "of the full");
	free(travel);
	assert_int_equal(state_find_travel(&travel, w.s, "lost"), KC_ENOENT);
	assert_int_equal(state_find_travel(&travel, w.s, "none"), KC_ENOENT);
	assert_int_equal(state_forget_stored(w.s, "full"), KC_OK);
	assert_int_equal(state_find_travel(&travel, w.s, "two"), KC_ENOENT);
}

static void self_and_intent__chain__comes_back(void **state)
{
	struct state_self self = { .role = "master",
		.chain = 5,
		.chain_since = 1000,
		.chain_full = 70000,
		.chain_bytes = 800,
		.chain_count = 3,
		.want_full = true };
	struct state_intent i = { .generation = 6, .chain = 5 };

	(void)state;
	assert_int_equal(state_put_self(w.s, &self), KC_OK);
	assert_int_equal(state_put_intent(w.s, &i), KC_OK);
	memset(&self, 0, sizeof(self));
	memset(&i, 0, sizeof(i));
	reopen();
	assert_int_equal(state_get_self(&self, w.s), KC_OK);
	assert_int_equal(self.chain, 5);
	assert_int_equal(self.chain_since, 1000);
	assert_int_equal(self.chain_full, 70000);
	assert_int_equal(self.chain_bytes, 800);
	assert_int_equal(self.chain_count, 3);
	assert_true(self.want_full);
	assert_int_equal(state_get_intent(&i, w.s), KC_OK);
	assert_int_equal(i.chain, 5);
	/* Nothing of it goes over into a lineage that begins. */
	STR_COPY(self.lineage, LINEAGE);
	assert_int_equal(state_put_self(w.s, &self), KC_OK);
	assert_int_equal(state_new_child(w.s, LINEAGE, 6), KC_OK);
	assert_int_equal(state_get_self(&self, w.s), KC_OK);
	assert_int_equal(self.chain, 0);
	assert_false(self.want_full);
	self.chain = 7;
	assert_int_equal(state_put_self(w.s, &self), KC_OK);
	assert_int_equal(state_demote(w.s), KC_OK);
	assert_int_equal(state_get_self(&self, w.s), KC_OK);
	assert_int_equal(self.chain, 0);
}

/* As it was before increments: whatever is there is a full that nothing builds on. */
static void open__tables_without_chains__are_of_fulls(void **state)
{
	struct state_stored st = { .travel = NULL };
	struct state_made m;
	struct state_self self;
	struct state_intent i;
	char *travel = NULL;

	(void)state;
	self = (struct state_self){ .generation = 4, .chain = 1 };
	assert_int_equal(state_put_self(w.s, &self), KC_OK);
	i = (struct state_intent){ .generation = 4, .chain = 1 };
	assert_int_equal(state_put_intent(w.s, &i), KC_OK);
	put_made(LINEAGE, 4, 3, 1);
	put_stored_of("four", 4, 3, 1, "its own");
	change("ALTER TABLE made DROP COLUMN base; ALTER TABLE made DROP COLUMN chain; ALTER TABLE made DROP COLUMN "
	       "backup;"
	       "ALTER TABLE made DROP COLUMN file_id; ALTER TABLE made DROP COLUMN sha256;"
	       "ALTER TABLE made DROP COLUMN header_size; ALTER TABLE made DROP COLUMN database_size;"
	       "ALTER TABLE stored DROP COLUMN base; ALTER TABLE stored DROP COLUMN chain;"
	       "ALTER TABLE self DROP COLUMN chain; ALTER TABLE self DROP COLUMN chain_since; ALTER TABLE self DROP "
	       "COLUMN "
	       "want_full; ALTER TABLE intent DROP COLUMN chain");
	reopen();
	assert_int_equal(state_get_made(&m, w.s, LINEAGE, 4), KC_OK);
	assert_int_equal(m.base, 0);
	assert_int_equal(m.chain, 0);
	assert_string_equal(m.backup, "");
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 0, 0), KC_ENOENT);
	assert_int_equal(state_stored_of(&st, w.s, LINEAGE, 4), KC_OK);
	assert_int_equal(st.base, 0);
	state_stored_fini(&st);
	assert_int_equal(state_find_travel(&travel, w.s, "four"), KC_OK);
	assert_string_equal(travel, "its own");
	free(travel);
	assert_int_equal(state_get_self(&self, w.s), KC_OK);
	assert_int_equal(self.chain, 0);
	assert_int_equal(state_get_intent(&i, w.s), KC_OK);
	assert_int_equal(i.chain, 0);
	put_made(LINEAGE, 5, 4, 1);
	assert_int_equal(state_get_made_on(&m, w.s, LINEAGE, 1, 4), KC_OK);
}

static void made__many__the_newest_ten_thousand(void **state)
{
	struct state_made m;

	(void)state;
	put_made(LINEAGE, 1, 0, 1);
	put_made(LINEAGE, 2, 1, 1);
	put_made(LINEAGE, 10001, 2, 1);
	assert_int_equal(state_get_made(&m, w.s, LINEAGE, 1), KC_OK);
	put_made(LINEAGE, 10002, 10001, 1);
	assert_int_equal(state_get_made(&m, w.s, LINEAGE, 1), KC_ENOENT);
	assert_int_equal(state_get_made(&m, w.s, LINEAGE, 2), KC_OK);
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
		T(issued__to_a_clone__is_what_no_other_shows),
		T(issued__without_end__is_bounded),
		T(audit_head__last_one__comes_back),
		T(made__chain__comes_back),
		T(made_on__base_of_a_chain__is_the_increment),
		T(made__many__the_newest_ten_thousand),
		T(stored__of_a_generation__is_the_newest_file),
		T(travel__of_an_increment__is_its_fulls),
		T(self_and_intent__chain__comes_back),
		T(open__tables_without_chains__are_of_fulls),
		T(writer__killed__loses_nothing_that_it_was_told_is_durable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
