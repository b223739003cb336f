/* SPDX-License-Identifier: Apache-2.0 */
/* crl: revocation lists: reading them into sorted serial numbers, and the verification of their signature. */
#include "crl.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define LISTS_MAX 256

#define VERIFY_FLAGS (GNUTLS_VERIFY_DO_NOT_ALLOW_X509_V1_CA_CRT | GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM))
/* Dates are never a reason to drop a list: whoever reads it judges them. GnuTLS does whatever the flags. */
#define DATES (GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED | GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE)

static void crl_fini(struct crl *c)
{
	if (c->raw != NULL)
		gnutls_x509_crl_deinit(c->raw);
	gnutls_free(c->issuer_dn.data);
	free(c->issuer);
	free(c->entries);
}

void crl_list_fini(struct crl_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		crl_fini(&list->crls[i]);
	free(list->crls);
	*list = (struct crl_list){ 0 };
}

static int compare_entries(const void *a, const void *b)
{
	const struct crl_entry *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return memcmp(x->serial, y->serial, x->size);
}

static bool set_serial(struct crl_entry *e, const unsigned char *serial, size_t size)
{
	while (size > 0 && *serial == 0) {
		serial++;
		size--;
	}
	if (size > sizeof(e->serial))
		return false;
	memcpy(e->serial, serial, size);
	e->size = (unsigned char)size;
	return true;
}

static int read_entries(struct crl *c)
{
	int total = gnutls_x509_crl_get_crt_count(c->raw), rc = 0;
	gnutls_x509_crl_iter_t at = NULL;

	if (total < 0)
		return total;
	c->entries = mem_xcalloc((size_t)total + 1, sizeof(*c->entries));
	while (rc >= 0 && c->count < (size_t)total) {
		struct crl_entry *e = &c->entries[c->count];
		unsigned char serial[64];
		size_t n = sizeof(serial);

		rc = gnutls_x509_crl_iter_crt_serial(c->raw, &at, serial, &n, &e->at);
		if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			rc = GNUTLS_E_ASN1_GENERIC_ERROR; /* fewer than it counts */
		if (e->at == (time_t)-1)
			e->at = 0;
		/* A number that no certificate can have names none. */
		if (rc >= 0 && set_serial(e, serial, n))
			c->count++;
		else if (rc >= 0)
			total--;
	}
	gnutls_x509_crl_iter_deinit(at);
	qsort(c->entries, c->count, sizeof(*c->entries), compare_entries);
	return rc < 0 ? rc : 0;
}

/* Not said is no failure. */
static void read_dates(struct crl *c)
{
	size_t n = CRL_NUMBER_MAX;
	unsigned critical = 0;
	time_t t = gnutls_x509_crl_get_this_update(c->raw);

	c->this_update = t != (time_t)-1 ? t : 0;
	t = gnutls_x509_crl_get_next_update(c->raw);
	c->next_update = t != (time_t)-1 ? t : 0;
	if (gnutls_x509_crl_get_number(c->raw, c->number + 1, &n, &critical) < 0 || n > CRL_NUMBER_MAX)
		n = 0;
	for (; n > 0 && c->number[1] == 0; n--)
		memmove(c->number + 1, c->number + 2, n - 1);
	c->number[0] = (unsigned char)n;
}

static int read_issuer(struct crl *c)
{
	char cn[256];
	size_t n = sizeof(cn);
	gnutls_datum_t dn = { 0 };
	int rc = gnutls_x509_crl_get_raw_issuer_dn(c->raw, &c->issuer_dn);

	if (rc < 0)
		return rc;
	if (gnutls_x509_crl_get_issuer_dn_by_oid(c->raw, GNUTLS_OID_X520_COMMON_NAME, 0, 0, cn, &n) >= 0 && n > 0) {
		c->issuer = str_printable(mem_xstrndup(cn, n));
		return 0;
	}
	if (gnutls_x509_crl_get_issuer_dn3(c->raw, &dn, 0) < 0 || dn.size == 0)
		c->issuer = mem_xstrdup("(no name)");
	else
		c->issuer = str_printable(mem_xstrndup((const char *)dn.data, dn.size));
	gnutls_free(dn.data);
	return 0;
}

/* Takes `raw`. */
static int take(struct crl_list *list, gnutls_x509_crl_t raw, const char *name)
{
	struct crl c = { .raw = raw };
	int rc = read_issuer(&c);

	if (rc >= 0)
		rc = read_entries(&c);
	if (rc < 0) {
		crl_fini(&c);
		return err_set(KC_EFORMAT, "%s: a revocation list cannot be read: %s", name, gnutls_strerror(rc));
	}
	read_dates(&c);
	list->crls = mem_xrealloc(list->crls, (list->count + 1) * sizeof(*list->crls));
	list->crls[list->count++] = c;
	return KC_OK;
}

int crl_list_parse(struct crl_list *list, const void *data, size_t size, const char *name)
{
	gnutls_datum_t d = { (unsigned char *)data, (unsigned)size };
	bool pem = x509_is_pem(data, size);
	gnutls_x509_crl_t *raws = NULL;
	unsigned count = 0;
	int rc;

	if (size == 0)
		return err_set(KC_EFORMAT, "%s: empty, no revocation list in it", name);
	rc = gnutls_x509_crl_list_import2(&raws, &count, &d, pem ? GNUTLS_X509_FMT_PEM : GNUTLS_X509_FMT_DER, 0);
	if (rc < 0)
		return err_set(KC_EFORMAT, "%s: no revocation list in it that can be read, %s", name,
		    pem ? "though it is PEM" : "neither PEM nor DER");
	rc = count > LISTS_MAX ? err_set(KC_ELIMIT, "%s: %u revocation lists, more than %d", name, count, LISTS_MAX)
			       : KC_OK;
	for (unsigned i = 0; i < count; i++) {
		if (rc == KC_OK)
			rc = take(list, raws[i], name);
		else
			gnutls_x509_crl_deinit(raws[i]);
	}
	gnutls_free(raws);
	return rc;
}

static bool is_issuer_name(const struct crl *c, gnutls_x509_crt_t crt, int (*name)(gnutls_x509_crt_t, gnutls_datum_t *))
{
	gnutls_datum_t dn = { 0 };
	bool same =
	    name(crt, &dn) >= 0 && dn.size == c->issuer_dn.size && memcmp(dn.data, c->issuer_dn.data, dn.size) == 0;

	gnutls_free(dn.data);
	return same;
}

/* Authorities may have one name and several keys, one after the other. Where one side does not say it fits. */
static bool is_issuer_key(const struct crl *c, gnutls_x509_crt_t crt)
{
	unsigned char wanted[64], id[64];
	size_t n = sizeof(wanted), m = sizeof(id);

	if (gnutls_x509_crl_get_authority_key_id(c->raw, wanted, &n, NULL) < 0 ||
	    gnutls_x509_crt_get_subject_key_id(crt, id, &m, NULL) < 0)
		return true;
	return n == m && memcmp(wanted, id, n) == 0;
}

bool crl_is_of(const struct crl *crl, gnutls_x509_crt_t issuer)
{
	return is_issuer_name(crl, issuer, gnutls_x509_crt_get_raw_dn) && is_issuer_key(crl, issuer) &&
	       x509_is_ca(issuer);
}

static bool is_sound(unsigned status)
{
	if ((status & DATES) != 0)
		status &= ~(unsigned)(DATES | GNUTLS_CERT_INVALID);
	return status == 0;
}

int crl_verify(struct crl *crl, gnutls_x509_crt_t issuer)
{
	unsigned status = GNUTLS_CERT_INVALID;
	char *name;
	int rc = gnutls_x509_crl_verify(crl->raw, &issuer, 1, VERIFY_FLAGS, &status);

	if (rc < 0 || !is_sound(status)) {
		name = x509_name(issuer);
		rc = err_set(KC_ECERT, "%s %s",
		    (status & GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE) != 0 ? "its issuer may not sign revocation lists:"
		    : (status & GNUTLS_CERT_INSECURE_ALGORITHM) != 0
			? "it is signed with a weak algorithm, by"
			: "its signature does not verify with the certificate of",
		    name);
		free(name);
		return rc;
	}
	rc = x509_key_id(crl->issuer_key, issuer);
	if (rc == KC_OK) {
		gnutls_x509_crl_deinit(crl->raw);
		crl->raw = NULL;
	}
	return rc;
}

const struct crl_entry *crl_find_serial(const struct crl *crl, const unsigned char *serial, size_t size)
{
	struct crl_entry wanted = { .size = 0 };

	if (!set_serial(&wanted, serial, size) || crl->count == 0)
		return NULL;
	return bsearch(&wanted, crl->entries, crl->count, sizeof(*crl->entries), compare_entries);
}

const struct crl_entry *crl_find(const struct crl *crl, gnutls_x509_crt_t crt, const unsigned char *issuer_key)
{
	unsigned char serial[64];
	size_t n = sizeof(serial);

	if (issuer_key != NULL && memcmp(crl->issuer_key, issuer_key, sizeof(crl->issuer_key)) != 0)
		return NULL;
	if (!is_issuer_name(crl, crt, gnutls_x509_crt_get_raw_issuer_dn))
		return NULL;
	if (gnutls_x509_crt_get_serial(crt, serial, &n) < 0)
		return NULL;
	return crl_find_serial(crl, serial, n);
}

int crl_compare_numbers(const struct crl *a, const struct crl *b)
{
	if (a->number[0] != b->number[0])
		return a->number[0] < b->number[0] ? -1 : 1;
	return memcmp(a->number + 1, b->number + 1, a->number[0]);
}
