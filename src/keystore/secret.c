/* SPDX-License-Identifier: Apache-2.0 */
/* secret: XChaCha20-Poly1305 over small values, and the 0600 files they and random passwords live in. */
#include "secret.h"

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"

#define PREFIX	       "kc1:"
#define PREFIX_SIZE    (sizeof(PREFIX) - 1)
#define NONCE_SIZE     crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE       crypto_aead_xchacha20poly1305_ietf_ABYTES
#define KEY_SIZE       crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define BLOB_MAX       (NONCE_SIZE + SECRET_VALUE_MAX + TAG_SIZE)
#define TEXT_MAX       (PREFIX_SIZE + BLOB_MAX * 2 + 8)
#define PASSWORD_BYTES 32
#define PASSWORD_SIZE  (PASSWORD_BYTES * 2)

struct secret_box {
	uint8_t key[KEY_SIZE];
};

/* Make `path` with these bytes; somebody else's that is there already is left alone, and no error. */
static int create_once(const char *path, const void *data, size_t size)
{
	struct file_new f = FILE_NEW_EMPTY;
	int rc = file_new_begin(&f, path, 0600);

	if (rc < 0)
		return rc;
	file_new_write(&f, data, size);
	rc = file_new_commit_excl(&f);
	return rc == KC_EEXIST ? KC_OK : rc;
}

int secret_box_from_bytes(struct secret_box **box, const void *key, size_t size)
{
	struct secret_box *x;

	if (size != KEY_SIZE)
		return err_set(KC_EDAMAGED, "has %zu bytes instead of %u", size, (unsigned)KEY_SIZE);
	x = mem_secret_new(sizeof(*x));
	memcpy(x->key, key, KEY_SIZE);
	*box = x;
	return KC_OK;
}

int secret_box_load(struct secret_box **box, const char *path)
{
	struct buf b;
	int rc;

	buf_init(&b, KEY_SIZE + 1);
	rc = file_read_secret(&b, path);
	if (rc == KC_OK && (rc = secret_box_from_bytes(box, buf_data(&b), buf_len(&b))) < 0)
		err_prefix(rc, "%s", path);
	buf_fini(&b);
	return rc;
}

int secret_box_open(struct secret_box **box, const char *path)
{
	uint8_t key[KEY_SIZE];
	int rc = secret_box_load(box, path);

	if (rc != KC_ENOENT)
		return rc;
	mem_random(key, sizeof(key));
	rc = create_once(path, key, sizeof(key));
	mem_wipe(key, sizeof(key));
	return rc == KC_OK ? secret_box_load(box, path) : rc;
}

void secret_box_free(struct secret_box *box)
{
	mem_secret_free(box);
}

void secret_fingerprint(
    char out[SECRET_FINGERPRINT_SIZE], const struct secret_box *box, const char *purpose, const void *data, size_t size)
{
	uint8_t sum[(SECRET_FINGERPRINT_SIZE - 1) / 2];
	crypto_generichash_state st;

	crypto_generichash_init(&st, box->key, sizeof(box->key), sizeof(sum));
	crypto_generichash_update(&st, (const uint8_t *)"fingerprint", sizeof("fingerprint"));
	crypto_generichash_update(&st, (const uint8_t *)purpose, strlen(purpose) + 1);
	crypto_generichash_update(&st, data, size);
	crypto_generichash_final(&st, sum, sizeof(sum));
	hex_encode(out, sum, sizeof(sum));
	mem_wipe(&st, sizeof(st));
}

bool secret_is_sealed(const char *text)
{
	return strncmp(text, PREFIX, PREFIX_SIZE) == 0;
}

int secret_seal(char **text, const struct secret_box *box, const char *purpose, const void *data, size_t size)
{
	unsigned long long n;
	uint8_t *blob;
	char *base64;

	if (size > SECRET_VALUE_MAX)
		return err_set(
		    KC_ELIMIT, "a value of %zu bytes is over the %d that can be sealed", size, SECRET_VALUE_MAX);
	blob = mem_xalloc(NONCE_SIZE + size + TAG_SIZE);
	mem_random(blob, NONCE_SIZE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
	    blob + NONCE_SIZE, &n, data, size, (const uint8_t *)purpose, strlen(purpose), NULL, blob, box->key);
	base64 = base64_encode(blob, NONCE_SIZE + n);
	*text = mem_xasprintf(PREFIX "%s", base64);
	free(base64);
	free(blob);
	return KC_OK;
}

/* Base64 behind our prefix to a blob on the heap. */
static int decode(uint8_t **blob, size_t *size, const char *purpose, const char *text)
{
	size_t n = strlen(text), got;
	uint8_t *b;

	if (!secret_is_sealed(text))
		return err_set(KC_EFOREIGN, "the %s is sealed by another product", purpose);
	if (n > TEXT_MAX)
		return err_set(KC_ELIMIT, "the sealed %s is larger than %d bytes", purpose, SECRET_VALUE_MAX);
	b = mem_xalloc(n);
	if (base64_decode(b, &got, n, text + PREFIX_SIZE, n - PREFIX_SIZE) < 0 || got < NONCE_SIZE + TAG_SIZE) {
		free(b);
		return err_set(KC_EFORMAT, "the sealed %s is cut short or no base64", purpose);
	}
	*blob = b;
	*size = got;
	return KC_OK;
}

int secret_unseal(void **data, size_t *size, const struct secret_box *box, const char *purpose, const char *text)
{
	unsigned long long plain_size;
	uint8_t *blob = NULL, *plain;
	size_t n;
	int rc = decode(&blob, &n, purpose, text);

	if (rc < 0)
		return rc;
	plain = mem_secret_new(n);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &plain_size, NULL, blob + NONCE_SIZE, n - NONCE_SIZE,
		(const uint8_t *)purpose, strlen(purpose), blob, box->key) == 0) {
		plain[plain_size] = '\0'; /* there is room: the blob was longer */
		*data = plain;
		*size = (size_t)plain_size;
	} else {
		mem_secret_free(plain);
		rc = err_set(KC_EDAMAGED, "the sealed %s does not open: altered, or sealed with another key", purpose);
	}
	free(blob);
	return rc;
}

int secret_write(
    const struct secret_box *box, const char *purpose, const char *path, const void *data, size_t size, bool replace)
{
	struct file_new f = FILE_NEW_EMPTY;
	char *text = NULL;
	int rc = secret_seal(&text, box, purpose, data, size);

	if (rc == KC_OK)
		rc = file_new_begin(&f, path, 0600);
	if (rc == KC_OK) {
		file_new_write(&f, text, strlen(text));
		file_new_write(&f, "\n", 1);
		rc = replace ? file_new_commit(&f) : file_new_commit_excl(&f);
	}
	free(text);
	return rc;
}

int secret_read(void **data, size_t *size, const struct secret_box *box, const char *purpose, const char *path)
{
	struct buf b;
	char *text;
	int rc;

	buf_init(&b, TEXT_MAX + 2);
	rc = file_read_secret(&b, path);
	if (rc == KC_OK) {
		text = buf_len(&b) > 0 ? mem_xstrndup((const char *)buf_data(&b), buf_len(&b)) : mem_xstrdup("");
		text[strcspn(text, "\r\n")] = '\0';
		rc = secret_unseal(data, size, box, purpose, text);
		if (rc < 0)
			err_prefix(rc, "%s", path);
		free(text);
	}
	buf_fini(&b);
	return rc;
}

static int password_create(const char *path)
{
	uint8_t *random = mem_secret_new(PASSWORD_BYTES);
	char *hex = mem_secret_new(PASSWORD_SIZE + 2);
	int rc;

	mem_random(random, PASSWORD_BYTES);
	hex_encode(hex, random, PASSWORD_BYTES);
	hex[PASSWORD_SIZE] = '\n';
	rc = create_once(path, hex, PASSWORD_SIZE + 1);
	mem_secret_free(hex);
	mem_secret_free(random);
	return rc;
}

int secret_password_file(char **password, const char *path, bool create)
{
	const char *text;
	struct buf b;
	char *p;
	int rc;

	if (create && !file_exists(path) && (rc = password_create(path)) < 0)
		return rc;
	buf_init(&b, PASSWORD_SIZE + 2);
	rc = file_read_secret(&b, path);
	text = rc == KC_OK ? buf_str(&b) : NULL;
	if (rc == KC_OK && (text == NULL || strspn(text, "0123456789abcdef") != PASSWORD_SIZE ||
			       strcmp(text + PASSWORD_SIZE, "\n") != 0))
		rc = err_set(KC_EDAMAGED, "%s: is not a line of %d hex digits", path, PASSWORD_SIZE);
	if (rc == KC_OK) {
		p = mem_secret_new(PASSWORD_SIZE + 1);
		memcpy(p, text, PASSWORD_SIZE);
		*password = p;
	}
	buf_fini(&b);
	return rc;
}
