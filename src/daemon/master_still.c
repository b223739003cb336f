/* SPDX-License-Identifier: Apache-2.0 */
/* master_still: nothing looks at the key database while an operator restores it, and what comes after that. */
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/str.h"
#include "master_int.h"

void master_keep_still(struct master *m)
{
	m->still = true;
	STR_COPY(m->still_lineage, m->d->self.lineage);
}

bool master_is_looking(const struct master *m)
{
	return m->looking || m->marking;
}

bool master_is_still(const struct master *m)
{
	return m->still && !m->looking && !m->marking;
}

/* What was made is of the lineage that ended: it is offered to nobody any more. */
static void begin_child(struct master *m)
{
	struct offering *old = m->out;

	m->out = NULL;
	m->d->self.unreplicated_since = time(NULL);
	daemon_save(m->d);
	fleet_set_unreplicated(m->fleet, m->d->self.unreplicated_since);
	if (m->run.active)
		master_run_end(m, err_set(KC_ECANCELED, "a backup was restored on this master"));
	target_cancel_all(m, old, err_set(KC_ECANCELED, "a backup was restored on this master"));
	offering_unref(old);
	master_system_child(m);
	target_greet_all(m);
	m->want_full = true;
}

void master_release(struct master *m, bool changed)
{
	m->still = false;
	m->look_again = false;
	if (strcmp(m->still_lineage, m->d->self.lineage) != 0)
		begin_child(m);
	if (m->started && !m->d->self.stopped)
		master_look(m, changed);
}
