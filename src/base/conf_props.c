/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_props: Java properties: where each setting is in the text, and the escapes of its value.
 *
 * A character is either plain or an escaped pair (backslash and what follows). A backslash before a line end is
 * neither: it joins the next line, without its leading blanks. Reading in pairs from the left is the rule of the odd
 * number of backslashes.
 */
#include <string.h>

#include "conf_int.h"
#include "err.h"

struct reader {
	const char *text;
	size_t size, pos;
	int line;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\f';
}

/* Bytes of the line end at `pos`: 0 if there is none. The end of the text is not one. */
static size_t eol_at(const struct reader *r, size_t pos)
{
	if (pos >= r->size)
		return 0;
	if (r->text[pos] == '\n')
		return 1;
	if (r->text[pos] == '\r')
		return pos + 1 < r->size && r->text[pos + 1] == '\n' ? 2 : 1;
	return 0;
}

static void skip_blanks(struct reader *r)
{
	while (r->pos < r->size && is_blank(r->text[r->pos]))
		r->pos++;
}

/* Step over continuations. False at the end of the logical line (its line end is not consumed). */
static bool more(struct reader *r)
{
	size_t n;

	while (r->pos < r->size && r->text[r->pos] == '\\') {
		if (r->pos + 1 == r->size) { /* the last character of the file: joins nothing */
			r->pos++;
			return false;
		}
		n = eol_at(r, r->pos + 1);
		if (n == 0)
			return true;
		r->pos += 1 + n;
		r->line++;
		skip_blanks(r);
	}
	return r->pos < r->size && eol_at(r, r->pos) == 0;
}

/* The next character or pair; more() was true. Returns its length. */
static size_t take(struct reader *r)
{
	size_t n = r->text[r->pos] == '\\' ? 2 : 1;

	r->pos += n;
	return n;
}

static void skip_logical_blanks(struct reader *r)
{
	while (more(r) && is_blank(r->text[r->pos]))
		r->pos++;
}

static void scan_setting(struct conf_items *items, struct reader *r)
{
	struct conf_item *it;
	struct buf name;
	size_t start = r->pos;
	int line = r->line;

	while (start > 0 && is_blank(r->text[start - 1]))
		start--;
	buf_init(&name, CONF_FILE_MAX);
	while (more(r) && !is_blank(r->text[r->pos]) && r->text[r->pos] != '=' && r->text[r->pos] != ':') {
		size_t at = r->pos;

		buf_put(&name, r->text + at, take(r));
	}
	it = conf_items_add(items, CONF_ITEM_VALUE, (const char *)buf_data(&name), buf_len(&name));
	buf_fini(&name);
	it->line = line;
	it->start = start;
	skip_logical_blanks(r);
	if (more(r) && (r->text[r->pos] == '=' || r->text[r->pos] == ':')) {
		r->pos++;
		skip_logical_blanks(r);
	}
	it->vstart = r->pos;
	while (more(r))
		take(r);
	it->vend = r->pos;
	r->pos += eol_at(r, r->pos);
	it->end = r->pos;
	r->line++;
}

void conf_props_scan(struct conf_items *items, const char *text, size_t size)
{
	struct reader r = { .text = text, .size = size, .line = 1 };

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		r.pos = 3;
	while (r.pos < r.size) {
		skip_blanks(&r);
		if (r.pos < r.size && eol_at(&r, r.pos) == 0 && r.text[r.pos] != '#' && r.text[r.pos] != '!') {
			scan_setting(items, &r);
			continue;
		}
		/* Blank or comment: no continuation. */
		while (r.pos < r.size && eol_at(&r, r.pos) == 0)
			r.pos++;
		r.pos += eol_at(&r, r.pos);
		r.line++;
	}
}

static int hex4(uint32_t *out, const char *s, size_t room)
{
	uint32_t v = 0;

	if (room < 4)
		return KC_ECONF;
	for (int i = 0; i < 4; i++) {
		char c = s[i];

		if (c >= '0' && c <= '9')
			v = v * 16 + (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v * 16 + (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return KC_ECONF;
	}
	*out = v;
	return KC_OK;
}

static void put_utf8(struct buf *b, uint32_t c)
{
	if (c < 0x80) {
		buf_put_u8(b, (uint8_t)c);
	} else if (c < 0x800) {
		buf_put_u8(b, (uint8_t)(0xc0 | c >> 6));
		buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		buf_put_u8(b, (uint8_t)(0xe0 | c >> 12));
		buf_put_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		buf_put_u8(b, (uint8_t)(0xf0 | c >> 18));
		buf_put_u8(b, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

/* \uXXXX at `s` ("uXXXX…"); two of them for a character beyond 16 bits. *used counts from the 'u'. */
static int unescape_unicode(struct buf *out, size_t *used, const char *s, size_t room)
{
	uint32_t c, low;

	if (hex4(&c, s + 1, room - 1) < 0)
		return err_set(KC_ECONF, "\\u needs four hexadecimal digits");
	*used = 5;
	if (c >= 0xd800 && c < 0xdc00 && room >= 11 && s[5] == '\\' && s[6] == 'u' &&
	    hex4(&low, s + 7, room - 7) == KC_OK && low >= 0xdc00 && low < 0xe000) {
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		*used = 11;
	}
	if (c == 0 || (c >= 0xd800 && c < 0xe000))
		return err_set(KC_ECONF, "\\u%.4s is not a character", s + 1);
	put_utf8(out, c);
	return KC_OK;
}

static int unescape(struct buf *out, const char *raw, size_t n, bool path)
{
	static const char from[] = "tn\\:=#", to[] = "\t\n\\:=#";

	for (size_t i = 0; i < n; i++) {
		const char *known;
		size_t used = 0;
		int rc;

		if (raw[i] != '\\' || i + 1 == n) {
			buf_put_u8(out, (uint8_t)raw[i]);
			continue;
		}
		i++;
		known = raw[i] != '\0' ? strchr(from, raw[i]) : NULL;
		if (path ? raw[i] == '\\' : known != NULL) {
			buf_put_u8(out, (uint8_t)to[known - from]);
		} else if (!path && raw[i] == 'u') {
			rc = unescape_unicode(out, &used, raw + i, n - i);
			if (rc < 0)
				return rc;
			i += used - 1;
		} else {
			buf_put_u8(out, '\\');
			buf_put_u8(out, (uint8_t)raw[i]);
		}
	}
	return KC_OK;
}

int conf_props_decode(struct buf *out, const char *text, const struct conf_item *item, const struct conf_row *row)
{
	struct reader r = { .text = text, .size = item->vend, .pos = item->vstart };
	struct buf raw;
	size_t n;
	int rc;

	buf_init(&raw, CONF_FILE_MAX);
	while (more(&r)) {
		size_t at = r.pos;

		buf_put(&raw, text + at, take(&r));
	}
	n = buf_len(&raw);
	/* Blanks at the end of a line cannot be seen; of a password they may be part. */
	if (!conf_is_secret(row))
		while (n > 0 && is_blank((char)buf_data(&raw)[n - 1]) && (n == 1 || buf_data(&raw)[n - 2] != '\\'))
			n--;
	rc = n == 0 ? KC_OK : unescape(out, (const char *)buf_data(&raw), n, row != NULL && row->type == CONF_PATH);
	buf_fini(&raw);
	return rc;
}

int conf_props_encode(struct buf *out, const char *value, const struct conf_row *row)
{
	bool path = row != NULL && row->type == CONF_PATH;
	size_t n = strlen(value);

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)value[i];
		bool edge = c == ' ' && (i == 0 || i + 1 == n);

		if (path && (c < 0x20 || edge))
			return err_set(KC_ECONF, "a path with %s cannot be written",
			    edge ? "a blank at its edge" : "a control character");
		if (c == '\\')
			buf_put_str(out, "\\\\");
		else if (c == '\n')
			buf_put_str(out, "\\n");
		else if (c == '\t')
			buf_put_str(out, "\\t");
		else if (c < 0x20 || edge)
			buf_putf(out, "\\u%04x", c);
		else
			buf_put_u8(out, c);
	}
	return buf_status(out);
}
