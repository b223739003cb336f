/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of chain_key: what opens the increments of each full that is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/chain_key.h"
#include "keystore/layout.h"

#define LINEAGE	 "00112233445566778899aabbccddeeff"
#define LINEAGE2 "ffeeddccbbaa99887766554433221100"
/* The same 8 digits, which are all that names have. */
#define LINEAGE3 "00112233000000000000000000000000"

static char dir[64];
static char *backups;
static struct secrets secrets;

static int setup(void **state)
{
	char *path;

	(void)state;
	strcpy(dir, "/tmp/kc-chain-key-XXXXXX");
	if (mem_init() < 0 || mkdtemp(dir) == NULL)
		return -1;
	secrets.dir = file_join(dir, "secrets");
	backups = file_join(dir, "backups");
	path = file_join(secrets.dir, "seal.key");
	assert_int_equal(file_make_dirs(secrets.dir), KC_OK);
	assert_int_equal(file_make_dirs(backups), KC_OK);
	assert_int_equal(secret_box_open(&secrets.box, path), KC_OK);
	free(path);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	secret_box_free(secrets.box);
	free(secrets.dir);
	free(backups);
	return file_remove_tree(dir);
}

static void save(const char *lineage, uint64_t generation, char text[AGE_IDENTITY_LEN + 1])
{
	struct age_identity *id = age_identity_new();

	assert_int_equal(chain_key_save(&secrets, lineage, generation, id), KC_OK);
	if (text != NULL)
		age_identity_text(text, id);
	age_identity_free(id);
}

static int load(const char *lineage, uint64_t generation, char text[AGE_IDENTITY_LEN + 1])
{
	struct age_identity *id = NULL;
	int rc = chain_key_load(&id, &secrets, lineage, generation);

	if (rc == KC_OK && text != NULL)
		age_identity_text(text, id);
	age_identity_free(id);
	return rc;
}

static void touch(const char *name)
{
	char *path = file_join(backups, name);

	assert_int_equal(file_replace(path, "x", 1, 0600), KC_OK);
	free(path);
}

static char *file_of(const char *name)
{
	char *folder = file_join(secrets.dir, LAYOUT_CHAIN_KEYS), *path = file_join(folder, name);

	free(folder);
	return path;
}

static void key__saved__comes_back_and_is_sealed(void **state)
{
	char a[AGE_IDENTITY_LEN + 1], b[AGE_IDENTITY_LEN + 1], c[AGE_IDENTITY_LEN + 1];
	char *path = file_of(LINEAGE "-0000000001.key");
	struct stat st;
	struct buf raw;

	(void)state;
	save(LINEAGE, 1, a);
	save(LINEAGE, 2, b);
	assert_int_equal(load(LINEAGE, 1, c), KC_OK);
	assert_string_equal(a, c);
	assert_int_equal(load(LINEAGE, 2, c), KC_OK);
	assert_string_equal(b, c);
	assert_int_equal(load(LINEAGE, 3, c), KC_ENOENT);
	assert_int_equal(load(LINEAGE2, 1, c), KC_ENOENT);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	buf_init(&raw, 10000);
	assert_int_equal(file_read(&raw, path), KC_OK);
	assert_null(memmem(buf_data(&raw), buf_len(&raw), a, 20));
	buf_fini(&raw);
	free(path);
}

static void key__saved_again__is_the_new_one(void **state)
{
	char a[AGE_IDENTITY_LEN + 1], b[AGE_IDENTITY_LEN + 1];

	(void)state;
	save(LINEAGE, 1, NULL);
	save(LINEAGE, 1, a);
	assert_int_equal(load(LINEAGE, 1, b), KC_OK);
	assert_string_equal(a, b);
}

static void key__damaged_or_of_another_box__is_refused(void **state)
{
	char *path = file_of(LINEAGE "-0000000001.key"), *other = file_join(secrets.dir, "other.key");

	(void)state;
	save(LINEAGE, 1, NULL);
	secret_box_free(secrets.box);
	assert_int_equal(secret_box_open(&secrets.box, other), KC_OK);
	assert_true(load(LINEAGE, 1, NULL) < 0);
	assert_int_equal(file_replace(path, "short", 5, 0600), KC_OK);
	assert_true(load(LINEAGE, 1, NULL) < 0);
	free(path);
	free(other);
}

static void prune__keys_without_their_full__go(void **state)
{
	char *foreign = file_of("notes.txt");

	(void)state;
	for (uint64_t g = 1; g <= 5; g++)
		save(LINEAGE, g, NULL);
	save(LINEAGE2, 2, NULL);
	save(LINEAGE2, 5, NULL);
	save(LINEAGE3, 2, NULL);
	assert_int_equal(file_replace(foreign, "x", 1, 0600), KC_OK);
	touch("keyclone-k-00112233-0000000002-full-20260101T000000Z.tar.zst.age");
	touch("keyclone-k-00112233-0000000003-incr-20260101T000000Z.tar.zst.age");
	touch("keyclone-k-00112233-0000000004-safety-20260101T000000Z.tar.zst.age");
	touch("keyclone-k-ffeeddcc-0000000002-full-20260101T000000Z.tar.zst.age");
	chain_key_prune(&secrets, backups, LINEAGE, 5);
	assert_int_equal(load(LINEAGE, 1, NULL), KC_ENOENT);
	assert_int_equal(load(LINEAGE, 2, NULL), KC_OK);
	assert_int_equal(load(LINEAGE, 3, NULL), KC_ENOENT);
	assert_int_equal(load(LINEAGE, 4, NULL), KC_ENOENT);
	assert_int_equal(load(LINEAGE, 5, NULL), KC_OK); /* just made: its full has no name yet */
	assert_int_equal(load(LINEAGE2, 2, NULL), KC_OK);
	assert_int_equal(load(LINEAGE2, 5, NULL), KC_ENOENT);
	assert_int_equal(load(LINEAGE3, 2, NULL), KC_OK);
	assert_true(file_exists(foreign));
	free(foreign);
}

/* Where the folder cannot be read nothing is known to be gone. */
static void prune__no_backup_folder__removes_nothing(void **state)
{
	(void)state;
	chain_key_prune(&secrets, backups, LINEAGE, 1); /* nothing there yet */
	save(LINEAGE, 1, NULL);
	save(LINEAGE, 2, NULL);
	chain_key_prune(&secrets, "/nonexistent/x", LINEAGE, 9);
	assert_int_equal(load(LINEAGE, 1, NULL), KC_OK);
	assert_int_equal(load(LINEAGE, 2, NULL), KC_OK);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(key__saved__comes_back_and_is_sealed),
		T(key__saved_again__is_the_new_one),
		T(key__damaged_or_of_another_box__is_refused),
		T(prune__keys_without_their_full__go),
		T(prune__no_backup_folder__removes_nothing),
	};

	return cmocka_run_group_tests_name("chain key", tests, NULL, NULL);
}
