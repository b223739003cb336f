/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch: tells when somebody writes to the key database. inotify on its folder, for the database, its -wal and its
 * -journal (whose removal is the commit). Opened before confinement, which leaves it open; needs to read the folder.
 *
 * A hint and no more: it comes also for what is rolled back, for checkpoints and for our own reading; it does not come
 * from other hosts of a network file system. Who gets it looks whether something has changed.
 */
#ifndef KC_WATCH_H
#define KC_WATCH_H

#include "base/loop.h"

struct watch;

/* `changed` is called once a turn at most. After `lost` (the folder was moved or removed; `why` for people) nothing
 * comes any more. KC_EPERM, KC_ENOENT, KC_ESYS. */
struct watch_events {
	void (*changed)(void *arg);
	void (*lost)(const char *why, void *arg);
};
int watch_new(struct watch **w, struct loop *l, const char *database, const struct watch_events *events, void *arg);
void watch_free(struct watch *w); /* NULL is a no-op */

#endif
