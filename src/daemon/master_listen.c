/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_listen: the master's listen port. Who connects is authenticated and authorised as on any session; strangers
 * are refused and audited. Clones come here to say that they are there again, and to report (target_report.c); who is
 * to become one comes with a token (enroll.c).
 */
#include "daemon/enroll.h"
#include "master_int.h"

static void on_session(struct conn *c, void *arg)
{
	struct master *m = arg;

	if (conn_token(c) != NULL)
		enroll_take(m->enroll, c);
	else
		target_take_caller(m, c);
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	struct master *m = arg;

	enroll_refused(m->enroll, address, v);
	daemon_refused(m->d, address, v, rc, text);
}

/* `hosts` is filled, and has to live as long as what is returned. Which of the clones it is shows later: a report has
 * a receipt (target_report.c), a request for a certificate the identity of the clone (target_cert.c). */
static struct conn_options session_options(struct master *m, const char *hosts[CONF_CLONES_MAX + 1])
{
	struct conn_options o = daemon_conn_options(m->d);
	const struct conf *c = m->d->conf;

	for (size_t i = 0; i < c->clone_count; i++)
		hosts[i] = c->clones[i].host;
	hosts[c->clone_count] = NULL;
	o.rule.hosts = hosts;
	o.tokens = enroll_tokens(m->enroll);
	return o;
}

int master_listen(struct master *m)
{
	static const struct conn_listen_events events = { on_session, on_refused };
	const struct conf *c = m->d->conf;
	const char *hosts[CONF_CLONES_MAX + 1];
	struct conn_listen_options o = {
		.address = c->listen_address, .port = (uint16_t)c->master_listen_port, .conn = session_options(m, hosts)
	};

	return conn_listen(&m->listener, m->d->loop, &o, &events, m);
}

void master_listen_anew(struct master *m)
{
	const char *hosts[CONF_CLONES_MAX + 1];
	struct conn_options o = session_options(m, hosts);

	conn_listener_set_options(m->listener, &o);
}
