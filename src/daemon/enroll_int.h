/* SPDX-License-Identifier: Apache-2.0 */
/* enroll_int: what enroll.c and enroll_keys.c share. */
#ifndef KC_ENROLL_INT_H
#define KC_ENROLL_INT_H

#include "daemon/enroll.h"
#include "daemon/invites.h"

#define ENROLL_ADDRESSES 64

/* A token, as far as the daemon knows it. */
struct enroll_key {
	char id[INVITE_ID_SIZE];
	uint8_t psk[INVITE_KEY_BYTES];
	int64_t expires;
	uint64_t uses, reserved;
};

/* Wrong tokens of one address. */
struct enroll_tries {
	char address[64]; /* "": not in use */
	uint64_t since;
	unsigned wrong;
};

struct enroll_joiner;

struct enroll {
	struct master *master;
	struct enroll_key *keys; /* INVITES_MAX, in secret memory; id "": none */
	struct enroll_tries tries[ENROLL_ADDRESSES];
	struct enroll_tries others; /* of addresses that found no room */
	struct enroll_joiner *joiners;
	struct loop_timer *expiry; /* a token's time is over: the file is to forget it */
};

/* enroll_keys.c */
int enroll_load(struct enroll *e);
/* The token is valid and has a use that nobody has reserved. NULL: it is not. */
struct enroll_key *enroll_find(struct enroll *e, const char *id);
/* One use has been made, in the file as well; or none was made of a reserved one. */
void enroll_used(struct enroll *e, const char *id);
void enroll_unreserve(struct enroll *e, const char *id);
void enroll_set_expiry(struct enroll *e);
void enroll_on_expiry(void *arg); /* loop_timer_fn of e->expiry */

#endif
