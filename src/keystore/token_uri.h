/* SPDX-License-Identifier: Apache-2.0 */
/* token_uri: the parts of a PKCS#11 URI (RFC 7512) that are ours to judge; the rest is p11-kit's. */
#ifndef KC_TOKEN_URI_H
#define KC_TOKEN_URI_H

struct token_uri {
	char *object;	/* "pkcs11:…" without its query */
	char *pin_file; /* absolute; NULL: none */
	char *module;	/* absolute; NULL: those that p11-kit is configured for */
};
/* KC_ECONF. No message shows a PIN. */
int token_uri_parse(struct token_uri *u, const char *uri);
void token_uri_fini(struct token_uri *u);

#endif
