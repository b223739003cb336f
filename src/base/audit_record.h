/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_record: one record as a line of JSON. Internal to audit*.c.
 */
#ifndef KC_AUDIT_RECORD_H
#define KC_AUDIT_RECORD_H

#include <time.h>

#include "audit.h"
#include "buf.h"

#define AUDIT_LINE_CAP 16384 /* the bounds of the members, escaped, stay well below */

struct audit_place {
	uint64_t seq;
	const char *prev;
	const char *host;
	const char *role;
	struct timespec time;
};

/* Appends the line and its newline. Whatever the strings hold, it is one line of valid JSON. */
int audit_record_encode(struct buf *b, const struct audit_record *r, const struct audit_place *p);

#endif
