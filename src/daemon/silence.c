/* SPDX-License-Identifier: Apache-2.0 */
/* silence: a clock that starts anew whenever the master is heard. */
#include "silence.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/alert.h"
#include "daemon/daemon.h"

#define LEAST_LIMIT_MS 600000
#define GRACE_MS       120000 /* after a start */
#define LOOK_MAX_MS    30000
#define LOOK_MIN_MS    100

struct silence {
	struct daemon *d;
	bool (*present)(void *arg);
	void *arg;
	struct loop_timer *look;
	uint64_t heard;	 /* monotonic; may be "before" the loop's beginning */
	uint64_t before; /* ms that it had been silent before we started */
};

static uint64_t limit_ms(const struct silence *s)
{
	uint64_t twice = (uint64_t)s->d->self.master_interval * 2000;

	if (s->d->conf->max_silence_ms != 0)
		return s->d->conf->max_silence_ms;
	return twice > LEAST_LIMIT_MS ? twice : LEAST_LIMIT_MS;
}

/* In the largest unit that is not coarse. */
static const char *duration(char *out, size_t size, uint64_t ms)
{
	unsigned long long s = ms / 1000;

	if (s >= 172800)
		snprintf(out, size, "%llu days", s / 86400);
	else if (s >= 7200)
		snprintf(out, size, "%llu hours", s / 3600);
	else if (s >= 120)
		snprintf(out, size, "%llu minutes", s / 60);
	else
		snprintf(out, size, "%llu seconds", s);
	return out;
}

static void say(struct silence *s, uint64_t limit)
{
	const struct state_self *self = &s->d->self;
	char text[400], at[CLOCK_UTC_SIZE], d[40];

	if (self->master_contact == 0)
		snprintf(text, sizeof(text), "it was never heard, and replication.MaxSilence is %s",
		    duration(d, sizeof(d), limit));
	else
		snprintf(text, sizeof(text), "%.200s was last heard at %s, and replication.MaxSilence is %s",
		    self->master_host[0] != '\0' ? self->master_host : "it", clock_utc(at, self->master_contact),
		    duration(d, sizeof(d), limit));
	alert_raise(s->d, ALERT_MASTER_SILENT, "", text);
}

static void on_look(void *arg)
{
	struct silence *s = arg;
	uint64_t limit = limit_ms(s), next = limit / 4;

	if (s->present(s->arg))
		silence_heard(s);
	else if (loop_now(s->d->loop) - s->heard + s->before >= limit)
		say(s, limit);
	loop_timer_set(s->look, next > LOOK_MAX_MS ? LOOK_MAX_MS : next < LOOK_MIN_MS ? LOOK_MIN_MS : next);
}

struct silence *silence_new(struct daemon *d, bool (*present)(void *arg), void *arg)
{
	struct silence *s = mem_xalloc(sizeof(*s));

	s->d = d;
	s->present = present;
	s->arg = arg;
	s->look = loop_timer_new(d->loop, on_look, s);
	return s;
}

void silence_free(struct silence *s)
{
	if (s == NULL)
		return;
	loop_timer_free(s->look);
	free(s);
}

void silence_start(struct silence *s)
{
	uint64_t limit = limit_ms(s), most = limit > GRACE_MS ? limit - GRACE_MS : 0;
	int64_t gone = time(NULL) - s->d->self.master_contact;

	s->heard = loop_now(s->d->loop);
	s->before = s->d->self.master_contact == 0 || gone < 0 ? 0 : (uint64_t)gone * 1000;
	if (s->before > most)
		s->before = most;
	on_look(s);
}

void silence_reloaded(struct silence *s)
{
	on_look(s);
}

void silence_heard(struct silence *s)
{
	s->heard = loop_now(s->d->loop);
	s->before = 0;
	alert_clear(s->d, ALERT_MASTER_SILENT, "", "the master is heard again");
}
