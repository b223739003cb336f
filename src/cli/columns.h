/* SPDX-License-Identifier: Apache-2.0 */
/* columns: text in columns of a terminal, whatever the length of host names. A UTF-8 character counts as one column. */
#ifndef KC_COLUMNS_H
#define KC_COLUMNS_H

#include <jansson.h>
#include <stddef.h>

/* The width of a column for the names (HOST:PORT) of these clones: as wide as the longest, within these bounds. */
unsigned columns_for_names(const json_t *clones, unsigned min, unsigned max);

/* Exactly `width` columns: filled with blanks, or the middle left out ("clone-a…org:2222": the port stays). Heap. */
char *columns_fit(const char *text, unsigned width);

/* How many bytes of `text` fill at most `width` columns, whole characters only. */
size_t columns_cut(const char *text, unsigned width);

#endif
