/* SPDX-License-Identifier: Apache-2.0 */
/* changeset_write_sqlite: rows into a changeset. */
#include <string.h>

#include "backup/changeset_sqlite.h"
#include "base/err.h"
#include "base/file.h"

#define UNDEFINED 0

void changeset_writer_init(struct changeset_writer *w, int fd, const char *path, uint64_t max)
{
	*w = (struct changeset_writer){ .fd = fd, .path = path, .max = max };
	buf_init(&w->deletes, max);
	buf_init(&w->updates, max);
	buf_init(&w->inserts, max);
}

void changeset_writer_fini(struct changeset_writer *w)
{
	buf_fini(&w->deletes);
	buf_fini(&w->updates);
	buf_fini(&w->inserts);
}

/* Lengths and counts of SQLite have 31 bits: nine bytes are never needed. */
static void put_varint(struct buf *b, uint32_t v)
{
	int shift = 28;

	while (shift > 0 && v >> shift == 0)
		shift -= 7;
	for (; shift > 0; shift -= 7)
		buf_put_u8(b, (uint8_t)(0x80 | ((v >> shift) & 0x7f)));
	buf_put_u8(b, v & 0x7f);
}

static void put_value(struct buf *b, sqlite3_stmt *st, int i)
{
	int type = sqlite3_column_type(st, i);
	const void *data;
	uint64_t bits;
	double real;
	int n;

	buf_put_u8(b, (uint8_t)type);
	switch (type) {
	case SQLITE_INTEGER:
		buf_put_u64(b, (uint64_t)sqlite3_column_int64(st, i));
		break;
	case SQLITE_FLOAT:
		real = sqlite3_column_double(st, i);
		memcpy(&bits, &real, sizeof(bits));
		buf_put_u64(b, bits);
		break;
	case SQLITE_TEXT:
	case SQLITE_BLOB:
		data = type == SQLITE_TEXT ? (const void *)sqlite3_column_text(st, i) : sqlite3_column_blob(st, i);
		n = sqlite3_column_bytes(st, i);
		put_varint(b, (uint32_t)n);
		if (n > 0)
			buf_put(b, data, (size_t)n);
		break;
	default:
		break;
	}
}

static void put_row(struct buf *b, const struct shape *s, const struct row_scan *row)
{
	for (size_t i = 0; i < s->columns.n; i++)
		put_value(b, row->st, row->skip + (int)i);
}

static void put_update(struct buf *b, const struct shape *s, const struct row_scan *was, const struct row_scan *is)
{
	/* As it was, then as it is. */
	for (int half = 0; half < 2; half++)
		for (size_t i = 0; i < s->columns.n; i++) {
			int at = was->skip + (int)i;

			if (s->key[i] > 0 ? half == 0 : !sqlite_same_value(was->st, at, is->st, at))
				put_value(b, half == 0 ? was->st : is->st, at);
			else
				buf_put_u8(b, UNDEFINED);
		}
}

static int over(const struct changeset_writer *w, const struct shape *s)
{
	return err_set(
	    KC_ENEEDFULL, "table %s: the changes have more than %llu bytes", s->name, (unsigned long long)w->max);
}

int changeset_put(
    struct changeset_writer *w, const struct shape *s, const struct row_scan *was, const struct row_scan *is)
{
	struct buf *b = is == NULL ? &w->deletes : was == NULL ? &w->inserts : &w->updates;

	buf_put_u8(b, is == NULL ? SQLITE_DELETE : was == NULL ? SQLITE_INSERT : SQLITE_UPDATE);
	buf_put_u8(b, 0);
	if (was != NULL && is != NULL)
		put_update(b, s, was, is);
	else
		put_row(b, s, was != NULL ? was : is);
	if (buf_status(b) < 0 || w->size + buf_len(&w->deletes) + buf_len(&w->updates) + buf_len(&w->inserts) > w->max)
		return over(w, s);
	return KC_OK;
}

static int flush(struct changeset_writer *w, struct buf *b)
{
	int rc = file_write_all(w->fd, buf_data(b), buf_len(b), w->path);

	w->size += buf_len(b);
	buf_reset(b);
	return rc;
}

int changeset_end_table(struct changeset_writer *w, const struct shape *s)
{
	struct buf *parts[] = { &w->deletes, &w->updates, &w->inserts }, head;
	size_t n = buf_len(parts[0]) + buf_len(parts[1]) + buf_len(parts[2]);
	int rc;

	if (n == 0)
		return KC_OK;
	buf_init(&head, s->columns.n + strlen(s->name) + 8);
	buf_put_u8(&head, 'T');
	put_varint(&head, (uint32_t)s->columns.n);
	buf_put(&head, s->key, s->columns.n);
	buf_put(&head, s->name, strlen(s->name) + 1);
	rc = w->size + buf_len(&head) + n > w->max ? over(w, s) : flush(w, &head);
	buf_fini(&head);
	for (size_t i = 0; rc == KC_OK && i < 3; i++)
		rc = flush(w, parts[i]);
	return rc;
}
