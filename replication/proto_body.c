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
#include "proto.h"

/* What every JSON parser keeps exactly. */
#define INT_MAX_JSON 9007199254740991u

enum kind {
	TEXT,  /* for people: UTF-8, control characters become '?', cut when too long */
	TOKEN, /* printable ASCII without blanks */
	FILENAME,
	HEX, /* exactly size - 1 lower-case digits */
	INT,
	BOOL,
	ENUM,
	BASE64, /* bytes, their number at `count` */
	LIST,	/* of texts, their number at `count` */
	FORKS,	/* a struct lineage_list: [{"lineage", "fork"}, …] */
};

enum need { OPTIONAL = 0, BY_MASTER = PROTO_MASTER, BY_CLONE = PROTO_CLONE, REQUIRED = PROTO_MASTER | PROTO_CLONE };

struct member {
	const char *name;
	enum kind kind;
	unsigned need;		  /* enum need */
	size_t at, size;	  /* in struct proto_msg; of a LIST: the size of one text */
	size_t count;		  /* where the number is: of BASE64 (size_t), of LIST (unsigned) */
	uint64_t min, max;	  /* of INT; of LIST: the most texts */
	const char *const *names; /* of ENUM, from 1 */
};

#define AT(msg, field) offsetof(struct proto_msg, msg.field), sizeof(((struct proto_msg *)NULL)->msg.field)

static const char *const role_names[] = { "", "master", "clone", NULL };
static const char *const kind_names[] = { "", "full", "system", NULL };
static const char *const reason_names[] = { "", "have", "stale", "no-space", "diverged", "foreign", "busy", "stopped",
	"failed", NULL };
static const char *const status_names[] = { "", "restored", "unchanged", "stored", "failed", "diverged", "postponed",
	NULL };

static const struct member hello_members[] = {
	{ "version", INT, REQUIRED, AT(hello, version), .min = 1, .max = UINT32_MAX },
	{ "product", TEXT, REQUIRED, AT(hello, product) },
	{ "role", ENUM, REQUIRED, AT(hello, role), .names = role_names },
	{ "lineage", HEX, BY_MASTER, AT(hello, lineage) },
	{ "host", TOKEN, REQUIRED, AT(hello, host) },
	{ "time", INT, REQUIRED, AT(hello, time), .max = INT_MAX_JSON },
	{ "stopped", BOOL, OPTIONAL, AT(hello, stopped) },
	{ "fleet", INT, OPTIONAL, AT(hello, fleet), .max = 1000 },
	{ "interval", INT, OPTIONAL, AT(hello, interval), .max = INT_MAX_JSON },
	{ "signing_key", TOKEN, BY_MASTER, AT(hello, signing_key) },
	{ "ancestors", FORKS, OPTIONAL, AT(hello, ancestors) },
	{ "clones", LIST, OPTIONAL, offsetof(struct proto_msg, hello.clones), PROTO_CLONE_NAME,
	    offsetof(struct proto_msg, hello.clone_count), .max = PROTO_CLONES },
	{ "listen_port", INT, OPTIONAL, AT(hello, listen_port), .max = 65535 },
	{ "recipient", TOKEN, BY_CLONE, AT(hello, recipient) },
	{ "applied_lineage", HEX, OPTIONAL, AT(hello, applied_lineage) },
	{ "applied_generation", INT, OPTIONAL, AT(hello, applied_generation), .max = INT_MAX_JSON },
	{ "applied_digest", HEX, OPTIONAL, AT(hello, applied_digest) },
	{ "stored_lineage", HEX, OPTIONAL, AT(hello, stored_lineage) },
	{ "stored_generation", INT, OPTIONAL, AT(hello, stored_generation), .max = INT_MAX_JSON },
	{ "free", INT, BY_CLONE, AT(hello, free), .max = INT_MAX_JSON },
	{ "diverged", BOOL, OPTIONAL, AT(hello, diverged) },
	{ "diverged_detail", TEXT, OPTIONAL, AT(hello, diverged_detail) },
	{ "postponed_until", INT, OPTIONAL, AT(hello, postponed_until), .max = INT_MAX_JSON },
	{ "system_generation", INT, OPTIONAL, AT(hello, system_generation), .max = INT_MAX_JSON },
	{ "system_file", FILENAME, OPTIONAL, AT(hello, system_file) },
	{ "warnings", LIST, OPTIONAL, offsetof(struct proto_msg, hello.warnings), PROTO_WARNING,
	    offsetof(struct proto_msg, hello.warning_count), .max = PROTO_WARNINGS },
	{ NULL },
};

static const struct member offer_members[] = {
	{ "lineage", HEX, REQUIRED, AT(offer, lineage) },
	{ "generation", INT, REQUIRED, AT(offer, generation), .min = 1, .max = INT_MAX_JSON },
	{ "kind", ENUM, REQUIRED, AT(offer, kind), .names = kind_names },
	{ "file", FILENAME, REQUIRED, AT(offer, file) },
	{ "file_id", HEX, REQUIRED, AT(offer, file_id) },
	{ "header_size", INT, REQUIRED, AT(offer, header_size), .min = 1, .max = PROTO_HEADER },
	{ "room", INT, REQUIRED, AT(offer, room), .max = INT_MAX_JSON },
	{ "digest", HEX, REQUIRED, AT(offer, digest) },
	{ "receipt", HEX, REQUIRED, AT(offer, receipt) },
	{ "restore_now", BOOL, OPTIONAL, AT(offer, restore_now) },
	{ "discard", BOOL, OPTIONAL, AT(offer, discard) },
	{ "password_since", INT, OPTIONAL, AT(offer, password_since), .max = INT_MAX_JSON },
	{ NULL },
};

static const struct member accept_members[] = {
	{ "offset", INT, REQUIRED, AT(accept, offset), .max = INT_MAX_JSON },
	{ NULL },
};

static const struct member decline_members[] = {
	{ "reason", ENUM, REQUIRED, AT(decline, reason), .names = reason_names },
	{ "message", TEXT, OPTIONAL, AT(decline, message) },
	{ "have", INT, OPTIONAL, AT(decline, have), .max = INT_MAX_JSON },
	{ "need", INT, OPTIONAL, AT(decline, need), .max = INT_MAX_JSON },
	{ NULL },
};

static const struct member end_members[] = {
	{ "size", INT, REQUIRED, AT(end, size), .min = 1, .max = INT_MAX_JSON },
	{ "sha256", HEX, REQUIRED, AT(end, sha256) },
	{ "recovery", BASE64, REQUIRED, AT(end, recovery), offsetof(struct proto_msg, end.recovery_size) },
	{ "travel", BASE64, OPTIONAL, AT(end, travel), offsetof(struct proto_msg, end.travel_size) },
	{ NULL },
};

static const struct member progress_members[] = {
	{ "phase", TEXT, REQUIRED, AT(progress, phase) },
	{ "percent", INT, REQUIRED, AT(progress, percent), .max = 100 },
	{ NULL },
};

static const struct member result_members[] = {
	{ "status", ENUM, REQUIRED, AT(result, status), .names = status_names },
	{ "receipt", HEX, REQUIRED, AT(result, receipt) },
	{ "generation", INT, REQUIRED, AT(result, generation), .min = 1, .max = INT_MAX_JSON },
	{ "digest", HEX, OPTIONAL, AT(result, digest) },
	{ "rows", INT, OPTIONAL, AT(result, rows), .max = INT_MAX_JSON },
	{ "error", TOKEN, OPTIONAL, AT(result, error) },
	{ "message", TEXT, OPTIONAL, AT(result, message) },
	{ "retryable", BOOL, OPTIONAL, AT(result, retryable) },
	{ "until", INT, OPTIONAL, AT(result, until), .max = INT_MAX_JSON },
	{ "audit_seq", INT, OPTIONAL, AT(result, audit_seq), .max = INT_MAX_JSON },
	{ "audit_head", HEX, OPTIONAL, AT(result, audit_head) },
	{ NULL },
};

static const struct member error_members[] = {
	{ "error", TOKEN, REQUIRED, AT(error, error) },
	{ "message", TEXT, OPTIONAL, AT(error, message) },
	{ NULL },
};

static const struct member report_members[] = {
	{ "receipt", HEX, REQUIRED, AT(report, receipt) },
	{ "lineage", HEX, REQUIRED, AT(report, lineage) },
	{ "generation", INT, REQUIRED, AT(report, generation), .min = 1, .max = INT_MAX_JSON },
	{ "status", ENUM, REQUIRED, AT(report, status), .names = status_names },
	{ "digest", HEX, OPTIONAL, AT(report, digest) },
	{ "rows", INT, OPTIONAL, AT(report, rows), .max = INT_MAX_JSON },
	{ "error", TOKEN, OPTIONAL, AT(report, error) },
	{ "message", TEXT, OPTIONAL, AT(report, message) },
	{ "retryable", BOOL, OPTIONAL, AT(report, retryable) },
	{ "time", INT, OPTIONAL, AT(report, time), .max = INT_MAX_JSON },
	{ "duration_ms", INT, OPTIONAL, AT(report, duration_ms), .max = INT_MAX_JSON },
	{ "until", INT, OPTIONAL, AT(report, until), .max = INT_MAX_JSON },
	{ "audit_seq", INT, OPTIONAL, AT(report, audit_seq), .max = INT_MAX_JSON },
	{ "audit_head", HEX, OPTIONAL, AT(report, audit_head) },
	{ NULL },
};

static const struct member ack_members[] = {
	{ "receipt", HEX, REQUIRED, AT(ack, receipt) },
	{ "refused", TEXT, OPTIONAL, AT(ack, refused) },
	{ "audit_seq", INT, OPTIONAL, AT(ack, audit_seq), .max = INT_MAX_JSON },
	{ "audit_head", HEX, OPTIONAL, AT(ack, audit_head) },
	{ NULL },
};

static const struct member *const bodies[PROTO_TYPES] = {
	[PROTO_HELLO] = hello_members,
	[PROTO_OFFER] = offer_members,
	[PROTO_ACCEPT] = accept_members,
	[PROTO_DECLINE] = decline_members,
	[PROTO_END] = end_members,
	[PROTO_PROGRESS] = progress_members,
	[PROTO_RESULT] = result_members,
	[PROTO_ERROR] = error_members,
	[PROTO_REPORT] = report_members,
	[PROTO_ACK] = ack_members,
};

static const struct member *body_of(uint8_t type)
{
	return type < PROTO_TYPES ? bodies[type] : NULL;
}

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
	const struct member *body = body_of(type);
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
		rc = err_set(KC_EPROTO, "the peer is a %s, not a %s", role_names[m->hello.role], role_names[from]);
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
	const struct member *body = body_of((uint8_t)m->type);
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

const char *proto_reason_name(enum proto_reason reason)
{
	return reason_names[reason];
}

const char *proto_status_name(enum proto_status status)
{
	return status_names[status];
}
