/* SPDX-License-Identifier: Apache-2.0 */
/* fleet: who is due and when, by a clock that the test holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "replication/fleet.h"

#define LINEAGE "00112233445566778899aabbccddeeff"
#define EPOCH	1000000

struct world {
	struct loop *loop;
	struct fleet *fleet;
	struct fleet_clone *due[64];
	unsigned due_count;
	unsigned changes;
	enum fleet_state last_from, last_to;
};

static struct loop *wall_loop;

static int64_t wall(void)
{
	return EPOCH + (int64_t)(loop_now(wall_loop) / 1000);
}

static void on_due(struct fleet_clone *c, void *arg)
{
	struct world *w = arg;

	assert_true(fleet_in_attempt(c));
	w->due[w->due_count++ % 64] = c;
}

static void on_change(struct fleet_clone *c, enum fleet_state from, enum fleet_state to, void *arg)
{
	struct world *w = arg;

	(void)c;
	w->changes++;
	w->last_from = from;
	w->last_to = to;
}

static void begin(struct world *w, unsigned clones, unsigned parallel)
{
	struct fleet_options o = {
		.max_parallel = parallel,
		.retry_min_ms = 5000,
		.retry_max_ms = 600000,
		.wall = wall,
		.on_due = on_due,
		.on_change = on_change,
		.arg = w,
	};

	memset(w, 0, sizeof(*w));
	w->loop = wall_loop = loop_new();
	loop_fake_clock(w->loop, 1000);
	o.loop = w->loop;
	w->fleet = fleet_new(&o);
	for (unsigned i = 0; i < clones; i++) {
		struct fleet_clone *c;
		char host[32];

		snprintf(host, sizeof(host), "10.0.0.%u", i + 1);
		assert_int_equal(fleet_add(&c, w->fleet, host, 2222), KC_OK);
	}
	fleet_set_generation(w->fleet, LINEAGE, 1, EPOCH);
	fleet_set_task(w->fleet, true);
}

static void end(struct world *w)
{
	fleet_free(w->fleet);
	loop_free(w->loop);
}

static void turn(struct world *w)
{
	loop_turn(w->loop, 0);
}

static void pass(struct world *w, uint64_t ms)
{
	loop_fake_advance(w->loop, ms);
	turn(w);
}

/* A fleet of one clone, whose first attempt is under way. */
static struct fleet_clone *begin_one(struct world *w)
{
	begin(w, 1, 0);
	turn(w);
	return fleet_at(w->fleet, 0);
}

/* How long until the next attempt begins? In steps of `step`. */
static uint64_t wait_due(struct world *w, uint64_t step, uint64_t most)
{
	unsigned before = w->due_count;
	uint64_t waited = 0;

	turn(w);
	while (w->due_count == before && waited < most) {
		pass(w, step);
		waited += step;
	}
	return waited;
}

static struct fleet_hello hello_of(uint64_t applied)
{
	return (struct fleet_hello){ .applied = applied, .stored = applied };
}

static void apply(struct fleet_clone *c, uint64_t generation)
{
	struct fleet_hello h = hello_of(fleet_record(c)->applied);

	fleet_hello(c, &h);
	fleet_phase(c, FLEET_PUSHING, 0);
	fleet_offered(c, generation);
	fleet_stored(c, generation);
	fleet_applied(c, generation);
}

static void due__new_fleet__all_clones_at_once(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 20, 0);
	assert_int_equal(w.due_count, 0); /* never from inside a call */
	turn(&w);
	assert_int_equal(w.due_count, 20);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(fleet_state(fleet_at(w.fleet, i)), FLEET_CONNECTING);
	end(&w);
}

static void due__task_down__nobody(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 2, 0);
	fleet_set_task(w.fleet, false);
	pass(&w, 3600000);
	assert_int_equal(w.due_count, 0);
	assert_int_equal(fleet_state(fleet_at(w.fleet, 0)), FLEET_STOPPED);
	fleet_now(w.fleet, fleet_at(w.fleet, 1));
	turn(&w);
	assert_int_equal(w.due_count, 1);
	assert_ptr_equal(w.due[0], fleet_at(w.fleet, 1));
	end(&w);
}

static void due__parallel_limit__next_begins_when_one_ends(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 5, 2);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	pass(&w, 60000);
	assert_int_equal(w.due_count, 2);
	fleet_failed(w.due[0], FLEET_FAIL_UNREACHABLE, KC_ETIMEOUT, "no answer", false);
	turn(&w);
	assert_int_equal(w.due_count, 3);
	assert_ptr_equal(w.due[2], fleet_at(w.fleet, 2));
	apply(w.due[1], 1);
	turn(&w);
	assert_int_equal(w.due_count, 4);
	/* the failed one may come again, but those that wait for longer go first */
	pass(&w, 10000);
	apply(w.due[2], 1);
	turn(&w);
	assert_ptr_equal(w.due[4], fleet_at(w.fleet, 4));
	end(&w);
}

static void applied__newest__current_and_quiet(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	apply(c, 1);
	assert_int_equal(fleet_state(c), FLEET_CURRENT);
	assert_int_equal(w.last_to, FLEET_CURRENT);
	assert_int_equal(fleet_record(c)->applied, 1);
	assert_int_equal(fleet_record(c)->stored, 1);
	assert_int_equal(fleet_record(c)->applied_at, wall());
	assert_int_equal(fleet_record(c)->last_success, wall());
	pass(&w, 7200000);
	assert_int_equal(w.due_count, 1);
	end(&w);
}

static void applied__newer_generation_meanwhile__due_again(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH + 1);
	turn(&w);
	assert_int_equal(w.due_count, 1);
	apply(c, 1);
	assert_int_equal(fleet_state(c), FLEET_BEHIND);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	apply(c, 2);
	assert_int_equal(fleet_state(c), FLEET_CURRENT);
	end(&w);
}

static void failed__again_and_again__delay_doubles_within_limits(void **state)
{
	struct world w;
	uint64_t want = 5000;

	(void)state;
	begin(&w, 1, 0);
	turn(&w);
	for (unsigned i = 0; i < 12; i++) {
		uint64_t low = want - want / 4, high = want + want / 4, waited;

		fleet_failed(fleet_at(w.fleet, 0), FLEET_FAIL_UNREACHABLE, KC_ENET, "no route", false);
		assert_int_equal(fleet_state(fleet_at(w.fleet, 0)), FLEET_UNREACHABLE);
		waited = wait_due(&w, 50, 1000000);
		assert_in_range(waited, low < 5000 ? 5000 : low, (high > 600000 ? 600000 : high) + 50);
		want = want * 2 > 600000 ? 600000 : want * 2;
	}
	/* success resets */
	apply(fleet_at(w.fleet, 0), 1);
	fleet_lost(fleet_at(w.fleet, 0), KC_OK);
	assert_int_equal(wait_due(&w, 50, 1000), 250);
	fleet_failed(fleet_at(w.fleet, 0), FLEET_FAIL_UNREACHABLE, KC_ENET, "no route", false);
	assert_in_range(wait_due(&w, 50, 100000), 5000, 6300);
	end(&w);
}

static void failed__many_at_once__spread(void **state)
{
	struct world w;
	unsigned at_once = 0, rounds = 0;

	(void)state;
	begin(&w, 20, 0);
	turn(&w);
	for (unsigned round = 0; round < 2; round++) {
		unsigned before = w.due_count;

		for (size_t i = 0; i < 20; i++)
			fleet_failed(fleet_at(w.fleet, i), FLEET_FAIL_OTHER, KC_ENET, "broken", false);
		while (w.due_count < before + 20) {
			unsigned n = w.due_count;

			pass(&w, 100);
			assert_true(++rounds < 1000);
			at_once = w.due_count - n > at_once && round == 1 ? w.due_count - n : at_once;
		}
	}
	assert_true(at_once < 10); /* the second time between 7.5 and 12.5 s */
	end(&w);
}

static void failed__hopeless__waits_for_next_generation(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	fleet_failed(c, FLEET_FAIL_OTHER, KC_ESIGNATURE, "not signed", false);
	assert_int_equal(fleet_state(c), FLEET_FAILED);
	assert_string_equal(fleet_record(c)->last_error, "not signed");
	pass(&w, 599000);
	assert_int_equal(w.due_count, 1);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH + 5);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	/* but not more often than RetryMin */
	fleet_failed(c, FLEET_FAIL_OTHER, KC_ESIGNATURE, "not signed", false);
	fleet_set_generation(w.fleet, LINEAGE, 3, EPOCH + 6);
	assert_int_equal(wait_due(&w, 100, 100000), 5000);
	/* nor later than RetryMax */
	fleet_failed(c, FLEET_FAIL_DIVERGED, KC_EDIVERGED, "rows of its own", true);
	assert_int_equal(fleet_state(c), FLEET_DIVERGED);
	assert_int_equal(fleet_retry_at(c), wall() + 600);
	assert_int_equal(wait_due(&w, 1000, 1000000), 600000);
	end(&w);
}

static void failed__retryable_and_new_generation__back_off_stays(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 1, 0);
	turn(&w);
	fleet_failed(fleet_at(w.fleet, 0), FLEET_FAIL_UNREACHABLE, KC_EREFUSED, "connection refused", false);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH + 5);
	turn(&w);
	assert_int_equal(w.due_count, 1);
	assert_in_range(wait_due(&w, 50, 100000), 5000, 6300);
	end(&w);
}

static void now__back_off__due_at_once_and_refused_tried_soon(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	assert_false(fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_EREFUSED, "connection refused", false));
	fleet_now(w.fleet, NULL);
	assert_int_equal(wait_due(&w, 50, 10000), 0);
	for (unsigned i = 0; i < 20; i++) {
		assert_true(fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_EREFUSED, "connection refused", false));
		assert_int_equal(wait_due(&w, 50, 10000), 250);
	}
	assert_false(fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_EREFUSED, "connection refused", false));
	assert_in_range(wait_due(&w, 50, 100000), 5000, 6300);
	end(&w);
}

static void now__busy_clone__tried_as_long_as_it_says_so(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	assert_false(fleet_failed(c, FLEET_FAIL_DECLINED, KC_EAGAIN, "it restores right now", true));
	fleet_now(w.fleet, NULL);
	assert_int_equal(wait_due(&w, 50, 10000), 0);
	for (unsigned i = 0; i < 60; i++) {
		assert_true(fleet_failed(c, FLEET_FAIL_DECLINED, KC_EAGAIN, "it restores right now", true));
		assert_int_equal(wait_due(&w, 50, 10000), 1000);
	}
	end(&w);
}

static void now__attempt_under_way__tried_again_if_its_connection_was_dead(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	assert_true(fleet_in_attempt(c));
	fleet_now(w.fleet, c);
	assert_true(fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_ENET, "connection lost: closed by the peer", false));
	assert_int_equal(wait_due(&w, 50, 10000), 250);
	assert_false(fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_ENET, "connection lost: closed by the peer", false));
	assert_true(wait_due(&w, 50, 10000) >= 5000);
	fleet_now(w.fleet, c);
	assert_false(fleet_failed(c, FLEET_FAIL_OTHER, KC_EFORMAT, "not what it was", true));
	end(&w);
}

static void now__current_clone__due(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	apply(c, 1);
	fleet_now(w.fleet, c);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	fleet_idle(c);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	end(&w);
}

static void begin__new_generation__due_in_the_same_call(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	apply(c, 1);
	fleet_begin(w.fleet);
	assert_int_equal(w.due_count, 1);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH);
	assert_int_equal(w.due_count, 1);
	fleet_begin(w.fleet);
	assert_int_equal(w.due_count, 2);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	apply(c, 2);
	end(&w);
}

static void lost__in_good_order__reconnects_at_once(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	apply(c, 1);
	fleet_lost(c, KC_OK);
	assert_int_equal(wait_due(&w, 50, 10000), 250); /* a clone that only says bye */
	apply(c, 1);
	pass(&w, 1000);
	fleet_lost(c, KC_OK);
	assert_int_equal(wait_due(&w, 50, 10000), 0);
	apply(c, 1);
	fleet_lost(c, KC_ETIMEOUT);
	assert_int_equal(wait_due(&w, 50, 10000), 5000);
	end(&w);
}

static void again__session_ended_before_the_offer__due_soon_and_no_failure(void **state)
{
	struct world w;
	struct fleet_clone *c;
	struct fleet_hello h = hello_of(0);

	(void)state;
	begin(&w, 1, 1);
	c = fleet_at(w.fleet, 0);
	turn(&w);
	fleet_hello(c, &h);
	pass(&w, 100);
	assert_true(fleet_again(c));
	assert_false(fleet_record(c)->failing);
	assert_int_equal(wait_due(&w, 50, 10000), 150);
	apply(c, 1);
	assert_int_equal(fleet_state(c), FLEET_CURRENT);
	end(&w);
}

static void again__at_every_offer__is_a_failure_in_the_end(void **state)
{
	struct world w;
	struct fleet_clone *c;
	struct fleet_hello h = hello_of(0);

	(void)state;
	begin(&w, 1, 1);
	c = fleet_at(w.fleet, 0);
	turn(&w);
	for (unsigned i = 0; i < 3; i++) {
		fleet_hello(c, &h);
		assert_true(fleet_again(c));
		wait_due(&w, 50, 10000);
	}
	fleet_hello(c, &h);
	assert_false(fleet_again(c));
	assert_true(fleet_in_attempt(c));
	fleet_failed(c, FLEET_FAIL_OTHER, KC_ENET, "it leaves", false);
	assert_in_range(wait_due(&w, 50, 100000), 5000, 10000);
	/* what it applies makes it an honest one again */
	apply(c, 1);
	fleet_set_generation(w.fleet, LINEAGE, 2, wall());
	turn(&w);
	assert_true(fleet_again(c));
	end(&w);
}

static void lost__again_and_again__is_no_hurry(void **state)
{
	struct world w;
	struct fleet_clone *c;
	uint64_t waited = 0;

	(void)state;
	begin(&w, 1, 1);
	c = fleet_at(w.fleet, 0);
	turn(&w);
	apply(c, 1);
	for (unsigned i = 0; i < 5; i++) {
		struct fleet_hello h = hello_of(1);

		fleet_lost(c, KC_OK);
		waited = wait_due(&w, 50, 10000);
		fleet_hello(c, &h);
		fleet_idle(c);
	}
	assert_int_equal(waited, 5000);
	end(&w);
}

static void heard__unreachable_clone__due_at_once(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	for (unsigned i = 0; i < 8; i++) {
		fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_ENET, "no route", false);
		wait_due(&w, 1000, 1000000);
	}
	fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_ENET, "no route", false);
	fleet_heard(c);
	assert_int_equal(wait_due(&w, 50, 10000), 0);
	end(&w);
}

static void hello__clone_has_it_already__idle_is_success(void **state)
{
	struct world w;
	struct fleet_clone *c;
	struct fleet_hello h = hello_of(1);

	(void)state;
	c = begin_one(&w);
	h.clock_offset = -3;
	h.not_after = 77;
	fleet_hello(c, &h);
	fleet_idle(c);
	assert_int_equal(fleet_state(c), FLEET_CURRENT);
	assert_int_equal(fleet_record(c)->clock_offset, -3);
	assert_int_equal(fleet_record(c)->not_after, 77);
	end(&w);
}

static void postponed__waits_until_next_generation(void **state)
{
	struct world w;
	struct fleet_clone *c;
	struct fleet_hello h = hello_of(0);

	(void)state;
	c = begin_one(&w);
	fleet_hello(c, &h);
	fleet_postponed(c, 1, EPOCH + 7200);
	assert_int_equal(fleet_state(c), FLEET_POSTPONED);
	pass(&w, 3600000);
	assert_int_equal(w.due_count, 1);
	assert_true(fleet_lag_seconds(c) >= 3600);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH + 3600);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	fleet_postponed(c, 2, EPOCH + 7200);
	assert_int_equal(fleet_state(c), FLEET_POSTPONED);
	end(&w);
}

static void reported__after_the_hour__is_current_without_an_attempt(void **state)
{
	struct world w;
	struct fleet_clone *c;
	struct fleet_hello h = hello_of(0);

	(void)state;
	c = begin_one(&w);
	fleet_hello(c, &h);
	fleet_postponed(c, 1, EPOCH + 7200);
	fleet_reported(c, 1);
	assert_int_equal(fleet_state(c), FLEET_CURRENT);
	assert_int_equal(fleet_record(c)->applied, 1);
	assert_int_equal(fleet_record(c)->postponed_until, 0);
	assert_int_equal(fleet_lag_seconds(c), 0);
	pass(&w, 3600000);
	assert_int_equal(w.due_count, 1);
	/* In the middle of the next attempt, and once more: neither ends it, nor goes back. */
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH + 3600);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	fleet_reported(c, 1);
	assert_true(fleet_in_attempt(c));
	fleet_applied(c, 2);
	fleet_reported(c, 1);
	assert_int_equal(fleet_record(c)->applied, 2);
	end(&w);
}

static void reported__after_a_failure__ends_the_back_off(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	fleet_failed(c, FLEET_FAIL_DECLINED, KC_EAGAIN, "it restores right now", true);
	assert_int_equal(fleet_state(c), FLEET_FAILED);
	fleet_reported(c, 1);
	assert_int_equal(fleet_state(c), FLEET_CURRENT);
	assert_int_equal(fleet_retry_at(c), 0);
	end(&w);
}

static void lag__several_generations_behind__age_of_first_missing(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	apply(c, 1);
	assert_int_equal(fleet_lag_seconds(c), 0);
	pass(&w, 99000); /* it is now EPOCH + 100 */
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH + 40);
	fleet_set_generation(w.fleet, LINEAGE, 3, EPOCH + 70);
	assert_int_equal(fleet_lag_seconds(c), 60);
	turn(&w);
	apply(c, 2);
	assert_int_equal(fleet_lag_seconds(c), 30);
	turn(&w);
	apply(c, 3);
	assert_int_equal(fleet_lag_seconds(c), 0);
	fleet_set_unreplicated(w.fleet, EPOCH + 95);
	assert_int_equal(fleet_lag_seconds(c), 5);
	end(&w);
}

static void withdraw__failed_backup__former_generation_counts(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	apply(c, 1);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH);
	assert_int_equal(fleet_state(c), FLEET_BEHIND);
	fleet_withdraw_generation(w.fleet, 2);
	assert_int_equal(fleet_generation(w.fleet), 1);
	assert_int_equal(fleet_state(c), FLEET_CURRENT);
	turn(&w);
	assert_int_equal(w.due_count, 1);
	end(&w);
}

static void lineage__another__what_clones_had_is_forgotten(void **state)
{
	struct world w;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	apply(c, 1);
	fleet_set_generation(w.fleet, "ffeeddccbbaa99887766554433221100", 1, EPOCH);
	assert_int_equal(fleet_record(c)->applied, 0);
	assert_int_equal(fleet_state(c), FLEET_BEHIND);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	end(&w);
}

static void restore__record__comes_back_and_is_due(void **state)
{
	struct world w;
	struct fleet_record kept;
	struct fleet_clone *c;

	(void)state;
	c = begin_one(&w);
	apply(c, 1);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH + 1);
	turn(&w);
	fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_ENET, "no route", false);
	kept = *fleet_record(c);
	end(&w);

	begin(&w, 1, 0);
	c = fleet_at(w.fleet, 0);
	fleet_restore(c, &kept);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH + 1);
	assert_int_equal(fleet_state(c), FLEET_UNREACHABLE);
	assert_int_equal(fleet_record(c)->applied, 1);
	assert_int_equal(fleet_record(c)->behind_since, EPOCH + 1);
	turn(&w);
	assert_int_equal(w.due_count, 1);
	end(&w);
}

static void add__too_many_or_twice__refused(void **state)
{
	struct world w;
	struct fleet_clone *c = NULL;

	(void)state;
	begin(&w, 19, 0);
	assert_int_equal(fleet_add(&c, w.fleet, "10.0.0.1", 2222), KC_EEXIST);
	assert_int_equal(fleet_add(&c, w.fleet, "10.0.0.1", 2223), KC_OK);
	assert_int_equal(fleet_add(&c, w.fleet, "10.0.0.99", 2222), KC_ELIMIT);
	assert_null(fleet_find(w.fleet, "10.0.0.1", 0));
	assert_non_null(fleet_find(w.fleet, "10.0.0.2", 0));
	end(&w);
}

static void remove__during_attempt__place_is_given_back(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 2, 1);
	turn(&w);
	assert_int_equal(w.due_count, 1);
	fleet_remove(w.due[0]);
	assert_int_equal(fleet_count(w.fleet), 1);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	assert_ptr_equal(w.due[1], fleet_at(w.fleet, 0));
	end(&w);
}

static void separation__beginnings_keep_their_distance(void **state)
{
	struct world w;
	struct fleet_options o = { .separation_ms = 1000, .retry_min_ms = 5000, .retry_max_ms = 600000 };

	(void)state;
	begin(&w, 3, 0);
	fleet_set_options(w.fleet, &o);
	turn(&w);
	assert_int_equal(w.due_count, 1);
	pass(&w, 999);
	assert_int_equal(w.due_count, 1);
	pass(&w, 1);
	assert_int_equal(w.due_count, 2);
	pass(&w, 1000);
	assert_int_equal(w.due_count, 3);
	end(&w);
}

static void hold__clone__nothing_is_due_until_resume(void **state)
{
	struct world w;
	struct fleet_clone *c;
	struct fleet_hello h = hello_of(0);

	(void)state;
	begin(&w, 1, 0);
	turn(&w);
	c = w.due[0];
	apply(c, 1);
	fleet_hold(c, true);
	assert_int_equal(fleet_state(c), FLEET_HELD);
	assert_int_equal(w.last_to, FLEET_HELD);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH);
	fleet_now(w.fleet, c);
	fleet_greet(c);
	fleet_lost(c, KC_OK);
	pass(&w, 3600000);
	assert_int_equal(w.due_count, 1);
	assert_int_equal(fleet_retry_at(c), 0);
	fleet_hold(c, false);
	assert_int_equal(fleet_state(c), FLEET_BEHIND);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	/* In an attempt its phase is shown; afterwards that it is held. */
	fleet_hold(c, true);
	assert_int_equal(fleet_state(c), FLEET_CONNECTING);
	fleet_hello(c, &h);
	fleet_failed(c, FLEET_FAIL_OTHER, KC_ECANCELED, "held", false);
	assert_int_equal(fleet_state(c), FLEET_HELD);
	end(&w);
}

static void hold__restored_record__is_held(void **state)
{
	struct world w;
	struct fleet_record r = { .held = true };
	struct fleet_clone *c;

	(void)state;
	begin(&w, 1, 0);
	c = fleet_at(w.fleet, 0);
	fleet_restore(c, &r);
	pass(&w, 1000);
	assert_int_equal(w.due_count, 0);
	assert_int_equal(fleet_state(c), FLEET_HELD);
	end(&w);
}

static void greet__task_down__due_once(void **state)
{
	struct world w;
	struct fleet_clone *c;
	struct fleet_hello h = hello_of(1);

	(void)state;
	begin(&w, 1, 0);
	turn(&w);
	c = w.due[0];
	apply(c, 1);
	fleet_set_task(w.fleet, false);
	fleet_lost(c, KC_OK);
	pass(&w, 60000);
	assert_int_equal(w.due_count, 1);
	fleet_greet(c);
	turn(&w);
	assert_int_equal(w.due_count, 2);
	fleet_hello(c, &h);
	fleet_idle(c);
	pass(&w, 3600000);
	assert_int_equal(w.due_count, 2);
	assert_int_equal(fleet_state(c), FLEET_STOPPED);
	/* One that does not answer is not tried again and again while the task is down. */
	fleet_greet(c);
	turn(&w);
	assert_int_equal(w.due_count, 3);
	fleet_failed(c, FLEET_FAIL_UNREACHABLE, KC_EREFUSED, "connection refused", false);
	pass(&w, 3600000);
	assert_int_equal(w.due_count, 3);
	end(&w);
}

static void hello__clone_is_stopped__session_is_kept_and_nothing_tried(void **state)
{
	struct world w;
	struct fleet_clone *c;
	struct fleet_hello h = hello_of(0);

	(void)state;
	begin(&w, 1, 0);
	turn(&w);
	c = w.due[0];
	h.stopped = true;
	fleet_hello(c, &h);
	fleet_failed(c, FLEET_FAIL_DECLINED, KC_EBUSY, "its task is down", true);
	assert_int_equal(fleet_state(c), FLEET_STOPPED);
	fleet_set_generation(w.fleet, LINEAGE, 2, EPOCH);
	pass(&w, 3600000);
	assert_int_equal(w.due_count, 1);
	/* It was started: it ends the session to be greeted anew. */
	fleet_lost(c, KC_OK);
	pass(&w, 1000);
	assert_int_equal(w.due_count, 2);
	h.stopped = false;
	fleet_hello(c, &h);
	fleet_applied(c, 2);
	assert_int_equal(fleet_state(c), FLEET_CURRENT);
	end(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(due__new_fleet__all_clones_at_once),
		cmocka_unit_test(due__task_down__nobody),
		cmocka_unit_test(due__parallel_limit__next_begins_when_one_ends),
		cmocka_unit_test(applied__newest__current_and_quiet),
		cmocka_unit_test(applied__newer_generation_meanwhile__due_again),
		cmocka_unit_test(failed__again_and_again__delay_doubles_within_limits),
		cmocka_unit_test(failed__many_at_once__spread),
		cmocka_unit_test(failed__hopeless__waits_for_next_generation),
		cmocka_unit_test(failed__retryable_and_new_generation__back_off_stays),
		cmocka_unit_test(now__back_off__due_at_once_and_refused_tried_soon),
		cmocka_unit_test(now__busy_clone__tried_as_long_as_it_says_so),
		cmocka_unit_test(now__attempt_under_way__tried_again_if_its_connection_was_dead),
		cmocka_unit_test(now__current_clone__due),
		cmocka_unit_test(begin__new_generation__due_in_the_same_call),
		cmocka_unit_test(lost__in_good_order__reconnects_at_once),
		cmocka_unit_test(again__session_ended_before_the_offer__due_soon_and_no_failure),
		cmocka_unit_test(again__at_every_offer__is_a_failure_in_the_end),
		cmocka_unit_test(lost__again_and_again__is_no_hurry),
		cmocka_unit_test(heard__unreachable_clone__due_at_once),
		cmocka_unit_test(hello__clone_has_it_already__idle_is_success),
		cmocka_unit_test(postponed__waits_until_next_generation),
		cmocka_unit_test(reported__after_the_hour__is_current_without_an_attempt),
		cmocka_unit_test(reported__after_a_failure__ends_the_back_off),
		cmocka_unit_test(lag__several_generations_behind__age_of_first_missing),
		cmocka_unit_test(withdraw__failed_backup__former_generation_counts),
		cmocka_unit_test(lineage__another__what_clones_had_is_forgotten),
		cmocka_unit_test(restore__record__comes_back_and_is_due),
		cmocka_unit_test(add__too_many_or_twice__refused),
		cmocka_unit_test(remove__during_attempt__place_is_given_back),
		cmocka_unit_test(hold__clone__nothing_is_due_until_resume),
		cmocka_unit_test(hold__restored_record__is_held),
		cmocka_unit_test(greet__task_down__due_once),
		cmocka_unit_test(hello__clone_is_stopped__session_is_kept_and_nothing_tried),
		cmocka_unit_test(separation__beginnings_keep_their_distance),
	};

	if (mem_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
