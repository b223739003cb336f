/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token: certificate and private key in a PKCS#11 token (an HSM, a smart card, SoftHSM), named by a URI (RFC 7512) in
 * the place of an alias. The private key never leaves the token: it signs there.
 *
 *     pkcs11:token=keys;object=master?pin-source=file:/etc/keyclone/pin
 *
 * Of the query, pin-source names a file with the PIN (absolute), module-path a module to load instead of those that
 * p11-kit is configured for. Without pin-source the PIN is the systemd credential keyclone-tls-pin, where there is one.
 * A PIN in the URI itself (pin-value) is refused: configurations are read by people, backed up and shown.
 *
 * PKCS#11 is initialised when the first URI is opened, and not before. Modules do their work while signing: they read
 * their own files and devices then, see token_paths().
 */
#ifndef KC_TOKEN_H
#define KC_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

struct gnutls_certificate_credentials_st;
struct identity;
struct token; /* what is needed to ask it for signatures: with a count of who needs it */

#define TOKEN_PIN_CREDENTIAL "keyclone-tls-pin"

bool token_is_uri(const char *alias); /* NULL: false */

/*
 * The identity that a URI names: its certificate with what the token has of its chain, and the key to sign with. The
 * URI is its alias. KC_ECONF for a URI that is none or has what it may not have; KC_ENOENT where token, certificate or
 * key is not there; KC_EPASSWORD for a PIN that is wrong, locked or missing; KC_ECERT where key and certificate do not
 * fit. The PIN is tried once.
 */
int token_identity(struct identity **id, const char *uri);

/* Is its PIN where this process cannot read it: a file of somebody else's, or a credential of the service's? Then a
 * login that fails here says nothing of the service. */
bool token_pin_is_elsewhere(const char *uri);

struct token *token_ref(struct token *t); /* NULL is a no-op */
void token_unref(struct token *t);	  /* NULL is a no-op */

/*
 * What a process that confines itself (confine.h) has to leave open for the URI: folders to read (configurations, that
 * of the PIN file), and those that a module writes to (SoftHSM's tokens, which its logins rewrite). Only what exists.
 */
#define TOKEN_PATHS 4
struct token_paths {
	char *read[TOKEN_PATHS], *write[TOKEN_PATHS]; /* NULL-terminated */
};
void token_paths(struct token_paths *p, const char *uri);
void token_paths_fini(struct token_paths *p);

#endif
