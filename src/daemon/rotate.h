/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate: the master takes the steps of a rotation of certificates (rotation.h), one session a step and clone, beside
 * replication, which goes on. It is durable: a daemon that starts goes on with what its file says. A clone that cannot
 * be reached is tried again until it can; everybody who asks is told whom it waits for.
 */
#ifndef KC_ROTATE_H
#define KC_ROTATE_H

#include <jansson.h>
#include <stdbool.h>

struct control_client;
struct daemon;
struct rotate;

/* Reads what was under way. */
int rotate_new(struct rotate **out, struct daemon *d);
void rotate_free(struct rotate *x); /* NULL is a no-op */
/* After confinement: goes on. */
void rotate_start(struct rotate *x);
/* No new steps. */
void rotate_stop(struct rotate *x);
/* The fleet has other clones: it waits for none that was removed. */
void rotate_fleet_changed(struct rotate *x);
/* Is one under way? The certificate that is in force must not be renewed meanwhile. */
bool rotate_is_active(const struct rotate *x);

/* request: {"to": alias} or {"make": true}, {"authority", "key_type", "days", "wait"}. The answer comes when it is
 * over, or with `wait` false at once: {"rotation": …}; progress: the same. */
void rotate_begin(struct rotate *x, struct control_client *c, const json_t *request);
/* An operator takes it back. */
void rotate_abort(struct rotate *x, struct control_client *c, const json_t *request);
/* rotation_json(), new reference. */
json_t *rotate_status(const struct rotate *x);

#endif
