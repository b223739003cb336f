/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bech32: the text form of 32 bytes with a prefix and a checksum (BIP 173), as age writes recipients and identities.
 *
 * The alphabet is looked up by value in a table; the text of a secret is in secret memory at the caller's.
 */
#ifndef KC_BACKUP_BECH32_H
#define KC_BACKUP_BECH32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* prefix, "1", 52 digits, 6 of checksum */
#define BECH32_LEN(prefix_len) ((prefix_len) + 59)

/* Writes BECH32_LEN(strlen(prefix)) characters and a NUL. `prefix` is lower case; `upper` turns all of it to upper. */
void bech32_encode(char *text, const char *prefix, const uint8_t data[32], bool upper);

/* KC_OK, or KC_EFORMAT without a message of the text itself: another prefix, length, case, checksum or padding. */
int bech32_decode(uint8_t data[32], const char *text, size_t n, const char *prefix, bool upper);

#endif
