/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state: what must survive the daemon: <StateDir>/state.db, an SQLite database of our own (WAL, synchronous FULL).
 *
 * The daemon writes it; `init` creates it; commands without a daemon read lineage and generation, and keep the audit
 * log's head. Every setter is durable when it returns. Everything is addressed by lineage and generation, never by
 * time. Times are seconds since 1970, for people only; 0 means never.
 */
#ifndef KC_STATE_H
#define KC_STATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "backup/companions.h"
#include "base/lineage.h"

#define STATE_LINEAGE_LEN 32 /* hex digits of a lineage id */
#define STATE_DIGEST_LEN  64 /* hex digits of a content digest */

struct state;

/* Opens `dir`/state.db; `create` makes it (and the directory) where it does not exist, else KC_ENOENT. */
int state_open(struct state **s, const char *dir, bool create);
void state_close(struct state *s);

/*
 * The lineage this machine follows: on a master its own, made by state_new_lineage (random id, generation 0); on a
 * clone the one of what it last applied. `lineage` gets an empty string where there is none yet.
 */
struct state_self {
	/* The audit log, and the newest record of it that was on disk for certain. seq 0: not known. */
	char audit_log[1024];
	uint64_t audit_seq;
	char audit_hash[STATE_DIGEST_LEN + 1];
	char lineage[STATE_LINEAGE_LEN + 1];
	char ancestors[LINEAGE_TEXT]; /* of the lineage (lineage_parse); "": none */
	char role[8];		      /* "master", "clone": what this state is of; "": not known yet */
	uint64_t generation;	      /* master: last one reserved; clone: last one applied */
	/* Master: the number that the next backup will have, durable ahead of time; one that a daemon ended with may
	 * have been given. 0, or `generation`: none is ready. */
	uint64_t reserved;
	uint64_t replicated;		   /* master: last one that every clone has */
	uint64_t complete;		   /* master: last one whose backup is whole */
	char digest[STATE_DIGEST_LEN + 1]; /* content digest of `complete` (master) or of the applied one (clone) */
	char schema[STATE_DIGEST_LEN + 1]; /* schema digest of the same */
	char files[COMPANIONS_TEXT];	   /* companions of the same, with their digests */
	/* Clone: the digest without the tables that its own application writes; "": the same as `digest`. And which
	 * they were then (replication.LocalTables). */
	char own_digest[STATE_DIGEST_LEN + 1];
	char own_tables[1024];
	char file_id[33];		   /* of the same backup */
	char backup[256];		   /* file name of the same, in BackupDestDir */
	char sha256[STATE_DIGEST_LEN + 1]; /* of its payload */
	uint64_t header_size;		   /* where the payload begins */
	uint64_t database_size;		   /* bytes of the database in it */
	uint64_t rows;
	int64_t last_completed; /* time of the last replication that every clone (or the disk) completed */
	int64_t applied_at;	/* clone: when */
	int64_t last_check;	/* master: when it last looked for changes */
	char last_check_result[512];
	int64_t daily_done;	    /* master: the last daily moment whose look was done (replication/schedule.h) */
	int64_t unreplicated_since; /* master: first seen change that is in no backup yet */
	bool stopped;		    /* the task is down by `stop` */
	bool diverged;		    /* clone */
	bool take_over;		    /* … by a companion that was never applied here: only a restore can tell */
	bool by_hand;		    /* clone: an operator restored what is there: `digest` is no generation's */
	bool discard;		    /* clone: an operator said that its own rows may go at the next restore */
	char diverged_detail[512];
	/* Clone: the host, and its listen port, that is the master in place of the configured `successor_of`, since a
	 * promoted one was followed. */
	char successor[256];
	char successor_of[256];
	int64_t successor_port;
	int64_t master_contact;	     /* clone: when the master was last heard, and who it was */
	int64_t master_clock_offset; /* clone: the master's clock minus ours, seconds, at its last hello */
	char master_host[256];
	bool master_stopped; /* clone: its task was down when it was last heard */
	/* The full that the newest generation (master) or what is applied (clone) builds on, or is; 0: none, or what
	 * opens its increments is not here. Master: when that full was made, bytes of it and of its increments, and
	 * their number.
	 */
	uint64_t chain;
	int64_t chain_since;
	uint64_t chain_full, chain_bytes, chain_count;
	bool want_full;	       /* master: the next backup is a full with a new key, whatever has changed */
	uint64_t held_over;    /* master: the run after this generation is held; 0: none is */
	char held_table[128];  /* … for what it would delete of this table */
	uint64_t held_deleted; /* … so many rows */
	uint64_t held_rows;    /* … of so many */
	int64_t held_since;
	int64_t master_not_after; /* of its certificate */
	int64_t master_interval;  /* seconds between its checks, as it said */
	uint64_t after_restore;	  /* clone: the newest restored generation whose restore.AfterCommand has not ended */
};
int state_get_self(struct state_self *self, struct state *s);
int state_put_self(struct state *s, const struct state_self *self);
int state_new_lineage(struct state *s);
/*
 * Master: begin a child lineage, with generation 0, of what this machine has now: the content of generation `fork` of
 * `lineage`, usually its own (lineage_of_child says what becomes of it otherwise). Nothing is replicated or complete in
 * it; what a master's sessions said in their hello is out of date.
 */
int state_new_child(struct state *s, const char *lineage, uint64_t fork);

/*
 * A clone becomes a master: a child lineage of what it applied last; and a master a clone, which follows what its
 * lineage is followed by: all that it has is taken for its own, until the first restore proves that nothing is lost.
 * Both are one transaction. KC_EFAIL: it has that role already.
 */
int state_promote(struct state *s);
int state_demote(struct state *s);

/* What is about to be written into the key database, by a clone's restore or, on both roles, by an operator's; cleared
 * by state_put_applied or state_clear_intent. */
struct state_intent {
	char lineage[STATE_LINEAGE_LEN + 1];
	uint64_t generation;
	char old_digest[STATE_DIGEST_LEN + 1]; /* empty: first contact */
	char digest[STATE_DIGEST_LEN + 1];
	char schema[STATE_DIGEST_LEN + 1];
	char backup[256];
	char ancestors[LINEAGE_TEXT];	       /* of `lineage`, as the signed manifest has them */
	bool by_hand;			       /* an operator's: by_hand_applied (by_hand.h) ends it */
	char files[COMPANIONS_TEXT];	       /* companions; they may be anywhere between the old and the new ones */
	char own_digest[STATE_DIGEST_LEN + 1]; /* what is looked for after a crash; "": `digest` */
	uint64_t chain;			       /* as in state_self, once it is applied */
};
int state_put_intent(struct state *s, const struct state_intent *i);
/* KC_ENOENT where there is none. */
int state_get_intent(struct state_intent *i, struct state *s);
int state_clear_intent(struct state *s);
/* In one transaction: self as given, and the intent gone. */
int state_put_applied(struct state *s, const struct state_self *self);

/* Clone: backups received, with what opens them. */
struct state_stored {
	char lineage[STATE_LINEAGE_LEN + 1];
	uint64_t generation;
	char backup[256];
	char digest[STATE_DIGEST_LEN + 1];
	char receipt[65];
	char *travel; /* heap; the header that opens the payload with this clone's identity */
	int64_t at;
	int64_t due;	/* when it is to be restored; 0: at once */
	uint64_t base;	/* an increment: what it is applied to; 0: a full */
	uint64_t chain; /* an increment: the full that it builds on */
};
int state_put_stored(struct state *s, const struct state_stored *st);
/* The one that was put last; KC_ENOENT where there is none. Free with state_stored_fini. */
int state_get_stored(struct state_stored *st, struct state *s);
/* The one of a generation: the newest file of it. */
int state_stored_of(struct state_stored *st, struct state *s, const char *lineage, uint64_t generation);
/* The one of a file. */
int state_find_stored(struct state_stored *st, struct state *s, const char *backup);
/* The header that opens it; of an increment, its full's. *travel is heap. */
int state_find_travel(char **travel, struct state *s, const char *backup);
int state_forget_stored(struct state *s, const char *backup);
void state_stored_fini(struct state_stored *st);

/* Clone: what its master is to be told of the restore of a backup, by the receipt of its offer. From when the backup is
 * stored until the master has taken the outcome. */
struct state_report {
	char receipt[STATE_LINEAGE_LEN + 1];
	char lineage[STATE_LINEAGE_LEN + 1];
	uint64_t generation;
	int64_t status; /* enum proto_status; 0: there is no outcome to tell yet */
	char digest[STATE_DIGEST_LEN + 1];
	uint64_t rows;
	char error[33];
	char message[512];
	bool retryable;
	bool last; /* nothing will follow it */
	int64_t at;
	uint64_t duration_ms;
	int64_t until; /* postponed */
};
int state_put_report(struct state *s, const struct state_report *r);
/* The oldest one that has an outcome; KC_ENOENT without one. */
int state_next_report(struct state_report *r, struct state *s);
/* The one whose outcome is to come: of what was stored last. KC_ENOENT without one. */
int state_pending_report(struct state_report *r, struct state *s);
int state_get_report(struct state_report *r, struct state *s, const char *receipt); /* KC_ENOENT */
int state_forget_report(struct state *s, const char *receipt);
/* There will be no outcome of what was stored before: a newer backup has taken its place. Outcomes that the master does
 * not know yet stay, the newest 64 of them. */
int state_supersede_reports(struct state *s);

/* Master: the receipts that it gave: who may report what. */
struct state_receipt {
	char receipt[STATE_LINEAGE_LEN + 1];
	char host[256];
	uint16_t port;
	char lineage[STATE_LINEAGE_LEN + 1];
	uint64_t generation;
	int64_t status; /* enum proto_status, as it was told last; 0: not yet */
};
/* The newest 16 of each clone are kept. */
int state_put_receipt(struct state *s, const struct state_receipt *r);
int state_get_receipt(struct state_receipt *r, struct state *s, const char *receipt); /* KC_ENOENT */

/* The head of a peer's audit log, as it said it last. */
struct state_peer_log {
	char host[256]; /* of a clone; on a clone: "", the master */
	uint16_t port;
	char lineage[STATE_LINEAGE_LEN + 1]; /* on a clone: of the master whose it is */
	uint64_t seq;
	char hash[STATE_DIGEST_LEN + 1];
	int64_t at;
};
int state_put_peer_log(struct state *s, const struct state_peer_log *p);
int state_get_peer_log(struct state_peer_log *p, struct state *s, const char *host, uint16_t port); /* KC_ENOENT */

/* Master: one row a clone; the members are those of fleet_record (replication/fleet.h), and what identifies the clone.
 */
struct state_clone {
	char host[256];
	uint16_t port;
	char lineage[STATE_LINEAGE_LEN + 1];
	uint64_t offered, stored, applied;
	int64_t applied_at, last_success, last_attempt, behind_since, postponed_until, not_after;
	int64_t clock_offset;
	bool failing;
	int64_t how, last_code;
	char last_error[256];
	bool discard;			   /* an operator said that the rows which made it diverge may go */
	char recipient[80];		   /* its age recipient, pinned at first contact */
	char digest[STATE_DIGEST_LEN + 1]; /* of what it has applied, as it said */
	bool held;			   /* by an operator: nothing is sent to it */
	bool stopped;			   /* its own task is down, as it said last */
	/* The certificate that it showed last, if the own authority made it for this clone alone; else "": SHA-256 and
	 * serial number in hex. */
	char certificate[65], serial[41];
	char cn[256]; /* of the one of another authority that it showed last; else "" */
};
int state_put_clone(struct state *s, const struct state_clone *c);
int state_get_clone(struct state_clone *c, struct state *s, const char *host, uint16_t port); /* KC_ENOENT */
int state_forget_clone(struct state *s, const char *host, uint16_t port);		      /* all of it */

/* Master: the certificates of the own authority that a clone was given, or has shown, until they end: they are revoked
 * with it. Serial numbers in hex. */
struct state_issued {
	char host[256];
	uint16_t port;
	char serial[41];
	int64_t not_after;
};
int state_put_issued(struct state *s, const struct state_issued *i); /* KC_ELIMIT: it has 256 */
int state_forget_issued(struct state *s, const char *serial);
/* Those of a clone, and the one that it showed last, onto an array; without those that another clone showed last. */
int state_issued_to(json_t *serials, struct state *s, const char *host, uint16_t port);

/* Master: each generation it made, of the last ten thousand, with its file, for clones that catch up. A clone that has
 * applied one of them with other contents has it from this master as it was before it was rolled back. */
struct state_made {
	char lineage[STATE_LINEAGE_LEN + 1];
	uint64_t generation;
	char digest[STATE_DIGEST_LEN + 1]; /* of the content */
	uint64_t base;			   /* an increment: what it is applied to; 0: a full */
	uint64_t chain;			   /* the full whose key opens it, or that it is; 0: nothing builds on it */
	char backup[256];		   /* file name; "": made by an older version, which did not say */
	char file_id[33];
	char sha256[STATE_DIGEST_LEN + 1]; /* of its payload */
	uint64_t header_size;
	uint64_t database_size; /* what a clone unpacks */
};
int state_put_made(struct state *s, const struct state_made *m);
int state_get_made(struct state_made *m, struct state *s, const char *lineage, uint64_t generation); /* KC_ENOENT */
/* The increment of a chain that is applied to `base`. */
int state_get_made_on(struct state_made *m, struct state *s, const char *lineage, uint64_t chain, uint64_t base);

/* What needs a person (alert.h); kind and subject identify it. */
struct state_alert {
	char kind[40];
	char subject[300];
	char text[400];
	int64_t since;
	bool told; /* the command that tells of it has run, or none was configured */
};
int state_put_alert(struct state *s, const struct state_alert *a);
int state_forget_alert(struct state *s, const char *kind, const char *subject);
/* `each` gets every struct state_alert, oldest first; what it returns below KC_OK ends it and is the result. */
int state_each_alert(struct state *s, int (*each)(void *alert, void *arg), void *arg);

/* What was said of the end of a certificate (expiry.h): the last step before it, in days. */
struct state_expiry {
	char subject[300];
	int64_t not_after;
	int64_t days;
};
int state_put_expiry(struct state *s, const struct state_expiry *e);
int state_get_expiry(struct state_expiry *e, struct state *s, const char *subject); /* KC_ENOENT */
int state_forget_expiry(struct state *s, const char *subject);

/* Clone: the fleet as the master last named it in its hello: "HOST:PORT HOST:PORT …", this machine not among them, as
 * the master reaches them. For a promotion. */
#define STATE_SIBLINGS_TEXT (20 * 262 + 1)
struct state_siblings {
	char clones[STATE_SIBLINGS_TEXT];
	int64_t at;
	char lineage[STATE_LINEAGE_LEN + 1]; /* of that master */
	char host[256];			     /* its name of itself */
	char address[256];		     /* a name or address that its certificate is for, or where it came from */
	int64_t port;			     /* where it listens */
};
int state_put_siblings(struct state *s, const struct state_siblings *f);
int state_get_siblings(struct state_siblings *f, struct state *s); /* KC_ENOENT: no hello yet */

/* Master: the newest system backup (backup/system.h), whose generations are a count of its own. */
struct state_system {
	uint64_t generation;		   /* the last one reserved; 0: none yet */
	char digest[STATE_DIGEST_LEN + 1]; /* of what went in; empty: make another, whatever is in it */
	char backup[256];		   /* file name, in BackupDestDir; empty: it was not finished */
	char file_id[33];
	char sha256[STATE_DIGEST_LEN + 1]; /* of its payload */
	uint64_t header_size;
};
int state_put_system(struct state *s, const struct state_system *sys);
int state_get_system(struct state_system *sys, struct state *s); /* KC_ENOENT: none yet */

/* The password of backups in force: what tells it from others (secret_fingerprint), and when it was first seen. */
struct state_password {
	char id[33];
	int64_t since;
};
int state_put_password(struct state *s, const struct state_password *p);
int state_get_password(struct state_password *p, struct state *s); /* KC_ENOENT: none was seen yet */

/* Since when the password of a backup (file name) was in force, on the machine that made it; 0: not known. Forgotten
 * with state_forget_stored. */
int state_put_sealed(struct state *s, const char *backup, int64_t since);
int64_t state_get_sealed(struct state *s, const char *backup);

/* Several setters in one transaction (one sync). Not nested. */
int state_begin(struct state *s);
bool state_in_transaction(const struct state *s);
int state_commit(struct state *s); /* on failure nothing was kept */
void state_abort(struct state *s);

/* The audit log's last rotated-out record (audit.h): where `audit --verify` begins. */
int state_put_audit_head(struct state *s, uint64_t seq, const char *hash);
int state_get_audit_head(uint64_t *seq, char hash[65], struct state *s); /* KC_ENOENT: nothing rotated out */

#endif
