/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outgoing: one backup file while it is sent, perhaps while it is still being written.
 *
 * All figures are of the payload, which begins behind the header region. Never reads beyond what is valid. Plain
 * struct; the members may be read by its owner.
 */
#ifndef KC_OUTGOING_H
#define KC_OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replication/proto.h"

struct outgoing {
	struct proto_offer offer;
	struct proto_end end; /* once complete */
	bool active;
	bool complete;
	int fd;
	uint64_t valid;
	uint64_t sent; /* may be ahead of `valid` for a moment: the clone has more than we know to be valid */
	uint64_t resumed;
};

void outgoing_init(struct outgoing *o);
/* Closes; offer and figures stay readable. Idempotent. */
void outgoing_close(struct outgoing *o);

/* Open the file; it becomes active with outgoing_begin(), when the offer has gone out. `path` may be renamed later. */
int outgoing_open(int *fd, const char *path);
/* Takes fd. valid_size: bytes from the beginning of the file. */
void outgoing_begin(struct outgoing *o, int fd, const struct proto_offer *offer, uint64_t valid_size);

/* Go on from the clone's offset. KC_EPROTO if the file cannot have that much. */
int outgoing_resume(struct outgoing *o, uint64_t offset);
/* False: nothing new. */
bool outgoing_grow(struct outgoing *o, uint64_t valid_size);
/* KC_EPROTO if it contradicts the offer, what was valid, what the clone has, or the protocol's limits. */
int outgoing_complete(struct outgoing *o, const struct proto_end *end);

/* How many bytes the next frame should have; 0 = none yet, or all sent. Does not ask for less than a TLS record while
 * more will come. */
size_t outgoing_next(const struct outgoing *o);
/* All sent, and nothing more to come? */
bool outgoing_done(const struct outgoing *o);
/* Read the next n bytes and count them as sent. KC_ESYS, KC_ETRUNCATED. */
int outgoing_read(struct outgoing *o, void *frame, size_t n);

#endif
