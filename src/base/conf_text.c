/* SPDX-License-Identifier: Apache-2.0 */
/* conf_text: finds where a change belongs and splices it in. Each change scans the text afresh: it is short. */
#include "conf_text.h"

#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "mem.h"

void conf_text_fini(struct conf_text *t)
{
	buf_fini(&t->text);
}

static const char *text_of(const struct conf_text *t)
{
	return buf_len(&t->text) > 0 ? (const char *)buf_data(&t->text) : "";
}

static size_t size_of(const struct conf_text *t)
{
	return buf_len(&t->text);
}

static int scan(struct conf_items *items, const struct conf_text *t)
{
	int line = 0, rc;

	if (!t->cfg) {
		conf_props_scan(items, text_of(t), size_of(t));
		return KC_OK;
	}
	rc = conf_cfg_scan(items, &line, text_of(t), size_of(t));
	if (rc < 0)
		return err_prefix(rc, "line %d", line);
	return KC_OK;
}

static int splice(struct conf_text *t, size_t start, size_t end, const void *data, size_t n)
{
	struct buf b;
	int rc;

	buf_init(&b, t->text.cap);
	buf_put(&b, text_of(t), start);
	buf_put(&b, data, n);
	buf_put(&b, text_of(t) + end, size_of(t) - end);
	rc = buf_status(&b);
	if (rc < 0) {
		buf_fini(&b);
		return err_set(rc, "longer than %u bytes", CONF_FILE_MAX);
	}
	buf_fini(&t->text);
	t->text = b;
	return KC_OK;
}

static const char *line_end(const struct conf_text *t)
{
	const char *lf = size_of(t) > 0 ? memchr(text_of(t), '\n', size_of(t)) : NULL;

	return lf != NULL && lf > text_of(t) && lf[-1] == '\r' ? "\r\n" : "\n";
}

static size_t line_start(const struct conf_text *t, size_t pos)
{
	while (pos > 0 && text_of(t)[pos - 1] != '\n')
		pos--;
	return pos;
}

/* The start of the next line, or the end of the text. */
static size_t next_line(const struct conf_text *t, size_t pos)
{
	const char *lf = pos < size_of(t) ? memchr(text_of(t) + pos, '\n', size_of(t) - pos) : NULL;

	return lf != NULL ? (size_t)(lf - text_of(t)) + 1 : size_of(t);
}

static bool blank_between(const struct conf_text *t, size_t from, size_t to)
{
	for (; from < to; from++)
		if (strchr(" \t\r\n\f", text_of(t)[from]) == NULL || text_of(t)[from] == '\0')
			return false;
	return true;
}

static int encode(struct buf *out, const struct conf_text *t, const char *name, const char *value)
{
	const struct conf_row *row = conf_row_find(name);
	int rc = t->cfg ? conf_cfg_encode(out, value, row) : conf_props_encode(out, value, row);

	return rc < 0 ? err_prefix(rc, "%s", name) : KC_OK;
}

/* --- properties --- */

static bool is_client(const char *name)
{
	bool port;

	return conf_client_number(&port, name) >= 0;
}

/* Where "#name=…" ends, so that a property comes under the comment that explains it. 0: nowhere. */
static size_t behind_its_comment(const struct conf_text *t, const struct conf_items *items, const char *name)
{
	size_t n = strlen(name);

	for (size_t pos = 0; pos < size_of(t); pos = next_line(t, pos)) {
		const char *p = text_of(t) + pos, *end = text_of(t) + size_of(t);
		bool inside = false;

		if (*p != '#' && *p != '!')
			continue;
		for (p++; p < end && *p == ' '; p++)
			;
		if ((size_t)(end - p) <= n || memcmp(p, name, n) != 0 || strchr("=: ", p[n]) == NULL)
			continue;
		for (size_t i = 0; i < items->count; i++)
			inside = inside || (items->v[i].start < pos && pos < items->v[i].end);
		if (!inside)
			return next_line(t, pos);
	}
	return 0;
}

/* Is the line at `pos` "#backup.Client…"? The first clone comes under such a block, not into it. */
static bool is_sample_client(const struct conf_text *t, size_t pos)
{
	static const char stem[] = "backup.Client";
	const char *p = text_of(t) + pos, *end = text_of(t) + size_of(t);

	if (p == end || (*p != '#' && *p != '!'))
		return false;
	for (p++; p < end && *p == ' '; p++)
		;
	return (size_t)(end - p) >= sizeof(stem) - 1 && memcmp(p, stem, sizeof(stem) - 1) == 0;
}

static size_t place_for(const struct conf_text *t, const struct conf_items *items, const char *name)
{
	size_t pos = 0;

	/* Clones stay together. */
	for (size_t i = 0; is_client(name) && i < items->count; i++)
		if (is_client(items->v[i].name))
			pos = items->v[i].end;
	if (pos == 0)
		pos = behind_its_comment(t, items, name);
	while (pos > 0 && is_client(name) && is_sample_client(t, pos))
		pos = next_line(t, pos);
	return pos > 0 ? pos : size_of(t);
}

/* Does a setting reach up to `pos` without a line end of its own? */
static bool continued(const struct conf_items *items, size_t pos)
{
	for (size_t i = 0; i < items->count; i++)
		if (items->v[i].end == pos)
			return items->v[i].vend == pos;
	return false;
}

static int props_insert(struct conf_text *t, const struct conf_items *items, const char *name, const char *value)
{
	size_t pos = place_for(t, items, name);
	struct buf line;
	int rc;

	buf_init(&line, CONF_FILE_MAX);
	if (pos > 0 && text_of(t)[pos - 1] != '\n')
		buf_put_str(&line, line_end(t));
	/* A continuation at the very end of the file would swallow what follows. */
	if (pos > 0 && (text_of(t)[pos - 1] == '\\' || (text_of(t)[pos - 1] == '\n' && continued(items, pos))))
		buf_put_str(&line, line_end(t));
	buf_putf(&line, "%s=", name);
	rc = encode(&line, t, name, value);
	buf_put_str(&line, line_end(t));
	if (rc == KC_OK)
		rc = splice(t, pos, pos, buf_data(&line), buf_len(&line));
	buf_fini(&line);
	return rc;
}

/* --- libconfig --- */

/* `name` with its groups from `rest` on: "File.X" -> File: { X = value; }; */
static int cfg_setting(
    struct buf *out, const struct conf_text *t, const char *name, const char *rest, const char *value)
{
	int groups = 0, rc;
	const char *dot;

	for (; (dot = strchr(rest, '.')) != NULL; rest = dot + 1, groups++)
		buf_putf(out, "%.*s: { ", (int)(dot - rest), rest);
	buf_putf(out, "%s = ", rest);
	rc = encode(out, t, name, value);
	buf_put_str(out, ";");
	while (groups-- > 0)
		buf_put_str(out, " };");
	return rc;
}

/* The innermost group that is there, NULL for the file; *rest is the name below it. */
static const struct conf_item *group_of(const char **rest, const struct conf_items *items, const char *name)
{
	const struct conf_item *group = NULL;
	const char *dot = strchr(name, '.');

	*rest = name;
	for (; dot != NULL; dot = strchr(dot + 1, '.')) {
		char *prefix = mem_xstrndup(name, (size_t)(dot - name));
		const struct conf_item *it = conf_items_find(items, prefix);

		free(prefix);
		if (it == NULL || it->kind != CONF_ITEM_GROUP)
			break;
		group = it;
		*rest = dot + 1;
	}
	return group;
}

static int cfg_insert(struct conf_text *t, const struct conf_items *items, const char *name, const char *value)
{
	const char *rest;
	const struct conf_item *group = group_of(&rest, items, name);
	size_t pos = group != NULL ? group->vend : size_of(t), start = line_start(t, pos);
	struct buf b;
	int rc;

	buf_init(&b, CONF_FILE_MAX);
	if (group == NULL) {
		if (pos > start)
			buf_put_str(&b, line_end(t));
	} else if (blank_between(t, start, pos) && start >= group->vstart) {
		/* the brace stands alone: a line before it, one step further in */
		buf_put(&b, text_of(t) + start, pos - start);
		buf_put_str(&b, "    ");
		pos = start;
	} else {
		buf_put_str(&b, blank_between(t, pos - 1, pos) ? "" : " ");
	}
	rc = cfg_setting(&b, t, name, rest, value);
	buf_put_str(&b, group == NULL || pos == start ? line_end(t) : " ");
	if (rc == KC_OK)
		rc = splice(t, pos, pos, buf_data(&b), buf_len(&b));
	buf_fini(&b);
	return rc;
}

/* --- changes --- */

bool conf_text_has(const struct conf_text *t, const char *name)
{
	struct conf_items items = { 0 };
	bool has = scan(&items, t) == KC_OK && conf_items_find(&items, name) != NULL;

	conf_items_fini(&items);
	return has;
}

/* The name of an item in the text: of libconfig the last part. NULL if it is not written plainly. */
static const char *written_name(size_t *at, const struct conf_text *t, const struct conf_item *it)
{
	const char *dot = strrchr(it->name, '.'), *name = t->cfg && dot != NULL ? dot + 1 : it->name;

	*at = it->start;
	while (*at < it->vstart && strchr(" \t\f", text_of(t)[*at]) != NULL)
		++*at;
	if (it->vstart - *at < strlen(name) || memcmp(text_of(t) + *at, name, strlen(name)) != 0)
		return NULL;
	return name;
}

/* "name" and "name value" have no separator of their own: before a value that begins with one it is needed. */
static bool needs_separator(const struct conf_text *t, const struct conf_item *it, const char *value)
{
	size_t at;
	const char *name = written_name(&at, t, it);

	if (t->cfg || name == NULL)
		return false;
	for (at += strlen(name); at < it->vstart; at++)
		if (text_of(t)[at] == '=' || text_of(t)[at] == ':')
			return false;
	return value[0] == '=' || value[0] == ':' || strchr(" \t\f", text_of(t)[it->vstart - 1]) == NULL;
}

static int replace_value(struct conf_text *t, const struct conf_item *it, const char *name, const char *value)
{
	struct buf b;
	int rc;

	buf_init(&b, CONF_FILE_MAX);
	if (needs_separator(t, it, value))
		buf_put_str(&b, "=");
	rc = encode(&b, t, name, value);
	if (rc == KC_OK)
		rc = splice(t, it->vstart, it->vend, buf_data(&b), buf_len(&b));
	buf_fini(&b);
	return rc;
}

static int remove_item(struct conf_text *t, const struct conf_item *it)
{
	size_t start = it->start, end = it->end, from = line_start(t, start), to = next_line(t, end);

	/* The whole line where nothing else is on it. */
	if (t->cfg && blank_between(t, from, start) && blank_between(t, end, to)) {
		start = from;
		end = to;
	}
	return splice(t, start, end, "", 0);
}

int conf_text_put(struct conf_text *t, const char *name, const char *value)
{
	struct conf_items items = { 0 };
	const struct conf_item *it;
	int rc = scan(&items, t);

	if (rc == KC_OK) {
		it = conf_items_find(&items, name);
		if (value == NULL)
			rc = it != NULL ? remove_item(t, it) : KC_OK;
		else if (it != NULL)
			rc = replace_value(t, it, name, value);
		else
			rc = t->cfg ? cfg_insert(t, &items, name, value) : props_insert(t, &items, name, value);
	}
	conf_items_fini(&items);
	return rc;
}

int conf_text_rename(struct conf_text *t, const char *name, const char *last)
{
	struct conf_items items = { 0 };
	const struct conf_item *it;
	const char *old, *dot;
	size_t at, skip;
	int rc = scan(&items, t);

	it = rc == KC_OK ? conf_items_find(&items, name) : NULL;
	if (it != NULL) {
		old = written_name(&at, t, it);
		if (old == NULL) {
			rc = err_set(KC_ECONF, "line %d: %s is split over lines", it->line, name);
		} else {
			dot = strrchr(old, '.');
			skip = dot != NULL ? (size_t)(dot + 1 - old) : 0;
			rc = splice(t, at + skip, at + strlen(old), last, strlen(last));
		}
	}
	conf_items_fini(&items);
	return rc;
}

int conf_text_supersede(struct conf_text *t, const char *name, const char *other, const char *value)
{
	const char *last = strrchr(other, '.') != NULL ? strrchr(other, '.') + 1 : other;
	struct conf_items items = { 0 };
	const struct conf_item *it;
	struct buf b;
	int rc = scan(&items, t);

	buf_init(&b, CONF_FILE_MAX);
	it = rc == KC_OK ? conf_items_find(&items, name) : NULL;
	if (rc == KC_OK && it == NULL)
		rc = err_set(KC_ENOENT, "%s is not set", name);
	if (rc == KC_OK) {
		buf_putf(&b, t->cfg ? "%s = " : "%s=", t->cfg ? last : other);
		rc = encode(&b, t, other, value);
		buf_put_str(&b, t->cfg ? ";" : it->vend < it->end ? line_end(t) : "");
	}
	if (rc == KC_OK)
		rc = splice(t, it->start, it->end, buf_data(&b), buf_len(&b));
	buf_fini(&b);
	conf_items_fini(&items);
	return rc;
}
