/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_stranger: the bounded table that sums refused strangers by address, code and minute. Internal to audit*.c.
 */
#ifndef KC_AUDIT_STRANGER_H
#define KC_AUDIT_STRANGER_H

#include <stdbool.h>
#include <stdint.h>

#include "audit.h"

#define STRANGER_MAX	   64
#define STRANGER_MINUTE_MS 60000

struct stranger {
	char address[64];
	char code[16];
	char reason[160];
	uint64_t since_ms;
	uint64_t more; /* after the first */
	bool used;
};

struct strangers {
	struct stranger table[STRANGER_MAX];
	struct stranger others; /* addresses that found no room; all of them are counted */
};

int strangers_note(
    struct strangers *s, struct audit *a, uint64_t now_ms, const char *address, const char *code, const char *reason);
/* Write the sums of minutes that are over; all of them with `force`. */
int strangers_flush(struct strangers *s, struct audit *a, uint64_t now_ms, bool force);

#endif
