/* SPDX-License-Identifier: Apache-2.0 */
/* peer_log: see peer_log.h. */
#include "peer_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/msg.h"
#include "base/str.h"

/* Two messages of one peer on two sessions may come in another order than they were written, but not minutes later. */
static bool may_be_overtaken(const struct daemon *d, const struct state_peer_log *known, uint64_t seq)
{
	int64_t age = time(NULL) - known->at;

	return seq < known->seq && age >= 0 && (uint64_t)age * 1000 <= 2 * d->conf->timeout_ms;
}

static void say_cut(struct daemon *d, const struct state_peer_log *known, const char *peer, uint64_t seq)
{
	char detail[300];
	struct audit_record r = { .event = AUDIT_PEER_LOG_CUT,
		.outcome = AUDIT_FAILURE,
		.peer = peer,
		.code = msg_code(MSG_PEER_LOG_CUT),
		.detail = detail };

	if (seq < known->seq)
		snprintf(detail, sizeof(detail),
		    "its audit log ends with record %" PRIu64 ", it had %" PRIu64 ": it was cut short", seq,
		    known->seq);
	else
		snprintf(detail, sizeof(detail),
		    "record %" PRIu64 " of its audit log has another hash than it had: its end was written anew", seq);
	daemon_audit(d, &r);
	log_warn(
	    "%s: %s; look there at once: 'keyclone audit --verify', and who has been at that machine", peer, detail);
}

bool peer_log_see(struct daemon *d, struct state_peer_log *known, const char *peer, uint64_t seq, const char *hash)
{
	bool same = seq == known->seq && strcmp(hash, known->hash) == 0;

	if (seq == 0 || hash[0] == '\0' || same)
		return false;
	if (known->seq != 0 && seq <= known->seq) {
		if (may_be_overtaken(d, known, seq))
			return false;
		say_cut(d, known, peer, seq);
	}
	known->seq = seq;
	STR_COPY(known->hash, hash);
	known->at = time(NULL);
	return true;
}
