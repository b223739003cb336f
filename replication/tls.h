/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: one TLS session over a descriptor, non-blocking. The only file that knows the GnuTLS session API.
 *
 * TLS 1.3 (1.2 too if told so), certificates from both sides, no tickets, no renegotiation, no early data, ALPN
 * keyclone/1 or no session. The peer's chain is verified with trust.h and then judged by the caller's function inside
 * the handshake: a session that says TLS_OK to tls_handshake() is with somebody who may speak.
 *
 * Every call ends in one of five results. After AGAIN_READ or AGAIN_WRITE wait for the descriptor to become that and
 * call again with the same arguments; a write that said AGAIN must be retried with the same bytes.
 */
#ifndef KC_TLS_H
#define KC_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replication/peer.h"

struct identity;
struct trust;
struct cert_info;
struct tls;
struct tls_creds;

/* CLOSED: the other side ended the session in good order. FAILED: tls_error() says why; the session is dead. */
enum tls_result { TLS_OK, TLS_AGAIN_READ, TLS_AGAIN_WRITE, TLS_CLOSED, TLS_FAILED };

/*
 * Credentials: our chain and key, and whom we trust. Immutable; sessions hold a reference, so that a reload builds new
 * ones and swaps its pointer only on success, while sessions that are up keep theirs until they end.
 * new copies what it needs from `id` and takes `trust` (on success only). KC_ECERT, KC_ECONF.
 */
int tls_creds_new(struct tls_creds **creds, const struct identity *id, struct trust *trust, bool allow_tls12);
struct tls_creds *tls_creds_ref(struct tls_creds *creds);
void tls_creds_unref(struct tls_creds *creds); /* NULL is a no-op */
/* Another key that is ours, though sessions do not show it: of an identity that is about to take its place. */
void tls_creds_add_spki(struct tls_creds *creds, const char *spki);
/* cert_info.spki_sha256 of our leaf and of those that were added, NULL-terminated. */
const char *const *tls_creds_spkis(const struct tls_creds *creds);

/* In force in the place of `before`, whose sessions it knows from now on; before it has one of its own. */
void tls_creds_succeed(struct tls_creds *creds, const struct tls_creds *before);
const struct trust *tls_creds_trust(const struct tls_creds *creds); /* borrowed */
/* Sessions, also those that began with credentials before, whose peer's certificate is revoked by the lists of these:
 * their next call fails as a refusal (PEER_REVOKED), and their descriptor says at once that there is something to read.
 * How many. */
size_t tls_creds_end_revoked(struct tls_creds *creds);

/* May the owner of this certificate, whose chain verified, speak? Called once, from within tls_handshake(). */
typedef enum peer_verdict (*tls_judge_fn)(const struct cert_info *cert, void *arg);

/* A session over `fd` (borrowed, non-blocking). `host`: sent as server name if it is a DNS name, may be NULL. */
int tls_new(
    struct tls **t, struct tls_creds *creds, int fd, bool server, const char *host, tls_judge_fn judge, void *arg);
void tls_free(struct tls *t); /* sends nothing; NULL is a no-op */

/*
 * Enrolment: a session that a one-time token opens, with the ALPN keyclone-enroll/1 and without certificates (TLS 1.3,
 * psk_dhe_ke). A clone has credentials of its own for it; a server takes both kinds on one port if it is told how to
 * find the key of a token's id, before the first tls_handshake(): PEER_TOKEN with the key in `psk`, or PEER_NO_TOKEN,
 * PEER_MANY_TOKENS. When the handshake says TLS_OK, the peer knows the key.
 */
#define TLS_PSK_BYTES  32
#define TLS_TOKEN_SIZE 33 /* of an id, with its NUL */
typedef enum peer_verdict (*tls_token_fn)(uint8_t psk[TLS_PSK_BYTES], const char *id, void *arg);
int tls_creds_new_token(struct tls_creds **creds, const char *id, const uint8_t psk[TLS_PSK_BYTES]);
int tls_take_tokens(struct tls *t, tls_token_fn find, void *arg);
bool tls_is_enrolment(const struct tls *t);
const char *tls_token(const struct tls *t); /* the id; "" on any other session, and on a clone's side */

enum tls_result tls_handshake(struct tls *t);

/* Up to `n` bytes; *got > 0 with TLS_OK. Reads one record at most: call until AGAIN. */
enum tls_result tls_read(struct tls *t, void *data, size_t n, size_t *got);
/* *put > 0 with TLS_OK. */
enum tls_result tls_write(struct tls *t, const void *data, size_t n, size_t *put);
/* Say goodbye (close_notify), as far as the descriptor takes it. */
enum tls_result tls_bye(struct tls *t);
/* After FAILED: tell the peer why with the fitting alert. False if there is nothing to tell (it knows, or is gone). */
bool tls_send_alert(struct tls *t);

/* Why the peer may or may not speak; also set where it refused us, spoke no TLS, another version or no ALPN.
 * PEER_UNDECIDED if the session failed for another reason (the network), or has not got there. */
enum peer_verdict tls_verdict(const struct tls *t);
/* What the peer's certificate says, borrowed; NULL if its chain did not verify. */
const struct cert_info *tls_peer(const struct tls *t);
/* "TLS1.3 ECDHE-SECP256R1 AES-128-GCM", borrowed; "" before the handshake. For logs. */
const char *tls_describe(const struct tls *t);

/* After FAILED: the code, KC_EREFUSED for a refusal by either side, and its text (borrowed). KC_OK before. */
int tls_error(const struct tls *t, const char **text);

#endif
