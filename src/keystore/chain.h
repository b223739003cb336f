/* SPDX-License-Identifier: Apache-2.0 */
/* chain: certificates as messages carry them: PEM, one behind the other. */
#ifndef KC_CHAIN_H
#define KC_CHAIN_H

#include "base/buf.h"
#include "cert.h"

struct trust;

/* What the i-th certificate says (the caller's: cert_info_fini); KC_EFORMAT if there are fewer. `name` is what messages
 * call the text. */
int chain_info(struct cert_info *info, const void *pem, size_t size, size_t i, const char *name);

/* The leaf and what is behind it, for both sides of TLS: trust_verify(), with its messages. *info: of the leaf. */
int chain_verify(struct cert_info *info, const struct trust *trust, const void *pem, size_t size, const char *name);

/* Every certificate that is trusted, but the one with this SHA-256 (hex), onto `out`. */
int chain_of_trust(struct buf *out, const struct trust *trust, const char *but);

#endif
