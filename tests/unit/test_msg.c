/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the table of messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <ctype.h>
#include <string.h>

#include "base/err.h"
#include "base/msg.h"

static void msg__every_result_code__has_a_row(void **state)
{
	static const int codes[] = {
#define E(name, code, status, retry, msg, text) name,
		ERR_TABLE(E)
#undef E
	};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (msg_find(err_msg_code(codes[i])) == NULL)
			print_error("%s has no row\n", err_msg_code(codes[i]));
		assert_non_null(msg_find(err_msg_code(codes[i])));
	}
	assert_non_null(msg_find(err_msg_code(KC_OK)));
}

/* Backquotes come in pairs, nothing is empty, sentences end. */
static void assert_prose(const char *code, const char *s)
{
	size_t quotes = 0, n = strlen(s);

	for (const char *p = s; *p != '\0'; p++)
		quotes += *p == '`';
	if (n == 0 || strchr(".?", s[n - 1]) == NULL || quotes % 2 != 0 || strstr(s, "  ") != NULL)
		print_error("%s: %s\n", code, s);
	assert_true(n > 0 && strchr(".?", s[n - 1]) != NULL);
	assert_int_equal(quotes % 2, 0);
	assert_null(strstr(s, "  "));
}

static void msg__every_row__is_unique_and_complete(void **state)
{
	(void)state;
	for (enum msg_id i = 0; i < MSG_COUNT; i++) {
		const struct msg *m = msg_get(i);
		size_t n = strlen(m->code);

		assert_ptr_equal(msg_find(m->code), m); /* and so the code is unique */
		assert_true(strchr("IWE", m->code[n - 1]) != NULL);
		assert_true(strncmp(m->code, "KC", 2) == 0 || strncmp(m->code, "CTGKM", 5) == 0);
		for (size_t k = n - 5; k < n - 1; k++)
			assert_true(isdigit((unsigned char)m->code[k]));
		assert_prose(m->code, m->text);
		assert_prose(m->code, m->cause);
		assert_prose(m->code, m->remedy);
		/* without its letter a code must still mean one row */
		for (enum msg_id k = 0; k < i; k++)
			assert_false(strncmp(msg_get(k)->code, m->code, n - 1) == 0);
	}
}

static void msg__find__takes_what_people_type(void **state)
{
	(void)state;
	assert_string_equal(msg_find("kc0103e")->code, "KC0103E");
	assert_string_equal(msg_find("KC0103")->code, "KC0103E");
	assert_string_equal(msg_find("ctgkm2215i")->code, "CTGKM2215I");
	assert_null(msg_find("KC9999E"));
	assert_null(msg_find("KC010"));
	assert_null(msg_find(""));
	assert_string_equal(msg_code(MSG_CLONE_DISK_FULL), "KC0201E");
}

static void msg__manual_page__has_every_code(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	msg_man_page(&b, "1.2.3");
	assert_int_equal(buf_status(&b), KC_OK);
	for (enum msg_id i = 0; i < MSG_COUNT; i++)
		assert_non_null(strstr(buf_str(&b), msg_get(i)->code));
	assert_null(strchr(buf_str(&b), '`'));
	assert_non_null(strstr(buf_str(&b), ".TH KEYCLONE\\-MESSAGES 7"));
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(msg__every_result_code__has_a_row),
		cmocka_unit_test(msg__every_row__is_unique_and_complete),
		cmocka_unit_test(msg__find__takes_what_people_type),
		cmocka_unit_test(msg__manual_page__has_every_code),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
