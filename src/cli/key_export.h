/* SPDX-License-Identifier: Apache-2.0 */
/* key_export: hands out the material of one key of the built-in database. */
#ifndef KC_KEY_EXPORT_H
#define KC_KEY_EXPORT_H

#include "cli.h"
#include "keydb/keydb.h"
#include "keydb/material.h"

/*
 * Audits, then writes the material to --output (a new file, 0600; KC_EEXIST) or standard output. With --json standard
 * output gets the key's record with "format", and "output" or "material": text as it is, raw and DER in base64.
 */
int key_export(struct cli *c, struct keydb *db, const struct keydb_key *key, enum material_format format);

#endif
