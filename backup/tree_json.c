/* SPDX-License-Identifier: Apache-2.0 */
/* tree_json: a tree as JSON and back, strictly: it comes from strangers. */
#include <stdlib.h>
#include <string.h>

#include "backup/tree.h"
#include "base/err.h"
#include "base/mem.h"

static json_t *mode_json(mode_t mode)
{
	char text[8];

	snprintf(text, sizeof(text), "%04o", (unsigned)mode & TREE_MODE_BITS);
	return json_string(text);
}

static json_t *entry_json(const struct tree_entry *e)
{
	json_t *j = json_pack("{s:s, s:s, s:o, s:I, s:I, s:I}", "path", e->path, "type",
	    e->type == TREE_DIR ? "directory" : "file", "mode", mode_json(e->mode), "uid", (json_int_t)e->uid, "gid",
	    (json_int_t)e->gid, "mtime", (json_int_t)e->mtime);

	if (j == NULL)
		return NULL;
	if (e->user != NULL)
		json_object_set_new(j, "user", json_string(e->user));
	if (e->group != NULL)
		json_object_set_new(j, "group", json_string(e->group));
	if (e->type == TREE_FILE) {
		json_object_set_new(j, "size", json_integer((json_int_t)e->size));
		json_object_set_new(j, "sha256", json_string(e->sha256));
	}
	return j;
}

json_t *tree_json(const struct tree *t)
{
	json_t *entries = json_array(), *j;

	for (size_t i = 0; i < t->n; i++)
		if (json_array_append_new(entries, entry_json(&t->entries[i])) < 0) {
			json_decref(entries);
			return NULL;
		}
	j = json_pack("{s:s, s:s, s:s, s:I, s:o}", "name", t->name, "kind", tree_kind_name(t->kind), "digest",
	    t->digest, "size", (json_int_t)t->size, "entries", entries);
	if (j != NULL && t->kind == TREE_KIND_FILE)
		json_object_set_new(j, "file", json_string(t->file));
	if (j != NULL && t->kind == TREE_KIND_DIR)
		json_object_set_new(j, "mode", mode_json(t->mode));
	return j;
}

/* ---- parsing ---- */

/* The first failure sticks. */
struct reading {
	const json_t *object;
	int status;
};

static void wrong(struct reading *r, const char *member, const char *why)
{
	if (r->status == KC_OK)
		r->status = err_set(KC_EFORMAT, "companions: %s: %s", member, why);
}

static const char *get_text(struct reading *r, const char *member, size_t max)
{
	const json_t *v = json_object_get(r->object, member);

	if (!json_is_string(v))
		wrong(r, member, "missing, or not a string");
	else if (json_string_length(v) > max)
		wrong(r, member, "too long");
	else
		return json_string_value(v);
	return "";
}

/* NULL where it is missing. */
static char *get_name(struct reading *r, const char *member)
{
	if (json_object_get(r->object, member) == NULL)
		return NULL;
	return mem_xstrdup(get_text(r, member, 255));
}

static uint64_t get_number(struct reading *r, const char *member, uint64_t max)
{
	const json_t *v = json_object_get(r->object, member);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
		wrong(r, member, "missing, not an integer, or out of range");
	else
		return (uint64_t)json_integer_value(v);
	return 0;
}

static mode_t get_mode(struct reading *r, const char *member)
{
	const char *s = get_text(r, member, 4);

	if (strlen(s) != 4 || s[0] != '0' || strspn(s, "01234567") != 4) {
		wrong(r, member, "not four octal digits");
		return 0;
	}
	return (mode_t)strtoul(s, NULL, 8);
}

static int read_entry(struct tree *t, const json_t *j)
{
	struct reading r = { .object = j };
	const char *type = get_text(&r, "type", 16), *path = get_text(&r, "path", TREE_PATH_MAX);
	bool dir = strcmp(type, "directory") == 0;
	struct tree_entry *e = tree_add(t, path, dir ? TREE_DIR : TREE_FILE);

	if (!dir && strcmp(type, "file") != 0)
		wrong(&r, "type", "neither file nor directory");
	e->mode = get_mode(&r, "mode");
	e->uid = (uid_t)get_number(&r, "uid", UINT32_MAX);
	e->gid = (gid_t)get_number(&r, "gid", UINT32_MAX);
	e->user = get_name(&r, "user");
	e->group = get_name(&r, "group");
	e->mtime = (int64_t)get_number(&r, "mtime", INT64_MAX);
	if (!dir) {
		const char *sha256 = get_text(&r, "sha256", TREE_DIGEST_LEN);

		e->size = get_number(&r, "size", 1ULL << 53);
		memcpy(e->sha256, sha256, strlen(sha256) + 1);
	}
	return r.status;
}

static int read_entries(struct tree *t, const json_t *list)
{
	int rc = KC_OK;

	if (!json_is_array(list))
		return err_set(KC_EFORMAT, "companions: entries: missing, or not an array");
	if (json_array_size(list) > TREE_ENTRIES_MAX)
		return err_set(
		    KC_ELIMIT, "companions: %zu entries (limit %d)", json_array_size(list), TREE_ENTRIES_MAX);
	for (size_t i = 0; rc == KC_OK && i < json_array_size(list); i++)
		rc = read_entry(t, json_array_get(list, i));
	return rc;
}

static int read_tree(struct tree *t, const json_t *j)
{
	struct reading r = { .object = j };
	const char *name = get_text(&r, "name", TREE_NAME_MAX), *kind = get_text(&r, "kind", 16),
		   *digest = get_text(&r, "digest", TREE_DIGEST_LEN);
	uint64_t size = get_number(&r, "size", UINT64_MAX >> 1);
	int rc;

	tree_init(t, name);
	if (strcmp(kind, "file") == 0) {
		t->kind = TREE_KIND_FILE;
		t->file = mem_xstrdup(get_text(&r, "file", 255));
	} else if (strcmp(kind, "directory") == 0) {
		t->kind = TREE_KIND_DIR;
		t->mode = get_mode(&r, "mode");
	} else {
		wrong(&r, "kind", "neither file nor directory");
	}
	rc = r.status;
	if (rc == KC_OK)
		rc = read_entries(t, json_object_get(j, "entries"));
	if (rc == KC_OK)
		rc = tree_check(t);
	if (rc == KC_OK)
		rc = tree_sum(t);
	if (rc == KC_OK && (strcmp(t->digest, digest) != 0 || t->size != size))
		rc = err_set(KC_EFORMAT, "companion %s: its digest or size is not that of its entries", t->name);
	return rc;
}

int tree_from_json(struct tree *t, const json_t *j)
{
	int rc = read_tree(t, j);

	if (rc < 0)
		tree_fini(t);
	return rc;
}
