/* SPDX-License-Identifier: Apache-2.0 */
/* cert: copies out what a certificate says, and compares host names with it. */
#include "cert.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"
#include "x509.h"

#define SAN_COUNT_MAX 1024
#define P521_BITS     528 /* what GnuTLS says: whole bytes */

const char *cert_role_name(enum cert_role role)
{
	static const char *const names[] = { "", "master", "clone", "authority" };

	return names[role];
}

const char *cert_use_name(enum cert_use use)
{
	return use == CERT_USE_CLIENT ? "TLS client" : "TLS server";
}

static void list_free(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void cert_info_fini(struct cert_info *info)
{
	free(info->cn);
	free(info->subject);
	free(info->issuer);
	free(info->serial);
	free(info->key_type);
	list_free(info->dns, info->dns_count);
	list_free(info->ips, info->ip_count);
	*info = (struct cert_info){ 0 };
}

static void list_put(char ***list, size_t *count, char *takes)
{
	*list = mem_xrealloc(*list, (*count + 1) * sizeof(**list));
	(*list)[(*count)++] = takes;
}

static char *ip_text(const void *data, size_t size)
{
	char text[INET6_ADDRSTRLEN];

	if (size != 4 && size != 16)
		return NULL;
	return inet_ntop(size == 4 ? AF_INET : AF_INET6, data, text, sizeof(text)) != NULL ? mem_xstrdup(text) : NULL;
}

/* Text without zero bytes, control characters and the like. */
static bool is_plain(const char *text, size_t n)
{
	size_t i = 0, k = 1;

	while (i < n && (k = str_char_size(text + i)) > 0)
		i += k;
	return i == n;
}

static void copy_sans(struct cert_info *info, gnutls_x509_crt_t crt)
{
	for (unsigned i = 0; i < SAN_COUNT_MAX; i++) {
		char san[512] = "", *ip;
		size_t n = sizeof(san) - 1;
		int type = gnutls_x509_crt_get_subject_alt_name(crt, i, san, &n, NULL);

		if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return;
		/* A name that cannot be used is still a name: the common name must not step in for it. */
		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			list_put(&info->dns, &info->dns_count, mem_xstrdup("?"));
		else if (type == GNUTLS_SAN_DNSNAME)
			list_put(&info->dns, &info->dns_count,
			    n > 0 && is_plain(san, n) ? mem_xstrndup(san, n) : mem_xstrdup("?"));
		else if (type == GNUTLS_SAN_IPADDRESS && (ip = ip_text(san, n)) != NULL)
			list_put(&info->ips, &info->ip_count, ip);
	}
}

static char *dn_text(gnutls_x509_crt_t crt, int (*get)(gnutls_x509_crt_t, gnutls_datum_t *, unsigned))
{
	gnutls_datum_t dn = { 0 };
	char *text = get(crt, &dn, 0) < 0 ? mem_xstrdup("") : mem_xstrndup((const char *)dn.data, dn.size);

	gnutls_free(dn.data);
	return str_printable(text);
}

char *x509_key_type(int algorithm, unsigned bits)
{
	switch (algorithm) {
	case GNUTLS_PK_RSA:
		return mem_xasprintf("rsa-%u", bits);
	case GNUTLS_PK_RSA_PSS:
		return mem_xasprintf("rsa-pss-%u", bits);
	case GNUTLS_PK_ECDSA:
		return mem_xasprintf("ecdsa-p%u", bits == P521_BITS ? 521 : bits);
	case GNUTLS_PK_EDDSA_ED25519:
		return mem_xstrdup("ed25519");
	case GNUTLS_PK_EDDSA_ED448:
		return mem_xstrdup("ed448");
	default:
		return mem_xstrdup("other");
	}
}

static char *key_type_text(gnutls_x509_crt_t crt)
{
	unsigned bits = 0;
	int algorithm = gnutls_x509_crt_get_pk_algorithm(crt, &bits);

	return x509_key_type(algorithm, bits);
}

static char *cn_text(gnutls_x509_crt_t crt)
{
	char cn[256] = "";
	size_t n = sizeof(cn);

	if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &n) < 0 || !is_plain(cn, n))
		n = 0;
	return mem_xstrndup(cn, n);
}

static int copy_hashes(struct cert_info *info, gnutls_x509_crt_t crt)
{
	unsigned char hash[32];
	size_t n = sizeof(hash);
	int rc = gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, hash, &n);

	if (rc < 0)
		return err_set(KC_EFORMAT, "a certificate has no fingerprint: %s", gnutls_strerror(rc));
	hex_encode(info->sha256, hash, sizeof(hash));
	if ((rc = x509_key_id(hash, crt)) < 0)
		return rc;
	hex_encode(info->spki_sha256, hash, sizeof(hash));
	return KC_OK;
}

int x509_info(struct cert_info *info, gnutls_x509_crt_t crt)
{
	struct cert_info i = { 0 };
	unsigned char serial[64];
	size_t n = sizeof(serial);
	int rc = copy_hashes(&i, crt);

	if (rc < 0)
		return rc;
	i.cn = cn_text(crt);
	i.subject = dn_text(crt, gnutls_x509_crt_get_dn3);
	i.issuer = dn_text(crt, gnutls_x509_crt_get_issuer_dn3);
	if (gnutls_x509_crt_get_serial(crt, serial, &n) < 0)
		n = 0;
	i.serial = mem_xalloc(n * 2 + 1);
	hex_encode(i.serial, serial, n);
	i.key_type = key_type_text(crt);
	copy_sans(&i, crt);
	i.role = x509_role(crt);
	i.not_before = gnutls_x509_crt_get_activation_time(crt);
	i.not_after = gnutls_x509_crt_get_expiration_time(crt);
	i.client = x509_missing_use(crt, CERT_USE_CLIENT) == NULL;
	i.server = x509_missing_use(crt, CERT_USE_SERVER) == NULL;
	i.ca = x509_is_ca(crt);
	i.self_signed = x509_is_issued_by(crt, crt);
	*info = i;
	return KC_OK;
}

int cert_info_from_der(struct cert_info *info, const void *der, size_t size)
{
	gnutls_x509_crt_t crt;
	int rc = x509_load(&crt, der, size);

	if (rc < 0)
		return rc;
	rc = x509_info(info, crt);
	gnutls_x509_crt_deinit(crt);
	return rc;
}

long cert_info_days_left(const struct cert_info *info, time_t now)
{
	time_t left = info->not_after - now;

	return (long)(left >= 0 ? left / 86400 : -((-left + 86399) / 86400));
}

const char *cert_info_state(const struct cert_info *info, time_t now)
{
	if (info->not_after < now)
		return "expired";
	if (info->not_before > now)
		return "not yet valid";
	return cert_info_days_left(info, now) <= CERT_NEAR_END_DAYS ? "expiring" : "valid";
}

const char *cert_info_uses(const struct cert_info *info)
{
	/* A self-signed one that openssl made by its defaults is an authority as well. */
	static const char *const uses[2][4] = {
		{ "none", "TLS client", "TLS server", "TLS client and server" },
		{ "authority", "authority, TLS client", "authority, TLS server", "authority, TLS client and server" },
	};

	return uses[info->ca ? 1 : 0][(info->client ? 1 : 0) + (info->server ? 2 : 0)];
}

bool cert_info_exceeds(const struct cert_info *info, int years)
{
	time_t begin = info->not_before;
	struct tm tm;

	if (gmtime_r(&begin, &tm) == NULL)
		return true;
	tm.tm_year += years;
	return info->not_after > timegm(&tm) + 86400;
}

/* The host without brackets and a final dot; an address in its canonical text. Heap. */
static char *canonical_host(const char *host, bool *is_ip)
{
	unsigned char raw[16];
	size_t n = strlen(host);
	char *h;

	if (n >= 2 && host[0] == '[' && host[n - 1] == ']')
		h = mem_xstrndup(host + 1, n - 2);
	else
		h = mem_xstrndup(host, n > 1 && host[n - 1] == '.' ? n - 1 : n);
	*is_ip = inet_pton(AF_INET, h, raw) == 1 || inet_pton(AF_INET6, h, raw) == 1;
	if (*is_ip) {
		char *canonical = ip_text(raw, strchr(h, ':') != NULL ? 16 : 4);

		free(h);
		h = canonical;
	}
	return h;
}

static bool dns_matches(const char *pattern, const char *host)
{
	const char *rest, *host_rest;
	size_t n = strlen(pattern);

	if (strcasecmp(pattern, host) == 0)
		return true;
	if (n > 0 && pattern[n - 1] == '.')
		return n - 1 == strlen(host) && strncasecmp(pattern, host, n - 1) == 0;
	if (strncmp(pattern, "*.", 2) != 0)
		return false;
	rest = pattern + 1;
	host_rest = strchr(host, '.');
	if (host_rest == NULL || host_rest == host || strchr(rest + 1, '.') == NULL || strchr(rest, '*') != NULL)
		return false;
	return strcasecmp(rest, host_rest) == 0;
}

bool cert_info_matches(const struct cert_info *info, const char *host)
{
	bool is_ip, found = false;
	char *h = canonical_host(host, &is_ip);

	if (info->dns_count == 0 && info->ip_count == 0 && info->cn != NULL && info->cn[0] != '\0') {
		bool cn_is_ip;
		char *cn = canonical_host(info->cn, &cn_is_ip);

		found = cn_is_ip == is_ip && strcasecmp(cn, h) == 0;
		free(cn);
	}
	for (size_t i = 0; !found && is_ip && i < info->ip_count; i++)
		found = strcmp(info->ips[i], h) == 0;
	for (size_t i = 0; !found && !is_ip && i < info->dns_count; i++)
		found = dns_matches(info->dns[i], h);
	free(h);
	return found;
}
