/* SPDX-License-Identifier: Apache-2.0 */
/* silence: a clone whose master is not heard any more, on a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/file.h"
#include "daemon/alert.h"
#include "daemon/daemon.h"
#include "daemon/silence.h"

#define MINUTE 60000

static struct world {
	char dir[64];
	struct daemon d;
	struct conf conf;
	struct silence *s;
	bool present;
	unsigned raised, cleared;
} w;

static void told(enum alert_kind kind, const struct state_alert *a, bool raised, void *arg)
{
	(void)a, (void)arg;
	assert_int_equal(kind, ALERT_MASTER_SILENT);
	if (raised)
		w.raised++;
	else
		w.cleared++;
}

static void quiet(enum log_level level, const char *text, void *arg)
{
	(void)level, (void)text, (void)arg;
}

static bool present(void *arg)
{
	(void)arg;
	return w.present;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	snprintf(w.dir, sizeof(w.dir), "/tmp/kc-silence.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	log_set_sink(quiet, NULL);
	w.d.conf = &w.conf;
	w.d.loop = loop_new();
	loop_fake_clock(w.d.loop, 1000);
	assert_int_equal(state_open(&w.d.state, w.dir, true), KC_OK);
	assert_int_equal(alerts_new(&w.d.alerts, w.d.state, told, NULL), KC_OK);
	w.d.self.master_contact = time(NULL);
	w.s = silence_new(&w.d, present, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	silence_free(w.s);
	alerts_free(w.d.alerts);
	state_close(w.d.state);
	loop_free(w.d.loop);
	log_set_sink(NULL, NULL);
	return file_remove_tree(w.dir);
}

static void pass(unsigned minutes)
{
	for (unsigned i = 0; i < minutes * 6; i++)
		loop_fake_advance(w.d.loop, MINUTE / 6), loop_turn(w.d.loop, 0);
}

static void default__ten_minutes__or_twice_the_interval(void **state)
{
	(void)state;
	w.d.self.master_interval = 60;
	silence_start(w.s);
	pass(9);
	assert_int_equal(w.raised, 0);
	pass(2);
	assert_int_equal(w.raised, 1);
	pass(60);
	assert_int_equal(w.raised, 1);
	silence_heard(w.s);
	assert_int_equal(w.cleared, 1);
	w.d.self.master_interval = 3600;
	pass(119);
	assert_int_equal(w.raised, 1);
	pass(2);
	assert_int_equal(w.raised, 2);
}

static void configured__that_long(void **state)
{
	(void)state;
	w.d.self.master_interval = 3600;
	w.conf.max_silence_ms = 3 * MINUTE;
	silence_start(w.s);
	pass(2);
	assert_int_equal(w.raised, 0);
	pass(2);
	assert_int_equal(w.raised, 1);
}

static void session_open__is_heard(void **state)
{
	(void)state;
	w.present = true;
	silence_start(w.s);
	pass(600);
	assert_int_equal(w.raised, 0);
	w.present = false;
	pass(9);
	assert_int_equal(w.raised, 0);
	pass(2);
	assert_int_equal(w.raised, 1);
	w.present = true;
	pass(1);
	assert_int_equal(w.cleared, 1);
}

static void restart__long_silence_before__two_minutes_of_grace(void **state)
{
	(void)state;
	w.d.self.master_contact = time(NULL) - 86400;
	silence_start(w.s);
	pass(1);
	assert_int_equal(w.raised, 0);
	pass(2);
	assert_int_equal(w.raised, 1);
}

static void restart__wall_clock_went_back__counts_from_the_start(void **state)
{
	(void)state;
	w.d.self.master_contact = time(NULL) + 86400;
	silence_start(w.s);
	pass(9);
	assert_int_equal(w.raised, 0);
	pass(2);
	assert_int_equal(w.raised, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(default__ten_minutes__or_twice_the_interval, setup, teardown),
		cmocka_unit_test_setup_teardown(configured__that_long, setup, teardown),
		cmocka_unit_test_setup_teardown(session_open__is_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(restart__long_silence_before__two_minutes_of_grace, setup, teardown),
		cmocka_unit_test_setup_teardown(restart__wall_clock_went_back__counts_from_the_start, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
