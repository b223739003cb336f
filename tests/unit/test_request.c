/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of PKCS#10 requests and of what an authority answers to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/request.h"

static char dir[64];
static struct issue_authority *authority;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-test-request.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	if (issue_authority_create(dir, "test authority", ISSUE_ECDSA_P256, 0) < 0)
		return -1;
	return issue_authority_load(&authority, dir) == KC_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	issue_authority_free(authority);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

/* A request by somebody who asks for more than he gets. */
static struct request *asked(struct buf *pem, enum issue_key key)
{
	static const char *const sans[] = { "elsewhere.example", "10.9.9.9" };
	struct issue_request r = {
		.subject = "CN=elsewhere.example,O=asked", .sans = sans, .san_count = 2, .key = key
	};
	struct request *q = NULL;

	assert_int_equal(request_new(&q, &r), KC_OK);
	assert_int_equal(request_pem(pem, q), KC_OK);
	return q;
}

static int answer(struct buf *chain, const void *request, size_t size)
{
	static const char *const sans[] = { "clone.example", "127.0.0.1" };
	struct issue_request r = {
		.cn = "clone.example", .sans = sans, .san_count = 2, .days = 30, .role = CERT_ROLE_CLONE
	};

	return request_issue(chain, NULL, authority, request, size, &r);
}

static void issue__a_request__gets_the_names_of_the_authority_alone(void **state)
{
	static const enum issue_key keys[] = { ISSUE_ECDSA_P256, ISSUE_ECDSA_P384, ISSUE_RSA_3072 };
	time_t now = time(NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct identity *id = NULL;
		struct buf pem, chain;
		struct request *q;
		const struct cert_info *info;

		buf_init(&pem, REQUEST_MAX);
		buf_init(&chain, REQUEST_MAX);
		q = asked(&pem, keys[i]);
		assert_int_equal(answer(&chain, buf_data(&pem), buf_len(&pem)), KC_OK);
		assert_int_equal(request_identity(&id, q, buf_data(&chain), buf_len(&chain), "answer"), KC_OK);
		info = identity_info(id);
		assert_string_equal(info->subject, "CN=clone.example");
		assert_int_equal(info->dns_count, 1);
		assert_string_equal(info->dns[0], "clone.example");
		assert_string_equal(info->ips[0], "127.0.0.1");
		assert_int_equal(info->role, CERT_ROLE_CLONE);
		assert_int_equal(identity_check_uses(id), KC_OK);
		assert_int_equal(identity_chain_count(id), 2);
		assert_true(info->not_after > now + 30 * 86400 - 60 && info->not_after < now + 30 * 86400 + 60);
		identity_free(id);
		request_free(q);
		buf_fini(&pem);
		buf_fini(&chain);
	}
}

static void identity__another_keys_certificate__is_refused(void **state)
{
	struct identity *id = NULL;
	struct buf pem, other, chain;
	struct request *q, *p;

	(void)state;
	buf_init(&pem, REQUEST_MAX);
	buf_init(&other, REQUEST_MAX);
	buf_init(&chain, REQUEST_MAX);
	q = asked(&pem, ISSUE_ECDSA_P256);
	p = asked(&other, ISSUE_ECDSA_P256);
	assert_int_equal(answer(&chain, buf_data(&other), buf_len(&other)), KC_OK);
	assert_int_equal(request_identity(&id, q, buf_data(&chain), buf_len(&chain), "answer"), KC_ECERT);
	assert_int_equal(request_identity(&id, p, buf_data(&chain), buf_len(&chain), "answer"), KC_OK);
	identity_free(id);
	request_free(q);
	request_free(p);
	buf_fini(&pem);
	buf_fini(&other);
	buf_fini(&chain);
}

static void issue__what_is_no_request__is_refused(void **state)
{
	static const char text[] = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
	char *large = mem_xcalloc(1, REQUEST_MAX + 1);
	struct buf chain;

	(void)state;
	buf_init(&chain, REQUEST_MAX);
	assert_int_equal(answer(&chain, text, sizeof(text) - 1), KC_EFORMAT);
	assert_int_equal(answer(&chain, "x", 1), KC_EFORMAT);
	assert_int_equal(answer(&chain, large, REQUEST_MAX + 1), KC_ELIMIT);
	assert_int_equal(buf_len(&chain), 0);
	free(large);
	buf_fini(&chain);
}

/* Each byte of the signed part, and of the signature, counts. */
static void issue__a_damaged_request__is_refused(void **state)
{
	struct buf pem, chain;
	struct request *q;
	char *copy;
	size_t n, begin;

	(void)state;
	buf_init(&pem, REQUEST_MAX);
	buf_init(&chain, REQUEST_MAX);
	q = asked(&pem, ISSUE_ECDSA_P256);
	n = buf_len(&pem);
	copy = mem_xstrndup((const char *)buf_data(&pem), n);
	begin = (size_t)(strchr(copy, '\n') - copy) + 1;
	for (size_t i = begin; copy[i] != '-'; i += 7) {
		char was = copy[i];

		if (was == '\n' || was == '=')
			continue;
		copy[i] = was == 'B' ? 'C' : 'B';
		assert_true(answer(&chain, copy, n) < 0);
		copy[i] = was;
	}
	assert_int_equal(answer(&chain, copy, n), KC_OK);
	free(copy);
	request_free(q);
	buf_fini(&pem);
	buf_fini(&chain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(issue__a_request__gets_the_names_of_the_authority_alone),
		cmocka_unit_test(identity__another_keys_certificate__is_refused),
		cmocka_unit_test(issue__what_is_no_request__is_refused),
		cmocka_unit_test(issue__a_damaged_request__is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
