/* SPDX-License-Identifier: Apache-2.0 */
/* system_verify: `backup verify FILE` of a system backup. */
#ifndef KC_CLI_SYSTEM_VERIFY_H
#define KC_CLI_SYSTEM_VERIFY_H

#include "backup_env.h"

/* Is this file one, by its name? */
bool system_verify_is(const char *file);
/* Opens it by the password of `o` and proves all of it; audited, and said. */
int system_verify(struct backup_env *e, const struct image_options *o);

#endif
