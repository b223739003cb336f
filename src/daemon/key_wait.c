/* SPDX-License-Identifier: Apache-2.0 */
/* key_wait: the place of a list, and the condition for it. */
#include "key_wait.h"

#include <stdlib.h>

#include "backup/staging.h"
#include "base/err.h"
#include "keydb/keydb.h"

int key_wait_open(struct waiting **w, const struct conf *c, bool create)
{
	char *folder = staging_folder(c->keydb_path), *path = waiting_path(folder);
	int rc = waiting_open(w, path, create);

	free(path);
	free(folder);
	return rc;
}

int key_wait_applies(bool *applies, const struct conf *c, struct source *s)
{
	struct source_info info;
	int rc = c->release_keys ? source_info(&info, s) : KC_OK;

	if (rc == KC_OK)
		*applies = c->release_keys && info.application_id == KEYDB_APPLICATION_ID;
	return rc;
}
