/* SPDX-License-Identifier: Apache-2.0 */
/* clone_diverged: rows that only this clone has: listed on request, given up only when an operator says so. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "clone_int.h"
#include "daemon/control.h"

static void on_list(int rc, const json_t *result, void *arg)
{
	struct clone_role *c = arg;

	(void)rc;
	if (c->asking != NULL)
		control_answer(c->asking, json_deep_copy(result));
	c->asking = NULL;
}

static void asking_gone(struct control_client *client, void *arg)
{
	struct clone_role *c = arg;

	(void)client;
	c->asking = NULL;
}

/* Against what was applied last; before the first restore against what is stored. */
void clone_diverged_list(struct clone_role *c, struct control_client *client)
{
	const struct state_self *self = &c->d->self;
	struct state_stored st = { 0 };
	char *path;
	int rc = self->backup[0] != '\0' ? state_find_stored(&st, c->d->state, self->backup)
					 : state_get_stored(&st, c->d->state);

	if (c->asking != NULL)
		rc = err_set(KC_EBUSY, "another client waits for the same list");
	else if (rc == KC_ENOENT)
		rc = err_set(KC_ENOENT, "nothing was received from a master yet: there is nothing to compare with");
	if (rc < 0) {
		state_stored_fini(&st);
		control_answer(client, ipc_result_new(rc));
		return;
	}
	c->asking = client;
	control_on_gone(client, asking_gone, c);
	path = file_join(c->d->conf->backup_dir, st.backup);
	jobs_add(c->d->jobs,
	    json_pack("{s:s, s:s, s:s, s:s, s:s}", "verb", "diverged", "backup", path, "travel", st.travel, "applied",
		self->digest, "signer", c->signer),
	    NULL, NULL, on_list, c);
	free(path);
	state_stored_fini(&st);
}

void clone_diverged_discard(struct clone_role *c, struct control_client *client)
{
	struct state_self *self = &c->d->self;
	struct audit_record r = {
		.event = AUDIT_CLONE_DISCARDED, .outcome = AUDIT_STARTED, .detail = control_who(client)
	};
	int rc = KC_OK;

	if (!self->diverged) {
		control_answer(client,
		    ipc_result_new(err_set(KC_EFAIL, "this clone has not diverged: there is nothing to discard")));
		return;
	}
	self->discard = true;
	/* The same generation must come again if it was applied before the rows went astray; never an older one. */
	if (!clone_has_stored(c) && self->generation > 0)
		self->complete = --self->generation;
	rc = daemon_save(c->d);
	if (rc == KC_OK)
		rc = daemon_audit(c->d, &r);
	if (rc == KC_OK && clone_has_stored(c))
		loop_timer_set(c->retry, 0);
	else if (rc == KC_OK)
		receive_greet_anew(c->receive);
	control_answer(client, ipc_result_new(rc));
}
