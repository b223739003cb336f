/* SPDX-License-Identifier: Apache-2.0 */
/*
 * release: keys that are held until a backup has them (backup.ReleaseKeysOnSuccessfulBackup). A generation releases
 * its keys when one clone has stored it, or, where no clone is configured, when it is made. The worker does it, in a
 * list beside the key database: the database itself does not change, and nothing is replicated for it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/member.h"
#include "base/str.h"
#include "master_int.h"

/* The newest generation that is stored where it counts; 0: none. */
static uint64_t stored_generation(const struct master *m)
{
	uint64_t newest = 0;

	if (m->targets == NULL)
		return m->d->self.complete;
	for (const struct target *t = m->targets; t != NULL; t = t->next) {
		const struct fleet_record *r = fleet_record(t->clone);
		uint64_t has = r->stored > r->applied ? r->stored : r->applied;

		if (strcmp(r->lineage, m->d->self.lineage) == 0 && has > newest)
			newest = has;
	}
	return newest;
}

static void on_released(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;
	uint64_t n = member_u64(result, "released");
	char detail[100];
	struct audit_record r = { .event = AUDIT_KEY_RELEASE,
		.outcome = AUDIT_SUCCESS,
		.generation = m->releasing,
		.lineage = m->d->self.lineage,
		.detail = detail };

	if (rc < 0) {
		m->releasing = 0;
		if (rc != KC_ECANCELED)
			log_warn("held keys could not be released: %s", err_text(rc));
		return;
	}
	m->released = m->releasing;
	m->releasing = 0;
	if (n == 0)
		return;
	snprintf(detail, sizeof(detail), "%" PRIu64 " %s held no more", n, n == 1 ? "key is" : "keys are");
	daemon_audit(m->d, &r);
	log_info("generation %" PRIu64 " is stored: %s", r.generation, detail);
}

void release_update(struct master *m)
{
	uint64_t generation;

	if (!m->d->conf->release_keys || m->releasing != 0 || m->d->ending)
		return;
	if (strcmp(m->released_lineage, m->d->self.lineage) != 0) {
		STR_COPY(m->released_lineage, m->d->self.lineage);
		m->released = 0;
	}
	generation = stored_generation(m);
	if (generation <= m->released)
		return;
	m->releasing = generation;
	jobs_add(m->d->jobs,
	    json_pack("{s:s, s:s, s:I}", "verb", "release", "lineage", m->released_lineage, "generation",
		(json_int_t)generation),
	    NULL, NULL, on_released, m);
}

void release_again(struct master *m)
{
	m->released = 0;
	master_settle_soon(m);
}
