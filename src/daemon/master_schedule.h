/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_schedule: when a master looks at its key database: every backup.CheckFrequency, or daily at
 * backup.DailyStartReplicationBackupTime (which overrides it); soon after a change (backup.OnChange); sooner than the
 * schedule after a failure. It only says when: what a look is, and that there is one at a time, is master_look's.
 *
 * A daily run that was missed (the machine was off, the task down) is made up at the start. For that somebody keeps
 * `done`, the due moment of the last look that came to an end: take master_schedule_begun() when a look begins, keep it
 * when the look is done.
 */
#ifndef KC_MASTER_SCHEDULE_H
#define KC_MASTER_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "replication/schedule.h"

struct master_schedule;

struct master_schedule_options {
	struct loop *loop;
	schedule_wall_fn wall;		      /* NULL: time(NULL) */
	void (*look)(bool change, void *arg); /* change: nothing but master_schedule_changed() asks for it */
	void *arg;
};

/* Nothing is planned before master_schedule_start(). */
struct master_schedule *master_schedule_new(const struct master_schedule_options *o);
void master_schedule_free(struct master_schedule *s);

/* What is in force; `daily` as in the configuration, NULL: none. While started, what is planned is planned anew. */
void master_schedule_configure(struct master_schedule *s, uint64_t every_ms, const char *daily, bool on_change);

/* The task is up. `done`: as kept, 0: nothing. Looks at once; with a daily schedule, if it was missed or changes of the
 * time in between were to be replicated. Returns what is to be kept instead of `done`. */
int64_t master_schedule_start(struct master_schedule *s, int64_t done);
void master_schedule_stop(struct master_schedule *s);

/* A look besides the schedule, if the schedule does not come before. */
void master_schedule_sooner(struct master_schedule *s, uint64_t in_ms);

/* The database changed. The look comes at once, and not before `not_before_ms` (monotonic, loop_now); changes until
 * then are the same look's. */
void master_schedule_changed(struct master_schedule *s, uint64_t not_before_ms);

/* The last daily moment that a look was begun for. 0 with no daily schedule. */
int64_t master_schedule_begun(const struct master_schedule *s);
/* When the next look is due, wall clock; 0: none. */
int64_t master_schedule_next_look(const struct master_schedule *s);
/* "checks every 60 min", "checks daily at 23:00 CEST, and as soon as the database changes". Returns `out`. */
#define MASTER_SCHEDULE_TEXT 128
const char *master_schedule_text(char out[MASTER_SCHEDULE_TEXT], const struct master_schedule *s);

#endif
