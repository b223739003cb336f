/* SPDX-License-Identifier: Apache-2.0 */
/* system: what goes into a system backup comes out of it with the password, and not otherwise. */
#include "backup_fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/store.h"
#include "backup/system.h"
#include "backup/system_internal.h"
#include "base/conf.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/system.h"
#include "keystore/issue.h"

static struct fixture fix;

static int setup(void **state)
{
	(void)state;
	fix_init(&fix);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fix_fini(&fix);
	return 0;
}

static void fill(struct system_contents *c)
{
	system_init(c);
	memcpy(c->lineage, FIX_LINEAGE, sizeof(c->lineage));
	lineage_push(&c->ancestors, "ffffffffffffffffffffffffffffffff", 7);
	c->generation = 3;
	c->keys = 41;
	c->time = 1700000000;
	c->host = mem_xstrdup("kmip1");
	c->product = mem_xstrdup("keyclone 0");
	c->clones[c->n_clones++] = mem_xstrdup("10.0.0.5:2222");
	ok(system_add(c, SYSTEM_SECRETS "seal.key", 0600, "\0\1\2\3", 4));
	ok(system_add(c, SYSTEM_CONFIG "keyclone.properties", 0600, "a=b\n", 4));
	ok(system_add(c, SYSTEM_TRUSTSTORE "empty.pem", 0644, "", 0));
}

static void create(struct system_result *r, const struct system_contents *c)
{
	struct system_options o = {
		.dir = fix.backups, .level = 1, .logn = 15, .password = FIX_PASSWORD, .key = fix.key
	};

	ok(system_create(r, c, &o));
}

static void round_trip__same_contents(void **state)
{
	struct system_contents c, back;
	struct system_result r;
	struct store_name n;
	struct stat st;
	char one[SYSTEM_DIGEST_LEN + 1], two[SYSTEM_DIGEST_LEN + 1];

	(void)state;
	fill(&c);
	create(&r, &c);
	ok(store_name_parse(&n, r.name));
	assert_int_equal(n.kind, STORE_SYSTEM);
	assert_string_equal(n.database, STORE_SYSTEM_DATABASE);
	assert_int_equal(n.generation, 3);
	assert_int_equal(stat(r.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, r.size);
	ok(system_open(&back, r.path, FIX_PASSWORD, &fix.pins));
	assert_string_equal(back.lineage, FIX_LINEAGE);
	assert_int_equal(back.ancestors.count, 1);
	assert_int_equal(back.ancestors.of[0].fork, 7);
	assert_int_equal(back.generation, 3);
	assert_int_equal(back.keys, 41);
	assert_int_equal(back.time, 1700000000);
	assert_string_equal(back.host, "kmip1");
	assert_int_equal(back.n_clones, 1);
	assert_string_equal(back.clones[0], "10.0.0.5:2222");
	assert_int_equal(back.n_files, 3);
	assert_memory_equal(buf_data(&system_find(&back, SYSTEM_SECRETS "seal.key")->data), "\0\1\2\3", 4);
	assert_int_equal(system_find(&back, SYSTEM_TRUSTSTORE "empty.pem")->mode, 0644);
	assert_string_equal(system_config(&back)->name, SYSTEM_CONFIG "keyclone.properties");
	assert_null(system_find(&back, SYSTEM_SECRETS "identity.age"));
	ok(system_digest(one, &c, "id"));
	ok(system_digest(two, &back, "id"));
	assert_string_equal(one, two);
	system_fini(&back);
	/* A machine that knows nobody yet believes the password. */
	ok(system_open(&back, r.path, FIX_PASSWORD, NULL));
	system_fini(&back);
	system_fini(&c);
	system_result_fini(&r);
}

static void digest__only_what_matters(void **state)
{
	struct system_contents c;
	char first[SYSTEM_DIGEST_LEN + 1], then[SYSTEM_DIGEST_LEN + 1];

	(void)state;
	fill(&c);
	ok(system_digest(first, &c, "id"));
	c.generation++;
	c.keys++;
	c.time++;
	ok(system_digest(then, &c, "id"));
	assert_string_equal(first, then);
	ok(system_digest(then, &c, "another password"));
	assert_string_not_equal(first, then);
	c.files[0].mode = 0644;
	ok(system_digest(then, &c, "id"));
	assert_string_not_equal(first, then);
	c.files[0].mode = 0600;
	c.clones[0][0] = '9';
	ok(system_digest(then, &c, "id"));
	assert_string_not_equal(first, then);
	c.clones[0][0] = '1';
	ok(system_digest(then, &c, "id"));
	assert_string_equal(first, then);
	ok(system_add(&c, SYSTEM_KEYSTORE "x.crt", 0600, "", 0));
	ok(system_digest(then, &c, "id"));
	assert_string_not_equal(first, then);
	system_fini(&c);
}

static void add__bounds(void **state)
{
	struct system_contents c;
	char *large = mem_xalloc(SYSTEM_FILE_MAX + 1), name[64];
	int rc = KC_OK;

	(void)state;
	system_init(&c);
	ok(system_add(&c, SYSTEM_SECRETS "a", 0600, "x", 1));
	fails(KC_EEXIST, system_add(&c, SYSTEM_SECRETS "a", 0600, "x", 1));
	fails(KC_EFORMAT, system_add(&c, SYSTEM_SECRETS "../a", 0600, "x", 1));
	fails(KC_ELIMIT, system_add(&c, SYSTEM_SECRETS "b", 0600, large, SYSTEM_FILE_MAX + 1));
	for (int i = 0; rc == KC_OK && i < 20; i++) {
		snprintf(name, sizeof(name), SYSTEM_KEYSTORE "%d", i);
		rc = system_add(&c, name, 0600, large, SYSTEM_FILE_MAX);
	}
	assert_int_equal(rc, KC_ELIMIT);
	assert_true(c.total <= SYSTEM_TOTAL_MAX);
	fails(KC_ENOENT, system_add_file(&c, SYSTEM_SECRETS "c", "/nowhere"));
	fails(KC_EFORMAT, system_add_file(&c, SYSTEM_SECRETS "c", fix.dir));
	free(large);
	system_fini(&c);
}

static void open__not_with_another_password_signer_or_file(void **state)
{
	struct sign_pins nobody = { 0 };
	struct system_contents c, back;
	struct system_result r;
	struct create_result full;
	struct fix_kind kind = { "wal", 4096, "UTF-8", 0 };

	(void)state;
	fill(&c);
	create(&r, &c);
	fails(KC_EPASSWORD, system_open(&back, r.path, "another password", &fix.pins));
	fails(KC_ESIGNATURE, system_open(&back, r.path, FIX_PASSWORD, &nobody));
	fails(KC_ENOENT, system_open(&back, "/nowhere", FIX_PASSWORD, &fix.pins));
	fix_make_database(fix.master, &kind, 3, 1);
	fix_backup(&fix, &full, fix.master, 1);
	fails(KC_EFORMAT, system_open(&back, full.path, FIX_PASSWORD, &fix.pins));
	assert_non_null(strstr(err_text(KC_EFORMAT), "not a system backup but one of kind \"full\""));
	create_result_fini(&full);
	system_fini(&c);
	system_result_fini(&r);
}

/* Every byte but the padding of nothing: a change anywhere, and an end anywhere, is seen. */
static void open__damaged_or_cut__refused(void **state)
{
	struct system_contents c, back;
	struct system_result r;
	struct buf b;
	char *path;

	(void)state;
	fill(&c);
	create(&r, &c);
	path = file_join(fix.dir, "bad.age");
	buf_init(&b, 1u << 20);
	ok(file_read(&b, r.path));
	for (size_t at = r.header_size; at < buf_len(&b); at += 97) {
		uint8_t *data = mem_xalloc(buf_len(&b));

		memcpy(data, buf_data(&b), buf_len(&b));
		data[at] ^= 0x20;
		ok(file_replace(path, data, buf_len(&b), 0600));
		fails(KC_EDAMAGED, system_open(&back, path, FIX_PASSWORD, &fix.pins));
		ok(file_replace(path, buf_data(&b), at, 0600));
		assert_true(system_open(&back, path, FIX_PASSWORD, &fix.pins) < 0);
		free(data);
	}
	buf_fini(&b);
	free(path);
	system_fini(&c);
	system_result_fini(&r);
}

static void manifest__hostile__refused(void **state)
{
	static const struct {
		const char *from, *to;
	} changes[] = {
		{ "\"format\": 1", "\"format\": 2" },
		{ "\"system\"", "\"full\"" },
		{ FIX_LINEAGE, "0123" },
		{ "\"generation\": 3", "\"generation\": -3" },
		{ "\"keys\": 41", "\"keys\": 9007199254740993" },
		{ "\"host\": \"kmip1\"", "\"host\": \"\"" },
		{ "\"10.0.0.5:2222\"", "17" },
		{ "secrets/seal.key", "secrets/../seal.key" },
		{ "secrets/seal.key", "secrets/a/seal.key" },
		{ "secrets/seal.key", "elsewhere/seal.key" },
		{ "secrets/seal.key", "/etc/passwd" },
		{ "\"size\": 4", "\"size\": 4194304" },
		{ "\"mode\": \"0600\"", "\"mode\": \"4755\"" },
	};
	struct system_manifest *m = mem_xalloc(sizeof(*m));
	struct system_contents c;
	char *signer = sign_public_text(sign_key_public(fix.key));
	struct buf json;
	const char *text;

	(void)state;
	fill(&c);
	buf_init(&json, ARCHIVE_MANIFEST_MAX);
	ok(system_manifest_build(&json, &c, signer));
	ok(system_manifest_parse(m, buf_data(&json), buf_len(&json)));
	system_manifest_fini(m);
	text = buf_str(&json);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const char *at = strstr(text, changes[i].from);
		char *bad;

		if (at == NULL)
			fail_msg("no %s", changes[i].from);
		bad = mem_xasprintf("%.*s%s%s", (int)(at - text), text, changes[i].to, at + strlen(changes[i].from));
		if (system_manifest_parse(m, bad, strlen(bad)) == KC_OK)
			fail_msg("%s: accepted", changes[i].to);
		free(bad);
	}
	buf_fini(&json);
	free(signer);
	free(m);
	system_fini(&c);
}

/* --- from a master's folders to those of the machine that takes its place --- */

static struct conf *make_conf(const char *name, const char *role)
{
	char *dir = file_join(fix.dir, name), *path = file_join(dir, "keyclone.properties");
	char *text = mem_xasprintf("replication.role=%s\n%s", role,
	    strcmp(role, "master") == 0 ? "backup.ClientIP1=10.0.0.5\nbackup.EncryptionPassword=" FIX_PASSWORD "\n"
					: "");
	struct conf *c = NULL;

	ok(file_make_dirs(dir));
	ok(file_replace(path, text, strlen(text), 0600));
	ok(conf_load(&c, path, 0, NULL));
	ok(file_make_dirs(c->keystore_dir));
	ok(file_make_dirs(c->truststore_dir));
	free(text);
	free(path);
	free(dir);
	return c;
}

static void put(const char *dir, const char *name, const char *text)
{
	char *path = file_join(dir, name);

	ok(file_replace(path, text, strlen(text), 0600));
	free(path);
}

static void same_file(const char *dir, const char *name, const char *text)
{
	char *path = file_join(dir, name);
	struct buf b;

	buf_init(&b, 65536);
	ok(file_read(&b, path));
	assert_string_equal(buf_str(&b), text);
	buf_fini(&b);
	free(path);
}

static void take__authority_and_signing_key_sealed_anew(void **state)
{
	struct conf *master = make_conf("m", "master"), *clone = make_conf("c", "clone"), *theirs = NULL;
	struct secrets sm, sc, again;
	struct system_contents c;
	struct issue_authority *authority = NULL;
	struct sign_pins pins;
	char *own, *recipient_before, text[AGE_RECIPIENT_LEN + 1];
	struct age_recipient r;

	(void)state;
	ok(secrets_open(&sm, master->secrets_dir, true));
	ok(secrets_open(&sc, clone->secrets_dir, false));
	ok(issue_authority_create(master->secrets_dir, "authority", ISSUE_ECDSA_P256, 0));
	put(master->secrets_dir, "recipients", "age1x 10.0.0.5:2222\n");
	put(master->truststore_dir, "authority.pem", "theirs");
	put(master->truststore_dir, "other.pem", "other");
	put(clone->truststore_dir, "authority.pem", "ours");
	put(master->keystore_dir, "keydb.key", "goes with the keys");
	put(master->keystore_dir, "ssl_cert.crt", "a chain");
	own = sign_public_text(sign_key_public(sc.signing));
	age_identity_recipient(&r, sc.identity);
	age_recipient_text(text, &r);
	recipient_before = mem_xstrdup(text);

	system_init(&c);
	ok(system_gather(&c, master));
	assert_non_null(system_find(&c, SYSTEM_KEYSTORE "ssl_cert.crt"));
	assert_null(system_find(&c, SYSTEM_KEYSTORE "keydb.key"));
	assert_null(system_find(&c, SYSTEM_SECRETS "identity.age"));
	assert_non_null(system_find(&c, SYSTEM_SECRETS "authority.key"));
	assert_int_equal(c.n_clones, 1);
	assert_string_equal(c.clones[0], "10.0.0.5:2222");
	ok(system_conf(&theirs, &c, clone->path));
	assert_int_equal(theirs->clone_count, 1);
	assert_string_equal(theirs->dir, clone->dir);
	conf_free(theirs);

	/* Twice: a crash in the middle is gone over again. */
	ok(system_take(&c, clone, &sc));
	ok(system_take(&c, clone, &sc));
	assert_true(sign_public_equal(sign_key_public(sc.signing), sign_key_public(sm.signing)));
	secrets_fini(&sc);
	ok(secrets_open(&again, clone->secrets_dir, true));
	assert_true(sign_public_equal(sign_key_public(again.signing), sign_key_public(sm.signing)));
	age_identity_recipient(&r, again.identity);
	age_recipient_text(text, &r);
	assert_string_equal(text, recipient_before);
	ok(issue_authority_load(&authority, clone->secrets_dir));
	issue_authority_free(authority);
	same_file(clone->truststore_dir, "authority.pem", "ours");
	same_file(clone->truststore_dir, "master-authority.pem", "theirs");
	same_file(clone->truststore_dir, "other.pem", "other");
	same_file(clone->secrets_dir, "recipients", "age1x 10.0.0.5:2222\n");
	ok(sign_pins_load(&pins, again.signers));
	assert_int_equal(pins.count, 2);
	sign_pins_fini(&pins);
	secrets_fini(&again);
	secrets_fini(&sm);
	system_fini(&c);
	free(own);
	free(recipient_before);
	conf_free(master);
	conf_free(clone);
}

static void newest__by_lineage_and_generation(void **state)
{
	struct system_contents c;
	struct system_result r;
	char *path = NULL, own[LINEAGE_LEN + 1];

	(void)state;
	fails(KC_ENOENT, system_newest(&path, fix.backups, ""));
	fill(&c);
	for (int i = 0; i < 5; i++) {
		c.generation++;
		c.time--; /* a clock that was put back */
		create(&r, &c);
		free(path);
		path = NULL;
		ok(system_newest(&path, fix.backups, c.lineage));
		assert_string_equal(path, r.path);
		system_result_fini(&r);
	}
	/* One that was left behind, by a machine whose clock was ahead. */
	free(path);
	strcpy(own, c.lineage);
	memset(c.lineage, 'e', LINEAGE_LEN);
	c.time += 1000000;
	create(&r, &c);
	ok(system_newest(&path, fix.backups, own));
	assert_non_null(strstr(path, "-0000000008-"));
	free(path);
	ok(system_newest(&path, fix.backups, ""));
	assert_string_equal(path, r.path);
	assert_int_equal(unlink(r.path), 0);
	system_result_fini(&r);
	free(path);
	ok(store_prune_system(&(struct store_prune){ .dir = fix.backups }));
	{
		struct store_entry *list;
		size_t n;

		ok(store_list(&list, &n, fix.backups));
		assert_int_equal(n, STORE_SYSTEM_KEEP);
		assert_int_equal(list[n - 1].name.generation, 8);
		store_list_free(list, n);
	}
	system_fini(&c);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(round_trip__same_contents),
		T(digest__only_what_matters),
		T(add__bounds),
		T(open__not_with_another_password_signer_or_file),
		T(open__damaged_or_cut__refused),
		T(manifest__hostile__refused),
		T(take__authority_and_signing_key_sealed_anew),
		T(newest__by_lineage_and_generation),
	};

	return cmocka_run_group_tests_name("system", tests, NULL, NULL);
}
