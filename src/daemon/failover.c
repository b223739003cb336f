/* SPDX-License-Identifier: Apache-2.0 */
/* failover: promotion and demotion under a running daemon. */
#include "failover.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/member.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "daemon/master.h"

#define RESTART 75 /* of sysexits: again, please */

/* The role that runs is not the state's any more: end, so that the next start begins with the other. A service manager
 * that starts again what failed does so at once. */
static void leave(struct daemon *d, const char *role)
{
	log_info("this machine is a %s from its next start on", role);
	daemon_end(d, getenv("NOTIFY_SOCKET") != NULL ? RESTART : 0);
}

static int take_state(struct daemon *d, int rc)
{
	if (rc == KC_OK)
		rc = state_get_self(&d->self, d->state);
	return rc == KC_OK ? daemon_set_lineage(d) : rc;
}

static void answer(struct daemon *d, struct control_client *client, int rc)
{
	json_t *result = ipc_result_new(rc);

	json_object_set_new(result, "lineage", json_string(d->self.lineage));
	json_object_set_new(result, "generation", json_integer((json_int_t)d->self.generation));
	control_answer(client, result);
}

void failover_promote(struct daemon *d, struct control_client *client, const json_t *request)
{
	bool force = json_is_true(json_object_get(request, "force"));
	int rc = KC_OK;

	if (d->clone == NULL) {
		answer(d, client, err_set(KC_EUSAGE, "this machine is a master"));
		return;
	}
	rc = clone_apply_stored(d->clone);
	/* What cannot be applied stays where it is; who forces it knows. */
	if (force && rc != KC_EAGAIN)
		rc = KC_OK;
	if (rc < 0 || strcmp(member_text(request, "step"), "commit") != 0) {
		answer(d, client, rc);
		return;
	}
	rc = take_state(d, state_promote(d->state));
	answer(d, client, rc);
	if (rc == KC_OK)
		leave(d, "master");
}

void failover_demote(struct daemon *d, struct control_client *client, const json_t *request)
{
	int rc;

	(void)request;
	if (d->master == NULL) {
		answer(d, client, err_set(KC_EUSAGE, "this machine is a clone"));
		return;
	}
	/* Their ends would write over the new role. */
	if (d->order != NULL || master_is_looking(d->master))
		rc = err_set(KC_EAGAIN, "a backup is being made or restored");
	else
		rc = take_state(d, state_demote(d->state));
	answer(d, client, rc);
	if (rc == KC_OK)
		leave(d, "clone");
}
