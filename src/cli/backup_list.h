/* SPDX-License-Identifier: Apache-2.0 */
/* backup_list: `backup list`. */
#ifndef KC_CLI_BACKUP_LIST_H
#define KC_CLI_BACKUP_LIST_H

#include "cli.h"

int backup_list_command(struct cli *c);

#endif
