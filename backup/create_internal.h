/* SPDX-License-Identifier: Apache-2.0 */
/* create_internal: what create.c (order, threads, names) and create_write.c (contents) share. */
#ifndef KC_BACKUP_CREATE_INTERNAL_H
#define KC_BACKUP_CREATE_INTERNAL_H

#include <pthread.h>

#include "backup/create.h"
#include "backup/create_part.h"
#include "backup/diff.h"
#include "backup/manifest.h"
#include "backup/seal.h"
#include "backup/snapshot.h"
#include "backup/staging.h"
#include "base/buf.h"

struct check_thread {
	pthread_t thread;
	bool running;
	const struct snapshot *snap;
	int rc;
	char text[512]; /* messages are kept for each thread */
};

struct creation {
	const struct create_options *o;
	struct create_result result;
	struct create_progress p;
	struct create_prepared *prepared;
	struct snapshot snap;
	struct source_digest digest;
	bool incremental;
	bool logged;	/* made from the change log: there is no snapshot, and the base is to be brought up to it */
	int changes_fd; /* the changeset of an increment, in the snapshot's folder */
	struct check_thread check;
	const struct age_identity *chain_key; /* of a full; NULL: no increments will build on it */
	struct buf master_key;		      /* contents of the companion file */
	bool with_master_key;		      /* it goes into the backup */
	struct tree *trees;		      /* the other companions, copied into `copies` */
	size_t n_trees;
	struct staging copies;
	struct seal *seal;
	struct create_part part;
	int snap_fd;
	uint64_t clock;
	int (*report)(struct creation *c, enum create_phase phase, unsigned percent);
};

/* Steps 3 and 4: all members; then checksums, signature and the ends of all layers. */
int create_write(struct creation *c, int (*report)(struct creation *c, enum create_phase phase, unsigned percent));
int create_sign(struct creation *c);

/* create_diff.c */
/* What changed since the base, where that is to be an increment and can be one: c->incremental, and the digest. */
int create_diff(struct creation *c, int (*alive)(void *arg));
/* create_log_sqlite.c: the same from the change log, without a snapshot; *done false: that cannot be had. */
int create_from_log(struct creation *c, bool *done, int (*alive)(void *arg));
/* What changed is known. Moves what is in *d. */
void create_take_changes(struct creation *c, struct diff_result *d);
/* A file for the changeset, in the staging folder of the (perhaps missing) snapshot; *path is heap. */
int create_open_changes(char **path, struct creation *c);
/* The age header of an increment; appended. */
int create_increment_header(struct buf *header, const struct creation *c);
void create_describe_increment(struct manifest *m, const struct creation *c); /* its own members of the manifest */

/* create_base.c */
/* Sets result.held where more would be deleted than is allowed. */
int create_compare(struct creation *c, int (*alive)(void *arg));
/* A backup of this generation has what the snapshot has: told to the caller, and the snapshot becomes the base. */
void create_made(struct creation *c, uint64_t generation);
/* create_files.c: companions as they are at one instant: copied, their digests in the result; into the manifest (which
 * takes the lists, and gives them back); their members; gone. */
int create_copy_files(struct creation *c, int (*alive)(void *arg));
/* Do they go into the backup? Into an increment only where one has changed. */
bool create_has_trees(const struct creation *c);
uint64_t create_files_size(const struct creation *c);
int create_write_files(struct creation *c);
void create_forget_files(struct creation *c);

#endif
