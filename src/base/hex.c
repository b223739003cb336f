/* SPDX-License-Identifier: Apache-2.0 */
/* hex: see hex.h. */
#include "hex.h"

#include <stdint.h>

/* Without a branch or a table that the digit would choose. */
static char digit(unsigned nibble)
{
	return (char)('0' + nibble + (((9 - nibble) >> 8) & ('a' - '0' - 10)));
}

void hex_encode(char *out, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digit(p[i] >> 4);
		out[2 * i + 1] = digit(p[i] & 15);
	}
	out[2 * n] = '\0';
}
