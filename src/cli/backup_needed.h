/* SPDX-License-Identifier: Apache-2.0 */
/* backup_needed: `backup needed`: is everything in the key database in the newest backup? */
#ifndef KC_BACKUP_NEEDED_H
#define KC_BACKUP_NEEDED_H

#include "cli.h"

int backup_needed_command(struct cli *c);

#endif
