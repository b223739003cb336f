/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trust: the truststore, a directory of PEM files, and the verification of a peer's chain against it.
 *
 * A file `<name>.pem` (or .crt) holds one or more certificates: authorities, or an end-entity certificate that is
 * trusted as itself (the shared self-signed site certificate). Any number may be trusted at once. Everything in the
 * directory is public; it is only read here by the daemon, written by the command line.
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

/* Load every .pem and .crt of `dir`. A missing directory or one without certificates is KC_OK and trusts nobody; a file
 * that is not PEM certificates is KC_EFORMAT with its name. */
int trust_load(struct trust **trust, const char *dir);
void trust_free(struct trust *trust);
size_t trust_count(const struct trust *trust);

/*
 * Verify the chain that a peer presented (leaf first; the rest in any order, superfluous ones ignored) for the side of
 * the session that the *peer* has: CERT_USE_CLIENT when we are the server. `now` is this machine's clock (0: ask it).
 *
 * KC_OK and *info of the leaf (caller: cert_info_fini). Else KC_ECERT and a message that says which rule failed:
 *   "certificate X: issued by Y, which is not in the truststore"
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
/* Remove the file with that name, or the one whose only certificate has this SHA-256 (hex). KC_ENOENT if none. */
int trust_remove(const char *dir, const char *name_or_sha256);

#endif
