/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: how long something takes, and moments as text. What happens on the loop goes by loop_now() instead, which
 * tests can set.
 */
#ifndef KC_CLOCK_H
#define KC_CLOCK_H

#include <stdint.h>

/* Milliseconds that never go back. */
uint64_t clock_ms(void);
/* Milliseconds since *since, which becomes now. */
unsigned clock_lap(uint64_t *since);

/* A length of time in its largest whole unit, "7 minutes", "1 second"; without its sign. Returns `out`. */
#define CLOCK_SPAN_SIZE 40
const char *clock_span(char out[CLOCK_SPAN_SIZE], int64_t seconds);
/* Two clocks that are more than this apart are pointed out. */
#define CLOCK_APART_S 300

/* A moment (seconds since 1970) as RFC 3339 in UTC, "2026-06-19T14:50:59Z"; "-" where no calendar has it. Returns
 * `out`. */
#define CLOCK_UTC_SIZE 32
const char *clock_utc(char out[CLOCK_UTC_SIZE], int64_t t);
/* The way back, of exactly this form. KC_EFORMAT without a message of its own. */
int clock_parse_utc(int64_t *t, const char *text);

#endif
