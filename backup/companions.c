/* SPDX-License-Identifier: Apache-2.0 */
/* companions: the set as a text, as a stamp; lists of trees as files. */
#include "backup/companions.h"

#include <fnmatch.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "backup/archive.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

const char *companion_path(const struct companion_paths *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->of[i].name, name) == 0)
			return p->of[i].path;
	return NULL;
}

bool companion_is_rewritten(const struct companion_paths *p, const char *name, const char *path)
{
	char *whole = mem_xasprintf("%s/%s", name, path);
	bool found = false;

	for (size_t i = 0; i < p->n_rewritten && !found; i++)
		found = fnmatch(p->rewritten[i], whole, 0) == 0;
	free(whole);
	return found;
}

void companions_text(char text[COMPANIONS_TEXT], const struct tree *trees, size_t n)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n && i < COMPANIONS_MAX; i++)
		at += (size_t)snprintf(
		    text + at, COMPANIONS_TEXT - at, "%s%s:%s", i > 0 ? " " : "", trees[i].name, trees[i].digest);
}

bool companions_digest(char digest[TREE_DIGEST_LEN + 1], const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; *p != '\0';) {
		size_t len = strcspn(p, " ");

		if (len == n + 1 + TREE_DIGEST_LEN && memcmp(p, name, n) == 0 && p[n] == ':') {
			memcpy(digest, p + n + 1, TREE_DIGEST_LEN);
			digest[TREE_DIGEST_LEN] = '\0';
			return true;
		}
		p += len;
		p += *p == ' ';
	}
	return false;
}

int companions_now(char text[COMPANIONS_TEXT], const struct companion_paths *p, int (*alive)(void *arg), void *arg)
{
	const struct tree_walk_options o = { .flags = TREE_READ, .alive = alive, .arg = arg };
	struct tree *trees = mem_xcalloc(p->n + 1, sizeof(*trees));
	size_t n = 0;
	int rc = KC_OK;

	while (rc == KC_OK && n < p->n && n < COMPANIONS_MAX) {
		tree_init(&trees[n], p->of[n].name);
		rc = tree_walk(&trees[n], p->of[n].path, &o);
		if (rc == KC_OK && trees[n].kind == TREE_KIND_NONE)
			rc = err_set(KC_ENOENT, "%s: the companion %s is missing", p->of[n].path, p->of[n].name);
		n++;
	}
	if (rc == KC_OK)
		companions_text(text, trees, n);
	while (n > 0)
		tree_fini(&trees[--n]);
	free(trees);
	return rc;
}

/* ---- stamps ---- */

static int add_stamp(gnutls_hash_hd_t h, bool *settled, const struct tree *t)
{
	char one[TREE_DIGEST_LEN + 1];
	bool calm;
	int rc = tree_stamp(one, &calm, t);

	if (rc < 0)
		return rc;
	gnutls_hash(h, t->name, strlen(t->name) + 1);
	gnutls_hash(h, one, sizeof(one));
	*settled = *settled && calm;
	return KC_OK;
}

static int end_stamp(char stamp[TREE_DIGEST_LEN + 1], gnutls_hash_hd_t h)
{
	uint8_t d[32];

	gnutls_hash_deinit(h, d);
	hex_encode(stamp, d, sizeof(d));
	return KC_OK;
}

int companions_stamp_of(char stamp[TREE_DIGEST_LEN + 1], bool *settled, const struct tree *trees, size_t n)
{
	gnutls_hash_hd_t h;
	int rc = KC_OK;

	*settled = true;
	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return err_set(KC_EFAIL, "no SHA-256");
	for (size_t i = 0; rc == KC_OK && i < n; i++)
		rc = add_stamp(h, settled, &trees[i]);
	end_stamp(stamp, h);
	return rc;
}

int companions_stamp(char stamp[TREE_DIGEST_LEN + 1], bool *settled, const struct companion_paths *p)
{
	const struct tree_walk_options o = { .flags = TREE_LAX };
	gnutls_hash_hd_t h;
	struct tree t;
	int rc = KC_OK;

	*settled = true;
	if (gnutls_hash_init(&h, GNUTLS_DIG_SHA256) < 0)
		return err_set(KC_EFAIL, "no SHA-256");
	for (size_t i = 0; rc == KC_OK && i < p->n; i++) {
		tree_init(&t, p->of[i].name);
		/* What cannot be read is said by the backup, which tries. */
		if (tree_walk(&t, p->of[i].path, &o) < 0)
			*settled = false;
		rc = add_stamp(h, settled, &t);
		tree_fini(&t);
	}
	end_stamp(stamp, h);
	return rc;
}

/* ---- lists as files ---- */

int companions_save(const struct tree *t, const char *path)
{
	json_t *j = tree_json(t);
	char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;
	int rc = text != NULL ? file_replace(path, text, strlen(text), 0600)
			      : err_set(KC_EFORMAT, "companion %s: a name that is not UTF-8", t->name);

	free(text);
	json_decref(j);
	return rc;
}

int companions_load(struct tree *t, const char *path)
{
	json_error_t error;
	struct buf b;
	json_t *j = NULL;
	int rc;

	buf_init(&b, ARCHIVE_MANIFEST_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK) {
		j = json_loadb((const char *)buf_data(&b), buf_len(&b), JSON_REJECT_DUPLICATES, &error);
		rc = j != NULL ? tree_from_json(t, j) : err_set(KC_EFORMAT, "%s: %s", path, error.text);
	}
	json_decref(j);
	buf_fini(&b);
	return rc;
}

/* Through links: beside the database itself. */
static char *applied_path(const char *keydb_path, const char *name)
{
	char *real = realpath(keydb_path, NULL), *dir = file_dirname(real != NULL ? real : keydb_path);
	char *path = mem_xasprintf("%s/.keyclone/trees/%s.json", dir, name);

	free(dir);
	free(real);
	return path;
}

int companions_load_applied(struct tree *t, const char *keydb_path, const char *name)
{
	char *path = applied_path(keydb_path, name);
	int rc = companions_load(t, path);

	free(path);
	return rc;
}

int companions_save_applied(const struct tree *t, const char *keydb_path)
{
	char *path = applied_path(keydb_path, t->name), *dir = file_dirname(path);
	int rc = file_make_dirs(dir);

	if (rc == KC_OK)
		rc = companions_save(t, path);
	free(dir);
	free(path);
	return rc;
}
