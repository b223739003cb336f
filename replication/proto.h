/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto: the messages of keyclone/1: one table of types, the states they are allowed in, and their bodies.
 *
 * A frame is 4 bytes length of the payload (big-endian), 1 byte type, the payload. PROTOCOL.md is the normative text;
 * it changes in the same commit as this file.
 *
 *     state        who may send what                                         next state
 *     HELLO        the connecting side: hello                                GREETED
 *     GREETED      the accepting side: hello (the clone, or the master)      IDLE, or REPORTS
 *     IDLE         master: offer                                             OFFERED
 *                  master: directive                                         DIRECTED
 *     OFFERED      clone: accept                                             TRANSFER
 *                  clone: decline                                            IDLE
 *     TRANSFER     master: data (any number), end                            TRANSFER, RESTORE
 *                  clone: result (failed: it cannot go on)                   ENDED
 *     RESTORE      clone: progress (any number), result                      RESTORE, IDLE
 *     DIRECTED     clone: directed                                           IDLE
 *     REPORTS      clone: report                                             REPORTED
 *     REPORTED     master: ack                                               REPORTS
 *     REPORTS      clone: cert-request                                       ASKED
 *     ASKED        master: cert                                              REPORTS
 *     JOIN         clone: join                                               JOINING
 *     JOINING      master: joined                                            ENDED
 *     ENDED        what is still on its way is discarded; bye                ENDED
 *     any          both: alive, bye, error                                   same, ENDED, ENDED
 *
 * Who connected decides what a session is for: a master's pushes, a clone's reports. A session that a token opened
 * begins in JOIN and never leaves there for the others; one with certificates never comes to it. Both sides keep the
 * same state, each with what it sent and received. A frame outside its row ends the session with KC_EPROTO; conn asks
 * the table when the five bytes of the header are there, before anything is allocated.
 *
 * Bodies of control messages are JSON objects of at most PROTO_CONTROL_MAX bytes. A required member that is missing or
 * of the wrong type or range, a duplicate member, invalid UTF-8 and an embedded NUL end the session; members that the
 * table does not know are skipped. In the structs below an absent optional member is "", 0 or false.
 */
#ifndef KC_PROTO_H
#define KC_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/lineage.h"

#define PROTO_ALPN	  "keyclone/1"
#define PROTO_ALPN_ENROLL "keyclone-enroll/1"
#define PROTO_VERSION	  4 /* since 2: report, ack, a result `postponed`; 3: increments; 4: certificates */
#define PROTO_HEAD_BYTES  5
#define PROTO_CONTROL_MAX (64u * 1024)
#define PROTO_DATA_MAX	  (256u * 1024)

enum proto_type {
	PROTO_ALIVE = 0, /* conn sends and swallows it */
	PROTO_HELLO = 1,
	PROTO_OFFER = 2,
	PROTO_ACCEPT = 3,
	PROTO_DECLINE = 4,
	PROTO_DATA = 5,
	PROTO_END = 6,
	PROTO_PROGRESS = 7,
	PROTO_RESULT = 8,
	PROTO_BYE = 9,	  /* no body: the sender ends the session in good order */
	PROTO_ERROR = 10, /* the sender ends the session, and why */
	PROTO_REPORT = 11,
	PROTO_ACK = 12,
	PROTO_CERT_REQUEST = 13, /* since version 4 */
	PROTO_CERT = 14,
	PROTO_DIRECTIVE = 15, /* a step of a rotation of certificates, signed by the installation; since version 4 */
	PROTO_DIRECTED = 16,  /* what became of it */
	PROTO_JOIN = 17,      /* these two alone in a session that a token opened */
	PROTO_JOINED = 18,
	PROTO_TYPES
};

enum proto_role { PROTO_MASTER = 1, PROTO_CLONE = 2 };

enum proto_state {
	PROTO_S_HELLO = 1,
	PROTO_S_GREETED = 2,
	PROTO_S_IDLE = 4,
	PROTO_S_OFFERED = 8,
	PROTO_S_TRANSFER = 16,
	PROTO_S_RESTORE = 32,
	PROTO_S_ENDED = 64,
	PROTO_S_REPORTS = 128,
	PROTO_S_REPORTED = 256,
	PROTO_S_DIRECTED = 512,
	PROTO_S_ASKED = 1024,
	PROTO_S_JOIN = 2048,
	PROTO_S_JOINING = 4096,
};

/* One side's view of a session. Plain data. */
struct proto_fsm {
	enum proto_state state;
	enum proto_role self;
	bool connecting; /* we made the connection */
};
void proto_fsm_init(struct proto_fsm *f, enum proto_role self, bool connecting);
/* It is a session that a token opened. Before its first frame. */
void proto_fsm_enroll(struct proto_fsm *f);

/* May a frame of this type and payload length come (received) or go (not received) now? KC_OK, or KC_EPROTO with
 * "offer is not allowed in state hello", "data of 262145 bytes is over its limit of 262144", … Changes nothing. */
int proto_fsm_check(const struct proto_fsm *f, bool received, uint8_t type, size_t length);
/* The frame came (whole) or went (was queued): the next state. Only after a check that said KC_OK. */
void proto_fsm_step(struct proto_fsm *f, bool received, uint8_t type);

const char *proto_type_name(uint8_t type); /* "offer"; "unknown" */

/* Sizes of the structs' members, with the NUL where they are strings. */
#define PROTO_LINEAGE	    33 /* 32 lower-case hex digits */
#define PROTO_DIGEST	    65 /* 64 lower-case hex digits */
#define PROTO_HOST	    256
#define PROTO_NAME	    256	 /* a file name without a slash */
#define PROTO_KEY	    129	 /* an age recipient, a signing key */
#define PROTO_TEXT	    1025 /* a message for people */
#define PROTO_CODE	    33	 /* KC_ENOSPC */
#define PROTO_HEADER	    4096 /* bytes of an age header */
#define PROTO_WARNINGS	    16
#define PROTO_WARNING	    257
#define PROTO_CLONES	    20
#define PROTO_CLONE_NAME    264	  /* HOST:PORT, [ADDRESS]:PORT */
#define PROTO_DIRECTIVE_MAX 32768 /* bytes of a directive */
#define PROTO_SIGNATURE	    512	  /* bytes of a signature, as signify writes it */
#define PROTO_ANSWER	    16384 /* bytes of the answer to one */
#define PROTO_CSR	    8192  /* bytes of a request for a certificate */
#define PROTO_CERTS	    24576 /* … and of the answer */
#define PROTO_CHAIN	    12288 /* bytes of certificates in PEM */
#define PROTO_AUTHORITY	    4096
#define PROTO_TRUST	    16384

struct proto_hello {
	uint32_t version;	     /* the highest that the sender speaks; the session uses the lower of both */
	char product[65];	     /* "keyclone 0.1.0" */
	enum proto_role role;	     /* "master" or "clone"; must be the other one than ours */
	char lineage[PROTO_LINEAGE]; /* master: its own; clone: the one it follows, "" if none yet */
	char host[PROTO_HOST];
	uint64_t time; /* seconds since 1970 */
	bool stopped;  /* its replication task is down */
	/* master */
	uint32_t fleet;		       /* how many clones it has; 0 = does not say */
	uint64_t interval;	       /* seconds between its checks; 0 = does not say */
	char signing_key[PROTO_KEY];   /* public half, as signify writes it (base64); required from a master */
	struct lineage_list ancestors; /* of its lineage, nearest first */
	unsigned clone_count;	       /* its other clones, as it reaches them: "HOST:PORT" */
	char clones[PROTO_CLONES][PROTO_CLONE_NAME];
	uint32_t listen_port; /* where it listens; 0 = does not say */
	bool directs;	      /* this session is for directives: it takes the place of no other one */
	/* clone */
	char recipient[PROTO_KEY]; /* age1…; required from a clone */
	char applied_lineage[PROTO_LINEAGE];
	uint64_t applied_generation; /* 0 = none */
	char applied_digest[PROTO_DIGEST];
	char stored_lineage[PROTO_LINEAGE];
	uint64_t stored_generation; /* 0 = none */
	uint64_t chain;		    /* generation of the full whose increments it can open; 0 = none */
	uint64_t free;		    /* bytes where it stores backups; required from a clone */
	bool diverged;
	char diverged_detail[PROTO_TEXT]; /* for people: which rows */
	uint64_t postponed_until;	  /* what is stored is restored then, seconds since 1970; 0 = at once */
	/* the newest system backup that it has of the master's lineage; 0, "": none */
	uint64_t system_generation;
	char system_file[PROTO_NAME];
	unsigned warning_count;
	char warnings[PROTO_WARNINGS][PROTO_WARNING];
};

enum proto_kind {
	PROTO_FULL = 1,
	PROTO_SYSTEM = 2,      /* of the master's configuration: stored, never restored; a generation of its own */
	PROTO_INCREMENTAL = 3, /* what changed since the generation `base`; since version 3 */
};

struct proto_offer {
	char lineage[PROTO_LINEAGE];
	uint64_t generation; /* 1… */
	enum proto_kind kind;
	uint64_t base;		     /* incremental: applied to this generation; else 0 */
	uint64_t chain;		     /* incremental: the generation of the full whose key opens it; else 0 */
	char file[PROTO_NAME];	     /* its name in the backup directory: no slash, no leading dot */
	char file_id[PROTO_LINEAGE]; /* hex of the payload's nonce: an accept resumes only the same file */
	uint32_t header_size;	     /* H: the payload is stored from this offset on */
	uint64_t room;		     /* bytes that the backup file and the unpacked staging need together */
	char digest[PROTO_DIGEST];   /* content digest of the database */
	char receipt[PROTO_LINEAGE]; /* random; the result or the report echoes it */
	bool restore_now;	     /* an operator says: without waiting for the clone's hour */
	bool discard;		     /* an operator says: the clone's rows that are not from its master may go */
	uint64_t password_since;     /* seconds since 1970: since when its password was in force; 0 = does not say */
};

struct proto_accept {
	uint64_t offset; /* of the payload (0 = from its beginning): what the clone has of this file id */
};

enum proto_reason {
	PROTO_R_HAVE = 1,     /* nothing to do: applied or stored already */
	PROTO_R_STALE = 2,    /* lower than what is applied */
	PROTO_R_NOSPC = 3,    /* have and need say the figures */
	PROTO_R_DIVERGED = 4, /* rows of its own; an operator decides */
	PROTO_R_FOREIGN = 5,  /* another lineage */
	PROTO_R_BUSY = 6,     /* restores, verifies, or is operated on */
	PROTO_R_STOPPED = 7,  /* the task is down */
	PROTO_R_FAILED = 8,   /* cannot store: message says why */
	PROTO_R_FULL = 9,     /* an increment does not help: a full is needed; since version 3 */
};

struct proto_decline {
	enum proto_reason
	    reason; /* "have", "stale", "no-space", "diverged", "foreign", "busy", "stopped", "failed", "full" */
	char message[PROTO_TEXT];
	uint64_t have; /* bytes, or the generation */
	uint64_t need;
};

struct proto_end {
	uint64_t size;			/* of the payload, without the header */
	char sha256[PROTO_DIGEST];	/* of the payload */
	uint8_t recovery[PROTO_HEADER]; /* base64 on the wire; exactly header_size bytes: the clone's file becomes
					   identical */
	size_t recovery_size;
	uint8_t travel[PROTO_HEADER]; /* of a full: the header for this clone's identity; else none */
	size_t travel_size;
};

struct proto_progress {
	char phase[33]; /* "verify", "restore", … */
	uint32_t percent;
};

enum proto_status {
	PROTO_RESTORED = 1,
	PROTO_UNCHANGED = 2, /* the content was there already; stored, not restored */
	PROTO_STORED = 3,    /* stored; what comes of it is not known yet */
	PROTO_FAILED = 4,
	PROTO_DIVERGED = 5,
	PROTO_POSTPONED = 6, /* stored; restored at the clone's hour, `until` */
};

struct proto_result {
	enum proto_status status; /* "restored", "unchanged", "stored", "failed", "diverged", "postponed" */
	char receipt[PROTO_LINEAGE];
	uint64_t generation;	   /* the one this is about */
	char digest[PROTO_DIGEST]; /* of the database as it is now */
	uint64_t rows;
	char error[PROTO_CODE]; /* err_name(): "KC_EBUSY" */
	char message[PROTO_TEXT];
	bool retryable;
	uint64_t until;		       /* postponed: seconds since 1970, by the clone's clock */
	uint64_t audit_seq;	       /* number and hash of the newest record of the clone's audit log */
	char audit_head[PROTO_DIGEST]; /* "" = does not say */
};

/* What became of a backup after the session that brought it: the same, and whose it is. */
struct proto_report {
	char receipt[PROTO_LINEAGE]; /* of the offer: nobody else knows it */
	char lineage[PROTO_LINEAGE];
	uint64_t generation;
	enum proto_status status; /* never "stored" */
	char digest[PROTO_DIGEST];
	uint64_t rows;
	char error[PROTO_CODE];
	char message[PROTO_TEXT];
	bool retryable;
	uint64_t time; /* when it came to that, by the clone's clock */
	uint64_t duration_ms;
	uint64_t until;
	uint64_t audit_seq;
	char audit_head[PROTO_DIGEST];
};

struct proto_ack {
	char receipt[PROTO_LINEAGE]; /* of the report */
	char refused[PROTO_TEXT];    /* why it is not believed; "": it is. Either way it is not sent again */
	uint64_t audit_seq;	     /* of the master's audit log */
	char audit_head[PROTO_DIGEST];
};

/* What it means is between the two workers: a JSON object, signed by the installation's signing key. */
struct proto_directive {
	uint8_t body[PROTO_DIRECTIVE_MAX];
	size_t body_size;
	uint8_t signature[PROTO_SIGNATURE];
	size_t signature_size;
};

struct proto_directed {
	uint8_t answer[PROTO_ANSWER]; /* a JSON object; none if it failed */
	size_t answer_size;
	char error[PROTO_CODE]; /* err_name(); "": done */
	char message[PROTO_TEXT];
};

/* Which certificate a clone asks its master for: a new one of the installation's authority in place of the one that it
 * shows in this session, or the one that the master keeps for it. */
enum proto_cert_purpose { PROTO_C_RENEW = 1, PROTO_C_DEPOT = 2 };

struct proto_cert_request {
	enum proto_cert_purpose purpose; /* "renew", "depot" */
	uint8_t csr[PROTO_CSR];		 /* renew: PKCS#10, PEM; of what it says only the public key counts */
	size_t csr_size;
	char have[PROTO_DIGEST]; /* depot: SHA-256 of the certificate that it has, which needs no answer; "": any */
};

struct proto_cert {
	char refused[PROTO_TEXT]; /* why there is none; "": here it is */
	char error[PROTO_CODE];	  /* of a refusal: err_name() */
	/* renew: the chain, PEM, leaf first. depot: an age file, opened by the asking clone's identity alone, with
	 * chain and key */
	uint8_t certificate[PROTO_CERTS];
	size_t certificate_size;
};

struct proto_error {
	char error[PROTO_CODE];
	char message[PROTO_TEXT];
};

/* A clone asks to be one. */
struct proto_join {
	uint32_t version;
	char product[65];
	uint64_t time;	       /* seconds since 1970 */
	char host[PROTO_HOST]; /* how the master reaches it; "": by the address that it comes from */
	uint32_t port;
	char recipient[PROTO_KEY];
	char lineage[PROTO_LINEAGE]; /* that it follows already; "": none */
	uint8_t csr[PROTO_CSR];	     /* PKCS#10, PEM; or … */
	size_t csr_size;
	uint8_t chain[PROTO_CHAIN]; /* … the certificates that others issued it, PEM, leaf first */
	size_t chain_size;
	char proof[PROTO_DIGEST]; /* of all this, by the token (invite.h) */
};

/* The answer: refused with an error and a message, or everything that makes it a clone. */
struct proto_joined {
	char error[PROTO_CODE];
	char message[PROTO_TEXT];
	char host[PROTO_HOST]; /* under which it is registered */
	uint32_t port;
	bool known;		     /* it was of the fleet before */
	char lineage[PROTO_LINEAGE]; /* of the master */
	char signing_key[PROTO_KEY];
	char master[PROTO_HOST];    /* its name of itself, for people */
	uint8_t chain[PROTO_CHAIN]; /* what was issued, PEM; none where it brought its own */
	size_t chain_size;
	uint8_t authority[PROTO_AUTHORITY]; /* the one whose fingerprint the token has, PEM */
	size_t authority_size;
	uint8_t trust[PROTO_TRUST]; /* whom the master trusts besides, PEM */
	size_t trust_size;
};

/* Any control body. */
struct proto_msg {
	enum proto_type type;
	union {
		struct proto_hello hello;
		struct proto_offer offer;
		struct proto_accept accept;
		struct proto_decline decline;
		struct proto_end end;
		struct proto_progress progress;
		struct proto_result result;
		struct proto_error error;
		struct proto_report report;
		struct proto_ack ack;
		struct proto_directive directive;
		struct proto_directed directed;
		struct proto_cert_request cert_request;
		struct proto_cert cert;
		struct proto_join join;
		struct proto_joined joined;
	};
};

/* Decode a payload of `n` bytes sent by `from` into *m (zeroed first). KC_OK, or KC_EPROTO with
 * "offer: generation is missing", "hello: free is not an integer between 0 and 9007199254740991", … Not for data, alive
 * and bye. A struct proto_msg is about 40 KiB: keep it in your session, not on the stack. */
int proto_decode(struct proto_msg *m, enum proto_role from, uint8_t type, const void *payload, size_t n);

/* Append the body (without frame header) to `out` (cap at least PROTO_CONTROL_MAX). KC_EPROTO if a member is outside
 * what the other side would accept: the same table checks both ways. Over-long texts for people are cut, not refused.
 */
int proto_encode(struct buf *out, const struct proto_msg *m, enum proto_role from);

/* The names of the enums above ("full", "no-space", "restored"), for logs, audit and status. */
const char *proto_reason_name(enum proto_reason reason);
const char *proto_status_name(enum proto_status status);

#endif
