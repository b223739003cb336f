/* SPDX-License-Identifier: Apache-2.0 */
/* lineage: the rule of following over all its cases, what a child remembers, and both written forms. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/lineage.h"

#define A  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C  "cccccccccccccccccccccccccccccccc"
#define D  "dddddddddddddddddddddddddddddddd"
#define D1 "1111111111111111111111111111111111111111111111111111111111111111"
#define D2 "2222222222222222222222222222222222222222222222222222222222222222"

static struct lineage_list list_of(const char *text)
{
	struct lineage_list l = { 0 };

	assert_int_equal(lineage_parse(&l, text), KC_OK);
	return l;
}

static void judge__every_case(void **state)
{
	static const struct {
		const char *own, *own_ancestors;
		uint64_t applied;
		const char *digest;
		const char *theirs, *their_ancestors;
		const char *offered; /* digest */
		enum lineage_verdict verdict;
	} cases[] = {
		{ "", "", 0, "", A, "", D1, LINEAGE_FIRST },
		{ "", "", 0, "", B, A ":5", D1, LINEAGE_FIRST },
		{ A, "", 5, D1, A, "", D2, LINEAGE_SAME },
		{ B, A ":5", 5, D1, B, A ":5", D2, LINEAGE_SAME },
		{ A, "", 5, D1, B, "", D1, LINEAGE_FOREIGN },
		{ A, "", 5, D1, B, C ":9", D1, LINEAGE_FOREIGN },
		/* a child */
		{ A, "", 5, D1, B, A ":5", D2, LINEAGE_FOLLOW },
		{ A, "", 4, D1, B, A ":5", D2, LINEAGE_FOLLOW },
		{ A, "", 0, "", B, A ":5", D2, LINEAGE_FOLLOW },
		{ A, "", 6, D1, B, A ":5", D2, LINEAGE_FORKED },
		{ A, "", 6, D1, B, A ":5", D1, LINEAGE_FOLLOW },
		{ A, "", 6, "", B, A ":5", "", LINEAGE_FORKED },
		{ A, "", 6, NULL, B, A ":5", NULL, LINEAGE_FORKED },
		{ A, "", 1, D1, B, A ":0", D2, LINEAGE_FORKED },
		/* a grandchild */
		{ A, "", 5, D1, C, B ":3 " A ":5", D2, LINEAGE_FOLLOW },
		{ A, "", 6, D1, C, B ":3 " A ":5", D2, LINEAGE_FORKED },
		{ B, A ":5", 3, D1, C, B ":3 " A ":5", D2, LINEAGE_FOLLOW },
		{ B, A ":5", 4, D1, C, B ":3 " A ":5", D2, LINEAGE_FORKED },
		/* the master that was replaced */
		{ B, A ":5", 1, D1, A, "", D1, LINEAGE_FENCED },
		{ C, B ":3 " A ":5", 1, D1, A, "", D2, LINEAGE_FENCED },
		{ C, B ":3 " A ":5", 1, D1, B, A ":5", D2, LINEAGE_FENCED },
		/* two promoted from the same parent */
		{ B, A ":5", 1, D1, C, A ":5", D2, LINEAGE_FOREIGN },
		{ B, A ":5", 1, D1, C, A ":7", D1, LINEAGE_FOREIGN },
		/* each claims the other: what was left behind stays behind */
		{ B, A ":5", 1, D1, A, B ":9", D1, LINEAGE_FENCED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lineage_list mine = list_of(cases[i].own_ancestors), other = list_of(cases[i].their_ancestors);
		struct lineage_place own = { cases[i].own, &mine, cases[i].applied, cases[i].digest };
		struct lineage_place offer = { cases[i].theirs, &other, 1, cases[i].offered };

		if (lineage_judge(&own, &offer) != cases[i].verdict)
			fail_msg("case %zu: verdict %d", i, (int)lineage_judge(&own, &offer));
	}
}

static void child__remembers_where_it_began(void **state)
{
	static const struct {
		const char *own, *own_ancestors, *of;
		uint64_t fork;
		const char *child;
	} cases[] = {
		{ "", "", A, 5, A ":5" },
		{ A, "", A, 5, A ":5" },
		{ B, A ":5", B, 3, B ":3 " A ":5" },
		/* an older backup, of what our own history began from: nothing of our own is in it */
		{ B, A ":5", A, 4, B ":0 " A ":4" },
		{ C, B ":3 " A ":5", A, 4, C ":0 " B ":0 " A ":4" },
		{ C, B ":3 " A ":5", B, 2, C ":0 " B ":2 " A ":5" },
		/* a foreign one */
		{ A, "", D, 9, A ":0 " D ":9" },
		{ B, A ":5", D, 9, B ":0 " A ":0 " D ":9" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct lineage_list own = list_of(cases[i].own_ancestors), child;
		char text[LINEAGE_TEXT];

		lineage_of_child(&child, cases[i].own, &own, cases[i].of, cases[i].fork);
		lineage_format(text, &child);
		assert_string_equal(text, cases[i].child);
	}
}

static void child__of_a_long_line__forgets_the_oldest(void **state)
{
	struct lineage_list own = { 0 }, child;
	char name[LINEAGE_LEN + 1], text[LINEAGE_TEXT];

	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "%032x", i);
		lineage_push(&own, name, UINT64_MAX >> 11);
	}
	assert_int_equal(own.count, LINEAGE_MAX);
	assert_string_equal(own.of[0].lineage, name);
	lineage_format(text, &own);
	assert_int_equal(lineage_parse(&child, text), KC_OK);
	assert_memory_equal(&child, &own, sizeof(own));
	lineage_of_child(&child, A, &own, D, 7);
	assert_int_equal(child.count, LINEAGE_MAX);
	assert_non_null(lineage_find(&child, D));
	lineage_of_child(&child, A, &own, A, 7);
	assert_int_equal(child.count, LINEAGE_MAX);
	assert_string_equal(child.of[0].lineage, A);
}

static void parse__what_is_malformed__is_refused(void **state)
{
	static const char *const texts[] = { A, A ":", A ":x", A ":-1", A " :1", "aa:1", A ":1x", A ":1 " A ":2",
		A ":99999999999999999999", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA:1", A ":1  " B ":2" };
	static const char *const jsons[] = { "{}", "[1]", "[{}]", "[{\"lineage\": 1, \"fork\": 1}]",
		"[{\"lineage\": \"" A "\"}]", "[{\"lineage\": \"" A "\", \"fork\": -1}]",
		"[{\"lineage\": \"" A "\", \"fork\": 1}, {\"lineage\": \"" A "\", \"fork\": 1}]" };
	struct lineage_list l = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (lineage_parse(&l, texts[i]) != KC_EFORMAT)
			fail_msg("%s was taken", texts[i]);
	for (size_t i = 0; i < sizeof(jsons) / sizeof(jsons[0]); i++) {
		json_t *j = json_loads(jsons[i], 0, NULL);

		assert_non_null(j);
		if (lineage_from_json(&l, j) != KC_EFORMAT)
			fail_msg("%s was taken", jsons[i]);
		json_decref(j);
	}
	assert_int_equal(lineage_from_json(&l, NULL), KC_EFORMAT);
	assert_int_equal(l.count, 0);
}

static void json__parses_back(void **state)
{
	struct lineage_list l = list_of(B ":3 " A ":0"), back;
	json_t *j = lineage_json(&l);

	(void)state;
	assert_int_equal(lineage_from_json(&back, j), KC_OK);
	assert_memory_equal(&back, &l, sizeof(l));
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judge__every_case),
		cmocka_unit_test(child__remembers_where_it_began),
		cmocka_unit_test(child__of_a_long_line__forgets_the_oldest),
		cmocka_unit_test(parse__what_is_malformed__is_refused),
		cmocka_unit_test(json__parses_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
