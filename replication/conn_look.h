/* SPDX-License-Identifier: Apache-2.0 */
/* conn_look: a connection for a command that looks at a peer. Blocking. */
#ifndef KC_CONN_LOOK_H
#define KC_CONN_LOOK_H

/* A connected, blocking descriptor, the caller's. Each address of the host has `timeout_ms`. KC_EREFUSED, KC_ETIMEOUT,
 * KC_ENET. */
int conn_look(int *fd, const char *host, int port, unsigned timeout_ms);

#endif
