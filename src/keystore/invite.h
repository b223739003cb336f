/* SPDX-License-Identifier: Apache-2.0 */
/*
 * invite: an enrolment token: the line that enrols a clone: where the master is, what its authority is known by, and a
 * secret.
 *
 * PROTOCOL.md, section 5, has the format. From the secret three things are derived (HKDF-SHA256, salted with the
 * fingerprint, so that a token whose fingerprint was exchanged opens nothing): the id that names it on the line, the
 * key of the TLS session, and the key of the proof that authorises what is asked for in it. The master keeps those, and
 * not the secret.
 */
#ifndef KC_INVITE_H
#define KC_INVITE_H

#include <stddef.h>
#include <stdint.h>

#include "cert.h"

#define INVITE_SECRET_BYTES 32
#define INVITE_KEY_BYTES    32
#define INVITE_ID_SIZE	    17 /* 16 hex digits and NUL */

struct invite {
	char host[256]; /* of the master, as the clone reaches it */
	int port;
	char fingerprint[CERT_HEX_SIZE]; /* SHA-256 of the authority's certificate, hex */
	uint8_t secret[INVITE_SECRET_BYTES];
};

/* A fresh secret for this master. KC_EUSAGE: no host name, no port, or no fingerprint. */
int invite_new(struct invite *t, const char *host, int port, const char *fingerprint);
/* *text is secret memory (mem_secret_free). */
void invite_format(char **text, const struct invite *t);
/* Blanks around it are dropped. KC_EUSAGE: it is none; it was cut or mistyped; it is of a later version. */
int invite_parse(struct invite *t, const char *text);
void invite_fini(struct invite *t); /* wipes */

struct invite_keys {
	char id[INVITE_ID_SIZE];
	uint8_t psk[INVITE_KEY_BYTES];
	uint8_t proof[INVITE_KEY_BYTES];
};
void invite_derive(struct invite_keys *k, const struct invite *t);
void invite_keys_fini(struct invite_keys *k); /* wipes */

/* What the holder of a token asks for: everything of the message `join` that decides something. "" and NULL: none. */
struct invite_claim {
	const void *csr; /* what is asked to be certified, or … */
	size_t csr_size;
	const void *chain; /* … the certificate that there is already */
	size_t chain_size;
	const char *host; /* as the clone names itself; "": it does not */
	int port;
	const char *recipient;
	const char *lineage;
};
/* HMAC-SHA256 of a claim, in hex. */
void invite_prove(char out[CERT_HEX_SIZE], const uint8_t proof[INVITE_KEY_BYTES], const struct invite_claim *c);

#endif
