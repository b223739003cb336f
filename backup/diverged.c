/* SPDX-License-Identifier: Apache-2.0 */
/* diverged: what was found, kept short. */
#include "backup/diverged.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define TEXT_MAX 16384

void diverged_list_init(struct diverged_list *l)
{
	memset(l, 0, sizeof(*l));
}

void diverged_list_fini(struct diverged_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++) {
		free(l->rows[i].table);
		free(l->rows[i].key);
	}
	diverged_list_init(l);
}

int diverged_list_add(void *arg, const struct diverged_row *row)
{
	struct diverged_list *l = arg;

	if (row->in_live)
		l->live_only++;
	else
		l->other_only++;
	l->changed += row->changed;
	if (l->n < DIVERGED_SHOWN) {
		l->rows[l->n].table = str_printable(mem_xstrdup(row->table));
		l->rows[l->n].key = mem_xstrdup(row->key);
		l->rows[l->n].changed = row->changed;
		l->rows[l->n++].in_live = row->in_live;
	}
	return KC_OK;
}

char *diverged_list_text(const struct diverged_list *l)
{
	uint64_t all = l->live_only + l->other_only;
	struct buf b;
	const char *text;
	char *copy;
	size_t i;

	buf_init(&b, TEXT_MAX);
	buf_putf(&b, "%llu row%s not as the master has %s", (unsigned long long)all, all == 1 ? " is" : "s are",
	    all == 1 ? "it" : "them");
	for (i = 0; i < l->n; i++)
		buf_putf(&b, "%s %s %s%s", i > 0 ? "," : ":", l->rows[i].table, l->rows[i].key,
		    !l->rows[i].in_live	 ? " (missing)"
		    : l->rows[i].changed ? " (changed)"
					 : "");
	if (all > l->n)
		buf_putf(&b, ", ...");
	text = buf_str(&b);
	copy = mem_xstrdup(text != NULL ? text : "many rows");
	buf_fini(&b);
	return copy;
}

int diverged_find_backup(struct source *live, const struct image_options *o, bool both, diverged_fn found, void *arg)
{
	struct image *img = NULL;
	int rc = image_open(&img, o);

	if (rc == KC_OK)
		rc = diverged_find(live, image_database(img), both, found, arg);
	image_close(img);
	return rc;
}
