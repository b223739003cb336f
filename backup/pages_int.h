/* SPDX-License-Identifier: Apache-2.0 */
/* pages_int: between pages.c and pages_walk.c. */
#ifndef KC_BACKUP_PAGES_INT_H
#define KC_BACKUP_PAGES_INT_H

#include "backup/pages.h"

#define PAGES_INDEX_INTERIOR 2
#define PAGES_TABLE_INTERIOR 5
#define PAGES_INDEX_LEAF     10
#define PAGES_TABLE_LEAF     13

struct pages_file {
	int fd;
	char *path;
	uint32_t n;	/* pages */
	uint8_t *seen;	/* bitmap: in a tree or a chain that was walked */
	uint8_t *in;	/* bitmap: a leaf of the tree at hand */
	uint32_t *leaf; /* these leaves in their order */
	size_t n_leaf, room;
};

struct pages {
	struct pages_file f[2];
	uint32_t size, usable;
	uint8_t *same;	/* bitmap of the pages: equal in both files; from here on up to the shorter one's end */
	uint8_t *plain; /* equal, and a leaf none of whose rows overflows */
	int (*alive)(void *arg);
	void *arg;
};

static inline bool pages_bit(const uint8_t *map, uint32_t page)
{
	return (map[page >> 3] >> (page & 7) & 1) != 0;
}

static inline void pages_set(uint8_t *map, uint32_t page)
{
	map[page >> 3] |= (uint8_t)(1u << (page & 7));
}

static inline void pages_clear(uint8_t *map, uint32_t page)
{
	map[page >> 3] &= (uint8_t) ~(1u << (page & 7));
}

static inline uint32_t pages_be16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t pages_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A cell of a page. */
struct pages_cell {
	uint32_t child; /* of an interior page */
	int64_t row_id; /* of a table */
	uint64_t more;	/* bytes of payload that are not here */
	uint32_t chain; /* where they are, if there are any */
};
/* false: it is not within the page. `i` is less than pages_cells(). */
bool pages_cell(struct pages_cell *c, const uint8_t *page, uint32_t i, uint32_t usable);
/* false: the page has no room for so many cells, or is no page of a tree. */
bool pages_cells(uint32_t *n, const uint8_t *page, uint32_t usable);

/* Page `page` of a file into a buffer of its size. */
int pages_read(uint8_t *out, const struct pages *p, int side, uint32_t page);

#endif
