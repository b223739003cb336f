/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults under the keystore: the n-th call that changes something fails, or the process ends there, for n = 1, 2, 3…
 * until the act is through. Whatever happens: the alias loads as the old or as the new identity, an old one that is no
 * longer there is in retired/ with its key, and the same act done again succeeds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/request.h"
#include "keystore/retired.h"
#include "nth_call.h"

static char dir[] = "/tmp/keystore-faults-XXXXXX";
static char *ks;

NTH_WRAP(ssize_t, write, (int fd, const void *data, size_t n), (fd, data, n))
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	(void)fd;
	return nth_hit() ? -1 : 0; /* a process that ends leaves its files as they are, synced or not */
}
NTH_WRAP(int, rename, (const char *from, const char *to), (from, to))
NTH_WRAP(int, link, (const char *from, const char *to), (from, to))
NTH_WRAP(int, unlink, (const char *path), (path))
NTH_WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = (mode_t)va_arg(ap, int);
	va_end(ap);
	return (flags & O_CREAT) && nth_hit() ? -1 : __real_open(path, flags, mode);
}

/* ---- the acts ---- */

static struct identity *old, *new;
static struct request *waiting;
static struct buf answer;

static int replace(void)
{
	return identity_save(new, ks, "a", true);
}

static int create(void)
{
	int rc = identity_save(new, ks, "a", false);

	return rc == KC_EEXIST ? KC_OK : rc; /* it was through but for what came after */
}

static int take_away(void)
{
	int rc = identity_remove(ks, "a");

	return rc == KC_ENOENT ? KC_OK : rc;
}

static int ask(void)
{
	int rc = request_save(waiting, ks, "a", false);

	return rc == KC_EEXIST ? KC_OK : rc;
}

static int be_answered(void)
{
	const struct identity_source s = { .file = { "answer", buf_data(&answer), buf_len(&answer) } };
	struct identity *id = NULL;
	int rc = request_answer(&id, ks, "a", &s, false);

	if (rc == KC_OK)
		rc = identity_save(id, ks, "a", true);
	identity_free(id);
	return rc;
}

static struct act {
	const char *name;
	int (*run)(void);
	bool had, has; /* an identity, before and after */
	bool pending;  /* a request before */
} acts[] = {
	{ "replace", replace, true, true, false },
	{ "replace a pending one", replace, false, true, true },
	{ "create", create, false, true, false },
	{ "remove", take_away, true, false, false },
	{ "remove a pending one", take_away, false, false, true },
	{ "request", ask, false, false, false },
	{ "answer", be_answered, false, true, true },
};
#define N_ACTS (sizeof(acts) / sizeof(acts[0]))

static void set_up(const struct act *a)
{
	assert_int_equal(file_remove_tree(ks), KC_OK);
	assert_int_equal(file_make_dirs(ks), KC_OK);
	if (a->had)
		assert_int_equal(identity_save(old, ks, "a", false), KC_OK);
	if (a->pending)
		assert_int_equal(request_save(waiting, ks, "a", false), KC_OK);
}

/* What is there now: the common name, "" for nothing. Free it. */
static char *loaded(const struct act *a, int n)
{
	struct identity *id = NULL;
	int rc = identity_load(&id, ks, "a");
	char *cn = mem_xstrdup(rc == KC_OK ? identity_info(id)->cn : "");

	/* A certificate whose key is gone is what a removal leaves, which is done again. */
	if (rc < 0 && rc != KC_ENOENT)
		fail_msg("%s %d: it does not load: %s", a->name, n, err_text(rc));
	identity_free(id);
	return cn;
}

static bool is_retired(const char *cn)
{
	struct retired_list list = { 0 };
	bool found = false;

	assert_int_equal(retired_list_load(&list, ks), KC_OK);
	for (size_t i = 0; i < list.count; i++)
		found = found || (list.entries[i].has_cert && list.entries[i].has_key &&
				     strcmp(list.entries[i].info.cn, cn) == 0);
	retired_list_fini(&list);
	return found;
}

static void check(const struct act *a, int n)
{
	char *cn = loaded(a, n);

	if (cn[0] != '\0' && !(a->had && strcmp(cn, "old") == 0) && !(a->has && strcmp(cn, "new") == 0))
		fail_msg("%s %d: %s is neither old nor new", a->name, n, cn);
	if (a->had && strcmp(cn, "old") != 0 && !is_retired("old"))
		fail_msg("%s %d: the old one is neither there nor retired", a->name, n);
	free(cn);
	if (a->run() != KC_OK)
		fail_msg("%s %d: it cannot be done again: %s", a->name, n, err_text(KC_EFAIL));
	cn = loaded(a, n);
	assert_string_equal(cn, a->has ? "new" : "");
	free(cn);
}

static int run_act(void *arg)
{
	const struct act *a = arg;

	return a->run();
}

static void all_acts(void)
{
	for (size_t i = 0; i < N_ACTS; i++) {
		int n = 0;
		bool through = false;

		for (; !through && n < 400; n++) {
			set_up(&acts[i]);
			through = nth_run(run_act, &acts[i], n);
			check(&acts[i], n);
		}
		assert_true(through);
		assert_in_range(n, 5, 399);
	}
}

static void keystore__each_call_fails__old_or_new(void **state)
{
	(void)state;
	nth_killing = false;
	all_acts();
}

static void keystore__killed_at_each_call__old_or_new(void **state)
{
	(void)state;
	nth_killing = true;
	all_acts();
}

static struct identity *self_signed(const char *cn)
{
	struct issue_request r = { .cn = cn };
	struct identity *id = NULL;

	assert_int_equal(issue_identity(&id, NULL, &r), KC_OK);
	return id;
}

static int setup(void **state)
{
	struct issue_request r = { .cn = "new" };
	struct issue_authority *authority = NULL;
	char *secrets;
	struct buf csr;

	(void)state;
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	ks = file_join(dir, "keystore");
	secrets = file_join(dir, "secrets");
	old = self_signed("old");
	new = self_signed("new");
	buf_init(&csr, REQUEST_MAX);
	buf_init(&answer, 65536);
	assert_int_equal(request_new(&waiting, &r), KC_OK);
	assert_int_equal(request_pem(&csr, waiting), KC_OK);
	assert_int_equal(issue_authority_create(secrets, "authority", ISSUE_ECDSA_P256, 0), KC_OK);
	assert_int_equal(issue_authority_load(&authority, secrets), KC_OK);
	assert_int_equal(request_issue(&answer, NULL, authority, buf_data(&csr), buf_len(&csr), &r), KC_OK);
	issue_authority_free(authority);
	buf_fini(&csr);
	free(secrets);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	identity_free(old);
	identity_free(new);
	request_free(waiting);
	buf_fini(&answer);
	free(ks);
	return file_remove_tree(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keystore__each_call_fails__old_or_new),
		cmocka_unit_test(keystore__killed_at_each_call__old_or_new),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
