/* SPDX-License-Identifier: Apache-2.0 */
/* store: names of backups, their list, and which of them may go. */
#include "backup/store.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "backup/staging.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define PREFIX	       "keyclone-"
#define TIME_LEN       16 /* YYYYMMDDThhmmssZ */
#define LINEAGE_LEN    8
#define GENERATION_LEN 10

static const char *const kinds[] = {
	[STORE_FULL] = "full", [STORE_SAFETY] = "safety", [STORE_INCR] = "incr", [STORE_SYSTEM] = "system"
};
#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *store_kind_name(enum store_kind kind)
{
	return kinds[kind];
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
	       c == '-';
}

void store_database_name(char out[STORE_DATABASE_MAX + 1], const char *keydb_path)
{
	const char *base = file_basename(keydb_path), *dot = strrchr(base, '.');
	size_t i, n = dot != NULL && dot != base ? (size_t)(dot - base) : strlen(base);

	if (n > STORE_DATABASE_MAX)
		n = STORE_DATABASE_MAX;
	for (i = 0; i < n; i++)
		out[i] = name_char(base[i]) ? base[i] : '_';
	out[n] = '\0';
	if (n == 0)
		strcpy(out, "database");
}

char *store_name_build(const struct store_name *n)
{
	char stamp[TIME_LEN + 1] = "";
	time_t t = (time_t)n->time;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	return mem_xasprintf(PREFIX "%s-%.8s-%010" PRIu64 "-%s-%s" STORE_SUFFIX, n->database, n->lineage, n->generation,
	    kinds[n->kind], stamp);
}

/* The last part behind a '-' of the first `len` characters; shortens *len to what is before the dash. */
static const char *last_part(const char *name, size_t *len, size_t *part)
{
	size_t i = *len;

	while (i > 0 && name[i - 1] != '-')
		i--;
	if (i == 0)
		return NULL;
	*part = *len - i;
	*len = i - 1;
	return name + i;
}

static bool parse_time(int64_t *out, const char *s, size_t n)
{
	int y, mo, d, h, mi, sec;
	struct tm tm;
	size_t i;

	for (i = 0; i < n; i++)
		if (i == 8 ? s[i] != 'T' : i == 15 ? s[i] != 'Z' : !isdigit((unsigned char)s[i]))
			return false;
	if (n != TIME_LEN || sscanf(s, "%4d%2d%2dT%2d%2d%2dZ", &y, &mo, &d, &h, &mi, &sec) != 6)
		return false;
	memset(&tm, 0, sizeof(tm));
	tm.tm_year = y - 1900;
	tm.tm_mon = mo - 1;
	tm.tm_mday = d;
	tm.tm_hour = h;
	tm.tm_min = mi;
	tm.tm_sec = sec;
	*out = timegm(&tm);
	/* timegm puts the 31st of February right; a name with it is not ours. */
	return tm.tm_mon == mo - 1 && tm.tm_mday == d && tm.tm_hour == h && tm.tm_min == mi && tm.tm_sec == sec;
}

static bool parse_digits(uint64_t *out, const char *s, size_t n)
{
	uint64_t v = 0;
	size_t i;

	if (n != GENERATION_LEN)
		return false;
	for (i = 0; i < n; i++) {
		if (!isdigit((unsigned char)s[i]))
			return false;
		v = v * 10 + (uint64_t)(s[i] - '0');
	}
	*out = v;
	return true;
}

static bool parse_kind(enum store_kind *kind, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < N_KINDS; i++)
		if (strlen(kinds[i]) == n && memcmp(kinds[i], s, n) == 0) {
			*kind = (enum store_kind)i;
			return true;
		}
	return false;
}

static bool parse(struct store_name *n, const char *name)
{
	size_t len = strlen(name), suffix = strlen(STORE_SUFFIX), part, i;
	const char *p;

	if (len <= suffix || strcmp(name + len - suffix, STORE_SUFFIX) != 0 ||
	    strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	name += strlen(PREFIX);
	len -= strlen(PREFIX) + suffix;
	if ((p = last_part(name, &len, &part)) == NULL || !parse_time(&n->time, p, part))
		return false;
	if ((p = last_part(name, &len, &part)) == NULL || !parse_kind(&n->kind, p, part))
		return false;
	if ((p = last_part(name, &len, &part)) == NULL || !parse_digits(&n->generation, p, part))
		return false;
	if ((p = last_part(name, &len, &part)) == NULL || part != LINEAGE_LEN)
		return false;
	for (i = 0; i < part; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	memcpy(n->lineage, p, part);
	if (len == 0 || len > STORE_DATABASE_MAX)
		return false;
	for (i = 0; i < len; i++)
		if (!name_char(name[i]))
			return false;
	memcpy(n->database, name, len);
	return true;
}

int store_name_parse(struct store_name *out, const char *name)
{
	struct store_name n;

	memset(&n, 0, sizeof(n));
	if (!parse(&n, name))
		return err_set(KC_EFORMAT, "%s: not the name of a backup", name);
	*out = n;
	return KC_OK;
}

/* Clocks may be wrong: within a lineage the generation decides, and lineages follow by the newest time in them. */
static int by_age(const void *a, const void *b)
{
	const struct store_entry *x = a, *y = b;
	int lineage = strcmp(x->name.lineage, y->name.lineage);

	if (x->lineage_time != y->lineage_time)
		return x->lineage_time < y->lineage_time ? -1 : 1;
	if (lineage != 0)
		return lineage;
	if (x->name.generation != y->name.generation)
		return x->name.generation < y->name.generation ? -1 : 1;
	if (x->name.time != y->name.time)
		return x->name.time < y->name.time ? -1 : 1;
	return strcmp(x->file, y->file);
}

static int by_lineage(const void *a, const void *b)
{
	return strcmp(((const struct store_entry *)a)->name.lineage, ((const struct store_entry *)b)->name.lineage);
}

static void sort(struct store_entry *list, size_t count)
{
	size_t i, j, k;

	if (count == 0)
		return;
	qsort(list, count, sizeof(*list), by_lineage);
	for (i = 0; i < count; i = j) {
		int64_t newest = list[i].name.time;

		for (j = i; j < count && by_lineage(&list[i], &list[j]) == 0; j++)
			if (list[j].name.time > newest)
				newest = list[j].name.time;
		for (k = i; k < j; k++)
			list[k].lineage_time = newest;
	}
	qsort(list, count, sizeof(*list), by_age);
}

static bool same_number(const struct store_entry *a, const struct store_entry *b)
{
	return by_lineage(a, b) == 0 && a->name.generation == b->name.generation;
}

static bool is_numbered(const struct store_entry *e)
{
	return e->name.kind == STORE_FULL || e->name.kind == STORE_INCR;
}

/* Sorted: of one number the older file is the generation's own, an increment always. */
static bool is_outside(const struct store_entry *list, size_t count, size_t at)
{
	const struct store_entry *e = &list[at];

	if (e->name.kind != STORE_FULL)
		return false;
	if (e->name.generation == 0)
		return true;
	for (size_t i = at; i > 0 && same_number(&list[i - 1], e); i--)
		if (is_numbered(&list[i - 1]))
			return true;
	for (size_t i = at + 1; i < count && same_number(&list[i], e); i++)
		if (list[i].name.kind == STORE_INCR)
			return true;
	return false;
}

static void find_chains(struct store_entry *list, size_t count)
{
	uint64_t full = 0;

	for (size_t i = 0; i < count; i++) {
		if (i > 0 && by_lineage(&list[i - 1], &list[i]) != 0)
			full = 0;
		list[i].outside = is_outside(list, count, i);
		if (list[i].name.kind == STORE_FULL && !list[i].outside)
			full = list[i].name.generation;
		if (list[i].name.kind == STORE_INCR)
			list[i].chain = full;
	}
}

int store_list(struct store_entry **entries, size_t *n, const char *dir)
{
	struct store_entry *list = NULL;
	size_t count = 0;
	struct dirent *e;
	struct stat st;
	DIR *d = opendir(dir);

	if (d == NULL)
		return err_errno("%s", dir);
	while ((e = readdir(d)) != NULL) {
		struct store_entry entry;

		memset(&entry, 0, sizeof(entry));
		if (!parse(&entry.name, e->d_name))
			continue;
		entry.path = file_join(dir, e->d_name);
		if (lstat(entry.path, &st) < 0 || !S_ISREG(st.st_mode)) {
			free(entry.path);
			continue;
		}
		entry.file = mem_xstrdup(e->d_name);
		entry.size = (uint64_t)st.st_size;
		list = mem_xrealloc(list, (count + 1) * sizeof(*list));
		list[count++] = entry;
	}
	closedir(d);
	sort(list, count);
	find_chains(list, count);
	*entries = list;
	*n = count;
	return KC_OK;
}

void store_list_free(struct store_entry *entries, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(entries[i].file);
		free(entries[i].path);
	}
	free(entries);
}

static bool is_kept(const struct store_prune *p, const char *file)
{
	size_t i;

	for (i = 0; i < p->n_keep; i++)
		if (p->keep[i] != NULL && strcmp(p->keep[i], file) == 0)
			return true;
	return false;
}

/* Does `b` build on `a`, or is it `a`? */
static bool builds_on(const struct store_entry *b, const struct store_entry *a)
{
	if (by_lineage(a, b) != 0 || a->outside || b->name.kind != STORE_INCR)
		return a == b;
	if (a->name.kind == STORE_FULL)
		return b->chain == a->name.generation;
	return a->name.kind == STORE_INCR && a->chain == b->chain && a->name.generation <= b->name.generation;
}

static bool is_needed(
    const struct store_prune *p, const struct store_entry *list, size_t n, const struct store_entry *e)
{
	for (size_t i = 0; i < n; i++)
		if (is_kept(p, list[i].file) && builds_on(&list[i], e))
			return true;
	return false;
}

static int remove_one(const struct store_prune *p, const struct store_entry *e)
{
	int rc = p->removed != NULL ? p->removed(p->arg, e) : KC_OK;

	return rc == KC_OK ? file_remove(e->path) : rc;
}

/* From the newest: the first `max` of a kind stay; increments go with the full that they build on. */
static int prune(const struct store_prune *p, enum store_kind kind, size_t max)
{
	struct store_entry *list;
	size_t i, n, seen = 0;
	int rc = store_list(&list, &n, p->dir);

	if (rc < 0)
		return rc;
	for (i = n; rc == KC_OK && i > 0; i--) {
		const struct store_entry *e = &list[i - 1];
		bool builds = kind == STORE_FULL && e->name.kind == STORE_INCR;

		if (builds ? seen < max : e->name.kind != kind || ++seen <= max)
			continue;
		if (!is_needed(p, list, n, e))
			rc = remove_one(p, e);
	}
	store_list_free(list, n);
	return rc;
}

int store_prune(const struct store_prune *p)
{
	return prune(p, STORE_FULL, p->max > 0 ? p->max : 1);
}

int store_prune_system(const struct store_prune *p)
{
	return prune(p, STORE_SYSTEM, STORE_SYSTEM_KEEP);
}

bool store_has(const char *dir, const char *file)
{
	char *path = file_join(dir, file);
	bool there = file[0] != '\0' && file_exists(path);

	free(path);
	return there;
}

/* "<backup's name>.part": its length without .part, else 0. */
static size_t part_of(const char *file)
{
	size_t len = strlen(file), part = strlen(STORE_PART);
	struct store_name n;
	char *name;
	bool ours;

	if (len <= part || strcmp(file + len - part, STORE_PART) != 0)
		return 0;
	name = mem_xstrndup(file, len - part);
	memset(&n, 0, sizeof(n));
	ours = parse(&n, name);
	free(name);
	return ours ? len - part : 0;
}

int store_clean(const char *dir, bool (*keep)(void *arg, const char *name), void *arg)
{
	struct dirent *e;
	DIR *d = opendir(dir);
	int rc = KC_OK;

	if (d == NULL)
		return err_errno("%s", dir);
	while (rc == KC_OK && (e = readdir(d)) != NULL) {
		size_t len = part_of(e->d_name);
		char *name, *path;

		if (len == 0)
			continue;
		name = mem_xstrndup(e->d_name, len);
		path = file_join(dir, e->d_name);
		if (keep == NULL || !keep(arg, name))
			rc = file_remove(path);
		free(path);
		free(name);
	}
	closedir(d);
	return rc;
}
