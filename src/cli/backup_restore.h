/* SPDX-License-Identifier: Apache-2.0 */
/* backup_restore: `backup restore`, by hand: never loses a row without being told to. */
#ifndef KC_BACKUP_RESTORE_COMMAND_H
#define KC_BACKUP_RESTORE_COMMAND_H

#include "backup/create.h"
#include "backup_env.h"

int backup_restore_command(struct cli *c);
/* A backup of `s` by the configuration; the password must be known (backup_env_password). */
int backup_env_create(struct create_result *result, struct backup_env *e, struct source *s, enum store_kind kind);

#endif
