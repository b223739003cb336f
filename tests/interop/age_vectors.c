/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age_vectors: runs the public age test vectors (one file each: a text header, an empty line, an age file) against our
 * reader. Vectors for recipients that we implement must end as they say, with the code we promise for it; the others
 * must be refused for the right reason. Prints one line a failure and a summary; exit status 0, 1.
 *
 * A vector says: expect (success, no match, header failure, HMAC failure, payload failure, armor failure), payload
 * (SHA-256 of all plain text that comes out, also before a failure), identity, passphrase, armored.
 */
#include <dirent.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/age.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define MAX_SECRETS 8

struct vector {
	char expect[32];
	char payload[65];
	bool armored;
	bool foreign; /* an identity of a type we do not implement */
	struct age_identity *identities[MAX_SECRETS];
	size_t n_identities;
	char *passwords[MAX_SECRETS];
	size_t n_passwords;
	const uint8_t *file;
	size_t n;
};

struct outcome {
	int rc;
	bool in_payload; /* the header was opened */
	char text[512];
	char payload[65];
};

static void take(struct vector *v, const char *key, const char *value)
{
	if (strcmp(key, "expect") == 0)
		snprintf(v->expect, sizeof(v->expect), "%s", value);
	else if (strcmp(key, "payload") == 0)
		snprintf(v->payload, sizeof(v->payload), "%s", value);
	else if (strcmp(key, "armored") == 0)
		v->armored = strcmp(value, "yes") == 0;
	else if (strcmp(key, "passphrase") == 0 && v->n_passwords < MAX_SECRETS)
		v->passwords[v->n_passwords++] = mem_xstrdup(value);
	else if (strcmp(key, "identity") == 0 && v->n_identities < MAX_SECRETS) {
		if (age_identity_parse(&v->identities[v->n_identities], value) == KC_OK)
			v->n_identities++;
		else
			v->foreign = true;
	}
}

static bool parse_vector(struct vector *v, const uint8_t *data, size_t n)
{
	char line[4096];

	memset(v, 0, sizeof(*v));
	while (n > 0) {
		const uint8_t *eol = memchr(data, '\n', n);
		size_t len = eol != NULL ? (size_t)(eol - data) : n;
		char *colon;

		if (eol == NULL || len >= sizeof(line))
			return false;
		memcpy(line, data, len);
		line[len] = '\0';
		data += len + 1;
		n -= len + 1;
		if (len == 0) {
			v->file = data;
			v->n = n;
			return v->expect[0] != '\0';
		}
		if ((colon = strstr(line, ": ")) == NULL)
			return false;
		*colon = '\0';
		take(v, line, colon + 2);
	}
	return false;
}

static void free_vector(struct vector *v)
{
	for (size_t i = 0; i < v->n_identities; i++)
		age_identity_free(v->identities[i]);
	for (size_t i = 0; i < v->n_passwords; i++)
		free(v->passwords[i]);
}

struct source {
	const uint8_t *p;
	size_t n;
};

static int read_source(void *arg, void *data, size_t n, size_t *got)
{
	struct source *s = arg;

	*got = s->n < n ? s->n : n;
	memcpy(data, s->p, *got);
	s->p += *got;
	s->n -= *got;
	return KC_OK;
}

static int open_header(struct age_key **key, size_t *size, const struct vector *v)
{
	struct age_unlock with = { .identities = (const struct age_identity *const *)v->identities,
		.n_identities = v->n_identities };
	int rc = age_header_size(size, v->file, v->n);

	if (rc == KC_EAGAIN)
		return err_set(KC_ETRUNCATED, "ends inside its header");
	if (rc < 0)
		return rc;
	rc = age_open_header(key, v->file, *size, &with);
	if (v->n_passwords == 0)
		return rc;
	with = (struct age_unlock){ 0 };
	rc = KC_EPASSWORD;
	for (size_t i = 0; i < v->n_passwords && rc == KC_EPASSWORD; i++) {
		with.password = v->passwords[i];
		rc = age_open_header(key, v->file, *size, &with);
	}
	return rc;
}

static int open_payload(const struct age_key *key, struct source s, gnutls_hash_hd_t hash)
{
	struct age_reader *r;
	const uint8_t *data;
	size_t n = 1;
	int rc = age_reader_new(&r, key, read_source, &s);

	while (rc == KC_OK && n > 0)
		if ((rc = age_reader_next(r, &data, &n)) == KC_OK && n > 0)
			gnutls_hash(hash, data, n);
	age_reader_free(r);
	return rc;
}

static void run(struct outcome *o, const struct vector *v)
{
	struct age_key *key = NULL;
	gnutls_hash_hd_t hash;
	uint8_t digest[32];
	size_t size = 0;

	memset(o, 0, sizeof(*o));
	gnutls_hash_init(&hash, GNUTLS_DIG_SHA256);
	o->rc = open_header(&key, &size, v);
	if (o->rc == KC_OK) {
		o->in_payload = true;
		o->rc = open_payload(key, (struct source){ v->file + size, v->n - size }, hash);
	}
	if (o->rc < 0)
		snprintf(o->text, sizeof(o->text), "%s", err_text(o->rc));
	age_key_free(key);
	gnutls_hash_deinit(hash, digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(o->payload + 2 * i, 3, "%02x", digest[i]);
}

/* To the vectors the nonce is part of the header. */
static bool is_header_failure(const struct outcome *o)
{
	if (o->in_payload)
		return o->rc == KC_ETRUNCATED && strstr(o->text, "nonce") != NULL;
	return (o->rc == KC_EFORMAT || o->rc == KC_EDAMAGED || o->rc == KC_ETRUNCATED) &&
	       strstr(o->text, "wrong MAC") == NULL;
}

/* As the vector says? Where we lack the feature: refused by the name of what is lacking. */
static bool as_expected(const struct vector *v, const struct outcome *o)
{
	if (v->armored)
		return o->rc == KC_EFORMAT &&
		       (strstr(o->text, "armored") != NULL || strcmp(v->expect, "armor failure") == 0);
	if (v->foreign && v->n_identities == 0)
		return !o->in_payload && (o->rc == KC_EPASSWORD || is_header_failure(o));
	if (strcmp(v->expect, "success") == 0)
		return o->rc == KC_OK && strcmp(o->payload, v->payload) == 0;
	if (strcmp(v->expect, "no match") == 0)
		return !o->in_payload && o->rc == KC_EPASSWORD;
	if (strcmp(v->expect, "HMAC failure") == 0)
		return !o->in_payload && o->rc == KC_EDAMAGED && strstr(o->text, "wrong MAC") != NULL;
	if (strcmp(v->expect, "header failure") == 0)
		return is_header_failure(o);
	if (strcmp(v->expect, "payload failure") == 0)
		return o->in_payload && (o->rc == KC_EDAMAGED || o->rc == KC_ETRUNCATED) &&
		       strcmp(o->payload, v->payload) == 0;
	return false;
}

static bool run_file(const char *dir, const char *name, unsigned *lacking)
{
	char *path = file_join(dir, name);
	struct outcome o = { 0 };
	struct vector v;
	struct buf b;
	bool ok;

	buf_init(&b, 64u << 20);
	ok = file_read(&b, path) == KC_OK && parse_vector(&v, buf_data(&b), buf_len(&b));
	if (ok) {
		run(&o, &v);
		ok = as_expected(&v, &o);
		*lacking += v.armored || (v.foreign && v.n_identities == 0);
		if (!ok || getenv("VERBOSE") != NULL)
			printf("%s%s: expected %s, was %s%s: %s\n", ok ? "" : "FAILED ", name, v.expect,
			    o.rc == KC_OK ? "success" : err_name(o.rc), o.in_payload ? " in the payload" : "", o.text);
		free_vector(&v);
	} else
		printf("FAILED %s: cannot be read\n", name);
	buf_fini(&b);
	free(path);
	return ok;
}

int main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0, lacking = 0;
	struct dirent *e;
	DIR *d;

	if (argc != 2 || mem_init() < 0 || (d = opendir(argv[1])) == NULL) {
		fprintf(stderr, "usage: age_vectors DIRECTORY\n");
		return 1;
	}
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (run_file(argv[1], e->d_name, &lacking))
			passed++;
		else
			failed++;
	}
	closedir(d);
	printf("%u vectors as expected (%u of them for what we refuse), %u not\n", passed, lacking, failed);
	return failed == 0 && passed > 50 ? 0 : 1;
}
