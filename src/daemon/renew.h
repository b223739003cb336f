/* SPDX-License-Identifier: Apache-2.0 */
/*
 * renew: this machine's certificate gets its successor in time, by itself, from whoever has one:
 *
 *     tls.ExternalCertDir   from 60 days before the end, daily, at the start and at each reload: a set of files that
 *                           somebody renewed (keystore/renewal.h)
 *     the own authority     from a third of the certificate's life before the end: a new key, a request, what the
 *                           authority makes of it; on a clone over a session with the master's listen port
 *     the master's depot    clone: from 15 days before the end, daily
 *
 * One try at a time, in this order. What comes takes the place of the alias in the keystore, by the worker, and is in
 * force for new sessions at once. A try that fails is told once in 24 hours, here and, by our hello, on the master, and
 * made again with back-off.
 */
#ifndef KC_RENEW_H
#define KC_RENEW_H

#include <stdbool.h>
#include <stddef.h>

struct control_client;
struct daemon;
struct renew;

struct renew *renew_new(struct daemon *d);
void renew_free(struct renew *r); /* NULL is a no-op */
/* At the start, and when configuration or credentials were read anew. */
void renew_look(struct renew *r);

/* The other side was heard: what failed because it was away, or waited for it, need not wait any longer. */
void renew_heard(struct renew *r);

/* On behalf of an operator, now: by the own authority; from the depot (a clone). Answered when it is over. */
void renew_now(struct renew *r, struct control_client *c);
void renew_fetch(struct renew *r, struct control_client *c);

/* What an operator should know of it, for our hello: the i-th, NULL past the last. */
const char *renew_warning(const struct renew *r, size_t i);

#endif
