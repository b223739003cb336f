/* SPDX-License-Identifier: Apache-2.0 */
/* issue: keys, the installation's authority, certificates. */
#include "issue.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "identity_priv.h"
#include "issue_priv.h"

#define AUTHORITY_CRT	 "authority.crt"
#define AUTHORITY_KEY	 "authority.key"
#define AUTHORITY_SECRET "authority.secret"

#define SERIAL_SIZE	16
#define DNS_MAX		253
#define BACKDATE	3600  /* a peer's clock may be behind */
#define BACKDATE_ISSUER 86400 /* an authority begins before what it issues */

static const struct key_type {
	const char *name;
	gnutls_pk_algorithm_t algorithm;
	unsigned bits;
	gnutls_digest_algorithm_t digest;
} key_types[] = {
	[ISSUE_ECDSA_P256] = { "ecdsa-p256", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
	    GNUTLS_DIG_SHA256 },
	[ISSUE_ECDSA_P384] = { "ecdsa-p384", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1),
	    GNUTLS_DIG_SHA384 },
	[ISSUE_ECDSA_P521] = { "ecdsa-p521", GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP521R1),
	    GNUTLS_DIG_SHA512 },
	[ISSUE_ED25519] = { "ed25519", GNUTLS_PK_EDDSA_ED25519, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_ED25519),
	    GNUTLS_DIG_SHA512 },
	[ISSUE_RSA_2048] = { "rsa-2048", GNUTLS_PK_RSA, 2048, GNUTLS_DIG_SHA256 },
	[ISSUE_RSA_3072] = { "rsa-3072", GNUTLS_PK_RSA, 3072, GNUTLS_DIG_SHA256 },
	[ISSUE_RSA_4096] = { "rsa-4096", GNUTLS_PK_RSA, 4096, GNUTLS_DIG_SHA256 },
};

int issue_key_from_name(enum issue_key *key, const char *name)
{
	for (size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++) {
		if (strcmp(key_types[i].name, name) == 0) {
			*key = (enum issue_key)i;
			return KC_OK;
		}
	}
	return err_set(KC_EUSAGE,
	    "key type %s: not one of ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, "
	    "rsa-3072, rsa-4096",
	    name);
}

int issue_check(int rc, const char *what)
{
	return rc >= 0 ? KC_OK : err_set(KC_EFAIL, "%s: %s", what, gnutls_strerror(rc));
}

int issue_make_key(gnutls_x509_privkey_t *key, enum issue_key type)
{
	const struct key_type *t = &key_types[type];
	gnutls_x509_privkey_t k;
	int rc = issue_check(gnutls_x509_privkey_init(&k), "private key");

	if (rc < 0)
		return rc;
	rc = issue_check(gnutls_x509_privkey_generate(k, t->algorithm, t->bits, 0), "private key");
	if (rc == KC_OK)
		*key = k;
	else
		gnutls_x509_privkey_deinit(k);
	return rc;
}

gnutls_digest_algorithm_t issue_digest_of(gnutls_x509_privkey_t key)
{
	unsigned bits = 0;

	switch (gnutls_x509_privkey_get_pk_algorithm2(key, &bits)) {
	case GNUTLS_PK_EDDSA_ED25519:
		return GNUTLS_DIG_SHA512; /* what GnuTLS calls it; the algorithm has it built in */
	case GNUTLS_PK_ECDSA:
		return bits > 384 ? GNUTLS_DIG_SHA512 : bits > 256 ? GNUTLS_DIG_SHA384 : GNUTLS_DIG_SHA256;
	default:
		return GNUTLS_DIG_SHA256;
	}
}

static int set_subject(gnutls_x509_crt_t crt, const char *cn, const char *subject)
{
	const char *bad = NULL;
	char present[ISSUE_CN_MAX * 4];
	size_t n = sizeof(present);
	int rc;

	if (subject != NULL && gnutls_x509_crt_set_dn(crt, subject, &bad) < 0)
		return err_set(
		    KC_EUSAGE, "subject %s: not a distinguished name at '%s'", subject, bad != NULL ? bad : subject);
	if (subject != NULL && gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, present, &n) >= 0)
		return cn == NULL || strcmp(cn, present) == 0
			   ? KC_OK
			   : err_set(KC_EUSAGE, "common name %s and that of the subject, %s, differ", cn, present);
	if (cn == NULL || cn[0] == '\0')
		return err_set(KC_EUSAGE, "a certificate needs a common name");
	if (strlen(cn) > ISSUE_CN_MAX)
		return err_set(KC_EUSAGE, "common name %s: %zu bytes, more than %d", cn, strlen(cn), ISSUE_CN_MAX);
	rc = gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, cn, (unsigned)strlen(cn));
	return rc >= 0 ? KC_OK : err_set(KC_EUSAGE, "common name %s: %s", cn, gnutls_strerror(rc));
}

static bool is_dns_name(const char *name)
{
	size_t n = strlen(name), label = 0;

	if (strncmp(name, "*.", 2) == 0)
		return is_dns_name(name + 2) && strchr(name + 2, '.') != NULL;
	for (size_t i = 0; i < n; i++) {
		label = name[i] == '.' ? 0 : label + 1;
		if ((name[i] == '.' && (i == 0 || name[i - 1] == '.')) || label > 63 ||
		    strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", name[i]) == NULL)
			return false;
	}
	return n > 0 && n <= DNS_MAX && name[n - 1] != '.';
}

int issue_parse_san(struct issue_san *san, const char *text)
{
	bool dns = strncasecmp(text, "dns:", 4) == 0, ip = strncasecmp(text, "ip:", 3) == 0;
	const char *value = text + (dns ? 4 : ip ? 3 : 0);

	*san = (struct issue_san){ .type = GNUTLS_SAN_IPADDRESS };
	if (!dns && inet_pton(AF_INET, value, san->raw) == 1)
		san->size = 4;
	else if (!dns && inet_pton(AF_INET6, value, san->raw) == 1)
		san->size = 16;
	san->data = san->raw;
	if (san->size > 0)
		return KC_OK;
	if (ip)
		return err_set(KC_EUSAGE, "alternative name %s: not an IP address", text);
	if (!is_dns_name(value))
		return err_set(KC_EUSAGE, "alternative name %s: neither an IP address nor a DNS name", text);
	san->type = GNUTLS_SAN_DNSNAME;
	san->data = value;
	san->size = (unsigned)strlen(value);
	return KC_OK;
}

static int add_san(gnutls_x509_crt_t crt, const char *text)
{
	struct issue_san san;
	int rc = issue_parse_san(&san, text);

	if (rc < 0)
		return rc;
	rc = gnutls_x509_crt_set_subject_alt_name(crt, san.type, san.data, san.size, GNUTLS_FSAN_APPEND);
	return rc >= 0 ? KC_OK : err_set(KC_EUSAGE, "alternative name %s: %s", text, gnutls_strerror(rc));
}

static int add_role(gnutls_x509_crt_t crt, enum cert_role role)
{
	static const char *const uris[] = { NULL, X509_URI_MASTER, X509_URI_CLONE, X509_URI_AUTHORITY };

	if (uris[role] == NULL)
		return KC_OK;
	return issue_check(gnutls_x509_crt_set_subject_alt_name(
			       crt, GNUTLS_SAN_URI, uris[role], (unsigned)strlen(uris[role]), GNUTLS_FSAN_APPEND),
	    "role");
}

static int set_times(gnutls_x509_crt_t crt, unsigned days, time_t backdate, time_t limit)
{
	time_t now = time(NULL);
	int64_t end = (int64_t)now + (int64_t)days * 86400;
	int rc;

	if (days > ISSUE_DAYS_MAX)
		return err_set(KC_EUSAGE, "%u days, more than %d", days, ISSUE_DAYS_MAX);
	if (limit != 0 && end > limit)
		end = limit;
	if (end <= now)
		return err_set(KC_ECERT, "the authority has expired");
	if ((int64_t)(time_t)end != end)
		return err_set(KC_EUSAGE, "%u days are beyond this machine's calendar", days);
	rc = issue_check(gnutls_x509_crt_set_activation_time(crt, now - backdate), "begin");
	return rc == KC_OK ? issue_check(gnutls_x509_crt_set_expiration_time(crt, (time_t)end), "end") : rc;
}

static int set_serial(gnutls_x509_crt_t crt)
{
	unsigned char serial[SERIAL_SIZE];

	mem_random(serial, sizeof(serial));
	serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* positive, and always of this length */
	return issue_check(gnutls_x509_crt_set_serial(crt, serial, sizeof(serial)), "serial number");
}

static int set_key_ids(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
	unsigned char id[64];
	size_t n = sizeof(id);
	int rc = issue_check(gnutls_x509_crt_get_key_id(crt, 0, id, &n), "key identifier");

	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crt_set_subject_key_id(crt, id, n), "key identifier");
	if (rc < 0 || issuer == NULL)
		return rc;
	n = sizeof(id);
	if (gnutls_x509_crt_get_subject_key_id(issuer, id, &n, NULL) < 0)
		return KC_OK;
	return issue_check(gnutls_x509_crt_set_authority_key_id(crt, id, n), "authority key identifier");
}

static int set_purpose(gnutls_x509_crt_t crt, bool ca)
{
	int rc;

	/* An authority issues end-entity certificates only: path length 0. */
	rc = issue_check(gnutls_x509_crt_set_basic_constraints(crt, ca, ca ? 0 : -1), "basic constraints");
	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crt_set_key_usage(crt, ca ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN
								       : GNUTLS_KEY_DIGITAL_SIGNATURE),
		    "key usage");
	if (rc < 0 || ca)
		return rc;
	rc = issue_check(gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0), "extended key usage");
	if (rc == KC_OK)
		rc = issue_check(
		    gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0), "extended key usage");
	return rc;
}

/* Everything of a certificate but its signature. issuer NULL: self-signed. */
static int fill(
    gnutls_x509_crt_t crt, gnutls_pubkey_t key, const struct issue_request *r, const struct issue_authority *issuer)
{
	bool ca = r->role == CERT_ROLE_AUTHORITY;
	int rc = issue_check(gnutls_x509_crt_set_version(crt, 3), "version");

	if (rc == KC_OK)
		rc = issue_check(gnutls_x509_crt_set_pubkey(crt, key), "public key");
	if (rc == KC_OK)
		rc = set_serial(crt);
	if (rc == KC_OK)
		rc = set_subject(crt, r->cn, r->subject);
	for (size_t i = 0; rc == KC_OK && i < r->san_count; i++)
		rc = add_san(crt, r->sans[i]);
	if (rc == KC_OK)
		rc = add_role(crt, r->role);
	if (rc == KC_OK)
		rc = set_purpose(crt, ca);
	if (rc == KC_OK)
		rc = set_key_ids(crt, issuer != NULL ? issuer->crt : NULL);
	if (rc == KC_OK)
		rc = set_times(crt,
		    r->days != 0 ? r->days
		    : ca	 ? ISSUE_DAYS_AUTHORITY
				 : ISSUE_DAYS_DEFAULT,
		    ca ? BACKDATE_ISSUER : BACKDATE, issuer != NULL ? issuer->info.not_after : 0);
	return rc;
}

int issue_certificate(gnutls_x509_crt_t *crt, gnutls_pubkey_t key, gnutls_x509_privkey_t own,
    const struct issue_request *r, const struct issue_authority *authority)
{
	gnutls_x509_privkey_t signer = own != NULL ? own : authority->key;
	gnutls_x509_crt_t c;
	int rc = issue_check(gnutls_x509_crt_init(&c), "certificate");

	if (rc < 0)
		return rc;
	rc = fill(c, key, r, own == NULL ? authority : NULL);
	if (rc == KC_OK)
		rc = issue_check(
		    gnutls_x509_crt_sign2(c, own != NULL ? c : authority->crt, signer, issue_digest_of(signer), 0),
		    "signature");
	if (rc == KC_OK)
		*crt = c;
	else
		gnutls_x509_crt_deinit(c);
	return rc;
}

static int public_half(gnutls_pubkey_t *pub, gnutls_x509_privkey_t key)
{
	gnutls_privkey_t whole;
	gnutls_pubkey_t p;
	int rc = issue_check(gnutls_privkey_init(&whole), "private key");

	if (rc < 0)
		return rc;
	rc = issue_check(gnutls_pubkey_init(&p), "public key");
	if (rc == KC_OK) {
		rc = issue_check(gnutls_privkey_import_x509(whole, key, 0), "private key");
		if (rc == KC_OK)
			rc = issue_check(gnutls_pubkey_import_privkey(p, whole, 0, 0), "public key");
		if (rc == KC_OK)
			*pub = p;
		else
			gnutls_pubkey_deinit(p);
	}
	gnutls_privkey_deinit(whole);
	return rc;
}

/* authority NULL: self-signed. */
static int make(gnutls_x509_crt_t *crt, gnutls_x509_privkey_t *key, const struct issue_request *r,
    const struct issue_authority *authority)
{
	gnutls_x509_privkey_t k;
	gnutls_pubkey_t pub;
	int rc = issue_make_key(&k, r->key);

	if (rc < 0)
		return rc;
	rc = public_half(&pub, k);
	if (rc == KC_OK) {
		rc = issue_certificate(crt, pub, authority == NULL ? k : NULL, r, authority);
		gnutls_pubkey_deinit(pub);
	}
	if (rc == KC_OK)
		*key = k;
	else
		gnutls_x509_privkey_deinit(k);
	return rc;
}

int issue_identity(struct identity **id, const struct issue_authority *authority, const struct issue_request *request)
{
	struct x509_list pool = { 0 };
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt, copy;
	int rc;

	if (request->role == CERT_ROLE_AUTHORITY)
		return err_set(KC_EUSAGE, "an authority is not issued");
	if (request->role != CERT_ROLE_NONE && authority == NULL)
		return err_set(KC_EUSAGE, "a role is given by an authority only, not by a self-signed certificate");
	rc = make(&crt, &key, request, authority);
	if (rc < 0)
		return rc;
	/* Round trip through DER: a certificate that was signed does not answer every question in memory. */
	rc = x509_copy(&copy, crt);
	gnutls_x509_crt_deinit(crt);
	if (rc == KC_OK)
		x509_list_take(&pool, copy);
	if (rc == KC_OK && authority != NULL && (rc = x509_copy(&copy, authority->crt)) == KC_OK)
		x509_list_take(&pool, copy);
	if (rc == KC_OK)
		rc = identity_assemble(id, &pool, key, "", "new certificate");
	else
		gnutls_x509_privkey_deinit(key);
	x509_list_fini(&pool);
	return rc;
}

static int write_authority(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, const char *secrets_dir)
{
	char *crt_path = file_join(secrets_dir, AUTHORITY_CRT), *key_path = file_join(secrets_dir, AUTHORITY_KEY);
	char *secret_path = file_join(secrets_dir, AUTHORITY_SECRET);
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = identity_write_key(key, key_path, secret_path, false);
	if (rc == KC_OK)
		rc = x509_put_pem(&b, crt);
	if (rc == KC_OK)
		rc = file_replace(crt_path, buf_data(&b), buf_len(&b), 0644);
	buf_fini(&b);
	free(crt_path);
	free(key_path);
	free(secret_path);
	return rc;
}

int issue_authority_create(const char *secrets_dir, const char *name, enum issue_key key_type, unsigned days)
{
	struct issue_request r = { .cn = name, .days = days, .key = key_type, .role = CERT_ROLE_AUTHORITY };
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	int rc = file_make_dirs(secrets_dir);

	if (rc == KC_OK)
		rc = make(&crt, &key, &r, NULL);
	if (rc < 0)
		return rc;
	rc = write_authority(crt, key, secrets_dir);
	gnutls_x509_crt_deinit(crt);
	gnutls_x509_privkey_deinit(key);
	return rc;
}

static int load_authority_crt(struct issue_authority *a, const char *path)
{
	struct x509_list list = { 0 };
	struct buf b;
	int rc;

	buf_init(&b, X509_FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_ENOENT)
		rc = err_set(KC_ENOENT, "%s: there is no own authority here", path);
	if (rc == KC_OK)
		rc = x509_list_parse(&list, buf_data(&b), buf_len(&b), path);
	if (rc == KC_OK && !x509_is_ca(list.crts[0]))
		rc = err_set(KC_EFORMAT, "%s: not the certificate of an authority", path);
	if (rc == KC_OK)
		rc = x509_copy(&a->crt, list.crts[0]);
	if (rc == KC_OK)
		rc = x509_info(&a->info, a->crt);
	x509_list_fini(&list);
	buf_fini(&b);
	return rc;
}

static int check_pair(const struct issue_authority *a, const char *path)
{
	unsigned char of_crt[32], of_key[32];
	size_t n = sizeof(of_key);
	int rc = x509_key_id(of_crt, a->crt);

	if (rc < 0)
		return rc;
	if (gnutls_x509_privkey_get_key_id(a->key, GNUTLS_KEYID_USE_SHA256, of_key, &n) < 0 ||
	    memcmp(of_crt, of_key, sizeof(of_crt)) != 0)
		return err_set(KC_ECERT, "%s: does not belong to the certificate of the authority", path);
	return KC_OK;
}

int issue_authority_read(struct issue_authority **authority, const char *secrets_dir, const char *stem)
{
	char *crt_path = mem_xasprintf("%s/%scrt", secrets_dir, stem);
	char *key_path = mem_xasprintf("%s/%skey", secrets_dir, stem);
	char *secret_path = mem_xasprintf("%s/%ssecret", secrets_dir, stem);
	struct issue_authority *a = mem_xalloc(sizeof(*a));
	int rc = load_authority_crt(a, crt_path);

	if (rc == KC_OK)
		rc = identity_read_key(&a->key, key_path, secret_path);
	if (rc == KC_OK)
		rc = check_pair(a, key_path);
	free(crt_path);
	free(key_path);
	free(secret_path);
	if (rc == KC_OK)
		*authority = a;
	else
		issue_authority_free(a);
	return rc;
}

int issue_authority_load(struct issue_authority **authority, const char *secrets_dir)
{
	int rc = issue_authority_finish(secrets_dir);

	return rc == KC_OK ? issue_authority_read(authority, secrets_dir, ISSUE_PRESENT) : rc;
}

void issue_authority_free(struct issue_authority *authority)
{
	if (authority == NULL)
		return;
	if (authority->crt != NULL)
		gnutls_x509_crt_deinit(authority->crt);
	gnutls_x509_privkey_deinit(authority->key);
	cert_info_fini(&authority->info);
	free(authority);
}

const struct cert_info *issue_authority_info(const struct issue_authority *authority)
{
	return &authority->info;
}

int issue_authority_pem(struct buf *out, const struct issue_authority *authority)
{
	return x509_put_pem(out, authority->crt);
}
