/* SPDX-License-Identifier: Apache-2.0 */
/* own_cert: who can renew this machine's certificate, and when that is due; and the depot, which keeps others'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/depot.h"
#include "daemon/own_cert.h"
#include "keystore/issue.h"
#include "keystore/trust.h"

#define DAY 86400

static char dir[64];
static struct conf conf;
static struct issue_authority *authority;

static struct identity *issued(const char *cn, const char *san, enum cert_role role, bool self)
{
	struct issue_request r = {
		.cn = cn, .sans = &san, .san_count = 1, .days = 90, .role = self ? CERT_ROLE_NONE : role
	};
	struct identity *id = NULL;

	assert_int_equal(issue_identity(&id, self ? NULL : authority, &r), KC_OK);
	return id;
}

static int setup(void **state)
{
	struct buf pem;
	size_t added;

	(void)state;
	strcpy(dir, "/tmp/kc-test-own-cert.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	memset(&conf, 0, sizeof(conf));
	conf.role = CONF_CLONE;
	conf.keystore_dir = file_join(dir, "keystore");
	conf.truststore_dir = file_join(dir, "truststore");
	if (issue_authority_create(dir, "test authority", ISSUE_ECDSA_P256, 0) < 0 ||
	    issue_authority_load(&authority, dir) < 0)
		return -1;
	buf_init(&pem, 65536);
	assert_int_equal(issue_authority_pem(&pem, authority), KC_OK);
	assert_int_equal(trust_add(&added, NULL, conf.truststore_dir, NULL, buf_data(&pem), buf_len(&pem)), KC_OK);
	buf_fini(&pem);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	issue_authority_free(authority);
	free(conf.keystore_dir);
	free(conf.truststore_dir);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static void obstacle_of(const struct identity *id, const char *expected)
{
	struct own_cert own = { 0 };

	assert_int_equal(identity_save(id, conf.keystore_dir, "tls", true), KC_OK);
	assert_int_equal(own_cert_load(&own, &conf), KC_OK);
	if (expected == NULL)
		assert_null(own_cert_obstacle(&own));
	else
		assert_string_equal(own_cert_obstacle(&own), expected);
	own_cert_fini(&own);
}

static void obstacle__by_whose_it_is(void **state)
{
	struct identity *clone = issued("c", "127.0.0.1", CERT_ROLE_CLONE, false),
			*master = issued("m", "127.0.0.1", CERT_ROLE_MASTER, false),
			*self = issued("s", "127.0.0.1", CERT_ROLE_NONE, true);
	struct own_cert own = { 0 };

	(void)state;
	obstacle_of(clone, NULL);
	obstacle_of(master, "it is shared with other machines");
	obstacle_of(self, "it is self-signed");
	conf.role = CONF_MASTER;
	obstacle_of(master, NULL);
	conf.tls_alias = mem_xstrdup("pkcs11:token=x;object=y");
	assert_int_equal(own_cert_load(&own, &conf), KC_OK);
	assert_string_equal(own_cert_obstacle(&own), "its key is in a token");
	own_cert_fini(&own);
	free(conf.tls_alias);
	identity_free(clone);
	identity_free(master);
	identity_free(self);
}

static void refused(const struct identity *id, const char *why)
{
	assert_int_equal(own_cert_check(id, &conf), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), why));
}

static void check__only_what_peers_take(void **state)
{
	struct identity *clone = issued("c", "127.0.0.1", CERT_ROLE_CLONE, false),
			*master = issued("m", "127.0.0.1", CERT_ROLE_MASTER, false),
			*self = issued("s", "127.0.0.1", CERT_ROLE_NONE, true);
	struct cert_info *info = (struct cert_info *)(uintptr_t)identity_info(self);

	(void)state;
	identity_rename(clone, "cl");
	assert_int_equal(own_cert_check(clone, &conf), KC_OK);
	/* The site's. */
	assert_int_equal(own_cert_check(master, &conf), KC_OK);
	conf.role = CONF_MASTER;
	assert_int_equal(own_cert_check(master, &conf), KC_OK);
	assert_int_equal(own_cert_check(self, &conf), KC_OK);
	refused(clone, "alias cl: is a clone's certificate; a master needs one with the role master");
	info->not_before = time(NULL) + 60;
	refused(self, "its certificate is not valid yet (its begin ");
	info->not_before = info->not_after = time(NULL) - 60;
	refused(self, "its certificate has expired (its end ");
	/* What another authority says of roles is nothing to us. */
	assert_int_equal(file_remove_tree(conf.truststore_dir), KC_OK);
	assert_int_equal(own_cert_check(clone, &conf), KC_OK);
	identity_free(clone);
	identity_free(master);
	identity_free(self);
}

static void due__a_third_of_the_life_before_the_end(void **state)
{
	struct cert_info info = { .not_before = 1000000000 - 3600, .not_after = 1000000000 + (time_t)90 * DAY };

	(void)state;
	assert_int_equal(own_cert_due(&info), 1000000000 + 60 * DAY - 1200);
	assert_int_equal(own_cert_days(&info), 90);
	/* What is renewed again and again lasts as long as ever. */
	info.not_after += 3000;
	assert_int_equal(own_cert_days(&info), 90);
	info.not_after = info.not_before + 60;
	assert_int_equal(own_cert_days(&info), 1);
	assert_int_equal(own_cert_due(&info), info.not_after - 20);
}

static void names__as_they_are(void **state)
{
	struct identity *id = issued("c.example", "ip:::1", CERT_ROLE_CLONE, false);
	json_t *request = json_object();

	(void)state;
	own_cert_names(request, identity_info(id));
	assert_string_equal(member_text(request, "cn"), "c.example");
	assert_string_equal(json_string_value(json_array_get(json_object_get(request, "sans"), 0)), "ip:::1");
	json_decref(request);
	identity_free(id);
}

static void depot__keeps_what_the_clone_may_show(void **state)
{
	struct identity *good = issued("c", "10.0.0.5", CERT_ROLE_CLONE, false),
			*master = issued("m", "10.0.0.5", CERT_ROLE_MASTER, false),
			*self = issued("s", "10.0.0.5", CERT_ROLE_NONE, true),
			*v6 = issued("six", "ip:2001:db8::5", CERT_ROLE_CLONE, false), *got = NULL;
	struct identity_list list = { 0 };
	char *name;

	(void)state;
	assert_int_equal(depot_add(&conf, "10.0.0.5", 2222, master, false), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "carries another role"));
	assert_int_equal(depot_add(&conf, "10.0.0.5", 2222, self, false), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "not in the truststore"));
	assert_int_equal(depot_add(&conf, "10.0.0.6", 2222, good, false), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "for another host"));
	assert_int_equal(depot_load(&got, &conf, "10.0.0.5:2222"), KC_ENOENT);
	assert_int_equal(depot_add(&conf, "10.0.0.5", 2222, good, false), KC_OK);
	assert_int_equal(depot_add(&conf, "10.0.0.5", 2222, good, false), KC_EEXIST);
	assert_int_equal(depot_add(&conf, "2001:db8::5", 2222, v6, false), KC_OK);
	assert_int_equal(depot_load(&got, &conf, "10.0.0.5:2222"), KC_OK);
	assert_string_equal(identity_info(got)->sha256, identity_info(good)->sha256);
	identity_free(got);
	assert_int_equal(depot_load(&got, &conf, "10.0.0.5:2223"), KC_ENOENT);
	assert_int_equal(depot_list(&list, &conf), KC_OK);
	assert_int_equal(list.count, 2);
	name = depot_name(list.entries[1].alias);
	assert_string_equal(name, "[2001:db8::5]:2222");
	free(name);
	identity_list_fini(&list);
	assert_int_equal(depot_remove(&conf, "10.0.0.5", 2222), KC_OK);
	assert_int_equal(depot_remove(&conf, "10.0.0.5", 2222), KC_ENOENT);
	identity_free(good);
	identity_free(master);
	identity_free(self);
	identity_free(v6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(obstacle__by_whose_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(check__only_what_peers_take, setup, teardown),
		cmocka_unit_test_setup_teardown(due__a_third_of_the_life_before_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(names__as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(depot__keeps_what_the_clone_may_show, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
