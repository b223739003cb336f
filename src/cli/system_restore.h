/* SPDX-License-Identifier: Apache-2.0 */
/* system_restore: `backup restore --system FILE`: a master's configuration put back on bare metal. */
#ifndef KC_CLI_SYSTEM_RESTORE_H
#define KC_CLI_SYSTEM_RESTORE_H

#include "cli.h"

int system_restore_command(struct cli *c);

#endif
