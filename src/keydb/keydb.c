/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keydb: what can be done with keys: make, import, find, list, export, change of state. Each function works inside
 * the transaction that its caller opened, or, where it only reads, in one of its own.
 */
#include "keydb.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "keydb/algorithm.h"
#include "keydb/row.h"
#include "keydb/store.h"
#include "keydb/waiting.h"

/* Sets everything but uuid, alias and master_key. */
static void row_init(struct keydb_key *key, const struct keydb_new *what, enum keydb_kind kind, const char *algorithm)
{
	*key = (struct keydb_key){ .kind = kind, .state = what->activate ? KEYDB_ACTIVE : KEYDB_PRE_ACTIVE };
	key->created = time(NULL);
	key->activated = what->activate ? key->created : 0;
	snprintf(key->group, sizeof(key->group), "%s", what->group != NULL ? what->group : "");
	snprintf(key->algorithm, sizeof(key->algorithm), "%s", algorithm);
}

/* The highest number that follows this prefix in an alias. */
static int last_number(uint64_t *number, struct keydb *db, const char *prefix)
{
	sqlite3_stmt *st = NULL;
	size_t skip = strlen(prefix);
	uint64_t highest = 0;
	int code, rc;

	/* From "prefix0" to before "prefix:", the character behind '9'. */
	rc = store_prepare(&st, db, "SELECT alias FROM keys WHERE alias >= ? || '0' AND alias < ? || ':'");
	if (rc < 0)
		return rc;
	sqlite3_bind_text(st, 1, prefix, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, prefix, -1, SQLITE_STATIC);
	while ((code = sqlite3_step(st)) == SQLITE_ROW) {
		const char *digits = (const char *)sqlite3_column_text(st, 0) + skip;
		size_t n = strspn(digits, "0123456789");

		if (digits[n] == '\0' && n <= 18 && strtoull(digits, NULL, 10) > highest)
			highest = strtoull(digits, NULL, 10);
	}
	if (code != SQLITE_DONE)
		rc = store_error(db, code);
	sqlite3_finalize(st);
	if (rc == KC_OK)
		*number = highest;
	return rc;
}

static int set_alias(struct keydb_key *key, const struct keydb_new *what, uint64_t number)
{
	int n = 0;

	if (what->alias == NULL)
		key->alias[0] = '\0';
	else if (what->count == 1)
		n = snprintf(key->alias, sizeof(key->alias), "%s", what->alias);
	else
		n = snprintf(key->alias, sizeof(key->alias), "%s%06llu", what->alias, (unsigned long long)number);
	if (n >= (int)sizeof(key->alias))
		return err_set(
		    KC_EUSAGE, "alias %s with its number is longer than %d bytes", what->alias, KEYDB_NAME_MAX);
	return KC_OK;
}

static int generate_rows(struct keydb_generated *made, struct keydb *db, const struct keydb_new *what,
    const struct algorithm *a, uint64_t number)
{
	uint8_t *material = mem_secret_new(a->size);
	struct keydb_key key;
	sqlite3_stmt *st = NULL;
	int rc = row_prepare_insert(&st, db);

	row_init(&key, what, KEYDB_SYMMETRIC, a->name);
	for (unsigned i = 0; i < what->count && rc == KC_OK; i++) {
		row_new_uuid(key.uuid);
		mem_random(material, a->size);
		rc = set_alias(&key, what, number + 1 + i);
		if (rc == KC_OK)
			rc = row_insert(st, db, &key, material, a->size, material, a->size);
		if (rc == KC_OK && i == 0)
			made->first = key;
	}
	made->last = key;
	made->count = what->count;
	sqlite3_finalize(st);
	mem_secret_free(material);
	return rc;
}

int keydb_generate(struct keydb_generated *made, struct keydb *db, const struct keydb_new *what)
{
	const struct algorithm *a = NULL;
	struct keydb_generated m;
	uint64_t number = 0;
	int rc;

	assert(db->in_txn);
	if (what->count == 0 || what->count > KEYDB_COUNT_MAX)
		return err_set(KC_EUSAGE, "%u keys at once: 1 to %d are possible", what->count, KEYDB_COUNT_MAX);
	rc = algorithm_find(&a, what->algorithm != NULL ? what->algorithm : ALGORITHM_DEFAULT);
	if (rc == KC_OK && !a->generate)
		rc = err_set(KC_EUSAGE, "%s: such keys are imported, not generated: " ALGORITHM_NAMES, a->name);
	if (rc == KC_OK)
		rc = row_check_name("alias", what->alias);
	if (rc == KC_OK)
		rc = row_check_name("group", what->group);
	if (rc == KC_OK)
		rc = store_wrap(db, 0);
	if (rc == KC_OK && what->alias != NULL && what->count > 1)
		rc = last_number(&number, db, what->alias);
	if (rc == KC_OK)
		rc = generate_rows(&m, db, what, a, number);
	if (rc == KC_OK)
		*made = m;
	return rc;
}

int keydb_import(struct keydb_key *stored, struct keydb *db, const struct keydb_new *what, enum keydb_kind kind,
    const char *uuid, const void *material, size_t size)
{
	const struct algorithm *a = NULL;
	struct keydb_key key;
	sqlite3_stmt *st = NULL;
	int rc = KC_OK;

	assert(db->in_txn);
	if (size == 0 || size > KEYDB_MATERIAL_MAX)
		return err_set(KC_EFORMAT, "a key of %zu bytes: 1 to %d are possible", size, KEYDB_MATERIAL_MAX);
	if (kind == KEYDB_SYMMETRIC)
		rc = algorithm_of_size(&a, what->algorithm, size);
	if (rc == KC_OK)
		rc = row_check_name("alias", what->alias);
	if (rc == KC_OK)
		rc = row_check_name("group", what->group);
	if (rc < 0)
		return rc;
	row_init(&key, what, kind, a != NULL ? a->name : what->algorithm);
	snprintf(key.alias, sizeof(key.alias), "%s", what->alias != NULL ? what->alias : "");
	if (uuid != NULL)
		rc = row_parse_uuid(key.uuid, uuid);
	else
		row_new_uuid(key.uuid);
	if (rc == KC_OK)
		rc = store_wrap(db, 0);
	if (rc == KC_OK)
		rc = row_prepare_insert(&st, db);
	if (rc == KC_OK)
		rc = row_insert(st, db, &key, material, size, what->same != NULL ? what->same : material,
		    what->same != NULL ? what->same_size : size);
	sqlite3_finalize(st);
	if (rc == KC_OK)
		*stored = key;
	return rc;
}

static int get_by(struct keydb_key *key, struct keydb *db, const char *text, const char *name)
{
	sqlite3_stmt *st = NULL;
	int code, rc = store_prepare(&st, db, text);

	if (rc < 0)
		return rc;
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	code = sqlite3_step(st);
	if (code == SQLITE_ROW)
		rc = row_read(key, db, st);
	else if (code == SQLITE_DONE)
		rc = err_set(KC_ENOENT, "no key with the uuid or alias %s", name);
	else
		rc = store_error(db, code);
	sqlite3_finalize(st);
	return rc;
}

int keydb_get(struct keydb_key *key, struct keydb *db, const char *name)
{
	char uuid[KEYDB_UUID_LEN + 1];
	bool mine;
	int rc = store_read_begin(&mine, db);

	if (rc < 0)
		return rc;
	if (row_parse_uuid(uuid, name) == KC_OK)
		rc = get_by(key, db, "SELECT " ROW_COLUMNS " FROM keys WHERE uuid = ?", uuid);
	else
		rc = get_by(key, db, "SELECT " ROW_COLUMNS " FROM keys WHERE alias = ?", name);
	store_read_end(db, mine);
	return rc;
}

static int list_rows(struct keydb *db, sqlite3_stmt *st, keydb_each_fn each, void *arg)
{
	struct keydb_key key;
	int code, rc = KC_OK;

	while (rc == KC_OK && (code = sqlite3_step(st)) != SQLITE_DONE) {
		if (code != SQLITE_ROW)
			return store_error(db, code);
		rc = row_read(&key, db, st);
		if (rc == KC_OK)
			rc = each(&key, arg);
	}
	return rc;
}

int keydb_list(struct keydb *db, const struct keydb_filter *filter, keydb_each_fn each, void *arg)
{
	sqlite3_stmt *st = NULL;
	bool mine;
	int rc = store_read_begin(&mine, db);

	if (rc < 0)
		return rc;
	/* The group leads: it has an index. */
	rc = store_prepare(&st, db,
	    filter->group != NULL ? "SELECT " ROW_COLUMNS
				    " FROM keys WHERE grp = ?1 AND (?2 IS NULL OR substr(alias, 1, length(?2)) = ?2)"
				    " AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR kind = ?4) ORDER BY rowid"
				  : "SELECT " ROW_COLUMNS
				    " FROM keys WHERE (?2 IS NULL OR substr(alias, 1, length(?2)) = ?2)"
				    " AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR kind = ?4) ORDER BY rowid");
	if (rc == KC_OK) {
		if (filter->group != NULL)
			store_bind_name(st, 1, filter->group);
		store_bind_name(st, 2, filter->alias);
		if (filter->state >= 0)
			store_bind_name(st, 3, keydb_state_name((enum keydb_state)filter->state));
		if (filter->kind >= 0)
			store_bind_name(st, 4, keydb_kind_name((enum keydb_kind)filter->kind));
		rc = list_rows(db, st, each, arg);
	}
	sqlite3_finalize(st);
	store_read_end(db, mine);
	return rc;
}

static int open_material(
    uint8_t **material, size_t *size, struct keydb *db, sqlite3_stmt *st, const struct keydb_key *key)
{
	const void *blob = sqlite3_column_blob(st, 0);
	size_t n = (size_t)sqlite3_column_bytes(st, 0);
	uint8_t *data;
	int rc;

	if (blob == NULL)
		return err_set(
		    KC_ENOENT, "key %s is %s, its material is gone", key->uuid, keydb_state_name(key->state));
	rc = store_wrap(db, (uint32_t)sqlite3_column_int64(st, 1));
	if (rc < 0)
		return rc;
	data = mem_secret_new(n);
	rc = wrap_open(data, db->wrap, key->uuid, key->kind, blob, n);
	if (rc < 0) {
		mem_secret_free(data);
		return rc;
	}
	*material = data;
	*size = n - WRAP_OVERHEAD;
	return KC_OK;
}

int keydb_export(uint8_t **material, size_t *size, struct keydb *db, const struct keydb_key *key)
{
	sqlite3_stmt *st = NULL;
	bool mine, held = false;
	int code, rc = db->waiting != NULL ? waiting_has(&held, db->waiting, key->uuid) : KC_OK;

	if (rc == KC_OK && held)
		return err_set(KC_EPERM,
		    "key %s is held until a backup with it is stored (backup.ReleaseKeysOnSuccessfulBackup)",
		    key->uuid);
	if (rc == KC_OK)
		rc = store_read_begin(&mine, db);
	if (rc < 0)
		return rc;
	rc = store_prepare(&st, db, "SELECT material, ifnull(master_key, 0) FROM keys WHERE uuid = ?");
	if (rc == KC_OK) {
		sqlite3_bind_text(st, 1, key->uuid, -1, SQLITE_STATIC);
		code = sqlite3_step(st);
		if (code == SQLITE_ROW)
			rc = open_material(material, size, db, st, key);
		else if (code == SQLITE_DONE)
			rc = err_set(KC_ENOENT, "no key with the uuid %s", key->uuid);
		else
			rc = store_error(db, code);
	}
	sqlite3_finalize(st);
	store_read_end(db, mine);
	return rc;
}

/* The row as it becomes; a time that is set already stays. */
static void move(struct keydb_key *key, enum keydb_state to)
{
	int64_t now = time(NULL);
	int64_t *at[KEYDB_STATE_COUNT] = {
		[KEYDB_ACTIVE] = &key->activated,
		[KEYDB_DEACTIVATED] = &key->deactivated,
		[KEYDB_COMPROMISED] = &key->compromised,
		[KEYDB_DESTROYED] = &key->destroyed,
	};

	if (to == KEYDB_DESTROYED_COMPROMISED)
		at[to] = key->state == KEYDB_DESTROYED ? &key->compromised : &key->destroyed;
	if (at[to] != NULL && *at[to] == 0)
		*at[to] = now;
	key->state = to;
	if (!keydb_state_has_material(to))
		key->master_key = 0;
}

static int update(struct keydb *db, const struct keydb_key *key)
{
	sqlite3_stmt *st = NULL;
	int code, rc;

	rc = store_prepare(&st, db,
	    "UPDATE keys SET state = ?2, activated = nullif(?3, 0), deactivated = nullif(?4, 0),"
	    " compromised = nullif(?5, 0), destroyed = nullif(?6, 0), master_key = nullif(?7, 0),"
	    " material = iif(?7 = 0, NULL, material), fingerprint = iif(?7 = 0, NULL, fingerprint) WHERE uuid = ?1");
	if (rc < 0)
		return rc;
	sqlite3_bind_text(st, 1, key->uuid, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, keydb_state_name(key->state), -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, key->activated);
	sqlite3_bind_int64(st, 4, key->deactivated);
	sqlite3_bind_int64(st, 5, key->compromised);
	sqlite3_bind_int64(st, 6, key->destroyed);
	sqlite3_bind_int64(st, 7, key->master_key);
	code = sqlite3_step(st);
	if (code != SQLITE_DONE)
		rc = store_error(db, code);
	sqlite3_finalize(st);
	return rc;
}

int keydb_set_state(struct keydb_key *key, struct keydb *db, const char *name, enum keydb_state to)
{
	struct keydb_key k;
	int rc;

	assert(db->in_txn);
	rc = keydb_get(&k, db, name);
	if (rc < 0)
		return rc;
	if (!keydb_state_may_follow(k.state, to))
		return err_set(KC_EPERM, "key %s is %s: it cannot become %s", name, keydb_state_name(k.state),
		    keydb_state_name(to));
	move(&k, to);
	rc = update(db, &k);
	if (rc < 0)
		return rc;
	if (!keydb_state_has_material(to))
		db->wiped = true;
	*key = k;
	return KC_OK;
}

int keydb_destroy(struct keydb_key *key, struct keydb *db, const char *name)
{
	struct keydb_key k;
	int rc = keydb_get(&k, db, name);

	if (rc < 0)
		return rc;
	return keydb_set_state(
	    key, db, name, k.state == KEYDB_COMPROMISED ? KEYDB_DESTROYED_COMPROMISED : KEYDB_DESTROYED);
}
