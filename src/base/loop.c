/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: libevent behind a small interface, with a clock that tests can hold. Timers are kept here in one list
 * ordered by due time, with a single libevent timer for the first of them, so that the fake clock has one place.
 */
#include "loop.h"

#include <event2/event.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "mem.h"

struct loop_timer {
	struct loop *loop;
	struct loop_timer *next, *prev; /* in loop->timers while set */
	loop_timer_fn cb;
	void *arg;
	uint64_t due;
	uint64_t order; /* set in this call: equal due times fire in the order they were set */
	bool set;
};

struct loop_fd {
	struct loop *loop;
	struct event *ev;
	loop_fd_fn cb;
	void *arg;
	int fd;
	int want;
};

struct loop_signal {
	struct event *ev;
	loop_signal_fn cb;
	void *arg;
};

struct loop {
	struct event_base *base;
	struct event *alarm;
	struct loop_timer *timers;
	void (*hook)(void *arg);
	void *hook_arg;
	uint64_t now;
	uint64_t orders;
	bool fake;
	bool stop;
};

static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
	/* Only to end the wait; due timers run in loop_turn. */
	(void)fd, (void)what, (void)arg;
}

struct loop *loop_new(void)
{
	struct loop *l = mem_xalloc(sizeof(*l));
	struct event_config *cfg = event_config_new();

	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (l->base == NULL)
		abort();
	l->alarm = evtimer_new(l->base, on_alarm, l);
	l->now = clock_ms();
	return l;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	event_free(l->alarm);
	event_base_free(l->base);
	free(l);
}

uint64_t loop_now(const struct loop *l)
{
	return l->now;
}

static void refresh_clock(struct loop *l)
{
	if (!l->fake)
		l->now = clock_ms();
}

static void run_due_timers(struct loop *l)
{
	/* Timers set from a callback, even for now, wait for the next turn: no callback can starve descriptors. */
	uint64_t last = l->orders;

	while (l->timers != NULL && l->timers->due <= l->now && l->timers->order <= last) {
		struct loop_timer *t = l->timers;

		loop_timer_clear(t);
		t->cb(t->arg);
	}
}

void loop_turn(struct loop *l, int max_wait_ms)
{
	int flags = EVLOOP_ONCE;
	uint64_t wait = max_wait_ms < 0 ? UINT64_MAX : (uint64_t)max_wait_ms;

	refresh_clock(l);
	if (!l->fake && l->timers != NULL) {
		uint64_t left = l->timers->due > l->now ? l->timers->due - l->now : 0;

		wait = left < wait ? left : wait;
	} else if (l->fake && l->timers != NULL && l->timers->due <= l->now) {
		wait = 0;
	}
	if (wait == 0) {
		flags |= EVLOOP_NONBLOCK;
	} else if (wait != UINT64_MAX) {
		struct timeval tv = { .tv_sec = (time_t)(wait / 1000), .tv_usec = (suseconds_t)(wait % 1000) * 1000 };

		evtimer_add(l->alarm, &tv);
	}
	event_base_loop(l->base, flags);
	evtimer_del(l->alarm);
	refresh_clock(l);
	run_due_timers(l);
	if (l->hook != NULL)
		l->hook(l->hook_arg);
}

void loop_run(struct loop *l)
{
	l->stop = false;
	while (!l->stop)
		loop_turn(l, -1);
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

void loop_set_turn_hook(struct loop *l, void (*hook)(void *arg), void *arg)
{
	l->hook = hook;
	l->hook_arg = arg;
}

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *w = arg;
	int events = (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);

	refresh_clock(w->loop);
	w->cb((int)fd, events & w->want, w->arg);
}

struct loop_fd *loop_fd_new(struct loop *l, int fd, loop_fd_fn cb, void *arg)
{
	struct loop_fd *w = mem_xalloc(sizeof(*w));

	w->loop = l;
	w->fd = fd;
	w->cb = cb;
	w->arg = arg;
	w->ev = event_new(l->base, fd, EV_PERSIST, on_fd, w);
	if (w->ev == NULL)
		abort();
	return w;
}

void loop_fd_want(struct loop_fd *w, int events)
{
	short what = EV_PERSIST;

	if (events == w->want)
		return;
	event_del(w->ev);
	w->want = events;
	if (events == 0)
		return;
	what = (short)(what | (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0));
	event_assign(w->ev, w->loop->base, w->fd, what, on_fd, w);
	event_add(w->ev, NULL);
}

void loop_fd_free(struct loop_fd *w)
{
	if (w == NULL)
		return;
	event_free(w->ev);
	free(w);
}

struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn cb, void *arg)
{
	struct loop_timer *t = mem_xalloc(sizeof(*t));

	t->loop = l;
	t->cb = cb;
	t->arg = arg;
	return t;
}

void loop_timer_set(struct loop_timer *t, uint64_t in_ms)
{
	struct loop *l = t->loop;
	struct loop_timer **at = &l->timers, *prev = NULL;

	loop_timer_clear(t);
	refresh_clock(l);
	t->due = in_ms > UINT64_MAX - l->now ? UINT64_MAX : l->now + in_ms;
	t->order = ++l->orders;
	t->set = true;
	while (*at != NULL && (*at)->due <= t->due) {
		prev = *at;
		at = &(*at)->next;
	}
	t->next = *at;
	t->prev = prev;
	if (t->next != NULL)
		t->next->prev = t;
	*at = t;
}

void loop_timer_clear(struct loop_timer *t)
{
	if (!t->set)
		return;
	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		t->loop->timers = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	t->next = t->prev = NULL;
	t->set = false;
}

bool loop_timer_is_set(const struct loop_timer *t)
{
	return t->set;
}

void loop_timer_free(struct loop_timer *t)
{
	if (t == NULL)
		return;
	loop_timer_clear(t);
	free(t);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)what;
	s->cb((int)sig, s->arg);
}

struct loop_signal *loop_signal_new(struct loop *l, int sig, loop_signal_fn cb, void *arg)
{
	struct loop_signal *s = mem_xalloc(sizeof(*s));

	s->cb = cb;
	s->arg = arg;
	s->ev = evsignal_new(l->base, sig, on_signal, s);
	if (s->ev == NULL || evsignal_add(s->ev, NULL) < 0)
		abort();
	return s;
}

void loop_signal_free(struct loop_signal *s)
{
	if (s == NULL)
		return;
	event_free(s->ev);
	free(s);
}

void loop_fake_clock(struct loop *l, uint64_t start_ms)
{
	l->fake = true;
	l->now = start_ms;
}

void loop_fake_advance(struct loop *l, uint64_t ms)
{
	l->now += ms;
}
