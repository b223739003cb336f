/* SPDX-License-Identifier: Apache-2.0 */
/* age_wrap: writes headers. */
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "backup/age_internal.h"
#include "base/err.h"
#include "base/mem.h"

/* ---- one header ---- */

/* The last line: the MAC over everything so far and "---". `from`: where the header began in the buffer. */
static int put_mac(struct buf *header, size_t from, const struct age_key *key)
{
	uint8_t mac[32];

	buf_put_str(header, "---");
	if (!header->failed)
		age_header_mac(mac, key, buf_data(header) + from, buf_len(header) - from);
	else
		memset(mac, 0, sizeof(mac));
	buf_put_str(header, " ");
	age_base64_put(header, mac, sizeof(mac));
	buf_put_str(header, "\n");
	return buf_status(header);
}

static void put_body(struct buf *header, const uint8_t body[AGE_BODY_SIZE])
{
	buf_put_str(header, "\n");
	age_base64_put(header, body, AGE_BODY_SIZE); /* 43 digits: one line */
	buf_put_str(header, "\n");
}

size_t age_scrypt_header_size(void)
{
	return strlen(AGE_VERSION_LINE) + strlen("-> scrypt ") + AGE_BASE64_16 + strlen(" 17\n") + AGE_BASE64_32 +
	       strlen("\n--- ") + AGE_BASE64_32 + strlen("\n");
}

int age_wrap_scrypt(struct buf *header, const struct age_key *key, const char *password, int logn)
{
	uint8_t salt[AGE_SALT_SIZE], kek[32], body[AGE_BODY_SIZE];
	size_t from = buf_len(header);
	int rc;

	if (logn < AGE_MIN_LOGN || logn > AGE_MAX_LOGN)
		return err_set(
		    KC_EUSAGE, "scrypt work 2^%d is not between 2^%d and 2^%d", logn, AGE_MIN_LOGN, AGE_MAX_LOGN);
	if (password[0] == '\0')
		return err_set(KC_EUSAGE, "the password is empty");
	mem_random(salt, sizeof(salt));
	if ((rc = age_scrypt_kek(kek, password, salt, logn)) < 0)
		return rc;
	age_wrap(body, key, kek);
	mem_wipe(kek, sizeof(kek));
	buf_put_str(header, AGE_VERSION_LINE "-> scrypt ");
	age_base64_put(header, salt, sizeof(salt));
	buf_putf(header, " %d", logn);
	put_body(header, body);
	return put_mac(header, from, key);
}

/* One "X25519" stanza: an ephemeral share, and the file key under the secret both sides can compute. */
static int put_x25519(struct buf *header, const struct age_key *key, const struct age_recipient *r)
{
	uint8_t ephemeral[32], share[32], secret[32], kek[32], body[AGE_BODY_SIZE];
	int rc = KC_OK;

	mem_random(ephemeral, sizeof(ephemeral));
	crypto_scalarmult_curve25519_base(share, ephemeral);
	if (crypto_scalarmult_curve25519(secret, ephemeral, r->share) != 0)
		rc = err_set(KC_EFORMAT, "not an age recipient: a point of low order");
	mem_wipe(ephemeral, sizeof(ephemeral));
	if (rc < 0)
		return rc;
	age_x25519_kek(kek, secret, share, r->share);
	mem_wipe(secret, sizeof(secret));
	age_wrap(body, key, kek);
	mem_wipe(kek, sizeof(kek));
	buf_put_str(header, "-> X25519 ");
	age_base64_put(header, share, sizeof(share));
	put_body(header, body);
	return KC_OK;
}

int age_wrap_x25519(struct buf *header, const struct age_key *key, const struct age_recipient *r, size_t n)
{
	size_t from = buf_len(header);
	int rc;

	if (n == 0)
		return err_set(KC_EUSAGE, "no recipient");
	buf_put_str(header, AGE_VERSION_LINE);
	for (size_t i = 0; i < n; i++)
		if ((rc = put_x25519(header, key, &r[i])) < 0)
			return rc;
	return put_mac(header, from, key);
}

/* ---- scrypt beside the pipeline ---- */

struct age_scrypt_job {
	pthread_t thread;
	struct age_key *key;
	char *password;
	int logn;
	struct buf header;
	int rc;
	char *text; /* of the failure: messages are kept for each thread */
};

static void *scrypt_run(void *arg)
{
	struct age_scrypt_job *job = arg;

	job->rc = age_wrap_scrypt(&job->header, job->key, job->password, job->logn);
	if (job->rc < 0)
		job->text = mem_xstrdup(err_text(job->rc));
	return NULL;
}

static void scrypt_free(struct age_scrypt_job *job)
{
	age_key_free(job->key);
	mem_secret_free(job->password);
	buf_fini(&job->header);
	free(job->text);
	free(job);
}

int age_scrypt_start(struct age_scrypt_job **job, const struct age_key *key, const char *password, int logn)
{
	struct age_scrypt_job *new = mem_xalloc(sizeof(*new));
	int error;

	new->key = age_key_from(key->bytes);
	new->password = mem_secret_strdup(password);
	new->logn = logn;
	buf_init(&new->header, 1024);
	if ((error = pthread_create(&new->thread, NULL, scrypt_run, new)) != 0) {
		scrypt_free(new);
		return err_set(KC_ESYS, "cannot start a thread for scrypt: %s", strerror(error));
	}
	*job = new;
	return KC_OK;
}

int age_scrypt_join(struct buf *header, struct age_scrypt_job *job)
{
	int rc;

	if (job == NULL)
		return KC_OK;
	pthread_join(job->thread, NULL);
	rc = job->rc;
	if (rc < 0)
		err_set(rc, "%s", job->text);
	else if (header != NULL) {
		buf_put(header, buf_data(&job->header), buf_len(&job->header));
		rc = buf_status(header);
	}
	scrypt_free(job);
	return rc;
}
