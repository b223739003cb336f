/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit: the append-only, hash-chained record of what was done to keys and by whom.
 *
 * One JSON object a line with the members of the table below, in this order; a member without a value is left out:
 *
 *     seq time host role event outcome                      always
 *     generation lineage peer backup bytes duration_ms code detail
 *     clones                                                replication.end: array of what came of each clone, with
 *                                                           clone result bytes duration_ms detail
 *     prev                                                  always: SHA-256 (hex) of the line before, without newline
 *
 * The first record of an installation has seq 1 and a prev of 64 zeros. seq and chain go on over rotations: `log` is
 * the newest file, `log.1` the one before, and so on.
 *
 * The daemon and administrators' commands write the same log, each with an audit of its own: every append is one
 * write(2) under an exclusive flock(2), after a look whether somebody else has written or rotated. A line that a
 * crash cut short is terminated by the next writer, which says so with a record `audit.repair`.
 *
 * If a record cannot be written, the operation it describes must fail: callers propagate every result. The pattern:
 *
 *     rc = audit_write(a, &(struct audit_record){ .event = AUDIT_RESTORE_START, .outcome = AUDIT_STARTED, … });
 *     if (rc == KC_OK)
 *             rc = audit_sync(a);     // before the act (a command line); the daemon: from the loop's turn hook
 *     …
 *     audit_result(a, &(struct audit_record){ .event = AUDIT_RESTORE_END, .duration_ms = … }, rc);
 *
 * The beginning of what touches nothing that lasts before the next record of the same matter is synced may be written
 * with audit_write_lazily(): it is on disk with that one, so that a small change waits for the disk less often.
 *
 * Never put key material, passwords or what they protect into a record: uuids, names, counts.
 * Not for use from several threads; it has one of its own for audit_sync_ahead().
 */
#ifndef KC_AUDIT_H
#define KC_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit_events.h"

#define AUDIT_HASH_SIZE	 65 /* 64 hex digits and NUL */
#define AUDIT_NO_HASH	 "0000000000000000000000000000000000000000000000000000000000000000"
#define AUDIT_DETAIL_MAX 1024 /* bytes of detail; more is cut at a whole character and ends in "..." */
#define AUDIT_NAME_MAX	 300  /* bytes of any other text */
#define AUDIT_WHY_MAX	 100  /* bytes of detail about one clone */

enum audit_event {
#define A(constant, name) constant,
	AUDIT_EVENTS(A)
#undef A
	    AUDIT_EVENT_COUNT
};

enum audit_outcome { AUDIT_SUCCESS, AUDIT_FAILURE, AUDIT_STARTED };

/* What a run came to on one clone. */
#define AUDIT_CLONES_MAX 20
struct audit_clone {
	const char *clone;  /* HOST:PORT */
	const char *result; /* "restored", "postponed", "unreachable", … */
	uint64_t bytes;	    /* sent to it */
	uint64_t duration_ms;
	const char *detail; /* why not; NULL */
};

/* NULL or 0 = left out. Everything is borrowed for the call. Bytes that are not UTF-8 become '?'. */
struct audit_record {
	enum audit_event event;
	enum audit_outcome outcome;
	uint64_t generation;
	const char *lineage; /* 32 hex digits */
	const char *peer;    /* HOST:PORT, or the address of a stranger */
	const char *backup;  /* file name, without directory */
	uint64_t bytes;
	uint64_t duration_ms; /* a measured duration below one millisecond is given as 1 */
	const char *code;     /* of the table of messages (msg.h): msg_code(MSG_…) or err_msg_code(rc) */
	const char *detail;   /* one line for people */
	const struct audit_clone *clones;
	size_t n_clones; /* AUDIT_CLONES_MAX at most */
};

/*
 * The last record of a file that is about to be deleted. Keep it durably (the state database does): `audit --verify`
 * starts there, and so finds files that somebody else removed. A negative result keeps the file, and the log grows;
 * KC_EAGAIN until the next rotation, without a word.
 */
typedef int (*audit_head_fn)(const char *hash, uint64_t seq, void *arg);

struct audit_options {
	const char *path;   /* of the newest file; its directory exists */
	const char *host;   /* NULL: gethostname */
	const char *role;   /* "master", "clone" */
	uint64_t max_bytes; /* a file that would grow over this is rotated; 0: never */
	unsigned max_files; /* files kept, the newest included; 0: all */
	/* Without on_head (a command line without the state database) nothing is deleted, only rotated: a later writer
	 * with on_head deletes what is too much. */
	audit_head_fn on_head;
	void *arg;
};

struct audit;

/* Copies what it needs of `o`. Makes the file (0600, of its directory's owner), closes a torn line. */
int audit_open(struct audit **out, const struct audit_options *o);
/* Writes summed strangers, syncs, closes; errors are logged. NULL is a no-op. */
void audit_close(struct audit *a);
/* Changed limits after a reload. A changed path needs a new audit. */
void audit_set_limits(struct audit *a, uint64_t max_bytes, unsigned max_files);

/* Append one record. KC_ENOSPC, KC_EPERM, KC_ESYS: nothing (or a torn line that the next write closes) was written. */
int audit_write(struct audit *a, const struct audit_record *r);
/* The same, but audit_sync() does nothing for this record alone. Whoever writes one sees to it that audit_hurry() comes
 * within a moment. */
int audit_write_lazily(struct audit *a, const struct audit_record *r);
/* What was written lazily waits no longer: the next audit_sync() is for it, too. */
void audit_hurry(struct audit *a);
/* audit_write() with outcome, code and detail from the result of the operation: success, or failure with
 * err_msg_code(rc) and err_text(rc); a code or detail that `r` has is kept. Returns rc where rc is a failure already
 * (whose err_text survives), else the result of writing. */
int audit_result(struct audit *a, const struct audit_record *r, int rc);
/* fsync what was written since the last one. Cheap when there is nothing. */
int audit_sync(struct audit *a);
/* Begins that in a thread of its own, for who has something else to bring to the disk meanwhile. Whether it succeeded
 * is what audit_sync() says, which waits for it. */
void audit_sync_ahead(struct audit *a);
/* Sequence number and hash of the newest record, for the wire and the state database. seq 0 and zeros: none yet.
 * Whoever is told of it may miss it one day: it waits no longer for the next audit_sync(). */
int audit_head(struct audit *a, uint64_t *seq, char hash[AUDIT_HASH_SIZE]);

/* The newest record that this writer has synced; with power lost it is still there. False: none yet. */
bool audit_synced(const struct audit *a, uint64_t *seq, char hash[AUDIT_HASH_SIZE]);

/*
 * A stranger was refused: `peer.refused`. The first of an address and code is written at once; more of it within the
 * minute are counted, and written as one record by audit_tick once the minute is over. Addresses beyond a bounded
 * table are summed together. now_ms: any monotonic clock (loop_now). Call audit_tick every few seconds.
 */
int audit_stranger(struct audit *a, uint64_t now_ms, const char *address, const char *code, const char *reason);
int audit_tick(struct audit *a, uint64_t now_ms);

const char *audit_event_name(enum audit_event e); /* "push.end" */

#endif
