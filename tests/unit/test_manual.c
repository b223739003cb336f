/* SPDX-License-Identifier: Apache-2.0 */
/* The manual names every property and every audit event there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit_events.h"
#include "base/buf.h"
#include "base/conf_keys.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

static struct buf page;

static int load(const char *name)
{
	const char *top = getenv("TOP_SRCDIR");
	char *path = file_join(top != NULL ? top : ".", name);
	int rc;

	buf_init(&page, 1 << 20);
	rc = file_read(&page, path);
	if (rc < 0)
		print_error("%s\n", err_text(rc));
	free(path);
	return rc;
}

static int unload(void **state)
{
	(void)state;
	buf_fini(&page);
	return 0;
}

static int load_properties(void **state)
{
	(void)state;
	return mem_init() < 0 || load("man/keyclone.properties.5") < 0 ? -1 : 0;
}

static int load_daemon(void **state)
{
	(void)state;
	return mem_init() < 0 || load("man/keycloned.8") < 0 ? -1 : 0;
}

/* As an item of a list of its own: "\n.It Sy NAME" and then a blank or the end of the line. */
static bool has_item(const char *name)
{
	char *item = mem_xasprintf("\n.It Sy %s", name);
	const char *text = buf_str(&page), *at = text;
	bool found = false;

	while (!found && (at = strstr(at, item)) != NULL) {
		at += strlen(item);
		found = *at == '\n' || *at == ' ';
	}
	free(item);
	return found;
}

static void manual__every_property__is_an_item(void **state)
{
	static const char *const names[] = {
#define K(field, type, name, ...) name,
#define L(type, name, ...)	  name,
		CONF_KEYS(K, L) CONF_CLIENT_IP "1", CONF_CLIENT_PORT "1"
	};
	unsigned missing = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!has_item(names[i])) {
			print_error("keyclone.properties(5) lacks %s\n", names[i]);
			missing++;
		}
	assert_int_equal(missing, 0);
}

static void manual__every_audit_event__is_an_item(void **state)
{
	static const char *const names[] = {
#define A(constant, name) name,
		AUDIT_EVENTS(A)
	};
	unsigned missing = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!has_item(names[i])) {
			print_error("keycloned(8) lacks %s\n", names[i]);
			missing++;
		}
	assert_int_equal(missing, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(manual__every_property__is_an_item, load_properties, unload),
		cmocka_unit_test_setup_teardown(manual__every_audit_event__is_an_item, load_daemon, unload),
	};

	return cmocka_run_group_tests_name("manual", tests, NULL, NULL);
}
