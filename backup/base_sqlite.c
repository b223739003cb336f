/* SPDX-License-Identifier: Apache-2.0 */
/* base_sqlite: a base of another life is counted before it is believed. */
#include <string.h>

#include "backup/base.h"
#include "backup/changeset_sqlite.h"
#include "base/err.h"
#include "base/file.h"

int base_read(struct source_digest *out, const char *path, const char *content, int (*alive)(void *arg), void *arg)
{
	struct source_digest d = { .rows = 0 };
	sqlite3 *db = NULL;
	int rc = sqlite_check_left(path);

	if (rc == KC_OK)
		rc = sqlite_open_image(&db, path);
	if (rc == KC_OK)
		rc = sqlite_digest(&d, db, path, NULL, alive, arg);
	sqlite3_close(db);
	if (rc == KC_OK && strcmp(d.content, content) != 0)
		rc = err_set(KC_EDAMAGED, "%s: not what was replicated last", path);
	if (rc < 0)
		source_digest_fini(&d);
	else
		*out = d;
	return rc;
}

int base_advance(const char *from, const char *path, int fd, uint64_t size, const struct source_digest *digest)
{
	struct changeset c = {
		.fd = fd, .size = size, .sequences = digest->sequences, .n_sequences = digest->n_sequences
	};
	struct row_hash delta;
	int rc = changeset_apply_to_file(&delta, from, from, &c);

	return rc == KC_OK ? file_move(from, path) : rc;
}
