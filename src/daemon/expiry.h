/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expiry: the ends of certificates: our own, those that are trusted, and those that the peers showed last.
 *
 * Said 60, 30, 15, 7, 3 and 1 days before the end, and at the end: each once, whatever the daemon does in between, in
 * log, audit (cert.expiring) and alert. The alert stays raised until another certificate is in its place; its text
 * follows the days.
 */
#ifndef KC_EXPIRY_H
#define KC_EXPIRY_H

#include <jansson.h>

struct daemon;
struct expiry;

struct expiry *expiry_new(struct daemon *d);
void expiry_free(struct expiry *e); /* NULL is a no-op */
/* Look now (at start, after a reload), and every hour from then on, sooner where something is to be said before. */
void expiry_look(struct expiry *e);

/* Another certificate was seen: look in this turn of the loop's next. */
void expiry_soon(struct expiry *e);

/* [{"subject", "not_after", "days_left"}] of what ends in 60 days or less, as of the last look. New reference. */
json_t *expiry_json(const struct expiry *e);

#endif
