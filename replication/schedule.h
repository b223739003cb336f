/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule: a time of day, HH:MM local, as moments: when it is due next, and whether a due one was missed.
 *
 * Pure but for the time zone (localtime_r). A day is due once, at the first moment whose local time is HH:MM of that
 * day or later: a time that a change of the clock skips is due at the first minute behind the gap, one that it repeats
 * is due the first time only, and a day that the zone skipped altogether is not due.
 *
 * Moments are seconds since 1970. Whoever runs something daily keeps the moment it was last done for, durably:
 *
 *     schedule_timer: while (schedule_due(&done, minute, now)) { keep `done`; run it }
 *                     schedule_timer_set(timer, schedule_next(minute, now));
 */
#ifndef KC_SCHEDULE_H
#define KC_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

#define SCHEDULE_NONE (-1)

/* Minute of the day of "HH:MM" (checked by the configuration); SCHEDULE_NONE for NULL and what is no time of day. */
int schedule_minute(const char *text);

/* The first due moment after `t`. */
int64_t schedule_next(int minute, int64_t t);
/* The last one at or before `t`. */
int64_t schedule_last(int minute, int64_t t);

/*
 * Is a due moment behind *done and at or before `now`? Then *done becomes the last such moment: several that were
 * missed are one. A *done that lies in the future was kept under a clock that has been put back since; it becomes
 * `now`, so that the next due moment counts. Likewise 0, nothing known: what was due before there was a schedule was
 * not missed.
 */
bool schedule_due(int64_t *done, int minute, int64_t now);

/*
 * What came at *since waits for its first due moment after that: until when? 0: that has come, or there is no time of
 * day. A *since that lies in the future was kept under a clock that has been put back since; it becomes `now`, durably,
 * or the wait would begin anew at each look.
 */
int64_t schedule_wait(int64_t *since, int minute, int64_t now);

/* "23:00 CEST": a time of day with the zone in force at `t`. Returns `out`. */
#define SCHEDULE_TEXT_SIZE 48
const char *schedule_text(char out[SCHEDULE_TEXT_SIZE], int minute, int64_t t);

/*
 * A timer by the wall clock. It fires once, when the wall clock has reached `at`, or has been set (forward, backward,
 * by more than SCHEDULE_JUMP_S against the monotonic clock since the timer was set): the owner looks again in either
 * case. The wall clock is looked at every SCHEDULE_LOOK_MS, so a machine that slept is late by so much.
 */
#define SCHEDULE_LOOK_MS 10000
#define SCHEDULE_JUMP_S	 30
typedef int64_t (*schedule_wall_fn)(void);
struct schedule_timer;
struct schedule_timer *schedule_timer_new(
    struct loop *l, schedule_wall_fn wall, loop_timer_fn cb, void *arg); /* wall NULL: time(NULL) */
void schedule_timer_set(struct schedule_timer *t, int64_t at);
void schedule_timer_clear(struct schedule_timer *t);
int64_t schedule_timer_at(const struct schedule_timer *t); /* 0: not set */
void schedule_timer_free(struct schedule_timer *t);

#endif
