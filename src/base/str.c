/* SPDX-License-Identifier: Apache-2.0 */
/* str: bounded copies. */
#include "str.h"

#include <string.h>

void str_copy(char *to, size_t size, const char *from)
{
	size_t n = from != NULL ? strlen(from) : 0;

	if (n >= size) {
		n = size - 1;
		while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	}
	if (n > 0)
		memmove(to, from, n);
	to[n] = '\0';
}
