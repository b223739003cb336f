/* SPDX-License-Identifier: Apache-2.0 */
/* trust_crl: revocation lists of the truststore and of tls.CRLFile: who may have signed them, and the keeping of those
 * that come from elsewhere. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/mem.h"
#include "identity_priv.h"
#include "trust_priv.h"

#define NAME_CHARS 48

static int read_lists(struct crl_list *list, struct x509_list *beside, const char *path)
{
	struct buf b;
	int rc;

	buf_init(&b, CRL_FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = crl_list_parse(list, buf_data(&b), buf_len(&b), path);
	/* Certificates of authorities below the trusted ones; most files have none. */
	if (rc == KC_OK && beside != NULL && memmem(buf_data(&b), buf_len(&b), "BEGIN CERTIFICATE", 17) != NULL)
		rc = x509_list_parse(beside, buf_data(&b), buf_len(&b), path);
	buf_fini(&b);
	return rc;
}

/* KC_OK: signed by one of these. KC_ENOENT: none has its name. KC_ECERT: one has, and has not signed it. */
static int verify_with(struct crl *c, const struct x509_list *issuers)
{
	int rc = KC_ENOENT;

	for (size_t i = 0; rc != KC_OK && i < issuers->count; i++)
		if (crl_is_of(c, issuers->crts[i]))
			rc = crl_verify(c, issuers->crts[i]);
	return rc;
}

/* Of the certificates `in` those that a trusted authority, or one found before, has signed. */
static int choose_below(struct x509_list *out, const struct trust *t, const struct x509_list *in)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < in->count; i++) {
			gnutls_x509_crt_t crt = in->crts[i], copy;
			int rc;

			if (!x509_is_ca(crt) || x509_list_have(out, crt) ||
			    !(trust_signed_by(crt, &t->anchors) || trust_signed_by(crt, out)))
				continue;
			if ((rc = x509_copy(&copy, crt)) < 0)
				return rc;
			x509_list_take(out, copy);
			more = true;
		}
	}
	return KC_OK;
}

/* Moves those that verify from `in`. `strict`: the others are an error, not passed over. */
static int take_in(struct trust *t, struct crl_list *in, const struct x509_list *below, const char *path, bool strict)
{
	static const struct crl moved = { 0 };

	for (size_t i = 0; i < in->count; i++) {
		struct crl *c = &in->crls[i];
		int rc = verify_with(c, &t->anchors);

		if (rc == KC_ENOENT)
			rc = verify_with(c, below);
		if (rc == KC_ENOENT && !strict)
			continue;
		if (rc == KC_ENOENT)
			return err_set(
			    KC_ECERT, "%s: the revocation list of %s, which is not in the truststore", path, c->issuer);
		if (rc < 0)
			return err_set(
			    rc, "%s: the revocation list of %s is not genuine: %s", path, c->issuer, err_text(rc));
		t->crls.crls = mem_xrealloc(t->crls.crls, (t->crls.count + 1) * sizeof(*t->crls.crls));
		t->crls.crls[t->crls.count++] = *c;
		*c = moved;
	}
	return KC_OK;
}

int trust_read_crl(struct trust *trust, const char *path)
{
	const struct x509_list none = { 0 };
	struct crl_list lists = { 0 };
	int rc = read_lists(&lists, NULL, path);

	if (rc == KC_OK)
		rc = take_in(trust, &lists, &none, path, false);
	crl_list_fini(&lists);
	return rc;
}

int trust_add_crl_file(struct trust *trust, const char *path, const struct identity *own)
{
	struct x509_list beside = { 0 }, below = { 0 };
	struct crl_list lists = { 0 };
	int rc = read_lists(&lists, &beside, path);

	if (rc == KC_OK && own != NULL)
		rc = choose_below(&below, trust, &own->chain);
	if (rc == KC_OK)
		rc = choose_below(&below, trust, &beside);
	if (rc == KC_OK)
		rc = take_in(trust, &lists, &below, path, true);
	crl_list_fini(&lists);
	x509_list_fini(&beside);
	x509_list_fini(&below);
	return rc;
}

size_t trust_crl_count(const struct trust *trust)
{
	return trust->crls.count;
}

struct trust_crl trust_crl_at(const struct trust *trust, size_t i)
{
	const struct crl *c = &trust->crls.crls[i];
	struct trust_crl t = {
		.issuer = c->issuer, .this_update = c->this_update, .next_update = c->next_update, .revoked = c->count
	};

	hex_encode(t.number, c->number + 1, c->number[0]);
	return t;
}

/* --- keeping --- */

/* keyclone-authority-1a2b3c4d.crl. Heap. */
static char *path_for(const struct crl *c, const char *dir)
{
	char key[9], *name = mem_xstrndup(c->issuer, NAME_CHARS), *file, *path;

	for (char *p = name; *p != '\0'; p++)
		*p = isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '-';
	hex_encode(key, c->issuer_key, 4);
	file = mem_xasprintf("%s-%s.crl", name[0] != '-' && name[0] != '\0' ? name : "authority", key);
	path = file_join(dir, file);
	free(file);
	free(name);
	return path;
}

/* Is what is there as new? A file that cannot be read is not. */
static bool is_kept(const struct crl *c, const char *path)
{
	struct crl_list kept = { 0 };
	bool as_new =
	    read_lists(&kept, NULL, path) == KC_OK && kept.count > 0 && crl_compare_numbers(&kept.crls[0], c) >= 0;

	crl_list_fini(&kept);
	return as_new;
}

/* KC_EFOREIGN: of an authority that is not trusted. */
static int keep(bool *taken, const char *dir, struct crl *c, const struct x509_list *anchors)
{
	gnutls_datum_t pem = { 0 };
	char *path = NULL;
	int rc = gnutls_x509_crl_export2(c->raw, GNUTLS_X509_FMT_PEM, &pem) < 0
		     ? err_set(KC_EFORMAT, "the revocation list of %s cannot be written", c->issuer)
		     : verify_with(c, anchors);

	if (rc == KC_ENOENT)
		rc = err_set(KC_EFOREIGN, "the revocation list of %s, which is not in the truststore", c->issuer);
	else if (rc == KC_ECERT)
		rc = err_set(rc, "the revocation list of %s is not genuine: %s", c->issuer, err_text(rc));
	if (rc == KC_OK) {
		path = path_for(c, dir);
		*taken = !is_kept(c, path);
		if (*taken)
			rc = file_replace(path, pem.data, pem.size, 0644);
	}
	gnutls_free(pem.data);
	free(path);
	return rc;
}

int trust_take_crl(size_t *taken, const char *dir, const void *data, size_t size)
{
	struct crl_list lists = { 0 };
	struct x509_list anchors = { 0 };
	size_t n = 0, strangers = 0;
	int rc = crl_list_parse(&lists, data, size, "revocation list");

	if (rc == KC_OK)
		rc = trust_read_anchors(&anchors, dir);
	for (size_t i = 0; rc == KC_OK && i < lists.count; i++) {
		bool is_new = false;

		rc = keep(&is_new, dir, &lists.crls[i], &anchors);
		n += is_new ? 1 : 0;
		if (rc == KC_EFOREIGN && ++strangers < lists.count)
			rc = KC_OK;
	}
	if (rc == KC_EFOREIGN)
		rc = err_set(KC_ECERT, "%s", err_text(rc));
	crl_list_fini(&lists);
	x509_list_fini(&anchors);
	if (rc == KC_OK && taken != NULL)
		*taken = n;
	return rc;
}
