/* SPDX-License-Identifier: Apache-2.0 */
/* companion: the files beside the key database that a backup takes along, of worker and command line alike. */
#ifndef KC_COMPANION_H
#define KC_COMPANION_H

#include "backup/companions.h"
#include "backup/source.h"
#include "base/conf.h"

/*
 * *file: the master key file for a backup of `s`, borrowed from `c`; NULL where there is none to take, because another
 * program's database is replicated or a clone has restored nothing yet. On a master the built-in database without it
 * is KC_ENOENT: nobody could unwrap a key of such a backup.
 */
int companion_master_key(const char **file, const struct conf *c, struct source *s);

/* replication.File.NAME of the configuration, whose strings it borrows. */
void companion_paths_init(struct companion_paths *p, const struct conf *c);
void companion_paths_fini(struct companion_paths *p);

/*
 * What a confined worker needs for them, appended to NULL-terminated lists of heap strings that have room for two a
 * companion: a master reads them; a clone writes into each directory and into the folder beside it where files are
 * prepared. Of a single file, or of what is not there yet, it is the folder that it is in.
 */
#define COMPANION_RULES (2 * COMPANIONS_MAX)
void companion_rules(char **read, char **write, const struct companion_paths *p, enum conf_role role);

#endif
