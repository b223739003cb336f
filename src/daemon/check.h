/* SPDX-License-Identifier: Apache-2.0 */
/* check: the control verb of `keyclone check`: the daemon's own view of its peers, and its status. */
#ifndef KC_CHECK_H
#define KC_CHECK_H

#include <jansson.h>

struct control_client;
struct daemon;

/* {"clone": "HOST:PORT"} of a master: only that one. Answers {"port", "ancestors", "peers" (contact.h), "status"}. */
void check_peers(struct daemon *d, struct control_client *client, const json_t *request);

#endif
