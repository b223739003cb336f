/* SPDX-License-Identifier: Apache-2.0 */
/* changeset_file_sqlite: the changeset of an increment, and a database file that nobody else has open and that it
 * changes. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "backup/changeset_sqlite.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

int changeset_open(struct changeset *c, struct source_sequence **sequences, const struct manifest *m, const char *path)
{
	*sequences = mem_xcalloc(m->n_sequences + 1, sizeof(**sequences));
	for (size_t i = 0; i < m->n_sequences; i++)
		(*sequences)[i] = (struct source_sequence){ m->sequences[i].table, m->sequences[i].value };
	*c = (struct changeset){
		.fd = -1, .size = m->changeset_size, .sequences = *sequences, .n_sequences = m->n_sequences
	};
	return file_open(&c->fd, path, O_RDONLY, 0);
}

void changeset_close(struct changeset *c, struct source_sequence *sequences)
{
	if (c->fd >= 0)
		close(c->fd);
	free(sequences);
}

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
