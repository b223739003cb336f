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

/* What came of one clone. The strings live as long as the clone does not change. */
static void share_of(struct audit_clone *c, const struct target *t)
{
	const struct fleet_record *r = fleet_record(t->clone);
	bool has = target_has_newest(t);

	c->clone = t->name;
	c->result = !has			 ? fleet_state_name(fleet_state(t->clone))
		    : t->share.result[0] != '\0' ? t->share.result
						 : "had it";
	c->bytes = t->share.bytes;
	c->duration_ms = t->share.ms;
	if (!has && r->failing && r->last_error[0] != '\0')
		c->detail = r->last_error;
}

/* rc: of its backup. next: a newer generation took its place, 0: none did. */
static void end(struct master *m, int rc, uint64_t next)
{
	unsigned total = 0, done = 0, failing = 0, wait = 0;
	char detail[300];
	struct audit_clone clones[AUDIT_CLONES_MAX] = { 0 };
	struct audit_record r = { .event = AUDIT_REPLICATION_END,
		.generation = m->run.generation,
		.lineage = m->d->self.lineage,
		.duration_ms = loop_now(m->d->loop) - m->run.began,
		.detail = detail,
		.clones = clones };

	for (const struct target *t = m->targets; t != NULL && total < AUDIT_CLONES_MAX; t = t->next) {
		share_of(&clones[total++], t);
		done += target_has_newest(t);
		wait += target_has_newest(t) && !target_has_applied(t);
		failing += fleet_record(t->clone)->failing;
	}
	if (rc < 0)
		snprintf(detail, sizeof(detail), "%.250s", err_text(rc));
	else if (total == 0)
		snprintf(detail, sizeof(detail), "backup only: no clone is configured");
	else if (next > 0)
		snprintf(detail, sizeof(detail), "generation %" PRIu64 " came when %u of %u clones had it", next, done,
		    total);
	else if (wait > 0)
		snprintf(detail, sizeof(detail), "%u of %u clones have it, %u of them stored for its hour", done, total,
		    wait);
	else
		snprintf(detail, sizeof(detail), "%u of %u clones have it", done, total);
	r.n_clones = rc < 0 ? 0 : total;
	r.outcome = rc < 0 || (next > 0 ? failing > 0 : done < total) ? AUDIT_FAILURE : AUDIT_SUCCESS;
	if (r.outcome == AUDIT_FAILURE)
		r.code = rc < 0 ? err_msg_code(rc) : "KC0001E";
	m->run.active = false;
	daemon_audit(m->d, &r);
	if (rc == KC_OK)
		log_info("generation %" PRIu64 ": %s, after %" PRIu64 " ms", m->run.generation, detail, r.duration_ms);
}

void master_run_end(struct master *m, int rc)
{
	end(m, rc, 0);
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
		end(m, KC_OK, generation);
	m->run = (struct run){ .active = true, .generation = generation, .began = loop_now(m->d->loop) };
	STR_COPY(m->run.phase, "backup");
	for (struct target *t = m->targets; t != NULL; t = t->next)
		memset(&t->share, 0, sizeof(t->share));
	daemon_audit_lazily(m->d, &r); /* what it is about says so, too, before any clone hears of it */
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
