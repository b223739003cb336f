/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of master_schedule on two clocks that the test holds: the loop's, and the one on the wall. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "daemon/master_schedule.h"

#define T(name) static void name(void **state __attribute__((unused)))

#define HOURS 3600

static struct loop *loop;
static struct master_schedule *schedule;
static int64_t wall_time;
static unsigned looks, changes;

static int64_t wall(void)
{
	return wall_time;
}

static void on_look(bool change, void *arg)
{
	(void)arg;
	looks++;
	changes += change;
}

static int64_t utc(const char *text)
{
	int64_t t = 0;

	assert_int_equal(clock_parse_utc(&t, text), KC_OK);
	return t;
}

static void same(int64_t got, const char *wanted)
{
	char text[CLOCK_UTC_SIZE];

	assert_string_equal(clock_utc(text, got), wanted);
}

static void at(const char *time)
{
	wall_time = utc(time);
}

static void begin(const char *time)
{
	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	loop = loop_new();
	loop_fake_clock(loop, 1000000);
	at(time);
	looks = changes = 0;
	schedule =
	    master_schedule_new(&(struct master_schedule_options){ .loop = loop, .wall = wall, .look = on_look });
}

static void end(void)
{
	master_schedule_free(schedule);
	loop_free(loop);
}

static void pass_ms(unsigned ms)
{
	loop_fake_advance(loop, ms);
	loop_turn(loop, 0);
}

/* Both clocks go on. */
static void pass(unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		wall_time++;
		pass_ms(1000);
	}
}

/* Sleeping or switched off: the wall clock goes on alone. */
static void jump(int64_t seconds)
{
	wall_time += seconds;
	pass(SCHEDULE_LOOK_MS / 1000 + 1);
}

T(interval__looks_at_once_and_then_regularly)
{
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 3600000, NULL, false);
	assert_int_equal(master_schedule_start(schedule, 0), 0);
	pass(1);
	assert_int_equal(looks, 1);
	same(master_schedule_next_look(schedule), "2026-06-19T13:00:00Z");
	pass(3600 - 1);
	assert_int_equal(looks, 2);
	pass(3600);
	assert_int_equal(looks, 3);
	end();
}

T(interval__clock_jumps_a_day__looks_and_goes_on)
{
	static const int64_t jumps[] = { 86400, -86400 };

	for (size_t i = 0; i < 2; i++) {
		begin("2026-06-19T12:00:00Z");
		master_schedule_configure(schedule, 3600000, NULL, false);
		master_schedule_start(schedule, 0);
		pass(1);
		jump(jumps[i]);
		assert_int_equal(looks, 2);
		pass(3600);
		assert_int_equal(looks, 3);
		assert_true(master_schedule_next_look(schedule) <= wall_time + 3600);
		end();
	}
}

T(daily__looks_at_its_hour_only)
{
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 60000, "23:00", false);
	same(master_schedule_start(schedule, 0), "2026-06-19T12:00:00Z");
	same(master_schedule_next_look(schedule), "2026-06-19T21:00:00Z");
	pass(9 * HOURS - 1);
	assert_int_equal(looks, 0);
	pass(1);
	assert_int_equal(looks, 1);
	same(master_schedule_begun(schedule), "2026-06-19T21:00:00Z");
	pass(24 * HOURS);
	assert_int_equal(looks, 2);
	end();
}

/* Once on the day that has no 02:30, once on the day that has two. */
T(daily__both_changes_of_the_clock__once_a_day)
{
	static const char *const nights[] = { "2026-03-28T11:00:00Z", "2026-10-24T10:00:00Z" };
	static const char *const wanted[] = { "2026-03-29T01:00:00Z", "2026-10-25T00:30:00Z" };

	for (size_t i = 0; i < 2; i++) {
		begin(nights[i]);
		master_schedule_configure(schedule, 60000, "02:30", false);
		master_schedule_start(schedule, 0);
		pass(24 * HOURS);
		assert_int_equal(looks, 1);
		same(master_schedule_begun(schedule), wanted[i]);
		pass(24 * HOURS);
		assert_int_equal(looks, 2);
		end();
	}
}

T(daily__missed_while_off__is_made_up_at_start)
{
	begin("2026-06-20T07:00:00Z");
	master_schedule_configure(schedule, 60000, "23:00", false);
	/* Kept as it is until that look is done: if it is cut short, it is still missed. */
	same(master_schedule_start(schedule, utc("2026-06-18T21:00:00Z")), "2026-06-18T21:00:00Z");
	pass(1);
	assert_int_equal(looks, 1);
	same(master_schedule_begun(schedule), "2026-06-19T21:00:00Z");
	end();

	begin("2026-06-20T07:00:00Z");
	master_schedule_configure(schedule, 60000, "23:00", false);
	master_schedule_start(schedule, utc("2026-06-19T21:00:00Z"));
	pass(60);
	assert_int_equal(looks, 0);
	end();
}

T(daily__slept_over_it__looks_when_awake)
{
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 60000, "23:00", false);
	master_schedule_start(schedule, 0);
	jump(20 * HOURS);
	assert_int_equal(looks, 1);
	pass(HOURS);
	assert_int_equal(looks, 1);
	end();
}

T(daily__clock_jumps_a_day__neither_lost_nor_doubled)
{
	/* Forward over the hour: due. And back to the truth: the hour of that day is not past yet, and comes. */
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 60000, "23:00", false);
	master_schedule_start(schedule, 0);
	jump(86400);
	assert_int_equal(looks, 1);
	jump(-86400);
	assert_int_equal(looks, 1);
	same(master_schedule_next_look(schedule), "2026-06-19T21:00:00Z");
	pass(9 * HOURS);
	assert_int_equal(looks, 2);
	/* Back a day just after the hour: the next one by that clock. */
	jump(-86400);
	assert_int_equal(looks, 2);
	pass(24 * HOURS);
	assert_int_equal(looks, 3);
	end();
}

T(daily__the_hour_is_changed__what_is_past_today_was_not_missed)
{
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 60000, "23:00", false);
	master_schedule_start(schedule, 0);
	master_schedule_configure(schedule, 60000, "10:00", false);
	pass(60);
	assert_int_equal(looks, 0);
	same(master_schedule_next_look(schedule), "2026-06-20T08:00:00Z");
	end();
}

T(sooner__retry__comes_before_the_schedule_only)
{
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 60000, NULL, false);
	master_schedule_start(schedule, 0);
	pass(1);
	master_schedule_sooner(schedule, 5000);
	same(master_schedule_next_look(schedule), "2026-06-19T12:00:06Z");
	pass(6);
	assert_int_equal(looks, 2);
	master_schedule_sooner(schedule, 600000);
	pass(60);
	assert_int_equal(looks, 3);
	pass(600);
	assert_int_equal(looks, 13);
	end();
}

T(changed__a_burst__is_one_look_at_once)
{
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 3600000, NULL, true);
	master_schedule_start(schedule, 0);
	pass(1);
	assert_int_equal(looks, 1);
	for (unsigned i = 0; i < 5; i++)
		master_schedule_changed(schedule, 0);
	pass_ms(5);
	assert_int_equal(looks, 2);
	assert_int_equal(changes, 1);
	pass(60);
	assert_int_equal(looks, 2);
	end();
}

/* Who writes all the time does not put it off. */
T(changed__a_writer_that_goes_on__is_not_waited_for)
{
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 3600000, NULL, true);
	master_schedule_start(schedule, 0);
	pass(1);
	master_schedule_changed(schedule, loop_now(loop) + 100);
	for (unsigned i = 0; i < 9; i++) {
		master_schedule_changed(schedule, loop_now(loop) + 100);
		pass_ms(10);
	}
	assert_int_equal(changes, 0);
	pass_ms(15);
	assert_int_equal(changes, 1);
	end();
}

T(changed__not_before__is_kept)
{
	begin("2026-06-19T12:00:00Z");
	master_schedule_configure(schedule, 3600000, NULL, true);
	master_schedule_start(schedule, 0);
	pass(1);
	master_schedule_changed(schedule, loop_now(loop) + 2000);
	pass_ms(1000);
	assert_int_equal(changes, 0);
	pass_ms(1000);
	assert_int_equal(changes, 1);
	end();
}

T(stopped__nothing_comes__and_what_was_missed_is_made_up)
{
	begin("2026-06-19T20:00:00Z");
	master_schedule_configure(schedule, 60000, "23:00", true);
	master_schedule_start(schedule, utc("2026-06-18T21:00:00Z"));
	pass(1);
	looks = 0;
	master_schedule_stop(schedule);
	assert_int_equal(master_schedule_next_look(schedule), 0);
	master_schedule_changed(schedule, 0);
	master_schedule_sooner(schedule, 0);
	pass(2 * HOURS);
	assert_int_equal(looks, 0);
	master_schedule_start(schedule, utc("2026-06-18T21:00:00Z"));
	pass(1);
	assert_int_equal(looks, 1);
	same(master_schedule_begun(schedule), "2026-06-19T21:00:00Z");
	end();
}

T(text__says_what_is_in_force)
{
	char text[MASTER_SCHEDULE_TEXT];

	begin("2026-06-19T20:00:00Z");
	master_schedule_configure(schedule, 3600000, NULL, false);
	assert_string_equal(master_schedule_text(text, schedule), "checks every 60 min");
	master_schedule_configure(schedule, 90000, NULL, true);
	assert_string_equal(
	    master_schedule_text(text, schedule), "checks every 90 s, and as soon as the database changes");
	master_schedule_configure(schedule, 90000, "7:05", false);
	assert_string_equal(master_schedule_text(text, schedule), "checks daily at 07:05 CEST");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interval__looks_at_once_and_then_regularly),
		cmocka_unit_test(interval__clock_jumps_a_day__looks_and_goes_on),
		cmocka_unit_test(daily__looks_at_its_hour_only),
		cmocka_unit_test(daily__both_changes_of_the_clock__once_a_day),
		cmocka_unit_test(daily__missed_while_off__is_made_up_at_start),
		cmocka_unit_test(daily__slept_over_it__looks_when_awake),
		cmocka_unit_test(daily__clock_jumps_a_day__neither_lost_nor_doubled),
		cmocka_unit_test(daily__the_hour_is_changed__what_is_past_today_was_not_missed),
		cmocka_unit_test(sooner__retry__comes_before_the_schedule_only),
		cmocka_unit_test(changed__a_burst__is_one_look_at_once),
		cmocka_unit_test(changed__a_writer_that_goes_on__is_not_waited_for),
		cmocka_unit_test(changed__not_before__is_kept),
		cmocka_unit_test(stopped__nothing_comes__and_what_was_missed_is_made_up),
		cmocka_unit_test(text__says_what_is_in_force),
	};

	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0) {
		fprintf(stderr, "tzdata is missing\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
