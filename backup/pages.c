/* SPDX-License-Identifier: Apache-2.0 */
/* pages: two files compared page by page; what a page of a tree holds. */
#include "backup/pages_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define BLOCK	       131072u /* a multiple of all page sizes; both fit the cache of a processor */
#define HEADER	       100
#define ALIVE_INTERVAL 64 /* blocks */

static int read_at(uint8_t *out, size_t n, const struct pages_file *f, uint64_t at)
{
	while (n > 0) {
		ssize_t got = pread(f->fd, out, n, (off_t)at);

		if (got < 0)
			return err_errno("%s: cannot read", f->path);
		if (got == 0)
			return err_set(KC_EDAMAGED, "%s: the database ends early", f->path);
		out += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return KC_OK;
}

int pages_read(uint8_t *out, const struct pages *p, int side, uint32_t page)
{
	return read_at(out, p->size, &p->f[side], (uint64_t)(page - 1) * p->size);
}

/* At most nine bytes. NULL: it does not end before `end`. */
static const uint8_t *varint(uint64_t *v, const uint8_t *p, const uint8_t *end)
{
	*v = 0;
	for (int i = 0; i < 9 && p < end; i++, p++) {
		if (i == 8) {
			*v = *v << 8 | *p;
			return p + 1;
		}
		*v = *v << 7 | (*p & 0x7f);
		if (*p < 0x80)
			return p + 1;
	}
	return NULL;
}

bool pages_cells(uint32_t *n, const uint8_t *page, uint32_t usable)
{
	bool leaf = page[0] == PAGES_TABLE_LEAF || page[0] == PAGES_INDEX_LEAF;

	if (!leaf && page[0] != PAGES_TABLE_INTERIOR && page[0] != PAGES_INDEX_INTERIOR)
		return false;
	*n = pages_be16(page + 3);
	return (leaf ? 8u : 12u) + 2 * *n <= usable;
}

/* How many of the payload's bytes are in the cell. */
static uint64_t local_payload(uint64_t payload, uint32_t usable, bool table)
{
	uint64_t most = table ? usable - 35 : (usable - 12) * 64 / 255 - 23;
	uint64_t least = (usable - 12) * 32 / 255 - 23, n;

	if (payload <= most)
		return payload;
	n = least + (payload - least) % (usable - 4);
	return n <= most ? n : least;
}

bool pages_cell(struct pages_cell *c, const uint8_t *page, uint32_t i, uint32_t usable)
{
	bool interior = page[0] == PAGES_TABLE_INTERIOR || page[0] == PAGES_INDEX_INTERIOR;
	bool table = page[0] == PAGES_TABLE_INTERIOR || page[0] == PAGES_TABLE_LEAF;
	const uint8_t *p = page + pages_be16(page + (interior ? 12 : 8) + 2 * i), *end = page + usable;
	uint64_t payload = 0, row_id = 0, local;

	*c = (struct pages_cell){ .child = 0 };
	if (p < page + 8 || p + 4 > end)
		return false;
	if (interior) {
		c->child = pages_be32(p);
		p += 4;
	}
	if (!(table && interior) && (p = varint(&payload, p, end)) == NULL)
		return false;
	if (table && (p = varint(&row_id, p, end)) == NULL)
		return false;
	c->row_id = (int64_t)row_id;
	if (table && interior)
		return true;
	local = local_payload(payload, usable, table);
	if (local > (uint64_t)(end - p))
		return false;
	c->more = payload - local;
	if (c->more == 0)
		return true;
	if (local + 4 > (uint64_t)(end - p))
		return false;
	c->chain = pages_be32(p + local);
	return true;
}

/* What is no leaf, or a damaged one, is not plain either: whoever needs it reads it. */
static bool is_plain(const uint8_t *page, uint32_t usable)
{
	struct pages_cell c;
	uint32_t n = 0;

	if ((page[0] != PAGES_TABLE_LEAF && page[0] != PAGES_INDEX_LEAF) || !pages_cells(&n, page, usable))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!pages_cell(&c, page, i, usable) || c.more > 0)
			return false;
	return true;
}

static void compare_block(struct pages *p, uint32_t first, const uint8_t *a, const uint8_t *b, size_t n)
{
	bool all = memcmp(a, b, n) == 0;

	for (size_t at = 0; at < n; at += p->size) {
		uint32_t page = first + (uint32_t)(at / p->size);

		if (!all && memcmp(a + at, b + at, p->size) != 0)
			continue;
		pages_set(p->same, page);
		if (is_plain(a + at, p->usable))
			pages_set(p->plain, page);
	}
}

static int compare_all(struct pages *p)
{
	uint32_t n = p->f[0].n < p->f[1].n ? p->f[0].n : p->f[1].n;
	uint8_t *a = mem_xalloc(BLOCK), *b = mem_xalloc(BLOCK);
	uint64_t size = (uint64_t)n * p->size, at;
	unsigned blocks = 0;
	int rc = KC_OK;

	for (at = 0; rc == KC_OK && at < size; at += BLOCK) {
		size_t part = size - at < BLOCK ? (size_t)(size - at) : BLOCK;

		rc = read_at(a, part, &p->f[0], at);
		if (rc == KC_OK)
			rc = read_at(b, part, &p->f[1], at);
		if (rc == KC_OK)
			compare_block(p, (uint32_t)(at / p->size) + 1, a, b, part);
		if (rc == KC_OK && ++blocks % ALIVE_INTERVAL == 0 && p->alive != NULL)
			rc = p->alive(p->arg);
	}
	mem_wipe(a, BLOCK);
	mem_wipe(b, BLOCK);
	free(a);
	free(b);
	return rc;
}

/* The header: *size and *usable bytes of a page. */
static int open_file(struct pages_file *f, uint32_t *size, uint32_t *usable)
{
	uint8_t h[HEADER];
	struct stat st;
	uint32_t n;
	int rc = file_open(&f->fd, f->path, O_RDONLY, 0);

	if (rc < 0)
		return rc;
	if (fstat(f->fd, &st) < 0)
		return err_errno("%s: cannot read", f->path);
	rc = read_at(h, sizeof(h), f, 0);
	if (rc < 0)
		return rc;
	n = pages_be16(h + 16);
	n = n == 1 ? 65536 : n;
	if (memcmp(h, "SQLite format 3", 16) != 0 || n < 512 || (n & (n - 1)) != 0 || n - h[20] < 480)
		return err_set(KC_EDAMAGED, "%s: is not a database", f->path);
	/* What is behind the last whole page SQLite does not see either. */
	if ((uint64_t)st.st_size / n > UINT32_MAX - 1)
		return err_set(KC_EDAMAGED, "%s: has too many pages", f->path);
	f->n = (uint32_t)((uint64_t)st.st_size / n);
	f->seen = mem_xalloc(f->n / 8 + 1);
	f->in = mem_xalloc(f->n / 8 + 1);
	*size = n;
	*usable = n - h[20];
	return KC_OK;
}

static int open_both(struct pages *p)
{
	uint32_t size[2] = { 0 }, usable[2] = { 0 };
	int rc = open_file(&p->f[0], &size[0], &usable[0]);

	if (rc == KC_OK)
		rc = open_file(&p->f[1], &size[1], &usable[1]);
	if (rc < 0)
		return rc;
	if (size[0] != size[1])
		return err_set(KC_ENEEDFULL, "the page size was %u, and is %u", size[0], size[1]);
	if (usable[0] != usable[1])
		return err_set(KC_ENEEDFULL, "of each page %u bytes were reserved, now %u", size[0] - usable[0],
		    size[1] - usable[1]);
	p->size = size[0];
	p->usable = usable[0];
	p->same = mem_xalloc((p->f[0].n > p->f[1].n ? p->f[0].n : p->f[1].n) / 8 + 1);
	p->plain = mem_xalloc((p->f[0].n > p->f[1].n ? p->f[0].n : p->f[1].n) / 8 + 1);
	return compare_all(p);
}

int pages_open(struct pages **out, const char *base, const char *now, int (*alive)(void *arg), void *arg)
{
	struct pages *p = mem_xalloc(sizeof(*p));
	int rc;

	p->f[0] = (struct pages_file){ .fd = -1, .path = mem_xstrdup(base) };
	p->f[1] = (struct pages_file){ .fd = -1, .path = mem_xstrdup(now) };
	p->alive = alive;
	p->arg = arg;
	rc = open_both(p);
	if (rc < 0)
		pages_close(p);
	else
		*out = p;
	return rc;
}

void pages_close(struct pages *p)
{
	if (p == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		if (p->f[i].fd >= 0)
			close(p->f[i].fd);
		free(p->f[i].path);
		free(p->f[i].seen);
		free(p->f[i].in);
		free(p->f[i].leaf);
	}
	free(p->same);
	free(p->plain);
	free(p);
}
