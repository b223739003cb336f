/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll: sessions that a token opened.
 *
 *     open ──join──> asked (the worker proves, issues, enlists) ──> reload ──> joined, over
 *       └── closed, silent ──> over           a failure ──> joined with the error, over
 *
 * The worker's part goes on when the clone has gone: what it did stands, and joining again finds it there. What the
 * clone asks for is judged by the worker; here is only what the worker cannot know.
 */
#include "enroll.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/rotate.h"
#include "enroll_int.h"
#include "keystore/issue.h"
#include "master_int.h"

#define BACKDATED_S 3600 /* what is issued begins so long ago */

struct enroll_joiner {
	struct enroll_joiner *next;
	struct enroll *enroll;
	struct conn *conn; /* NULL: it has gone */
	bool busy;	   /* the worker is at it, or a reload */
	char id[INVITE_ID_SIZE];
	char host[256]; /* under which it is registered */
	uint16_t port;
	char name[300];
	char recipient[PROTO_KEY];
	json_t *result; /* the worker's */
};

static void forget_if_over(struct enroll_joiner *j)
{
	struct enroll_joiner **at = &j->enroll->joiners;

	if (j->busy || j->conn != NULL)
		return;
	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	json_decref(j->result);
	free(j);
}

/* --- the answer --- */

static void send_answer(struct enroll_joiner *j, struct proto_msg *m)
{
	int rc;

	if (j->conn == NULL)
		return;
	m->type = PROTO_JOINED;
	rc = conn_send(j->conn, m);
	if (rc < 0)
		conn_abort(j->conn, rc);
	else
		conn_finish(j->conn);
}

static void audit_end(struct enroll_joiner *j, int rc)
{
	char detail[700];
	bool known = json_is_true(json_object_get(j->result, "known"));
	struct audit_record r = { .event = AUDIT_ENROLL_JOIN,
		.outcome = rc == KC_OK ? AUDIT_SUCCESS : AUDIT_FAILURE,
		.peer = j->name,
		.code = rc == KC_OK ? NULL : msg_code(MSG_TOKEN_REFUSED),
		.detail = detail };

	if (rc == KC_OK)
		snprintf(detail, sizeof(detail), "token %s, certificate SHA-256 %.64s%s%s", j->id,
		    member_text(j->result, "sha256"), known ? ", in the place of the one that it had" : "",
		    j->conn == NULL ? "; it had gone before it was told" : "");
	else
		snprintf(detail, sizeof(detail), "token %s: %.600s", j->id, err_text(rc));
	daemon_audit(j->enroll->master->d, &r);
	if (rc == KC_OK)
		log_info("clone %s was enrolled (%s)", j->name, detail);
	else
		log_warn("clone %s was not enrolled: %s", j->name, detail);
}

static void refuse(struct enroll_joiner *j, int rc)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));

	STR_COPY(m->joined.error, err_name(rc));
	STR_COPY(m->joined.message, err_text(rc));
	audit_end(j, rc);
	send_answer(j, m);
	free(m);
}

static size_t take_pem(uint8_t *to, size_t size, const json_t *result, const char *name)
{
	const char *pem = member_text(result, name);
	size_t n = strlen(pem);

	if (n > size)
		return 0;
	memcpy(to, pem, n);
	return n;
}

static void answer(struct enroll_joiner *j)
{
	struct daemon *d = j->enroll->master->d;
	struct proto_msg *m = mem_xalloc(sizeof(*m));
	struct proto_joined *a = &m->joined;

	STR_COPY(a->host, j->host);
	a->port = j->port;
	a->known = json_is_true(json_object_get(j->result, "known"));
	STR_COPY(a->lineage, d->self.lineage);
	STR_COPY(a->signing_key, d->signer);
	STR_COPY(a->master, d->host);
	a->chain_size = take_pem(a->chain, sizeof(a->chain), j->result, "chain");
	a->authority_size = take_pem(a->authority, sizeof(a->authority), j->result, "authority");
	a->trust_size = take_pem(a->trust, sizeof(a->trust), j->result, "trust");
	send_answer(j, m);
	free(m);
}

/* --- what the worker did --- */

/* It may have another identity than before: what the old one was sent stays readable for who has that. */
static void take_identity(struct enroll_joiner *j)
{
	struct master *m = j->enroll->master;
	struct target *t = target_find(m, j->name);

	if (t == NULL)
		return;
	STR_COPY(t->cn, member_text(j->result, "cn"));
	t->dirty = true;
	if (strcmp(t->recipient, j->recipient) == 0)
		return;
	if (t->recipient[0] != '\0') {
		m->d->self.want_full = true;
		(void)daemon_save(m->d);
	}
	STR_COPY(t->recipient, j->recipient);
	t->digest[0] = '\0';
	t->dirty = true;
	master_settle_soon(m);
}

static void on_reloaded(int rc, const json_t *result, void *arg)
{
	struct enroll_joiner *j = arg;

	(void)result;
	if (rc == KC_OK)
		take_identity(j);
	else if (rc != KC_ECANCELED)
		log_err("clone %s was enrolled, but the configuration with it was not taken over: %s; 'keyclone "
			"reload'",
		    j->name, err_text(rc));
	audit_end(j, KC_OK);
	j->busy = false;
	answer(j);
	forget_if_over(j);
}

static void on_enrolled(int rc, const json_t *result, void *arg)
{
	struct enroll_joiner *j = arg;
	struct enroll *e = j->enroll;

	if (rc == KC_OK)
		rc = target_note_issued(e->master, j->host, j->port, result);
	if (rc == KC_OK) {
		enroll_used(e, j->id);
		j->result = json_deep_copy(result);
		daemon_reload(e->master->d, on_reloaded, j);
		return;
	}
	enroll_unreserve(e, j->id);
	j->busy = false;
	refuse(j, rc);
	forget_if_over(j);
}

/* --- what is asked for --- */

/* How the master reaches it: as it says; as it was reached before; at the address that it comes from. */
static const char *host_of(const struct enroll_joiner *j, const struct proto_join *ask)
{
	if (ask->host[0] != '\0')
		return ask->host;
	for (const struct target *t = j->enroll->master->targets; t != NULL; t = t->next)
		if (strcmp(t->recipient, ask->recipient) == 0 && fleet_record(t->clone)->port == ask->port)
			return fleet_record(t->clone)->host;
	return conn_address(j->conn);
}

/* A clone that is there already is named as the configuration has it. */
static int name_it(struct enroll_joiner *j, const struct proto_join *ask)
{
	const struct conf *c = j->enroll->master->d->conf;
	const char *claimed = host_of(j, ask);
	char *host = NULL, *name;

	if (!host_parse(&host, claimed))
		return err_set(KC_EUSAGE, "'%s' is no host name or address", claimed);
	STR_COPY(j->host, host);
	free(host);
	j->port = (uint16_t)ask->port;
	for (size_t i = 0; i < c->clone_count; i++)
		if (strcasecmp(c->clones[i].host, j->host) == 0 && c->clones[i].port == (int)j->port)
			STR_COPY(j->host, c->clones[i].host);
	name = host_port_format(j->host, j->port);
	STR_COPY(j->name, name);
	free(name);
	return KC_OK;
}

/* A certificate that its own clock calls expired, or not valid yet, would be of no use there. */
static int check_clock(const struct proto_join *ask)
{
	int64_t offset = (int64_t)ask->time - (int64_t)time(NULL);
	char span[CLOCK_SPAN_SIZE];

	if (offset > -BACKDATED_S && offset < (int64_t)ISSUE_DAYS_DEFAULT * 86400)
		return KC_OK;
	return err_set(KC_ECERT,
	    "the clock of this clone is %s %s the master's: no certificate would be valid on both; set it right",
	    clock_span(span, offset), offset > 0 ? "ahead of" : "behind");
}

static int check_lineage(const struct daemon *d, const struct proto_join *ask)
{
	if (ask->lineage[0] == '\0' || strcmp(ask->lineage, d->self.lineage) == 0 ||
	    lineage_find(&d->ancestors, ask->lineage) != NULL)
		return KC_OK;
	return err_set(KC_EFOREIGN,
	    "this clone follows lineage %.8s, which is not of this master (%.8s); a clone of another installation "
	    "joins with a new folder",
	    ask->lineage, d->self.lineage);
}

static int check(struct enroll_joiner *j, const struct proto_join *ask)
{
	struct daemon *d = j->enroll->master->d;
	int rc = name_it(j, ask);

	if (rc == KC_OK && (ask->csr_size > 0) == (ask->chain_size > 0))
		rc = err_set(KC_EPROTO, "join: neither csr nor chain, or both");
	if (rc == KC_OK &&
	    (memchr(ask->csr, 0, ask->csr_size) != NULL || memchr(ask->chain, 0, ask->chain_size) != NULL))
		rc = err_set(KC_EPROTO, "join: csr or chain is no text");
	if (rc == KC_OK)
		rc = check_clock(ask);
	if (rc == KC_OK)
		rc = check_lineage(d, ask);
	/* It would not be told of the steps before, and be left with the old certificate. */
	if (rc == KC_OK && rotate_is_active(d->rotate))
		rc = err_set(KC_EBUSY, "the fleet's certificates are being rotated; 'keyclone cert rotate --status' on "
				       "the master shows when "
				       "that is over");
	if (rc == KC_OK && d->ending)
		rc = err_set(KC_EBUSY, "the master's daemon is ending");
	return rc;
}

static int audit_begin(struct enroll_joiner *j)
{
	char detail[120];
	struct audit_record r = {
		.event = AUDIT_ENROLL_JOIN, .outcome = AUDIT_STARTED, .peer = j->name, .detail = detail
	};

	snprintf(detail, sizeof(detail), "token %s, from %.64s", j->id, conn_address(j->conn));
	return daemon_audit(j->enroll->master->d, &r);
}

static json_t *request_of(const struct enroll_joiner *j, const struct proto_join *ask)
{
	return json_pack("{s:s, s:s, s:s%, s:s%, s:s, s:s, s:i, s:s, s:s, s:s}", "verb", "enroll", "token", j->id,
	    "csr", (const char *)ask->csr, ask->csr_size, "chain", (const char *)ask->chain, ask->chain_size, "claimed",
	    ask->host, "host", j->host, "port", (int)j->port, "recipient", ask->recipient, "lineage", ask->lineage,
	    "proof", ask->proof);
}

static int begin(struct enroll_joiner *j, const struct proto_join *ask)
{
	struct enroll *e = j->enroll;
	struct enroll_key *k = NULL;
	json_t *request = NULL;
	int rc = check(j, ask);

	if (rc == KC_OK && (k = enroll_find(e, j->id)) == NULL)
		rc = err_set(KC_EPERM, "the token was used by another clone meanwhile, or has expired");
	if (rc == KC_OK && (request = request_of(j, ask)) == NULL)
		rc = err_set(KC_EPROTO, "join: csr or chain is no text");
	if (rc == KC_OK && (rc = audit_begin(j)) < 0)
		json_decref(request);
	if (rc < 0)
		return rc;
	STR_COPY(j->recipient, ask->recipient);
	k->reserved++;
	j->busy = true;
	jobs_add_first(e->master->d->jobs, request, NULL, NULL, on_enrolled, j);
	return KC_OK;
}

static int on_frame(struct conn *c, uint8_t type, const uint8_t *payload, size_t n, void *arg)
{
	struct enroll_joiner *j = arg;
	struct proto_msg *m = mem_xalloc(sizeof(*m));
	int rc = proto_decode(m, PROTO_CLONE, type, payload, n);

	(void)c;
	/* What is no message ends the session; what cannot be done is answered. */
	if (rc == KC_OK && (rc = begin(j, &m->join)) < 0) {
		refuse(j, rc);
		rc = KC_OK;
	}
	free(m);
	return rc;
}

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct enroll_joiner *j = arg;
	struct daemon *d = j->enroll->master->d;

	if (rc == KC_EPROTO || rc == KC_ELIMIT)
		daemon_refused(d, conn_address(c), PEER_UNDECIDED, rc, text);
	conn_free(c);
	j->conn = NULL;
	forget_if_over(j);
}

void enroll_take(struct enroll *e, struct conn *c)
{
	static const struct conn_events events = { .on_frame = on_frame, .on_closed = on_closed };
	struct enroll_joiner *j = mem_xalloc(sizeof(*j));

	j->enroll = e;
	j->conn = c;
	STR_COPY(j->id, conn_token(c));
	STR_COPY(j->name, conn_address(c));
	j->next = e->joiners;
	e->joiners = j;
	conn_set_events(c, &events, j);
}

/* --- the whole --- */

int enroll_new(struct enroll **out, struct master *m)
{
	struct enroll *e = mem_xalloc(sizeof(*e));
	int rc;

	e->master = m;
	e->expiry = loop_timer_new(m->d->loop, enroll_on_expiry, e);
	rc = enroll_load(e);
	if (rc < 0) {
		enroll_free(e);
		return rc;
	}
	*out = e;
	return KC_OK;
}

void enroll_free(struct enroll *e)
{
	if (e == NULL)
		return;
	while (e->joiners != NULL) {
		struct enroll_joiner *j = e->joiners;

		e->joiners = j->next;
		conn_free(j->conn);
		json_decref(j->result);
		free(j);
	}
	loop_timer_free(e->expiry);
	mem_secret_free(e->keys);
	free(e);
}
