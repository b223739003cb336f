/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_log: the head of the other side's audit log, as it says it in results, reports and their acknowledgements. Its
 * number only grows: a smaller one, or the same one with another hash, means that the end of that log was removed or
 * written anew, which nobody can see on that machine alone.
 */
#ifndef KC_PEER_LOG_H
#define KC_PEER_LOG_H

#include <stdbool.h>

#include "daemon/daemon.h"

/* What *known remembers of `peer` (HOST:PORT) against what it says now (seq 0: it says nothing). A log that was cut
 * short is said and audited, once. True: *known has changed, and is to be kept. */
bool peer_log_see(struct daemon *d, struct state_peer_log *known, const char *peer, uint64_t seq, const char *hash);

#endif
