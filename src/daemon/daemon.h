/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon: what every part of keycloned shares. One struct, filled by the table of start steps in main.c in this order
 * and taken down backwards. The role (master.h, clone.h) hangs off it; nothing here is global.
 */
#ifndef KC_DAEMON_H
#define KC_DAEMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/audit.h"
#include "base/conf.h"
#include "base/loop.h"
#include "daemon/job.h"
#include "daemon/state.h"
#include "replication/conn.h"

struct alerts;
struct control;
struct expiry;
struct hooks;
struct master;
struct clone_role;
struct order;
struct revocation;
struct rotate;
struct renew;
struct starter;
struct task_timer;

struct daemon {
	const char *conf_path;
	struct conf *conf; /* without secrets */
	struct loop *loop;
	struct starter *starter;
	struct jobs *jobs;
	struct state *state;
	struct state_self self;	       /* what state has; change it, then daemon_save() */
	struct lineage_list ancestors; /* self.ancestors, parsed: daemon_set_lineage */
	struct audit *audit;
	struct tls_creds *creds;
	struct hooks *hooks;
	struct expiry *expiry;
	struct revocation *revocation;
	struct renew *renew;
	struct alerts *alerts; /* what needs a person (alert.h) */
	struct control *control;
	struct order *order;   /* a restore by hand under way (restore_order.h) */
	struct master *master; /* one of these two */
	struct clone_role *clone;
	struct rotate *rotate; /* master: of certificates (rotate.h) */
	struct loop_signal *on_term, *on_int, *on_hup;
	struct loop_timer *deadline;
	struct task_timer *task;      /* reminds of a stopped task */
	struct loop_timer *tick;      /* of the audit log */
	struct loop_timer *audit_due; /* what was written lazily waits no longer */
	json_t *database;	      /* {"kind", "path", "rows"}, as the worker found it */
	json_t *certificate;	      /* {"alias", "sha256", "not_after", "days_left"} of the one in force */
	json_t *trusted;	      /* changes_trusted() */
	char *recipient;	      /* clone: its age recipient */
	char *signer;		      /* master: public half of the signing key */
	char host[256];
	int lock_fd;
	bool checking; /* --check */
	bool taken;    /* … while a keycloned runs here */
	bool ending;
	bool explained; /* why it cannot start was printed */
	bool sealed;	/* the worker sealed the password at this start */
	unsigned end_steps;
	int exit_status;
};

/* Make d->self durable. An error is logged here: state that cannot be written ends the daemon (it would forget). */
int daemon_save(struct daemon *d);

/* d->self has another lineage: its ancestors, for everybody who judges by them. KC_EFORMAT. */
int daemon_set_lineage(struct daemon *d);

/* Clone: where the master is: replication.MasterHost and replication.MasterListenPort, or what took their place when a
 * promoted master was followed. NULL: any. */
const char *daemon_master_host(const struct daemon *d);
int daemon_master_port(const struct daemon *d);

/* Write an audit record; host and role are filled in. An error is logged, and returned for operations that must not go
 * on without their record. */
int daemon_audit(struct daemon *d, const struct audit_record *r);
/* The same for the beginning of a small thing that leaves nothing lasting before its next record is synced: it is on
 * disk with that one, or within 50 ms. */
int daemon_audit_lazily(struct daemon *d, const struct audit_record *r);
/* The records of this turn, but for those written lazily, are on disk; else the daemon ends. At the end of each turn,
 * before anything is sent to a peer; sooner where a worker waits for the answer. */
int daemon_sync_audit(struct daemon *d);

/* A peer was refused before it was authorised: one record, or one of its minute's sum. */
void daemon_refused(struct daemon *d, const char *address, enum peer_verdict v, int rc, const char *text);

/* Old backups over replication.MaxBackupNum go; never the one that state has, nor `stored` (a file name, may be NULL).
 */
void daemon_prune(struct daemon *d, const char *stored);

/* System backups over the few that are kept go, but for the newest, which only looks old where a clock was wrong. */
void daemon_prune_system(struct daemon *d, const char *newest);

/* The wait after `wait_ms` (0: the first): from RetryMin, doubled up to RetryMax. */
uint64_t daemon_back_off(const struct daemon *d, uint64_t wait_ms);

/* A peer's clock differs from ours: said once in the log as long as it does. */
void daemon_say_clock(bool *said, const char *peer, int64_t offset_s);

/* Begin to end: no new work, what is being committed is finished, then the loop stops. */
void daemon_end(struct daemon *d, int exit_status);

/* What every session of ours needs, by the configuration: credentials, whom we are and who may speak to us, how long it
 * may be silent. Borrowed from configuration and credentials, until the next reload. */
struct conn_options daemon_conn_options(const struct daemon *d);

/* Read the configuration and credentials anew. *changes: array of what was taken over, *restart: of what needs a
 * restart. Asynchronous: `done` gets the result {"rc", "changed": […], "restart": […]}. */
typedef void (*daemon_reload_fn)(int rc, const json_t *result, void *arg);
void daemon_reload(struct daemon *d, daemon_reload_fn done, void *arg);

/* The same for the credentials alone, at once and without the worker: keystore, truststore, revocation lists. `why` is
 * for log and audit. On an error the old ones stay in force. */
int daemon_reload_credentials(struct daemon *d, const char *why);

/* What `keyclone --json status` prints, new reference. */
json_t *status_json(const struct daemon *d);

#endif
