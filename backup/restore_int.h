/* SPDX-License-Identifier: Apache-2.0 */
/* restore_int: what restore.c (the order of the steps) and restore_judge.c (what is there) share. */
#ifndef KC_BACKUP_RESTORE_INT_H
#define KC_BACKUP_RESTORE_INT_H

#include "backup/apply.h"
#include "backup/restore.h"
#include "backup/restore_files.h"

enum verdict {
	MAY,	  /* nothing is lost by the restore */
	SAME,	  /* it is the backup already */
	DIVERGED, /* somebody's rows would vanish */
};

struct restoring {
	const struct restore_options *o;
	struct restore_result *r;
	struct image *img;
	const struct manifest *m;
	const char *applied; /* o->applied, where the backup goes on from it */
	struct apply *a;
	struct restore_files *files;
	bool db_same;	 /* the database is the backup's already */
	bool files_same; /* so are the companions */
	enum restore_phase phase;
	char now[SOURCE_DIGEST_LEN + 1];    /* digest of the live database */
	char intent[SOURCE_DIGEST_LEN + 1]; /* the one of the intent */
	bool intended;
	uint64_t clock;
};

bool restore_is_increment(const struct restoring *x);
/* What is there: may it be written over? Reads database and companions, without the lock. */
int restore_judge(struct restoring *x, enum verdict *verdict);
bool restore_is_of_no_rows(const char *digest);
/* KC_EDIVERGED, with the first row. */
int restore_refuse(const struct restoring *x);

#endif
