/* SPDX-License-Identifier: Apache-2.0 */
/* conf_value: text to value and back, one function a type. Messages never repeat a secret. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_int.h"
#include "err.h"
#include "file.h"
#include "host.h"
#include "mem.h"

static const struct {
	char unit;
	int64_t seconds;
} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

void conf_list_add(struct conf_list *l, const char *item)
{
	l->items = mem_xrealloc(l->items, (l->count + 2) * sizeof(l->items[0]));
	l->items[l->count++] = mem_xstrdup(item);
	l->items[l->count] = NULL;
}

json_t *conf_list_json(const struct conf_list *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->count; i++)
		json_array_append_new(a, json_string(l->items[i]));
	return a;
}

void conf_list_fini(struct conf_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->items[i]);
	free(l->items);
	l->items = NULL;
	l->count = 0;
}

bool conf_utf8_ok(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	while (*p != 0) {
		int more = *p < 0x80		     ? 0
			   : *p >= 0xc2 && *p < 0xe0 ? 1
			   : (*p & 0xf0) == 0xe0     ? 2
			   : *p >= 0xf0 && *p < 0xf5 ? 3
						     : -1;
		unsigned char lead = *p++;

		if (more < 0)
			return false;
		/* overlong, surrogates, beyond U+10FFFF */
		if ((lead == 0xe0 && *p < 0xa0) || (lead == 0xed && *p > 0x9f) || (lead == 0xf0 && *p < 0x90) ||
		    (lead == 0xf4 && *p > 0x8f))
			return false;
		for (; more > 0; more--)
			if ((*p++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* Decimal digits only; -1: not that, or too large for any range we have. */
static int64_t digits(const char *s, size_t n)
{
	int64_t v = 0;

	if (n == 0 || n > 15)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

static int parse_int(int *out, const struct conf_row *row, const char *text)
{
	int64_t v = digits(text, strlen(text));

	if (v < 0)
		return err_set(KC_ECONF, "'%s' is not a whole number", text);
	if (v < row->min || v > row->max)
		return err_set(KC_ECONF, "%s is out of range, %" PRId64 " to %" PRId64 "%s%s", text, row->min, row->max,
		    row->detail[0] != '\0' ? " " : "", row->detail);
	*out = (int)v;
	return KC_OK;
}

static int parse_bool(bool *out, const char *text)
{
	bool yes = strcasecmp(text, "true") == 0;

	if (!yes && strcasecmp(text, "false") != 0)
		return err_set(KC_ECONF, "'%s' is neither true nor false", text);
	*out = yes;
	return KC_OK;
}

static int parse_enum(int *out, const struct conf_row *row, const char *text)
{
	const char *p = row->detail;

	for (int i = 0; *p != '\0'; i++) {
		size_t n = strcspn(p, "|");

		if (strlen(text) == n && strncasecmp(p, text, n) == 0) {
			*out = i;
			return KC_OK;
		}
		p += n + (p[n] == '|');
	}
	return err_set(KC_ECONF, "'%s' is none of %s", text, row->detail);
}

static char *format_duration(uint64_t ms)
{
	uint64_t s = ms / 1000;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (s % (uint64_t)units[i].seconds == 0 && (s > 0 || units[i].unit == 's'))
			return mem_xasprintf("%" PRIu64 "%c", s / (uint64_t)units[i].seconds, units[i].unit);
	return mem_xasprintf("%" PRIu64 "s", s);
}

static int parse_duration(uint64_t *out, const struct conf_row *row, const char *text)
{
	size_t n = strlen(text);
	int64_t v = -1, unit = 0;

	for (size_t i = 0; n > 0 && i < sizeof(units) / sizeof(units[0]); i++)
		if (text[n - 1] == units[i].unit)
			unit = units[i].seconds;
	v = digits(text, unit != 0 ? n - 1 : n);
	if (v < 0)
		return err_set(KC_ECONF, "'%s' is not a duration (a number with s, m, h or d)", text);
	if (unit == 0 && strcmp(row->detail, "m") == 0)
		unit = 60;
	else if (unit == 0 && (strcmp(row->detail, "0") != 0 || v != 0))
		return err_set(KC_ECONF, "'%s' needs a unit: %ss, %sm, %sh or %sd", text, text, text, text, text);
	if (v > row->max || v * unit < row->min || v * unit > row->max) {
		char *lo = format_duration((uint64_t)row->min * 1000), *hi = format_duration((uint64_t)row->max * 1000);
		int rc = err_set(KC_ECONF, "%s is out of range, %s to %s", text, lo, hi);

		free(lo);
		free(hi);
		return rc;
	}
	*out = (uint64_t)(v * unit) * 1000;
	return KC_OK;
}

static bool is_time_of_day(const char *s)
{
	size_t n = strcspn(s, ":");
	int64_t h = digits(s, n), m;

	if (s[n] != ':' || n > 2 || strlen(s + n + 1) != 2)
		return false;
	m = digits(s + n + 1, 2);
	return h >= 0 && h < 24 && m >= 0 && m < 60;
}

static int parse_host(char **out, const struct conf_row *row, const char *text)
{
	char *host = NULL;

	if (!host_parse(&host, text) && row->type != CONF_ADDRESS)
		return err_set(KC_ECONF, "'%s' is neither a host name nor an address", text);
	if (row->type == CONF_ADDRESS && (host == NULL || !host_is_address(host))) {
		free(host);
		return err_set(KC_ECONF, "'%s' is not an IP address", text);
	}
	*out = host;
	return KC_OK;
}

static int parse_list(struct conf_list *out, const char *text)
{
	struct conf_list l = { 0 };

	while (*text != '\0') {
		size_t n = strcspn(text, ";"), from = 0, to = n;
		char *item;

		while (from < to && isspace((unsigned char)text[from]))
			from++;
		while (to > from && isspace((unsigned char)text[to - 1]))
			to--;
		if (to > from) {
			item = mem_xstrndup(text + from, to - from);
			conf_list_add(&l, item);
			free(item);
		}
		text += n + (text[n] == ';');
	}
	*out = l;
	return KC_OK;
}

static int parse_path(char **out, const char *text, const char *dir)
{
	if (strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0)
		return err_set(KC_ECONF, "this version replicates SQLite databases; PostgreSQL is not supported yet");
	*out = file_join(dir, text);
	return KC_OK;
}

static int parse_text(char **out, const struct conf_row *row, const char *text)
{
	if (strcmp(row->detail, "HH:MM") == 0 && !is_time_of_day(text))
		return err_set(KC_ECONF, "'%s' is not a time of day, HH:MM", text);
	*out = mem_xstrdup(text);
	return KC_OK;
}

int conf_check_password(const char *password)
{
	size_t n = strlen(password);

	return n >= CONF_PASSWORD_MIN
		   ? KC_OK
		   : err_set(KC_EUSAGE, "the password has %zu bytes, at least %d are needed", n, CONF_PASSWORD_MIN);
}

static int parse_secret(char **out, const struct conf_row *row, const char *text)
{
	if ((int64_t)strlen(text) < row->min)
		return err_set(KC_ECONF, "has %zu bytes, at least %" PRId64 " are needed", strlen(text), row->min);
	*out = mem_secret_strdup(text);
	return KC_OK;
}

int conf_value_parse(void *out, const struct conf_row *row, const char *text, const char *dir)
{
	switch (row->type) {
	case CONF_INT:
		return parse_int(out, row, text);
	case CONF_BOOL:
		return parse_bool(out, text);
	case CONF_ENUM:
		return parse_enum(out, row, text);
	case CONF_DURATION:
		return parse_duration(out, row, text);
	case CONF_HOST:
		return parse_host(out, row, text);
	case CONF_ADDRESS:
		if (strcasecmp(text, "any") == 0 || strcmp(text, "*") == 0) {
			*(char **)out = NULL;
			return KC_OK;
		}
		return parse_host(out, row, text);
	case CONF_PATH:
		return parse_path(out, text, dir);
	case CONF_LIST:
		return parse_list(out, text);
	case CONF_SECRET:
		return parse_secret(out, row, text);
	case CONF_STR:
		break;
	}
	return parse_text(out, row, text);
}

static char *format_enum(const struct conf_row *row, int value)
{
	const char *p = row->detail;

	for (; value > 0; value--)
		p += strcspn(p, "|") + 1;
	return mem_xstrndup(p, strcspn(p, "|"));
}

static char *format_list(const struct conf_list *l)
{
	char *s = l->count > 0 ? mem_xstrdup(l->items[0]) : NULL;

	for (size_t i = 1; i < l->count; i++) {
		char *longer = mem_xasprintf("%s;%s", s, l->items[i]);

		free(s);
		s = longer;
	}
	return s;
}

char *conf_value_format(const struct conf_row *row, const void *member)
{
	const char *text;

	switch (row->type) {
	case CONF_INT:
		return mem_xasprintf("%d", *(const int *)member);
	case CONF_BOOL:
		return mem_xstrdup(*(const bool *)member ? "true" : "false");
	case CONF_ENUM:
		return format_enum(row, *(const int *)member);
	case CONF_DURATION:
		/* Without a default 0 is unset. */
		return *(const uint64_t *)member == 0 && row->def == NULL ? NULL
									  : format_duration(*(const uint64_t *)member);
	case CONF_LIST:
		return format_list(member);
	case CONF_SECRET:
		return NULL;
	case CONF_STR:
	case CONF_HOST:
	case CONF_ADDRESS:
	case CONF_PATH:
		break;
	}
	text = *(char *const *)member;
	return text != NULL ? mem_xstrdup(text) : NULL;
}

void conf_value_fini(const struct conf_row *row, void *member)
{
	switch (row->type) {
	case CONF_INT:
	case CONF_BOOL:
	case CONF_ENUM:
	case CONF_DURATION:
		return;
	case CONF_LIST:
		conf_list_fini(member);
		return;
	case CONF_SECRET:
		mem_secret_free(*(char **)member);
		break;
	case CONF_STR:
	case CONF_HOST:
	case CONF_ADDRESS:
	case CONF_PATH:
		free(*(char **)member);
		break;
	}
	*(char **)member = NULL;
}
