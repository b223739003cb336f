/* SPDX-License-Identifier: Apache-2.0 */
/* conf_load: what the unit tests of conf share: load a text, expect exactly these errors, this warning. */
#ifndef KC_TEST_CONF_LOAD_H
#define KC_TEST_CONF_LOAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/conf_int.h"
#include "base/err.h"
#include "base/mem.h"

#define PROPS "/nowhere/keyclone.properties"
#define CFG   "/nowhere/keyclone.cfg"

static struct conf_problems problems;

static inline int load_as(struct conf **c, const char *path, const char *text, unsigned flags)
{
	conf_problems_fini(&problems);
	return conf_load_text(c, path, text, strlen(text), flags, &problems);
}

static inline struct conf *good(const char *text)
{
	struct conf *c = NULL;
	int rc = load_as(&c, PROPS, text, 0);

	if (rc < 0)
		print_error("%s\n", err_text(rc));
	assert_int_equal(rc, KC_OK);
	return c;
}

static inline struct conf *good_cfg(const char *text)
{
	struct conf *c = NULL;
	int rc = load_as(&c, CFG, text, 0);

	if (rc < 0)
		print_error("%s\n", err_text(rc));
	assert_int_equal(rc, KC_OK);
	return c;
}

/* Exactly these errors, in this order, each without its "FILE:". */
static inline void bad_as(const char *path, const char *text, size_t count, const char *const *expected)
{
	struct conf *c = NULL;

	assert_int_equal(load_as(&c, path, text, 0), KC_ECONF);
	assert_null(c);
	for (size_t i = 0; i < problems.errors.count && i < count; i++)
		assert_string_equal(problems.errors.items[i] + strlen(path) + 1, expected[i]);
	assert_int_equal(problems.errors.count, count);
}
#define bad(text, ...) \
	bad_as(PROPS, text, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *[]){ __VA_ARGS__ })
#define bad_cfg(text, ...) \
	bad_as(CFG, text, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *[]){ __VA_ARGS__ })

static inline void warned(const char *expected)
{
	for (size_t i = 0; i < problems.warnings.count; i++)
		if (strcmp(problems.warnings.items[i] + strlen(PROPS) + 1, expected) == 0)
			return;
	for (size_t i = 0; i < problems.warnings.count; i++)
		print_error("%s\n", problems.warnings.items[i]);
	fail_msg("no warning '%s'", expected);
}

#define T(name) static void name(void **state __attribute__((unused)))

static inline int setup(void **state)
{
	(void)state;
	return mem_init() == KC_OK ? 0 : -1;
}

static inline int teardown(void **state)
{
	(void)state;
	conf_problems_fini(&problems);
	return 0;
}

#endif
