/* SPDX-License-Identifier: Apache-2.0 */
/* clone_diverged: rows that only this clone has: listed on request, given up only when an operator says so. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "clone_int.h"
#include "daemon/control.h"

static void on_list(int rc, const json_t *result, void *arg)
{
	struct clone_role *c = arg;

	/* What a person has seen is known to be so. */
	if (rc == KC_OK && !c->d->self.diverged)
		loop_timer_set(c->check, 0);
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

/* Against what was applied last; against what is stored, where that cannot be restored over it: before the first
 * restore, and where another lineage begins from before what is applied. */
void clone_diverged_list(struct clone_role *c, struct control_client *client)
{
	const struct state_self *self = &c->d->self;
	struct state_stored st = { 0 };
	bool of_stored = self->digest[0] == '\0' || (self->diverged && clone_is_of_stored(c));
	int rc = of_stored ? state_get_stored(&st, c->d->state) : state_find_stored(&st, c->d->state, self->backup);
	json_t *request;

	if (c->asking != NULL)
		rc = err_set(KC_EBUSY, "another client waits for the same list");
	else if (rc == KC_ENOENT && of_stored)
		rc = err_set(KC_ENOENT, "nothing was received from a master yet: there is nothing to compare with");
	else if (rc == KC_ENOENT)
		rc = KC_OK; /* restored by hand: whether it differs can be told, and the rows cannot */
	if (rc < 0) {
		state_stored_fini(&st);
		control_answer(client, ipc_result_new(rc));
		return;
	}
	c->asking = client;
	control_on_gone(client, asking_gone, c);
	request = json_pack("{s:s, s:s, s:s}", "verb", "diverged", "applied", of_stored ? "" : clone_applied_digest(c),
	    "signer", c->signer);
	if (st.travel != NULL)
		clone_name_backup(c, request, "backup", "travel", st.backup);
	json_object_set_new(request, "files", json_string(self->files));
	/* Companions that what waits would have to take over. */
	if (clone_has_stored(c))
		clone_name_backup(c, request, "newest", "newest_travel", c->stored.backup);
	jobs_add(c->d->jobs, request, NULL, NULL, on_list, c);
	state_stored_fini(&st);
}

static int discard(struct clone_role *c, struct control_client *client)
{
	struct state_self *self = &c->d->self;
	struct audit_record r = {
		.event = AUDIT_CLONE_DISCARDED, .outcome = AUDIT_STARTED, .detail = control_who(client)
	};
	int rc;

	if (!self->diverged)
		return err_set(KC_EFAIL, "this clone has not diverged: there is nothing to discard");
	clone_give_up(c);
	rc = daemon_save(c->d);
	if (rc == KC_OK)
		rc = daemon_audit(c->d, &r);
	if (rc == KC_OK && clone_has_stored(c))
		loop_timer_set(c->retry, 0);
	else if (rc == KC_OK)
		receive_greet_anew(c->receive);
	return rc;
}

void clone_give_up(struct clone_role *c)
{
	struct state_self *self = &c->d->self;

	self->discard = true;
	/* The same generation must come again if it was applied before the rows went astray; never an older one. */
	if (clone_has_stored(c) || self->by_hand || self->generation == 0)
		return;
	self->complete = --self->generation;
	self->by_hand = true;
}

int clone_discard_offered(struct clone_role *c, const char *master)
{
	struct audit_record r = { .event = AUDIT_CLONE_DISCARDED,
		.outcome = AUDIT_STARTED,
		.peer = master,
		.detail = "by an operator of its master" };
	int rc = daemon_audit(c->d, &r);

	if (rc < 0)
		return rc;
	log_info("the rows that only this clone has may go, says an operator of its master");
	clone_give_up(c);
	return daemon_save(c->d);
}

static void discarding_gone(struct control_client *client, void *arg)
{
	struct clone_role *c = arg;

	(void)client;
	c->discarding = NULL;
}

void clone_diverged_go_on(struct clone_role *c)
{
	struct control_client *client = c->discarding;

	if (client == NULL || c->restoring)
		return;
	c->discarding = NULL;
	control_answer(client, ipc_result_new(discard(c, client)));
}

void clone_diverged_discard(struct clone_role *c, struct control_client *client)
{
	if (c->discarding != NULL) {
		control_answer(client, ipc_result_new(err_set(KC_EBUSY, "another client waits for the same")));
		return;
	}
	c->discarding = client;
	control_on_gone(client, discarding_gone, c);
	/* A restore that began before it was said finds the same rows again, or it is over with them. */
	if (c->restoring)
		return;
	if (c->d->self.diverged)
		clone_diverged_go_on(c);
	else
		clone_check_now(c); /* nobody has found it yet, perhaps */
}
