/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of sealing, random passwords, signing and the list of signers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/secret.h"
#include "keystore/sign.h"

static char dir[64];
static char path[128];

static const char *at(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(at(name), &st), 0);
	return st.st_mode & 07777;
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-test-secret.XXXXXX");
	return mem_init() == KC_OK && mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static void secret__sealed_value__opens_with_the_same_box(void **state)
{
	struct secret_box *box = NULL, *again = NULL;
	char *text = NULL;
	void *data = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(secret_box_open(&box, at("seal.key")), KC_OK);
	assert_int_equal(mode_of("seal.key"), 0600);
	assert_int_equal(secret_seal(&text, box, SECRET_BACKUP_PASSWORD, "correct horse", 13), KC_OK);
	assert_true(secret_is_sealed(text));
	assert_null(strstr(text, "horse"));
	assert_int_equal(secret_box_load(&again, at("seal.key")), KC_OK);
	assert_int_equal(secret_unseal(&data, &size, again, SECRET_BACKUP_PASSWORD, text), KC_OK);
	assert_int_equal(size, 13);
	assert_string_equal(data, "correct horse");
	mem_secret_free(data);
	free(text);
	secret_box_free(box);
	secret_box_free(again);
}

static void secret__empty_value__is_kept(void **state)
{
	struct secret_box *box = NULL;
	char *text = NULL;
	void *data = NULL;
	size_t size = 9;

	(void)state;
	assert_int_equal(secret_box_open(&box, at("seal.key")), KC_OK);
	assert_int_equal(secret_seal(&text, box, "x", "", 0), KC_OK);
	assert_int_equal(secret_unseal(&data, &size, box, "x", text), KC_OK);
	assert_int_equal(size, 0);
	mem_secret_free(data);
	free(text);
	secret_box_free(box);
}

static void secret__not_the_sealed_value__is_refused_with_the_reason(void **state)
{
	struct secret_box *box = NULL, *other = NULL;
	char *text = NULL;
	void *data = NULL;
	size_t size;

	(void)state;
	assert_int_equal(secret_box_open(&box, at("seal.key")), KC_OK);
	assert_int_equal(secret_box_open(&other, at("other.key")), KC_OK);
	assert_int_equal(secret_seal(&text, box, SECRET_BACKUP_PASSWORD, "secret", 6), KC_OK);
	assert_int_equal(secret_unseal(&data, &size, box, SECRET_AGE_IDENTITY, text), KC_EDAMAGED);
	assert_int_equal(secret_unseal(&data, &size, other, SECRET_BACKUP_PASSWORD, text), KC_EDAMAGED);
	assert_int_equal(secret_unseal(&data, &size, box, SECRET_BACKUP_PASSWORD, "kc1:AAAA"), KC_EFORMAT);
	assert_int_equal(secret_unseal(&data, &size, box, SECRET_BACKUP_PASSWORD, "kc1:*"), KC_EFORMAT);
	assert_int_equal(secret_unseal(&data, &size, box, SECRET_BACKUP_PASSWORD, "A1B2C3"), KC_EFOREIGN);
	assert_non_null(strstr(err_text(KC_EFOREIGN), "sealed by another product"));
	for (size_t i = 4; i < strlen(text); i += 7) {
		char kept = text[i];

		text[i] = kept == 'A' ? 'B' : 'A';
		assert_int_not_equal(secret_unseal(&data, &size, box, SECRET_BACKUP_PASSWORD, text), KC_OK);
		text[i] = kept;
	}
	assert_null(data);
	free(text);
	secret_box_free(box);
	secret_box_free(other);
}

static void secret__value_over_the_limit__is_refused(void **state)
{
	struct secret_box *box = NULL;
	char *big = mem_xalloc(SECRET_VALUE_MAX + 1), *text = NULL;
	void *data = NULL;
	size_t size;

	(void)state;
	assert_int_equal(secret_box_open(&box, at("seal.key")), KC_OK);
	assert_int_equal(secret_seal(&text, box, "x", big, SECRET_VALUE_MAX + 1), KC_ELIMIT);
	assert_int_equal(secret_write(box, "x", at("big"), big, SECRET_VALUE_MAX, false), KC_OK);
	assert_int_equal(secret_read(&data, &size, box, "x", at("big")), KC_OK);
	assert_int_equal(size, SECRET_VALUE_MAX);
	mem_secret_free(data);
	free(big);
	secret_box_free(box);
}

static void secret__box_that_others_can_read_or_is_short__is_refused(void **state)
{
	struct secret_box *box = NULL;

	(void)state;
	assert_int_equal(secret_box_load(&box, at("none.key")), KC_ENOENT);
	assert_int_equal(file_replace(at("short.key"), "abc", 3, 0600), KC_OK);
	assert_int_equal(secret_box_open(&box, at("short.key")), KC_EDAMAGED);
	assert_int_equal(secret_box_open(&box, at("open.key")), KC_OK);
	secret_box_free(box);
	assert_int_equal(chmod(at("open.key"), 0640), 0);
	assert_int_equal(secret_box_open(&box, at("open.key")), KC_EPERM);
}

static void secret__file__is_not_overwritten_unless_asked(void **state)
{
	struct secret_box *box = NULL;
	void *data = NULL;
	size_t size;

	(void)state;
	assert_int_equal(secret_box_open(&box, at("seal.key")), KC_OK);
	assert_int_equal(secret_write(box, "x", at("file"), "one", 3, false), KC_OK);
	assert_int_equal(secret_write(box, "x", at("file"), "two", 3, false), KC_EEXIST);
	assert_int_equal(secret_write(box, "x", at("file"), "three", 5, true), KC_OK);
	assert_int_equal(mode_of("file"), 0600);
	assert_int_equal(secret_read(&data, &size, box, "x", at("file")), KC_OK);
	assert_string_equal(data, "three");
	mem_secret_free(data);
	data = NULL;
	assert_int_equal(secret_read(&data, &size, box, "x", at("nothing")), KC_ENOENT);
	secret_box_free(box);
}

static void secret__password_file__is_made_once(void **state)
{
	char *a = NULL, *b = NULL;

	(void)state;
	assert_int_equal(secret_password_file(&a, at("pw"), false), KC_ENOENT);
	assert_int_equal(secret_password_file(&a, at("pw"), true), KC_OK);
	assert_int_equal(secret_password_file(&b, at("pw"), true), KC_OK);
	assert_int_equal(strlen(a), 64);
	assert_string_equal(a, b);
	assert_int_equal(mode_of("pw"), 0600);
	mem_secret_free(a);
	mem_secret_free(b);
	assert_int_equal(file_replace(at("pw"), "nonsense\n", 9, 0600), KC_OK);
	assert_int_equal(secret_password_file(&a, at("pw"), true), KC_EDAMAGED);
}

static struct sign_key *make_key(const char *name)
{
	struct secret_box *box = NULL;
	struct sign_key *key = NULL;
	char key_path[128], pub_path[160];

	assert_int_equal(secret_box_open(&box, at("seal.key")), KC_OK);
	snprintf(key_path, sizeof(key_path), "%s", at(name));
	snprintf(pub_path, sizeof(pub_path), "%s.pub", key_path);
	assert_int_equal(sign_key_create(&key, box, key_path, pub_path), KC_OK);
	assert_int_equal(sign_key_create(&key, box, key_path, pub_path), KC_EEXIST);
	secret_box_free(box);
	return key;
}

static void sign__signature__verifies_with_the_public_file(void **state)
{
	struct sign_key *key = make_key("a.key"), *again = NULL;
	struct secret_box *box = NULL;
	struct sign_public pub;
	char *sig = NULL, *text;

	(void)state;
	assert_int_equal(secret_box_load(&box, at("seal.key")), KC_OK);
	assert_int_equal(sign_key_load(&again, box, at("a.key")), KC_OK);
	assert_int_equal(sign_bytes(&sig, again, "hello", 5), KC_OK);
	assert_int_equal(sign_public_read(&pub, at("a.key.pub")), KC_OK);
	assert_true(sign_public_equal(&pub, sign_key_public(key)));
	assert_int_equal(sign_verify(&pub, "hello", 5, sig, strlen(sig)), KC_OK);
	assert_int_equal(sign_verify(&pub, "hellO", 5, sig, strlen(sig)), KC_ESIGNATURE);
	assert_int_equal(sign_verify(&pub, "hello", 5, "hello", 5), KC_EFORMAT);
	assert_int_equal(sign_verify(&pub, "hello", 5, sig, strlen(sig) / 2), KC_EFORMAT);
	text = sign_public_text(&pub);
	assert_int_equal(sign_public_parse(&pub, text, strlen(text)), KC_OK);
	assert_true(sign_public_equal(&pub, sign_key_public(key)));
	assert_int_equal(sign_public_parse(&pub, text, strlen(text) - 4), KC_EFORMAT);
	free(text);
	free(sig);
	sign_key_free(key);
	sign_key_free(again);
	secret_box_free(box);
}

static void sign__fingerprint__has_eight_groups(void **state)
{
	struct sign_public pub = { .key = { 1 } };
	char text[SIGN_FINGERPRINT_SIZE], number[SIGN_NUMBER_SIZE];

	(void)state;
	sign_public_fingerprint(text, &pub);
	assert_int_equal(strlen(text), SIGN_FINGERPRINT_SIZE - 1);
	assert_int_equal(text[4], ' ');
	sign_public_number(number, &pub);
	assert_string_equal(number, "0000000000000000");
}

static void sign_pins__only_pinned_signers__are_accepted(void **state)
{
	struct sign_key *a = make_key("a.key"), *b = make_key("b.key");
	struct sign_pins pins = { 0 };
	const struct sign_pin *by = NULL;
	char *sig = NULL;
	bool added = false;

	(void)state;
	assert_int_equal(sign_pins_load(&pins, at("signers")), KC_OK);
	assert_int_equal(pins.count, 0);
	assert_int_equal(sign_bytes(&sig, a, "x", 1), KC_OK);
	assert_int_equal(sign_pins_verify(&by, &pins, "x", 1, sig, strlen(sig)), KC_ESIGNATURE);
	assert_non_null(strstr(err_text(KC_ESIGNATURE), "not accepted here"));
	assert_int_equal(sign_pin_add(&added, at("signers"), sign_key_public(b), "other\nhost"), KC_OK);
	assert_true(added);
	assert_int_equal(sign_pin_add(&added, at("signers"), sign_key_public(a), "master.example"), KC_OK);
	assert_true(added);
	assert_int_equal(sign_pin_add(&added, at("signers"), sign_key_public(a), NULL), KC_OK);
	assert_false(added);
	assert_int_equal(sign_pins_load(&pins, at("signers")), KC_OK);
	assert_int_equal(pins.count, 2);
	assert_string_equal(pins.pins[0].comment, "other?host");
	assert_int_equal(sign_pins_verify(&by, &pins, "x", 1, sig, strlen(sig)), KC_OK);
	assert_string_equal(by->comment, "master.example");
	assert_int_equal(sign_pins_verify(&by, &pins, "y", 1, sig, strlen(sig)), KC_ESIGNATURE);
	assert_int_equal(mode_of("signers"), 0600);
	sign_pins_fini(&pins);
	free(sig);
	sign_key_free(a);
	sign_key_free(b);
}

static void sign_pins__line_that_is_no_key__is_named(void **state)
{
	struct sign_pins pins = { 0 };

	(void)state;
	assert_int_equal(file_replace(at("signers"), "", 0, 0600), KC_OK);
	assert_int_equal(sign_pins_load(&pins, at("signers")), KC_OK);
	assert_int_equal(file_replace(at("signers"), "# comment\n\nnonsense x\n", 22, 0600), KC_OK);
	assert_int_equal(sign_pins_load(&pins, at("signers")), KC_EFORMAT);
	assert_non_null(strstr(err_text(KC_EFORMAT), "signers:3: "));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(secret__sealed_value__opens_with_the_same_box),
		T(secret__empty_value__is_kept),
		T(secret__not_the_sealed_value__is_refused_with_the_reason),
		T(secret__value_over_the_limit__is_refused),
		T(secret__box_that_others_can_read_or_is_short__is_refused),
		T(secret__file__is_not_overwritten_unless_asked),
		T(secret__password_file__is_made_once),
		T(sign__signature__verifies_with_the_public_file),
		T(sign__fingerprint__has_eight_groups),
		T(sign_pins__only_pinned_signers__are_accepted),
		T(sign_pins__line_that_is_no_key__is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
