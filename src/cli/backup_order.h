/* SPDX-License-Identifier: Apache-2.0 */
/* backup_order: a restore by the running daemon: its worker gets a file that it can read and what opens it, no
 * password. */
#ifndef KC_BACKUP_ORDER_H
#define KC_BACKUP_ORDER_H

#include "backup/image.h"
#include "backup_env.h"

/* The file of `image`, opened as it says, restored by the daemon as the command's options say. *result is what
 * by_hand_run sets, the caller's, NULL where there is none. */
int backup_order(json_t **result, struct backup_env *e, const struct image_options *image);

#endif
