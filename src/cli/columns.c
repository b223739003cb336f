/* SPDX-License-Identifier: Apache-2.0 */
/* columns: counts characters, not bytes, and shortens what does not fit. */
#include "columns.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/host.h"
#include "base/mem.h"
#include "base/member.h"

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static unsigned columns_of(const char *text)
{
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += !is_continuation(*text);
	return n;
}

size_t columns_cut(const char *text, unsigned width)
{
	size_t i = 0;

	while (text[i] != '\0' && (width > 0 || is_continuation(text[i])))
		width -= !is_continuation(text[i++]);
	return i;
}

unsigned columns_for_names(const json_t *clones, unsigned min, unsigned max)
{
	unsigned widest = min;
	size_t i;
	json_t *clone;

	json_array_foreach(clones, i, clone) {
		char *name = host_port_format(member_text(clone, "host"), (int)member_int(clone, "port"));

		if (columns_of(name) > widest)
			widest = columns_of(name);
		free(name);
	}
	return widest < max ? widest : max;
}

char *columns_fit(const char *text, unsigned width)
{
	unsigned have = columns_of(text), tail = width * 2 / 5;
	size_t head, from;

	if (have <= width)
		return mem_xasprintf("%s%*s", text, (int)(width - have), "");
	if (width < 3)
		return mem_xstrndup(text, columns_cut(text, width));
	head = columns_cut(text, width - 1 - tail);
	from = columns_cut(text, have - tail);
	return mem_xasprintf("%.*s…%s", (int)head, text, text + from);
}
