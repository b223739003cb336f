/* SPDX-License-Identifier: Apache-2.0 */
/* password: since when the backup password is in force. The daemon never sees it: the worker tells one from another. */
#ifndef KC_DAEMON_PASSWORD_H
#define KC_DAEMON_PASSWORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;

/* The worker's word of the password in force ("password_id") and whether it has just sealed it ("sealed"): a record in
 * the audit log; a changed one takes effect with a new full. *changed: it is another than before. */
int password_note(bool *changed, struct daemon *d, const char *id, bool sealed);

/* A backup was made under it. */
void password_made(struct daemon *d, const char *backup);
/* Since when the password of a backup (file name) was in force, for the clone that it is offered to; of one that is
 * being made: the present one. 0: not known. */
int64_t password_since(struct daemon *d, const char *backup, bool growing);

#endif
