/* SPDX-License-Identifier: Apache-2.0 */
/* conf_table: the rows of conf_keys.h as an array, names found, and the nearest name to a wrong one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_int.h"
#include "err.h"
#include "mem.h"

/* What the table calls them. */
enum { M = CONF_ON_MASTER, C = CONF_ON_CLONE, MC = CONF_ON_MASTER | CONF_ON_CLONE };
enum { F_REQ = CONF_F_REQ, F_DIR = CONF_F_DIR, F_EXIST = CONF_F_EXIST };
enum { RESTART, LIVE };

#define K(field, t, n, d, s, det, lo, hi, r, f, reload, h) \
	{ .name = (n),                                     \
		.type = CONF_##t,                          \
		.def = (d),                                \
		.sysdef = (s),                             \
		.detail = (det),                           \
		.min = (lo),                               \
		.max = (hi),                               \
		.role = (r),                               \
		.flags = (f),                              \
		.live = (reload) == LIVE,                  \
		.offset = offsetof(struct conf, field),    \
		.help = (h) },
#define L(t, n, det, lo, hi, r, h) \
	{ .name = (n),             \
		.type = CONF_##t,  \
		.detail = (det),   \
		.min = (lo),       \
		.max = (hi),       \
		.role = (r),       \
		.later = true,     \
		.help = (h) },

const struct conf_row conf_rows[] = { CONF_KEYS(K, L) };
const size_t conf_row_count = sizeof(conf_rows) / sizeof(conf_rows[0]);
_Static_assert(sizeof(conf_rows) / sizeof(conf_rows[0]) <= CONF_ROWS_MAX, "CONF_ROWS_MAX is too small");

const struct conf_row conf_row_ip = {
	.name = CONF_CLIENT_IP, .type = CONF_HOST, .detail = "", .role = M, .live = true, .help = "a clone"
};
const struct conf_row conf_row_port = { .name = CONF_CLIENT_PORT,
	.type = CONF_INT,
	.detail = "",
	.min = 1,
	.max = 65535,
	.role = M,
	.live = true,
	.help = "the port where this clone listens" };

const struct conf_row conf_row_file = { .name = CONF_FILE_STEM "*",
	.type = CONF_PATH,
	.detail = "",
	.role = MC,
	.help = "a companion file or directory, replicated with the key database" };

int conf_client_number(bool *port, const char *name)
{
	size_t n = strlen(CONF_CLIENT_IP);
	const char *digits;
	int number = 0;

	*port = strncmp(name, CONF_CLIENT_PORT, strlen(CONF_CLIENT_PORT)) == 0;
	if (*port)
		n = strlen(CONF_CLIENT_PORT);
	else if (strncmp(name, CONF_CLIENT_IP, n) != 0)
		return -1;
	digits = name + n;
	if (digits[0] == '\0' || strlen(digits) > 6 || (digits[0] == '0' && digits[1] != '\0'))
		return -1;
	for (; *digits != '\0'; digits++) {
		if (*digits < '0' || *digits > '9')
			return -1;
		number = number * 10 + (*digits - '0');
	}
	return number;
}

int conf_name_check(const char *name)
{
	static const char stem[] = CONF_FILE_STEM;
	static const char allowed[] = "0123456789_-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	const char *own = name + strlen(stem);

	if (strncmp(name, stem, strlen(stem)) != 0)
		return KC_OK;
	if (strcmp(own, CONF_FILE_RESERVED) == 0)
		return err_set(KC_ECONF, "is the name of keydb.MasterKeyFile, which is always a companion");
	if (strlen(own) > CONF_FILE_NAME_MAX)
		return err_set(KC_ECONF, "a name of more than %d bytes", CONF_FILE_NAME_MAX);
	if (strspn(own, allowed) == strlen(own) && strcspn(own, allowed + 12) == 0)
		return KC_OK;
	return err_set(KC_ECONF, "'%.100s' is not a name of a companion: a letter, then letters, digits, _ and -", own);
}

/* "rest.*" and a name below it. */
static bool matches(const char *pattern, const char *name)
{
	size_t n = strlen(pattern);

	if (pattern[n - 1] != '*')
		return strcmp(pattern, name) == 0;
	return strncmp(pattern, name, n - 1) == 0 && name[n - 1] != '\0';
}

const struct conf_row *conf_row_find(const char *name)
{
	bool port;

	for (size_t i = 0; i < conf_row_count; i++)
		if (matches(conf_rows[i].name, name))
			return &conf_rows[i];
	if (matches(conf_row_file.name, name))
		return &conf_row_file;
	if (conf_client_number(&port, name) >= 0)
		return port ? &conf_row_port : &conf_row_ip;
	return NULL;
}

/* Edit distance without regard to case. Both at most 63 bytes are looked at. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], la = strnlen(a, 63), lb = strnlen(b, 63);

	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t cost = diagonal + (strncasecmp(a + i - 1, b + j - 1, 1) != 0), above = row[j] + 1;

			diagonal = row[j];
			row[j] = cost < above ? cost : above;
			if (row[j - 1] + 1 < row[j])
				row[j] = row[j - 1] + 1;
		}
	}
	return row[lb];
}

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? dot + 1 : name;
}

/* With the wrong section, or none, a name is near to the one with the same last part; in the right one, to the one of
 * whose last part it is a piece. */
static size_t nearness(const char *wrong, const char *known)
{
	const char *a = last_part(wrong), *b = last_part(known);
	size_t whole = distance(wrong, known), last = distance(a, b) + 1;

	if (whole > 2 && strlen(a) > 2 && a - wrong == b - known &&
	    strncasecmp(wrong, known, (size_t)(a - wrong)) == 0 && strcasestr(b, a) != NULL)
		whole = 2;
	return whole < last ? whole : last;
}

/* The known name that is nearest to this one, heap; NULL if none is near. */
static char *suggest(const char *name)
{
	size_t stem = strlen(name), best_near = 3 + strlen(last_part(name)) / 6, near, file = strlen(CONF_FILE_STEM);
	const char *best = NULL;
	char *plain;

	if (strncasecmp(name, CONF_FILE_STEM, file) == 0)
		return mem_xasprintf("%s%.40s", CONF_FILE_STEM, name[file] != '\0' ? name + file : "NAME");
	while (stem > 0 && name[stem - 1] >= '0' && name[stem - 1] <= '9')
		stem--;
	for (size_t i = 0; i < conf_row_count; i++) {
		if (strchr(conf_rows[i].name, '*') != NULL)
			continue;
		near = nearness(name, conf_rows[i].name);
		if (near < best_near) {
			best_near = near;
			best = conf_rows[i].name;
		}
	}
	/* Clones: compared without the number, and suggested with it. */
	plain = mem_xstrndup(name, stem);
	for (int port = 0; port < 2; port++) {
		const char *known = port ? CONF_CLIENT_PORT : CONF_CLIENT_IP;

		near = nearness(plain, known);
		if (near < best_near) {
			best_near = near;
			best = known;
		}
	}
	free(plain);
	if (best == NULL)
		return NULL;
	if (strcmp(best, CONF_CLIENT_IP) == 0 || strcmp(best, CONF_CLIENT_PORT) == 0)
		return mem_xasprintf("%s%.6s", best, name[stem] != '\0' ? name + stem : "1");
	return mem_xstrdup(best);
}

char *conf_unknown(const char *name)
{
	char *near = suggest(name), *text;

	text =
	    near != NULL ? mem_xasprintf("no such property; did you mean %s?", near) : mem_xstrdup("no such property");
	free(near);
	return text;
}
