/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_cfg: libconfig syntax: where each setting is in the text. The library parses and judges the values; it does not
 * tell where they are, which is needed to edit them and to keep secrets out of its hands.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "err.h"
#include "mem.h"

#define DEPTH_MAX 16

struct scanner {
	struct conf_items *items;
	const char *text;
	size_t size, pos;
	int line;
	int depth;
};

static char peek(const struct scanner *s, size_t ahead)
{
	return s->pos + ahead < s->size ? s->text[s->pos + ahead] : '\0';
}

static void step(struct scanner *s)
{
	if (s->text[s->pos++] == '\n')
		s->line++;
}

static int fail(const char *reason)
{
	return err_set(KC_ECONF, "%s", reason);
}

/* Blanks and comments: "#" and "//" to the end of the line, and C's. */
static int skip(struct scanner *s)
{
	while (s->pos < s->size) {
		if (strchr(" \t\r\n\f", peek(s, 0)) != NULL && peek(s, 0) != '\0') {
			step(s);
		} else if (peek(s, 0) == '#' || (peek(s, 0) == '/' && peek(s, 1) == '/')) {
			while (s->pos < s->size && peek(s, 0) != '\n')
				step(s);
		} else if (peek(s, 0) == '/' && peek(s, 1) == '*') {
			s->pos += 2;
			while (s->pos < s->size && !(peek(s, 0) == '*' && peek(s, 1) == '/'))
				step(s);
			if (s->pos == s->size)
				return fail("a comment has no end");
			s->pos += 2;
		} else {
			break;
		}
	}
	return KC_OK;
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	       c == '*';
}

static int skip_string(struct scanner *s)
{
	step(s);
	while (s->pos < s->size && peek(s, 0) != '"') {
		if (peek(s, 0) == '\\' && s->pos + 1 < s->size)
			step(s);
		step(s);
	}
	if (s->pos == s->size)
		return fail("a string has no end");
	step(s);
	return KC_OK;
}

/* "…" "…": adjacent strings are one. Ends behind the last one, not behind the blanks after it. */
static int skip_strings(struct scanner *s)
{
	size_t end;
	int line, rc;

	do {
		rc = skip_string(s);
		end = s->pos;
		line = s->line;
		if (rc == KC_OK)
			rc = skip(s);
	} while (rc == KC_OK && peek(s, 0) == '"');
	s->pos = end;
	s->line = line;
	return rc;
}

/* An array or a list, whatever is in it. */
static int skip_brackets(struct scanner *s)
{
	int depth = 0, rc = KC_OK;

	do {
		char c = peek(s, 0);

		if (s->pos == s->size)
			return fail("a list has no end");
		if (c == '"') {
			rc = skip_string(s);
		} else {
			depth += (c == '(' || c == '[' || c == '{') - (c == ')' || c == ']' || c == '}');
			step(s);
		}
		if (rc == KC_OK && depth > 0)
			rc = skip(s);
	} while (rc == KC_OK && depth > 0);
	return rc;
}

static int scan_settings(struct scanner *s, const char *prefix);

static int scan_group(struct scanner *s, const char *name, size_t item)
{
	int rc;

	if (++s->depth > DEPTH_MAX)
		return fail("nested too deeply");
	step(s);
	s->items->v[item].kind = CONF_ITEM_GROUP;
	s->items->v[item].vstart = s->pos;
	rc = scan_settings(s, name);
	if (rc < 0)
		return rc;
	if (peek(s, 0) != '}')
		return fail("a group has no end");
	s->items->v[item].vend = s->pos;
	step(s);
	s->depth--;
	return KC_OK;
}

static int scan_value(struct scanner *s, const char *name, size_t item)
{
	char c = peek(s, 0);
	int rc = KC_OK;

	if (c == '{')
		return scan_group(s, name, item);
	s->items->v[item].vstart = s->pos;
	if (c == '"') {
		rc = skip_strings(s);
	} else if (c == '(' || c == '[') {
		rc = skip_brackets(s);
	} else {
		while (is_name(peek(s, 0)) || peek(s, 0) == '+' || peek(s, 0) == '.')
			step(s);
		if (s->pos == s->items->v[item].vstart)
			rc = fail("syntax error");
	}
	s->items->v[item].vend = s->pos;
	return rc;
}

static int scan_setting(struct scanner *s, const char *prefix)
{
	size_t start = s->pos, item = s->items->count;
	int line = s->line, rc;
	char *name;

	if (peek(s, 0) == '@')
		return fail("@include is not supported: one file for one daemon");
	while (is_name(peek(s, 0)))
		step(s);
	if (s->pos == start)
		return fail("syntax error");
	name = mem_xasprintf("%s%s%.*s", prefix, prefix[0] != '\0' ? "." : "", (int)(s->pos - start), s->text + start);
	conf_items_add(s->items, CONF_ITEM_VALUE, name, strlen(name));
	s->items->v[item].line = line;
	s->items->v[item].start = start;
	rc = skip(s);
	if (rc == KC_OK && peek(s, 0) != '=' && peek(s, 0) != ':')
		rc = fail("syntax error");
	if (rc == KC_OK) {
		step(s);
		rc = skip(s);
	}
	if (rc == KC_OK)
		rc = scan_value(s, name, item);
	free(name);
	s->items->v[item].end = s->pos;
	if (rc == KC_OK)
		rc = skip(s);
	if (rc == KC_OK && (peek(s, 0) == ';' || peek(s, 0) == ',')) {
		step(s);
		s->items->v[item].end = s->pos;
		rc = skip(s);
	}
	return rc;
}

static int scan_settings(struct scanner *s, const char *prefix)
{
	int rc = skip(s);

	while (rc == KC_OK && s->pos < s->size && peek(s, 0) != '}')
		rc = scan_setting(s, prefix);
	return rc;
}

int conf_cfg_scan(struct conf_items *items, int *line, const char *text, size_t size)
{
	struct scanner s = { .items = items, .text = text, .size = size, .line = 1 };
	int rc;

	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		s.pos = 3;
	rc = scan_settings(&s, "");
	if (rc == KC_OK && s.pos < s.size)
		rc = fail("syntax error");
	*line = s.line;
	return rc;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int conf_cfg_decode(struct buf *out, const char *text, const struct conf_item *item)
{
	static const char from[] = "nrtf\\\"", to[] = "\n\r\t\f\\\"";
	bool inside = false;

	if (item->kind != CONF_ITEM_VALUE || text[item->vstart] != '"')
		return err_set(KC_ECONF, "is not a string");
	for (size_t i = item->vstart; i < item->vend; i++) {
		const char *known;

		if (text[i] == '"') {
			inside = !inside;
		} else if (!inside) {
			if (text[i] == '#' || text[i] == '/') /* no comments between the pieces of a secret */
				return err_set(KC_ECONF, "must be one string");
		} else if (text[i] != '\\') {
			buf_put_u8(out, (uint8_t)text[i]);
		} else if (i++, (known = strchr(from, text[i])) != NULL && text[i] != '\0') {
			buf_put_u8(out, (uint8_t)to[known - from]);
		} else if (text[i] == 'x' && i + 2 < item->vend && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
			buf_put_u8(out, (uint8_t)(hex(text[i + 1]) * 16 + hex(text[i + 2])));
			i += 2;
		} else {
			buf_put_u8(out, '\\');
			buf_put_u8(out, (uint8_t)text[i]);
		}
	}
	return buf_status(out);
}

int conf_cfg_encode(struct buf *out, const char *value, const struct conf_row *row)
{
	if (row != NULL && row->type == CONF_INT && value[0] != '\0' && strspn(value, "0123456789") == strlen(value) &&
	    (value[0] != '0' || value[1] == '\0') && strlen(value) < 9) {
		buf_put_str(out, value);
		return buf_status(out);
	}
	if (row != NULL && row->type == CONF_BOOL && (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)) {
		buf_put_str(out, value);
		return buf_status(out);
	}
	buf_put_u8(out, '"');
	for (; *value != '\0'; value++) {
		unsigned char c = (unsigned char)*value;

		if (c == '"' || c == '\\')
			buf_putf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_putf(out, "\\x%02x", c);
		else
			buf_put_u8(out, c);
	}
	buf_put_u8(out, '"');
	return buf_status(out);
}
