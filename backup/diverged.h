/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diverged: the rows that one database has and another lacks, by table and key.
 *
 * A row is its values (those of the live table's columns; a column that the other side lacks counts as NULL there), not
 * its place. Rows come one by one, in the order of the tables; memory is bounded whatever their number.
 * sqlite_sequence and sqlite_stat* are not compared.
 */
#ifndef KC_BACKUP_DIVERGED_H
#define KC_BACKUP_DIVERGED_H

#include <stdbool.h>
#include <stdint.h>

#include "backup/image.h"
#include "backup/source.h"

struct diverged_row {
	const char *table;
	const char *key; /* "uuid=…": the primary key's columns, else a column named uuid or id, else the rowid */
	bool in_live;	 /* the live database has it, the other lacks it; else the other way round */
	bool changed;	 /* in_live, and the other has a row of this primary key with other values */
};
typedef int (*diverged_fn)(void *arg, const struct diverged_row *row); /* a failure stops and is returned */

/* What was found; the first DIVERGED_SHOWN rows by name. */
#define DIVERGED_SHOWN 20
struct diverged_list {
	uint64_t live_only;  /* rows of the live database that the other lacks; those with other values, too */
	uint64_t changed;    /* so many of them */
	uint64_t other_only; /* rows of the other that the live database lacks altogether */
	size_t n;
	struct {
		char *table;
		char *key;
		bool in_live;
		bool changed;
	} rows[DIVERGED_SHOWN];
};
void diverged_list_init(struct diverged_list *l);
void diverged_list_fini(struct diverged_list *l);
int diverged_list_add(void *arg, const struct diverged_row *row); /* a diverged_fn; arg: the list */
/* "3 rows are not as the master has them: keys uuid=…, keys uuid=… (changed), keys uuid=… (missing), …"; heap. */
char *diverged_list_text(const struct diverged_list *l);

/* Compare a live database with a database file that nobody else has open (an image). both: also the other way round. */
int diverged_find(struct source *live, const char *image, bool both, diverged_fn found, void *arg);
/* The same with a backup file, which is opened and proved first. */
int diverged_find_backup(struct source *live, const struct image_options *o, bool both, diverged_fn found, void *arg);

#endif
