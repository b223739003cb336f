/* SPDX-License-Identifier: Apache-2.0 */
/* key_text: a key of the built-in database for people and programs. Never its material. */
#ifndef KC_KEY_TEXT_H
#define KC_KEY_TEXT_H

#include <jansson.h>
#include <stdint.h>

#include "keydb/keydb.h"

#define KEY_TEXT_TIME_SIZE 32

/* RFC 3339 in UTC; "-" where there is none. */
void key_text_time(char text[KEY_TEXT_TIME_SIZE], int64_t t);
/* The record with stable names; null where there is nothing. New reference. */
json_t *key_text_json(const struct keydb_key *key);
/* "UUID" or "UUID (ALIAS)", heap. */
char *key_text_name(const struct keydb_key *key);

#endif
