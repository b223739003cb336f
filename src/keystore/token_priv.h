/* SPDX-License-Identifier: Apache-2.0 */
/* token_priv: what identities and the files of tokens share. */
#ifndef KC_TOKEN_PRIV_H
#define KC_TOKEN_PRIV_H

#include "token.h"
#include "x509.h"

struct token_uri;

/* See identity_set_credentials(). The credentials need the token for as long as they live. */
int token_set_credentials(
    struct token *t, const struct x509_list *chain, struct gnutls_certificate_credentials_st *cred);
/* Where the PIN is; NULL: nowhere. Heap. */
char *token_pin_path(const struct token_uri *u);

#endif
