/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll_client: the clone's side of enrolment: one session with the master of a token, one request, one answer.
 * Blocking; for the command line.
 */
#ifndef KC_ENROLL_CLIENT_H
#define KC_ENROLL_CLIENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "keystore/invite.h"

/* What is asked for. All borrowed. */
struct enroll_request {
	const char *host; /* how the master reaches this machine; NULL: by the address that it sees */
	int port;
	const char *recipient;	 /* of this machine's identity */
	const char *lineage;	 /* that it follows; NULL or "": none */
	const struct buf *csr;	 /* PKCS#10, PEM; or … */
	const struct buf *chain; /* … the certificates that it has, PEM; one of them is NULL */
};

/* What came. enroll_answer_fini() it. */
struct enroll_answer {
	char host[256]; /* under which it is registered */
	int port;
	bool known;	  /* it was of the fleet before */
	char lineage[33]; /* of the master */
	char signing_key[129];
	char master[256]; /* its name of itself */
	struct buf chain; /* PEM; empty where none was asked for */
	struct buf authority, trust;
};
void enroll_answer_fini(struct enroll_answer *a);

/*
 * Ask. The authority in the answer is that of the token, or there is no answer: KC_ECERT. KC_EREFUSED and others: the
 * master does not take the token, or refuses what is asked for; KC_ENET, KC_ETIMEOUT: it cannot be reached. The message
 * says what to do where the master's side cannot be seen from here. *sent: the request went out, so that the token may
 * be used up even if there is no answer.
 */
int enroll_ask(struct enroll_answer *a, bool *sent, const struct invite *t, const struct enroll_request *r);

#endif
