/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the truststore: the matrix of certificates that tests/pki/make-pki.sh makes with another tool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/identity.h"
#include "keystore/trust.h"

#define SKIP 77

static char dir[64];
static char path[256];

static const char *at(const char *name, const char *suffix)
{
	snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix);
	return path;
}

static int group_setup(void **state)
{
	const char *top = getenv("TOP_SRCDIR");
	char *command;
	int rc;

	(void)state;
	strcpy(dir, "/tmp/kc-test-trust.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	command = mem_xasprintf("bash '%s/tests/pki/make-pki.sh' '%s'", top != NULL ? top : ".", dir);
	rc = system(command);
	free(command);
	if (rc != -1 && WIFEXITED(rc) && WEXITSTATUS(rc) == SKIP) {
		file_remove_tree(dir);
		exit(SKIP);
	}
	return rc;
}

static int group_teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

/* Every test has an empty truststore. */
static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(at("ts", "")) == KC_OK ? 0 : -1;
}

static int trust_file(const char *name)
{
	char *ts = mem_xstrdup(at("ts", ""));
	size_t added;
	int rc = trust_add_file(&added, NULL, ts, NULL, at(name, ".crt"));

	free(ts);
	return rc;
}

static struct identity *load(const char *name)
{
	struct identity *id = NULL;
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_int_equal(file_read(&b, at(name, ".pem")), KC_OK);
	assert_int_equal(identity_parse(&id, NULL, name, buf_data(&b), buf_len(&b), NULL, 0, NULL), KC_OK);
	buf_fini(&b);
	return id;
}

/* What a peer with the chain of DIR/NAME.crt gets; the chain backwards behind its leaf, to be awkward. */
static int verify_at(struct cert_info *info, const char *name, enum cert_use use, time_t now)
{
	struct cert_der chain[4];
	struct trust *trust = NULL;
	struct identity *id = load(name);
	size_t n = identity_chain_count(id);
	int rc;

	assert_int_equal(trust_load(&trust, at("ts", "")), KC_OK);
	chain[0] = identity_chain_der(id, 0);
	for (size_t i = 1; i < n && i < 4; i++)
		chain[i] = identity_chain_der(id, n - i);
	rc = trust_verify(info, trust, chain, n, use, now);
	trust_free(trust);
	identity_free(id);
	return rc;
}

static int verify(struct cert_info *info, const char *name, enum cert_use use)
{
	return verify_at(info, name, use, 0);
}

static void assert_refused(const char *name, enum cert_use use, const char *reason)
{
	int rc = verify(NULL, name, use);

	assert_int_equal(rc, KC_ECERT);
	if (strstr(err_text(rc), reason) == NULL)
		fail_msg("%s: '%s' lacks '%s'", name, err_text(rc), reason);
}

static void trust__certificates_of_the_own_authority__carry_their_role(void **state)
{
	struct cert_info info = { 0 };

	(void)state;
	assert_int_equal(trust_file("authority"), KC_OK);
	assert_int_equal(verify(&info, "master", CERT_USE_CLIENT), KC_OK);
	assert_string_equal(info.cn, "master");
	assert_int_equal(info.role, CERT_ROLE_MASTER);
	assert_true(info.anchor_is_authority);
	assert_true(cert_info_matches(&info, "LocalHost"));
	assert_true(cert_info_matches(&info, "0:0:0:0:0:0:0:1"));
	assert_false(cert_info_matches(&info, "127.0.0.2"));
	assert_false(cert_info_matches(&info, "master")); /* a CN does not count beside a SAN */
	cert_info_fini(&info);
	assert_int_equal(verify(&info, "clone", CERT_USE_SERVER), KC_OK);
	assert_int_equal(info.role, CERT_ROLE_CLONE);
	cert_info_fini(&info);
	assert_int_equal(verify(&info, "norole", CERT_USE_SERVER), KC_OK);
	assert_int_equal(info.role, CERT_ROLE_NONE);
	assert_true(info.anchor_is_authority);
	cert_info_fini(&info);
	assert_int_equal(verify(NULL, "rsa", CERT_USE_SERVER), KC_OK);
}

static void trust__bad_certificates__are_refused_for_their_reason(void **state)
{
	(void)state;
	assert_int_equal(trust_file("authority"), KC_OK);
	assert_refused("expired", CERT_USE_SERVER, "certificate expired expired 3 days ago (its end 20");
	assert_refused("expired-master", CERT_USE_CLIENT, "this machine's clock 20");
	assert_refused("not-yet-valid", CERT_USE_SERVER, "is not valid yet, for another ");
	assert_refused("server-only", CERT_USE_CLIENT, "lacks the use 'TLS client'");
	assert_refused("client-only", CERT_USE_SERVER, "lacks the use 'TLS server'");
	assert_refused("no-signature", CERT_USE_SERVER, "lacks the use 'digital signature'");
	assert_refused("wrong-ca", CERT_USE_CLIENT, "issued by CN=another authority, which is not in the truststore");
	assert_refused("weak", CERT_USE_CLIENT, "weak");
	assert_refused("self", CERT_USE_CLIENT, "self-signed and not in the truststore");
	assert_int_equal(verify(NULL, "forged", CERT_USE_CLIENT), KC_ECERT);
	assert_int_equal(verify(NULL, "server-only", CERT_USE_SERVER), KC_OK);
	assert_int_equal(verify(NULL, "client-only", CERT_USE_CLIENT), KC_OK);
}

static void trust__end_entity_as_issuer__is_no_authority(void **state)
{
	struct identity *leaf = load("under-clone"), *clone = load("clone");
	struct cert_der chain[2] = { identity_chain_der(leaf, 0), identity_chain_der(clone, 0) };
	struct trust *trust = NULL;

	(void)state;
	assert_int_equal(trust_file("authority"), KC_OK);
	assert_int_equal(trust_load(&trust, at("ts", "")), KC_OK);
	assert_int_equal(trust_verify(NULL, trust, chain, 2, CERT_USE_CLIENT, 0), KC_ECERT);
	assert_string_equal(err_text(KC_ECERT), "certificate under-clone: issued by clone, which is not an authority");
	trust_free(trust);
	identity_free(leaf);
	identity_free(clone);
}

static void trust__altered_certificate__has_a_bad_signature(void **state)
{
	struct identity *id = load("master");
	struct cert_der der = identity_chain_der(id, 0), altered;
	struct trust *trust = NULL;
	uint8_t *copy = mem_xalloc(der.size);

	(void)state;
	assert_int_equal(trust_file("authority"), KC_OK);
	assert_int_equal(trust_load(&trust, at("ts", "")), KC_OK);
	memcpy(copy, der.data, der.size);
	copy[der.size - 4] ^= 1;
	altered = (struct cert_der){ copy, der.size };
	assert_int_equal(trust_verify(NULL, trust, &altered, 1, CERT_USE_CLIENT, 0), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "signature"));
	altered.size /= 2;
	assert_int_equal(trust_verify(NULL, trust, &altered, 1, CERT_USE_CLIENT, 0), KC_ECERT);
	assert_int_equal(trust_verify(NULL, trust, &altered, 0, CERT_USE_CLIENT, 0), KC_ECERT);
	assert_string_equal(err_text(KC_ECERT), "the peer showed no certificate");
	free(copy);
	trust_free(trust);
	identity_free(id);
}

static void trust__intermediate__comes_from_the_peer_or_the_truststore(void **state)
{
	struct cert_info info = { 0 };

	(void)state;
	assert_refused("site", CERT_USE_CLIENT, "issued by CN=Site Root CA, which is not in the truststore");
	assert_int_equal(trust_file("site-sub"), KC_OK);
	assert_int_equal(verify(NULL, "site", CERT_USE_CLIENT), KC_OK);
	assert_int_equal(teardown(NULL), 0);
	assert_int_equal(trust_file("site-ca"), KC_OK);
	assert_int_equal(verify(&info, "site", CERT_USE_CLIENT), KC_OK);
	assert_false(info.anchor_is_authority);
	assert_int_equal(info.role, CERT_ROLE_NONE);
	cert_info_fini(&info);
}

static void trust__self_signed_leaf__is_trusted_as_itself_only(void **state)
{
	struct cert_info info = { 0 };

	(void)state;
	assert_int_equal(trust_file("self"), KC_OK);
	assert_int_equal(verify(&info, "self", CERT_USE_CLIENT), KC_OK);
	assert_false(info.anchor_is_authority);
	assert_true(info.self_signed);
	cert_info_fini(&info);
	assert_refused("self-other", CERT_USE_CLIENT, "self-signed and not in the truststore");
	assert_int_equal(trust_file("self-old"), KC_OK);
	assert_refused("self-old", CERT_USE_CLIENT, "expired");
}

static void trust__clock_of_another_year__is_named(void **state)
{
	(void)state;
	assert_int_equal(trust_file("authority"), KC_OK);
	assert_int_equal(verify_at(NULL, "master", CERT_USE_CLIENT, 2840140800), KC_ECERT); /* 2060-01-01 */
	assert_non_null(strstr(err_text(KC_ECERT),
	    "expired 365 days ago (its end 2059-01-01T00:00:00Z, this machine's clock 2060-01-01T00:00:00Z)"));
}

static void trust__renewed_authority__takes_the_place_of_the_old(void **state)
{
	(void)state;
	assert_int_equal(trust_file("authority-old"), KC_OK);
	assert_refused("master", CERT_USE_CLIENT, "certificate keyclone test authority expired 3 days ago");
	assert_int_equal(trust_file("authority"), KC_OK);
	assert_int_equal(verify(NULL, "master", CERT_USE_CLIENT), KC_OK);
}

static void trust__two_authorities_of_one_name__are_told_apart(void **state)
{
	(void)state;
	assert_int_equal(trust_file("forged-authority"), KC_OK);
	assert_int_equal(trust_file("authority"), KC_OK);
	assert_int_equal(verify(NULL, "master", CERT_USE_CLIENT), KC_OK);
	assert_int_equal(verify(NULL, "forged", CERT_USE_CLIENT), KC_OK);
}

static void trust__add_and_remove__keep_the_directory_in_order(void **state)
{
	char *ts = mem_xstrdup(at("ts", "")), *used = NULL;
	struct trust_list list = { 0 }, retired = { 0 };
	size_t added = 9;

	(void)state;
	assert_int_equal(trust_add_file(&added, &used, ts, NULL, at("authority", ".crt")), KC_OK);
	assert_int_equal(added, 1);
	assert_string_equal(used, "keyclone-test-authority");
	free(used);
	assert_int_equal(trust_add_file(&added, &used, ts, NULL, at("authority", ".crt")), KC_OK);
	assert_int_equal(added, 0);
	assert_null(used);
	assert_int_equal(trust_add_file(&added, &used, ts, NULL, at("forged-authority", ".crt")), KC_OK);
	assert_string_equal(used, "keyclone-test-authority-2");
	free(used);
	assert_int_equal(trust_add_file(&added, NULL, ts, "keyclone-test-authority", at("self", ".crt")), KC_EEXIST);
	assert_int_equal(trust_add_file(&added, NULL, ts, "../x", at("self", ".crt")), KC_EUSAGE);
	assert_int_equal(trust_add_file(&added, NULL, ts, NULL, at("master", ".crt")), KC_ECERT);
	assert_int_equal(trust_add_file(&added, NULL, ts, NULL, at("master", ".key")), KC_EFORMAT);
	assert_int_equal(trust_add_file(&added, NULL, ts, "site", at("site", ".crt")), KC_OK); /* its authority */
	assert_int_equal(added, 1);
	assert_int_equal(trust_list_load(&list, ts), KC_OK);
	assert_int_equal(list.count, 3);
	assert_string_equal(list.entries[2].name, "site");
	assert_string_equal(list.entries[2].info.cn, "Site Issuing CA");
	assert_int_equal(trust_remove(ts, list.entries[2].info.sha256), KC_OK);
	assert_int_equal(trust_remove(ts, "site"), KC_ENOENT);
	assert_int_equal(trust_list_load(&retired, at("ts", "/retired")), KC_OK);
	assert_int_equal(retired.count, 1);
	assert_int_equal(strncmp(retired.entries[0].name, "site.20", 7), 0);
	assert_string_equal(retired.entries[0].info.sha256, list.entries[2].info.sha256);
	trust_list_fini(&retired);
	assert_int_equal(trust_remove(ts, "keyclone-test-authority"), KC_OK);
	trust_list_fini(&list);
	assert_int_equal(trust_list_load(&list, ts), KC_OK);
	assert_int_equal(list.count, 1);
	trust_list_fini(&list);
	free(ts);
}

static void trust__file_that_is_no_certificate__is_named(void **state)
{
	struct trust *trust = NULL;

	(void)state;
	assert_int_equal(trust_load(&trust, at("ts", "")), KC_OK);
	assert_int_equal(trust_count(trust), 0);
	trust_free(trust);
	assert_int_equal(file_make_dirs(at("ts", "")), KC_OK);
	assert_int_equal(file_replace(at("ts/bad", ".pem"), "nonsense", 8, 0644), KC_OK);
	assert_int_equal(trust_load(&trust, at("ts", "")), KC_EFORMAT);
	assert_non_null(strstr(err_text(KC_EFORMAT), "bad.pem"));
}

static void cert__wildcards__stand_for_one_label(void **state)
{
	char *dns[] = { (char *)"*.example.com", (char *)"plain.example", (char *)"*.com", (char *)"a.*.example.com",
		(char *)"dot.example." };
	struct cert_info info = { .cn = (char *)"cn.example", .dns = dns, .dns_count = 5 };

	(void)state;
	assert_true(cert_info_matches(&info, "a.example.com"));
	assert_true(cert_info_matches(&info, "A.EXAMPLE.com."));
	assert_true(cert_info_matches(&info, "plain.example"));
	assert_true(cert_info_matches(&info, "dot.example"));
	assert_false(cert_info_matches(&info, "example.com"));
	assert_false(cert_info_matches(&info, "a.b.example.com"));
	assert_false(cert_info_matches(&info, "x.com"));
	assert_false(cert_info_matches(&info, ".example.com"));
	assert_false(cert_info_matches(&info, "a.b.example.com"));
	assert_false(cert_info_matches(&info, "cn.example"));
	assert_false(cert_info_matches(&info, ""));
	info.dns_count = 0;
	assert_true(cert_info_matches(&info, "cn.example"));
	info.cn = (char *)"*.example.com";
	assert_false(cert_info_matches(&info, "a.example.com"));
	info.cn = (char *)"10.0.0.5";
	assert_true(cert_info_matches(&info, "10.0.0.5"));
}

static void cert__days_left__round_down(void **state)
{
	struct cert_info info = { .not_after = 864000 };

	(void)state;
	assert_int_equal(cert_info_days_left(&info, 0), 10);
	assert_int_equal(cert_info_days_left(&info, 1), 9);
	assert_int_equal(cert_info_days_left(&info, 864000), 0);
	assert_int_equal(cert_info_days_left(&info, 864001), -1);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		T(trust__certificates_of_the_own_authority__carry_their_role),
		T(trust__bad_certificates__are_refused_for_their_reason),
		T(trust__end_entity_as_issuer__is_no_authority),
		T(trust__altered_certificate__has_a_bad_signature),
		T(trust__intermediate__comes_from_the_peer_or_the_truststore),
		T(trust__self_signed_leaf__is_trusted_as_itself_only),
		T(trust__clock_of_another_year__is_named),
		T(trust__renewed_authority__takes_the_place_of_the_old),
		T(trust__two_authorities_of_one_name__are_told_apart),
		T(trust__add_and_remove__keep_the_directory_in_order),
		T(trust__file_that_is_no_certificate__is_named),
		cmocka_unit_test(cert__wildcards__stand_for_one_label),
		cmocka_unit_test(cert__days_left__round_down),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
