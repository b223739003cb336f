/* SPDX-License-Identifier: Apache-2.0 */
/* system: what is in a system backup, in memory that is wiped, and its digest. */
#include "backup/system.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/archive.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

void system_init(struct system_contents *c)
{
	memset(c, 0, sizeof(*c));
}

void system_fini(struct system_contents *c)
{
	for (size_t i = 0; i < c->n_files; i++) {
		free(c->files[i].name);
		buf_fini(&c->files[i].data);
	}
	for (size_t i = 0; i < c->n_clones; i++)
		free(c->clones[i]);
	free(c->files);
	free(c->host);
	free(c->product);
	system_init(c);
}

/* Where `name` is, or belongs. */
static size_t place_of(const struct system_contents *c, const char *name)
{
	size_t i = 0;

	while (i < c->n_files && strcmp(c->files[i].name, name) < 0)
		i++;
	return i;
}

int system_add(struct system_contents *c, const char *name, mode_t mode, const void *data, size_t n)
{
	size_t at = place_of(c, name);
	struct system_file *f;
	int rc = archive_name_check(name);

	if (rc < 0)
		return rc;
	if (at < c->n_files && strcmp(c->files[at].name, name) == 0)
		return err_set(KC_EEXIST, "%s: comes twice", name);
	if (c->n_files == SYSTEM_FILES_MAX)
		return err_set(KC_ELIMIT, "%s: more than %d files for a system backup", name, SYSTEM_FILES_MAX);
	if (n > SYSTEM_FILE_MAX || c->total + n > SYSTEM_TOTAL_MAX)
		return err_set(KC_ELIMIT, "%s: %zu bytes are too many for a system backup: %u in one file, %u in all",
		    name, n, SYSTEM_FILE_MAX, SYSTEM_TOTAL_MAX);
	c->files = mem_xrealloc(c->files, (c->n_files + 1) * sizeof(*c->files));
	memmove(&c->files[at + 1], &c->files[at], (c->n_files - at) * sizeof(*c->files));
	c->n_files++;
	c->total += n;
	f = &c->files[at];
	*f = (struct system_file){ .name = mem_xstrdup(name), .mode = mode & 0777 };
	buf_init(&f->data, SYSTEM_FILE_MAX);
	buf_put(&f->data, data, n);
	return buf_status(&f->data);
}

int system_add_file(struct system_contents *c, const char *name, const char *path)
{
	struct stat st;
	struct buf b;
	int fd = -1, rc = file_open(&fd, path, O_RDONLY | O_NONBLOCK, 0);

	if (rc < 0)
		return rc;
	buf_init(&b, SYSTEM_FILE_MAX);
	if (fstat(fd, &st) < 0)
		rc = err_errno("%s", path);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(KC_EFORMAT, "%s: not a regular file", path);
	else
		rc = file_read_fd(&b, fd, path);
	if (rc == KC_OK)
		rc = system_add(c, name, st.st_mode, buf_len(&b) > 0 ? buf_data(&b) : NULL, buf_len(&b));
	close(fd);
	buf_fini(&b);
	return rc;
}

const struct system_file *system_find(const struct system_contents *c, const char *name)
{
	size_t at = place_of(c, name);

	return at < c->n_files && strcmp(c->files[at].name, name) == 0 ? &c->files[at] : NULL;
}

const struct system_file *system_config(const struct system_contents *c)
{
	size_t at = place_of(c, SYSTEM_CONFIG);

	if (at < c->n_files && strncmp(c->files[at].name, SYSTEM_CONFIG, strlen(SYSTEM_CONFIG)) == 0)
		return &c->files[at];
	return NULL;
}

/* Each part with its length in front: two different contents have two different texts. */
static void count(gnutls_hash_hd_t hash, const void *data, size_t n)
{
	uint8_t head[8];

	for (size_t i = 0; i < sizeof(head); i++)
		head[i] = (uint8_t)((uint64_t)n >> (8 * (sizeof(head) - 1 - i)));
	gnutls_hash(hash, head, sizeof(head));
	if (n > 0)
		gnutls_hash(hash, data, n);
}

int system_digest(char digest[SYSTEM_DIGEST_LEN + 1], const struct system_contents *c, const char *password_id)
{
	char ancestors[LINEAGE_TEXT], mode[8];
	uint8_t sum[32];
	gnutls_hash_hd_t hash;

	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) < 0)
		return err_set(KC_EFAIL, "no SHA-256");
	lineage_format(ancestors, &c->ancestors);
	count(hash, password_id, strlen(password_id));
	count(hash, c->lineage, strlen(c->lineage));
	count(hash, ancestors, strlen(ancestors));
	for (size_t i = 0; i < c->n_clones; i++)
		count(hash, c->clones[i], strlen(c->clones[i]));
	for (size_t i = 0; i < c->n_files; i++) {
		const struct system_file *f = &c->files[i];

		count(hash, f->name, strlen(f->name));
		snprintf(mode, sizeof(mode), "%04o", (unsigned)f->mode);
		count(hash, mode, strlen(mode));
		count(hash, buf_data(&f->data), buf_len(&f->data));
	}
	gnutls_hash_deinit(hash, sum);
	hex_encode(digest, sum, sizeof(sum));
	return KC_OK;
}
