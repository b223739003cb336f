/* SPDX-License-Identifier: Apache-2.0 */
/* master_schedule: see master_schedule.h. One timer by the wall clock for the schedule, one for what comes sooner. */
#include "master_schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"

#define SETTLE_MS 2 /* a commit is more than one write */

struct master_schedule {
	struct master_schedule_options o;
	struct schedule_timer *timer;
	struct loop_timer *sooner, *change;
	uint64_t sooner_due; /* monotonic */
	uint64_t change_due; /* monotonic */
	uint64_t every_ms;
	int64_t begun;
	int daily;
	bool on_change;
	bool started;
};

static int64_t wall_now(const struct master_schedule *s)
{
	return s->o.wall != NULL ? s->o.wall() : (int64_t)time(NULL);
}

static void look(struct master_schedule *s, bool change)
{
	if (!change)
		loop_timer_clear(s->sooner);
	loop_timer_clear(s->change);
	s->o.look(change, s->o.arg);
}

static void plan(struct master_schedule *s)
{
	int64_t now = wall_now(s);

	schedule_timer_set(
	    s->timer, s->daily != SCHEDULE_NONE ? schedule_next(s->daily, now) : now + (int64_t)(s->every_ms / 1000));
}

/* Due, or the clock was set: with an interval that is a reason to look, with a time of day the calendar decides. */
static void on_schedule(void *arg)
{
	struct master_schedule *s = arg;
	bool due = s->daily == SCHEDULE_NONE || schedule_due(&s->begun, s->daily, wall_now(s));

	plan(s);
	if (due)
		look(s, false);
}

static void on_sooner(void *arg)
{
	look(arg, false);
}

static void on_change(void *arg)
{
	look(arg, true);
}

struct master_schedule *master_schedule_new(const struct master_schedule_options *o)
{
	struct master_schedule *s = mem_xalloc(sizeof(*s));

	s->o = *o;
	s->timer = schedule_timer_new(o->loop, o->wall, on_schedule, s);
	s->sooner = loop_timer_new(o->loop, on_sooner, s);
	s->change = loop_timer_new(o->loop, on_change, s);
	s->daily = SCHEDULE_NONE;
	s->every_ms = 3600000;
	return s;
}

void master_schedule_free(struct master_schedule *s)
{
	if (s == NULL)
		return;
	schedule_timer_free(s->timer);
	loop_timer_free(s->sooner);
	loop_timer_free(s->change);
	free(s);
}

void master_schedule_configure(struct master_schedule *s, uint64_t every_ms, const char *daily, bool on_change)
{
	int minute = schedule_minute(daily);

	s->every_ms = every_ms;
	s->on_change = on_change;
	/* Another hour: what of it is past today was not missed. */
	if (minute != s->daily)
		s->begun = minute != SCHEDULE_NONE && s->started ? wall_now(s) : 0;
	s->daily = minute;
	if (s->started)
		plan(s);
}

int64_t master_schedule_start(struct master_schedule *s, int64_t done)
{
	bool missed = false;
	int64_t keep;

	s->started = true;
	s->begun = s->daily != SCHEDULE_NONE ? done : 0;
	if (s->daily != SCHEDULE_NONE)
		missed = schedule_due(&s->begun, s->daily, wall_now(s));
	keep = missed ? done : s->begun;
	if (missed)
		log_info("the daily check of %02d:%02d was missed; it is made up now", s->daily / 60, s->daily % 60);
	plan(s);
	if (missed || s->daily == SCHEDULE_NONE || s->on_change)
		master_schedule_sooner(s, 0);
	return keep;
}

void master_schedule_stop(struct master_schedule *s)
{
	s->started = false;
	schedule_timer_clear(s->timer);
	loop_timer_clear(s->sooner);
	loop_timer_clear(s->change);
}

void master_schedule_sooner(struct master_schedule *s, uint64_t in_ms)
{
	uint64_t due = loop_now(s->o.loop) + in_ms;

	if (!s->started || (loop_timer_is_set(s->sooner) && s->sooner_due <= due))
		return;
	if (wall_now(s) + (int64_t)(in_ms / 1000) > schedule_timer_at(s->timer))
		return;
	s->sooner_due = due;
	loop_timer_set(s->sooner, in_ms);
}

void master_schedule_changed(struct master_schedule *s, uint64_t not_before_ms)
{
	uint64_t now = loop_now(s->o.loop), due = now + SETTLE_MS;

	if (due < not_before_ms)
		due = not_before_ms;
	if (!s->started || (loop_timer_is_set(s->change) && s->change_due <= due))
		return;
	s->change_due = due;
	loop_timer_set(s->change, due - now);
}

int64_t master_schedule_begun(const struct master_schedule *s)
{
	return s->begun;
}

int64_t master_schedule_next_look(const struct master_schedule *s)
{
	int64_t at = schedule_timer_at(s->timer), soon;
	uint64_t now = loop_now(s->o.loop);

	if (!s->started || !loop_timer_is_set(s->sooner))
		return at;
	soon = wall_now(s) + (int64_t)((s->sooner_due > now ? s->sooner_due - now : 0) / 1000);
	return at == 0 || soon < at ? soon : at;
}

const char *master_schedule_text(char out[MASTER_SCHEDULE_TEXT], const struct master_schedule *s)
{
	char at[SCHEDULE_TEXT_SIZE], every[32];
	uint64_t seconds = s->every_ms / 1000;
	const char *change = s->on_change ? ", and as soon as the database changes" : "";

	if (seconds % 60 == 0)
		snprintf(every, sizeof(every), "%" PRIu64 " min", seconds / 60);
	else
		snprintf(every, sizeof(every), "%" PRIu64 " s", seconds);
	if (s->daily != SCHEDULE_NONE)
		snprintf(out, MASTER_SCHEDULE_TEXT, "checks daily at %s%s",
		    schedule_text(at, s->daily, schedule_next(s->daily, wall_now(s))), change);
	else
		snprintf(out, MASTER_SCHEDULE_TEXT, "checks every %s%s", every, change);
	return out;
}
