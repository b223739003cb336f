/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of a clone's steps of a rotation: which directives it takes, and what each step leaves behind. The worker
 * around them is played here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/properties.h"
#include "daemon/sealed.h"
#include "daemon/worker_int.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/request.h"
#include "keystore/trust.h"

static char dir[64], path[96];
static struct worker w;
static struct secrets master; /* who directs */
static struct issue_authority *authority;
static uint64_t serial = 1000;
static unsigned asked; /* that a step begins */
static int may_begin = KC_OK;

/* --- the worker --- */

int worker_ask(json_t **answer, struct worker *worker, json_t *question)
{
	(void)worker;
	asked++;
	json_decref(question);
	*answer = may_begin == KC_OK ? json_object() : NULL;
	return may_begin < 0 ? err_set(may_begin, "the audit log is full") : KC_OK;
}

int worker_get_string(const char **value, const json_t *request, const char *name)
{
	*value = json_string_value(json_object_get(request, name));
	return *value != NULL ? KC_OK : err_set(KC_EPROTO, "request lacks %s", name);
}

static void read_conf(void)
{
	struct conf_problems problems = { 0 };

	conf_free(w.conf);
	w.conf = NULL;
	assert_int_equal(conf_load(&w.conf, path, 0, &problems), KC_OK);
	conf_problems_fini(&problems);
}

static char *file_of(const char *name)
{
	return file_join(dir, name);
}

static void make_identity(const char *alias, const char *cn)
{
	static const char *const sans[] = { "127.0.0.1" };
	struct issue_request r = { .cn = cn, .sans = sans, .san_count = 1, .role = CERT_ROLE_CLONE };
	struct identity *id = NULL;

	assert_int_equal(issue_identity(&id, authority, &r), KC_OK);
	assert_int_equal(identity_save(id, w.conf->keystore_dir, alias, false), KC_OK);
	identity_free(id);
}

static int setup(void **state)
{
	char *other, *pub;
	struct sign_public public;
	bool added;

	(void)state;
	strcpy(dir, "/tmp/kc-test-directive.XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/keyclone.properties", dir);
	other = file_of("master");
	assert_int_equal(file_make_dirs(other), KC_OK);
	assert_int_equal(secrets_open(&master, other, true), KC_OK);
	assert_int_equal(issue_authority_create(other, "authority", ISSUE_ECDSA_P256, 0), KC_OK);
	assert_int_equal(issue_authority_load(&authority, other), KC_OK);
	free(other);
	assert_int_equal(file_replace(path, "replication.role=clone\n", 23, 0600), KC_OK);
	w.conf_path = path;
	read_conf();
	assert_int_equal(secrets_open(&w.secrets, w.conf->secrets_dir, false), KC_OK);
	pub = file_of("master/signing.pub");
	assert_int_equal(sign_public_read(&public, pub), KC_OK);
	assert_int_equal(sign_pin_add(&added, w.secrets.signers, &public, "master"), KC_OK);
	free(pub);
	make_identity("ssl_cert", "clone.example");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < WORKER_REQUESTS; i++)
		worker_request_drop(&w.requests[i]);
	issue_authority_free(authority);
	secrets_fini(&w.secrets);
	secrets_fini(&master);
	conf_free(w.conf);
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static char *own_recipient(const struct secrets *s)
{
	char *text = mem_xalloc(AGE_RECIPIENT_LEN + 1);
	struct age_recipient r;

	age_identity_recipient(&r, s->identity);
	age_recipient_text(text, &r);
	return text;
}

/* Takes d. *answer may be NULL; else the caller's. */
static int direct_as(json_t **answer, json_t *d, const struct sign_key *key)
{
	char *body = json_dumps(d, JSON_COMPACT), *signature = NULL;
	json_t *result = json_object(), *request;
	int rc;

	assert_int_equal(sign_bytes(&signature, key, body, strlen(body)), KC_OK);
	request = json_pack("{s:s, s:s}", "body", body, "signature", signature);
	rc = worker_job_directive(result, &w, request);
	if (answer != NULL)
		*answer = json_incref(json_object_get(result, "answer"));
	if (json_is_true(json_object_get(result, "reload")))
		read_conf();
	json_decref(request);
	json_decref(result);
	json_decref(d);
	free(signature);
	free(body);
	return rc;
}

static json_t *directive(const char *step)
{
	char *to = own_recipient(&w.secrets);
	json_t *d = json_pack(
	    "{s:s, s:s, s:I, s:s}", "step", step, "rotation", "r1", "serial", (json_int_t)++serial, "recipient", to);

	free(to);
	return d;
}

static int direct(json_t **answer, const char *step, const char *name, json_t *value)
{
	json_t *d = directive(step);

	if (name != NULL)
		json_object_set_new(d, name, value);
	return direct_as(answer, d, master.signing);
}

static bool is_trusted(void)
{
	struct trust_list list = { 0 };
	bool found = false;

	assert_int_equal(trust_list_load(&list, w.conf->truststore_dir), KC_OK);
	for (size_t i = 0; i < list.count; i++)
		found = found || strcmp(list.entries[i].info.sha256, issue_authority_info(authority)->sha256) == 0;
	trust_list_fini(&list);
	return found;
}

static char *authority_pem(void)
{
	struct buf b;
	char *text;

	buf_init(&b, 65536);
	assert_int_equal(issue_authority_pem(&b, authority), KC_OK);
	text = mem_xstrndup((const char *)buf_data(&b), buf_len(&b));
	buf_fini(&b);
	return text;
}

/* --- which are taken --- */

static void directive__of_who_does_not_sign_backups__is_refused(void **state)
{
	json_t *d;
	char *pem = authority_pem();

	(void)state;
	asked = 0;
	/* The clone's own key signs its safety backups, and no directives. */
	d = directive("trust");
	json_object_set_new(d, "certificates", json_string(pem));
	assert_int_equal(direct_as(NULL, d, w.secrets.signing), KC_ESIGNATURE);
	assert_int_equal(asked, 0);
	assert_false(is_trusted());
	free(pem);
}

static void directive__changed_on_its_way__is_refused(void **state)
{
	char *signature = NULL;
	json_t *result = json_object(), *request;

	(void)state;
	asked = 0;
	assert_int_equal(sign_bytes(&signature, master.signing, "{}", 2), KC_OK);
	request = json_pack("{s:s, s:s}", "body", "{\"step\":\"verify\"}", "signature", signature);
	assert_int_equal(worker_job_directive(result, &w, request), KC_ESIGNATURE);
	assert_int_equal(asked, 0);
	json_decref(request);
	json_decref(result);
	free(signature);
}

static void directive__for_another_machine__is_refused(void **state)
{
	char *other = own_recipient(&master);
	json_t *d = directive("verify");

	(void)state;
	json_object_set_new(d, "recipient", json_string(other));
	assert_int_equal(direct_as(NULL, d, master.signing), KC_EPERM);
	free(other);
	d = directive("verify");
	json_object_del(d, "recipient");
	assert_int_equal(direct_as(NULL, d, master.signing), KC_EPERM);
}

static void directive__older_than_the_last__is_refused(void **state)
{
	json_t *d;

	(void)state;
	assert_int_equal(direct(NULL, "verify", NULL, NULL), KC_OK);
	d = directive("verify");
	json_object_set_new(d, "serial", json_integer((json_int_t)serial - 1));
	serial--;
	/* The same number once more is the same directive once more. */
	assert_int_equal(direct_as(NULL, d, master.signing), KC_OK);
	d = directive("verify");
	json_object_set_new(d, "serial", json_integer(5));
	assert_int_equal(direct_as(NULL, d, master.signing), KC_ESTALE);
	d = directive("verify");
	json_object_del(d, "serial");
	assert_int_equal(direct_as(NULL, d, master.signing), KC_ESTALE);
}

static void directive__that_is_not_audited__is_not_taken(void **state)
{
	char *pem = authority_pem();

	(void)state;
	may_begin = KC_ENOSPC;
	assert_int_equal(direct(NULL, "trust", "certificates", json_string(pem)), KC_ENOSPC);
	may_begin = KC_OK;
	assert_false(is_trusted());
	free(pem);
}

static void directive__of_no_known_step__is_refused(void **state)
{
	(void)state;
	asked = 0;
	assert_int_equal(direct(NULL, "format", NULL, NULL), KC_EPROTO);
	assert_int_equal(asked, 0);
}

/* --- a whole rotation --- */

static void trust_twice(void)
{
	char *pem = authority_pem();

	for (int i = 0; i < 2; i++) {
		json_t *answer = NULL, *d = directive("trust");

		json_object_set_new(d, "certificates", json_string(pem));
		json_object_set_new(d, "cn", json_string("new.example"));
		assert_int_equal(direct_as(&answer, d, master.signing), KC_OK);
		assert_string_equal(member_text(answer, "alias"), "ssl_cert");
		assert_string_equal(w.conf->tls_alias, "ssl_cert");
		assert_int_equal(w.conf->authorized_cns.count, 1);
		assert_string_equal(w.conf->authorized_cns.items[0], "new.example");
		assert_true(is_trusted());
		json_decref(answer);
	}
	free(pem);
}

static char *chain_for(const char *csr)
{
	struct issue_request r = { .cn = "clone.example", .role = CERT_ROLE_CLONE };
	struct buf b;
	char *text;

	buf_init(&b, 65536);
	assert_int_equal(request_issue(&b, NULL, authority, csr, strlen(csr), &r), KC_OK);
	text = mem_xstrndup((const char *)buf_data(&b), buf_len(&b));
	buf_fini(&b);
	return text;
}

static void request_and_install(void)
{
	json_t *answer = NULL, *d = directive("request");
	char *chain;

	json_object_set_new(d, "cn", json_string("clone.example"));
	assert_int_equal(direct_as(&answer, d, master.signing), KC_OK);
	chain = chain_for(member_text(answer, "csr"));
	json_decref(answer);
	/* Not over the one in use. */
	d = directive("install");
	json_object_set_new(d, "alias", json_string("ssl_cert"));
	json_object_set_new(d, "chain", json_string(chain));
	assert_int_equal(direct_as(NULL, d, master.signing), KC_EBUSY);
	d = directive("install");
	json_object_set_new(d, "alias", json_string("next"));
	json_object_set_new(d, "chain", json_string(chain));
	assert_int_equal(direct_as(&answer, d, master.signing), KC_OK);
	assert_int_equal(strlen(member_text(answer, "sha256")), 64);
	json_decref(answer);
	assert_string_equal(w.conf->tls_alias, "ssl_cert");
	/* The key has gone to the keystore: another certificate needs another request. */
	d = directive("install");
	json_object_set_new(d, "alias", json_string("next"));
	json_object_set_new(d, "chain", json_string(chain));
	assert_int_equal(direct_as(NULL, d, master.signing), KC_ENOENT);
	free(chain);
}

static bool has_alias(const char *alias)
{
	char *found = NULL;
	bool has = identity_resolve(&found, w.conf->keystore_dir, alias) == KC_OK;

	free(found);
	return has;
}

static void steps__of_a_whole_rotation__leave_the_new_one(void **state)
{
	json_t *d, *answer = NULL;

	(void)state;
	trust_twice();
	request_and_install();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(direct(NULL, "switch", "alias", json_string("next")), KC_OK);
		assert_string_equal(w.conf->tls_alias, "next");
	}
	assert_int_equal(direct(&answer, "verify", NULL, NULL), KC_OK);
	assert_string_equal(member_text(answer, "alias"), "next");
	json_decref(answer);
	assert_int_equal(direct(NULL, "retire", "retire", json_string("next")), KC_EBUSY);
	for (int i = 0; i < 2; i++) {
		d = directive("retire");
		json_object_set_new(d, "retire", json_string("ssl_cert"));
		json_object_set_new(d, "cn", json_string("new.example"));
		json_object_set_new(d, "forget", json_pack("[s]", issue_authority_info(authority)->sha256));
		assert_int_equal(direct_as(NULL, d, master.signing), KC_OK);
		assert_false(has_alias("ssl_cert"));
		assert_true(has_alias("next"));
		assert_false(is_trusted());
		assert_int_equal(w.conf->authorized_cns.count, 0);
	}
}

static void names__that_an_operator_has_set_meanwhile__stay(void **state)
{
	(void)state;
	assert_int_equal(properties_set(w.conf_path, "tls.AuthorizedCNs", "mine.example;his.example"), KC_OK);
	assert_int_equal(direct(NULL, "trust", "cn", json_string("new.example")), KC_OK);
	assert_int_equal(w.conf->authorized_cns.count, 3);
	assert_string_equal(w.conf->authorized_cns.items[0], "mine.example");
	assert_string_equal(w.conf->authorized_cns.items[2], "new.example");
	assert_int_equal(direct(NULL, "trust", "cn", json_string("two;names")), KC_ECERT);
	assert_int_equal(direct(NULL, "retire", "cn", json_string("new.example")), KC_OK);
	assert_int_equal(w.conf->authorized_cns.count, 2);
	assert_int_equal(properties_set(w.conf_path, "tls.AuthorizedCNs", NULL), KC_OK);
}

static void steps__taken_back__leave_the_old_one(void **state)
{
	json_t *d, *answer = NULL;
	int again = 0;

	(void)state;
	/* What the rotation before left is the old one now. */
	make_identity("other", "clone.example");
	assert_int_equal(direct(NULL, "trust", NULL, NULL), KC_OK);
	assert_int_equal(direct(NULL, "switch", "alias", json_string("other")), KC_OK);
	do {
		d = directive("back");
		json_object_set_new(d, "alias", json_string("next"));
		json_object_set_new(d, "retire", json_string("other"));
		assert_int_equal(direct_as(&answer, d, master.signing), KC_OK);
		again += json_is_true(json_object_get(answer, "again"));
		json_decref(answer);
	} while (has_alias("other") && again < 3);
	assert_int_equal(again, 1);
	assert_string_equal(w.conf->tls_alias, "next");
	assert_true(has_alias("next"));
	d = directive("back");
	json_object_set_new(d, "alias", json_string("next"));
	json_object_set_new(d, "retire", json_string("next"));
	assert_int_equal(direct_as(NULL, d, master.signing), KC_EPROTO);
}

/* --- sealed --- */

static void sealed__an_identity__opens_for_its_receiver_alone(void **state)
{
	struct issue_request r = { .cn = "site.example", .role = CERT_ROLE_MASTER };
	struct identity *id = NULL, *got = NULL;
	struct age_recipient to;
	json_t *d, *answer = NULL;
	char *text = NULL, *damaged;

	(void)state;
	assert_int_equal(issue_identity(&id, authority, &r), KC_OK);
	age_identity_recipient(&to, w.secrets.identity);
	assert_int_equal(sealed_identity(&text, id, &to), KC_OK);
	assert_null(strstr(text, "BEGIN"));
	assert_int_equal(sealed_open(&got, text, master.identity), KC_EPASSWORD);
	damaged = mem_xstrdup(text);
	damaged[strlen(damaged) / 2] = damaged[strlen(damaged) / 2] == 'A' ? 'B' : 'A';
	assert_true(sealed_open(&got, damaged, w.secrets.identity) < 0);
	assert_true(sealed_open(&got, "AAAA", w.secrets.identity) < 0);
	assert_true(sealed_open(&got, "", w.secrets.identity) < 0);
	d = directive("install");
	json_object_set_new(d, "alias", json_string("site"));
	json_object_set_new(d, "sealed", json_string(text));
	assert_int_equal(direct_as(&answer, d, master.signing), KC_OK);
	assert_string_equal(member_text(answer, "sha256"), identity_info(id)->sha256);
	assert_true(has_alias("site"));
	json_decref(answer);
	identity_free(id);
	free(damaged);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directive__of_who_does_not_sign_backups__is_refused),
		cmocka_unit_test(directive__changed_on_its_way__is_refused),
		cmocka_unit_test(directive__for_another_machine__is_refused),
		cmocka_unit_test(directive__older_than_the_last__is_refused),
		cmocka_unit_test(directive__that_is_not_audited__is_not_taken),
		cmocka_unit_test(directive__of_no_known_step__is_refused),
		cmocka_unit_test(names__that_an_operator_has_set_meanwhile__stay),
		cmocka_unit_test(steps__of_a_whole_rotation__leave_the_new_one),
		cmocka_unit_test(steps__taken_back__leave_the_old_one),
		cmocka_unit_test(sealed__an_identity__opens_for_its_receiver_alone),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
