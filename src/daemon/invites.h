/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invites: the valid enrolment tokens, in keystore.SecretsDir/enroll-tokens: of each its id, the two keys that were
 * derived from its secret (invite.h), when it ends and how often it may still be used. A text file, 0600, a line each.
 *
 * The worker decides by it what is issued and who is pinned; the daemon has the keys of the sessions from the worker,
 * and not those of the proofs, so that it can let nobody in by itself. Written by the worker and by commands, under a
 * lock. What is used up, revoked or past its time is erased with the next write.
 */
#ifndef KC_INVITES_H
#define KC_INVITES_H

#include "keystore/invite.h"

#define INVITES_MAX 64 /* valid at a time */

struct invites_entry {
	struct invite_keys keys;
	int64_t made, expires;	       /* seconds since 1970, by this machine's clock */
	uint64_t uses;		       /* left */
	char authority[CERT_HEX_SIZE]; /* SHA-256 of the one that the token names */
};

struct invites {
	struct invites_entry *entries; /* secret memory; oldest first */
	size_t count;
};

/* Those that are valid now; others that are still in the file are erased there. No file: none. */
int invites_load(struct invites *t, const char *secrets_dir);
void invites_fini(struct invites *t); /* wipes */

/* KC_ELIMIT: there are INVITES_MAX. */
int invites_add(const char *secrets_dir, const struct invites_entry *e);
/* KC_ENOENT. */
int invites_remove(const char *secrets_dir, const char *id);
/* One use less; durable when it returns. KC_ENOENT: it is not valid, or not any more. */
int invites_use(const char *secrets_dir, const char *id);

#endif
