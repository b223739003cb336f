/* SPDX-License-Identifier: Apache-2.0 */
/* start: what keycloned does between its command line and its loop, and undoes at its end. */
#ifndef KC_START_H
#define KC_START_H

#include <stddef.h>

struct daemon;

/* Step by step; *done counts the steps that were done, also when one fails. */
int start_all(struct daemon *d, size_t *done);
/* Backwards from `done`. */
void start_undo(struct daemon *d, size_t done);

#endif
