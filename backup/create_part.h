/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create_part: what every backup is made with, one of keys and one of the system: its file while it grows under another
 * name, the recovery header that is made meanwhile, its signature.
 */
#ifndef KC_BACKUP_CREATE_PART_H
#define KC_BACKUP_CREATE_PART_H

#include <stdbool.h>
#include <stddef.h>

#include "backup/create.h"
#include "base/buf.h"

struct create_prepared {
	struct age_key *key;
	struct age_scrypt_job *job; /* makes the recovery header of that key; NULL: an increment, which has none */
};

/* The one that `ready` points to, which is then NULL, or a new one where there is none (ready may be NULL). */
int create_take_prepared(struct create_prepared **p, struct create_prepared **ready, const char *password, int logn);

struct create_part {
	char *name; /* what it will be called */
	char *path; /* what it is called until it is whole */
	int fd;
	bool made; /* the file `path` exists and is ours */
};
#define CREATE_PART_EMPTY \
	{                 \
		.fd = -1  \
	}

/* Makes "<name>.part", which belongs to whom its folder belongs to. */
int create_part_open(struct create_part *p, const char *name);
/* The recovery header, if it has one, in its place, the file on disk, the name. Waits for scrypt. */
int create_part_finish(struct create_part *p, struct create_prepared *prepared);
/* Closes it. One that has not got its name is removed. */
void create_part_end(struct create_part *p);

/* For seal_finish: `arg` is the address of a const struct sign_key *. */
int create_part_sign(void *arg, struct buf *sig, const void *text, size_t n);

#endif
