/* SPDX-License-Identifier: Apache-2.0 */
/* manifest: the struct, and the JSON text of it. */
#include "backup/manifest.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/archive.h"
#include "backup/manifest_names.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

const char *const manifest_kinds[2] = { [MANIFEST_FULL] = "full", [MANIFEST_INCREMENTAL] = "incremental" };

void manifest_init(struct manifest *m)
{
	memset(m, 0, sizeof(*m));
}

void manifest_fini(struct manifest *m)
{
	free(m->host);
	free(m->product);
	free(m->files);
	for (size_t i = 0; i < m->n_tables; i++)
		free(m->tables[i].name);
	for (size_t i = 0; i < m->n_sequences; i++)
		free(m->sequences[i].table);
	for (size_t i = 0; i < m->n_companions; i++) {
		free(m->companions[i].name);
		free(m->companions[i].file);
	}
	free(m->tables);
	free(m->sequences);
	free(m->companions);
	for (size_t i = 0; i < m->n_trees; i++)
		tree_fini(&m->trees[i]);
	free(m->trees);
	manifest_init(m);
}

struct manifest_table *manifest_add_table(struct manifest *m, const char *name, uint64_t rows)
{
	struct manifest_table *t;

	m->tables = mem_xrealloc(m->tables, (m->n_tables + 1) * sizeof(*m->tables));
	t = &m->tables[m->n_tables++];
	*t = (struct manifest_table){ .name = mem_xstrdup(name), .rows = rows };
	return t;
}

void manifest_add_sequence(struct manifest *m, const char *table, int64_t value)
{
	m->sequences = mem_xrealloc(m->sequences, (m->n_sequences + 1) * sizeof(*m->sequences));
	m->sequences[m->n_sequences++] = (struct manifest_sequence){ .table = mem_xstrdup(table), .value = value };
}

void manifest_add_companion(struct manifest *m, const char *name, const char *file, uint64_t size, mode_t mode)
{
	m->companions = mem_xrealloc(m->companions, (m->n_companions + 1) * sizeof(*m->companions));
	m->companions[m->n_companions++] = (struct manifest_companion){
		.name = mem_xstrdup(name), .file = mem_xstrdup(file), .size = size, .mode = mode
	};
}

void manifest_add_tree(struct manifest *m, struct tree *t)
{
	m->trees = mem_xrealloc(m->trees, (m->n_trees + 1) * sizeof(*m->trees));
	m->trees[m->n_trees++] = *t;
	tree_init(t, "");
}

char *manifest_companion_member(const struct manifest_companion *c)
{
	return mem_xasprintf(ARCHIVE_FILES "%s/%s", c->name, c->file);
}

char *manifest_changes_text(char out[MANIFEST_CHANGES_TEXT], const struct manifest *m)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < m->n_tables && n < MANIFEST_CHANGES_TEXT; i++) {
		const struct manifest_table *t = &m->tables[i];

		if (t->inserted + t->updated + t->deleted == 0)
			continue;
		n += (size_t)snprintf(out + n, MANIFEST_CHANGES_TEXT - n, "%s%s +%llu ~%llu -%llu", n > 0 ? ", " : "",
		    t->name, (unsigned long long)t->inserted, (unsigned long long)t->updated,
		    (unsigned long long)t->deleted);
	}
	return out;
}

static void add_member(struct archive_member *members, size_t *n, char *name, uint64_t size)
{
	members[*n].name = name;
	members[(*n)++].size = size;
}

/* A directory's root comes first. */
static void add_tree_members(struct archive_member *members, size_t *n, const struct tree *t)
{
	if (t->kind == TREE_KIND_DIR) {
		members[*n].directory = true;
		add_member(members, n, tree_member(t, NULL), 0);
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct tree_entry *e = &t->entries[i];

		members[*n].directory = e->type == TREE_DIR;
		memcpy(members[*n].sha256, e->sha256, sizeof(e->sha256));
		add_member(members, n, tree_member(t, e), e->size);
	}
}

struct archive_member *manifest_members(const struct manifest *m, size_t *n)
{
	struct archive_member *members;
	size_t count = 2 + m->n_companions;

	for (size_t i = 0; i < m->n_trees; i++)
		count += 1 + m->trees[i].n;
	members = mem_xcalloc(count, sizeof(*members));
	*n = 0;
	if (m->increments[0] != '\0')
		add_member(members, n, mem_xstrdup(ARCHIVE_INCREMENTS), MANIFEST_INCREMENTS_SIZE);
	if (m->kind == MANIFEST_FULL)
		add_member(members, n, mem_xstrdup(ARCHIVE_DATABASE), m->db.size);
	else
		add_member(members, n, mem_xstrdup(ARCHIVE_CHANGESET), m->changeset_size);
	for (size_t i = 0; i < m->n_companions; i++)
		add_member(members, n, manifest_companion_member(&m->companions[i]), m->companions[i].size);
	for (size_t i = 0; i < m->n_trees; i++)
		add_tree_members(members, n, &m->trees[i]);
	return members;
}

void manifest_members_free(struct archive_member *members, size_t n)
{
	for (size_t i = 0; members != NULL && i < n; i++)
		free(members[i].name);
	free(members);
}

static json_t *text_or_null(const char *s)
{
	return s[0] != '\0' ? json_string(s) : json_null();
}

static json_t *build_database(const struct manifest_database *db)
{
	return json_pack("{s:s, s:I, s:I, s:s, s:i, s:i, s:i, s:s, s:s, s:s}", "kind", MANIFEST_DB_KIND, "size",
	    (json_int_t)db->size, "page_size", (json_int_t)db->page_size, "encoding", db->encoding, "auto_vacuum",
	    db->auto_vacuum, "user_version", (int)db->user_version, "application_id", (int)db->application_id,
	    "journal_mode", db->journal_mode, "schema_digest", db->schema_digest, "content_digest", db->content_digest);
}

static json_t *build_tables(const struct manifest *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_tables; i++) {
		const struct manifest_table *t = &m->tables[i];

		if (json_array_append_new(
			list, json_pack("{s:s, s:I, s:I, s:I, s:I, s:s*}", "name", t->name, "rows", (json_int_t)t->rows,
				  "inserted", (json_int_t)t->inserted, "updated", (json_int_t)t->updated, "deleted",
				  (json_int_t)t->deleted, "delta", t->delta[0] != '\0' ? t->delta : NULL)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *build_sequences(const struct manifest *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_sequences; i++)
		if (json_array_append_new(list, json_pack("{s:s, s:I}", "table", m->sequences[i].table, "value",
						    (json_int_t)m->sequences[i].value)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *build_companions(const struct manifest *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_companions; i++) {
		const struct manifest_companion *c = &m->companions[i];
		char mode[8];

		snprintf(mode, sizeof(mode), "%04o", (unsigned)c->mode & 0777);
		if (json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:s}", "name", c->name, "file", c->file,
						    "size", (json_int_t)c->size, "mode", mode)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *build_trees(const struct manifest *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n_trees; i++)
		if (json_array_append_new(list, tree_json(&m->trees[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* The first that can say it. */
static int format_of(const struct manifest *m)
{
	return m->kind == MANIFEST_INCREMENTAL || m->increments[0] != '\0' ? 3 : m->n_trees > 0 ? 2 : 1;
}

static void add_chain(json_t *root, const struct manifest *m)
{
	if (m->increments[0] != '\0')
		json_object_set_new(root, "increments", json_string(m->increments));
	if (m->kind != MANIFEST_INCREMENTAL)
		return;
	json_object_set_new(root, "chain", json_integer((json_int_t)m->chain));
	json_object_set_new(root, "base_digest", json_string(m->base_digest));
	json_object_set_new(root, "changeset", json_integer((json_int_t)m->changeset_size));
	json_object_set_new(root, "files", json_string(m->files));
}

/* json_pack takes the references that are given as 'o', also when it fails. */
static json_t *build(const struct manifest *m)
{
	const struct lineage_list *a = &m->ancestors;
	char when[CLOCK_UTC_SIZE];
	json_t *root;

	clock_utc(when, m->time);
	root = json_pack("{s:i, s:s, s:o, s:I, s:o, s:I, s:I, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o*}", "format",
	    format_of(m), "lineage", m->lineage, "parent", text_or_null(a->count > 0 ? a->of[0].lineage : ""), "fork",
	    (json_int_t)(a->count > 0 ? a->of[0].fork : 0), "ancestors", lineage_json(a), "generation",
	    (json_int_t)m->generation, "base", (json_int_t)m->base, "kind", manifest_kinds[m->kind], "time", when,
	    "host", m->host, "product", m->product, "database", build_database(&m->db), "tables", build_tables(m),
	    "sequences", build_sequences(m), "companions", build_companions(m), "trees",
	    m->n_trees > 0 ? build_trees(m) : NULL);
	if (root != NULL)
		add_chain(root, m);
	return root;
}

static int dump_to_buf(const char *data, size_t n, void *arg)
{
	buf_put(arg, data, n);
	return ((struct buf *)arg)->failed ? -1 : 0;
}

int manifest_build(struct buf *json, const struct manifest *m)
{
	json_t *root;
	int rc = manifest_check(m);

	if (rc < 0)
		return rc;
	if ((root = build(m)) == NULL)
		return err_set(KC_EFORMAT, "manifest: a string that is not UTF-8");
	if (json_dump_callback(root, dump_to_buf, json, JSON_INDENT(1)) < 0)
		rc = err_set(KC_ELIMIT, "manifest: longer than %zu bytes", json->cap);
	json_decref(root);
	if (rc == KC_OK) {
		buf_put_str(json, "\n");
		rc = buf_status(json);
	}
	return rc;
}
