/* SPDX-License-Identifier: Apache-2.0 */
/* key_text: a key of the built-in database for people and programs. Never its material. */
#ifndef KC_KEY_TEXT_H
#define KC_KEY_TEXT_H

#include <jansson.h>

#include "keydb/keydb.h"

/* The record with stable names; null where there is nothing. New reference. */
json_t *key_text_json(const struct keydb_key *key);
/* "UUID" or "UUID (ALIAS)", heap. */
char *key_text_name(const struct keydb_key *key);

#endif
