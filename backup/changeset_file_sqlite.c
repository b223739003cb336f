/* SPDX-License-Identifier: Apache-2.0 */
/* changeset_file_sqlite: a changeset, and a database file that nobody else has open and that it changes. */
#include "backup/changeset_sqlite.h"
#include "base/err.h"

int changeset_apply_to_file(struct row_hash *delta, const char *path, const char *label, const struct changeset *c)
{
	uint64_t skipped;
	sqlite3 *db = NULL;
	int rc = sqlite_open_to_change(&db, path);

	if (rc == KC_OK)
		rc = sqlite_exec(db, label, "BEGIN");
	if (rc == KC_OK)
		rc = changeset_apply(delta, &skipped, db, label, c, NULL, NULL, NULL);
	if (rc == KC_OK)
		rc = sqlite_exec(db, label, "COMMIT");
	sqlite3_close(db);
	return rc;
}
