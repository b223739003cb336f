/* SPDX-License-Identifier: Apache-2.0 */
/* pages_walk: the trees of one table in both files. */
#include <stdlib.h>
#include <string.h>

#include "backup/pages_int.h"
#include "base/err.h"
#include "base/mem.h"

#define DEPTH_MAX      20	   /* as SQLite's own */
#define PENDING	       1073741824u /* the byte that SQLite locks: its page is in no tree */
#define ALIVE_INTERVAL 4096	   /* leaves */

/* One walk. */
struct walk {
	struct pages *p;
	int side;
	const char *table;
	uint8_t interior, leaf; /* kinds of pages */
	unsigned depth;		/* of the leaves, the root is at 0 */
	uint64_t count;		/* pages */
	bool all_same;		/* only looked after in an index */
};

static int damaged(const struct walk *w, uint32_t page, const char *what)
{
	return err_set(KC_EDAMAGED, "%s: the database is damaged: table %s, page %u: %s", w->p->f[w->side].path,
	    w->table, page, what);
}

/* A page comes once, and is in the file. */
static int visit(struct walk *w, uint32_t page)
{
	struct pages_file *f = &w->p->f[w->side];

	if (page < 2 || page > f->n || page == PENDING / w->p->size + 1)
		return damaged(w, page, "is not there");
	if (pages_bit(f->seen, page))
		return damaged(w, page, "is in two places");
	pages_set(f->seen, page);
	w->count++;
	return KC_OK;
}

static int read_page(uint8_t *out, uint32_t *cells, struct walk *w, uint32_t page)
{
	int rc = pages_read(out, w->p, w->side, page);

	if (rc == KC_OK && ((out[0] != w->interior && out[0] != w->leaf) || !pages_cells(cells, out, w->p->usable)))
		rc = damaged(w, page, "is not of this table");
	return rc;
}

/* *same: every page of the chain is so in both files. It is as long as the bytes in it say. */
static int follow(bool *same, struct walk *w, const struct pages_cell *c)
{
	uint32_t page = c->chain;
	uint64_t left = c->more;
	uint8_t *buf = mem_xalloc(w->p->size);
	int rc = KC_OK;

	*same = true;
	while (rc == KC_OK && left > 0 && *same) {
		rc = visit(w, page);
		w->count -= rc == KC_OK; /* only pages of the tree count */
		if (rc < 0)
			break;
		*same = pages_bit(w->p->same, page);
		rc = pages_read(buf, w->p, w->side, page);
		left -= left < w->p->usable - 4 ? left : w->p->usable - 4;
		page = pages_be32(buf);
	}
	mem_wipe(buf, w->p->size);
	free(buf);
	return rc;
}

/* *same: the overflow chains of this page, which is the same in both files, are so, too. */
static int chains(bool *same, struct walk *w, const uint8_t *buf, uint32_t cells, uint32_t page)
{
	struct pages_cell c;
	int rc = KC_OK;

	*same = true;
	for (uint32_t i = 0; rc == KC_OK && *same && i < cells; i++) {
		if (!pages_cell(&c, buf, i, w->p->usable))
			return damaged(w, page, "has a cell outside of it");
		if (c.more > 0)
			rc = follow(same, w, &c);
	}
	return rc;
}

/* In an index everything has to be the same, and rows are in interior pages, too. */
static int look_at_index(struct walk *w, uint32_t page)
{
	uint8_t *buf;
	uint32_t cells = 0;
	int rc;

	if (!w->all_same || pages_bit(w->p->plain, page))
		return KC_OK;
	w->all_same = pages_bit(w->p->same, page);
	if (!w->all_same)
		return KC_OK;
	buf = mem_xalloc(w->p->size);
	rc = read_page(buf, &cells, w, page);
	if (rc == KC_OK)
		rc = chains(&w->all_same, w, buf, cells, page);
	mem_wipe(buf, w->p->size);
	free(buf);
	return rc;
}

static void add_leaf(struct pages_file *f, uint32_t page)
{
	if (f->n_leaf == f->room) {
		f->room = f->room * 2 + 64;
		f->leaf = mem_xrealloc(f->leaf, f->room * sizeof(*f->leaf));
	}
	f->leaf[f->n_leaf++] = page;
	pages_set(f->in, page);
}

static int walk(struct walk *w, uint32_t page, unsigned level);

static int walk_interior(struct walk *w, uint32_t page, unsigned level)
{
	uint8_t *buf = mem_xalloc(w->p->size);
	struct pages_cell c;
	uint32_t n = 0, i;
	int rc = read_page(buf, &n, w, page);

	if (rc == KC_OK && buf[0] != w->interior)
		rc = damaged(w, page, "is a leaf where others are not");
	for (i = 0; rc == KC_OK && i < n; i++)
		rc = pages_cell(&c, buf, i, w->p->usable) ? walk(w, c.child, level + 1)
							  : damaged(w, page, "has a cell outside of it");
	if (rc == KC_OK)
		rc = walk(w, pages_be32(buf + 8), level + 1);
	mem_wipe(buf, w->p->size);
	free(buf);
	return rc;
}

static int walk(struct walk *w, uint32_t page, unsigned level)
{
	int rc = visit(w, page);

	if (rc == KC_OK && w->interior == PAGES_INDEX_INTERIOR)
		rc = look_at_index(w, page);
	if (rc < 0)
		return rc;
	if (level < w->depth)
		return walk_interior(w, page, level);
	add_leaf(&w->p->f[w->side], page);
	return KC_OK;
}

/* All leaves of a tree are equally deep: the leftmost tells. */
static int find_depth(struct walk *w, uint32_t page)
{
	uint8_t *buf = mem_xalloc(w->p->size);
	struct pages_cell c;
	uint32_t n = 0;
	int rc = KC_OK;

	for (w->depth = 0; rc == KC_OK; w->depth++) {
		if (page < 2 || page > w->p->f[w->side].n)
			rc = damaged(w, page, "is not there");
		if (rc == KC_OK)
			rc = read_page(buf, &n, w, page);
		if (rc < 0 || buf[0] == w->leaf)
			break;
		if (w->depth == DEPTH_MAX)
			rc = damaged(w, page, "is too deep");
		else if (n == 0)
			page = pages_be32(buf + 8);
		else if (!pages_cell(&c, buf, 0, w->p->usable))
			rc = damaged(w, page, "has a cell outside of it");
		else
			page = c.child;
	}
	mem_wipe(buf, w->p->size);
	free(buf);
	return rc;
}

static int walk_tree(struct walk *w, uint32_t root)
{
	int rc = find_depth(w, root);

	return rc == KC_OK ? walk(w, root, 0) : rc;
}

static void forget_leaves(struct pages *p)
{
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < p->f[side].n_leaf; i++)
			pages_clear(p->f[side].in, p->f[side].leaf[i]);
		p->f[side].n_leaf = 0;
	}
}

/* The candidates of one file. */
struct gather {
	struct walk *w;
	struct pages_rows *rows;
	size_t room, *total, limit;
	uint8_t *buf;
};

static int gather_rows(struct gather *g, uint32_t cells, uint32_t page)
{
	struct pages_rows *r = g->rows;
	struct pages_cell c;

	*g->total += cells;
	if (*g->total > g->limit)
		return err_set(
		    KC_ENEEDFULL, "table %s: more than %zu rows are on changed pages", g->w->table, g->limit);
	for (uint32_t i = 0; i < cells; i++) {
		if (!pages_cell(&c, g->buf, i, g->w->p->usable))
			return damaged(g->w, page, "has a cell outside of it");
		if (r->n > 0 && c.row_id <= r->ids[r->n - 1])
			return damaged(g->w, page, "rows are not in their order");
		if (r->n == g->room) {
			g->room = g->room * 2 + 256;
			r->ids = mem_xrealloc(r->ids, g->room * sizeof(*r->ids));
		}
		r->ids[r->n++] = c.row_id;
	}
	return KC_OK;
}

/* The leaves of one file. Of one that both have, and that is the same but not plain, the base's turn says whether it
 * can be passed over: then it is taken out of both trees' leaves, to be read by the other's turn as well if not. */
static int gather_leaf(struct gather *g, uint32_t page)
{
	struct walk *w = g->w;
	struct pages *p = w->p;
	bool both = pages_bit(p->same, page) && pages_bit(p->f[!w->side].in, page), same = false;
	uint32_t cells = 0;
	int rc;

	if (both && (pages_bit(p->plain, page) || w->side == PAGES_NOW))
		return KC_OK;
	rc = read_page(g->buf, &cells, w, page);
	if (rc == KC_OK && g->buf[0] != w->leaf)
		rc = damaged(w, page, "is no leaf where others are");
	if (rc == KC_OK && both)
		rc = chains(&same, w, g->buf, cells, page);
	if (rc < 0 || same)
		return rc;
	if (both)
		pages_clear(p->f[w->side].in, page);
	return gather_rows(g, cells, page);
}

static int gather_all(struct gather *g)
{
	struct pages_file *f = &g->w->p->f[g->w->side];
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < f->n_leaf; i++) {
		rc = gather_leaf(g, f->leaf[i]);
		if (rc == KC_OK && i % ALIVE_INTERVAL == ALIVE_INTERVAL - 1 && g->w->p->alive != NULL)
			rc = g->w->p->alive(g->w->p->arg);
	}
	return rc;
}

int pages_rows(struct pages_rows out[2], struct pages *p, const uint32_t roots[2], const char *table, size_t limit)
{
	struct pages_rows rows[2] = { { NULL, 0 }, { NULL, 0 } };
	struct walk w[2];
	size_t total = 0;
	int rc = KC_OK;

	for (int side = 0; rc == KC_OK && side < 2; side++) {
		w[side] = (struct walk){
			.p = p, .side = side, .table = table, .interior = PAGES_TABLE_INTERIOR, .leaf = PAGES_TABLE_LEAF
		};
		rc = walk_tree(&w[side], roots[side]);
	}
	for (int side = 0; rc == KC_OK && side < 2; side++) {
		struct gather g = {
			.w = &w[side], .rows = &rows[side], .total = &total, .limit = limit, .buf = mem_xalloc(p->size)
		};

		rc = gather_all(&g);
		mem_wipe(g.buf, p->size);
		free(g.buf);
	}
	forget_leaves(p);
	if (rc < 0) {
		free(rows[0].ids);
		free(rows[1].ids);
		return rc;
	}
	out[0] = rows[0];
	out[1] = rows[1];
	return KC_OK;
}

int pages_index(bool *same, uint64_t count[2], struct pages *p, const uint32_t roots[2], const char *table)
{
	struct walk w[2];
	int rc = KC_OK;

	for (int side = 0; rc == KC_OK && side < 2; side++) {
		w[side] = (struct walk){ .p = p,
			.side = side,
			.table = table,
			.interior = PAGES_INDEX_INTERIOR,
			.leaf = PAGES_INDEX_LEAF,
			.all_same = side == PAGES_BASE && roots[0] == roots[1] };
		rc = walk_tree(&w[side], roots[side]);
	}
	forget_leaves(p);
	if (rc < 0)
		return rc;
	*same = w[0].all_same;
	count[0] = w[0].count;
	count[1] = w[1].count;
	return KC_OK;
}
