/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply_changeset: FORMAT.md section 1 in plain SQLite: a changeset into a database, and then exactly these rows into
 * sqlite_sequence. Shares no code with the product.
 *
 *     apply_changeset DATABASE CHANGESET [TABLE VALUE]...
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static int on_conflict(void *arg, int why, sqlite3_changeset_iter *it)
{
	(void)arg, (void)it;
	fprintf(stderr, "conflict %d\n", why);
	return SQLITE_CHANGESET_ABORT;
}

static int read_all(void **data, int *size, const char *path)
{
	FILE *f = fopen(path, "rb");
	long n;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0)
		return 1;
	rewind(f);
	*data = malloc((size_t)n + 1);
	*size = (int)n;
	return *data == NULL || fread(*data, 1, (size_t)n, f) != (size_t)n || fclose(f) != 0;
}

static int sequences(sqlite3 *db, int n, char **arguments)
{
	sqlite3_stmt *st = NULL;
	int rc;

	/* A database without AUTOINCREMENT has no such table. */
	if (n == 0 && sqlite3_table_column_metadata(
			  db, "main", "sqlite_sequence", NULL, NULL, NULL, NULL, NULL, NULL) != SQLITE_OK)
		return SQLITE_OK;
	rc = sqlite3_exec(db, "DELETE FROM sqlite_sequence", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(db, "INSERT INTO sqlite_sequence(name, seq) VALUES(?1, ?2)", -1, &st, NULL);
	for (int i = 0; rc == SQLITE_OK && i + 1 < n; i += 2) {
		sqlite3_bind_text(st, 1, arguments[i], -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, 2, strtoll(arguments[i + 1], NULL, 10));
		rc = sqlite3_step(st) == SQLITE_DONE ? sqlite3_reset(st) : sqlite3_errcode(db);
	}
	sqlite3_finalize(st);
	return rc;
}

int main(int argc, char **argv)
{
	sqlite3 *db = NULL;
	void *data = NULL;
	int size = 0, rc;

	if (argc < 3 || read_all(&data, &size, argv[2]) != 0) {
		fprintf(stderr, "apply_changeset DATABASE CHANGESET [TABLE VALUE]...\n");
		return 64;
	}
	rc = sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READWRITE, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FKEY, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3changeset_apply(db, size, data, NULL, on_conflict, NULL);
	if (rc == SQLITE_OK)
		rc = sequences(db, argc - 3, argv + 3);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		fprintf(stderr, "%s: %s\n", argv[1], sqlite3_errmsg(db));
	sqlite3_close(db);
	free(data);
	return rc == SQLITE_OK ? 0 : 1;
}
