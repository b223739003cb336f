/* SPDX-License-Identifier: Apache-2.0 */
/* create_part: the file of a backup from its first byte to its name. */
#include "backup/create_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "backup/seal.h"
#include "backup/store.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

int create_take_prepared(struct create_prepared **p, struct create_prepared **ready, const char *password, int logn)
{
	if (ready == NULL || *ready == NULL)
		return backup_prepare(p, password, logn);
	*p = *ready;
	*ready = NULL;
	return KC_OK;
}

int create_part_open(struct create_part *p, const char *name)
{
	char *dir;
	int rc;

	p->name = mem_xstrdup(name);
	p->path = mem_xasprintf("%s" STORE_PART, name);
	rc = file_open(&p->fd, p->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (rc < 0)
		return rc;
	p->made = true;
	dir = file_dirname(p->path);
	rc = file_give_to_owner_of(p->fd, dir);
	free(dir);
	return rc;
}

int create_part_finish(struct create_part *p, struct create_prepared *prepared)
{
	struct buf header;
	int rc;

	bool comes_last = prepared->job != NULL;

	buf_init(&header, AGE_HEADER_LIMIT);
	rc = age_scrypt_join(&header, prepared->job);
	prepared->job = NULL;
	if (rc == KC_OK && comes_last)
		rc = seal_put_header(p->fd, p->path, buf_data(&header), buf_len(&header));
	if (rc == KC_OK && fsync(p->fd) < 0)
		rc = err_errno("%s: cannot sync", p->path);
	if (rc == KC_OK)
		rc = file_rename(p->path, p->name);
	if (rc == KC_OK)
		p->made = false;
	buf_fini(&header);
	return rc;
}

void create_part_end(struct create_part *p)
{
	if (p->fd >= 0)
		close(p->fd);
	/* Without its .part it was renamed, and the folder could not be synced: not ours to call whole. */
	if (p->made && unlink(p->path) < 0 && errno == ENOENT)
		unlink(p->name);
	free(p->path);
	free(p->name);
}

int create_part_sign(void *arg, struct buf *sig, const void *text, size_t n)
{
	const struct sign_key *const *key = arg;
	char *s = NULL;
	int rc = sign_bytes(&s, *key, text, n);

	if (rc == KC_OK)
		buf_put_str(sig, s);
	free(s);
	return rc < 0 ? rc : buf_status(sig);
}
