/* SPDX-License-Identifier: Apache-2.0 */
/* probe: a session with a peer that is told nothing but goodbye. */
#include "probe.h"

#include "base/err.h"
#include "base/loop.h"
#include "daemon/credentials.h"
#include "replication/conn.h"

struct probe {
	struct loop *loop;
	bool answered;
	bool over;
};

static void on_ready(struct conn *c, void *arg)
{
	struct probe *p = arg;

	p->answered = true;
	conn_finish(c);
}

static void on_closed(struct conn *c, int rc, const char *text, void *arg)
{
	struct probe *p = arg;

	(void)c, (void)rc, (void)text;
	p->over = true;
	loop_stop(p->loop);
}

static void run(
    struct probe *p, const char *host, int port, bool pinned, struct tls_creds *creds, const struct conf *conf)
{
	static const struct conn_events events = { .on_ready = on_ready, .on_closed = on_closed };
	struct conn_options o = { .creds = creds,
		.self = PROTO_CLONE,
		.idle_ms = conf->timeout_ms,
		.rule = { .role = PROTO_MASTER,
		    .host = pinned ? host : NULL,
		    .cns = (const char *const *)conf->authorized_cns.items } };
	struct conn *c;

	p->loop = loop_new();
	c = conn_connect(p->loop, host, (uint16_t)port, &o, &events, p);
	loop_run(p->loop);
	conn_free(c);
	loop_free(p->loop);
}

int probe_master(bool *answers, const struct conf *conf, const char *host, int port, bool pinned)
{
	struct tls_creds *creds = NULL;
	json_t *certificate = NULL;
	struct probe p = { 0 };
	int rc = credentials_load(&creds, &certificate, conf, NULL);

	if (rc < 0)
		return rc;
	run(&p, host, port, pinned, creds, conf);
	*answers = p.answered;
	tls_creds_unref(creds);
	json_decref(certificate);
	return KC_OK;
}
