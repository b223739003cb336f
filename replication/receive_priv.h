/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive_priv: what receive.c (sessions) and receive_job.c (the one backup that is received) share. For no one else.
 */
#ifndef KC_RECEIVE_PRIV_H
#define KC_RECEIVE_PRIV_H

#include "replication/incoming.h"
#include "replication/receive.h"

enum receive_phase { RECEIVE_FREE, RECEIVE_TRANSFER, RECEIVE_STORING, RECEIVE_RESTORING };

struct receive_session {
	struct receive *r;
	struct receive_session *next, *prev;
	struct conn *conn;
	bool greeted;
	bool leaving; /* end when idle */
	struct proto_hello hello;
};

struct receive {
	struct loop *loop;
	struct conn_listener *listener;
	struct receive_events ev;
	void *arg;
	char *dir;
	uint64_t stall_ms;
	uint64_t progress_ms;
	struct receive_session *sessions;
	struct proto_msg msg;		   /* being encoded or decoded */
	struct receive_session *directing; /* whose directive is under way; NULL: none, or it is gone */
	bool directed;			   /* one is under way */
	bool blocked;
	bool stopping;
	uint16_t port;
	/* the job */
	enum receive_phase phase;
	struct receive_session *from; /* NULL: its session is gone */
	struct incoming *in;
	bool keeping; /* RECEIVE_RESTORING, while the file is still being brought to disk */
	struct proto_offer offer;
	struct proto_end end;
	char *path;
	char *master;
	uint64_t begun;
	uint64_t fresh; /* bytes that came over the line */
	uint64_t armed; /* when the stall deadline was set */
	struct proto_progress progress;
	uint64_t said_at;	  /* when the progress was said last, or the work began */
	struct loop_timer *pulse; /* says the progress again */
};

/* receive.c: send what is in r->msg. */
int receive_send(struct receive_session *s, enum proto_type type);
/* The session (may be NULL) has nothing under way any more: end it if it was to leave. */
void receive_session_idle(struct receive_session *s);

/* receive_job.c: the messages of a job, and its ends. */
int receive_got_offer(struct receive_session *s);
void receive_got_data(struct receive_session *s, const uint8_t *data, size_t n);
int receive_got_end(struct receive_session *s);
/* The session is over: a transfer breaks off, anything later goes on without it. */
void receive_job_orphan(struct receive_session *s, int rc, const char *text);
void receive_job_pulse(void *arg); /* r->pulse: says the progress again */

#endif
