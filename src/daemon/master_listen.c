/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_listen: the master's listen port. Who connects is authenticated and authorised as on any session; strangers
 * are refused and audited. Clones come here to say that they are there again, and to report (target_report.c).
 */
#include "base/log.h"
#include "master_int.h"

static void on_session(struct conn *c, void *arg)
{
	target_take_caller(arg, c);
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	struct master *m = arg;

	daemon_refused(m->d, address, v, rc, text);
}

int master_listen(struct master *m)
{
	static const struct conn_listen_events events = { on_session, on_refused };
	const struct conf *c = m->d->conf;
	struct conn_listen_options o = {
		.address = c->listen_address, .port = (uint16_t)c->master_listen_port, .conn = daemon_conn_options(m->d)
	};

	return conn_listen(&m->listener, m->d->loop, &o, &events, m);
}
