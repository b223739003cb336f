/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust_verify: a chain against the truststore.
 *
 * The path from the leaf to an anchor is built here, so that every refusal can name the certificate and the rule; the
 * cryptographic verdict (signatures, constraints, strength) is GnuTLS's over exactly that path. Dates are judged here,
 * because GnuTLS takes its clock from the process and its answer does not say by how much.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "trust_priv.h"

#define CHAIN_MAX      16 /* certificates a peer may show */
#define PATH_STEPS_MAX 8
#define REVOKED	       " was revoked"

#define VERIFY_FLAGS                                                                     \
	(GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DO_NOT_ALLOW_X509_V1_CA_CRT | \
	    GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM))

/* Leaf first, without the anchor unless the leaf is trusted as itself. */
struct path {
	gnutls_x509_crt_t certs[PATH_STEPS_MAX];
	size_t count;
	gnutls_x509_crt_t anchor;
	bool leaf_is_anchor;
};

/* KC_ECERT with "certificate NAME" before the text. */
static int refuse(gnutls_x509_crt_t crt, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int refuse(gnutls_x509_crt_t crt, const char *fmt, ...)
{
	char *name = x509_name(crt);
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = err_vset(KC_ECERT, fmt, ap);
	va_end(ap);
	rc = err_set(rc, "certificate %.200s%s", name, err_text(rc));
	free(name);
	return rc;
}

static unsigned verdict(gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
	unsigned status = GNUTLS_CERT_INVALID;

	if (gnutls_x509_crt_list_verify(&crt, 1, &issuer, 1, NULL, 0, VERIFY_FLAGS, &status) < 0)
		status = GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNATURE_FAILURE;
	return status;
}

static bool in_its_dates(gnutls_x509_crt_t crt, time_t now)
{
	return now >= gnutls_x509_crt_get_activation_time(crt) && now <= gnutls_x509_crt_get_expiration_time(crt);
}

/*
 * An issuer of `crt` in the list whose signature verifies; of several (an authority's old and renewed certificate have
 * one name and key) one in its dates. If there is none, *near_miss (when it is NULL yet) is one whose name fits, for
 * the message.
 */
static gnutls_x509_crt_t find_issuer(
    const struct x509_list *list, gnutls_x509_crt_t crt, time_t now, gnutls_x509_crt_t *near_miss)
{
	gnutls_x509_crt_t found = NULL;

	for (size_t i = 0; i < list->count; i++) {
		gnutls_x509_crt_t c = list->crts[i];

		if (!x509_is_issued_by(crt, c) || (found != NULL && !in_its_dates(c, now)))
			continue;
		/* Weak or constrained is not another issuer: that verdict is check_crypto's to word. */
		if (x509_is_ca(c) &&
		    (verdict(crt, c) & (GNUTLS_CERT_SIGNATURE_FAILURE | GNUTLS_CERT_SIGNER_NOT_FOUND)) == 0)
			found = c;
		else if (*near_miss == NULL)
			*near_miss = c;
		if (found != NULL && in_its_dates(found, now))
			break;
	}
	return found;
}

bool trust_signed_by(gnutls_x509_crt_t crt, const struct x509_list *issuers)
{
	gnutls_x509_crt_t near_miss = NULL;

	return find_issuer(issuers, crt, time(NULL), &near_miss) != NULL;
}

static int no_issuer(gnutls_x509_crt_t crt, gnutls_x509_crt_t near_miss)
{
	gnutls_datum_t issuer = { 0 };
	char *name;
	int rc;

	if (x509_is_issued_by(crt, crt))
		return refuse(crt, ": self-signed and not in the truststore");
	if (near_miss != NULL) {
		name = x509_name(near_miss);
		rc = x509_is_ca(near_miss) ? refuse(crt, ": the signature of %s does not verify", name)
					   : refuse(crt, ": issued by %s, which is not an authority", name);
		free(name);
		return rc;
	}
	if (gnutls_x509_crt_get_issuer_dn3(crt, &issuer, 0) < 0)
		return refuse(crt, ": issued by an authority without a name, which is not in the truststore");
	rc = refuse(
	    crt, ": issued by %.*s, which is not in the truststore", (int)issuer.size, (const char *)issuer.data);
	gnutls_free(issuer.data);
	return rc;
}

static bool on_path(const struct path *path, gnutls_x509_crt_t crt)
{
	for (size_t i = 0; i < path->count; i++)
		if (gnutls_x509_crt_equals(path->certs[i], crt))
			return true;
	return false;
}

static int build_path(struct path *path, const struct trust *trust, const struct x509_list *shown, time_t now)
{
	gnutls_x509_crt_t crt = shown->crts[0];

	while (path->count < PATH_STEPS_MAX) {
		gnutls_x509_crt_t near_miss = NULL, issuer;

		path->certs[path->count++] = crt;
		if (path->count == 1 && x509_list_have(&trust->anchors, crt)) {
			path->anchor = crt;
			path->leaf_is_anchor = true;
			return KC_OK;
		}
		path->anchor = find_issuer(&trust->anchors, crt, now, &near_miss);
		if (path->anchor != NULL)
			return KC_OK;
		issuer = find_issuer(shown, crt, now, &near_miss);
		if (issuer == NULL || on_path(path, issuer))
			return no_issuer(crt, near_miss);
		crt = issuer;
	}
	return refuse(shown->crts[0], ": no authority of the truststore within %d steps", PATH_STEPS_MAX);
}

/* "3 days", "2 hours", "1 minute". */
static void span_text(char out[48], time_t span)
{
	static const struct {
		time_t seconds;
		const char *name;
	} units[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
	size_t u = 0;
	long long n;

	while (u < 3 && span < units[u].seconds)
		u++;
	n = (long long)(span / units[u].seconds);
	snprintf(out, 48, "%lld %s%s", n, units[u].name, n == 1 ? "" : "s");
}

static int check_dates(gnutls_x509_crt_t crt, time_t now)
{
	time_t begin = gnutls_x509_crt_get_activation_time(crt), end = gnutls_x509_crt_get_expiration_time(crt);
	char clock[CLOCK_UTC_SIZE], limit[CLOCK_UTC_SIZE], span[48];

	clock_utc(clock, now);
	if (begin == (time_t)-1 || end == (time_t)-1)
		return refuse(crt, ": its dates cannot be read");
	if (now > end) {
		clock_utc(limit, end);
		span_text(span, now - end);
		return refuse(crt, " expired %s ago (its end %s, this machine's clock %s)", span, limit, clock);
	}
	if (now < begin) {
		clock_utc(limit, begin);
		span_text(span, begin - now);
		return refuse(crt, " is not valid yet, for another %s (its begin %s, this machine's clock %s)", span,
		    limit, clock);
	}
	return KC_OK;
}

static int check_uses(const struct path *path, enum cert_use use)
{
	const char *missing = x509_missing_use(path->certs[0], use);

	if (missing != NULL)
		return refuse(path->certs[0], " lacks the use '%s'", missing);
	for (size_t i = 1; i < path->count; i++)
		if (!x509_has_purpose(path->certs[i], use))
			return refuse(path->certs[i], ": the authority lacks the use '%s'", cert_use_name(use));
	return KC_OK;
}

static int check_crypto(const struct path *path)
{
	static const struct {
		unsigned bit;
		const char *text;
	} reasons[] = {
		{ GNUTLS_CERT_SIGNATURE_FAILURE, ": a signature of its chain does not verify" },
		{ GNUTLS_CERT_INSECURE_ALGORITHM, ": signed with a weak algorithm, or a weak key in its chain" },
		{ GNUTLS_CERT_SIGNER_NOT_CA, ": an issuer of its chain is not an authority" },
		{ GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE, ": an authority of its chain may not issue it" },
		{ GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS, ": a critical extension that is not known" },
		{ GNUTLS_CERT_SIGNER_NOT_FOUND, ": issuer not found" },
	};
	unsigned status = 0;
	int rc;

	if (path->leaf_is_anchor)
		return KC_OK; /* trusted as itself: nothing vouches for it */
	rc = gnutls_x509_crt_list_verify(
	    path->certs, (int)path->count, &path->anchor, 1, NULL, 0, VERIFY_FLAGS, &status);
	if (rc < 0)
		return refuse(path->certs[0], ": cannot be verified: %s", gnutls_strerror(rc));
	if (status == 0)
		return KC_OK;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if ((status & reasons[i].bit) != 0)
			return refuse(path->certs[0], "%s", reasons[i].text);
	return refuse(path->certs[0], ": its chain does not verify (GnuTLS status 0x%x)", status);
}

static int check_one(const struct trust *trust, gnutls_x509_crt_t crt, gnutls_x509_crt_t issuer)
{
	unsigned char key[32];
	char at[CLOCK_UTC_SIZE];

	if (issuer != NULL && x509_key_id(key, issuer) < 0)
		return KC_OK;
	for (size_t i = 0; i < trust->crls.count; i++) {
		const struct crl *c = &trust->crls.crls[i];
		const struct crl_entry *e = crl_find(c, crt, issuer != NULL ? key : NULL);

		if (e == NULL)
			continue;
		if (e->at == 0)
			return refuse(crt, REVOKED " by %s", c->issuer);
		clock_utc(at, e->at);
		return refuse(crt, REVOKED " at %s by %s", at, c->issuer);
	}
	return KC_OK;
}

/* Every certificate of the path, the anchor too: it may be one below another whose lists are here. */
static int check_revoked(const struct path *path, const struct trust *trust)
{
	int rc = KC_OK;

	for (size_t i = 0; rc == KC_OK && i < path->count; i++)
		rc = check_one(trust, path->certs[i],
		    i + 1 < path->count	   ? path->certs[i + 1]
		    : path->leaf_is_anchor ? NULL
					   : path->anchor);
	if (rc == KC_OK && !path->leaf_is_anchor)
		rc = check_one(trust, path->anchor, NULL);
	return rc;
}

static int check_path(const struct path *path, const struct trust *trust, enum cert_use use, time_t now)
{
	int rc = check_revoked(path, trust);

	for (size_t i = 0; rc == KC_OK && i < path->count; i++)
		rc = check_dates(path->certs[i], now);
	if (rc == KC_OK && !path->leaf_is_anchor)
		rc = check_dates(path->anchor, now);
	if (rc == KC_OK)
		rc = check_uses(path, use);
	return rc == KC_OK ? check_crypto(path) : rc;
}

static int load_shown(struct x509_list *shown, const struct cert_der *chain, size_t count)
{
	if (count == 0)
		return err_set(KC_ECERT, "the peer showed no certificate");
	if (count > CHAIN_MAX)
		return err_set(KC_ECERT, "the peer showed %zu certificates, more than %d", count, CHAIN_MAX);
	for (size_t i = 0; i < count; i++) {
		gnutls_x509_crt_t crt;

		if (x509_load(&crt, chain[i].data, chain[i].size) < 0)
			return err_set(KC_ECERT, "certificate %zu of the peer's chain cannot be read", i + 1);
		x509_list_take(shown, crt);
	}
	return KC_OK;
}

int trust_verify(struct cert_info *info_or_null, const struct trust *trust, const struct cert_der *chain, size_t count,
    enum cert_use use, time_t now)
{
	struct x509_list shown = { 0 };
	struct path path = { 0 };
	struct cert_info info = { 0 };
	int rc = load_shown(&shown, chain, count);

	if (now == 0)
		now = time(NULL);
	if (rc == KC_OK)
		rc = build_path(&path, trust, &shown, now);
	if (rc == KC_OK)
		rc = check_path(&path, trust, use, now);
	if (rc == KC_OK && info_or_null != NULL)
		rc = x509_info(&info, shown.crts[0]);
	if (rc == KC_OK && info_or_null != NULL) {
		info.anchor_is_authority = !path.leaf_is_anchor && x509_role(path.anchor) == CERT_ROLE_AUTHORITY;
		*info_or_null = info;
	}
	x509_list_fini(&shown);
	return rc;
}

int trust_check_revoked(const struct trust *trust, const struct cert_der *chain, size_t count)
{
	struct x509_list shown = { 0 };
	struct path path = { 0 };
	int rc = KC_OK;

	if (trust->crls.count > 0 && load_shown(&shown, chain, count) == KC_OK &&
	    build_path(&path, trust, &shown, time(NULL)) == KC_OK)
		rc = check_revoked(&path, trust);
	x509_list_fini(&shown);
	return rc;
}
