/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fence: a promoted machine goes on to listen where it listened as a clone, for one purpose: to tell the master that it
 * replaced so, should that come back. Nothing is taken there.
 */
#ifndef KC_FENCE_H
#define KC_FENCE_H

#include <stdint.h>

struct daemon;
struct fence;

/* *f stays NULL where this master never was a clone. A port that is taken is no failure: the clones say the same. */
int fence_new(struct fence **f, struct daemon *d);
void fence_free(struct fence *f); /* NULL is a no-op */
void fence_reloaded(struct fence *f);

/* KC_EFENCED with the text that stands in log, audit and status of the master that was replaced: short, with both
 * lineages and the way on. `host`, `address` (HOST:PORT) of the one that took its place; NULL: not known. */
int fence_refusal(
    const char *old_lineage, const char *lineage, uint64_t generation, const char *host, const char *address);

#endif
