/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest_parse: JSON of a stranger into the struct. A cursor with the first failure that sticks: each getter names
 * the member that is missing or of the wrong type; the bounds are those that building checks.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/archive.h"
#include "backup/manifest_names.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

struct cursor {
	json_t *object;
	const char *where; /* "" or "database." */
	int *status;
};

static void wrong(struct cursor c, const char *name, const char *why)
{
	if (*c.status == KC_OK)
		*c.status = err_set(KC_EFORMAT, "manifest: %s%s: %s", c.where, name, why);
}

static json_t *get(struct cursor c, const char *name)
{
	json_t *v = json_object_get(c.object, name);

	if (v == NULL)
		wrong(c, name, "missing");
	return v;
}

static int64_t get_int(struct cursor c, const char *name, int64_t min, int64_t max)
{
	json_t *v = get(c, name);
	int64_t n;

	if (v == NULL)
		return 0;
	if (!json_is_integer(v)) {
		wrong(c, name, "not an integer");
		return 0;
	}
	n = json_integer_value(v);
	if (n < min || n > max) {
		wrong(c, name, "out of range");
		return 0;
	}
	return n;
}

static uint64_t get_count(struct cursor c, const char *name)
{
	return (uint64_t)get_int(c, name, 0, MANIFEST_SIZE);
}

/* Borrowed; "" after a failure. jansson refuses NUL inside strings by default. */
static const char *get_text(struct cursor c, const char *name)
{
	json_t *v = get(c, name);

	if (v == NULL)
		return "";
	if (!json_is_string(v)) {
		wrong(c, name, "not a string");
		return "";
	}
	if (json_string_length(v) > MANIFEST_STRING) {
		wrong(c, name, "too long");
		return "";
	}
	return json_string_value(v);
}

/* The one text that may be long. */
static const char *get_files(struct cursor c)
{
	const char *s = json_string_value(get(c, "files"));

	if (s == NULL)
		wrong(c, "files", "not a string");
	return s != NULL ? s : "";
}

static void get_fixed(char *to, size_t size, struct cursor c, const char *name)
{
	const char *s = get_text(c, name);

	if (strlen(s) >= size)
		wrong(c, name, "too long");
	else
		memcpy(to, s, strlen(s) + 1);
}

static int64_t get_time(struct cursor c, const char *name)
{
	const char *s = get_text(c, name);
	int64_t t = 0;

	if (*c.status == KC_OK && clock_parse_utc(&t, s) < 0)
		wrong(c, name, "not a UTC time as 2026-06-19T14:50:59Z");
	return t;
}

static mode_t get_mode(struct cursor c, const char *name)
{
	const char *s = get_text(c, name);

	if (strlen(s) != 4 || s[0] != '0' || strspn(s, "01234567") != 4) {
		wrong(c, name, "not four octal digits");
		return 0;
	}
	return (mode_t)strtoul(s, NULL, 8);
}

/* Each element must be an object; *count of them, bounded. */
static json_t *get_list(struct cursor c, const char *name, size_t max, size_t *count)
{
	json_t *v = get(c, name);

	*count = 0;
	if (v == NULL)
		return NULL;
	if (!json_is_array(v)) {
		wrong(c, name, "not an array");
		return NULL;
	}
	if (json_array_size(v) > max) {
		wrong(c, name, "too many");
		return NULL;
	}
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_object(json_array_get(v, i))) {
			wrong(c, name, "an element that is not an object");
			return NULL;
		}
	*count = json_array_size(v);
	return v;
}

static void parse_database(struct manifest_database *db, struct cursor root)
{
	struct cursor c = { .object = get(root, "database"), .where = "database.", .status = root.status };
	const char *kind;

	if (c.object == NULL)
		return;
	if (!json_is_object(c.object)) {
		wrong(root, "database", "not an object");
		return;
	}
	kind = get_text(c, "kind");
	if (*c.status == KC_OK && strcmp(kind, MANIFEST_DB_KIND) != 0)
		*c.status =
		    err_set(KC_EFORMAT, "manifest: a database of kind \"%s\", which this version does not know", kind);
	db->size = get_count(c, "size");
	db->page_size = (uint32_t)get_int(c, "page_size", 512, 65536);
	get_fixed(db->encoding, sizeof(db->encoding), c, "encoding");
	db->auto_vacuum = (int)get_int(c, "auto_vacuum", 0, 2);
	db->user_version = (int32_t)get_int(c, "user_version", INT32_MIN, INT32_MAX);
	db->application_id = (int32_t)get_int(c, "application_id", INT32_MIN, INT32_MAX);
	get_fixed(db->journal_mode, sizeof(db->journal_mode), c, "journal_mode");
	get_fixed(db->schema_digest, sizeof(db->schema_digest), c, "schema_digest");
	get_fixed(db->content_digest, sizeof(db->content_digest), c, "content_digest");
}

static void parse_lists(struct manifest *m, struct cursor root)
{
	struct cursor c = { .status = root.status };
	json_t *list;
	size_t n;

	list = get_list(root, "tables", MANIFEST_MAX_TABLES, &n);
	c.where = "tables: ";
	for (size_t i = 0; i < n && *c.status == KC_OK; i++) {
		struct manifest_table *t;

		c.object = json_array_get(list, i);
		t = manifest_add_table(m, get_text(c, "name"), get_count(c, "rows"));
		t->inserted = get_count(c, "inserted");
		t->updated = get_count(c, "updated");
		t->deleted = get_count(c, "deleted");
		if (json_object_get(c.object, "delta") != NULL)
			get_fixed(t->delta, sizeof(t->delta), c, "delta");
	}
	list = get_list(root, "sequences", MANIFEST_MAX_TABLES, &n);
	c.where = "sequences: ";
	for (size_t i = 0; i < n && *c.status == KC_OK; i++) {
		c.object = json_array_get(list, i);
		manifest_add_sequence(m, get_text(c, "table"), get_int(c, "value", INT64_MIN, INT64_MAX));
	}
	list = get_list(root, "companions", MANIFEST_MAX_COMPANION, &n);
	c.where = "companions: ";
	for (size_t i = 0; i < n && *c.status == KC_OK; i++) {
		c.object = json_array_get(list, i);
		manifest_add_companion(
		    m, get_text(c, "name"), get_text(c, "file"), get_count(c, "size"), get_mode(c, "mode"));
	}
}

static void parse_trees(struct manifest *m, struct cursor root)
{
	size_t n, entries = 0;
	json_t *list = get_list(root, "trees", MANIFEST_MAX_TREES, &n);

	for (size_t i = 0; i < n && *root.status == KC_OK; i++) {
		struct tree t;

		*root.status = tree_from_json(&t, json_array_get(list, i));
		if (*root.status < 0)
			return;
		manifest_add_tree(m, &t);
		entries += m->trees[i].n;
		if (entries > TREE_ENTRIES_MAX)
			wrong(root, "trees", "too many files and directories");
	}
}

/* The list came later than parent and fork: without it they are all there is, and else its first entry. */
static void parse_ancestry(struct lineage_list *list, struct cursor c)
{
	const json_t *parent = get(c, "parent"), *ancestors = json_object_get(c.object, "ancestors");
	uint64_t fork = get_count(c, "fork");
	const char *name = json_is_null(parent) ? "" : get_text(c, "parent");

	if (*c.status < 0)
		return;
	if (json_is_null(parent) ? fork != 0 : !lineage_is_valid(name))
		wrong(c, "parent", "not 32 hex digits, or a fork without it");
	else if (ancestors != NULL && lineage_from_json(list, ancestors) < 0)
		wrong(c, "ancestors", "not a list of lineages and generations");
	else if (ancestors == NULL && name[0] != '\0')
		lineage_push(list, name, fork);
	else if (list->count > 0 ? strcmp(list->of[0].lineage, name) != 0 || list->of[0].fork != fork : name[0] != '\0')
		wrong(c, "ancestors", "not beginning with parent and fork");
}

static void parse_identity(struct manifest *m, struct cursor c)
{
	const char *kind;
	size_t i;

	get_fixed(m->lineage, sizeof(m->lineage), c, "lineage");
	parse_ancestry(&m->ancestors, c);
	m->generation = get_count(c, "generation");
	m->base = get_count(c, "base");
	kind = get_text(c, "kind");
	for (i = 0; i < 2 && strcmp(kind, manifest_kinds[i]) != 0; i++)
		;
	m->kind = i < 2 ? (enum manifest_kind)i : MANIFEST_FULL;
	if (*c.status == KC_OK && i == 2)
		*c.status =
		    err_set(KC_EFORMAT, "manifest: a backup of kind \"%s\", which this version does not know", kind);
	m->time = get_time(c, "time");
	m->host = mem_xstrdup(get_text(c, "host"));
	m->product = mem_xstrdup(get_text(c, "product"));
}

/* Since format 3. */
static void parse_chain(struct manifest *m, struct cursor c)
{
	if (json_object_get(c.object, "increments") != NULL) {
		get_fixed(m->increments, sizeof(m->increments), c, "increments");
		if (m->increments[0] == '\0')
			wrong(c, "increments", "not an age recipient");
	}
	if (m->kind != MANIFEST_INCREMENTAL)
		return;
	m->chain = get_count(c, "chain");
	get_fixed(m->base_digest, sizeof(m->base_digest), c, "base_digest");
	m->changeset_size = get_count(c, "changeset");
	m->files = mem_xstrdup(get_files(c));
}

static void parse_root(struct manifest *m, struct cursor c)
{
	int64_t format = get_int(c, "format", 1, INT32_MAX);

	if (*c.status == KC_OK && format > MANIFEST_FORMAT)
		*c.status = err_set(KC_EFORMAT, "manifest: format version %lld, this version knows up to %d",
		    (long long)format, MANIFEST_FORMAT);
	if (*c.status < 0)
		return;
	parse_identity(m, c);
	parse_database(&m->db, c);
	if (*c.status == KC_OK)
		parse_lists(m, c);
	/* Format 2 is the one that has them; since then they may be missing. */
	if (*c.status == KC_OK && (format == 2 || (format > 2 && json_object_get(c.object, "trees") != NULL)))
		parse_trees(m, c);
	if (*c.status == KC_OK && format >= 3)
		parse_chain(m, c);
	else if (*c.status == KC_OK && m->kind == MANIFEST_INCREMENTAL)
		wrong(c, "kind", "an increment before format 3");
}

int manifest_parse(struct manifest *m, const void *json, size_t n)
{
	json_error_t error;
	int status = KC_OK;
	json_t *root;

	manifest_init(m);
	if (n > ARCHIVE_MANIFEST_MAX)
		return err_set(KC_EFORMAT, "manifest: %zu bytes (limit %u)", n, ARCHIVE_MANIFEST_MAX);
	root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &error);
	if (root == NULL)
		return err_set(KC_EFORMAT, "manifest: line %d: %s", error.line, error.text);
	if (!json_is_object(root))
		status = err_set(KC_EFORMAT, "manifest: not an object");
	else
		parse_root(m, (struct cursor){ .object = root, .where = "", .status = &status });
	json_decref(root);
	if (status == KC_OK)
		status = manifest_check(m);
	if (status < 0)
		manifest_fini(m);
	return status;
}
