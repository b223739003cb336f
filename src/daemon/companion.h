/* SPDX-License-Identifier: Apache-2.0 */
/* companion: the files beside the key database that a backup takes along, of worker and command line alike. */
#ifndef KC_COMPANION_H
#define KC_COMPANION_H

#include "backup/source.h"
#include "base/conf.h"

/*
 * *file: the master key file for a backup of `s`, borrowed from `c`; NULL where there is none to take, because another
 * program's database is replicated or a clone has restored nothing yet. On a master the built-in database without it
 * is KC_ENOENT: nobody could unwrap a key of such a backup.
 */
int companion_master_key(const char **file, const struct conf *c, struct source *s);

#endif
