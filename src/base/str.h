/* SPDX-License-Identifier: Apache-2.0 */
/* str: strings in arrays of fixed size. */
#ifndef KC_STR_H
#define KC_STR_H

#include <stddef.h>

/* Copy as much of `from` (NULL: nothing) as fits into `size` bytes, NUL included; never leaves half a UTF-8 character.
 */
void str_copy(char *to, size_t size, const char *from);
#define STR_COPY(to, from) str_copy((to), sizeof(to), (from))

/* Bytes of the UTF-8 character at `text`. 0: it is none, or one that no line of text may hold: a control character
 * (C0, DEL, C1), a line separator, a mark that changes the direction of writing. Also 0 at the end. */
size_t str_char_size(const char *text);

/* In place, '?' for each byte of what str_char_size() does not take. Returns `text`. Whatever a peer, a certificate or
 * somebody's file named goes through this before it is logged, audited or shown: terminals obey escape sequences. */
char *str_printable(char *text);

#endif
