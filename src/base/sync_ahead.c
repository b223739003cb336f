/* SPDX-License-Identifier: Apache-2.0 */
/* sync_ahead: see sync_ahead.h. */
#include "sync_ahead.h"

#include <errno.h>
#include <unistd.h>

static void *thread_main(void *arg)
{
	struct sync_ahead *s = arg;

	s->error = fsync(s->fd) < 0 ? errno : 0;
	return NULL;
}

bool sync_ahead_start(struct sync_ahead *s, int fd)
{
	if (s->running)
		return false;
	s->fd = fd;
	s->running = pthread_create(&s->thread, NULL, thread_main, s) == 0;
	return s->running;
}

int sync_ahead_wait(struct sync_ahead *s)
{
	if (!s->running)
		return 0;
	pthread_join(s->thread, NULL);
	s->running = false;
	return s->error;
}
