/* SPDX-License-Identifier: Apache-2.0 */
/* conf_tree: text of either syntax to one libconfig tree, and the walk over its leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf_int.h"
#include "err.h"
#include "mem.h"

struct conf_item *conf_items_add(struct conf_items *l, enum conf_item_kind kind, const char *name, size_t n)
{
	if ((l->count & (l->count - 1)) == 0)
		l->v = mem_xrealloc(l->v, (l->count > 0 ? l->count * 2 : 1) * sizeof(l->v[0]));
	l->v[l->count] = (struct conf_item){ .kind = kind, .name = n > 0 ? mem_xstrndup(name, n) : mem_xstrdup("") };
	return &l->v[l->count++];
}

struct conf_item *conf_items_find(const struct conf_items *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->v[i].name, name) == 0)
			return &l->v[i];
	return NULL;
}

void conf_items_fini(struct conf_items *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->v[i].name);
	free(l->v);
	*l = (struct conf_items){ 0 };
}

bool conf_is_cfg(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot != NULL && (strcasecmp(dot, ".cfg") == 0 || strcasecmp(dot, ".conf") == 0);
}

static void note_unknown(struct conf_ctx *x, int line, const char *name)
{
	char *text = conf_unknown(name);

	conf_note(x, true, line, name, "%s", text);
	free(text);
}

/* The setting of a dotted name, with the groups above it. NULL if a scalar is in the way. */
static config_setting_t *tree_add(config_t *tree, const char *name)
{
	config_setting_t *at = config_root_setting(tree);
	const char *dot;

	while (at != NULL && (dot = strchr(name, '.')) != NULL) {
		char *part = mem_xstrndup(name, (size_t)(dot - name));
		config_setting_t *next = config_setting_get_member(at, part);

		at = next != NULL ? next : config_setting_add(at, part, CONFIG_TYPE_GROUP);
		free(part);
		name = dot + 1;
	}
	return at != NULL ? config_setting_add(at, name, CONFIG_TYPE_STRING) : NULL;
}

/* KC_ECONF with the bare reason. */
static int check_decoded(struct buf *value)
{
	if (buf_len(value) > 0 && memchr(buf_data(value), 0, buf_len(value)) != NULL)
		return err_set(KC_ECONF, "has a zero byte");
	if (buf_str(value) == NULL)
		return err_set(KC_ECONF, "too long");
	return conf_utf8_ok(buf_str(value)) ? KC_OK : err_set(KC_ECONF, "is not UTF-8");
}

static void keep_secret(struct conf_ctx *x, const struct conf_row *row, const char *value)
{
	char **slot = &x->secrets[row - conf_rows];

	mem_secret_free(*slot);
	*slot = mem_secret_strdup(value);
}

static void props_item(struct conf_ctx *x, const struct conf_items *items, const struct conf_item *it, const char *text)
{
	const struct conf_row *row = conf_row_find(it->name);
	const struct conf_item *first = conf_items_find(items, it->name);
	config_setting_t *s;
	struct buf value;
	int rc;

	if (row == NULL) {
		note_unknown(x, it->line, it->name);
		return;
	}
	if (first != it) {
		conf_note(x, true, it->line, it->name, "is set twice; first in line %d", first->line);
		return;
	}
	buf_init(&value, CONF_FILE_MAX);
	rc = conf_name_check(it->name);
	if (rc == KC_OK)
		rc = conf_props_decode(&value, text, it, row);
	if (rc == KC_OK)
		rc = check_decoded(&value);
	s = rc == KC_OK ? tree_add(&x->tree, it->name) : NULL;
	if (rc < 0) {
		conf_note(x, true, it->line, it->name, "%s", err_text(rc));
	} else if (s == NULL) {
		conf_note(x, true, it->line, it->name, "is not a name that can be used");
	} else {
		config_setting_set_hook(s, (void *)(intptr_t)it->line);
		if (conf_is_secret(row))
			keep_secret(x, row, buf_str(&value));
		config_setting_set_string(s, conf_is_secret(row) ? "" : buf_str(&value));
	}
	buf_fini(&value);
}

/* Take the secrets out of the copy that the library will read. */
static void cfg_secrets(struct conf_ctx *x, const struct conf_items *items, char *text)
{
	for (size_t i = 0; i < items->count; i++) {
		const struct conf_item *it = &items->v[i];
		const struct conf_row *row = conf_row_find(it->name);
		struct buf value;
		int rc;

		if (!conf_is_secret(row))
			continue;
		buf_init(&value, CONF_FILE_MAX);
		rc = conf_cfg_decode(&value, text, it);
		if (rc == KC_OK)
			rc = check_decoded(&value);
		if (rc == KC_OK)
			keep_secret(x, row, buf_str(&value));
		else
			conf_note(x, true, it->line, it->name, "%s", err_text(rc));
		buf_fini(&value);
		if (it->kind != CONF_ITEM_VALUE)
			continue;
		for (size_t at = it->vstart; at < it->vend; at++)
			if (text[at] != '\n')
				text[at] = ' ';
		if (it->vend - it->vstart >= 2)
			memcpy(text + it->vstart, "\"\"", 2);
		else
			text[it->vstart] = '0';
	}
}

static bool cfg_read(struct conf_ctx *x, const char *text, size_t size)
{
	bool ok = false;
	struct conf_items items = { 0 };
	bool bom = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
	char *copy = mem_xalloc(size + 1);
	int line = 0, rc;

	if (size > 0)
		memcpy(copy, text, size);
	rc = conf_cfg_scan(&items, &line, copy, size);
	if (rc < 0) {
		conf_note(x, true, line, NULL, "%s", err_text(rc));
	} else {
		cfg_secrets(x, &items, copy);
		ok = config_read_string(&x->tree, copy + (bom ? 3 : 0)) == CONFIG_TRUE;
		if (!ok)
			conf_note(x, true, config_error_line(&x->tree), NULL, "%s", config_error_text(&x->tree));
	}
	mem_wipe(copy, size);
	free(copy);
	conf_items_fini(&items);
	return ok;
}

bool conf_tree_read(struct conf_ctx *x, const char *text, size_t size)
{
	struct conf_items items = { 0 };
	const char *zero = size > 0 ? memchr(text, 0, size) : NULL;
	int line = 1;

	if (zero != NULL) {
		for (const char *p = text; p < zero; p++)
			line += *p == '\n';
		conf_note(x, true, line, NULL, "has a zero byte");
		return false;
	}
	if (conf_is_cfg(x->file))
		return cfg_read(x, text, size);
	conf_props_scan(&items, text, size);
	for (size_t i = 0; i < items.count; i++)
		props_item(x, &items, &items.v[i], text);
	conf_items_fini(&items);
	return true;
}

static char *scalar_text(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_STRING:
		return mem_xstrdup(config_setting_get_string(s));
	case CONFIG_TYPE_INT:
		return mem_xasprintf("%d", config_setting_get_int(s));
	case CONFIG_TYPE_INT64:
		return mem_xasprintf("%lld", config_setting_get_int64(s));
	case CONFIG_TYPE_FLOAT:
		return mem_xasprintf("%g", config_setting_get_float(s));
	case CONFIG_TYPE_BOOL:
		return mem_xstrdup(config_setting_get_bool(s) ? "true" : "false");
	default:
		return NULL;
	}
}

/* ["a", "b"] as "a;b". NULL if something else than scalars is in it. */
static char *list_text(const config_setting_t *s)
{
	char *all = mem_xstrdup("");

	for (int i = 0; i < config_setting_length(s); i++) {
		char *one = scalar_text(config_setting_get_elem(s, (unsigned)i)), *longer;

		longer = one != NULL ? mem_xasprintf("%s%s%s", all, i > 0 ? ";" : "", one) : NULL;
		free(one);
		free(all);
		all = longer;
		if (all == NULL)
			return NULL;
	}
	return all;
}

static void leaf(struct conf_ctx *x, conf_leaf_fn fn, const config_setting_t *s, const char *name)
{
	const struct conf_row *row = conf_row_find(name);
	void *hook = config_setting_get_hook(s);
	int line = hook != NULL ? (int)(intptr_t)hook : (int)config_setting_source_line(s);
	char *text;
	int rc;

	if (row == NULL) {
		note_unknown(x, line, name);
		return;
	}
	rc = conf_name_check(name);
	if (rc < 0) {
		conf_note(x, true, line, name, "%s", err_text(rc));
		return;
	}
	text = config_setting_is_aggregate(s) ? (row->type == CONF_LIST ? list_text(s) : NULL) : scalar_text(s);
	if (text != NULL && !conf_utf8_ok(text))
		conf_note(x, true, line, name, "is not UTF-8");
	else
		fn(x, name, line, text);
	free(text);
}

static void walk(struct conf_ctx *x, conf_leaf_fn fn, const config_setting_t *group, const char *prefix)
{
	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		char *name = mem_xasprintf("%s%s%s", prefix, prefix[0] != '\0' ? "." : "", config_setting_name(s));

		if (config_setting_is_group(s))
			walk(x, fn, s, name);
		else
			leaf(x, fn, s, name);
		free(name);
	}
}

void conf_tree_walk(struct conf_ctx *x, conf_leaf_fn fn)
{
	walk(x, fn, config_root_setting(&x->tree), "");
}
