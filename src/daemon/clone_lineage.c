/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_lineage: whom this clone follows. A master whose lineage did not begin from what is applied here is foreign;
 * one that was replaced by the master of this clone is fenced off. Both are told why, with both lineages, and what to
 * do.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "clone_int.h"
#include "daemon/fence.h"
#include "keystore/cert.h"

static enum lineage_verdict judge(
    const struct clone_role *c, const struct proto_hello *master, uint64_t generation, const char *digest)
{
	const struct state_self *self = &c->d->self;
	struct lineage_place own = { self->lineage, &c->d->ancestors, self->generation, self->digest };
	struct lineage_place offer = { master->lineage, &master->ancestors, generation, digest };

	return lineage_judge(&own, &offer);
}

static int fenced(const struct clone_role *c, const char *lineage)
{
	const struct state_self *self = &c->d->self;
	struct state_siblings *f = mem_xalloc(sizeof(*f));
	char *address = NULL;
	int rc;

	if (state_get_siblings(f, c->d->state) == KC_OK && f->address[0] != '\0' && f->port > 0)
		address = host_port_format(f->address, (int)f->port);
	rc = fence_refusal(lineage, self->lineage, self->generation, address != NULL ? f->host : NULL, address);
	free(address);
	free(f);
	return rc;
}

int clone_judge_lineage(const struct clone_role *c, const struct proto_hello *master, const char *name)
{
	switch (judge(c, master, 0, NULL)) {
	case LINEAGE_FENCED:
		return fenced(c, master->lineage);
	case LINEAGE_FOREIGN:
		return err_set(KC_EFOREIGN,
		    "this clone follows the master of lineage %.8s%s%.100s, the one at %s is of lineage %.8s",
		    c->d->self.lineage, c->d->self.master_host[0] != '\0' ? " at " : "", c->d->self.master_host, name,
		    master->lineage);
	default:
		return KC_OK;
	}
}

int clone_judge_master(struct clone_role *c, const struct proto_hello *master, const struct receive_session *s)
{
	bool elsewhere = receive_session_verdict(s) == PEER_ELSEWHERE;
	enum lineage_verdict v = judge(c, master, 0, NULL);

	/* Only a promotion moves the master. */
	if (elsewhere && (v == LINEAGE_FIRST || v == LINEAGE_SAME))
		return err_set(KC_ECERT, "its certificate is for another host than replication.MasterHost (%.100s)",
		    daemon_master_host(c->d));
	if (v == LINEAGE_SAME || v == LINEAGE_FOLLOW)
		clone_leave_fork(c, master->lineage);
	return clone_judge_lineage(c, master, receive_session_name(s));
}

static int decline(struct proto_decline *why, enum proto_reason reason, const char *text)
{
	why->reason = reason;
	STR_COPY(why->message, text);
	return KC_EFAIL;
}

int clone_judge_offer(struct proto_decline *why, const struct clone_role *c, const struct proto_hello *master,
    const struct proto_offer *o)
{
	const struct state_self *self = &c->d->self;

	if (strcmp(o->lineage, master->lineage) != 0)
		return decline(why, PROTO_R_FOREIGN, "it is not of the lineage that its master greeted with");
	switch (judge(c, master, o->generation, o->digest)) {
	case LINEAGE_FENCED:
		fenced(c, o->lineage);
		return decline(why, PROTO_R_FOREIGN, err_text(KC_EFENCED));
	case LINEAGE_FOREIGN:
		return decline(why, PROTO_R_FOREIGN, "it follows another lineage");
	case LINEAGE_SAME:
		if (o->generation == self->generation && strcmp(o->digest, self->digest) == 0)
			return decline(why, PROTO_R_HAVE, "applied already");
		if (o->generation <= self->generation) {
			why->have = self->generation;
			return decline(why, PROTO_R_STALE, "it has applied a newer generation");
		}
		return KC_OK;
	default:
		/* Whether rows would be lost is seen when it is here: they are listed then. */
		return KC_OK;
	}
}

/* Has it the full of that chain stored, whose key comes to light when it is restored? */
static bool has_stored(const struct clone_role *c, uint64_t chain)
{
	struct state_stored st = { 0 };
	bool has = state_stored_of(&st, c->d->state, c->stored.lineage, chain) == KC_OK;

	state_stored_fini(&st);
	return has;
}

int clone_judge_increment(struct proto_decline *why, const struct clone_role *c, const struct proto_offer *o)
{
	const struct state_self *self = &c->d->self;
	bool waits = clone_has_stored(c) && strcmp(c->stored.lineage, o->lineage) == 0;
	/* It is offered again, to be restored now, or builds on what waits; else on what is applied. */
	bool on_stored = waits && (c->stored.generation == o->generation || c->stored.generation == o->base);
	bool on_applied = o->base == self->generation && strcmp(self->lineage, o->lineage) == 0;
	char text[200];

	if (self->discard || self->by_hand)
		return decline(why, PROTO_R_FULL, "what is here is no generation's");
	if (!on_stored && !on_applied) {
		snprintf(text, sizeof(text), "it builds on generation %" PRIu64 "; %" PRIu64 " is applied here",
		    o->base, self->generation);
		return decline(why, PROTO_R_FULL, text);
	}
	if (o->chain != self->chain && !(waits && has_stored(c, o->chain)))
		return decline(why, PROTO_R_FULL, "the key that opens it came with a full backup that is not here");
	return KC_OK;
}

/* What the master can be reached by, and is known by in its certificate, where that has names at all. */
static const char *address_of(const struct proto_hello *master, const struct receive_session *s)
{
	const struct cert_info *cert = receive_session_cert(s);
	const char *address = receive_session_address(s);

	if (cert == NULL || cert_info_matches(cert, address) || receive_session_verdict(s) == PEER_SITE)
		return address;
	if (cert_info_matches(cert, master->host))
		return master->host;
	return cert->dns_count > 0 ? cert->dns[0] : cert->ip_count > 0 ? cert->ips[0] : cert->cn;
}

void clone_take_successor(struct clone_role *c)
{
	struct state_siblings *f = mem_xalloc(sizeof(*f));
	struct state_self *self = &c->d->self;
	const char *configured = c->d->conf->master_host;

	if (configured != NULL && state_get_siblings(f, c->d->state) == KC_OK &&
	    strcmp(f->lineage, self->lineage) == 0 && f->address[0] != '\0') {
		bool moved = strcmp(f->address, configured) != 0 || f->port != c->d->conf->master_listen_port;

		STR_COPY(self->successor, moved ? f->address : "");
		STR_COPY(self->successor_of, moved ? configured : "");
		self->successor_port = moved ? f->port : 0;
	}
	if (configured != NULL && self->successor[0] != '\0')
		log_info("the master is at %s now, port %d; replication.MasterHost still says %s",
		    daemon_master_host(c->d), daemon_master_port(c->d), configured);
	free(f);
}

static bool same_fleet(const struct state_siblings *a, const struct state_siblings *b)
{
	return strcmp(a->clones, b->clones) == 0 && strcmp(a->lineage, b->lineage) == 0 &&
	       strcmp(a->host, b->host) == 0 && strcmp(a->address, b->address) == 0 && a->port == b->port;
}

void clone_remember_fleet(struct clone_role *c, const struct proto_hello *master, const struct receive_session *s)
{
	struct state_siblings *f = mem_xalloc(sizeof(*f)), *old = mem_xalloc(sizeof(*old));
	size_t n = 0;
	int rc;

	for (unsigned i = 0; i < master->clone_count; i++)
		n += (size_t)snprintf(
		    f->clones + n, sizeof(f->clones) - n, "%s%.261s", i > 0 ? " " : "", master->clones[i]);
	STR_COPY(f->lineage, master->lineage);
	STR_COPY(f->host, master->host);
	STR_COPY(f->address, address_of(master, s));
	f->port = (int64_t)master->listen_port;
	f->at = time(NULL);
	rc = state_get_siblings(old, c->d->state);
	if (rc < 0 || !same_fleet(old, f))
		rc = state_put_siblings(c->d->state, f);
	if (rc < 0)
		log_warn("the master's list of clones is not kept: %s", err_text(rc));
	free(old);
	free(f);
}

int clone_apply_stored(struct clone_role *c)
{
	const struct state_self *self = &c->d->self;

	/* First of all: what ends later would write over whatever is decided now. */
	if (c->restoring || receive_busy(c->receive))
		return err_set(KC_EAGAIN, "a backup is being received or restored");
	if (self->diverged)
		return err_set(KC_EDIVERGED, "this clone has diverged: %s", self->diverged_detail);
	if (!clone_has_stored(c))
		return KC_OK;
	if (c->applying == c->stored.generation)
		return err_set(KC_EFAIL,
		    "generation %" PRIu64 " is stored and cannot be restored; 'keyclone audit --failed' says why",
		    c->stored.generation);
	c->applying = c->stored.generation;
	loop_timer_clear(c->retry);
	clone_start_restore(c);
	return err_set(KC_EAGAIN, "generation %" PRIu64 " is being restored", c->stored.generation);
}
