/* SPDX-License-Identifier: Apache-2.0 */
/* command: words without a shell, and who could change what runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/command.h"
#include "base/err.h"
#include "base/file.h"

/* The words with '|' between them, or the reason. */
static const char *words(const char *text)
{
	static char out[4096];
	struct command c;

	if (command_parse(&c, text) < 0) {
		snprintf(out, sizeof(out), "! %s", err_text(KC_EFORMAT));
		return out;
	}
	out[0] = '\0';
	for (unsigned i = 0; i < c.count; i++)
		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%s", i > 0 ? "|" : "", c.argv[i]);
	assert_null(c.argv[c.count]);
	command_fini(&c);
	return out;
}

static void parse__quotes_and_backslashes__as_documented(void **state)
{
	(void)state;
	assert_string_equal(words("/bin/a b\tc  d"), "/bin/a|b|c|d");
	assert_string_equal(words("tell 'a b' \"c d\" e' 'f"), "tell|a b|c d|e f");
	assert_string_equal(words("tell \"a\\\"b\\\\c\\d\" 'a\\b' a\\ b \\'"), "tell|a\"b\\c\\d|a\\b|a b|'");
	assert_string_equal(words("tell '' \"\" x"), "tell|||x");
	assert_string_equal(
	    words("tell $HOME * ~ `id` ; rm | x > y & $(id)"), "tell|$HOME|*|~|`id`|;|rm|||x|>|y|&|$(id)");
}

static void parse__what_is_no_command__is_refused(void **state)
{
	char many[400] = "tell";

	(void)state;
	assert_string_equal(words(""), "! no command is given");
	assert_string_equal(words("   "), "! no command is given");
	assert_string_equal(words("tell 'a"), "! a quote (') is not closed");
	assert_string_equal(words("tell \"a"), "! a quote (\") is not closed");
	assert_string_equal(words("tell a\\"), "! it ends in a backslash");
	assert_string_equal(words("tell \"a\\"), "! a quote (\") is not closed");
	assert_string_equal(words("./tell"), "! ./tell: neither an absolute path nor a bare name");
	assert_string_equal(words("'' a"), "! : neither an absolute path nor a bare name");
	for (int i = 0; i < 64; i++)
		strcat(many, " a");
	assert_string_equal(words(many), "! it has more than 64 words");
}

static int find(char **path, const char *text)
{
	struct command c;
	int rc = command_parse(&c, text);

	assert_int_equal(rc, KC_OK);
	rc = command_find(path, &c);
	command_fini(&c);
	return rc;
}

static void find__bare_name__by_the_fixed_path(void **state)
{
	char *path = NULL;

	(void)state;
	assert_int_equal(find(&path, "sh -c x"), KC_OK);
	assert_true(path[0] == '/');
	free(path);
	setenv("PATH", "/nowhere", 1);
	assert_int_equal(find(&path, "sh"), KC_OK);
	free(path);
	assert_int_equal(find(&path, "kc-there-is-none"), KC_ENOENT);
	assert_int_equal(find(&path, "/tmp"), KC_EPERM);
	assert_int_equal(find(&path, "/etc/passwd"), KC_EPERM);
}

static void safe__writable_by_others__is_said(void **state)
{
	char dir[] = "/tmp/kc-command.XXXXXX", *path;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = file_join(dir, "tell");
	assert_int_equal(file_replace(path, "#!/bin/sh\n", 10, 0755), KC_OK);
	assert_int_equal(command_check_safe(path), KC_OK);
	assert_int_equal(chmod(path, 0757), 0);
	assert_int_equal(command_check_safe(path), KC_EPERM);
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(command_check_safe(path), KC_EPERM);
	assert_int_equal(file_remove_tree(dir), KC_OK);
	assert_int_equal(command_check_safe(path), KC_ENOENT);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__quotes_and_backslashes__as_documented),
		cmocka_unit_test(parse__what_is_no_command__is_refused),
		cmocka_unit_test(find__bare_name__by_the_fixed_path),
		cmocka_unit_test(safe__writable_by_others__is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
