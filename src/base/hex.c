/* SPDX-License-Identifier: Apache-2.0 */
/* hex: see hex.h. */
#include "hex.h"

#include <stdint.h>
#include <string.h>

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

/* 0 to 15; over that for anything else. */
static unsigned value(char c)
{
	unsigned d = (unsigned)(unsigned char)c - '0', a = (unsigned)(unsigned char)c - 'a';
	unsigned is_digit = 0u - (unsigned)(d < 10), is_letter = 0u - (unsigned)(a < 6);

	return (is_digit & d) | (is_letter & (a + 10)) | (~(is_digit | is_letter) & 255);
}

bool hex_decode(void *out, size_t n, const char *hex)
{
	uint8_t *p = out;
	unsigned bad = 0;

	if (strlen(hex) != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned high = value(hex[2 * i]), low = value(hex[2 * i + 1]);

		bad |= (high | low) & 0xf0;
		p[i] = (uint8_t)(high << 4 | (low & 15));
	}
	return bad == 0;
}
