/* SPDX-License-Identifier: Apache-2.0 */
/*
 * offering: one backup that clones are offered, growing or whole. The master has the newest one; a clone that is still
 * being sent an older one keeps that: references are counted.
 */
#ifndef KC_OFFERING_H
#define KC_OFFERING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/state.h"
#include "replication/proto.h"

struct offering {
	unsigned refs;
	enum proto_kind kind;
	uint64_t generation;
	uint64_t base;	/* an increment: what it is applied to; else 0 */
	uint64_t chain; /* the full whose key opens it, or that it is; 0: nothing builds on it */
	char *part;	/* its name while it grows, and perhaps still; NULL: it has the other */
	char *path;
	char name[256];
	char file_id[33];
	char digest[STATE_DIGEST_LEN + 1];
	uint32_t header_size;
	uint64_t valid;		/* bytes of the file that will not change any more */
	uint64_t database_size; /* a clone unpacks as much, a database or changes of one */
	bool complete;
	struct proto_end end; /* once complete; without a travel header */
};

/* One that begins to grow, from the worker's progress (or result). */
struct offering *offering_new(const json_t *progress, const char *backup_dir);
struct offering *offering_ref(struct offering *o);
/* NULL is fine. */
void offering_unref(struct offering *o);

/* What an offer says of the file, whatever kind it is of, with a receipt of its own. */
void offering_describe(struct proto_offer *offer, const struct offering *o);

/* It is whole: the rest comes from what the state database knows of it, and from the file. */
int offering_complete(struct offering *o, const struct state_made *made);
/* A whole backup of the past. KC_ENOENT: its file is not there. */
int offering_of(struct offering **o, const struct state_made *made, const char *backup_dir);
/* The newest whole backup that the state database knows; KC_ENOENT when there is none yet. */
int offering_load(struct offering **o, struct state *s, const struct state_self *self, const char *backup_dir);

#endif
