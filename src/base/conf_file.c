/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_file: the list of companion files, replication.File.NAME. None of them may be, hold or lie in what is keyclone's
 * own, or in another: a restore would replace this machine's keys by the master's, or itself.
 */
#include <stdlib.h>
#include <string.h>

#include "conf_int.h"
#include "err.h"
#include "file.h"
#include "mem.h"

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct conf_file *)a)->name, ((const struct conf_file *)b)->name);
}

void conf_file_add(struct conf *c, const char *name, const char *path)
{
	c->files = mem_xrealloc(c->files, (c->file_count + 1) * sizeof(c->files[0]));
	c->files[c->file_count++] = (struct conf_file){ .name = mem_xstrdup(name), .path = mem_xstrdup(path) };
	qsort(c->files, c->file_count, sizeof(c->files[0]), by_name);
}

const struct conf_file *conf_file_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->file_count; i++)
		if (strcmp(c->files[i].name, name) == 0)
			return &c->files[i];
	return NULL;
}

void conf_files_fini(struct conf *c)
{
	for (size_t i = 0; i < c->file_count; i++) {
		free(c->files[i].name);
		free(c->files[i].path);
	}
	free(c->files);
	c->files = NULL;
	c->file_count = 0;
}

bool conf_files_same(const struct conf *a, const struct conf *b)
{
	if (a->file_count != b->file_count)
		return false;
	for (size_t i = 0; i < a->file_count; i++)
		if (strcmp(a->files[i].name, b->files[i].name) != 0 || strcmp(a->files[i].path, b->files[i].path) != 0)
			return false;
	return true;
}

/* --- what must not overlap --- */

/* Through links, as far as it exists. Heap, without a slash at the end. */
static char *canonical(const char *path)
{
	char *real = realpath(path, NULL), *dir, *up, *all;
	size_t n;

	if (real != NULL)
		return real;
	dir = file_dirname(path);
	up = realpath(dir, NULL);
	all = up != NULL ? file_join(up, file_basename(path)) : mem_xstrdup(path);
	for (n = strlen(all); n > 1 && all[n - 1] == '/'; n--)
		all[n - 1] = '\0';
	free(dir);
	free(up);
	return all;
}

static bool is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/' || n == 1);
}

static void check_against(struct conf_ctx *x, int line, const struct conf_file *f, const char *path, const char *what,
    const char *other, bool folder)
{
	char *theirs = canonical(other), property[sizeof(CONF_FILE_STEM) + CONF_FILE_NAME_MAX];

	snprintf(property, sizeof(property), CONF_FILE_STEM "%s", f->name);
	if (strcmp(path, theirs) == 0)
		conf_note(x, true, line, property, "%s is %s", f->path, what);
	else if (is_in(theirs, path))
		conf_note(x, true, line, property, "%s holds %s, %s", f->path, what, other);
	else if (folder && is_in(path, theirs))
		conf_note(x, true, line, property, "%s lies in %s, %s", f->path, what, other);
	free(theirs);
}

static void check_one(struct conf_ctx *x, size_t i)
{
	const struct conf *c = x->c;
	const struct conf_file *f = &c->files[i];
	char *path = canonical(f->path);
	int line = x->file_lines[i];

	check_against(x, line, f, path, "the configuration itself", c->path, false);
	for (size_t r = 0; r < conf_row_count; r++) {
		const struct conf_row *row = &conf_rows[r];
		const char *other;

		if (row->later || row->type != CONF_PATH || (other = *(char **)conf_member(c, row)) == NULL)
			continue;
		check_against(x, line, f, path, row->name, other, (row->flags & CONF_F_DIR) != 0);
	}
	for (size_t j = 0; j < i; j++) {
		char *what = mem_xasprintf(CONF_FILE_STEM "%s", c->files[j].name);

		check_against(x, line, f, path, what, c->files[j].path, true);
		free(what);
	}
	free(path);
}

void conf_files_check(struct conf_ctx *x)
{
	for (size_t i = 0; i < x->c->file_count; i++)
		check_one(x, i);
}

void conf_file_take(struct conf_ctx *x, const char *property, int line, const char *text)
{
	const char *name = conf_file_name(property);
	struct conf *c = x->c;
	char *path = NULL;
	size_t n;
	int rc = conf_value_parse(&path, &conf_row_file, text, c->dir);

	if (rc < 0) {
		conf_note(x, true, line, property, "%s", err_text(rc));
	} else if (c->file_count == CONF_FILES_MAX) {
		conf_note(x, true, line, property, "there can be %d companions", CONF_FILES_MAX);
	} else {
		for (n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
			path[n - 1] = '\0';
		conf_file_add(c, name, path);
		for (n = c->file_count - 1; n > 0 && strcmp(c->files[n].name, name) != 0; n--)
			x->file_lines[n] = x->file_lines[n - 1];
		x->file_lines[n] = line;
	}
	free(path);
}

/* --- between processes --- */

json_t *conf_files_json(const struct conf *c)
{
	json_t *files = json_object();

	for (size_t i = 0; i < c->file_count; i++)
		json_object_set_new(files, c->files[i].name, json_string(c->files[i].path));
	return files;
}

int conf_files_from_json(struct conf *c, const json_t *files)
{
	const char *name;
	json_t *path;

	json_object_foreach((json_t *)(uintptr_t)files, name, path) {
		if (!json_is_string(path) || json_string_value(path)[0] != '/' || c->file_count == CONF_FILES_MAX ||
		    strlen(name) > CONF_FILE_NAME_MAX)
			return err_set(KC_EFORMAT, "configuration handed over: companion %s is not right", name);
		conf_file_add(c, name, json_string_value(path));
	}
	return KC_OK;
}
