/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of PKCS#11 URIs: what is taken of them, and what is refused. With tokens: tests/interop/pkcs11.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/token.h"
#include "keystore/token_uri.h"

static void good(const char *uri, const char *object, const char *pin, const char *module)
{
	struct token_uri u;
	int rc = token_uri_parse(&u, uri);

	if (rc < 0)
		fail_msg("%s: %s", uri, err_text(rc));
	assert_string_equal(u.object, object);
	assert_int_equal(u.pin_file != NULL, pin != NULL);
	if (pin != NULL)
		assert_string_equal(u.pin_file, pin);
	assert_int_equal(u.module != NULL, module != NULL);
	if (module != NULL)
		assert_string_equal(u.module, module);
	token_uri_fini(&u);
}

static void bad(const char *uri, const char *text)
{
	struct token_uri u;
	int rc = token_uri_parse(&u, uri);

	assert_int_equal(rc, KC_ECONF);
	if (strstr(err_text(rc), text) == NULL)
		fail_msg("%s: '%s' lacks '%s'", uri, err_text(rc), text);
	assert_null(strstr(err_text(rc), "8642"));
}

static void uri__query__is_ours(void **state)
{
	(void)state;
	good("pkcs11:token=a;object=b", "pkcs11:token=a;object=b", NULL, NULL);
	good("pkcs11:token=a?pin-source=file:/p", "pkcs11:token=a", "/p", NULL);
	good("pkcs11:token=a?pin-source=file:///p/q", "pkcs11:token=a", "/p/q", NULL);
	good("pkcs11:token=a?pin-source=/p%20q", "pkcs11:token=a", "/p q", NULL);
	good("pkcs11:object=%41?module-path=/m.so&pin-source=file:/p", "pkcs11:object=%41", "/p", "/m.so");
	assert_true(token_is_uri("pkcs11:x=y"));
	assert_false(token_is_uri("ssl_cert"));
	assert_false(token_is_uri(NULL));
}

static void uri__what_it_may_not_have__is_refused(void **state)
{
	(void)state;
	bad("pkcs11:", "names no token and no object");
	bad("pkcs11:?pin-source=file:/p", "names no token and no object");
	bad("http:x", "not a PKCS#11 URI");
	bad("pkcs11:token=a?pin-value=8642", "pin-value is a PIN in the configuration");
	bad("pkcs11:token=a;pin-value=8642", "pin-value is a PIN in the configuration");
	bad("pkcs11:token=a;pinfile=/p", "behind the question mark");
	bad("pkcs11:token=a?pin-source=p", "not the absolute path");
	bad("pkcs11:token=a?pin-source=|/bin/true", "not the absolute path");
	bad("pkcs11:token=a?pin-source=https://x/p", "not the absolute path");
	bad("pkcs11:token=a?pin-source=/p%0", "wrong percent-encoding");
	bad("pkcs11:token=a?pin-source=/p%00q", "wrong percent-encoding");
	bad("pkcs11:token=a?x-y=z", "'x-y' is none of");
}

/* SoftHSM's tokens and the folder of the PIN are left open, and nothing that is not there. */
static void paths__softhsm__are_found_by_its_configuration(void **state)
{
	char dir[] = "/tmp/kc-test-token.XXXXXX", uri[200];
	struct token_paths p;
	char *conf, *tokens, *text;

	(void)state;
	assert_non_null(mkdtemp(dir));
	conf = file_join(dir, "softhsm2.conf");
	tokens = file_join(dir, "tokens");
	text = mem_xasprintf("# directories.tokendir = /no\nlog.level = ERROR\n directories.tokendir= %s \n", tokens);
	assert_int_equal(file_replace(conf, text, strlen(text), 0600), KC_OK);
	setenv("SOFTHSM2_CONF", conf, 1);
	unsetenv("CREDENTIALS_DIRECTORY");
	snprintf(uri, sizeof(uri), "pkcs11:token=a?pin-source=file:%s/pin", dir);
	token_paths(&p, uri);
	assert_string_equal(p.read[0], dir);
	assert_null(p.read[1]);
	assert_null(p.write[0]);
	token_paths_fini(&p);
	assert_int_equal(file_make_dirs(tokens), KC_OK);
	token_paths(&p, uri);
	assert_string_equal(p.write[0], tokens);
	token_paths_fini(&p);
	token_paths(&p, "pkcs11:token=a?module-path=/usr/lib/other.so");
	assert_null(p.read[0]);
	assert_null(p.write[0]);
	token_paths_fini(&p);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	token_paths(&p, "pkcs11:token=a");
	assert_string_equal(p.read[0], dir);
	token_paths_fini(&p);
	assert_int_equal(file_remove_tree(dir), KC_OK);
	free(conf);
	free(tokens);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uri__query__is_ours),
		cmocka_unit_test(uri__what_it_may_not_have__is_refused),
		cmocka_unit_test(paths__softhsm__are_found_by_its_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
