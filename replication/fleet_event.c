/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet_event: what happens to a clone, what follows for its next try, and what to show. See fleet.h.
 */
#include "replication/fleet_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define SOON	   250
#define BUSY	   1000
#define LEAVES_MAX 3 /* in a row; a clone that comes and goes for ever is not worth a hurry */

static const char *const state_names[] = {
	[FLEET_CURRENT] = "current",
	[FLEET_BEHIND] = "behind",
	[FLEET_CONNECTING] = "connecting",
	[FLEET_PUSHING] = "pushing",
	[FLEET_RESTORING] = "restoring",
	[FLEET_POSTPONED] = "postponed",
	[FLEET_FAILED] = "failed",
	[FLEET_UNREACHABLE] = "unreachable",
	[FLEET_REFUSED] = "refused",
	[FLEET_DIVERGED] = "diverged",
	[FLEET_STOPPED] = "stopped",
	[FLEET_HELD] = "held",
};

static const enum fleet_state failure_states[] = {
	[FLEET_FAIL_UNREACHABLE] = FLEET_UNREACHABLE,
	[FLEET_FAIL_REFUSED] = FLEET_REFUSED,
	[FLEET_FAIL_DECLINED] = FLEET_FAILED,
	[FLEET_FAIL_DIVERGED] = FLEET_DIVERGED,
	[FLEET_FAIL_OTHER] = FLEET_FAILED,
};

const char *fleet_state_name(enum fleet_state s)
{
	return state_names[s];
}

/* --- what happened ---------------------------------------------------------------------------------------------- */

static void set_applied(struct fleet_clone *c, uint64_t generation)
{
	if (generation != c->rec.applied)
		c->rec.applied_at = generation == 0 ? 0 : fleet_wall(c->fleet);
	c->rec.applied = generation;
	if (c->rec.stored < generation)
		c->rec.stored = generation;
	if (c->rec.applied >= c->rec.stored)
		c->rec.postponed_until = 0;
	fleet_find_behind(c);
}

void fleet_hello(struct fleet_clone *c, const struct fleet_hello *h)
{
	c->session = true;
	fleet_adopt_lineage(c);
	c->rec.stored = h->stored;
	c->rec.postponed_until = h->postponed_until;
	c->rec.not_after = h->not_after;
	c->rec.clock_offset = h->clock_offset;
	c->rec.stopped = h->stopped;
	set_applied(c, h->applied);
	fleet_settle(c);
}

void fleet_phase(struct fleet_clone *c, enum fleet_state phase, unsigned percent)
{
	assert(phase == FLEET_CONNECTING || phase == FLEET_PUSHING || phase == FLEET_RESTORING);
	if (!c->attempt)
		return;
	c->phase = phase;
	c->percent = percent > 100 ? 100 : percent;
	fleet_settle(c);
}

void fleet_offered(struct fleet_clone *c, uint64_t generation)
{
	c->rec.offered = generation;
	fleet_settle(c);
}

void fleet_stored(struct fleet_clone *c, uint64_t generation)
{
	c->rec.stored = generation;
	fleet_settle(c);
}

static void end_attempt(struct fleet_clone *c)
{
	if (c->attempt)
		c->fleet->attempts--;
	c->attempt = false;
	c->percent = 0;
}

static void end_well(struct fleet_clone *c)
{
	end_attempt(c);
	c->rec.failing = false;
	c->rec.last_success = fleet_wall(c->fleet);
	c->failures = 0;
	c->next_try = 0;
	c->urgent_until = 0;
	c->hopeless = false;
	c->leaves = 0;
	fleet_settle(c);
}

void fleet_idle(struct fleet_clone *c)
{
	end_well(c);
}

void fleet_applied(struct fleet_clone *c, uint64_t generation)
{
	c->rec.postponed_until = 0;
	set_applied(c, generation);
	end_well(c);
}

void fleet_postponed(struct fleet_clone *c, uint64_t generation, int64_t until)
{
	c->rec.stored = generation;
	c->rec.postponed_until = until;
	end_well(c);
}

void fleet_reported(struct fleet_clone *c, uint64_t generation)
{
	fleet_adopt_lineage(c);
	if (generation > c->rec.applied)
		set_applied(c, generation);
	if (!c->attempt && c->rec.applied >= fleet_generation(c->fleet))
		end_well(c);
	else
		fleet_settle(c);
}

/* A quarter to both sides, so that clones that failed together do not come back together. */
static uint64_t spread(uint64_t ms)
{
	uint32_t r;

	mem_random(&r, sizeof(r));
	return ms - ms / 4 + (ms / 2) * (r % 1025) / 1024;
}

static uint64_t back_off(const struct fleet_clone *c)
{
	const struct fleet_options *o = &c->fleet->opt;
	uint64_t ms = o->retry_min_ms;

	for (unsigned i = 1; i < c->failures && ms < o->retry_max_ms; i++)
		ms *= 2;
	ms = spread(ms < o->retry_max_ms ? ms : o->retry_max_ms);
	ms = fleet_later(ms, o->retry_min_ms);
	return ms < o->retry_max_ms ? ms : o->retry_max_ms;
}

bool fleet_failed(struct fleet_clone *c, enum fleet_failure how, int code, const char *text, bool keep_session)
{
	uint64_t now = loop_now(c->fleet->opt.loop);
	bool refused = code == KC_EREFUSED && how == FLEET_FAIL_UNREACHABLE && now + SOON <= c->urgent_until;
	/* At work on what it was sent before: who asked for it now goes on waiting as long as it says so. */
	bool busy = code == KC_EAGAIN && how == FLEET_FAIL_DECLINED && now <= c->urgent_until;
	/* It asked in the middle of an attempt on a connection that was dead by then, perhaps. */
	bool stale = c->joined && (code == KC_EREFUSED || code == KC_ENET);
	bool soon = refused || busy || stale;

	end_attempt(c);
	c->session = c->session && keep_session;
	c->rec.failing = true;
	c->rec.how = how;
	c->rec.last_code = code;
	memset(c->rec.last_error, 0, sizeof(c->rec.last_error));
	snprintf(c->rec.last_error, sizeof(c->rec.last_error), "%s", text);
	c->hopeless = false;
	if (busy)
		c->urgent_until = now + BUSY + c->fleet->opt.retry_min_ms;
	if (soon) {
		c->asked = true;
		c->next_try = now + (busy ? BUSY : SOON);
	} else if (err_retryable(code)) {
		c->failures++;
		c->next_try = now + back_off(c);
	} else {
		c->hopeless = true;
		c->next_try = now + c->fleet->opt.retry_max_ms;
	}
	fleet_settle(c);
	return soon;
}

bool fleet_again(struct fleet_clone *c)
{
	if (c->leaves >= LEAVES_MAX)
		return false;
	c->leaves++;
	end_attempt(c);
	c->session = false;
	c->asked = true;
	c->next_try = c->last_try + SOON;
	fleet_settle(c);
	return true;
}

void fleet_lost(struct fleet_clone *c, int code)
{
	uint64_t now = loop_now(c->fleet->opt.loop);
	bool restless = c->lost > 0 && now - c->lost < c->fleet->opt.retry_min_ms;

	c->session = false;
	c->losses = restless ? c->losses + 1 : 0;
	c->lost = now;
	if (!c->attempt && code == KC_OK && c->losses <= LEAVES_MAX) {
		/* Whatever it was waiting for may be over: the next hello tells. */
		c->next_try = c->last_try + SOON;
		c->hopeless = false;
	} else if (!c->attempt) {
		c->next_try = fleet_later(c->next_try, now + c->fleet->opt.retry_min_ms);
	}
	fleet_settle(c);
}

/* --- what to show ----------------------------------------------------------------------------------------------- */

enum fleet_state fleet_state(const struct fleet_clone *c)
{
	uint64_t newest = fleet_generation(c->fleet);

	if (c->attempt)
		return c->phase;
	if (c->rec.held)
		return FLEET_HELD;
	if ((!c->fleet->up && !c->asked) || c->rec.stopped)
		return FLEET_STOPPED;
	if (c->rec.failing)
		return failure_states[c->rec.how];
	if (c->rec.applied >= newest)
		return FLEET_CURRENT;
	return c->rec.postponed_until != 0 && c->rec.stored >= newest ? FLEET_POSTPONED : FLEET_BEHIND;
}

unsigned fleet_percent(const struct fleet_clone *c)
{
	return c->percent;
}

bool fleet_in_attempt(const struct fleet_clone *c)
{
	return c->attempt;
}

int64_t fleet_retry_at(const struct fleet_clone *c)
{
	uint64_t now = loop_now(c->fleet->opt.loop);

	if (!fleet_waits(c) || !c->rec.failing)
		return 0;
	return fleet_wall(c->fleet) + (int64_t)(c->next_try > now ? (c->next_try - now + 999) / 1000 : 0);
}

int64_t fleet_lag_seconds(const struct fleet_clone *c)
{
	int64_t since = c->rec.behind_since != 0 ? c->rec.behind_since : c->fleet->unreplicated;
	int64_t age = since != 0 ? fleet_wall(c->fleet) - since : 0;

	return age > 0 ? age : 0;
}
