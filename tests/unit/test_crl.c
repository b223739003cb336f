/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of revocation lists: what is taken in, whom they shut out, and the own authority's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/issue.h"
#include "tests/loop/pki.h"

static struct pki_ca *own, *site, *below, *rogue;
static struct identity *good, *bad, *site_good, *site_bad;
static struct buf lists;

static int setup(void **state)
{
	static const struct pki_leaf spec = { .cn = "peer", .dns = "localhost", .role = CERT_ROLE_CLONE };

	(void)state;
	if (mem_init() < 0)
		return -1;
	own = pki_ca_new("own authority", true);
	site = pki_ca_new("Site Root", false);
	below = pki_ca_below(site, "Site Issuing");
	rogue = pki_ca_new("rogue", false);
	good = pki_leaf_new(own, &spec);
	bad = pki_leaf_new(own, &spec);
	site_good = pki_leaf_new(below, &spec);
	site_bad = pki_leaf_new(below, &spec);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	identity_free(good);
	identity_free(bad);
	identity_free(site_good);
	identity_free(site_bad);
	pki_ca_free(below);
	pki_ca_free(site);
	pki_ca_free(own);
	pki_ca_free(rogue);
	return 0;
}

static int each_setup(void **state)
{
	(void)state;
	buf_init(&lists, 1 << 20);
	return 0;
}

static int each_teardown(void **state)
{
	(void)state;
	buf_fini(&lists);
	return 0;
}

static int verify(const struct trust *trust, const struct identity *id)
{
	struct cert_der chain[4];
	size_t n = identity_chain_count(id);

	for (size_t i = 0; i < n && i < 4; i++)
		chain[i] = identity_chain_der(id, i);
	return trust_verify(NULL, trust, chain, n, CERT_USE_CLIENT, 0);
}

/* A trust with `lists` of both authorities; `refused` is, and `passed` is not. */
static void expect(const struct identity *refused, const struct identity *passed, const char *text)
{
	struct trust *trust = pki_trust_new(own, site, NULL);
	int rc = pki_trust_crl(trust, &lists, NULL);

	if (rc < 0)
		fail_msg("%s", err_text(rc));
	assert_int_equal(rc, KC_OK);
	rc = verify(trust, refused);
	assert_int_equal(rc, KC_ECERT);
	if (strstr(err_text(rc), text) == NULL)
		fail_msg("'%s' lacks '%s'", err_text(rc), text);
	assert_int_equal(verify(trust, passed), KC_OK);
	trust_free(trust);
}

static void expect_unusable(int code, const char *text)
{
	struct trust *trust = pki_trust_new(own, site, NULL);
	int rc = pki_trust_crl(trust, &lists, NULL);

	assert_int_equal(rc, code);
	if (strstr(err_text(rc), text) == NULL)
		fail_msg("'%s' lacks '%s'", err_text(rc), text);
	trust_free(trust);
}

static void crl__revoked_leaf__is_refused_and_others_are_not(void **state)
{
	(void)state;
	pki_crl_new(&lists, own, &(struct pki_crl){ .revoked = { bad } });
	expect(bad, good, "certificate peer was revoked at 20");
	expect(bad, good, "by own authority");
}

static void crl__in_der__is_the_same(void **state)
{
	(void)state;
	pki_crl_new(&lists, own, &(struct pki_crl){ .revoked = { bad }, .der = true });
	expect(bad, good, "was revoked at");
}

static void crl__stale_or_of_the_future__is_in_force(void **state)
{
	(void)state;
	pki_crl_new(&lists, own,
	    &(struct pki_crl){ .revoked = { bad }, .this_update = -86400 * 30, .next_update = -86400 * 20 });
	expect(bad, good, "was revoked at");
	buf_fini(&lists);
	buf_init(&lists, 1 << 20);
	pki_crl_new(
	    &lists, own, &(struct pki_crl){ .revoked = { bad }, .this_update = 86400, .next_update = 86400 * 2 });
	expect(bad, good, "was revoked at");
}

static void crl__several_in_a_file__count_all(void **state)
{
	struct trust *trust = pki_trust_new(own, site, NULL);
	struct trust_crl c;

	(void)state;
	buf_put_str(&lists, "text before it\n");
	pki_crl_new(&lists, site, &(struct pki_crl){ .revoked = { 0 }, .number = 7 });
	buf_put_str(&lists, "and between\n");
	pki_crl_new(&lists, own, &(struct pki_crl){ .revoked = { bad, good }, .number = 9 });
	assert_int_equal(pki_trust_crl(trust, &lists, NULL), KC_OK);
	assert_int_equal(trust_crl_count(trust), 2);
	c = trust_crl_at(trust, 1);
	assert_string_equal(c.issuer, "own authority");
	assert_string_equal(c.number, "09");
	assert_int_equal(c.revoked, 2);
	assert_int_equal(verify(trust, bad), KC_ECERT);
	assert_int_equal(verify(trust, good), KC_ECERT);
	assert_int_equal(verify(trust, site_good), KC_OK);
	trust_free(trust);
}

static void crl__revoked_authority_below__shuts_out_what_it_issued(void **state)
{
	(void)state;
	pki_crl_new(&lists, site, &(struct pki_crl){ .revoked_ca = below });
	expect(site_good, good, "certificate Site Issuing was revoked at");
}

static void crl__of_an_authority_below__needs_its_certificate(void **state)
{
	struct trust *trust;

	(void)state;
	pki_crl_new(&lists, below, &(struct pki_crl){ .revoked = { site_bad } });
	expect_unusable(KC_ECERT, "the revocation list of Site Issuing, which is not in the truststore");
	/* It may come along with our own chain, or in the file. */
	trust = pki_trust_new(own, site, NULL);
	assert_int_equal(pki_trust_crl(trust, &lists, site_good), KC_OK);
	assert_int_equal(verify(trust, site_bad), KC_ECERT);
	assert_int_equal(verify(trust, site_good), KC_OK);
	trust_free(trust);
	pki_ca_pem(&lists, below);
	expect(site_bad, site_good, "certificate peer was revoked at");
}

static void crl__forged__is_refused(void **state)
{
	(void)state;
	pki_crl_new(&lists, own, &(struct pki_crl){ .revoked = { 0 }, .signed_by = rogue });
	expect_unusable(KC_ECERT, "the revocation list of own authority is not genuine: its signature does not verify");
}

static void crl__of_a_stranger__is_refused(void **state)
{
	(void)state;
	pki_crl_new(&lists, rogue, &(struct pki_crl){ .revoked = { 0 } });
	expect_unusable(KC_ECERT, "the revocation list of rogue, which is not in the truststore");
	/* Nor does a stranger's authority in the file vouch for it. */
	pki_ca_pem(&lists, rogue);
	expect_unusable(KC_ECERT, "which is not in the truststore");
}

static void crl__garbage__is_refused(void **state)
{
	(void)state;
	expect_unusable(KC_EFORMAT, "empty, no revocation list");
	buf_put_str(&lists, "not a list");
	expect_unusable(KC_EFORMAT, "neither PEM nor DER");
	buf_fini(&lists);
	buf_init(&lists, 1 << 20);
	pki_ca_pem(&lists, own);
	expect_unusable(KC_EFORMAT, "though it is PEM");
}

static void crl__damaged_in_the_middle__is_refused(void **state)
{
	char *text;

	(void)state;
	pki_crl_new(&lists, own, &(struct pki_crl){ .revoked = { bad }, .der = true });
	text = (char *)(uintptr_t)buf_data(&lists);
	text[buf_len(&lists) / 2] ^= 0x40;
	{
		struct trust *trust = pki_trust_new(own, site, NULL);
		int rc = pki_trust_crl(trust, &lists, NULL);

		assert_true(rc == KC_ECERT || rc == KC_EFORMAT);
		trust_free(trust);
	}
}

/* --- the own authority's --- */

static char dir[64], secrets[96], store[96];

static int own_setup(void **state)
{
	struct issue_authority *a = NULL;
	struct buf pem;
	size_t added;

	each_setup(state);
	strcpy(dir, "/tmp/kc-test-crl.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(secrets, sizeof(secrets), "%s/secrets", dir);
	snprintf(store, sizeof(store), "%s/store", dir);
	buf_init(&pem, 65536);
	if (issue_authority_create(secrets, "Our Authority", ISSUE_ECDSA_P256, 0) < 0 ||
	    issue_authority_load(&a, secrets) < 0 || issue_authority_pem(&pem, a) < 0 ||
	    trust_add(&added, NULL, store, NULL, buf_data(&pem), buf_len(&pem)) < 0)
		return -1;
	issue_authority_free(a);
	buf_fini(&pem);
	return 0;
}

static int own_teardown(void **state)
{
	each_teardown(state);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static struct identity *issued(void)
{
	struct issue_request r = { .cn = "clone", .role = CERT_ROLE_CLONE };
	struct issue_authority *a = NULL;
	struct identity *id = NULL;

	assert_int_equal(issue_authority_load(&a, secrets), KC_OK);
	assert_int_equal(issue_identity(&id, a, &r), KC_OK);
	issue_authority_free(a);
	return id;
}

static size_t revoke_it(const struct identity *id)
{
	const char *serial = identity_info(id)->serial;
	size_t added = 99;

	buf_fini(&lists);
	buf_init(&lists, 1 << 20);
	assert_int_equal(issue_revoke(&lists, &added, secrets, &serial, 1), KC_OK);
	return added;
}

static int judge(const struct identity *id)
{
	struct trust *trust = NULL;
	int rc;

	assert_int_equal(trust_load(&trust, store), KC_OK);
	rc = verify(trust, id);
	trust_free(trust);
	return rc;
}

static void own__revoked__is_refused_where_the_list_was_taken(void **state)
{
	struct identity *one = issued(), *two = issued();
	struct trust *trust = NULL;
	struct trust_crl c;
	size_t taken = 99;

	(void)state;
	assert_int_equal(issue_crl_pem(&lists, secrets), KC_ENOENT);
	assert_int_equal(revoke_it(one), 1);
	assert_int_equal(judge(one), KC_OK);
	assert_int_equal(trust_take_crl(&taken, store, buf_data(&lists), buf_len(&lists)), KC_OK);
	assert_int_equal(taken, 1);
	assert_int_equal(judge(one), KC_ECERT);
	assert_int_equal(judge(two), KC_OK);
	/* The number grows, and what was revoked stays so. */
	assert_int_equal(revoke_it(two), 1);
	assert_int_equal(trust_take_crl(&taken, store, buf_data(&lists), buf_len(&lists)), KC_OK);
	assert_int_equal(judge(one), KC_ECERT);
	assert_int_equal(judge(two), KC_ECERT);
	assert_int_equal(trust_load(&trust, store), KC_OK);
	assert_int_equal(trust_crl_count(trust), 1);
	c = trust_crl_at(trust, 0);
	assert_string_equal(c.number, "02");
	assert_int_equal(c.revoked, 2);
	assert_true(c.next_update > time(NULL) + 86400L * 365 * 19);
	trust_free(trust);
	identity_free(one);
	identity_free(two);
}

static void own__older_list__does_not_replace_a_newer_one(void **state)
{
	struct identity *one = issued(), *two = issued();
	struct buf older;
	size_t taken = 99;

	(void)state;
	revoke_it(one);
	buf_init(&older, 1 << 20);
	buf_put(&older, buf_data(&lists), buf_len(&lists));
	revoke_it(two);
	assert_int_equal(trust_take_crl(&taken, store, buf_data(&lists), buf_len(&lists)), KC_OK);
	assert_int_equal(taken, 1);
	assert_int_equal(trust_take_crl(&taken, store, buf_data(&lists), buf_len(&lists)), KC_OK);
	assert_int_equal(taken, 0);
	assert_int_equal(trust_take_crl(&taken, store, buf_data(&older), buf_len(&older)), KC_OK);
	assert_int_equal(taken, 0);
	assert_int_equal(judge(two), KC_ECERT);
	buf_fini(&older);
	identity_free(one);
	identity_free(two);
}

static void own__again__signs_no_new_list(void **state)
{
	struct identity *one = issued();
	size_t first;

	(void)state;
	assert_int_equal(revoke_it(one), 1);
	first = buf_len(&lists);
	assert_int_equal(revoke_it(one), 0);
	assert_int_equal(buf_len(&lists), first);
	identity_free(one);
}

/* Who has a certificate of the one before, and already one of the one to come. */
static void own__while_it_is_replaced__both_revoke(void **state)
{
	struct issue_authority *a = NULL;
	struct identity *one = issued(), *two;
	struct buf pem;
	size_t n = 0;

	(void)state;
	buf_init(&pem, 65536);
	assert_int_equal(issue_authority_replace(secrets), KC_OK);
	assert_int_equal(issue_authority_load(&a, secrets), KC_OK);
	assert_int_equal(issue_authority_pem(&pem, a), KC_OK);
	two = issued();
	assert_int_equal(revoke_it(one), 1);
	/* The one to come is not trusted yet. */
	assert_int_equal(trust_take_crl(&n, store, buf_data(&lists), buf_len(&lists)), KC_OK);
	assert_int_equal(n, 1);
	assert_int_equal(trust_add(&n, NULL, store, NULL, buf_data(&pem), buf_len(&pem)), KC_OK);
	assert_int_equal(judge(one), KC_ECERT);
	assert_int_equal(judge(two), KC_OK);
	assert_int_equal(revoke_it(two), 1);
	assert_int_equal(trust_take_crl(&n, store, buf_data(&lists), buf_len(&lists)), KC_OK);
	assert_int_equal(judge(two), KC_ECERT);
	/* Taken back, the one before has not forgotten. */
	assert_int_equal(issue_authority_settle(secrets, true), KC_OK);
	assert_int_equal(revoke_it(one), 0);
	issue_authority_free(a);
	buf_fini(&pem);
	identity_free(one);
	identity_free(two);
}

static void own__what_is_no_serial_number__is_refused(void **state)
{
	static const char *const bads[] = { "", "xyz", "0", "abc", "00112233445566778899aabbccddeeff0011223344" };
	size_t added;

	(void)state;
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
		assert_int_equal(issue_revoke(&lists, &added, secrets, &bads[i], 1), KC_EUSAGE);
	assert_int_equal(buf_len(&lists), 0);
}

static void own__damaged_list__is_not_replaced(void **state)
{
	struct identity *one = issued();
	const char *serial = identity_info(one)->serial;
	char *path = file_join(secrets, "authority.crl");
	size_t added;

	(void)state;
	assert_int_equal(file_replace(path, "rubbish", 7, 0644), KC_OK);
	assert_int_equal(issue_revoke(&lists, &added, secrets, &serial, 1), KC_EDAMAGED);
	free(path);
	identity_free(one);
}

static void take__list_of_a_stranger__is_refused(void **state)
{
	(void)state;
	pki_crl_new(&lists, rogue, &(struct pki_crl){ .number = 1 });
	assert_int_equal(trust_take_crl(NULL, store, buf_data(&lists), buf_len(&lists)), KC_ECERT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, each_setup, each_teardown)
#define O(f) cmocka_unit_test_setup_teardown(f, own_setup, own_teardown)
		T(crl__revoked_leaf__is_refused_and_others_are_not),
		T(crl__in_der__is_the_same),
		T(crl__stale_or_of_the_future__is_in_force),
		T(crl__several_in_a_file__count_all),
		T(crl__revoked_authority_below__shuts_out_what_it_issued),
		T(crl__of_an_authority_below__needs_its_certificate),
		T(crl__forged__is_refused),
		T(crl__of_a_stranger__is_refused),
		T(crl__garbage__is_refused),
		T(crl__damaged_in_the_middle__is_refused),
		O(own__revoked__is_refused_where_the_list_was_taken),
		O(own__older_list__does_not_replace_a_newer_one),
		O(own__again__signs_no_new_list),
		O(own__while_it_is_replaced__both_revoke),
		O(own__what_is_no_serial_number__is_refused),
		O(own__damaged_list__is_not_replaced),
		O(take__list_of_a_stranger__is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
