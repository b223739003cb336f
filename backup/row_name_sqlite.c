/* SPDX-License-Identifier: Apache-2.0 */
/* row_name_sqlite: what people know a row by. */
#include <stdlib.h>
#include <string.h>

#include "backup/source_sqlite.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define NAME_MAX_LEN 240
#define VALUE_MAX    80
#define BLOB_MAX     16

bool name_list_has(const struct name_list *l, const char *name)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (sqlite3_stricmp(l->names[i], name) == 0)
			return true;
	return false;
}

int sqlite_key(struct name_list *key, sqlite3 *db, const char *path, const char *table)
{
	char *sql = sqlite3_mprintf("PRAGMA main.table_xinfo(\"%w\")", table);
	sqlite3_stmt *st = NULL;
	int rc = sqlite_prepare(&st, db, path, sql);

	sqlite3_free(sql);
	while (rc == KC_OK && sqlite3_step(st) == SQLITE_ROW)
		if (sqlite3_column_int(st, 5) > 0 && sqlite3_column_int(st, 6) == 0)
			name_list_add(key, (const char *)sqlite3_column_text(st, 1));
	sqlite3_finalize(st);
	return rc;
}

int row_names(
    struct name_list *names, sqlite3 *db, const char *path, const char *table, const struct name_list *columns)
{
	static const char *const usual[] = { "uuid", "id", "uid", "name" };
	static const char *const rowids[] = { "rowid", "_rowid_", "oid" };
	int rc = sqlite_key(names, db, path, table);
	size_t i;

	for (i = 0; rc == KC_OK && names->n == 0 && i < sizeof(usual) / sizeof(usual[0]); i++)
		if (name_list_has(columns, usual[i]))
			name_list_add(names, usual[i]);
	for (i = 0; rc == KC_OK && names->n == 0 && i < sizeof(rowids) / sizeof(rowids[0]); i++)
		if (!name_list_has(columns, rowids[i]))
			name_list_add(names, rowids[i]);
	/* A uuid says nothing to a person; the built-in database has the name beside it. */
	if (rc == KC_OK && names->n == 1 && sqlite3_stricmp(names->names[0], "uuid") == 0 &&
	    name_list_has(columns, "alias"))
		name_list_add(names, "alias");
	return rc;
}

static void append_value(sqlite3_str *s, sqlite3_stmt *st, int i)
{
	const unsigned char *p;
	int k, n;

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_BLOB:
		p = sqlite3_column_blob(st, i);
		n = sqlite3_column_bytes(st, i);
		for (k = 0; k < n && k < BLOB_MAX; k++)
			sqlite3_str_appendf(s, "%02x", p[k]);
		if (n > BLOB_MAX)
			sqlite3_str_appendall(s, "...");
		break;
	case SQLITE_NULL:
		sqlite3_str_appendall(s, "NULL");
		break;
	default:
		p = sqlite3_column_text(st, i);
		for (k = 0; p != NULL && p[k] != '\0' && k < VALUE_MAX; k++)
			sqlite3_str_appendchar(s, 1, (char)p[k]);
		break;
	}
}

char *row_name_text(const struct name_list *names, sqlite3_stmt *st)
{
	sqlite3_str *s = sqlite3_str_new(NULL);
	char *text, *copy;
	size_t i;

	for (i = 0; i < names->n; i++) {
		if (i > 0 && sqlite3_column_type(st, (int)i) == SQLITE_NULL && strcmp(names->names[i], "alias") == 0)
			continue; /* it has none */
		sqlite3_str_appendf(s, "%s%s=", i > 0 ? "," : "", names->names[i]);
		append_value(s, st, (int)i);
	}
	text = sqlite3_str_finish(s);
	copy = mem_xstrndup(text != NULL ? text : "", text != NULL && strlen(text) > NAME_MAX_LEN ? NAME_MAX_LEN
						      : text != NULL				  ? strlen(text)
												  : 0);
	sqlite3_free(text);
	return str_printable(copy);
}
