/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet: who is due, and when to try again. See fleet.h.
 *
 * Every event changes one clone, then calls fleet_settle(): it tells the owner what changed and plans the one timer.
 * Only the timer and fleet_begin() begin attempts, so that no other call into the fleet calls on_due. It must never
 * look at wall-clock time to decide.
 */
#include "replication/fleet_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"

#define RETRY_MIN_DEFAULT 5000
#define RETRY_MAX_DEFAULT 600000

int64_t fleet_wall(const struct fleet *f)
{
	return f->opt.wall != NULL ? f->opt.wall() : (int64_t)time(NULL);
}

uint64_t fleet_later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* --- what is due ------------------------------------------------------------------------------------------------ */

uint64_t fleet_generation(const struct fleet *f)
{
	return f->known > 0 ? f->history[f->known - 1].number : 0;
}

static bool lacks_newest(const struct fleet_clone *c)
{
	uint64_t newest = fleet_generation(c->fleet);

	if (c->rec.applied >= newest)
		return false;
	return c->rec.postponed_until == 0 || c->rec.stored < newest;
}

bool fleet_waits(const struct fleet_clone *c)
{
	if (c->attempt || c->rec.held)
		return false;
	if (!c->fleet->up && !c->asked)
		return false;
	return c->asked || !c->session || (!c->rec.stopped && (c->rec.failing || lacks_newest(c)));
}

static uint64_t due_at(const struct fleet_clone *c)
{
	const struct fleet *f = c->fleet;
	uint64_t at = c->next_try;

	if (f->started && f->opt.separation_ms > 0)
		at = fleet_later(at, f->last_start + f->opt.separation_ms);
	return at;
}

/* The clone whose turn it is: the one that waits for the longest time. */
static struct fleet_clone *next_clone(const struct fleet *f)
{
	struct fleet_clone *best = NULL;

	for (size_t i = 0; i < f->count; i++) {
		struct fleet_clone *c = f->clones[i];

		if (!fleet_waits(c))
			continue;
		if (best == NULL || due_at(c) < due_at(best) ||
		    (due_at(c) == due_at(best) && c->last_try < best->last_try))
			best = c;
	}
	return best;
}

static void plan(struct fleet *f)
{
	const struct fleet_clone *c = f->attempts < f->opt.max_parallel ? next_clone(f) : NULL;
	uint64_t now = loop_now(f->opt.loop);

	if (c == NULL)
		loop_timer_clear(f->timer);
	else
		loop_timer_set(f->timer, due_at(c) > now ? due_at(c) - now : 0);
}

void fleet_settle(struct fleet_clone *c)
{
	enum fleet_state from = c->told_state, to = fleet_state(c);

	if (from != to || memcmp(&c->told, &c->rec, sizeof(c->rec)) != 0) {
		c->told_state = to;
		c->told = c->rec;
		if (c->fleet->opt.on_change != NULL)
			c->fleet->opt.on_change(c, from, to, c->fleet->opt.arg);
	}
	plan(c->fleet);
}

static void settle_all(struct fleet *f)
{
	for (size_t i = 0; i < f->count; i++)
		fleet_settle(f->clones[i]);
	plan(f);
}

static void begin_attempt(struct fleet_clone *c)
{
	struct fleet *f = c->fleet;

	f->attempts++;
	f->last_start = loop_now(f->opt.loop);
	f->started = true;
	c->attempt = true;
	c->asked = false;
	c->joined = false;
	c->phase = FLEET_CONNECTING;
	c->percent = 0;
	c->last_try = f->last_start;
	c->rec.last_attempt = fleet_wall(f);
	fleet_settle(c);
	f->opt.on_due(c, f->opt.arg);
}

void fleet_begin(struct fleet *f)
{
	/* on_due may end the attempt at once or remove clones: look again each time, at most once a clone. */
	for (size_t turns = f->count; turns > 0 && f->attempts < f->opt.max_parallel; turns--) {
		struct fleet_clone *c = next_clone(f);

		if (c == NULL || due_at(c) > loop_now(f->opt.loop))
			break;
		begin_attempt(c);
	}
	plan(f);
}

static void on_timer(void *arg)
{
	fleet_begin(arg);
}

/* --- making and keeping ----------------------------------------------------------------------------------------- */

void fleet_set_options(struct fleet *f, const struct fleet_options *o)
{
	f->opt.max_parallel = o->max_parallel > 0 ? o->max_parallel : FLEET_MAX;
	f->opt.separation_ms = o->separation_ms;
	f->opt.retry_min_ms = o->retry_min_ms > 0 ? o->retry_min_ms : RETRY_MIN_DEFAULT;
	f->opt.retry_max_ms =
	    fleet_later(o->retry_max_ms > 0 ? o->retry_max_ms : RETRY_MAX_DEFAULT, f->opt.retry_min_ms);
	plan(f);
}

struct fleet *fleet_new(const struct fleet_options *o)
{
	struct fleet *f = mem_xalloc(sizeof(*f));

	assert(o->on_due != NULL);
	f->opt = *o;
	f->timer = loop_timer_new(o->loop, on_timer, f);
	fleet_set_options(f, o);
	return f;
}

void fleet_free(struct fleet *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->count; i++)
		free(f->clones[i]);
	loop_timer_free(f->timer);
	free(f);
}

int fleet_add(struct fleet_clone **out, struct fleet *f, const char *host, uint16_t port)
{
	struct fleet_clone *c;

	if (fleet_find(f, host, port) != NULL && port != 0)
		return err_set(KC_EEXIST, "%s:%u: this clone is there already", host, port);
	if (f->count == FLEET_MAX)
		return err_set(
		    KC_ELIMIT, "%s:%u: there are %d clones already, the most there may be", host, port, FLEET_MAX);
	if (strlen(host) >= sizeof(c->rec.host))
		return err_set(KC_ELIMIT, "host name of %zu bytes, at most %zu", strlen(host), sizeof(c->rec.host) - 1);
	c = mem_xalloc(sizeof(*c));
	c->fleet = f;
	snprintf(c->rec.host, sizeof(c->rec.host), "%s", host);
	c->rec.port = port;
	f->clones[f->count++] = c;
	c->told = c->rec;
	c->told_state = fleet_state(c);
	plan(f);
	*out = c;
	return KC_OK;
}

void fleet_remove(struct fleet_clone *c)
{
	struct fleet *f = c->fleet;
	size_t i = 0;

	while (f->clones[i] != c)
		i++;
	memmove(&f->clones[i], &f->clones[i + 1], (f->count - i - 1) * sizeof(f->clones[0]));
	f->count--;
	if (c->attempt)
		f->attempts--;
	free(c);
	plan(f);
}

size_t fleet_count(const struct fleet *f)
{
	return f->count;
}

struct fleet_clone *fleet_at(const struct fleet *f, size_t i)
{
	assert(i < f->count);
	return f->clones[i];
}

struct fleet_clone *fleet_find(const struct fleet *f, const char *host, uint16_t port)
{
	struct fleet_clone *found = NULL;

	for (size_t i = 0; i < f->count; i++) {
		struct fleet_clone *c = f->clones[i];

		if (strcmp(c->rec.host, host) != 0 || (port != 0 && c->rec.port != port))
			continue;
		if (found != NULL)
			return NULL;
		found = c;
	}
	return found;
}

void fleet_set_arg(struct fleet_clone *c, void *arg)
{
	c->arg = arg;
}

void *fleet_arg(const struct fleet_clone *c)
{
	return c->arg;
}

const struct fleet_record *fleet_record(const struct fleet_clone *c)
{
	return &c->rec;
}

void fleet_restore(struct fleet_clone *c, const struct fleet_record *r)
{
	struct fleet_record keep = c->rec;

	c->rec = *r;
	memcpy(c->rec.host, keep.host, sizeof(keep.host));
	c->rec.port = keep.port;
	if ((unsigned)c->rec.how > FLEET_FAIL_OTHER)
		c->rec.how = FLEET_FAIL_OTHER;
	c->told = c->rec;
	c->told_state = fleet_state(c);
	plan(c->fleet);
}

/* --- what the master wants -------------------------------------------------------------------------------------- */

void fleet_set_task(struct fleet *f, bool up)
{
	f->up = up;
	settle_all(f);
}

/* The oldest change that the clone lacks: that of the first generation after the one it has applied. Where that is no
 * longer remembered, what was known before stays, for it can only be older. */
void fleet_find_behind(struct fleet_clone *c)
{
	const struct fleet *f = c->fleet;
	size_t i = 0;

	while (i < f->known && f->history[i].number <= c->rec.applied)
		i++;
	if (i == f->known)
		c->rec.behind_since = 0;
	else if (i > 0 || c->rec.behind_since == 0)
		c->rec.behind_since = f->history[i].changed_at;
}

static void new_lineage(struct fleet *f, const char *lineage)
{
	snprintf(f->lineage, sizeof(f->lineage), "%s", lineage);
	f->known = 0;
}

/* What a clone has, it has of its lineage. */
void fleet_adopt_lineage(struct fleet_clone *c)
{
	if (strcmp(c->rec.lineage, c->fleet->lineage) == 0)
		return;
	snprintf(c->rec.lineage, sizeof(c->rec.lineage), "%s", c->fleet->lineage);
	c->rec.offered = c->rec.stored = c->rec.applied = 0;
	c->rec.postponed_until = 0;
	c->rec.behind_since = 0;
}

void fleet_set_generation(struct fleet *f, const char *lineage, uint64_t generation, int64_t changed_at)
{
	uint64_t now = loop_now(f->opt.loop);

	if (strcmp(f->lineage, lineage) != 0)
		new_lineage(f, lineage);
	if (generation > fleet_generation(f)) {
		if (f->known == FLEET_HISTORY) {
			memmove(&f->history[0], &f->history[1], (FLEET_HISTORY - 1) * sizeof(f->history[0]));
			f->known--;
		}
		f->history[f->known++] = (struct generation){ .number = generation, .changed_at = changed_at };
	}
	for (size_t i = 0; i < f->count; i++) {
		struct fleet_clone *c = f->clones[i];

		fleet_adopt_lineage(c);
		fleet_find_behind(c);
		if (c->hopeless && !c->attempt && c->next_try > now) {
			/* Once for each generation, but not more often than RetryMin. */
			c->next_try = fleet_later(now, c->last_try + f->opt.retry_min_ms);
			c->hopeless = false;
		}
	}
	settle_all(f);
}

void fleet_withdraw_generation(struct fleet *f, uint64_t generation)
{
	if (f->known == 0 || fleet_generation(f) != generation)
		return;
	f->known--;
	for (size_t i = 0; i < f->count; i++)
		fleet_find_behind(f->clones[i]);
	settle_all(f);
}

void fleet_set_unreplicated(struct fleet *f, int64_t since)
{
	f->unreplicated = since;
}

static void ask(struct fleet_clone *c)
{
	if (c->rec.held)
		return;
	c->asked = !c->attempt;
	c->joined = c->attempt;
	c->next_try = 0;
	c->failures = 0;
	c->hopeless = false;
	c->urgent_until = loop_now(c->fleet->opt.loop) + c->fleet->opt.retry_min_ms;
}

void fleet_now(struct fleet *f, struct fleet_clone *c)
{
	if (c != NULL)
		ask(c);
	for (size_t i = 0; c == NULL && i < f->count; i++)
		ask(f->clones[i]);
	plan(f);
}

void fleet_hold(struct fleet_clone *c, bool held)
{
	c->rec.held = held;
	c->asked = c->joined = false;
	c->next_try = 0;
	c->failures = 0;
	c->hopeless = false;
	fleet_settle(c);
}

void fleet_greet(struct fleet_clone *c)
{
	c->asked = !c->attempt && !c->rec.held;
	c->next_try = 0;
	c->failures = 0;
	c->hopeless = false;
	plan(c->fleet);
}

void fleet_heard(struct fleet_clone *c)
{
	if (c->attempt || c->session || !c->rec.failing || c->rec.how != FLEET_FAIL_UNREACHABLE)
		return;
	c->next_try = 0;
	c->failures = 0;
	plan(c->fleet);
}
