/* SPDX-License-Identifier: Apache-2.0 */
/*
 * issue_replace: another authority in the place of the own one, and back.
 *
 *     authority.new/   the one that is to come, complete before anything moves
 *     authority.swap   its files are being moved to their places: who finds this goes on
 *     authority.old.*  the one before, until the rotation is settled
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "crl.h"
#include "issue_priv.h"

#define FOLDER "authority.new"
#define MARK   "authority.swap"

/* The certificate last: it is what says that the others are there. */
static const char *const suffixes[] = { "crl", "secret", "key", "crt" };
#define SUFFIXES (sizeof(suffixes) / sizeof(suffixes[0]))

static char *path_of(const char *dir, const char *stem, const char *suffix)
{
	char *name = mem_xasprintf("%s%s", stem, suffix), *path = file_join(dir, name);

	free(name);
	return path;
}

static bool is_there(const char *dir, const char *stem, const char *suffix)
{
	char *path = path_of(dir, stem, suffix);
	bool there = file_exists(path);

	free(path);
	return there;
}

/* One file of the three, if it is where it comes from. */
static int move_one(const char *from_dir, const char *from_stem, const char *dir, const char *stem, const char *suffix)
{
	char *from = path_of(from_dir, from_stem, suffix), *to = path_of(dir, stem, suffix);
	int rc = file_exists(from) ? file_rename(from, to) : KC_OK;

	free(from);
	free(to);
	return rc;
}

static int copy_one(const char *dir, const char *suffix)
{
	char *from = path_of(dir, ISSUE_PRESENT, suffix), *to = path_of(dir, ISSUE_BEFORE, suffix);
	struct buf b;
	int rc;

	buf_init(&b, CRL_FILE_MAX);
	rc = file_read(&b, from);
	if (rc == KC_ENOENT && strcmp(suffix, "crl") == 0)
		rc = KC_OK; /* nothing was ever revoked */
	else if (rc == KC_OK)
		rc = file_replace(to, buf_data(&b), buf_len(&b), strcmp(suffix, "crt") == 0 ? 0644 : 0600);
	buf_fini(&b);
	free(from);
	free(to);
	return rc;
}

int issue_authority_finish(const char *secrets_dir)
{
	char *mark = file_join(secrets_dir, MARK), *folder = file_join(secrets_dir, FOLDER);
	int rc = KC_OK;

	if (file_exists(mark)) {
		for (size_t i = 0; rc == KC_OK && i < SUFFIXES; i++)
			rc = move_one(folder, ISSUE_PRESENT, secrets_dir, ISSUE_PRESENT, suffixes[i]);
		if (rc == KC_OK)
			rc = file_sync_dir(secrets_dir);
		if (rc == KC_OK && file_is_dir(folder))
			rc = file_remove_tree(folder);
		if (rc == KC_OK)
			rc = file_remove(mark);
	}
	free(folder);
	free(mark);
	return rc;
}

static int swap(const char *secrets_dir)
{
	char *mark = file_join(secrets_dir, MARK), *list = path_of(secrets_dir, ISSUE_PRESENT, "crl");
	char *folder = file_join(secrets_dir, FOLDER);
	int rc = KC_OK;

	/* One that has revoked nothing does not inherit the other's list. */
	if (!is_there(folder, ISSUE_PRESENT, "crl"))
		rc = file_remove(list);
	if (rc == KC_OK)
		rc = file_replace(mark, "", 0, 0600);
	free(folder);
	free(list);
	free(mark);
	return rc == KC_OK ? issue_authority_finish(secrets_dir) : rc;
}

/* "X", "X G2", "X G3", … Heap. */
static char *next_name(const char *cn)
{
	const char *g = strrchr(cn, ' ');
	char *end;
	long n;

	if (g == NULL || g[1] != 'G')
		return mem_xasprintf("%.55s G2", cn);
	n = strtol(g + 2, &end, 10);
	return *end == '\0' && n > 1 && n < 100000 ? mem_xasprintf("%.*s G%ld", (int)(g - cn), cn, n + 1)
						   : mem_xasprintf("%.55s G2", cn);
}

static enum issue_key same_type(const struct cert_info *info)
{
	enum issue_key key = ISSUE_ECDSA_P256;

	return issue_key_from_name(&key, info->key_type) == KC_OK ? key : ISSUE_ECDSA_P256;
}

bool issue_authority_is_replaced(const char *secrets_dir)
{
	return is_there(secrets_dir, ISSUE_BEFORE, "crt");
}

int issue_authority_replace(const char *secrets_dir)
{
	struct issue_authority *old = NULL;
	char *folder = file_join(secrets_dir, FOLDER), *name = NULL;
	int rc = issue_authority_load(&old, secrets_dir);

	if (rc < 0 || is_there(secrets_dir, ISSUE_BEFORE, "crt")) {
		/* The folder goes with the swap: while it is there, that is still to come. */
		if (rc == KC_OK && file_is_dir(folder))
			rc = swap(secrets_dir);
		issue_authority_free(old);
		free(folder);
		return rc;
	}
	name = next_name(old->info.cn);
	/* What an earlier try left is not complete. */
	if (file_is_dir(folder))
		rc = file_remove_tree(folder);
	if (rc == KC_OK)
		rc = issue_authority_create(folder, name, same_type(&old->info), 0);
	for (size_t i = 0; rc == KC_OK && i < SUFFIXES; i++)
		rc = copy_one(secrets_dir, suffixes[i]);
	if (rc == KC_OK)
		rc = swap(secrets_dir);
	issue_authority_free(old);
	free(folder);
	free(name);
	return rc;
}

int issue_authority_settle(const char *secrets_dir, bool undone)
{
	char *folder = file_join(secrets_dir, FOLDER);
	int rc = issue_authority_finish(secrets_dir);

	if (rc == KC_OK && undone && (is_there(secrets_dir, ISSUE_BEFORE, "crt") || file_is_dir(folder))) {
		rc = file_make_dirs(folder);
		for (size_t i = 0; rc == KC_OK && i < SUFFIXES; i++)
			rc = move_one(secrets_dir, ISSUE_BEFORE, folder, ISSUE_PRESENT, suffixes[i]);
		if (rc == KC_OK)
			rc = swap(secrets_dir);
	}
	for (size_t i = SUFFIXES; rc == KC_OK && !undone && i-- > 0;) {
		char *path = path_of(secrets_dir, ISSUE_BEFORE, suffixes[i]);

		rc = file_exists(path) ? file_remove(path) : KC_OK;
		free(path);
	}
	free(folder);
	return rc;
}
