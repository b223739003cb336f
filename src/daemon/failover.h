/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failover: what a running daemon has to do with a change of its role: the state changes in its hands, and it ends; its
 * next start begins with the other role. The command line does the rest (cli/failover.h).
 */
#ifndef KC_DAEMON_FAILOVER_H
#define KC_DAEMON_FAILOVER_H

#include <jansson.h>

struct control_client;
struct daemon;

/* request: {"step": "apply" | "commit", "force": bool}. apply: KC_EAGAIN until everything that is stored is applied;
 * result: lineage, generation. commit: the state becomes that of a master with a child lineage. */
void failover_promote(struct daemon *d, struct control_client *client, const json_t *request);
/* The state becomes that of a clone. */
void failover_demote(struct daemon *d, struct control_client *client, const json_t *request);

#endif
