/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: who may speak to us. Decided once a session, from the peer's verified certificate, before the first frame.
 *
 * Its chain has been verified already (trust.h: signatures, dates, use, revocation). Then the first of these decides:
 *
 *   site     its public key is our own leaf's, or of another identity in our keystore (while the site certificate is
 *            rotated there are two): the shared site certificate, which cannot tell master from clone
 *   role     its anchor is an authority of our own: the certificate must carry the role that we expect, and where a
 *            host is expected, its name must be that host or a common name of AuthorizedCNs; or, with `successor`,
 *            the owner looks at what it says before it takes anything of it
 *   host     any other anchor: its name must be the expected host, or one of `hosts`, or a common name of AuthorizedCNs
 *
 * What is a match with a host: cert_info_matches(). For AuthorizedCNs the common name alone counts, without case.
 * A certificate of another authority where no host is expected (a clone without MasterHost) needs AuthorizedCNs.
 * With `hosts` the owner judges once more, by the host of the one clone, when it knows which the peer says to be.
 */
#ifndef KC_PEER_H
#define KC_PEER_H

#include <stdbool.h>

#include "replication/proto.h"

struct cert_info;

/* result, may speak?, message code, text */
#define PEER_TABLE(P)                                                                                     \
	P(PEER_SITE, true, "KC0000I", "shared site certificate")                                          \
	P(PEER_ROLE, true, "KC0000I", "certificate of our authority")                                     \
	P(PEER_ELSEWHERE, true, "KC0000I", "master's certificate of our authority, for another host")     \
	P(PEER_HOST, true, "KC0000I", "name in the certificate")                                          \
	P(PEER_CN, true, "KC0000I", "authorised common name")                                             \
	P(PEER_TOKEN, true, "KC0000I", "one-time token")                                                  \
	P(PEER_NO_CERT, false, "KC0301E", "it sent no certificate")                                       \
	P(PEER_UNKNOWN_CA, false, "KC0304E", "its certificate is of no authority in the truststore")      \
	P(PEER_EXPIRED, false, "KC0302E", "its certificate has expired")                                  \
	P(PEER_REVOKED, false, "KC0308E", "its certificate was revoked")                                  \
	P(PEER_NOT_YET, false, "KC0303E", "its certificate is not valid yet")                             \
	P(PEER_WRONG_USE, false, "KC0306E", "its certificate is not for this use")                        \
	P(PEER_BAD_CERT, false, "KC0116E", "its certificate cannot be used")                              \
	P(PEER_WRONG_ROLE, false, "KC0307E", "its certificate carries another role")                      \
	P(PEER_NO_ROLE, false, "KC0307E", "its certificate is of our authority and carries no role")      \
	P(PEER_WRONG_HOST, false, "KC0305E", "its certificate is for another host")                       \
	P(PEER_NO_NAME, false, "KC0312E", "its certificate is in neither the host nor tls.AuthorizedCNs") \
	P(PEER_NO_ALPN, false, "KC0311E", "it does not speak keyclone/1")                                 \
	P(PEER_NO_TLS, false, "KC0310E", "it does not speak TLS")                                         \
	P(PEER_TLS_VERSION, false, "KC0309E", "its TLS version is not allowed")                           \
	P(PEER_REFUSED_US, false, "KC0313E", "it refused our certificate")                                \
	P(PEER_NO_TOKEN, false, "KC0331E", "its token is not valid here")                                 \
	P(PEER_BAD_TOKEN, false, "KC0332E", "it does not know the secret of its token")                   \
	P(PEER_MANY_TOKENS, false, "KC0333E", "too many wrong tokens from its address")                   \
	P(PEER_SILENT, false, "KC0105E", "it was silent")

enum peer_verdict {
	PEER_UNDECIDED,
#define P(name, ok, code, text) name,
	PEER_TABLE(P)
#undef P
};

struct peer_rule {
	enum proto_role role;	  /* what the peer must be */
	const char *host;	  /* the configured name or address; NULL: any (a clone without MasterHost) */
	const char *const *hosts; /* who connects to a master: those of its clones, NULL-terminated; else NULL */
	const char *const *cns;	  /* tls.AuthorizedCNs, NULL-terminated, or NULL */
	bool successor; /* a clone: a master of our authority may be elsewhere (PEER_ELSEWHERE): a promoted one */
	const char *const *own_spkis; /* cert_info.spki_sha256 of our own keys, NULL-terminated; NULL: conn takes it
					 from the credentials */
};

/* A copy with names of its own; own_spkis stays borrowed. */
struct peer_rule peer_rule_copy(const struct peer_rule *rule);
void peer_rule_fini(struct peer_rule *copy);

/* Decide about a peer whose chain verified. Never PEER_UNDECIDED; one of the first rows (true) or a refusal. */
enum peer_verdict peer_decide(const struct cert_info *cert, const struct peer_rule *rule);

bool peer_may_speak(enum peer_verdict v);
const char *peer_text(enum peer_verdict v);	/* "its certificate has expired" */
const char *peer_msg_code(enum peer_verdict v); /* "KC0302E", for the audit record */
const char *peer_name(enum peer_verdict v);	/* "PEER_EXPIRED" */

#endif
