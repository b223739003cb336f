/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target_cert: certificates for clones: another one of the own authority for a clone whose own is near its end, and
 * what the depot keeps for it. Who it is follows from the session: the certificate that it shows, and the identity that
 * is pinned for it; nothing that it says counts but the public key.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/expiry.h"
#include "daemon/own_cert.h"
#include "daemon/renew.h"
#include "daemon/rotate.h"
#include "master_int.h"
#include "replication/report.h"

#define DAY_MS	     ((uint64_t)86400000)
#define MINUTE_MS    60000
#define REQUESTS_MAX 6 /* of one clone in a minute */

struct cert_job {
	struct cert_job *next;
	struct master *master;
	struct report_in *session; /* NULL: it ended */
	char clone[300];
	bool depot;
	bool recorded; /* its start is in the audit log */
};

static struct cert_job *job_new(struct master *m, struct report_in *s, const struct target *t, bool depot)
{
	struct cert_job *j = mem_xalloc(sizeof(*j));

	j->master = m;
	j->session = s;
	j->depot = depot;
	STR_COPY(j->clone, t->name);
	j->next = m->cert_jobs;
	m->cert_jobs = j;
	return j;
}

static void job_free(struct cert_job *j)
{
	struct cert_job **at = &j->master->cert_jobs;

	while (*at != j)
		at = &(*at)->next;
	*at = j->next;
	free(j);
}

void target_cert_gone(struct master *m, const struct report_in *s)
{
	for (struct cert_job *j = m->cert_jobs; j != NULL; j = j->next)
		if (j->session == s)
			j->session = NULL;
}

/* --- what is said --- */

static int record(struct master *m, const char *clone, enum audit_outcome outcome, int rc, const char *text)
{
	struct audit_record a = { .event = AUDIT_CERT_RENEW,
		.outcome = outcome,
		.peer = clone,
		.code = rc < 0 ? err_msg_code(rc) : NULL,
		.detail = text };

	return daemon_audit(m->d, &a);
}

/* Once in 24 hours, unless it is another text. */
static bool may_say(struct target *t, const char *text)
{
	uint64_t now = loop_now(t->master->d->loop);
	size_t oldest = 0;

	for (size_t i = 0; i < sizeof(t->warned) / sizeof(t->warned[0]); i++) {
		if (strncmp(t->warned[i].text, text, sizeof(t->warned[i].text) - 1) == 0 && t->warned[i].at != 0 &&
		    now - t->warned[i].at < DAY_MS)
			return false;
		if (t->warned[i].at < t->warned[oldest].at)
			oldest = i;
	}
	t->warned[oldest].at = now + 1;
	STR_COPY(t->warned[oldest].text, text);
	return true;
}

void target_hear_warnings(struct target *t, const struct proto_hello *h)
{
	json_decref(t->warnings);
	t->warnings = json_array();
	/* No more than are remembered: a clone that means ill may have others each time. */
	for (unsigned i = 0; i < h->warning_count && i < sizeof(t->warned) / sizeof(t->warned[0]); i++) {
		json_array_append_new(t->warnings, json_string(h->warnings[i]));
		if (may_say(t, h->warnings[i]))
			log_warn("clone %s warns: %s", t->name, h->warnings[i]);
	}
}

void target_see_certificate(struct target *t, const struct cert_info *cert)
{
	struct daemon *d = t->master->d;
	const char *const *spkis = tls_creds_spkis(d->creds);

	if (cert == NULL)
		return;
	if (!t->shown)
		renew_heard(d->renew);
	t->shown = true;
	t->site = spkis != NULL && spkis[0] != NULL && strcmp(spkis[0], cert->spki_sha256) == 0;
	if (fleet_record(t->clone)->not_after != (int64_t)cert->not_after)
		expiry_soon(d->expiry);
}

const char *master_shares_certificate(const struct master *m, const char *spki_sha256, int64_t not_after)
{
	static char text[400];

	(void)spki_sha256;
	for (const struct target *t = m->targets; t != NULL; t = t->next) {
		int64_t seen = fleet_record(t->clone)->not_after;

		if (t->shown ? t->site : seen == not_after)
			snprintf(text, sizeof(text), "clone %s shows it as well", t->name);
		else if (!t->shown && seen == 0)
			snprintf(text, sizeof(text), "clone %s was never heard, and may have it as well", t->name);
		else
			continue;
		return text;
	}
	return NULL;
}

/* --- who asks --- */

/* One certificate and one identity are one clone; *v: how its certificate is judged. */
static struct target *who(enum peer_verdict *v, const struct master *m, const struct report_in *s)
{
	struct peer_rule rule = { .role = PROTO_CLONE,
		.cns = (const char *const *)m->d->conf->authorized_cns.items,
		.own_spkis = tls_creds_spkis(m->d->creds) };

	for (struct target *t = m->targets; t != NULL; t = t->next) {
		rule.host = fleet_record(t->clone)->host;
		*v = peer_decide(report_in_cert(s), &rule);
		if (peer_may_speak(*v) && t->recipient[0] != '\0' &&
		    strcmp(t->recipient, report_in_hello(s)->recipient) == 0)
			return t;
	}
	return NULL;
}

static bool is_one_too_many(struct target *t)
{
	uint64_t now = loop_now(t->master->d->loop);

	if (t->cert_requests == 0 || now - t->cert_since >= MINUTE_MS) {
		t->cert_since = now;
		t->cert_requests = 0;
	}
	return t->cert_requests++ >= REQUESTS_MAX;
}

static void refuse(struct report_in *s, int rc)
{
	struct proto_cert *a = mem_xalloc(sizeof(*a));

	STR_COPY(a->refused, err_text(rc));
	STR_COPY(a->error, err_name(rc));
	report_in_answer(s, a);
	free(a);
}

/* That nothing is kept for it is no fault: the depot may be empty. */
static void say_refused(struct target *t, int rc, bool recorded)
{
	char text[400], why[300];

	if (rc == KC_ECANCELED || rc == KC_EBUSY || ((rc == KC_ENOENT || rc == KC_EEXIST) && !recorded))
		return;
	STR_COPY(why, err_text(rc));
	snprintf(text, sizeof(text), "gets no certificate: %s", why);
	if (recorded || may_say(t, text)) {
		record(t->master, t->name, AUDIT_FAILURE, rc, why);
		log_warn("clone %s %s", t->name, text);
	}
	err_set(rc, "%s", why);
}

/* --- the jobs --- */

static void good(const struct cert_job *j, const json_t *result)
{
	char text[300];

	snprintf(text, sizeof(text), "%sSHA-256 %.64s, until %.40s", j->depot ? "from the depot, " : "",
	    member_text(result, "sha256"), member_text(result, "not_after"));
	record(j->master, j->clone, AUDIT_SUCCESS, KC_OK, text);
	log_info("clone %s gets a certificate%s: until %s", j->clone, j->depot ? " from the depot" : "",
	    member_text(result, "not_after"));
}

static int fill(struct proto_cert *a, const struct cert_job *j, const json_t *result)
{
	const char *text = member_text(result, j->depot ? "sealed" : "chain");
	size_t n = strlen(text);

	if (j->depot)
		return base64_decode(a->certificate, &a->certificate_size, sizeof(a->certificate), text, n);
	if (n > sizeof(a->certificate))
		return err_set(KC_ELIMIT, "the chain has %zu bytes, more than %zu", n, sizeof(a->certificate));
	memcpy(a->certificate, text, n);
	a->certificate_size = n;
	return KC_OK;
}

int target_note_issued(struct master *m, const char *host, int port, const json_t *result)
{
	struct state_issued i = { .port = (uint16_t)port };

	STR_COPY(i.host, host);
	STR_COPY(i.serial, member_text(result, "serial"));
	if (i.serial[0] == '\0')
		return KC_OK;
	if (clock_parse_utc(&i.not_after, member_text(result, "not_after")) < 0)
		return err_set(KC_EFORMAT, "the end of what was issued is no moment");
	return state_put_issued(m->d->state, &i);
}

static void on_done(int rc, const json_t *result, void *arg)
{
	struct cert_job *j = arg;
	struct target *t = target_find(j->master, j->clone);
	struct proto_cert *a = mem_xalloc(sizeof(*a));

	if (rc == KC_OK && t == NULL)
		rc = err_set(KC_EPERM, "the clone was removed");
	if (rc == KC_OK)
		rc = target_note_issued(j->master, fleet_record(t->clone)->host, fleet_record(t->clone)->port, result);
	if (rc == KC_OK)
		rc = fill(a, j, result);
	if (rc == KC_OK)
		good(j, result);
	else if (t != NULL)
		say_refused(t, rc, j->recorded);
	if (j->session != NULL && rc == KC_OK)
		report_in_answer(j->session, a);
	else if (j->session != NULL)
		refuse(j->session, rc);
	free(a);
	job_free(j);
}

static json_t *on_ask(const json_t *question, void *arg)
{
	struct cert_job *j = arg;
	char text[300];
	int rc;

	if (strcmp(member_text(question, "ask"), "renew") != 0)
		return NULL;
	snprintf(text, sizeof(text), "from the depot, certificate %.64s, SHA-256 %.64s", member_text(question, "cn"),
	    member_text(question, "sha256"));
	rc = record(j->master, j->clone, AUDIT_STARTED, KC_OK, text);
	j->recorded = rc == KC_OK;
	return ipc_result_new(rc);
}

static int begin_renewal(struct target *t, struct report_in *s, const struct proto_cert_request *q)
{
	const struct cert_info *cert = report_in_cert(s);
	struct cert_job *j;
	char text[300];
	json_t *request;
	int rc;

	snprintf(text, sizeof(text), "in place of certificate %.64s, SHA-256 %.64s", cert->cn, cert->sha256);
	rc = record(t->master, t->name, AUDIT_STARTED, KC_OK, text);
	if (rc < 0)
		return rc;
	j = job_new(t->master, s, t, false);
	j->recorded = true;
	request = json_pack("{s:s, s:o?, s:s, s:I, s:b}", "verb", "issue", "csr",
	    json_stringn((const char *)q->csr, q->csr_size), "role", "clone", "days", (json_int_t)own_cert_days(cert),
	    "renews", 1);
	if (request == NULL)
		request = json_pack("{s:s}", "verb", "issue"); /* no text: the worker says so */
	own_cert_names(request, cert);
	jobs_add(t->master->d->jobs, request, NULL, NULL, on_done, j);
	return KC_OK;
}

static void begin_depot(struct target *t, struct report_in *s, const struct proto_cert_request *q)
{
	struct cert_job *j = job_new(t->master, s, t, true);

	jobs_add(t->master->d->jobs,
	    json_pack("{s:s, s:s, s:s, s:s}", "verb", "depot", "clone", t->name, "recipient",
		report_in_hello(s)->recipient, "have", q->have),
	    NULL, on_ask, on_done, j);
}

/* Only what the own authority made for a clone is renewed by it. */
static int judge_renewal(enum peer_verdict v, const struct cert_info *cert)
{
	if (v == PEER_SITE)
		return err_set(KC_EPERM, "it shows the shared site certificate, which is not renewed for one machine");
	if (v != PEER_ROLE || !cert->anchor_is_authority || cert->role != CERT_ROLE_CLONE)
		return err_set(KC_EPERM, "certificate %.100s is not of this installation's authority", cert->cn);
	return KC_OK;
}

int target_cert_request(struct master *m, struct report_in *s, const struct proto_cert_request *q)
{
	enum peer_verdict v = PEER_UNDECIDED;
	struct target *t = who(&v, m, s);
	int rc = KC_OK;

	if (t == NULL)
		rc = err_set(KC_EPERM, "no clone of this master's fleet has that certificate and that identity");
	else if (is_one_too_many(t))
		return err_set(KC_ELIMIT, "more than %d requests for a certificate in a minute", REQUESTS_MAX);
	else if (m->d->rotate != NULL && rotate_is_active(m->d->rotate))
		rc = err_set(KC_EBUSY, "a rotation of certificates is under way");
	else if (q->purpose == PROTO_C_RENEW)
		rc = judge_renewal(v, report_in_cert(s));
	if (rc == KC_OK && q->purpose == PROTO_C_RENEW)
		rc = begin_renewal(t, s, q);
	else if (rc == KC_OK)
		begin_depot(t, s, q);
	if (rc < 0 && t != NULL)
		say_refused(t, rc, false);
	else if (rc < 0)
		daemon_refused(m->d, report_in_address(s), PEER_UNDECIDED, rc, err_text(rc));
	if (rc < 0)
		refuse(s, rc);
	return KC_OK;
}
