/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the keystore, of issuing, and of what goes in and out of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/trust.h"

#define DAY 86400

static char dir[64];
static char ks[96], ts[96], secrets[96];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-test-identity.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	snprintf(ks, sizeof(ks), "%s/keystore", dir);
	snprintf(ts, sizeof(ts), "%s/truststore", dir);
	snprintf(secrets, sizeof(secrets), "%s/secrets", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static struct identity *self_signed(const char *cn, enum issue_key key)
{
	static const char *const sans[] = { "localhost", "127.0.0.1", "ip:::1", "dns:*.example.com" };
	struct issue_request r = { .cn = cn, .sans = sans, .san_count = 4, .key = key };
	struct identity *id = NULL;

	assert_int_equal(issue_identity(&id, NULL, &r), KC_OK);
	return id;
}

static void save(const char *alias)
{
	struct identity *id = self_signed(alias, ISSUE_ECDSA_P256);

	assert_int_equal(identity_save(id, ks, alias, false), KC_OK);
	identity_free(id);
}

static char *file_of(const char *name)
{
	return file_join(ks, name);
}

static void alias__bad_ones__are_refused(void **state)
{
	static const char *const bad[] = { "", ".x", "-x", "a/b", "../x", "a b", "\xc3\xa4", "keydb",
		"0123456789012345678901234567890123456789012345678901234567890123x" };
	char *made;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(identity_check_alias(bad[i]), KC_EUSAGE);
	assert_int_equal(identity_check_alias("ssl_cert-1.b@x"), KC_OK);
	made = identity_alias_from_name("../My site/cert");
	assert_string_equal(made, "My-site-cert");
	free(made);
	made = identity_alias_from_name("");
	assert_string_equal(made, "ssl_cert");
	free(made);
}

static void issue__self_signed__says_what_was_asked(void **state)
{
	static const struct {
		enum issue_key key;
		const char *name;
	} types[] = { { ISSUE_ECDSA_P256, "ecdsa-p256" }, { ISSUE_ECDSA_P384, "ecdsa-p384" },
		{ ISSUE_ECDSA_P521, "ecdsa-p521" }, { ISSUE_ED25519, "ed25519" }, { ISSUE_RSA_3072, "rsa-3072" } };
	time_t now = time(NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct identity *id = self_signed("host.example", types[i].key);
		const struct cert_info *info = identity_info(id);
		enum issue_key key;

		assert_int_equal(issue_key_from_name(&key, types[i].name), KC_OK);
		assert_int_equal(key, types[i].key);
		assert_string_equal(info->key_type, types[i].name);
		assert_string_equal(info->cn, "host.example");
		assert_int_equal(info->dns_count, 2);
		assert_int_equal(info->ip_count, 2);
		assert_string_equal(info->ips[1], "::1");
		assert_true(info->self_signed && info->client && info->server && !info->ca);
		assert_int_equal(info->role, CERT_ROLE_NONE);
		assert_true(info->not_before < now);
		assert_int_equal(
		    cert_info_days_left(info, now), ISSUE_DAYS_DEFAULT - (info->not_after < now + 825 * DAY));
		assert_int_equal(identity_check_uses(id), KC_OK);
		assert_int_equal(identity_chain_count(id), 1);
		identity_free(id);
	}
}

static void issue__bad_requests__are_refused(void **state)
{
	static const char *const bad_sans[] = { "dns:", "ip:localhost", "a b", "-.ä", "..", "*", "*.com/", "a..b", "" };
	struct issue_request r = { .cn = "x" };
	struct identity *id = NULL;
	enum issue_key key;

	(void)state;
	r.san_count = 1;
	for (size_t i = 0; i < sizeof(bad_sans) / sizeof(bad_sans[0]); i++) {
		r.sans = &bad_sans[i];
		assert_int_equal(issue_identity(&id, NULL, &r), KC_EUSAGE);
	}
	r.san_count = 0;
	r.cn = NULL;
	assert_int_equal(issue_identity(&id, NULL, &r), KC_EUSAGE);
	r.cn = "0123456789012345678901234567890123456789012345678901234567890123x";
	assert_int_equal(issue_identity(&id, NULL, &r), KC_EUSAGE);
	r.cn = "x";
	r.days = ISSUE_DAYS_MAX + 1;
	assert_int_equal(issue_identity(&id, NULL, &r), KC_EUSAGE);
	r.days = 1;
	r.role = CERT_ROLE_CLONE;
	assert_int_equal(issue_identity(&id, NULL, &r), KC_EUSAGE);
	r.role = CERT_ROLE_NONE;
	r.subject = "nonsense";
	assert_int_equal(issue_identity(&id, NULL, &r), KC_EUSAGE);
	r.subject = "CN=y,O=z";
	assert_int_equal(issue_identity(&id, NULL, &r), KC_EUSAGE);
	assert_int_equal(issue_key_from_name(&key, "dsa"), KC_EUSAGE);
	assert_null(id);
}

static void issue__fifty_years__are_possible(void **state)
{
	struct issue_request r = { .subject = "CN=long,O=Example\\, Inc.", .days = ISSUE_DAYS_MAX };
	struct identity *id = NULL;

	(void)state;
	assert_int_equal(issue_identity(&id, NULL, &r), KC_OK);
	assert_string_equal(identity_info(id)->cn, "long");
	assert_true(identity_info(id)->not_after > time(NULL) + (time_t)(ISSUE_DAYS_MAX - 1) * DAY);
	identity_free(id);
}

static void authority__issues_certificates__that_verify_with_their_role(void **state)
{
	struct issue_request r = { .cn = "c1", .role = CERT_ROLE_CLONE, .days = ISSUE_DAYS_MAX };
	struct issue_authority *authority = NULL;
	struct cert_info info = { 0 };
	struct identity *id = NULL;
	struct trust *trust = NULL;
	struct cert_der der;
	struct buf pem;
	size_t added;

	(void)state;
	assert_int_equal(issue_authority_load(&authority, secrets), KC_ENOENT);
	assert_int_equal(issue_authority_create(secrets, "an authority", ISSUE_ECDSA_P384, 0), KC_OK);
	assert_int_equal(issue_authority_create(secrets, "an authority", ISSUE_ECDSA_P256, 0), KC_EEXIST);
	assert_int_equal(issue_authority_load(&authority, secrets), KC_OK);
	assert_int_equal(issue_authority_info(authority)->role, CERT_ROLE_AUTHORITY);
	assert_int_equal(issue_identity(&id, authority, &r), KC_OK);
	assert_int_equal(identity_chain_count(id), 2);
	assert_int_equal(identity_info(id)->not_after, issue_authority_info(authority)->not_after);
	buf_init(&pem, 65536);
	assert_int_equal(issue_authority_pem(&pem, authority), KC_OK);
	assert_int_equal(trust_add(&added, NULL, ts, "authority", buf_data(&pem), buf_len(&pem)), KC_OK);
	buf_fini(&pem);
	assert_int_equal(trust_load(&trust, ts), KC_OK);
	der = identity_chain_der(id, 0);
	assert_int_equal(trust_verify(&info, trust, &der, 1, CERT_USE_SERVER, 0), KC_OK);
	assert_int_equal(info.role, CERT_ROLE_CLONE);
	assert_true(info.anchor_is_authority);
	cert_info_fini(&info);
	trust_free(trust);
	identity_free(id);
	issue_authority_free(authority);
}

static void identity__saved__loads_again(void **state)
{
	struct identity *id = self_signed("a", ISSUE_ECDSA_P256), *again = NULL;
	gnutls_certificate_credentials_t cred;
	char *key_path = file_of("a.key");
	struct stat st;
	struct buf b;

	(void)state;
	assert_int_equal(identity_save(id, ks, "a", false), KC_OK);
	assert_int_equal(identity_save(id, ks, "a", false), KC_EEXIST);
	assert_int_equal(identity_save(id, ks, "a/../b", false), KC_EUSAGE);
	assert_int_equal(identity_load(&again, ks, "a"), KC_OK);
	assert_string_equal(identity_alias(again), "a");
	assert_string_equal(identity_info(again)->sha256, identity_info(id)->sha256);
	assert_int_equal(gnutls_certificate_allocate_credentials(&cred), 0);
	assert_int_equal(identity_set_credentials(again, cred), KC_OK);
	gnutls_certificate_free_credentials(cred);
	assert_int_equal(stat(key_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	buf_init(&b, 65536);
	assert_int_equal(file_read(&b, key_path), KC_OK);
	assert_non_null(strstr(buf_str(&b), "BEGIN ENCRYPTED PRIVATE KEY"));
	buf_fini(&b);
	identity_free(id);
	identity_free(again);
	free(key_path);
}

static void identity__resolve__names_the_aliases_when_there_are_several(void **state)
{
	char *alias = NULL;

	(void)state;
	assert_int_equal(identity_resolve(&alias, ks, NULL), KC_ECONF);
	save("one");
	assert_int_equal(identity_resolve(&alias, ks, ""), KC_OK);
	assert_string_equal(alias, "one");
	free(alias);
	save("two");
	assert_int_equal(identity_resolve(&alias, ks, NULL), KC_ECONF);
	assert_non_null(strstr(err_text(KC_ECONF), "(one, two)"));
	assert_int_equal(identity_resolve(&alias, ks, "two"), KC_OK);
	free(alias);
	assert_int_equal(identity_resolve(&alias, ks, "three"), KC_ENOENT);
	assert_int_equal(identity_resolve(&alias, ks, "../one"), KC_EUSAGE);
}

static void identity__list__is_sorted(void **state)
{
	struct identity_list list = { 0 };
	char *key = file_of("b.key");

	(void)state;
	assert_int_equal(identity_list_load(&list, ks), KC_OK);
	assert_int_equal(list.count, 0);
	identity_list_fini(&list);
	save("b");
	save("a");
	assert_int_equal(file_remove(key), KC_OK);
	assert_int_equal(identity_list_load(&list, ks), KC_OK);
	assert_int_equal(list.count, 2);
	assert_string_equal(list.entries[0].alias, "a");
	assert_true(list.entries[0].has_key);
	assert_false(list.entries[1].has_key);
	identity_list_fini(&list);
	free(key);
}

static void identity__replaced__is_the_new_one(void **state)
{
	struct identity *id = self_signed("new", ISSUE_ECDSA_P256), *again = NULL;

	(void)state;
	save("a");
	assert_int_equal(identity_save(id, ks, "a", true), KC_OK);
	assert_int_equal(identity_load(&again, ks, "a"), KC_OK);
	assert_string_equal(identity_info(again)->cn, "new");
	identity_free(again);
	identity_free(id);
}

/* The crash between the chain and the key: both orders of what is on disk load. */
static void identity__replacement_cut_short__loads(void **state)
{
	char *key = file_of("a.key"), *key_new = file_of("a.key.new"), *crt = file_of("a.crt"),
	     *other = file_of("b.crt");
	char *other_key = file_of("b.key");
	struct identity *id = NULL;
	struct buf b;

	(void)state;
	save("a");
	save("b");
	assert_int_equal(file_rename(other_key, key_new), KC_OK);
	assert_int_equal(identity_load(&id, ks, "a"), KC_OK); /* the new key is there, the chain is old */
	assert_string_equal(identity_info(id)->cn, "a");
	identity_free(id);
	buf_init(&b, 65536);
	assert_int_equal(file_read(&b, other), KC_OK);
	assert_int_equal(file_replace(crt, buf_data(&b), buf_len(&b), 0644), KC_OK);
	buf_fini(&b);
	assert_int_equal(identity_load(&id, ks, "a"), KC_OK); /* the chain is new, the key is old */
	assert_string_equal(identity_info(id)->cn, "b");
	identity_free(id);
	assert_int_equal(file_remove(key_new), KC_OK);
	assert_int_equal(identity_load(&id, ks, "a"), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "belongs to none"));
	free(key);
	free(key_new);
	free(crt);
	free(other);
	free(other_key);
}

static void identity__key_of_somebody_else__is_never_replaced(void **state)
{
	struct identity *id = self_signed("a", ISSUE_ECDSA_P256);
	char *key = file_of("a.key");

	(void)state;
	assert_int_equal(file_make_dirs(ks), KC_OK);
	assert_int_equal(file_replace(key, "precious", 8, 0600), KC_OK);
	assert_int_equal(identity_save(id, ks, "a", true), KC_EEXIST);
	identity_free(id);
	free(key);
}

static void identity__lost_secret__is_named(void **state)
{
	struct identity *id = NULL;
	char *secret = file_of("tls.secret");

	(void)state;
	save("a");
	assert_int_equal(file_remove(secret), KC_OK);
	assert_int_equal(identity_load(&id, ks, "a"), KC_ENOENT);
	save("b"); /* makes another secret */
	assert_int_equal(identity_load(&id, ks, "a"), KC_EDAMAGED);
	assert_non_null(strstr(err_text(KC_EDAMAGED), "tls.secret"));
	free(secret);
}

static void export_parse(enum identity_format format, const char *password, const char *other_password)
{
	struct identity *id = NULL, *again = NULL;
	char *alias = NULL;
	struct buf b;

	save("my_alias");
	assert_int_equal(identity_load(&id, ks, "my_alias"), KC_OK);
	buf_init(&b, 1 << 20);
	assert_int_equal(identity_export(&b, id, format, true, NULL), KC_EUSAGE);
	assert_int_equal(identity_export(&b, id, format, true, password), KC_OK);
	assert_int_equal(
	    identity_parse(&again, &alias, "f", buf_data(&b), buf_len(&b), NULL, 0, other_password), KC_EPASSWORD);
	assert_int_equal(identity_parse(&again, &alias, "f", buf_data(&b), buf_len(&b), NULL, 0, NULL), KC_EPASSWORD);
	assert_int_equal(identity_parse(&again, &alias, "f", buf_data(&b), buf_len(&b), NULL, 0, password), KC_OK);
	assert_string_equal(alias, format == IDENTITY_P12 ? "my_alias" : "");
	assert_string_equal(identity_info(again)->sha256, identity_info(id)->sha256);
	free(alias);
	buf_fini(&b);
	identity_free(id);
	identity_free(again);
}

static void identity__exported_p12__comes_back(void **state)
{
	(void)state;
	export_parse(IDENTITY_P12, "p\xc3\xa4ss", "pass");
}

static void identity__exported_pem__comes_back(void **state)
{
	(void)state;
	export_parse(IDENTITY_PEM, "pass word", "password");
}

static void identity__exports_without_key__hold_none(void **state)
{
	struct identity *id = self_signed("x", ISSUE_ECDSA_P256), *again = NULL;
	struct buf b;

	(void)state;
	buf_init(&b, 65536);
	assert_int_equal(identity_export(&b, id, IDENTITY_DER, true, "x"), KC_EUSAGE);
	for (int f = IDENTITY_PEM; f <= IDENTITY_DER; f++) {
		buf_reset(&b);
		assert_int_equal(identity_export(&b, id, (enum identity_format)f, false, NULL), KC_OK);
		assert_int_equal(
		    identity_parse(&again, NULL, "f", buf_data(&b), buf_len(&b), NULL, 0, NULL), KC_EFORMAT);
	}
	assert_int_equal(identity_parse(&again, NULL, "f", NULL, 0, NULL, 0, NULL), KC_EFORMAT);
	assert_int_equal(identity_parse(&again, NULL, "f", buf_data(&b), buf_len(&b), "", 0, NULL), KC_EFORMAT);
	assert_int_equal(identity_parse(&again, NULL, "f", "x", 1, NULL, 0, NULL), KC_EFORMAT);
	assert_int_equal(identity_parse(&again, NULL, "f", "\xfe\xed\xfe\xed....", 8, NULL, 0, NULL), KC_EFORMAT);
	assert_non_null(strstr(err_text(KC_EFORMAT), "JKS"));
	buf_fini(&b);
	identity_free(id);
}

static void identity__key_of_another_certificate__is_refused(void **state)
{
	struct identity *a = self_signed("a", ISSUE_ECDSA_P256), *b = self_signed("b", ISSUE_ECDSA_P256), *out = NULL;
	struct buf crt, key;

	(void)state;
	buf_init(&crt, 65536);
	buf_init(&key, 65536);
	assert_int_equal(identity_export(&crt, a, IDENTITY_DER, false, NULL), KC_OK);
	assert_int_equal(identity_export(&key, b, IDENTITY_PEM, true, "x"), KC_OK);
	assert_int_equal(
	    identity_parse(&out, NULL, "f", buf_data(&crt), buf_len(&crt), buf_data(&key), buf_len(&key), "x"),
	    KC_ECERT);
	buf_reset(&key);
	assert_int_equal(identity_export(&key, a, IDENTITY_PEM, true, "x"), KC_OK);
	assert_int_equal(
	    identity_parse(&out, NULL, "f", buf_data(&crt), buf_len(&crt), buf_data(&key), buf_len(&key), "x"), KC_OK);
	identity_free(out);
	buf_fini(&crt);
	buf_fini(&key);
	identity_free(a);
	identity_free(b);
}

/* The way of a shared site certificate, from `cert export` on the master to `init clone --site-certificate`. */
static void identity__site_certificate__brings_its_trust(void **state)
{
	char *p12 = mem_xasprintf("%s/site.p12", dir), *alias = NULL;
	struct identity *id = NULL;
	struct trust *trust = NULL;
	struct cert_der der;
	struct buf b;

	(void)state;
	save("ssl_cert");
	assert_int_equal(identity_load(&id, ks, "ssl_cert"), KC_OK);
	buf_init(&b, 65536);
	assert_int_equal(identity_export(&b, id, IDENTITY_P12, true, "x"), KC_OK);
	assert_int_equal(file_replace(p12, buf_data(&b), buf_len(&b), 0600), KC_OK);
	buf_fini(&b);
	assert_int_equal(file_remove_tree(ks), KC_OK);
	assert_int_equal(identity_import_site(&alias, ks, ts, p12, "y", NULL), KC_EPASSWORD);
	assert_int_equal(identity_import_site(&alias, ks, ts, p12, "x", NULL), KC_OK);
	assert_string_equal(alias, "ssl_cert");
	assert_int_equal(trust_load(&trust, ts), KC_OK);
	der = identity_chain_der(id, 0);
	assert_int_equal(trust_verify(NULL, trust, &der, 1, CERT_USE_CLIENT, 0), KC_OK);
	trust_free(trust);
	identity_free(id);
	assert_int_equal(identity_load(&id, ks, alias), KC_OK);
	identity_free(id);
	free(alias);
	free(p12);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(alias__bad_ones__are_refused),
		T(issue__self_signed__says_what_was_asked),
		T(issue__bad_requests__are_refused),
		T(issue__fifty_years__are_possible),
		T(authority__issues_certificates__that_verify_with_their_role),
		T(identity__saved__loads_again),
		T(identity__resolve__names_the_aliases_when_there_are_several),
		T(identity__list__is_sorted),
		T(identity__replaced__is_the_new_one),
		T(identity__replacement_cut_short__loads),
		T(identity__key_of_somebody_else__is_never_replaced),
		T(identity__lost_secret__is_named),
		T(identity__exported_p12__comes_back),
		T(identity__exported_pem__comes_back),
		T(identity__exports_without_key__hold_none),
		T(identity__key_of_another_certificate__is_refused),
		T(identity__site_certificate__brings_its_trust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
