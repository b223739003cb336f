/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages: which rows of a table can differ between two SQLite files that were copied from one database at different
 * times, told by their pages (https://sqlite.org/fileformat2.html), without SQLite.
 *
 * Both files are read once from front to back and compared page by page. Then the b-tree of a table is walked in both:
 * a leaf is passed over only if its page is a leaf of this table's tree in both files and is the same in both, with
 * every page of the overflow chains of its rows; the rows on all other leaves are candidates. So a row that is no
 * candidate is in both files, and the same. What is read again are interior pages, leaves that differ, and leaves whose
 * rows overflow. Whether a page is in use is told by the trees alone: free lists and pointer maps do not matter.
 *
 * The files may be damaged, and nobody may write them. KC_EDAMAGED: not a database, or a tree that is none (a page
 * outside the file, or in two places, of the wrong kind, or with cells outside of it). No more memory is used than
 * three bits and, for the table at hand, five bytes a page, and the candidates.
 */
#ifndef KC_BACKUP_PAGES_H
#define KC_BACKUP_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pages;

enum { PAGES_BASE, PAGES_NOW }; /* the files; their order in what follows */

/* Opens and compares both. KC_ENEEDFULL: pages of another size. KC_ENOENT, KC_ESYS; what alive() (may be NULL)
 * returned. */
int pages_open(struct pages **p, const char *base, const char *now, int (*alive)(void *arg), void *arg);
void pages_close(struct pages *p); /* NULL is a no-op */

struct pages_rows {
	int64_t *ids; /* row ids, ascending; heap */
	size_t n;
};
/* The candidates of a table with row ids; `roots`: its root page in each file. Each table once. KC_ENEEDFULL: more than
 * `limit` in both together; the text names the table. */
int pages_rows(struct pages_rows rows[2], struct pages *p, const uint32_t roots[2], const char *table, size_t limit);
/* A WITHOUT ROWID table: is its whole tree the same, page for page? And how many pages are in it (overflow apart). */
int pages_index(bool *same, uint64_t count[2], struct pages *p, const uint32_t roots[2], const char *table);

#endif
