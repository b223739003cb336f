/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust: the truststore, a directory of PEM files, and the verification of a peer's chain against it.
 *
 * A file `<name>.pem` (or .crt) holds one or more certificates: authorities, or an end-entity certificate that is
 * trusted as itself (the shared self-signed site certificate). Any number may be trusted at once. A file `<name>.crl`
 * holds revocation lists of these authorities. Everything in the directory is public; it is only read here by the
 * daemon, written by its worker and the command line.
 *
 * struct trust is immutable after loading: reload builds a new one and swaps. Who loaded it frees it, after the last
 * session that verifies with it.
 */
#ifndef KC_TRUST_H
#define KC_TRUST_H

#include <stddef.h>
#include <time.h>

#include "cert.h"

struct trust;

struct identity;

/*
 * Load every .pem and .crt of `dir`. A missing directory or one without certificates is KC_OK and trusts nobody; a file
 * that is not PEM certificates is KC_EFORMAT with its name. And every .crl: a list of an authority that is not trusted
 * (any more) is passed over; one that a trusted authority is said to have signed and has not is KC_ECERT.
 */
int trust_load(struct trust **trust, const char *dir);
void trust_free(struct trust *trust);
size_t trust_count(const struct trust *trust);

/*
 * Take in the revocation lists of a file as well (tls.CRLFile): PEM or DER, one or several; part of loading, before
 * anybody verifies. Each has to be signed by an authority of the truststore, or by one below it whose certificate is in
 * the file too, or in the chain of `own` (may be NULL): KC_ECERT otherwise; KC_EFORMAT if it cannot be read, or what
 * file_read() says. Lists whose next update is due stay in force. On an error `trust` is to be freed.
 */
int trust_add_crl_file(struct trust *trust, const char *path, const struct identity *own);

/* A revocation list in force; borrowed from the trust. */
struct trust_crl {
	const char *issuer;		 /* common name of the authority */
	char number[48];		 /* hex, "" where it has none */
	time_t this_update, next_update; /* 0: it does not say */
	size_t revoked;			 /* certificates */
};
size_t trust_crl_count(const struct trust *trust);
struct trust_crl trust_crl_at(const struct trust *trust, size_t i);

/*
 * Take a revocation list (PEM or DER; several are taken one by one) that came from elsewhere into the truststore: it
 * has to be signed by an authority that is trusted there (KC_ECERT; of several one has to be, and the others are left
 * out), and replaces the one of the same authority if its number is higher, in one step. *taken (may be NULL): how many
 * were; an older one, or the same again, is KC_OK and none. Each authority's list is one file, AUTHORITY-xxxxxxxx.crl,
 * named after the authority and its key.
 */
int trust_take_crl(size_t *taken, const char *dir, const void *data, size_t size);

/*
 * Verify the chain that a peer presented (leaf first; the rest in any order, superfluous ones ignored) for the side of
 * the session that the *peer* has: CERT_USE_CLIENT when we are the server. `now` is this machine's clock (0: ask it).
 *
 * KC_OK and *info of the leaf (caller: cert_info_fini). Else KC_ECERT and a message that says which rule failed:
 *   "certificate X: issued by Y, which is not in the truststore"
 *   "certificate X was revoked at 2026-…Z by Y"
 *   "certificate X expired 3 days ago (its end 2026-…Z, this machine's clock 2026-…Z)"
 *   "certificate X is not valid yet (its begin …, this machine's clock …)"
 *   "certificate X lacks the use 'TLS client'"
 *   "certificate X: the signature of Y does not verify", "… is signed with a weak algorithm", "… is not an authority"
 *   "the peer showed no certificate"
 * X is the common name (or subject) of the certificate at fault, in the leaf's place or above it. Host names and roles
 * are not judged here: see cert_info_matches() and cert_info.role.
 *
 * info_or_null may be NULL. On KC_ECERT nothing is written.
 */
int trust_verify(struct cert_info *info_or_null, const struct trust *trust, const struct cert_der *chain, size_t count,
    enum cert_use use, time_t now);

/* Is a certificate on the way from this leaf to an anchor revoked? KC_ECERT with that message; KC_OK where it is not,
 * and where there is no such way. */
int trust_check_revoked(const struct trust *trust, const struct cert_der *chain, size_t count);

/* One certificate of the truststore, for people. */
struct trust_entry {
	char *name; /* file name without its suffix */
	struct cert_info info;
};
struct trust_list {
	struct trust_entry *entries; /* by name */
	size_t count;
};
int trust_list_load(struct trust_list *list, const char *dir);
void trust_list_fini(struct trust_list *list);

/*
 * Trust the certificates in `data` (PEM, one or more, or one DER). Those trusted already are left out; KC_OK and *added
 * 0 when nothing was new. Accepted are authorities, and self-signed end-entity certificates; a certificate that is
 * neither is KC_ECERT (its issuer is what should be trusted). `name` NULL: made from the common name, made unique.
 * With a name that exists: KC_EEXIST. *name_used (may be NULL) is heap.
 */
int trust_add(size_t *added, char **name_used, const char *dir, const char *name, const void *data, size_t size);
int trust_add_file(size_t *added, char **name_used, const char *dir, const char *name, const char *path);
/* Move the file with that name, or the one whose only certificate has this SHA-256 (hex), into retired/ (retired.h).
 * Whether it is in use is the caller's question. KC_ENOENT if there is none. */
int trust_remove(const char *dir, const char *name_or_sha256);

#endif
