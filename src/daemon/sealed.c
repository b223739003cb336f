/* SPDX-License-Identifier: Apache-2.0 */
/* sealed: a password of this one use, the chain and the key encrypted under it, all of it in one age file. */
#include "sealed.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "keystore/identity.h"

#define PASSWORD_BYTES 16
#define PASSWORD_HEX   (2 * PASSWORD_BYTES)
#define PLAIN_MAX      (SEALED_MAX / 4 * 3)

static int put(void *arg, const void *data, size_t n)
{
	buf_put(arg, data, n);
	return buf_status(arg);
}

static int seal(struct buf *out, const struct buf *plain, const struct age_recipient *to)
{
	struct age_key *key = age_key_new();
	struct age_writer *w = NULL;
	int rc = age_wrap_x25519(out, key, to, 1);

	if (rc == KC_OK)
		rc = age_writer_new(&w, key, put, out);
	if (rc == KC_OK)
		rc = age_writer_put(w, buf_data(plain), buf_len(plain));
	if (rc == KC_OK)
		rc = age_writer_finish(w);
	age_writer_free(w);
	age_key_free(key);
	return rc;
}

int sealed_identity(char **text, const struct identity *id, const struct age_recipient *to)
{
	char *password = mem_secret_new(PASSWORD_HEX + 1);
	unsigned char raw[PASSWORD_BYTES];
	struct buf plain, out;
	int rc;

	mem_random(raw, sizeof(raw));
	hex_encode(password, raw, sizeof(raw));
	mem_wipe(raw, sizeof(raw));
	buf_init(&plain, PLAIN_MAX);
	buf_init(&out, PLAIN_MAX);
	buf_put(&plain, password, PASSWORD_HEX);
	rc = identity_export_under(&plain, id, password);
	if (rc == KC_OK)
		rc = seal(&out, &plain, to);
	if (rc == KC_OK)
		*text = base64_encode(buf_data(&out), buf_len(&out));
	if (rc == KC_OK && strlen(*text) > SEALED_MAX) {
		free(*text);
		*text = NULL;
		rc = err_set(
		    KC_ELIMIT, "the chain of the certificate is too long to be sent: more than %d bytes", PLAIN_MAX);
	}
	buf_fini(&out);
	buf_fini(&plain);
	mem_secret_free(password);
	return rc;
}

static int get(void *arg, void *data, size_t n, size_t *got)
{
	struct buf *b = arg;

	*got = n < buf_len(b) ? n : buf_len(b);
	if (*got > 0)
		memcpy(data, buf_get(b, *got), *got);
	return KC_OK;
}

static int unseal(struct buf *plain, struct buf *in, const struct age_identity *own)
{
	struct age_unlock with = { .identities = &own, .n_identities = 1 };
	struct age_reader *r = NULL;
	struct age_key *key = NULL;
	const uint8_t *data;
	size_t size, n = 1;
	int rc = age_header_size(&size, buf_data(in), buf_len(in));

	if (rc == KC_EAGAIN)
		rc = err_set(KC_EFORMAT, "a sealed identity ends in its header");
	if (rc == KC_OK)
		rc = age_open_header(&key, buf_data(in), size, &with);
	if (rc == KC_OK) {
		buf_consume(in, size);
		rc = age_reader_new(&r, key, get, in);
	}
	while (rc == KC_OK && n > 0) {
		rc = age_reader_next(r, &data, &n);
		if (rc == KC_OK && n > 0) {
			buf_put(plain, data, n);
			rc = buf_status(plain);
		}
	}
	age_reader_free(r);
	age_key_free(key);
	return rc;
}

int sealed_open(struct identity **id, const char *text, const struct age_identity *own)
{
	char *password = mem_secret_new(PASSWORD_HEX + 1);
	uint8_t *raw = mem_xalloc(PLAIN_MAX);
	struct buf in, plain;
	size_t n = 0;
	int rc = base64_decode(raw, &n, PLAIN_MAX, text, strlen(text));

	buf_view(&in, raw, n);
	buf_init(&plain, PLAIN_MAX);
	if (rc == KC_OK)
		rc = unseal(&plain, &in, own);
	if (rc == KC_OK && buf_len(&plain) <= PASSWORD_HEX)
		rc = err_set(KC_EFORMAT, "a sealed identity of %zu bytes", buf_len(&plain));
	if (rc == KC_OK) {
		memcpy(password, buf_get(&plain, PASSWORD_HEX), PASSWORD_HEX);
		rc = identity_parse(
		    id, NULL, "the sealed identity", buf_data(&plain), buf_len(&plain), NULL, 0, password);
	}
	buf_fini(&plain);
	free(raw);
	mem_secret_free(password);
	return rc;
}
