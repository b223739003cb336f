/* SPDX-License-Identifier: Apache-2.0 */
/* own_log: see own_log.h. */
#include "own_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/msg.h"

int own_log_look(struct daemon *d)
{
	const struct state_self *was = &d->self;
	char detail[200], hash[AUDIT_HASH_SIZE];
	struct audit_record r = { .event = AUDIT_AUDIT_CUT,
		.outcome = AUDIT_FAILURE,
		.code = msg_code(MSG_AUDIT_TAMPERED),
		.detail = detail };
	uint64_t seq = 0;
	int rc = audit_head(d->audit, &seq, hash);

	if (rc < 0 || was->audit_seq == 0 || strcmp(was->audit_log, d->conf->audit_log) != 0)
		return rc;
	if (seq < was->audit_seq)
		snprintf(detail, sizeof(detail),
		    "it ends with record %" PRIu64 ", and had %" PRIu64 ": %" PRIu64 " are missing at its end", seq,
		    was->audit_seq, was->audit_seq - seq);
	else if (seq == was->audit_seq && strcmp(hash, was->audit_hash) != 0)
		snprintf(detail, sizeof(detail),
		    "its last record, %" PRIu64 ", is not the one that was written: its end was written anew", seq);
	else
		return KC_OK;
	log_warn("%s: %s", d->conf->audit_log, detail);
	return daemon_audit(d, &r);
}
