/* SPDX-License-Identifier: Apache-2.0 */
/* audit_view: which records somebody wants to see, and how they look to people. */
#include "audit_read.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "member.h"
#include "str.h"

#define SHOWN_MAX 4096

/* "YYYY-MM-DD[(T| )HH:MM[:SS[.fff]][Z|+HH:MM|-HH:MM]]"; without a zone local time. */
static bool parse_stamp(int64_t *ms, const char *s)
{
	int year, month, day, hour = 0, minute = 0, second = 0, zone = 0, zh, zm, n = 0, milli = 0;
	bool utc = false;
	struct tm tm = { .tm_isdst = -1 };
	time_t t;

	if (sscanf(s, "%4d-%2d-%2d%n", &year, &month, &day, &n) != 3 || n != 10)
		return false;
	s += n;
	if (*s != '\0') {
		n = 0;
		if ((*s != 'T' && *s != 't' && *s != ' ') || sscanf(s + 1, "%2d:%2d%n", &hour, &minute, &n) != 2)
			return false;
		s += 1 + n;
		n = 0;
		if (*s == ':' && sscanf(s + 1, "%2d%n", &second, &n) == 1)
			s += 1 + n;
		if (*s == '.' && isdigit((unsigned char)s[1])) {
			int scale = 100;

			for (s++; isdigit((unsigned char)*s); s++, scale /= 10)
				milli += (*s - '0') * scale;
		}
		utc = *s != '\0';
		if (*s == 'Z' || *s == 'z') {
			s++;
		} else if (*s == '+' || *s == '-') {
			n = 0;
			if (sscanf(s + 1, "%2d:%2d%n", &zh, &zm, &n) != 2)
				return false;
			zone = (zh * 60 + zm) * (*s == '-' ? -60 : 60);
			s += 1 + n;
		}
	}
	if (*s != '\0' || month < 1 || month > 12 || day < 1 || day > 31 || hour > 24 || minute > 59 || second > 60)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = second;
	t = utc ? timegm(&tm) - zone : mktime(&tm);
	*ms = (int64_t)t * 1000 + milli;
	return true;
}

int audit_parse_since(int64_t *ms, const char *text, time_t now)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	struct tm tm;
	int64_t v;
	char *end;
	int hour, minute, n = 0;

	if (parse_stamp(ms, text))
		return KC_OK;
	if (sscanf(text, "%2d:%2d%n", &hour, &minute, &n) == 2 && text[n] == '\0' && hour >= 0 && hour < 24 &&
	    minute >= 0 && minute < 60) {
		localtime_r(&now, &tm);
		tm.tm_hour = hour;
		tm.tm_min = minute;
		tm.tm_sec = 0;
		tm.tm_isdst = -1;
		*ms = (int64_t)mktime(&tm) * 1000;
		return KC_OK;
	}
	v = strtol(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (isdigit((unsigned char)text[0]) && *end == units[i].unit && end[1] == '\0' && v < 1000000000) {
			*ms = ((int64_t)now - v * units[i].seconds) * 1000;
			return KC_OK;
		}
	return err_set(KC_EUSAGE, "'%s' is not a time: 2026-06-19, 2026-06-19T14:50:59Z, 14:50 or 2h", text);
}

/* The file is ours, but whoever could write to it should not write to terminals. */
static const char *shown(char *to, size_t size, const json_t *o, const char *name)
{
	str_copy(to, size, member_text(o, name));
	return str_printable(to);
}

/* HOST:PORT, [::1]:PORT, or the host alone. */
static bool peer_matches(const char *wanted, const char *peer)
{
	size_t n = strlen(wanted);
	const char *rest;

	if (peer[0] == '[' && wanted[0] != '[')
		peer++;
	if (strncmp(wanted, peer, n) != 0)
		return false;
	rest = peer + n;
	if (*rest == ']')
		rest++;
	return *rest == '\0' || (*rest == ':' && strchr(rest + 1, ':') == NULL);
}

bool audit_filter_match(const struct audit_filter *f, const struct audit_line *line)
{
	int64_t ms;

	if (line->json == NULL)
		return false;
	if (f->since_ms > 0 && (!parse_stamp(&ms, member_text(line->json, "time")) || ms < f->since_ms))
		return false;
	if (f->peer != NULL && !peer_matches(f->peer, member_text(line->json, "peer")))
		return false;
	if (f->event != NULL && strncmp(f->event, member_text(line->json, "event"), strlen(f->event)) != 0)
		return false;
	return !f->failed || strcmp(member_text(line->json, "outcome"), "failure") == 0;
}

static void put_size(struct buf *b, int64_t n)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	double v = (double)n;
	size_t u = 0;

	while (v >= 1000 && u + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1000;
		u++;
	}
	buf_putf(b, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

static void put_separated(struct buf *b, bool *first)
{
	if (!*first)
		buf_put_str(b, ", ");
	*first = false;
}

/* The optional members but generation and peer, which have columns. */
static void put_rest(struct buf *b, const json_t *o)
{
	static const char *const texts[] = { "backup", "code", "detail" };
	int64_t bytes = json_integer_value(json_object_get(o, "bytes"));
	int64_t ms = json_integer_value(json_object_get(o, "duration_ms"));
	bool first = true;

	for (size_t i = 0; i < 3; i++) {
		char s[SHOWN_MAX];

		shown(s, sizeof(s), o, texts[i]);
		if (s[0] == '\0')
			continue;
		if (i == 2 && json_object_get(o, "code") != NULL)
			buf_put_str(b, ": ");
		else
			put_separated(b, &first);
		buf_put_str(b, s);
		first = false;
	}
	if (bytes > 0) {
		put_separated(b, &first);
		put_size(b, bytes);
	}
	if (ms > 0) {
		put_separated(b, &first);
		if (ms < 1000)
			buf_putf(b, "%" PRId64 " ms", ms);
		else
			buf_putf(b, "%.1f s", (double)ms / 1000);
	}
}

static void put_columns(
    struct buf *b, const char *time, const char *event, const char *outcome, const char *generation, const char *peer)
{
	buf_putf(b, "%-19s  %-17s  %-7s  %10s  %-21s  ", time, event, outcome, generation, peer);
}

void audit_format_heading(struct buf *b)
{
	put_columns(b, "TIME", "EVENT", "OUTCOME", "GENERATION", "PEER");
	buf_put_str(b, "DETAIL\n");
}

void audit_format(struct buf *b, const struct audit_line *line)
{
	char stamp[32] = "?", generation[24] = "", event[64], outcome[32], peer[320];
	const json_t *g = json_object_get(line->json, "generation");
	struct tm tm;
	int64_t ms;
	time_t t;

	if (line->json == NULL)
		return;
	if (parse_stamp(&ms, member_text(line->json, "time"))) {
		t = (time_t)(ms / 1000);
		localtime_r(&t, &tm);
		strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	}
	if (json_is_integer(g))
		snprintf(generation, sizeof(generation), "%" JSON_INTEGER_FORMAT, json_integer_value(g));
	put_columns(b, stamp, shown(event, sizeof(event), line->json, "event"),
	    shown(outcome, sizeof(outcome), line->json, "outcome"), generation,
	    shown(peer, sizeof(peer), line->json, "peer"));
	put_rest(b, line->json);
	while (buf_len(b) > 0 && buf_data(b)[buf_len(b) - 1] == ' ')
		buf_trim(b, 1);
	buf_put_u8(b, '\n');
}
