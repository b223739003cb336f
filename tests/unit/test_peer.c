/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of peer: who may speak, case by case. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "keystore/cert.h"
#include "replication/peer.h"

static char name[] = "c1.example", wild[] = "*.fleet.example", four[] = "10.0.0.5", six[] = "::1";
static char own_cn[] = "KEY CLONE", other_cn[] = "other", old_cn[] = "old.example", no_cn[] = "";
static char *dns[] = { name, wild };
static char *ips[] = { four, six };
static const char *const cns[] = { "Key Clone", "other", NULL };

static struct cert_info cert_of(bool own_authority, enum cert_role role)
{
	struct cert_info c = { .cn = name,
		.subject = name,
		.dns = dns,
		.dns_count = 2,
		.ips = ips,
		.ip_count = 2,
		.role = role,
		.client = true,
		.server = true,
		.anchor_is_authority = own_authority };

	strcpy(c.spki_sha256, "aa");
	return c;
}

static void expect(
    const struct cert_info *c, enum proto_role role, const char *host, const char *own, enum peer_verdict expected)
{
	const char *owns[] = { "cc", own, NULL };
	struct peer_rule rule = { .role = role, .host = host, .cns = cns, .own_spkis = owns };
	enum peer_verdict v = peer_decide(c, &rule);

	if (v != expected)
		print_error("%s instead of %s\n", peer_name(v), peer_name(expected));
	assert_int_equal(v, expected);
}

static void decide__our_own_key__is_the_site_certificate(void **state)
{
	struct cert_info c = cert_of(false, CERT_ROLE_NONE), with_role = cert_of(true, CERT_ROLE_MASTER);

	(void)state;
	expect(&c, PROTO_CLONE, "elsewhere", "aa", PEER_SITE);
	expect(&c, PROTO_MASTER, NULL, "aa", PEER_SITE);
	expect(&with_role, PROTO_CLONE, "elsewhere", "aa", PEER_SITE);
	expect(&c, PROTO_CLONE, "elsewhere", "bb", PEER_WRONG_HOST);
}

static void decide__our_own_key_made_for_a_clone__cannot_push(void **state)
{
	struct cert_info c = cert_of(true, CERT_ROLE_CLONE);

	(void)state;
	expect(&c, PROTO_MASTER, NULL, "aa", PEER_WRONG_ROLE);
	expect(&c, PROTO_MASTER, "c1.example", "aa", PEER_WRONG_ROLE);
	/* without our authority behind it a role says nothing */
	c.anchor_is_authority = false;
	expect(&c, PROTO_MASTER, NULL, "aa", PEER_SITE);
}

static void decide__own_authority__wants_the_role_and_the_host(void **state)
{
	struct cert_info clone = cert_of(true, CERT_ROLE_CLONE), master = cert_of(true, CERT_ROLE_MASTER);
	struct cert_info none = cert_of(true, CERT_ROLE_NONE), ca = cert_of(true, CERT_ROLE_AUTHORITY);

	(void)state;
	expect(&clone, PROTO_CLONE, "c1.example", "bb", PEER_ROLE);
	expect(&clone, PROTO_CLONE, "10.0.0.5", "bb", PEER_ROLE);
	expect(&clone, PROTO_CLONE, "[::1]", "bb", PEER_ROLE);
	expect(&clone, PROTO_CLONE, "a.fleet.example", "bb", PEER_ROLE);
	expect(&clone, PROTO_CLONE, "10.0.0.6", "bb", PEER_WRONG_HOST);
	clone.cn = own_cn;
	expect(&clone, PROTO_CLONE, "10.0.0.6", "bb", PEER_ROLE);
	/* a stolen clone's certificate that would push, and a master's that would receive */
	expect(&clone, PROTO_MASTER, NULL, "bb", PEER_WRONG_ROLE);
	expect(&clone, PROTO_MASTER, "c1.example", "bb", PEER_WRONG_ROLE);
	expect(&master, PROTO_CLONE, "c1.example", "bb", PEER_WRONG_ROLE);
	expect(&none, PROTO_MASTER, NULL, "bb", PEER_NO_ROLE);
	expect(&ca, PROTO_MASTER, NULL, "bb", PEER_WRONG_ROLE);
	/* a clone without MasterHost takes any master of the authority, with it only that one */
	expect(&master, PROTO_MASTER, NULL, NULL, PEER_ROLE);
	expect(&master, PROTO_MASTER, "c1.example", NULL, PEER_ROLE);
	expect(&master, PROTO_MASTER, "m.example", NULL, PEER_WRONG_HOST);
}

/* A promoted master: what it says decides then, but only a master's role lets it say anything. */
static void decide__successor__may_be_elsewhere_with_a_masters_role(void **state)
{
	struct cert_info clone = cert_of(true, CERT_ROLE_CLONE), master = cert_of(true, CERT_ROLE_MASTER);
	struct cert_info none = cert_of(true, CERT_ROLE_NONE), foreign = cert_of(false, CERT_ROLE_MASTER);
	const char *owns[] = { "bb", NULL };
	struct peer_rule rule = { .role = PROTO_MASTER, .host = "m.example", .successor = true, .own_spkis = owns };

	(void)state;
	assert_int_equal(peer_decide(&master, &rule), PEER_ELSEWHERE);
	assert_int_equal(peer_decide(&clone, &rule), PEER_WRONG_ROLE);
	assert_int_equal(peer_decide(&none, &rule), PEER_NO_ROLE);
	assert_int_equal(peer_decide(&foreign, &rule), PEER_WRONG_HOST);
	rule.host = "c1.example";
	assert_int_equal(peer_decide(&master, &rule), PEER_ROLE);
	/* a clone is where it is configured to be */
	rule = (struct peer_rule){ .role = PROTO_CLONE, .host = "m.example", .successor = true };
	assert_int_equal(peer_decide(&clone, &rule), PEER_WRONG_HOST);
}

static void decide__other_anchor__wants_a_name(void **state)
{
	struct cert_info c = cert_of(false, CERT_ROLE_NONE), forged = cert_of(false, CERT_ROLE_MASTER);

	(void)state;
	expect(&c, PROTO_CLONE, "c1.example", "bb", PEER_HOST);
	expect(&c, PROTO_CLONE, "C1.Example", "bb", PEER_HOST);
	expect(&c, PROTO_CLONE, "c2.example", "bb", PEER_WRONG_HOST);
	expect(&c, PROTO_MASTER, NULL, "bb", PEER_NO_NAME);
	/* a role that a foreign authority wrote is worth nothing */
	expect(&forged, PROTO_MASTER, NULL, "bb", PEER_NO_NAME);
	c.cn = other_cn;
	expect(&c, PROTO_MASTER, NULL, "bb", PEER_CN);
	c.cn = no_cn;
	expect(&c, PROTO_MASTER, NULL, "bb", PEER_NO_NAME);
}

/* Who connects to a master. */
static void decide__hosts__one_of_them_is_enough_for_other_anchors(void **state)
{
	const char *hosts[] = { "c2.example", "10.0.0.5", NULL }, *none[] = { NULL };
	struct cert_info other = cert_of(false, CERT_ROLE_NONE), master = cert_of(true, CERT_ROLE_MASTER);
	struct peer_rule rule = { .role = PROTO_CLONE, .hosts = hosts };

	(void)state;
	assert_int_equal(peer_decide(&other, &rule), PEER_HOST);
	assert_int_equal(peer_decide(&master, &rule), PEER_WRONG_ROLE);
	hosts[1] = "10.0.0.6";
	assert_int_equal(peer_decide(&other, &rule), PEER_NO_NAME);
	rule.cns = cns;
	other.cn = other_cn;
	assert_int_equal(peer_decide(&other, &rule), PEER_CN);
	rule = (struct peer_rule){ .role = PROTO_CLONE, .hosts = none };
	assert_int_equal(peer_decide(&other, &rule), PEER_NO_NAME);
}

static void decide__common_name__is_a_host_only_without_san(void **state)
{
	struct cert_info c = cert_of(false, CERT_ROLE_NONE);

	(void)state;
	c.cn = old_cn;
	expect(&c, PROTO_CLONE, "old.example", NULL, PEER_WRONG_HOST);
	c.dns_count = c.ip_count = 0;
	expect(&c, PROTO_CLONE, "old.example", NULL, PEER_HOST);
}

static void verdict__each__has_a_text_and_a_code(void **state)
{
	(void)state;
	for (int v = PEER_SITE; v <= PEER_SILENT; v++) {
		assert_true(strlen(peer_text((enum peer_verdict)v)) > 0);
		assert_int_equal(strncmp(peer_name((enum peer_verdict)v), "PEER_", 5), 0);
		assert_int_equal(peer_may_speak((enum peer_verdict)v), v <= PEER_TOKEN);
		assert_int_equal(strcmp(peer_msg_code((enum peer_verdict)v), "KC0000I") == 0, v <= PEER_TOKEN);
	}
	assert_false(peer_may_speak(PEER_UNDECIDED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decide__our_own_key__is_the_site_certificate),
		cmocka_unit_test(decide__our_own_key_made_for_a_clone__cannot_push),
		cmocka_unit_test(decide__own_authority__wants_the_role_and_the_host),
		cmocka_unit_test(decide__successor__may_be_elsewhere_with_a_masters_role),
		cmocka_unit_test(decide__other_anchor__wants_a_name),
		cmocka_unit_test(decide__hosts__one_of_them_is_enough_for_other_anchors),
		cmocka_unit_test(decide__common_name__is_a_host_only_without_san),
		cmocka_unit_test(verdict__each__has_a_text_and_a_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
