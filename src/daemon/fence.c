/* SPDX-License-Identifier: Apache-2.0 */
/* fence: refuses the master that this machine has replaced, on the port of the clone that it was. */
#include "fence.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "replication/receive.h"

struct fence {
	struct daemon *d;
	struct receive *receive;
};

int fence_refusal(
    const char *old_lineage, const char *lineage, uint64_t generation, const char *host, const char *address)
{
	return err_set(KC_EFENCED,
	    "lineage %.8s was replaced by %.8s%s%.100s (generation %" PRIu64
	    "); on the old master: keyclone demote --master %.100s",
	    old_lineage, lineage, host != NULL ? " of " : "", host != NULL ? host : "", generation,
	    address != NULL ? address : "HOST:PORT");
}

static int on_hello(struct receive_session *s, const struct proto_hello *master, struct proto_hello *ours, void *arg)
{
	struct fence *f = arg;
	struct daemon *d = f->d;
	char *address;
	int rc;

	(void)ours;
	if (lineage_find(&d->ancestors, master->lineage) == NULL)
		return err_set(KC_EFOREIGN,
		    "this machine is the master of lineage %.8s, the one at %s is of lineage %.8s", d->self.lineage,
		    receive_session_name(s), master->lineage);
	address = host_port_format(d->host, d->conf->master_listen_port);
	rc = fence_refusal(master->lineage, d->self.lineage, d->self.complete, d->host, address);
	free(address);
	return rc;
}

static int on_offer(struct receive_session *s, const struct proto_offer *o, struct proto_decline *why, void *arg)
{
	(void)s, (void)o, (void)arg;
	why->reason = PROTO_R_FOREIGN;
	return err_set(KC_EFENCED, "this machine is a master");
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	struct fence *f = arg;

	daemon_refused(f->d, address, v, rc, text);
}

/* What a clone asks of its master; wherever that is by now. */
static struct conn_options session_options(const struct daemon *d)
{
	struct conn_options o = daemon_conn_options(d);

	o.self = PROTO_CLONE;
	o.rule.role = PROTO_MASTER;
	return o;
}

int fence_new(struct fence **out, struct daemon *d)
{
	static const struct receive_events events = {
		.on_hello = on_hello, .on_offer = on_offer, .on_refused = on_refused
	};
	struct state_siblings *was = mem_xalloc(sizeof(*was));
	struct receive_options o = { .backup_dir = d->conf->backup_dir };
	struct fence *f;
	int rc = state_get_siblings(was, d->state);

	free(was);
	if (rc == KC_ENOENT || (rc == KC_OK && d->ancestors.count == 0))
		return KC_OK;
	if (rc < 0)
		return rc;
	f = mem_xalloc(sizeof(*f));
	f->d = d;
	o.listen.address = d->conf->listen_address;
	o.listen.port = (uint16_t)d->conf->listen_port;
	o.listen.conn = session_options(d);
	rc = receive_new(&f->receive, d->loop, &o, &events, f);
	if (rc < 0) {
		log_info("the master that was replaced is not told so by this machine, only by the clones: %s",
		    err_text(rc));
		free(f);
		return KC_OK;
	}
	*out = f;
	return KC_OK;
}

void fence_free(struct fence *f)
{
	if (f == NULL)
		return;
	receive_free(f->receive);
	free(f);
}

void fence_reloaded(struct fence *f)
{
	struct conn_options o;

	if (f == NULL)
		return;
	o = session_options(f->d);
	receive_set_options(f->receive, &o);
}
