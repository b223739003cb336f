/* SPDX-License-Identifier: Apache-2.0 */
/* row: rows of the table `keys`. Material passes through here wrapped only. */
#include "row.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "keydb/waiting.h"

static bool copy_text(char *to, size_t size, sqlite3_stmt *st, int column)
{
	const char *text = (const char *)sqlite3_column_text(st, column);
	size_t n = text != NULL ? strlen(text) : 0;

	if (n >= size)
		return false;
	memcpy(to, text != NULL ? text : "", n + 1);
	return true;
}

int row_read(struct keydb_key *key, struct keydb *db, sqlite3_stmt *st)
{
	struct keydb_key k = { .master_key = 0 };
	const char *kind = (const char *)sqlite3_column_text(st, 3);
	const char *state = (const char *)sqlite3_column_text(st, 5);
	bool good;
	int rc;

	good = copy_text(k.uuid, sizeof(k.uuid), st, 0) && copy_text(k.alias, sizeof(k.alias), st, 1) &&
	       copy_text(k.group, sizeof(k.group), st, 2) && copy_text(k.algorithm, sizeof(k.algorithm), st, 4) &&
	       kind != NULL && state != NULL && keydb_kind_parse(&k.kind, kind) == KC_OK &&
	       keydb_state_parse(&k.state, state) == KC_OK;
	if (!good)
		return err_set(KC_EDAMAGED, "%s: row of key %.36s is not one of ours", db->path, k.uuid);
	k.created = sqlite3_column_int64(st, 6);
	k.activated = sqlite3_column_int64(st, 7);
	k.deactivated = sqlite3_column_int64(st, 8);
	k.compromised = sqlite3_column_int64(st, 9);
	k.destroyed = sqlite3_column_int64(st, 10);
	k.master_key = (uint32_t)sqlite3_column_int64(st, 11);
	if (db->waiting != NULL && (rc = waiting_has(&k.held, db->waiting, k.uuid)) < 0)
		return rc;
	*key = k;
	return KC_OK;
}

void row_new_uuid(char uuid[KEYDB_UUID_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t r[16];
	char *p = uuid;

	mem_random(r, sizeof(r));
	r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
	r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[r[i] >> 4];
		*p++ = hex[r[i] & 15];
	}
	*p = '\0';
}

int row_parse_uuid(char uuid[KEYDB_UUID_LEN + 1], const char *text)
{
	bool good = strlen(text) == KEYDB_UUID_LEN;

	for (int i = 0; good && i < KEYDB_UUID_LEN; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23)
			good = text[i] == '-';
		else
			good = isxdigit((unsigned char)text[i]) != 0;
	}
	if (!good)
		return err_set(KC_EUSAGE, "%s: not a uuid", text);
	for (int i = 0; i <= KEYDB_UUID_LEN; i++)
		uuid[i] = (char)tolower((unsigned char)text[i]);
	return KC_OK;
}

int row_check_name(const char *what, const char *text)
{
	char uuid[KEYDB_UUID_LEN + 1];
	size_t n = text != NULL ? strlen(text) : 1;

	if (text == NULL)
		return KC_OK;
	if (n == 0 || n > KEYDB_NAME_MAX)
		return err_set(KC_EUSAGE, "%s of %zu bytes: 1 to %d are possible", what, n, KEYDB_NAME_MAX);
	if (text[0] == ' ' || text[n - 1] == ' ')
		return err_set(KC_EUSAGE, "%s begins or ends with a blank", what);
	for (const char *p = text; *p != '\0'; p += n)
		if ((n = str_char_size(p)) == 0)
			return err_set(KC_EUSAGE, "%s with a control character, or not UTF-8", what);
	if (row_parse_uuid(uuid, text) == KC_OK)
		return err_set(KC_EUSAGE, "%s %s would be taken for a uuid", what, text);
	return KC_OK;
}

int row_prepare_insert(sqlite3_stmt **st, struct keydb *db)
{
	return store_prepare(st, db,
	    "INSERT INTO keys (uuid, alias, grp, kind, algorithm, state, created, activated, master_key, material,"
	    " fingerprint) VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?)");
}

static int same_material(struct keydb *db, const uint8_t fingerprint[WRAP_FINGERPRINT_SIZE])
{
	char uuid[KEYDB_UUID_LEN + 1] = "";
	sqlite3_stmt *st = NULL;
	int rc = store_prepare(&st, db, "SELECT uuid FROM keys WHERE fingerprint = ?");

	if (rc < 0)
		return rc;
	sqlite3_bind_blob(st, 1, fingerprint, WRAP_FINGERPRINT_SIZE, SQLITE_STATIC);
	if (sqlite3_step(st) == SQLITE_ROW)
		copy_text(uuid, sizeof(uuid), st, 0);
	sqlite3_finalize(st);
	return err_set(KC_EEXIST, "the same key material is stored already, as key %s", uuid);
}

/* SQLite names the column in its message only. */
static int explain_conflict(struct keydb *db, const struct keydb_key *key, const uint8_t *fingerprint)
{
	const char *message = sqlite3_errmsg(db->sql);

	if (strstr(message, "keys.alias") != NULL)
		return err_set(KC_EEXIST, "alias %s exists already", key->alias);
	if (strstr(message, "keys.uuid") != NULL)
		return err_set(KC_EEXIST, "key %s exists already", key->uuid);
	if (strstr(message, "keys.fingerprint") != NULL)
		return same_material(db, fingerprint);
	return store_error(db, SQLITE_CONSTRAINT);
}

static void bind(sqlite3_stmt *st, const struct keydb_key *key)
{
	sqlite3_bind_text(st, 1, key->uuid, -1, SQLITE_STATIC);
	store_bind_name(st, 2, key->alias);
	store_bind_name(st, 3, key->group);
	sqlite3_bind_text(st, 4, keydb_kind_name(key->kind), -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 5, key->algorithm, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 6, keydb_state_name(key->state), -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 7, key->created);
	sqlite3_bind_int64(st, 8, key->activated);
	sqlite3_bind_int64(st, 9, key->master_key);
}

int row_insert(sqlite3_stmt *st, struct keydb *db, struct keydb_key *key, const void *material, size_t size,
    const void *same, size_t same_size)
{
	uint8_t small[128], fingerprint[WRAP_FINGERPRINT_SIZE];
	uint8_t *blob = size + WRAP_OVERHEAD <= sizeof(small) ? small : mem_xalloc(size + WRAP_OVERHEAD);
	int rc, code;

	key->master_key = wrap_number(db->wrap);
	rc = wrap_fingerprint(fingerprint, db->wrap, same, same_size);
	if (rc == KC_OK)
		rc = wrap_seal(blob, db->wrap, key->uuid, key->kind, material, size);
	if (rc == KC_OK) {
		bind(st, key);
		sqlite3_bind_blob(st, 10, blob, (int)(size + WRAP_OVERHEAD), SQLITE_STATIC);
		sqlite3_bind_blob(st, 11, fingerprint, sizeof(fingerprint), SQLITE_STATIC);
		code = sqlite3_step(st);
		if (code != SQLITE_DONE)
			rc = (code & 0xff) == SQLITE_CONSTRAINT ? explain_conflict(db, key, fingerprint)
								: store_error(db, code);
		sqlite3_reset(st);
		sqlite3_clear_bindings(st);
		if (rc == KC_OK && db->hold)
			rc = waiting_add(db->waiting, key->uuid);
		key->held = db->hold;
	}
	if (blob != small)
		free(blob);
	return rc;
}
