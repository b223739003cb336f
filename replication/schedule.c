/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule: see schedule.h.
 *
 * mktime() leaves open what it makes of a local time that does not exist or exists twice. Here the offset from UTC is
 * taken as what it is, a function of time that is constant but for jumps: the jumps around a day are found, and the
 * first moment of a local time is looked for in each constant piece, from the earliest on.
 */
#include "schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define DAY	 86400
#define STEP	 900	     /* no zone has jumped twice in a quarter of an hour */
#define OFFSETS	 (27 * 3600) /* no zone is farther from UTC, with a day that was skipped */
#define DAYS_OFF 3

int schedule_minute(const char *text)
{
	unsigned h, m;
	int end = 0;

	if (text == NULL || sscanf(text, "%2u:%2u%n", &h, &m, &end) != 2 || text[end] != '\0' || h > 23 || m > 59)
		return SCHEDULE_NONE;
	return (int)(h * 60 + m);
}

static int64_t offset_at(int64_t t)
{
	time_t at = (time_t)t;
	struct tm tm;

	return localtime_r(&at, &tm) != NULL ? tm.tm_gmtoff : 0;
}

/* The end of the piece of constant offset that begins at `from`, `limit` at most. */
static int64_t piece_end(int64_t from, int64_t limit)
{
	int64_t off = offset_at(from), low = from, high;

	while (low < limit && offset_at(low + STEP) == off)
		low += STEP;
	if (low >= limit)
		return limit;
	high = low + STEP;
	while (high - low > 1) {
		int64_t mid = low + (high - low) / 2;

		if (offset_at(mid) == off)
			low = mid;
		else
			high = mid;
	}
	return high;
}

/* The first moment whose local time, read as if it were UTC, is `local` or later. */
static int64_t first_at(int64_t local)
{
	int64_t limit = local + OFFSETS;

	for (int64_t from = local - OFFSETS, end; from < limit; from = end) {
		int64_t at = local - offset_at(from);

		end = piece_end(from, limit);
		if (at < from)
			at = from;
		if (at < end)
			return at;
	}
	return limit;
}

static int64_t local_day(int64_t t)
{
	int64_t local = t + offset_at(t);

	return local / DAY - (local % DAY < 0 ? 1 : 0);
}

/* When `day` (of local days since 1970) is due. False: there was no such day. */
static bool due_of(int64_t *due, int64_t day, int minute)
{
	if (local_day(first_at(day * DAY)) != day)
		return false;
	*due = first_at(day * DAY + (int64_t)minute * 60);
	return true;
}

int64_t schedule_next(int minute, int64_t t)
{
	int64_t today = local_day(t), due;

	for (int64_t day = today - DAYS_OFF; day <= today + DAYS_OFF; day++)
		if (due_of(&due, day, minute) && due > t)
			return due;
	return t + DAY;
}

int64_t schedule_last(int minute, int64_t t)
{
	int64_t today = local_day(t), due;

	for (int64_t day = today + DAYS_OFF; day >= today - DAYS_OFF; day--)
		if (due_of(&due, day, minute) && due <= t)
			return due;
	return t - DAY;
}

bool schedule_due(int64_t *done, int minute, int64_t now)
{
	int64_t last;

	if (*done == 0 || *done > now) {
		*done = now;
		return false;
	}
	last = schedule_last(minute, now);
	if (last <= *done)
		return false;
	*done = last;
	return true;
}

int64_t schedule_wait(int64_t *since, int minute, int64_t now)
{
	int64_t due;

	if (*since > now)
		*since = now;
	if (minute == SCHEDULE_NONE)
		return 0;
	due = schedule_next(minute, *since);
	return due > now ? due : 0;
}

const char *schedule_text(char out[SCHEDULE_TEXT_SIZE], int minute, int64_t t)
{
	time_t at = (time_t)t;
	struct tm tm = { 0 };

	localtime_r(&at, &tm);
	snprintf(out, SCHEDULE_TEXT_SIZE, "%02d:%02d %.20s", minute / 60, minute % 60,
	    tm.tm_zone != NULL ? tm.tm_zone : "UTC");
	return out;
}

/* --- the timer --- */

struct schedule_timer {
	struct loop *loop;
	struct loop_timer *timer;
	schedule_wall_fn wall;
	loop_timer_fn cb;
	void *arg;
	int64_t at;
	int64_t offset; /* wall clock minus monotonic clock when it was set, seconds */
};

static int64_t wall_now(const struct schedule_timer *t)
{
	return t->wall != NULL ? t->wall() : (int64_t)time(NULL);
}

static int64_t offset_now(const struct schedule_timer *t)
{
	return wall_now(t) - (int64_t)(loop_now(t->loop) / 1000);
}

static void plan(struct schedule_timer *t)
{
	int64_t left = t->at - wall_now(t);

	loop_timer_set(t->timer, left <= 0			  ? 0
				 : left < SCHEDULE_LOOK_MS / 1000 ? (uint64_t)left * 1000
								  : SCHEDULE_LOOK_MS);
}

static void on_timer(void *arg)
{
	struct schedule_timer *t = arg;
	int64_t jump = offset_now(t) - t->offset;
	bool jumped = jump > SCHEDULE_JUMP_S || jump < -SCHEDULE_JUMP_S;
	char span[CLOCK_SPAN_SIZE];

	if (t->at > wall_now(t) && !jumped) {
		plan(t);
		return;
	}
	if (jumped)
		log_info("the clock went %s by %s: it was set, or the machine slept; what is due is looked at anew",
		    jump > 0 ? "forward" : "back", clock_span(span, jump));
	t->at = 0;
	t->cb(t->arg);
}

struct schedule_timer *schedule_timer_new(struct loop *l, schedule_wall_fn wall, loop_timer_fn cb, void *arg)
{
	struct schedule_timer *t = mem_xalloc(sizeof(*t));

	t->loop = l;
	t->timer = loop_timer_new(l, on_timer, t);
	t->wall = wall;
	t->cb = cb;
	t->arg = arg;
	return t;
}

void schedule_timer_set(struct schedule_timer *t, int64_t at)
{
	t->at = at;
	t->offset = offset_now(t);
	plan(t);
}

void schedule_timer_clear(struct schedule_timer *t)
{
	t->at = 0;
	loop_timer_clear(t->timer);
}

int64_t schedule_timer_at(const struct schedule_timer *t)
{
	return t->at;
}

void schedule_timer_free(struct schedule_timer *t)
{
	if (t == NULL)
		return;
	loop_timer_free(t->timer);
	free(t);
}
