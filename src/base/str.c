/* SPDX-License-Identifier: Apache-2.0 */
/* str: bounded copies, and what of a stranger's text may be shown. */
#include "str.h"

#include <stdbool.h>
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

/* Not for a line on somebody's terminal: controls (the 8-bit ones too), line ends, what changes the direction. */
static bool is_control(unsigned long c)
{
	static const struct {
		unsigned long from, to;
	} ranges[] = { { 0, 0x1f }, { 0x7f, 0x9f }, { 0x61c, 0x61c }, { 0x200e, 0x200f }, { 0x2028, 0x202e },
		{ 0x2066, 0x2069 }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f } };

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return false;
}

size_t str_char_size(const char *text)
{
	static const struct {
		unsigned char mask, lead;
		unsigned long min;
	} forms[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		unsigned long c = s[0] & (unsigned char)~forms[i].mask;

		if ((s[0] & forms[i].mask) != forms[i].lead)
			continue;
		for (size_t k = 1; k <= i; k++) {
			if ((s[k] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[k] & 0x3f);
		}
		return c >= forms[i].min && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) && !is_control(c) ? i + 1 : 0;
	}
	return 0;
}

char *str_printable(char *text)
{
	size_t n;

	for (char *p = text; *p != '\0'; p += n) {
		n = str_char_size(p);
		if (n > 0)
			continue;
		n = 1;
		*p = '?';
	}
	return text;
}
