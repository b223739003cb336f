/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_access: can this user reach what the configuration names? Directories that are there or can be made, the key
 * database by the rule of access, the certificate, the sealed password. It looks and makes nothing.
 */
#ifndef KC_CLI_CONFIG_ACCESS_H
#define KC_CLI_CONFIG_ACCESS_H

#include "base/conf.h"

/* Add what is wrong to p->errors ("FILE:LINE: NAME: reason"), and to p->warnings what is only not there yet, or cannot
 * be known to this user. */
void config_access_check(struct conf_problems *p, const struct conf *conf);
/* The certificate alone. */
void config_access_certificate(struct conf_problems *p, const struct conf *conf);

#endif
