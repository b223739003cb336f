/* SPDX-License-Identifier: Apache-2.0 */
/* renew_int: what renew.c (when, and what is said) and renew_step.c (how) share. */
#ifndef KC_RENEW_INT_H
#define KC_RENEW_INT_H

#include <jansson.h>

#include "base/loop.h"
#include "daemon/own_cert.h"
#include "daemon/renew.h"

#define RENEW_WARNING 257 /* bytes of a text in a hello's warnings */

enum renew_source { RENEW_EXTERNAL, RENEW_AUTHORITY, RENEW_DEPOT, RENEW_SOURCES };

struct renew_try {
	uint64_t next;	  /* monotonic: not before */
	uint64_t wait_ms; /* after the last failure */
	uint64_t warned_at;
	unsigned failures;	     /* in a row */
	bool away;		     /* the last one: the master could not be reached */
	char warning[RENEW_WARNING]; /* what is wrong; "": nothing */
};

struct renew {
	struct daemon *d;
	struct loop_timer *timer;
	struct own_cert own; /* as of the last look */
	struct renew_try tries[RENEW_SOURCES];
	bool look_external; /* whatever the days: a start, a reload */
	bool trying;
	enum renew_source source; /* that is tried */
	bool recorded;		  /* … and has its record of the start */
	struct control_client *client;
	enum renew_source wanted; /* by it */
};

const char *renew_source_name(enum renew_source s);

/* Ask r->source; renew_over() follows, from the loop. */
void renew_step(struct renew *r);
/* How it ended. KC_OK: it is in the keystore, *result says which; else err_text says why, KC_ENOENT: there is none,
 * KC_EEXIST: only the one in use. */
void renew_over(struct renew *r, int rc, const json_t *result);
/* The worker is about to write: the record of that. */
int renew_record_start(struct renew *r, const json_t *question);
/* Who else has this certificate, as far as a master can tell; NULL: nobody. */
const char *renew_shared_with(const struct renew *r);

#endif
