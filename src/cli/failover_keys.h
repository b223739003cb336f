/* SPDX-License-Identifier: Apache-2.0 */
/* failover_keys: with what a promoted machine opens, signs and speaks: password, signing key, certificate. */
#ifndef KC_CLI_FAILOVER_KEYS_H
#define KC_CLI_FAILOVER_KEYS_H

#include "failover.h"

/* The password of --password-file, or the configured one, or asked for. It has to open the newest backup that was
 * received, unless forced: KC_EPASSWORD. */
int failover_ask_password(struct failover *f);
/* Signing key and certificate of a master; f->secrets is open afterwards. */
int failover_take_keys(struct failover *f);

#endif
