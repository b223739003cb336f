/* SPDX-License-Identifier: Apache-2.0 */
/* material: decodes and encodes key files. What GnuTLS allocates on the way is wiped here. */
#include "material.h"

#include <ctype.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "keystore/inspect.h"

static const char *const format_names[MATERIAL_FORMAT_COUNT] = { "auto", "raw", "hex", "base64", "pem", "der" };

const char *material_format_name(enum material_format format)
{
	return format_names[format];
}

int material_format_parse(enum material_format *format, const char *text)
{
	for (int i = 0; i < MATERIAL_FORMAT_COUNT; i++)
		if (strcasecmp(format_names[i], text) == 0) {
			*format = (enum material_format)i;
			return KC_OK;
		}
	return err_set(KC_EUSAGE, "%s: no format of a key: auto, raw, hex, base64, pem or der", text);
}

static void set_data(struct material *m, const void *data, size_t size)
{
	m->data = mem_secret_new(size);
	m->size = size;
	memcpy(m->data, data, size);
}

/* Text without the white space around it. */
static gnutls_datum_t trim(const void *file, size_t size)
{
	const char *p = file;

	while (size > 0 && isspace((unsigned char)p[size - 1]))
		size--;
	while (size > 0 && isspace((unsigned char)*p)) {
		p++;
		size--;
	}
	return (gnutls_datum_t){ (unsigned char *)(uintptr_t)p, (unsigned)size };
}

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_hex(struct material *m, const gnutls_datum_t *text, const char *name)
{
	uint8_t *data;

	for (unsigned i = 0; i < text->size; i++)
		if (hex_value(text->data[i]) < 0)
			return err_set(KC_EFORMAT, "%s: not hex at byte %u", name, i + 1);
	if (text->size == 0 || text->size % 2 != 0)
		return err_set(KC_EFORMAT, "%s: %u hex digits are not whole bytes", name, text->size);
	data = mem_secret_new(text->size / 2);
	for (unsigned i = 0; i < text->size / 2; i++)
		data[i] = (uint8_t)(hex_value(text->data[2 * i]) << 4 | hex_value(text->data[2 * i + 1]));
	m->data = data;
	m->size = text->size / 2;
	return KC_OK;
}

static int parse_base64(struct material *m, const gnutls_datum_t *text, const char *name)
{
	gnutls_datum_t raw = { NULL, 0 };

	if (text->size == 0 || text->size % 4 != 0 || gnutls_base64_decode2(text, &raw) < 0)
		return err_set(KC_EFORMAT, "%s: not base64", name);
	set_data(m, raw.data, raw.size);
	mem_wipe(raw.data, raw.size);
	gnutls_free(raw.data);
	return KC_OK;
}

static int parse_symmetric(struct material *m, const void *file, size_t size, const char *name)
{
	gnutls_datum_t text = trim(file, size);

	switch (m->format) {
	case MATERIAL_RAW:
		set_data(m, file, size);
		return KC_OK;
	case MATERIAL_HEX:
		return parse_hex(m, &text, name);
	case MATERIAL_BASE64:
		return parse_base64(m, &text, name);
	case MATERIAL_AUTO:
		break;
	default:
		return err_set(KC_EUSAGE, "%s: a symmetric key is raw, hex or base64", name);
	}
	m->format = MATERIAL_HEX;
	if (parse_hex(m, &text, name) == KC_OK)
		return KC_OK;
	m->format = MATERIAL_BASE64;
	if (parse_base64(m, &text, name) == KC_OK) {
		if (m->size == 16 || m->size == 24 || m->size == 32)
			return KC_OK;
		material_fini(m);
	}
	m->format = MATERIAL_RAW;
	set_data(m, file, size);
	return KC_OK;
}

static bool begins_with(const void *file, size_t size, const char *text)
{
	return size >= strlen(text) && memcmp(file, text, strlen(text)) == 0;
}

static unsigned count_text(const char *file, size_t size, const char *text)
{
	unsigned count = 0;

	for (const char *p = file; (p = memmem(p, size - (size_t)(p - file), text, strlen(text))) != NULL; p++)
		count++;
	return count;
}

/* How many objects a PEM file holds. The parameters that OpenSSL writes before an EC key are none. */
static unsigned count_pem(const char *file, size_t size)
{
	return count_text(file, size, "-----BEGIN ") - count_text(file, size, "-----BEGIN EC PARAMETERS-----");
}

/* Private key or certificate, in m->format. */
static int parse_x509(struct material *m, const void *file, size_t size, const char *password, const char *name)
{
	enum inspect_encoding encoding = m->format == MATERIAL_PEM ? INSPECT_PEM : INSPECT_DER;
	struct inspected in = { .der = NULL };
	int rc;

	if (m->kind == KEYDB_PRIVATE)
		rc = inspect_private_key(&in, file, size, encoding, password, name);
	else
		rc = inspect_certificate(&in, file, size, encoding, name);
	if (rc < 0)
		return rc;
	m->data = in.der;
	m->size = in.size;
	memcpy(m->id, in.id, sizeof(m->id));
	snprintf(m->algorithm, sizeof(m->algorithm), "%s", in.algorithm);
	return KC_OK;
}

static int parse_pem(
    struct material *m, const void *file, size_t size, int kind, const char *password, const char *name)
{
	static const char certificate[] = "-----BEGIN CERTIFICATE-----";
	unsigned count = count_pem(file, size);
	bool is_certificate = memmem(file, size, certificate, sizeof(certificate) - 1) != NULL;

	if (count != 1)
		return err_set(KC_EFORMAT, "%s: holds %u PEM objects, one is imported at a time", name, count);
	if (kind == KEYDB_SYMMETRIC)
		return err_set(KC_EUSAGE, "%s: a symmetric key is raw, hex or base64", name);
	m->kind = is_certificate ? KEYDB_CERTIFICATE : KEYDB_PRIVATE;
	if (kind >= 0 && (int)m->kind != kind)
		return err_set(KC_EFORMAT, "%s: holds a %s, not a %s", name, keydb_kind_name(m->kind),
		    keydb_kind_name((enum keydb_kind)kind));
	m->format = MATERIAL_PEM;
	return parse_x509(m, file, size, password, name);
}

int material_parse(struct material *out, const void *file, size_t size, enum material_format format, int kind,
    const char *password, const char *name)
{
	struct material m = { .kind = kind >= 0 ? (enum keydb_kind)kind : KEYDB_SYMMETRIC, .format = format };
	int rc;

	if (size == 0)
		return err_set(KC_EFORMAT, "%s: empty", name);
	if (format == MATERIAL_PEM || (format == MATERIAL_AUTO && begins_with(file, size, "-----BEGIN "))) {
		rc = parse_pem(&m, file, size, kind, password, name);
	} else if (format == MATERIAL_DER || (format == MATERIAL_AUTO && m.kind != KEYDB_SYMMETRIC)) {
		if (kind < 0 || kind == KEYDB_SYMMETRIC)
			return err_set(KC_EUSAGE, "%s: DER needs --kind private or certificate", name);
		m.format = MATERIAL_DER;
		rc = parse_x509(&m, file, size, password, name);
	} else if (m.kind != KEYDB_SYMMETRIC) {
		return err_set(KC_EUSAGE, "%s: a %s is PEM or DER", name, keydb_kind_name(m.kind));
	} else {
		rc = parse_symmetric(&m, file, size, name);
	}
	if (rc == KC_OK)
		*out = m;
	return rc;
}

void material_fini(struct material *m)
{
	mem_secret_free(m->data);
	m->data = NULL;
	m->size = 0;
}

static void write_hex(struct buf *out, const uint8_t *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		buf_put_u8(out, (uint8_t)digits[data[i] >> 4]);
		buf_put_u8(out, (uint8_t)digits[data[i] & 15]);
	}
	buf_put_u8(out, '\n');
}

/* With a label: PEM; without: one line. */
static int write_base64(struct buf *out, const char *label, const void *data, size_t size)
{
	gnutls_datum_t in = { (unsigned char *)(uintptr_t)data, (unsigned)size }, text = { NULL, 0 };
	int rc = label != NULL ? gnutls_pem_base64_encode2(label, &in, &text) : gnutls_base64_encode2(&in, &text);

	if (rc < 0)
		return err_set(KC_EFAIL, "cannot encode base64: %s", gnutls_strerror(rc));
	buf_put(out, text.data, text.size);
	if (label == NULL)
		buf_put_u8(out, '\n');
	mem_wipe(text.data, text.size);
	gnutls_free(text.data);
	return KC_OK;
}

int material_write(struct buf *out, enum keydb_kind kind, const void *data, size_t size, enum material_format format)
{
	bool symmetric = kind == KEYDB_SYMMETRIC;
	int rc = KC_OK;

	if (format == MATERIAL_AUTO)
		format = symmetric ? MATERIAL_HEX : MATERIAL_PEM;
	if (symmetric && (format == MATERIAL_PEM || format == MATERIAL_DER))
		return err_set(KC_EUSAGE, "a symmetric key is exported as raw, hex or base64");
	switch (format) {
	case MATERIAL_HEX:
		write_hex(out, data, size);
		break;
	case MATERIAL_BASE64:
		rc = write_base64(out, NULL, data, size);
		break;
	case MATERIAL_PEM:
		rc = write_base64(out, kind == KEYDB_PRIVATE ? "PRIVATE KEY" : "CERTIFICATE", data, size);
		break;
	default:
		buf_put(out, data, size);
	}
	return rc == KC_OK ? buf_status(out) : rc;
}
