/* SPDX-License-Identifier: Apache-2.0 */
/* manifest: the struct, its bounds, and the JSON text of it. */
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

void manifest_init(struct manifest *m)
{
	memset(m, 0, sizeof(*m));
}

void manifest_fini(struct manifest *m)
{
	free(m->host);
	free(m->product);
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
	size_t count = 1 + m->n_companions;

	for (size_t i = 0; i < m->n_trees; i++)
		count += 1 + m->trees[i].n;
	members = mem_xcalloc(count, sizeof(*members));
	*n = 0;
	add_member(members, n, mem_xstrdup(ARCHIVE_DATABASE), m->db.size);
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

/* ---- bounds ---- */

static int wrong(const char *member, const char *why)
{
	return err_set(KC_EFORMAT, "manifest: %s: %s", member, why);
}

static bool is_hex(const char *s, size_t len)
{
	return strlen(s) == len && strspn(s, "0123456789abcdef") == len;
}

static bool one_of(const char *s, const char *const *list)
{
	while (*list != NULL && strcmp(s, *list) != 0)
		list++;
	return *list != NULL;
}

static bool too_large(uint64_t v)
{
	return v > (uint64_t)MANIFEST_SIZE;
}

static int check_identity(const struct manifest *m)
{
	if (!is_hex(m->lineage, MANIFEST_LINEAGE_LEN))
		return wrong("lineage", "not 32 hex digits");
	if (m->ancestors.count > LINEAGE_MAX || lineage_find(&m->ancestors, m->lineage) != NULL)
		return wrong("ancestors", "the lineage itself, or too many");
	for (size_t i = 0; i < m->ancestors.count; i++)
		if (!lineage_is_valid(m->ancestors.of[i].lineage) || too_large(m->ancestors.of[i].fork))
			return wrong("ancestors", "not a lineage and a generation");
	if (too_large(m->generation))
		return wrong("generation", "out of range");
	if (m->base != 0 && m->base >= m->generation)
		return wrong("base", "not before the generation");
	if (m->time < 0 || m->time > 253402300799LL)
		return wrong("time", "out of range");
	if (m->host == NULL || m->host[0] == '\0' || strlen(m->host) > 255)
		return wrong("host", "empty or over 255 bytes");
	if (m->product == NULL || m->product[0] == '\0' || strlen(m->product) > 255)
		return wrong("product", "empty or over 255 bytes");
	return KC_OK;
}

static int check_database(const struct manifest_database *db)
{
	static const char *const encodings[] = { "UTF-8", "UTF-16le", "UTF-16be", NULL };
	static const char *const modes[] = { "delete", "truncate", "persist", "memory", "wal", "off", NULL };

	if (too_large(db->size))
		return wrong("database.size", "out of range");
	if (db->page_size < 512 || db->page_size > 65536 || (db->page_size & (db->page_size - 1)) != 0)
		return wrong("database.page_size", "not a power of two from 512 to 65536");
	if (!one_of(db->encoding, encodings))
		return wrong("database.encoding", "not one of SQLite's");
	if (db->auto_vacuum < 0 || db->auto_vacuum > 2)
		return wrong("database.auto_vacuum", "not 0, 1 or 2");
	if (!one_of(db->journal_mode, modes))
		return wrong("database.journal_mode", "not one of SQLite's");
	if (!is_hex(db->schema_digest, MANIFEST_DIGEST_LEN))
		return wrong("database.schema_digest", "not 64 hex digits");
	if (!is_hex(db->content_digest, MANIFEST_DIGEST_LEN))
		return wrong("database.content_digest", "not 64 hex digits");
	return KC_OK;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* No two of n names are the same. Takes `names`, sorts it. */
static int check_unique(const char **names, size_t n, const char *member)
{
	int rc = KC_OK;

	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 1; i < n && rc == KC_OK; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			rc = wrong(member, "a name comes twice");
	free(names);
	return rc;
}

static int check_tables(const struct manifest *m)
{
	const char **names;

	if (m->n_tables > MANIFEST_MAX_TABLES)
		return err_set(KC_ELIMIT, "manifest: tables: %zu (limit %d)", m->n_tables, MANIFEST_MAX_TABLES);
	if (m->n_sequences > MANIFEST_MAX_TABLES)
		return err_set(KC_ELIMIT, "manifest: sequences: %zu (limit %d)", m->n_sequences, MANIFEST_MAX_TABLES);
	names = mem_xcalloc(m->n_tables, sizeof(*names));
	for (size_t i = 0; i < m->n_tables; i++) {
		const struct manifest_table *t = &m->tables[i];

		names[i] = t->name;
		if (strlen(t->name) > MANIFEST_STRING || too_large(t->rows) || too_large(t->inserted) ||
		    too_large(t->updated) || too_large(t->deleted)) {
			free(names);
			return wrong("tables", "out of range");
		}
	}
	return check_unique(names, m->n_tables, "tables");
}

/* sqlite_sequence has no key: a table may come twice, and SQLite lives with it. */
static int check_sequences(const struct manifest *m)
{
	for (size_t i = 0; i < m->n_sequences; i++)
		if (strlen(m->sequences[i].table) > MANIFEST_STRING)
			return wrong("sequences", "out of range");
	return KC_OK;
}

static int check_companion(const struct manifest_companion *c)
{
	char *member;
	int rc;

	if (!tree_name_ok(c->name))
		return wrong("companions", "a name that is no logical name");
	if (strchr(c->file, '/') != NULL)
		return wrong("companions", "a file with a slash");
	if (too_large(c->size) || (c->mode & ~(mode_t)0777) != 0)
		return wrong("companions", "size or mode out of range");
	member = manifest_companion_member(c);
	rc = archive_name_check(member);
	free(member);
	return rc < 0 ? wrong("companions", "a file that cannot be a member's name") : KC_OK;
}

static int check_companions(const struct manifest *m)
{
	const char **names;
	int rc;

	if (m->n_companions > MANIFEST_MAX_COMPANION)
		return err_set(
		    KC_ELIMIT, "manifest: companions: %zu (limit %d)", m->n_companions, MANIFEST_MAX_COMPANION);
	for (size_t i = 0; i < m->n_companions; i++)
		if ((rc = check_companion(&m->companions[i])) < 0)
			return rc;
	names = mem_xcalloc(m->n_companions + m->n_trees, sizeof(*names));
	for (size_t i = 0; i < m->n_companions; i++)
		names[i] = m->companions[i].name;
	for (size_t i = 0; i < m->n_trees; i++)
		names[m->n_companions + i] = m->trees[i].name;
	return check_unique(names, m->n_companions + m->n_trees, "companions");
}

static int check_trees(const struct manifest *m)
{
	size_t entries = 0;
	int rc = KC_OK;

	if (m->n_trees > MANIFEST_MAX_TREES)
		return err_set(KC_ELIMIT, "manifest: trees: %zu (limit %d)", m->n_trees, MANIFEST_MAX_TREES);
	for (size_t i = 0; rc == KC_OK && i < m->n_trees; i++) {
		entries += m->trees[i].n;
		if (i > 0 && strcmp(m->trees[i - 1].name, m->trees[i].name) >= 0)
			return wrong("trees", "not sorted by name");
		rc = tree_check(&m->trees[i]);
	}
	if (rc == KC_OK && entries > TREE_ENTRIES_MAX)
		rc = err_set(
		    KC_ELIMIT, "manifest: trees: %zu files and directories (limit %d)", entries, TREE_ENTRIES_MAX);
	return rc;
}

int manifest_check(const struct manifest *m)
{
	int rc;

	if ((rc = check_identity(m)) < 0 || (rc = check_database(&m->db)) < 0 || (rc = check_tables(m)) < 0 ||
	    (rc = check_sequences(m)) < 0 || (rc = check_trees(m)) < 0)
		return rc;
	return check_companions(m);
}

/* ---- building ---- */

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

		if (json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I}", "name", t->name, "rows",
						    (json_int_t)t->rows, "inserted", (json_int_t)t->inserted, "updated",
						    (json_int_t)t->updated, "deleted", (json_int_t)t->deleted)) < 0) {
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

/* json_pack takes the references that are given as 'o', also when it fails. */
static json_t *build(const struct manifest *m)
{
	const struct lineage_list *a = &m->ancestors;
	char when[CLOCK_UTC_SIZE];

	clock_utc(when, m->time);
	return json_pack("{s:i, s:s, s:o, s:I, s:o, s:I, s:I, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o*}", "format",
	    m->n_trees > 0 ? MANIFEST_FORMAT : 1, "lineage", m->lineage, "parent",
	    text_or_null(a->count > 0 ? a->of[0].lineage : ""), "fork", (json_int_t)(a->count > 0 ? a->of[0].fork : 0),
	    "ancestors", lineage_json(a), "generation", (json_int_t)m->generation, "base", (json_int_t)m->base, "kind",
	    MANIFEST_KIND, "time", when, "host", m->host, "product", m->product, "database", build_database(&m->db),
	    "tables", build_tables(m), "sequences", build_sequences(m), "companions", build_companions(m), "trees",
	    m->n_trees > 0 ? build_trees(m) : NULL);
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
