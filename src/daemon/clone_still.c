/* SPDX-License-Identifier: Apache-2.0 */
/* clone_still: nothing is received or restored while an operator restores. */
#include "base/err.h"
#include "base/str.h"
#include "clone_int.h"

int clone_keep_still(struct clone_role *c)
{
	if (c->restoring || receive_busy(c->receive))
		return err_set(KC_EBUSY, "a backup is being received or restored");
	c->restoring = true;
	c->percent = 0;
	STR_COPY(c->phase, "by hand");
	receive_set_blocked(c->receive, true);
	return KC_OK;
}

void clone_release(struct clone_role *c, bool changed)
{
	c->restoring = false;
	receive_set_blocked(c->receive, false);
	if (changed)
		receive_greet_anew(c->receive);
	else
		loop_timer_set(c->retry, 0);
	clone_diverged_go_on(c);
}
