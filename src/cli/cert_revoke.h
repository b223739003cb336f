/* SPDX-License-Identifier: Apache-2.0 */
/* cert_revoke: the own authority takes certificates back. */
#ifndef KC_CERT_REVOKE_H
#define KC_CERT_REVOKE_H

#include <stdbool.h>

#include "cli.h"

/* `cert revoke`: a cli_handler. */
int cert_revoke(struct cli *c);

/* Sign a list with this serial number on it, and put it into the truststore; audited. `peer`: whose it was, or NULL.
 * *fresh (may be NULL): it was not revoked before. A running daemon has to be told. */
int cert_revoke_serial(bool *fresh, struct cli *c, const char *serial, const char *peer, const char *detail);

#endif
