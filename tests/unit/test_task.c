/* SPDX-License-Identifier: Apache-2.0 */
/* task: put down and up, and the daily reminder, by a clock that the test holds. What it tells is counted here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/alert.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "daemon/master.h"
#include "daemon/task.h"

#define HOUR ((uint64_t)3600 * 1000)

static struct {
	unsigned starts, stops, reminders, raised, cleared, saves, told;
	bool up, was_up;
	int audit_rc;
} seen;

int daemon_audit(struct daemon *d, const struct audit_record *r)
{
	(void)d;
	seen.starts += r->event == AUDIT_TASK_START;
	seen.stops += r->event == AUDIT_TASK_STOP;
	seen.reminders += r->event == AUDIT_TASK_REMIND;
	return seen.audit_rc < 0 ? err_set(seen.audit_rc, "no audit") : KC_OK;
}

int daemon_save(struct daemon *d)
{
	(void)d;
	seen.saves++;
	return KC_OK;
}

void alert_raise(struct daemon *d, enum alert_kind kind, const char *subject, const char *text)
{
	(void)d, (void)subject, (void)text;
	assert_int_equal(kind, ALERT_TASK_STOPPED);
	seen.raised++;
}

void alert_clear(struct daemon *d, enum alert_kind kind, const char *subject, const char *text)
{
	(void)d, (void)kind, (void)subject, (void)text;
	seen.cleared++;
}

void master_set_task(struct master *m, bool up)
{
	(void)m;
	seen.told++;
	seen.up = up;
}

void clone_set_task(struct clone_role *c, bool up)
{
	(void)c;
	seen.told++;
	seen.up = up;
}

const char *control_who(const struct control_client *c)
{
	(void)c;
	return "by root";
}

void control_answer(struct control_client *c, json_t *result)
{
	(void)c;
	seen.was_up = json_is_true(json_object_get(result, "was_up"));
	json_decref(result);
}

static struct daemon *begin(bool stopped)
{
	struct daemon *d = mem_xalloc(sizeof(*d));

	memset(&seen, 0, sizeof(seen));
	d->loop = loop_new();
	loop_fake_clock(d->loop, 1000);
	d->self.stopped = stopped;
	task_begin(d);
	return d;
}

static void end(struct daemon *d)
{
	task_end(d);
	loop_free(d->loop);
	free(d);
}

static void pass(struct daemon *d, uint64_t ms)
{
	loop_fake_advance(d->loop, ms);
	loop_turn(d->loop, 0);
}

static void stop__task_that_is_up__reminds_each_day_until_start(void **state)
{
	struct daemon *d = begin(false);

	(void)state;
	pass(d, 48 * HOUR);
	assert_int_equal(seen.reminders, 0);
	task_set(d, NULL, false);
	assert_true(seen.was_up);
	assert_true(d->self.stopped);
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.saves, 1);
	assert_false(seen.up);
	pass(d, 24 * HOUR - 1000);
	assert_int_equal(seen.reminders, 0);
	assert_int_equal(seen.raised, 0);
	pass(d, 1000);
	assert_int_equal(seen.reminders, 1);
	assert_int_equal(seen.raised, 1);
	pass(d, 24 * HOUR);
	pass(d, 24 * HOUR);
	assert_int_equal(seen.reminders, 3);
	task_set(d, NULL, true);
	assert_false(seen.was_up);
	assert_int_equal(seen.starts, 1);
	assert_int_equal(seen.cleared, 1);
	assert_true(seen.up);
	pass(d, 72 * HOUR);
	assert_int_equal(seen.reminders, 3);
	end(d);
}

static void stop__stopped_already__nothing_is_done(void **state)
{
	struct daemon *d = begin(true);

	(void)state;
	task_set(d, NULL, false);
	assert_false(seen.was_up);
	assert_int_equal(seen.stops, 0);
	assert_int_equal(seen.told, 0);
	end(d);
}

static void begin__stopped_before_a_restart__reminds(void **state)
{
	struct daemon *d = begin(true);

	(void)state;
	pass(d, 24 * HOUR);
	assert_int_equal(seen.reminders, 1);
	end(d);
}

static void stop__no_audit__not_done(void **state)
{
	struct daemon *d = begin(false);

	(void)state;
	seen.audit_rc = KC_ENOSPC;
	task_set(d, NULL, false);
	assert_false(d->self.stopped);
	assert_int_equal(seen.told, 0);
	end(d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(stop__task_that_is_up__reminds_each_day_until_start),
		cmocka_unit_test(stop__stopped_already__nothing_is_done),
		cmocka_unit_test(begin__stopped_before_a_restart__reminds),
		cmocka_unit_test(stop__no_audit__not_done),
	};

	if (mem_init() < 0)
		return 1;
	log_init("test_task", LOG_LVL_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
