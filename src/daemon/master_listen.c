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

static struct conn_options session_options(struct master *m)
{
	struct conn_options o = daemon_conn_options(m->d);

	o.tokens = enroll_tokens(m->enroll);
	return o;
}

int master_listen(struct master *m)
{
	static const struct conn_listen_events events = { on_session, on_refused };
	const struct conf *c = m->d->conf;
	struct conn_listen_options o = {
		.address = c->listen_address, .port = (uint16_t)c->master_listen_port, .conn = session_options(m)
	};

	return conn_listen(&m->listener, m->d->loop, &o, &events, m);
}

void master_listen_anew(struct master *m)
{
	struct conn_options o = session_options(m);

	conn_listener_set_options(m->listener, &o);
}
