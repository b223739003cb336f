/* SPDX-License-Identifier: Apache-2.0 */
/* cert_look: `cert show` of what is not in the keystore. */
#ifndef KC_CERT_LOOK_H
#define KC_CERT_LOOK_H

#include "cli.h"

/* The certificates, or the request, in a file, and whether they are trusted here. */
int cert_look_file(struct cli *c, const char *path);
/* The chain that HOST:PORT shows to a TLS client, whether it is for that host, and trusted here. */
int cert_look_peer(struct cli *c, const char *address);

#endif
