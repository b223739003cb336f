/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_body: control bodies, JSON objects to structs and back, by one table of members a message. The same row checks
 * what we send and what we are sent.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "proto_members.h"

/* --- strings --- */

static bool is_token(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= 0x20 || *s >= 0x7f)
			return false;
	return true;
}

static bool is_hex(const char *s)
{
	return s[strspn(s, "0123456789abcdef")] == '\0';
}

/* Is `s`, not empty, what its row allows? */
static bool string_fits(const struct member *m, const char *s)
{
	size_t n = strlen(s);

	switch (m->kind) {
	case TOKEN:
		return n < m->size && is_token(s);
	case FILENAME:
		return n < m->size && is_token(s) && s[0] != '.' && strchr(s, '/') == NULL;
	case HEX:
		return n == m->size - 1 && is_hex(s);
	default:
		return n < m->size;
	}
}

/* The JSON of a text for people, whatever it holds: cut to `size` - 1 bytes between characters, never refused. */
static json_t *text_value(const char *s, size_t size)
{
	size_t n = strnlen(s, size - 1);
	char *copy;
	json_t *j;

	while (s[n] != '\0' && n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	copy = mem_xstrndup(s, n);
	str_printable(copy);
	j = json_string(copy);
	free(copy);
	return j;
}

/* --- decode --- */

static int bad(uint8_t type, const struct member *m, const char *what)
{
	return err_set(KC_EPROTO, "%s: %s %s", proto_type_name(type), m->name, what);
}

static int decode_string(char *to, const struct member *m, uint8_t type, const json_t *v)
{
	const char *s = json_string_value(v);

	if (s == NULL)
		return bad(type, m, "is not a string");
	if (m->need == OPTIONAL && s[0] == '\0')
		return KC_OK;
	if (s[0] == '\0')
		return bad(type, m, "is empty");
	if (!string_fits(m, s))
		return bad(type, m, "is not a valid value");
	memcpy(to, s, strlen(s) + 1);
	if (m->kind == TEXT)
		str_printable(to);
	return KC_OK;
}

static int decode_int(void *to, const struct member *m, uint8_t type, const json_t *v)
{
	json_int_t i = json_integer_value(v);
	uint64_t wide = (uint64_t)i;
	uint32_t narrow = (uint32_t)wide;

	if (!json_is_integer(v) || i < 0 || wide < m->min || wide > m->max)
		return err_set(KC_EPROTO, "%s: %s is not an integer between %llu and %llu", proto_type_name(type),
		    m->name, (unsigned long long)m->min, (unsigned long long)m->max);
	if (m->size == sizeof(wide))
		memcpy(to, &wide, sizeof(wide));
	else
		memcpy(to, &narrow, sizeof(narrow));
	return KC_OK;
}

static int decode_enum(void *to, const struct member *m, uint8_t type, const json_t *v)
{
	const char *s = json_string_value(v);

	for (unsigned i = 1; s != NULL && m->names[i] != NULL; i++)
		if (strcmp(m->names[i], s) == 0) {
			memcpy(to, &i, sizeof(i));
			return KC_OK;
		}
	return bad(type, m, "is not a known value");
}

static int decode_list(char *to, unsigned *count, const struct member *m, uint8_t type, const json_t *v)
{
	size_t n = json_array_size(v);

	if (!json_is_array(v) || n > m->max)
		return err_set(KC_EPROTO, "%s: %s is not a list of at most %llu texts", proto_type_name(type), m->name,
		    (unsigned long long)m->max);
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(v, i));

		if (s == NULL || strlen(s) >= m->size)
			return bad(type, m, "holds something that is not a text, or is too long");
		memcpy(to + i * m->size, s, strlen(s) + 1);
		str_printable(to + i * m->size);
	}
	*count = (unsigned)n;
	return KC_OK;
}

static int decode_member(char *msg, const struct member *m, uint8_t type, const json_t *v)
{
	char *to = msg + m->at;
	bool yes = json_is_true(v);

	switch (m->kind) {
	case INT:
		return decode_int(to, m, type, v);
	case ENUM:
		return decode_enum(to, m, type, v);
	case LIST:
		return decode_list(to, (unsigned *)(void *)(msg + m->count), m, type, v);
	case FORKS:
		return lineage_from_json((struct lineage_list *)(void *)to, v) < 0
			   ? bad(type, m, "is not a list of lineages and generations")
			   : KC_OK;
	case BOOL:
		if (!json_is_boolean(v))
			return bad(type, m, "is not a boolean");
		memcpy(to, &yes, sizeof(yes));
		return KC_OK;
	case BASE64:
		if (json_string_length(v) == 0 || base64_decode(to, (size_t *)(void *)(msg + m->count), m->size,
						      json_string_value(v), json_string_length(v)) < 0)
			return bad(type, m, "is not base64, or too long");
		return KC_OK;
	default:
		return decode_string(to, m, type, v);
	}
}

int proto_decode(struct proto_msg *m, enum proto_role from, uint8_t type, const void *payload, size_t n)
{
	const struct member *body = proto_members(type);
	json_error_t where;
	json_t *j;
	int rc = KC_OK;

	memset(m, 0, sizeof(*m));
	if (body == NULL)
		return err_set(KC_EPROTO, "%s has no body", proto_type_name(type));
	m->type = (enum proto_type)type;
	j = json_loadb(payload, n, JSON_REJECT_DUPLICATES, &where);
	if (!json_is_object(j)) {
		rc = err_set(KC_EPROTO, "%s: not a JSON object%s%s", proto_type_name(type), j == NULL ? ": " : "",
		    j == NULL ? where.text : "");
		json_decref(j);
		return rc;
	}
	for (; rc == KC_OK && body->name != NULL; body++) {
		const json_t *v = json_object_get(j, body->name);

		if (v != NULL)
			rc = decode_member((char *)m, body, type, v);
		else if (body->need & (unsigned)from)
			rc = bad(type, body, "is missing");
	}
	json_decref(j);
	if (rc == KC_OK && type == PROTO_HELLO && m->hello.role != from)
		rc = err_set(
		    KC_EPROTO, "the peer is a %s, not a %s", proto_role_name(m->hello.role), proto_role_name(from));
	return rc;
}

/* --- encode --- */

static json_t *encode_int(const void *from, const struct member *m, bool needed)
{
	uint64_t wide = 0;
	uint32_t narrow;

	if (m->size == sizeof(wide)) {
		memcpy(&wide, from, sizeof(wide));
	} else {
		memcpy(&narrow, from, sizeof(narrow));
		wide = narrow;
	}
	if (wide == 0 && !needed)
		return json_null();
	return wide < m->min || wide > m->max ? NULL : json_integer((json_int_t)wide);
}

static json_t *encode_enum(const void *from, const struct member *m)
{
	unsigned i, n = 0;

	memcpy(&i, from, sizeof(i));
	while (m->names[n] != NULL)
		n++;
	return i == 0 || i >= n ? NULL : json_string(m->names[i]);
}

static json_t *encode_list(const char *from, unsigned count, const struct member *m)
{
	json_t *j;

	if (count == 0)
		return json_null();
	if (count > m->max)
		return NULL;
	j = json_array();
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(j, text_value(from + i * m->size, m->size));
	return j;
}

static json_t *base64_value(const uint8_t *p, size_t n)
{
	char *text = base64_encode(p, n);
	json_t *j = json_string(text);

	free(text);
	return j;
}

/* NULL: not allowed. JSON null: leave it out. */
static json_t *encode_member(const char *msg, const struct member *m, bool needed)
{
	const char *from = msg + m->at;
	size_t n;

	switch (m->kind) {
	case INT:
		return encode_int(from, m, needed);
	case ENUM:
		return encode_enum(from, m);
	case LIST:
		return encode_list(from, *(const unsigned *)(const void *)(msg + m->count), m);
	case FORKS:
		return ((const struct lineage_list *)(const void *)from)->count == 0
			   ? json_null()
			   : lineage_json((const struct lineage_list *)(const void *)from);
	case BOOL:
		return *(const bool *)from ? json_true() : json_null();
	case BASE64:
		n = *(const size_t *)(const void *)(msg + m->count);
		if (n == 0 && !needed)
			return json_null();
		return n == 0 || n > m->size ? NULL : base64_value((const uint8_t *)from, n);
	case TEXT:
		if (from[0] == '\0')
			return needed ? NULL : json_null();
		return text_value(from, m->size);
	default:
		if (from[0] == '\0')
			return needed ? NULL : json_null();
		return string_fits(m, from) ? json_string(from) : NULL;
	}
}

int proto_encode(struct buf *out, const struct proto_msg *m, enum proto_role from)
{
	const struct member *body = proto_members((uint8_t)m->type);
	json_t *j = json_object();
	char *text = NULL;
	int rc = KC_OK;

	for (; body != NULL && rc == KC_OK && body->name != NULL; body++) {
		json_t *v = encode_member((const char *)m, body, (body->need & (unsigned)from) != 0);

		if (v == NULL)
			rc = bad((uint8_t)m->type, body, "is not a valid value");
		else if (json_is_null(v))
			json_decref(v);
		else
			json_object_set_new(j, body->name, v);
	}
	if (rc == KC_OK)
		text = json_dumps(j, JSON_COMPACT);
	if (rc == KC_OK && (text == NULL || strlen(text) > PROTO_CONTROL_MAX))
		rc = err_set(KC_EPROTO, "%s cannot be encoded", proto_type_name((uint8_t)m->type));
	if (rc == KC_OK) {
		buf_put_str(out, text);
		rc = buf_status(out);
	}
	free(text);
	json_decref(j);
	return rc;
}
