/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: the event loop of the daemon: descriptors, timers, signals. The only file that knows libevent.
 *
 * One loop, one thread. Every callback runs from loop_run() or loop_turn() and may free any object of the loop,
 * the calling one included. Objects are owned by whoever made them and are freed before the loop.
 *
 * Time is a monotonic clock in milliseconds, cached for one turn. Tests may replace it: with loop_fake_clock()
 * timers fire only when loop_fake_advance() passes them; descriptors work as ever.
 */
#ifndef KC_LOOP_H
#define KC_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_fd;
struct loop_timer;
struct loop_signal;

struct loop *loop_new(void);
void loop_free(struct loop *l);

/* Run until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* One turn: wait at most `max_wait_ms` (-1: until something happens) and run what is due. */
void loop_turn(struct loop *l, int max_wait_ms);

uint64_t loop_now(const struct loop *l); /* monotonic milliseconds */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void (*loop_fd_fn)(int fd, int events, void *arg);
/* Watches nothing until loop_fd_want(). Does not own `fd`: free the watch, then close. Level-triggered. */
struct loop_fd *loop_fd_new(struct loop *l, int fd, loop_fd_fn cb, void *arg);
void loop_fd_want(struct loop_fd *w, int events); /* 0: nothing */
void loop_fd_free(struct loop_fd *w);

typedef void (*loop_timer_fn)(void *arg);
struct loop_timer *loop_timer_new(struct loop *l, loop_timer_fn cb, void *arg);
void loop_timer_set(struct loop_timer *t, uint64_t in_ms); /* one shot; setting again moves it. 0: next turn */
void loop_timer_clear(struct loop_timer *t);
bool loop_timer_is_set(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t);

typedef void (*loop_signal_fn)(int sig, void *arg);
struct loop_signal *loop_signal_new(struct loop *l, int sig, loop_signal_fn cb, void *arg);
void loop_signal_free(struct loop_signal *s);

/* Called once at the end of every turn (the audit log's one sync a turn). One hook a loop. */
void loop_set_turn_hook(struct loop *l, void (*hook)(void *arg), void *arg);

void loop_fake_clock(struct loop *l, uint64_t start_ms);
void loop_fake_advance(struct loop *l, uint64_t ms);

#endif
