/* SPDX-License-Identifier: Apache-2.0 */
/*
 * age_open: parses and opens headers. Input is hostile: every line is checked before a stanza is tried, and nothing is
 * believed before the MAC over the whole header was checked with the file key found.
 */
#include <sodium.h>
#include <string.h>

#include "backup/age_internal.h"
#include "base/err.h"
#include "base/mem.h"

#define ARMOR_BEGIN    "-----BEGIN AGE ENCRYPTED FILE-----"
#define VERSION_PREFIX "age-encryption.org/"
#define BODY_COLUMNS   64
#define MAX_ARGS       4 /* that are looked at; any number is allowed in stanzas of a type we do not know */

struct span {
	const uint8_t *p;
	size_t n;
};

struct stanza {
	struct span arg[MAX_ARGS];
	size_t n_args;
	uint8_t body[AGE_BODY_SIZE]; /* the first bytes of it */
	size_t n_body;
};

/* ---- where a header ends ---- */

static bool begins_with(const uint8_t *data, size_t n, const char *prefix)
{
	return n >= strlen(prefix) && memcmp(data, prefix, strlen(prefix)) == 0;
}

/* Why these bytes do not begin with the version line. */
static int refuse_foreign(const uint8_t *data, size_t n)
{
	size_t blank = 0;

	while (blank < n && (data[blank] == ' ' || data[blank] == '\t' || data[blank] == '\r' || data[blank] == '\n'))
		blank++;
	if (begins_with(data + blank, n - blank, ARMOR_BEGIN))
		return err_set(KC_EFORMAT, "armored: the text form of an age file is not supported");
	if (begins_with(data, n, VERSION_PREFIX))
		return err_set(KC_EFORMAT, "an age file of another version than 1");
	return err_set(KC_EFORMAT, "not an age file");
}

int age_header_size(size_t *size, const uint8_t *data, size_t n)
{
	size_t have = n < strlen(AGE_VERSION_LINE) ? n : strlen(AGE_VERSION_LINE);
	const uint8_t *p, *end;

	if (memcmp(data, AGE_VERSION_LINE, have) != 0) {
		if (n < AGE_HEADER_LIMIT && n < strlen(ARMOR_BEGIN) && memcmp(data, ARMOR_BEGIN, n) == 0)
			return KC_EAGAIN;
		return refuse_foreign(data, n);
	}
	if (n > AGE_HEADER_LIMIT)
		n = AGE_HEADER_LIMIT;
	for (p = data + have, end = data + n; have == strlen(AGE_VERSION_LINE) && p < end; p++) {
		const uint8_t *eol = memchr(p, '\n', (size_t)(end - p));

		if (eol == NULL)
			break;
		if (begins_with(p, (size_t)(eol - p), "---")) {
			*size = (size_t)(eol + 1 - data);
			return KC_OK;
		}
		p = eol;
	}
	if (n == AGE_HEADER_LIMIT)
		return err_set(KC_EFORMAT, "its age header is longer than %d bytes", AGE_HEADER_LIMIT);
	return KC_EAGAIN;
}

/* ---- lines and stanzas ---- */

static int malformed(const char *what)
{
	return err_set(KC_EDAMAGED, "malformed age header: %s", what);
}

static int next_line(struct span *line, struct span *rest)
{
	const uint8_t *eol = memchr(rest->p, '\n', rest->n);

	if (eol == NULL)
		return malformed("a line without an end");
	line->p = rest->p;
	line->n = (size_t)(eol - rest->p);
	rest->p += line->n + 1;
	rest->n -= line->n + 1;
	return KC_OK;
}

/* "-> type arg arg": one blank between, nothing empty, visible characters only. */
static int parse_args(struct stanza *s, struct span line)
{
	size_t from = strlen("-> ");

	s->n_args = 0;
	if (!begins_with(line.p, line.n, "-> "))
		return malformed("a line that begins no stanza");
	for (size_t i = from; i <= line.n; i++) {
		if (i < line.n && line.p[i] != ' ') {
			if (line.p[i] < 0x21 || line.p[i] > 0x7e)
				return malformed("a control character in an argument");
			continue;
		}
		if (i == from)
			return malformed("an empty argument");
		if (s->n_args < MAX_ARGS)
			s->arg[s->n_args] = (struct span){ line.p + from, i - from };
		s->n_args++;
		from = i + 1;
	}
	return KC_OK;
}

/* Lines of 64 digits, then one that is shorter. */
static int parse_body(struct stanza *s, struct span *rest)
{
	uint8_t bytes[BODY_COLUMNS / 4 * 3];
	struct span line;
	size_t size;
	int rc;

	s->n_body = 0;
	do {
		if ((rc = next_line(&line, rest)) < 0)
			return rc;
		if (line.n > BODY_COLUMNS)
			return malformed("a body line over 64 characters");
		size = line.n / 4 * 3 + (line.n % 4 * 3) / 4;
		if (age_base64_decode(bytes, size, line.p, line.n) < 0)
			return malformed("a body that is not canonical base64");
		for (size_t i = 0; i < size && s->n_body + i < sizeof(s->body); i++)
			s->body[s->n_body + i] = bytes[i];
		s->n_body += size;
	} while (line.n == BODY_COLUMNS);
	return KC_OK;
}

/* 1 and a stanza; 0 at the last line, with rest at its begin; or the failure. */
static int next_stanza(struct stanza *s, struct span *rest)
{
	struct span line;
	int rc;

	if (begins_with(rest->p, rest->n, "---"))
		return 0;
	if ((rc = next_line(&line, rest)) < 0 || (rc = parse_args(s, line)) < 0 || (rc = parse_body(s, rest)) < 0)
		return rc;
	return 1;
}

static bool arg_is(const struct stanza *s, size_t i, const char *text)
{
	return i < s->n_args && s->arg[i].n == strlen(text) && memcmp(s->arg[i].p, text, s->arg[i].n) == 0;
}

struct header {
	struct span whole;
	struct span stanzas; /* up to the end of the header */
	size_t n_stanzas;
	size_t n_scrypt;
	size_t n_x25519;
	size_t covered; /* bytes under the MAC */
	uint8_t mac[32];
};

/* Every line is right, and a scrypt stanza is alone. */
static int parse_header(struct header *h, const uint8_t *data, size_t n)
{
	struct span rest = { data, n };
	struct stanza s;
	int rc;

	memset(h, 0, sizeof(*h));
	if (!begins_with(data, n, AGE_VERSION_LINE))
		return refuse_foreign(data, n);
	h->whole = rest;
	rest.p += strlen(AGE_VERSION_LINE);
	rest.n -= strlen(AGE_VERSION_LINE);
	h->stanzas = rest;
	while ((rc = next_stanza(&s, &rest)) > 0) {
		h->n_stanzas++;
		h->n_scrypt += arg_is(&s, 0, "scrypt");
		h->n_x25519 += arg_is(&s, 0, "X25519");
	}
	if (rc < 0)
		return rc;
	if (h->n_stanzas == 0)
		return malformed("no recipient");
	if (h->n_scrypt > 0 && h->n_stanzas > 1)
		return malformed("a scrypt recipient that is not alone");
	if (rest.n != strlen("--- \n") + AGE_BASE64_32 || rest.p[3] != ' ' || rest.p[rest.n - 1] != '\n' ||
	    age_base64_decode(h->mac, 32, rest.p + 4, AGE_BASE64_32) < 0)
		return malformed("its MAC is not 32 bytes of canonical base64");
	h->covered = (size_t)(rest.p + 3 - data);
	return KC_OK;
}

/* ---- trying ---- */

/* Two digits at most, no leading zero: more is over any limit. */
static int parse_logn(int *logn, struct span text)
{
	*logn = 0;
	if (text.n == 0 || text.p[0] == '0')
		return malformed("scrypt work that is not a number");
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return malformed("scrypt work that is not a number");
		if (*logn < 1000)
			*logn = *logn * 10 + (text.p[i] - '0');
	}
	return KC_OK;
}

static int try_scrypt(uint8_t *key, const struct stanza *s, const struct age_unlock *with)
{
	int max = with->max_logn > 0 ? with->max_logn : AGE_MAX_LOGN;
	uint8_t salt[AGE_SALT_SIZE], kek[32];
	int rc, logn;

	if (s->n_args != 3)
		return malformed("a scrypt recipient with another number of arguments than two");
	if (age_base64_decode(salt, sizeof(salt), s->arg[1].p, s->arg[1].n) < 0)
		return malformed("a scrypt salt that is not 16 bytes of canonical base64");
	if ((rc = parse_logn(&logn, s->arg[2])) < 0)
		return rc;
	if (s->n_body != AGE_BODY_SIZE)
		return malformed("a wrapped key that is not 32 bytes");
	if (logn > max)
		return err_set(KC_EFORMAT, "asks for scrypt work of 2^%.*s, the limit is 2^%d",
		    s->arg[2].n > 10 ? 10 : (int)s->arg[2].n, (const char *)s->arg[2].p, max);
	if ((rc = age_scrypt_kek(kek, with->password, salt, logn)) < 0)
		return rc;
	rc = age_unwrap(key, s->body, kek);
	mem_wipe(kek, sizeof(kek));
	return rc < 0 ? err_set(KC_EPASSWORD, "wrong password") : KC_OK;
}

static int try_x25519(uint8_t *key, const struct stanza *s, const struct age_identity *id)
{
	uint8_t share[32], secret[32], kek[32];
	int rc;

	if (s->n_args != 2)
		return malformed("an X25519 recipient with another number of arguments than one");
	if (age_base64_decode(share, sizeof(share), s->arg[1].p, s->arg[1].n) < 0)
		return malformed("an X25519 share that is not 32 bytes of canonical base64");
	if (s->n_body != AGE_BODY_SIZE)
		return malformed("a wrapped key that is not 32 bytes");
	if (crypto_scalarmult_curve25519(secret, id->secret, share) != 0)
		return malformed("an X25519 share of low order");
	age_x25519_kek(kek, secret, share, id->share);
	rc = age_unwrap(key, s->body, kek);
	mem_wipe(secret, sizeof(secret));
	mem_wipe(kek, sizeof(kek));
	return rc;
}

/* Each stanza of a known type, with each identity. KC_EPASSWORD: not this one. */
static int try_identities(uint8_t *key, const struct stanza *s, const struct age_unlock *with)
{
	int rc = KC_EPASSWORD;

	for (size_t i = 0; i < with->n_identities && rc == KC_EPASSWORD; i++)
		rc = try_x25519(key, s, with->identities[i]);
	return rc;
}

static int find_key(uint8_t *key, const struct header *h, const struct age_unlock *with)
{
	struct span rest = h->stanzas;
	struct stanza s;
	int rc = KC_EPASSWORD;

	while (next_stanza(&s, &rest) > 0) {
		if (with->password != NULL && arg_is(&s, 0, "scrypt"))
			return try_scrypt(key, &s, with);
		if (with->n_identities > 0 && arg_is(&s, 0, "X25519") &&
		    (rc = try_identities(key, &s, with)) != KC_EPASSWORD)
			return rc;
	}
	if (with->n_identities == 0)
		return err_set(KC_EPASSWORD, "is not encrypted with a password");
	return err_set(KC_EPASSWORD,
	    h->n_scrypt > 0 ? "no identity matches: it is encrypted with a password" : "no identity matches");
}

int age_open_header(struct age_key **key, const uint8_t *header, size_t n, const struct age_unlock *with)
{
	struct age_key *found;
	struct header h;
	uint8_t mac[32];
	int rc;

	if (n > AGE_HEADER_LIMIT)
		return err_set(KC_EFORMAT, "its age header is longer than %d bytes", AGE_HEADER_LIMIT);
	if ((rc = parse_header(&h, header, n)) < 0)
		return rc;
	found = mem_secret_new(sizeof(*found));
	if ((rc = find_key(found->bytes, &h, with)) < 0)
		goto out;
	age_header_mac(mac, found, header, h.covered);
	if (!mem_equal(mac, h.mac, sizeof(mac))) {
		rc = err_set(KC_EDAMAGED, "its age header is not the one that was written (wrong MAC)");
		goto out;
	}
	*key = found;
	found = NULL;
out:
	age_key_free(found);
	return rc;
}
