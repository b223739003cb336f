/* SPDX-License-Identifier: Apache-2.0 */
/* bech32: text with a BCH checksum over 5-bit digits. Only the 32-byte case that age uses. */
#include "backup/bech32.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define DIGITS	 52 /* 256 bits in digits of 5, four bits of padding */
#define CHECKSUM 6

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t checksum_step(uint32_t sum, uint8_t digit)
{
	static const uint32_t generator[5] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 };
	uint32_t top = sum >> 25;

	sum = (sum & 0x1ffffff) << 5 ^ digit;
	for (int i = 0; i < 5; i++)
		sum ^= (0 - (top >> i & 1)) & generator[i];
	return sum;
}

/* The prefix enters as its high bits, a zero, its low bits. */
static uint32_t checksum_begin(const char *prefix)
{
	uint32_t sum = 1;

	for (const char *p = prefix; *p != '\0'; p++)
		sum = checksum_step(sum, (uint8_t)((unsigned char)*p >> 5));
	sum = checksum_step(sum, 0);
	for (const char *p = prefix; *p != '\0'; p++)
		sum = checksum_step(sum, (uint8_t)(*p & 31));
	return sum;
}

static char set_case(char c, bool upper)
{
	return upper && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

void bech32_encode(char *text, const char *prefix, const uint8_t data[32], bool upper)
{
	uint32_t sum = checksum_begin(prefix), acc = 0;
	unsigned bits = 0;
	size_t in = 0;
	char *p = text;

	for (const char *q = prefix; *q != '\0'; q++)
		*p++ = set_case(*q, upper);
	*p++ = '1';
	for (int i = 0; i < DIGITS; i++) {
		if (bits < 5) {
			acc = acc << 8 | (in < 32 ? data[in] : 0);
			in++;
			bits += 8;
		}
		bits -= 5;
		sum = checksum_step(sum, (uint8_t)(acc >> bits & 31));
		*p++ = set_case(alphabet[acc >> bits & 31], upper);
	}
	for (int i = 0; i < CHECKSUM; i++)
		sum = checksum_step(sum, 0);
	sum ^= 1;
	for (int i = 0; i < CHECKSUM; i++)
		*p++ = set_case(alphabet[sum >> 5 * (5 - i) & 31], upper);
	*p = '\0';
	mem_wipe(&acc, sizeof(acc));
}

static int digit_of(char c, bool upper)
{
	for (int i = 0; i < 32; i++)
		if (set_case(alphabet[i], upper) == c)
			return i;
	return -1;
}

int bech32_decode(uint8_t data[32], const char *text, size_t n, const char *prefix, bool upper)
{
	size_t len = strlen(prefix), out = 0;
	uint32_t sum = checksum_begin(prefix), acc = 0;
	unsigned bits = 0;
	int digit;

	if (n != BECH32_LEN(len))
		return err_set(KC_EFORMAT, "%zu characters instead of %zu", n, BECH32_LEN(len));
	for (size_t i = 0; i < len; i++)
		if (text[i] != set_case(prefix[i], upper))
			return err_set(KC_EFORMAT, "does not begin with the right prefix");
	if (text[len] != '1')
		return err_set(KC_EFORMAT, "does not begin with the right prefix");
	for (size_t i = len + 1; i < n; i++) {
		if ((digit = digit_of(text[i], upper)) < 0)
			return err_set(KC_EFORMAT, "character %zu is not of the alphabet", i + 1);
		sum = checksum_step(sum, (uint8_t)digit);
		if (i >= n - CHECKSUM)
			continue;
		acc = acc << 5 | (uint32_t)digit;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			data[out++] = (uint8_t)(acc >> bits);
		}
	}
	digit = (int)(acc & 15);
	mem_wipe(&acc, sizeof(acc));
	if (sum != 1 || digit != 0)
		return err_set(KC_EFORMAT, "wrong checksum");
	return KC_OK;
}
