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

static bool lists(const json_t *record, const char *wanted)
{
	const json_t *clones = json_object_get(record, "clones");
	size_t i;
	json_t *c;

	json_array_foreach(clones, i, c)
		if (peer_matches(wanted, member_text(c, "clone")))
			return true;
	return false;
}

bool audit_filter_match(const struct audit_filter *f, const struct audit_line *line)
{
	int64_t ms;

	if (line->json == NULL)
		return false;
	if (f->since_ms > 0 && (!parse_stamp(&ms, member_text(line->json, "time")) || ms < f->since_ms))
		return false;
	if (f->peer != NULL && !peer_matches(f->peer, member_text(line->json, "peer")) && !lists(line->json, f->peer))
		return false;
	if (f->event != NULL && strncmp(f->event, member_text(line->json, "event"), strlen(f->event)) != 0)
		return false;
	return !f->failed || strcmp(member_text(line->json, "outcome"), "failure") == 0;
}

/* --- the table --- */

#define WIDTH  80
#define INDENT 10

#define RED   "\033[31m"
#define GREEN "\033[32m"
#define DIM   "\033[2m"
#define BOLD  "\033[1m"
#define PLAIN "\033[0m"

static void size_text(char *out, size_t size, int64_t n)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	double v = (double)n;
	size_t u = 0;

	while (v >= 1000 && u + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1000;
		u++;
	}
	snprintf(out, size, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

static void time_text(char *out, size_t size, int64_t ms)
{
	if (ms < 1000)
		snprintf(out, size, "%" PRId64 " ms", ms);
	else
		snprintf(out, size, "%.1f s", (double)ms / 1000);
}

/* "1.5 MB, 1.2 s", "" without either. */
static const char *figures(char *out, size_t size, const json_t *o)
{
	int64_t bytes = member_int(o, "bytes"), ms = member_int(o, "duration_ms");
	char s[32] = "", t[32] = "";

	if (bytes > 0)
		size_text(s, sizeof(s), bytes);
	if (ms > 0)
		time_text(t, sizeof(t), ms);
	snprintf(out, size, "%s%s%s", s, bytes > 0 && ms > 0 ? ", " : "", t);
	return out;
}

static size_t columns_of(const char *s, size_t n)
{
	size_t c = 0;

	for (size_t i = 0; i < n; i++)
		c += ((unsigned char)s[i] & 0xc0) != 0x80;
	return c;
}

/* Words into lines. */
struct flow {
	struct buf *b;
	size_t width, at;
	bool begun; /* something stands on this line behind its indent */
};

static void trim_blanks(struct buf *b)
{
	while (buf_len(b) > 0 && buf_data(b)[buf_len(b) - 1] == ' ')
		buf_trim(b, 1);
}

static void new_line(struct flow *f)
{
	trim_blanks(f->b);
	buf_putf(f->b, "\n%*s", INDENT, "");
	f->at = INDENT;
	f->begun = false;
}

/* A word that is longer than a line stands on its own. */
static void put_words(struct flow *f, const char *s)
{
	while (*s != '\0') {
		size_t n = strcspn(s, " "), cols = columns_of(s, n);

		if (n == 0) {
			s++;
			continue;
		}
		if (f->begun && f->at + 1 + cols > f->width)
			new_line(f);
		if (f->begun) {
			buf_put_u8(f->b, ' ');
			f->at++;
		}
		buf_put(f->b, s, n);
		f->at += cols;
		f->begun = true;
		s += n;
	}
}

/* Together on what is left of the line, else from the next one on. */
static void put_part(struct flow *f, const char *s, const char *behind)
{
	size_t cols = columns_of(s, strlen(s)) + strlen(behind);

	if (s[0] == '\0')
		return;
	if (f->at + 2 * f->begun + cols > f->width && f->at > INDENT)
		new_line(f);
	if (f->begun) {
		buf_put_u8(f->b, ' ');
		f->at++;
	}
	put_words(f, s);
	buf_put_str(f->b, behind);
	f->at += strlen(behind);
}

static void put_clones(struct flow *f, const struct audit_table *t, const json_t *o)
{
	const json_t *clones = json_object_get(o, "clones");
	char name[320], result[120], why[400], numbers[80];
	size_t i, width = 0;
	json_t *c;

	json_array_foreach(clones, i, c) {
		size_t n = columns_of(member_text(c, "clone"), strlen(member_text(c, "clone")));

		width = n > width ? n : width;
	}
	json_array_foreach(clones, i, c) {
		bool bad = json_object_get(c, "detail") != NULL;

		new_line(f);
		shown(name, sizeof(name), c, "clone");
		shown(result, sizeof(result), c, "result");
		buf_putf(f->b, "%-*s  %s%-9s%s", (int)(width < 40 ? width : 40), name,
		    !t->colour ? ""
		    : bad      ? RED
			       : "",
		    result, t->colour && bad ? PLAIN : "");
		f->at += (width < 40 ? width : 40) + 2 +
			 (columns_of(result, strlen(result)) > 9 ? columns_of(result, strlen(result)) : 9);
		f->begun = true;
		put_part(f, figures(numbers, sizeof(numbers), c), "");
		put_part(f, shown(why, sizeof(why), c, "detail"), "");
	}
}

/* The name of a backup says what generation and time say already, but where it is the matter. */
static bool names_backup(const json_t *o)
{
	return strncmp(member_text(o, "event"), "backup.", 7) == 0 ||
	       !json_is_integer(json_object_get(o, "generation"));
}

static void put_rest(struct flow *f, const struct audit_table *t, const json_t *o)
{
	char text[SHOWN_MAX], code[64], numbers[80];

	put_part(f, shown(text, sizeof(text), o, "peer"), "");
	put_part(f, figures(numbers, sizeof(numbers), o), "");
	if (names_backup(o))
		put_part(f, shown(text, sizeof(text), o, "backup"), "");
	shown(text, sizeof(text), o, "detail");
	shown(code, sizeof(code), o, "code");
	if (code[0] != '\0' && f->at > INDENT && f->begun)
		new_line(f);
	put_part(f, code, text[0] != '\0' && code[0] != '\0' ? ":" : "");
	if (code[0] != '\0')
		put_words(f, text);
	else
		put_part(f, text, "");
	put_clones(f, t, o);
}

static unsigned width_of(const struct audit_table *t)
{
	return t->width == 0 ? WIDTH : t->width < 60 ? 60 : t->width;
}

void audit_format_heading(struct buf *b, const struct audit_table *t)
{
	buf_putf(b, "%s%-8s  %-17s %-7s %5s  %s%s\n", t->colour ? BOLD : "", "TIME", "EVENT", "OUTCOME", "GEN",
	    "PEER, SIZE, TIME, DETAIL", t->colour ? PLAIN : "");
}

static const char *colour_of(const struct audit_table *t, const char *outcome)
{
	if (!t->colour)
		return "";
	return strcmp(outcome, "failure") == 0 ? RED : strcmp(outcome, "success") == 0 ? GREEN : DIM;
}

/* Local time; a new day gets its line. */
static void put_day(struct buf *b, struct audit_table *t, const json_t *o, char *stamp, size_t size)
{
	char day[16] = "?", zone[32] = "";
	struct tm tm;
	int64_t ms;
	time_t at;

	str_copy(stamp, size, "?");
	if (!parse_stamp(&ms, member_text(o, "time")))
		return;
	at = (time_t)(ms / 1000);
	localtime_r(&at, &tm);
	strftime(stamp, size, "%H:%M:%S", &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	strftime(zone, sizeof(zone), "%A, %Z", &tm);
	if (strcmp(day, t->day) != 0)
		buf_putf(b, "%s%s, %s%s\n", t->colour ? BOLD : "", day, zone, t->colour ? PLAIN : "");
	str_copy(t->day, sizeof(t->day), day);
}

void audit_format(struct buf *b, struct audit_table *t, const struct audit_line *line)
{
	char stamp[32], generation[24] = "", event[64], outcome[32];
	const json_t *o = line->json, *g = json_object_get(o, "generation");
	struct flow f = { .b = b, .width = width_of(t), .at = 43, .begun = false };

	if (o == NULL)
		return;
	put_day(b, t, o, stamp, sizeof(stamp));
	if (json_is_integer(g))
		snprintf(generation, sizeof(generation), "%" JSON_INTEGER_FORMAT, json_integer_value(g));
	shown(event, sizeof(event), o, "event");
	shown(outcome, sizeof(outcome), o, "outcome");
	buf_putf(b, "%-8s  %-17s %s%-7s%s %5s  ", stamp, event, colour_of(t, outcome), outcome, t->colour ? PLAIN : "",
	    generation);
	put_rest(&f, t, o);
	trim_blanks(b);
	buf_put_u8(b, '\n');
}
