/* SPDX-License-Identifier: Apache-2.0 */
/* image: from a backup file to a proved database in staging. */
#include "backup/image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/image_internal.h"
#include "backup/image_sqlite.h"
#include "backup/manifest_names.h"
#include "backup/seal.h"
#include "base/base64.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

/* One opening. */
struct opening {
	const struct image_options *o;
	struct image *img;
	int fd;
	uint64_t size;
	struct age_key *key;
	uint64_t offset;
	struct unseal *unseal;
};

/* Messages of the layers below do not know the file. */
static int named(const struct opening *op, int rc)
{
	return rc < 0 ? err_prefix(rc, "%s", op->o->file) : rc;
}

static int open_travel(struct opening *op)
{
	const struct image_options *o = op->o;
	struct age_unlock with = { .identities = &o->identity, .n_identities = 1 };
	size_t n = strlen(o->travel);
	uint8_t *header;
	char id[33];
	int rc = KC_OK;

	/* The recovery header is the last thing to come: where it is missing, its size is known. */
	if (unseal_identify(&op->offset, id, op->fd, o->file) < 0)
		op->offset = age_scrypt_header_size();
	header = mem_xalloc(n);
	rc = base64_decode(header, &n, n, o->travel, n);
	if (rc == KC_OK)
		rc = age_open_header(&op->key, header, n, &with);
	else
		rc = err_set(KC_EFORMAT, "its travel header is not base64");
	free(header);
	return named(op, rc);
}

static int open_key(struct opening *op)
{
	const struct image_options *o = op->o;
	struct age_unlock with = { .password = o->password };

	if (o->increments != NULL) {
		with = (struct age_unlock){ .identities = &o->increments, .n_identities = 1 };
		return unseal_header(&op->key, &op->offset, NULL, op->fd, o->file, &with);
	}
	if (o->travel != NULL && o->identity != NULL)
		return open_travel(op);
	if (o->password == NULL)
		return err_set(KC_EUSAGE, "%s: neither a password nor an identity to open it with", o->file);
	return unseal_header(&op->key, &op->offset, NULL, op->fd, o->file, &with);
}

static int on_read(void *arg, uint64_t bytes)
{
	struct opening *op = arg;

	if (op->o->progress == NULL)
		return KC_OK;
	return op->o->progress(op->o->arg, (unsigned)(op->size > 0 ? bytes * 80 / op->size : 80));
}

static int verify_pins(void *arg, const void *sig, size_t nsig, const void *text, size_t n)
{
	return sign_pins_verify(NULL, arg, text, n, sig, nsig);
}

static int judge_manifest(const struct opening *op)
{
	const struct manifest *m = &op->img->manifest;
	const struct image_options *o = op->o;
	uint64_t need = m->kind == MANIFEST_FULL ? m->db.size : m->changeset_size;
	char *what;
	size_t i;
	int rc;

	if (o->lineage != NULL && o->lineage[0] != '\0' && strcmp(o->lineage, m->lineage) != 0)
		return err_set(KC_EFOREIGN, "%s: belongs to lineage %s, not to %s", o->file, m->lineage, o->lineage);
	if (o->generation != 0 && o->generation != m->generation)
		return err_set(KC_ESTALE, "%s: is generation %llu, not %llu", o->file,
		    (unsigned long long)m->generation, (unsigned long long)o->generation);
	if (o->accept != NULL) {
		rc = o->accept(o->accept_arg, m);
		if (rc < 0)
			return err_prefix(rc, "%s", o->file);
	}
	for (i = 0; i < m->n_companions; i++)
		need += m->companions[i].size;
	for (i = 0; i < m->n_trees; i++)
		need += m->trees[i].size + 4096 * m->trees[i].n;
	what = mem_xasprintf("unpacking %s", o->file);
	rc = file_need_space(o->staging, need, what);
	free(what);
	return rc;
}

static int read_manifest(struct opening *op, struct archive_reader *r)
{
	struct archive_member *members;
	struct buf json;
	size_t n;
	int rc;

	buf_init(&json, ARCHIVE_MANIFEST_MAX);
	rc = archive_reader_next(r);
	if (rc == KC_OK)
		rc = archive_reader_load(r, &json);
	if (rc == KC_OK)
		rc = manifest_parse(&op->img->manifest, buf_data(&json), buf_len(&json));
	rc = named(op, rc);
	buf_fini(&json);
	if (rc == KC_OK)
		rc = judge_manifest(op);
	if (rc < 0)
		return rc;
	members = manifest_members(&op->img->manifest, &n);
	rc = named(op, archive_reader_expect(r, members, n));
	manifest_members_free(members, n);
	return rc;
}

static int save(const struct opening *op, struct archive_reader *r, const char *path)
{
	int fd = -1, rc = named(op, archive_reader_next(r));

	if (rc == KC_OK)
		rc = file_open(&fd, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (rc == KC_OK)
		rc = named(op, archive_reader_save(r, fd, path));
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Directories are nothing but their place in the list. */
static int unpack_tree(const struct opening *op, struct archive_reader *r, size_t tree)
{
	const struct tree *t = &op->img->manifest.trees[tree];
	char *path = mem_xasprintf("%s/tree-%zu", op->img->trees, tree);
	int rc = file_make_dirs(path);

	free(path);
	if (rc == KC_OK && t->kind == TREE_KIND_DIR)
		rc = named(op, archive_reader_next(r));
	for (size_t i = 0; rc == KC_OK && i < t->n; i++) {
		path = image_tree_file(op->img, tree, i);
		rc = t->entries[i].type == TREE_DIR ? named(op, archive_reader_next(r)) : save(op, r, path);
		free(path);
	}
	return rc;
}

/* The key of the increments: read into locked memory, never unpacked. */
static int load_increments(const struct opening *op, struct archive_reader *r)
{
	char text[AGE_RECIPIENT_LEN + 1];
	struct age_recipient recipient;
	struct buf b;
	int rc;

	buf_init(&b, MANIFEST_INCREMENTS_SIZE + 1);
	rc = named(op, archive_reader_next(r));
	if (rc == KC_OK)
		rc = named(op, archive_reader_load(r, &b));
	buf_put_u8(&b, 0);
	if (rc == KC_OK)
		rc = named(op, age_identity_parse(&op->img->increments, (const char *)buf_data(&b)));
	buf_fini(&b);
	if (rc < 0)
		return rc;
	age_identity_recipient(&recipient, op->img->increments);
	age_recipient_text(text, &recipient);
	if (strcmp(text, op->img->manifest.increments) != 0)
		return err_set(KC_EDAMAGED, "%s: " ARCHIVE_INCREMENTS " is not what the manifest says", op->o->file);
	return KC_OK;
}

static int unpack_companions(struct opening *op, struct archive_reader *r)
{
	struct image *img = op->img;
	int rc = KC_OK;
	size_t i;

	img->companions = mem_xcalloc(img->manifest.n_companions + 1, sizeof(char *));
	for (i = 0; rc == KC_OK && i < img->manifest.n_companions; i++) {
		/* Our own names: those of the archive are for its tar. */
		img->companions[i] = mem_xasprintf("%s/file-%zu", img->staging.dir, i);
		rc = save(op, r, img->companions[i]);
	}
	for (i = 0; rc == KC_OK && i < img->manifest.n_trees; i++)
		rc = unpack_tree(op, r, i);
	return rc;
}

static int unpack(struct opening *op, struct archive_reader *r)
{
	struct image *img = op->img;
	char **to = NULL;
	int rc = read_manifest(op, r);

	if (rc < 0)
		return rc;
	if ((img->manifest.kind == MANIFEST_INCREMENTAL) != (op->o->increments != NULL))
		return err_set(
		    KC_EFORMAT, "%s: is %s", op->o->file, op->o->increments != NULL ? "no increment" : "an increment");
	if (img->manifest.increments[0] != '\0')
		rc = load_increments(op, r);
	img->trees = mem_xstrdup(img->staging.dir);
	to = op->o->increments != NULL ? &img->changeset : &img->database;
	*to = file_join(img->staging.dir, op->o->increments != NULL ? ARCHIVE_CHANGESET : ARCHIVE_DATABASE);
	if (rc == KC_OK)
		rc = save(op, r, *to);
	if (rc == KC_OK)
		rc = unpack_companions(op, r);
	return rc < 0 ? rc : named(op, archive_reader_finish(r, verify_pins, (void *)op->o->pins));
}

static int prove(struct opening *op)
{
	struct image *img = op->img;
	int rc =
	    img->database != NULL ? image_check_database(img->database, img->file, &img->manifest.db, true) : KC_OK;

	if (rc == KC_OK && op->o->progress != NULL)
		rc = op->o->progress(op->o->arg, 100);
	return rc;
}

static int open_all(struct opening *op)
{
	const struct image_options *o = op->o;
	struct stat st;
	int rc = file_open(&op->fd, o->file, O_RDONLY, 0);

	if (rc < 0)
		return rc;
	if (fstat(op->fd, &st) < 0)
		return err_errno("%s", o->file);
	if (!S_ISREG(st.st_mode))
		return err_set(KC_EFORMAT, "%s: not a regular file", o->file);
	op->size = (uint64_t)st.st_size;
	rc = open_key(op);
	if (rc == KC_OK)
		rc = staging_begin(&op->img->staging, o->staging);
	if (rc == KC_OK)
		rc = unseal_new(&op->unseal, op->key, op->fd, op->offset, on_read, op);
	if (rc == KC_OK)
		rc = unpack(op, unseal_archive(op->unseal));
	if (rc == KC_OK)
		rc = prove(op);
	return rc;
}

int image_open_one(struct image **out, const struct image_options *o)
{
	struct image *img = mem_xalloc(sizeof(*img));
	struct opening op = { .o = o, .img = img, .fd = -1 };
	int rc;

	img->file = mem_xstrdup(o->file);
	img->staging = (struct staging)STAGING_EMPTY;
	manifest_init(&img->manifest);
	rc = open_all(&op);
	unseal_free(op.unseal);
	age_key_free(op.key);
	if (op.fd >= 0)
		close(op.fd);
	if (rc < 0) {
		image_close(img);
		return rc;
	}
	*out = img;
	return KC_OK;
}

int image_is_increment(bool *increment, const char *file)
{
	int fd = -1, rc = file_open(&fd, file, O_RDONLY, 0);

	if (rc == KC_OK)
		rc = unseal_is_increment(increment, fd, file);
	if (fd >= 0)
		close(fd);
	return rc;
}

int image_open(struct image **img, const struct image_options *o)
{
	bool increment = false;
	int rc = image_is_increment(&increment, o->file);

	if (rc < 0)
		return rc;
	return increment && o->increments == NULL ? image_open_chain(img, o) : image_open_one(img, o);
}

void image_close(struct image *img)
{
	size_t i;

	if (img == NULL)
		return;
	staging_end(&img->staging);
	if (img->trees_of != img->companions_of)
		image_close(img->trees_of);
	image_close(img->companions_of);
	for (i = 0; img->companions != NULL && i < img->manifest.n_companions; i++)
		free(img->companions[i]);
	free(img->companions);
	free(img->trees);
	free(img->database);
	free(img->changeset);
	free(img->file);
	age_identity_free(img->increments);
	manifest_fini(&img->manifest);
	free(img);
}

const struct manifest *image_manifest(const struct image *img)
{
	return &img->manifest;
}

const char *image_database(const struct image *img)
{
	return img->database;
}

const char *image_changeset(const struct image *img)
{
	return img->changeset;
}

const struct age_identity *image_increments(const struct image *img)
{
	return img->increments;
}

const char *image_companion(const struct image *img, const char *name)
{
	size_t i;

	for (i = 0; i < img->manifest.n_companions; i++)
		if (strcmp(img->manifest.companions[i].name, name) == 0)
			return img->companions[i];
	return NULL;
}

char *image_tree_file(const struct image *img, size_t tree, size_t entry)
{
	return mem_xasprintf("%s/tree-%zu/%zu", img->trees, tree, entry);
}

int image_recount(struct image *img)
{
	return image_check_digest(img->database, img->file, &img->manifest.db);
}
