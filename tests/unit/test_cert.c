/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of cert: names in certificates that no honest authority writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "keystore/cert.h"

#define HOST "host.example"

static gnutls_x509_privkey_t key;

static int setup(void **state)
{
	(void)state;
	return mem_init() == KC_OK && gnutls_x509_privkey_init(&key) == 0 &&
		       gnutls_x509_privkey_generate(
			   key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0
		   ? 0
		   : -1;
}

static int teardown(void **state)
{
	(void)state;
	gnutls_x509_privkey_deinit(key);
	return 0;
}

static size_t put_head(uint8_t *der, uint8_t tag, size_t size)
{
	size_t n = 0;

	der[n++] = tag;
	if (size >= 256)
		der[n++] = 0x82;
	else if (size >= 128)
		der[n++] = 0x81;
	if (size >= 256)
		der[n++] = (uint8_t)(size >> 8);
	der[n++] = (uint8_t)size;
	return n;
}

/* SEQUENCE { [2] name }, by hand: GnuTLS writes no such names. */
static size_t put_san(uint8_t *der, const char *san, size_t size)
{
	uint8_t name[1024];
	size_t n = put_head(name, 0x82, size), at;

	memcpy(name + n, san, size);
	at = put_head(der, 0x30, n + size);
	memcpy(der + at, name, n + size);
	return at + n + size;
}

/* Self-signed, with this common name and, unless NULL, one DNS name. */
static struct cert_info make(const char *cn, size_t cn_size, const char *san, size_t size)
{
	struct cert_info info;
	gnutls_datum_t der = { NULL, 0 };
	gnutls_x509_crt_t crt;
	uint8_t ext[1024];

	assert_int_equal(gnutls_x509_crt_init(&crt), 0);
	assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
	assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
	assert_int_equal(gnutls_x509_crt_set_serial(crt, "\1", 1), 0);
	assert_int_equal(gnutls_x509_crt_set_activation_time(crt, time(NULL)), 0);
	assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 86400), 0);
	assert_int_equal(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)cn_size), 0);
	if (san != NULL)
		assert_int_equal(
		    gnutls_x509_crt_set_extension_by_oid(crt, "2.5.29.17", ext, put_san(ext, san, size), 0), 0);
	assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
	assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der), 0);
	gnutls_x509_crt_deinit(crt);
	assert_int_equal(cert_info_from_der(&info, der.data, der.size), KC_OK);
	gnutls_free(der.data);
	return info;
}

#define MAKE(cn, san) make(cn, sizeof(cn) - 1, san, sizeof(san) - 1)

static void name__with_a_zero_byte__is_no_host(void **state)
{
	struct cert_info i = MAKE("other", HOST "\0.evil.example");

	(void)state;
	assert_false(cert_info_matches(&i, HOST));
	cert_info_fini(&i);
	i = make(HOST "\0.evil.example", sizeof(HOST "\0.evil.example") - 1, NULL, 0);
	assert_false(cert_info_matches(&i, HOST));
	cert_info_fini(&i);
}

/* The common name counts only where there is no other: also where the other cannot be used. */
static void name__that_cannot_be_used__makes_no_room_for_the_common_name(void **state)
{
	struct cert_info i = MAKE(HOST, "bad\0name");
	char longest[900];

	(void)state;
	assert_false(cert_info_matches(&i, HOST));
	cert_info_fini(&i);
	memset(longest, 'a', sizeof(longest));
	i = make(HOST, strlen(HOST), longest, sizeof(longest));
	assert_false(cert_info_matches(&i, HOST));
	cert_info_fini(&i);
	i = make(HOST, strlen(HOST), NULL, 0);
	assert_true(cert_info_matches(&i, HOST));
	cert_info_fini(&i);
}

static void text__with_escape_sequences__is_shown_without(void **state)
{
	struct cert_info i = MAKE("\033[2J\xc2\x9b"
				  "2Jname",
	    "x\033[2Jy");

	(void)state;
	assert_null(strchr(i.subject, '\033'));
	assert_null(strstr(i.subject, "\xc2\x9b"));
	assert_null(strchr(i.issuer, '\033'));
	assert_string_equal(i.cn, "");
	for (size_t k = 0; k < i.dns_count; k++)
		assert_null(strchr(i.dns[k], '\033'));
	cert_info_fini(&i);
}

static void address__in_a_dns_name__is_no_address(void **state)
{
	struct cert_info i = MAKE("other", "10.0.0.1");

	(void)state;
	assert_false(cert_info_matches(&i, "10.0.0.1"));
	cert_info_fini(&i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name__with_a_zero_byte__is_no_host),
		cmocka_unit_test(name__that_cannot_be_used__makes_no_room_for_the_common_name),
		cmocka_unit_test(text__with_escape_sequences__is_shown_without),
		cmocka_unit_test(address__in_a_dns_name__is_no_address),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
