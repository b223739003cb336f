/* SPDX-License-Identifier: Apache-2.0 */
/* Enrolment tokens: their text, what is derived from them, and the list that the master keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "daemon/invites.h"

#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

#define VECTOR_ID    "5d42e3ee80911209"
#define VECTOR_PSK   "62e016e097d8528cb2be12868c0b33280ce6f7ebf94ae404fe387b4ffbc381d6"
#define VECTOR_PROOF "498ebb5fe0dee7471f859c3120c66f6d50a64aee3a16226881b93f5eb4131eb1"
#define VECTOR_MAC   "a704c553b072f9bb904d99c58aa818c9e7dda57d8115e40675116205bf99340a"

static char dir[] = "/tmp/kc-test-token.XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mem_init() < 0 || mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir) < 0 ? -1 : 0;
}

static char *text_of(const char *host, int port)
{
	struct invite t;
	char *text = NULL;

	assert_int_equal(invite_new(&t, host, port, FINGERPRINT), KC_OK);
	invite_format(&text, &t);
	invite_fini(&t);
	return text;
}

/* --- text --- */

static void token__printed_and_read__is_the_same(void **state)
{
	static const char *const hosts[] = { "10.0.0.5", "m.example.com", "::1", "2001:db8::5", "a" };

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct invite a, b;
		char *text = NULL, *padded;

		assert_int_equal(invite_new(&a, hosts[i], 1111 + (int)i * 16000, FINGERPRINT), KC_OK);
		invite_format(&text, &a);
		assert_int_equal(
		    strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"), strlen(text));
		padded = mem_xasprintf("  %s \r\n", text);
		assert_int_equal(invite_parse(&b, padded), KC_OK);
		assert_string_equal(a.host, b.host);
		assert_int_equal(a.port, b.port);
		assert_string_equal(a.fingerprint, b.fingerprint);
		assert_memory_equal(a.secret, b.secret, sizeof(a.secret));
		free(padded);
		mem_secret_free(text);
	}
}

static void token__no_host_port_or_fingerprint__is_refused(void **state)
{
	struct invite t;

	(void)state;
	assert_int_equal(invite_new(&t, "not a host", 1111, FINGERPRINT), KC_EUSAGE);
	assert_int_equal(invite_new(&t, "host", 0, FINGERPRINT), KC_EUSAGE);
	assert_int_equal(invite_new(&t, "host", 65536, FINGERPRINT), KC_EUSAGE);
	assert_int_equal(invite_new(&t, "host", 1111, "0011"), KC_EUSAGE);
}

static void token__any_character_changed_or_missing__is_not_whole(void **state)
{
	char *text = text_of("10.0.0.5", 1111);
	size_t n = strlen(text);
	struct invite t;

	(void)state;
	for (size_t i = 5; i < n; i++) {
		char *bad = mem_xstrdup(text);

		bad[i] = bad[i] == 'A' ? 'B' : 'A';
		assert_int_equal(invite_parse(&t, bad), KC_EUSAGE);
		assert_non_null(strstr(err_text(KC_EUSAGE), "not whole"));
		bad[i] = '\0';
		assert_int_equal(invite_parse(&t, bad), KC_EUSAGE);
		free(bad);
	}
	mem_secret_free(text);
}

static void token__something_else__says_what_it_is_not(void **state)
{
	struct invite t;

	(void)state;
	assert_int_equal(invite_parse(&t, ""), KC_EUSAGE);
	assert_int_equal(invite_parse(&t, "10.0.0.5:1111"), KC_EUSAGE);
	assert_non_null(strstr(err_text(KC_EUSAGE), "begin with kce1_"));
	assert_int_equal(invite_parse(&t, "kce2_AAAA"), KC_EUSAGE);
	assert_non_null(strstr(err_text(KC_EUSAGE), "another version"));
	assert_int_equal(invite_parse(&t, "kce1_"), KC_EUSAGE);
	assert_int_equal(invite_parse(&t, "kce1_AAAA BBBB"), KC_EUSAGE);
}

/* --- keys --- */

/* HKDF-SHA256 by PROTOCOL.md; the values were computed by another implementation (Python's hmac). */
static void derive__known_secret__gives_the_documented_keys(void **state)
{
	struct invite t = { .host = "h", .port = 1, .fingerprint = FINGERPRINT };
	struct invite_keys k;
	char hex[65];

	(void)state;
	for (size_t i = 0; i < sizeof(t.secret); i++)
		t.secret[i] = (uint8_t)i;
	invite_derive(&k, &t);
	assert_string_equal(k.id, VECTOR_ID);
	hex_encode(hex, k.psk, sizeof(k.psk));
	assert_string_equal(hex, VECTOR_PSK);
	hex_encode(hex, k.proof, sizeof(k.proof));
	assert_string_equal(hex, VECTOR_PROOF);
}

static void derive__another_fingerprint__gives_other_keys(void **state)
{
	struct invite t = { .fingerprint = FINGERPRINT };
	struct invite_keys a, b;

	(void)state;
	invite_derive(&a, &t);
	t.fingerprint[0] = 'f';
	invite_derive(&b, &t);
	assert_string_not_equal(a.id, b.id);
	assert_memory_not_equal(a.psk, b.psk, sizeof(a.psk));
}

static void prove__any_part_changed__is_another_proof(void **state)
{
	static const uint8_t key[INVITE_KEY_BYTES] = { 1 };
	const struct invite_claim claim = { "csr", 3, NULL, 0, "host", 2222, "age1q", "" };
	struct invite_claim c;
	char right[CERT_HEX_SIZE], other[CERT_HEX_SIZE];

	(void)state;
	invite_prove(right, key, &claim);
	assert_string_equal(right, VECTOR_MAC);
	for (int i = 0; i < 6; i++) {
		c = claim;
		switch (i) {
		case 0:
			c.csr_size = 2;
			break;
		case 1: /* the same bytes in another member */
			c = (struct invite_claim){ NULL, 0, "csr", 3, "host", 2222, "age1q", "" };
			break;
		case 2:
			c.host = "hos";
			break;
		case 3:
			c.port = 2223;
			break;
		case 4:
			c.recipient = "age1z";
			break;
		default:
			c.lineage = "a";
		}
		invite_prove(other, key, &c);
		assert_string_not_equal(right, other);
	}
}

/* --- the master's list --- */

static struct invites_entry entry(const char *id, int64_t ttl, uint64_t uses)
{
	struct invites_entry e = { .made = (int64_t)time(NULL), .uses = uses };

	e.expires = e.made + ttl;
	memcpy(e.keys.id, id, strlen(id) + 1);
	memcpy(e.authority, FINGERPRINT, sizeof(e.authority));
	mem_random(e.keys.psk, sizeof(e.keys.psk));
	mem_random(e.keys.proof, sizeof(e.keys.proof));
	return e;
}

static size_t count(void)
{
	struct invites t;
	size_t n;

	assert_int_equal(invites_load(&t, dir), KC_OK);
	n = t.count;
	invites_fini(&t);
	return n;
}

static bool file_has(const char *text)
{
	char *path = file_join(dir, "enroll-tokens");
	struct buf b;
	bool has;

	buf_init(&b, 65536);
	has = file_exists(path) && file_read(&b, path) == KC_OK && strstr(buf_str(&b), text) != NULL;
	buf_fini(&b);
	free(path);
	return has;
}

static void list__added__is_read_back_and_is_secret(void **state)
{
	struct invites_entry e = entry("00112233aabbccdd", 60, 2);
	char *path = file_join(dir, "enroll-tokens");
	struct stat st;
	struct invites t;

	(void)state;
	assert_int_equal(count(), 0);
	assert_int_equal(invites_add(dir, &e), KC_OK);
	assert_int_equal(invites_load(&t, dir), KC_OK);
	assert_int_equal(t.count, 1);
	assert_memory_equal(&t.entries[0], &e, sizeof(e));
	invites_fini(&t);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(invites_remove(dir, "00112233aabbccdd"), KC_OK);
	assert_int_equal(invites_remove(dir, "00112233aabbccdd"), KC_ENOENT);
	assert_false(file_exists(path));
	free(path);
}

static void list__used_up__is_erased(void **state)
{
	struct invites_entry e = entry("1111111111111111", 60, 2), other = entry("2222222222222222", 60, 1);

	(void)state;
	assert_int_equal(invites_add(dir, &e), KC_OK);
	assert_int_equal(invites_add(dir, &other), KC_OK);
	assert_int_equal(invites_use(dir, e.keys.id), KC_OK);
	assert_int_equal(count(), 2);
	assert_int_equal(invites_use(dir, e.keys.id), KC_OK);
	assert_int_equal(count(), 1);
	assert_int_equal(invites_use(dir, e.keys.id), KC_ENOENT);
	assert_false(file_has(e.keys.id));
	assert_int_equal(invites_remove(dir, other.keys.id), KC_OK);
}

static void list__past_its_time__is_erased_when_it_is_read(void **state)
{
	struct invites_entry e = entry("3333333333333333", -1, 1);

	(void)state;
	assert_int_equal(invites_add(dir, &e), KC_OK);
	assert_true(file_has(e.keys.id));
	assert_int_equal(invites_use(dir, e.keys.id), KC_ENOENT);
	assert_int_equal(count(), 0);
	assert_false(file_has(e.keys.id));
}

static void list__full__takes_no_more(void **state)
{
	char id[INVITE_ID_SIZE];
	int rc = KC_OK, i;

	(void)state;
	for (i = 0; rc == KC_OK && i <= INVITES_MAX; i++) {
		struct invites_entry e;

		snprintf(id, sizeof(id), "%016x", i);
		e = entry(id, 60, 1);
		rc = invites_add(dir, &e);
	}
	assert_int_equal(rc, KC_ELIMIT);
	assert_int_equal(count(), INVITES_MAX);
}

static void list__lines_that_are_none__are_passed_over(void **state)
{
	static const char bad[] = "# a comment\nnonsense\n4444444444444444 1 9999999999 1 aa bb cc\n\n"
				  "5555555555555555 1 9999999999 1 " FINGERPRINT " " FINGERPRINT " " FINGERPRINT "\n";
	char *path = file_join(dir, "enroll-tokens");
	struct invites t;

	(void)state;
	assert_int_equal(file_replace(path, bad, strlen(bad), 0600), KC_OK);
	assert_int_equal(invites_load(&t, dir), KC_OK);
	assert_int_equal(t.count, 1);
	assert_string_equal(t.entries[0].keys.id, "5555555555555555");
	invites_fini(&t);
	assert_int_equal(file_replace(path, bad, strlen(bad), 0644), KC_OK);
	assert_int_equal(invites_load(&t, dir), KC_EPERM);
	assert_int_equal(file_remove(path), KC_OK);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(token__printed_and_read__is_the_same),
		cmocka_unit_test(token__no_host_port_or_fingerprint__is_refused),
		cmocka_unit_test(token__any_character_changed_or_missing__is_not_whole),
		cmocka_unit_test(token__something_else__says_what_it_is_not),
		cmocka_unit_test(derive__known_secret__gives_the_documented_keys),
		cmocka_unit_test(derive__another_fingerprint__gives_other_keys),
		cmocka_unit_test(prove__any_part_changed__is_another_proof),
		cmocka_unit_test(list__added__is_read_back_and_is_secret),
		cmocka_unit_test(list__used_up__is_erased),
		cmocka_unit_test(list__past_its_time__is_erased_when_it_is_read),
		cmocka_unit_test(list__full__takes_no_more),
		cmocka_unit_test(list__lines_that_are_none__are_passed_over),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
