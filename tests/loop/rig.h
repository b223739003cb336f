/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig: what the tests of push and receive share: credentials, backup files, a clone and a master that keep a record of
 * what happened to them. Everything in one process and one loop, over real TLS and loopback.
 */
#ifndef KC_TEST_RIG_H
#define KC_TEST_RIG_H

#include "base/loop.h"
#include "replication/push.h"
#include "replication/receive.h"

#define RIG_LINEAGE "00112233445566778899aabbccddeeff"
#define RIG_HEADER  200

struct rig {
	struct loop *loop;
	char dir[64];
	struct tls_creds *master;
	struct tls_creds *master2; /* another one */
	struct tls_creds *clone;
	struct tls_creds *stranger; /* of another authority, in the role of a clone */
};
int rig_setup(void **state); /* *state = struct rig; for cmocka */
int rig_teardown(void **state);
#define rig_test(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

/* Turn the loop until *flag is not 0, at most 30 s. False: it did not come. */
bool rig_until(struct rig *rig, const int *flag);
/* Turn for so long. */
void rig_pass(struct rig *rig, uint64_t ms);

/* A backup as the worker would write it: `path` grows from the header region on. */
struct rig_backup {
	struct push_file file;
	struct proto_end end;
	char path[512];	   /* its final name */
	char current[520]; /* what file.path points to */
	uint8_t *bytes;	   /* all of it */
	size_t size;
	size_t written;
	int fd;
};
/* Not written yet; the header region only. */
void rig_backup_init(struct rig_backup *b, struct rig *rig, uint64_t generation, size_t payload);
/* An increment on that generation, of the chain of generation 1. */
void rig_backup_init_increment(struct rig_backup *b, struct rig *rig, uint64_t base, size_t payload);
void rig_backup_grow(struct rig_backup *b, size_t bytes); /* at most to its end */
void rig_backup_finish(struct rig_backup *b);		  /* writes the rest, the header; renames */
void rig_backup_fini(struct rig_backup *b);

/* A clone. */
struct rig_clone {
	struct rig *rig;
	struct receive *receive;
	char dir[128];
	uint64_t applied;    /* what its hello says */
	uint64_t restore_ms; /* how long a restore takes; then it is applied */
	struct loop_timer *restore;
	bool no_result; /* the test gives it */
	int decline;	/* reason for on_offer, 0 = take it */
	/* record */
	int hellos, begun, stored, on_disk, failed, declined, ended, refused;
	int failure;
	int disk;	   /* what came of an increment on disk */
	bool keeping, due; /* … which a restore that is over waits for */
	struct proto_offer offer;
	char text[512];
	char path[512];
	uint64_t offset, bytes, kept;
	size_t travel_size;
	struct proto_decline why;
	int sent_result;
};
void rig_clone_start(struct rig_clone *c, struct rig *rig, const char *name);
void rig_clone_start_with(
    struct rig_clone *c, struct rig *rig, const char *name, uint64_t stall_ms, uint64_t progress_ms);
void rig_clone_result(struct rig_clone *c, enum proto_status status);
void rig_clone_stop(struct rig_clone *c);
/* Does the clone have exactly this file, and no partial one? */
bool rig_clone_has(const struct rig_clone *c, const struct rig_backup *b);
bool rig_clone_has_part(const struct rig_clone *c, const struct rig_backup *b);

/* The lineage that masters started from now on say. */
extern const char *rig_lineage;

/* A master's session. */
struct rig_master {
	struct rig *rig;
	struct push *push;
	uint64_t break_at; /* free the push when so much is sent; 0 = never */
	/* record */
	int ready, accepted, declined, results, closed, broken, restoring;
	uint64_t sent, offset, clone_applied;
	enum push_ending how;
	int rc;
	char text[512];
	struct proto_decline why;
	struct proto_result result;
};
void rig_master_start(struct rig_master *m, struct rig *rig, uint16_t port);
void rig_master_start_with(struct rig_master *m, struct rig *rig, uint16_t port, struct tls_creds *creds,
    uint64_t timeout_ms, uint64_t max_age_ms);
void rig_master_stop(struct rig_master *m);

#endif
