/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed: a TLS identity on its way from one machine's worker to another's: an age file for the receiver's recipient,
 * in base64. The daemons and the wire in between see nothing of the key.
 */
#ifndef KC_SEALED_H
#define KC_SEALED_H

#include "backup/age.h"

struct identity;

#define SEALED_MAX 24000 /* characters of base64 */

/* *text is heap. KC_ELIMIT if the chain is too long for one message. */
int sealed_identity(char **text, const struct identity *id, const struct age_recipient *to);
/* KC_EFORMAT, KC_EDAMAGED, KC_EPASSWORD (it is for another recipient). */
int sealed_open(struct identity **id, const char *text, const struct age_identity *own);

#endif
