/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the audit log's writer: records, chain, several writers, rotation, strangers, failing disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/audit.h"
#include "base/audit_read.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

static char dir[64];
static char *path;
static struct audit_point head; /* what on_head was told */

static int fail_write, fail_fsync, fail_rename; /* n: the n-th call fails; 0: none does */
static size_t write_short;			/* a failing write leaves so many bytes */

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
static bool fail_ftruncate;

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	if (fail_write > 0 && --fail_write == 0) {
		if (write_short > 0 && write_short < n) {
			fail_write = 1;
			n = write_short;
			write_short = 0;
			return __real_write(fd, p, n);
		}
		errno = ENOSPC;
		return -1;
	}
	return __real_write(fd, p, n);
}

int __wrap_fsync(int fd)
{
	if (fail_fsync > 0 && --fail_fsync == 0) {
		errno = EIO;
		return -1;
	}
	return __real_fsync(fd);
}

int __wrap_rename(const char *from, const char *to)
{
	if (fail_rename > 0 && --fail_rename == 0) {
		errno = EACCES;
		return -1;
	}
	return __real_rename(from, to);
}

int __wrap_ftruncate(int fd, off_t size)
{
	if (fail_ftruncate) {
		errno = EPERM;
		return -1;
	}
	return __real_ftruncate(fd, size);
}

static void quiet(enum log_level level, const char *text, void *arg)
{
	(void)level;
	(void)text;
	(void)arg;
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-test-audit.XXXXXX");
	log_set_sink(quiet, NULL);
	if (mem_init() != KC_OK || mkdtemp(dir) == NULL)
		return -1;
	path = file_join(dir, "log");
	memset(&head, 0, sizeof(head));
	fail_write = fail_fsync = fail_rename = 0;
	fail_ftruncate = false;
	write_short = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(path);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static int on_head(const char *hash, uint64_t seq, void *arg)
{
	(void)arg;
	snprintf(head.hash, sizeof(head.hash), "%s", hash);
	head.seq = seq;
	return KC_OK;
}

static struct audit *open_log(uint64_t max_bytes, unsigned max_files, audit_head_fn fn)
{
	struct audit_options o = { .path = path,
		.host = "h1",
		.role = "master",
		.max_bytes = max_bytes,
		.max_files = max_files,
		.on_head = fn };
	struct audit *a = NULL;

	assert_int_equal(audit_open(&a, &o), KC_OK);
	return a;
}

static int put(struct audit *a, uint64_t generation)
{
	return audit_write(
	    a, &(struct audit_record){ .event = AUDIT_PUSH_END, .outcome = AUDIT_SUCCESS, .generation = generation });
}

static char *content(const char *file)
{
	struct buf b;
	char *s;

	buf_init(&b, 1 << 24);
	assert_int_equal(file_read(&b, file), KC_OK);
	s = mem_xstrdup(buf_str(&b));
	buf_fini(&b);
	return s;
}

static void assert_verdict(enum audit_problem problem, uint64_t records, unsigned torn)
{
	struct audit_verdict v;
	int rc = audit_verify(&v, path, &head, NULL);

	if (v.problem != problem)
		print_error("%s\n", rc == KC_OK ? "sound" : err_text(rc));
	assert_int_equal(v.problem, problem);
	assert_int_equal(v.records, records);
	assert_int_equal(v.torn, torn);
	audit_verdict_fini(&v);
}

static void audit__first_record__has_the_members_in_order(void **state)
{
	struct audit *a = open_log(0, 0, NULL);
	struct stat st;
	char *text;

	(void)state;
	assert_int_equal(audit_write(a, &(struct audit_record){ .event = AUDIT_PUSH_END,
					    .outcome = AUDIT_FAILURE,
					    .generation = 41,
					    .lineage = "00112233445566778899aabbccddeeff",
					    .peer = "10.0.0.5:2222",
					    .backup = "b.age",
					    .bytes = 1000,
					    .duration_ms = 12,
					    .code = "KC0104E",
					    .detail = "connection refused" }),
	    KC_OK);
	assert_int_equal(audit_sync(a), KC_OK);
	audit_close(a);
	text = content(path);
	assert_memory_equal(text, "{\"seq\":1,\"time\":\"20", 18);
	assert_non_null(strstr(text,
	    "Z\",\"host\":\"h1\",\"role\":\"master\",\"event\":\"push.end\",\"outcome\":\"failure\",\"generation\":41,"
	    "\"lineage\":\"00112233445566778899aabbccddeeff\",\"peer\":\"10.0.0.5:2222\",\"backup\":\"b.age\","
	    "\"bytes\":1000,\"duration_ms\":12,\"code\":\"KC0104E\",\"detail\":\"connection refused\","
	    "\"prev\":\"" AUDIT_NO_HASH "\"}\n"));
	assert_int_equal(strlen(strstr(text, "\"time\":\"")) - strlen(strstr(text, "\",\"host")), 8 + 24);
	free(text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void audit__hostile_strings__stay_one_line_of_json(void **state)
{
	struct audit *a = open_log(0, 0, NULL);
	char longer[5000];
	struct audit_reader *r;
	struct audit_line line;

	(void)state;
	memset(longer, '"', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(audit_write(a, &(struct audit_record){ .event = AUDIT_PEER_REFUSED,
					    .outcome = AUDIT_FAILURE,
					    .peer = "a\nb\",\"x\":1\\\x80\xc3\xa4\xed\xa0\x80",
					    .detail = longer }),
	    KC_OK);
	audit_close(a);
	assert_int_equal(audit_reader_open(&r, path), KC_OK);
	assert_int_equal(audit_reader_next(r, &line), 1);
	assert_non_null(line.json);
	assert_string_equal(json_string_value(json_object_get(line.json, "peer")), "a?b\",\"x\":1\\?\xc3\xa4???");
	assert_int_equal(strlen(json_string_value(json_object_get(line.json, "detail"))), AUDIT_DETAIL_MAX + 3);
	assert_int_equal(audit_reader_next(r, &line), 0);
	audit_reader_free(r);
}

static void audit__two_writers__make_one_chain(void **state)
{
	struct audit *a = open_log(1000, 3, on_head), *b = open_log(1000, 0, NULL);
	uint64_t seq;
	char hash[AUDIT_HASH_SIZE];

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(put(a, i), KC_OK);
		assert_int_equal(put(b, i), KC_OK);
		if (i % 3 == 0)
			assert_int_equal(put(b, i), KC_OK);
	}
	assert_int_equal(audit_head(a, &seq, hash), KC_OK);
	assert_int_equal(seq, 70);
	assert_true(head.seq > 40);
	audit_close(a);
	audit_close(b);
	assert_verdict(AUDIT_SOUND, 70 - head.seq, 0);
}

static void audit__many_processes__make_one_chain(void **state)
{
	pid_t pids[4];
	int status;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct audit *a = open_log(2000, 0, NULL);
			int rc = KC_OK;

			for (unsigned k = 0; k < 100 && rc == KC_OK; k++)
				rc = put(a, k + 1);
			audit_close(a);
			_exit(rc == KC_OK ? 0 : 1);
		}
	}
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_verdict(AUDIT_SOUND, 400, 0);
}

static void audit__reopened__goes_on(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct audit *a = open_log(0, 0, NULL);

		assert_int_equal(put(a, 1), KC_OK);
		audit_close(a);
	}
	assert_verdict(AUDIT_SOUND, 5, 0);
}

static void audit__over_its_size__keeps_so_many_files(void **state)
{
	struct audit *a = open_log(600, 3, on_head);
	char *p1 = file_join(dir, "log.1"), *p2 = file_join(dir, "log.2"), *p3 = file_join(dir, "log.3");
	struct stat st;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(put(a, i), KC_OK);
	assert_true(file_exists(p1) && file_exists(p2) && !file_exists(p3));
	assert_int_equal(stat(p1, &st), 0);
	assert_true(st.st_size <= 600);
	assert_verdict(AUDIT_SOUND, 40 - head.seq, 0);
	audit_set_limits(a, 600, 2);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(put(a, i), KC_OK);
	assert_true(file_exists(p1) && !file_exists(p2));
	assert_verdict(AUDIT_SOUND, 44 - head.seq, 0);
	audit_close(a);
	free(p1);
	free(p2);
	free(p3);
}

static int refuse_head(const char *hash, uint64_t seq, void *arg)
{
	(void)hash;
	(void)seq;
	(void)arg;
	return err_set(KC_EBUSY, "not now");
}

static void audit__head_not_remembered__nothing_is_deleted(void **state)
{
	struct audit *a = open_log(600, 2, refuse_head);
	char *p4 = file_join(dir, "log.4");

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(put(a, i), KC_OK);
	assert_true(file_exists(p4));
	audit_close(a);
	assert_verdict(AUDIT_SOUND, 20, 0);
	free(p4);
}

static void audit__gap_in_the_numbers__is_filled(void **state)
{
	struct audit *a = open_log(500, 0, NULL);
	char *p1 = file_join(dir, "log.1"), *p2 = file_join(dir, "log.2"), *p7 = file_join(dir, "log.7");

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(put(a, i), KC_OK);
	assert_int_equal(file_rename(p1, p7), KC_OK); /* as after a crash in the middle of a rotation */
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(put(a, i), KC_OK);
	assert_true(file_exists(p1) && file_exists(p2) && file_exists(p7));
	audit_close(a);
	assert_verdict(AUDIT_SOUND, 7, 0);
	free(p1);
	free(p2);
	free(p7);
}

static void audit__rename_fails__writes_on_in_the_old_file(void **state)
{
	struct audit *a = open_log(600, 0, NULL);

	(void)state;
	assert_int_equal(put(a, 1), KC_OK);
	assert_int_equal(put(a, 2), KC_OK);
	fail_rename = 1;
	assert_int_equal(put(a, 3), KC_OK);
	audit_close(a);
	assert_verdict(AUDIT_SOUND, 3, 0);
}

static void audit__disk_full__fails_and_leaves_no_trace(void **state)
{
	struct audit *a = open_log(0, 0, NULL);
	char *before, *after;

	(void)state;
	assert_int_equal(put(a, 1), KC_OK);
	before = content(path);
	for (size_t left = 0; left < 60; left += 20) {
		fail_write = 1;
		write_short = left;
		assert_int_equal(put(a, 2), KC_ENOSPC);
		after = content(path);
		assert_string_equal(before, after);
		free(after);
	}
	assert_int_equal(put(a, 3), KC_OK);
	audit_close(a);
	free(before);
	assert_verdict(AUDIT_SOUND, 2, 0);
}

static void audit__line_cut_short__is_closed_by_the_next_writer(void **state)
{
	struct audit *a = open_log(0, 0, NULL);

	(void)state;
	assert_int_equal(put(a, 1), KC_OK);
	fail_write = 1;
	write_short = 30;
	fail_ftruncate = true;
	assert_int_equal(put(a, 2), KC_ENOSPC);
	assert_verdict(AUDIT_TORN, 1, 0);
	assert_int_equal(put(a, 3), KC_OK);
	audit_close(a);
	assert_verdict(AUDIT_SOUND, 3, 1);
}

/* What a crash may leave of the last record: any part of it, or zeros. The next start goes on. */
static void audit__crash_at_any_byte__is_told_from_tampering(void **state)
{
	struct audit *a = open_log(0, 0, NULL);
	size_t size, second;
	char *text;

	(void)state;
	assert_int_equal(put(a, 1), KC_OK);
	assert_int_equal(put(a, 2), KC_OK);
	audit_close(a);
	text = content(path);
	size = strlen(text);
	second = (size_t)(strchr(text, '\n') - text) + 1;
	for (size_t cut = 0; cut < size; cut += cut < 40 || cut > size - 5 ? 1 : 17) {
		/* where the line is whole but for its newline, closing it is all that is needed */
		bool whole = cut == second - 1 || cut == size - 1, torn = cut != 0 && cut != second && !whole;

		assert_int_equal(file_replace(path, text, cut, 0600), KC_OK);
		a = open_log(0, 0, NULL);
		assert_int_equal(put(a, 3), KC_OK);
		audit_close(a);
		assert_verdict(AUDIT_SOUND, (cut >= second - 1) + (cut >= size - 1) + torn + 1, torn);
	}
	memset(text + second, 0, size - second);
	assert_int_equal(file_replace(path, text, size, 0600), KC_OK);
	a = open_log(0, 0, NULL);
	assert_int_equal(put(a, 3), KC_OK);
	audit_close(a);
	assert_verdict(AUDIT_SOUND, 3, 1);
	free(text);
}

static void audit__sync_fails__is_reported_until_it_works(void **state)
{
	struct audit *a = open_log(0, 0, NULL);

	(void)state;
	assert_int_equal(put(a, 1), KC_OK);
	fail_fsync = 1;
	assert_int_equal(audit_sync(a), KC_ESYS);
	assert_int_equal(audit_sync(a), KC_OK);
	fail_fsync = 1;
	assert_int_equal(audit_sync(a), KC_OK); /* nothing to do */
	fail_fsync = 0;
	audit_close(a);
}

static void audit__lazily__is_synced_with_the_next_or_on_demand(void **state)
{
	struct audit *a = open_log(0, 0, NULL);
	const struct audit_record begun = { .event = AUDIT_RECEIVE_START, .outcome = AUDIT_STARTED, .generation = 7 };

	(void)state;
	assert_int_equal(audit_write_lazily(a, &begun), KC_OK);
	fail_fsync = 1;
	assert_int_equal(audit_sync(a), KC_OK); /* nobody waits for it */
	audit_hurry(a);
	assert_int_equal(audit_sync(a), KC_ESYS);
	assert_int_equal(audit_sync(a), KC_OK);
	audit_hurry(a);
	fail_fsync = 1;
	assert_int_equal(audit_sync(a), KC_OK); /* nothing to do */
	assert_int_equal(put(a, 1), KC_OK);
	assert_int_equal(audit_write_lazily(a, &begun), KC_OK);
	assert_int_equal(audit_sync(a), KC_ESYS); /* the one before it is waited for */
	assert_int_equal(audit_sync(a), KC_OK);
	audit_hurry(a);
	fail_fsync = 1;
	assert_int_equal(audit_sync(a), KC_OK); /* they went together */
	fail_fsync = 0;
	audit_close(a);
	assert_verdict(AUDIT_SOUND, 3, 0);
}

static void audit__sync_ahead__says_later_whether_it_succeeded(void **state)
{
	struct audit *a = open_log(4096, 0, NULL);

	(void)state;
	assert_int_equal(put(a, 1), KC_OK);
	fail_fsync = 1;
	audit_sync_ahead(a);
	assert_int_equal(put(a, 1), KC_OK);
	assert_int_equal(audit_sync(a), KC_ESYS);
	assert_int_equal(audit_sync(a), KC_OK);
	assert_int_equal(put(a, 1), KC_OK);
	audit_sync_ahead(a);
	audit_sync_ahead(a); /* once is enough */
	assert_int_equal(audit_sync(a), KC_OK);
	fail_fsync = 1;
	assert_int_equal(audit_sync(a), KC_OK); /* nothing to do */
	fail_fsync = 0;
	/* The file is rotated while the thread has it. */
	assert_int_equal(put(a, 1), KC_OK);
	audit_sync_ahead(a);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(put(a, 1), KC_OK);
	assert_int_equal(audit_sync(a), KC_OK);
	audit_sync_ahead(a);
	audit_close(a);
	assert_verdict(AUDIT_SOUND, 44, 0);
}

static void audit__synced__is_what_is_on_disk_for_certain(void **state)
{
	struct audit *a = open_log(0, 0, NULL);
	char hash[AUDIT_HASH_SIZE], newest[AUDIT_HASH_SIZE];
	uint64_t seq = 0;

	(void)state;
	assert_int_equal(put(a, 1), KC_OK);
	assert_false(audit_synced(a, &seq, hash));
	assert_int_equal(audit_sync(a), KC_OK);
	assert_int_equal(audit_head(a, &seq, newest), KC_OK);
	assert_true(audit_synced(a, &seq, hash));
	assert_int_equal(seq, 1);
	assert_string_equal(hash, newest);
	assert_int_equal(put(a, 1), KC_OK);
	fail_fsync = 1;
	audit_sync_ahead(a);
	assert_int_equal(put(a, 1), KC_OK);
	assert_int_equal(audit_sync(a), KC_ESYS);
	assert_true(audit_synced(a, &seq, hash));
	assert_int_equal(seq, 1);
	assert_int_equal(audit_sync(a), KC_OK);
	assert_true(audit_synced(a, &seq, hash));
	assert_int_equal(seq, 3);
	assert_int_equal(put(a, 1), KC_OK);
	audit_sync_ahead(a);
	assert_int_equal(audit_sync(a), KC_OK);
	assert_true(audit_synced(a, &seq, hash));
	assert_int_equal(seq, 4);
	audit_close(a);
}

static void audit__result__has_code_and_text_and_keeps_the_error(void **state)
{
	struct audit *a = open_log(0, 0, NULL);
	char *text;
	int rc = err_set(KC_EBUSY, "database k is locked");

	(void)state;
	fail_write = 1;
	assert_int_equal(audit_result(a, &(struct audit_record){ .event = AUDIT_RESTORE_END }, rc), KC_EBUSY);
	assert_string_equal(err_text(KC_EBUSY), "database k is locked");
	assert_int_equal(audit_result(a, &(struct audit_record){ .event = AUDIT_RESTORE_END }, rc), KC_EBUSY);
	assert_int_equal(audit_result(a, &(struct audit_record){ .event = AUDIT_RESTORE_END }, KC_OK), KC_OK);
	fail_write = 1;
	assert_int_equal(audit_result(a, &(struct audit_record){ .event = AUDIT_RESTORE_END }, KC_OK), KC_ENOSPC);
	audit_close(a);
	text = content(path);
	assert_non_null(strstr(text, "\"failure\",\"code\":\"KC0103E\",\"detail\":\"database k is locked\""));
	assert_non_null(strstr(text, "\"success\",\"prev\""));
	free(text);
	assert_verdict(AUDIT_SOUND, 2, 0);
}

static unsigned lines_with(const char *what)
{
	char *text = content(path), *p = text;
	unsigned n = 0;

	while ((p = strstr(p, what)) != NULL) {
		n++;
		p++;
	}
	free(text);
	return n;
}

static void audit__strangers__are_summed_by_address_and_minute(void **state)
{
	struct audit *a = open_log(0, 0, NULL);

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(audit_stranger(a, 5000 + i, "192.0.2.1", "KC0310E", "not TLS"), KC_OK);
	assert_int_equal(audit_stranger(a, 6000, "192.0.2.2", "KC0310E", "not TLS"), KC_OK);
	assert_int_equal(lines_with("\"event\""), 2);
	assert_int_equal(audit_tick(a, 64000), KC_OK);
	assert_int_equal(lines_with("\"event\""), 2);
	fail_write = 1;
	assert_int_equal(audit_tick(a, 65000), KC_ENOSPC);
	assert_int_equal(audit_tick(a, 66000), KC_OK);
	assert_int_equal(lines_with("\"event\""), 3);
	assert_int_equal(lines_with("999 more within a minute: not TLS"), 1);
	assert_int_equal(audit_stranger(a, 67000, "192.0.2.1", "KC0310E", "not TLS"), KC_OK);
	assert_int_equal(lines_with("\"event\""), 4);
	assert_int_equal(audit_stranger(a, 67001, "192.0.2.1", "KC0310E", "not TLS"), KC_OK);
	audit_close(a);
	assert_int_equal(lines_with("1 more within a minute: not TLS"), 1);
}

static void audit__too_many_strangers__are_summed_together(void **state)
{
	struct audit *a = open_log(0, 0, NULL);
	char address[32];

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		snprintf(address, sizeof(address), "2001:db8::%x", i);
		assert_int_equal(audit_stranger(a, 1000, address, "KC0310E", "not TLS"), KC_OK);
	}
	assert_int_equal(audit_tick(a, 61000), KC_OK);
	assert_int_equal(lines_with("\"event\""), 65);
	assert_int_equal(
	    lines_with("436 more within a minute: from further addresses, the last from 2001:db8::1f3"), 1);
	audit_close(a);
}

static void audit__cannot_be_made__is_an_error(void **state)
{
	struct audit *a = NULL;
	char *there = file_join(dir, "missing/log"), *link = file_join(dir, "link");

	(void)state;
	assert_int_equal(audit_open(&a, &(struct audit_options){ .path = there, .role = "clone" }), KC_ENOENT);
	assert_int_equal(symlink("/tmp/elsewhere", link), 0);
	assert_true(audit_open(&a, &(struct audit_options){ .path = link, .role = "clone" }) < 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(audit_open(&a, &(struct audit_options){ .path = path, .role = "clone" }), KC_EPERM);
	free(there);
	free(link);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(audit__first_record__has_the_members_in_order),
		T(audit__hostile_strings__stay_one_line_of_json),
		T(audit__two_writers__make_one_chain),
		T(audit__many_processes__make_one_chain),
		T(audit__reopened__goes_on),
		T(audit__over_its_size__keeps_so_many_files),
		T(audit__head_not_remembered__nothing_is_deleted),
		T(audit__gap_in_the_numbers__is_filled),
		T(audit__rename_fails__writes_on_in_the_old_file),
		T(audit__disk_full__fails_and_leaves_no_trace),
		T(audit__line_cut_short__is_closed_by_the_next_writer),
		T(audit__crash_at_any_byte__is_told_from_tampering),
		T(audit__sync_fails__is_reported_until_it_works),
		T(audit__lazily__is_synced_with_the_next_or_on_demand),
		T(audit__sync_ahead__says_later_whether_it_succeeded),
		T(audit__synced__is_what_is_on_disk_for_certain),
		T(audit__result__has_code_and_text_and_keeps_the_error),
		T(audit__strangers__are_summed_by_address_and_minute),
		T(audit__too_many_strangers__are_summed_together),
		T(audit__cannot_be_made__is_an_error),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
