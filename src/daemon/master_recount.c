/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master_recount: what increments say of the key database was told from what changed, never counted. Once it is quiet
 * all rows are counted: is the database what the newest generation says? If it is not, rows were changed past
 * everything that tells of changes, and every clone lacks them: an alert, and a full. Off the way of any change: a look
 * that begins meanwhile waits for the count at most.
 */
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/member.h"
#include "daemon/alert.h"
#include "master_int.h"

#define QUIET_MS   5000	 /* after an increment, or before another try */
#define LATER_MS   60000 /* somebody has written since, and no look has seen it yet */
#define COUNT_PART 50	 /* of the time goes into counting at most: one in so many */

static void again(struct master *m, uint64_t count_ms)
{
	uint64_t pause = count_ms * COUNT_PART;

	loop_timer_set(m->recount, pause > QUIET_MS ? pause : QUIET_MS);
}

static void miscounted(struct master *m)
{
	log_err("generation %" PRIu64 " does not hold all that the key database does: a full backup is made",
	    m->recounting);
	alert_raise(m->d, ALERT_INCREMENT, "", "rows were changed unnoticed; a full backup brings them to the clones");
	m->want_full = true;
	master_look(m, true);
}

static void on_counted(int rc, const json_t *result, void *arg)
{
	struct master *m = arg;
	bool counted = json_is_true(json_object_get(result, "counted"));

	m->counting = false;
	m->count_ms = member_u64(result, "count_ms");
	if (rc == KC_ECANCELED)
		return;
	if (rc < 0)
		log_debug("the key database was not counted: %s", err_text(rc));
	if (rc < 0 || !counted)
		loop_timer_set(m->recount, LATER_MS);
	else if (m->looking || m->recounting != m->d->self.complete)
		again(m, m->count_ms);
	else if (json_is_true(json_object_get(result, "same")))
		m->recounted = m->recounting;
	else
		miscounted(m);
}

void master_on_recount(void *arg)
{
	struct master *m = arg;

	if (m->still || m->d->ending || m->recounted == m->d->self.complete)
		return;
	if (m->looking || m->counting || !jobs_idle(m->d->jobs)) {
		again(m, m->count_ms);
		return;
	}
	m->counting = true;
	m->recounting = m->d->self.complete;
	jobs_add(m->d->jobs,
	    json_pack("{s:s, s:s, s:s}", "verb", "recount", "digest", m->d->self.digest, "schema", m->d->self.schema),
	    NULL, NULL, on_counted, m);
}

void master_recount_soon(struct master *m, bool increment)
{
	if (!increment) {
		/* A full was counted when it was made. */
		m->recounted = m->d->self.complete;
		loop_timer_clear(m->recount);
		alert_clear(m->d, ALERT_INCREMENT, "", "a full backup was made");
	} else if (!loop_timer_is_set(m->recount)) {
		again(m, m->count_ms);
	}
}
