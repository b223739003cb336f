/* SPDX-License-Identifier: Apache-2.0 */
/* ec_key: opens PKCS#8 itself as far as the scalar of an EC key, and finds the point in a certificate. */
#include "ec_key.h"

#include <gnutls/crypto.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"

#define TAG_INTEGER  0x02
#define TAG_OCTETS   0x04
#define TAG_OID	     0x06
#define TAG_SEQUENCE 0x30

#define SIZE_MAX_KEY   65536
#define ITERATIONS_MAX 10000000
#define KEY_MAX	       32

/* A view of DER. */
struct der {
	const uint8_t *p;
	size_t n;
};

/* The next element, which must have this tag. */
static bool der_take(struct der *out, struct der *in, uint8_t tag)
{
	size_t head = 2, n;

	if (in->n < 2 || in->p[0] != tag)
		return false;
	n = in->p[1];
	if (n > 0x80) {
		size_t digits = n & 0x7f;

		if (digits > 3 || in->n < 2 + digits)
			return false;
		for (n = 0; head < 2 + digits; head++)
			n = n << 8 | in->p[head];
	} else if (n == 0x80) {
		return false;
	}
	if (n > in->n - head)
		return false;
	*out = (struct der){ in->p + head, n };
	in->p += head + n;
	in->n -= head + n;
	return true;
}

static bool der_is(const struct der *d, const char *bytes, size_t n)
{
	return d->n == n && memcmp(d->p, bytes, n) == 0;
}
#define DER_IS(d, literal) der_is((d), (literal), sizeof(literal) - 1)

static bool der_number(uint32_t *out, struct der *in)
{
	struct der d;
	uint32_t v = 0;

	if (!der_take(&d, in, TAG_INTEGER) || d.n == 0 || d.n > 4 || (d.p[0] & 0x80) != 0)
		return false;
	for (size_t i = 0; i < d.n; i++)
		v = v << 8 | d.p[i];
	*out = v;
	return true;
}

struct pbes2 {
	struct der salt, iv, data;
	uint32_t iterations;
	gnutls_mac_algorithm_t prf;
	gnutls_cipher_algorithm_t cipher;
};

static bool parse_prf(struct pbes2 *e, struct der *params)
{
	struct der alg, oid;
	uint32_t key_size;

	e->prf = GNUTLS_MAC_SHA1;
	if (params->n > 0 && params->p[0] == TAG_INTEGER && !der_number(&key_size, params))
		return false;
	if (params->n == 0)
		return true;
	if (!der_take(&alg, params, TAG_SEQUENCE) || !der_take(&oid, &alg, TAG_OID))
		return false;
	if (DER_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x02\x07"))
		e->prf = GNUTLS_MAC_SHA1;
	else if (DER_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x02\x09"))
		e->prf = GNUTLS_MAC_SHA256;
	else if (DER_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x02\x0a"))
		e->prf = GNUTLS_MAC_SHA384;
	else if (DER_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x02\x0b"))
		e->prf = GNUTLS_MAC_SHA512;
	else
		return false;
	return true;
}

static bool parse_cipher(struct pbes2 *e, struct der *alg)
{
	struct der oid;

	if (!der_take(&oid, alg, TAG_OID) || !der_take(&e->iv, alg, TAG_OCTETS))
		return false;
	if (DER_IS(&oid, "\x60\x86\x48\x01\x65\x03\x04\x01\x02"))
		e->cipher = GNUTLS_CIPHER_AES_128_CBC;
	else if (DER_IS(&oid, "\x60\x86\x48\x01\x65\x03\x04\x01\x16"))
		e->cipher = GNUTLS_CIPHER_AES_192_CBC;
	else if (DER_IS(&oid, "\x60\x86\x48\x01\x65\x03\x04\x01\x2a"))
		e->cipher = GNUTLS_CIPHER_AES_256_CBC;
	else if (DER_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x03\x07"))
		e->cipher = GNUTLS_CIPHER_3DES_CBC;
	else
		return false;
	return e->iv.n == gnutls_cipher_get_iv_size(e->cipher);
}

/* EncryptedPrivateKeyInfo with PBES2 and PBKDF2. */
static bool parse_pbes2(struct pbes2 *e, struct der in)
{
	struct der info, alg, oid, schemes, kdf, kdf_params, cipher;

	return der_take(&info, &in, TAG_SEQUENCE) && der_take(&alg, &info, TAG_SEQUENCE) &&
	       der_take(&oid, &alg, TAG_OID) && DER_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d") &&
	       der_take(&schemes, &alg, TAG_SEQUENCE) && der_take(&kdf, &schemes, TAG_SEQUENCE) &&
	       der_take(&oid, &kdf, TAG_OID) && DER_IS(&oid, "\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c") &&
	       der_take(&kdf_params, &kdf, TAG_SEQUENCE) && der_take(&e->salt, &kdf_params, TAG_OCTETS) &&
	       der_number(&e->iterations, &kdf_params) && e->iterations > 0 && e->iterations <= ITERATIONS_MAX &&
	       parse_prf(e, &kdf_params) && der_take(&cipher, &schemes, TAG_SEQUENCE) && parse_cipher(e, &cipher) &&
	       der_take(&e->data, &info, TAG_OCTETS);
}

/* *plain: secret memory of the size of e->data. Padding is left to the DER inside, which knows its own length. */
static bool decrypt(uint8_t **plain, const struct pbes2 *e, const char *password)
{
	gnutls_datum_t pass = { (unsigned char *)password, (unsigned)strlen(password) };
	gnutls_datum_t salt = { (unsigned char *)e->salt.p, (unsigned)e->salt.n };
	gnutls_datum_t iv = { (unsigned char *)e->iv.p, (unsigned)e->iv.n };
	size_t block = (size_t)gnutls_cipher_get_block_size(e->cipher),
	       key_size = gnutls_cipher_get_key_size(e->cipher);
	gnutls_cipher_hd_t cipher = NULL;
	uint8_t raw[KEY_MAX];
	gnutls_datum_t key = { raw, (unsigned)key_size };
	uint8_t *out;
	int rc;

	if (e->data.n == 0 || e->data.n % block != 0 || key_size > sizeof(raw))
		return false;
	out = mem_secret_new(e->data.n);
	rc = gnutls_pbkdf2(e->prf, &pass, &salt, e->iterations, raw, key_size);
	if (rc >= 0)
		rc = gnutls_cipher_init(&cipher, e->cipher, &key, &iv);
	if (rc >= 0) {
		rc = gnutls_cipher_decrypt2(cipher, e->data.p, e->data.n, out, e->data.n);
		gnutls_cipher_deinit(cipher);
	}
	mem_wipe(raw, sizeof(raw));
	if (rc >= 0)
		*plain = out;
	else
		mem_secret_free(out);
	return rc >= 0;
}

/* The scalar in a PrivateKeyInfo of an EC key. */
static bool find_scalar(struct der *scalar, struct der in)
{
	struct der info, alg, oid, octets, key;
	uint32_t version;

	return der_take(&info, &in, TAG_SEQUENCE) && der_number(&version, &info) && version <= 1 &&
	       der_take(&alg, &info, TAG_SEQUENCE) && der_take(&oid, &alg, TAG_OID) &&
	       DER_IS(&oid, "\x2a\x86\x48\xce\x3d\x02\x01") && der_take(&octets, &info, TAG_OCTETS) &&
	       der_take(&key, &octets, TAG_SEQUENCE) && der_number(&version, &key) && version == 1 &&
	       der_take(scalar, &key, TAG_OCTETS);
}

/* The key of this scalar and the point of the certificate, if one belongs to the other. */
static bool join(gnutls_x509_privkey_t *key, const struct der *scalar, gnutls_x509_crt_t crt)
{
	gnutls_datum_t k = { (unsigned char *)scalar->p, (unsigned)scalar->n }, x = { 0 }, y = { 0 };
	gnutls_x509_privkey_t candidate = NULL;
	gnutls_ecc_curve_t curve;
	bool found = false;

	if (gnutls_x509_crt_get_pk_ecc_raw(crt, &curve, &x, &y) < 0)
		return false;
	if (y.size > 0 && gnutls_x509_privkey_init(&candidate) >= 0) {
		found = gnutls_x509_privkey_import_ecc_raw(candidate, curve, &x, &y, &k) >= 0 &&
			gnutls_x509_privkey_verify_params(candidate) >= 0;
		if (found)
			*key = candidate;
		else
			gnutls_x509_privkey_deinit(candidate);
	}
	gnutls_free(x.data);
	gnutls_free(y.data);
	return found;
}

static bool recover(gnutls_x509_privkey_t *key, struct der in, const char *password, const struct x509_list *list)
{
	uint8_t *plain = NULL;
	struct pbes2 e;
	struct der scalar;
	bool found = false;

	if (parse_pbes2(&e, in)) {
		if (password == NULL || !decrypt(&plain, &e, password))
			return false;
		in = (struct der){ plain, e.data.n };
	}
	if (find_scalar(&scalar, in))
		for (size_t i = 0; !found && i < list->count; i++)
			found = join(key, &scalar, list->crts[i]);
	mem_secret_free(plain);
	return found;
}

bool ec_key_recover(gnutls_x509_privkey_t *key, const void *data, size_t size, const char *password,
    const struct x509_list *certificates)
{
	gnutls_datum_t in = { (unsigned char *)data, (unsigned)size }, der = { 0 };
	bool found;

	if (size == 0 || size > SIZE_MAX_KEY)
		return false;
	if (!x509_is_pem(data, size))
		return recover(key, (struct der){ data, size }, password, certificates);
	if (gnutls_pem_base64_decode2(NULL, &in, &der) < 0)
		return false;
	found = recover(key, (struct der){ der.data, der.size }, password, certificates);
	mem_wipe(der.data, der.size);
	gnutls_free(der.data);
	return found;
}
