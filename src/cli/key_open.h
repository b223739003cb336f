/* SPDX-License-Identifier: Apache-2.0 */
/* key_open: the key database of the commands, with the list of the keys that are held, if any may be. */
#ifndef KC_KEY_OPEN_H
#define KC_KEY_OPEN_H

#include "cli.h"
#include "keydb/keydb.h"

struct waiting;

struct keys {
	struct keydb *db;
	struct waiting *waiting;
};

enum key_use { KEY_LIST, KEY_EXPORT, KEY_ADD };

/* Who may not read which keys are held may list keys, but neither hand them out nor, on a master, make new ones. Close
 * it after a failure, too. */
int key_open(struct keys *k, struct cli *c, enum key_use use);
void key_close(struct keys *k);

#endif
