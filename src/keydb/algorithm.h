/* SPDX-License-Identifier: Apache-2.0 */
/*
 * algorithm: the symmetric algorithms of the built-in key database, and how long their keys are. Algorithms of
 * private keys and certificates are named by what GnuTLS says of them (keystore/inspect.h).
 */
#ifndef KC_ALGORITHM_H
#define KC_ALGORITHM_H

#include <stdbool.h>
#include <stddef.h>

struct algorithm {
	const char *name;
	size_t size;   /* bytes */
	bool generate; /* made here, or only imported */
};

#define ALGORITHM_DEFAULT "AES-256"
#define ALGORITHM_NAMES	  "AES-128, AES-192, AES-256, HMAC-SHA256, HMAC-SHA384, HMAC-SHA512"

/* By name, any case. KC_EUSAGE lists the names. */
int algorithm_find(const struct algorithm **a, const char *name);
/* For a key of `size` bytes with or (NULL) without a name. KC_EUSAGE: a name is needed; KC_EFORMAT: the size and the
 * name do not fit, with both figures. */
int algorithm_of_size(const struct algorithm **a, const char *name, size_t size);

#endif
