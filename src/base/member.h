/* SPDX-License-Identifier: Apache-2.0 */
/* member: members of a JSON object, which may lack them or have them of another type; `o` may be NULL. */
#ifndef KC_MEMBER_H
#define KC_MEMBER_H

#include <jansson.h>
#include <stdint.h>

/* Borrowed; "" where there is none. */
const char *member_text(const json_t *o, const char *name);
/* 0 where there is none. */
long long member_int(const json_t *o, const char *name);
/* 0 where there is none, or a negative one. */
uint64_t member_u64(const json_t *o, const char *name);

/* The value of a member that is a moment: RFC 3339 in UTC, null for 0. New reference. */
json_t *member_time(int64_t t);

#endif
