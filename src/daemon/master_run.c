/* SPDX-License-Identifier: Apache-2.0 */
/* master_run: a run is one generation on its way to the clones: its records in the audit log, and what completes it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "master_int.h"

void master_run_end(struct master *m, int rc)
{
	unsigned total = 0, done = 0, wait = 0;
	char detail[300], bad[200] = "";
	struct audit_record r = { .event = AUDIT_REPLICATION_END,
		.generation = m->run.generation,
		.lineage = m->d->self.lineage,
		.duration_ms = loop_now(m->d->loop) - m->run.began,
		.detail = detail };

	for (const struct target *t = m->targets; t != NULL; t = t->next) {
		enum fleet_state s = fleet_state(t->clone);

		total++;
		wait += target_has_newest(t) && !target_has_applied(t);
		if (target_has_newest(t))
			done++;
		else if (strlen(bad) + strlen(t->name) + 24 < sizeof(bad))
			snprintf(
			    bad + strlen(bad), sizeof(bad) - strlen(bad), "; %.150s %s", t->name, fleet_state_name(s));
	}
	if (rc < 0)
		snprintf(detail, sizeof(detail), "%.250s", err_text(rc));
	else if (total == 0)
		snprintf(detail, sizeof(detail), "backup only: no clone is configured");
	else if (wait > 0)
		snprintf(detail, sizeof(detail), "%u of %u clones have it, %u of them stored for its hour%s", done,
		    total, wait, bad);
	else
		snprintf(detail, sizeof(detail), "%u of %u clones have it%s", done, total, bad);
	r.outcome = rc < 0 || done < total ? AUDIT_FAILURE : AUDIT_SUCCESS;
	r.code = rc < 0 ? err_msg_code(rc) : done < total ? "KC0001E" : NULL;
	m->run.active = false;
	daemon_audit(m->d, &r);
	if (rc == KC_OK)
		log_info("generation %" PRIu64 ": %s, after %" PRIu64 " ms", m->run.generation, detail, r.duration_ms);
}

void master_run_begin(struct master *m, uint64_t generation)
{
	struct audit_record r = { .event = AUDIT_REPLICATION_START,
		.outcome = AUDIT_STARTED,
		.generation = generation,
		.lineage = m->d->self.lineage };

	if (m->run.active && m->run.generation == generation)
		return;
	if (m->run.active)
		master_run_end(
		    m, err_set(KC_ESTALE, "generation %" PRIu64 " came before every clone had it", generation));
	m->run = (struct run){ .active = true, .generation = generation, .began = loop_now(m->d->loop) };
	STR_COPY(m->run.phase, "backup");
	daemon_audit(m->d, &r);
}

void master_run_completed(struct master *m)
{
	struct state_self *self = &m->d->self;
	struct audit_record r = { .event = AUDIT_REPLICATION_END,
		.outcome = AUDIT_SUCCESS,
		.lineage = self->lineage,
		.detail = "those that waited for their hour have restored it: every clone has it now" };

	if (m->out == NULL || !m->out->complete || self->replicated == m->out->generation)
		return;
	r.generation = self->replicated = m->out->generation;
	self->last_completed = time(NULL);
	daemon_save(m->d);
	if (m->run.active || m->targets == NULL)
		return; /* the record of the run's end says it */
	daemon_audit(m->d, &r);
	log_info("generation %" PRIu64 ": every clone has restored it", r.generation);
}
