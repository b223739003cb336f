/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_listen: the master's listen port. Who connects is authenticated and authorised as on any session; strangers
 * are refused and audited. A clone that has just started knocks here: its authorised session alone says that it is
 * there again, so that whatever waits for the next try of an unreachable address is tried at once. Nothing else is
 * taken.
 */
#include "base/log.h"
#include "master_int.h"

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	(void)rc, (void)text, (void)arg;
	conn_free(c);
}

static void on_session(struct conn *c, void *arg)
{
	static const struct conn_events events = { .on_closed = on_closed };
	struct master *m = arg;

	log_limited(&m->knocks, loop_now(m->d->loop), LOG_LVL_INFO, "%s: a clone is there again", conn_name(c));
	for (struct target *t = m->targets; t != NULL; t = t->next)
		fleet_heard(t->clone);
	if (m->d->self.stopped)
		target_greet_all(m); /* it shall know why nothing comes */
	conn_set_events(c, &events, m);
	conn_finish(c);
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
