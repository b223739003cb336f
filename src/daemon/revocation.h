/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation: the lists of revoked certificates while the daemon runs. tls.CRLFile is taken over when it changes,
 * however it is written or replaced; a list whose next update is past stays in force and is an alert; a clone that
 * leaves the fleet takes its certificate with it.
 */
#ifndef KC_REVOCATION_H
#define KC_REVOCATION_H

#include <jansson.h>

struct daemon;
struct revocation;

struct revocation *revocation_new(struct daemon *d);
void revocation_free(struct revocation *r); /* NULL is a no-op */
/* Before credentials are read by this configuration: what changes after this is seen. */
struct conf;
void revocation_note(struct revocation *r, const struct conf *c);
/* … and was not taken over, because something else was wrong: the next look reads it. */
void revocation_missed(struct revocation *r);
/* Other lists may be in force, or another tls.CRLFile: at start, after a reload. */
void revocation_look(struct revocation *r);

/* Master: the own authority takes the certificate of a clone (its name is for log and audit) back. What comes of it is
 * logged and audited; it is in force here as soon as the worker has signed the new list. */
void revocation_revoke(struct daemon *d, const char *serial, const char *clone);

/* [{"issuer", "number", "this_update", "next_update", "revoked", "stale"}]. New reference. */
json_t *revocation_json(const struct daemon *d);

#endif
