/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust_share: what a peer has to trust to trust one of our identities: the authorities of its chain and, where the
 * chain does not go so far, those of our truststore that issued its end; of a self-signed leaf the leaf itself.
 */
#ifndef KC_TRUST_SHARE_H
#define KC_TRUST_SHARE_H

#include <jansson.h>

#include "base/buf.h"

struct identity;

/* As PEM onto the end of `pem`. KC_ECERT if the chain ends in an issuer that the truststore does not have. */
int trust_share(struct buf *pem, const struct identity *id, const char *truststore_dir);

/* Onto the end of `list`: the SHA-256 of what of it is in the truststore now. */
int trust_share_list(json_t *list, const struct identity *id, const char *truststore_dir);

/* Trust them no longer. One in a file that holds others too stays, with a warning: that file is an operator's.
 * KC_EPROTO if the list holds something else than texts. */
int trust_share_forget(const json_t *list, const char *truststore_dir);

/* Out of `list` what `others` has, too. */
void trust_share_subtract(json_t *list, const json_t *others);

/* Out of `list` what can issue others. */
int trust_share_keep_authorities(json_t *list, const char *truststore_dir);

#endif
