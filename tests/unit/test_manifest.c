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

#include "backup/age.h"
#include "backup/archive.h"
#include "backup/companions.h"
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
static void parse_changed_of(void (*make)(struct manifest *m), const char *was, const char *is, const char *expect)
{
	struct manifest m, n;
	char *s, *at, *changed;
	int rc;

	make(&m);
	s = text_of(&m);
	at = strstr(s, was);
	if (at == NULL)
		fail_msg("%s is not in %s", was, s);
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

static void parse_changed(const char *was, const char *is, const char *expect)
{
	parse_changed_of(fill, was, is, expect);
}

static void manifest__wrong_member__is_named(void **state)
{
	static const char *const cases[][3] = {
		{ "\"format\": 1", "\"format\": 4", "format version 4" },
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

/* ---- since format 3 ---- */

static void add_tree(struct manifest *m, const char *name)
{
	struct tree t;

	tree_init(&t, name);
	t.kind = TREE_KIND_FILE;
	t.file = mem_xstrdup("list");
	strcpy(tree_add(&t, "", TREE_FILE)->sha256, DIGEST);
	assert_int_equal(tree_sum(&t), KC_OK);
	manifest_add_tree(m, &t);
}

static void fill_increment(struct manifest *m)
{
	fill(m);
	m->kind = MANIFEST_INCREMENTAL;
	m->chain = 40;
	strcpy(m->base_digest, DIGEST);
	m->changeset_size = 777;
	m->files = mem_xstrdup("Conf:" DIGEST " Other:" DIGEST);
}

static void fill_increment_with_trees(struct manifest *m)
{
	char text[COMPANIONS_TEXT];

	fill_increment(m);
	add_tree(m, "Conf");
	add_tree(m, "Other");
	free(m->files);
	companions_text(text, m->trees, m->n_trees);
	m->files = mem_xstrdup(text);
}

static char recipient[AGE_RECIPIENT_LEN + 1];

static void fill_first_of_chain(struct manifest *m)
{
	fill(m);
	m->base = 0;
	strcpy(m->increments, recipient);
}

static void parse_back(void (*make)(struct manifest *m), struct manifest *n, const char *format)
{
	struct manifest m;
	char *s, *again;

	make(&m);
	s = text_of(&m);
	if (strstr(s, format) == NULL)
		fail_msg("%s is not in %s", format, s);
	if (manifest_parse(n, s, strlen(s)) < 0)
		fail_msg("%s: %s", err_text(KC_EFORMAT), s);
	again = text_of(n);
	assert_string_equal(s, again);
	free(again);
	free(s);
	manifest_fini(&m);
}

static void fill_with_trees(struct manifest *m)
{
	fill(m);
	add_tree(m, "Conf");
}

static void fill_first_with_trees(struct manifest *m)
{
	fill_first_of_chain(m);
	add_tree(m, "Conf");
}

static void manifest__format__is_the_lowest_that_says_it(void **state)
{
	struct manifest n;

	(void)state;
	parse_back(fill, &n, "\"format\": 1");
	assert_string_equal(n.increments, "");
	manifest_fini(&n);
	parse_back(fill_with_trees, &n, "\"format\": 2");
	assert_int_equal(n.n_trees, 1);
	manifest_fini(&n);
	parse_back(fill_first_of_chain, &n, "\"format\": 3");
	assert_int_equal(n.kind, MANIFEST_FULL);
	assert_string_equal(n.increments, recipient);
	assert_int_equal(n.n_trees, 0);
	manifest_fini(&n);
	parse_back(fill_first_with_trees, &n, "\"format\": 3");
	assert_int_equal(n.n_trees, 1);
	manifest_fini(&n);
}

static void manifest__increment__parses_back(void **state)
{
	struct manifest n;

	(void)state;
	parse_back(fill_increment, &n, "\"format\": 3");
	assert_int_equal(n.kind, MANIFEST_INCREMENTAL);
	assert_int_equal(n.chain, 40);
	assert_int_equal(n.base, 41);
	assert_string_equal(n.base_digest, DIGEST);
	assert_int_equal(n.changeset_size, 777);
	assert_string_equal(n.files, "Conf:" DIGEST " Other:" DIGEST);
	assert_string_equal(n.increments, "");
	assert_int_equal(n.n_trees, 0);
	manifest_fini(&n);
	parse_back(fill_increment_with_trees, &n, "\"format\": 3");
	assert_int_equal(n.n_trees, 2);
	manifest_fini(&n);
}

static void manifest__members_of_a_chain__are_in_order(void **state)
{
	struct archive_member *members;
	struct manifest m;
	size_t n;

	(void)state;
	fill_first_of_chain(&m);
	members = manifest_members(&m, &n);
	assert_int_equal(n, 3);
	assert_string_equal(members[0].name, "increments.key");
	assert_int_equal(members[0].size, AGE_IDENTITY_LEN + 1);
	assert_string_equal(members[1].name, "keydb.sqlite");
	manifest_members_free(members, n);
	manifest_fini(&m);
	fill_increment_with_trees(&m);
	members = manifest_members(&m, &n);
	assert_int_equal(n, 4);
	assert_string_equal(members[0].name, "keydb.changeset");
	assert_int_equal(members[0].size, 777);
	assert_string_equal(members[1].name, "files/MasterKeyFile/keydb.key");
	assert_string_equal(members[2].name, "files/Conf/list");
	manifest_members_free(members, n);
	manifest_fini(&m);
}

static void manifest__wrong_member_of_an_increment__is_named(void **state)
{
	static const char *const cases[][3] = {
		{ "\"format\": 3", "\"format\": 2", "trees: missing" }, /* format 2 is the one that has them */
		{ "\"format\": 3", "\"format\": 1", "kind: an increment before format 3" },
		{ "\"kind\": \"incremental\"", "\"kind\": \"Incremental\"", "kind \"Incremental\"" },
		{ "\"base\": 41", "\"base\": 0", "base: an increment without one" },
		{ "\"base\": 41", "\"base\": 42", "base: not before" },
		{ "\"base\": 41", "\"base\": 39", "chain: not a generation up to the base" },
		{ "\"chain\": 40", "\"chian\": 40", "chain: missing" },
		{ "\"chain\": 40", "\"chain\": 0", "chain: not a generation" },
		{ "\"chain\": 40", "\"chain\": 42", "chain: not a generation" },
		{ "\"chain\": 40", "\"chain\": -1", "chain: out of range" },
		{ "\"chain\": 40", "\"chain\": \"40\"", "chain: not an integer" },
		{ "\"base_digest\": \"01", "\"base_digest\": \"0g", "base_digest: not 64 hex" },
		{ "\"base_digest\": \"01", "\"base_digest\": \"1", "base_digest: not 64 hex" },
		{ "\"base_digest\": \"01", "\"base_digest\": \"01234", "base_digest: too long" },
		{ "\"base_digest\"", "\"base_digset\"", "base_digest: missing" },
		{ "\"changeset\": 777", "\"x\": 777", "changeset: missing" },
		{ "\"changeset\": 777", "\"changeset\": -7", "changeset: out of range" },
		{ "\"changeset\": 777", "\"changeset\": 9007199254740993", "changeset: out of range" },
		{ "\"changeset\": 777", "\"changeset\": null", "changeset: not an integer" },
		{ "\"files\": \"", "\"file\": \"", "files: missing" },
		{ "\"files\": \"", "\"files\": 1, \"x\": \"", "files: not a string" },
		{ "\"files\": \"Conf", "\"files\": \" Conf", "files: a name" },
		{ "\"files\": \"Conf", "\"files\": \"../a", "files: a name" },
		{ "\"files\": \"Conf", "\"files\": \"Zonf", "files: a name" }, /* not sorted */
		{ "\"files\": \"Conf", "\"files\": \"Other", "files: a name" },
		{ "\"files\": \"Conf:01", "\"files\": \"Conf:0A", "files: not 64 hex" },
		{ "\"files\": \"Conf:01", "\"files\": \"Conf:012", "files: not 64 hex" },
		{ "\"files\": \"Conf:", "\"files\": \"Conf", "files: not names" }, /* up to the next colon */
		{ " Other:", ", Other:", "files: not a blank" },
		{ " Other:" DIGEST "\"", " \"", "files: not a blank" },
		{ " Other:" DIGEST "\"", " Other\"", "files: not names" },
		{ "\"host\":", "\"increments\": \"age1x\", \"host\":", "increments: nothing builds on" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		parse_changed_of(fill_increment, cases[i][0], cases[i][1], cases[i][2]);
	/* Of the trees all are there, and they are those. */
	parse_changed_of(fill_increment_with_trees,
	    "\"files\": \"Conf:", "\"files\": \"Alpha:" DIGEST " Conf:", "files: not those of the trees");
	parse_changed_of(
	    fill_increment_with_trees, "\"files\": \"", "\"files\": \"\", \"x\": \"", "files: not those of the trees");
	parse_changed_of(fill_increment_with_trees, "\"trees\": [", "\"trees\": 1, \"x\": [", "trees: not an array");
}

static void manifest__wrong_recipient_of_increments__is_named(void **state)
{
	(void)state;
	parse_changed_of(fill_first_of_chain, "\"increments\": \"age1", "\"increments\": \"age2",
	    "increments: not an age recipient");
	parse_changed_of(
	    fill_first_of_chain, "\"increments\": \"", "\"increments\": 1, \"x\": \"", "increments: not a string");
	parse_changed_of(fill_first_of_chain, "\"increments\": \"", "\"increments\": \"\", \"x\": \"",
	    "increments: not an age recipient");
}

/* What an older format did not have is skipped in it, as its readers do. */
static void manifest__increments_before_format_3__is_skipped(void **state)
{
	struct manifest m, n;
	char *s, *at;

	(void)state;
	fill_first_of_chain(&m);
	s = text_of(&m);
	at = strstr(s, "\"format\": 3");
	assert_non_null(at);
	at[10] = '1';
	assert_int_equal(manifest_parse(&n, s, strlen(s)), KC_OK);
	assert_string_equal(n.increments, "");
	free(s);
	manifest_fini(&m);
	manifest_fini(&n);
}

static void manifest__increment_out_of_bounds__is_not_built(void **state)
{
	struct manifest m;
	struct buf b;

	(void)state;
	buf_init(&b, ARCHIVE_MANIFEST_MAX);
	fill_increment(&m);
	m.chain = 42;
	assert_int_equal(manifest_build(&b, &m), KC_EFORMAT);
	m.chain = 41;
	strcpy(m.increments, recipient);
	assert_int_equal(manifest_build(&b, &m), KC_EFORMAT);
	m.increments[0] = '\0';
	free(m.files);
	m.files = NULL;
	assert_int_equal(manifest_build(&b, &m), KC_EFORMAT);
	m.files = mem_xstrdup("");
	assert_int_equal(manifest_build(&b, &m), KC_OK);
	add_tree(&m, "Conf");
	assert_int_equal(manifest_build(&b, &m), KC_EFORMAT);
	manifest_fini(&m);
	fill_first_of_chain(&m);
	m.increments[5] = 'b';
	assert_int_equal(manifest_build(&b, &m), KC_EFORMAT);
	manifest_fini(&m);
	buf_fini(&b);
}

static void changes__many_tables__as_many_as_fit(void **state)
{
	char text[MANIFEST_CHANGES_TEXT], name[64];
	struct manifest m;

	(void)state;
	fill_increment(&m);
	assert_string_equal(manifest_changes_text(text, &m), "keys +5 ~6 -7");
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "table_with_a_long_name_%d", i);
		manifest_add_table(&m, name, 1)->inserted = UINT32_MAX;
	}
	manifest_changes_text(text, &m);
	assert_true(strlen(text) < MANIFEST_CHANGES_TEXT);
	assert_int_equal(strncmp(text, "keys +5 ~6 -7, table_with_a_long_name_0 +4294967295 ~0 -0, ", 59), 0);
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
		cmocka_unit_test(manifest__format__is_the_lowest_that_says_it),
		cmocka_unit_test(manifest__increment__parses_back),
		cmocka_unit_test(manifest__members_of_a_chain__are_in_order),
		cmocka_unit_test(manifest__wrong_member_of_an_increment__is_named),
		cmocka_unit_test(manifest__wrong_recipient_of_increments__is_named),
		cmocka_unit_test(manifest__increments_before_format_3__is_skipped),
		cmocka_unit_test(manifest__increment_out_of_bounds__is_not_built),
		cmocka_unit_test(changes__many_tables__as_many_as_fit),
	};
	struct age_identity *id;
	struct age_recipient r;

	if (mem_init() < 0)
		return 1;
	id = age_identity_new();
	age_identity_recipient(&r, id);
	age_recipient_text(recipient, &r);
	age_identity_free(id);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
