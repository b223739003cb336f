/* SPDX-License-Identifier: Apache-2.0 */
/* expiry: certificates that end in 30 days or less are an alert: our own, and those that the peers showed last. */
#ifndef KC_EXPIRY_H
#define KC_EXPIRY_H

struct daemon;
struct expiry;

struct expiry *expiry_new(struct daemon *d);
void expiry_free(struct expiry *e); /* NULL is a no-op */
/* Look now (at start, after a reload), and every hour from then on. */
void expiry_look(struct expiry *e);

#endif
