/* SPDX-License-Identifier: Apache-2.0 */
/* audit_record: encodes a record. Strings of peers and file names are hostile until cleaned here. */
#include "audit_record.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"
#include "str.h"

static const char *const event_names[] = {
#define A(constant, name) [constant] = name,
	AUDIT_EVENTS(A)
#undef A
};

const char *audit_event_name(enum audit_event e)
{
	return (size_t)e < AUDIT_EVENT_COUNT ? event_names[e] : "unknown";
}

static const char *outcome_name(enum audit_outcome o)
{
	return o == AUDIT_SUCCESS ? "success" : o == AUDIT_STARTED ? "started" : "failure";
}

/* A copy of at most `max` bytes that is valid UTF-8 on one line. */
static char *cleaned(const char *s, size_t max)
{
	char *out = mem_xalloc(max + 4);
	size_t n = 0;

	while (*s != '\0') {
		size_t k = str_char_size(s), len = k > 0 ? k : 1;

		if (n + len > max) {
			memcpy(out + n, "...", 3);
			break;
		}
		if (k > 0)
			memcpy(out + n, s, k);
		else
			out[n] = '?';
		n += len;
		s += len;
	}
	return out;
}

static void put_text(json_t *o, const char *name, const char *s, size_t max)
{
	char *clean;

	if (s == NULL)
		return;
	clean = cleaned(s, max);
	json_object_set_new(o, name, json_string(clean));
	free(clean);
}

static void put_number(json_t *o, const char *name, uint64_t n)
{
	if (n > 0)
		json_object_set_new(o, name, json_integer((json_int_t)n));
}

static void put_time(json_t *o, const struct timespec *t)
{
	char stamp[40], text[64];
	struct tm tm;

	gmtime_r(&t->tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%03ldZ", stamp, t->tv_nsec / 1000000);
	json_object_set_new(o, "time", json_string(text));
}

static void put_clones(json_t *o, const struct audit_record *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_clones && i < AUDIT_CLONES_MAX; i++) {
		const struct audit_clone *c = &r->clones[i];
		json_t *one = json_object();

		put_text(one, "clone", c->clone, AUDIT_NAME_MAX);
		put_text(one, "result", c->result, AUDIT_WHY_MAX);
		put_number(one, "bytes", c->bytes);
		put_number(one, "duration_ms", c->duration_ms);
		put_text(one, "detail", c->detail, AUDIT_WHY_MAX);
		json_array_append_new(list, one);
	}
	json_object_set_new(o, "clones", list);
}

int audit_record_encode(struct buf *b, const struct audit_record *r, const struct audit_place *p)
{
	json_t *o = json_object();
	char *text;

	put_number(o, "seq", p->seq);
	put_time(o, &p->time);
	put_text(o, "host", p->host, AUDIT_NAME_MAX);
	put_text(o, "role", p->role, AUDIT_NAME_MAX);
	put_text(o, "event", audit_event_name(r->event), AUDIT_NAME_MAX);
	put_text(o, "outcome", outcome_name(r->outcome), AUDIT_NAME_MAX);
	put_number(o, "generation", r->generation);
	put_text(o, "lineage", r->lineage, AUDIT_NAME_MAX);
	put_text(o, "peer", r->peer, AUDIT_NAME_MAX);
	put_text(o, "backup", r->backup, AUDIT_NAME_MAX);
	put_number(o, "bytes", r->bytes);
	put_number(o, "duration_ms", r->duration_ms);
	put_text(o, "code", r->code, AUDIT_NAME_MAX);
	put_text(o, "detail", r->detail, AUDIT_DETAIL_MAX);
	if (r->n_clones > 0)
		put_clones(o, r);
	put_text(o, "prev", p->prev, AUDIT_HASH_SIZE);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (text == NULL)
		return err_set(KC_EFAIL, "an audit record cannot be encoded");
	buf_put_str(b, text);
	buf_put_u8(b, '\n');
	free(text);
	return buf_status(b);
}
