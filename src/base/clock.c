/* SPDX-License-Identifier: Apache-2.0 */
/* clock: see clock.h. */
#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "err.h"
#include "str.h"

#define UTC "%Y-%m-%dT%H:%M:%SZ"

uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

unsigned clock_lap(uint64_t *since)
{
	uint64_t before = *since;

	*since = clock_ms();
	return (unsigned)(*since - before);
}

const char *clock_span(char out[CLOCK_SPAN_SIZE], int64_t seconds)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
	uint64_t s = seconds < 0 ? -(uint64_t)seconds : (uint64_t)seconds, n;
	size_t u = 0;

	while (u < 3 && s < 2 * (uint64_t)units[u].seconds)
		u++;
	n = s / (uint64_t)units[u].seconds;
	snprintf(out, CLOCK_SPAN_SIZE, "%" PRIu64 " %s%s", n, units[u].name, n == 1 ? "" : "s");
	return out;
}

const char *clock_utc(char out[CLOCK_UTC_SIZE], int64_t t)
{
	time_t when = (time_t)t;
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL || strftime(out, CLOCK_UTC_SIZE, UTC, &tm) == 0)
		str_copy(out, CLOCK_UTC_SIZE, "-");
	return out;
}

int clock_parse_utc(int64_t *t, const char *text)
{
	struct tm tm = { 0 };
	char again[CLOCK_UTC_SIZE];
	const char *end = strptime(text, UTC, &tm);
	time_t when = end != NULL && *end == '\0' ? timegm(&tm) : -1;

	/* Back again: strptime takes blanks, missing zeroes and the 31st of February. */
	if (when < 0 || strcmp(clock_utc(again, when), text) != 0)
		return KC_EFORMAT;
	*t = when;
	return KC_OK;
}
