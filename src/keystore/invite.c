/* SPDX-License-Identifier: Apache-2.0 */
/* invite: the enrolment token's text, and what is derived from it. */
#include "invite.h"

#include <ctype.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/host.h"
#include "base/mem.h"

#define PREFIX	    "kce1_"
#define PREFIX_LEN  (sizeof(PREFIX) - 1)
#define ANY_PREFIX  "kce"
#define HASH_BYTES  32
#define CHECK_BYTES 4
#define BYTES_MAX   (HASH_BYTES + INVITE_SECRET_BYTES + 2 + 255 + CHECK_BYTES)
#define BYTES_MIN   (HASH_BYTES + INVITE_SECRET_BYTES + 2 + 1 + CHECK_BYTES)
#define PROOF_LABEL "keyclone-enroll/1 join"
#define CLAIM_MAX   (256u * 1024)

/* GnuTLS without its algorithms is no GnuTLS. */
static void must(int e)
{
	if (e < 0)
		abort();
}

/* --- text --- */

static void check_of(uint8_t out[CHECK_BYTES], const uint8_t *data, size_t n)
{
	uint8_t hash[HASH_BYTES];

	must(gnutls_hash_fast(GNUTLS_DIG_SHA256, data, n, hash));
	memcpy(out, hash, CHECK_BYTES);
	mem_wipe(hash, sizeof(hash));
}

int invite_new(struct invite *t, const char *host, int port, const char *fingerprint)
{
	uint8_t scratch[HASH_BYTES];
	char *bare;

	memset(t, 0, sizeof(*t));
	if (!host_parse(&bare, host) || strlen(bare) >= sizeof(t->host))
		return err_set(KC_EUSAGE, "'%s' is no host name or address", host);
	memcpy(t->host, bare, strlen(bare) + 1);
	free(bare);
	if (port < 1 || port > 65535)
		return err_set(KC_EUSAGE, "port %d: 1 to 65535 are possible", port);
	if (!hex_decode(scratch, sizeof(scratch), fingerprint))
		return err_set(KC_EUSAGE, "'%s' is no SHA-256 fingerprint", fingerprint);
	t->port = port;
	memcpy(t->fingerprint, fingerprint, sizeof(t->fingerprint));
	mem_random(t->secret, sizeof(t->secret));
	return KC_OK;
}

void invite_format(char **text, const struct invite *t)
{
	uint8_t *bytes = mem_secret_new(BYTES_MAX), *at = bytes;
	char *base64, *out;
	size_t n;

	hex_decode(at, HASH_BYTES, t->fingerprint);
	at += HASH_BYTES;
	memcpy(at, t->secret, INVITE_SECRET_BYTES);
	at += INVITE_SECRET_BYTES;
	*at++ = (uint8_t)(t->port >> 8);
	*at++ = (uint8_t)t->port;
	memcpy(at, t->host, strlen(t->host));
	at += strlen(t->host);
	check_of(at, bytes, (size_t)(at - bytes));
	at += CHECK_BYTES;
	base64 = base64_encode(bytes, (size_t)(at - bytes));
	n = strcspn(base64, "=");
	out = mem_secret_new(PREFIX_LEN + n + 1);
	memcpy(out, PREFIX, PREFIX_LEN);
	for (size_t i = 0; i < n; i++)
		out[PREFIX_LEN + i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : base64[i];
	mem_wipe_free(base64);
	mem_secret_free(bytes);
	*text = out;
}

/* Of base64 in the alphabet for URLs, without padding. */
static int decode(uint8_t *bytes, size_t *size, const char *text, size_t n)
{
	char *padded = mem_secret_new(n + 4);
	size_t length = n;
	int rc = KC_OK;

	for (size_t i = 0; i < n; i++) {
		padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
		if (text[i] == '+' || text[i] == '/' || text[i] == '=')
			rc = KC_EFORMAT;
	}
	while (length % 4 != 0)
		padded[length++] = '=';
	if (rc == KC_OK)
		rc = base64_decode(bytes, size, BYTES_MAX, padded, length);
	mem_secret_free(padded);
	return rc;
}

static bool take_bytes(struct invite *t, const uint8_t *bytes, size_t n)
{
	size_t host_size = n - BYTES_MIN + 1;
	uint8_t check[CHECK_BYTES];
	char host[sizeof(t->host)] = "", *bare;

	check_of(check, bytes, n - CHECK_BYTES);
	if (memcmp(check, bytes + n - CHECK_BYTES, CHECK_BYTES) != 0)
		return false;
	memcpy(host, bytes + HASH_BYTES + INVITE_SECRET_BYTES + 2, host_size);
	if (strlen(host) != host_size || !host_parse(&bare, host))
		return false;
	memcpy(t->host, bare, strlen(bare) + 1);
	free(bare);
	hex_encode(t->fingerprint, bytes, HASH_BYTES);
	memcpy(t->secret, bytes + HASH_BYTES, INVITE_SECRET_BYTES);
	t->port = bytes[HASH_BYTES + INVITE_SECRET_BYTES] << 8 | bytes[HASH_BYTES + INVITE_SECRET_BYTES + 1];
	return t->port > 0;
}

int invite_parse(struct invite *t, const char *text)
{
	uint8_t *bytes = mem_secret_new(BYTES_MAX);
	size_t n, size = 0;
	bool good;

	memset(t, 0, sizeof(*t));
	text += strspn(text, " \t\r\n");
	n = strcspn(text, " \t\r\n");
	if (strncmp(text, PREFIX, PREFIX_LEN) != 0) {
		mem_secret_free(bytes);
		if (strncmp(text, ANY_PREFIX, sizeof(ANY_PREFIX) - 1) == 0 &&
		    isdigit((unsigned char)text[sizeof(ANY_PREFIX) - 1]))
			return err_set(KC_EUSAGE, "the token was made by another version of keyclone");
		return err_set(KC_EUSAGE, "that is no token: tokens begin with " PREFIX);
	}
	good = text[n + strspn(text + n, " \t\r\n")] == '\0' &&
	       decode(bytes, &size, text + PREFIX_LEN, n - PREFIX_LEN) == KC_OK && size >= BYTES_MIN &&
	       take_bytes(t, bytes, size);
	mem_secret_free(bytes);
	if (!good)
		invite_fini(t);
	return good ? KC_OK : err_set(KC_EUSAGE, "the token is not whole: a part of it is missing or mistyped");
}

void invite_fini(struct invite *t)
{
	mem_wipe(t, sizeof(*t));
}

/* --- keys --- */

static void expand(void *out, size_t n, const uint8_t prk[HASH_BYTES], const char *what)
{
	const gnutls_datum_t key = { (unsigned char *)(uintptr_t)prk, HASH_BYTES };
	const gnutls_datum_t info = { (unsigned char *)(uintptr_t)what, (unsigned)strlen(what) };

	must(gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &key, &info, out, n));
}

void invite_derive(struct invite_keys *k, const struct invite *t)
{
	uint8_t *prk = mem_secret_new(HASH_BYTES), fingerprint[HASH_BYTES], id[(INVITE_ID_SIZE - 1) / 2];
	const gnutls_datum_t secret = { (unsigned char *)(uintptr_t)t->secret, sizeof(t->secret) };
	const gnutls_datum_t salt = { fingerprint, sizeof(fingerprint) };

	memset(k, 0, sizeof(*k));
	hex_decode(fingerprint, sizeof(fingerprint), t->fingerprint);
	must(gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &secret, &salt, prk));
	expand(id, sizeof(id), prk, "keyclone-enroll/1 id");
	hex_encode(k->id, id, sizeof(id));
	expand(k->psk, sizeof(k->psk), prk, "keyclone-enroll/1 psk");
	expand(k->proof, sizeof(k->proof), prk, "keyclone-enroll/1 proof");
	mem_secret_free(prk);
}

void invite_keys_fini(struct invite_keys *k)
{
	mem_wipe(k, sizeof(*k));
}

/* --- proof --- */

static void put(struct buf *b, const void *data, size_t n)
{
	buf_put_u32(b, (uint32_t)n);
	buf_put(b, data, n);
}

void invite_prove(char out[CERT_HEX_SIZE], const uint8_t proof[INVITE_KEY_BYTES], const struct invite_claim *c)
{
	uint8_t mac[HASH_BYTES];
	struct buf b;

	buf_init(&b, CLAIM_MAX);
	buf_put_str(&b, PROOF_LABEL);
	put(&b, c->csr, c->csr_size);
	put(&b, c->chain, c->chain_size);
	put(&b, c->host, strlen(c->host));
	buf_put_u32(&b, (uint32_t)c->port);
	put(&b, c->recipient, strlen(c->recipient));
	put(&b, c->lineage, strlen(c->lineage));
	/* One that does not fit proves nothing. */
	if (buf_status(&b) < 0)
		mem_random(mac, sizeof(mac));
	else
		must(gnutls_hmac_fast(GNUTLS_MAC_SHA256, proof, INVITE_KEY_BYTES, buf_data(&b), buf_len(&b), mac));
	hex_encode(out, mac, sizeof(mac));
	buf_fini(&b);
}
