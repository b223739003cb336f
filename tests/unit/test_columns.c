/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of columns: names of any length in a column of a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/columns.h"

#define T(name) static void name(void **state __attribute__((unused)))

static void fits(const char *text, unsigned width, const char *wanted)
{
	char *got = columns_fit(text, width);

	assert_string_equal(got, wanted);
	free(got);
}

T(fit__short_text__is_filled)
{
	fits("a:1", 6, "a:1   ");
	fits("", 3, "   ");
	fits("abc", 3, "abc");
	fits("–", 3, "–  ");
}

T(fit__long_text__keeps_both_ends)
{
	fits("clone.example.org:2222", 16, "clone.exa…g:2222");
	fits("abcdef", 5, "ab…ef");
	fits("äöüäöüäö", 5, "äö…äö");
	fits("abcdef", 2, "ab");
	fits("abcdef", 0, "");
}

T(cut__never_splits_a_character)
{
	assert_int_equal(columns_cut("abc", 2), 2);
	assert_int_equal(columns_cut("abc", 9), 3);
	assert_int_equal(columns_cut("a–b", 2), 4);
	assert_int_equal(columns_cut("–", 0), 0);
}

T(names__widest_counts_within_bounds)
{
	json_t *clones = json_pack("[{s:s, s:i}, {s:s, s:i}]", "host", "::1", "port", 2222, "host", "a", "port", 1);

	assert_int_equal(columns_for_names(clones, 4, 80), 10);
	assert_int_equal(columns_for_names(clones, 16, 80), 16);
	assert_int_equal(columns_for_names(clones, 4, 8), 8);
	assert_int_equal(columns_for_names(NULL, 4, 8), 4);
	json_decref(clones);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fit__short_text__is_filled),
		cmocka_unit_test(fit__long_text__keeps_both_ends),
		cmocka_unit_test(cut__never_splits_a_character),
		cmocka_unit_test(names__widest_counts_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
