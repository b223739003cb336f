/* SPDX-License-Identifier: Apache-2.0 */
/* status_text: the JSON of `status` as text for people, and what its exit status is. */
#ifndef KC_STATUS_TEXT_H
#define KC_STATUS_TEXT_H

#include <jansson.h>

void status_print(const json_t *status);
/* KC_EFOUND: a clone failed, unreachable, refused, held or diverged, the task down, a certificate that ends within 30
 * days. */
int status_verdict(const json_t *status);

/* Why a clone has not got what there is: its last error, or what it waits for. "" where nothing is wrong. */
const char *status_reason(const json_t *clone);

/* "restores at 23:00", local, of an RFC 3339 moment; with its day where that is not within a day. Returns `out`, or "".
 */
const char *status_hour(char *out, size_t size, const char *utc);

#endif
