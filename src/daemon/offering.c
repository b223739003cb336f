/* SPDX-License-Identifier: Apache-2.0 */
/* offering: see offering.h. */
#include "offering.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"

struct offering *offering_new(const json_t *progress, const char *backup_dir)
{
	struct offering *o = mem_xalloc(sizeof(*o));

	o->refs = 1;
	o->generation = member_u64(progress, "generation");
	o->base = member_u64(progress, "base");
	o->chain = member_u64(progress, "chain");
	o->kind = o->base != 0 ? PROTO_INCREMENTAL : PROTO_FULL;
	STR_COPY(o->name, member_text(progress, "name"));
	o->part = mem_xstrdup(member_text(progress, "path"));
	o->path = file_join(backup_dir, o->name);
	STR_COPY(o->file_id, member_text(progress, "file_id"));
	STR_COPY(o->digest, member_text(progress, "digest"));
	o->header_size = (uint32_t)member_u64(progress, "header_size");
	o->database_size = member_u64(progress, "database_size");
	o->valid = member_u64(progress, "bytes");
	return o;
}

struct offering *offering_ref(struct offering *o)
{
	o->refs++;
	return o;
}

void offering_unref(struct offering *o)
{
	if (o == NULL || --o->refs > 0)
		return;
	free(o->part);
	free(o->path);
	free(o);
}

void offering_describe(struct proto_offer *offer, const struct offering *o)
{
	uint8_t receipt[16];

	offer->generation = o->generation;
	offer->kind = o->kind;
	offer->base = o->base;
	offer->chain = o->base != 0 ? o->chain : 0;
	STR_COPY(offer->file, o->name);
	STR_COPY(offer->file_id, o->file_id);
	STR_COPY(offer->digest, o->digest);
	offer->header_size = o->header_size;
	mem_random(receipt, sizeof(receipt));
	hex_encode(offer->receipt, receipt, sizeof(receipt));
}

int offering_complete(struct offering *o, const struct state_made *made)
{
	off_t size = -1;
	int fd = -1, rc = file_open(&fd, o->path, O_RDONLY, 0);
	bool named = rc == KC_OK;

	/* An increment goes out before it has its name. */
	if (rc == KC_ENOENT && o->part != NULL)
		rc = file_open(&fd, o->part, O_RDONLY, 0);
	if (rc == KC_ENOENT && o->part != NULL) /* it has just got it */
		rc = file_open(&fd, o->path, O_RDONLY, 0);
	if (rc < 0)
		return rc;
	size = lseek(fd, 0, SEEK_END);
	if (made->header_size > sizeof(o->end.recovery) || size <= (off_t)made->header_size ||
	    pread(fd, o->end.recovery, made->header_size, 0) != (ssize_t)made->header_size)
		rc = err_set(KC_ETRUNCATED, "%s: shorter than it was when it was made", o->path);
	close(fd);
	if (rc < 0)
		return rc;
	if (named) {
		free(o->part);
		o->part = NULL;
	}
	o->header_size = (uint32_t)made->header_size;
	o->database_size = made->database_size;
	o->chain = made->chain;
	o->valid = (uint64_t)size;
	o->end.recovery_size = made->header_size;
	o->end.size = (uint64_t)size - made->header_size;
	STR_COPY(o->end.sha256, made->sha256);
	o->complete = true;
	return KC_OK;
}

int offering_of(struct offering **out, const struct state_made *made, const char *backup_dir)
{
	struct offering *o;
	int rc;

	if (made->backup[0] == '\0')
		return err_set(KC_ENOENT, "the file of generation %" PRIu64 " is not known", made->generation);
	o = mem_xalloc(sizeof(*o));
	o->refs = 1;
	o->generation = made->generation;
	o->base = made->base;
	o->kind = made->base != 0 ? PROTO_INCREMENTAL : PROTO_FULL;
	o->path = file_join(backup_dir, made->backup);
	STR_COPY(o->name, made->backup);
	STR_COPY(o->file_id, made->file_id);
	STR_COPY(o->digest, made->digest);
	rc = offering_complete(o, made);
	if (rc < 0)
		offering_unref(o);
	else
		*out = o;
	return rc;
}

int offering_load(struct offering **out, struct state *s, const struct state_self *self, const char *backup_dir)
{
	struct state_made made;
	int rc;

	if (self->complete == 0)
		return err_set(KC_ENOENT, "no backup was made yet");
	rc = state_get_made(&made, s, self->lineage, self->complete);
	if (rc < 0 && rc != KC_ENOENT)
		return rc;
	if (rc == KC_ENOENT || made.backup[0] == '\0') {
		/* An older version made it: a full. */
		made = (struct state_made){ .generation = self->complete,
			.header_size = self->header_size,
			.database_size = self->database_size };
		STR_COPY(made.backup, self->backup);
		STR_COPY(made.file_id, self->file_id);
		STR_COPY(made.digest, self->digest);
		STR_COPY(made.sha256, self->sha256);
	}
	return offering_of(out, &made, backup_dir);
}
