/* SPDX-License-Identifier: Apache-2.0 */
/* enroll_client: connects, asks, waits for the answer, and believes it only with the token's authority. */
#include "enroll_client.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/host.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "keystore/chain.h"
#include "replication/conn.h"

#define ANSWER_MS 600000 /* its worker may be in the middle of a backup */
#define TRIES	  6	 /* a master lets few strangers of one address wait at a time, and closes on the others */
#define PAUSE_MS  500

struct asking {
	struct loop *loop;
	const struct enroll_request *request;
	const struct invite_keys *keys;
	struct proto_msg *answer; /* type 0: none yet */
	bool sent;
	enum peer_verdict verdict;
	int rc;
	char text[1200];
};

static void copy(uint8_t *to, size_t *size, size_t max, const struct buf *from)
{
	*size = from != NULL && buf_len(from) <= max ? buf_len(from) : 0;
	if (*size > 0)
		memcpy(to, buf_data(from), *size);
}

static void fill(struct proto_join *j, const struct asking *a)
{
	const struct enroll_request *r = a->request;
	struct invite_claim claim = { .host = j->host, .recipient = j->recipient, .lineage = j->lineage };

	j->version = PROTO_VERSION;
	STR_COPY(j->product, PACKAGE_NAME " " PACKAGE_VERSION);
	j->time = (uint64_t)time(NULL);
	STR_COPY(j->host, r->host);
	j->port = (uint32_t)r->port;
	STR_COPY(j->recipient, r->recipient);
	STR_COPY(j->lineage, r->lineage);
	copy(j->csr, &j->csr_size, sizeof(j->csr), r->csr);
	copy(j->chain, &j->chain_size, sizeof(j->chain), r->chain);
	claim.csr = j->csr;
	claim.csr_size = j->csr_size;
	claim.chain = j->chain;
	claim.chain_size = j->chain_size;
	claim.port = r->port;
	invite_prove(j->proof, a->keys->proof, &claim);
}

static void on_ready(struct conn *c, void *arg)
{
	struct asking *a = arg;
	struct proto_msg *m = mem_xalloc(sizeof(*m));
	int rc;

	m->type = PROTO_JOIN;
	fill(&m->join, a);
	rc = conn_send(c, m);
	free(m);
	if (rc < 0) {
		conn_abort(c, rc);
		return;
	}
	a->sent = true;
	conn_deadline(c, ANSWER_MS, "answer to the request to join");
}

static int on_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct asking *a = arg;
	int rc = proto_decode(a->answer, PROTO_MASTER, type, payload, n);

	if (rc < 0)
		a->answer->type = 0;
	else
		conn_finish(c);
	return rc;
}

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct asking *a = arg;

	a->verdict = conn_verdict(c);
	a->rc = rc == KC_OK ? KC_EPROTO : rc;
	snprintf(a->text, sizeof(a->text), "%s", rc == KC_OK ? "the master ended the session without an answer" : text);
	loop_stop(a->loop);
}

static void run_once(struct asking *a, const struct invite *t, const struct conn_options *o)
{
	static const struct conn_events events = { .on_ready = on_ready, .on_frame = on_frame, .on_closed = on_closed };
	struct conn *c;

	a->loop = loop_new();
	c = conn_connect(a->loop, t->host, (uint16_t)t->port, o, &events, a);
	loop_run(a->loop);
	conn_free(c);
	loop_free(a->loop);
}

static int run(struct asking *a, const struct invite *t)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
	struct conn_options o = { .self = PROTO_CLONE };
	int rc = tls_creds_new_token(&o.creds, a->keys->id, a->keys->psk);

	if (rc < 0)
		return rc;
	for (int i = 0; i < TRIES; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		run_once(a, t, &o);
		if (a->sent || a->rc != KC_ENET || a->verdict != PEER_UNDECIDED)
			break;
	}
	tls_creds_unref(o.creds);
	return KC_OK;
}

/* --- what came of it --- */

static int explain(const struct asking *a, const struct invite *t)
{
	char *master = host_port_format(t->host, t->port);
	int rc = a->rc;

	switch (a->verdict) {
	case PEER_NO_TOKEN:
		err_set(rc,
		    "the master at %s does not take this token: it was used, has expired or was revoked, or it is "
		    "another master's; 'keyclone enroll token' there makes a new one",
		    master);
		break;
	case PEER_BAD_TOKEN:
		err_set(rc,
		    "%s does not know the secret of this token: another machine may have taken the master's place; "
		    "nothing was told to it",
		    master);
		break;
	case PEER_MANY_TOKENS:
		err_set(rc, "the master at %s had too many wrong tokens from here; try again in a minute", master);
		break;
	case PEER_NO_ALPN:
	case PEER_NO_TLS:
		err_set(rc,
		    "%s takes no enrolment: it is not the listen port of a keyclone master "
		    "(replication.MasterListenPort), or that one is too old",
		    master);
		break;
	default:
		if (a->sent)
			err_set(rc,
			    "no answer of the master at %s: %s; the token may be used up: if it is not taken again, "
			    "'keyclone enroll token' there makes a new one",
			    master, a->text);
		else
			err_set(rc, "the master at %s cannot be reached: %s", master, a->text);
	}
	free(master);
	return rc;
}

static int check_authority(const struct proto_joined *j, const struct invite *t)
{
	struct cert_info info = { 0 };
	int rc = chain_info(&info, j->authority, j->authority_size, 0, "the master's authority");

	if (rc == KC_OK && strcmp(info.sha256, t->fingerprint) != 0)
		rc = err_set(KC_ECERT,
		    "the master shows another authority (SHA-256 %.16s…) than the token names (%.16s…); nothing was "
		    "changed here",
		    info.sha256, t->fingerprint);
	cert_info_fini(&info);
	return rc;
}

static int take(struct enroll_answer *out, const struct proto_joined *j)
{
	if (j->host[0] == '\0' || j->port == 0 || j->signing_key[0] == '\0' || j->lineage[0] == '\0')
		return err_set(KC_EPROTO, "joined: a member is missing");
	memset(out, 0, sizeof(*out));
	STR_COPY(out->host, j->host);
	out->port = (int)j->port;
	out->known = j->known;
	STR_COPY(out->lineage, j->lineage);
	STR_COPY(out->signing_key, j->signing_key);
	STR_COPY(out->master, j->master);
	buf_init(&out->chain, sizeof(j->chain));
	buf_init(&out->authority, sizeof(j->authority));
	buf_init(&out->trust, sizeof(j->trust));
	buf_put(&out->chain, j->chain, j->chain_size);
	buf_put(&out->authority, j->authority, j->authority_size);
	buf_put(&out->trust, j->trust, j->trust_size);
	return KC_OK;
}

void enroll_answer_fini(struct enroll_answer *a)
{
	buf_fini(&a->chain);
	buf_fini(&a->authority);
	buf_fini(&a->trust);
}

int enroll_ask(struct enroll_answer *out, bool *sent, const struct invite *t, const struct enroll_request *r)
{
	struct invite_keys *keys = mem_secret_new(sizeof(*keys));
	struct asking a = { .request = r, .keys = keys };
	int rc;

	invite_derive(keys, t);
	a.answer = mem_xalloc(sizeof(*a.answer));
	rc = run(&a, t);
	*sent = a.sent;
	if (rc == KC_OK && a.answer->type != PROTO_JOINED)
		rc = explain(&a, t);
	else if (rc == KC_OK && a.answer->joined.error[0] != '\0')
		rc = err_set(
		    err_from_name(a.answer->joined.error) < 0 ? err_from_name(a.answer->joined.error) : KC_EFAIL,
		    "the master refuses: %s", a.answer->joined.message);
	else if (rc == KC_OK)
		rc = check_authority(&a.answer->joined, t);
	if (rc == KC_OK)
		rc = take(out, &a.answer->joined);
	free(a.answer);
	mem_secret_free(keys);
	return rc;
}
