/* SPDX-License-Identifier: Apache-2.0 */
/*
 * failover: what `promote` and `demote` are made of. Each step may be done again: a command that was interrupted is
 * given once more, and finishes what is left.
 *
 *     promote: everything stored is applied → the master does not answer → secrets, certificate → configuration → state
 *     demote:  configuration → state
 *
 * The state comes last: until then the machine is what it was, and keycloned refuses to start where the configuration
 * says something else than the state.
 */
#ifndef KC_CLI_FAILOVER_H
#define KC_CLI_FAILOVER_H

#include "backup/system.h"
#include "cli.h"
#include "daemon/secrets.h"
#include "daemon/state.h"

struct failover {
	struct cli *c;
	struct state_self self; /* before */
	struct state_siblings siblings;
	struct secrets secrets;
	char *password;		       /* secret memory */
	char *sealed;		       /* the same for the configuration; NULL: it has one */
	struct system_contents system; /* promote: what the master left in its newest system backup */
	bool has_system;
	char *alias;	 /* of a certificate that was made for the new role; NULL: the old one stays */
	bool running;	 /* a keycloned runs */
	bool own_signer; /* promote: backups are signed by this machine's own key, which no clone knows */
	char lineage[STATE_LINEAGE_LEN + 1]; /* after */
	uint64_t generation;		     /* applied before */
};

/* What the state says; KC_ENOENT: there is none. */
int failover_read(struct failover *f);
/* Everything that is stored is applied, by the daemon where one runs; else KC_EAGAIN with what to do. */
int failover_apply(struct failover *f);
/* *answers: the master of this clone was reached, and is one: a session by the rules of every session. *who is heap,
 * HOST:PORT; NULL: not known where it is. */
int failover_probe(bool *answers, char **who, struct failover *f);
/* The configuration of the other role, in one step. */
int failover_configure_master(struct failover *f);
int failover_configure_clone(struct failover *f, const char *host, int port);
/* The state, by the daemon where one runs, which ends then. */
int failover_commit(struct failover *f, bool master);

#endif
