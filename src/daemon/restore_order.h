/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_order: `backup restore FILE` while the daemon runs: the worker does it, audited, with a durable intent.
 * Nothing else touches the key database meanwhile: a clone declines offers, a master does not look.
 */
#ifndef KC_RESTORE_ORDER_H
#define KC_RESTORE_ORDER_H

#include <jansson.h>
#include <stdbool.h>

struct control_client;
struct daemon;

/* request: {"path", "name", "travel", "merge", "discard", "force"}: a file that the worker can read, its name for
 * people, what opens it for this machine's identity. Answers with the result of by_hand_run. The work goes on if the
 * client leaves. */
void restore_order(struct daemon *d, struct control_client *client, const json_t *request);
/* Master, at its start: find out what an interrupted restore left, before anything else. False: there was none. */
bool restore_order_resolve(struct daemon *d);

#endif
