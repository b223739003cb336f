/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_age: a stranger's age file against a password (of little work) and an identity, and on into its payload. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backup/age.h"
#include "base/err.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The identity that the corpus is made for. */
static const char identity_text[] = "AGE-SECRET-KEY-12MN4MEXYDDHNU7NP8T073G4LYQ0K0W5Y92FX923YXFEDXP32JK7QHN5CLT";

struct source {
	const uint8_t *p;
	size_t n;
};

static int read_source(void *arg, void *data, size_t n, size_t *got)
{
	struct source *s = arg;

	*got = s->n < n ? s->n : n;
	if (*got > 0)
		memcpy(data, s->p, *got);
	s->p += *got;
	s->n -= *got;
	return KC_OK;
}

static void read_payload(const struct age_key *key, struct source s)
{
	struct age_reader *r = NULL;
	const uint8_t *p;
	size_t n = 1;

	age_reader_new(&r, key, read_source, &s);
	while (n > 0 && age_reader_next(r, &p, &n) == KC_OK)
		;
	age_reader_free(r);
}

static void try_open(const uint8_t *data, size_t size, size_t header, const struct age_unlock *with)
{
	struct age_key *key = NULL;

	if (age_open_header(&key, data, header, with) == KC_OK)
		read_payload(key, (struct source){ data + header, size - header });
	age_key_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct age_identity *id;
	const struct age_identity *ids[1];
	struct age_unlock with = { .password = "password", .max_logn = 4 };
	struct age_recipient r;
	struct age_identity *parsed = NULL;
	size_t header = size;
	char *text;

	if (id == NULL && (mem_init() < 0 || age_identity_parse(&id, identity_text) < 0))
		abort();
	ids[0] = id;
	if (age_header_size(&header, data, size) < 0)
		header = size;
	try_open(data, size, header, &with);
	with = (struct age_unlock){ .identities = ids, .n_identities = 1 };
	try_open(data, size, header, &with);

	text = mem_xstrndup(size > 0 ? (const char *)data : "", size);
	age_identity_parse(&parsed, text);
	age_identity_free(parsed);
	age_recipient_parse(&r, text);
	free(text);
	return 0;
}
