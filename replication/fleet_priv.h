/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet_priv: what fleet.c (who is due) and fleet_event.c (what happened) share. For no one else.
 */
#ifndef KC_FLEET_PRIV_H
#define KC_FLEET_PRIV_H

#include "replication/fleet.h"

#define FLEET_HISTORY 256

struct fleet_clone {
	struct fleet *fleet;
	struct fleet_record rec;
	struct fleet_record told; /* as on_change last saw it */
	enum fleet_state told_state;
	void *arg;
	enum fleet_state phase; /* in an attempt */
	unsigned percent;
	unsigned failures;
	unsigned leaves;   /* attempts in a row that ended in good order without a result */
	unsigned losses;   /* idle sessions in a row that it ended soon after each other */
	uint64_t lost;	   /* monotonic: the last of these */
	uint64_t next_try; /* monotonic; 0 = at once */
	uint64_t last_try;
	uint64_t urgent_until; /* a refused connection is tried again at once until then */
	bool attempt;
	bool session;
	bool asked;    /* by fleet_now: due even if there is nothing to do */
	bool joined;   /* by fleet_now: it asked in the middle of an attempt */
	bool hopeless; /* the next try was put off to RetryMax: the next generation moves it forward */
};

struct generation {
	uint64_t number;
	int64_t changed_at;
};

struct fleet {
	struct fleet_options opt;
	struct loop_timer *timer;
	struct fleet_clone *clones[FLEET_MAX];
	size_t count;
	unsigned attempts;
	uint64_t last_start;
	bool started; /* last_start is valid */
	bool up;
	char lineage[FLEET_LINEAGE_SIZE];
	struct generation history[FLEET_HISTORY]; /* ascending */
	size_t known;
	int64_t unreplicated;
};

/* After each event: tells the owner what changed, and plans the timer. */
void fleet_settle(struct fleet_clone *c);
/* Does it wait for an attempt, now or later? */
bool fleet_waits(const struct fleet_clone *c);
/* What a clone has, it has of its lineage: forget that of another. */
void fleet_adopt_lineage(struct fleet_clone *c);
/* Find the oldest change that it lacks. */
void fleet_find_behind(struct fleet_clone *c);
int64_t fleet_wall(const struct fleet *f);
uint64_t fleet_later(uint64_t a, uint64_t b);

#endif
