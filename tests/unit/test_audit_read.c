/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the audit log's readers: rotations, filters, follow, and what verify says of each kind of tampering. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/audit_read.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define RECORDS 20

static char dir[64];
static char *path;
static char *text;	     /* the sound log of RECORDS records */
static char *lines[RECORDS]; /* its lines, with their newlines */
static struct audit_point points[RECORDS + 1];

static struct audit *open_log(uint64_t max_bytes)
{
	struct audit *a = NULL;

	assert_int_equal(
	    audit_open(
		&a, &(struct audit_options){ .path = path, .host = "h", .role = "clone", .max_bytes = max_bytes }),
	    KC_OK);
	return a;
}

static void put(struct audit *a, enum audit_event e, enum audit_outcome o, const char *peer)
{
	assert_int_equal(audit_write(a, &(struct audit_record){ .event = e, .outcome = o, .peer = peer }), KC_OK);
}

static int setup(void **state)
{
	struct audit *a;
	struct buf b;
	char *p;

	(void)state;
	strcpy(dir, "/tmp/kc-test-audit.XXXXXX");
	if (mem_init() != KC_OK || mkdtemp(dir) == NULL)
		return -1;
	path = file_join(dir, "log");
	a = open_log(0);
	for (size_t i = 0; i < RECORDS; i++) {
		put(a, AUDIT_PUSH_START, AUDIT_STARTED, "10.0.0.5:2222");
		assert_int_equal(audit_head(a, &points[i + 1].seq, points[i + 1].hash), KC_OK);
	}
	audit_close(a);
	buf_init(&b, 1 << 20);
	assert_int_equal(file_read(&b, path), KC_OK);
	text = mem_xstrdup(buf_str(&b));
	buf_fini(&b);
	p = text;
	for (size_t i = 0; i < RECORDS; i++) {
		size_t n = strcspn(p, "\n") + 1;

		lines[i] = mem_xstrndup(p, n);
		p += n;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < RECORDS; i++)
		free(lines[i]);
	free(text);
	free(path);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

/* Write the file anew from lines[order[i]]; ends at -1. */
static void write_lines(const char *file, const int *order)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (; *order >= 0; order++)
		buf_put_str(&b, lines[*order]);
	assert_int_equal(file_replace(file, buf_data(&b), buf_len(&b), 0600), KC_OK);
	buf_fini(&b);
}

static void write_range(const char *file, int first, int end)
{
	int order[RECORDS + 1], n = 0;

	for (int i = first; i < end; i++)
		order[n++] = i;
	order[n] = -1;
	write_lines(file, order);
}

static void assert_found(
    enum audit_problem problem, unsigned long line, const struct audit_point *start, const struct audit_point *newest)
{
	struct audit_verdict v;
	int rc = audit_verify(&v, path, start, newest);

	if (v.problem != problem || v.line != line)
		print_error("%s\n", rc == KC_OK ? "sound" : err_text(rc));
	assert_int_equal(rc, problem == AUDIT_SOUND ? KC_OK : KC_EFOUND);
	assert_int_equal(v.problem, problem);
	assert_int_equal(v.line, line);
	audit_verdict_fini(&v);
}

static void verify__untouched__is_sound(void **state)
{
	struct audit_verdict v;

	(void)state;
	assert_int_equal(audit_verify(&v, path, NULL, &points[RECORDS]), KC_OK);
	assert_int_equal(v.records, RECORDS);
	assert_int_equal(v.first, 1);
	assert_int_equal(v.last, RECORDS);
	assert_int_equal(v.files, 1);
	audit_verdict_fini(&v);
	for (size_t i = 1; i <= RECORDS; i++)
		assert_found(AUDIT_SOUND, 0, NULL, &points[i]);
}

static void replace_in(size_t line, const char *what, const char *with)
{
	char *at = strstr(lines[line], what), *changed;

	assert_non_null(at);
	changed = mem_xasprintf("%.*s%s%s", (int)(at - lines[line]), lines[line], with, at + strlen(what));
	free(lines[line]);
	lines[line] = changed;
	write_range(path, 0, RECORDS);
}

static void verify__record_edited__is_named(void **state)
{
	(void)state;
	replace_in(4, "10.0.0.5", "10.0.0.6");
	assert_found(AUDIT_EDITED, 5, NULL, NULL);
}

static void verify__first_or_last_record_edited__is_named(void **state)
{
	(void)state;
	replace_in(RECORDS - 1, "started", "success");
	assert_found(AUDIT_SOUND, 0, NULL, NULL);		     /* nothing follows it … */
	assert_found(AUDIT_EDITED, RECORDS, NULL, &points[RECORDS]); /* … unless its hash is known */
	replace_in(0, "started", "success");
	assert_found(AUDIT_EDITED, 1, NULL, NULL);
}

static void verify__chain_member_edited__is_named(void **state)
{
	char *prev = strstr(lines[6], "\"prev\":\"");

	(void)state;
	prev[10] = prev[10] == '0' ? '1' : '0';
	write_range(path, 0, RECORDS);
	assert_found(AUDIT_EDITED, 7, NULL, NULL);
}

static void verify__number_edited__is_named(void **state)
{
	(void)state;
	replace_in(6, "\"seq\":7", "\"seq\":9");
	assert_found(AUDIT_EDITED, 7, NULL, NULL);
}

static void verify__line_of_garbage__is_named(void **state)
{
	(void)state;
	replace_in(6, "\"seq\":7", "\"seq\":7,,");
	assert_found(AUDIT_EDITED, 7, NULL, NULL);
	replace_in(6, "{", "");
	assert_found(AUDIT_EDITED, 7, NULL, NULL);
}

static void verify__record_removed__is_named(void **state)
{
	const int order[] = { 0, 1, 2, 5, 6, -1 };

	(void)state;
	write_lines(path, order);
	assert_found(AUDIT_REMOVED, 4, NULL, NULL);
}

static void verify__records_swapped__is_named(void **state)
{
	const int order[] = { 0, 1, 2, 4, 3, 5, 6, -1 }, twice[] = { 0, 1, 2, 2, 3, -1 };

	(void)state;
	write_lines(path, order);
	assert_found(AUDIT_REORDERED, 4, NULL, NULL);
	write_lines(path, twice);
	assert_found(AUDIT_REORDERED, 4, NULL, NULL);
}

static void verify__cut_at_its_end__needs_a_later_head(void **state)
{
	(void)state;
	write_range(path, 0, 15);
	assert_found(AUDIT_SOUND, 0, NULL, NULL);
	assert_found(AUDIT_REMOVED, 15, NULL, &points[RECORDS]);
	assert_int_equal(file_replace(path, text, strlen(text) - 10, 0600), KC_OK);
	assert_found(AUDIT_TORN, RECORDS, NULL, NULL);
}

static void verify__files_gone__only_up_to_the_remembered_head(void **state)
{
	(void)state;
	write_range(path, 10, RECORDS);
	assert_found(AUDIT_REMOVED, 1, NULL, NULL);
	assert_found(AUDIT_REMOVED, 1, &points[5], NULL);
	assert_found(AUDIT_SOUND, 0, &points[10], NULL);
	assert_found(AUDIT_SOUND, 0, &points[12], NULL); /* remembered, not yet deleted */
	assert_found(AUDIT_REMOVED, 10, &(struct audit_point){ 21, AUDIT_NO_HASH }, NULL);
	assert_found(AUDIT_REMOVED, 1, &(struct audit_point){ 10, AUDIT_NO_HASH }, NULL);
	assert_found(AUDIT_EDITED, 2, &(struct audit_point){ 12, AUDIT_NO_HASH }, NULL);
}

static void verify__over_rotations__names_the_file(void **state)
{
	char *p1 = file_join(dir, "log.1"), *p2 = file_join(dir, "log.2"), *p10 = file_join(dir, "log.10");
	struct audit_verdict v;

	(void)state;
	write_range(path, 15, RECORDS);
	write_range(p1, 10, 15);
	write_range(p2, 5, 10);
	write_range(p10, 0, 5);
	assert_int_equal(audit_verify(&v, path, NULL, NULL), KC_OK);
	assert_int_equal(v.files, 4);
	assert_int_equal(v.records, RECORDS);
	audit_verdict_fini(&v);
	assert_int_equal(file_remove(p2), KC_OK);
	assert_int_equal(audit_verify(&v, path, NULL, NULL), KC_EFOUND);
	assert_int_equal(v.problem, AUDIT_REMOVED);
	assert_string_equal(v.file, p1);
	assert_int_equal(v.line, 1);
	audit_verdict_fini(&v);
	free(p1);
	free(p2);
	free(p10);
}

static void verify__torn_line_that_nobody_closed__is_not_accepted(void **state)
{
	char *cut = mem_xstrndup(lines[3], 40);
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < 3; i++)
		buf_put_str(&b, lines[i]);
	buf_putf(&b, "%s\n", cut);
	for (size_t i = 4; i < 8; i++)
		buf_put_str(&b, lines[i]);
	assert_int_equal(file_replace(path, buf_data(&b), buf_len(&b), 0600), KC_OK);
	assert_found(AUDIT_EDITED, 4, NULL, NULL);
	buf_fini(&b);
	free(cut);
}

static void verify__a_line_without_end__does_not_need_memory(void **state)
{
	static char big[100000];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(file_replace(path, big, sizeof(big), 0600), KC_OK);
	assert_found(AUDIT_EDITED, 1, NULL, NULL);
}

static unsigned count(struct audit_reader *r, const struct audit_filter *f)
{
	struct audit_line line;
	unsigned n = 0;
	int got;

	while ((got = audit_reader_next(r, &line)) > 0)
		n += f == NULL || audit_filter_match(f, &line);
	assert_int_equal(got, 0);
	return n;
}

static unsigned count_matching(const struct audit_filter *f)
{
	struct audit_reader *r;
	unsigned n;

	assert_int_equal(audit_reader_open(&r, path), KC_OK);
	n = count(r, f);
	audit_reader_free(r);
	return n;
}

static void filter__each_condition__holds(void **state)
{
	struct audit *a = open_log(0);

	(void)state;
	put(a, AUDIT_PUSH_END, AUDIT_FAILURE, "[::1]:2222");
	put(a, AUDIT_RESTORE_END, AUDIT_FAILURE, NULL);
	put(a, AUDIT_PUSH_END, AUDIT_SUCCESS, "10.0.0.55:2222");
	audit_close(a);
	assert_int_equal(count_matching(&(struct audit_filter){ .failed = true }), 2);
	assert_int_equal(count_matching(&(struct audit_filter){ .event = "push" }), RECORDS + 2);
	assert_int_equal(count_matching(&(struct audit_filter){ .event = "push.end" }), 2);
	assert_int_equal(count_matching(&(struct audit_filter){ .peer = "10.0.0.5" }), RECORDS);
	assert_int_equal(count_matching(&(struct audit_filter){ .peer = "10.0.0.5:2222" }), RECORDS);
	assert_int_equal(count_matching(&(struct audit_filter){ .peer = "10.0.0.5:222" }), 0);
	assert_int_equal(count_matching(&(struct audit_filter){ .peer = "::1" }), 1);
	assert_int_equal(count_matching(&(struct audit_filter){ .peer = "[::1]:2222" }), 1);
	assert_int_equal(count_matching(&(struct audit_filter){ .peer = "[::1]" }), 1);
	assert_int_equal(count_matching(&(struct audit_filter){ .peer = "::" }), 0);
	assert_int_equal(count_matching(&(struct audit_filter){ .since_ms = 1000 }), RECORDS + 3);
	assert_int_equal(count_matching(&(struct audit_filter){ .since_ms = (time(NULL) + 60) * 1000LL }), 0);
}

static void since__each_form__is_understood(void **state)
{
	static const char *const bad[] = { "", "x", "5", "5y", "-5m", "2026-13-01", "2026-06-19T25:00Z", "2026-06-19Z",
		"2026-06-19T10:00:00 ", "2026-06-19T10:00+2", "99:00", "10:60", "5mm" };
	time_t now = 1781873459; /* 2026-06-19T12:50:59Z */
	int64_t ms;

	(void)state;
	assert_int_equal(setenv("TZ", "CET-1", 1), 0);
	tzset();
	assert_int_equal(audit_parse_since(&ms, "2026-06-19T12:50:59.250Z", now), KC_OK);
	assert_int_equal(ms, 1781873459250);
	assert_int_equal(audit_parse_since(&ms, "2026-06-19T14:50:59+02:00", now), KC_OK);
	assert_int_equal(ms, 1781873459000);
	assert_int_equal(audit_parse_since(&ms, "2026-06-19 13:50:59", now), KC_OK);
	assert_int_equal(ms, 1781873459000);
	assert_int_equal(audit_parse_since(&ms, "2026-06-19 13:50", now), KC_OK);
	assert_int_equal(ms, 1781873400000);
	assert_int_equal(audit_parse_since(&ms, "13:50", now), KC_OK);
	assert_int_equal(ms, 1781873400000);
	assert_int_equal(audit_parse_since(&ms, "2026-06-19", now), KC_OK);
	assert_int_equal(ms, 1781823600000);
	assert_int_equal(audit_parse_since(&ms, "90s", now), KC_OK);
	assert_int_equal(ms, (now - 90) * 1000LL);
	assert_int_equal(audit_parse_since(&ms, "2d", now), KC_OK);
	assert_int_equal(ms, (now - 2 * 86400) * 1000LL);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(audit_parse_since(&ms, bad[i], now), KC_EUSAGE);
}

static void reader__follows__over_rotations(void **state)
{
	struct audit *a = open_log(800);
	struct audit_reader *r;

	(void)state;
	assert_int_equal(audit_reader_open(&r, path), KC_OK);
	assert_int_equal(count(r, NULL), RECORDS);
	assert_int_equal(audit_reader_wait(r, 0), KC_ETIMEOUT);
	for (unsigned turn = 0; turn < 10; turn++) {
		for (unsigned i = 0; i < turn; i++)
			put(a, AUDIT_PUSH_END, AUDIT_SUCCESS, NULL);
		if (turn > 0)
			assert_int_equal(audit_reader_wait(r, 1000), KC_OK);
		assert_int_equal(count(r, NULL), turn);
		assert_int_equal(count(r, NULL), 0);
	}
	audit_close(a);
	audit_reader_free(r);
}

static void reader__line_not_yet_whole__waits(void **state)
{
	struct audit_reader *r;
	FILE *f;

	(void)state;
	assert_int_equal(audit_reader_open(&r, path), KC_OK);
	assert_int_equal(count(r, NULL), RECORDS);
	f = fopen(path, "a");
	assert_non_null(f);
	fprintf(f, "{\"seq\":21,");
	fflush(f);
	assert_int_equal(count(r, NULL), 0);
	fprintf(f, "\"prev\":\"%s\"}\n", AUDIT_NO_HASH);
	fclose(f);
	assert_int_equal(count(r, NULL), 1);
	audit_reader_free(r);
}

/* The table of the records that `write` adds. */
static char *table_of(void (*write)(struct audit *a), bool colour)
{
	struct audit_table t = { .width = 0, .colour = colour };
	struct audit *a = open_log(0);
	struct audit_reader *r;
	struct audit_line line;
	struct buf b;
	char *table;

	write(a);
	audit_close(a);
	buf_init(&b, 100000);
	assert_int_equal(audit_reader_open(&r, path), KC_OK);
	audit_format_heading(&b, &t);
	while (audit_reader_next(r, &line) > 0)
		if (line.number > RECORDS)
			audit_format(&b, &t, &line);
	audit_reader_free(r);
	table = strdup(buf_str(&b));
	buf_fini(&b);
	return table;
}

static void write_failure(struct audit *a)
{
	assert_int_equal(audit_write(a, &(struct audit_record){ .event = AUDIT_RECEIVE_END,
					    .outcome = AUDIT_FAILURE,
					    .generation = 7,
					    .peer = "10.0.0.1:40000",
					    .bytes = 1500000,
					    .duration_ms = 1250,
					    .code = "KC0105E",
					    .detail = "the peer said nothing within 60 s, and it goes on where it "
						      "broke off" }),
	    KC_OK);
}

static void format__record__fits_80_columns(void **state)
{
	char *table = table_of(write_failure, false);

	(void)state;
	assert_non_null(strstr(table, "TIME      EVENT             OUTCOME   GEN  PEER"));
	assert_non_null(strstr(table, "  receive.end       failure     7  10.0.0.1:40000  1.5 MB, 1.2 s\n"
				      "          KC0105E: the peer said nothing within 60 s, and it goes on where it\n"
				      "          broke off\n"));
	assert_null(strchr(table, '\033'));
	free(table);
	table = table_of(write_failure, true);
	assert_non_null(strstr(table, "\033[31mfailure\033[0m"));
	free(table);
}

static void write_run(struct audit *a)
{
	static const struct audit_clone clones[] = {
		{ "10.0.0.5:2222", "restored", 1500000, 85, NULL },
		{ "clone-b.example:2222", "unreachable", 0, 0, "connection refused" },
	};

	assert_int_equal(audit_write(a, &(struct audit_record){ .event = AUDIT_REPLICATION_END,
					    .outcome = AUDIT_FAILURE,
					    .generation = 41,
					    .duration_ms = 90,
					    .code = "KC0001E",
					    .detail = "1 of 2 clones have it",
					    .clones = clones,
					    .n_clones = 2 }),
	    KC_OK);
}

static void format__end_of_a_run__has_a_line_a_clone(void **state)
{
	struct audit_filter f = { .peer = "clone-b.example" }, other = { .peer = "10.0.0.6" };
	struct audit_reader *r;
	struct audit_line line;
	unsigned matched = 0;
	char *table = table_of(write_run, false);

	(void)state;
	assert_non_null(strstr(table, "  replication.end   failure    41  90 ms\n"
				      "          KC0001E: 1 of 2 clones have it\n"
				      "          10.0.0.5:2222         restored   1.5 MB, 85 ms\n"
				      "          clone-b.example:2222  unreachable  connection refused\n"));
	free(table);
	assert_int_equal(audit_reader_open(&r, path), KC_OK);
	while (audit_reader_next(r, &line) > 0) {
		matched += audit_filter_match(&f, &line);
		assert_false(line.number > RECORDS && audit_filter_match(&other, &line));
	}
	audit_reader_free(r);
	assert_int_equal(matched, 1);
}

/* Twenty clones with the longest names and reasons there are. */
static void write_much(struct audit *a)
{
	struct audit_clone clones[AUDIT_CLONES_MAX];
	char name[400], detail[3000];

	memset(name, 'h', sizeof(name));
	memset(detail, '"', sizeof(detail));
	name[sizeof(name) - 1] = detail[sizeof(detail) - 1] = '\0';
	for (size_t i = 0; i < AUDIT_CLONES_MAX; i++)
		clones[i] = (struct audit_clone){ name, "unreachable", UINT64_C(1) << 52, UINT64_C(1) << 52, detail };
	assert_int_equal(audit_write(a, &(struct audit_record){ .event = AUDIT_REPLICATION_END,
					    .outcome = AUDIT_FAILURE,
					    .detail = detail,
					    .clones = clones,
					    .n_clones = AUDIT_CLONES_MAX }),
	    KC_OK);
}

static void format__twenty_long_names__are_one_record(void **state)
{
	char *table = table_of(write_much, false);

	(void)state;
	assert_non_null(strstr(table, "replication.end"));
	free(table);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(verify__untouched__is_sound),
		T(verify__record_edited__is_named),
		T(verify__first_or_last_record_edited__is_named),
		T(verify__chain_member_edited__is_named),
		T(verify__number_edited__is_named),
		T(verify__line_of_garbage__is_named),
		T(verify__record_removed__is_named),
		T(verify__records_swapped__is_named),
		T(verify__cut_at_its_end__needs_a_later_head),
		T(verify__files_gone__only_up_to_the_remembered_head),
		T(verify__over_rotations__names_the_file),
		T(verify__torn_line_that_nobody_closed__is_not_accepted),
		T(verify__a_line_without_end__does_not_need_memory),
		T(filter__each_condition__holds),
		T(since__each_form__is_understood),
		T(reader__follows__over_rotations),
		T(reader__line_not_yet_whole__waits),
		T(format__record__fits_80_columns),
		T(format__end_of_a_run__has_a_line_a_clone),
		T(format__twenty_long_names__are_one_record),
	};

	return cmocka_run_group_tests_name("audit_read", tests, NULL, NULL);
}
