/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sync_ahead: one fsync in a thread of its own, for who has another file to bring to the disk meanwhile.
 */
#ifndef KC_SYNC_AHEAD_H
#define KC_SYNC_AHEAD_H

#include <pthread.h>
#include <stdbool.h>

/* Zeroed: nothing runs. Must not move while it runs. */
struct sync_ahead {
	pthread_t thread;
	bool running;
	int fd;
	int error;
};

/* `fd` stays open until sync_ahead_wait(). False: there is no thread to be had, or one runs; nothing was done. */
bool sync_ahead_start(struct sync_ahead *s, int fd);
/* 0, also where none was started; or the errno of the fsync that failed. */
int sync_ahead_wait(struct sync_ahead *s);

#endif
