/* SPDX-License-Identifier: Apache-2.0 */
/* algorithm: the table. */
#include "algorithm.h"

#include <strings.h>

#include "base/err.h"

static const struct algorithm table[] = {
	{ "AES-128", 16, true },
	{ "AES-192", 24, true },
	{ "AES-256", 32, true },
	{ "HMAC-SHA256", 32, true },
	{ "HMAC-SHA384", 48, true },
	{ "HMAC-SHA512", 64, true },
	{ "3DES-112", 16, false },
	{ "3DES-168", 24, false },
	{ "HMAC-SHA1", 20, false },
	{ "ChaCha20", 32, false },
};

#define TABLE_SIZE (sizeof(table) / sizeof(table[0]))

int algorithm_find(const struct algorithm **a, const char *name)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (strcasecmp(table[i].name, name) == 0) {
			*a = &table[i];
			return KC_OK;
		}
	return err_set(KC_EUSAGE, "%s: no algorithm of symmetric keys: " ALGORITHM_NAMES, name);
}

int algorithm_of_size(const struct algorithm **a, const char *name, size_t size)
{
	int rc;

	if (name != NULL) {
		rc = algorithm_find(a, name);
		if (rc == KC_OK && (*a)->size != size)
			return err_set(KC_EFORMAT, "the key has %zu bytes, %s needs %zu", size, (*a)->name, (*a)->size);
		return rc;
	}
	/* The first of a size is the AES one. */
	for (size_t i = 0; i < 3; i++)
		if (table[i].size == size) {
			*a = &table[i];
			return KC_OK;
		}
	return err_set(KC_EUSAGE, "the key has %zu bytes, which is no AES key: its algorithm must be named", size);
}
