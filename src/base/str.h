/* SPDX-License-Identifier: Apache-2.0 */
/* str: strings in arrays of fixed size. */
#ifndef KC_STR_H
#define KC_STR_H

#include <stddef.h>

/* Copy as much of `from` (NULL: nothing) as fits into `size` bytes, NUL included; never leaves half a UTF-8 character.
 */
void str_copy(char *to, size_t size, const char *from);
#define STR_COPY(to, from) str_copy((to), sizeof(to), (from))

#endif
