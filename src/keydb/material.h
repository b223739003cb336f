/* SPDX-License-Identifier: Apache-2.0 */
/*
 * material: key material as files hold it: raw bytes, hex, base64, PEM or DER.
 *
 * Without a format the contents decide: PEM if it begins with "-----BEGIN"; DER where a private key or certificate was
 * asked for; else a symmetric key, and the first of these that fits: hex digits (an even number), base64 of 16, 24 or
 * 32 bytes, raw bytes. Which one it was is in the result, for the operator to see.
 */
#ifndef KC_MATERIAL_H
#define KC_MATERIAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "keydb/lifecycle.h"

enum material_format {
	MATERIAL_AUTO,
	MATERIAL_RAW,
	MATERIAL_HEX,
	MATERIAL_BASE64,
	MATERIAL_PEM,
	MATERIAL_DER,
	MATERIAL_FORMAT_COUNT
};

struct material {
	uint8_t *data; /* secret memory */
	size_t size;
	enum keydb_kind kind;
	enum material_format format; /* as it was read */
	char algorithm[32];	     /* of a private key or certificate; "" of a symmetric key */
	uint8_t id[32];		     /* of a private key or certificate: the same in every encoding */
};

const char *material_format_name(enum material_format format); /* "hex" */
/* KC_EUSAGE lists the names. */
int material_format_parse(enum material_format *format, const char *text);

/* `kind`: an enum keydb_kind, or -1 for what the contents say. `password` (may be NULL) opens an encrypted private
 * key. `name` (of the file) is for messages. KC_EFORMAT, KC_EPASSWORD; KC_EUSAGE: the format does not fit the kind. */
int material_parse(struct material *m, const void *file, size_t size, enum material_format format, int kind,
    const char *password, const char *name);
void material_fini(struct material *m); /* wipes; an empty one is a no-op */

/* The way back, onto the end of `out`. AUTO: hex for a symmetric key, PEM for the others. hex and base64 end with a
 * newline. */
int material_write(struct buf *out, enum keydb_kind kind, const void *data, size_t size, enum material_format format);

#endif
