/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outgoing: one backup file while it is sent. See outgoing.h.
 */
#include "replication/outgoing.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define SMALL_FRAME (16u * 1024) /* a TLS record */

void outgoing_init(struct outgoing *o)
{
	*o = (struct outgoing){ .fd = -1 };
}

void outgoing_close(struct outgoing *o)
{
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
	o->active = false;
}

int outgoing_open(int *fd, const char *path)
{
	int rc = file_open(fd, path, O_RDONLY, 0);

	if (rc == KC_OK)
		posix_fadvise(*fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return rc;
}

void outgoing_begin(struct outgoing *o, int fd, const struct proto_offer *offer, uint64_t valid_size)
{
	assert(valid_size >= offer->header_size);
	outgoing_close(o);
	o->offer = *offer;
	o->fd = fd;
	o->active = true;
	o->complete = false;
	o->valid = valid_size - offer->header_size;
	o->sent = o->resumed = 0;
}

int outgoing_resume(struct outgoing *o, uint64_t offset)
{
	uint64_t most = o->complete ? o->end.size : o->offer.room;

	if (offset > most)
		return err_set(
		    KC_EPROTO, "the clone has %" PRIu64 " bytes of the payload, there are %" PRIu64, offset, most);
	o->sent = o->resumed = offset;
	return KC_OK;
}

bool outgoing_grow(struct outgoing *o, uint64_t valid_size)
{
	if (!o->active || valid_size <= o->valid + o->offer.header_size)
		return false;
	o->valid = valid_size - o->offer.header_size;
	return true;
}

static int check_encoding(const struct proto_end *end)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));
	struct buf b;
	int rc;

	m->type = PROTO_END;
	m->end = *end;
	buf_init(&b, PROTO_CONTROL_MAX);
	rc = proto_encode(&b, m, PROTO_MASTER);
	buf_fini(&b);
	free(m);
	return rc;
}

int outgoing_complete(struct outgoing *o, const struct proto_end *end)
{
	uint64_t least = o->sent > o->valid ? o->sent : o->valid;
	int rc;

	if (end->size < least)
		return err_set(KC_EPROTO, "%s: payload of %" PRIu64 " bytes, %" PRIu64 " were there before",
		    o->offer.file, end->size, least);
	if (end->recovery_size != o->offer.header_size)
		return err_set(KC_EPROTO, "%s: header of %zu bytes, the offer said %u", o->offer.file,
		    end->recovery_size, o->offer.header_size);
	rc = check_encoding(end);
	if (rc < 0)
		return rc;
	o->end = *end;
	o->valid = end->size;
	o->complete = true;
	return KC_OK;
}

size_t outgoing_next(const struct outgoing *o)
{
	uint64_t left = o->valid > o->sent ? o->valid - o->sent : 0;

	if (left < SMALL_FRAME && !o->complete)
		return 0;
	return left < PROTO_DATA_MAX ? (size_t)left : PROTO_DATA_MAX;
}

bool outgoing_done(const struct outgoing *o)
{
	return o->complete && o->sent == o->valid;
}

int outgoing_read(struct outgoing *o, void *frame, size_t n)
{
	uint8_t *p = frame;
	size_t got = 0;

	while (got < n) {
		ssize_t r = pread(o->fd, p + got, n - got, (off_t)(o->offer.header_size + o->sent + got));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return err_errno("%s: read", o->offer.file);
		if (r == 0)
			return err_set(KC_ETRUNCATED,
			    "%s: ends after %" PRIu64 " bytes of payload, %" PRIu64 " should be there", o->offer.file,
			    o->sent + got, o->valid);
		got += (size_t)r;
	}
	o->sent += n;
	return KC_OK;
}
