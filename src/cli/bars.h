/* SPDX-License-Identifier: Apache-2.0 */
/* bars: the progress of a replication: a bar a clone on a terminal, a line a change of state elsewhere. */
#ifndef KC_BARS_H
#define KC_BARS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct bars;

/* silent: print nothing (--json). */
struct bars *bars_new(FILE *out, bool silent);
void bars_update(struct bars *b, const json_t *progress);
/* The last state of each clone, and one line for the whole. */
void bars_finish(struct bars *b, const json_t *result, bool no_wait);
void bars_free(struct bars *b);

#endif
