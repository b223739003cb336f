/* SPDX-License-Identifier: Apache-2.0 */
/* member: see member.h. */
#include "member.h"

#include "clock.h"

const char *member_text(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

long long member_int(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

uint64_t member_u64(const json_t *o, const char *name)
{
	long long n = member_int(o, name);

	return n > 0 ? (uint64_t)n : 0;
}

json_t *member_time(int64_t t)
{
	char text[CLOCK_UTC_SIZE];

	return t == 0 ? json_null() : json_string(clock_utc(text, t));
}
