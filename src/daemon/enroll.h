/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll: the master's side of enrolment. enroll_keys.c has the keys of the tokens that are valid, and bounds what
 * those who have none may try; enroll.c has the sessions that a token opened: one request, which the worker judges
 * (worker_enroll.c), one answer.
 *
 * Of a token's uses as many are given away at a time as are left: a second session with the same token is refused while
 * the first one is being served.
 */
#ifndef KC_ENROLL_H
#define KC_ENROLL_H

#include <jansson.h>

#include "replication/conn.h"

struct control_client;
struct daemon;
struct enroll;
struct master;

/* Asks the worker for the tokens: at start only. */
int enroll_new(struct enroll **e, struct master *m);
/* Sessions are dropped. NULL is a no-op. After jobs_cancel(). */
void enroll_free(struct enroll *e);

/* For the options of the listener. */
struct conn_tokens enroll_tokens(struct enroll *e);
/* A session that a token opened; takes it. */
void enroll_take(struct enroll *e, struct conn *c);
/* A stranger was refused: does that count as a wrong token of its address? */
void enroll_refused(struct enroll *e, const char *address, enum peer_verdict v);

/* What a command has changed in the file. Request: {"id", "psk", "expires", "uses"}; {"id"}. They answer. */
void enroll_verb_token(struct daemon *d, struct control_client *c, const json_t *request);
void enroll_verb_revoke(struct daemon *d, struct control_client *c, const json_t *request);

#endif
