/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf: loads a file: text, tree, values by the table, checks over several of them. Every problem becomes a note with
 * its line; notes are sorted by line at the end and split into errors and warnings.
 */
#include "conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_int.h"
#include "err.h"
#include "file.h"
#include "mem.h"
#include "str.h"

char *conf_default_path(const char *explicit)
{
	const char *env = getenv("KEYCLONE_CONFIG");

	if (explicit == NULL && env != NULL && env[0] != '\0')
		explicit = env;
	return mem_xstrdup(explicit != NULL ? explicit : SYSCONFDIR "/keyclone/keyclone.properties");
}

static bool below_sysconf(const char *dir)
{
	size_t n = strlen(SYSCONFDIR);

	return strncmp(dir, SYSCONFDIR, n) == 0 && (dir[n] == '/' || dir[n] == '\0');
}

static char *dir_of(bool *system, const char *path)
{
	char *dir = file_dirname(path), *real = realpath(dir, NULL), *cwd = NULL, *abs;

	/* The directory need not exist: then the name as it is. */
	if (dir[0] != '/' && real == NULL)
		cwd = getcwd(NULL, 0);
	abs = cwd != NULL ? file_join(cwd, dir) : mem_xstrdup(dir);
	*system = below_sysconf(abs) || (real != NULL && below_sysconf(real));
	if (real != NULL) {
		free(abs);
		abs = real;
	}
	free(cwd);
	free(dir);
	return abs;
}

void conf_note(struct conf_ctx *x, bool error, int line, const char *name, const char *fmt, ...)
{
	char what[1024], where[24] = "";
	struct conf_note *n;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (line > 0)
		snprintf(where, sizeof(where), ":%d", line);
	x->notes = mem_xrealloc(x->notes, (x->note_count + 1) * sizeof(x->notes[0]));
	n = &x->notes[x->note_count++];
	n->error = error;
	n->line = line;
	n->text =
	    mem_xasprintf("%s%s: %.200s%s%s", x->file, where, name != NULL ? name : "", name != NULL ? ": " : "", what);
	str_printable(n->text);
}

/* --- one leaf of the tree --- */

static void bare_minutes(struct conf_ctx *x, const struct conf_row *row, const char *name, int line, const char *text)
{
	size_t n = strlen(text);

	if (row->type != CONF_DURATION || strcmp(row->detail, "m") != 0 || strspn(text, "0123456789") != n || n > 2)
		return;
	if (atoi(text) >= 1 && atoi(text) <= 24)
		conf_note(x, false, line, name, "%s without a unit means %s minutes, not hours; write %sm or %sh", text,
		    text, text, text);
}

static void take_client(struct conf_ctx *x, const struct conf_row *row, const char *name, int line, const char *text)
{
	bool port;
	int n = conf_client_number(&port, name), rc;

	if (n < 1 || n > CONF_CLONES_MAX) {
		conf_note(x, true, line, name, "there can be %d clones, numbered from 1", CONF_CLONES_MAX);
		return;
	}
	if (port) {
		x->slots[n].port_line = line;
		rc = conf_value_parse(&x->slots[n].port, row, text, NULL);
	} else {
		x->slots[n].host_line = line;
		rc = conf_value_parse(&x->slots[n].host, row, text, NULL);
	}
	if (rc < 0)
		conf_note(x, true, line, name, "%s", err_text(rc));
}

static void take_later(struct conf_ctx *x, const struct conf_row *row, const char *name, int line, const char *text)
{
	union conf_any any = { 0 };
	int rc = conf_value_parse(&any, row, text, x->c->dir);

	if (rc < 0) {
		conf_note(x, true, line, name, "%s", err_text(rc));
		return;
	}
	conf_value_fini(row, &any);
	conf_note(x, false, line, name, "has no effect yet");
}

static void take_leaf(struct conf_ctx *x, const char *name, int line, const char *text)
{
	const struct conf_row *row = conf_row_find(name);
	bool row_is_client = row == &conf_row_ip || row == &conf_row_port;
	void *member;
	int rc;

	if (conf_is_secret(row))
		text = x->secrets[row - conf_rows];
	if (text == NULL) {
		if (!conf_is_secret(row)) /* else it was said already */
			conf_note(x, true, line, name, "must be one value");
		return;
	}
	if (text[0] == '\0') {
		if (row->type == CONF_INT || row->type == CONF_BOOL || row->type == CONF_ENUM ||
		    row->type == CONF_DURATION)
			conf_note(x, true, line, name, "has no value");
		return; /* as if it were not there */
	}
	if (row_is_client) {
		take_client(x, row, name, line, text);
		return;
	}
	if (row == &conf_row_file) {
		conf_file_take(x, name, line, text);
		return;
	}
	if (row->later) {
		take_later(x, row, name, line, text);
		return;
	}
	x->c->lines[row - conf_rows] = line;
	member = conf_member(x->c, row);
	conf_value_fini(row, member); /* the default */
	rc = conf_value_parse(member, row, text, x->c->dir);
	if (rc < 0)
		conf_note(x, true, line, name, "%s", err_text(rc));
	else
		bare_minutes(x, row, name, line, text);
}

/* --- loading --- */

struct conf *conf_new(const char *path)
{
	struct conf *c = mem_xalloc(sizeof(*c));
	bool system;

	c->dir = dir_of(&system, path);
	c->path = file_join(c->dir, file_basename(path));
	for (size_t i = 0; i < conf_row_count; i++) {
		const struct conf_row *row = &conf_rows[i];
		const char *text = system && row->sysdef != NULL ? row->sysdef : row->def;

		if (row->later || text == NULL)
			continue;
		/* A default that does not parse is a mistake in the table; a test walks all of them. */
		if (conf_value_parse(conf_member(c, row), row, text, c->dir) < 0)
			abort();
	}
	return c;
}

void conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < conf_row_count; i++)
		if (!conf_rows[i].later)
			conf_value_fini(&conf_rows[i], conf_member(c, &conf_rows[i]));
	for (size_t i = 0; i < c->clone_count; i++)
		free(c->clones[i].host);
	free(c->clones);
	conf_files_fini(c);
	conf_list_fini(&c->warnings);
	free(c->path);
	free(c->dir);
	free(c);
}

static int by_line(const void *a, const void *b)
{
	int la = ((const struct conf_note *)a)->line, lb = ((const struct conf_note *)b)->line;

	/* What is missing has no line and comes last. */
	if (la == 0 || lb == 0)
		return (la == 0) - (lb == 0);
	return (la > lb) - (la < lb);
}

/* Stable, for notes of the same line. */
static void sort_notes(struct conf_note *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct conf_note note = v[i];
		size_t j = i;

		for (; j > 0 && by_line(&v[j - 1], &note) > 0; j--)
			v[j] = v[j - 1];
		v[j] = note;
	}
}

static int hand_out_notes(struct conf_ctx *x, struct conf_problems *p)
{
	const char *first = NULL;
	size_t errors = 0;
	int rc = KC_OK;

	sort_notes(x->notes, x->note_count);
	for (size_t i = 0; i < x->note_count; i++) {
		const struct conf_note *n = &x->notes[i];

		if (n->error && errors++ == 0)
			first = n->text;
		if (!n->error)
			conf_list_add(&x->c->warnings, n->text);
		if (p != NULL)
			conf_list_add(n->error ? &p->errors : &p->warnings, n->text);
	}
	if (errors == 1)
		rc = err_set(KC_ECONF, "%s", first);
	else if (errors > 1)
		rc = err_set(KC_ECONF, "%s (and %zu more)", first, errors - 1);
	return rc;
}

int conf_load_text(
    struct conf **out, const char *path, const void *text, size_t size, unsigned flags, struct conf_problems *p)
{
	struct conf_ctx x = { .file = path, .c = conf_new(path) };
	int rc;

	config_init(&x.tree);
	if (conf_tree_read(&x, text, size)) {
		conf_tree_walk(&x, take_leaf);
		conf_check(&x, flags);
	}
	rc = hand_out_notes(&x, p);
	config_destroy(&x.tree);
	for (size_t i = 0; i < x.note_count; i++)
		free(x.notes[i].text);
	free(x.notes);
	for (size_t i = 0; i < CONF_ROWS_MAX; i++)
		mem_secret_free(x.secrets[i]);
	for (size_t i = 0; i <= CONF_CLONES_MAX; i++)
		free(x.slots[i].host);
	if (rc < 0)
		conf_free(x.c);
	else
		*out = x.c;
	return rc;
}

int conf_load(struct conf **out, const char *path, unsigned flags, struct conf_problems *p)
{
	struct buf text;
	int rc;

	buf_init(&text, CONF_FILE_MAX);
	rc = file_read(&text, path);
	/* Not there, or not ours to read: what is wrong is still the configuration. */
	if (rc < 0)
		rc = err_set(KC_ECONF, "configuration %s", err_text(rc));
	else
		rc = conf_load_text(out, path, buf_data(&text), buf_len(&text), flags, p);
	buf_fini(&text);
	return rc;
}

void conf_problems_fini(struct conf_problems *p)
{
	conf_list_fini(&p->errors);
	conf_list_fini(&p->warnings);
}
