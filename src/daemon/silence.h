/* SPDX-License-Identifier: Apache-2.0 */
/*
 * silence: a clone notices that its master is not heard any more (replication.MaxSilence), and that it is again.
 *
 * A session that is open counts as hearing it: it has keep-alives of its own. Time is the loop's, so that a clock that
 * is set does neither raise nor hide an alert; what was before the start is known by the wall clock only, and a master
 * gets two minutes at least to find a clone that has just started.
 */
#ifndef KC_SILENCE_H
#define KC_SILENCE_H

#include <stdbool.h>

struct daemon;
struct silence;

/* `present`: is a session with the master open? */
struct silence *silence_new(struct daemon *d, bool (*present)(void *arg), void *arg);
void silence_free(struct silence *s); /* NULL is a no-op */
/* Begins to count. */
void silence_start(struct silence *s);
/* The configuration may have another limit. */
void silence_reloaded(struct silence *s);
/* The master was heard just now. */
void silence_heard(struct silence *s);

#endif
