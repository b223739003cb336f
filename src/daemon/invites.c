/* SPDX-License-Identifier: Apache-2.0 */
/* invites: a few lines of text, read and written as a whole. */
#include "invites.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "keystore/layout.h"

#define FILE_MAX 65536
#define HEX_KEY	 (2 * INVITE_KEY_BYTES + 1)

void invites_fini(struct invites *t)
{
	mem_secret_free(t->entries);
	*t = (struct invites){ NULL, 0 };
}

static void make_room(struct invites *t)
{
	*t = (struct invites){ mem_secret_new((INVITES_MAX + 1) * sizeof(struct invites_entry)), 0 };
}

/* --- the file --- */

static bool parse_line(struct invites_entry *e, const char *line)
{
	char psk[HEX_KEY], proof[HEX_KEY];
	bool good = sscanf(line, "%16[0-9a-f] %" SCNd64 " %" SCNd64 " %" SCNu64 " %64[0-9a-f] %64[0-9a-f] %64[0-9a-f]",
			e->keys.id, &e->made, &e->expires, &e->uses, e->authority, psk, proof) == 7 &&
		    strlen(e->keys.id) == INVITE_ID_SIZE - 1 && strlen(e->authority) == CERT_HEX_SIZE - 1 &&
		    hex_decode(e->keys.psk, INVITE_KEY_BYTES, psk) &&
		    hex_decode(e->keys.proof, INVITE_KEY_BYTES, proof);

	mem_wipe(psk, sizeof(psk));
	mem_wipe(proof, sizeof(proof));
	return good;
}

/* What is no line of ours is passed over, and gone with the next write. *stale: so is what is past its time. */
static int read_all(struct invites *t, bool *stale, const char *path)
{
	int64_t now = (int64_t)time(NULL);
	struct buf b;
	const char *line;
	int rc = KC_OK;

	*stale = false;
	make_room(t);
	buf_init(&b, FILE_MAX);
	if (file_exists(path))
		rc = file_read_secret(&b, path);
	for (line = rc == KC_OK ? buf_str(&b) : NULL; line != NULL && *line != '\0' && t->count < INVITES_MAX;) {
		const char *end = strchr(line, '\n');
		struct invites_entry *e = &t->entries[t->count];

		if (parse_line(e, line) && e->uses > 0 && e->expires > now)
			t->count++;
		else
			*stale = *stale || *line != '#';
		line = end != NULL ? end + 1 : NULL;
	}
	buf_fini(&b);
	if (rc < 0)
		invites_fini(t);
	return rc;
}

static int write_all(const struct invites *t, const char *path)
{
	char psk[HEX_KEY], proof[HEX_KEY];
	struct buf b;
	int rc;

	buf_init(&b, FILE_MAX);
	buf_put_str(&b, "# Enrolment tokens: id, made, expires, uses left, authority, keys. keyclone enroll list\n");
	for (size_t i = 0; i < t->count; i++) {
		const struct invites_entry *e = &t->entries[i];

		hex_encode(psk, e->keys.psk, INVITE_KEY_BYTES);
		hex_encode(proof, e->keys.proof, INVITE_KEY_BYTES);
		buf_putf(&b, "%s %" PRId64 " %" PRId64 " %" PRIu64 " %s %s %s\n", e->keys.id, e->made, e->expires,
		    e->uses, e->authority, psk, proof);
	}
	mem_wipe(psk, sizeof(psk));
	mem_wipe(proof, sizeof(proof));
	rc = buf_status(&b);
	if (rc == KC_OK)
		rc = t->count > 0 ? file_replace(path, buf_data(&b), buf_len(&b), 0600) : file_remove(path);
	buf_fini(&b);
	return rc;
}

/* --- what is done with it --- */

static struct invites_entry *find(struct invites *t, const char *id)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->entries[i].keys.id, id) == 0)
			return &t->entries[i];
	return NULL;
}

static void drop(struct invites *t, struct invites_entry *e)
{
	size_t i = (size_t)(e - t->entries);

	memmove(e, e + 1, (--t->count - i) * sizeof(*e));
}

typedef int (*change_fn)(struct invites *t, const void *arg);

static int add(struct invites *t, const void *arg)
{
	if (t->count == INVITES_MAX)
		return err_set(KC_ELIMIT, "%d enrolment tokens are valid, the most there can be", INVITES_MAX);
	memcpy(&t->entries[t->count++], arg, sizeof(t->entries[0]));
	return KC_OK;
}

static int not_valid(const char *id)
{
	return err_set(KC_ENOENT, "token %s is not valid: it was used, has expired, or was revoked", id);
}

static int remove_one(struct invites *t, const void *arg)
{
	struct invites_entry *e = find(t, arg);

	if (e == NULL)
		return not_valid(arg);
	drop(t, e);
	return KC_OK;
}

static int use(struct invites *t, const void *arg)
{
	struct invites_entry *e = find(t, arg);

	if (e == NULL)
		return not_valid(arg);
	if (--e->uses == 0)
		drop(t, e);
	return KC_OK;
}

/* Read, change, write: others wait so long. `fn` NULL: only what is stale goes. */
static int change(struct invites *out, const char *dir, change_fn fn, const void *arg)
{
	char *path = file_join(dir, LAYOUT_INVITES);
	int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = KC_OK;
	struct invites t = { NULL, 0 };
	bool stale = false;

	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		rc = err_errno("%s: cannot lock", dir);
	if (rc == KC_OK)
		rc = read_all(&t, &stale, path);
	if (rc == KC_OK && fn != NULL)
		rc = fn(&t, arg);
	if (rc == KC_OK && (fn != NULL || stale))
		rc = write_all(&t, path);
	if (lock >= 0)
		close(lock);
	free(path);
	if (rc == KC_OK && out != NULL)
		*out = t;
	else
		invites_fini(&t);
	return rc;
}

int invites_load(struct invites *t, const char *secrets_dir)
{
	return change(t, secrets_dir, NULL, NULL);
}

int invites_add(const char *secrets_dir, const struct invites_entry *e)
{
	return change(NULL, secrets_dir, add, e);
}

int invites_remove(const char *secrets_dir, const char *id)
{
	return change(NULL, secrets_dir, remove_one, id);
}

int invites_use(const char *secrets_dir, const char *id)
{
	return change(NULL, secrets_dir, use, id);
}
