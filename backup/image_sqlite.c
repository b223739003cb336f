/* SPDX-License-Identifier: Apache-2.0 */
/* image_sqlite: a database that is hostile until proven. */
#include "backup/image_sqlite.h"

#include <string.h>

#include "backup/changeset_sqlite.h"
#include "base/err.h"

static int differs(const char *label, const char *what)
{
	return err_set(KC_EDAMAGED, "%s: the database is not what the manifest says: %s differs", label, what);
}

static int compare(sqlite3 *db, const char *label, const struct manifest_database *m, bool copy)
{
	char schema[SOURCE_DIGEST_LEN + 1];
	struct source_info info;
	int rc = sqlite_info(&info, db, label);

	if (rc < 0)
		return rc;
	if (copy && info.size != m->size)
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

int image_check_database(const char *path, const char *label, const struct manifest_database *m, bool copy)
{
	sqlite3 *db = NULL;
	int rc = sqlite_unset_wal(path);

	if (rc == KC_OK)
		rc = sqlite_open_image(&db, path);
	if (rc == KC_OK)
		rc = sqlite_quick_check(db, label);
	if (rc == KC_OK)
		rc = compare(db, label, m, copy);
	sqlite3_close(db);
	return rc;
}

int image_apply_increment(const char *path, const char *label, const struct manifest *m, const char *changeset)
{
	char hex[SOURCE_DIGEST_LEN + 1];
	struct source_sequence *sequences;
	struct row_hash delta;
	struct changeset c;
	int rc = changeset_open(&c, &sequences, m, changeset);

	if (rc == KC_OK)
		rc = changeset_apply_to_file(&delta, path, label, &c);
	changeset_close(&c, sequences);
	if (rc < 0)
		return rc == KC_ENEEDFULL
			   ? err_set(KC_EDAMAGED, "%s: does not apply to its base: %s", label, err_text(rc))
			   : rc;
	if (!row_hash_add_to(hex, m->base_digest, &delta))
		return err_set(KC_EFORMAT, "%s: no digest of its base", label);
	return strcmp(hex, m->db.content_digest) == 0 ? KC_OK : differs(label, "content digest");
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
