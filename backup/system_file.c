/* SPDX-License-Identifier: Apache-2.0 */
/* system_file: a system backup written to its file, and opened again. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/create_part.h"
#include "backup/seal.h"
#include "backup/store.h"
#include "backup/system_internal.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

/* --- writing --- */

struct making {
	const struct system_contents *c;
	const struct system_options *o;
	struct system_result result;
	struct create_prepared *prepared;
	struct seal *seal;
	struct create_part part;
};

static void choose_name(struct making *m)
{
	struct store_name n = { .generation = m->c->generation, .kind = STORE_SYSTEM, .time = m->c->time };

	strcpy(n.database, STORE_SYSTEM_DATABASE);
	memcpy(n.lineage, m->c->lineage, 8);
	m->result.name = store_name_build(&n);
	m->result.path = file_join(m->o->dir, m->result.name);
}

static int open_part(struct making *m)
{
	int rc = file_need_space(m->o->dir, m->c->total + (1u << 20), "a system backup");

	if (rc == KC_OK && file_exists(m->result.path))
		rc = err_set(KC_EEXIST, "%s: exists already", m->result.path);
	return rc == KC_OK ? create_part_open(&m->part, m->result.path) : rc;
}

static int add_members(struct making *m)
{
	struct archive_writer *w = seal_archive(m->seal);
	char *signer = sign_public_text(sign_key_public(m->o->key));
	struct buf json;
	int rc;

	buf_init(&json, ARCHIVE_MANIFEST_MAX);
	rc = system_manifest_build(&json, m->c, signer);
	if (rc == KC_OK)
		rc = archive_writer_add(w, ARCHIVE_MANIFEST, 0600, buf_data(&json), buf_len(&json));
	for (size_t i = 0; rc == KC_OK && i < m->c->n_files; i++) {
		const struct system_file *f = &m->c->files[i];

		rc = archive_writer_add(w, f->name, f->mode, buf_data(&f->data), buf_len(&f->data));
	}
	buf_fini(&json);
	free(signer);
	return rc;
}

static int write_payload(struct making *m)
{
	struct seal_options so = { .fd = m->part.fd, .path = m->part.path, .level = m->o->level, .mtime = m->c->time };
	const struct sign_key *key = m->o->key;
	struct seal_result sealed;
	int rc = seal_new(&m->seal, m->prepared->key, &so);

	if (rc == KC_OK)
		rc = add_members(m);
	if (rc == KC_OK)
		rc = seal_finish(&sealed, m->seal, create_part_sign, &key);
	if (rc < 0)
		return rc;
	m->result.size = sealed.size;
	m->result.header_size = sealed.header_size;
	memcpy(m->result.file_id, sealed.id, sizeof(m->result.file_id));
	hex_encode(m->result.payload_sha256, sealed.payload_sha256, sizeof(sealed.payload_sha256));
	return KC_OK;
}

static void making_fini(struct making *m)
{
	seal_free(m->seal);
	create_prepared_free(m->prepared);
	create_part_end(&m->part);
}

int system_create(struct system_result *r, const struct system_contents *c, const struct system_options *o)
{
	struct making m = { .c = c, .o = o, .part = CREATE_PART_EMPTY };
	int rc;

	choose_name(&m);
	rc = create_take_prepared(&m.prepared, o->prepared, o->password, o->logn);
	if (rc == KC_OK)
		rc = open_part(&m);
	if (rc == KC_OK)
		rc = write_payload(&m);
	if (rc == KC_OK)
		rc = create_part_finish(&m.part, m.prepared);
	making_fini(&m);
	if (rc < 0)
		system_result_fini(&m.result);
	else
		*r = m.result;
	return rc;
}

void system_result_fini(struct system_result *r)
{
	free(r->path);
	free(r->name);
	memset(r, 0, sizeof(*r));
}

/* --- reading --- */

struct opening {
	const char *file;
	const struct sign_pins *pins;
	struct system_manifest manifest;
};

static int verify(void *arg, const void *sig, size_t nsig, const void *text, size_t n)
{
	const struct opening *op = arg;

	if (op->pins != NULL)
		return sign_pins_verify(NULL, op->pins, text, n, sig, nsig);
	return sign_verify(&op->manifest.signer, text, n, sig, nsig);
}

static int read_manifest(struct opening *op, struct archive_reader *r)
{
	struct buf json;
	int rc;

	buf_init(&json, ARCHIVE_MANIFEST_MAX);
	rc = archive_reader_next(r);
	if (rc == KC_OK)
		rc = archive_reader_load(r, &json);
	if (rc == KC_OK)
		rc = system_manifest_parse(&op->manifest, buf_data(&json), buf_len(&json));
	if (rc == KC_OK)
		rc = archive_reader_expect(r, op->manifest.members, op->manifest.n_members);
	buf_fini(&json);
	return rc;
}

static int read_member(struct opening *op, struct archive_reader *r, size_t i)
{
	struct buf b;
	int rc;

	buf_init(&b, SYSTEM_FILE_MAX);
	rc = archive_reader_next(r);
	if (rc == KC_OK)
		rc = archive_reader_load(r, &b);
	if (rc == KC_OK)
		rc = system_add(
		    &op->manifest.head, op->manifest.members[i].name, op->manifest.modes[i], buf_data(&b), buf_len(&b));
	buf_fini(&b);
	return rc;
}

static int read_all(struct opening *op, struct archive_reader *r)
{
	int rc = read_manifest(op, r);

	for (size_t i = 0; rc == KC_OK && i < op->manifest.n_members; i++)
		rc = read_member(op, r, i);
	return rc < 0 ? rc : archive_reader_finish(r, verify, op);
}

static int open_file(struct opening *op, const char *password)
{
	struct age_unlock with = { .password = password };
	struct age_key *key = NULL;
	struct unseal *u = NULL;
	struct stat st;
	uint64_t offset;
	int fd = -1, rc = file_open(&fd, op->file, O_RDONLY | O_NONBLOCK, 0);

	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0)
		rc = err_errno("%s", op->file);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(KC_EFORMAT, "%s: not a regular file", op->file);
	if (rc == KC_OK)
		rc = unseal_header(&key, &offset, NULL, fd, op->file, &with);
	if (rc == KC_OK) {
		rc = unseal_new(&u, key, fd, offset, NULL, NULL);
		if (rc == KC_OK)
			rc = read_all(op, unseal_archive(u));
		if (rc < 0)
			err_prefix(rc, "%s", op->file);
	}
	unseal_free(u);
	age_key_free(key);
	close(fd);
	return rc;
}

int system_open(struct system_contents *c, const char *file, const char *password, const struct sign_pins *pins)
{
	struct opening *op = mem_xalloc(sizeof(*op));
	int rc;

	op->file = file;
	op->pins = pins;
	rc = open_file(op, password);
	if (rc == KC_OK) {
		*c = op->manifest.head;
		system_init(&op->manifest.head);
	}
	system_manifest_fini(&op->manifest);
	free(op);
	return rc;
}
