/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of backup's manifest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/archive.h"
#include "backup/manifest.h"
#include "base/err.h"
#include "base/mem.h"

#define LINEAGE	    "00112233445566778899aabbccddeeff"
#define PARENT	    "ffeeddccbbaa99887766554433221100"
#define GRANDPARENT "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
#define DIGEST	    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void fill(struct manifest *m)
{
	struct manifest_table *t;

	manifest_init(m);
	strcpy(m->lineage, LINEAGE);
	lineage_push(&m->ancestors, GRANDPARENT, 5);
	lineage_push(&m->ancestors, PARENT, 17);
	m->generation = 42;
	m->base = 41;
	m->time = 1781880659;
	m->host = mem_xstrdup("master.example");
	m->product = mem_xstrdup("keyclone 0.1.0");
	m->db.size = 1234567;
	m->db.page_size = 65536;
	strcpy(m->db.encoding, "UTF-16le");
	m->db.auto_vacuum = 2;
	m->db.user_version = -3;
	m->db.application_id = 0x4b434c4e;
	strcpy(m->db.journal_mode, "wal");
	strcpy(m->db.schema_digest, DIGEST);
	strcpy(m->db.content_digest, DIGEST);
	t = manifest_add_table(m, "keys", 100000);
	t->inserted = 5;
	t->updated = 6;
	t->deleted = 7;
	manifest_add_table(m, "na\"me \xc3\xa9\n", 0);
	manifest_add_sequence(m, "keys", INT64_MAX);
	manifest_add_sequence(m, "other", -1);
	manifest_add_companion(m, "MasterKeyFile", "keydb.key", 44, 0600);
}

static char *text_of(const struct manifest *m)
{
	struct buf b;
	char *s;

	buf_init(&b, ARCHIVE_MANIFEST_MAX);
	assert_int_equal(manifest_build(&b, m), KC_OK);
	s = mem_xstrdup(buf_str(&b));
	buf_fini(&b);
	return s;
}

static void manifest__built__parses_back(void **state)
{
	struct manifest m, n;
	char *s, *s2;

	(void)state;
	fill(&m);
	s = text_of(&m);
	assert_int_equal(manifest_parse(&n, s, strlen(s)), KC_OK);
	assert_int_equal(n.ancestors.count, 2);
	assert_string_equal(n.ancestors.of[0].lineage, PARENT);
	assert_int_equal(n.ancestors.of[0].fork, 17);
	assert_string_equal(n.ancestors.of[1].lineage, GRANDPARENT);
	assert_int_equal(n.ancestors.of[1].fork, 5);
	assert_int_equal(n.time, 1781880659);
	assert_int_equal(n.db.user_version, -3);
	assert_string_equal(n.tables[1].name, "na\"me \xc3\xa9\n");
	assert_int_equal(n.tables[0].deleted, 7);
	assert_true(n.sequences[0].value == INT64_MAX);
	assert_int_equal(n.companions[0].mode, 0600);
	s2 = text_of(&n);
	assert_string_equal(s, s2);
	free(s2);
	free(s);
	manifest_fini(&m);
	manifest_fini(&n);
}

static void manifest__without_parent_and_lists__parses_back(void **state)
{
	struct manifest m, n;
	char *s;

	(void)state;
	fill(&m);
	m.ancestors.count = 0;
	m.base = 0;
	m.generation = 0;
	for (size_t i = 0; i < m.n_tables; i++)
		free(m.tables[i].name);
	m.n_tables = 0;
	s = text_of(&m);
	assert_non_null(strstr(s, "\"parent\": null"));
	assert_int_equal(manifest_parse(&n, s, strlen(s)), KC_OK);
	assert_int_equal(n.ancestors.count, 0);
	assert_int_equal(n.n_tables, 0);
	free(s);
	manifest_fini(&m);
	manifest_fini(&n);
}

static void manifest__members__are_in_order(void **state)
{
	struct archive_member *members;
	struct manifest m;
	size_t n;

	(void)state;
	fill(&m);
	members = manifest_members(&m, &n);
	assert_int_equal(n, 2);
	assert_string_equal(members[0].name, "keydb.sqlite");
	assert_int_equal(members[0].size, 1234567);
	assert_string_equal(members[1].name, "files/MasterKeyFile/keydb.key");
	assert_int_equal(members[1].size, 44);
	manifest_members_free(members, n);
	manifest_fini(&m);
}

/* Replace what is there by what is wrong, and see that the message names the member. */
static void parse_changed(const char *was, const char *is, const char *expect)
{
	struct manifest m, n;
	char *s, *at, *changed;
	int rc;

	fill(&m);
	s = text_of(&m);
	at = strstr(s, was);
	assert_non_null(at);
	*at = '\0';
	changed = mem_xasprintf("%s%s%s", s, is, at + strlen(was));
	rc = manifest_parse(&n, changed, strlen(changed));
	if (rc == KC_OK || strstr(err_text(rc), expect) == NULL)
		fail_msg("%s -> %s: %s", was, is, err_text(rc));
	assert_int_equal(err_exit_status(rc) == 65 || rc == KC_ELIMIT, 1);
	assert_int_equal(n.n_tables, 0);
	assert_null(n.host);
	free(changed);
	free(s);
	manifest_fini(&m);
}

static void manifest__wrong_member__is_named(void **state)
{
	static const char *const cases[][3] = {
		{ "\"format\": 1", "\"format\": 3", "format version 3" },
		{ "\"format\": 1", "\"format\": \"1\"", "format: not an integer" },
		{ "\"format\": 1", "\"format\": 1.0", "format: not an integer" },
		{ "\"format\": 1", "\"Format\": 1", "format: missing" },
		{ "\"kind\": \"full\"", "\"kind\": \"partial\"", "kind \"partial\"" },
		{ "\"kind\": \"full\"", "\"kind\": null", "kind: not a string" },
		{ "\"kind\": \"sqlite\"", "\"kind\": \"dbm\"", "kind \"dbm\"" },
		{ LINEAGE, "00112233445566778899AABBCCDDEEFF", "lineage" },
		{ LINEAGE, "00112233445566778899aabbccddeef", "lineage" },
		{ LINEAGE, LINEAGE "00", "lineage: too long" },
		{ PARENT, "", "parent: not 32 hex digits" },
		{ PARENT, LINEAGE, "ancestors: not beginning with parent" },
		{ GRANDPARENT, PARENT, "ancestors: not a list" },
		{ GRANDPARENT, LINEAGE, "ancestors: the lineage itself" },
		{ GRANDPARENT, "0f", "ancestors: not a list" },
		{ "\"ancestors\": [", "\"ancestors\": [], \"x\": [", "ancestors: not beginning with parent" },
		{ "\"ancestors\": [", "\"ancestors\": 1, \"x\": [", "ancestors: not a list" },
		{ "\"" PARENT "\"", "null", "parent: not 32 hex digits, or a fork without it" },
		{ "\"fork\": 17", "\"fork\": -1", "fork: out of range" },
		{ "\"generation\": 42", "\"generation\": -1", "generation: out of range" },
		{ "\"generation\": 42", "\"generation\": 9007199254740993", "generation: out of range" },
		{ "\"generation\": 42", "\"generation\": 99999999999999999999", "line" },
		{ "\"base\": 41", "\"base\": 42", "base: not before" },
		{ "2026-06-19T14:50:59Z", "2026-06-19T14:50:59", "time: not a UTC time" },
		{ "2026-06-19T14:50:59Z", "2026-02-30T14:50:59Z", "time: not a UTC time" },
		{ "2026-06-19T14:50:59Z", "2026-06-19T14:50:59Z ", "time: not a UTC time" },
		{ "\"master.example\"", "\"\"", "host: empty" },
		{ "\"master.example\"", "[]", "host: not a string" },
		{ "\"master.example\"", "\"a\\u0000b\"", "line" },
		{ "\"database\": {", "\"database\": 1, \"x\": {", "database: not an object" },
		{ "\"size\": 1234567", "\"size\": -5", "database.size: out of range" },
		{ "\"page_size\": 65536", "\"page_size\": 65535", "database.page_size" },
		{ "\"page_size\": 65536", "\"page_size\": 131072", "database.page_size: out of range" },
		{ "UTF-16le", "UTF-7", "database.encoding" },
		{ "\"auto_vacuum\": 2", "\"auto_vacuum\": 3", "database.auto_vacuum" },
		{ "\"user_version\": -3", "\"user_version\": 2147483648", "database.user_version" },
		{ "\"wal\"", "\"WAL\"", "database.journal_mode" },
		{ "\"schema_digest\": \"01", "\"schema_digest\": \"0g", "database.schema_digest" },
		{ "\"tables\": [", "\"tables\": [1,", "tables: an element" },
		{ "\"tables\": [", "\"tables\": {}, \"x\": [", "tables: not an array" },
		{ "\"rows\": 100000", "\"rows\": true", "tables: rows: not an integer" },
		{ "\"name\": \"keys\"", "\"nam\": \"keys\"", "tables: name: missing" },
		{ "\"name\": \"keys\"", "\"name\": \"na\\\"me \xc3\xa9\\n\"", "tables: a name comes twice" },
		{ "\"value\": -1", "\"value\": 9223372036854775808", "line" },
		{ "\"MasterKeyFile\"", "\"../x\"", "companions: a name" },
		{ "\"MasterKeyFile\"", "\"1st\"", "companions: a name" },
		{ "\"keydb.key\"", "\"..\"", "companions: a file" },
		{ "\"keydb.key\"", "\"a/b\"", "companions: a file with a slash" },
		{ "\"keydb.key\"", "\"\"", "companions: a file" },
		{ "\"0600\"", "\"4755\"", "companions: mode" },
		{ "\"0600\"", "384", "companions: mode: not a string" },
		{ "\"host\":", "\"fork\": 1, \"host\":", "line" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		parse_changed(cases[i][0], cases[i][1], cases[i][2]);
}

/* As versions wrote it that knew parent and fork alone. */
static void manifest__without_ancestors__has_its_parent(void **state)
{
	struct manifest m, n;
	char *s, *at;

	(void)state;
	fill(&m);
	s = text_of(&m);
	at = strstr(s, "\"ancestors\"");
	assert_non_null(at);
	at[1] = 'x';
	assert_int_equal(manifest_parse(&n, s, strlen(s)), KC_OK);
	assert_int_equal(n.ancestors.count, 1);
	assert_string_equal(n.ancestors.of[0].lineage, PARENT);
	assert_int_equal(n.ancestors.of[0].fork, 17);
	manifest_fini(&n);
	manifest_fini(&m);
	free(s);
}

static void manifest__unknown_member__is_skipped(void **state)
{
	struct manifest m, n;
	char *s, *changed;

	(void)state;
	fill(&m);
	s = text_of(&m);
	changed = mem_xasprintf("{\"new\": {\"a\": [1]}, %s", s + 1);
	assert_int_equal(manifest_parse(&n, changed, strlen(changed)), KC_OK);
	free(changed);
	free(s);
	manifest_fini(&m);
	manifest_fini(&n);
}

static void manifest__not_json__is_refused(void **state)
{
	static const char *const cases[] = { "", "{", "[]", "null", "{}", "{\"format\":1}", "\xff\xfe", "{} x" };
	struct manifest m;
	char *deep = mem_xalloc(200001);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(manifest_parse(&m, cases[i], strlen(cases[i])), KC_EFORMAT);
	memset(deep, '[', 200000);
	assert_int_equal(manifest_parse(&m, deep, 200000), KC_EFORMAT);
	free(deep);
}

static void manifest__out_of_bounds__is_not_built(void **state)
{
	struct manifest m;
	struct buf b;

	(void)state;
	buf_init(&b, ARCHIVE_MANIFEST_MAX);
	fill(&m);
	m.generation = 41;
	assert_int_equal(manifest_build(&b, &m), KC_EFORMAT);
	m.generation = 42;
	free(m.host);
	m.host = mem_xstrdup("\xff");
	assert_int_equal(manifest_build(&b, &m), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "manifest: a string that is not UTF-8");
	manifest_fini(&m);
	fill(&m);
	for (int i = 0; i < MANIFEST_MAX_COMPANION; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		manifest_add_companion(&m, name, "f", 1, 0600);
	}
	assert_int_equal(manifest_build(&b, &m), KC_ELIMIT);
	manifest_fini(&m);
	fill(&m);
	buf_fini(&b);
	buf_init(&b, 100);
	assert_int_equal(manifest_build(&b, &m), KC_ELIMIT);
	buf_fini(&b);
	manifest_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(manifest__built__parses_back),
		cmocka_unit_test(manifest__without_parent_and_lists__parses_back),
		cmocka_unit_test(manifest__without_ancestors__has_its_parent),
		cmocka_unit_test(manifest__members__are_in_order),
		cmocka_unit_test(manifest__wrong_member__is_named),
		cmocka_unit_test(manifest__unknown_member__is_skipped),
		cmocka_unit_test(manifest__not_json__is_refused),
		cmocka_unit_test(manifest__out_of_bounds__is_not_built),
	};

	return mem_init() == KC_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
