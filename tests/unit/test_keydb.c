/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of keydb: states, master key file, wrapping, the database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keydb/algorithm.h"
#include "keydb/keydb.h"
#include "keydb/master.h"
#include "keydb/wrap.h"

static char dir[64], path[96], keys[96];

/* Every test has an empty database of its own. */
static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-test-keydb.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/keydb.sqlite", dir);
	snprintf(keys, sizeof(keys), "%s/keydb.key", dir);
	return keydb_create(path) == KC_OK && master_create(keys) == KC_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static struct keydb *open_db(void)
{
	struct keydb *db = NULL;

	assert_int_equal(keydb_open(&db, path, keys), KC_OK);
	return db;
}

/* Another program at work on the file. */
static void sql(const char *text)
{
	sqlite3 *s = NULL;

	assert_int_equal(sqlite3_open(path, &s), SQLITE_OK);
	sqlite3_busy_timeout(s, 5000);
	assert_int_equal(sqlite3_exec(s, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(s);
}

static char *sql_text(const char *text)
{
	sqlite3 *s = NULL;
	sqlite3_stmt *st = NULL;
	char *found;

	assert_int_equal(sqlite3_open(path, &s), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(s, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	found = mem_xstrdup(sqlite3_column_text(st, 0) != NULL ? (const char *)sqlite3_column_text(st, 0) : "(null)");
	sqlite3_finalize(st);
	sqlite3_close(s);
	return found;
}

#define assert_sql(text, expected)                     \
	do {                                           \
		char *found_ = sql_text(text);         \
		assert_string_equal(found_, expected); \
		free(found_);                          \
	} while (0)

static struct keydb_generated generate(struct keydb *db, unsigned count, const char *alias, const char *group)
{
	struct keydb_generated made;

	assert_int_equal(keydb_begin(db), KC_OK);
	assert_int_equal(
	    keydb_generate(&made, db, &(struct keydb_new){ .count = count, .alias = alias, .group = group }), KC_OK);
	assert_int_equal(keydb_commit(db), KC_OK);
	return made;
}

static int set_state(struct keydb *db, const char *name, enum keydb_state to)
{
	struct keydb_key key;
	int rc;

	assert_int_equal(keydb_begin(db), KC_OK);
	rc = keydb_set_state(&key, db, name, to);
	if (rc < 0) {
		keydb_abort(db);
		return rc;
	}
	assert_int_equal(key.state, to);
	return keydb_commit(db);
}

static int import(struct keydb *db, const char *alias, const char *algorithm, const void *data, size_t size)
{
	struct keydb_key key;
	struct keydb_new what = { .alias = alias, .algorithm = algorithm };
	int rc;

	assert_int_equal(keydb_begin(db), KC_OK);
	rc = keydb_import(&key, db, &what, KEYDB_SYMMETRIC, NULL, data, size);
	if (rc < 0) {
		keydb_abort(db);
		return rc;
	}
	return keydb_commit(db);
}

static void lifecycle__every_pair_of_states__is_allowed_as_in_the_table(void **state)
{
	/* rows: from; columns: to; in the order of the enum */
	static const char *const allowed[KEYDB_STATE_COUNT] = {
		".A.CD.", /* pre-active */
		"..DC..", /* active */
		"...CD.", /* deactivated */
		".....X", /* compromised */
		".....X", /* destroyed */
		"......", /* destroyed-compromised */
	};

	(void)state;
	for (int from = 0; from < KEYDB_STATE_COUNT; from++)
		for (int to = 0; to < KEYDB_STATE_COUNT; to++)
			assert_int_equal(keydb_state_may_follow((enum keydb_state)from, (enum keydb_state)to),
			    allowed[from][to] != '.');
}

static void lifecycle__names__parse_in_any_spelling(void **state)
{
	enum keydb_state s;
	enum keydb_kind k;

	(void)state;
	for (int i = 0; i < KEYDB_STATE_COUNT; i++) {
		assert_int_equal(keydb_state_parse(&s, keydb_state_name((enum keydb_state)i)), KC_OK);
		assert_int_equal(s, i);
	}
	assert_int_equal(keydb_state_parse(&s, "PRE_ACTIVE"), KC_OK);
	assert_int_equal(s, KEYDB_PRE_ACTIVE);
	assert_int_equal(keydb_state_parse(&s, "Destroyed_Compromised"), KC_OK);
	assert_int_equal(s, KEYDB_DESTROYED_COMPROMISED);
	assert_int_equal(keydb_state_parse(&s, "activ"), KC_EUSAGE);
	assert_int_equal(keydb_state_parse(&s, ""), KC_EUSAGE);
	assert_int_equal(keydb_kind_parse(&k, "Symmetric"), KC_OK);
	assert_int_equal(keydb_kind_parse(&k, "opaque"), KC_EUSAGE);
}

static void write_keys(const char *text)
{
	assert_int_equal(file_replace(keys, text, strlen(text), 0600), KC_OK);
}

#define KEY_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
#define KEY_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="

static void master__good_file__gives_old_and_new(void **state)
{
	struct master *m = NULL;

	(void)state;
	write_keys("# made by hand\n\n1 " KEY_A "\n7\t" KEY_B "\r\n");
	assert_int_equal(master_load(&m, keys), KC_OK);
	assert_int_equal(master_oldest(m), 1);
	assert_int_equal(master_newest(m), 7);
	assert_memory_equal(master_key(m, 1), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 32);
	assert_memory_equal(master_key(m, 7), "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", 32);
	assert_null(master_key(m, 2));
	master_free(m);
}

static void master__bad_files__are_refused_with_the_line(void **state)
{
	static const struct {
		const char *text, *where;
	} bad[] = {
		{ "", "no master key" },
		{ "\n# nothing\n", "no master key" },
		{ "1 AAAA\n", ":1:" },
		{ "1 " KEY_A "\n" KEY_B "\n", ":2:" },
		{ "1 " KEY_A "\n1 " KEY_B "\n", ":2:" },
		{ "2 " KEY_A "\n1 " KEY_B "\n", ":2:" },
		{ "0 " KEY_A "\n", ":1:" },
		{ "1 " KEY_A "=\n", ":1:" },
		{ "1 " KEY_A " x\n", ":1:" },
		{ "99999999999999999999 " KEY_A "\n", ":1:" },
		{ "1 QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n", ":1:" },
	};
	struct master *m = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_keys(bad[i].text);
		assert_int_equal(master_load(&m, keys), KC_EFORMAT);
		assert_non_null(strstr(err_text(KC_EFORMAT), bad[i].where));
	}
}

static void master__file_that_others_read__is_refused(void **state)
{
	struct master *m = NULL;

	(void)state;
	assert_int_equal(chmod(keys, 0640), 0);
	assert_int_equal(master_load(&m, keys), KC_EPERM);
	assert_int_equal(unlink(keys), 0);
	assert_int_equal(master_load(&m, keys), KC_ENOENT);
}

static void master__create__never_overwrites(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(master_create(keys), KC_EEXIST);
	assert_int_equal(stat(keys, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 2 + 44 + 1);
}

static void wrap__another_row_or_kind_or_a_flipped_bit__does_not_open(void **state)
{
	static const char uuid[] = "00000000-0000-4000-8000-000000000001",
			  other[] = "00000000-0000-4000-8000-000000000002";
	uint8_t blob[5 + WRAP_OVERHEAD], data[5];
	struct master *m = NULL;
	struct wrap *w = NULL;

	(void)state;
	assert_int_equal(master_load(&m, keys), KC_OK);
	assert_int_equal(wrap_new(&w, m, 2), KC_EPASSWORD);
	assert_int_equal(wrap_new(&w, m, 1), KC_OK);
	master_free(m);
	assert_int_equal(wrap_seal(blob, w, uuid, KEYDB_SYMMETRIC, "hello", 5), KC_OK);
	assert_int_equal(wrap_open(data, w, uuid, KEYDB_SYMMETRIC, blob, sizeof(blob)), KC_OK);
	assert_memory_equal(data, "hello", 5);
	assert_int_equal(wrap_open(data, w, other, KEYDB_SYMMETRIC, blob, sizeof(blob)), KC_EDAMAGED);
	assert_int_equal(wrap_open(data, w, uuid, KEYDB_PRIVATE, blob, sizeof(blob)), KC_EDAMAGED);
	assert_int_equal(wrap_open(data, w, uuid, KEYDB_SYMMETRIC, blob, sizeof(blob) - 1), KC_EDAMAGED);
	assert_int_equal(wrap_open(data, w, uuid, KEYDB_SYMMETRIC, blob, WRAP_OVERHEAD), KC_EDAMAGED);
	for (size_t i = 0; i < sizeof(blob); i++) {
		blob[i] ^= 1;
		assert_int_equal(wrap_open(data, w, uuid, KEYDB_SYMMETRIC, blob, sizeof(blob)), KC_EDAMAGED);
		blob[i] ^= 1;
	}
	wrap_free(w);
}

static void create__new_file__is_private_marked_and_replicable(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_sql("PRAGMA journal_mode", "wal");
	assert_sql("PRAGMA user_version", "1");
	assert_sql("SELECT printf('%x', application_id) FROM pragma_application_id", "4b43646b");
	/* what row-wise replication needs: a primary key without NULL, row ids */
	assert_sql("SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND schema = 'main' AND"
		   " name NOT LIKE 'sqlite_%' AND wr = 1",
	    "0");
	assert_sql("SELECT count(*) FROM pragma_table_info('keys') WHERE pk > 0 AND \"notnull\" = 1", "1");
	assert_int_equal(keydb_create(path), KC_EEXIST);
}

static void create__directory_missing__leaves_nothing(void **state)
{
	char none[128];

	(void)state;
	snprintf(none, sizeof(none), "%s/none/k.sqlite", dir);
	assert_int_equal(keydb_create(none), KC_ENOENT);
	assert_false(file_exists(none));
}

static void open__other_files__are_not_built_in(void **state)
{
	struct keydb *db = NULL;

	(void)state;
	sql("PRAGMA user_version = 2");
	assert_int_equal(keydb_open(&db, path, keys), KC_EFORMAT);
	sql("PRAGMA application_id = 0");
	assert_int_equal(keydb_open(&db, path, keys), KC_EFORMAT);
	assert_non_null(strstr(err_text(KC_EFORMAT), "not a built-in key database"));
	assert_int_equal(file_replace(path, "text, and enough of it to be looked at as a page\n", 49, 0600), KC_OK);
	assert_int_equal(keydb_open(&db, path, keys), KC_EFORMAT);
	assert_int_equal(keydb_open(&db, "postgresql://host/db", keys), KC_EFORMAT);
	assert_int_equal(keydb_open(&db, dir, keys), KC_EFORMAT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(keydb_open(&db, path, keys), KC_ENOENT);
}

static int collect(const struct keydb_key *key, void *arg)
{
	char *text = arg;

	strcat(text, key->alias[0] != '\0' ? key->alias : "-");
	strcat(text, " ");
	return strlen(text) < 900 ? KC_OK : err_set(KC_ELIMIT, "enough");
}

static void generate__many__are_numbered_and_go_on(void **state)
{
	struct keydb *db = open_db();
	struct keydb_generated made;
	char text[1024] = "";

	(void)state;
	made = generate(db, 3, "tape", "LTO");
	assert_int_equal(made.count, 3);
	assert_string_equal(made.first.alias, "tape000001");
	assert_string_equal(made.last.alias, "tape000003");
	assert_string_equal(made.last.algorithm, "AES-256");
	assert_int_equal(made.last.state, KEYDB_PRE_ACTIVE);
	generate(db, 1, "tape000009x", NULL);
	generate(db, 1, "tape000007", NULL);
	made = generate(db, 2, "tape", NULL);
	assert_string_equal(made.first.alias, "tape000008");
	generate(db, 1, NULL, NULL);
	assert_int_equal(keydb_list(db, &(struct keydb_filter)KEYDB_FILTER_ALL, collect, text), KC_OK);
	assert_string_equal(text, "tape000001 tape000002 tape000003 tape000009x tape000007 tape000008 tape000009 - ");
	keydb_close(db);
	assert_sql("SELECT count(*) FROM keys WHERE material IS NULL OR length(material) != 60", "0");
}

static void generate__alias_taken__changes_nothing(void **state)
{
	struct keydb *db = open_db();
	struct keydb_generated made;

	(void)state;
	generate(db, 1, "one", NULL);
	assert_int_equal(keydb_begin(db), KC_OK);
	assert_int_equal(keydb_generate(&made, db, &(struct keydb_new){ .count = 1, .alias = "one" }), KC_EEXIST);
	assert_string_equal(err_text(KC_EEXIST), "alias one exists already");
	keydb_abort(db);
	keydb_close(db);
	assert_sql("SELECT count(*) FROM keys", "1");
}

static void generate__bad_arguments__are_named(void **state)
{
	static const struct keydb_new bad[] = {
		{ .count = 0 },
		{ .count = KEYDB_COUNT_MAX + 1 },
		{ .count = 1, .algorithm = "ROT-13" },
		{ .count = 1, .algorithm = "3DES-168" },
		{ .count = 1, .alias = "" },
		{ .count = 1, .alias = "a\nb" },
		{ .count = 1, .alias = " a" },
		{ .count = 1, .alias = "00000000-0000-4000-8000-00000000000A" },
		{ .count = 1, .group = "" },
	};
	struct keydb *db = open_db();
	struct keydb_generated made;

	(void)state;
	assert_int_equal(keydb_begin(db), KC_OK);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(keydb_generate(&made, db, &bad[i]), KC_EUSAGE);
	keydb_close(db);
	assert_sql("SELECT count(*) FROM keys", "0");
}

static void generate__hundred_thousand__takes_seconds(void **state)
{
	struct keydb *db = open_db();
	time_t start = time(NULL);

	(void)state;
	generate(db, 100000, "k", "bulk");
	keydb_close(db);
	assert_sql("SELECT count(DISTINCT material) || ' ' || count(DISTINCT uuid) FROM keys", "100000 100000");
	print_message("100,000 keys in about %ld s\n", (long)(time(NULL) - start));
	assert_true(time(NULL) - start < 60);
}

static void import__same_uuid_alias_or_material__is_refused(void **state)
{
	struct keydb *db = open_db();
	struct keydb_key key;
	const char uuid[] = "AAAAAAAA-0000-4000-8000-000000000001";
	struct keydb_new what = { .alias = "a" };

	(void)state;
	assert_int_equal(keydb_begin(db), KC_OK);
	assert_int_equal(keydb_import(&key, db, &what, KEYDB_SYMMETRIC, uuid, "0123456789abcdef", 16), KC_OK);
	assert_string_equal(key.uuid, "aaaaaaaa-0000-4000-8000-000000000001");
	assert_string_equal(key.algorithm, "AES-128");
	assert_int_equal(keydb_commit(db), KC_OK);
	assert_int_equal(import(db, "b", NULL, "0123456789abcdef", 16), KC_EEXIST);
	assert_non_null(strstr(err_text(KC_EEXIST), "aaaaaaaa-0000-4000-8000-000000000001"));
	assert_int_equal(import(db, "a", NULL, "0123456789abcdeF", 16), KC_EEXIST);
	what.alias = "c";
	assert_int_equal(keydb_begin(db), KC_OK);
	assert_int_equal(keydb_import(&key, db, &what, KEYDB_SYMMETRIC, uuid, "0123456789abcdeF", 16), KC_EEXIST);
	assert_int_equal(
	    keydb_import(&key, db, &what, KEYDB_SYMMETRIC, "not-a-uuid", "0123456789abcdeF", 16), KC_EUSAGE);
	keydb_close(db);
	assert_sql("SELECT count(*) FROM keys", "1");
}

static void import__size_and_algorithm__have_to_fit(void **state)
{
	struct keydb *db = open_db();

	(void)state;
	assert_int_equal(import(db, "a", "AES-256", "0123456789abcdef", 16), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "the key has 16 bytes, AES-256 needs 32");
	assert_int_equal(import(db, "a", NULL, "0123456789abcdefghij", 20), KC_EUSAGE);
	assert_int_equal(import(db, "a", "hmac-sha1", "0123456789abcdefghij", 20), KC_OK);
	assert_int_equal(import(db, "b", NULL, "", 0), KC_EFORMAT);
	keydb_close(db);
	assert_sql("SELECT algorithm FROM keys", "HMAC-SHA1");
}

static void export__imported_key__comes_back(void **state)
{
	struct keydb *db = open_db();
	struct keydb_key key;
	uint8_t *data = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(import(db, "a", NULL, "0123456789abcdef", 16), KC_OK);
	assert_int_equal(keydb_get(&key, db, "a"), KC_OK);
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_OK);
	assert_int_equal(n, 16);
	assert_memory_equal(data, "0123456789abcdef", 16);
	mem_secret_free(data);
	assert_int_equal(keydb_get(&key, db, "nobody"), KC_ENOENT);
	assert_int_equal(keydb_get(&key, db, "00000000-0000-4000-8000-000000000001"), KC_ENOENT);
	keydb_close(db);
	assert_sql("SELECT count(*) FROM keys WHERE instr(material, '0123456789abcdef') > 0", "0");
}

static void export__wrong_or_newer_master_key__is_told_apart(void **state)
{
	struct keydb *db = open_db();
	struct keydb_key key;
	uint8_t *data = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(import(db, "a", NULL, "0123456789abcdef", 16), KC_OK);
	assert_int_equal(keydb_get(&key, db, "a"), KC_OK);
	keydb_close(db);
	write_keys("1 " KEY_A "\n");
	db = open_db();
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_EDAMAGED);
	keydb_close(db);
	write_keys("2 " KEY_A "\n");
	db = open_db();
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_EPASSWORD);
	assert_non_null(strstr(err_text(KC_EPASSWORD), "master key 1"));
	keydb_close(db);
	assert_int_equal(unlink(keys), 0);
	db = open_db();
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_ENOENT);
	keydb_close(db);
}

static void export__longer_master_key_file__opens_old_and_new(void **state)
{
	struct keydb *db = open_db(), *other;
	struct keydb_key key;
	uint8_t *data = NULL;
	size_t n = 0;
	struct buf b;

	(void)state;
	assert_int_equal(import(db, "old", NULL, "0123456789abcdef", 16), KC_OK);
	buf_init(&b, 4096);
	assert_int_equal(file_read(&b, keys), KC_OK);
	buf_put_str(&b, "2 " KEY_B "\n");
	assert_int_equal(file_replace(keys, buf_data(&b), buf_len(&b), 0600), KC_OK);
	buf_fini(&b);
	other = open_db();
	assert_int_equal(import(other, "new", NULL, "fedcba9876543210", 16), KC_OK);
	assert_int_equal(import(other, "dup", NULL, "0123456789abcdef", 16), KC_EEXIST);
	keydb_close(other);
	/* the first connection has read the shorter file */
	assert_int_equal(keydb_get(&key, db, "new"), KC_OK);
	assert_int_equal(key.master_key, 2);
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_OK);
	assert_memory_equal(data, "fedcba9876543210", 16);
	mem_secret_free(data);
	assert_int_equal(keydb_get(&key, db, "old"), KC_OK);
	assert_int_equal(key.master_key, 1);
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_OK);
	assert_memory_equal(data, "0123456789abcdef", 16);
	mem_secret_free(data);
	keydb_close(db);
}

static void export__tampered_material__does_not_open(void **state)
{
	struct keydb *db = open_db();
	struct keydb_key key;
	uint8_t *data = NULL;
	size_t n = 0;

	(void)state;
	assert_int_equal(import(db, "a", NULL, "0123456789abcdef", 16), KC_OK);
	assert_int_equal(import(db, "b", NULL, "fedcba9876543210", 16), KC_OK);
	/* one key's material under another's name */
	sql("UPDATE keys SET material = (SELECT material FROM keys WHERE alias = 'b') WHERE alias = 'a'");
	assert_int_equal(keydb_get(&key, db, "a"), KC_OK);
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_EDAMAGED);
	sql("UPDATE keys SET kind = 'private' WHERE alias = 'b'");
	assert_int_equal(keydb_get(&key, db, "b"), KC_OK);
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_EDAMAGED);
	sql("UPDATE keys SET material = x'00' WHERE alias = 'b'");
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_EDAMAGED);
	keydb_close(db);
}

static void set_state__whole_life__sets_times(void **state)
{
	struct keydb *db = open_db();
	struct keydb_key key;

	(void)state;
	generate(db, 1, "a", NULL);
	assert_int_equal(keydb_get(&key, db, "a"), KC_OK);
	assert_int_equal(set_state(db, key.uuid, KEYDB_ACTIVE), KC_OK);
	assert_int_equal(set_state(db, "a", KEYDB_DESTROYED), KC_EPERM);
	assert_string_equal(err_text(KC_EPERM), "key a is active: it cannot become destroyed");
	assert_int_equal(set_state(db, "a", KEYDB_PRE_ACTIVE), KC_EPERM);
	assert_int_equal(set_state(db, "a", KEYDB_ACTIVE), KC_EPERM);
	assert_int_equal(set_state(db, "a", KEYDB_DEACTIVATED), KC_OK);
	assert_int_equal(set_state(db, "a", KEYDB_DESTROYED), KC_OK);
	assert_int_equal(set_state(db, "a", KEYDB_DESTROYED_COMPROMISED), KC_OK);
	assert_int_equal(keydb_get(&key, db, "a"), KC_OK);
	assert_true(key.created > 0 && key.activated >= key.created && key.deactivated >= key.activated &&
		    key.destroyed >= key.deactivated && key.compromised >= key.destroyed);
	assert_int_equal(set_state(db, "nobody", KEYDB_ACTIVE), KC_ENOENT);
	keydb_close(db);
}

/* Is `needle` anywhere in the files of the database? */
static bool in_files(const void *needle, size_t size)
{
	static const char *const suffix[] = { "", "-wal" };
	bool found = false;

	for (int i = 0; i < 2; i++) {
		char name[128];
		struct buf b;

		snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
		buf_init(&b, 64 << 20);
		if (file_exists(name)) {
			assert_int_equal(file_read(&b, name), KC_OK);
			found = found || memmem(buf_data(&b), buf_len(&b), needle, size) != NULL;
		}
		buf_fini(&b);
	}
	return found;
}

static void destroy__key__leaves_the_row_and_no_material(void **state)
{
	struct keydb *db = open_db();
	struct keydb_key key;
	uint8_t *data = NULL;
	size_t n = 0;
	char *blob;
	uint8_t raw[64];

	(void)state;
	generate(db, 50, "k", NULL);
	blob = sql_text("SELECT hex(material) FROM keys WHERE alias = 'k000025'");
	assert_int_equal(strlen(blob), 120);
	for (int i = 0; i < 60; i++)
		assert_int_equal(sscanf(blob + 2 * i, "%2hhx", &raw[i]), 1);
	free(blob);
	assert_true(in_files(raw, 60));
	assert_int_equal(keydb_begin(db), KC_OK);
	assert_int_equal(keydb_destroy(&key, db, "k000025"), KC_OK);
	assert_int_equal(keydb_commit(db), KC_OK);
	assert_int_equal(key.state, KEYDB_DESTROYED);
	assert_false(in_files(raw, 60));
	assert_int_equal(keydb_get(&key, db, "k000025"), KC_OK);
	assert_int_equal(key.master_key, 0);
	assert_int_equal(keydb_export(&data, &n, db, &key), KC_ENOENT);
	assert_int_equal(set_state(db, "k000026", KEYDB_COMPROMISED), KC_OK);
	assert_int_equal(keydb_begin(db), KC_OK);
	assert_int_equal(keydb_destroy(&key, db, "k000026"), KC_OK);
	assert_int_equal(key.state, KEYDB_DESTROYED_COMPROMISED);
	assert_int_equal(keydb_destroy(&key, db, "k000026"), KC_EPERM);
	assert_int_equal(keydb_commit(db), KC_OK);
	keydb_close(db);
	assert_sql("SELECT count(*) || ' ' || count(material) || ' ' || count(fingerprint) FROM keys", "50 48 48");
}

static void list__filters__combine(void **state)
{
	struct keydb *db = open_db();
	struct keydb_filter f = KEYDB_FILTER_ALL;
	char text[1024] = "";

	(void)state;
	generate(db, 2, "x", "LTO");
	generate(db, 2, "y", "disk");
	assert_int_equal(set_state(db, "x000002", KEYDB_ACTIVE), KC_OK);
	f.group = "LTO";
	assert_int_equal(keydb_list(db, &f, collect, text), KC_OK);
	assert_string_equal(text, "x000001 x000002 ");
	f.state = KEYDB_ACTIVE;
	text[0] = '\0';
	assert_int_equal(keydb_list(db, &f, collect, text), KC_OK);
	assert_string_equal(text, "x000002 ");
	f = (struct keydb_filter){ .alias = "y0", .state = -1, .kind = KEYDB_SYMMETRIC };
	text[0] = '\0';
	assert_int_equal(keydb_list(db, &f, collect, text), KC_OK);
	assert_string_equal(text, "y000001 y000002 ");
	f.kind = KEYDB_CERTIFICATE;
	text[0] = '\0';
	assert_int_equal(keydb_list(db, &f, collect, text), KC_OK);
	assert_string_equal(text, "");
	keydb_close(db);
}

static void list__callback_fails__ends_the_walk(void **state)
{
	struct keydb *db = open_db();
	char text[1024] = "";

	(void)state;
	generate(db, 200, "0123456789", NULL);
	assert_int_equal(keydb_list(db, &(struct keydb_filter)KEYDB_FILTER_ALL, collect, text), KC_ELIMIT);
	/* and the transaction is closed */
	generate(db, 1, NULL, NULL);
	keydb_close(db);
}

static void concurrency__content_replaced_by_a_restore__is_seen(void **state)
{
	struct keydb *db = open_db();
	struct keydb_key key;
	char other[96];
	sqlite3 *from = NULL, *to = NULL;
	sqlite3_backup *b;

	(void)state;
	generate(db, 5, "before", NULL);
	/* another database, made elsewhere */
	snprintf(other, sizeof(other), "%s/other.sqlite", dir);
	assert_int_equal(keydb_create(other), KC_OK);
	assert_int_equal(sqlite3_open(other, &from), SQLITE_OK);
	assert_int_equal(sqlite3_exec(from,
			     "INSERT INTO keys (uuid, alias, kind, algorithm, state, created) VALUES"
			     " ('00000000-0000-4000-8000-000000000001', 'after', 'symmetric', 'AES-256',"
			     " 'destroyed', 1); CREATE TABLE more (a INTEGER PRIMARY KEY)",
			     NULL, NULL, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_open(path, &to), SQLITE_OK);
	b = sqlite3_backup_init(to, "main", from, "main");
	assert_int_equal(sqlite3_backup_step(b, -1), SQLITE_DONE);
	assert_int_equal(sqlite3_backup_finish(b), SQLITE_OK);
	assert_int_equal(keydb_get(&key, db, "after"), KC_OK);
	assert_int_equal(keydb_get(&key, db, "before000001"), KC_ENOENT);
	/* and of one that is none of ours */
	assert_int_equal(sqlite3_exec(to, "PRAGMA application_id = 7", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(keydb_get(&key, db, "after"), KC_EFORMAT);
	assert_int_equal(keydb_begin(db), KC_EFORMAT);
	sqlite3_close(from);
	sqlite3_close(to);
	keydb_close(db);
}

/* Another process holds the write lock for a moment: begin waits. */
static void concurrency__locked_for_a_moment__is_waited_for(void **state)
{
	struct keydb *db = open_db();
	int ready[2], status = 0;
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		sqlite3 *s = NULL;

		if (sqlite3_open(path, &s) != SQLITE_OK ||
		    sqlite3_exec(s, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK || write(ready[1], "x", 1) != 1)
			_exit(1);
		usleep(300000);
		_exit(sqlite3_exec(s, "COMMIT", NULL, NULL, NULL) == SQLITE_OK ? 0 : 1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	generate(db, 1, "waited", NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ready[0]);
	close(ready[1]);
	keydb_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lifecycle__every_pair_of_states__is_allowed_as_in_the_table),
		cmocka_unit_test(lifecycle__names__parse_in_any_spelling),
#define WITH_DB(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		WITH_DB(master__good_file__gives_old_and_new),
		WITH_DB(master__bad_files__are_refused_with_the_line),
		WITH_DB(master__file_that_others_read__is_refused),
		WITH_DB(master__create__never_overwrites),
		WITH_DB(wrap__another_row_or_kind_or_a_flipped_bit__does_not_open),
		WITH_DB(create__new_file__is_private_marked_and_replicable),
		WITH_DB(create__directory_missing__leaves_nothing),
		WITH_DB(open__other_files__are_not_built_in),
		WITH_DB(generate__many__are_numbered_and_go_on),
		WITH_DB(generate__alias_taken__changes_nothing),
		WITH_DB(generate__bad_arguments__are_named),
		WITH_DB(generate__hundred_thousand__takes_seconds),
		WITH_DB(import__same_uuid_alias_or_material__is_refused),
		WITH_DB(import__size_and_algorithm__have_to_fit),
		WITH_DB(export__imported_key__comes_back),
		WITH_DB(export__wrong_or_newer_master_key__is_told_apart),
		WITH_DB(export__longer_master_key_file__opens_old_and_new),
		WITH_DB(export__tampered_material__does_not_open),
		WITH_DB(set_state__whole_life__sets_times),
		WITH_DB(destroy__key__leaves_the_row_and_no_material),
		WITH_DB(list__filters__combine),
		WITH_DB(list__callback_fails__ends_the_walk),
		WITH_DB(concurrency__content_replaced_by_a_restore__is_seen),
		WITH_DB(concurrency__locked_for_a_moment__is_waited_for),
	};

	return cmocka_run_group_tests_name("keydb", tests, NULL, NULL);
}
