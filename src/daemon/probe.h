/* SPDX-License-Identifier: Apache-2.0 */
/* probe: does somebody answer as a master? Blocking, for commands. */
#ifndef KC_PROBE_H
#define KC_PROBE_H

#include <stdbool.h>

#include "base/conf.h"

/* *answers: a session came about by the rules that a clone of this configuration has for its master: TLS, chain, role,
 * name. Who refuses us, is refused, or is silent does not answer. Only our own credentials can make it fail. */
/* `pinned`: its certificate has to be for `host`. */
int probe_master(bool *answers, const struct conf *conf, const char *host, int port, bool pinned);

#endif
