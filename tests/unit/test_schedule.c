/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of schedule: times of day across changes of the clock, missed runs, and a timer by a clock that is set. */
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
#include "replication/schedule.h"

#define T(name) static void name(void **state __attribute__((unused)))

static void zone(const char *name)
{
	setenv("TZ", name, 1);
	tzset();
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

static void next_is(const char *of, const char *after, const char *wanted)
{
	same(schedule_next(schedule_minute(of), utc(after)), wanted);
}

static void last_is(const char *of, const char *at, const char *wanted)
{
	same(schedule_last(schedule_minute(of), utc(at)), wanted);
}

T(minute__text__is_of_the_day)
{
	assert_int_equal(schedule_minute("00:00"), 0);
	assert_int_equal(schedule_minute("7:05"), 425);
	assert_int_equal(schedule_minute("23:59"), 1439);
	assert_int_equal(schedule_minute(NULL), SCHEDULE_NONE);
	assert_int_equal(schedule_minute("24:00"), SCHEDULE_NONE);
	assert_int_equal(schedule_minute("12:00x"), SCHEDULE_NONE);
}

T(next__ordinary_day__is_after)
{
	zone("Europe/Berlin");
	next_is("23:00", "2026-06-19T12:00:00Z", "2026-06-19T21:00:00Z");
	next_is("23:00", "2026-06-19T20:59:59Z", "2026-06-19T21:00:00Z");
	next_is("23:00", "2026-06-19T21:00:00Z", "2026-06-20T21:00:00Z");
	next_is("00:00", "2026-06-19T21:59:59Z", "2026-06-19T22:00:00Z");
	last_is("23:00", "2026-06-19T21:00:00Z", "2026-06-19T21:00:00Z");
	last_is("23:00", "2026-06-19T20:59:59Z", "2026-06-18T21:00:00Z");
	last_is("00:00", "2026-06-19T22:00:00Z", "2026-06-19T22:00:00Z");
}

/* Europe/Berlin, 29 March 2026: after 01:59:59 comes 03:00:00 (01:00:00 UTC). */
T(next__berlin_skips_an_hour__runs_behind_the_gap)
{
	zone("Europe/Berlin");
	next_is("02:30", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z");
	next_is("02:30", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
	next_is("02:00", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z");
	next_is("03:00", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z");
	next_is("01:59", "2026-03-28T12:00:00Z", "2026-03-29T00:59:00Z");
	next_is("23:00", "2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z");
	last_is("02:30", "2026-03-29T00:59:59Z", "2026-03-28T01:30:00Z");
	last_is("02:30", "2026-03-29T12:00:00Z", "2026-03-29T01:00:00Z");
}

/* 25 October 2026: after 02:59:59 summer time comes 02:00:00 (01:00:00 UTC). */
T(next__berlin_repeats_an_hour__runs_once)
{
	zone("Europe/Berlin");
	next_is("02:30", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z");
	next_is("02:30", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
	next_is("02:30", "2026-10-25T01:00:00Z", "2026-10-26T01:30:00Z");
	next_is("03:00", "2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z");
	next_is("02:00", "2026-10-24T12:00:00Z", "2026-10-25T00:00:00Z");
	last_is("02:30", "2026-10-25T01:45:00Z", "2026-10-25T00:30:00Z");
	last_is("02:59", "2026-10-25T01:58:00Z", "2026-10-25T00:59:00Z");
}

/* Lord Howe changes by half an hour: 4 October 2026 02:00 -> 02:30, 5 April 2026 02:00 -> 01:30. */
T(next__half_an_hour__both_ways)
{
	zone("Australia/Lord_Howe");
	next_is("02:15", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z");
	next_is("02:15", "2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z");
	next_is("01:45", "2026-04-04T12:00:00Z", "2026-04-04T14:45:00Z");
	next_is("01:45", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z");
}

/* Samoa had no 30 December 2011. */
T(next__a_day_that_was_skipped__is_not_due)
{
	zone("Pacific/Apia");
	next_is("12:00", "2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z");
	same(schedule_next(720, utc("2011-12-28T22:00:00Z")), "2011-12-29T22:00:00Z");
	last_is("12:00", "2011-12-30T21:00:00Z", "2011-12-29T22:00:00Z");
	next_is("00:00", "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z");
}

/* A gap that begins before midnight: Nuuk, 25 March 2023, 22:00 -> 23:00; and one at midnight: Cairo, 28 April 2023. */
T(next__gaps_around_midnight__run_behind_them)
{
	zone("America/Nuuk");
	next_is("22:30", "2023-03-25T12:00:00Z", "2023-03-26T01:00:00Z");
	zone("Africa/Cairo");
	next_is("00:30", "2023-04-27T12:00:00Z", "2023-04-27T22:00:00Z");
	next_is("00:30", "2023-04-27T22:00:00Z", "2023-04-28T21:30:00Z");
}

/* Every minute of two years: each due moment is found from both sides, days are due exactly once. */
T(next__and_last__agree_over_two_years)
{
	static const char *const zones[] = { "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "UTC" };

	for (size_t z = 0; z < 4; z++) {
		int64_t t, end;
		unsigned days = 0;

		zone(zones[z]);
		t = utc("2025-01-01T12:00:00Z");
		end = t + 730 * INT64_C(86400);
		while (t < end) {
			int64_t next = schedule_next(150, t);

			assert_true(next > t);
			assert_int_equal(schedule_last(150, next), next);
			assert_int_equal(schedule_last(150, next - 1), days > 0 ? t : schedule_last(150, t));
			t = next;
			days++;
		}
		assert_int_equal(days, 731);
	}
}

T(due__missed_runs__are_one)
{
	int64_t done;

	zone("Europe/Berlin");
	done = utc("2026-06-15T21:00:00Z");
	assert_true(schedule_due(&done, 1380, utc("2026-06-19T12:00:00Z")));
	same(done, "2026-06-18T21:00:00Z");
	assert_false(schedule_due(&done, 1380, utc("2026-06-19T12:00:01Z")));
	assert_true(schedule_due(&done, 1380, utc("2026-06-19T21:00:00Z")));
}

T(due__first_start__nothing_was_missed)
{
	int64_t done = 0;

	zone("Europe/Berlin");
	assert_false(schedule_due(&done, 1380, utc("2026-06-19T22:00:00Z")));
	assert_false(schedule_due(&done, 1380, utc("2026-06-20T20:59:59Z")));
	assert_true(schedule_due(&done, 1380, utc("2026-06-20T21:00:00Z")));
}

T(due__clock_put_back__waits_for_the_next_only)
{
	int64_t done;

	zone("Europe/Berlin");
	done = utc("2026-06-19T21:00:00Z");
	assert_false(schedule_due(&done, 1380, utc("2025-06-19T12:00:00Z")));
	same(done, "2025-06-19T12:00:00Z");
	assert_true(schedule_due(&done, 1380, utc("2025-06-19T21:00:30Z")));
}

/* --- the timer, by a wall clock that is set --- */

static int64_t wall_time;

static int64_t wall(void)
{
	return wall_time;
}

static void count(void *arg)
{
	++*(unsigned *)arg;
}

/* Both clocks go on. */
static void pass(struct loop *l, unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		wall_time++;
		loop_fake_advance(l, 1000);
		loop_turn(l, 0);
	}
}

static void waits_until(int64_t *since, const char *of, const char *now, const char *until)
{
	int64_t due = schedule_wait(since, schedule_minute(of), utc(now));

	if (until == NULL)
		assert_int_equal(due, 0);
	else
		same(due, until);
}

T(wait__its_hour__comes_once)
{
	int64_t since = utc("2026-06-19T12:00:00Z");

	zone("Europe/Berlin");
	waits_until(&since, "23:00", "2026-06-19T12:00:00Z", "2026-06-19T21:00:00Z");
	waits_until(&since, "23:00", "2026-06-19T20:59:59Z", "2026-06-19T21:00:00Z");
	waits_until(&since, "23:00", "2026-06-19T21:00:00Z", NULL);
	waits_until(&since, "23:00", "2026-06-25T12:00:00Z", NULL); /* the machine was off */
	waits_until(&since, NULL, "2026-06-19T12:00:00Z", NULL);
}

T(wait__berlin_changes_the_clock__comes_all_the_same)
{
	int64_t spring = utc("2026-03-28T20:00:00Z"), autumn = utc("2026-10-24T20:00:00Z");

	zone("Europe/Berlin");
	waits_until(&spring, "02:30", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z");
	waits_until(&spring, "02:30", "2026-03-29T01:00:00Z", NULL);
	waits_until(&autumn, "02:30", "2026-10-25T00:29:59Z", "2026-10-25T00:30:00Z");
	waits_until(&autumn, "02:30", "2026-10-25T00:30:00Z", NULL);
}

T(wait__clock_jumps_a_day__is_over_or_begins_anew)
{
	int64_t since = utc("2026-06-19T12:00:00Z");

	zone("Europe/Berlin");
	waits_until(&since, "23:00", "2026-06-20T12:00:00Z", NULL);
	waits_until(&since, "23:00", "2026-06-18T12:00:00Z", "2026-06-18T21:00:00Z");
	same(since, "2026-06-18T12:00:00Z");
	waits_until(&since, "23:00", "2026-06-18T21:00:00Z", NULL);
	/* What came under a clock that was a year ahead does not wait for that year. */
	since = utc("2027-06-19T12:00:00Z");
	waits_until(&since, "23:00", "2026-06-19T12:00:00Z", "2026-06-19T21:00:00Z");
	waits_until(&since, "23:00", "2026-06-19T21:00:00Z", NULL);
}

T(timer__clocks_agree__fires_at_its_moment)
{
	struct loop *l = loop_new();
	unsigned fired = 0;
	struct schedule_timer *t = schedule_timer_new(l, wall, count, &fired);

	loop_fake_clock(l, 5000);
	wall_time = 1000000;
	schedule_timer_set(t, wall_time + 65);
	pass(l, 64);
	assert_int_equal(fired, 0);
	pass(l, 1);
	assert_int_equal(fired, 1);
	assert_int_equal(schedule_timer_at(t), 0);
	pass(l, 100);
	assert_int_equal(fired, 1);
	schedule_timer_free(t);
	loop_free(l);
}

T(timer__clock_jumps_a_day__fires_soon)
{
	static const int64_t jumps[] = { 86400, -86400 };

	for (size_t i = 0; i < 2; i++) {
		struct loop *l = loop_new();
		unsigned fired = 0;
		struct schedule_timer *t = schedule_timer_new(l, wall, count, &fired);

		loop_fake_clock(l, 5000);
		wall_time = 1000000;
		schedule_timer_set(t, wall_time + 7200);
		pass(l, 60);
		assert_int_equal(fired, 0);
		wall_time += jumps[i];
		pass(l, SCHEDULE_LOOK_MS / 1000);
		assert_int_equal(fired, 1);
		schedule_timer_free(t);
		loop_free(l);
	}
}

/* The monotonic clock stands still while a machine sleeps. */
T(timer__machine_slept_over_it__fires_when_awake)
{
	struct loop *l = loop_new();
	unsigned fired = 0;
	struct schedule_timer *t = schedule_timer_new(l, wall, count, &fired);

	loop_fake_clock(l, 5000);
	wall_time = 1000000;
	schedule_timer_set(t, wall_time + 7200);
	wall_time += 10000;
	pass(l, SCHEDULE_LOOK_MS / 1000);
	assert_int_equal(fired, 1);
	schedule_timer_free(t);
	loop_free(l);
}

T(timer__cleared__does_not_fire)
{
	struct loop *l = loop_new();
	unsigned fired = 0;
	struct schedule_timer *t = schedule_timer_new(l, wall, count, &fired);

	loop_fake_clock(l, 5000);
	wall_time = 1000000;
	schedule_timer_set(t, wall_time + 2);
	schedule_timer_clear(t);
	pass(l, 20);
	assert_int_equal(fired, 0);
	schedule_timer_free(t);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(minute__text__is_of_the_day),
		cmocka_unit_test(next__ordinary_day__is_after),
		cmocka_unit_test(next__berlin_skips_an_hour__runs_behind_the_gap),
		cmocka_unit_test(next__berlin_repeats_an_hour__runs_once),
		cmocka_unit_test(next__half_an_hour__both_ways),
		cmocka_unit_test(next__a_day_that_was_skipped__is_not_due),
		cmocka_unit_test(next__gaps_around_midnight__run_behind_them),
		cmocka_unit_test(next__and_last__agree_over_two_years),
		cmocka_unit_test(due__missed_runs__are_one),
		cmocka_unit_test(due__first_start__nothing_was_missed),
		cmocka_unit_test(due__clock_put_back__waits_for_the_next_only),
		cmocka_unit_test(wait__its_hour__comes_once),
		cmocka_unit_test(wait__berlin_changes_the_clock__comes_all_the_same),
		cmocka_unit_test(wait__clock_jumps_a_day__is_over_or_begins_anew),
		cmocka_unit_test(timer__clocks_agree__fires_at_its_moment),
		cmocka_unit_test(timer__clock_jumps_a_day__fires_soon),
		cmocka_unit_test(timer__machine_slept_over_it__fires_when_awake),
		cmocka_unit_test(timer__cleared__does_not_fire),
	};

	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0) {
		fprintf(stderr, "tzdata is missing\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
