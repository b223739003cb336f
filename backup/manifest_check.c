/* SPDX-License-Identifier: Apache-2.0 */
/* manifest_check: the bounds of a manifest, of one that is built and of one that was read. */
#include <stdlib.h>
#include <string.h>

#include "backup/archive.h"
#include "backup/companions.h"
#include "backup/manifest_names.h"
#include "base/err.h"
#include "base/mem.h"

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

static int check_recipient(const char *s)
{
	struct age_recipient r;

	return age_recipient_parse(&r, s) < 0 ? wrong("increments", "not an age recipient") : KC_OK;
}

/* NAME:DIGEST with a blank between, sorted, no name twice; "": none. */
static int check_files(const char *text)
{
	char name[TREE_NAME_MAX + 1], last[TREE_NAME_MAX + 1] = "";

	if (text == NULL || strlen(text) >= COMPANIONS_TEXT)
		return wrong("files", "missing, or too long");
	while (*text != '\0') {
		size_t n = strcspn(text, ":");

		if (text[n] != ':' || n > TREE_NAME_MAX)
			return wrong("files", "not names with digests");
		memcpy(name, text, n);
		name[n] = '\0';
		text += n + 1;
		if (!tree_name_ok(name) || strcmp(last, name) >= 0)
			return wrong("files", "a name that is no logical name, or not sorted by name");
		memcpy(last, name, sizeof(last));
		if (strspn(text, "0123456789abcdef") != MANIFEST_DIGEST_LEN)
			return wrong("files", "not 64 hex digits");
		text += MANIFEST_DIGEST_LEN;
		if (*text != '\0' && (text[0] != ' ' || text[1] == '\0'))
			return wrong("files", "not a blank between names");
		text += *text == ' ';
	}
	return KC_OK;
}

/* What a full has for its increments, and what an increment says of its chain. */
static int check_chain(const struct manifest *m)
{
	if (m->kind == MANIFEST_FULL)
		return m->increments[0] == '\0' ? KC_OK : check_recipient(m->increments);
	if (m->increments[0] != '\0')
		return wrong("increments", "nothing builds on an increment but its chain");
	if (m->base == 0)
		return wrong("base", "an increment without one");
	if (m->chain == 0 || m->chain > m->base)
		return wrong("chain", "not a generation up to the base");
	if (!is_hex(m->base_digest, MANIFEST_DIGEST_LEN))
		return wrong("base_digest", "not 64 hex digits");
	if (too_large(m->changeset_size))
		return wrong("changeset", "out of range");
	return check_files(m->files);
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
		    too_large(t->updated) || too_large(t->deleted) ||
		    (t->delta[0] != '\0' && !is_hex(t->delta, MANIFEST_DIGEST_LEN))) {
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

/* An increment has all companions or none. */
static int check_all_trees(const struct manifest *m)
{
	char text[COMPANIONS_TEXT];

	companions_text(text, m->trees, m->n_trees);
	return m->n_trees == 0 || strcmp(text, m->files) == 0 ? KC_OK : wrong("files", "not those of the trees");
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
	return rc == KC_OK && m->kind == MANIFEST_INCREMENTAL ? check_all_trees(m) : rc;
}

int manifest_check(const struct manifest *m)
{
	int rc;

	if ((rc = check_identity(m)) < 0 || (rc = check_chain(m)) < 0 || (rc = check_database(&m->db)) < 0 ||
	    (rc = check_tables(m)) < 0 || (rc = check_sequences(m)) < 0 || (rc = check_trees(m)) < 0)
		return rc;
	return check_companions(m);
}
