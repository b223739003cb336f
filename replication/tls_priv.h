/* SPDX-License-Identifier: Apache-2.0 */
/* tls_priv: the inside of sessions and credentials: tls.c has the former, tls_creds.c the latter, tls_psk.c those of
 * enrolment. */
#ifndef KC_TLS_PRIV_H
#define KC_TLS_PRIV_H

#include <gnutls/gnutls.h>

#include "keystore/cert.h"
#include "tls.h"

#define TLS_CHAIN_MAX 10

/* Suites, groups and versions of every session; what differs is the exchange of keys. */
#define TLS_PRIORITY(versions, exchanges)                                                        \
	"NORMAL:-VERS-ALL:" versions ":-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305" \
	":-MAC-ALL:+AEAD:-KX-ALL:" exchanges                                                     \
	":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:%SERVER_PRECEDENCE"

/* The sessions of credentials and of those that they took the place of. */
struct sessions {
	unsigned refs;
	struct tls *first;
};

struct tls_creds {
	unsigned refs;
	struct sessions *sessions;
	gnutls_certificate_credentials_t cred;
	gnutls_priority_t priority;
	struct trust *trust;
	struct token *token; /* NULL, or where `cred` has its key */
	char **spkis;	     /* NULL-terminated */
	size_t spki_count;
	gnutls_psk_client_credentials_t psk; /* of a clone that enrols: nothing of the above but the priority */
};

struct tls {
	struct tls *next, **at; /* among the sessions; at NULL: not there */
	gnutls_session_t session;
	struct tls_creds *creds;
	int fd;
	bool server;
	bool heard;    /* the peer's first byte has come */
	bool foreign;  /* and it does not begin a TLS record */
	bool verified; /* `info` holds */
	struct cert_info info;
	tls_judge_fn judge;
	void *arg;
	enum peer_verdict verdict;
	int rc;
	int alert; /* what tells the peer why; -1 = nothing to tell */
	char *text;
	char describe[96];

	/* tls_psk.c */
	gnutls_psk_server_credentials_t tokens;
	tls_token_fn find_token;
	void *token_arg;
	bool enrolment; /* the ALPN is that of enrolment: no certificate is asked for or shown */
	char token[TLS_TOKEN_SIZE];
};

/* The session is dead; the first reason counts. alert: what tells the peer, -1: nothing. */
enum tls_result tls_fail(struct tls *t, int rc, enum peer_verdict v, int alert, const char *text);
/* What the peer has shown, leaf first, borrowed; how many. */
unsigned tls_shown_chain(struct cert_der chain[TLS_CHAIN_MAX], gnutls_session_t session);
enum tls_result tls_refuse(
    struct tls *t, enum peer_verdict v, int alert); /* KC_EREFUSED, in the words of the verdict */

/* tls_psk.c */
/* Before the handshake: credentials and ALPN of a clone that enrols; of a server, what both kinds of session need. The
 * GnuTLS result. */
int tls_psk_set_up(struct tls *t);
/* The handshake ended with the GnuTLS error `e`: is it that of a token that is not right? Then it is refused. */
bool tls_psk_failed(struct tls *t, int e);
/* The handshake of an enrolment is over: is it what it has to be? */
bool tls_psk_is_right(struct tls *t);

#endif
