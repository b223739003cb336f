/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_cert: a certificate from the master: a session with its listen port for that alone. The master is judged as for
 * reports: by its certificate, and by its lineage.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "clone_int.h"
#include "replication/report.h"

#define CERT_SINCE 4 /* minor version */

struct clone_asking {
	struct clone_role *clone;
	struct report_out *session;
	struct proto_cert_request request;
	struct proto_cert cert;
	bool asked, answered;
	char name[300]; /* of the master */
	clone_cert_fn done;
	void *arg;
};

static int on_hello(const struct proto_hello *master, void *arg)
{
	struct clone_asking *a = arg;
	int rc = clone_judge_lineage(a->clone, master, a->name);

	if (rc == KC_OK && master->version < CERT_SINCE)
		rc = err_set(
		    KC_EPROTO, "the master is too old to give certificates: it speaks version %u", master->version);
	return rc;
}

static bool nothing_to_tell(struct proto_report *r, void *arg)
{
	(void)r, (void)arg;
	return false;
}

static void no_ack(const struct proto_ack *ack, void *arg)
{
	(void)ack, (void)arg;
}

static bool ask(struct proto_cert_request *q, void *arg)
{
	struct clone_asking *a = arg;

	if (a->asked)
		return false;
	a->asked = true;
	*q = a->request;
	return true;
}

static void on_cert(const struct proto_cert *cert, void *arg)
{
	struct clone_asking *a = arg;

	a->cert = *cert;
	a->answered = true;
}

static int code_of(const struct proto_cert *cert)
{
	int rc = err_from_name(cert->error);

	return rc == KC_OK ? KC_EREFUSED : rc;
}

/* Nobody listens there is no refusal by the master. */
static bool is_away(int rc, const char *text)
{
	return rc >= 0 || (rc == KC_EREFUSED && strstr(text, "connection refused") != NULL);
}

static void on_closed(int rc, const char *text, void *arg)
{
	struct clone_asking *a = arg;

	a->clone->cert = NULL;
	report_out_free(a->session);
	if (a->answered && a->cert.refused[0] == '\0')
		rc = KC_OK;
	else if (a->answered)
		rc = err_set(code_of(&a->cert), "%s: %.400s", a->name, a->cert.refused);
	else
		rc = err_set(is_away(rc, text) ? KC_ENET : rc, "%s: %.400s", a->name, text);
	a->done(rc, rc == KC_OK ? &a->cert : NULL, a->arg);
	mem_wipe(&a->cert, sizeof(a->cert));
	free(a);
}

static int start(struct clone_asking *a, const char *host, int port)
{
	static const struct report_out_events events = { .on_hello = on_hello,
		.next = nothing_to_tell,
		.on_ack = no_ack,
		.on_closed = on_closed,
		.ask = ask,
		.on_cert = on_cert };
	struct clone_role *c = a->clone;
	struct proto_hello *h = mem_xalloc(sizeof(*h));
	struct report_out_options o = {
		.host = host, .port = (uint16_t)port, .conn = daemon_conn_options(c->d), .hello = h
	};
	int rc = clone_fill_hello(c, h);

	o.conn.rule.successor = false; /* whom we call is whom we want */
	if (rc == KC_OK)
		a->session = report_out_start(c->d->loop, &o, &events, a);
	free(h);
	return rc;
}

int clone_ask_certificate(struct clone_role *c, const struct proto_cert_request *q, clone_cert_fn done, void *arg)
{
	struct clone_asking *a;
	char *host, *name;
	int port, rc;

	if (c->cert != NULL)
		return err_set(KC_EBUSY, "a certificate is asked for already");
	host = clone_master_address(c, &port);
	if (host == NULL)
		return err_set(KC_ENET, "the master was never heard, and replication.MasterHost is not set");
	a = mem_xalloc(sizeof(*a));
	name = host_port_format(host, port);
	a->clone = c;
	a->request = *q;
	a->done = done;
	a->arg = arg;
	STR_COPY(a->name, name);
	rc = start(a, host, port);
	if (rc == KC_OK)
		c->cert = a;
	else
		free(a);
	free(name);
	free(host);
	return rc;
}

void clone_end_asking(struct clone_role *c)
{
	if (c->cert == NULL)
		return;
	report_out_free(c->cert->session);
	free(c->cert);
	c->cert = NULL;
}
