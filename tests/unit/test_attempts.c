/* SPDX-License-Identifier: Apache-2.0 */
/* attempts: what was begun and not ended when a daemon died gets its end at the next start, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/audit.h"
#include "base/audit_read.h"
#include "base/err.h"
#include "base/file.h"
#include "base/msg.h"
#include "daemon/attempts.h"

#define LINEAGE "0123456789abcdef0123456789abcdef"

static struct world {
	char dir[64];
	char *path;
	struct audit *a;
} w;

static void open_audit(void)
{
	struct audit_options o = {
		.path = w.path, .host = "here", .role = "master", .max_bytes = 1 << 20, .max_files = 2
	};

	assert_int_equal(audit_open(&w.a, &o), KC_OK);
}

static int setup(void **state)
{
	(void)state;
	snprintf(w.dir, sizeof(w.dir), "/tmp/kc-attempts.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.path = file_join(w.dir, "audit.log");
	open_audit();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	audit_close(w.a);
	free(w.path);
	return file_remove_tree(w.dir);
}

static void put(enum audit_event event, enum audit_outcome outcome, uint64_t generation, const char *peer)
{
	struct audit_record r = { .event = event,
		.outcome = outcome,
		.generation = generation,
		.lineage = LINEAGE,
		.peer = peer,
		.backup = "file" };

	assert_int_equal(audit_write(w.a, &r), KC_OK);
}

/* As at the start of a daemon. */
static void start_again(void)
{
	audit_close(w.a);
	open_audit();
	assert_int_equal(attempts_close(w.a, w.path), KC_OK);
	put(AUDIT_DAEMON_START, AUDIT_SUCCESS, 0, NULL);
}

/* How many ends that say "interrupted" there are of an event, and of a generation and peer where given. */
static unsigned interrupted(enum audit_event event, uint64_t generation, const char *peer)
{
	struct audit_reader *r = NULL;
	struct audit_line line;
	unsigned n = 0;

	assert_int_equal(audit_sync(w.a), KC_OK);
	assert_int_equal(audit_reader_open(&r, w.path), KC_OK);
	while (audit_reader_next(r, &line) > 0) {
		const char *code = json_string_value(json_object_get(line.json, "code"));
		const char *who = json_string_value(json_object_get(line.json, "peer"));

		if (strcmp(json_string_value(json_object_get(line.json, "event")), audit_event_name(event)) != 0 ||
		    code == NULL || strcmp(code, msg_code(MSG_INTERRUPTED)) != 0)
			continue;
		assert_string_equal(json_string_value(json_object_get(line.json, "outcome")), "failure");
		if (generation != 0 &&
		    json_integer_value(json_object_get(line.json, "generation")) != (json_int_t)generation)
			continue;
		if (peer != NULL && (who == NULL || strcmp(who, peer) != 0))
			continue;
		n++;
	}
	audit_reader_free(r);
	return n;
}

static void log__none_or_empty__is_fine(void **state)
{
	(void)state;
	start_again();
	assert_int_equal(interrupted(AUDIT_PUSH_END, 0, NULL), 0);
}

static void attempts__each_kind__gets_its_end(void **state)
{
	static const enum audit_event pairs[][2] = {
		{ AUDIT_REPLICATION_START, AUDIT_REPLICATION_END },
		{ AUDIT_BACKUP_CREATE, AUDIT_BACKUP_CREATE },
		{ AUDIT_PUSH_START, AUDIT_PUSH_END },
		{ AUDIT_RECEIVE_START, AUDIT_RECEIVE_END },
		{ AUDIT_RESTORE_START, AUDIT_RESTORE_END },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		put(pairs[i][0], AUDIT_STARTED, 4, "10.0.0.5:2222");
	start_again();
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		assert_int_equal(interrupted(pairs[i][1], 4, "10.0.0.5:2222"), 1);
}

static void attempts__ended__get_no_second_end(void **state)
{
	(void)state;
	put(AUDIT_PUSH_START, AUDIT_STARTED, 4, "a:1");
	put(AUDIT_PUSH_END, AUDIT_FAILURE, 4, "a:1");
	put(AUDIT_RESTORE_START, AUDIT_STARTED, 4, NULL);
	put(AUDIT_RESTORE_END, AUDIT_SUCCESS, 4, "m:1");
	start_again();
	assert_int_equal(interrupted(AUDIT_PUSH_END, 0, NULL), 0);
	assert_int_equal(interrupted(AUDIT_RESTORE_END, 0, NULL), 0);
}

static void attempts__of_several_peers_and_generations__are_told_apart(void **state)
{
	(void)state;
	put(AUDIT_PUSH_START, AUDIT_STARTED, 4, "a:1");
	put(AUDIT_PUSH_START, AUDIT_STARTED, 4, "b:1");
	put(AUDIT_PUSH_START, AUDIT_STARTED, 5, "a:1");
	put(AUDIT_PUSH_END, AUDIT_SUCCESS, 4, "a:1");
	start_again();
	assert_int_equal(interrupted(AUDIT_PUSH_END, 0, NULL), 2);
	assert_int_equal(interrupted(AUDIT_PUSH_END, 4, "b:1"), 1);
	assert_int_equal(interrupted(AUDIT_PUSH_END, 5, "a:1"), 1);
}

static void attempts__second_start__adds_nothing(void **state)
{
	(void)state;
	put(AUDIT_RECEIVE_START, AUDIT_STARTED, 4, NULL);
	start_again();
	start_again();
	start_again();
	assert_int_equal(interrupted(AUDIT_RECEIVE_END, 0, NULL), 1);
}

/* Killed between the ends it wrote and daemon.start. */
static void attempts__start_that_was_killed__is_gone_on_with(void **state)
{
	(void)state;
	put(AUDIT_PUSH_START, AUDIT_STARTED, 4, "a:1");
	put(AUDIT_PUSH_START, AUDIT_STARTED, 4, "b:1");
	put(AUDIT_PUSH_END, AUDIT_FAILURE, 4, "a:1");
	start_again();
	assert_int_equal(interrupted(AUDIT_PUSH_END, 4, "a:1"), 0);
	assert_int_equal(interrupted(AUDIT_PUSH_END, 4, "b:1"), 1);
}

static void attempts__more_than_are_remembered__the_newest_are_closed(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 300; i++)
		put(AUDIT_PUSH_START, AUDIT_STARTED, i, "a:1");
	start_again();
	assert_int_equal(interrupted(AUDIT_PUSH_END, 300, NULL), 1);
	assert_in_range(interrupted(AUDIT_PUSH_END, 0, NULL), 100, 300);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(log__none_or_empty__is_fine),
		T(attempts__each_kind__gets_its_end),
		T(attempts__ended__get_no_second_end),
		T(attempts__of_several_peers_and_generations__are_told_apart),
		T(attempts__second_start__adds_nothing),
		T(attempts__start_that_was_killed__is_gone_on_with),
		T(attempts__more_than_are_remembered__the_newest_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
