/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of what happens to the files of the keystore: pending requests, answers, renewals, what is retired. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/foreign.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/request.h"
#include "keystore/retired.h"

static char dir[] = "/tmp/keystore-store-XXXXXX";
static char *ks, *secrets;

static int setup(void **state)
{
	(void)state;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	ks = file_join(dir, "keystore");
	secrets = file_join(dir, "secrets");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(ks);
	free(secrets);
	return file_remove_tree(dir);
}

static struct identity *self_signed(const char *cn)
{
	struct issue_request r = { .cn = cn };
	struct identity *id = NULL;

	assert_int_equal(issue_identity(&id, NULL, &r), KC_OK);
	return id;
}

static void save(const char *alias, const char *cn, bool replace)
{
	struct identity *id = self_signed(cn);

	assert_int_equal(identity_save(id, ks, alias, replace), KC_OK);
	identity_free(id);
}

static bool there(const char *name)
{
	char *path = file_join(ks, name);
	bool yes = file_exists(path);

	free(path);
	return yes;
}

static void put(const char *name, const char *from)
{
	char *path = file_join(ks, name), *source = file_join(ks, from);
	struct buf b;

	buf_init(&b, 65536);
	assert_int_equal(file_read(&b, source), KC_OK);
	assert_int_equal(file_replace(path, buf_data(&b), buf_len(&b), 0600), KC_OK);
	buf_fini(&b);
	free(path);
	free(source);
}

static void request(const char *alias, const char *subject)
{
	struct issue_request r = { .subject = subject };
	struct request *q = NULL;

	assert_int_equal(request_new(&q, &r), KC_OK);
	assert_int_equal(request_save(q, ks, alias, false), KC_OK);
	request_free(q);
}

/* What an authority answers to the request of an alias. */
static void answer(struct buf *chain, const char *alias, const char *subject, unsigned days)
{
	struct issue_request r = { .subject = subject, .days = days };
	struct issue_authority *authority = NULL;
	struct buf csr;

	if (issue_authority_load(&authority, secrets) == KC_ENOENT) {
		assert_int_equal(issue_authority_create(secrets, "company", ISSUE_ECDSA_P256, 0), KC_OK);
		assert_int_equal(issue_authority_load(&authority, secrets), KC_OK);
	}
	buf_init(&csr, REQUEST_MAX);
	buf_init(chain, 65536);
	assert_int_equal(request_kept(&csr, ks, alias), KC_OK);
	assert_int_equal(request_issue(chain, NULL, authority, buf_data(&csr), buf_len(&csr), &r), KC_OK);
	buf_fini(&csr);
	issue_authority_free(authority);
}

static int take(const char *alias, const struct buf *chain, bool any_subject)
{
	const struct identity_source s = { .file = { "answer.pem", buf_data(chain), buf_len(chain) } };
	struct identity *id = NULL;
	int rc = request_answer(&id, ks, alias, &s, any_subject);

	if (rc == KC_OK)
		rc = identity_save(id, ks, identity_alias(id), true);
	identity_free(id);
	return rc;
}

static size_t retired_count(const char *alias, size_t *with_key)
{
	struct retired_list list = { 0 };
	size_t n = 0, keys = 0;

	assert_int_equal(retired_list_load(&list, ks), KC_OK);
	for (size_t i = 0; i < list.count; i++)
		if (strcmp(list.entries[i].alias, alias) == 0) {
			n++;
			keys += list.entries[i].has_key ? 1 : 0;
		}
	retired_list_fini(&list);
	if (with_key != NULL)
		*with_key = keys;
	return n;
}

/* --- what is retired --- */

static void replaced__goes_to_retired__with_its_key(void **state)
{
	struct retired_list list = { 0 };
	struct stat st;
	char *path, *name;

	(void)state;
	assert_int_equal(retired_list_load(&list, ks), KC_OK);
	assert_int_equal(list.count, 0);
	save("a.b", "old", false);
	save("a.b", "new", true);
	assert_int_equal(retired_list_load(&list, ks), KC_OK);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.entries[0].alias, "a.b");
	assert_string_equal(list.entries[0].info.cn, "old");
	assert_true(list.entries[0].has_key && list.entries[0].has_cert);
	assert_true(llabs((long long)(list.entries[0].retired_at - time(NULL))) < 100);
	name = mem_xasprintf("%s/%s/%s.key", ks, RETIRED_DIR, list.entries[0].file);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	free(name);
	retired_list_fini(&list);
	/* Somebody's own files are left out, and do no harm. */
	path = mem_xasprintf("%s/%s/notes.crt", ks, RETIRED_DIR);
	assert_int_equal(file_replace(path, "x", 1, 0600), KC_OK);
	assert_int_equal(retired_count("a.b", NULL), 1);
	free(path);
}

static void removed__is_retired__and_gone(void **state)
{
	struct identity *id = NULL;
	size_t keys;

	(void)state;
	save("a", "a", false);
	assert_int_equal(identity_remove(ks, "a"), KC_OK);
	assert_int_equal(identity_load(&id, ks, "a"), KC_ENOENT);
	assert_false(there("a.key"));
	assert_int_equal(retired_count("a", &keys), 1);
	assert_int_equal(keys, 1);
	assert_int_equal(identity_remove(ks, "a"), KC_ENOENT);
	assert_int_equal(identity_remove(ks, "../a"), KC_EUSAGE);
	save("a", "again", false);
	assert_int_equal(identity_remove(ks, "a"), KC_OK);
	assert_int_equal(retired_count("a", NULL), 2);
}

/* The crash after the key is gone: the alias is there still and can be removed. */
static void removed__cut_short__can_be_done_again(void **state)
{
	char *key = file_join(dir, "keystore/a.key");

	(void)state;
	save("a", "a", false);
	assert_int_equal(file_remove(key), KC_OK);
	assert_int_equal(identity_remove(ks, "a"), KC_OK);
	assert_false(there("a.crt"));
	free(key);
}

/* A replacement that was cut short between chain and key, and another one after it: the only fitting key survives. */
static void replaced__after_one_cut_short__keeps_a_fitting_key(void **state)
{
	struct retired_list list = { 0 };
	struct identity *id = NULL;
	size_t keys = 0;

	(void)state;
	save("a", "first", false);
	save("b", "second", false);
	put("a.key.new", "b.key");
	put("a.crt", "b.crt");
	save("a", "third", true);
	assert_int_equal(identity_load(&id, ks, "a"), KC_OK);
	assert_string_equal(identity_info(id)->cn, "third");
	identity_free(id);
	assert_false(there("a.key.new"));
	assert_int_equal(retired_count("a", &keys), 1);
	assert_int_equal(keys, 1);
	assert_int_equal(retired_list_load(&list, ks), KC_OK);
	assert_string_equal(list.entries[0].info.cn, "second");
	retired_list_fini(&list);
	/* the leftover of one that had not come to the chain */
	put("a.key.new", "b.key");
	save("a", "fourth", true);
	assert_false(there("a.key.new"));
}

/* --- requests --- */

static void request__saved__is_pending(void **state)
{
	struct request_list list = { 0 };
	struct request *q = NULL;
	struct issue_request r = { .cn = "x" };
	struct identity *id = self_signed("x");
	char *alias = NULL;
	size_t keys = 0;

	(void)state;
	request("ext", "CN=x,O=Company");
	assert_int_equal(request_list_load(&list, ks), KC_OK);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.entries[0].alias, "ext");
	assert_string_equal(list.entries[0].subject, "CN=x,O=Company");
	assert_string_equal(list.entries[0].key_type, "ecdsa-p256");
	assert_true(list.entries[0].has_key);
	request_list_fini(&list);
	assert_int_equal(identity_resolve(&alias, ks, NULL), KC_ECONF); /* it does not count as an identity */
	assert_int_equal(identity_save(id, ks, "ext", false), KC_EEXIST);
	assert_int_equal(request_new(&q, &r), KC_OK);
	assert_int_equal(request_save(q, ks, "ext", false), KC_EEXIST);
	assert_int_equal(request_save(q, ks, "ext", true), KC_OK);
	assert_int_equal(retired_count("ext", &keys), 1);
	assert_int_equal(keys, 1);
	assert_int_equal(identity_save(id, ks, "ext", true), KC_OK); /* another key takes its place */
	assert_false(there("ext.csr"));
	assert_int_equal(retired_count("ext", NULL), 2);
	assert_int_equal(request_save(q, ks, "ext", true), KC_EEXIST);
	request_free(q);
	identity_free(id);
}

static void request__without_common_name__is_refused(void **state)
{
	struct issue_request r = { .subject = "O=Company" };
	struct request *q = NULL;

	(void)state;
	assert_int_equal(request_new(&q, &r), KC_EUSAGE);
	r.cn = "x";
	assert_int_equal(request_new(&q, &r), KC_OK);
	request_free(q);
}

/* The crash between the request and its key. */
static void request__cut_short__is_made_again_or_removed(void **state)
{
	char *key = file_join(dir, "keystore/ext.key");

	(void)state;
	request("ext", "CN=x");
	assert_int_equal(file_remove(key), KC_OK);
	request("ext", "CN=x");
	assert_true(there("ext.key"));
	assert_int_equal(file_remove(key), KC_OK);
	assert_int_equal(identity_remove(ks, "ext"), KC_OK);
	assert_false(there("ext.csr"));
	free(key);
}

static void answer__of_the_authority__makes_the_identity(void **state)
{
	struct identity *id = NULL;
	struct buf chain;

	(void)state;
	request("ext", "CN=x,O=Company");
	answer(&chain, "ext", "O=company,CN=x", 30); /* another order and case are the same subject */
	assert_int_equal(take(NULL, &chain, false), KC_OK);
	assert_int_equal(identity_load(&id, ks, "ext"), KC_OK);
	assert_int_equal(identity_chain_count(id), 2);
	identity_free(id);
	assert_true(there("ext.csr"));
	assert_int_equal(retired_count("ext", NULL), 0);
	buf_fini(&chain);
}

static void answer__of_other_key_or_subject__is_refused(void **state)
{
	struct buf first, second, renamed;

	(void)state;
	request("first", "CN=x");
	request("second", "CN=y");
	answer(&first, "first", "CN=x", 30);
	answer(&second, "second", "CN=y", 30);
	answer(&renamed, "first", "CN=z", 30);
	assert_int_equal(take("first", &second, false), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "alias second"));
	assert_int_equal(take("third", &second, false), KC_ENOENT);
	assert_int_equal(take(NULL, &renamed, false), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "CN=z"));
	assert_non_null(strstr(err_text(KC_ECERT), "CN=x"));
	assert_int_equal(identity_remove(ks, "second"), KC_OK);
	assert_int_equal(take("first", &second, false), KC_ECERT);
	assert_non_null(strstr(err_text(KC_ECERT), "not in the keystore"));
	assert_int_equal(take(NULL, &second, false), KC_ECERT);
	assert_int_equal(take(NULL, &renamed, true), KC_OK); /* what the authority renamed, if it is wanted */
	buf_fini(&first);
	buf_fini(&second);
	buf_fini(&renamed);
}

static void renewal__keeps_the_key__and_retires_the_certificate(void **state)
{
	struct identity *id = NULL, *again = NULL;
	struct buf chain;
	size_t keys = 1;

	(void)state;
	request("ext", "CN=x");
	answer(&chain, "ext", "CN=x", 30);
	assert_int_equal(take(NULL, &chain, false), KC_OK);
	buf_fini(&chain);
	assert_int_equal(identity_load(&id, ks, "ext"), KC_OK);
	answer(&chain, "ext", "CN=x", 60);
	assert_int_equal(take("ext", &chain, false), KC_OK);
	assert_int_equal(identity_load(&again, ks, "ext"), KC_OK);
	assert_string_equal(identity_info(again)->spki_sha256, identity_info(id)->spki_sha256);
	assert_string_not_equal(identity_info(again)->sha256, identity_info(id)->sha256);
	assert_int_equal(retired_count("ext", &keys), 1);
	assert_int_equal(keys, 0);
	buf_fini(&chain);
	identity_free(id);
	identity_free(again);
}

/* --- other products --- */

static void foreign__keystores__are_converted_by_a_line(void **state)
{
	static const char jks[] = "\xfe\xed\xfe\xed....", jceks[] = "\xce\xce\xce\xce....", other[] = "other....";
	static const struct {
		const char *data, *path, *line;
	} cases[] = {
		{ jks, "a.jks",
		    "keytool -importkeystore -srckeystore a.jks -srcstoretype JKS -destkeystore a.p12 -deststoretype "
		    "PKCS12" },
		{ jceks, "d.x/it's",
		    "keytool -importkeystore -srckeystore 'd.x/it'\\''s' -srcstoretype JCEKS -destkeystore "
		    "'d.x/it'\\''s.p12' -deststoretype PKCS12" },
		{ other, "/k/K.KDB",
		    "gsk8capicmd_64 -cert -export -db /k/K.KDB -stashed -label LABEL -type cms -target /k/K.p12 "
		    "-target_type pkcs12" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *line = foreign_conversion(cases[i].data, 8, cases[i].path);

		assert_non_null(foreign_kind(cases[i].data, 8, cases[i].path));
		assert_string_equal(line, cases[i].line);
		free(line);
	}
	assert_null(foreign_kind(other, 8, "k.der"));
	assert_null(foreign_conversion(other, 8, "k.der"));
	assert_null(foreign_kind("", 0, "k.kdb"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(replaced__goes_to_retired__with_its_key),
		T(removed__is_retired__and_gone),
		T(removed__cut_short__can_be_done_again),
		T(replaced__after_one_cut_short__keeps_a_fitting_key),
		T(request__saved__is_pending),
		T(request__without_common_name__is_refused),
		T(request__cut_short__is_made_again_or_removed),
		T(answer__of_the_authority__makes_the_identity),
		T(answer__of_other_key_or_subject__is_refused),
		T(renewal__keeps_the_key__and_retires_the_certificate),
		T(foreign__keystores__are_converted_by_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
