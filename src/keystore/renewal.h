/* SPDX-License-Identifier: Apache-2.0 */
/*
 * renewal: may a certificate take the place of the one in use? And the sets of files that other tools renew.
 *
 * An external set is a directory with one of
 *
 *     client_cert.pem  client_key.pem  passphrase
 *     tls.crt          tls.key         tls.sth     (or passphrase)
 *
 * and in both cases, where they are there, ca.crt and additionalCAs/ (its files end in .crt or .pem): certificates
 * between the leaf and what is trusted here. They make the chain; nothing in them becomes trusted. The file with the
 * pass phrase may be missing where the key is not encrypted.
 *
 * tls.sth is the pass phrase in base64, or a stash file of IBM's GSKit (of the old form: each byte exclusive-or 0xF5,
 * up to a zero byte). Both are obfuscation, no protection.
 */
#ifndef KC_RENEWAL_H
#define KC_RENEWAL_H

#include <time.h>

#include "cert.h"

struct buf;
struct identity;
struct trust;

/*
 * The set of a directory as an identity without a name. KC_ENOENT: there is none; KC_EFORMAT: a part is missing, or
 * there are two sets; KC_EPASSWORD, KC_ECERT and others as identity_parse().
 */
int renewal_read(struct identity **id, const char *dir);
/* The pass phrase of a tls.sth; secret memory, the caller's. KC_EFORMAT if it is neither. `name` is for messages. */
int renewal_stash(char **password, const struct buf *stash, const char *name);

/*
 * May `next` take the place of `present` (its leaf)? KC_EEXIST: it is the one in use. KC_ECERT, and which rule it
 * breaks: the same common name, both uses, a chain that verifies here (with dates), an end later than the present
 * one's. now 0: this machine's clock. `allow`: RENEWAL_ANY_…, rules that do not count.
 */
int renewal_check(const struct identity *next, const struct cert_info *present, const struct trust *trust, time_t now,
    unsigned allow);

/* Rules that do not count: who fetches another certificate may mean it. */
enum { RENEWAL_ANY_NAME = 1, RENEWAL_ANY_END = 2 };

/* Where a keystore and the truststore beside it are, and the alias that is renewed. */
struct renewal_place {
	const char *keystore_dir, *truststore_dir, *alias;
	unsigned allow; /* RENEWAL_ANY_… */
	/* May be NULL: all is right; shall it be done? What it returns below KC_OK ends it with nothing changed. */
	int (*go)(const struct cert_info *next, void *arg);
	void *arg;
};
/* renewal_check() against what the alias has now, then it takes its place: the key encrypted under the keystore's
 * secret. *info (may be NULL) is the new leaf's; the caller's. */
int renewal_install(struct cert_info *info, const struct identity *next, const struct renewal_place *p);

#endif
