/* SPDX-License-Identifier: Apache-2.0 */
/* hex: bytes as lower-case hexadecimal digits. */
#ifndef KC_HEX_H
#define KC_HEX_H

#include <stdbool.h>
#include <stddef.h>

/* `out` has room for 2 * n digits and the NUL. Takes the same time for all bytes: they may be a secret. */
void hex_encode(char *out, const void *data, size_t n);
/* Exactly `n` bytes from their lower-case digits. False: `hex` is something else; then `out` is undefined. */
bool hex_decode(void *out, size_t n, const char *hex);

#endif
