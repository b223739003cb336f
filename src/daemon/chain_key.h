/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain_key: what increments are encrypted for and opened with: an identity of its own for each full, made with it and
 * carried in it. Master and clone keep it sealed, as <SecretsDir>/increments/<lineage>-<generation of the full>.key, as
 * long as the full is kept. Whoever has lost one asks for a full, or makes one.
 */
#ifndef KC_CHAIN_KEY_H
#define KC_CHAIN_KEY_H

#include "daemon/secrets.h"

int chain_key_save(const struct secrets *s, const char *lineage, uint64_t generation, const struct age_identity *id);
/* KC_ENOENT: it is not here. Free with age_identity_free. */
int chain_key_load(struct age_identity **id, const struct secrets *s, const char *lineage, uint64_t generation);
/* Those whose full is no longer in the backup folder go, but for the one of this generation. Failures are logged. */
void chain_key_prune(const struct secrets *s, const char *backup_dir, const char *lineage, uint64_t generation);

#endif
