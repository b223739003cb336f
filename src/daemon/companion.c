/* SPDX-License-Identifier: Apache-2.0 */
/* companion: is there a master key file, and must there be one? */
#include "companion.h"

#include "base/err.h"
#include "base/file.h"
#include "keydb/keydb.h"

int companion_master_key(const char **file, const struct conf *c, struct source *s)
{
	struct source_info info;
	int rc;

	*file = c->master_key_file;
	if (file_exists(c->master_key_file))
		return KC_OK;
	*file = NULL;
	if (c->role != CONF_MASTER)
		return KC_OK;
	rc = source_info(&info, s);
	if (rc == KC_OK && info.application_id == KEYDB_APPLICATION_ID)
		rc = err_set(KC_ENOENT, "%s is missing, and no key of a backup could be unwrapped without it",
		    c->master_key_file);
	return rc;
}
