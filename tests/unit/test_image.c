/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of image, and of restores that end badly: damaged, hostile, killed. */
#include "backup_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/seal.h"
#include "backup/staging.h"
#include "backup/verify.h"
#include "base/file.h"
#include "base/mem.h"

static struct fixture fix;
static const struct fix_kind usual = { "wal", 4096, "UTF-8", 0 };
static const struct fix_kind rollback = { "delete", 4096, "UTF-8", 0 };

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

static void restore__truncated_or_flipped__untouched(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	char *travel, *bad = file_join(fix.backups, "bad.age"), now[SOURCE_DIGEST_LEN + 1];
	char old[SOURCE_DIGEST_LEN + 1];
	uint8_t *data;
	size_t i, n;
	struct buf b;

	(void)state;
	fix_make_database(fix.master, &usual, 3000, 2);
	fix_make_database(fix.clone, &usual, 20, 1);
	fix_digest(old, fix.clone);
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore_options(&fix, &o, &travel, &r, live, old);
	buf_init(&b, 1u << 26);
	ok(file_read(&b, r.path));
	n = buf_len(&b);
	data = (uint8_t *)buf_data(&b);
	o.image.file = bad;
	for (i = 0; i < n; i += 1 + n / 61) {
		size_t at = i + 40 < n ? i : n - 1;
		int rc;

		ok(file_replace(bad, data, at, 0600));
		rc = backup_restore(&result, &o);
		assert_int_equal(err_exit_status(rc), 65);
		assert_non_null(strstr(err_text(rc), "bad.age"));
		restore_result_fini(&result);
		if (at >= r.header_size) {
			data[at] ^= 0x20;
			ok(file_replace(bad, data, n, 0600));
			data[at] ^= 0x20;
			rc = backup_restore(&result, &o);
			assert_int_equal(err_exit_status(rc), 65);
			restore_result_fini(&result);
		}
	}
	/* More behind the end. */
	buf_put_u8(&b, 0);
	ok(file_replace(bad, buf_data(&b), n + 1, 0600));
	assert_int_equal(err_exit_status(backup_restore(&result, &o)), 65);
	restore_result_fini(&result);
	ok(file_replace(bad, "no backup at all", 16, 0600));
	assert_int_equal(err_exit_status(backup_restore(&result, &o)), 65);
	restore_result_fini(&result);
	source_close(live);
	fix_digest(now, fix.clone);
	assert_string_equal(old, now);
	buf_fini(&b);
	free(bad);
	free(travel);
	create_result_fini(&r);
}

static void restore__part_without_recovery_header__opens_with_identity(void **state)
{
	struct restore_options o;
	struct restore_result result;
	struct create_result r;
	struct source *live;
	char *travel, zeroes[4096] = "";
	int fd;

	(void)state;
	fix_make_database(fix.master, &usual, 20, 2);
	fix_backup(&fix, &r, fix.master, 1);
	fd = open(r.path, O_RDWR);
	assert_true(r.header_size < sizeof(zeroes));
	assert_int_equal(pwrite(fd, zeroes, r.header_size, 0), r.header_size);
	close(fd);
	live = fix_open(fix.clone, true);
	fix_restore_options(&fix, &o, &travel, &r, live, NULL);
	ok(backup_restore(&result, &o));
	restore_result_fini(&result);
	o.image.travel = NULL;
	o.image.password = FIX_PASSWORD;
	fails(KC_ETRUNCATED, backup_restore(&result, &o));
	restore_result_fini(&result);
	source_close(live);
	free(travel);
	create_result_fini(&r);
}

static void restore__schema_of_an_application__is_kept_asleep(void **state)
{
	struct create_result r;
	struct source *live;

	(void)state;
	/* Functions, collations and modules that we do not have. */
	fix_sql(fix.master,
	    "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT); INSERT INTO t VALUES(1,'x','y');"
	    "CREATE TRIGGER bomb AFTER INSERT ON t BEGIN DELETE FROM t; END; CREATE VIEW v AS SELECT * FROM t;"
	    "CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES('hello');"
	    "PRAGMA writable_schema=ON; UPDATE sqlite_master SET sql='CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT "
	    "COLLATE "
	    "app_order, b TEXT CHECK(app_check(b)))' WHERE name='t';"
	    "INSERT INTO sqlite_master VALUES('view','w','w',0,'CREATE VIEW w AS SELECT app_function(a) FROM t');"
	    "INSERT INTO sqlite_master VALUES('table','g','g',0,'CREATE VIRTUAL TABLE g USING app_module(a)');");
	fix_backup(&fix, &r, fix.master, 1);
	live = fix_open(fix.clone, true);
	fix_restore(&fix, &r, live, NULL);
	source_close(live);
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM t"), "1");
	assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM f WHERE f MATCH 'hello'"), "1");
	create_result_fini(&r);
}

/* ---- crashes ---- */

static int die_at;
static int on_phase(void *arg, enum restore_phase phase, unsigned percent)
{
	(void)arg;
	if ((int)phase * 1000 + (phase == RESTORE_WRITE ? (int)percent / 30 : 0) >= die_at)
		_exit(42);
	return KC_OK;
}

static void restore__killed_at_each_step__old_or_new(void **state)
{
	static const struct fix_kind *const kinds[] = { &usual, &rollback };
	int i, at;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct create_result r;
		char old[SOURCE_DIGEST_LEN + 1];

		fix_remove_database(fix.master);
		fix_make_database(fix.master, kinds[i], 20000, 2);
		fix_backup(&fix, &r, fix.master, (uint64_t)i + 1);
		for (at = 0; at <= RESTORE_DONE * 1000;
		     at += at / 1000 == RESTORE_WRITE && at % 1000 < 2 ? 1 : 1000 - at % 1000) {
			struct restore_result result;
			enum restore_outcome outcome;
			struct restore_options o;
			struct source *live;
			char *travel, now[SOURCE_DIGEST_LEN + 1];
			int status;
			pid_t pid;

			fix_remove_database(fix.clone);
			fix_make_database(fix.clone, kinds[i], 500, 1);
			fix_digest(old, fix.clone);
			die_at = at;
			pid = fork();
			if (pid == 0) {
				live = fix_open(fix.clone, true);
				fix_restore_options(&fix, &o, &travel, &r, live, old);
				o.progress = on_phase;
				(void)backup_restore(&result, &o);
				_exit(1);
			}
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_int_equal(WEXITSTATUS(status), 42);
			fix_digest(now, fix.clone);
			assert_string_equal(now, at < RESTORE_COMMITTED * 1000 ? old : r.content);
			assert_string_equal(fix_query(fix.clone, "PRAGMA integrity_check"), "ok");
			ok(staging_clean(fix.clone));
			live = fix_open(fix.clone, true);
			ok(restore_resolve(&outcome, live, old, r.content, r.schema));
			assert_int_equal(
			    outcome, at < RESTORE_COMMITTED * 1000 ? RESTORE_NOT_APPLIED : RESTORE_APPLIED);
			fix_restore(&fix, &r, live, old);
			source_close(live);
		}
		create_result_fini(&r);
	}
}

/* ---- forged ---- */

/* What a hostile maker with the signing key could send. */
struct forgery {
	const void *database;
	size_t size;
	void (*manifest)(struct manifest *m); /* changes what a true manifest says */
};

static int sign(void *arg, struct buf *sig, const void *text, size_t n)
{
	char *s = NULL;

	ok(sign_bytes(&s, arg, text, n));
	buf_put_str(sig, s);
	free(s);
	return KC_OK;
}

static void describe(struct manifest *m, const struct create_result *r, size_t size)
{
	manifest_init(m);
	strcpy(m->lineage, FIX_LINEAGE);
	m->generation = 9;
	m->time = 1781873459;
	m->host = mem_xstrdup("h");
	m->product = mem_xstrdup("p");
	m->db.size = size;
	m->db.page_size = 4096;
	strcpy(m->db.encoding, "UTF-8");
	m->db.user_version = 7;
	strcpy(m->db.journal_mode, "wal");
	strcpy(m->db.schema_digest, r->schema);
	strcpy(m->db.content_digest, r->content);
	manifest_add_table(m, "keys", r->rows);
}

static void forge(const char *path, const struct forgery *f, const struct create_result *r, struct age_key *key)
{
	struct seal_options so = { .path = path, .level = 1, .mtime = 1781873459 };
	struct seal_result sr;
	struct seal *seal;
	struct manifest m;
	struct buf json, header;

	ok(file_open(&so.fd, path, O_RDWR | O_CREAT | O_TRUNC, 0600));
	describe(&m, r, f->size);
	if (f->manifest != NULL)
		f->manifest(&m);
	buf_init(&json, 1u << 20);
	buf_init(&header, 65536);
	ok(manifest_build(&json, &m));
	ok(seal_new(&seal, key, &so));
	ok(archive_writer_add(seal_archive(seal), ARCHIVE_MANIFEST, 0600, buf_data(&json), buf_len(&json)));
	ok(archive_writer_add(seal_archive(seal), ARCHIVE_DATABASE, 0600, f->database, f->size));
	ok(seal_finish(&sr, seal, sign, fix.key));
	ok(age_wrap_scrypt(&header, key, FIX_PASSWORD, 15));
	ok(seal_put_header(so.fd, path, buf_data(&header), buf_len(&header)));
	close(so.fd);
	seal_free(seal);
	manifest_fini(&m);
	buf_fini(&json);
	buf_fini(&header);
}

static void other_schema(struct manifest *m)
{
	m->db.schema_digest[5] ^= 1;
}
static void other_content(struct manifest *m)
{
	m->db.content_digest[5] = m->db.content_digest[5] == '0' ? '1' : '0';
}
static void other_page_size(struct manifest *m)
{
	m->db.page_size = 1024;
}
static void other_encoding(struct manifest *m)
{
	strcpy(m->db.encoding, "UTF-16le");
}
static void other_version(struct manifest *m)
{
	m->db.user_version++;
}

static void image__forged__is_damaged_and_nothing_written(void **state)
{
	static const struct {
		void (*manifest)(struct manifest *m);
		long at; /* where garbage goes */
		bool wal;
		int verify, restore;
	} cases[] = {
		{ NULL, 0, false, KC_OK, KC_OK },
		{ NULL, 0, true, KC_OK, KC_OK }, /* WAL mode without a WAL: taken out of it */
		{ NULL, 2 * 4096 + 8, false, KC_EDAMAGED, KC_EDAMAGED },
		{ NULL, 16, false, KC_EDAMAGED, KC_EDAMAGED }, /* page size of 0x4141 */
		{ other_schema, 0, false, KC_EDAMAGED, KC_EDAMAGED },
		{ other_page_size, 0, false, KC_EDAMAGED, KC_EDAMAGED },
		{ other_encoding, 0, false, KC_EDAMAGED, KC_EDAMAGED },
		{ other_version, 0, false, KC_EDAMAGED, KC_EDAMAGED },
		{ other_content, 0, false, KC_EDAMAGED, KC_OK }, /* the signer's word; verify counts */
	};
	char *copy = file_join(fix.dir, "copy.db"), *path = file_join(fix.dir, "forged.age"), *sql, *travel;
	struct age_key *key = age_key_new();
	struct create_result r;
	struct buf b;
	size_t i;

	(void)state;
	fix_make_database(fix.master, &usual, 400, 1);
	fix_backup(&fix, &r, fix.master, 9);
	sql = sqlite3_mprintf("VACUUM INTO %Q", copy);
	fix_sql(fix.master, sql);
	sqlite3_free(sql);
	ok(backup_wrap(&travel, key, &fix.recipient, 1));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image_options io = {
			.file = path, .password = FIX_PASSWORD, .pins = &fix.pins, .staging = fix.dir
		};
		struct restore_options o;
		struct restore_result result;
		struct verify_result v;
		struct forgery f;
		struct source *live;
		uint8_t *data;
		char *unused;
		int rc;

		buf_init(&b, 1u << 24);
		ok(file_read(&b, copy));
		data = mem_xalloc(buf_len(&b));
		memcpy(data, buf_data(&b), buf_len(&b));
		if (cases[i].at > 0)
			memset(data + cases[i].at, 'A', 8);
		if (cases[i].wal)
			memset(data + 18, 2, 2);
		f = (struct forgery){ data, buf_len(&b), cases[i].manifest };
		forge(path, &f, &r, key);
		rc = backup_verify(&v, &io);
		if (rc != cases[i].verify)
			fail_msg("case %zu: %s %s", i, err_name(rc), err_text(rc));
		if (rc == KC_OK)
			verify_result_fini(&v);
		fix_remove_database(fix.clone);
		live = fix_open(fix.clone, true);
		fix_restore_options(&fix, &o, &unused, &r, live, NULL);
		o.image.file = path;
		o.image.travel = travel;
		rc = backup_restore(&result, &o);
		if (rc != cases[i].restore)
			fail_msg("case %zu: %s %s", i, err_name(rc), err_text(rc));
		if (rc < 0)
			assert_string_equal(fix_query(fix.clone, "SELECT count(*) FROM sqlite_master"), "0");
		restore_result_fini(&result);
		source_close(live);
		free(unused);
		free(data);
		buf_fini(&b);
	}
	free(travel);
	free(copy);
	free(path);
	age_key_free(key);
	create_result_fini(&r);
}

/* ---- memory ---- */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static void restore__large_database__memory_stays_small(void **state)
{
#ifdef SANITIZED
	(void)state;
	skip(); /* its shadow memory is not ours */
#else
	static const char sql[] =
	    "INSERT INTO keys WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%d) "
	    "SELECT 'k' || i, 'a', 1, 0, randomblob(700) FROM n";
	struct create_result r;
	struct rusage u;
	char text[512], old[SOURCE_DIGEST_LEN + 1];
	pid_t pid;
	int status;

	(void)state;
	fix_make_database(fix.master, &usual, 10, 1);
	fix_make_database(fix.clone, &usual, 10, 1);
	snprintf(text, sizeof(text), sql, 90000);
	fix_sql(fix.master, text);
	snprintf(text, sizeof(text), sql, 80000);
	fix_sql(fix.clone, text);
	fix_digest(old, fix.clone);
	fix_backup(&fix, &r, fix.master, 1);
	assert_true(r.database_size > 64u << 20);
	pid = fork();
	if (pid == 0) {
		struct source *live = fix_open(fix.clone, false);
		struct rusage self;

		fix_restore(&fix, &r, live, old);
		getrusage(RUSAGE_SELF, &self);
		_exit(self.ru_maxrss < 48 * 1024 ? 0 : 1 + (int)(self.ru_maxrss / 1024));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0)
		fail_msg("%d MB", WEXITSTATUS(status) - 1);
	getrusage(RUSAGE_SELF, &u); /* scrypt's own 32 MB and the digest's, snapshot's and pipeline's buffers */
	if (u.ru_maxrss > 96 * 1024)
		fail_msg("%ld MB", u.ru_maxrss / 1024);
	create_result_fini(&r);
#endif
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(restore__truncated_or_flipped__untouched),
		T(restore__part_without_recovery_header__opens_with_identity),
		T(restore__schema_of_an_application__is_kept_asleep),
		T(restore__killed_at_each_step__old_or_new),
		T(image__forged__is_damaged_and_nothing_written),
		T(restore__large_database__memory_stays_small),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
