/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_time: the deadlines of a session. A phase has one timer, the owner another; silence, a peer that takes nothing
 * and our own signs of life share a third, which compares times when it fires, so that a frame costs no timer call.
 */
#include <stdio.h>

#include "base/err.h"
#include "conn_priv.h"

static void timed_out(struct conn *c, const char *what, uint64_t ms)
{
	conn_abort(c, err_set(KC_ETIMEOUT, "%s within %.4g s", what, (double)ms / 1000));
}

void conn_on_phase_timer(void *arg)
{
	struct conn *c = arg;

	conn_enter(c);
	switch (c->phase) {
	case CONN_RESOLVE:
	case CONN_CONNECT:
		conn_dial_timeout(c);
		break;
	case CONN_HANDSHAKE:
		if (c->verdict == PEER_UNDECIDED)
			c->verdict = PEER_SILENT;
		timed_out(c, "no TLS handshake", c->opt.handshake_ms);
		break;
	case CONN_OPEN: /* finishing, and the peer does not take it */
	case CONN_LINGER:
		conn_end(c, c->rc, c->text);
		break;
	case CONN_CLOSED:
		break;
	}
	conn_leave(c);
}

void conn_deadline(struct conn *c, uint64_t in_ms, const char *what)
{
	c->owner_what = what;
	c->owner_ms = in_ms;
	if (in_ms > 0 && c->phase == CONN_OPEN)
		loop_timer_set(c->owner_timer, in_ms);
	else
		loop_timer_clear(c->owner_timer);
}

void conn_on_owner_timer(void *arg)
{
	struct conn *c = arg;
	char what[80];

	conn_enter(c);
	snprintf(what, sizeof(what), "no %s", c->owner_what);
	timed_out(c, what, c->owner_ms);
	conn_leave(c);
}

/* Milliseconds until `since` + `ms`, 0 if that is past. */
static uint64_t left_of(uint64_t now, uint64_t since, uint64_t ms)
{
	return since + ms > now ? since + ms - now : 0;
}

/* One timer for three deadlines that nearly every frame would move: it looks at the clock when it fires. */
void conn_on_pulse(void *arg)
{
	struct conn *c = arg;
	uint64_t now = loop_now(c->loop), idle, taken = UINT64_MAX, alive;

	if (c->phase != CONN_OPEN || c->finishing)
		return;
	conn_enter(c);
	if (left_of(now, c->last_out, c->opt.keepalive_ms) == 0)
		conn_queue_alive(c);
	idle = left_of(now, c->last_in, c->opt.idle_ms);
	if (conn_has_output(c))
		taken = left_of(now, c->last_taken, c->opt.idle_ms);
	alive = left_of(now, c->last_out, c->opt.keepalive_ms);
	if (alive == 0) /* something waits to be sent already */
		alive = c->opt.keepalive_ms;
	if (idle == 0)
		timed_out(c, "the peer said nothing", c->opt.idle_ms);
	else if (taken == 0)
		timed_out(c, "the peer took nothing", c->opt.idle_ms);
	else
		loop_timer_set(
		    c->pulse, idle < taken ? (idle < alive ? idle : alive) : (taken < alive ? taken : alive));
	conn_update_watch(c);
	conn_leave(c);
}
