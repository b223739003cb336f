/* SPDX-License-Identifier: Apache-2.0 */
/* look: what certificates somebody shows. Blocking, for commands. */
#ifndef KC_LOOK_H
#define KC_LOOK_H

#include "base/conf.h"
#include "keystore/cert_list.h"

#define LOOK_PROTOCOL_SIZE 96

struct look {
	struct cert_list chain;		   /* as it came, the leaf first */
	char protocol[LOOK_PROTOCOL_SIZE]; /* TLS version and algorithms; "" if the session did not come about */
};

/*
 * A TLS client's hello to whoever listens there: its chain is taken and nothing believed, said or asked. Our own
 * certificate is shown where there is one and the other side wants to see it. KC_EREFUSED, KC_ETIMEOUT, KC_ENET: nobody
 * answers; KC_EPROTO: no certificate came.
 */
int look_at(struct look *k, const struct conf *conf, const char *host, int port);
void look_fini(struct look *k);

#endif
