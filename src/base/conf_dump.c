/* SPDX-License-Identifier: Apache-2.0 */
/* conf_dump: a configuration as text, as JSON with and for other processes, and compared with another. No secrets. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "err.h"
#include "file.h"
#include "mem.h"

static void put_line(struct buf *b, const struct conf_row *row, const char *name, const char *value, bool comment)
{
	buf_putf(b, "%s%s=", comment ? "#" : "", name);
	/* What came out of a file can be written; a path made by us from a directory with a line end cannot. */
	if (conf_props_encode(b, value, row) < 0)
		buf_put_str(b, "?");
	buf_put_u8(b, '\n');
}

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void dump_row(
    struct buf *b, const struct conf *c, const struct conf *plain, const struct conf_row *row, bool all)
{
	unsigned mine = c->role == CONF_MASTER ? CONF_ON_MASTER : CONF_ON_CLONE;
	char *value = conf_value_format(row, conf_member(c, row));
	char *def = conf_value_format(row, conf_member(plain, row));
	bool is_default = same(value, def);

	/* What belongs to the other role is there only if the file had it. */
	if (!is_default || (all && (row->role & mine) != 0))
		put_line(b, row, row->name, value != NULL ? value : "", value == NULL && def == NULL);
	free(value);
	free(def);
}

char *conf_dump(const struct conf *c, bool all)
{
	struct conf *plain = conf_new(c->path);
	struct buf b;
	char *text;

	conf_resolve_log(plain, c->log_dir);
	buf_init(&b, 2 * CONF_FILE_MAX);
	for (size_t i = 0; i < conf_row_count; i++)
		if (!conf_rows[i].later && !conf_is_secret(&conf_rows[i]))
			dump_row(&b, c, plain, &conf_rows[i], all);
	for (size_t i = 0; i < c->clone_count; i++) {
		buf_putf(&b, CONF_CLIENT_IP "%zu=%s\n", i + 1, c->clones[i].host);
		buf_putf(&b, CONF_CLIENT_PORT "%zu=%d\n", i + 1, c->clones[i].port);
	}
	for (size_t i = 0; i < c->file_count; i++) {
		char *name = mem_xasprintf(CONF_FILE_STEM "%s", c->files[i].name);

		put_line(&b, &conf_row_file, name, c->files[i].path, false);
		free(name);
	}
	if (c->password_set)
		buf_put_str(&b, "# the password of backups is set and not shown\n");
	text = mem_xstrdup(buf_str(&b) != NULL ? buf_str(&b) : "");
	buf_fini(&b);
	conf_free(plain);
	return text;
}

static json_t *row_json(const struct conf *c, const struct conf_row *row)
{
	const void *member = conf_member(c, row);
	char *text;
	json_t *j;

	if (row->type == CONF_INT)
		return json_integer(*(const int *)member);
	if (row->type == CONF_BOOL)
		return json_boolean(*(const bool *)member);
	if (row->type == CONF_LIST)
		return conf_list_json(member);
	text = conf_value_format(row, member);
	j = text != NULL ? json_string(text) : json_null();
	free(text);
	return j;
}

json_t *conf_dump_json(const struct conf *c)
{
	json_t *o = json_object();
	char name[40];

	for (size_t i = 0; i < conf_row_count; i++)
		if (!conf_rows[i].later && !conf_is_secret(&conf_rows[i]))
			json_object_set_new(o, conf_rows[i].name, row_json(c, &conf_rows[i]));
	for (size_t i = 0; i < c->clone_count; i++) {
		snprintf(name, sizeof(name), CONF_CLIENT_IP "%zu", i + 1);
		json_object_set_new(o, name, json_string(c->clones[i].host));
		snprintf(name, sizeof(name), CONF_CLIENT_PORT "%zu", i + 1);
		json_object_set_new(o, name, json_integer(c->clones[i].port));
	}
	for (size_t i = 0; i < c->file_count; i++) {
		char *file = mem_xasprintf(CONF_FILE_STEM "%s", c->files[i].name);

		json_object_set_new(o, file, json_string(c->files[i].path));
		free(file);
	}
	return o;
}

char *conf_where(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < conf_row_count; i++)
		if (c->lines[i] != 0 && strcmp(conf_rows[i].name, name) == 0)
			return mem_xasprintf("%s:%d: %s", c->path, c->lines[i], name);
	return mem_xasprintf("%s: %s", c->path, name);
}

/* --- for a process without secrets --- */

static json_t *lines_json(const struct conf *c)
{
	json_t *lines = json_object();

	for (size_t i = 0; i < conf_row_count; i++)
		if (c->lines[i] != 0)
			json_object_set_new(lines, conf_rows[i].name, json_integer(c->lines[i]));
	return lines;
}

json_t *conf_public_json(const struct conf *c)
{
	json_t *values = json_object(), *clones = json_array();

	for (size_t i = 0; i < conf_row_count; i++) {
		char *text;

		if (conf_rows[i].later || conf_is_secret(&conf_rows[i]))
			continue;
		text = conf_value_format(&conf_rows[i], conf_member(c, &conf_rows[i]));
		if (text != NULL)
			json_object_set_new(values, conf_rows[i].name, json_string(text));
		free(text);
	}
	for (size_t i = 0; i < c->clone_count; i++)
		json_array_append_new(
		    clones, json_pack("{s:s,s:i}", "host", c->clones[i].host, "port", c->clones[i].port));
	return json_pack("{s:s,s:o,s:o,s:o,s:b,s:o,s:o}", "path", c->path, "values", values, "clones", clones, "files",
	    conf_files_json(c), "password_set", (int)c->password_set, "lines", lines_json(c), "warnings",
	    conf_list_json(&c->warnings));
}

static int row_from_json(struct conf *c, const struct conf_row *row, const json_t *value)
{
	conf_value_fini(row, conf_member(c, row)); /* the default: absent means unset */
	if (value == NULL)
		return KC_OK;
	if (!json_is_string(value) || conf_value_parse(conf_member(c, row), row, json_string_value(value), c->dir) < 0)
		return err_set(KC_EFORMAT, "configuration handed over: %s is not right", row->name);
	return KC_OK;
}

static int clones_from_json(struct conf *c, const json_t *clones)
{
	const json_t *one;
	size_t i;

	if (!json_is_array(clones) || json_array_size(clones) > CONF_CLONES_MAX)
		return err_set(KC_EFORMAT, "configuration handed over: no list of clones");
	c->clones = mem_xcalloc(CONF_CLONES_MAX, sizeof(c->clones[0]));
	json_array_foreach(clones, i, one) {
		const char *host = json_string_value(json_object_get(one, "host"));
		json_int_t port = json_integer_value(json_object_get(one, "port"));

		if (host == NULL || port < 1 || port > 65535)
			return err_set(KC_EFORMAT, "configuration handed over: clone %zu is not right", i + 1);
		c->clones[c->clone_count++] = (struct conf_clone){ .host = mem_xstrdup(host), .port = (int)port };
	}
	return KC_OK;
}

int conf_from_json(struct conf **out, const json_t *json)
{
	const char *path = json_string_value(json_object_get(json, "path"));
	const json_t *values = json_object_get(json, "values"), *warning;
	struct conf *c;
	size_t n;
	int rc = KC_OK;

	if (path == NULL || !json_is_object(values))
		return err_set(KC_EFORMAT, "configuration handed over: no path or no values");
	c = conf_new(path);
	for (size_t i = 0; rc == KC_OK && i < conf_row_count; i++)
		if (!conf_rows[i].later && !conf_is_secret(&conf_rows[i]))
			rc = row_from_json(c, &conf_rows[i], json_object_get(values, conf_rows[i].name));
	if (rc == KC_OK)
		rc = clones_from_json(c, json_object_get(json, "clones"));
	if (rc == KC_OK)
		rc = conf_files_from_json(c, json_object_get(json, "files"));
	c->password_set = json_is_true(json_object_get(json, "password_set"));
	for (size_t i = 0; i < conf_row_count; i++)
		c->lines[i] =
		    (int)json_integer_value(json_object_get(json_object_get(json, "lines"), conf_rows[i].name));
	json_array_foreach(json_object_get(json, "warnings"), n, warning) {
		if (json_is_string(warning))
			conf_list_add(&c->warnings, json_string_value(warning));
	}
	if (rc < 0)
		conf_free(c);
	else
		*out = c;
	return rc;
}

/* --- one value, two configurations --- */

static int get_client(char **out, const struct conf *c, const char *name)
{
	bool port;
	int n = conf_client_number(&port, name);

	if (n < 1 || (size_t)n > c->clone_count)
		*out = NULL;
	else
		*out = port ? mem_xasprintf("%d", c->clones[n - 1].port) : mem_xstrdup(c->clones[n - 1].host);
	return KC_OK;
}

int conf_get(char **out, const struct conf *c, const char *name)
{
	const struct conf_row *row = conf_row_find(name);
	char *text;
	int rc;

	if (row == NULL) {
		text = conf_unknown(name);
		rc = err_set(KC_EUSAGE, "%s: %s", name, text);
		free(text);
		return rc;
	}
	if (conf_is_secret(row))
		return err_set(KC_EPERM, "%s: a secret is never shown", name);
	if (row == &conf_row_ip || row == &conf_row_port)
		return get_client(out, c, name);
	if (row == &conf_row_file) {
		const struct conf_file *f = conf_file_find(c, conf_file_name(name));

		*out = f != NULL ? mem_xstrdup(f->path) : NULL;
		return KC_OK;
	}
	if (row->later)
		return err_set(KC_ENOENT, "%s: has no effect yet", name);
	*out = conf_value_format(row, conf_member(c, row));
	return KC_OK;
}

static bool same_row(const struct conf *a, const struct conf *b, const struct conf_row *row)
{
	char *ta, *tb;
	bool equal;

	/* Secrets are compared where both sides have them: not in the daemon. */
	if (conf_is_secret(row)) {
		const char *sa = *(char **)conf_member(a, row), *sb = *(char **)conf_member(b, row);

		return sa == NULL || sb == NULL || strcmp(sa, sb) == 0;
	}
	ta = conf_value_format(row, conf_member(a, row));
	tb = conf_value_format(row, conf_member(b, row));
	equal = same(ta, tb);
	free(ta);
	free(tb);
	return equal;
}

static bool same_clones(const struct conf *a, const struct conf *b)
{
	if (a->clone_count != b->clone_count)
		return false;
	for (size_t i = 0; i < a->clone_count; i++)
		if (strcmp(a->clones[i].host, b->clones[i].host) != 0 || a->clones[i].port != b->clones[i].port)
			return false;
	return true;
}

void conf_diff(struct conf_list *live, struct conf_list *restart, const struct conf *now, const struct conf *next)
{
	*live = *restart = (struct conf_list){ 0 };
	for (size_t i = 0; i < conf_row_count; i++)
		if (!conf_rows[i].later && !same_row(now, next, &conf_rows[i]))
			conf_list_add(conf_rows[i].live ? live : restart, conf_rows[i].name);
	if (!same_clones(now, next))
		conf_list_add(live, CONF_CLIENT_IP "n");
	if (!conf_files_same(now, next))
		conf_list_add(restart, conf_row_file.name);
}

static size_t size_of(const struct conf_row *row)
{
	static const size_t sizes[] = {
		[CONF_INT] = sizeof(int),
		[CONF_BOOL] = sizeof(bool),
		[CONF_ENUM] = sizeof(int),
		[CONF_DURATION] = sizeof(uint64_t),
		[CONF_STR] = sizeof(char *),
		[CONF_HOST] = sizeof(char *),
		[CONF_ADDRESS] = sizeof(char *),
		[CONF_PATH] = sizeof(char *),
		[CONF_LIST] = sizeof(struct conf_list),
		[CONF_SECRET] = sizeof(char *),
	};

	return sizes[row->type];
}

void conf_keep(struct conf *next, struct conf *now)
{
	struct conf_file *files = next->files;
	size_t count = next->file_count;

	next->files = now->files;
	next->file_count = now->file_count;
	now->files = files;
	now->file_count = count;
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];
		void *a, *b;
		union conf_any other;

		if (row->later || row->live)
			continue;
		a = conf_member(next, row);
		b = conf_member(now, row);
		if (conf_is_secret(row) && *(char **)b == NULL)
			continue;
		memcpy(&other, a, size_of(row));
		memcpy(a, b, size_of(row));
		memcpy(b, &other, size_of(row));
	}
}
