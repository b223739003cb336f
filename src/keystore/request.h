/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request: PKCS#10 requests (RFC 2986), for certificates whose private key never leaves the machine that made it.
 */
#ifndef KC_REQUEST_H
#define KC_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/buf.h"
#include "issue.h"

struct identity;
struct request; /* a private key that waits for its certificate, and the request for that */

#define REQUEST_MAX (16 * 1024) /* bytes of one in PEM */

/* A new key and its request, with the subject and the alternative names of `r`; days and role are the issuer's. */
int request_new(struct request **out, const struct issue_request *r);
void request_free(struct request *q); /* NULL is a no-op */
/* PEM onto the end of `out`. */
int request_pem(struct buf *out, const struct request *q);

/*
 * The key and the certificates that came for it, as an identity without a name: PEM in any order or one in DER, the
 * leaf and what it is issued by. KC_ECERT if none of them is for this key. `name` is what messages call the input. The
 * request stays as it is.
 */
int request_identity(
    struct identity **id, const struct request *q, const void *certificates, size_t size, const char *name);

/*
 * The authority's answer: leaf and authority as PEM onto the end of `chain`. The request (PEM or DER) has to be signed
 * by its own key, of a type that `cert create` makes too; KC_ECERT else. Of what it says only the public key counts:
 * subject, names, role and days are those of `r`. *info_or_null: what the leaf says; the caller's.
 */
int request_issue(struct buf *chain, struct cert_info *info_or_null, const struct issue_authority *authority,
    const void *request, size_t size, const struct issue_request *r);

/* --- in the keystore: <alias>.csr and <alias>.key, pending until there is an <alias>.crt --- */

/* Keep key and request under an alias. KC_EEXIST if it has a certificate, or, unless `replace`, a request that is
 * pending; that goes into retired/. */
int request_save(const struct request *q, const char *dir, const char *alias, bool replace);
/* The request of an alias, also of one that has its certificate, as PEM onto the end of `pem`. KC_ENOENT. */
int request_kept(struct buf *pem, const char *dir, const char *alias);

struct request_info {
	char *alias;	/* NULL from request_info_from() */
	char *subject;	/* RFC 4514 */
	char *cn;	/* "" where it has none */
	char *key_type; /* as in cert_info */
	char spki_sha256[CERT_HEX_SIZE];
	time_t made_at;
	bool has_key; /* false: its writing was cut short */
};
int request_info_load(struct request_info *info, const char *dir, const char *alias);
/* Of a request in PEM or DER. KC_EFORMAT */
int request_info_from(struct request_info *info, const void *data, size_t size, const char *name);
void request_info_fini(struct request_info *info);

/* The aliases that are pending, sorted. */
struct request_list {
	struct request_info *entries;
	size_t count;
};
int request_list_load(struct request_list *list, const char *dir);
void request_list_fini(struct request_list *list);

/*
 * A certificate that comes without its key, and the alias whose key it is for: `alias`, or (NULL) the one whose key
 * fits, one that is pending before one that has a certificate. *id is what identity_save(…, replace) takes, named.
 *
 * KC_ENOENT: nothing is pending under that alias and it has no certificate. KC_ECERT: the certificate is for no key of
 * the keystore, for the key of another alias, or, unless `any_subject`, for another subject than that of the request
 * (or of the certificate that it is to follow).
 */
struct identity_source;
int request_answer(
    struct identity **id, const char *dir, const char *alias, const struct identity_source *s, bool any_subject);

#endif
