/* SPDX-License-Identifier: Apache-2.0 */
/* image_sqlite: a database that is hostile until proven. */
#include "backup/image_sqlite.h"

#include <string.h>

#include "backup/source_sqlite.h"
#include "base/err.h"

static int differs(const char *label, const char *what)
{
	return err_set(KC_EDAMAGED, "%s: the database is not what the manifest says: %s differs", label, what);
}

static int compare(sqlite3 *db, const char *label, const struct manifest_database *m)
{
	char schema[SOURCE_DIGEST_LEN + 1];
	struct source_info info;
	int rc = sqlite_info(&info, db, label);

	if (rc < 0)
		return rc;
	if (info.size != m->size)
		return differs(label, "size");
	if (info.page_size != m->page_size)
		return differs(label, "page size");
	if (strcmp(info.encoding, m->encoding) != 0)
		return differs(label, "encoding");
	if (info.auto_vacuum != m->auto_vacuum)
		return differs(label, "auto_vacuum");
	if (info.user_version != m->user_version || info.application_id != m->application_id)
		return differs(label, "user_version or application_id");
	rc = sqlite_schema_digest(schema, db, label);
	if (rc == KC_OK && strcmp(schema, m->schema_digest) != 0)
		return differs(label, "schema digest");
	return rc;
}

int image_check_database(const char *path, const char *label, const struct manifest_database *m)
{
	sqlite3 *db = NULL;
	int rc = sqlite_unset_wal(path);

	if (rc == KC_OK)
		rc = sqlite_open_image(&db, path);
	if (rc == KC_OK)
		rc = sqlite_quick_check(db, label);
	if (rc == KC_OK)
		rc = compare(db, label, m);
	sqlite3_close(db);
	return rc;
}

int image_check_digest(const char *path, const char *label, const struct manifest_database *m)
{
	struct source_digest d;
	sqlite3 *db = NULL;
	int rc = sqlite_open_image(&db, path);

	if (rc == KC_OK)
		rc = sqlite_digest(&d, db, label, NULL, NULL, NULL);
	sqlite3_close(db);
	if (rc < 0)
		return rc;
	if (strcmp(d.content, m->content_digest) != 0)
		rc = differs(label, "content digest");
	source_digest_fini(&d);
	return rc;
}
