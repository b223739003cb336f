/* SPDX-License-Identifier: Apache-2.0 */
/* archive_sums: names and digests of members, as the lines of SHA256SUMS. */
#include <stdlib.h>
#include <string.h>

#include "backup/archive_internal.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"

/* Length of the UTF-8 sequence at p, 0 if it is none (overlong, surrogate, over U+10FFFF). */
static size_t utf8_length(const unsigned char *p)
{
	size_t n = p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static bool characters_are_plain(const char *name)
{
	const unsigned char *p = (const unsigned char *)name;

	while (*p != '\0') {
		size_t n = *p >= 0x20 && *p < 0x7f && *p != '\\' ? 1 : *p >= 0x80 ? utf8_length(p) : 0;

		if (n == 0)
			return false;
		p += n;
	}
	return true;
}

int archive_name_check(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > ARCHIVE_NAME_LIMIT)
		return err_set(KC_EFORMAT, "a member's name of %zu bytes (limit 1 to %d)", len, ARCHIVE_NAME_LIMIT);
	if (!characters_are_plain(name))
		return err_set(KC_EFORMAT, "member %s: a character that must not be in a name", name);
	for (const char *p = name;; p++) {
		size_t n = strcspn(p, "/");

		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return err_set(
			    KC_EFORMAT, "member %s: an absolute path or a component that is empty or dots", name);
		p += n;
		if (*p == '\0')
			return KC_OK;
	}
}

void archive_sums_init(struct archive_sums *s)
{
	memset(s, 0, sizeof(*s));
	buf_init(&s->text, ARCHIVE_MAX_MEMBERS * (ARCHIVE_NAME_LIMIT + 2 * SHA256_SIZE + 3));
}

static void drop_hash(struct archive_sums *s)
{
	if (s->hash != NULL)
		gnutls_hash_deinit(s->hash, NULL);
	s->hash = NULL;
}

void archive_sums_fini(struct archive_sums *s)
{
	drop_hash(s);
	for (size_t i = 0; i < s->n_names; i++)
		free(s->names[i]);
	free(s->names);
	free(s->slots);
	buf_fini(&s->text);
}

static size_t hash_of(const char *name)
{
	uint64_t h = 0xcbf29ce484222325u;

	while (*name != '\0')
		h = (h ^ (unsigned char)*name++) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

/* Where the name is, or would be. */
static uint32_t *slot_of(struct archive_sums *s, const char *name)
{
	size_t i = hash_of(name);

	for (;; i++) {
		uint32_t *slot = &s->slots[i & (s->n_slots - 1)];

		if (*slot == 0 || strcmp(s->names[*slot - 1], name) == 0)
			return slot;
	}
}

static void grow(struct archive_sums *s)
{
	if (s->n_slots > 2 * s->n_names)
		return;
	s->n_slots = s->n_slots > 0 ? 2 * s->n_slots : 64;
	free(s->slots);
	s->slots = mem_xcalloc(s->n_slots, sizeof(*s->slots));
	for (size_t i = 0; i < s->n_names; i++)
		*slot_of(s, s->names[i]) = (uint32_t)i + 1;
}

int archive_sums_name(struct archive_sums *s, const char *name)
{
	uint32_t *slot;
	int rc = archive_name_check(name);

	if (rc < 0)
		return rc;
	if (s->n_names == ARCHIVE_MAX_MEMBERS)
		return err_set(KC_ELIMIT, "more than %d members", ARCHIVE_MAX_MEMBERS);
	grow(s);
	slot = slot_of(s, name);
	if (*slot != 0)
		return err_set(KC_EEXIST, "member %s: comes twice", name);
	if ((s->n_names & (s->n_names - 1)) == 0)
		s->names = mem_xrealloc(s->names, (s->n_names > 0 ? 2 * s->n_names : 1) * sizeof(*s->names));
	s->names[s->n_names++] = mem_xstrdup(name);
	*slot = (uint32_t)s->n_names;
	drop_hash(s);
	return KC_OK;
}

int archive_sums_begin(struct archive_sums *s, const char *name)
{
	int rc = archive_sums_name(s, name);

	if (rc < 0)
		return rc;
	if (!s->sealed && gnutls_hash_init(&s->hash, GNUTLS_DIG_SHA256) < 0)
		return err_set(KC_EFAIL, "no SHA-256");
	return KC_OK;
}

int archive_sums_update(struct archive_sums *s, const void *data, size_t n)
{
	if (s->hash != NULL && n > 0 && gnutls_hash(s->hash, data, n) < 0)
		return err_set(KC_EFAIL, "SHA-256 fails");
	return KC_OK;
}

int archive_sums_end(struct archive_sums *s, uint8_t *digest)
{
	uint8_t d[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	if (s->sealed)
		return KC_OK;
	gnutls_hash_output(s->hash, d);
	drop_hash(s);
	hex_encode(hex, d, sizeof(d));
	buf_putf(&s->text, "%s  %s\n", hex, s->names[s->n_names - 1]);
	if (digest != NULL)
		memcpy(digest, d, sizeof(d));
	return buf_status(&s->text);
}

void archive_sums_seal(struct archive_sums *s)
{
	s->sealed = true;
}
