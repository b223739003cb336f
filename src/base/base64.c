/* SPDX-License-Identifier: Apache-2.0 */
/* base64: libsodium's codec behind our result codes. */
#include "base64.h"

#include <sodium.h>

#include "err.h"
#include "mem.h"

int base64_decode(void *out, size_t *n, size_t max, const char *text, size_t size)
{
	const char *end = NULL;

	/* libsodium takes some bytes over 0x7f for digits. */
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] >= 0x80)
			return err_set(KC_EFORMAT, "not base64");
	if (size / 4 * 3 > max + 2)
		return err_set(KC_ELIMIT, "base64 text of %zu characters is too long", size);
	if (sodium_base642bin(out, max, text, size, NULL, n, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    end != text + size)
		return err_set(KC_EFORMAT, "not base64");
	return KC_OK;
}

char *base64_encode(const void *data, size_t n)
{
	size_t size = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
	char *text = mem_xalloc(size);

	sodium_bin2base64(text, size, data, n, sodium_base64_VARIANT_ORIGINAL);
	return text;
}
