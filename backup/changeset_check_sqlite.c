/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changeset_check_sqlite: is a file a changeset, from the first byte to the last? SQLite's reader trusts what it reads:
 * where a table's name does not end it looks for the end for ever, and of a length it makes memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/changeset_sqlite.h"
#include "base/err.h"
#include "base/mem.h"

#define BLOCK	    65536
#define COLUMNS_MAX 32767 /* SQLite's own limit */

struct reader {
	const struct changeset *c;
	const char *path;
	uint8_t *block;
	size_t i, n;	 /* read, and there, in the block */
	uint64_t behind; /* of the file, behind the block */
	uint64_t at;	 /* of what is in the block */
	int rc;		 /* the first failure */
};

static uint64_t left(const struct reader *r)
{
	return r->n - r->i + r->behind;
}

static void wrong(struct reader *r, const char *what)
{
	if (r->rc == KC_OK)
		r->rc = err_set(KC_EDAMAGED, "%s: the changeset is damaged: %s", r->path, what);
}

static void fill(struct reader *r)
{
	size_t n = r->behind < BLOCK ? (size_t)r->behind : BLOCK;
	ssize_t got;

	r->at += r->n;
	r->i = r->n = 0;
	do
		got = pread(r->c->fd, r->block, n, (off_t)r->at);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		r->rc = err_errno("%s: cannot read the changeset", r->path);
	else if (got == 0)
		wrong(r, "it ends early");
	else
		r->n = (size_t)got;
	r->behind -= r->n;
}

static uint8_t get_u8(struct reader *r)
{
	if (r->rc == KC_OK && left(r) == 0)
		wrong(r, "it ends early");
	if (r->rc == KC_OK && r->i == r->n)
		fill(r);
	return r->rc == KC_OK ? r->block[r->i++] : 0;
}

static void skip(struct reader *r, uint64_t n)
{
	if (n > left(r))
		wrong(r, "it ends early");
	while (r->rc == KC_OK && n > 0) {
		size_t part = r->n - r->i < n ? r->n - r->i : (size_t)n;

		if (part == 0)
			fill(r);
		r->i += part;
		n -= part;
	}
}

/* As SQLite writes it: no longer than needed for 31 bits. */
static uint32_t get_varint(struct reader *r)
{
	uint64_t v = 0;
	uint8_t byte = 0x80;

	for (int i = 0; i < 5 && byte >= 0x80; i++) {
		byte = get_u8(r);
		v = v << 7 | (byte & 0x7f);
	}
	if (byte >= 0x80 || v > INT32_MAX)
		wrong(r, "a length");
	return r->rc == KC_OK ? (uint32_t)v : 0;
}

static void check_record(struct reader *r, uint32_t columns, bool whole)
{
	for (uint32_t i = 0; r->rc == KC_OK && i < columns; i++)
		switch (get_u8(r)) {
		case SQLITE_INTEGER:
		case SQLITE_FLOAT:
			skip(r, 8);
			break;
		case SQLITE_TEXT:
		case SQLITE_BLOB:
			skip(r, get_varint(r));
			break;
		case SQLITE_NULL:
			break;
		case 0: /* not there */
			if (!whole)
				break;
			__attribute__((fallthrough));
		default:
			wrong(r, "a value");
			break;
		}
}

static uint32_t check_table(struct reader *r)
{
	uint32_t columns = get_varint(r);
	bool key = false;

	if (columns == 0 || columns > COLUMNS_MAX)
		wrong(r, "a number of columns");
	for (uint32_t i = 0; r->rc == KC_OK && i < columns; i++)
		key |= get_u8(r) != 0;
	if (!key)
		wrong(r, "a table without a key");
	while (get_u8(r) != 0)
		;
	return columns;
}

static void check_all(struct reader *r)
{
	uint32_t columns = 0;

	while (r->rc == KC_OK && left(r) > 0) {
		uint8_t op = get_u8(r);

		if (op == 'T') {
			columns = check_table(r);
			continue;
		}
		if (columns == 0 || (op != SQLITE_INSERT && op != SQLITE_UPDATE && op != SQLITE_DELETE) ||
		    get_u8(r) > 1) {
			wrong(r, "a change"); /* a patchset's, too: it has no old values */
			return;
		}
		check_record(r, columns, op != SQLITE_UPDATE);
		if (op == SQLITE_UPDATE)
			check_record(r, columns, false);
	}
}

int changeset_check(const struct changeset *c, const char *path)
{
	struct reader r = { .c = c, .path = path, .block = mem_xalloc(BLOCK), .behind = c->size };

	check_all(&r);
	mem_wipe(r.block, BLOCK);
	free(r.block);
	return r.rc;
}
