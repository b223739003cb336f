/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of keydb's material: key files in all their formats. The keys here are made for this test only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "keydb/material.h"

static const char ec_pem[] = "-----BEGIN EC PARAMETERS-----\n"
			     "BggqhkjOPQMBBw==\n"
			     "-----END EC PARAMETERS-----\n"
			     "-----BEGIN EC PRIVATE KEY-----\n"
			     "MHcCAQEEIIIXTR9XeIJonZPRXRyJf6pPmmLM7/6RVKqiYKQ7gOReoAoGCCqGSM49\n"
			     "AwEHoUQDQgAEwuju5TiQFFJ4gh0RkrlFRtIP9XLu0Z/vPv8oQv7PZe1WjtZ0ZsZ4\n"
			     "1JPkd9+jJMnDQKneOLdmn9GSdsQ5Uytc/A==\n"
			     "-----END EC PRIVATE KEY-----\n";

static const char pkcs8_pem[] = "-----BEGIN PRIVATE KEY-----\n"
				"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgghdNH1d4gmidk9Fd\n"
				"HIl/qk+aYszv/pFUqqJgpDuA5F6hRANCAATC6O7lOJAUUniCHRGSuUVG0g/1cu7R\n"
				"n+8+/yhC/s9l7VaO1nRmxnjUk+R336MkycNAqd44t2af0ZJ2xDlTK1z8\n"
				"-----END PRIVATE KEY-----\n";

/* the same, password "secret" */
static const char encrypted_pem[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
				    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiT7KekH5hr3AICCAAw\n"
				    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEE3hJoGRs/QGIv6m4xheF8YEgZAT\n"
				    "h6hSSPzRqEoLnTCbBb7COeK1TLtOd7J+TeW18qn3HwARkAaf8ZdSQZg9ZqJEyAHx\n"
				    "Dbj92wUXGSLkp14KOZOr1skE2OIfqOyn1+l/Cl9HvXMfzPsF77Rc7WjP/TlqnHCp\n"
				    "SeIHAT4C2XelDNgfPW2UQVPlMEQ3gGFnq6LV3Hy17DjXQPTgxDpfvymCWkANAPo=\n"
				    "-----END ENCRYPTED PRIVATE KEY-----\n";

static const char crt_pem[] = "-----BEGIN CERTIFICATE-----\n"
			      "MIIBcDCCARWgAwIBAgIUa8G9xTT7Lop1UVC33vh5kbeNxsMwCgYIKoZIzj0EAwIw\n"
			      "DDEKMAgGA1UEAwwBdDAgFw0yNjExMjEwMjMwMzhaGA8yMTI2MTAyODAyMzAzOFow\n"
			      "DDEKMAgGA1UEAwwBdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMLo7uU4kBRS\n"
			      "eIIdEZK5RUbSD/Vy7tGf7z7/KEL+z2XtVo7WdGbGeNST5HffoyTJw0Cp3ji3Zp/R\n"
			      "knbEOVMrXPyjUzBRMB0GA1UdDgQWBBR2uRPIr1xCocdtC7VczInk1oOKqzAfBgNV\n"
			      "HSMEGDAWgBR2uRPIr1xCocdtC7VczInk1oOKqzAPBgNVHRMBAf8EBTADAQH/MAoG\n"
			      "CCqGSM49BAMCA0kAMEYCIQD0CvxyDbl/NnIOEFb8hlzPznVUp5+NPvNcSHt0zJen\n"
			      "ngIhANsNhkwDZV4M5C/ngKiFJbiOu03EAmo9asAZhruXBP+5\n"
			      "-----END CERTIFICATE-----\n";

static int setup(void **state)
{
	(void)state;
	return mem_init();
}

static int parse(struct material *m, const char *text, enum material_format format, int kind)
{
	return material_parse(m, text, strlen(text), format, kind, NULL, "file");
}

static void parse__symmetric_without_a_format__is_hex_base64_or_raw(void **state)
{
	static const struct {
		const char *text;
		enum material_format format;
		size_t size;
	} cases[] = {
		{ "000102030405060708090A0b0c0d0e0f\n", MATERIAL_HEX, 16 },
		{ "00", MATERIAL_HEX, 1 },
		{ "  AAECAwQFBgcICQoLDA0ODw==\r\n", MATERIAL_BASE64, 16 },
		{ "AAECAwQFBgcICQoLDA0ODw", MATERIAL_RAW, 22 },
		{ "sixteen bytes...", MATERIAL_RAW, 16 },
		{ "123", MATERIAL_RAW, 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct material m;

		assert_int_equal(parse(&m, cases[i].text, MATERIAL_AUTO, -1), KC_OK);
		assert_int_equal(m.format, cases[i].format);
		assert_int_equal(m.size, cases[i].size);
		assert_int_equal(m.kind, KEYDB_SYMMETRIC);
		material_fini(&m);
	}
}

static void parse__format_that_does_not_fit__is_refused(void **state)
{
	struct material m;

	(void)state;
	assert_int_equal(parse(&m, "", MATERIAL_AUTO, -1), KC_EFORMAT);
	assert_int_equal(parse(&m, "0", MATERIAL_HEX, -1), KC_EFORMAT);
	assert_int_equal(parse(&m, "\n", MATERIAL_HEX, -1), KC_EFORMAT);
	assert_int_equal(parse(&m, "0g", MATERIAL_HEX, -1), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "file: not hex at byte 2");
	assert_int_equal(parse(&m, "A", MATERIAL_BASE64, -1), KC_EFORMAT);
	assert_int_equal(parse(&m, "A?==", MATERIAL_BASE64, -1), KC_EFORMAT);
	assert_int_equal(parse(&m, "text", MATERIAL_PEM, -1), KC_EFORMAT);
	assert_int_equal(parse(&m, "text", MATERIAL_DER, -1), KC_EUSAGE);
	assert_int_equal(parse(&m, "text", MATERIAL_HEX, KEYDB_PRIVATE), KC_EUSAGE);
	assert_int_equal(parse(&m, "text", MATERIAL_AUTO, KEYDB_PRIVATE), KC_EFORMAT);
	assert_int_equal(parse(&m, "text", MATERIAL_DER, KEYDB_CERTIFICATE), KC_EFORMAT);
	assert_int_equal(parse(&m, crt_pem, MATERIAL_AUTO, KEYDB_SYMMETRIC), KC_EUSAGE);
	assert_int_equal(parse(&m, crt_pem, MATERIAL_AUTO, KEYDB_PRIVATE), KC_EFORMAT);
	assert_int_equal(parse(&m, pkcs8_pem, MATERIAL_AUTO, KEYDB_CERTIFICATE), KC_EFORMAT);
}

static void parse__private_key__is_the_same_key_in_every_form(void **state)
{
	static const char *const forms[] = { ec_pem, pkcs8_pem, encrypted_pem };
	struct material first = { .data = NULL };
	struct buf out;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct material m, again;

		assert_int_equal(
		    material_parse(&m, forms[i], strlen(forms[i]), MATERIAL_AUTO, -1, "secret", "file"), KC_OK);
		assert_int_equal(m.kind, KEYDB_PRIVATE);
		assert_string_equal(m.algorithm, "EC-P256");
		assert_int_equal(
		    material_parse(&again, m.data, m.size, MATERIAL_DER, KEYDB_PRIVATE, NULL, "file"), KC_OK);
		assert_memory_equal(again.id, m.id, sizeof(m.id));
		material_fini(&again);
		if (i == 0) {
			first = m;
			continue;
		}
		assert_memory_equal(first.id, m.id, sizeof(m.id));
		buf_init(&out, 65536);
		assert_int_equal(material_write(&out, KEYDB_PRIVATE, m.data, m.size, MATERIAL_AUTO), KC_OK);
		assert_string_equal(buf_str(&out), pkcs8_pem);
		buf_fini(&out);
		material_fini(&m);
	}
	material_fini(&first);
}

static void parse__encrypted_private_key__wants_its_password(void **state)
{
	struct material m;

	(void)state;
	assert_int_equal(parse(&m, encrypted_pem, MATERIAL_AUTO, -1), KC_EPASSWORD);
	assert_non_null(strstr(err_text(KC_EPASSWORD), "no password was given"));
	assert_int_equal(material_parse(&m, encrypted_pem, strlen(encrypted_pem), MATERIAL_AUTO, -1, "Secret", "file"),
	    KC_EPASSWORD);
	assert_non_null(strstr(err_text(KC_EPASSWORD), "does not open"));
}

static void parse__certificate__comes_back_as_pem(void **state)
{
	struct material m;
	struct buf out;

	(void)state;
	assert_int_equal(parse(&m, crt_pem, MATERIAL_AUTO, -1), KC_OK);
	assert_int_equal(m.kind, KEYDB_CERTIFICATE);
	assert_string_equal(m.algorithm, "EC-P256");
	buf_init(&out, 65536);
	assert_int_equal(material_write(&out, KEYDB_CERTIFICATE, m.data, m.size, MATERIAL_AUTO), KC_OK);
	assert_string_equal(buf_str(&out), crt_pem);
	buf_fini(&out);
	material_fini(&m);
}

static void parse__several_objects__are_refused(void **state)
{
	char both[4096];
	struct material m;

	(void)state;
	strcpy(both, crt_pem);
	strcat(both, pkcs8_pem);
	assert_int_equal(parse(&m, both, MATERIAL_AUTO, -1), KC_EFORMAT);
	assert_string_equal(err_text(KC_EFORMAT), "file: holds 2 PEM objects, one is imported at a time");
}

static void write__symmetric_key__in_each_format(void **state)
{
	static const struct {
		enum material_format format;
		const char *text;
	} cases[] = {
		{ MATERIAL_AUTO, "6b6579\n" },
		{ MATERIAL_HEX, "6b6579\n" },
		{ MATERIAL_BASE64, "a2V5\n" },
		{ MATERIAL_RAW, "key" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(material_write(&out, KEYDB_SYMMETRIC, "key", 3, cases[i].format), KC_OK);
		assert_string_equal(buf_str(&out), cases[i].text);
		buf_reset(&out);
	}
	assert_int_equal(material_write(&out, KEYDB_SYMMETRIC, "key", 3, MATERIAL_PEM), KC_EUSAGE);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__symmetric_without_a_format__is_hex_base64_or_raw),
		cmocka_unit_test(parse__format_that_does_not_fit__is_refused),
		cmocka_unit_test(parse__private_key__is_the_same_key_in_every_form),
		cmocka_unit_test(parse__encrypted_private_key__wants_its_password),
		cmocka_unit_test(parse__certificate__comes_back_as_pem),
		cmocka_unit_test(parse__several_objects__are_refused),
		cmocka_unit_test(write__symmetric_key__in_each_format),
	};

	return cmocka_run_group_tests_name("material", tests, setup, NULL);
}
