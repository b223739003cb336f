/* SPDX-License-Identifier: Apache-2.0 */
/* conn_try: would it work? Blocking, for commands. */
#ifndef KC_CONN_TRY_H
#define KC_CONN_TRY_H

/* Could somebody listen there now? `address` as for a listener. KC_ECREATE, with its messages, if not. */
int conn_try_listen(const char *address, int port);

/* The first address of a name, heap. KC_ENET, with the resolver's reason. */
int conn_try_name(char **address, const char *host);

#endif
