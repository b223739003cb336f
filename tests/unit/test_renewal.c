/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of sets of certificate and key that others renew, and of what may take the place of a certificate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/renewal.h"
#include "keystore/trust.h"

#define PASS "default"

static char dir[64], set[96], ks[96], ts[96];
static struct issue_authority *authority;

static struct identity *issued(const char *cn, unsigned days, const struct issue_authority *by)
{
	static const char *const sans[] = { "127.0.0.1" };
	struct issue_request r = { .cn = cn,
		.sans = sans,
		.san_count = 1,
		.days = days,
		.role = by != NULL ? CERT_ROLE_CLONE : CERT_ROLE_NONE };
	struct identity *id = NULL;

	assert_int_equal(issue_identity(&id, by, &r), KC_OK);
	return id;
}

static int setup(void **state)
{
	struct identity *id;
	struct buf pem;
	size_t added;

	(void)state;
	strcpy(dir, "/tmp/kc-test-renewal.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	snprintf(set, sizeof(set), "%s/set", dir);
	snprintf(ks, sizeof(ks), "%s/keystore", dir);
	snprintf(ts, sizeof(ts), "%s/truststore", dir);
	if (issue_authority_create(dir, "test authority", ISSUE_ECDSA_P256, 0) < 0 ||
	    issue_authority_load(&authority, dir) < 0 || file_make_dirs(set) < 0)
		return -1;
	buf_init(&pem, 65536);
	assert_int_equal(issue_authority_pem(&pem, authority), KC_OK);
	assert_int_equal(trust_add(&added, NULL, ts, NULL, buf_data(&pem), buf_len(&pem)), KC_OK);
	buf_fini(&pem);
	id = issued("c.example", 30, authority);
	assert_int_equal(identity_save(id, ks, "tls", false), KC_OK);
	identity_free(id);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	issue_authority_free(authority);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static void put(const char *name, const void *data, size_t n)
{
	char *path = file_join(set, name);

	assert_int_equal(file_replace(path, data, n, 0600), KC_OK);
	free(path);
}

static void put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

/* Chain and encrypted key of an identity, each in its file. */
static void put_set(const struct identity *id, const char *cert, const char *key)
{
	struct buf b;
	const char *at;

	buf_init(&b, 65536);
	assert_int_equal(identity_export(&b, id, IDENTITY_PEM, true, PASS), KC_OK);
	at = strstr(buf_str(&b), "-----BEGIN ENCRYPTED");
	assert_non_null(at);
	put(cert, buf_data(&b), (size_t)(at - buf_str(&b)));
	put_text(key, at);
	buf_fini(&b);
}

static void empty_set(void)
{
	assert_int_equal(file_remove_tree(set), KC_OK);
	assert_int_equal(file_make_dirs(set), KC_OK);
}

static void assert_read(int rc, const char *text)
{
	struct identity *id = NULL;
	int got = renewal_read(&id, set);

	if (got != rc || (rc < 0 && strstr(err_text(got), text) == NULL))
		print_error("%d, %s\n", got, got < 0 ? err_text(got) : "");
	assert_int_equal(got, rc);
	if (rc < 0)
		assert_non_null(strstr(err_text(rc), text));
	identity_free(id);
}

static void read__client_cert__opens_with_the_pass_phrase(void **state)
{
	struct identity *id = issued("c.example", 90, authority), *got = NULL;

	(void)state;
	assert_read(KC_ENOENT, "holds neither client_cert.pem with client_key.pem nor tls.crt");
	put_set(id, "client_cert.pem", "client_key.pem");
	assert_read(KC_EPASSWORD, "no password is given");
	put_text("passphrase", "wrong\n");
	assert_read(KC_EPASSWORD, "client_key.pem: the password does not open");
	put_text("passphrase", PASS "\n");
	assert_int_equal(renewal_read(&got, set), KC_OK);
	assert_string_equal(identity_info(got)->sha256, identity_info(id)->sha256);
	assert_int_equal(identity_chain_count(got), 2);
	identity_free(got);
	identity_free(id);
}

static void read__tls_crt__opens_with_either_stash(void **state)
{
	struct identity *id = issued("c.example", 90, authority);
	unsigned char stash[129];
	char *text = base64_encode(PASS, strlen(PASS));

	(void)state;
	put_set(id, "tls.crt", "tls.key");
	put_text("tls.sth", text);
	assert_read(KC_OK, "");
	memset(stash, 0x5a, sizeof(stash));
	for (size_t i = 0; i <= strlen(PASS); i++)
		stash[i] = (unsigned char)(PASS[i] ^ 0xf5);
	put("tls.sth", stash, sizeof(stash));
	assert_read(KC_OK, "");
	put("tls.sth", "\x01\xf6\xf4", 3);
	assert_read(KC_EFORMAT, "tls.sth: neither a pass phrase");
	free(text);
	identity_free(id);
}

static void read__part_of_a_set__says_which(void **state)
{
	struct identity *id = issued("c.example", 90, authority), *other = issued("c.example", 90, authority);
	char *path = file_join(set, "client_key.pem");

	(void)state;
	put_set(id, "client_cert.pem", "client_key.pem");
	put_text("passphrase", PASS);
	assert_int_equal(file_remove(path), KC_OK);
	assert_read(KC_EFORMAT, "client_cert.pem is there, and client_key.pem is not");
	put_set(other, "tls.crt", "client_key.pem");
	assert_read(KC_EFORMAT, "tls.crt is there, and tls.key is not");
	put_set(id, "tls.crt", "tls.key");
	assert_read(KC_EFORMAT, "holds two sets, client_cert.pem and tls.crt");
	empty_set();
	put_set(other, "tls.crt", "tls.key");
	put_set(id, "tls.crt", "unused");
	put_text("passphrase", PASS);
	assert_read(KC_ECERT, "tls.key: ");
	free(path);
	identity_free(id);
	identity_free(other);
}

static void install(int rc, const char *text, const struct identity *next)
{
	struct renewal_place p = { .keystore_dir = ks, .truststore_dir = ts, .alias = "tls" };
	struct cert_info info = { 0 };
	int got = renewal_install(&info, next, &p);

	if (got < 0 && (got != rc || strstr(err_text(got), text) == NULL))
		print_error("%s\n", err_text(got));
	assert_int_equal(got, rc);
	if (rc < 0)
		assert_non_null(strstr(err_text(rc), text));
	else
		assert_string_equal(info.sha256, identity_info(next)->sha256);
	cert_info_fini(&info);
}

static void install__only_what_is_better(void **state)
{
	struct identity *longer = issued("c.example", 90, authority), *shorter = issued("c.example", 10, authority),
			*name = issued("d.example", 90, authority), *self = issued("c.example", 90, NULL), *now = NULL;

	(void)state;
	install(KC_ECERT, "common name is 'd.example', that of the certificate in use 'c.example'", name);
	install(KC_ECERT, "the one in use not before", shorter);
	install(KC_ECERT, "not in the truststore", self);
	install(KC_OK, "", longer);
	assert_int_equal(identity_load(&now, ks, "tls"), KC_OK);
	assert_string_equal(identity_info(now)->sha256, identity_info(longer)->sha256);
	install(KC_EEXIST, "there is the one in use", longer);
	identity_free(now);
	identity_free(longer);
	identity_free(shorter);
	identity_free(name);
	identity_free(self);
}

static void check__its_dates(void **state)
{
	struct identity *id = issued("c.example", 90, authority), *old = NULL;
	struct trust *trust = NULL;
	time_t now = time(NULL);

	(void)state;
	assert_int_equal(identity_load(&old, ks, "tls"), KC_OK);
	assert_int_equal(trust_load(&trust, ts), KC_OK);
	assert_int_equal(renewal_check(id, identity_info(old), trust, now, 0), KC_OK);
	assert_int_equal(renewal_check(id, identity_info(old), trust, now + (time_t)100 * 86400, 0), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "expired 10 days ago"));
	assert_int_equal(renewal_check(id, identity_info(old), trust, now - 80000, 0), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "not valid yet"));
	trust_free(trust);
	identity_free(old);
	identity_free(id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(read__client_cert__opens_with_the_pass_phrase, setup, teardown),
		cmocka_unit_test_setup_teardown(read__tls_crt__opens_with_either_stash, setup, teardown),
		cmocka_unit_test_setup_teardown(read__part_of_a_set__says_which, setup, teardown),
		cmocka_unit_test_setup_teardown(install__only_what_is_better, setup, teardown),
		cmocka_unit_test_setup_teardown(check__its_dates, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
