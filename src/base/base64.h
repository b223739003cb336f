/* SPDX-License-Identifier: Apache-2.0 */
/* base64: RFC 4648, standard alphabet, with padding. */
#ifndef KC_BASE64_H
#define KC_BASE64_H

#include <stddef.h>

/* Decode `size` characters into at most `max` bytes of `out`; *n of them. KC_EFORMAT for anything that is not strict
 * base64, KC_ELIMIT if it does not fit. */
int base64_decode(void *out, size_t *n, size_t max, const char *text, size_t size);

/* Heap; mem_wipe_free() if it was a secret. */
char *base64_encode(const void *data, size_t n);

#endif
