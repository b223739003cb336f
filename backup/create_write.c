/* SPDX-License-Identifier: Apache-2.0 */
/* create_write: what goes into a backup: manifest, database, companion files, signature. And travel headers. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/create_internal.h"
#include "backup/image.h"
#include "backup/manifest.h"
#include "backup/manifest_names.h"
#include "base/base64.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

#define TRAVEL_MAX 65536

static void describe_database(struct manifest_database *db, const struct creation *c)
{
	const struct source_info *i = &c->snap.info;

	db->size = i->size;
	db->page_size = i->page_size;
	db->auto_vacuum = i->auto_vacuum;
	db->user_version = i->user_version;
	db->application_id = i->application_id;
	memcpy(db->encoding, i->encoding, sizeof(db->encoding));
	memcpy(db->journal_mode, i->journal_mode, sizeof(db->journal_mode));
	memcpy(db->schema_digest, c->digest.schema, sizeof(db->schema_digest));
	memcpy(db->content_digest, c->digest.content, sizeof(db->content_digest));
}

static int build_manifest(struct buf *json, struct creation *c)
{
	const struct create_options *o = c->o;
	struct manifest m;
	size_t i;
	int rc;

	manifest_init(&m);
	memcpy(m.lineage, o->lineage, strnlen(o->lineage, MANIFEST_LINEAGE_LEN));
	if (o->ancestors != NULL)
		m.ancestors = *o->ancestors;
	m.generation = c->result.generation;
	m.time = c->result.time;
	m.host = mem_xstrdup(o->host != NULL && o->host[0] != '\0' ? o->host : "localhost");
	m.product = mem_xstrdup(o->product);
	describe_database(&m.db, c);
	for (i = 0; i < c->digest.n_tables; i++)
		manifest_add_table(&m, c->digest.tables[i].name, c->digest.tables[i].rows);
	for (i = 0; i < c->digest.n_sequences; i++)
		manifest_add_sequence(&m, c->digest.sequences[i].table, c->digest.sequences[i].value);
	memcpy(m.increments, c->result.increments, sizeof(m.increments));
	if (c->incremental) {
		create_describe_increment(&m, c);
		manifest_changes_text(c->result.changed, &m);
	}
	if (c->with_master_key && o->master_key_file != NULL)
		manifest_add_companion(
		    &m, IMAGE_MASTER_KEY_FILE, file_basename(o->master_key_file), buf_len(&c->master_key), 0600);
	m.trees = c->trees;
	m.n_trees = create_has_trees(c) ? c->n_trees : 0;
	rc = manifest_build(json, &m);
	m.trees = NULL; /* they stay ours */
	m.n_trees = 0;
	manifest_fini(&m);
	return rc;
}

static int on_bytes(void *arg, uint64_t bytes)
{
	struct creation *c = arg;
	off_t at = c->snap_fd >= 0 ? lseek(c->snap_fd, 0, SEEK_CUR) : (off_t)c->snap.info.size;
	uint64_t size = c->snap.info.size > 0 ? c->snap.info.size : 1;

	/* The disk begins now: one sync of everything at the end would have the database's writers wait for it. */
	(void)sync_file_range(c->part.fd, (off_t)c->p.bytes, (off_t)(bytes - c->p.bytes), SYNC_FILE_RANGE_WRITE);
	c->p.bytes = bytes;
	return c->report(c, CREATE_WRITE, 25 + (unsigned)((uint64_t)(at > 0 ? at : 0) * 70 / size));
}

static int begin_seal(struct creation *c)
{
	struct seal_options so = { .fd = c->part.fd,
		.path = c->part.path,
		.level = c->o->level,
		.mtime = c->result.time,
		.progress = on_bytes,
		.arg = c };
	struct buf header;
	int rc = KC_OK;

	buf_init(&header, TRAVEL_MAX);
	if (c->incremental) {
		rc = create_increment_header(&header, c);
		so.header = &header;
	}
	if (rc == KC_OK)
		rc = seal_new(&c->seal, c->prepared->key, &so);
	c->result.header_size = c->incremental ? buf_len(&header) : age_scrypt_header_size();
	buf_fini(&header);
	if (rc < 0)
		return rc;
	memcpy(c->result.file_id, seal_id(c->seal), sizeof(c->result.file_id));
	c->p.path = c->part.path;
	c->p.name = c->result.name;
	c->p.bytes = c->p.header_size = c->result.header_size;
	c->p.file_id = c->result.file_id;
	c->p.content = c->result.content;
	c->p.generation = c->result.generation;
	c->p.base = c->result.base;
	c->p.chain = c->result.chain;
	return c->report(c, CREATE_WRITE, 25);
}

static int add_companion(struct creation *c)
{
	struct manifest_companion mc = { .name = mem_xstrdup(IMAGE_MASTER_KEY_FILE),
		.file = mem_xstrdup(file_basename(c->o->master_key_file)) };
	char *member = manifest_companion_member(&mc);
	int rc =
	    archive_writer_add(seal_archive(c->seal), member, 0600, buf_data(&c->master_key), buf_len(&c->master_key));

	free(member);
	free(mc.name);
	free(mc.file);
	return rc;
}

static int add_chain_key(struct creation *c)
{
	char *text = mem_secret_new(MANIFEST_INCREMENTS_SIZE + 1);
	int rc;

	age_identity_text(text, c->chain_key);
	text[AGE_IDENTITY_LEN] = '\n';
	rc = archive_writer_add(seal_archive(c->seal), ARCHIVE_INCREMENTS, 0600, text, MANIFEST_INCREMENTS_SIZE);
	mem_secret_free(text);
	return rc;
}

static int add_rows(struct creation *c)
{
	struct archive_writer *w = seal_archive(c->seal);
	int rc = KC_OK;

	if (c->incremental && lseek(c->changes_fd, 0, SEEK_SET) < 0)
		return err_errno(ARCHIVE_CHANGESET);
	if (c->incremental)
		return archive_writer_add_fd(w, ARCHIVE_CHANGESET, 0600, c->changes_fd, c->result.changeset_size, NULL);
	if (c->chain_key != NULL)
		rc = add_chain_key(c);
	if (rc == KC_OK)
		rc = file_open(&c->snap_fd, c->snap.path, O_RDONLY, 0);
	if (rc == KC_OK)
		rc = archive_writer_add_fd(w, ARCHIVE_DATABASE, 0600, c->snap_fd, c->snap.info.size, NULL);
	if (c->snap_fd >= 0)
		close(c->snap_fd);
	c->snap_fd = -1;
	return rc;
}

int create_write(struct creation *c, int (*report)(struct creation *c, enum create_phase phase, unsigned percent))
{
	struct buf json;
	int rc;

	c->report = report;
	buf_init(&json, ARCHIVE_MANIFEST_MAX);
	rc = build_manifest(&json, c);
	if (rc == KC_OK)
		rc = begin_seal(c);
	if (rc == KC_OK)
		rc = archive_writer_add(seal_archive(c->seal), ARCHIVE_MANIFEST, 0600, buf_data(&json), buf_len(&json));
	if (rc == KC_OK)
		rc = add_rows(c);
	if (rc == KC_OK && c->with_master_key && c->o->master_key_file != NULL)
		rc = add_companion(c);
	if (rc == KC_OK && create_has_trees(c))
		rc = create_write_files(c);
	buf_fini(&json);
	return rc;
}

int create_sign(struct creation *c)
{
	const struct sign_key *key = c->o->key;
	struct seal_result r;
	int rc = seal_finish(&r, c->seal, create_part_sign, &key);

	if (rc < 0)
		return rc;
	c->result.size = r.size;
	c->result.header_size = r.header_size;
	hex_encode(c->result.payload_sha256, r.payload_sha256, sizeof(r.payload_sha256));
	return KC_OK;
}

static int wrap_one(char **travel, const struct age_key *key, const struct age_recipient *recipient)
{
	struct buf header;
	int rc;

	buf_init(&header, TRAVEL_MAX);
	rc = age_wrap_x25519(&header, key, recipient, 1);
	if (rc == KC_OK)
		*travel = base64_encode(buf_data(&header), buf_len(&header));
	buf_fini(&header);
	return rc;
}

int backup_wrap(char **travel, const struct age_key *key, const struct age_recipient *recipients, size_t n)
{
	char **made = mem_xcalloc(n > 0 ? n : 1, sizeof(*made));
	size_t i;
	int rc = KC_OK;

	for (i = 0; rc == KC_OK && i < n; i++)
		rc = wrap_one(&made[i], key, &recipients[i]);
	for (i = 0; i < n; i++)
		if (rc == KC_OK)
			travel[i] = made[i];
		else
			free(made[i]);
	free(made);
	return rc;
}

int backup_file_key(struct age_key **key, const char *path, const char *password)
{
	struct age_unlock with = { .password = password };
	uint64_t offset;
	int fd = -1, rc = file_open(&fd, path, O_RDONLY, 0);

	if (rc < 0)
		return rc;
	rc = unseal_header(key, &offset, NULL, fd, path, &with);
	close(fd);
	return rc;
}
