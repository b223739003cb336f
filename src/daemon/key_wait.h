/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_wait: backup.ReleaseKeysOnSuccessfulBackup: where the list of held keys is (keydb/waiting.h), and when it counts.
 * For whatever opens the built-in key database.
 */
#ifndef KC_KEY_WAIT_H
#define KC_KEY_WAIT_H

#include <stdbool.h>

#include "backup/source.h"
#include "base/conf.h"
#include "keydb/waiting.h"

/* The list beside the configured key database; KC_ENOENT where there is none yet and it is not to be made. */
int key_wait_open(struct waiting **w, const struct conf *c, bool create);
/* The property is on, and this is the built-in database. */
int key_wait_applies(bool *applies, const struct conf *c, struct source *s);

#endif
