/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secrets: the folder keystore.SecretsDir: what backups are sealed, signed and opened with. Only the worker, and
 * commands that do offline work, open it; the daemon is confined away from it.
 *
 *     seal.key       seals the others (32 random bytes)
 *     identity.age   this machine's X25519 identity, sealed: travel headers are for it
 *     signing.key    Ed25519 key, sealed: the installation's on a master, this machine's own on a clone (for its safety
 *                    backups); signing.pub: its public half in signify's format
 *     safety.password  of safety backups on a machine without a backup password, random, sealed
 *     signers        pinned public keys whose backups are restored here
 *     increments/    what opens the increments of each full that is kept, sealed (chain_key.h)
 *     enroll-tokens  valid enrolment tokens (invites.h; master)
 *     recipients     pinned identities of the clones (recipients.h; master)
 *     authority.*    the own authority (issue.h; master)
 */
#ifndef KC_SECRETS_H
#define KC_SECRETS_H

#include <stdbool.h>

#include "backup/age.h"
#include "base/conf.h"
#include "keystore/secret.h"
#include "keystore/sign.h"

struct secrets {
	char *dir;
	struct secret_box *box;
	struct age_identity *identity;
	struct sign_key *signing;
	char *signers; /* path of the list */
};

/* Opens what is there; makes what is missing: the folder, seal.key, the identity, the signing key; with `master` that
 * key is pinned in `signers`: its backups are restored here. */
int secrets_open(struct secrets *s, const char *dir, bool master);
void secrets_fini(struct secrets *s);

/* The backup password from the configuration: sealed, plain, or from its file. *password is secret memory; NULL with
 * KC_OK where none is configured. */
int secrets_password(char **password, const struct secrets *s, const struct conf *c);

/* The password of safety backups where no backup password is configured. KC_ENOENT without one, unless `create`. */
int secrets_safety_password(char **password, const struct secrets *s, bool create);

#endif
