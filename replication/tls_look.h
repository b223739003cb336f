/* SPDX-License-Identifier: Apache-2.0 */
/* tls_look: the chain that a TLS server shows, for a person who looks. Blocking; believes nothing, sends no data. */
#ifndef KC_TLS_LOOK_H
#define KC_TLS_LOOK_H

#include <stddef.h>

struct identity;
struct cert_der;

struct tls_seen {
	struct cert_der *chain; /* owned, and so are its bytes; the leaf first */
	size_t count;
	char describe[96]; /* as tls_describe(); "" if the handshake failed after the chain had come */
};

/*
 * A handshake over a connected descriptor, with a server of any kind. `id` (may be NULL) is shown if it asks for a
 * certificate; whether it takes it does not matter. KC_EPROTO: no chain came, and why.
 */
int tls_look(struct tls_seen *seen, int fd, const char *host, const struct identity *id, unsigned timeout_ms);
void tls_seen_fini(struct tls_seen *seen);

#endif
