/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity: the keystore, a directory of TLS identities.
 *
 *     <alias>.crt   chain, PEM, leaf first
 *     <alias>.key   private key, PKCS#8 encrypted with PBES2 (AES-256), 0600
 *     <alias>.csr   the request that was made for this key; as long as there is no .crt the alias is pending
 *     retired/      what was replaced or removed
 *     tls.secret    what the keys are encrypted with: 64 hex digits, 0600, made with the first key
 *
 * An alias is 1 to 64 letters, digits, '_', '-', '.', '@', not beginning with '.' or '-'.
 * An identity is immutable after loading; reload builds a new one and swaps.
 */
#ifndef KC_IDENTITY_H
#define KC_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "cert.h"

struct gnutls_certificate_credentials_st; /* what gnutls_certificate_credentials_t points to */
struct identity;

/* KC_EUSAGE with the reason if it is not an alias. */
int identity_check_alias(const char *alias);
/* An alias made of any text, such as the friendly name in a PKCS#12 file; "ssl_cert" where nothing is left. Heap. */
char *identity_alias_from_name(const char *name);

/*
 * The alias to use: `wanted` if it is not NULL or empty (it must have certificate and key: KC_ENOENT), else the only
 * alias with a key. KC_ECONF if there is none, or several (the message names them). *alias is heap.
 */
int identity_resolve(char **alias, const char *dir, const char *wanted);

/*
 * Load chain and key. Certificate and key must match (KC_ECERT). Dates and uses are not judged here, see
 * identity_check_uses(); the daemon starts with an expired certificate and says so.
 */
int identity_load(struct identity **id, const char *dir, const char *alias);
/* The one that this machine speaks with: of identity_resolve(), or, where `wanted` is a PKCS#11 URI, in that token
 * (token.h), whose key cannot be saved or exported. */
int identity_open(struct identity **id, const char *dir, const char *wanted);
/* Borrowed; NULL: its key is here. What has its credentials keeps a reference. */
struct token;
struct token *identity_token(const struct identity *id);
void identity_free(struct identity *id); /* wipes the key; NULL is a no-op */

/* "" for one that was made or parsed and has no name yet: identity_rename gives it one. */
const char *identity_alias(const struct identity *id);
void identity_rename(struct identity *id, const char *alias);
const struct cert_info *identity_info(const struct identity *id); /* of the leaf */
size_t identity_chain_count(const struct identity *id);
struct cert_der identity_chain_der(const struct identity *id, size_t i); /* 0: the leaf. borrowed */

/* Give chain and key to TLS credentials (they make their own copy). The only bridge to GnuTLS sessions. */
int identity_set_credentials(const struct identity *id, struct gnutls_certificate_credentials_st *cred);

/* KC_ECERT unless the leaf serves both sides ("alias X: certificate lacks the use 'TLS client'") with a key that they
 * take. */
int identity_check_uses(const struct identity *id);

/*
 * Write into the keystore, which is made if it is missing. KC_EEXIST if the alias exists, unless `replace`; and always
 * if there is a key file of that name without a certificate or a request, which is somebody else's. An alias whose
 * request is pending takes an identity with the key of that request; one with another key is KC_EEXIST, unless
 * `replace`. What is replaced is copied into retired/ first (retired.h); where the key stays the same, only the
 * certificate. A replacement that is cut short leaves the old or the new identity.
 */
int identity_save(const struct identity *id, const char *dir, const char *alias, bool replace);
/* Move certificate, key and request of an alias into retired/. Whether it is in use is the caller's question. KC_ENOENT
 * if there is neither certificate nor request. One that is cut short can be done again. */
int identity_remove(const char *dir, const char *alias);

/* What the keystore has, without decrypting keys: aliases with a .crt, sorted. */
struct identity_entry {
	char *alias;
	bool has_key;
	struct cert_info info; /* of the leaf */
	size_t chain_count;
	char *unreadable; /* why there is no more than the alias; NULL. Of identity_list_load_all() only */
};
struct identity_list {
	struct identity_entry *entries;
	size_t count;
};
int identity_list_load(struct identity_list *list, const char *dir);
/* The same; what cannot be read is in the list, and no error. */
int identity_list_load_all(struct identity_list *list, const char *dir);
void identity_list_fini(struct identity_list *list);

/* One file as it was read; `name` is what messages call it. Borrowed. */
struct identity_part {
	const char *name;
	const void *data;
	size_t size;
};
/* Where an identity comes from. */
struct identity_source {
	struct identity_part file;
	struct identity_part key;	     /* data NULL: no file of its own */
	const struct identity_part *further; /* files with the certificates of issuers, each PEM or one DER */
	size_t further_count;
	const char *password;	/* NULL: none */
	const char *from_alias; /* which key of a PKCS#12 file, by its friendly name; NULL: the only one */
};
/*
 * identity_parse() (below) with all that there may be. KC_ENOENT: no key of that name. *keys (may be NULL) is how many
 * private keys a PKCS#12 file has: over 1 with KC_EFORMAT says that from_alias has to choose, and the message names
 * them.
 */
int identity_read(struct identity **id, char **friendly_or_null, size_t *keys, const struct identity_source *s);
/* PKCS#12, or PEM with a private key in it. */
bool identity_holds_key(const void *data, size_t size);

/*
 * Parse an identity from what other tools write. `data` is PEM (certificates in any order, with or without a private
 * key, also encrypted), PKCS#12 (modern or legacy; *alias_or_null gets its friendly name, heap, "" where it has none),
 * or one DER certificate; `key` (may be NULL) is a PEM or DER private key in a file of its own. The chain is put in
 * order: the certificate of the key, then its issuers as far as they are there; others are left out. `password` (may be
 * NULL) opens PKCS#12 and encrypted keys: KC_EPASSWORD if it does not. No private key, or several: KC_EFORMAT. A key
 * that belongs to none of the certificates: KC_ECERT. `name` is what messages call the input.
 */
int identity_parse(struct identity **id, char **alias_or_null, const char *name, const void *data, size_t size,
    const void *key, size_t key_size, const char *password);

/* Trust what peers with this identity are issued by: the authorities of its chain, or a self-signed leaf itself.
 * KC_ECERT if the authority is not in the chain; `name` is what the message calls its file. */
int identity_trust(const struct identity *id, const char *truststore_dir, const char *name);

/*
 * Import a PKCS#12 file into a keystore and its authorities into a truststore (for `init clone --site-certificate`):
 * alias = `alias` (may be NULL), else the friendly name, else "ssl_cert". The authorities of the chain become trusted;
 * of a self-signed leaf the leaf itself. KC_ECERT if it cannot serve both sides of TLS, is valid for over 50 years, or
 * is issued by an authority that the file does not have. *alias_used is heap.
 */
int identity_import_site(char **alias_used, const char *keystore_dir, const char *truststore_dir, const char *p12_path,
    const char *password, const char *alias);

enum identity_format { IDENTITY_PEM, IDENTITY_BASE64, IDENTITY_DER, IDENTITY_P12 };
int identity_format_from_name(enum identity_format *format, const char *name);
/*
 * Write the identity in a format that other tools read onto the end of `out`, whose cap must take it. `password` is
 * needed for a private key (PEM with `with_key`) and for every PKCS#12: KC_EUSAGE without.
 *   PEM     the chain, leaf first; with_key: then the key as encrypted PKCS#8
 *   BASE64  the leaf alone, as PEM: what the original product calls base64; never a key
 *   DER     the leaf alone; never a key
 *   P12     the chain; with_key: and the key; the alias is the friendly name
 */
int identity_export(
    struct buf *out, const struct identity *id, enum identity_format format, bool with_key, const char *password);

/* Chain and private key in PEM onto the end of `out`, the key under a secret that is random, and not a person's:
 * without the work that makes passwords hard to guess. */
int identity_export_under(struct buf *out, const struct identity *id, const char *secret);

#endif
