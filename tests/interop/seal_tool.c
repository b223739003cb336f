/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal_tool: the file format without the rest of the product, for tests against other programs and for measuring.
 *
 *     seal_tool seal PASSWORDFILE KEYDIR DATABASE COMPANION OUT [LEVEL]    a sealed file; the public key in KEYDIR
 *     seal_tool open PASSWORDFILE KEYDIR FILE OUTDIR                       verify, and write its members to OUTDIR
 *     seal_tool encrypt RECIPIENT < PLAIN > AGE                            any age file for an X25519 recipient
 *     seal_tool decrypt password|identity SECRETFILE AGE > PLAIN           any age file
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backup/manifest.h"
#include "backup/seal.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "keystore/secret.h"
#include "keystore/sign.h"

static char *read_line(const char *path)
{
	struct buf b;
	char *s;

	buf_init(&b, 4096);
	if (file_read(&b, path) < 0)
		return NULL;
	s = mem_xstrdup(buf_str(&b));
	if (strstr(s, "AGE-SECRET-KEY") == NULL)
		s[strcspn(s, "\n")] = '\0';
	buf_fini(&b);
	return s;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Forget how much memory was used at most: scrypt's is not the pipeline's. */
static void reset_peak(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "w");

	if (f != NULL) {
		fputs("5", f);
		fclose(f);
	}
}

static long peak_kb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = -1;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = atol(line + 6);
	if (f != NULL)
		fclose(f);
#ifdef KC_WITH_SANITIZER
	kb = 0;
#endif
	return kb;
}

static void tell(const char *what, double since, uint64_t bytes)
{
	double s = seconds() - since;

	fprintf(stderr, "%s: %.3f s, %.0f MB/s, peak %ld KB\n", what, s, (double)bytes / 1e6 / s, peak_kb());
}

/* ---- seal ---- */

static int sign(void *arg, struct buf *sig, const void *text, size_t n)
{
	char *s = NULL;
	int rc = sign_bytes(&s, arg, text, n);

	if (rc == KC_OK)
		buf_put_str(sig, s);
	free(s);
	return rc;
}

static int load_key(struct sign_key **key, const char *dir)
{
	char *box_path = file_join(dir, "seal.key"), *key_path = file_join(dir, "signing.key"),
	     *pub_path = file_join(dir, "signing.pub");
	struct secret_box *box = NULL;
	int rc = secret_box_open(&box, box_path);

	if (rc == KC_OK)
		rc = file_exists(key_path) ? sign_key_load(key, box, key_path)
					   : sign_key_create(key, box, key_path, pub_path);
	secret_box_free(box);
	free(box_path);
	free(key_path);
	free(pub_path);
	return rc;
}

static void describe(struct manifest *m, uint64_t db_size, const char *companion, const struct stat *st)
{
	manifest_init(m);
	memset(m->lineage, 'a', MANIFEST_LINEAGE_LEN);
	m->generation = 1;
	m->time = 1781880659;
	m->host = mem_xstrdup("test");
	m->product = mem_xstrdup("seal_tool");
	m->db.size = db_size;
	m->db.page_size = 4096;
	strcpy(m->db.encoding, "UTF-8");
	strcpy(m->db.journal_mode, "wal");
	memset(m->db.schema_digest, '0', MANIFEST_DIGEST_LEN);
	memset(m->db.content_digest, '0', MANIFEST_DIGEST_LEN);
	manifest_add_companion(m, "Companion", file_basename(companion), (uint64_t)st->st_size, st->st_mode & 0777);
}

static int add_members(struct seal *s, const char *db, const char *companion)
{
	struct archive_writer *w = seal_archive(s);
	struct stat db_st, st;
	struct manifest m;
	struct buf json;
	char *member;
	int rc, fd = -1, fd2 = -1;

	if ((rc = file_open(&fd, db, O_RDONLY, 0)) < 0 || (rc = file_open(&fd2, companion, O_RDONLY, 0)) < 0)
		goto out;
	if (fstat(fd, &db_st) < 0 || fstat(fd2, &st) < 0) {
		rc = err_errno("stat");
		goto out;
	}
	describe(&m, (uint64_t)db_st.st_size, companion, &st);
	member = manifest_companion_member(&m.companions[0]);
	buf_init(&json, ARCHIVE_MANIFEST_MAX);
	if ((rc = manifest_build(&json, &m)) == KC_OK &&
	    (rc = archive_writer_add(w, ARCHIVE_MANIFEST, 0600, buf_data(&json), buf_len(&json))) == KC_OK &&
	    (rc = archive_writer_add_fd(w, ARCHIVE_DATABASE, 0600, fd, (uint64_t)db_st.st_size, NULL)) == KC_OK)
		rc = archive_writer_add_fd(w, member, st.st_mode & 0777, fd2, (uint64_t)st.st_size, NULL);
	buf_fini(&json);
	free(member);
	manifest_fini(&m);
out:
	if (fd >= 0)
		close(fd);
	if (fd2 >= 0)
		close(fd2);
	return rc;
}

static int cmd_seal(char **arg)
{
	struct seal_options o = { .path = arg[4], .level = arg[5] != NULL ? atoi(arg[5]) : 1, .mtime = 1781880659 };
	char *password = read_line(arg[0]);
	struct age_key *key = age_key_new();
	struct sign_key *signer = NULL;
	struct seal_result result;
	struct seal *s = NULL;
	struct buf header;
	struct stat st;
	double since;
	int rc;

	buf_init(&header, 1024);
	if (stat(arg[2], &st) < 0 || password == NULL || (rc = load_key(&signer, arg[1])) < 0 ||
	    (rc = file_open(&o.fd, o.path, O_RDWR | O_CREAT | O_TRUNC, 0600)) < 0 ||
	    (rc = age_wrap_scrypt(&header, key, password, 15)) < 0)
		return err_set(KC_EFAIL, "cannot prepare");
	reset_peak();
	since = seconds();
	if ((rc = seal_new(&s, key, &o)) == KC_OK && (rc = add_members(s, arg[2], arg[3])) == KC_OK &&
	    (rc = seal_finish(&result, s, sign, signer)) == KC_OK) {
		rc = seal_put_header(o.fd, o.path, buf_data(&header), buf_len(&header));
		tell("sealed", since, (uint64_t)st.st_size);
	}
	close(o.fd);
	seal_free(s);
	buf_fini(&header);
	sign_key_free(signer);
	age_key_free(key);
	free(password);
	return rc;
}

/* ---- open ---- */

static int verify(void *arg, const void *sig, size_t nsig, const void *text, size_t n)
{
	return sign_verify(arg, text, n, sig, nsig);
}

static int save_member(struct archive_reader *r, const char *dir)
{
	char *path = file_join(dir, file_basename(archive_reader_name(r)));
	int fd = -1, rc = file_open(&fd, path, O_WRONLY | O_CREAT | O_TRUNC, archive_reader_mode(r));

	if (rc == KC_OK)
		rc = archive_reader_save(r, fd, path);
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

static int read_members(struct archive_reader *r, const char *dir, struct sign_public *pub)
{
	struct archive_member *members = NULL;
	struct manifest m;
	struct buf json;
	size_t n = 0;
	int rc;

	buf_init(&json, ARCHIVE_MANIFEST_MAX);
	manifest_init(&m);
	if ((rc = archive_reader_next(r)) == KC_OK && (rc = archive_reader_load(r, &json)) == KC_OK &&
	    (rc = manifest_parse(&m, buf_data(&json), buf_len(&json))) == KC_OK) {
		members = manifest_members(&m, &n);
		rc = archive_reader_expect(r, members, n);
	}
	for (size_t i = 0; i < n && rc == KC_OK; i++)
		if ((rc = archive_reader_next(r)) == KC_OK)
			rc = strcmp(dir, "-") == 0 ? archive_reader_skip(r) : save_member(r, dir);
	if (rc == KC_OK)
		rc = archive_reader_finish(r, verify, pub);
	manifest_members_free(members, n);
	manifest_fini(&m);
	buf_fini(&json);
	return rc;
}

static int cmd_open(char **arg)
{
	char *password = read_line(arg[0]), *pub_path = file_join(arg[1], "signing.pub");
	struct age_unlock with = { .password = password };
	struct age_key *key = NULL;
	struct sign_public pub;
	struct unseal *u = NULL;
	uint64_t offset = 0;
	struct stat st;
	double since;
	int rc, fd = -1;

	if (password == NULL || (rc = sign_public_read(&pub, pub_path)) < 0 ||
	    (rc = file_open(&fd, arg[2], O_RDONLY, 0)) < 0)
		return err_set(KC_EFAIL, "cannot prepare");
	if ((rc = unseal_header(&key, &offset, NULL, fd, arg[2], &with)) == KC_OK) {
		reset_peak();
		since = seconds();
		if ((rc = unseal_new(&u, key, fd, offset, NULL, NULL)) == KC_OK &&
		    (rc = read_members(unseal_archive(u), arg[3], &pub)) == KC_OK && fstat(fd, &st) == 0)
			tell("opened", since, (uint64_t)st.st_size);
	}
	unseal_free(u);
	age_key_free(key);
	close(fd);
	free(pub_path);
	free(password);
	return rc;
}

/* ---- plain age ---- */

static int put_fd(void *arg, const void *data, size_t n)
{
	return file_write_all(*(int *)arg, data, n, "output");
}

static int get_fd(void *arg, void *data, size_t n, size_t *got)
{
	ssize_t r = read(*(int *)arg, data, n);

	if (r < 0)
		return err_errno("input");
	*got = (size_t)r;
	return KC_OK;
}

static int cmd_encrypt(char **arg)
{
	struct age_key *key = age_key_new();
	struct age_writer *w = NULL;
	struct age_recipient to;
	struct buf header;
	uint8_t piece[5000];
	int rc, out = STDOUT_FILENO;
	ssize_t n = 1;

	buf_init(&header, 4096);
	if ((rc = age_recipient_parse(&to, arg[0])) == KC_OK && (rc = age_wrap_x25519(&header, key, &to, 1)) == KC_OK &&
	    (rc = put_fd(&out, buf_data(&header), buf_len(&header))) == KC_OK)
		rc = age_writer_new(&w, key, put_fd, &out);
	while (rc == KC_OK && (n = read(STDIN_FILENO, piece, sizeof(piece))) > 0)
		rc = age_writer_put(w, piece, (size_t)n);
	if (rc == KC_OK)
		rc = age_writer_finish(w);
	age_writer_free(w);
	buf_fini(&header);
	age_key_free(key);
	return rc;
}

static int cmd_decrypt(char **arg)
{
	const struct age_identity *ids[1];
	struct age_unlock with = { 0 };
	struct age_identity *id = NULL;
	char *secret = read_line(arg[1]);
	struct age_key *key = NULL;
	struct age_reader *r = NULL;
	const uint8_t *data;
	uint64_t offset = 0;
	size_t n = 1;
	int rc, fd = -1, out = STDOUT_FILENO;

	if (secret == NULL || (rc = file_open(&fd, arg[2], O_RDONLY, 0)) < 0)
		return err_set(KC_EFAIL, "cannot prepare");
	if (strcmp(arg[0], "password") == 0)
		with.password = secret;
	else {
		if ((rc = age_identity_parse(&id, secret)) < 0)
			return rc;
		ids[0] = id;
		with.identities = ids;
		with.n_identities = 1;
	}
	rc = unseal_header(&key, &offset, NULL, fd, arg[2], &with);
	if (rc == KC_OK && lseek(fd, (off_t)offset, SEEK_SET) >= 0)
		rc = age_reader_new(&r, key, get_fd, &fd);
	while (rc == KC_OK && n > 0)
		if ((rc = age_reader_next(r, &data, &n)) == KC_OK)
			rc = put_fd(&out, data, n);
	age_reader_free(r);
	age_key_free(key);
	age_identity_free(id);
	close(fd);
	free(secret);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int min, max;
		int (*run)(char **arg);
	} commands[] = {
		{ "seal", 5, 6, cmd_seal },
		{ "open", 4, 4, cmd_open },
		{ "encrypt", 1, 1, cmd_encrypt },
		{ "decrypt", 3, 3, cmd_decrypt },
	};
	int rc;

	if (mem_init() < 0)
		return 1;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (argc < 2 || strcmp(argv[1], commands[i].name) != 0 || argc - 2 < commands[i].min ||
		    argc - 2 > commands[i].max)
			continue;
		if ((rc = commands[i].run(argv + 2)) < 0)
			fprintf(stderr, "seal_tool: %s: %s\n", err_name(rc), err_text(rc));
		return rc < 0 ? err_exit_status(rc) : 0;
	}
	fprintf(stderr, "usage: see the top of tests/interop/seal_tool.c\n");
	return 64;
}
