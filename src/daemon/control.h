/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control: the control socket <RunDir>/control.sock, 0660. Who asks is known from the kernel; each verb's row says who
 * may: root and the daemon's own user everything, members of the socket's group the verbs that only read.
 */
#ifndef KC_CONTROL_H
#define KC_CONTROL_H

#include <jansson.h>

struct control;
struct control_client;
struct daemon;

int control_new(struct control **c, struct daemon *d);
void control_free(struct control *c); /* clients are dropped */

/* For verbs that answer later. A client's `gone` is called when it leaves before its answer. */
void control_progress(struct control_client *c, const json_t *progress);
/* The last message of a request: takes `result`; the client may ask again. */
void control_answer(struct control_client *c, json_t *result);
void control_on_gone(struct control_client *c, void (*gone)(struct control_client *c, void *arg), void *arg);
/* "root", "uid 1000": for the audit. */
const char *control_who(const struct control_client *c);

#endif
