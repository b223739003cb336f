/* SPDX-License-Identifier: Apache-2.0 */
/*
 * changelog: a table in the key database itself, in which its own writers note the keys of the rows of one other table
 * that they change, so that an increment reads these alone and copies nothing:
 *
 *     keyclone_log(seq INTEGER PRIMARY KEY, KEY TEXT)     one row a change, seq without gaps; old ones may go
 *
 * It is this machine's: it is in no digest, no snapshot and no backup. What it says is believed only as long as it goes
 * on where it was read last, and is found out where it is wrong when all rows are counted.
 */
#ifndef KC_BACKUP_CHANGELOG_H
#define KC_BACKUP_CHANGELOG_H

#include <stdbool.h>
#include <stdint.h>

#include "backup/source.h"
#include "base/changelog_name.h"

/* SQL: a row of sqlite_master is of it: names of triggers that fill it begin as the table's, and an underscore. Other
 * tables may be called similarly. */
#define CHANGELOG_OBJECT \
	"(tbl_name = '" CHANGELOG_TABLE "' OR (type = 'trigger' AND name GLOB '" CHANGELOG_TABLE "_*'))"

struct changelog {
	const char *of;	    /* the table that it is about … */
	const char *key;    /* … and the column that is its primary key */
	const char *schema; /* SQL that makes the table, and triggers that fill it, where they are missing */
	int objects;	    /* how many these are */
};
/* The database has it, from now on. */
int changelog_ensure(struct source *s, const struct changelog *log);

/* How far it was read. known false: it was not, or there was no row that it could go on from. */
struct changelog_mark {
	bool known;
	int64_t seq;
	char key[256];
};

#endif
