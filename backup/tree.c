/* SPDX-License-Identifier: Apache-2.0 */
/* tree: the list, its digest and its bounds. */
#include "backup/tree.h"

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "backup/archive.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"

const char *tree_kind_name(enum tree_kind kind)
{
	static const char *const names[] = { "none", "file", "directory" };

	return names[kind];
}

void tree_init(struct tree *t, const char *name)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->name, name, strnlen(name, TREE_NAME_MAX));
}

void tree_fini(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->entries[i].path);
		free(t->entries[i].user);
		free(t->entries[i].group);
	}
	free(t->entries);
	free(t->file);
	memset(t, 0, sizeof(*t));
}

struct tree_entry *tree_add(struct tree *t, const char *path, enum tree_type type)
{
	struct tree_entry *e;

	if ((t->n & (t->n - 1)) == 0)
		t->entries = mem_xrealloc(t->entries, (t->n > 0 ? t->n * 2 : 1) * sizeof(*t->entries));
	e = &t->entries[t->n++];
	memset(e, 0, sizeof(*e));
	e->path = mem_xstrdup(path);
	e->type = type;
	return e;
}

const struct tree_entry *tree_find(const struct tree *t, const char *path)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(path, t->entries[middle].path);

		if (order == 0)
			return &t->entries[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* ---- digest ---- */

static void put_u64(gnutls_hash_hd_t h, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (56 - 8 * i));
	gnutls_hash(h, b, sizeof(b));
}

static void put_text(gnutls_hash_hd_t h, const char *s)
{
	put_u64(h, strlen(s));
	gnutls_hash(h, s, strlen(s));
}

int tree_sum(struct tree *t)
{
	static const char types[] = { 'f', 'd', 'o' };
	gnutls_hash_hd_t h;
	uint8_t d[32];

	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return err_set(KC_EFAIL, "no SHA-256");
	t->size = 0;
	put_text(h, tree_kind_name(t->kind));
	for (size_t i = 0; i < t->n; i++) {
		const struct tree_entry *e = &t->entries[i];

		gnutls_hash(h, &types[e->type], 1);
		put_text(h, e->path);
		put_u64(h, e->mode & TREE_MODE_BITS);
		put_u64(h, e->size);
		put_text(h, e->sha256);
		t->size += e->size;
	}
	gnutls_hash_deinit(h, d);
	hex_encode(t->digest, d, sizeof(d));
	return KC_OK;
}

/* ---- bounds ---- */

bool tree_name_ok(const char *s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t n = strlen(s);

	return n >= 1 && n <= TREE_NAME_MAX && strspn(s, letters) == n && strcspn(s, "0123456789_-") > 0;
}

char *tree_member(const struct tree *t, const struct tree_entry *e)
{
	const char *rest = t->kind == TREE_KIND_FILE ? t->file : e != NULL ? e->path : NULL;

	return mem_xasprintf(ARCHIVE_FILES "%s%s%s", t->name, rest != NULL ? "/" : "", rest != NULL ? rest : "");
}

static int wrong(const struct tree *t, const char *why)
{
	return err_set(KC_EFORMAT, "companion %s: %s", t->name, why);
}

static bool parent_is_there(const struct tree *t, const char *path)
{
	const char *slash = strrchr(path, '/');
	const struct tree_entry *e;
	char *dir;

	if (slash == NULL)
		return true;
	dir = mem_xstrndup(path, (size_t)(slash - path));
	e = tree_find(t, dir);
	free(dir);
	return e != NULL && e->type == TREE_DIR;
}

static int check_entry(const struct tree *t, size_t i)
{
	const struct tree_entry *e = &t->entries[i];
	char *member;
	int rc;

	if (e->type == TREE_OTHER)
		return wrong(t, "neither a file nor a directory in it");
	if (strlen(e->path) > TREE_PATH_MAX)
		return err_set(
		    KC_ELIMIT, "companion %s: a path of %zu bytes (limit %d)", t->name, strlen(e->path), TREE_PATH_MAX);
	if (i > 0 && strcmp(t->entries[i - 1].path, e->path) >= 0)
		return wrong(t, "paths that are not sorted, or one that comes twice");
	if (!parent_is_there(t, e->path))
		return wrong(t, "a path without its directory");
	if ((e->mode & ~(mode_t)TREE_MODE_BITS) != 0 || e->size > 1ULL << 53 || e->mtime < 0 ||
	    e->mtime > 253402300799LL)
		return wrong(t, "mode, size or time out of range");
	if (e->type == TREE_FILE
		? strlen(e->sha256) != TREE_DIGEST_LEN || strspn(e->sha256, "0123456789abcdef") != TREE_DIGEST_LEN
		: e->size != 0 || e->sha256[0] != '\0')
		return wrong(t, "a digest or size that is none");
	member = tree_member(t, e);
	rc = archive_name_check(member);
	free(member);
	return rc < 0 ? err_prefix(rc, "companion %s", t->name) : KC_OK;
}

int tree_check(const struct tree *t)
{
	int rc = KC_OK;

	if (!tree_name_ok(t->name))
		return err_set(KC_EFORMAT, "a companion with a name that is no logical name");
	if (t->n > TREE_ENTRIES_MAX)
		return err_set(
		    KC_ELIMIT, "companion %s: %zu files and directories (limit %d)", t->name, t->n, TREE_ENTRIES_MAX);
	if (t->kind == TREE_KIND_NONE)
		return wrong(t, "neither a file nor a directory");
	if (t->kind == TREE_KIND_FILE && (t->n != 1 || t->entries[0].path[0] != '\0' || t->file == NULL ||
					     strchr(t->file, '/') != NULL || t->entries[0].type != TREE_FILE))
		return wrong(t, "not the one file that it is to be");
	if (t->kind == TREE_KIND_DIR && t->n > 0 && t->entries[0].path[0] == '\0')
		return wrong(t, "an empty path");
	for (size_t i = 0; rc == KC_OK && i < t->n; i++)
		rc = check_entry(t, i);
	return rc;
}
