/* SPDX-License-Identifier: Apache-2.0 */
/* key_open: keys are held where the property is on; new ones on a master alone. */
#include "key_open.h"

#include "base/err.h"
#include "base/log.h"
#include "daemon/key_wait.h"

int key_open(struct keys *k, struct cli *c, enum key_use use)
{
	bool hold = use == KEY_ADD && c->conf->role == CONF_MASTER;
	int rc;

	*k = (struct keys){ .db = NULL };
	rc = keydb_open(&k->db, c->conf->keydb_path, c->conf->master_key_file);
	if (rc < 0 || !c->conf->release_keys)
		return rc;
	rc = key_wait_open(&k->waiting, c->conf, hold);
	if (rc == KC_OK)
		keydb_use_waiting(k->db, k->waiting, hold);
	if (use == KEY_LIST && rc == KC_EPERM) {
		log_warn("which keys are held cannot be said: %s", err_text(rc));
		rc = KC_OK;
	}
	return rc == KC_ENOENT ? KC_OK : rc;
}

void key_close(struct keys *k)
{
	keydb_close(k->db);
	waiting_close(k->waiting);
}
