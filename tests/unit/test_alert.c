/* SPDX-License-Identifier: Apache-2.0 */
/* alert: raised once until it is over, over restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/file.h"
#include "base/member.h"
#include "daemon/alert.h"
#include "daemon/daemon.h"

static struct world {
	char dir[64];
	struct daemon d;
	unsigned raised, cleared;
	char last[800];
} w;

static void told(enum alert_kind kind, const struct state_alert *a, bool raised, void *arg)
{
	assert_ptr_equal(arg, &w);
	snprintf(w.last, sizeof(w.last), "%s %s: %s", alert_name(kind), a->subject, a->text);
	if (raised)
		w.raised++;
	else
		w.cleared++;
}

static void quiet(enum log_level level, const char *text, void *arg)
{
	(void)level, (void)text, (void)arg;
}

static void open_all(void)
{
	assert_int_equal(state_open(&w.d.state, w.dir, true), KC_OK);
	assert_int_equal(alerts_new(&w.d.alerts, w.d.state, told, &w), KC_OK);
}

static void close_all(void)
{
	alerts_free(w.d.alerts);
	state_close(w.d.state);
	w.d.alerts = NULL;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	snprintf(w.dir, sizeof(w.dir), "/tmp/kc-alert.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	log_set_sink(quiet, NULL);
	open_all();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close_all();
	log_set_sink(NULL, NULL);
	return file_remove_tree(w.dir);
}

static size_t listed(void)
{
	json_t *list = alerts_json(&w.d);
	size_t n = json_array_size(list);

	json_decref(list);
	return n;
}

static void raise__again__is_told_once(void **state)
{
	json_t *list;

	(void)state;
	alert_raise(&w.d, ALERT_CLONE_UNREACHABLE, "h:1", "connection refused");
	alert_raise(&w.d, ALERT_CLONE_UNREACHABLE, "h:1", "no route to host");
	assert_int_equal(w.raised, 1);
	list = alerts_json(&w.d);
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(member_text(json_array_get(list, 0), "text"), "no route to host");
	assert_string_equal(member_text(json_array_get(list, 0), "title"), "clone h:1 cannot be reached");
	json_decref(list);
}

static void raise__restart__is_neither_forgotten_nor_told_again(void **state)
{
	(void)state;
	alert_raise(&w.d, ALERT_RESTORE_FAILED, "", "no room");
	close_all();
	open_all();
	assert_true(alert_is_raised(&w.d, ALERT_RESTORE_FAILED, ""));
	alert_raise(&w.d, ALERT_RESTORE_FAILED, "", "no room");
	assert_int_equal(w.raised, 1);
	alert_clear(&w.d, ALERT_RESTORE_FAILED, "", "restored");
	assert_int_equal(w.cleared, 1);
	close_all();
	open_all();
	assert_int_equal(listed(), 0);
}

static void clear__not_raised__is_not_told(void **state)
{
	(void)state;
	alert_clear(&w.d, ALERT_MASTER_SILENT, "", "heard");
	alert_clear_clone(&w.d, "h:1", "current");
	assert_int_equal(w.cleared, 0);
}

static void clone__another_trouble__replaces_the_first(void **state)
{
	(void)state;
	alert_raise_clone(&w.d, ALERT_CLONE_UNREACHABLE, "h:1", "timeout");
	alert_raise_clone(&w.d, ALERT_CLONE_DIVERGED, "h:1", "3 rows");
	alert_raise_clone(&w.d, ALERT_CLONE_FAILED, "h:2", "no room");
	assert_int_equal(w.raised, 3);
	assert_int_equal(w.cleared, 0);
	assert_int_equal(listed(), 2);
	alert_clear_clone(&w.d, "h:1", "current");
	assert_int_equal(w.cleared, 1);
	assert_string_equal(w.last, "clone.diverged h:1: current");
	alert_forget_clone(&w.d, "h:2");
	assert_int_equal(w.cleared, 1);
	assert_int_equal(listed(), 0);
}

static void text__control_characters__are_not_shown(void **state)
{
	(void)state;
	alert_raise(&w.d, ALERT_RUN_HELD, "", "a\033[31m\nb");
	assert_string_equal(w.last, "run.held : a?[31m?b");
}

static void role__changed__what_only_the_other_could_clear_is_over(void **state)
{
	struct master *some = (struct master *)&w;

	(void)state;
	alert_raise(&w.d, ALERT_CLONE_REFUSED, "10.0.0.5:2222", "fenced");
	alert_raise(&w.d, ALERT_RUN_HELD, "", "59 of 105 rows");
	alert_raise(&w.d, ALERT_MASTER_SILENT, "", "for 20 min");
	alert_raise(&w.d, ALERT_TASK_STOPPED, "", "for a day");
	w.d.master = some;
	alert_clear_other_role(&w.d);
	assert_int_equal(w.cleared, 1);
	assert_false(alert_is_raised(&w.d, ALERT_MASTER_SILENT, ""));
	assert_true(alert_is_raised(&w.d, ALERT_CLONE_REFUSED, "10.0.0.5:2222"));
	w.d.master = NULL;
	alert_clear_other_role(&w.d);
	assert_int_equal(w.cleared, 3);
	assert_false(alert_is_raised(&w.d, ALERT_RUN_HELD, ""));
	assert_true(alert_is_raised(&w.d, ALERT_TASK_STOPPED, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(raise__again__is_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(raise__restart__is_neither_forgotten_nor_told_again, setup, teardown),
		cmocka_unit_test_setup_teardown(clear__not_raised__is_not_told, setup, teardown),
		cmocka_unit_test_setup_teardown(clone__another_trouble__replaces_the_first, setup, teardown),
		cmocka_unit_test_setup_teardown(text__control_characters__are_not_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    role__changed__what_only_the_other_could_clear_is_over, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
