/* SPDX-License-Identifier: Apache-2.0 */
/* own_log: this machine's audit log, held against what the state database knows of it. peer_log.h is for the others'.
 */
#ifndef KC_OWN_LOG_H
#define KC_OWN_LOG_H

#include "daemon/daemon.h"

/*
 * At the start: what was on disk when the state was written last has to be there; that there is more is no wonder. What
 * is missing is a warning and a record, audit.cut, and no failure: only that this cannot be recorded is.
 */
int own_log_look(struct daemon *d);

#endif
